/* model_unigram: Unigram. Of all ways to cut a word into tokens, the one whose scores have the
 * greatest sum (Kudo, "Subword Regularization", 2018, 3.2; by Viterbi).
 *
 * As in tokenizers 0.23.3 (models/unigram/model.rs, encode_optimized): sums in double from left to
 * right, the first of equal paths wins, a character that no token is alone may be unknown for the
 * least score of all minus 10, and neighbouring unknown characters become one piece. That piece is
 * the token of its text, if there is one; or its bytes' tokens "<0x41>", if the model has
 * byte_fallback and each of them; or the unknown token.
 *
 * Sums are rounded, so a word's pieces are not always those of its two parts, even where no token
 * spans them: nothing is known to split. */
#include "model_table.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define UNK_PENALTY 10.0

enum {
    WORDS_AT, /* all tokens but an empty one */
    WORDS_UNITS,
    SCORES_AT, /* a double for each id below N_SCORES */
    N_SCORES,
    UNK_SCORE_AT, /* one double */
    BYTES_AT,     /* TABLE_BYTE_TOKENS ids; all TRIE_NONE without byte_fallback */
    UNK,
    N_WORDS
};

/* model_description */
struct unigram {
    bool byte_fallback;
    double least;
    double scores[]; /* by id */
};

/* ---- reading ---- */

/* Digits and a decimal exponent to a double as serde_json does (1.0, without float_roundtrip; de.rs,
 * f64_from_parts): a quarter of the scores of a real vocabulary are a unit off the nearest double. */
static bool from_parts(uint64_t digits, int64_t exponent, double *out)
{
    double f = (double)digits;
    while (f != 0 && exponent < -308) {
        f /= 1e308;
        exponent += 308;
    }
    if (f != 0 && exponent > 308) return false;
    char text[16];
    double power = 1;
    if (f != 0) {
        snprintf(text, sizeof text, "1e%d", (int)(exponent < 0 ? -exponent : exponent));
        power = strtod(text, NULL); /* no point: no locale has a say */
    }
    f = exponent < 0 ? f / power : f * power;
    *out = f;
    return isfinite(f);
}

/* The number of a checked JSON text; false: past the largest double. */
static bool read_score(const struct json_value *value, double *out)
{
    const char *at = value->raw, *end = at + value->bytes;
    const bool negative = *at == '-';
    uint64_t digits = 0;
    int64_t exponent = 0;
    bool after_point = false, full = false;
    for (at += negative; at < end && *at != 'e' && *at != 'E'; at++) {
        uint64_t next;
        if (*at == '.') {
            after_point = true;
            full = false; /* digits after it are tried again */
            continue;
        }
        full = full || __builtin_mul_overflow(digits, (uint64_t)10, &next) ||
               __builtin_add_overflow(next, (uint64_t)(*at - '0'), &next);
        if (!full) digits = next;
        exponent += (full ? 1 : 0) - (after_point ? 1 : 0);
    }
    if (at < end) { /* a long exponent is as good as 100,000 */
        const bool down = *++at == '-';
        int64_t n = 0;
        for (at += down || *at == '+'; at < end; at++)
            n = n < 100000 ? n * 10 + (*at - '0') : n;
        exponent += down ? -n : n;
    }
    double f;
    if (!from_parts(digits, exponent, &f)) return false;
    *out = negative ? -f : f;
    return true;
}

/* One element of vocab: [token, score]. */
static vecmill_status read_token(struct spec *s, const struct json_value *element, uint32_t id,
                                 struct unigram *u, vecmill_err *err)
{
    struct json_each each = json_begin(element);
    struct json_value none, token, score, more;
    double f;
    if (element->kind != JSON_KIND_ARRAY || !json_each(&each, &none, &token) ||
        !json_each(&each, &none, &score) || json_each(&each, &none, &more) ||
        token.kind != JSON_KIND_STRING || score.kind != JSON_KIND_NUMBER ||
        !read_score(&score, &f)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: model.vocab[%u] is not an array of token and score", s->file, id);
    }
    size_t bytes;
    const char *text = spec_keep_text(s, &token, &bytes);
    u->scores[id] = f;
    u->least = f < u->least ? f : u->least;
    return spec_add_token(s, text, bytes, id, err);
}

