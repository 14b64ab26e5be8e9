/* Products and attention in int8 at the level in VECMILL_ISA: what kern/int8.h and
 * kern/attention_int8.h define, computed again in double; near the product that is not rounded; the
 * worst sums; rows, positions and ranges; values that are not finite. Near ref:
 * test_kern_variants.c. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kern/int8.h"

/* An activation that is rounded to bytes next (gemm_int8_x86.inc), of any steps, against erf. */
#define GELU_TOLERANCE 4.1e-4

static const struct kern *kern;

static const struct gemm_shape shapes[] = {
    {384, 1152, GEMM_NONE, false, KERN_INT8},     {384, 384, GEMM_NONE, false, KERN_INT8},
    {384, 1536, GEMM_GELU_ERF, false, KERN_INT8}, {1536, 384, GEMM_NONE, false, KERN_INT8},
    {312, 1200, GEMM_GELU_ERF, false, KERN_INT8}, {1200, 312, GEMM_NONE, false, KERN_INT8},
    {128, 512, GEMM_NONE, false, KERN_INT8},      {100, 36, GEMM_NONE, false, KERN_INT8},
    {129, 70, GEMM_GELU_ERF, false, KERN_INT8},   {33, 57, GEMM_NONE, false, KERN_INT8},
    {7, 5, GEMM_NONE, false, KERN_INT8},          {1, 1, GEMM_NONE, false, KERN_INT8},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Pairs of products in 16 bits: fewer steps, for which this test has the same numbers as the kernel. */
static bool in_16_bits(void)
{
    return strstr(kern_signature(kern, KERN_INT8), "vnni") == NULL && kern->level != KERN_REF;
}

struct product {
    struct gemm_shape shape;
    void *packed, *scratch;
    size_t bytes;
    float *w, *bias;
};

static void fill(struct kit_random *r, float *to, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = kit_normal(r) * scale;
    }
}

/* The weights of a product, in memory that is read-only from then on. */
static struct product packed(struct gemm_shape shape, float *w, float *bias)
{
    struct product p = {.shape = shape, .w = w, .bias = bias};
    vecmill_err err = {.message = ""};
    if (gemm_packed_bytes(kern, shape, &p.bytes, &err) != VECMILL_OK) fail_msg("%s", err.message);
    p.packed = kit_bytes(p.bytes, 64);
    memset(p.packed, 0x5a, p.bytes);
    gemm_pack(kern, shape, w, p.packed);
    char *page = (char *)((uintptr_t)p.packed & ~(uintptr_t)4095);
    assert_int_equal(mprotect(page, (size_t)((char *)p.packed + p.bytes - page), PROT_READ), 0);
    const size_t scratch_bytes = gemm_scratch_bytes(kern, shape);
    p.scratch = kit_bytes(scratch_bytes, 64);
    memset(p.scratch, 0xff, scratch_bytes);
    return p;
}

static struct product product_open(struct gemm_shape shape, struct kit_random *r)
{
    float *w = kit_floats((size_t)shape.n * shape.k), *bias = kit_floats(shape.n);
    fill(r, w, (size_t)shape.n * shape.k, 1.0f / sqrtf((float)shape.k));
    fill(r, bias, shape.n, 0.3f);
    return packed(shape, w, bias);
}

static void run_range(const struct product *p, const float *x, float *y, size_t ldy, uint32_t rows,
                      uint32_t first, uint32_t columns)
{
    const struct gemm_call call = {
        .shape = p->shape,
        .packed = p->packed,
        .bias = p->bias,
        .x = x,
        .y = y,
        .ldy = ldy,
        .first = first,
        .columns = columns,
        .rows = rows,
        .scratch = p->scratch,
    };
    gemm_run(kern, &call);
}

static void run(const struct product *p, const float *x, float *y, uint32_t rows)
{
    run_range(p, x, y, p->shape.n, rows, 0, p->shape.n);
}

