/* text_spec: a tokenizer as its files describe it, before it is compiled.
 *
 * Texts of JSON are kept here. Those of vocab.txt are borrowed from its bytes, which live as long as
 * the spec.
 *
 * Memory is planned from the size of the file alone. What needs more is refused, and the message
 * names the plan. The plan relies on each token taking a least number of bytes of the file on
 * average, since no two are alike. */
#ifndef TEXT_SPEC_H
#define TEXT_SPEC_H

#include "text_section.h"

#define SPEC_QUOTE_BYTES 160u

/* The least bytes of file for a token, except for the first 1,024. tokenizer.json: of 10,000 tokens
 * most have a key of three letters and an id of four digits, `"abc":1234,`; for fewer or more the
 * average is at least 9.4. vocab.txt: a line of two bytes and its end. */
#define SPEC_JSON_TOKEN_BYTES  9u
#define SPEC_VOCAB_TOKEN_BYTES 3u
#define SPEC_TOKENS_BASE       1024u

/* The most tokens, and ids including unused ones, for a file of this size. */
static inline uint32_t spec_tokens_plan(bool is_json, size_t file_bytes)
{
    const size_t n =
        SPEC_TOKENS_BASE + file_bytes / (is_json ? SPEC_JSON_TOKEN_BYTES : SPEC_VOCAB_TOKEN_BYTES);
    return n < TEXT_VOCAB_MAX ? (uint32_t)n : TEXT_VOCAB_MAX;
}

/* The same for the merges of a BPE model: `"a b",`, of which most are longer. */
#define SPEC_JSON_MERGE_BYTES 9u
#define SPEC_MERGES_BASE      1024u
#define SPEC_MERGE_BYTES      12u /* of a merge that was read */

static inline uint32_t spec_merges_plan(size_t file_bytes)
{
    const size_t n = SPEC_MERGES_BASE + file_bytes / SPEC_JSON_MERGE_BYTES;
    return n < TEXT_MERGES_MAX ? (uint32_t)n : TEXT_MERGES_MAX;
}

/* The most added tokens: no file has this many of its own size in them. */
static inline uint32_t spec_added_plan(size_t file_bytes)
{
    const size_t n = num_max(1024, file_bytes / 1024);
    return n < TEXT_ADDED_MAX ? (uint32_t)n : TEXT_ADDED_MAX;
}

struct spec_added {
    const char *text;
    uint32_t bytes;
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized;
};

/* A normalizer or pre-tokenizer (text_stage.h). */
struct spec_stage {
    const struct stage_kind *kind;
    uint32_t flags;
    struct {
        size_t at, bytes; /* in stage_data */
    } blobs[2];
};

struct spec {
    const char *file;        /* for messages */
    uint32_t tokens_plan;    /* spec_tokens_plan of it */
    uint32_t merges_plan;    /* spec_merges_plan of it */
    char *texts, *texts_end; /* of spec_keep_text */
    size_t texts_left;
    size_t other_text_bytes; /* of strings outside the vocabulary, as in spec_reserve */
    struct trie_key *tokens; /* value: id; sorted by spec_index */
    size_t n_tokens;
    uint32_t flags; /* NORM_... */
    uint32_t word_chars;
    const char *prefix;
    uint32_t unk; /* UINT32_MAX: the model has none */
    struct spec_added *added;
    uint32_t n_added, added_room;
    uint32_t
        n_outside; /* added tokens outside the vocabulary; they have the ids n_tokens + i ... */
    uint64_t taken[TEXT_ADDED_MAX / 64];  /* ... unless a token of the vocabulary has it: bit i */
    uint32_t specials[TEXT_SPECIALS_MAX]; /* before the text, then after */
    uint32_t n_before, n_after;
    uint32_t pair[TEXT_PAIR_PIECES_MAX];       /* PAIR_WORD */
    uint32_t n_pair;                           /* 0: no template for pairs that is understood */
    const struct text_model *model;            /* NULL: the pipeline of text_encode.c */
    struct spec_stage stages[TEXT_STAGES_MAX]; /* normalizers, then pre-tokenizers */
    uint32_t n_normalizers, n_stages;
    uint32_t trim; /* SECTION_TRIMS ... */
    struct buf stage_data;
    void *model_description; /* of mem_new: what a kind of model needs besides (text_model.h) */
};

/* An empty description of a file that may have tokens_plan tokens. Pair: spec_done. */
void spec_init(struct spec *s, const char *file, uint32_t tokens_plan);
void spec_done(struct spec *s);

