/* pass: one pass through a model, as its phases (forward.c) and its steps (steps.c and the files of
 * single operations) see it. Private to model. */
#ifndef MODEL_PASS_H
#define MODEL_PASS_H

#include "ending.h"
#include "layout.h"
#include "work.h"

struct model {
    const struct kern *kern;
    const struct arch *arch;
    struct model_config config;
    struct layout layout;
    const char *weights; /* the pack's section, borrowed */
    struct ending ending, multi, weight;
    struct model_config views[2]; /* of the latter two, which a model may lack */
    const float *question;        /* [hidden], borrowed; NULL: the model is not asked */
    size_t slice_bytes;           /* from one slice of PART_VOCAB to the next; 0: there is none */
};

/* A part that the model has; NULL: it has none, in this layer. */
const void *model_part(const struct model *m, uint32_t layer, enum arch_part part);

struct pass {
    const struct model *model;
    struct work work;
    struct team *team;
    struct model_input in;
    struct model_output out;
    uint32_t task;  /* as in model_extent */
    uint32_t skip;  /* of each document's rows, for poolings */
    uint32_t kinds; /* as in model_extent, at least one */

    /* of the phase */
    uint32_t layer;
    uint32_t rows; /* rows in blocks of `block` */
    uint32_t block;
    uint32_t head_parts; /* items that a document's heads are divided into */
};

/* Rows that go through steps together. */
struct block {
    float *at[ROWS_KINDS];
    const uint32_t *positions; /* each row's row of its rotary table */
    uint32_t n, first;         /* rows; of the pass's, or of the kept ones */
    uint32_t layer, kind;
    bool queries, keys; /* which outputs of PART_QKV: both, or one of them in the last layer */
    size_t ld_qkv;      /* of ROWS_QKV */
    uint32_t thread;
};

/* Runs steps to their end, or to attention; returns the step after it. */
const struct arch_step *steps_run(const struct pass *p, const struct arch_step *step,
                                  const struct block *b);

#endif
