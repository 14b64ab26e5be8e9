/* The activations of matrix products at the level in VECMILL_ISA, against their formulas in double:
 * floats of every magnitude and sign, zeros, denormals, NaN and infinities. They are asked through a
 * product of one input, whose weights are 1: its sums are its inputs. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4096 };

static const struct kern *kern;
static void *packed, *scratch;

static struct gemm_shape shape_of(enum gemm_act act)
{
    return (struct gemm_shape){.k = 1, .n = 1, .act = act, .precision = KERN_FP32};
}

static void activate(enum gemm_act act, const float *x, float *y, uint32_t rows)
{
    const struct gemm_call call = {
        .shape = shape_of(act),
        .packed = packed,
        .x = x,
        .y = y,
        .ldy = 1,
        .columns = 1,
        .rows = rows,
        .scratch = scratch,
    };
    gemm_run(kern, &call);
}

static int open(void **state)
{
    (void)state;
    vecmill_err err = {.message = ""};
    const struct gemm_shape shape = shape_of(GEMM_NONE);
    size_t bytes = 0;
    const float one = 1;
    if (gemm_packed_bytes(kern, shape, &bytes, &err) != VECMILL_OK) fail_msg("%s", err.message);
    packed = kit_bytes(bytes, 64);
    gemm_pack(kern, shape, &one, packed);
    const size_t scratch_bytes = gemm_scratch_bytes(kern, shape);
    scratch = scratch_bytes ? kit_bytes(scratch_bytes, 64) : NULL;
    return 0;
}

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* v times the normal distribution's cdf at v, without cancellation on either side. */
static double gelu_erf(double v)
{
    const double beyond = 0.5 * erfc(fabs(v) / sqrt(2.0));
    return v < 0 ? v * beyond : v - v * beyond;
}

/* v / (1 + exp(-s)) */
static double logistic(double v, double s)
{
    return s < 0 ? v * (exp(s) / (1 + exp(s))) : v / (1 + exp(-s));
}

/* (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)) */
static double gelu_tanh(double v)
{
    return logistic(v, 2 * sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v));
}

static double quick_gelu(double v)
{
    return logistic(v, 1.702 * v);
}

static double silu(double v)
{
    return logistic(v, v);
}

static double relu(double v)
{
    return v > 0 ? v : 0;
}

static const struct {
    const char *name;
    double (*exact)(double);
    double of_one_or_more; /* error, of max(1, |v|) */
    double of_itself;      /* of |v|, from the smallest normal float up; docs/KERNELS.md */
} acts[GEMM_ACTS] = {
    [GEMM_NONE] = {NULL, NULL, 0, 0},
    [GEMM_GELU_ERF] = {"gelu", gelu_erf, 1.7e-7, 2.6e-7},
    [GEMM_GELU_TANH] = {"tanh-gelu", gelu_tanh, 1.7e-7, 2.6e-7},
    [GEMM_QUICK_GELU] = {"quick-gelu", quick_gelu, 1.7e-7, 2.6e-7},
    [GEMM_SILU] = {"silu", silu, 1.7e-7, 2.6e-7},
    [GEMM_RELU] = {"relu", relu, 0, 0},
    [GEMM_TANH] = {"tanh", tanh, 1.7e-7, 2.6e-7},
};

/* Every 1999th float (as bits: every magnitude alike; 1999 is a prime), NaNs left to the test below. */
static void magnitudes(enum gemm_act act)
{
    const uint32_t step = kit_times(10) == 1 ? 1999 * 64 : 1999;
    float *x = kit_floats(ROWS), *y = kit_floats(ROWS);
    double most = 0, most_relative = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        for (int i = 0; i < ROWS; i++, bits += step) {
            const float v = bits <= UINT32_MAX ? of_bits((uint32_t)bits) : 1.0f;
            x[i] = isfinite(v) ? v : 1.0f;
        }
        activate(act, x, y, ROWS);
        for (int i = 0; i < ROWS; i++) {
            const double v = (double)x[i], want = acts[act].exact(v), size = fabs(v);
            const double off = fabs((double)y[i] - want);
            if (!(off <= acts[act].of_one_or_more * fmax(1, size)) ||
                (size >= 0x1p-126 && off > acts[act].of_itself * size))
                fail_msg("%s(%.9g) is %.9g and not %.9g", acts[act].name, v, (double)y[i], want);
            most = fmax(most, off / fmax(1, size));
            if (size >= 0x1p-126) most_relative = fmax(most_relative, off / size);
        }
    }
    printf("  %s, %s: off by at most %.3g of max(1, |v|), %.3g of |v|\n", kern->name,
           acts[act].name, most, most_relative);
}

static void test_every_magnitude(void **state)
{
    (void)state;
    for (int act = GEMM_NONE + 1; act < GEMM_ACTS; act++) {
        magnitudes((enum gemm_act)act);
    }
}

static void test_ends(void **state)
{
    (void)state;
    const float x[] = {0, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 3e38f, -3e38f, 40.0f, -100.0f};
    float y[10];
    for (int act = GEMM_NONE + 1; act < GEMM_ACTS; act++) {
        const bool is_tanh = act == GEMM_TANH, is_relu = act == GEMM_RELU;
        activate((enum gemm_act)act, x, y, 10);
        assert_true(y[0] == 0 && y[1] == 0);
        assert_true(y[2] == (is_tanh ? 1 : INFINITY));
        if (is_tanh || is_relu) assert_true(y[3] == (is_tanh ? -1 : 0));
        if (!is_tanh && !is_relu) assert_true(isnan(y[3])); /* -inf * 0 */
        assert_true(isnan(y[4]) && isnan(y[5]));
        assert_true(y[6] == (is_tanh ? 1 : 3e38f) && y[8] == (is_tanh ? 1 : 40.0f));
        assert_true(fabsf(y[7] + (is_tanh ? 1 : 0)) < 1e-37f);
        assert_true(fabsf(y[9] + (is_tanh ? 1 : 0)) < 1e-37f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_magnitude),
        cmocka_unit_test(test_ends),
    };
    kern = kit_kern();
    char name[32];
    snprintf(name, sizeof name, "kern-gelu-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, open, NULL));
}
