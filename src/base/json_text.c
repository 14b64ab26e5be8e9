/* json_text: strings and numbers of a checked text, and strings written. */
#include "json.h"

#include "num.h"
#include "utf8.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- strings ---- */

static unsigned hex4(const char *digits)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = digits[i];
        value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/* One character or byte of a checked string's inside: returns the bytes taken, and the bytes
 * it means in out[4]. */
static size_t decode_next(const char *text, size_t bytes, unsigned char out[4], size_t *n_out,
                          uint64_t *replaced)
{
    *n_out = 1;
    if (text[0] != '\\') {
        out[0] = (unsigned char)text[0];
        return 1;
    }
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (text[1] != 'u') {
        out[0] = (unsigned char)meant[strchr(names, text[1]) - names];
        return 2;
    }
    uint32_t cp = hex4(text + 2);
    size_t taken = 6;
    if (cp >= 0xD800 && cp <= 0xDFFF) {
        const uint32_t low = bytes >= 12 && text[6] == '\\' && text[7] == 'u' ? hex4(text + 8) : 0;
        if (cp < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            taken = 12;
        } else {
            cp = UTF8_REPLACEMENT;
            *replaced += taken;
        }
    }
    *n_out = utf8_put(cp, out);
    return taken;
}

size_t json_decode(const struct json_value *value, char *out, uint64_t *replaced)
{
    assert(value->kind == JSON_KIND_STRING && value->bytes >= 2);
    const char *text = value->raw + 1;
    size_t left = value->bytes - 2, used = 0;
    while (left > 0) {
        const char *escape = memchr(text, '\\', left);
        const size_t run = escape != NULL ? (size_t)(escape - text) : left;
        memmove(out + used, text, run);
        used += run;
        text += run;
        left -= run;
        if (left == 0) break;
        unsigned char character[4];
        size_t n;
        const size_t taken = decode_next(text, left, character, &n, replaced);
        memcpy(out + used, character, n);
        used += n;
        text += taken;
        left -= taken;
    }
    return used;
}

/* The bytes that a string means, one by one. */
struct meaning {
    const struct json_value *value;
    size_t pos;
    unsigned char character[4];
    size_t n, given; /* of character */
};

/* The next byte, or -1 at the end. */
static int next_byte(struct meaning *m)
{
    const size_t end = m->value->bytes - 1;
    if (m->pos == 0) m->pos = 1; /* the quote */
    if (m->given == m->n) {
        uint64_t replaced = 0;
        if (m->pos >= end) return -1;
        m->pos += decode_next(m->value->raw + m->pos, end - m->pos, m->character, &m->n, &replaced);
        m->given = 0;
    }
    return m->character[m->given++];
}

bool json_is(const struct json_value *value, const char *text)
{
    struct meaning m = {.value = value};
    if (value->kind != JSON_KIND_STRING) return false;
    for (; *text != 0; text++)
        if (next_byte(&m) != (unsigned char)*text) return false;
    return next_byte(&m) < 0;
}

bool json_same(const struct json_value *a, const struct json_value *b)
{
    struct meaning x = {.value = a}, y = {.value = b};
    int c;
    if (a->kind != JSON_KIND_STRING || b->kind != JSON_KIND_STRING) return false;
    do {
        c = next_byte(&x);
        if (c != next_byte(&y)) return false;
    } while (c >= 0);
    return true;
}

uint32_t json_hash(const struct json_value *value)
{
    struct meaning m = {.value = value};
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
    for (int c; (c = next_byte(&m)) >= 0;)
        hash = (hash ^ (uint32_t)c) * 16777619u;
    return hash;
}

/* The first bytes of a string's meaning that fit, whole characters; *is_all: that was all of it. */
static size_t decode_some(const struct json_value *value, char *out, size_t most, bool *is_all)
{
    size_t pos = 1, used = 0;
    uint64_t replaced = 0;
    *is_all = true;
    while (pos < value->bytes - 1) {
        unsigned char character[4];
        size_t n;
        pos += decode_next(value->raw + pos, value->bytes - 1 - pos, character, &n, &replaced);
        *is_all = n <= most - used;
        if (*is_all) {
            memcpy(out + used, character, n);
            used += n;
            continue;
        }
        if ((character[0] & 0xC0) != 0x80) break;
        while (used > 0 && ((unsigned char)out[--used] & 0xC0) == 0x80)
            ;
        break;
    }
    return used;
}

