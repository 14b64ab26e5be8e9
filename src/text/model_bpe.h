/* model_bpe: byte pair encoding. The characters of a word become symbols; of all neighbouring pairs
 * that may merge, the one of the lowest rank, the leftmost of these, becomes one symbol, until no
 * pair may (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016, 3.2;
 * tokenizers 0.23.3, models/bpe).
 *
 * Here is what its two files share: model_bpe.c reads and compiles, model_bpe_encode.c encodes. */
#ifndef MODEL_BPE_H
#define MODEL_BPE_H

#include "model_table.h"

enum bpe_word {
    BPE_FLAGS,    /* enum bpe_flag */
    BPE_UNK,      /* or TRIE_NONE: unknown characters are left out */
    BPE_CHARS_AT, /* the tokens that are one character, with prefix and suffix as they are used */
    BPE_CHARS_UNITS,
    BPE_PREFIX, /* the node that the prefix leads to there, TRIE_ROOT without one, or TRIE_NONE */
    BPE_SUFFIX_AT,
    BPE_SUFFIX_BYTES,
    BPE_LETTERS_AT, /* ids of the characters below BPE_LETTERS, without prefix and suffix */
    BPE_BYTES_AT,   /* TABLE_BYTE_TOKENS ids; all TRIE_NONE without byte_fallback */
    BPE_WHOLE_AT,   /* words that are one token, with the suffix */
    BPE_WHOLE_UNITS,
    BPE_SLOTS_AT, /* merges by pair: BPE_RUN_MAX more than 2^SLOTS_LOG words of 64 bits */
    BPE_SLOTS_LOG,
    BPE_SLOTS_SEED,
    BPE_MERGED_AT, /* the id that each merge makes, by rank */
    BPE_N_MERGES,
    BPE_SPANS_AT, /* bits: neighbouring characters between which a merge can be */
    BPE_SPANS_LOG,
    BPE_WORDS
};

enum bpe_flag {
    BPE_FUSE_UNK = 1,
    BPE_IGNORE_MERGES = 2, /* a word that is a token is that token, whatever merging makes of it */
    BPE_AFFIX = 4,         /* prefix or suffix */
    BPE_FLAGS_ALL = 7
};

#define BPE_LETTERS                                                                                \
    2048u /* characters of at most two bytes: the alphabet of ByteLevel is among them */

/* ---- pairs of symbols: a table with open addressing ----
 *
 * A slot is a pair of ids of BPE_ID_BITS bits each and a rank below them; BPE_EMPTY is none. A pair
 * is in the first slots from its hash on. No BPE_RUN_MAX slots in a row are full, so a search ends. */
#define BPE_ID_BITS   20u
#define BPE_RANK_BITS 24u
#define BPE_EMPTY     UINT64_MAX
#define BPE_RUN_MAX   64u
#define BPE_NO_RANK   UINT32_MAX
_Static_assert((TEXT_VOCAB_MAX - 1) >> BPE_ID_BITS == 0, "ids fit into a slot");
_Static_assert(TEXT_MERGES_MAX < 1u << BPE_RANK_BITS, "ranks fit into a slot");

static inline uint64_t bpe_pair(uint32_t a, uint32_t b)
{
    return (uint64_t)a << BPE_ID_BITS | b;
}

/* Fibonacci hashing (Knuth, TAOCP 3, 6.4); the seed is for another try where too many pairs meet. */
static inline uint64_t bpe_slot(uint64_t pair, uint32_t seed, uint32_t log)
{
    const uint64_t h = (pair ^ (uint64_t)seed << 32) * 0x9E3779B97F4A7C15u;
    return (h ^ h >> 32) * 0xD6E8FEB86659FD93u >> (64 - log);
}

static inline uint64_t bpe_u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- neighbouring characters ---- */

#define BPE_ASCII_SPANS ((size_t)128 * 128) /* bits of their own, before the 2^SPANS_LOG others */

static inline uint64_t bpe_span(uint32_t a, uint32_t b, uint32_t log)
{
    if (a < 128 && b < 128) return (uint64_t)a * 128 + b;
    return BPE_ASCII_SPANS + (((uint64_t)a << 21 | b) * 0x9E3779B97F4A7C15u >> (64 - log));
}

/* ---- encoding: of struct text_model ---- */

size_t bpe_scratch(size_t bytes);
size_t bpe_encode(const unsigned char *table, const unsigned char *word, size_t bytes,
                  void *scratch, const struct model_piece **pieces);
bool bpe_splits(const unsigned char *table, uint32_t a, uint32_t b);

#endif
