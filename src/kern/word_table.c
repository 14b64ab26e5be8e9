/* word_table: rows of floats stored in a precision, read one by one; plain C, so that all levels
 * read alike.
 *
 *   fp32  the floats
 *   bf16  rounded to the nearest bfloat16, ties to even
 *   int8  groups of TABLE_GROUP: a scale, then that many bytes; a value is scale * byte, |byte| <= 127
 *
 * A NaN or infinity is not finite afterwards in any of them: in int8 it makes its group's scale NaN
 * or infinite. */
#include <math.h>
#include <string.h>

#include "bf16.h"
#include "kern.h"

enum { TABLE_GROUP = 32 };

size_t table_row_bytes(enum kern_precision precision, uint32_t h)
{
    if (precision == KERN_FP32) return h * sizeof(float);
    if (precision == KERN_BF16) return h * sizeof(uint16_t);
    return (h + TABLE_GROUP - 1) / TABLE_GROUP * sizeof(float) + h;
}

static void pack_group(const float *from, size_t n, char *to)
{
    float most = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        finite = finite && isfinite(from[i]);
        most = fmaxf(most, fabsf(from[i]));
    }
    const float scale = finite ? most / 127.0f : NAN;
    memcpy(to, &scale, sizeof scale);
    for (size_t i = 0; i < n; i++) {
        const float q = scale > 0 ? from[i] / scale : 0.0f;
        to[sizeof scale + i] = (char)(signed char)lrintf(fminf(fmaxf(q, -127.0f), 127.0f));
    }
}

void table_pack(enum kern_precision precision, const float *row, uint32_t h, void *packed)
{
    char *to = packed;
    if (precision == KERN_FP32) memcpy(to, row, h * sizeof *row);
    for (uint32_t c = 0; precision == KERN_BF16 && c < h; c++) {
        const uint16_t v = bf16_nearest(row[c]);
        memcpy(to + c * sizeof v, &v, sizeof v);
    }
    for (uint32_t c = 0; precision == KERN_INT8 && c < h; c += TABLE_GROUP) {
        const size_t n = num_min(TABLE_GROUP, h - c);
        pack_group(row + c, n, to);
        to += sizeof(float) + n;
    }
}

static void read_bf16(const char *from, size_t n, float *row)
{
    for (size_t c = 0; c < n; c++) {
        uint16_t v;
        memcpy(&v, from + c * sizeof v, sizeof v);
        row[c] = bf16_widen(v);
    }
}

static void read_int8(const char *from, size_t n, float *row)
{
    for (size_t c = 0; c < n; c += TABLE_GROUP) {
        const size_t n_group = num_min(TABLE_GROUP, n - c);
        float scale;
        memcpy(&scale, from, sizeof scale);
        from += sizeof scale;
        for (size_t i = 0; i < n_group; i++)
            row[c + i] = scale * (float)(signed char)from[i];
        from += n_group;
    }
}

void table_read(enum kern_precision precision, const void *packed, uint32_t h, float *row)
{
    if (precision == KERN_FP32) memcpy(row, packed, h * sizeof *row);
    if (precision == KERN_BF16) read_bf16(packed, h, row);
    if (precision == KERN_INT8) read_int8(packed, h, row);
}

/* Columns that are summed in registers over all rows: a line of cache of each, so that as many lines
 * are waited for at a time as there are rows. */
enum { COLUMNS = 16 };

static void sum_floats(const float *table, uint32_t h, const uint32_t *rows, const float *factors,
                       uint32_t n, uint32_t first, float *sum)
{
    float sums[COLUMNS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const float *row = table + (size_t)rows[i] * h + first;
        const float factor = factors ? factors[i] : 1;
        for (uint32_t c = 0; c < COLUMNS; c++)
            sums[c] += factor * row[c];
    }
    memcpy(sum + first, sums, sizeof sums);
}

/* Columns from `first` on, some at a time, which begin with a group. */
static void sum_packed(enum kern_precision precision, const char *table, uint32_t h,
                       const uint32_t *rows, const float *factors, uint32_t n, uint32_t first,
                       float *sum)
{
    enum { CHUNK = 4 * TABLE_GROUP };
    const size_t row_bytes = table_row_bytes(precision, h);
    float values[CHUNK] = {0};
    memset(sum + first, 0, (h - first) * sizeof *sum);
    for (uint32_t at = first; at < h; at += CHUNK) {
        const uint32_t n_values = (uint32_t)num_min(CHUNK, h - at);
        for (uint32_t i = 0; i < n; i++) {
            const float factor = factors ? factors[i] : 1;
            table_read(precision, table + rows[i] * row_bytes + table_row_bytes(precision, at),
                       n_values, values);
            for (uint32_t c = 0; c < n_values; c++)
                sum[at + c] += factor * values[c];
        }
    }
}

void table_sum(enum kern_precision precision, const void *table, uint32_t h, const uint32_t *rows,
               const float *factors, uint32_t n, float *sum)
{
    uint32_t first = 0;
    for (; precision == KERN_FP32 && h - first >= COLUMNS; first += COLUMNS)
        sum_floats(table, h, rows, factors, n, first, sum);
    sum_packed(precision, table, h, rows, factors, n, first, sum);
}
