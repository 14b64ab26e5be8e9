/* work: the working memory of a pass. Private to model. */
#ifndef MODEL_WORK_H
#define MODEL_WORK_H

#include "arch.h"

/* Of one head of one document, where scores have products with distances (relative.h). */
struct relative_work {
    float *rows;       /* [longest, head]: its queries or keys */
    float *of_queries; /* [longest, distances] */
    float *of_keys;    /* the same */
    uint16_t *bucket;  /* [2 * longest] */
};

struct work {
    float *x;            /* [rows, hidden]: the layer's input, then its output */
    float *qkv;          /* [rows, qkv] */
    float *context;      /* [rows, queries]: attention's output */
    uint32_t *positions; /* [rows]: each token's row of its rotary table; empty without such */
    float *embedded;     /* [rows, hidden]: the embedding; empty where no layer reads it */
    float *states; /* [rows, state]: the last hidden state; x itself where they are the same */
    /* Of weights of the vocabulary (vocab.h); empty where they are not computed. */
    float *vocab_rows;     /* [rows, hidden]: what the logits are of; queries' memory */
    float *vocab_best;     /* [vocab_docs, vocab] */
    uint32_t *vocab_found; /* [vocab]: tokens that have a weight */
    uint32_t vocab_docs;
    /* Of each token's own results (token_heads.h); likewise. */
    uint32_t *taken; /* [rows]: tokens that have a vector */
    float *weights;  /* [rows] */
    uint64_t *pairs; /* [longest]: tokens of a document with their weights */
    uint32_t *found; /* [longest] */
    float *best;     /* [longest] */
    float *rope;     /* [rows, head_dim]: the table, where it depends on the document's length */
    struct work_own {
        float *y;      /* [block, hidden]: what is added to x */
        float *z;      /* [block, hidden]: x normalised; empty where x itself is */
        float *up;     /* [block, the largest of intermediate, hidden, queries and input] */
        float *inputs; /* [block, the most inputs of a product with tasks]; empty without tasks */
        float *chosen; /* [block, hidden]: rows that an expert computes; empty without experts */
        float *shares; /* [block, experts]: of each expert in a row */
        uint32_t *positions; /* [block]: of rows that are not adjacent in x */
        union {
            void *gemm_scratch;
            double *sum; /* of a bag: [hidden]; then y is one row, and there is no x */
        };
        void *attention_scratch;
        float *logits;                 /* [block, ARCH_SLICE] */
        struct relative_work relative; /* relative.h; empty without such a bias */
    } * own;                           /* [threads] */
};

/* Most rows of a block that goes through products and row-wise operations together. What a block
 * writes should still be in the second-level cache when it is read: 96 rows of an intermediate 1536
 * are 0.6 MB. */
#define WORK_BLOCK_ROWS 96u

/* Takes the pieces from an arena, or counts them. */
void work_layout(struct work *w, struct arena *a, const struct arch *arch,
                 const struct model_config *config, const struct kern *kern,
                 const struct model_extent *extent);

#endif
