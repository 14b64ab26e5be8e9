/* gemm, int8, ref: y = act(x W^T + bias) with rounded inputs and weights (int8.h), in plain C.
 *
 * One row at a time: rotated, rounded, then all outputs' sums in 32-bit integers. The packed weights are
 * those of the 64-wide variants; a gated product is packed as two matrices, one after the other.
 * Scratch: one row, rotated and rounded. */
#include "kern/kernels.h"

#include "kern/int8.h"

#include "act_ref.h"

enum { PANEL = GEMM_PANEL };

static size_t packed_bytes(const struct gemm_shape *shape)
{
    return (shape->gated + 1) * int8_layout(shape->k, shape->n).bytes;
}

static void pack(const struct gemm_shape *shape, const float *w, void *packed)
{
    const struct gemm_shape half = {.k = shape->k, .n = shape->n};
    int8_pack(&half, w, packed, PANEL, 1, INT8_MOST);
    if (!shape->gated) return;
    char *second = (char *)packed + int8_layout(half.k, half.n).bytes;
    int8_pack(&half, w + (size_t)half.n * half.k, second, PANEL, 1, INT8_MOST);
}

static size_t scratch_bytes(const struct gemm_shape *shape)
{
    return num_up(num_up(shape->k, 4) * (sizeof(float) + 1), 64);
}

/* xq [k4], zeros where k ends; turned [k4] is room for the rotated inputs. */
static struct int8_row round_row(const float *x, size_t k, float *turned, uint8_t *xq)
{
    float high = 0, low = 0, bad = 0;
    size_t t = 0;
    for (; k - t >= INT8_CHUNK; t += INT8_CHUNK) {
        int8_rotate(x + t, turned + t);
    }
    for (; t < k; t++) {
        turned[t] = x[t] * 4;
    }
    for (t = 0; t < k; t++) {
        high = fmaxf(high, turned[t]);
        low = fminf(low, turned[t]);
        bad += turned[t] * 0; /* NaN of what is not finite */
    }
    const struct int8_row row = int8_row(high + bad, low, INT8_LEVELS);
    for (t = 0; t < num_up(k, 4); t++) {
        const float q = t < k ? rintf(fmaf(turned[t], row.inverse, row.zero)) : 0;
        /* NaN, in a row that is NaN anyway, becomes 0 */
        xq[t] = (uint8_t)fminf(fmaxf(q, 0), INT8_LEVELS);
    }
    return row;
}

/* Output c, bias included; packed: the matrix, or a gated product's second. */
static float output(const struct gemm_shape *shape, const char *packed, const float *bias,
                    const uint8_t *xq, struct int8_row row, size_t c)
{
    const struct int8_layout l = int8_layout(shape->k, shape->n);
    const float *scales = (const float *)(const void *)(packed + l.scales);
    const float *sums = (const float *)(const void *)(packed + l.sums);
    const size_t c0 = c / PANEL * PANEL, width = num_min(PANEL, l.n_up - c0);
    const int8_t *w = (const int8_t *)packed + c0 * l.k4 + (c - c0) * 4;
    int32_t sum = 0;
    for (size_t t = 0; t < l.k4; t += 4, w += 4 * width) {
        sum += xq[t] * w[0] + xq[t + 1] * w[1] + xq[t + 2] * w[2] + xq[t + 3] * w[3];
    }
    const float rest = fmaf(row.shift, sums[c], bias ? bias[c] : 0);
    return fmaf(row.scale, (float)sum * scales[c], rest);
}

static void run_row(const struct gemm_call *call, const uint8_t *xq, struct int8_row row, float *y)
{
    const struct gemm_shape *s = &call->shape;
    const char *packed = call->packed, *second = packed + int8_layout(s->k, s->n).bytes;
    for (size_t c = call->first; c < call->first + call->columns; c++, y++) {
        *y = act_ref(s->act, output(s, packed, call->bias, xq, row, c));
        if (!s->gated) continue;
        *y *= output(s, second, call->bias ? call->bias + s->n : NULL, xq, row, c);
    }
}

static void run(const struct gemm_call *call)
{
    const size_t k = call->shape.k;
    float *turned = call->scratch;
    uint8_t *xq = (uint8_t *)(turned + num_up(k, 4));
    for (size_t r = 0; r < call->rows; r++) {
        const struct int8_row row = round_row(call->x + r * k, k, turned, xq);
        run_row(call, xq, row, call->y + r * call->ldy);
    }
}

/* Multiply-adds of bytes in plain C, in many independent sums. */
static double peak(uint32_t n_rounds, float *sink)
{
    enum { SUMS = 32, REPEAT = 1024 };
    uint8_t a[SUMS];
    int8_t b[SUMS];
    int32_t sum[SUMS] = {0};
    for (int i = 0; i < SUMS; i++) {
        a[i] = (uint8_t)(i + (int)sink[1]);
        b[i] = (int8_t)(i - (int)sink[1]);
    }
    for (uint64_t r = 0; r < (uint64_t)n_rounds * REPEAT; r++) {
        for (int i = 0; i < SUMS; i++) {
            sum[i] = (sum[i] & 0xffff) + a[i] * b[i];
        }
    }
    for (int i = 0; i < SUMS; i++) {
        sink[0] += (float)sum[i];
    }
    return 2.0 * SUMS * REPEAT * n_rounds;
}

const struct gemm_kernel gemm_int8_ref = {
    .layout = "1",
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
    .peak = peak,
};
