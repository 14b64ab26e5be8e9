/* utf8: Table 3-7 of The Unicode Standard (15.0) gives the allowed range of each second byte; the
 * others are 80..BF. */
#include "utf8.h"

#include <string.h>

size_t utf8_next(const unsigned char *data, size_t bytes, uint32_t *cp, bool *bad)
{
    unsigned lead = data[0];
    *bad = false;
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    unsigned low = 0x80, high = 0xBF;
    size_t length;
    uint32_t v;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
        v = lead & 0x1F;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        v = lead & 0x0F;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        v = lead & 0x07;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        goto invalid_lead;
    }
    for (size_t i = 1; i < length; i++) {
        if (i == bytes || data[i] < low || data[i] > high) {
            *bad = true;
            *cp = UTF8_REPLACEMENT;
            return i;
        }
        v = v << 6 | (data[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *cp = v;
    return length;
invalid_lead:
    *bad = true;
    *cp = UTF8_REPLACEMENT;
    return 1;
}

size_t utf8_put(uint32_t cp, unsigned char *out)
{
    if (cp < 0x80) {
        out[0] = (unsigned char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (unsigned char)(0xC0 | cp >> 6);
        out[1] = (unsigned char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (unsigned char)(0xE0 | cp >> 12);
        out[1] = (unsigned char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | cp >> 18);
    out[1] = (unsigned char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (unsigned char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (unsigned char)(0x80 | (cp & 0x3F));
    return 4;
}

/* Length of the run of ASCII at the start, eight bytes at a time. */
static size_t ascii_run(const unsigned char *data, size_t bytes)
{
    size_t i = 0;
    for (; bytes - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (i < bytes && data[i] < 0x80) {
        i++;
    }
    return i;
}

bool utf8_valid(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    size_t i = 0;
    while (i < bytes) {
        i += ascii_run(p + i, bytes - i);
        if (i == bytes) break;
        uint32_t cp;
        bool bad;
        i += utf8_next(p + i, bytes - i, &cp, &bad);
        if (bad) return false;
    }
    return true;
}

size_t utf8_repair(const void *data, size_t bytes, char *out, uint64_t *replaced)
{
    const unsigned char *p = data;
    size_t i = 0, written = 0;
    uint64_t n_bad = 0;
    while (i < bytes) {
        size_t run = ascii_run(p + i, bytes - i);
        if (run) memcpy(out + written, p + i, run);
        i += run;
        written += run;
        if (i == bytes) break;
        uint32_t cp;
        bool bad;
        size_t took = utf8_next(p + i, bytes - i, &cp, &bad);
        if (bad) n_bad += took;
        written += utf8_put(cp, (unsigned char *)out + written);
        i += took;
    }
    *replaced = n_bad;
    return written;
}
