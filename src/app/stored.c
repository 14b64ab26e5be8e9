#include "stored.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LANES 16u

vecmill_status stored_open(const char *input, const char *ranges, struct stored *s,
                           vecmill_err *err)
{
    char beside[IO_PATH_MAX] = "";
    *s = (struct stored){.dtype = QUANTIZE_FLOAT32};
    VM_TRY(job_vectors_open(input, &s->vectors, err));
    if (ranges == NULL &&
        (size_t)snprintf(beside, sizeof beside, "%s.ranges.npy", input) < sizeof beside)
        ranges = io_exists(beside) ? beside : NULL;
    const bool is_bytes =
        s->vectors.dtype == VECMILL_DTYPE_INT8 || s->vectors.dtype == VECMILL_DTYPE_UINT8;
    if (ranges == NULL || (!is_bytes && ranges == beside)) return VECMILL_OK;
    const vecmill_status status = job_ranges_open(ranges, &s->given, err);
    if (status != VECMILL_OK) stored_close(s);
    return status;
}

void stored_close(struct stored *s)
{
    job_vectors_close(&s->vectors);
    job_vectors_close(&s->given);
    mem_free(s->restored);
    mem_free(s->bits);
    *s = (struct stored){.dtype = QUANTIZE_FLOAT32};
}

static vecmill_status refuse_dim(const struct stored *s, const char *input, const char *model,
                                 uint32_t dim, vecmill_err *err)
{
    const uint32_t has = s->vectors.dim;
    if (quantize_needs_ranges((enum quantize_dtype)s->vectors.dtype))
        return err_set(
            err, VECMILL_E_INPUT,
            "%s holds rows of %u bytes, the model %s makes %u floats, which are %u bytes, "
            "or %zu of bits; was it made by another model, or with --dimensions?",
            input, has, model, dim, dim, quantize_row_bytes(QUANTIZE_BINARY, dim));
    return err_set(
        err, VECMILL_E_INPUT,
        "%s holds rows of %u floats, the model %s makes %u; was it made by another model, "
        "or with --dimensions %u?",
        input, has, model, dim, has);
}

/* Bytes are of int8 or uint8 when there are as many as floats, and of bits when there are an eighth. */
static vecmill_status settle_dtype(struct stored *s, const char *input, const char *ranges,
                                   const char *model, uint32_t dim, vecmill_err *err)
{
    const enum quantize_dtype element = (enum quantize_dtype)s->vectors.dtype;
    const uint32_t has = s->vectors.dim;
    s->dtype = element;
    if (quantize_needs_ranges(element) && has == quantize_row_bytes(QUANTIZE_BINARY, dim) &&
        (has != dim || s->given.n == 0))
        s->dtype = element == QUANTIZE_INT8 ? QUANTIZE_BINARY : QUANTIZE_UBINARY;
    else if (has != dim)
        return refuse_dim(s, input, model, dim, err);
    if (!quantize_needs_ranges(s->dtype)) {
        if (ranges == NULL) return VECMILL_OK;
        return err_set(err, VECMILL_E_USAGE, "--ranges says nothing of the %s that %s holds",
                       quantize_word(s->dtype), input);
    }
    if (s->given.n == 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s holds %s, and there is no %s.ranges.npy to say what the bytes stand for "
                       "(--ranges FILE)",
                       input, quantize_word(s->dtype), input);
    if (s->given.dim != dim)
        return err_set(err, VECMILL_E_INPUT,
                       "the ranges for %s are of %u components, its rows have %u", input,
                       s->given.dim, dim);
    return VECMILL_OK;
}

vecmill_status stored_settle(struct stored *s, const char *input, const char *ranges,
                             const char *model, uint32_t dim, vecmill_err *err)
{
    void *memory = NULL;
    VM_TRY(settle_dtype(s, input, ranges, model, dim, err));
    s->dim = dim;
    s->row_bytes = quantize_row_bytes(s->dtype, dim);
    VM_TRY(mem_new_array(dim, sizeof(float), "a row's numbers", &memory, err));
    s->restored = memory;
    VM_TRY(mem_new(s->row_bytes, "a query's bits", &memory, err));
    s->bits = memory;
    return VECMILL_OK;
}

/* Sums in a fixed number of lanes, so that the compiler can vectorize without changing the order of
 * additions. */
static void dot_and_square(const float *a, const float *b, size_t n, double *dot, double *square)
{
    float d[LANES] = {0}, q[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            d[j] += a[i + j] * b[i + j];
            q[j] += b[i + j] * b[i + j];
        }
    }
    double dots = 0, squares = 0;
    for (size_t j = 0; j < LANES; j++) {
        dots += (double)d[j];
        squares += (double)q[j];
    }
    for (; i < n; i++) {
        dots += (double)a[i] * (double)b[i];
        squares += (double)b[i] * (double)b[i];
    }
    *dot = dots;
    *square = squares;
}

bool stored_ask(struct stored *s, const float *query)
{
    double unused;
    s->query = query;
    dot_and_square(query, query, s->dim, &unused, &s->query_square);
    if (!(s->query_square > 0) || !isfinite(s->query_square)) return false;
    if (stored_is_bits(s)) quantize_rows(query, 1, s->dim, s->dtype, NULL, s->bits, NULL);
    return true;
}

static const unsigned char *row_at(const struct stored *s, uint64_t row)
{
    return (const unsigned char *)s->vectors.rows + row * s->row_bytes;
}

/* A document that failed. No other row is: it would be all at the middle, or the end, of its ranges. */
static bool is_zero(const unsigned char *row, size_t bytes)
{
    return bytes == 0 || (row[0] == 0 && memcmp(row, row + 1, bytes - 1) == 0);
}

bool stored_score_bits(struct stored *s, uint64_t row, double *score)
{
    const unsigned char *bits = row_at(s, row);
    if (is_zero(bits, s->row_bytes)) return false;
    *score = 1.0 - 2.0 * (double)quantize_hamming(bits, s->bits, s->row_bytes) / s->dim;
    return true;
}

bool stored_score(struct stored *s, uint64_t row, double *score)
{
    const unsigned char *numbers = row_at(s, row);
    double dot, square;
    if (is_zero(numbers, s->row_bytes)) return false;
    const float *floats = s->restored;
    if (s->dtype == QUANTIZE_FLOAT32)
        floats = (const float *)s->vectors.rows + row * s->dim;
    else
        quantize_restore(numbers, 1, s->dim, s->dtype, s->given.rows, s->restored);
    dot_and_square(s->query, floats, s->dim, &dot, &square);
    if (!(square > 0) || !isfinite(square) || !isfinite(dot)) return false;
    *score = dot / sqrt(s->query_square * square);
    return true;
}
