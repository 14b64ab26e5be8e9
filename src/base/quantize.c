/* quantize: one loop for each type, over one row. */
#include "quantize.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define HALF_MOST 65504.0f /* the greatest finite float16 */

const char *quantize_word(enum quantize_dtype dtype)
{
    static const char *const words[QUANTIZE_DTYPES] = {"float32", "float16", "int8",
                                                       "uint8",   "binary",  "ubinary"};
    assert(dtype < QUANTIZE_DTYPES);
    return words[dtype];
}

bool quantize_needs_ranges(enum quantize_dtype dtype)
{
    return dtype == QUANTIZE_INT8 || dtype == QUANTIZE_UINT8;
}

size_t quantize_row_bytes(enum quantize_dtype dtype, uint32_t dim)
{
    switch (dtype) {
    case QUANTIZE_FLOAT16:
        return (size_t)dim * 2;
    case QUANTIZE_INT8:
    case QUANTIZE_UINT8:
        return dim;
    case QUANTIZE_BINARY:
    case QUANTIZE_UBINARY:
        return ((size_t)dim + 7) / 8;
    default:
        return (size_t)dim * sizeof(float);
    }
}

/* ---- float16 ---- */

static uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7FFFFFFF;
    if (bits > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (bits >= 0x47800000) return (uint16_t)(sign | 0x7C00); /* 65536 and more */
    if (bits < 0x38800000) {
        /* Under 2^-14 a float16 counts in steps of 2^-24, as a float does from 0.5 on. */
        const float sum = fabsf(x) + 0.5f;
        memcpy(&bits, &sum, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000));
    }
    bits += 0xFFF + (bits >> 13 & 1) - (112u << 23);
    return (uint16_t)(sign | bits >> 13);
}

/* Without branches, so that the compiler can vectorize it: a float16's bits in the places of a float's are
 * 2^-112 of its value, one under 2^-14 too; infinities and NaN have the greatest exponent of either. */
