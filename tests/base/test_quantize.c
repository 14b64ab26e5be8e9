/* Rows of floats as narrower numbers: against sentence-transformers and numpy (quantize_golden.inc), and
 * what no golden row has: NaN, infinities, what does not fit, rows of which each float16 is one. */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS_MOST 16
#define DIM_MOST  24

#define LIST(...) __VA_ARGS__

struct golden {
    size_t n;
    uint32_t dim;
    uint32_t rows[ROWS_MOST * DIM_MOST], own[2 * DIM_MOST], given[2 * DIM_MOST];
    /* int8 and uint8 by the rows' own ranges, the same by the given ones, binary, ubinary */
    unsigned char made[6][ROWS_MOST * DIM_MOST];
};

static const struct golden golden[] = {
#define GOLDEN_ROWS(n, dim, rows, own, given, a, b, c, d, e, f)                                    \
    {n, dim, {rows}, {own}, {given}, {{a}, {b}, {c}, {d}, {e}, {f}}},
#define GOLDEN_HALVES(a, b, c)
#include "quantize_golden.inc"
#undef GOLDEN_ROWS
#undef GOLDEN_HALVES
};

#define GOLDEN_ROWS(...)
#define GOLDEN_HALVES(in, out, back)                                                               \
    static const uint32_t half_in[] = {in};                                                        \
    static const uint16_t half_out[] = {out};                                                      \
    static const uint32_t half_back[] = {back};
#include "quantize_golden.inc"

#define LENGTH(list) (sizeof(list) / sizeof *(list))

static void rows_are_as_sentence_transformers_makes_them(void **state)
{
    (void)state;
    static const enum quantize_dtype dtypes[6] = {QUANTIZE_INT8,   QUANTIZE_UINT8,
                                                  QUANTIZE_INT8,   QUANTIZE_UINT8,
                                                  QUANTIZE_BINARY, QUANTIZE_UBINARY};
    assert_true(LENGTH(golden) >= 5);
    for (size_t g = 0; g < LENGTH(golden); g++) {
        const struct golden *is = &golden[g];
        float rows[ROWS_MOST * DIM_MOST], ranges[2][2 * DIM_MOST], widened[2 * DIM_MOST];
        memcpy(rows, is->rows, sizeof rows);
        memcpy(ranges[0], is->own, sizeof ranges[0]);
        memcpy(ranges[1], is->given, sizeof ranges[1]);
        for (size_t i = 0; i < is->n; i++)
            assert_int_equal(quantize_widen(rows + i * is->dim, 1, is->dim, i == 0, widened, NULL),
                             VECMILL_OK);
        for (size_t i = 0; i < 2 * (size_t)is->dim; i++)
            assert_true(widened[i] == ranges[0][i]);
        for (size_t k = 0; k < 6; k++) {
            unsigned char out[ROWS_MOST * DIM_MOST];
            const size_t row_bytes = quantize_row_bytes(dtypes[k], is->dim);
            const float *by = k < 2 ? widened : ranges[1];
            assert_int_equal(quantize_check_ranges(by, is->dim, "x", NULL), VECMILL_OK);
            assert_int_equal(quantize_rows(rows, is->n, is->dim, dtypes[k], by, out, NULL),
                             VECMILL_OK);
            assert_memory_equal(out, is->made[k], is->n * row_bytes);
        }
    }
}

/* Half a step from what it was, where the ranges are those of the rows. */
static void bytes_come_back_to_half_a_step(void **state)
{
    (void)state;
    for (size_t g = 0; g < LENGTH(golden); g++) {
        const struct golden *is = &golden[g];
        float rows[ROWS_MOST * DIM_MOST], ranges[2 * DIM_MOST], back[ROWS_MOST * DIM_MOST];
        memcpy(rows, is->rows, sizeof rows);
        memcpy(ranges, is->own, sizeof ranges);
        for (size_t k = 0; k < 2; k++) {
            quantize_restore(is->made[k], is->n, is->dim, k == 0 ? QUANTIZE_INT8 : QUANTIZE_UINT8,
                             ranges, back);
            for (size_t i = 0; i < is->n * is->dim; i++) {
                const size_t c = i % is->dim;
                const float width = ranges[is->dim + c] - ranges[c];
                const float half = (width == 0 ? 1.0f : width / 255) * 0.501f;
                assert_true(fabsf(back[i] - rows[i]) <= half);
            }
        }
        for (size_t k = 4; k < 6; k++) {
            quantize_restore(is->made[k], is->n, is->dim,
                             k == 4 ? QUANTIZE_BINARY : QUANTIZE_UBINARY, NULL, back);
            for (size_t i = 0; i < is->n * is->dim; i++)
                assert_true(back[i] == (rows[i] > 0 ? 1.0f : -1.0f));
        }
    }
}

