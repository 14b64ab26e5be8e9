/* Every line of kernels.def at the level in VECMILL_ISA against ref, within the line's tolerance, on
 * random shapes in memory that ends at guard pages; and rows that do not depend on each other. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct kern *kern, *ref;

static void fill(struct kit_random *r, float *to, size_t n, float scale, float offset)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = kit_normal(r) * scale + offset;
    }
}

static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(x[i]));
    }
    return most;
}

/* Widths that encoders have, and any others: below, at and beside every vector width. */
static uint32_t random_width(struct kit_random *r)
{
    static const uint32_t usual[] = {8, 32, 128, 312, 384, 768, 1024};
    if (kit_below(r, 3) == 0) return usual[kit_below(r, sizeof usual / sizeof *usual)];
    return 1 + kit_below(r, kit_below(r, 2) ? 70 : 1024);
}

static float random_scale(struct kit_random *r)
{
    static const float scales[] = {1e-4f, 0.02f, 1, 30, 1e4f};
    return scales[kit_below(r, sizeof scales / sizeof *scales)];
}

static void check_embed_norm(double tolerance)
{
    struct kit_random r = {11};
    for (int turn = 0; turn < kit_times(120); turn++) {
        const uint32_t h = random_width(&r), n = 1 + kit_below(&r, 20), vocab = 5;
        const float scale = random_scale(&r);
        float *word = kit_floats((size_t)vocab * h), *position = kit_floats((size_t)n * h);
        float *type0 = kit_floats(h), *gamma = kit_floats(h), *beta = kit_floats(h);
        float *got = kit_floats((size_t)n * h), *want = kit_floats((size_t)n * h);
        int32_t *ids = kit_bytes(n * sizeof *ids, sizeof *ids);
        fill(&r, word, (size_t)vocab * h, scale, 0);
        fill(&r, position, (size_t)n * h, scale, 0);
        fill(&r, type0, h, scale, 0);
        fill(&r, gamma, h, 0.3f, 1);
        fill(&r, beta, h, 0.3f, 0);
        for (uint32_t i = 0; i < n; i++) {
            ids[i] = (int32_t)kit_below(&r, vocab);
        }
        kern->embed_norm(ids, n, word, position, type0, gamma, beta, 1e-12f, h, got);
        ref->embed_norm(ids, n, word, position, type0, gamma, beta, 1e-12f, h, want);
        kit_near("embed_norm", got, want, (size_t)n * h,
                 tolerance * (1 + (double)largest(want, (size_t)n * h)));
        kit_free();
    }
}

static void check_add_norm(double tolerance)
{
    struct kit_random r = {12};
    for (int turn = 0; turn < kit_times(120); turn++) {
        const uint32_t h = random_width(&r), n = 1 + kit_below(&r, 20);
        const size_t all = (size_t)n * h;
        const float scale = random_scale(&r);
        float *y = kit_floats(all), *gamma = kit_floats(h), *beta = kit_floats(h);
        float *got = kit_floats(all);
        fill(&r, y, all, scale, 0);
        fill(&r, got, all, scale, kit_below(&r, 2) ? scale : 0);
        fill(&r, gamma, h, 0.3f, 1);
        fill(&r, beta, h, 0.3f, 0);
        float *want = kit_copy(got, all), *alone = kit_copy(got, all);
        kern->add_norm(got, y, gamma, beta, 1e-12f, n, h);
        ref->add_norm(want, y, gamma, beta, 1e-12f, n, h);
        kit_near("add_norm", got, want, all, tolerance * (1 + (double)largest(want, all)));
        for (uint32_t i = 0; i < n; i++) {
            kern->add_norm(alone + (size_t)i * h, y + (size_t)i * h, gamma, beta, 1e-12f, 1, h);
        }
        assert_memory_equal(alone, got, all * sizeof *got);
        kit_free();
    }
}

static void check_pool_mean(double tolerance)
{
    struct kit_random r = {13};
    for (int turn = 0; turn < kit_times(120); turn++) {
        const uint32_t h = random_width(&r), n = 1 + kit_below(&r, 300);
        float *x = kit_floats((size_t)n * h), *got = kit_floats(h), *want = kit_floats(h);
        fill(&r, x, (size_t)n * h, random_scale(&r), 0);
        kern->pool_mean(x, n, h, got);
        ref->pool_mean(x, n, h, want);
        kit_near("pool_mean", got, want, h, tolerance);
        kit_free();
    }
}

