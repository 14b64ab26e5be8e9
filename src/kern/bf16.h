/* bf16: the number format bfloat16, and what a product in it is.
 *
 * A bfloat16 is the upper half of a float: sign, 8 bits of exponent, 7 of mantissa. The kernels
 * multiply as Intel's VDPBF16PS does (Intel SDM vol. 2C): two multiply-adds for a pair of inputs,
 * the ODD element first, each rounded once to the nearest float, ties to even; denormals are zeros,
 * as inputs and as results. In the same order, float's fused multiply-add computes the same bits,
 * since widening is exact. */
#ifndef KERN_BF16_H
#define KERN_BF16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "gemm.h"

static inline uint32_t bf16_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* The nearest, ties to even. What exceeds the largest is an infinity; a NaN stays one. */
static inline uint16_t bf16_nearest(float x)
{
    const uint32_t u = bf16_bits(x);
    if (isnan(x)) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* The same in the form that products take: a denormal is a zero of its sign. */
static inline uint16_t bf16_round(float x)
{
    const uint32_t u = bf16_bits(x);
    if ((u & 0x7fffffff) < 0x00800000) return (uint16_t)(u >> 16 & 0x8000);
    return bf16_nearest(x);
}

static inline float bf16_widen(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float bf16_near(float x)
{
    return bf16_widen(bf16_round(x));
}

/* To float, denormals to zero. What rounds to 2^-126 or more with 24 bits of mantissa is not
 * one. */
static inline float bf16_flush(double v)
{
    const float f = (float)v;
    return fabs(v) < 0x1p-126 * (1 - 0x1p-25) ? copysignf(0, f) : f;
}

/* sum + a * b, rounded once: a fused multiply-add in plain C. In double the product of two bfloat16
 * is exact, having 16 bits. The sum with a float is exact too, or else the smaller term is so far
 * below the larger that it decides no rounding to float. */
static inline float bf16_step(float a, float b, float sum)
{
    return bf16_flush((double)a * (double)b + (double)sum);
}

/* W rounded, for kernels that take two inputs at a time: panels of `width` outputs in gemm.h's order,
 * [panel][k / 2][width][2]. An odd k is padded with a zero, and the outputs to whole vectors of
 * `lanes`, which may leave the last panel narrower. */
static inline size_t bf16_packed_bytes(const struct gemm_shape *shape, size_t lanes)
{
    return num_up(gemm_width(shape, lanes), lanes) * num_up(shape->k, 2) * sizeof(uint16_t);
}

static inline void bf16_pack(const struct gemm_shape *shape, const float *w, size_t width,
                             size_t lanes, uint16_t *to)
{
    const size_t k = shape->k, n = num_up(gemm_width(shape, lanes), lanes);
    for (size_t c0 = 0; c0 < n; c0 += width) {
        const size_t n_rows = num_min(width, n - c0);
        const float *rows[GEMM_PANEL];
        for (size_t c = 0; c < n_rows; c++) {
            rows[c] = gemm_row(shape, w, lanes, c0 + c);
        }
        for (size_t t = 0; t < k; t += 2) {
            for (size_t c = 0; c < n_rows; c++) {
                *to++ = rows[c] ? bf16_round(rows[c][t]) : 0;
                *to++ = rows[c] && t + 1 < k ? bf16_round(rows[c][t + 1]) : 0;
            }
        }
    }
}

#endif