static vecmill_status read_vocab(struct spec *s, const struct json_value *vocab,
                                 struct unigram **out, vecmill_err *err)
{
    struct json_each each = json_begin(vocab);
    struct json_value none, element;
    void *memory = NULL;
    if (vocab->kind != JSON_KIND_ARRAY)
        return err_set(err, VECMILL_E_MODEL, "%s: model.vocab is missing or not an array", s->file);
    const size_t n = json_count(vocab);
    VM_TRY(spec_reserve(s, n, vocab->bytes, err)); /* quotes and scores are more than the NULs */
    VM_TRY(
        mem_new(sizeof(struct unigram) + n * sizeof(double), "the tokens' scores", &memory, err));
    struct unigram *u = s->model_description = memory;
    u->least = HUGE_VAL;
    for (uint32_t id = 0; json_each(&each, &none, &element); id++)
        VM_TRY(read_token(s, &element, id, u, err));
    *out = u;
    return spec_index(s, err);
}

struct file {
    struct json_value vocab, unk;
    bool byte_fallback;
};

static vecmill_status read(struct spec *s, const struct json_value *model, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MAY("unk_id", ANY, offsetof(struct file, unk)),
        JSON_MAY("byte_fallback", BOOL, offsetof(struct file, byte_fallback)),
        JSON_MAY("vocab", ANY, offsetof(struct file, vocab)),
    };
    struct file file = {.vocab.kind = JSON_KIND_ABSENT};
    struct unigram *u = NULL;
    uint64_t unk;
    VM_TRY(spec_read_part(s, model, "model", fields, sizeof fields / sizeof *fields, &file, err));
    if (!json_u64(&file.unk, &unk)) /* the reference fails at the first unknown character */
        return spec_refuse_value(s, "model.unk_id", &file.unk, "a token's id", err);
    VM_TRY(read_vocab(s, &file.vocab, &u, err));
    if (unk >= s->n_tokens) {
        return err_set(err, VECMILL_E_MODEL, "%s: model.unk_id is %llu, there are %zu tokens",
                       s->file, (unsigned long long)unk, s->n_tokens);
    }
    s->unk = (uint32_t)unk;
    u->byte_fallback = file.byte_fallback;
    return VECMILL_OK;
}

/* ---- the table ---- */

static vecmill_status compile(const struct spec *s, struct buf *out, vecmill_err *err)
{
    const struct unigram *u = s->model_description;
    struct table_writer w;
    unsigned char *at;
    VM_TRY(table_begin(&w, out, N_WORDS, err));
    VM_TRY(table_add_trie(&w, WORDS_AT, s->tokens, s->n_tokens, err));
    VM_TRY(table_add_filled(&w, SCORES_AT, s->n_tokens * sizeof(double), 0, &at, err));
    memcpy(at, u->scores, s->n_tokens * sizeof(double));
    table_set(&w, N_SCORES, (uint32_t)s->n_tokens);
    const double unk_score = u->least - UNK_PENALTY;
    VM_TRY(table_add_filled(&w, UNK_SCORE_AT, sizeof unk_score, 0, &at, err));
    memcpy(at, &unk_score, sizeof unk_score);
    uint32_t ids[TABLE_BYTE_TOKENS];
    VM_TRY(table_add_filled(&w, BYTES_AT, sizeof ids, 0xFF, &at, err));
    if (u->byte_fallback) {
        table_byte_tokens(s, ids);
        memcpy(at, ids, sizeof ids);
    }
    table_set(&w, UNK, s->unk);
    return VECMILL_OK;
}

static vecmill_status check(const unsigned char *table, size_t bytes, uint32_t vocab,
                            vecmill_err *err)
{
    if (bytes < N_WORDS * sizeof(uint32_t))
        return table_refuse(&text_model_unigram, "the words", bytes, err);
    const uint32_t n = table_word(table, N_SCORES);
    if (n > vocab || !table_holds(table, bytes, SCORES_AT, n, sizeof(double)) ||
        !table_holds(table, bytes, UNK_SCORE_AT, 1, sizeof(double)))
        return table_refuse(&text_model_unigram, "scores", bytes, err);
    if (!table_holds_trie(table, bytes, WORDS_AT, n) || table_word(table, UNK) >= vocab ||
        !table_holds_ids(table, bytes, BYTES_AT, TABLE_BYTE_TOKENS, vocab))
        return table_refuse(&text_model_unigram, "tokens", bytes, err);
    return VECMILL_OK;
}

/* ---- a word ---- */

/* The best path that ends before a byte; on the way back, where the best path goes on from it. */
struct node {
    double score;
    uint32_t id;   /* of its last piece */
    uint32_t from; /* where that begins; TRIE_NONE: no path ends here. Later: where the next ends */
};

