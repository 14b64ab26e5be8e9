/* Products in bfloat16, by every variant of kernels.def that this machine can run, chosen or not:
 * the same bits as ref in every corner of float; correct against sums in double; and a row's bits
 * depend on neither the number of rows, nor the row's position, nor the range of outputs, nor the
 * caller's MXCSR. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kern/bf16.h"
#include "kern/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- the variants ---- */

struct candidate {
    const char *name;
    const struct gemm_kernel *kernel;
    enum kern_level level;
};

enum { MOST_VARIANTS = 16 };
static struct candidate variants[MOST_VARIANTS]; /* ref first */
static size_t n_variants;

static void add_candidate(struct candidate v, enum cpu_feature needs)
{
    if (v.level > kern_machine_level() || !cpu_has(needs)) {
        printf("skipped: this machine cannot run %s\n", v.name);
        return;
    }
    assert_true(n_variants < MOST_VARIANTS);
    variants[n_variants++] = v;
}

static int find_variants(void **state)
{
    (void)state;
#define KERNEL(op, LEVEL, level, tolerance, file)
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)                              \
    if (KERN_##PRECISION == KERN_BF16)                                                             \
        add_candidate((struct candidate){#variant, &gemm_##variant, KERN_##LEVEL}, CPU_##NEEDS);
#include "kern/kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
    return 0;
}

/* ---- one product ---- */

struct product {
    struct gemm_shape shape;
    float *w, *bias;
};

struct packed {
    const struct gemm_kernel *kernel;
    const struct product *product;
    void *weights, *scratch;
};

/* What the numbers look like: a kind picks the range of exponents. */
enum kind { PLAIN, CANCELLING, TINY, HUGE_ONES, ANY_BITS, KINDS };

static float number(struct kit_random *r, enum kind kind)
{
    const uint32_t mantissa = kit_below(r, 1u << 23), sign = kit_below(r, 2) << 31;
    uint32_t exponent = 0;
    switch (kind) {
    case PLAIN:
        return kit_normal(r);
    case CANCELLING: /* few distinct values: sums meet zero, and ties */
        return (float)((int)kit_below(r, 5) - 2) * (kit_below(r, 3) ? 1.0f : 0x1.02p-9f);
    case TINY: /* products around 2^-126, denormals among the inputs */
        exponent = kit_below(r, 2) ? kit_below(r, 3) : 58 + kit_below(r, 12);
        break;
    case HUGE_ONES: /* sums that overflow to infinity, and to NaN from both */
        exponent = kit_below(r, 40) ? 175 + kit_below(r, 16) : 250 + kit_below(r, 5);
        break;
    default:
        exponent = kit_below(r, 100) ? kit_below(r, 190) : kit_below(r, 256);
    }
    float x;
    const uint32_t bits = sign | exponent << 23 | mantissa;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void fill(struct kit_random *r, enum kind kind, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = number(r, kind);
    }
}

static struct product product_of(struct kit_random *r, enum kind kind, uint32_t k, uint32_t n,
                                 enum gemm_act act)
{
    const struct product p = {.shape = {k, n, act, false, KERN_BF16},
                              .w = kit_floats((size_t)k * n),
                              .bias = kit_floats(n)};
    fill(r, kind, p.w, (size_t)k * n);
    fill(r, kind, p.bias, n);
    return p;
}

static struct packed packed_by(const struct candidate *v, const struct product *p)
{
    const size_t scratch_bytes = v->kernel->scratch_bytes(&p->shape);
    const struct packed packed = {
        .kernel = v->kernel,
        .product = p,
        .weights = kit_bytes(v->kernel->packed_bytes(&p->shape), 64),
        .scratch = scratch_bytes ? kit_bytes(scratch_bytes, 64) : NULL,
    };
    v->kernel->pack(&p->shape, p->w, packed.weights);
    if (scratch_bytes) memset(packed.scratch, 0xff, scratch_bytes);
    return packed;
}

static void run_range(const struct packed *p, const float *x, uint32_t rows, uint32_t first,
                      uint32_t columns, float *y, size_t ldy)
{
    const struct gemm_call call = {
        .shape = p->product->shape,
        .packed = p->weights,
        .bias = p->product->bias,
        .x = x,
        .y = y,
        .ldy = ldy,
        .first = first,
        .columns = columns,
        .rows = rows,
        .scratch = p->scratch,
    };
    p->kernel->run(&call);
}

static void run(const struct packed *p, const float *x, uint32_t rows, float *y)
{
    run_range(p, x, rows, 0, p->product->shape.n, y, p->product->shape.n);
}

/* Equal bits, or both NaN: which NaN comes out is not promised. */
static bool same(float a, float b)
{
    return bf16_bits(a) == bf16_bits(b) || (isnan(a) && isnan(b));
}

/* ---- tests ---- */

/* Against the definition by distance: no bfloat16 is nearer, and of two at one distance the even
 * one is chosen. */
static void test_round(void **state)
{
    (void)state;
    struct kit_random r = {11};
    for (int i = 0; i < kit_times(300000); i++) {
        float x = number(&r, i % 2 ? ANY_BITS : PLAIN);
        const uint32_t half = (bf16_bits(x) & 0xffff0000) | 0x8000; /* a tie */
        if (i % 4 == 0) memcpy(&x, &half, sizeof x);
        const uint16_t h = bf16_round(x);
        const float got = bf16_widen(h);
        if (isnan(x)) {
            assert_true(isnan(got));
        } else if (!isnormal(x)) {
            assert_true(bf16_bits(got) == bf16_bits(isinf(x) ? x : copysignf(0, x)));
        } else if (isinf(got)) {
            assert_true(fabsf(x) >= 0x1.ffp127f && signbit(x) == signbit(got));
        } else {
            const double off = fabs((double)got - (double)x);
            const double up = fabs((double)bf16_widen((uint16_t)(h + 1)) - (double)x);
            const double down = fabs((double)bf16_widen((uint16_t)(h - 1)) - (double)x);
            assert_true(signbit(x) == signbit(got) && off <= up && off <= down);
            assert_true((off < up && off < down) || h % 2 == 0);
        }
    }
    assert_true(bf16_widen(bf16_round(1.5f)) == 1.5f);
    assert_true(isinf(bf16_widen(bf16_round(0x1.ff8p127f))));
}

/* A product with one input of 1 shows how rows are rounded, in whole vectors and in the rest. */
static void test_rows_rounded(void **state)
{
    (void)state;
    enum { K = 75 };
    struct kit_random r = {12};
    for (size_t i = 0; i < n_variants; i++) {
        struct product p = {{K, K, GEMM_NONE, false, KERN_BF16}, kit_floats(K * K), kit_floats(K)};
        memset(p.w, 0, K * K * sizeof *p.w);
        memset(p.bias, 0, K * sizeof *p.bias);
        for (size_t t = 0; t < K; t++) {
            p.w[t * K + t] = 1.0f;
        }
        const struct packed packed = packed_by(&variants[i], &p);
        float *x = kit_floats(K), *y = kit_floats(K);
        for (int turn = 0; turn < kit_times(3000); turn++) {
            const size_t t = kit_below(&r, K);
            memset(x, 0, K * sizeof *x);
            x[t] = number(&r, turn % 2 ? ANY_BITS : PLAIN);
            run(&packed, x, 1, y);
            assert_true(same(y[t], bf16_widen(bf16_round(x[t])) + 0.0f));
        }
        kit_free();
    }
}

static const uint32_t sizes[][2] = {
    {384, 1152}, {384, 384}, {1536, 384}, {312, 200}, {128, 70}, {33, 57},
    {31, 64},    {64, 16},   {7, 5},      {2, 17},    {1, 1},    {771, 130},
};

/* Every variant, every kind of number, odd counts of everything. */
static void test_equal_bits(void **state)
{
    (void)state;
    struct kit_random r = {13};
    static size_t seen[KINDS][2]; /* NaN, zeros: the kinds do reach their corners */
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const uint32_t k = sizes[s][0], n = sizes[s][1];
        for (enum kind kind = PLAIN; kind < KINDS; kind++) {
            const uint32_t rows = k * n > 100000 ? 13 : 1 + kit_below(&r, 40);
            const size_t n_y = (size_t)rows * n;
            const struct product p = product_of(&r, kind, k, n, GEMM_NONE);
            float *x = kit_floats((size_t)rows * k), *want = kit_floats(n_y), *y = kit_floats(n_y);
            fill(&r, kind, x, (size_t)rows * k);
            const struct packed ref = packed_by(&variants[0], &p);
            run(&ref, x, rows, want);
            for (size_t v = 1; v < n_variants; v++) {
                const struct packed packed = packed_by(&variants[v], &p);
                memset(y, 0x7f, n_y * sizeof *y);
                run(&packed, x, rows, y);
                for (size_t i = 0; i < n_y; i++) {
                    if (!same(y[i], want[i]))
                        fail_msg("%s: %u -> %u, kind %d, row %zu, column %zu: %a, ref says %a",
                                 variants[v].name, k, n, (int)kind, i / n, i % n, (double)y[i],
                                 (double)want[i]);
                }
            }
            for (size_t i = 0; i < n_y; i++) {
                seen[kind][0] += isnan(want[i]);
                seen[kind][1] += want[i] == 0;
            }
            kit_free();
        }
    }
    assert_true(seen[PLAIN][0] == 0 && seen[CANCELLING][1] > 10 && seen[TINY][1] > 10);
    assert_true(seen[HUGE_ONES][0] > 50 && seen[ANY_BITS][0] > 100);
}

/* The sum in double of the rounded numbers' products; with GELU too. */
static void test_values(void **state)
{
    (void)state;
    struct kit_random r = {14};
    double most = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const uint32_t k = sizes[s][0], n = sizes[s][1], rows = 9;
        for (int act = 0; act < 2; act++) {
            const struct product p = product_of(&r, PLAIN, k, n, act ? GEMM_GELU_ERF : GEMM_NONE);
            float *x = kit_floats((size_t)rows * k), *y = kit_floats((size_t)rows * n);
            fill(&r, PLAIN, x, (size_t)rows * k);
            for (size_t v = 0; v < n_variants; v++) {
                const struct packed packed = packed_by(&variants[v], &p);
                run(&packed, x, rows, y);
                for (size_t i = 0; i < (size_t)rows * n; i += 1 + kit_below(&r, 20)) {
                    const float *row = x + i / n * k, *w = p.w + i % n * k;
                    double sum = (double)p.bias[i % n], scale = 1 + fabs(sum);
                    for (uint32_t t = 0; t < k; t++) {
                        const double term = (double)bf16_widen(bf16_round(row[t])) *
                                            (double)bf16_widen(bf16_round(w[t]));
                        sum += term;
                        scale += fabs(term);
                    }
                    const double want = act ? sum / 2 * (1 + erf(sum / sqrt(2))) : sum;
                    const double off = fabs((double)y[i] - want) / scale;
                    if (!(off <= 1e-6))
                        fail_msg("%s: %u -> %u: %.9g is not %.9g", variants[v].name, k, n,
                                 (double)y[i], want);
                    if (off > most) most = off;
                }
            }
            kit_free();
        }
    }
    printf("  bf16: largest error of a product %.2g of its terms' magnitudes\n", most);
}

