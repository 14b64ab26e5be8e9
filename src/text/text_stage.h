/* text_stage: one step of a tokenizer between its text and its model.
 *
 * A stage is a normalizer (text to text) or a pre-tokenizer (words to words). Each kind is one row of
 * STAGE_KINDS: how it is read from tokenizer.json, checked in a section, and run. A stage runs over
 * a buffer of valid UTF-8 and writes another one. Words are not copied out: a bit for each byte says
 * where one begins. Where in the text each byte comes from is kept only when it is asked for.
 *
 * Stages keep no state and allocate nothing. An output that has no room for the next character is
 * marked full and takes nothing more: it is the begin of what it would have been. Formulas are those
 * of tokenizers 0.23.3, tokenizers/src/{normalizers,pre_tokenizers}. */
#ifndef TEXT_STAGE_H
#define TEXT_STAGE_H

#include "text_spec.h"

/* Bytes of the text that were made into one byte. */
struct stage_place {
    uint32_t start, end;
};

struct stage_text {
    unsigned char *data; /* [room] */
    size_t bytes, room;
    uint64_t *begins; /* [room / 64 + 1]; bit i: a word begins at byte i; NULL: all is one word */
    struct stage_place *places; /* [room]; NULL: not asked for */
    bool full;                  /* something did not fit; what follows is dropped too */
};

/* A code point that is being put into order, and what it does to the input (stage_give). */
struct stage_cp {
    uint32_t cp;
    int32_t change;
};

/* What a stage sees of the text around its input. */
struct stage_context {
    bool begins; /* the input begins a piece of text between added tokens, not a later stretch */
    bool ends;   /* and ends it */
    size_t n_origin;       /* bytes at its begin that come from the document's first character */
    struct stage_cp *work; /* [2 * n_work] */
    size_t n_work;
};

/* A stage of a section. The blobs are read as untrusted bytes. */
struct stage {
    const struct stage_kind *kind;
    uint32_t flags; /* of the kind */
    const unsigned char *a, *b;
    size_t a_bytes, b_bytes;
};

enum stage_phase { STAGE_NORMALIZER, STAGE_PRE_TOKENIZER };

struct stage_kind {
    const char *type; /* in tokenizer.json */
    enum stage_phase phase;
    vecmill_status (*read)(struct spec *s, struct spec_stage *stage, const struct json_value *part,
                           const char *where, vecmill_err *err);
    bool (*check)(const struct stage *stage);

    /* Whether what the stage does next to a cut (text_cut.h) depends only on the characters there: for
     * all texts it gives the same for the whole as for the two parts, if it does so for a letter, the
     * space or LF, and a letter. */
    bool (*is_local)(const struct stage *stage);

    void (*run)(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                struct stage_context *context);
};

extern const struct stage_kind STAGE_KINDS[]; /* the index is the word in a section */
extern const uint32_t STAGE_N_KINDS;

/* Reads the members "normalizer" and "pre_tokenizer" into the spec's stages. */
vecmill_status stage_read(struct spec *s, const struct json_value *normalizer,
                          const struct json_value *pre_tokenizer, vecmill_err *err);

/* ---- for the kinds ---- */

/* A string of the file, kept as the stage's blob a or b. */
vecmill_status stage_keep(struct spec *s, struct spec_stage *stage, bool second, const void *data,
                          size_t bytes, vecmill_err *err);

/* The member "pattern" of Replace and Split: {"String": ...}, or {"Regex": ...} whose text
 * text_regex knows. Sets STAGE_REGEX, or keeps blob a. */
#define STAGE_REGEX 0x80000000u /* flags: the low byte is a pattern of text_regex */
vecmill_status stage_read_pattern(struct spec *s, struct spec_stage *stage,
                                  const struct json_value *pattern, const char *where,
                                  vecmill_err *err);
bool stage_check_pattern(const struct stage *stage);

/* The first match of the pattern in data[from .. bytes): returns its start, `bytes` when there is
 * none, and its end. */
size_t stage_find(const struct stage *stage, const unsigned char *data, size_t bytes, size_t from,
                  size_t *end);

/* Whether the stage looks at n_origin. */
bool stage_asks_origin(const struct stage *stage);

/* Empties a buffer. */
void stage_clear(struct stage_text *t);

/* The word at *at: its end; false at the end of the text. *at is a word's begin. */
bool stage_next_word(const struct stage_text *t, size_t at, size_t *end);

/* A word begins at the end of out. */
static inline void stage_begin_word(struct stage_text *out)
{
    out->begins[out->bytes / 64] |= UINT64_C(1) << out->bytes % 64;
}

/* Copies bytes in[at .. at + n) with their places. */
void stage_copy(const struct stage_text *in, size_t at, size_t n, struct stage_text *out);

/* Writes one character, whose bytes all have the same place. */
void stage_put(struct stage_text *out, uint32_t cp, struct stage_place place);

/* Writing characters while reading others, with the reference's alignment (NormalizedString::
 * transform): a character that replaces one (change 0) has its place; one that also removes n after
 * it (change -n) has the place of the first; one that is added (change 1) has that of the one
 * before. */
struct stage_flow {
    const struct stage_text *in;
    struct stage_text *out;
    size_t at; /* in `in` */
};
void stage_give(struct stage_flow *f, uint32_t cp, int change);

/* Passes over n characters of the input at its begin. */
void stage_skip(struct stage_flow *f, size_t n);

/* The bytes of byte-level tokenizers: each byte is a letter (GPT-2's bytes_to_unicode). */
uint32_t stage_byte_letter(unsigned char byte);
void stage_put_bytes(const struct stage_text *in, size_t at, size_t n, struct stage_text *out);

#endif
