/* Tables of rows in each precision: values read are within the rounding of the precision, the same
 * for every row at any address, and NaN and infinity stay visible. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 200 };

static void round_trip(enum kern_precision precision, const float *row, uint32_t h, float *back)
{
    const size_t bytes = table_row_bytes(precision, h);
    char *packed = kit_bytes(bytes, 1); /* ends at a guard page */
    memset(packed, 0x55, bytes);
    table_pack(precision, row, h, packed);
    table_read(precision, packed, h, back);
}

static double group_largest(const float *row, uint32_t h, uint32_t c)
{
    double most = 0;
    for (uint32_t i = c / 32 * 32; i < h && i < c / 32 * 32 + 32; i++)
        most = fmax(most, fabs((double)row[i]));
    return most;
}

static void test_rounding(void **state)
{
    (void)state;
    struct kit_random r = {3};
    for (uint32_t h = 1; h <= MOST; h++) {
        float *row = kit_floats(h), *back = kit_floats(h);
        for (uint32_t c = 0; c < h; c++)
            row[c] = kit_normal(&r) * (h % 3 == 0 ? 1e-6f : 40.0f);
        round_trip(KERN_FP32, row, h, back);
        assert_memory_equal(row, back, h * sizeof *row);
        round_trip(KERN_BF16, row, h, back);
        for (uint32_t c = 0; c < h; c++)
            assert_true(fabs((double)back[c] - (double)row[c]) <= fabs((double)row[c]) / 256);
        round_trip(KERN_INT8, row, h, back);
        for (uint32_t c = 0; c < h; c++) {
            const double half = group_largest(row, h, c) / 127 / 2;
            assert_true(fabs((double)back[c] - (double)row[c]) <= half * 1.00001);
        }
        kit_free();
    }
}

static void test_extremes(void **state)
{
    (void)state;
    static const float values[] = {0.0f, 3.3e38f, -3.3e38f, 1e-45f, 1.0f, -1e-39f};
    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    float row[130], back[130];
    for (int p = KERN_FP32; p < KERN_PRECISIONS; p++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            for (int c = 0; c < 130; c++)
                row[c] = values[i];
            round_trip((enum kern_precision)p, row, 130, back);
            for (int c = 0; c < 130; c++) {
                assert_true(isfinite(back[c]));
                assert_true(fabsf(back[c] - row[c]) <= fabsf(row[c]) / 100 + 1e-40f);
            }
        }
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            for (int c = 0; c < 130; c++)
                row[c] = 1.0f;
            row[70] = wrong[i];
            round_trip((enum kern_precision)p, row, 130, back);
            assert_false(isfinite(back[70]));
            assert_true(back[0] == 1.0f && back[129] == 1.0f); /* other groups are not touched */
        }
        kit_free();
    }
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(table_row_bytes(KERN_FP32, 384), 1536);
    assert_int_equal(table_row_bytes(KERN_BF16, 384), 768);
    assert_int_equal(table_row_bytes(KERN_INT8, 384), 384 + 12 * 4);
    assert_int_equal(table_row_bytes(KERN_INT8, 65), 65 + 3 * 4);
}

/* Against rows read one at a time and summed in double. */
static void test_sum(void **state)
{
    (void)state;
    enum { TABLE_ROWS = 5, SUMMED = 9 };
    static const uint32_t rows[SUMMED] = {4, 0, 3, 3, 1, 4, 2, 0, 3};
    static const float factors[SUMMED] = {1, 0.5f, -2, 0, 3, 1e-3f, 7, 1, -0.25f};
    struct kit_random r = {4};
    for (uint32_t h = 1; h <= MOST; h++) {
        float *row = kit_floats(h), *sum = kit_floats(h);
        for (int p = KERN_FP32; p < KERN_PRECISIONS; p++) {
            const enum kern_precision precision = (enum kern_precision)p;
            const size_t bytes = table_row_bytes(precision, h);
            char *table = kit_bytes(TABLE_ROWS * bytes, 4);
            for (uint32_t i = 0; i < TABLE_ROWS; i++) {
                for (uint32_t c = 0; c < h; c++)
                    row[c] = kit_normal(&r);
                table_pack(precision, row, h, table + i * bytes);
            }
            for (uint32_t n = 0; n <= SUMMED; n++) {
                const float *times = n % 2 ? factors : NULL;
                double want[MOST] = {0}, size[MOST] = {0};
                for (uint32_t i = 0; i < n; i++) {
                    table_read(precision, table + rows[i] * bytes, h, row);
                    for (uint32_t c = 0; c < h; c++) {
                        const double value = (times ? (double)times[i] : 1) * (double)row[c];
                        want[c] += value;
                        size[c] += fabs(value);
                    }
                }
                memset(sum, 0x55, h * sizeof *sum); /* what lay there does not count */
                table_sum(precision, table, h, rows, times, n, sum);
                for (uint32_t c = 0; c < h; c++)
                    assert_true(fabs((double)sum[c] - want[c]) <= size[c] * 1e-6);
            }
        }
        kit_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_sum),
    };
    return kit_end("kern-table", sizeof tests / sizeof *tests,
                   cmocka_run_group_tests(tests, NULL, NULL));
}