static size_t scratch_bytes(size_t bytes)
{
    return (bytes + 1) * sizeof(struct node);
}

static double double_at(const unsigned char *at)
{
    double f;
    memcpy(&f, at, sizeof f);
    return f;
}

static void reach(struct node *node, double score, uint32_t id, uint32_t from)
{
    if (node->from != TRIE_NONE && !(score > node->score)) return;
    *node = (struct node){score, id, from};
}

/* The best paths to each character's end. */
static void find_paths(const unsigned char *table, const unsigned char *word, uint32_t bytes,
                       struct node *nodes)
{
    const struct trie words = table_trie(table, WORDS_AT);
    const unsigned char *scores = table + table_word(table, SCORES_AT);
    const double unk_score = double_at(table + table_word(table, UNK_SCORE_AT));
    const uint32_t unk = table_word(table, UNK);
    nodes[0] = (struct node){.score = 0, .from = 0};
    for (uint32_t i = 1; i <= bytes; i++)
        nodes[i].from = TRIE_NONE;
    for (uint32_t at = 0, next; at < bytes; at = next) {
        const double score = nodes[at].score;
        bool alone = false; /* a token is this character */
        uint32_t node = TRIE_ROOT;
        const uint32_t most = (uint32_t)num_min(bytes - at, TEXT_TOKEN_BYTES_MAX);
        next = at + (uint32_t)utf8_bytes(word[at]);
        for (uint32_t i = at; i < at + most; i++) {
            node = trie_step(&words, node, word[i]);
            if (node == TRIE_NONE) break;
            const uint32_t id = trie_value(&words, node);
            if (id == TRIE_NONE) continue;
            reach(&nodes[i + 1], double_at(scores + (size_t)id * sizeof(double)) + score, id, at);
            alone = alone || i + 1 == next;
        }
        if (!alone) reach(&nodes[next], unk_score + score, unk, at);
    }
}

/* The pieces of unknown characters from start to end, written to out; their number. */
static size_t put_unknown(const unsigned char *table, const unsigned char *word, uint32_t start,
                          uint32_t end, struct model_piece *out)
{
    const struct trie words = table_trie(table, WORDS_AT);
    const unsigned char *ids = table + table_word(table, BYTES_AT);
    uint32_t id = table_word(table, UNK), whole = TRIE_NONE;
    const uint32_t node = trie_walk(&words, (const char *)word + start, end - start);
    if (node != TRIE_NONE) whole = trie_value(&words, node);
    bool all = whole == TRIE_NONE;
    for (uint32_t i = start; all && i < end; i++)
        all = section_u32(ids + (size_t)4 * word[i]) != TRIE_NONE;
    if (all) {
        for (uint32_t i = start; i < end; i++)
            *out++ = (struct model_piece){section_u32(ids + (size_t)4 * word[i]), start, end};
        return end - start;
    }
    if (whole != TRIE_NONE) id = whole;
    *out = (struct model_piece){id, start, end};
    return 1;
}

/* Pieces are written over the nodes that were read: the k-th ends at byte k or later, and is
 * smaller than a node. */
static size_t encode(const unsigned char *table, const unsigned char *word, size_t bytes,
                     void *scratch, const struct model_piece **pieces)
{
    struct node *nodes = scratch;
    struct model_piece *out = scratch;
    const uint32_t unk = table_word(table, UNK), end = (uint32_t)bytes;
    size_t n = 0;
    *pieces = out;
    find_paths(table, word, end, nodes);
    /* Turns the links round, to go from left to right; the id goes with the link. */
    struct node link = nodes[end];
    for (uint32_t to = end, from; to > 0; to = from) {
        from = link.from;
        const struct node before = nodes[from];
        nodes[from].from = to;
        nodes[from].id = link.id;
        link = before;
    }
    for (uint32_t at = 0; at < end;) {
        struct node node = nodes[at];
        const uint32_t start = at;
        at = node.from;
        if (node.id != unk) {
            out[n++] = (struct model_piece){node.id, start, at};
            continue;
        }
        while (at < end && nodes[at].id == unk)
            at = nodes[at].from;
        n += put_unknown(table, word, start, at, out + n);
    }
    return n;
}

static bool splits(const unsigned char *table, uint32_t a, uint32_t b)
{
    (void)table, (void)a, (void)b;
    return false;
}

const struct text_model text_model_unigram = {"Unigram",     read,   compile, check,
                                              scratch_bytes, encode, splits};
