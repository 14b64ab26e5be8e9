/* output: what a document's result is made of, as bytes.
 *
 * A dense vector or scores have one size, and travel in the fixed part of a crew's result. Sparse
 * weights and rows of tokens differ in size from document to document: they are parts of its tail, in
 * the order of their kinds. A tail of one part is that part; of several, it begins with the bytes of
 * each, as u64. A part of sparse weights is its indices, u32 and ascending, then as many floats; one of
 * rows is floats, row by row.
 * Sizes are known from configuration and lengths alone, so that they can be planned. Private to engine. */
#ifndef ENGINE_OUTPUT_H
#define ENGINE_OUTPUT_H

#include "vecmill.h"

#include "engine/resolve.h"

/* Kinds that are parts of a tail. */
#define OUTPUT_TAIL_KINDS                                                                          \
    (1u << VECMILL_KIND_SPARSE | 1u << VECMILL_KIND_MULTI | 1u << VECMILL_KIND_TOKENS)
#define OUTPUT_ROW_KINDS (1u << VECMILL_KIND_MULTI | 1u << VECMILL_KIND_TOKENS)

struct output {
    uint32_t kinds, n_tails; /* bits 1u << vecmill_kind, and how many of them are parts of a tail */
    uint32_t dim;            /* floats of the fixed part: 0 where no kind is dense or score */
    uint32_t row_floats;     /* of a row of tokens; 0: none is computed */
    uint32_t vocab;          /* indices of sparse weights are under it */
    uint64_t tail_most;      /* bytes of a document's tail, at most; 0: there are no tails */
    uint64_t sparse_most;    /* of its sparse weights */
    /* Bytes of memory that tails of a pass are written to before the first of them is sent: in front
     * of the pass's rows, for what comes before them; and of these rows. */
    uint64_t before_rows, rows;
    uint64_t frame_tails; /* bytes of tails that a worker holds */
};

void output_of(const struct resolved *resolved, struct output *output);

/* Bytes of a document's whole result, at most. */
uint64_t output_bytes(const struct output *output);

/* Elements of a vector or a row of the first kind; of sparse weights alone the vocabulary's size. */
uint32_t output_dim(const struct output *output);

/* The parts of a document's result, from its fixed part and its tail, into parts[VECMILL_PARTS_MAX].
 * Returns their number; 0: the tail's own sizes are not its size. */
uint32_t output_parts(const struct output *output, const float *vector, const void *tail,
                      size_t tail_bytes, vecmill_part *parts);

/* A part by itself, of n entries or rows at `data`. */
vecmill_part output_part(const struct output *output, vecmill_kind kind, uint64_t n,
                         const void *data);

/* What a result is, of a document whose parts these are. */
void output_describe(const vecmill_part *parts, uint32_t n_parts, vecmill_result *result);

/* Where the results of engine_compute go, in the order of documents. */
struct output_sink {
    /* Memory that parts of a tail are written to: before each pass that makes rows, output.rows bytes
     * aligned to 64; where none does, for a document's sparse weights theirs. NULL ends the call with
     * E_STOPPED. */
    void *(*room)(void *context, size_t bytes, size_t align);
    /* The result of document d: its parts, which lie where they were computed, until this returns; none
     * of a document that failed. Any status but OK ends the call with it. */
    vecmill_status (*take)(void *context, size_t d, const vecmill_result *result,
                           const vecmill_part *parts, uint32_t n_parts, vecmill_err *err);
    void *context;
};

/* What this session computes. */
void engine_session_output(const vecmill_session *session, struct output *output);

/* As vecmill_compute. */
vecmill_status engine_compute(vecmill_session *session, const vecmill_doc *docs, size_t n_docs,
                              const struct output_sink *sink, vecmill_err *err);

#endif
