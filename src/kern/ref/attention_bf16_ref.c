/* attention in bfloat16, ref: softmax(Q K^T / sqrt(d)) V of one document, a query at a time, in
 * plain C.
 *
 * Vaswani et al. 2017, eq. 1. Queries times log2(e) / sqrt(d), keys, values and the weights
 * 2^(score - maximum) are rounded to bfloat16. Both products go in pairs, the odd one first, over d
 * and over the keys, an odd count padded with zeros (bf16.h). The sum of the rounded weights
 * divides the output. Scratch: one row of weights. */
#include "kern/bf16.h"
#include "kern/kernels.h"

#include <math.h>

static size_t bytes(uint32_t longest, uint32_t d)
{
    (void)d;
    return num_up((size_t)longest * sizeof(float), 64);
}

/* log2(e) / sqrt(d) times q, rounded, times k. */
static float dot(const float *q, const float *k, uint32_t d)
{
    const float scale = 1.44269504f / sqrtf((float)d);
    float sum = 0;
    for (uint32_t t = 0; t < d; t += 2) {
        const bool odd = t + 1 < d;
        sum = bf16_step(odd ? bf16_near(q[t + 1] * scale) : 0, odd ? bf16_near(k[t + 1]) : 0, sum);
        sum = bf16_step(bf16_near(q[t] * scale), bf16_near(k[t]), sum);
    }
    return sum;
}

/* weight[j] = 2^(weight[j] - max), rounded; returns their sum. */
static double soften(float *weight, uint32_t len)
{
    float max = weight[0];
    for (uint32_t j = 1; j < len; j++) {
        max = fmaxf(max, weight[j]);
    }
    double sum = 0;
    for (uint32_t j = 0; j < len; j++) {
        weight[j] = bf16_near(exp2f(weight[j] - max));
        sum += (double)weight[j];
    }
    return sum;
}

static float weighted(const float *weight, const float *v, size_t ld, uint32_t len)
{
    float sum = 0;
    for (uint32_t j = 0; j < len; j += 2) {
        const float *value = v + j * ld;
        const bool odd = j + 1 < len;
        sum = bf16_step(odd ? weight[j + 1] : 0, odd ? bf16_near(value[ld]) : 0, sum);
        sum = bf16_step(weight[j], bf16_near(value[0]), sum);
    }
    return sum;
}

static void run(const struct attention_call *call)
{
    const uint32_t d = call->d, len = call->len;
    const size_t h = (size_t)call->heads * d, ld = 3 * h;
    float *weight = call->scratch; /* [len] */
    for (uint32_t head = call->first_head; head < call->first_head + call->n_heads; head++) {
        const float *q = call->qkv + (size_t)head * d, *k = q + h, *v = k + h;
        for (uint32_t i = 0; i < call->n_queries; i++) {
            for (uint32_t j = 0; j < len; j++) {
                weight[j] = dot(q + i * ld, k + j * ld, d);
            }
            const double sum = soften(weight, len);
            for (uint32_t t = 0; t < d; t++) {
                call->ctx[i * h + (size_t)head * d + t] =
                    (float)((double)weighted(weight, v + t, ld, len) / sum);
            }
        }
    }
}

const struct attention_kernel attention_bf16_ref = {.bytes = bytes, .run = run};
