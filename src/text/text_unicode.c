/* text_unicode: utf8proc first, then the exceptions. One bit for each page of 256 code points shows
 * whether it has any, so most lookups end there. */
#include "text_unicode.h"

#include <stddef.h>
#include <stdlib.h>
#include <utf8proc.h>

struct code_range {
    uint32_t first, last;
};

struct code_mapping {
    uint32_t cp;
    uint32_t n;
    uint32_t to[4];
};

struct code_class {
    uint32_t cp;
    unsigned class;
};

struct code_kind {
    uint32_t first, last, kind;
};

#define UNICODE_TABLES
#include "unicode_exceptions.inc"

#define HANGUL_FIRST 0xAC00u
#define HANGUL_LAST  0xD7A3u
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool page_has_exception(uint32_t cp)
{
    return exception_pages[cp >> 13] >> (cp >> 8 & 31) & 1;
}

/* Whether cp is in one of n sorted ranges. */
static bool in_ranges(const struct code_range *ranges, size_t n, uint32_t cp)
{
    if (!page_has_exception(cp)) return false;
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && ranges[low].first <= cp;
}

/* Orders a code point against a table entry, which begins with its own. */
static int compare_cp(const void *key, const void *entry)
{
    const uint32_t *a = key, *b = entry;
    /* The analyzer loses track of the table inside bsearch. */
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    return (*a > *b) - (*a < *b);
}

/* The entry of cp in a sorted table of n entries; NULL if there is none. */
static const void *find_entry(const void *table, size_t n, size_t size, uint32_t cp)
{
    return page_has_exception(cp) ? bsearch(&cp, table, n, size, compare_cp) : NULL;
}

static unsigned copy_mapping(const struct code_mapping *mapping, uint32_t *out)
{
    for (uint32_t i = 0; i < mapping->n; i++)
        out[i] = mapping->to[i];
    return mapping->n;
}

static utf8proc_category_t category(uint32_t cp)
{
    return (utf8proc_category_t)utf8proc_get_property((utf8proc_int32_t)cp)->category;
}

bool unicode_space(uint32_t cp)
{
    if (cp < 0x80) return cp == ' ' || (cp >= '\t' && cp <= '\r');
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool unicode_control(uint32_t cp)
{
    bool control = cp == 0xFFFD;
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_CC:
        control = cp != '\t' && cp != '\n' && cp != '\r';
        break;
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        control = true;
        break;
    default:
        break;
    }
    return control != in_ranges(exception_control, COUNT(exception_control), cp);
}

bool unicode_punctuation(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
               (cp >= '{' && cp <= '~');
    utf8proc_category_t c = category(cp);
    bool punctuation = c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
    return punctuation != in_ranges(exception_punctuation, COUNT(exception_punctuation), cp);
}

bool unicode_mark(uint32_t cp)
{
    return (category(cp) == UTF8PROC_CATEGORY_MN) !=
           in_ranges(exception_mark, COUNT(exception_mark), cp);
}

