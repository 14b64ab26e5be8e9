#include "lex.h"

#include <libstemmer.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lex_chars.h"
#include "lex_stop.h"

#define SIGMA       0x3A3u
#define SIGMA_SMALL 0x3C3u
#define SIGMA_FINAL 0x3C2u

struct word {
    uint32_t id;
    uint32_t order; /* among the words of the text */
    size_t at;      /* in stems */
    size_t bytes;
};

struct lex {
    struct lex_options options;
    struct stop stop;
    struct sb_stemmer *stemmer; /* NULL: words are taken as they are */
    struct buf stems, words, result;
};

/* ---- MurmurHash3_x86_32 (Appleby 2011), seed 0 ---- */

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint32_t mix(uint32_t k)
{
    return rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static uint32_t murmur(const char *data, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)data;
    uint32_t h = 0, k = 0;
    size_t i = 0;
    for (; bytes - i >= 4; i += 4) {
        k = (uint32_t)at[i] | (uint32_t)at[i + 1] << 8 | (uint32_t)at[i + 2] << 16 |
            (uint32_t)at[i + 3] << 24;
        h = rotate(h ^ mix(k), 13) * 5 + 0xe6546b64u;
    }
    k = 0;
    for (size_t rest = bytes - i; rest > 0; rest--)
        k = k << 8 | at[i + rest - 1];
    if (bytes > i) h ^= mix(k);
    h ^= (uint32_t)bytes;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* As a signed number, without its sign. */
static uint32_t id_of(const char *stem, size_t bytes)
{
    const uint32_t h = murmur(stem, bytes);
    return h >> 31 ? 0u - h : h;
}

/* ---- opening ---- */

static vecmill_status check(const struct lex_options *o, vecmill_err *err)
{
    if (!(isfinite(o->k) && o->k >= 0))
        return err_set(err, VECMILL_E_USAGE, "k is %g, 0 is the least", o->k);
    if (!(isfinite(o->b) && o->b >= 0 && o->b <= 1))
        return err_set(err, VECMILL_E_USAGE, "b is %g, 0 to 1 can be", o->b);
    if (!(isfinite(o->avg_len) && o->avg_len > 0))
        return err_set(err, VECMILL_E_USAGE, "avg_len is %g, it has to be over 0", o->avg_len);
    if (o->word_most == 0)
        return err_set(err, VECMILL_E_USAGE, "words of at most 0 characters are no words");
    return VECMILL_OK;
}

static vecmill_status open_stemmer(struct lex *lex, vecmill_err *err)
{
    const char *language = lex->options.language;
    const char **names = sb_stemmer_list();
    size_t i = 0;
    if (!lex->options.is_stemmed) return VECMILL_OK;
    while (names[i] && strcmp(names[i], language) != 0)
        i++;
    if (!names[i])
        return err_set(err, VECMILL_E_USAGE,
                       "there is no stemmer for \"%.40s\"; libstemmer has %zu, %s to %s", language,
                       i, names[0], names[i - 1]);
    lex->stemmer = sb_stemmer_new(language, "UTF_8");
    if (!lex->stemmer)
        return err_set(err, VECMILL_E_MEMORY, "no memory for the %s stemmer", language);
    return VECMILL_OK;
}

vecmill_status lex_open(const struct lex_options *options, struct lex **lex, vecmill_err *err)
{
    void *memory;
    VM_TRY(check(options, err));
    VM_TRY(mem_new(sizeof **lex, "an encoder of words", &memory, err));
    struct lex *made = memory;
    made->options = *options;
    buf_init(&made->stems, (size_t)LEX_TEXT_MOST * 2, "LEX_TEXT_MOST");
    buf_init(&made->words, LEX_WORDS_MOST * sizeof(struct word), "LEX_WORDS_MOST");
    buf_init(&made->result, 2 * sizeof(uint32_t) * LEX_WORDS_MOST, "LEX_WORDS_MOST");
    vecmill_status status = open_stemmer(made, err);
    if (status == VECMILL_OK) {
        const bool is_own = options->is_stemmed && !options->stop_words;
        status = stop_init(&made->stop, options->stop_words, options->n_stop_words,
                           is_own ? options->language : "", err);
    }
    if (status != VECMILL_OK) {
        lex_close(made);
        return status;
    }
    made->options.language = NULL; /* the caller's */
    made->options.stop_words = NULL;
    *lex = made;
    return VECMILL_OK;
}

void lex_close(struct lex *lex)
{
    if (!lex) return;
    sb_stemmer_delete(lex->stemmer);
    stop_done(&lex->stop);
    buf_done(&lex->stems);
    buf_done(&lex->words);
    buf_done(&lex->result);
    mem_free(lex);
}

/* ---- words ---- */

struct reading {
    struct lex *lex;
    const unsigned char *text;
    size_t bytes, at;
    size_t word;      /* where the word that is read begins in lex->stems, which ends with it */
    size_t n_chars;   /* of it */
    bool after_cased; /* for a capital sigma */
    struct lex_words *result;
};

static bool next_is_cased(const struct reading *r)
{
    bool is_bad;
    for (size_t i = r->at; i < r->bytes;) {
        uint32_t cp;
        i += utf8_next(r->text + i, r->bytes - i, &cp, &is_bad);
        if (!chars_is_passed(cp)) return chars_is_word(cp) && chars_is_cased(cp);
    }
    return false;
}

static vecmill_status add_char(struct reading *r, uint32_t cp, vecmill_err *err)
{
    unsigned char bytes[4];
    uint32_t lower = chars_lower(cp);
    if (cp == SIGMA) lower = r->after_cased && !next_is_cased(r) ? SIGMA_FINAL : SIGMA_SMALL;
    if (!chars_is_passed(cp)) r->after_cased = chars_is_cased(cp);
    r->n_chars++;
    if (r->n_chars > r->lex->options.word_most) return VECMILL_OK; /* is left out */
    return buf_add(&r->lex->stems, bytes, utf8_put(lower, bytes), err);
}

/* Stems the word and keeps it, or leaves it out. */
static vecmill_status end_word(struct reading *r, vecmill_err *err)
{
    struct lex *lex = r->lex;
    const size_t n_chars = r->n_chars;
    if (n_chars == 0) return VECMILL_OK;
    const char *word = lex->stems.data + r->word;
    size_t bytes = lex->stems.bytes - r->word;
    r->n_chars = 0;
    r->result->n_read++;
    lex->stems.bytes = r->word;
    if (n_chars > lex->options.word_most || (bytes == 1 && *word == '_') ||
        stop_has(&lex->stop, word, bytes))
        return VECMILL_OK;
    if (lex->stemmer) {
        const sb_symbol *stem = sb_stemmer_stem(lex->stemmer, (const sb_symbol *)word, (int)bytes);
        if (!stem)
            return err_set(err, VECMILL_E_MEMORY, "no memory for a stem of %zu bytes", bytes);
        bytes = (size_t)sb_stemmer_length(lex->stemmer);
        if (bytes == 0) return VECMILL_OK;
        VM_TRY(buf_add(&lex->stems, stem, bytes, err));
        word = lex->stems.data + r->word;
    } else {
        lex->stems.bytes += bytes;
    }
    const struct word kept = {
        .id = id_of(word, bytes),
        .order = (uint32_t)(lex->words.bytes / sizeof kept),
        .at = r->word,
        .bytes = bytes,
    };
    r->word = lex->stems.bytes;
    return buf_add(&lex->words, &kept, sizeof kept, err);
}

/* A character that is no \w ends a word, as does what U+0130 leaves behind. */
static vecmill_status read_words(struct reading *r, vecmill_err *err)
{
    while (r->at < r->bytes) {
        uint32_t cp;
        bool is_bad;
        const size_t n = utf8_next(r->text + r->at, r->bytes - r->at, &cp, &is_bad);
        r->at += n;
        if (is_bad) r->result->replaced += n;
        const bool is_word = chars_is_word(cp);
        if (is_word) VM_TRY(add_char(r, cp, err));
        if (!is_word) r->after_cased = false;
        if (!is_word || cp == 0x130) VM_TRY(end_word(r, err));
    }
    return end_word(r, err);
}

/* ---- weights ---- */

/* By index, then stem, then place in the text. */
static int by_id(const void *left, const void *right, void *stems)
{
    const struct word *a = left, *b = right;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    const int order = memcmp((char *)stems + a->at, (char *)stems + b->at, a->bytes);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static double weight_of(const struct lex_options *o, size_t f, size_t n)
{
    return (double)f * (o->k + 1) / ((double)f + o->k * (1 - o->b + o->b * (double)n / o->avg_len));
}

/* The words from the i-th on that are the same stem. */
static size_t times(const struct lex *lex, const struct word *words, size_t n, size_t i)
{
    const struct word *stem = &words[i];
    size_t f = 1;
    while (i + f < n && words[i + f].id == stem->id && words[i + f].bytes == stem->bytes &&
           memcmp(lex->stems.data + words[i + f].at, lex->stems.data + stem->at, stem->bytes) == 0)
        f++;
    return f;
}

/* Indices and, n further on, weights: room for one of each a word, of which the number of indices is
 * taken. */
static vecmill_status weigh(struct lex *lex, bool is_query, struct lex_words *result,
                            vecmill_err *err)
{
    struct word *words = (struct word *)(void *)lex->words.data;
    const size_t n = lex->words.bytes / sizeof *words;
    if (n > 1) qsort_r(words, n, sizeof *words, by_id, lex->stems.data);
    for (size_t i = 0; i < n; i++)
        result->n += i == 0 || words[i].id != words[i - 1].id;
    VM_TRY(buf_reserve(&lex->result, (result->n + 1) * 2 * sizeof(uint32_t), err));
    uint32_t *indices = (uint32_t *)(void *)lex->result.data;
    float *weights = (float *)(void *)(indices + result->n);
    size_t at = 0;
    for (size_t i = 0, f; i < n; at++) {
        uint32_t last =
            0; /* of the stems of this index, as a rule one, which is first met latest */
        indices[at] = words[i].id;
        for (weights[at] = 1; i < n && words[i].id == indices[at]; i += f) {
            f = times(lex, words, n, i);
            if (words[i].order < last) continue;
            last = words[i].order;
            if (!is_query) weights[at] = (float)weight_of(&lex->options, f, n);
        }
    }
    result->indices = indices;
    result->weights = weights;
    return VECMILL_OK;
}

vecmill_status lex_encode(struct lex *lex, const char *text, size_t bytes, bool is_query,
                          struct lex_words *words, vecmill_err *err)
{
    struct lex_words result = {0};
    struct reading r = {
        .lex = lex, .text = (const unsigned char *)text, .bytes = bytes, .result = &result};
    if (bytes > LEX_TEXT_MOST)
        return err_set(err, VECMILL_E_LIMIT, "a text has %zu bytes, %u are the most", bytes,
                       LEX_TEXT_MOST);
    buf_clear(&lex->stems);
    buf_clear(&lex->words);
    buf_clear(&lex->result);
    VM_TRY(read_words(&r, err));
    VM_TRY(weigh(lex, is_query, &result, err));
    *words = result;
    return VECMILL_OK;
}
