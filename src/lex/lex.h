/* lex: text to weighted words, without a model: BM25's side of a document, as FastEmbed's Qdrant/bm25
 * computes it.
 *
 * A word is a run of letters, digits and "_" (Python's \w) in lower case; those of a list are left out,
 * and of the rest a Snowball stemmer's stem is hashed to an index. Promises: any bytes are read, linear
 * in time but for a sort; memory is kept and grows to what the longest text takes. Does not know: models,
 * how often a word is in other texts (the server's idf). */
#ifndef LEX_H
#define LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define LEX_TEXT_MOST  (1u << 30) /* bytes of a text */
#define LEX_WORDS_MOST (1u << 28) /* of a text, without those left out */

struct lex_options {
    const char *language; /* of the stemmer and the list: "english"; a name of libstemmer's */
    bool is_stemmed;
    /* Robertson and Zaragoza 2009, eq. 3.15; k >= 0, b from 0 to 1, avg_len > 0 */
    double k, b, avg_len;
    uint32_t word_most; /* characters; longer words are left out; at least 1 */
    /* Words that are left out, in any case, each ended by NUL; NULL: the language's own, if it is
     * stemmed. */
    const char *const *stop_words;
    size_t n_stop_words;
};

struct lex; /* one thread at a time */

/* E_USAGE: an option out of range, a language that the stemmer does not know. Pair: lex_close. */
vecmill_status lex_open(const struct lex_options *options, struct lex **lex, vecmill_err *err);
void lex_close(struct lex *lex);

/* Words of a text, by index. */
struct lex_words {
    const uint32_t *indices; /* [n], ascending, each once; until the next call */
    const float *weights;    /* [n], right behind them; of a query 1 */
    size_t n;
    uint64_t n_read;   /* words of the text, those left out among them */
    uint64_t replaced; /* bytes of invalid UTF-8, each maximal bad part read as U+FFFD */
};

/* index = |MurmurHash3_x86_32(stem, seed 0)|; weight = f (k + 1) / (f + k (1 - b + b n / avg_len)), f
 * times of n words, of those that are not left out. Of two stems with one index the weight is that of the
 * one that occurs later for the first time. E_LIMIT: LEX_TEXT_MOST, LEX_WORDS_MOST; E_MEMORY. */
vecmill_status lex_encode(struct lex *lex, const char *text, size_t bytes, bool is_query,
                          struct lex_words *words, vecmill_err *err);

#endif