bool unicode_word(uint32_t cp)
{
    utf8proc_category_t c = category(cp);
    bool word =
        (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC;
    return word != in_ranges(exception_word, COUNT(exception_word), cp);
}

bool unicode_chinese(uint32_t cp)
{
    return cp >= 0x3400 &&
           ((cp >= 0x4E00 && cp <= 0x9FFF) || (cp <= 0x4DBF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
            (cp >= 0x20000 && cp <= 0x2A6DF) || (cp >= 0x2A700 && cp <= 0x2B81F) ||
            (cp >= 0x2B920 && cp <= 0x2CEAF) || (cp >= 0x2F800 && cp <= 0x2FA1F));
}

unsigned unicode_class(uint32_t cp)
{
    const struct code_class *exception =
        find_entry(exception_class, COUNT(exception_class), sizeof exception_class[0], cp);
    if (exception) return exception->class;
    return (unsigned)utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;
}

unsigned unicode_lower(uint32_t cp, uint32_t out[static UNICODE_LOWER_MAX])
{
    const struct code_mapping *m =
        find_entry(exception_lower, COUNT(exception_lower), sizeof exception_lower[0], cp);
    if (m) return copy_mapping(m, out);
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    return 1;
}

static unsigned decompose(uint32_t cp, utf8proc_option_t options, uint32_t *out, unsigned most)
{
    utf8proc_int32_t to[UNICODE_COMPAT_MAX];
    int bound_class = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, to, (utf8proc_ssize_t)most,
                                                 options, &bound_class);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out[i] = (uint32_t)to[i];
    return (unsigned)n;
}

unsigned unicode_decompose(uint32_t cp, uint32_t out[static UNICODE_DECOMPOSE_MAX])
{
    const struct code_mapping *m =
        find_entry(exception_decomposition, COUNT(exception_decomposition),
                   sizeof exception_decomposition[0], cp);
    if (m) return copy_mapping(m, out);
    bool hangul = cp >= HANGUL_FIRST && cp <= HANGUL_LAST;
    if (!hangul && utf8proc_get_property((utf8proc_int32_t)cp)->decomp_seqindex == UINT16_MAX) {
        out[0] = cp;
        return 1;
    }
    return decompose(cp, UTF8PROC_DECOMPOSE, out, UNICODE_DECOMPOSE_MAX);
}

unsigned unicode_decompose_compat(uint32_t cp, uint32_t out[static UNICODE_COMPAT_MAX])
{
    if (in_ranges(exception_compat, COUNT(exception_compat), cp)) {
        out[0] = cp;
        return 1;
    }
    if (find_entry(exception_decomposition, COUNT(exception_decomposition),
                   sizeof exception_decomposition[0], cp))
        return unicode_decompose(cp, out);
    return decompose(cp, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, out, UNICODE_COMPAT_MAX);
}

uint32_t unicode_compose(uint32_t a, uint32_t b)
{
    if (a >= 0x1100 && a < 0x1113 && b >= 0x1161 && b < 0x1176)
        return HANGUL_FIRST + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
    if (a >= HANGUL_FIRST && a <= HANGUL_LAST && (a - HANGUL_FIRST) % 28 == 0 && b > 0x11A7 &&
        b < 0x11C3)
        return a + (b - 0x11A7);
    if (utf8proc_get_property((utf8proc_int32_t)a)->comb_index == UINT16_MAX ||
        utf8proc_get_property((utf8proc_int32_t)b)->comb_index == UINT16_MAX)
        return 0;
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b};
    const utf8proc_ssize_t n =
        utf8proc_normalize_utf32(pair, 2, (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    return n == 1 ? (uint32_t)pair[0] : 0;
}

/* The kind of cp in the table of exceptions; 0: it is not there. */
static uint32_t exceptional_kind(uint32_t cp)
{
    size_t low = 0, high = COUNT(exception_kind);
    if (!page_has_exception(cp)) return 0;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (exception_kind[middle].last < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT(exception_kind) && exception_kind[low].first <= cp ? exception_kind[low].kind
                                                                          : 0;
}

uint32_t unicode_kind(uint32_t cp)
{
    static const uint32_t kinds[] = {
        [UTF8PROC_CATEGORY_LU] = UNICODE_LU,     [UTF8PROC_CATEGORY_LL] = UNICODE_LL,
        [UTF8PROC_CATEGORY_LT] = UNICODE_LT,     [UTF8PROC_CATEGORY_LM] = UNICODE_LM,
        [UTF8PROC_CATEGORY_LO] = UNICODE_LO,     [UTF8PROC_CATEGORY_MN] = UNICODE_M,
        [UTF8PROC_CATEGORY_MC] = UNICODE_M,      [UTF8PROC_CATEGORY_ME] = UNICODE_M,
        [UTF8PROC_CATEGORY_ND] = UNICODE_ND,     [UTF8PROC_CATEGORY_NL] = UNICODE_NUMBER,
        [UTF8PROC_CATEGORY_NO] = UNICODE_NUMBER, [UTF8PROC_CATEGORY_CO] = 0,
    };
    if (cp < 0x80) {
        const uint32_t letter = (cp | 32) - 'a';
        if (letter < 26) return cp & 32 ? UNICODE_LL : UNICODE_LU;
        if (cp - '0' < 10) return UNICODE_ND;
        return unicode_space(cp) ? UNICODE_S : UNICODE_OTHER;
    }
    if (unicode_space(cp)) return UNICODE_S;
    const uint32_t exception = exceptional_kind(cp);
    if (exception) return exception;
    const uint32_t kind = kinds[category(cp)];
    return kind ? kind : UNICODE_OTHER;
}

bool unicode_numeric(uint32_t cp)
{
    if (cp < 0x80) return cp - '0' < 10;
    const utf8proc_category_t c = category(cp);
    return (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO) !=
           in_ranges(exception_numeric, COUNT(exception_numeric), cp);
}

bool unicode_combining(uint32_t cp)
{
    if (cp < 0x300) return false;
    const utf8proc_category_t c = category(cp);
    return (c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME) !=
           in_ranges(exception_combining, COUNT(exception_combining), cp);
}

/* A code point that utf8proc knows as the reference knows cp: a mark, or a letter. */
static utf8proc_int32_t like(uint32_t cp)
{
    if (!in_ranges(exception_joins, COUNT(exception_joins), cp)) return (utf8proc_int32_t)cp;
    return utf8proc_grapheme_break('a', (utf8proc_int32_t)cp) ? 0x301 : 'a';
}

bool unicode_joins(uint32_t a, uint32_t b, int *state)
{
    utf8proc_int32_t s = *state;
    const bool breaks = utf8proc_grapheme_break_stateful(like(a), like(b), &s);
    *state = s;
    return !breaks;
}
