/* text_section: the compiled tokenizer as bytes, and a view of them.
 *
 * Layout: little-endian words, offsets from the start of the section, sizes in the named words:
 *      0  magic "VMTX"                  4  SECTION_VERSION
 *      8  bytes of the whole section   12  SECTION_WORDS words: enum section_word
 *   then  special ids of the template, those before the text first: TEXT_SPECIALS_MAX words
 *   then  the template for pairs: TEXT_PAIR_PIECES_MAX words of PAIR_WORD
 *   then  what each ASCII byte does: SECTION_ASCII pairs of bytes { enum ascii_class, byte }
 *   then  first bytes of added tokens: 32 bytes of bits for raw text, 32 for normalized text
 *   then  words, raw, normalized: units of three tries (text_trie.h)
 *         added: pairs of words { id, flags }, the values of the tries raw and normalized
 *         stages, of a staged pipeline: STAGE_WORDS words each: enum stage_word
 *         the stages' blobs; the model's table (text_model.h)
 *         tokens: for each id a pair of words { offset in blob, bytes }; bytes SECTION_HOLE: no token
 *         blob: the tokens' bytes
 * text_open checks everything before it is used. */
#ifndef TEXT_SECTION_H
#define TEXT_SECTION_H

#include "text.h"
#include "text_trie.h"

#define SECTION_MAGIC   0x58544D56u
#define SECTION_VERSION 6u
#define SECTION_ASCII   128u
#define SECTION_HOLE    UINT32_MAX

enum section_word {
    SECTION_FLAGS, /* NORM_... */
    SECTION_VOCAB_SIZE,
    SECTION_UNK,
    SECTION_WORD_CHARS,   /* longer words are unknown */
    SECTION_N_BEFORE,     /* special tokens before the text */
    SECTION_N_AFTER,      /* and after */
    SECTION_CONTINUATION, /* node of `words` that the prefix "##" leads to, or TRIE_NONE */
    SECTION_WORDS_AT,
    SECTION_WORDS_UNITS,
    SECTION_RAW_AT,
    SECTION_RAW_UNITS,
    SECTION_NORMALIZED_AT,
    SECTION_NORMALIZED_UNITS,
    SECTION_ADDED_AT,
    SECTION_N_ADDED,
    SECTION_TOKENS_AT,
    SECTION_BLOB_AT,
    SECTION_BLOB_BYTES,
    SECTION_FAMILY, /* enum section_family; FUSED has zeros in all words below */
    SECTION_MODEL,  /* index in TEXT_MODELS */
    SECTION_MODEL_AT,
    SECTION_MODEL_BYTES,
    SECTION_STAGES_AT,
    SECTION_N_NORMALIZERS, /* the first stages */
    SECTION_N_STAGES,
    SECTION_CUTS_LOWER, /* letters around a space before which a text may be cut: bit 0 is a */
    SECTION_CUTS_UPPER,
    SECTION_CUTS_MORE, /* enum section_cut */
    SECTION_TRIM, /* places: SECTION_TRIMS: without white space at their ends; SECTION_TRIM_PREFIX:
                   * but for one space before the first token */
    SECTION_N_PAIR, /* pieces of the template for pairs; 0: none that is understood */
    SECTION_WORDS,

    /* of struct text, not of the section: the longest word that the scratch has room for */
    SECTION_WORD_MOST = SECTION_WORDS
};

/* The word SECTION_CUTS_MORE: LF between ASCII letters; then a bit for each class of text_cut.h, for
 * a space, and for LF. */
enum section_cut {
    SECTION_CUT_LINES = 1,
    SECTION_CUT_CLASS_SPACES = 1, /* bits to shift by */
    SECTION_CUT_CLASS_LINES = 16
};

enum { SECTION_TRIMS = 1, SECTION_TRIM_PREFIX = 2 };

enum section_family { FAMILY_FUSED, FAMILY_STAGED };

/* Of a stage. Blobs are bytes of the section. */
enum stage_word {
    STAGE_KIND, /* index in STAGE_KINDS */
    STAGE_FLAGS,
    STAGE_A_AT,
    STAGE_A_BYTES,
    STAGE_B_AT,
    STAGE_B_BYTES,
    STAGE_WORDS
};

#define SECTION_SPECIALS_AT (12u + 4u * SECTION_WORDS)
#define SECTION_PAIR_AT     (SECTION_SPECIALS_AT + 4u * TEXT_SPECIALS_MAX)
#define SECTION_ASCII_AT    (SECTION_PAIR_AT + 4u * TEXT_PAIR_PIECES_MAX)
#define SECTION_FIRST_AT    (SECTION_ASCII_AT + 2u * SECTION_ASCII)
#define SECTION_HEAD_BYTES  (SECTION_FIRST_AT + 64u)

/* A piece of the template for pairs: the first text, the second one, or a special token; and the type
 * id of its tokens. */
enum pair_kind { PAIR_SPECIAL, PAIR_FIRST, PAIR_SECOND };
#define PAIR_TYPE_MAX             1u
#define PAIR_WORD(kind, type, id) ((uint32_t)(kind) << 28 | (uint32_t)(type) << 24 | (id))
#define PAIR_WORD_KIND(word)      ((word) >> 28)
#define PAIR_WORD_TYPE(word)      ((word) >> 24 & 15u)
#define PAIR_WORD_ID(word)        ((word)&0xFFFFFFu)

/* What BertNormalizer does. */
enum norm_flag { NORM_CLEAN = 1, NORM_CHINESE = 2, NORM_STRIP = 4, NORM_LOWER = 8, NORM_ALL = 15 };

/* What an ASCII byte of the text does after normalization. */
enum ascii_class { ASCII_SLOW, ASCII_WORD, ASCII_SPACE, ASCII_PUNCTUATION, ASCII_DROP, ASCII_LAST };

enum added_flag { ADDED_SINGLE_WORD = 1, ADDED_LSTRIP = 2, ADDED_RSTRIP = 4, ADDED_ALL = 7 };

/* Added tokens of one kind. */
struct added_set {
    struct trie trie;           /* n_units 0: none of this kind */
    const unsigned char *first; /* 256 bits: bytes with which one begins */
    const unsigned char *added; /* pairs of words, indexed by the trie's values */
};

/* A section taken apart; pointers into it. */
struct section_view {
    uint32_t flags, unk, word_chars, n_before, n_after, continuation;
    struct trie words;
    struct added_set raw, normalized;
    const unsigned char *specials; /* words */
    const unsigned char *ascii;    /* pairs of bytes */

    uint32_t n_normalizers, n_stages;
    uint32_t cuts[3]; /* lower, upper, more */
    uint32_t trim;
    const unsigned char *model; /* its table */
};
void section_view(const struct text *text, struct section_view *view);

/* The stages of a staged pipeline, to stages[TEXT_STAGES_MAX]. */
struct stage;
void section_stages(const struct text *text, struct stage *stages);

static inline bool section_is_staged(const struct text *text)
{
    return text->private_[SECTION_FAMILY] == FAMILY_STAGED;
}

static inline uint32_t section_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline bool added_may_begin(const struct added_set *set, unsigned char byte)
{
    return set->first[byte >> 3] >> (byte & 7) & 1;
}

#endif