static float half_value(uint16_t half)
{
    const uint32_t magnitude = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t bits;
    float x;
    memcpy(&x, &magnitude, sizeof x);
    x *= 0x1p112f;
    memcpy(&bits, &x, sizeof bits);
    bits |= magnitude >= 0x0F800000 ? 0x7F800000 : 0;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static vecmill_status put_halves(const float *row, size_t at, uint32_t dim, unsigned char *out,
                                 vecmill_err *err)
{
    for (uint32_t c = 0; c < dim; c++) {
        const uint16_t half = half_of(row[c]);
        if ((half & 0x7FFF) == 0x7C00 && isfinite(row[c]))
            return err_set(err, VECMILL_E_INPUT,
                           "component %u of row %zu is %g, the greatest float16 is %g", c, at,
                           (double)row[c], (double)HALF_MOST);
        memcpy(out + 2 * (size_t)c, &half, sizeof half);
    }
    return VECMILL_OK;
}

/* ---- bytes ---- */

static float step_of(float lo, float hi)
{
    const float step = (hi - lo) / 255.0f;
    return step == 0.0f ? 1.0f : step;
}

static vecmill_status refuse_nan(const float *row, size_t at, uint32_t dim,
                                 enum quantize_dtype dtype, vecmill_err *err)
{
    uint32_t c = 0;
    while (c + 1 < dim && !isnan(row[c]))
        c++;
    return err_set(err, VECMILL_E_INPUT,
                   "component %u of row %zu is not a number, which %s has not", c, at,
                   quantize_word(dtype));
}

static vecmill_status put_bytes(const float *row, size_t at, uint32_t dim,
                                enum quantize_dtype dtype, const float *ranges, unsigned char *out,
                                vecmill_err *err)
{
    const float *los = ranges, *his = ranges + dim;
    const unsigned flip = dtype == QUANTIZE_INT8 ? 0x80 : 0; /* less 128 */
    int bad = 0;
    for (uint32_t c = 0; c < dim; c++) {
        const float q = (row[c] - los[c]) / step_of(los[c], his[c]);
        const float low = q > 0.0f ? q : 0.0f; /* NaN too */
        bad |= row[c] != row[c];
        /* Of what is not negative the integer part is the floor. */
        out[c] = (unsigned char)((unsigned)(int)(low < 255.0f ? low : 255.0f) ^ flip);
    }
    return bad == 0 ? VECMILL_OK : refuse_nan(row, at, dim, dtype, err);
}

/* ---- bits ---- */

static void put_bits(const float *row, uint32_t dim, unsigned flip, unsigned char *out)
{
    for (uint32_t c = 0; c < dim; c += 8) {
        unsigned byte = 0;
        for (uint32_t k = 0; k < 8 && c + k < dim; k++)
            byte |= (row[c + k] > 0.0f ? 0x80u : 0u) >> k;
        out[c / 8] = (unsigned char)(byte ^ flip);
    }
}

/* ---- rows ---- */

vecmill_status quantize_rows(const float *rows, size_t n, uint32_t dim, enum quantize_dtype dtype,
                             const float *ranges, void *out, vecmill_err *err)
{
    const size_t row_bytes = quantize_row_bytes(dtype, dim);
    unsigned char *to = out;
    assert(dtype < QUANTIZE_DTYPES && (ranges != NULL || !quantize_needs_ranges(dtype)));
    for (size_t i = 0; i < n; i++, rows += dim, to += row_bytes) {
        switch (dtype) {
        case QUANTIZE_FLOAT16:
            VM_TRY(put_halves(rows, i, dim, to, err));
            break;
        case QUANTIZE_INT8:
        case QUANTIZE_UINT8:
            VM_TRY(put_bytes(rows, i, dim, dtype, ranges, to, err));
            break;
        case QUANTIZE_BINARY:
        case QUANTIZE_UBINARY:
            put_bits(rows, dim, dtype == QUANTIZE_BINARY ? 0x80 : 0, to);
            break;
        default:
            memcpy(to, rows, row_bytes);
        }
    }
    return VECMILL_OK;
}

static void restore_row(const unsigned char *row, uint32_t dim, enum quantize_dtype dtype,
                        const float *ranges, float *out)
{
    const unsigned flip = dtype == QUANTIZE_INT8 || dtype == QUANTIZE_BINARY ? 0x80 : 0;
    switch (dtype) {
    case QUANTIZE_FLOAT16:
        for (uint32_t c = 0; c < dim; c++) {
            uint16_t half;
            memcpy(&half, row + 2 * (size_t)c, sizeof half);
            out[c] = half_value(half);
        }
        return;
    case QUANTIZE_INT8:
    case QUANTIZE_UINT8:
        for (uint32_t c = 0; c < dim; c++)
            out[c] = ranges[c] +
                     ((float)(int)(row[c] ^ flip) + 0.5f) * step_of(ranges[c], ranges[dim + c]);
        return;
    case QUANTIZE_BINARY:
    case QUANTIZE_UBINARY:
        for (uint32_t c = 0; c < dim; c++)
            out[c] = ((row[c / 8] ^ flip) << c % 8 & 0x80) != 0 ? 1.0f : -1.0f;
        return;
    default:
        memcpy(out, row, dim * sizeof(float));
    }
}

void quantize_restore(const void *rows, size_t n, uint32_t dim, enum quantize_dtype dtype,
                      const float *ranges, float *out)
{
    const size_t row_bytes = quantize_row_bytes(dtype, dim);
    const unsigned char *from = rows;
    assert(dtype < QUANTIZE_DTYPES && (ranges != NULL || !quantize_needs_ranges(dtype)));
    for (size_t i = 0; i < n; i++, from += row_bytes, out += dim)
        restore_row(from, dim, dtype, ranges, out);
}

uint64_t quantize_hamming(const void *a, const void *b, size_t n_bytes)
{
    const unsigned char *x = a, *y = b;
    uint64_t n = 0;
    size_t i = 0;
    for (; i + 8 <= n_bytes; i += 8) {
        uint64_t u, v;
        memcpy(&u, x + i, 8);
        memcpy(&v, y + i, 8);
        n += (uint64_t)__builtin_popcountll(u ^ v);
    }
    for (; i < n_bytes; i++)
        n += (uint64_t)__builtin_popcountll((uint64_t)(x[i] ^ y[i]));
    return n;
}

/* ---- ranges ---- */

vecmill_status quantize_widen(const float *rows, size_t n, uint32_t dim, bool first, float *ranges,
                              vecmill_err *err)
{
    float *los = ranges, *his = ranges + dim;
    for (size_t i = 0; i < n; i++, rows += dim) {
        int bad = 0;
        for (uint32_t c = 0; c < dim; c++)
            bad |= !isfinite(rows[c]);
        for (uint32_t c = 0; bad != 0 && c < dim; c++)
            if (!isfinite(rows[c]))
                return err_set(err, VECMILL_E_INPUT,
                               "component %u of row %zu is %g, and ranges are of finite values", c,
                               i, (double)rows[c]);
        if (first && i == 0) {
            memcpy(los, rows, dim * sizeof(float));
            memcpy(his, rows, dim * sizeof(float));
        }
        for (uint32_t c = 0; c < dim; c++) {
            los[c] = rows[c] < los[c] ? rows[c] : los[c];
            his[c] = rows[c] > his[c] ? rows[c] : his[c];
        }
    }
    return VECMILL_OK;
}

vecmill_status quantize_check_ranges(const float *ranges, uint32_t dim, const char *name,
                                     vecmill_err *err)
{
    for (uint32_t c = 0; c < dim; c++) {
        const float lo = ranges[c], hi = ranges[dim + c];
        if (!isfinite(lo) || !isfinite(hi) || lo > hi || !isfinite(hi - lo))
            return err_set(err, VECMILL_E_INPUT,
                           "%s: component %u ranges from %g to %g, which is no range of floats",
                           name, c, (double)lo, (double)hi);
    }
    return VECMILL_OK;
}