/* in[k] rotated as int8.h defines it, with factors for whole chunks and for the rest. */
static void rotate(const float *in, size_t k, float whole, float rest, float *out)
{
    for (size_t t = 0; t < k; t += INT8_CHUNK) {
        if (k - t >= INT8_CHUNK) {
            int8_rotate(in + t, out + t);
            for (size_t i = 0; i < INT8_CHUNK; i++) {
                out[t + i] *= whole;
            }
        } else {
            for (size_t i = t; i < k; i++) {
                out[i] = in[i] * rest;
            }
        }
    }
}

/* ---- values ---- */

/* One output in double from the rounded numbers, which are found here once more; *size: the sum of the
 * magnitudes that go into it. */
static double rounded_product(const struct product *p, const float *x, size_t c, double *size)
{
    const size_t k = p->shape.k;
    const int levels = in_16_bits() ? INT8_LEVELS_16BIT : INT8_LEVELS;
    const int most = in_16_bits() ? INT8_MOST_16BIT : INT8_MOST;
    float *xr = malloc(k * sizeof *xr), *wr = malloc(k * sizeof *wr), high = 0, low = 0, large = 0;
    rotate(x, k, 1, 4, xr);
    rotate(p->w + c * k, k, 0.0625f, 0.25f, wr);
    for (size_t t = 0; t < k; t++) {
        high = fmaxf(high, xr[t]);
        low = fminf(low, xr[t]);
        large = fmaxf(large, fabsf(wr[t]));
    }
    const float inverse = (float)levels / (high - low), zero = rintf(-low * inverse);
    double v = (double)p->bias[c];
    *size = 1 + fabs(v);
    for (size_t t = 0; t < k; t++) {
        const float q = fminf(fmaxf(rintf(fmaf(xr[t], inverse, zero)), 0), 255) - zero;
        const double term = (double)q * (double)rintf(wr[t] * ((float)most / large)) *
                            (double)((high - low) / (float)levels) * (double)(large / (float)most);
        v += term;
        *size += fabs(term);
    }
    free(xr);
    free(wr);
    return p->shape.act == GEMM_GELU_ERF ? v / 2 * (1 + erf(v / sqrt(2))) : v;
}

static void test_values(void **state)
{
    (void)state;
    struct kit_random r = {11};
    double most = 0;
    for (size_t i = 0; i < N_SHAPES; i++) {
        struct product p = product_open(shapes[i], &r);
        const size_t k = shapes[i].k, n = shapes[i].n, rows = 13;
        float *x = kit_floats(rows * k), *y = kit_floats(rows * n);
        fill(&r, x, rows * k, 1.0f);
        for (size_t t = 0; t < k; t++) {
            x[t] = fabsf(x[t]) + 0.5f;  /* a row without a negative value, and */
            x[k + t] = -x[t] * 1000.0f; /* one without a positive one */
        }
        run(&p, x, y, (uint32_t)rows);
        for (size_t row = 0; row < rows; row += row < 2 ? 1 : 5) {
            for (size_t c = 0; c<n; c += n> 200 ? 37 : 1) {
                double size;
                const double want = rounded_product(&p, x + row * k, c, &size);
                const double off = fabs((double)y[row * n + c] - want) / size;
                const double allowed = shapes[i].act == GEMM_NONE ? 2e-6 : GELU_TOLERANCE;
                if (!(off <= allowed))
                    fail_msg("%zu x %zu, row %zu, column %zu: %.9g is not %.9g", k, n, row, c,
                             (double)y[row * n + c], want);
                if (shapes[i].act == GEMM_NONE) most = fmax(most, off);
            }
        }
        kit_free();
    }
    printf("  %s: largest error of an int8 product %.2g of its terms' magnitudes\n", kern->name,
           most);
}

/* How far rounding carries a product away from what it rounds: the error's root mean square over the
 * output's, normal inputs with a few that are thirty times as large. */
