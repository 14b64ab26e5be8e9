/* work: the working memory of a pass. Private to model. */
#ifndef MODEL_WORK_H
#define MODEL_WORK_H

#include "model.h"

struct work {
    float *x;       /* [rows, hidden]: the layer's input, then its output */
    float *qkv;     /* [rows, 3 hidden] */
    float *context; /* [rows, hidden]: attention's output */
    struct work_own {
        float *y;  /* [block, hidden]: what is added to x */
        float *up; /* [block, the larger of intermediate and hidden] */
        void *gemm_scratch, *attention_scratch;
    } * own; /* [threads] */
};

/* Most rows of a block that goes through products and row-wise operations together. What a block
 * writes should still be in the second-level cache when it is read: 96 rows of an intermediate 1536
 * are 0.6 MB. */
#define WORK_BLOCK_ROWS 96u

/* Takes the pieces from an arena, or counts them. */
void work_layout(struct work *w, struct arena *a, const struct model_config *config,
                 const struct kern *kern, const struct model_extent *extent);

#endif
