/* text_cut: before which spaces and lines a text may be cut into stretches.
 *
 * A sure cut is before a space or LF that has a letter of a class on both sides. The compiler proves for
 * each class of the letter before it that the tokens of the whole are those of the two parts
 * (staged_find_cuts): no stage looks at more than the characters next to the cut, and these stay what
 * they are, letters and white space, through all normalizers. What is not proven is no cut. */
#ifndef TEXT_CUT_H
#define TEXT_CUT_H

#include "text_section.h"

/* Characters that are proven together; ASCII letters are proven one by one. */
enum cut_class {
    CUT_DIGIT,
    CUT_STOP, /* ! , . : ; ? */
    CUT_WIDE_STOP,
    CUT_GREEK,
    CUT_CYRILLIC,
    CUT_HEBREW,
    CUT_ARABIC,
    CUT_KANA,
    CUT_HANGUL,
    CUT_HAN,
    CUT_CLASSES
};

/* The class's bit of SECTION_CUTS_MORE, before a space or a line. */
static inline uint32_t cut_bit(enum cut_class class, bool line)
{
    return UINT32_C(1) << ((line ? SECTION_CUT_CLASS_LINES : SECTION_CUT_CLASS_SPACES) +
                           (uint32_t) class);
}

struct cut_range {
    enum cut_class class;
    uint32_t first, last;
};
extern const struct cut_range CUT_RANGES[];
extern const uint32_t CUT_N_RANGES;

/* What a space or LF may become in the normalizers: White_Space or U+2581. */
bool cut_is_space(uint32_t cp);

/* What a letter of a class may become: an ASCII letter, digit or stop, or a character outside ASCII
 * that is no space. */
bool cut_is_letter(uint32_t cp);

/* Whether a string that a stage searches for can neither reach over a cut nor change with its
 * neighbours what is next to one: it is one character, or ASCII signs that are none of
 * cut_is_letter. */
bool cut_string_is_local(const unsigned char *text, size_t bytes);

/* Whether an added token, in the form in which it is matched, can neither reach over a cut, nor look
 * over it, nor strip what is after it. */
bool cut_token_is_local(const unsigned char *text, size_t bytes, bool rstrip, bool single_word);

/* The last sure cut in (begin, end), where end is at most `bytes`, the text's end; 0: none. */
size_t cut_find(const struct section_view *v, const unsigned char *data, size_t bytes, size_t begin,
                size_t end);

#endif
