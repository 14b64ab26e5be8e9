/* The row kernels at the level in VECMILL_ISA: rows that do not depend on each other, a row without variance,
 * and the order of the mean's sum. Values: test_kern_variants.c. */
#include "kern_kit.h"

#include <stdio.h>
#include <string.h>

static const struct kern *kern;

static void fill(struct kit_random *r, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = kit_normal(r);
    }
}

static void add_norm(float *x, const float *add, const float *gamma, const float *beta, uint32_t n,
                     uint32_t h)
{
    const struct norm_call call = {.kind = NORM_LAYER,
                                   .eps = 1e-12f,
                                   .gamma = gamma,
                                   .beta = beta,
                                   .x = x,
                                   .add = add,
                                   .out = x,
                                   .n = n,
                                   .h = h};
    kern->norm(&call);
}

/* A row among others, at any alignment, has the bits that it has alone. */
static void test_rows_alone(void **state)
{
    (void)state;
    struct kit_random r = {12};
    for (int turn = 0; turn < kit_times(120); turn++) {
        const uint32_t h = 1 + kit_below(&r, turn % 2 ? 70 : 1024), n = 1 + kit_below(&r, 20);
        const size_t all = (size_t)n * h;
        float *y = kit_floats(all), *gamma = kit_floats(h), *beta = kit_floats(h);
        float *x = kit_floats(all);
        fill(&r, y, all);
        fill(&r, x, all);
        fill(&r, gamma, h);
        fill(&r, beta, h);
        float *alone = kit_copy(x, all);
        add_norm(x, y, gamma, beta, n, h);
        for (uint32_t i = 0; i < n; i++) {
            add_norm(alone + (size_t)i * h, y + (size_t)i * h, gamma, beta, 1, h);
        }
        assert_memory_equal(alone, x, all * sizeof *x);
        kit_free();
    }
}

/* A constant row: the variance is zero except for eps, and the result is beta. */
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
    add_norm(x, y, gamma, beta, 1, H);
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
        cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_constant_row),
        cmocka_unit_test(test_pool_order),
    };
    kern = kit_kern();
    char name[32];
    snprintf(name, sizeof name, "kern-ops-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, NULL, NULL));
}
