/* text: characters to token ids.
 *
 * The BERT tokenizer: cleaning, spaces around CJK, accents, lower case, splitting at white space and
 * punctuation, WordPiece, added and special tokens, template, truncation; the ids that PyPI
 * `tokenizers` gives, for any bytes.
 *
 * A tokenizer is compiled once from its files into a section (flat bytes, position-independent) and
 * then used in place from mapped memory. Promises: encoding allocates nothing, keeps no state, takes
 * time linear in the text and no memory beyond the caller's, whatever the document's length; the
 * section is checked as hostile bytes when it is opened. Does not know: models, packs, vectors. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define TEXT_FILE_MAX        (64u << 20) /* bytes of tokenizer.json or vocab.txt */
#define TEXT_VOCAB_MAX       (1u << 20)  /* tokens */
#define TEXT_VALUES_MAX      (2u << 20)  /* JSON values of tokenizer.json */
#define TEXT_TOKEN_BYTES_MAX 512u        /* bytes of one token */
#define TEXT_ADDED_MAX       1024u       /* added tokens */
#define TEXT_WORD_CHARS_MAX  1024u       /* most that max_input_chars_per_word may say */
#define TEXT_SPECIALS_MAX    16u         /* special tokens the template adds to one document */
#define TEXT_SECTION_MAX     (256u << 20)

/* Compiles the tokenizer of a folder in Hugging Face layout: tokenizer.json, or vocab.txt alone (then
 * with do_lower_case, tokenize_chinese_chars and strip_accents of tokenizer_config.json if it is there,
 * as transformers' BertTokenizer reads them). The section is appended to `section` (a buf with most =
 * TEXT_SECTION_MAX). E_MODEL: a file is missing or invalid, or holds something not understood; the
 * message names file and field. Truncation and padding in the file are understood and not used. */
vecmill_status text_compile(const char *dir, struct buf *section, vecmill_err *err);

/* The same from bytes (the parser's fuzz target): one of json and vocab is NULL; config may be. */
struct text_files {
    const char *json;
    size_t json_bytes;
    const char *vocab;
    size_t vocab_bytes;
    const char *config; /* tokenizer_config.json */
    size_t config_bytes;
};
vecmill_status text_compile_bytes(const struct text_files *files, struct buf *section,
                                  vecmill_err *err);

/* A view of a compiled section, which the caller keeps mapped and unchanged. Placed by the caller. */
struct text {
    const unsigned char *section;
    size_t bytes;
    uint32_t vocab_size; /* largest id + 1 */
    uint32_t n_specials; /* tokens that the template adds to a document */
    /* inside, private to text: the section's numbers, checked by text_open */
    uint32_t private_[32];
};
vecmill_status text_open(const void *section, size_t bytes, struct text *text, vecmill_err *err);

struct text_result {
    uint32_t n_ids;          /* written */
    bool truncated;          /* tokens were cut off at the right */
    uint64_t replaced_bytes; /* bytes of invalid UTF-8, read as U+FFFD */
};

/* Encodes one document into ids[max_tokens]: the template's special tokens around as many of the
 * text's first tokens as fit. max_tokens > n_specials (asserted). Stops reading once the result is
 * certain (replaced_bytes then counts what was read). Cannot fail. */
void text_encode(const struct text *text, const char *data, size_t bytes, uint32_t max_tokens,
                 int32_t *ids, struct text_result *result);

/* A token's text, borrowed from the section; NULL if no token has this id. */
const char *text_token(const struct text *text, int32_t id, size_t *bytes);

#endif
