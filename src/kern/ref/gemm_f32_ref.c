/* gemm, ref: y = act(x W^T + bias) in plain C.
 *
 * y[r, c] = act(bias[c] + sum over k, ascending, of x[r, k] * w[c, k]), one float sum. The order never
 * changes, so a row's bits depend on nothing else. W is packed into panels of PANEL columns,
 * [n / PANEL][k][PANEL], filled up with zeros: the inner loops then run over constant bounds and any
 * compiler turns them into whatever vectors the baseline has. */
#include "kern/kernels.h"

#include <math.h>

/* 32 columns keep a loop that gcc 12 turns into vectors; at 16 it unrolls too early and does not (5
 * instead of 26 GFLOPS, Zen 3, -O3). */
enum { PANEL = 32, ROWS = 2 };

size_t gemm_ref_packed_bytes(struct gemm_shape shape)
{
    return num_up(shape.n, PANEL) * shape.k * sizeof(float);
}

void gemm_ref_pack(struct gemm_shape shape, const float *w, float *packed)
{
    for (size_t c0 = 0; c0 < shape.n; c0 += PANEL) {
        for (size_t t = 0; t < shape.k; t++) {
            for (size_t c = c0; c < c0 + PANEL; c++) {
                *packed++ = c < shape.n ? w[c * shape.k + t] : 0.0f;
            }
        }
    }
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

void gemm_ref_run(struct gemm_shape shape, const float *packed, const float *bias, const float *x,
                  float *y, uint32_t rows)
{
    const size_t k = shape.k, n = shape.n;
    for (size_t c0 = 0; c0 < n; c0 += PANEL, packed += k * PANEL) {
        const size_t width = num_min(PANEL, n - c0);
        for (size_t r = 0; r < rows; r += ROWS) {
            /* An odd last row is computed twice; both copies have the same bits. */
            const float *row[ROWS] = {x + r * k, x + num_min(r + 1, rows - 1) * k};
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
                finish(sums[i], bias + c0, shape.act, y + (r + i) * n + c0, width);
            }
        }
    }
}
