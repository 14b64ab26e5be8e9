/* text_regex: the regular expressions of published tokenizers, each as a scanner written for it.
 *
 * A pattern is known by its exact text; there is no engine for others. The scanners give the matches of
 * Oniguruma, which `tokenizers` uses: leftmost, alternatives in order, greedy. They read a match
 * once or twice, so that time is linear. The text is valid UTF-8, its begin and end are those of the
 * expression's subject. */
#ifndef TEXT_REGEX_H
#define TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGEX_NONE UINT32_MAX

/* The number of the pattern of that text, below regex_count and 256; REGEX_NONE: not known. */
uint32_t regex_named(const char *pattern, size_t bytes);
uint32_t regex_count(void);

/* The patterns that pre-tokenizers have built in: ByteLevel's (GPT-2) and Whitespace's. */
uint32_t regex_gpt2(void);
uint32_t regex_words(void);

/* The first match that begins in data[from .. bytes): its start, or `bytes` when there is none, and
 * its end. A match is never empty. */
size_t regex_find(uint32_t regex, const unsigned char *data, size_t bytes, size_t from,
                  size_t *end);

/* Where the first match of regex_gpt2 ends when a space is put before the text; 0: it is that
 * space. */
size_t regex_after_space(const unsigned char *data, size_t bytes);

/* Whether no match is bound to the begin or end of the text. */
bool regex_is_local(uint32_t regex);

#endif