static void test_accuracy(void **state)
{
    (void)state;
    struct kit_random r = {12};
    for (size_t i = 0; i < 7; i++) {
        struct gemm_shape shape = shapes[i];
        shape.act = GEMM_NONE;
        struct product p = product_open(shape, &r);
        const size_t k = shape.k, n = shape.n, rows = 12;
        float *x = kit_floats(rows * k), *y = kit_floats(rows * n);
        fill(&r, x, rows * k, 1.0f);
        for (size_t row = 0; row < rows; row++) {
            x[row * k + 17] *= 30.0f;
            x[row * k + 100] *= 30.0f;
        }
        run(&p, x, y, (uint32_t)rows);
        double error = 0, size = 0;
        for (size_t j = 0; j < rows * n; j++) {
            double want = (double)p.bias[j % n];
            for (size_t t = 0; t < k; t++) {
                want += (double)x[j / n * k + t] * (double)p.w[j % n * k + t];
            }
            error += ((double)y[j] - want) * ((double)y[j] - want);
            size += want * want;
        }
        const double share = sqrt(error / size);
        printf("  %s: %zu x %zu off by %.4f of its size\n", kern->name, k, n, share);
        assert_true(share < (in_16_bits() ? 0.03 : 0.02));
        kit_free();
    }
}

/* Every rounded input and weight at its end, of both signs: the largest sums there are. 8 of 128 that are
 * not zero come out of the rotation as 128 alike. */
static void worst(uint32_t k)
{
    const struct gemm_shape shape = {k, 3, GEMM_NONE, false, KERN_INT8};
    float *w = kit_floats(3 * (size_t)k), *bias = kit_floats(3), *x = kit_floats(2 * (size_t)k);
    float y[6];
    for (size_t t = 0; t < k; t++) {
        const bool whole = k - t / INT8_CHUNK * INT8_CHUNK >= INT8_CHUNK;
        const float one = !whole || t % INT8_CHUNK < 8 ? 1 : 0;
        w[t] = one * (whole ? 1 : 0.25f); /* rotated: 1/16 throughout */
        w[k + t] = -w[t];
        w[2 * k + t] = 0;
        x[t] = one * (whole ? 1 : 0.25f); /* rotated: 1 throughout */
        x[k + t] = -x[t];
    }
    memset(bias, 0, 3 * sizeof *bias);
    struct product p = packed(shape, w, bias);
    run(&p, x, y, 2);
    const float want = (float)k / 16;
    for (int i = 0; i < 6; i++) {
        const float right = i % 3 == 2 ? 0 : (i == 0 || i == 4) ? want : -want;
        if (!(fabsf(y[i] - right) <= want * 1e-6f))
            fail_msg("%u inputs: output %d is %.9g, not %.9g", k, i, (double)y[i], (double)right);
    }
    kit_free();
}

static void test_worst_sums(void **state)
{
    (void)state;
    static const uint32_t all[] = {1, 2, 3, 4, 100, 128, 384, 500, 4096, 16384, INT8_MOST_K};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        worst(all[i]);
    }
    vecmill_err err = {.message = ""};
    size_t bytes = 17;
    const struct gemm_shape over = {INT8_MOST_K + 1, 8, GEMM_NONE, false, KERN_INT8};
    assert_int_equal(gemm_packed_bytes(kern, over, &bytes, &err), VECMILL_E_MODEL);
    assert_int_equal(bytes, 17);
    assert_non_null(strstr(err.message, "66312"));
}

/* A zero point that is rounded up carries the highest input one step beyond the last. */
static void test_carried(void **state)
{
    (void)state;
    enum { K = 96, N = 16, ROWS = 200 };
    struct kit_random r = {14};
    const struct gemm_shape shape = {K, N, GEMM_NONE, false, KERN_INT8};
    float *w = kit_floats(K * N), *bias = kit_floats(N), *x = kit_floats(ROWS * K),
          *y = kit_floats(ROWS * N);
    memset(bias, 0, N * sizeof *bias);
    for (int i = 0; i < K * N; i++) {
        w[i] = 1;
    }
    for (int i = 0; i < ROWS * K; i++) {
        x[i] = i % K ? 1 : -kit_unit(&r) * kit_unit(&r);
    }
    struct product p = packed(shape, w, bias);
    run(&p, x, y, ROWS);
    for (int row = 0; row < ROWS; row++) {
        double size;
        const double want = rounded_product(&p, x + row * K, 0, &size);
        assert_true(fabs((double)y[row * N] - want) < 2e-6 * size);
    }
    kit_free();
}