/* One row among others at a random position, and any range of outputs: the bits it has alone.
 * Weights that are read-only, rows at any alignment. */
static void test_bits(void **state)
{
    (void)state;
    struct kit_random r = {15};
    for (int turn = 0; turn < kit_times(60); turn++) {
        const uint32_t k = sizes[turn % 12][0], n = sizes[turn % 12][1];
        const struct product p = product_of(&r, PLAIN, k, n, turn % 2 ? GEMM_GELU_ERF : GEMM_NONE);
        const size_t v = (size_t)turn % n_variants;
        const uint32_t rows = 1 + kit_below(&r, turn % 3 && variants[v].level ? 500 : 14);
        const uint32_t row = kit_below(&r, rows), shift = kit_below(&r, 16);
        const struct packed packed = packed_by(&variants[v], &p);
        float *x = kit_floats((size_t)rows * k + shift), *alone = kit_floats(k);
        float *y = kit_floats((size_t)rows * n + shift), *want = kit_floats(n);
        fill(&r, PLAIN, x, (size_t)rows * k);
        memcpy(alone, x + (size_t)row * k, k * sizeof *x);
        run(&packed, alone, 1, want);
        run(&packed, x, rows, y);
        assert_memory_equal(y + (size_t)row * n, want, n * sizeof *y);
        const uint32_t first = kit_below(&r, (n + 63) / 64) * 64;
        const uint32_t columns = kit_below(&r, 2) || n - first <= 64
                                     ? n - first
                                     : 64 * (1 + kit_below(&r, (n - first) / 64));
        memset(y, 0x55, (size_t)rows * n * sizeof *y);
        run_range(&packed, x, rows, first, columns, y, n);
        assert_memory_equal(y + (size_t)row * n, want + first, columns * sizeof *y);
        for (uint32_t c = columns; c < n; c++) {
            assert_int_equal(bf16_bits(y[(size_t)row * n + c]), 0x55555555);
        }
        kit_free();
    }
}

