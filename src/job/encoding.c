/* encoding: names, then one decoder for each family of encodings. */
#include "encoding.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <xxhash.h>

#define NAME_MAX_BYTES 63u

/* Names without their dashes, blanks and underlines, in small letters. */
static const struct {
    const char *name;
    enum encoding_kind kind;
} names[] = {
    {"utf8", ENCODING_UTF8},       {"u8", ENCODING_UTF8},          {"utf8sig", ENCODING_UTF8},
    {"ascii", ENCODING_UTF8},      {"usascii", ENCODING_UTF8},     {"utf16", ENCODING_UTF16},
    {"u16", ENCODING_UTF16},       {"unicode", ENCODING_UTF16},    {"utf16le", ENCODING_UTF16LE},
    {"utf16be", ENCODING_UTF16BE}, {"utf32", ENCODING_UTF32},      {"u32", ENCODING_UTF32},
    {"utf32le", ENCODING_UTF32LE}, {"utf32be", ENCODING_UTF32BE},  {"latin1", ENCODING_LATIN1},
    {"latin", ENCODING_LATIN1},    {"l1", ENCODING_LATIN1},        {"iso88591", ENCODING_LATIN1},
    {"88591", ENCODING_LATIN1},    {"cp1252", ENCODING_CP1252},    {"windows1252", ENCODING_CP1252},
    {"1252", ENCODING_CP1252},     {"winlatin1", ENCODING_CP1252}, {"ansi", ENCODING_CP1252},
};

static bool is_between(char c)
{
    return c == '-' || c == '_' || c == ' ';
}

static enum encoding_kind find_own(const char *name)
{
    char plain[NAME_MAX_BYTES + 1];
    size_t n = 0;
    for (; *name != 0 && n < NAME_MAX_BYTES; name++)
        if (!is_between(*name)) plain[n++] = (char)tolower((unsigned char)*name);
    plain[n] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && *name == 0; i++)
        if (strcmp(plain, names[i].name) == 0) return names[i].kind;
    return ENCODING_OTHER;
}

/* With dashes, as iconv writes them, where Python has underlines. */
static void put_dashes(char *name)
{
    for (; *name != 0; name++)
        if (is_between(*name)) *name = '-';
}

static void *open_named(const char *name)
{
    const iconv_t cd = iconv_open("UTF-8", name);
    return (intptr_t)cd == -1 ? NULL : cd;
}

/* iconv reads more into a name than a name: what comes after slashes and commas. NULL: unknown. */
static void *open_iconv(const char *name)
{
    char dashes[NAME_MAX_BYTES + 1];
    const size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_BYTES || strpbrk(name, "/,") != NULL) return NULL;
    void *cd = open_named(name);
    if (cd != NULL) return cd;
    memcpy(dashes, name, n + 1);
    put_dashes(dashes);
    return open_named(dashes);
}

vecmill_status encoding_find(const char *name, enum encoding_kind *kind, vecmill_err *err)
{
    if (name == NULL) {
        *kind = ENCODING_ANY;
        return VECMILL_OK;
    }
    const enum encoding_kind found = find_own(name);
    if (found == ENCODING_OTHER) {
        struct decoder d;
        VM_TRY(decoder_open(&d, found, name, err));
        decoder_close(&d);
    }
    *kind = found;
    return VECMILL_OK;
}

const char *encoding_words(enum encoding_kind kind)
{
    static const char *const words[] = {[ENCODING_ANY] = "UTF-8",
                                        [ENCODING_UTF8] = "UTF-8",
                                        [ENCODING_UTF16] = "UTF-16",
                                        [ENCODING_UTF16LE] = "UTF-16LE",
                                        [ENCODING_UTF16BE] = "UTF-16BE",
                                        [ENCODING_UTF32] = "UTF-32",
                                        [ENCODING_UTF32LE] = "UTF-32LE",
                                        [ENCODING_UTF32BE] = "UTF-32BE",
                                        [ENCODING_LATIN1] = "ISO-8859-1",
                                        [ENCODING_CP1252] = "Windows-1252",
                                        [ENCODING_OTHER] = "the one that was named"};
    return words[kind];
}

uint64_t encoding_hash(const char *name)
{
    char small[NAME_MAX_BYTES + 1];
    if (name == NULL) return 0;
    const enum encoding_kind kind = find_own(name);
    if (kind != ENCODING_OTHER) return kind;
    const size_t n = strnlen(name, NAME_MAX_BYTES);
    for (size_t i = 0; i < n; i++)
        small[i] = (char)tolower((unsigned char)name[i]);
    small[n] = 0;
    put_dashes(small);
    return XXH3_64bits(small, n);
}

vecmill_status decoder_open(struct decoder *d, enum encoding_kind kind, const char *name,
                            vecmill_err *err)
{
    assert(kind != ENCODING_ANY && kind != ENCODING_UTF16 && kind != ENCODING_UTF32);
    void *opened = NULL;
    if (kind == ENCODING_OTHER) {
        opened = open_iconv(name);
        if (opened == NULL)
            return err_set(err, VECMILL_E_USAGE,
                           "--encoding %.64s is unknown; utf-8, utf-16, latin-1, cp1252 and what "
                           "iconv -l lists are known",
                           name);
    }
    *d = (struct decoder){.kind = kind, .iconv = opened};
    return VECMILL_OK;
}