/* ---- bits ---- */

static void test_bits(void **state)
{
    (void)state;
    struct kit_random r = {15};
    const uint32_t most = kern->level == KERN_REF ? 20 : 300;
    for (size_t i = 0; i < N_SHAPES; i++) {
        const size_t k = shapes[i].k, n = shapes[i].n;
        struct product p = product_open(shapes[i], &r);
        float *own = kit_floats(k), *want = kit_floats(n);
        fill(&r, own, k, 1.0f);
        run(&p, own, want, 1);
        for (int turn = 0; turn < kit_times(40); turn++) {
            const uint32_t rows = 1 + kit_below(&r, turn < 20 ? 20 : most),
                           row = kit_below(&r, rows);
            float *x = kit_floats(rows * k), *y = kit_floats(rows * n);
            fill(&r, x, rows * k, 5.0f);
            memcpy(x + row * k, own, k * sizeof *x);
            run(&p, x, y, rows);
            assert_memory_equal(y + row * n, want, n * sizeof *want);
        }
        kit_free();
    }
}

/* Ranges of outputs: the same bits, and nothing between the rows is written. */
static void test_ranges(void **state)
{
    (void)state;
    struct kit_random r = {16};
    for (size_t i = 0; i < N_SHAPES; i++) {
        const uint32_t k = shapes[i].k, n = shapes[i].n, rows = 14;
        struct product p = product_open(shapes[i], &r);
        float *x = kit_floats((size_t)rows * k), *want = kit_floats((size_t)rows * n);
        fill(&r, x, (size_t)rows * k, 1.0f);
        run(&p, x, want, rows);
        for (uint32_t first = 0; first < n; first += GEMM_PANEL * (1 + kit_below(&r, 3))) {
            const uint32_t panels = 1 + kit_below(&r, 4);
            const uint32_t columns = (uint32_t)num_min(n - first, panels * (size_t)GEMM_PANEL);
            const size_t ldy = columns + 3;
            float *y = kit_floats((rows - 1) * ldy + columns);
            memset(y, 0x55, ((rows - 1) * ldy + columns) * sizeof *y);
            run_range(&p, x, y, ldy, rows, first, columns);
            for (size_t row = 0; row < rows; row++) {
                assert_memory_equal(y + row * ldy, want + row * n + first, columns * sizeof *y);
                for (size_t c = columns; row + 1 < rows && c < ldy; c++) {
                    assert_memory_equal(y + row * ldy + c, "\x55\x55\x55\x55", 4);
                }
            }
        }
        kit_free();
    }
}

/* The packed bytes are all written, and always the same. */
static void test_packed(void **state)
{
    (void)state;
    struct kit_random r = {17};
    for (size_t i = 0; i < N_SHAPES; i++) {
        struct product p = product_open(shapes[i], &r);
        void *again = kit_bytes(p.bytes, 64);
        memset(again, 0xa5, p.bytes);
        gemm_pack(kern, shapes[i], p.w, again);
        assert_memory_equal(again, p.packed, p.bytes);
        const size_t floats = (size_t)shapes[i].k * shapes[i].n * sizeof(float);
        if (floats > 65536) assert_true(p.bytes < floats * 3 / 10);
        kit_free();
    }
}

/* ---- not finite ---- */

