/* work: the working memory of a pass. Private to model. */
#ifndef MODEL_WORK_H
#define MODEL_WORK_H

#include "model.h"

struct work {
    float *x;       /* [rows, hidden]: the layer's input, then its output */
    float *qkv;     /* [rows, 3 hidden] */
    float *context; /* [rows, hidden]: attention's output */
    float *y;       /* [block, hidden]: what is added to x */
    float *up;      /* [block, intermediate] */
    void *gemm_scratch;
    void *attention_scratch;
};

/* Rows of a block that products and row-wise operations go through together. */
uint32_t work_block_rows(const struct kern *kern);

/* Takes the pieces from an arena, or counts them. */
void work_layout(struct work *w, struct arena *a, const struct model_config *config,
                 const struct kern *kern, const struct model_extent *extent);

#endif