bool json_has_nul(const struct json_value *value)
{
    struct json_value rest = *value;
    const char *escape;
    if (value->kind != JSON_KIND_STRING) return false;
    while ((escape = memchr(rest.raw, '\\', rest.bytes)) != NULL) {
        rest.bytes -= (size_t)(escape - rest.raw) + 2;
        rest.raw = escape + 2;
        if (escape[1] == 'u' && hex4(rest.raw) == 0) return true;
    }
    return false;
}

bool json_string_into(const struct json_value *value, char *out, size_t most)
{
    bool is_all = false;
    size_t n = 0;
    if (value->kind == JSON_KIND_STRING && !json_has_nul(value))
        n = decode_some(value, out, most - 1, &is_all);
    out[is_all ? n : 0] = '\0';
    return is_all;
}

const char *json_show(const struct json_value *value, char *out, size_t most)
{
    bool is_all;
    size_t n = num_min(value->bytes, most - 1);
    if (value->kind == JSON_KIND_STRING)
        n = decode_some(value, out, most - 1, &is_all);
    else if (n > 0)
        memcpy(out, value->raw, n);
    for (size_t i = 0; i < n; i++)
        if (out[i] == '\0') out[i] = '?';
    out[n] = '\0';
    return out;
}

/* ---- numbers ---- */

/* The digits' value and the sign of an integer. */
static bool read_integer(const struct json_value *value, bool *is_negative, uint64_t *digits)
{
    uint64_t n = 0;
    if (value->kind != JSON_KIND_NUMBER) return false;
    const char *at = value->raw, *end = at + value->bytes;
    *is_negative = *at == '-';
    for (at += *is_negative; at < end; at++) {
        if (*at < '0' || *at > '9') return false;
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*at - '0'), &n))
            return false;
    }
    *digits = n;
    return true;
}

bool json_u64(const struct json_value *value, uint64_t *out)
{
    bool is_negative;
    uint64_t n;
    if (!read_integer(value, &is_negative, &n) || (is_negative && n > 0)) return false;
    *out = n;
    return true;
}

bool json_i64(const struct json_value *value, int64_t *out)
{
    bool is_negative;
    uint64_t n;
    if (!read_integer(value, &is_negative, &n) || n > (uint64_t)INT64_MAX + is_negative)
        return false;
    *out = is_negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

bool json_double(const struct json_value *value, double *out)
{
    if (value->kind != JSON_KIND_NUMBER || value->bytes > JSON_NUMBER_MAX) return false;
    /* strtod reads the point of the program's locale. */
    const char *point = localeconv()->decimal_point;
    char text[JSON_NUMBER_MAX + 16];
    size_t used = 0;
    for (size_t i = 0; i < value->bytes; i++) {
        if (value->raw[i] != '.') {
            text[used++] = value->raw[i];
            continue;
        }
        const size_t n = num_min(strlen(point), 15);
        memcpy(text + used, point, n);
        used += n;
    }
    text[used] = '\0';
    const double n = strtod(text, NULL);
    if (!isfinite(n)) return false;
    *out = n;
    return true;
}

/* ---- writing ---- */

size_t json_quote(const char *text, size_t bytes, char *out)
{
    static const char hex[] = "0123456789abcdef";
    char *o = out;
    *o++ = '"';
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *shorthand = c == '"'    ? "\\\""
                                : c == '\\' ? "\\\\"
                                : c == '\n' ? "\\n"
                                : c == '\r' ? "\\r"
                                : c == '\t' ? "\\t"
                                            : NULL;
        if (shorthand) {
            *o++ = shorthand[0];
            *o++ = shorthand[1];
        } else if (c < 0x20 || c == 0x7F) {
            memcpy(o, "\\u00", 4);
            o[4] = hex[c >> 4];
            o[5] = hex[c & 15];
            o += 6;
        } else {
            *o++ = (char)c;
        }
    }
    *o++ = '"';
    return (size_t)(o - out);
}
