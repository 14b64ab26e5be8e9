/* api_quantize: vecmill.h's functions over rows of floats. What they compute is base's; here is what callers
 * must not give it. */
#include "vecmill.h"

#include "base/base.h"

#define SAME(NAME)                                                                                 \
    _Static_assert((int)QUANTIZE_##NAME == (int)VECMILL_DTYPE_##NAME, "both have one number")
SAME(FLOAT32);
SAME(FLOAT16);
SAME(INT8);
SAME(UINT8);
SAME(BINARY);
SAME(UBINARY);

uint64_t vecmill_quantized_bytes(vecmill_dtype dtype, uint32_t dim)
{
    const enum quantize_dtype own = (enum quantize_dtype)dtype;
    return (unsigned)dtype < QUANTIZE_DTYPES ? quantize_row_bytes(own, dim) : 0;
}

vecmill_status vecmill_ranges(const float *vectors, size_t n, uint32_t dim, float *ranges,
                              vecmill_err *err)
{
    if (dim == 0) return err_set(err, VECMILL_E_USAGE, "rows have 0 components, 1 is the least");
    if (n < 2)
        return err_set(err, VECMILL_E_USAGE,
                       "ranges are asked for of %zu row%s, 2 rows are the least that have any", n,
                       n == 1 ? "" : "s");
    return quantize_widen(vectors, n, dim, true, ranges, err);
}

static vecmill_status check_call(size_t n, uint32_t dim, vecmill_dtype dtype, const float *ranges,
                                 vecmill_err *err)
{
    if ((unsigned)dtype >= QUANTIZE_DTYPES)
        return err_set(err, VECMILL_E_USAGE, "dtype is %u, over VECMILL_DTYPE_UBINARY, %u",
                       (unsigned)dtype, (unsigned)VECMILL_DTYPE_UBINARY);
    if (dim == 0) return err_set(err, VECMILL_E_USAGE, "rows have 0 components, 1 is the least");
    const enum quantize_dtype own = (enum quantize_dtype)dtype;
    if (!quantize_needs_ranges(own)) return VECMILL_OK;
    if (ranges == NULL)
        return err_set(err, VECMILL_E_USAGE,
                       "%s of %zu row%s needs ranges, [2, %u], and there are none",
                       quantize_word(own), n, n == 1 ? "" : "s", dim);
    return quantize_check_ranges(ranges, dim, "ranges", err);
}

vecmill_status vecmill_quantize(const float *vectors, size_t n, uint32_t dim, vecmill_dtype dtype,
                                const float *ranges, void *out, vecmill_err *err)
{
    VM_TRY(check_call(n, dim, dtype, ranges, err));
    return quantize_rows(vectors, n, dim, (enum quantize_dtype)dtype, ranges, out, err);
}

vecmill_status vecmill_dequantize(const void *rows, size_t n, uint32_t dim, vecmill_dtype dtype,
                                  const float *ranges, float *vectors, vecmill_err *err)
{
    VM_TRY(check_call(n, dim, dtype, ranges, err));
    quantize_restore(rows, n, dim, (enum quantize_dtype)dtype, ranges, vectors);
    return VECMILL_OK;
}