static void halves_are_numpys(void **state)
{
    (void)state;
    float in[LENGTH(half_in)], back[LENGTH(half_in)];
    uint16_t out[LENGTH(half_in)];
    memcpy(in, half_in, sizeof in);
    assert_int_equal(quantize_rows(in, 1, LENGTH(in), QUANTIZE_FLOAT16, NULL, out, NULL),
                     VECMILL_OK);
    assert_memory_equal(out, half_out, sizeof out);
    quantize_restore(out, 1, LENGTH(out), QUANTIZE_FLOAT16, NULL, back);
    assert_memory_equal(back, half_back, sizeof back);
}

static void every_half_survives(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= UINT16_MAX; i++) {
        const uint16_t half = (uint16_t)i;
        uint16_t again;
        float x;
        quantize_restore(&half, 1, 1, QUANTIZE_FLOAT16, NULL, &x);
        const bool is_nan = (half & 0x7FFF) > 0x7C00;
        assert_int_equal(isnan(x) != 0, is_nan);
        assert_int_equal(quantize_rows(&x, 1, 1, QUANTIZE_FLOAT16, NULL, &again, NULL), VECMILL_OK);
        if (is_nan)
            assert_true((again & 0x7FFF) > 0x7C00);
        else
            assert_int_equal(again, half);
    }
}

static void assert_refused(vecmill_status status, const vecmill_err *err, const char *part)
{
    assert_int_equal(status, VECMILL_E_INPUT);
    if (strstr(err->message, part) == NULL)
        fail_msg("got \"%s\", expected \"%s\"", err->message, part);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    const float ranges[] = {-1, -1, -1, 1, 1, 1};
    float rows[] = {0, 0, 0, 0, NAN, 0};
    unsigned char out[6 * sizeof(float)];
    vecmill_err err = {.message = ""};
    assert_refused(quantize_rows(rows, 2, 3, QUANTIZE_UINT8, ranges, out, &err), &err,
                   "component 1 of row 1 is not a number, which uint8 has not");
    assert_refused(quantize_widen(rows, 2, 3, true, (float[6]){0}, &err), &err,
                   "component 1 of row 1 is nan");
    assert_int_equal(quantize_rows(rows, 2, 3, QUANTIZE_UBINARY, NULL, out, NULL), VECMILL_OK);
    assert_int_equal(out[1], 0);
    assert_int_equal(quantize_rows(rows, 2, 3, QUANTIZE_FLOAT16, NULL, out, NULL), VECMILL_OK);
    assert_int_equal(quantize_rows(rows, 2, 3, QUANTIZE_FLOAT32, NULL, out, NULL), VECMILL_OK);
    assert_memory_equal(out, rows, sizeof rows);

    rows[4] = INFINITY;
    rows[5] = -INFINITY;
    assert_int_equal(quantize_rows(rows, 2, 3, QUANTIZE_INT8, ranges, out, NULL), VECMILL_OK);
    assert_int_equal((signed char)out[4], 127);
    assert_int_equal((signed char)out[5], -128);
    rows[2] = 65520.0f; /* halfway to 65536, and the even one */
    assert_refused(quantize_rows(rows, 2, 3, QUANTIZE_FLOAT16, NULL, out, &err), &err,
                   "component 2 of row 0 is 65520, the greatest float16 is 65504");

    static const float bad[][2] = {{1, 0}, {NAN, 0}, {0, NAN}, {0, INFINITY}, {-3e38f, 3e38f}};
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_refused(
            quantize_check_ranges((const float[]){0, bad[i][0], 0, bad[i][1]}, 2, "r.npy", &err),
            &err, "r.npy: component 1 ranges from ");
}

static void bits_that_differ_are_counted(void **state)
{
    (void)state;
    unsigned char a[29], b[29];
    for (size_t n = 0; n <= sizeof a; n++) {
        uint64_t expected = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = (unsigned char)(i * 37);
            b[i] = (unsigned char)(i * i + 11);
            for (unsigned k = 0; k < 8; k++)
                expected += (unsigned)(a[i] ^ b[i]) >> k & 1;
        }
        assert_int_equal(quantize_hamming(a, b, n), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_as_sentence_transformers_makes_them),
        cmocka_unit_test(bytes_come_back_to_half_a_step),
        cmocka_unit_test(halves_are_numpys),
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(bits_that_differ_are_counted),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("base-quantize: %zu passed, %d failed\n", sizeof tests / sizeof *tests - (size_t)failed,
           failed);
    return failed;
}
