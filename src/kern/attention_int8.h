/* attention_int8: the numbers that all variants of KERN_INT8's attention share.
 *
 * For one head of a document of at least INT8_SHORT tokens, all of which see each other alike, and
 * with a key head for each query head. All else is computed in float, which is as fast for short
 * documents:
 *
 *   keys     k8[j, t] = round((k - k_mid[t]) / k_scale[t]), the column's range over the document's
 *            keys to [-127, 127]. A column's middle adds the same to all of a query's scores and
 *            cancels in softmax.
 *   queries  q8[t] = round(q[t] * k_scale[t] / q_scale), a query's largest to 127.
 *   scores   s[j] = sum of q8 * k8, exact;
 *            z[j] = round((max s - s[j]) * q_scale * log2(e) / divisor * 2048), at most 32,767:
 *            sixteen halvings, eleven bits of fraction.
 *   weights  p[j] = floor(255 * 2^(-z / 2048) + (r[j] + 1/2) / 16), r[j] the four lowest bits of j
 *            reversed. This rounding adds nearly a step in one position and nearly none in another,
 *            so that many small weights, each below half a step, keep their sum. 2^-f is a polynomial
 *            of degree 2 in integers, off by at most 0.23 % (least squares over its two coefficients,
 *            all 2,048 fractions tried).
 *   values   v8 as keys, and ctx[t] = v_mid[t] + v_scale[t] * (sum of p * v8) / (sum of p).
 *
 * All sums are exact in 32 bits: len * 255 * 127 < 2^31 for 66,311 tokens, d * 127 * 255 likewise.
 * A value that is not finite makes NaN of the whole head if it is in a key, of its column if in a
 * value, of its row if in a query (or in a query's product with the keys' scales). */
#ifndef KERN_ATTENTION_INT8_H
#define KERN_ATTENTION_INT8_H

#include "attention.h"

enum {
    INT8_SHORT = 32,
    INT8_EXP_ONE = 65280, /* 255 * 256: the largest weight */
    INT8_EXP_FIRST = 43894,
    INT8_EXP_SECOND = 11326
};

struct int8_column {
    float scale, inverse, mid;
};

/* From a column's highest and lowest value; `bad` is 0 or NaN. */
static inline struct int8_column int8_column(float high, float low, float bad)
{
    const float range = high - low;
    const bool tiny = range < 1e-30f;
    return (struct int8_column){
        .scale = tiny ? 0 : range / 254,
        .inverse = tiny ? 0 : 254 / range,
        .mid = high * 0.5f + low * 0.5f + bad,
    };
}

/* Factor of a query's scale, so that scores count in 2048ths of a halving. */
static inline float int8_unit(float divisor)
{
    return 2048 * ATTENTION_LOG2_E / divisor;
}

/* The longest document of at most `longest` tokens that may be computed in int8; 0: none. */
static inline size_t attention_int8_longest(const struct attention_shape *s, size_t longest)
{
    if (s->heads != s->kv_heads || s->causal || s->bias != ATTENTION_PLAIN) return 0;
    return s->window < longest ? (size_t)s->window + 1 : longest;
}

static inline bool attention_is_int8(const struct attention_call *call)
{
    return call->len >= INT8_SHORT && attention_int8_longest(&call->shape, call->len) == call->len;
}

#endif