static void test_not_finite(void **state)
{
    (void)state;
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
    struct kit_random r = {18};
    for (size_t i = 0; i < N_SHAPES; i++) {
        const size_t k = shapes[i].k, n = shapes[i].n, rows = 11;
        struct product p = product_open(shapes[i], &r);
        float *x = kit_floats(rows * k), *y = kit_floats(rows * n), *want = kit_floats(rows * n);
        fill(&r, x, rows * k, 1.0f);
        run(&p, x, want, (uint32_t)rows);
        for (size_t turn = 0; turn < 12; turn++) {
            const size_t row = kit_below(&r, (uint32_t)rows), t = kit_below(&r, (uint32_t)k);
            const float before = x[row * k + t];
            x[row * k + t] = values[turn % 4];
            run(&p, x, y, (uint32_t)rows);
            for (size_t j = 0; j < rows * n; j++) {
                if (j / n == row) {
                    assert_true(isnan(y[j]));
                } else {
                    assert_memory_equal(&y[j], &want[j], sizeof *y);
                }
            }
            x[row * k + t] = before;
        }
        const size_t c = kit_below(&r, (uint32_t)n), t = kit_below(&r, (uint32_t)k);
        p.w[c * k + t] = values[i % 4];
        p = packed(shapes[i], p.w, p.bias);
        run(&p, x, y, (uint32_t)rows);
        for (size_t j = 0; j < rows * n; j++) {
            if (j % n == c) {
                assert_true(isnan(y[j]));
            } else {
                assert_memory_equal(&y[j], &want[j], sizeof *y);
            }
        }
        kit_free();
    }
}

/* Values near the ends of float: finite where a float product is, or not finite at all; zeros are zeros. */
static void test_extremes(void **state)
{
    (void)state;
    enum { K = 256, N = 20, ROWS = 4 };
    struct kit_random r = {19};
    struct product p = product_open((struct gemm_shape){K, N, GEMM_NONE, false, KERN_INT8}, &r);
    float *x = kit_floats(ROWS * K), *y = kit_floats(ROWS * N);
    fill(&r, x, ROWS * K, 1.0f);
    for (int t = 0; t < K; t++) {
        x[t] *= 1e30f;
        x[K + t] *= 1e-38f;
        x[2 * K + t] = 0;
        x[3 * K + t] = t % 2 ? 3e38f : -3e38f;
    }
    run(&p, x, y, ROWS);
    for (int c = 0; c < N; c++) {
        assert_true(isfinite(y[c]) && fabsf(y[c]) > 1e26f);
        assert_true(y[N + c] == p.bias[c] && y[2 * N + c] == p.bias[c]);
        assert_false(isfinite(y[3 * N + c]));
    }
    kit_free();
}

/* ---- attention ---- */

static void *scratch_of(const struct kern *level, uint32_t longest, uint32_t d, int garbage)
{
    const size_t bytes = kit_attention_bytes(level, KERN_INT8, longest, d);
    void *scratch = kit_bytes(bytes, 64);
    memset(scratch, garbage, bytes);
    return scratch;
}

static void attend(const struct kern *level, enum kern_precision precision, const float *qkv,
                   uint32_t len, uint32_t heads, uint32_t d, float *ctx)
{
    const size_t bytes = kit_attention_bytes(level, precision, len, d);
    void *scratch = kit_bytes(bytes, 64);
    memset(scratch, 0xff, bytes);
    kit_attention(level, precision, qkv, len, heads, d, ctx, scratch);
}

/* Against float, as far as rounding may carry. */
static void test_attention_values(void **state)
{
    (void)state;
    static const uint32_t widths[] = {32, 64, 8, 24, 40, 128, 33, 7, 80};
    struct kit_random r = {20};
    double most = 0;
    for (int turn = 0; turn < kit_times(60); turn++) {
        const uint32_t d = widths[turn % 9], heads = 1 + kit_below(&r, 2);
        const uint32_t len = 1 + kit_below(&r, turn % 3 ? 90 : 300);
        const size_t h = (size_t)heads * d, n_qkv = len * 3 * h, n = len * h;
        float *qkv = kit_floats(n_qkv), *ctx = kit_floats(n), *exact = kit_floats(n);
        fill(&r, qkv, n_qkv, turn % 2 ? 1.0f : 2.0f);
        for (size_t i = 0; i < n_qkv; i++) {
            qkv[i] += i % 7 == 0 ? 3.0f : 0; /* columns that have a middle */
        }
        attend(kern, KERN_INT8, qkv, len, heads, d, ctx);
        attend(kern_table(KERN_REF), KERN_FP32, qkv, len, heads, d, exact);
        double error = 0, size = 0;
        for (size_t i = 0; i < n; i++) {
            error += pow((double)ctx[i] - (double)exact[i], 2);
            size += pow((double)exact[i], 2);
        }
        most = fmax(most, sqrt(error / size));
        kit_free();
    }
    printf("  %s: int8 attention off by at most %.4f of its size\n", kern->name, most);
    assert_true(most < 0.03);
}

