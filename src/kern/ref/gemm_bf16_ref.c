/* gemm in bfloat16, ref: y = act(x W^T + bias) in plain C; the order of the sum is part of the
 * meaning (bf16.h).
 *
 * Inputs go in pairs, the odd one first; an odd k is padded with a zero. Each sum begins with its
 * bias. A gated product is packed as two matrices, one after the other. */
#include "kern/bf16.h"
#include "kern/kernels.h"

#include "act_ref.h"

enum { PANEL = 32 };

/* A gated product's halves, each a product. */
static struct gemm_shape half_of(const struct gemm_shape *shape)
{
    return (struct gemm_shape){.k = shape->k, .n = shape->n};
}

static size_t packed_bytes(const struct gemm_shape *shape)
{
    const struct gemm_shape half = half_of(shape);
    return (shape->gated + 1) * bf16_packed_bytes(&half, PANEL);
}

static void pack(const struct gemm_shape *shape, const float *w, void *to)
{
    const struct gemm_shape half = half_of(shape);
    uint16_t *packed = to;
    bf16_pack(&half, w, PANEL, PANEL, packed);
    if (!shape->gated) return;
    packed += bf16_packed_bytes(&half, PANEL) / sizeof *packed;
    bf16_pack(&half, w + (size_t)shape->n * shape->k, PANEL, PANEL, packed);
}

static size_t scratch_bytes(const struct gemm_shape *shape)
{
    (void)shape;
    return 0;
}

/* Sums of row x with one panel. bias: of the n outputs that exist, or NULL. */
static void multiply(const float *x, size_t k, const uint16_t *w, const float *bias, size_t n,
                     float sums[PANEL])
{
    for (size_t c = 0; c < PANEL; c++) {
        sums[c] = bf16_flush(bias && c < n ? (double)bias[c] : 0);
    }
    for (size_t t = 0; t < k; t += 2, w += 2 * (size_t)PANEL) {
        const float even = bf16_near(x[t]), odd = t + 1 < k ? bf16_near(x[t + 1]) : 0;
        for (size_t c = 0; c < PANEL; c++) {
            sums[c] = bf16_step(odd, bf16_widen(w[2 * c + 1]), sums[c]);
            sums[c] = bf16_step(even, bf16_widen(w[2 * c]), sums[c]);
        }
    }
}

static void run(const struct gemm_call *call)
{
    const size_t k = call->shape.k, n = call->shape.n, end = call->first + call->columns;
    const size_t panel_size = num_up(k, 2) * PANEL;
    const size_t half = num_up(n, PANEL) * num_up(k, 2);
    const uint16_t *panel = (const uint16_t *)call->packed + call->first * num_up(k, 2);
    for (size_t c0 = call->first; c0 < end; c0 += PANEL, panel += panel_size) {
        const size_t width = num_min(PANEL, end - c0);
        const float *bias = call->bias ? call->bias + c0 : NULL;
        for (size_t r = 0; r < call->rows; r++) {
            const float *x = call->x + r * k;
            float *y = call->y + r * call->ldy + (c0 - call->first);
            float sums[PANEL], gates[PANEL];
            multiply(x, k, panel, bias, width, sums);
            if (call->shape.gated)
                multiply(x, k, panel + half, bias ? bias + n : NULL, width, gates);
            for (size_t c = 0; c < width; c++) {
                y[c] = act_ref(call->shape.act, sums[c]);
                if (call->shape.gated) y[c] *= gates[c];
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
