/* text_unicode: what the reference tokenizer knows about a code point.
 *
 * utf8proc's tables, corrected by unicode_exceptions.inc where PyPI tokenizers differs (its tables
 * are of several older and newer Unicode versions). Scalar values only. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#define UNICODE_LOWER_MAX     3u /* code points that one may become */
#define UNICODE_DECOMPOSE_MAX 4u
#define UNICODE_COMPAT_MAX    18u

/* White_Space: separates words, and clean_text replaces it by a space. */
bool unicode_space(uint32_t cp);

/* Dropped by clean_text: NUL, U+FFFD, and the categories Cc, Cf and Co except tab, LF and CR. */
bool unicode_control(uint32_t cp);

/* A word by itself: category P, and all ASCII that is neither letter, digit, space nor control. */
bool unicode_punctuation(uint32_t cp);

/* Dropped by strip_accents: category Mn. For decomposed code points only. */
bool unicode_mark(uint32_t cp);

/* \w of a regular expression, which single_word looks for next to an added token. */
bool unicode_word(uint32_t cp);

/* The code points that get spaces around them: eight fixed ranges. */
bool unicode_chinese(uint32_t cp);

/* Canonical combining class; 0 for starters. For decomposed code points only. */
unsigned unicode_class(uint32_t cp);

/* Lower case of one code point without context; returns the number of code points written. */
unsigned unicode_lower(uint32_t cp, uint32_t out[static UNICODE_LOWER_MAX]);

/* Full canonical decomposition, not reordered; returns the number of code points written. */
unsigned unicode_decompose(uint32_t cp, uint32_t out[static UNICODE_DECOMPOSE_MAX]);

/* The same with compatibility decompositions (NFKD). */
unsigned unicode_decompose_compat(uint32_t cp, uint32_t out[static UNICODE_COMPAT_MAX]);

/* The code point that a starter and what follows it are composed to (NFC); 0: none. */
uint32_t unicode_compose(uint32_t a, uint32_t b);

/* Whether the code point is composed, decomposed or put in order by no form of normalization, and
 * begins nothing that is: all below U+00A0, and letters that are known for it. */
static inline bool unicode_inert(uint32_t cp)
{
    return cp < 0xA0 || (cp >= 0x4E00 && cp <= 0x9FFF);
}

/* General categories as Oniguruma has them (\p{..} and \s of regular expressions). */
enum unicode_kind_bit {
    UNICODE_LU = 1,
    UNICODE_LL = 2,
    UNICODE_LT = 4,
    UNICODE_LM = 8,
    UNICODE_LO = 16,
    UNICODE_L = 31,
    UNICODE_M = 32,
    UNICODE_ND = 64,
    UNICODE_NUMBER = 128, /* Nl and No */
    UNICODE_N = 192,
    UNICODE_S = 256, /* White_Space */
    UNICODE_OTHER = 512
};
uint32_t unicode_kind(uint32_t cp);

/* Categories Nd, Nl and No as Rust has them (char::is_numeric). */
bool unicode_numeric(uint32_t cp);

/* Category M, which the normalizer StripAccents drops. */
bool unicode_combining(uint32_t cp);

/* Whether an extended grapheme cluster goes on from a to b (UAX 29). *state: 0 at a cluster's begin,
 * then what the function leaves. */
bool unicode_joins(uint32_t a, uint32_t b, int *state);

#endif