static void test_attention_ref(void **state)
{
    (void)state;
    struct kit_random r = {21};
    if (in_16_bits()) {
        printf("  skipped: %s has attention in float\n", kern->name);
        skip();
    }
    for (uint32_t len = 32; len < 200; len += 1 + len / 12) {
        enum { HEADS = 2, D = 32, H = HEADS * D };
        float *qkv = kit_floats((size_t)len * 3 * H), *ctx = kit_floats((size_t)len * H);
        float *want = kit_floats((size_t)len * H);
        fill(&r, qkv, (size_t)len * 3 * H, 2.5f);
        attend(kern, KERN_INT8, qkv, len, HEADS, D, ctx);
        attend(kern_table(KERN_REF), KERN_INT8, qkv, len, HEADS, D, want);
        assert_memory_equal(ctx, want, (size_t)len * H * sizeof *ctx);
        kit_free();
    }
}

/* Neighbours, garbage and size of scratch, position; and ranges of queries and heads. */
static void test_attention_bits(void **state)
{
    (void)state;
    struct kit_random r = {22};
    for (int turn = 0; turn < kit_times(60); turn++) {
        static const uint32_t widths[] = {32, 64, 8, 24, 40, 128};
        const uint32_t d = widths[turn % 6], heads = 1 + kit_below(&r, 3);
        const uint32_t len = 1 + kit_below(&r, turn % 2 ? 70 : 300);
        const size_t h = (size_t)heads * d, n_qkv = len * 3 * h, n_ctx = len * h, gap = 40;
        float *alone = kit_floats(n_qkv), *want = kit_floats(n_ctx);
        fill(&r, alone, n_qkv, 2.0f);
        kit_attention(kern, KERN_INT8, alone, len, heads, d, want, scratch_of(kern, len, d, 0x00));
        float *qkv = kit_floats(gap + n_qkv + gap), *ctx = kit_floats(gap + n_ctx + gap);
        memset(qkv, turn % 2 ? 0xff : 0x7e, (n_qkv + 2 * gap) * sizeof *qkv);
        memset(ctx, 0x55, (n_ctx + 2 * gap) * sizeof *ctx);
        memcpy(qkv + gap, alone, n_qkv * sizeof *qkv);
        const uint32_t n_queries = 1 + kit_below(&r, len), first = kit_below(&r, heads);
        struct attention_call call =
            kit_call(qkv + gap, len, heads, d, ctx + gap,
                     scratch_of(kern, len + (uint32_t)(turn % 3) * 17, d, 0xff));
        call.n_queries = n_queries;
        call.first_head = first;
        call.n_heads = 1 + kit_below(&r, heads - first);
        attention_run(kern, KERN_INT8, &call);
        for (size_t i = 0; i < n_ctx + 2 * gap; i++) {
            const size_t at = i - gap, head = at % h / d;
            const bool ours = i >= gap && at < n_queries * h && head >= call.first_head &&
                              head < call.first_head + call.n_heads;
            assert_memory_equal(ctx + i, ours ? (const char *)(want + at) : "\x55\x55\x55\x55", 4);
        }
        kit_free();
    }
}

/* NaN or infinity in a query: its row; in a key: every row of the head; in a value: its column; the
 * other head has its bits. */