/* Room for n tokens, and for the texts of strings that take text_bytes in their file, quotes
 * included, in addition to other_text_bytes. */
vecmill_status spec_reserve(struct spec *s, size_t n, size_t text_bytes, vecmill_err *err);

/* Room for n added tokens, at most spec_added_plan of the file. */
vecmill_status spec_reserve_added(struct spec *s, size_t n, size_t file_bytes, vecmill_err *err);

/* Keeps what a string means, with a NUL after it, within the room. *bytes without that. */
const char *spec_keep_text(struct spec *s, const struct json_value *string, size_t *bytes);

/* Reads an object by its table; other members are refused. Messages call it `where`. */
vecmill_status spec_read_part(const struct spec *s, const struct json_value *object,
                              const char *where, const struct json_field *fields, size_t n,
                              void *target, vecmill_err *err);

/* "FILE: `where` is VALUE, understood is `known`". */
vecmill_status spec_refuse_value(const struct spec *s, const char *where,
                                 const struct json_value *value, const char *known,
                                 vecmill_err *err);

/* Reads a member that is true or false; null or absent: *out stays. */
vecmill_status spec_read_bool(const char *file, const struct json_value *object, const char *key,
                              bool *out, vecmill_err *err);

/* One more token, within the room. Refuses long ones and ids out of range. */
vecmill_status spec_add_token(struct spec *s, const char *text, size_t bytes, int64_t id,
                              vecmill_err *err);

/* Sorts the tokens; refuses two of one text or one id. */
vecmill_status spec_index(struct spec *s, vecmill_err *err);

/* Reads an object of tokens and their ids, sorted and checked as by spec_index; with room for other
 * texts as in spec_reserve. */
vecmill_status spec_read_vocab(struct spec *s, const struct json_value *vocab, size_t text_bytes,
                               vecmill_err *err);

/* The id of a text in the vocabulary, without added tokens. */
bool spec_find_token(const struct spec *s, const char *text, size_t bytes, uint32_t *id);

/* The id of a text among the tokens or added tokens. */
bool spec_find(const struct spec *s, const char *text, size_t bytes, uint32_t *id);

/* Whether a token or an added token has the id. */
bool spec_has_id(const struct spec *s, uint32_t id);

/* As spec_find; on failure the message says that `what` needs it. */
vecmill_status spec_need(const struct spec *s, const char *what, const char *text, size_t bytes,
                         uint32_t *id, vecmill_err *err);

/* As spec_need for a string of the file, whose text need not be kept. */
vecmill_status spec_need_value(const struct spec *s, const char *what,
                               const struct json_value *token, uint32_t *id, vecmill_err *err);

/* Adds an added token. Its id is the vocabulary's, or else the next one after that, as in the
 * reference. `claimed` is the id in the file (negative: none) and must agree. */
vecmill_status spec_add_added(struct spec *s, const struct spec_added *added, int64_t claimed,
                              vecmill_err *err);

/* One more special token of the template. */
vecmill_status spec_add_special(struct spec *s, uint32_t id, bool after, vecmill_err *err);

/* One more piece of the template for pairs (PAIR_WORD). */
vecmill_status spec_add_pair(struct spec *s, uint32_t piece, vecmill_err *err);

/* Those of BERT, [cls] A [sep] B [sep] with types 0 and 1; of RoBERTa, <s> A </s> </s> B </s>, all of
 * type 0; and where nothing is added, A B. */
void spec_pair_typed(struct spec *s, uint32_t cls, uint32_t sep);
void spec_pair_untyped(struct spec *s, uint32_t cls, uint32_t sep);
void spec_pair_alone(struct spec *s);

/* A token's text for a message: quoted, control characters escaped, a long one cut. Returns out. */
const char *spec_quote(const char *text, size_t bytes, char out[static SPEC_QUOTE_BYTES]);
const char *spec_quote_value(const struct json_value *value, char out[static SPEC_QUOTE_BYTES]);

/* The readers, which fill a new spec. config is an object of tokenizer_config.json, or
 * absent. */
vecmill_status spec_from_json(const char *json, size_t bytes, struct spec *s, vecmill_err *err);
/* Of tokenizer.json only the kind of its model; NULL: BERT's pipeline. Fills a new spec for messages. */
vecmill_status spec_model_of_json(const char *json, size_t bytes, struct spec *s,
                                  const struct text_model **model, vecmill_err *err);
vecmill_status spec_from_vocab(const char *vocab, size_t bytes, const struct json_value *config,
                               struct spec *s, vecmill_err *err);

#endif
