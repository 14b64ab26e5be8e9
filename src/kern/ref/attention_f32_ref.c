/* attention, ref: softmax(Q K^T / sqrt(d)) V of one document, one query row at a time, in plain C.
 *
 * Vaswani et al. 2017, "Attention Is All You Need", eq. 1. The row's maximum is subtracted before the
 * exponential, which changes nothing but the range. Scratch: one row of scores. */
#include "kern/kernels.h"

#include <math.h>

static size_t bytes(uint32_t longest, uint32_t d)
{
    (void)d;
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
static void softmax(float *score, uint32_t len)
{
    float max = score[0];
    for (uint32_t j = 1; j < len; j++) {
        max = fmaxf(max, score[j]);
    }
    double sum = 0;
    for (uint32_t j = 0; j < len; j++) {
        score[j] = expf(score[j] - max);
        sum += (double)score[j];
    }
    for (uint32_t j = 0; j < len; j++) {
        score[j] = (float)((double)score[j] / sum);
    }
}

static void run(const struct attention_call *call)
{
    const uint32_t d = call->d, len = call->len;
    const size_t h = (size_t)call->heads * d;
    const size_t ld = 3 * h;
    const float scale = 1.0f / sqrtf((float)d);
    float *score = call->scratch; /* [len] */
    for (uint32_t head = call->first_head; head < call->first_head + call->n_heads; head++) {
        const float *q = call->qkv + (size_t)head * d;
        const float *k = q + h;
        const float *v = k + h;
        for (uint32_t i = 0; i < call->n_queries; i++) {
            for (uint32_t j = 0; j < len; j++) {
                score[j] = dot(q + i * ld, k + j * ld, d) * scale;
            }
            softmax(score, len);
            float *out = call->ctx + i * h + (size_t)head * d;
            for (uint32_t t = 0; t < d; t++) {
                out[t] = 0;
            }
            for (uint32_t j = 0; j < len; j++) {
                for (uint32_t t = 0; t < d; t++) {
                    out[t] += score[j] * v[j * ld + t];
                }
            }
        }
    }
}

const struct attention_kernel attention_f32_ref = {.bytes = bytes, .run = run};