static void test_attention_not_finite(void **state)
{
    (void)state;
    enum { HEADS = 2, D = 32, H = HEADS * D, LEN = 75 };
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
    struct kit_random r = {23};
    float *qkv = kit_floats(LEN * 3 * H), *ctx = kit_floats(LEN * H), *want = kit_floats(LEN * H);
    fill(&r, qkv, LEN * 3 * H, 1.0f);
    attend(kern, KERN_INT8, qkv, LEN, HEADS, D, want);
    for (int turn = 0; turn < 24; turn++) {
        const uint32_t row = kit_below(&r, LEN), t = kit_below(&r, D);
        float *at = qkv + (size_t)row * 3 * H + (size_t)(turn % 3) * H + t;
        const float before = *at;
        *at = values[turn % 4];
        attend(kern, KERN_INT8, qkv, LEN, HEADS, D, ctx);
        for (size_t i = 0; i < LEN * H; i++) {
            const bool own = i % H < D;
            if (own && turn % 3 == 0 && i / H == row) assert_true(isnan(ctx[i]));
            if (own && turn % 3 == 1 && isnan(*at)) assert_true(isnan(ctx[i]));
            if (own && turn % 3 == 2 && i % H == t) assert_false(isfinite(ctx[i]));
            if (!own) assert_memory_equal(ctx + i, want + i, sizeof *ctx);
        }
        *at = before;
    }
    kit_free();
}

/* Scores that overflow show; scores that are merely large pick the highest key, without NaN. */
static void test_attention_large(void **state)
{
    (void)state;
    enum { D = 16, LEN = 45 };
    static const float sizes[] = {90, 1e4f, 1e15f, 1e25f};
    float *qkv = kit_floats(LEN * 3 * D), *ctx = kit_floats(LEN * D);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        memset(qkv, 0, LEN * 3 * D * sizeof *qkv);
        for (int i = 0; i < LEN; i++) {
            float *row = qkv + (size_t)i * 3 * D;
            row[0] = i % 2 ? sizes[s] : -sizes[s];
            row[D] = (float)(i - LEN / 2) * sizes[s];
            for (int t = 0; t < D; t++) {
                row[2 * D + t] = (float)(i + 1);
            }
        }
        attend(kern, KERN_INT8, qkv, LEN, 1, D, ctx);
        for (int i = 0; i < LEN * D; i++) {
            const float want = (i / D) % 2 ? LEN : 1;
            if (sizes[s] < 1e20f ? !(fabsf(ctx[i] - want) < 1e-4f) : isfinite(ctx[i]))
                fail_msg("scores of %g: value %d is %g", (double)sizes[s], i, (double)ctx[i]);
        }
    }
    kit_free();
}

/* Many keys that weigh less than half a step each, next to one that weighs 255: their sum is
 * kept. */
static void test_attention_small_weights(void **state)
{
    (void)state;
    enum { D = 16, LEN = 480 };
    float *qkv = kit_floats(LEN * 3 * D), *ctx = kit_floats(LEN * D);
    for (double share = 0.1; share < 3; share *= 1.7) {
        memset(qkv, 0, LEN * 3 * D * sizeof *qkv);
        for (int i = 0; i < LEN; i++) {
            qkv[i * 3 * D] = 1;
            qkv[i * 3 * D + D] = i ? 0 : (float)(4 * log(255 / share));
            qkv[i * 3 * D + 2 * D] = i ? 1 : 0;
        }
        attend(kern, KERN_INT8, qkv, LEN, 1, D, ctx);
        const double rest = (LEN - 1) * share, want = rest / (rest + 255);
        if (!(fabs((double)ctx[0] - want) < 0.05))
            fail_msg("weights of %.2f steps sum to %.4f, not %.4f", share, (double)ctx[0], want);
    }
    kit_free();
}

static void test_attention_scratch(void **state)
{
    (void)state;
    const size_t at512 = kit_attention_bytes(kern, KERN_INT8, 512, 64),
                 at8192 = kit_attention_bytes(kern, KERN_INT8, 8192, 64);
    assert_true(at8192 <= 16 * at512 + 4096);
    assert_int_equal(kit_attention_bytes(kern, KERN_INT8, 1, 8) % 64, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_worst_sums),
        cmocka_unit_test(test_carried),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_attention_values),
        cmocka_unit_test(test_attention_ref),
        cmocka_unit_test(test_attention_bits),
        cmocka_unit_test(test_attention_not_finite),
        cmocka_unit_test(test_attention_large),
        cmocka_unit_test(test_attention_small_weights),
        cmocka_unit_test(test_attention_scratch),
    };
    kern = kit_kern();
    char name[40];
    snprintf(name, sizeof name, "kern-int8-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, NULL, NULL));
}
