/* quantize: rows of floats as narrower numbers, and back.
 *
 * The rules are sentence-transformers' (quantize_embeddings, as of 6.2.0), bit for bit;
 * float16 is numpy's astype. tools/make_golden_quantize.py runs both. Of x, a row's component c, with
 * least and greatest value lo and hi of that component (ranges, [2, dim]: all lo, then all hi):
 *     int8, uint8      floor((x - lo) / step), kept within 0 to 255, step = (hi - lo) / 255, or 1 where
 *                      that is 0, all in float; of int8 less 128
 *     ubinary, binary  the bit x > 0, the first component in the highest bit of the first byte, zero bits
 *                      after the last; of binary each byte less 128, as a signed one
 *     float16          the nearest, of two the even one
 * Does not know whose rows they are. */
#ifndef BASE_QUANTIZE_H
#define BASE_QUANTIZE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of vecmill_dtype. */
enum quantize_dtype {
    QUANTIZE_FLOAT32,
    QUANTIZE_FLOAT16,
    QUANTIZE_INT8,
    QUANTIZE_UINT8,
    QUANTIZE_BINARY,
    QUANTIZE_UBINARY,
    QUANTIZE_DTYPES
};

/* "float32", as on the command line. */
const char *quantize_word(enum quantize_dtype dtype);

/* int8 and uint8. */
bool quantize_needs_ranges(enum quantize_dtype dtype);

/* Bytes of a row of dim components: 4, 2 or 1 of each, or an eighth, rounded up. */
size_t quantize_row_bytes(enum quantize_dtype dtype, uint32_t dim);

/* Widens ranges [2, dim] by rows [n, dim]; `first`: they hold nothing yet. E_INPUT: a component is not
 * finite; ranges are then widened by the rows before. */
vecmill_status quantize_widen(const float *rows, size_t n, uint32_t dim, bool first, float *ranges,
                              vecmill_err *err);

/* E_INPUT: one is not finite, a least value is over its greatest, or they are too far apart. `name` is for
 * the message. */
vecmill_status quantize_check_ranges(const float *ranges, uint32_t dim, const char *name,
                                     vecmill_err *err);

/* rows [n, dim] into out [n, quantize_row_bytes]; ranges [2, dim] as checked, NULL where none are needed.
 * Infinities are the least or the greatest value of int8 and uint8, and stay what they are in float16, as
 * does NaN; a bit of NaN is 0. E_INPUT, with out unspecified: NaN for int8 or uint8, a finite value that
 * float16 would make infinite. */
vecmill_status quantize_rows(const float *rows, size_t n, uint32_t dim, enum quantize_dtype dtype,
                             const float *ranges, void *out, vecmill_err *err);

/* Back: what each number stands for. Of int8 and uint8 the middle of its step, lo + (q + 0.5) * step, q
 * counted from 0; of bits 1 and -1. Alignment of `rows` does not matter. */
void quantize_restore(const void *rows, size_t n, uint32_t dim, enum quantize_dtype dtype,
                      const float *ranges, float *out);

/* How many of the n_bytes' bits differ. */
uint64_t quantize_hamming(const void *a, const void *b, size_t n_bytes);

#endif
