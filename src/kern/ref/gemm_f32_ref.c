/* gemm, ref: y = act(x W^T + bias) in plain C.
 *
 * y[r, c] = act(bias[c] + sum over k, ascending, of x[r, k] * w[c, k]), one float sum. The order
 * never changes, so a row's bits depend on nothing else. W is packed into panels of PANEL columns,
 * [n / PANEL][k][PANEL], padded with zeros: the inner loops then have constant bounds, and any
 * compiler turns them into the vectors of its baseline. */
#include "kern/kernels.h"

#include <math.h>

/* 32 columns keep a loop that gcc 12 turns into vectors; at 16 it unrolls too early and does not (5
 * instead of 26 GFLOPS, Zen 3, -O3). */
enum { PANEL = 32, ROWS = 2 };

static size_t packed_bytes(uint32_t k, uint32_t n)
{
    return num_up(n, PANEL) * k * sizeof(float);
}

static void pack(uint32_t k, uint32_t n, const float *w, void *to)
{
    float *packed = to;
    for (size_t c0 = 0; c0 < n; c0 += PANEL) {
        for (size_t t = 0; t < k; t++) {
            for (size_t c = c0; c < c0 + PANEL; c++) {
                *packed++ = c < n ? w[c * k + t] : 0.0f;
            }
        }
    }
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

static void finish(const float *sums, const float *bias, enum gemm_act act, float *y, size_t width)
{
    for (size_t c = 0; c < width; c++) {
        const float v = sums[c] + bias[c];
        y[c] = act == GEMM_GELU_ERF ? gelu(v) : v;
    }
}

static void run(const struct gemm_call *call)
{
    const size_t k = call->shape.k, rows = call->rows;
    const size_t end = call->first + call->columns;
    const float *packed = (const float *)call->packed + call->first * k;
    for (size_t c0 = call->first; c0 < end; c0 += PANEL, packed += k * PANEL) {
        const size_t width = num_min(PANEL, end - c0);
        for (size_t r = 0; r < rows; r += ROWS) {
            /* An odd last row is computed twice; both copies have the same bits. */
            const float *row[ROWS] = {call->x + r * k, call->x + num_min(r + 1, rows - 1) * k};
            float sums[ROWS][PANEL] = {{0}};
            for (size_t t = 0; t < k; t++) {
                const float *w = packed + t * PANEL;
                for (size_t i = 0; i < ROWS; i++) {
                    for (size_t c = 0; c < PANEL; c++) {
                        sums[i][c] += row[i][t] * w[c];
                    }
                }
            }
            for (size_t i = 0; i < num_min(ROWS, rows - r); i++) {
                finish(sums[i], call->bias + c0, call->shape.act,
                       call->y + (r + i) * call->ldy + (c0 - call->first), width);
            }
        }
    }
}

const struct gemm_kernel gemm_f32_ref = {
    .layout = "1",
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
    .peak = peak_f32_ref,
};
