/* int8: what the variants of KERN_INT8's products share: numbers, rotation, and the packed weights.
 *
 *   y = act(row_scale * w_scale[c] * (sum of xq * wq  -  zero * sum of wq[c]) + bias[c])
 *
 * Weights are rounded to [-most, most] with one scale for each output; a row's inputs to [0,
 * levels] with one scale and one zero point for each row. The range always includes 0, and 0 is
 * exact (Jacob et al. 2018, eq. 3). The sums are exact, so all variants of the same numbers agree
 * in them bit for bit.
 *
 * Both are rotated before they are rounded: encoders have a few inputs ten times as large as the
 * rest, and one scale for all leaves the rest few steps (Ashkboos et al. 2024, "QuaRot"). Of every
 * 128 inputs, those at distance 8 go through a Walsh-Hadamard transform of 16 points. It leaves a
 * product unchanged when applied to both sides, and spreads a large input over sixteen. H H = 16:
 * the weights' side carries the 1/16. What is left of k after whole blocks of 128 is not rotated,
 * but multiplied by 4 and 1/4, so that it has the same weight.
 *
 * Pairs of products are added in 16 bits on AVX2 (vpmaddubsw), which must not saturate: 2 * 181 *
 * 90 = 32,580 (a rounded zero point can carry the highest input one step further). Elsewhere 255
 * and 127, and what is carried further is cut off. Sums: k * 255 * 127 < 2^31 for k <= 66,311. */
#ifndef KERN_INT8_H
#define KERN_INT8_H

#include <math.h>

#include "gemm.h"

enum {
    INT8_CHUNK = 128,
    INT8_LEVELS = 255,
    INT8_MOST = 127,
    INT8_LEVELS_16BIT = 180,
    INT8_MOST_16BIT = 90,
    INT8_MOST_K = INT32_MAX / (INT8_LEVELS * INT8_MOST)
};

/* Offsets of a packed product's parts, in bytes. Of n_up outputs, n in whole vectors of 16, those
 * beyond n are zeros. */
struct int8_layout {
    size_t k4;     /* k in whole groups of four */
    size_t n_up;   /* n in whole vectors of 16 outputs */
    size_t scales; /* float [n_up]: w_scale */
    size_t sums;   /* float [n_up]: w_scale * sum of wq */
    size_t bytes;
};
struct int8_layout int8_layout(size_t k, size_t n);

/* out = the rotated inputs of one chunk; may be the same array. Every variant adds in this order:
 * distances 16, 32, 64, 8. */
void int8_rotate(const float in[INT8_CHUNK], float out[INT8_CHUNK]);

/* Weights in panels of `panel` outputs in gemm.h's order, [panel][k4 / 4][outputs of the panel][4],
 * the last panel as narrow as whole vectors of 16 allow; then scales and sums. An output with a
 * weight that is not finite gets NaN as its scale, so that everything it computes is NaN. */
void int8_pack(const struct gemm_shape *shape, const float *w, void *packed, size_t panel,
               size_t lanes, int most);

/* A row's numbers: xq = round(x * inverse + zero), and the product is
 * scale * (w_scale * sum) + shift * w_sum + bias. */
struct int8_row {
    float scale, shift, inverse, zero;
};

/* From a row's largest and smallest rotated input, high >= 0 >= low. NaN or infinities in them make
 * the row's scale NaN. A row too small to show in any product counts as zeros. */
static inline struct int8_row int8_row(float high, float low, int levels)
{
    const float range = high - low;
    if (!(range < INFINITY)) return (struct int8_row){.scale = NAN, .shift = NAN};
    if (range < 1e-30f) return (struct int8_row){.scale = 0};
    const float scale = range / (float)levels, inverse = (float)levels / range;
    const float zero = rintf(-low * inverse) + 0.0f; /* never -0 */
    return (struct int8_row){
        .scale = scale, .shift = -zero * scale, .inverse = inverse, .zero = zero};
}

#endif
