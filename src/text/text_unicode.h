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

#endif
