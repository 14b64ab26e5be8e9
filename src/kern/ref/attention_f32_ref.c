/* attention, ref: softmax(Q K^T / divisor + bias) V of one document, one query row at a time, in plain
 * C.
 *
 * Vaswani et al. 2017, "Attention Is All You Need", eq. 1. The row's maximum is subtracted before the
 * exponential, which changes nothing but the range. Keys that a query does not see are left out.
 * Scratch: one row of scores. */
#include "kern/attention.h"
#include "kern/kernels.h"

#include <math.h>

static size_t bytes(const struct attention_shape *shape, uint32_t longest)
{
    (void)shape;
    return num_up((size_t)longest * sizeof(float), 64);
}

static float dot(const float *a, const float *b, uint32_t d)
{
    float sum = 0;
    for (uint32_t t = 0; t < d; t++) {
        sum += a[t] * b[t];
    }
    return sum;
}

/* score[j] = exp(score[j] - max) / sum of them */
static void softmax(float *score, size_t n)
{
    float max = score[0];
    for (size_t j = 1; j < n; j++) {
        max = fmaxf(max, score[j]);
    }
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        score[j] = expf(score[j] - max);
        sum += (double)score[j];
    }
    for (size_t j = 0; j < n; j++) {
        score[j] = (float)((double)score[j] / sum);
    }
}

/* Query i of the document, at q, to out [d]. */
static void run_query(const struct attention_call *call, size_t head, size_t i, const float *q,
                      float *out)
{
    const uint32_t d = call->shape.d;
    const size_t ld = call->ld_kv, at = attention_kv_head(&call->shape, head) * d;
    const struct key_range keys = attention_keys(&call->shape, call->len, i, 1);
    const bool is_biased = attention_is_biased(&call->shape, call->len);
    const float scale = 1.0f / call->shape.divisor;
    float *score = call->scratch; /* [keys.to - keys.from] */
    for (size_t j = keys.from; j < keys.to; j++) {
        float s = dot(q, call->k + j * ld + at, d) * scale;
        if (is_biased) s += attention_term(call, head, i, j);
        score[j - keys.from] = s;
    }
    softmax(score, keys.to - keys.from);
    for (uint32_t t = 0; t < d; t++) {
        out[t] = 0;
    }
    for (size_t j = keys.from; j < keys.to; j++) {
        for (uint32_t t = 0; t < d; t++) {
            out[t] += score[j - keys.from] * call->v[j * ld + at + t];
        }
    }
}

static void run(const struct attention_call *call)
{
    const size_t d = call->shape.d;
    for (size_t head = call->first_head; head < call->first_head + call->n_heads; head++) {
        for (size_t i = 0; i < call->n_queries; i++) {
            run_query(call, head, call->first_query + i, call->q + i * call->ld_q + head * d,
                      call->ctx + i * call->ld_ctx + head * d);
        }
    }
}

const struct attention_kernel attention_f32_ref = {.bytes = bytes, .run = run};
