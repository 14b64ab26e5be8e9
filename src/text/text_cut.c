/* text_cut: classes of characters, and the search for a cut. */
#include "text_cut.h"

#include "text_unicode.h"

#define MARK 0x2581u /* of SentencePiece */

const struct cut_range CUT_RANGES[] = {
    /* in order; without letters too rare for a vocabulary */
    {CUT_STOP, '!', '!'},
    {CUT_STOP, ',', ','},
    {CUT_STOP, '.', '.'},
    {CUT_DIGIT, '0', '9'},
    {CUT_STOP, ':', ';'},
    {CUT_STOP, '?', '?'},
    {CUT_GREEK, 0x391, 0x3A1},
    {CUT_GREEK, 0x3A3, 0x3AA},
    {CUT_GREEK, 0x3AC, 0x3CE},
    {CUT_CYRILLIC, 0x401, 0x40C},
    {CUT_CYRILLIC, 0x40E, 0x45F},
    {CUT_CYRILLIC, 0x490, 0x491},
    {CUT_HEBREW, 0x5D0, 0x5EA},
    {CUT_ARABIC, 0x621, 0x63A},
    {CUT_ARABIC, 0x641, 0x64A},
    {CUT_WIDE_STOP, 0x3001, 0x3002},
    {CUT_KANA, 0x3041, 0x3094},
    {CUT_KANA, 0x30A1, 0x30F6},
    {CUT_KANA, 0x30FC, 0x30FC},
    {CUT_HAN, 0x4E00, 0x9FFF},
    {CUT_HANGUL, 0xAC00, 0xD7A3},
    {CUT_WIDE_STOP, 0xFF01, 0xFF01},
    {CUT_WIDE_STOP, 0xFF0C, 0xFF0C},
    {CUT_WIDE_STOP, 0xFF1A, 0xFF1B},
    {CUT_WIDE_STOP, 0xFF1F, 0xFF1F},
};

const uint32_t CUT_N_RANGES = sizeof CUT_RANGES / sizeof *CUT_RANGES;

/* CUT_CLASSES: none. */
static enum cut_class class_of(uint32_t cp)
{
    for (uint32_t i = 0; i < CUT_N_RANGES && CUT_RANGES[i].first <= cp; i++) {
        if (cp <= CUT_RANGES[i].last) return CUT_RANGES[i].class;
    }
    return CUT_CLASSES;
}

static bool is_ascii_letter(uint32_t cp)
{
    return (cp | 32) - 'a' < 26;
}

bool cut_is_space(uint32_t cp)
{
    return cp == MARK || unicode_space(cp);
}

bool cut_is_letter(uint32_t cp)
{
    if (cp >= 0x80) return !cut_is_space(cp);
    return is_ascii_letter(cp) || class_of(cp) != CUT_CLASSES;
}

bool cut_string_is_local(const unsigned char *text, size_t bytes)
{
    uint32_t cp;
    bool bad;
    if (utf8_next(text, bytes, &cp, &bad) == bytes) return true;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7F || cut_is_letter(text[i])) return false;
    }
    return true;
}

bool cut_token_is_local(const unsigned char *text, size_t bytes, bool rstrip, bool single_word)
{
    bool was_space = true;
    uint32_t cp = ' ';
    for (size_t i = 0; i < bytes;) {
        bool bad;
        const size_t n = utf8_next(text + i, bytes - i, &cp, &bad);
        const bool space = cut_is_space(cp);
        if (space && single_word && i == 0) return false;
        if (space && !was_space) return false;
        was_space = space;
        i += n;
    }
    return !(rstrip && cut_is_letter(cp));
}

/* The character before `at`, in data[begin .. at); false: there is none, or it is not valid. */
static bool char_before(const unsigned char *data, size_t begin, size_t at, size_t *start,
                        uint32_t *cp)
{
    bool bad;
    if (at == begin) return false;
    *start = at - 1;
    while (*start > begin && at - *start < 4 && (data[*start] & 0xC0) == 0x80)
        --*start;
    return utf8_next(data + *start, at - *start, cp, &bad) == at - *start && !bad;
}

static bool is_proven(const struct section_view *v, uint32_t cp, bool line)
{
    if (is_ascii_letter(cp)) {
        return v->cuts[cp & 32 ? 0 : 1] >> ((cp | 32) - 'a') & 1 &&
               (!line || v->cuts[2] & SECTION_CUT_LINES);
    }
    const enum cut_class class = class_of(cp);
    return class != CUT_CLASSES && v->cuts[2] & cut_bit(class, line);
}

/* Whether a text may be cut at data[at]. The character before the letter must be of a kind that joins
 * nothing after it (UAX 29). What is after the space is in its part whatever it becomes. */
static bool may_cut_at(const struct section_view *v, const unsigned char *data, size_t bytes,
                       size_t begin, size_t at)
{
    const bool line = data[at] == '\n';
    uint32_t cp;
    size_t start;
    bool bad;
    if (!line && data[at] != ' ') return false;
    if (!char_before(data, begin, at, &start, &cp) || !is_proven(v, cp, line)) return false;
    if (!char_before(data, begin, start, &start, &cp) ||
        (cp >= 0x80 && class_of(cp) == CUT_CLASSES))
        return false;
    if (at + 1 == bytes) return false;
    (void)utf8_next(data + at + 1, bytes - at - 1, &cp, &bad);
    return !bad && (is_ascii_letter(cp) || class_of(cp) != CUT_CLASSES);
}

size_t cut_find(const struct section_view *v, const unsigned char *data, size_t bytes, size_t begin,
                size_t end)
{
    if (!(v->cuts[0] | v->cuts[1] | v->cuts[2])) return 0;
    for (size_t at = end; at > begin + 1; at--) {
        if (may_cut_at(v, data, bytes, begin, at - 1)) return at - 1;
    }
    return 0;
}
