/* text: characters to token ids.
 *
 * Normalizers, pre-tokenizers, a model (WordPiece, Unigram, BPE), added and special tokens,
 * template, truncation. It gives the ids of PyPI `tokenizers`, for any bytes. BERT's tokenizer is
 * one fused pass (text_encode.c); all others go through stages (text_staged.h).
 *
 * A tokenizer is compiled once from its files into a section (flat bytes, position-independent) and
 * then used in place from mapped memory. Encoding allocates nothing, keeps no state, and takes time
 * n log n in the text (Unigram and added tokens: n times the longest token, at worst) and no memory
 * beyond the caller's, whatever the document's length. The section
 * is checked as untrusted bytes when it is opened. Does not know models, packs or vectors. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define TEXT_FILE_MAX        (64u << 20) /* bytes of tokenizer.json or vocab.txt */
#define TEXT_VOCAB_MAX       (1u << 20)  /* tokens */
#define TEXT_MERGES_MAX      (1u << 21)  /* merges of a BPE model */
#define TEXT_TOKEN_BYTES_MAX 1024u       /* bytes of one token */
#define TEXT_ADDED_MAX       8192u       /* added tokens */
#define TEXT_STAGES_MAX      32u         /* normalizers and pre-tokenizers */
#define TEXT_STRETCH_MAX     (1u << 20)  /* bytes of a text without a sure cut */
#define TEXT_SCRATCH_MAX     (32u << 20) /* bytes of scratch */
#define TEXT_WORD_CHARS_MAX  1024u       /* the most that max_input_chars_per_word may be */
#define TEXT_SPECIALS_MAX    16u         /* special tokens that the template adds to one document */
#define TEXT_PAIR_PIECES_MAX 18u /* the two texts of a pair and the special tokens around them */
#define TEXT_SECTION_MAX     (256u << 20)

/* Compiles the tokenizer of a folder in Hugging Face layout: tokenizer.json, or vocab.txt alone
 * (then with do_lower_case, tokenize_chinese_chars and strip_accents of tokenizer_config.json if
 * that is there, as transformers' BertTokenizer reads them). The section is appended to `section`
 * (a buf with most = TEXT_SECTION_MAX). E_MODEL: a file is missing or invalid, or has something not
 * understood; the message names file and field. Truncation and padding in the file are understood
 * and not used. */
vecmill_status text_compile(const char *dir, struct buf *section, vecmill_err *err);

/* The most memory that text_compile holds at one time, including its section, from the sizes of the
 * files alone, which are not opened. For a program that has called mem_map_large. text_compile
 * refuses what would need more, and names the plan that it exceeds. E_MODEL: no tokenizer in the
 * folder. */
vecmill_status text_compile_most(const char *dir, size_t *bytes, vecmill_err *err);

/* text_compile from bytes (the parser's fuzz target): one of json and vocab is NULL; config may be. */
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

/* A view of a compiled section, which the caller keeps mapped and unchanged. The caller's
 * struct. */
struct text {
    const unsigned char *section;
    size_t bytes;
    uint32_t vocab_size; /* largest id + 1 */
    uint32_t n_specials; /* tokens that the template adds to a document ... */
    uint32_t n_before;   /* ... of these, before the text */
    int32_t unknown;     /* id of what no token of the vocabulary stands for; -1: there is none */
    bool takes_pairs;    /* whether there is a template for pairs that is understood */
    uint32_t n_pair_specials; /* tokens that it adds */
    /* private to text: the section's numbers, checked by text_open */
    uint32_t private_[32];
};
vecmill_status text_open(const void *section, size_t bytes, struct text *text, vecmill_err *err);

struct text_result {
    uint32_t n_ids;          /* written */
    bool truncated;          /* tokens were cut off at the right */
    uint64_t replaced_bytes; /* bytes of invalid UTF-8, read as U+FFFD */
};

/* Bytes of scratch, aligned to 64, that encoding with this tokenizer takes: 0 for BERT's, otherwise
 * at most TEXT_SCRATCH_MAX. One call or stream at a time uses it; it need not be kept between. */
size_t text_scratch_bytes(const struct text *text);

/* What text_scratch_bytes will say of the tokenizer of a folder, which is not compiled: the file is read
 * and freed. E_MODEL: it has none, or one that is not understood. */
vecmill_status text_scratch_of(const char *dir, size_t *bytes, vecmill_err *err);

/* Encodes one document into ids[max_tokens]: the template's special tokens around as many of the
 * text's first tokens as fit. max_tokens > n_specials (asserted). Stops reading once the result is
 * certain (replaced_bytes then counts only what was read). Of a text without a sure cut only the
 * first TEXT_STRETCH_MAX bytes count, or fewer if a stage makes much more of them; of a word, what a
 * model has scratch for, over 1 MB (docs/TOKENIZER.md). The text is truncated then. Cannot fail. */
