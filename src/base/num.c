/* num: refuses signs, spaces, empty text, and numbers that do not fit. */
#include "num.h"

bool num_parse(const char *text, uint64_t most, uint64_t *value)
{
    uint64_t v = 0;
    if (*text == '\0') return false;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        unsigned digit = (unsigned)(*p - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    if (v > most) return false;
    *value = v;
    return true;
}

bool num_parse_bytes(const char *text, uint64_t *value)
{
    uint64_t v = 0;
    const char *p = text;
    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    unsigned shift = 0;
    if (*p == 'K' || *p == 'k') shift = 10;
    if (*p == 'M' || *p == 'm') shift = 20;
    if (*p == 'G' || *p == 'g') shift = 30;
    if (shift) p++;
    if (*p != '\0' || v > UINT64_MAX >> shift) return false;
    *value = v << shift;
    return true;
}
