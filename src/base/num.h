/* num: sizes from outside, added and multiplied without wrapping. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *sum = a + b; false (and *sum untouched) when it does not fit. */
static inline bool num_add(size_t a, size_t b, size_t *sum)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *sum = r;
    return true;
}

/* *product = a * b; false (and *product untouched) when it does not fit. */
static inline bool num_mul(size_t a, size_t b, size_t *product)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *product = r;
    return true;
}

/* n rounded up to a multiple of step; the caller ensures that it fits. */
static inline size_t num_up(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

static inline size_t num_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t num_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Reads a decimal number: all of text, digits only, at most `most`. */
bool num_parse(const char *text, uint64_t most, uint64_t *value);

/* Reads bytes: decimal, then optionally K, M or G (powers of 1,024). */
bool num_parse_bytes(const char *text, uint64_t *value);

#endif
