/* gemm in bfloat16, ref: y = act(x W^T + bias) in plain C; the order of the sum is part of the
 * meaning (bf16.h).
 *
 * Inputs go in pairs, the odd one first; an odd k is padded with a zero. Each sum begins with its
 * bias. */
#include "kern/bf16.h"
#include "kern/kernels.h"

#include <math.h>

enum { PANEL = 32 };

static size_t packed_bytes(uint32_t k, uint32_t n)
{
    return bf16_packed_bytes(k, n, PANEL);
}

static void pack(uint32_t k, uint32_t n, const float *w, void *to)
{
    bf16_pack(k, n, w, PANEL, PANEL, to);
}

static size_t scratch_bytes(uint32_t k, uint32_t n)
{
    (void)k;
    (void)n;
    return 0;
}

/* Hendrycks and Gimpel 2016, eq. 1: v times the normal distribution's cdf at v. */
static float gelu(float v)
{
    return 0.5f * v * (1.0f + erff(v * 0.70710678f));
}

static void run(const struct gemm_call *call)
{
    const size_t k = call->shape.k, end = call->first + call->columns;
    const size_t panel_size = num_up(k, 2) * PANEL;
    const uint16_t *panel = (const uint16_t *)call->packed + call->first * num_up(k, 2);
    for (size_t c0 = call->first; c0 < end; c0 += PANEL, panel += panel_size) {
        for (size_t r = 0; r < call->rows; r++) {
            const float *x = call->x + r * k;
            float sums[PANEL];
            for (size_t c = 0; c < PANEL; c++) {
                sums[c] = bf16_flush(c0 + c < end ? (double)call->bias[c0 + c] : 0);
            }
            for (size_t t = 0; t < k; t += 2) {
                const uint16_t *w = panel + t * PANEL;
                const float even = bf16_near(x[t]), odd = t + 1 < k ? bf16_near(x[t + 1]) : 0;
                for (size_t c = 0; c < PANEL; c++) {
                    sums[c] = bf16_step(odd, bf16_widen(w[2 * c + 1]), sums[c]);
                    sums[c] = bf16_step(even, bf16_widen(w[2 * c]), sums[c]);
                }
            }
            float *y = call->y + r * call->ldy + (c0 - call->first);
            for (size_t c = 0; c < num_min(PANEL, end - c0); c++) {
                y[c] = call->shape.act == GEMM_GELU_ERF ? gelu(sums[c]) : sums[c];
            }
        }
    }
}

const struct gemm_kernel gemm_bf16_ref = {
    .layout = "pairs 1",
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
    .peak = peak_f32_ref,
};
