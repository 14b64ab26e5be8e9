#include "engine/output.h"

#include <string.h>

/* A worker sends small results some at a time. */
#define FRAME_TAILS_LEAST ((uint64_t)32 << 10)

/* Entries of sparse weights, at most, of n tokens of a document or of a pass. */
static uint64_t sparse_most(const struct resolved *r, uint64_t n_docs, uint64_t n_tokens)
{
    if ((r->kinds >> VECMILL_KIND_SPARSE & 1) == 0) return 0;
    const uint64_t of_vocab = n_docs * r->config.vocab;
    return model_takes_logits(&r->config) ? of_vocab : num_min(of_vocab, n_tokens);
}

void output_of(const struct resolved *r, struct output *o)
{
    const uint32_t rows = r->kinds & OUTPUT_ROW_KINDS;
    const uint32_t dense = 1u << VECMILL_KIND_DENSE | 1u << VECMILL_KIND_SCORE;
    const uint64_t pass = r->extent.tokens > r->max_length ? r->extent.tokens : r->max_length;
    *o = (struct output){
        .kinds = r->kinds, .dim = r->kinds & dense ? r->dim : 0, .vocab = r->config.vocab};
    for (uint32_t k = 0; k <= VECMILL_KIND_TOKENS; k++)
        o->n_tails += (r->kinds & OUTPUT_TAIL_KINDS) >> k & 1;
    if (o->n_tails == 0) return;
    if (rows)
        o->row_floats = model_row_floats(&r->config, rows >> VECMILL_KIND_MULTI & 1 ? MODEL_MULTI
                                                                                    : MODEL_TOKENS);
    const uint64_t row_bytes = o->row_floats * sizeof(float);
    const uint64_t head = o->n_tails > 1 ? o->n_tails * sizeof(uint64_t) : 0;
    o->sparse_most = sparse_most(r, 1, r->max_length) * 8;
    o->tail_most = head + o->sparse_most + r->max_length * row_bytes;
    o->rows = pass * row_bytes;
    const uint64_t docs = resolved_docs(r);
    if (o->n_tails > 1) o->before_rows = num_up(docs * head + sparse_most(r, docs, pass) * 8, 64);
    o->frame_tails = o->before_rows + o->rows;
    if (o->frame_tails < o->tail_most + FRAME_TAILS_LEAST && o->rows == 0)
        o->frame_tails = o->tail_most + FRAME_TAILS_LEAST;
}

uint32_t output_dim(const struct output *o)
{
    return o->dim ? o->dim : o->row_floats ? o->row_floats : o->vocab;
}

uint64_t output_bytes(const struct output *o)
{
    return o->dim * sizeof(float) + o->tail_most;
}

vecmill_part output_part(const struct output *o, vecmill_kind kind, uint64_t n, const void *data)
{
    vecmill_part part = {.kind = kind, .dtype = VECMILL_DTYPE_FLOAT32, .n = n, .data = data};
    switch (kind) {
    case VECMILL_KIND_SPARSE:
        part.bytes = n * (sizeof(uint32_t) + sizeof(float));
        break;
    case VECMILL_KIND_MULTI:
    case VECMILL_KIND_TOKENS:
        part.dim = o->row_floats;
        part.bytes = n * part.dim * sizeof(float);
        break;
    case VECMILL_KIND_DENSE:
    case VECMILL_KIND_SCORE:
    case VECMILL_KIND_IDS:
        part.dim = o->dim;
        part.bytes = n * part.dim * sizeof(float);
        break;
    }
    return part;
}

/* Bytes of an entry or a row. */
static uint64_t unit_bytes(const struct output *o, vecmill_kind kind)
{
    return output_part(o, kind, 1, NULL).bytes;
}

uint32_t output_parts(const struct output *o, const float *vector, const void *tail,
                      size_t tail_bytes, vecmill_part *parts)
{
    const unsigned char *at = tail;
    size_t left = tail_bytes, used = 0;
    uint32_t n = 0, n_tails = 0;
    uint64_t sizes[VECMILL_PARTS_MAX] = {tail_bytes};
    if (o->n_tails > 1) {
        used = o->n_tails * sizeof *sizes;
        if (tail_bytes < used) return 0;
        memcpy(sizes, at, used);
        left -= used;
    }
    for (uint32_t k = 0; k <= VECMILL_KIND_TOKENS; k++) {
        const vecmill_kind kind = (vecmill_kind)k;
        if ((o->kinds >> k & 1) == 0) continue;
        if ((OUTPUT_TAIL_KINDS >> k & 1) == 0) {
            parts[n++] = output_part(o, kind, 1, vector);
            continue;
        }
        const uint64_t bytes = sizes[n_tails++], unit = unit_bytes(o, kind);
        if (bytes > left || bytes % unit != 0) return 0;
        parts[n++] = output_part(o, kind, bytes / unit, at + used);
        used += (size_t)bytes;
        left -= (size_t)bytes;
    }
    return left == 0 ? n : 0;
}

void output_describe(const vecmill_part *parts, uint32_t n_parts, vecmill_result *result)
{
    result->kind = parts[0].kind;
    result->dtype = parts[0].dtype;
    result->count = result->bytes = 0;
    for (uint32_t i = 0; i < n_parts; i++)
        result->bytes += parts[i].bytes;
    result->count = parts[0].kind == VECMILL_KIND_SPARSE ? parts[0].n : parts[0].n * parts[0].dim;
}
