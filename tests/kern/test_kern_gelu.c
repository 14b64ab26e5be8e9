/* The activation of matrix products at the level in VECMILL_ISA, against erfc in double: floats of every
 * magnitude and sign, zeros, denormals, NaN and infinities. It is asked through a product of one input, whose
 * weights are 1: its sums are its inputs. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF_ONE_OR_MORE 1.7e-7 /* of max(1, |v|); src/kern/x86/gelu_x86.inc */
#define OF_ITSELF      2.6e-7 /* of |v|, from the smallest normal float up */

enum { ROWS = 4096 };

static const struct kern *kern;
static const struct gemm_shape shape = {1, 1, GEMM_GELU_ERF, false, KERN_FP32};
static void *packed, *scratch;

static void gelu(const float *x, float *y, uint32_t rows)
{
    const float bias = 0;
    const struct gemm_call call = {
        .shape = shape,
        .packed = packed,
        .bias = &bias,
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
static double exact(double v)
{
    const double beyond = 0.5 * erfc(fabs(v) / sqrt(2.0));
    return v < 0 ? v * beyond : v - v * beyond;
}

/* Every 1999th float (as bits: every magnitude alike; 1999 is a prime), NaNs left to the test below. */
static void test_every_magnitude(void **state)
{
    (void)state;
    const uint32_t step = kit_times(10) == 1 ? 1999 * 64 : 1999;
    float *x = kit_floats(ROWS), *y = kit_floats(ROWS);
    double most = 0, most_relative = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        for (int i = 0; i < ROWS; i++, bits += step) {
            const float v = bits <= UINT32_MAX ? of_bits((uint32_t)bits) : 1.0f;
            x[i] = isfinite(v) ? v : 1.0f;
        }
        gelu(x, y, ROWS);
        for (int i = 0; i < ROWS; i++) {
            const double v = (double)x[i], off = fabs((double)y[i] - exact(v)), size = fabs(v);
            if (!(off <= OF_ONE_OR_MORE * fmax(1, size)) ||
                (size >= 0x1p-126 && off > OF_ITSELF * size))
                fail_msg("gelu(%.9g) is %.9g and not %.9g", v, (double)y[i], exact(v));
            most = fmax(most, off / fmax(1, size));
            if (size >= 0x1p-126) most_relative = fmax(most_relative, off / size);
        }
    }
    printf("  %s: off by at most %.3g of max(1, |v|), %.3g of |v|\n", kern->name, most,
           most_relative);
}

static void test_ends(void **state)
{
    (void)state;
    const float x[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 20.0f, -20.0f};
    float y[9];
    gelu(x, y, 9);
    assert_true(y[0] == 0 && y[1] == 0);
    assert_true(y[2] == INFINITY);
    assert_true(isnan(y[3]) && isnan(y[4])); /* -inf * 0 */
    assert_true(y[5] == 3e38f && y[6] == 0);
    assert_true(y[7] == 20.0f && y[8] == 0);
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
