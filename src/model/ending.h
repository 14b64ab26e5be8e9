/* ending: what follows the body, from a document's rows of the last hidden state to its vector:
 * poolings, concatenated, then steps (struct model_ending; docs/MODEL.md, "What follows the body").
 * Endings without poolings are of each row by itself (token_heads.h).
 *
 * The pack's section "model.ending" has the weights of the steps, if any has weights: a head, then
 * of each Dense its packed matrix and its bias, of each LayerNorm gamma and beta, each part at a
 * multiple of 64 bytes. One function places them, for the writer (ending_compile.c) and the reader.
 *
 * All of it is computed in fp32, whatever the model's precision: a document is one row here, so that
 * the products take no time, and no later layer averages out what their inputs would lose. Other
 * sums, and activations, are in double and rounded once. A document's bits depend on its rows alone.
 * Does not know which layers came before. */
#ifndef MODEL_ENDING_H
#define MODEL_ENDING_H

#include "config.h"

/* The endings of a model, and the sections of their weights. */
enum ending_which {
    ENDING_VECTOR, /* "model.ending" */
    ENDING_MULTI,  /* "model.multi": a row's vector of MODEL_MULTI */
    ENDING_WEIGHT, /* "model.weight": a row's weight of MODEL_SPARSE_OWN */
    ENDINGS
};
const char *ending_section(enum ending_which which);

/* The configuration of a model that had only this ending, as its `ending`. What follows takes such a
 * view; the configuration itself is that of ENDING_VECTOR. */
void ending_view(const struct model_config *config, enum ending_which which,
                 struct model_config *view);

/* ---- its shape ---- */

/* Floats of a vector after the first n_steps steps; 0: after the poolings, or of a row. */
uint32_t ending_width(const struct model_config *config, uint32_t n_steps);

/* Every range of all endings, and that each step takes what the one before gives and `dim` is the last
 * one's width: for a folder and for a pack. E_MODEL; messages say `shown`. */
vecmill_status ending_check(const struct model_config *config, const char *shown, vecmill_err *err);

/* Which rows of a document the poolings read. Where they are few, the last layer needs no others. */
enum ending_rows {
    ENDING_ROWS_ALL,
    ENDING_ROWS_FIRST,
    ENDING_ROWS_LAST,
    ENDING_ROWS_BOTH /* the first and the last, which may be one */
};
enum ending_rows ending_rows(const struct model_config *config);

/* Operations for a document, or for a row, a multiply-add counted as two: those of its products. */
double ending_flops(const struct model_config *config);

/* ---- its weights ---- */

struct ending_head {
    char kern[48];  /* kern_signature in fp32 of the level that the matrices are packed for */
    uint64_t total; /* bytes of the section; 0: there is none */
    uint64_t zero;
};

struct ending_layout {
    size_t at[MODEL_STEPS_MAX][2];  /* offsets of matrix and bias, or of gamma and beta */
    size_t packed[MODEL_STEPS_MAX]; /* bytes of a Dense's matrix */
    size_t total;                   /* bytes of the section; 0: no step has weights */
};

struct gemm_shape ending_shape(const struct model_config *config, uint32_t step);

/* E_MODEL: more than the address space; kern's error for a shape it refuses. */
vecmill_status ending_layout(const struct model_config *config, const struct kern *kern,
                             struct ending_layout *layout, vecmill_err *err);

/* Checks the weights of all endings against their configurations: names, shapes, dtypes, and that
 * there are no others. Reads no values. dir: the model's folder. E_MODEL. */
vecmill_status ending_check_files(const char *dir, const struct config *config, vecmill_err *err);

/* Writes a section for each ending that has weights. Checks as ending_check_files, and the values. */
vecmill_status ending_write(const char *dir, const struct config *config, const struct kern *kern,
                            struct pack_writer *out, vecmill_err *err);

/* The most memory that ending_write holds at one time. */
vecmill_status ending_most(const char *dir, const struct config *config, size_t *bytes,
                           vecmill_err *err);

/* ---- computing ---- */

struct ending {
    const struct kern *kern;
    const struct model_config *config;
    const char *weights; /* the pack's section, borrowed */
    struct ending_layout layout;
};

/* Finds the section of this ending and checks its size. The view and the pack must stay. E_MODEL. */
vecmill_status ending_open(const struct pack *pack, const struct kern *kern,
                           enum ending_which which, const struct model_config *view,
                           struct ending *ending, vecmill_err *err);

/* Scratch for a document of ending_run, or so many rows at a time of ending_run_rows; 0 when no step is
 * a Dense. */
size_t ending_scratch_bytes(const struct model_config *view, const struct kern *kern, size_t rows);

/* One document's vector.
 *   rows    [n, state]: its rows of the last hidden state, n >= 1; where ending_rows says that few
 *           are read, all of them or only those, in their order
 *   first   rows of the document before these, for weights that grow with a row's place
 *   scratch ending_scratch_bytes, aligned to 64
 *   vector  [dim], no overlap with rows */
void ending_run(const struct ending *ending, const float *rows, uint32_t n, uint32_t first,
                void *scratch, float *vector);

/* Vectors of n rows, by themselves.
 *   states  [?, state]: rows of the last hidden state
 *   which   [n]: of these; NULL: the first n
 *   scratch ending_scratch_bytes of n rows, aligned to 64
 *   vectors [n, width of the last step], no overlap with states */
void ending_run_rows(const struct ending *ending, const float *states, const uint32_t *which,
                     uint32_t n, void *scratch, float *vectors);

#endif