/* Where one level has several variants, a machine's choice must not show, with GELU either. */
static void test_variants_of_a_level(void **state)
{
    (void)state;
    struct kit_random r = {16};
    enum { K = 384, N = 200, ROWS = 77 };
    const struct product p = product_of(&r, PLAIN, K, N, GEMM_GELU_ERF);
    float *x = kit_floats(ROWS * K), *y = kit_floats(ROWS * N), *want = kit_floats(ROWS * N);
    fill(&r, PLAIN, x, ROWS * K);
    for (size_t v = 1; v < n_variants; v++) {
        const struct packed packed = packed_by(&variants[v], &p);
        run(&packed, x, ROWS, y);
        if (variants[v].level == variants[v - 1].level) {
            assert_string_equal(variants[v].kernel->layout, variants[v - 1].kernel->layout);
            assert_memory_equal(y, want, ROWS * N * sizeof *y);
        }
        memcpy(want, y, ROWS * N * sizeof *y);
    }
    kit_free();
}

/* A weight, an input or a bias that is NaN or infinite, and weights beyond bfloat16, show in their
 * outputs. */
static void test_nan(void **state)
{
    (void)state;
    struct kit_random r = {17};
    enum { K = 67, N = 83, ROWS = 8 };
    const float bad[] = {NAN, INFINITY, 0x1.fffffep127f};
    for (size_t v = 0; v < n_variants; v++) {
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            const struct product p = product_of(&r, PLAIN, K, N, GEMM_NONE);
            float *x = kit_floats(ROWS * K), *y = kit_floats(ROWS * N);
            fill(&r, PLAIN, x, ROWS * K);
            p.w[40 * K + 66] = bad[b];
            x[3 * K + 66] = bad[b];
            p.bias[82] = NAN;
            const struct packed packed = packed_by(&variants[v], &p);
            run(&packed, x, ROWS, y);
            for (size_t i = 0; i < ROWS * N; i++) {
                const bool touched = i / N == 3 || i % N == 40 || i % N == 82;
                assert_true(isfinite(y[i]) == !touched);
            }
            kit_free();
        }
    }
}

