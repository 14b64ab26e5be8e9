/* model_table: the table of a model as bytes: words, then arrays whose places are among the words.
 *
 * Offsets are from the table's start, numbers little-endian, arrays 8-aligned from there; mapped, a
 * table may have any alignment. A reader checks places and tries once and then relies on them. */
#ifndef MODEL_TABLE_H
#define MODEL_TABLE_H

#include "text_model.h"

#define TABLE_BYTE_TOKENS 256u

/* ---- writing ---- */

struct table_writer {
    struct buf *out;
    size_t start; /* of the table in out */
};

/* A table at out's end, which is 8-aligned: its words, all 0. */
vecmill_status table_begin(struct table_writer *w, struct buf *out, unsigned n_words,
                           vecmill_err *err);
void table_set(const struct table_writer *w, unsigned word, uint32_t value);

/* The table's bytes so far, until it grows. */
unsigned char *table_data(const struct table_writer *w);

/* Begins an array at the end: its place becomes the word's value. */
vecmill_status table_place(const struct table_writer *w, unsigned word, vecmill_err *err);

/* An array of `bytes` bytes, all `fill`; *at its first, until the table grows. */
vecmill_status table_add_filled(const struct table_writer *w, unsigned word, size_t bytes, int fill,
                                unsigned char **at, vecmill_err *err);

/* The trie of n keys, sorted and distinct, of which the first may be empty, which is left out. The
 * word becomes its place, the next one its number of units. */
vecmill_status table_add_trie(const struct table_writer *w, unsigned word,
                              const struct trie_key *keys, size_t n, vecmill_err *err);

/* ---- reading ---- */

static inline uint32_t table_word(const unsigned char *table, unsigned word)
{
    return section_u32(table + (size_t)4 * word);
}

static inline struct trie table_trie(const unsigned char *table, unsigned word)
{
    return (struct trie){table + table_word(table, word), table_word(table, word + 1)};
}

/* Whether n records of `size` bytes are in a table of `bytes` bytes at the place in the word. The
 * words themselves must be there. */
bool table_holds(const unsigned char *table, size_t bytes, unsigned word, uint64_t n, size_t size);

/* Whether a trie is there, safe to walk, with values below n_values. */
bool table_holds_trie(const unsigned char *table, size_t bytes, unsigned word, uint32_t n_values);

/* Whether n ids at the place in the word are each below vocab, or TRIE_NONE. */
bool table_holds_ids(const unsigned char *table, size_t bytes, unsigned word, uint32_t n,
                     uint32_t vocab);

/* The id of each byte's token "<0x41>", or TRIE_NONE, among the vocabulary's tokens. */
void table_byte_tokens(const struct spec *s, uint32_t ids[static TABLE_BYTE_TOKENS]);

/* "tokenizer section: the table of KIND ...": E_MODEL. */
vecmill_status table_refuse(const struct text_model *kind, const char *what, size_t bytes,
                            vecmill_err *err);

#endif