void text_encode(const struct text *text, void *scratch, const char *data, size_t bytes,
                 uint32_t max_tokens, int32_t *ids, struct text_result *result);

/* The same without special tokens; max_tokens may be 0. */
void text_encode_bare(const struct text *text, void *scratch, const char *data, size_t bytes,
                      uint32_t max_tokens, int32_t *ids, struct text_result *result);

/* Encodes a pair of texts by the template for pairs, which there is (asserted). Writes ids[] and
 * types[], each token's type id. Where both do not fit, the longer one is cut at its end, then both by
 * turns (tokenizers, utils/truncation.rs, LongestFirst). max_tokens > n_pair_specials (asserted).
 * ids: [3 * max_tokens], of which the first max_tokens are the result; types: [max_tokens]. Otherwise
 * as text_encode. */
struct text_part {
    const char *data;
    size_t bytes;
};
void text_encode_pair(const struct text *text, void *scratch, const struct text_part parts[2],
                      uint32_t max_tokens, int32_t *ids, uint8_t *types,
                      struct text_result *result);

/* ---- the tokens of one text, a few at a time ----
 *
 * The first of these tokens are those of text_encode. The text is read once, left to right, and no
 * further than one token after those asked for. A call may end inside a word and the next continues
 * there, so the ids do not depend on how many are asked for at a time. What is kept between calls
 * does not grow with the text. The caller adds special tokens (text_enclose). */
struct text_stream;

/* Size of a stream, the same for every text. */
size_t text_stream_bytes(void);

/* A stream at the start of a text, in the caller's memory (text_stream_bytes, aligned to 64) and
 * scratch (text_scratch_bytes), which must stay until the last call; there is nothing to close. text
 * and data are borrowed as long. */
struct text_stream *text_stream_begin(void *memory, void *scratch, const struct text *text,
                                      const char *data, size_t bytes);

/* Writes the next tokens to ids[max]; *n: their number, less than max only at the end of the text.
 * *more: whether another token follows, so the end is known without a further call. max may be 0.
 * E_LIMIT: the text has no sure cut within TEXT_STRETCH_MAX bytes, a word is longer than the model has
 * scratch for, or the stages make too much of a text; never for BERT's tokenizer. */
vecmill_status text_stream_next(struct text_stream *stream, int32_t *ids, uint32_t max, uint32_t *n,
                                bool *more, vecmill_err *err);

/* Bytes of invalid UTF-8 in what was read so far. */
uint64_t text_stream_replaced(const struct text_stream *stream);

/* Puts the template's special tokens around n tokens of a text, which are at ids[n_before]; n may
 * be 0. Returns the new number, n + n_specials, counted from ids[0]. */
uint32_t text_enclose(const struct text *text, int32_t *ids, uint32_t n);

/* ---- all tokens of a text, each with its position ---- */

struct text_piece {
    int32_t id;
    uint32_t word;       /* of the text, counted from 0; pieces of one word have the same number */
    uint32_t start, end; /* bytes of the text that it was made of */
};

/* Bytes of working memory of text_pieces for a text of this many bytes. */
size_t text_pieces_bytes(const struct text *text, size_t bytes);

/* Passes the tokens that a stream gives, of a text of less than 4 GiB, to `keep` one by one.
 * memory: text_pieces_bytes, aligned to 64. E_LIMIT as text_stream_next; there is room for 64 times the
 * text's bytes and 4 KiB, at most 3 MiB. */
vecmill_status text_pieces(void *memory, const struct text *text, const char *data, size_t bytes,
                           void (*keep)(void *context, const struct text_piece *piece),
                           void *context, vecmill_err *err);

/* ---- what the steps make of a text, for people ---- */

/* Calls for one text, in its order. What they are given is borrowed until they return. */
struct text_watch {
    /* A part of the normalized text; the parts, one after the other, are the whole. An added token on the
     * raw text is a part as it is. NULL: not asked for. */
    void (*normalized)(void *context, const char *made, size_t bytes);
    /* What the pre-tokenizer made, before its tokens: a word, or an added token as it was found. start, end:
     * the bytes of the text that it was made of. NULL: not asked for. */
    void (*word)(void *context, const char *made, size_t bytes, uint32_t start, uint32_t end);
    void (*token)(void *context, const struct text_piece *piece); /* as `keep` of text_pieces */
    void *context;
};

/* Bytes of working memory of text_explain for a text of this many bytes. */
size_t text_explain_bytes(const struct text *text, size_t bytes);

/* As text_pieces, with what was made on the way to the tokens. The parts come before or after the words
 * that were made of them. */
vecmill_status text_explain(void *memory, const struct text *text, const char *data, size_t bytes,
                            const struct text_watch *watch, vecmill_err *err);

/* A token's text, borrowed from the section; NULL if no token has this id. */
const char *text_token(const struct text *text, int32_t id, size_t *bytes);

#endif