/* Rounding, traps and denormals are the kernel's own for the length of the call, then the caller's. */
static void test_mxcsr(void **state)
{
    (void)state;
#if defined(__x86_64__)
    struct kit_random r = {18};
    enum { K = 50, N = 40, ROWS = 7 };
    const unsigned modes[] = {0x1f80, 0x3f80, 0x5f85, 0x7fbf, 0x9fc0, 0x1f80};
    const struct product p = product_of(&r, TINY, K, N, GEMM_NONE);
    float *x = kit_floats(ROWS * K), *y = kit_floats(ROWS * N), *want = kit_floats(ROWS * N);
    fill(&r, TINY, x, ROWS * K);
    for (size_t v = 0; v < n_variants; v++) {
        if (variants[v].level == KERN_REF) continue; /* plain C: rounds as the caller does */
        const struct packed packed = packed_by(&variants[v], &p);
        run(&packed, x, ROWS, want);
        const unsigned before = _mm_getcsr();
        for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
            _mm_setcsr(modes[m]);
            run(&packed, x, ROWS, y);
            const unsigned after = _mm_getcsr();
            _mm_setcsr(before);
            assert_int_equal(after, modes[m]);
            assert_memory_equal(y, want, ROWS * N * sizeof *y);
        }
    }
    kit_free();
#else
    printf("skipped: no MXCSR outside x86-64\n");
#endif
}

/* Half of float's bytes, except for the padding; and a processor whose dot product is not bf16.h's
 * would be refused the variant that uses it: this one's is. */
static void test_pack(void **state)
{
    (void)state;
    const struct gemm_shape large = {.k = 384, .n = 1536}, small = {.k = 7, .n = 5};
    for (size_t v = 0; v < n_variants; v++) {
        assert_int_equal(variants[v].kernel->packed_bytes(&large), 384 * 1536 * 2);
        assert_true(variants[v].kernel->packed_bytes(&small) <= 8 * 32 * 2);
    }
#if defined(__x86_64__)
    if (cpu_has(CPU_BF16_DOT)) assert_true(bf16_dot_agrees());
#endif
    assert_string_equal(kern_signature(kern_table(KERN_REF), KERN_BF16), "ref bf16 pairs 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),      cmocka_unit_test(test_rows_rounded),
        cmocka_unit_test(test_equal_bits), cmocka_unit_test(test_values),
        cmocka_unit_test(test_bits),       cmocka_unit_test(test_variants_of_a_level),
        cmocka_unit_test(test_nan),        cmocka_unit_test(test_mxcsr),
        cmocka_unit_test(test_pack),
    };
    return kit_end("kern-bf16", sizeof tests / sizeof *tests,
                   cmocka_run_group_tests(tests, find_variants, NULL));
}
