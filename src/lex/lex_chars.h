/* lex_chars: what Python's re and str.lower know about a character. Private to lex. */
#ifndef LEX_CHARS_H
#define LEX_CHARS_H

#include <stdbool.h>
#include <stdint.h>

/* \w of a str pattern: what is alphanumeric, and "_". */
bool chars_is_word(uint32_t cp);

/* Lower case without context. U+0130 has two characters, the second of which is no \w: this is the
 * first. */
uint32_t chars_lower(uint32_t cp);

/* For the capital sigma: final where the last before it that is not passed over is cased, and the next after
 * it is not. */
bool chars_is_cased(uint32_t cp);
bool chars_is_passed(uint32_t cp); /* Case_Ignorable, of \w */

#endif