void decoder_close(struct decoder *d)
{
    if (d->iconv != NULL) (void)iconv_close(d->iconv);
    *d = (struct decoder){.kind = ENCODING_ANY};
}

/* ---- what means nothing ---- */

/* A lead byte that nothing follows is one bad part, of as many bytes as there are of it. */
static size_t put_bad(size_t bytes, unsigned char *out)
{
    static const unsigned char parts[][4] = {{0}, {0xFF}, {0xE1, 0x80}, {0xF1, 0x80, 0x80}};
    const size_t n = num_min(bytes, 3);
    memcpy(out, parts[n], n);
    return n;
}

/* ---- one character of each kind: returns the bytes taken, 0 when it is not whole ---- */

static size_t next_single(const unsigned char *in, bool is_windows, unsigned char *out, size_t *n)
{
    /* Windows-1252, 80 to 9F; 0: no character. (Unicode's CP1252.TXT, 1998) */
    static const uint16_t windows[32] = {
        0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
        0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
    uint32_t cp = in[0];
    if (is_windows && cp >= 0x80 && cp < 0xA0) cp = windows[cp - 0x80];
    *n = cp == 0 && in[0] != 0 ? put_bad(1, out) : utf8_put(cp, out);
    return 1;
}

static unsigned unit(const unsigned char *in, bool is_big)
{
    return is_big ? (unsigned)in[0] << 8 | in[1] : (unsigned)in[1] << 8 | in[0];
}

static size_t next_utf16(const unsigned char *in, size_t bytes, bool is_end, bool is_big,
                         unsigned char *out, size_t *n)
{
    if (bytes < 2) {
        if (is_end) *n = put_bad(bytes, out);
        return is_end ? bytes : 0;
    }
    const unsigned first = unit(in, is_big);
    if (first < 0xD800 || first > 0xDFFF) {
        *n = utf8_put(first, out);
        return 2;
    }
    if (first < 0xDC00 && bytes < 4 && !is_end) return 0;
    const unsigned second = first < 0xDC00 && bytes >= 4 ? unit(in + 2, is_big) : 0;
    if (second < 0xDC00 || second > 0xDFFF) {
        *n = put_bad(2, out);
        return 2;
    }
    *n = utf8_put(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), out);
    return 4;
}

static size_t next_utf32(const unsigned char *in, size_t bytes, bool is_end, bool is_big,
                         unsigned char *out, size_t *n)
{
    if (bytes < 4) {
        if (is_end) *n = put_bad(bytes, out);
        return is_end ? bytes : 0;
    }
    const uint32_t cp = is_big ? (uint32_t)unit(in, true) << 16 | unit(in + 2, true)
                               : (uint32_t)unit(in + 2, false) << 16 | unit(in, false);
    const bool is_bad = cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF);
    *n = is_bad ? put_bad(4, out) : utf8_put(cp, out);
    return 4;
}

/* ---- iconv ---- */

static size_t run_iconv(struct decoder *d, const unsigned char *in, size_t bytes, bool is_end,
                        size_t *taken, unsigned char *out, size_t room)
{
    char *from, *to = (char *)out;
    memcpy(&from, &in, sizeof from); /* iconv(3) does not write to it */
    size_t left = bytes, free_bytes = room;
    while (left > 0 && free_bytes >= DECODER_ROOM) {
        const size_t before = left, room_before = free_bytes;
        if (iconv(d->iconv, &from, &left, &to, &free_bytes) != (size_t)-1) break;
        if (errno == E2BIG && (left < before || free_bytes < room_before)) continue;
        if (errno == EINVAL && !is_end) break;
        *to++ = (char)0xFF;
        free_bytes--;
        from++;
        left--;
    }
    /* Some encodings hold back a letter that an accent may follow. */
    if (left == 0 && is_end && free_bytes >= DECODER_ROOM)
        (void)iconv(d->iconv, NULL, NULL, &to, &free_bytes);
    *taken = bytes - left;
    return room - free_bytes;
}

size_t decoder_run(struct decoder *d, const unsigned char *in, size_t bytes, bool is_end,
                   size_t *taken, unsigned char *out, size_t room)
{
    assert(room >= DECODER_ROOM);
    if (d->kind == ENCODING_OTHER) return run_iconv(d, in, bytes, is_end, taken, out, room);
    size_t used = 0, at = 0;
    while (at < bytes && room - used >= DECODER_ROOM) {
        size_t n = 0, got;
        switch (d->kind) {
        case ENCODING_UTF16LE:
        case ENCODING_UTF16BE:
            got = next_utf16(in + at, bytes - at, is_end, d->kind == ENCODING_UTF16BE, out + used,
                             &n);
            break;
        case ENCODING_UTF32LE:
        case ENCODING_UTF32BE:
            got = next_utf32(in + at, bytes - at, is_end, d->kind == ENCODING_UTF32BE, out + used,
                             &n);
            break;
        case ENCODING_LATIN1:
        case ENCODING_CP1252:
            got = next_single(in + at, d->kind == ENCODING_CP1252, out + used, &n);
            break;
        default:
            out[used] = in[at];
            got = n = 1;
        }
        if (got == 0) break;
        at += got;
        used += n;
    }
    *taken = at;
    return used;
}
