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

/* Bytes of a character of valid UTF-8, by its first one. */
static inline size_t utf8_bytes(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* utf8_next for text that is known to be valid; inline, for loops over characters. */
static inline size_t utf8_char(const unsigned char *data, uint32_t *cp)
{
    if (data[0] < 0x80) {
        *cp = data[0];
        return 1;
    }
    if (data[0] < 0xE0) {
        *cp = (data[0] & 0x1Fu) << 6 | (data[1] & 0x3Fu);
        return 2;
    }
    if (data[0] < 0xF0) {
        *cp = (data[0] & 0x0Fu) << 12 | (data[1] & 0x3Fu) << 6 | (data[2] & 0x3Fu);
        return 3;
    }
    *cp = (data[0] & 0x07u) << 18 | (data[1] & 0x3Fu) << 12 | (data[2] & 0x3Fu) << 6 |
          (data[3] & 0x3Fu);
    return 4;
}

/* Writes cp (any scalar value) to out[4] and returns the bytes written (1 to 4). */
size_t utf8_put(uint32_t cp, unsigned char *out);

/* True when all of it is valid UTF-8. */
bool utf8_valid(const void *data, size_t bytes);

/* Copies with every maximal invalid part replaced by U+FFFD; out has room for 3 * bytes. Returns
 * the bytes written; *replaced counts the invalid input bytes. */
size_t utf8_repair(const void *data, size_t bytes, char *out, uint64_t *replaced);

#endif
