/* attention in bfloat16, ref: softmax(Q K^T / divisor + bias) V of one document, a query at a time,
 * in plain C.
 *
 * Vaswani et al. 2017, eq. 1. Queries times log2(e) / divisor, keys, values and the weights
 * 2^(score - maximum) are rounded to bfloat16. A bias, times log2(e), is added in float. Both
 * products go in pairs, the odd one first, over d and over the keys, an odd count padded with zeros
 * (bf16.h). Pairs of keys begin at even ones; a key that is not seen has weight zero. The sum of
 * the rounded weights divides the output. Scratch: one row of weights. */
#include "kern/attention.h"
#include "kern/bf16.h"
#include "kern/kernels.h"

#include <math.h>

static size_t bytes(const struct attention_shape *shape, uint32_t longest)
{
    (void)shape;
    return num_up((size_t)longest * sizeof(float), 64);
}

/* q times scale, rounded, times k. */
static float dot(const float *q, const float *k, uint32_t d, float scale)
{
    float sum = 0;
    for (uint32_t t = 0; t < d; t += 2) {
        const bool odd = t + 1 < d;
        sum = bf16_step(odd ? bf16_near(q[t + 1] * scale) : 0, odd ? bf16_near(k[t + 1]) : 0, sum);
        sum = bf16_step(bf16_near(q[t] * scale), bf16_near(k[t]), sum);
    }
    return sum;
}

/* weight[j] = 2^(weight[j] - max), rounded; returns their sum. */
static double soften(float *weight, size_t n)
{
    float max = weight[0];
    for (size_t j = 1; j < n; j++) {
        max = fmaxf(max, weight[j]);
    }
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        weight[j] = bf16_near(exp2f(weight[j] - max));
        sum += (double)weight[j];
    }
    return sum;
}

static float weighted(const float *weight, const float *v, size_t ld, size_t n)
{
    float sum = 0;
    for (size_t j = 0; j < n; j += 2) {
        const float *value = v + j * ld;
        const bool odd = j + 1 < n;
        sum = bf16_step(odd ? weight[j + 1] : 0, odd ? bf16_near(value[ld]) : 0, sum);
        sum = bf16_step(weight[j], bf16_near(value[0]), sum);
    }
    return sum;
}

/* Query i of the document, at q, to out [d]. */
static void run_query(const struct attention_call *call, size_t head, size_t i, const float *q,
                      float *out)
{
    const uint32_t d = call->shape.d;
    const size_t ld = call->ld_kv, at = attention_kv_head(&call->shape, head) * d;
    const struct key_range keys = attention_keys(&call->shape, call->len, i, 1);
    const size_t from = keys.from & ~(size_t)1;
    const bool is_biased = attention_is_biased(&call->shape, call->len);
    const float scale = ATTENTION_LOG2_E / call->shape.divisor;
    float *weight = call->scratch; /* [keys.to - from] */
    for (size_t j = from; j < keys.to; j++) {
        float s = dot(q, call->k + j * ld + at, d, scale);
        if (is_biased) s += attention_term(call, head, i, j) * ATTENTION_LOG2_E;
        weight[j - from] = s;
    }
    const double sum = soften(weight, keys.to - from);
    for (uint32_t t = 0; t < d; t++) {
        const float *v = call->v + from * ld + at + t;
        out[t] = (float)((double)weighted(weight, v, ld, keys.to - from) / sum);
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

const struct attention_kernel attention_bf16_ref = {.bytes = bytes, .run = run};