static void check_normalize(double tolerance)
{
    struct kit_random r = {14};
    for (int turn = 0; turn < kit_times(200); turn++) {
        const uint32_t h = random_width(&r);
        float *got = kit_floats(h);
        fill(&r, got, h, random_scale(&r), 0);
        if (turn == 0) memset(got, 0, h * sizeof *got); /* stays zero: no division by nothing */
        float *want = kit_copy(got, h);
        kern->normalize(got, h);
        ref->normalize(want, h);
        kit_near("normalize", got, want, h, tolerance);
        kit_free();
    }
}

/* Scores of random queries and keys: about normal, so that rows are neither flat nor one-hot. The error
 * of a score grows with its size, and a value's weight with the exponential of it. */
static void check_attention(double tolerance)
{
    struct kit_random r = {15};
    for (int turn = 0; turn < kit_times(80); turn++) {
        static const uint32_t widths[] = {32, 64, 8, 16, 24, 40, 128, 1, 7, 33};
        const uint32_t d = widths[turn % 10], heads = 1 + kit_below(&r, 3);
        const uint32_t len = turn < 40 ? (uint32_t)turn + 1 : 1 + kit_below(&r, 600 / heads);
        const size_t h = (size_t)heads * d;
        const float scale = turn % 3 ? 1.0f : 4.0f;
        float *qkv = kit_floats(len * 3 * h), *got = kit_floats(len * h),
              *want = kit_floats(len * h);
        fill(&r, qkv, len * 3 * h, scale, 0);
        kit_attention(kern, KERN_FP32, qkv, len, heads, d, got,
                      kit_bytes(attention_bytes(kern, KERN_FP32, len, d), 64));
        kit_attention(ref, KERN_FP32, qkv, len, heads, d, want,
                      kit_bytes(attention_bytes(ref, KERN_FP32, len, d), 64));
        const double scores = 6.0 * (double)(scale * scale);
        kit_near("attention", got, want, len * h,
                 tolerance * (1 + scores) * (double)largest(want, len * h));
        kit_free();
    }
}

static const struct {
    const char *op, *file;
    enum kern_level level;
    enum kern_precision precision;
    double tolerance;
    void (*check)(double tolerance);
} variants[] = {
#define KERNEL(name, LEVEL, unused, bound, where)                                                  \
    {.op = #name, .file = where, .level = KERN_##LEVEL, .tolerance = bound, .check = check_##name},
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, bound, where)                                  \
    {.op = "attention",                                                                            \
     .file = where,                                                                                \
     .level = KERN_##LEVEL,                                                                        \
     .precision = KERN_##PRECISION,                                                                \
     .tolerance = bound,                                                                           \
     .check = check_attention},
#define GEMM(PRECISION, LEVEL, variant, NEEDS, bound, where)
#include "kern/kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
};

static void test_every_variant(void **state)
{
    (void)state;
    int n_checked = 0;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        /* Other precisions: test_kern_bf16.c, test_kern_bf16_attention.c, test_kern_int8.c. */
        if (variants[i].level != kern->level || variants[i].precision != KERN_FP32) continue;
        printf("  %s (%s), tolerance %.2g\n", variants[i].op, variants[i].file,
               variants[i].tolerance);
        variants[i].check(variants[i].tolerance);
        n_checked++;
    }
    assert_int_equal(n_checked, 5);
}

/* A constant row: the variance is zero but for eps, and the result is beta. */
static void test_constant_row(void **state)
{
    (void)state;
    enum { H = 72 };
    float *x = kit_floats(H), *y = kit_floats(H), *gamma = kit_floats(H), *beta = kit_floats(H);
    for (int c = 0; c < H; c++) {
        x[c] = 3.0f;
        y[c] = 1.5f;
        gamma[c] = 2.0f;
        beta[c] = (float)c;
    }
    kern->add_norm(x, y, gamma, beta, 1e-12f, 1, H);
    assert_memory_equal(x, beta, H * sizeof *x);
    kit_free();
}

/* Ascending rows first: 1e8 + 1 + ... in float is the same wherever it is summed in the same order. */
static void test_pool_order(void **state)
{
    (void)state;
    enum { H = 19, N = 40 };
    float *x = kit_floats(N * H), *got = kit_floats(H);
    float want = 1e8f;
    for (int i = 0; i < N * H; i++) {
        x[i] = i < H ? 1e8f : 3.0f;
    }
    for (int i = 1; i < N; i++) {
        want += 3.0f;
    }
    kern->pool_mean(x, N, H, got);
    for (int c = 0; c < H; c++) {
        assert_true(got[c] == want / N);
    }
    kit_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_variant),
        cmocka_unit_test(test_constant_row),
        cmocka_unit_test(test_pool_order),
    };
    kern = kit_kern();
    ref = kern_table(KERN_REF);
    char name[32];
    snprintf(name, sizeof name, "kern-ops-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, NULL, NULL));
}
