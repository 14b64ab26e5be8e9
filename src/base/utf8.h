/* utf8: bytes to characters, with the usual replacement of invalid bytes.
 *
 * The rule is Unicode's "maximal subpart" (The Unicode Standard, 3.9, U+FFFD Substitution of
 * Maximal Subparts), which Python's errors="replace" follows as well. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xFFFDu

/* Decodes the character at data[0], bytes > 0. Returns the bytes it took (1 to 4). *bad: they were
 * invalid, and *cp is U+FFFD. */
size_t utf8_next(const unsigned char *data, size_t bytes, uint32_t *cp, bool *bad);

/* Writes cp (any scalar value) to out[4] and returns the bytes written (1 to 4). */
size_t utf8_put(uint32_t cp, unsigned char *out);

/* True when all of it is valid UTF-8. */
bool utf8_valid(const void *data, size_t bytes);

/* Copies with every maximal invalid part replaced by U+FFFD; out has room for 3 * bytes. Returns
 * the bytes written; *replaced counts the invalid input bytes. */
size_t utf8_repair(const void *data, size_t bytes, char *out, uint64_t *replaced);

#endif
