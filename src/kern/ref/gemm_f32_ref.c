/* gemm, ref: y = act(x W^T + bias) in plain C.
 *
 * y[r, c] = act(bias[c] + sum over k, ascending, of x[r, k] * w[c, k]), one float sum. The order
 * never changes, so a row's bits depend on nothing else. W is packed into panels of PANEL columns,
 * [n / PANEL][k][PANEL], padded with zeros: the inner loops then have constant bounds, and any
 * compiler turns them into the vectors of its baseline. A gated product is packed as two matrices,
 * one after the other. */
#include "kern/kernels.h"

#include "act_ref.h"

#include <string.h>

/* 32 columns keep a loop that gcc 12 turns into vectors; at 16 it unrolls too early and does not (5
 * instead of 26 GFLOPS, Zen 3, -O3). */
enum { PANEL = 32, ROWS = 2 };

static size_t packed_bytes(const struct gemm_shape *shape)
{
    return (shape->gated + 1) * num_up(shape->n, PANEL) * shape->k * sizeof(float);
}

static void pack(const struct gemm_shape *shape, const float *w, void *to)
{
    const size_t k = shape->k, n = shape->n;
    float *packed = to;
    for (int half = 0; half <= shape->gated; half++, w += n * k) {
        for (size_t c0 = 0; c0 < n; c0 += PANEL) {
            for (size_t t = 0; t < k; t++) {
                for (size_t c = c0; c < c0 + PANEL; c++) {
                    *packed++ = c < n ? w[c * k + t] : 0.0f;
                }
            }
        }
    }
}

static size_t scratch_bytes(const struct gemm_shape *shape)
{
    (void)shape;
    return 0;
}

/* Sums of ROWS rows with one panel, without bias. */
static void multiply(const float *const row[ROWS], size_t k, const float *w,
                     float sums[ROWS][PANEL])
{
    memset(sums, 0, ROWS * sizeof *sums);
    for (size_t t = 0; t < k; t++, w += PANEL) {
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t c = 0; c < PANEL; c++) {
                sums[i][c] += row[i][t] * w[c];
            }
        }
    }
}

/* Outputs [c0, c0 + width) of one row. gate: the second half's sums. */
static void finish(const struct gemm_call *call, const float *sums, const float *gate, size_t c0,
                   size_t width, float *y)
{
    for (size_t c = 0; c < width; c++) {
        const float bias = call->bias ? call->bias[c0 + c] : 0;
        y[c] = act_ref(call->shape.act, sums[c] + bias);
        if (!call->shape.gated) continue;
        y[c] *= gate[c] + (call->bias ? call->bias[call->shape.n + c0 + c] : 0);
    }
}

static void run(const struct gemm_call *call)
{
    const size_t k = call->shape.k, rows = call->rows;
    const size_t end = call->first + call->columns;
    const float *packed = (const float *)call->packed + call->first * k;
    const size_t half = num_up(call->shape.n, PANEL) * k;
    for (size_t c0 = call->first; c0 < end; c0 += PANEL, packed += k * PANEL) {
        const size_t width = num_min(PANEL, end - c0);
        for (size_t r = 0; r < rows; r += ROWS) {
            /* An odd last row is computed twice; both copies have the same bits. */
            const float *row[ROWS] = {call->x + r * k, call->x + num_min(r + 1, rows - 1) * k};
            float sums[ROWS][PANEL], gates[ROWS][PANEL];
            multiply(row, k, packed, sums);
            if (call->shape.gated) multiply(row, k, packed + half, gates);
            for (size_t i = 0; i < num_min(ROWS, rows - r); i++) {
                finish(call, sums[i], gates[i], c0, width,
                       call->y + (r + i) * call->ldy + (c0 - call->first));
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
