#include "model_bpe.h"

#include <stddef.h>

#define SEEDS_MAX   8u  /* tries at a size of the table of merges */
#define SLOTS_MORE  2u  /* times that the table is doubled if none is good */
#define SPAN_BITS   8u  /* bits for each merge, most of which have no pair of their own */
#define LOG_MAX     24u /* of slots, and of bits */
#define MERGE_BYTES ((size_t)2 * TEXT_TOKEN_BYTES_MAX)

struct merge {
    uint32_t a, b, merged;
};
_Static_assert(sizeof(struct merge) == SPEC_MERGE_BYTES, "as planned");

/* model_description */
struct bpe {
    uint32_t flags, unk;
    bool byte_fallback;
    const char *prefix, *suffix;
    size_t prefix_bytes, suffix_bytes;
    uint32_t n_merges;
    struct merge merges[]; /* by rank */
};

/* ---- reading ---- */

/* Finds tokens by their text: faster than spec_find_token, for there are three for each merge. */
struct index {
    const struct spec *s;
    uint32_t *slots; /* token + 1; 0: empty */
    uint32_t mask;
};

static uint32_t text_hash(const char *text, size_t bytes)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    return (uint32_t)(h ^ h >> 32);
}

static vecmill_status index_open(struct index *x, const struct spec *s, vecmill_err *err)
{
    void *slots = NULL;
    uint32_t n = 4;
    while (n < 2 * s->n_tokens)
        n *= 2;
    VM_TRY(mem_new_array(n, sizeof *x->slots, "tokens by text", &slots, err));
    *x = (struct index){s, slots, n - 1};
    for (size_t i = 0; i < s->n_tokens; i++) {
        uint32_t at = text_hash(s->tokens[i].text, s->tokens[i].bytes) & x->mask;
        while (x->slots[at])
            at = (at + 1) & x->mask;
        x->slots[at] = (uint32_t)i + 1;
    }
    return VECMILL_OK;
}

static bool index_find(const struct index *x, const char *text, size_t bytes, uint32_t *id)
{
    for (uint32_t at = text_hash(text, bytes) & x->mask; x->slots[at]; at = (at + 1) & x->mask) {
        const struct trie_key *k = &x->s->tokens[x->slots[at] - 1];
        if (k->bytes != bytes || memcmp(k->text, text, bytes) != 0) continue;
        *id = k->value;
        return true;
    }
    return false;
}

struct reading {
    struct index index;
    struct bpe *bpe;
    bool pairs;                                  /* merges are arrays of two, not strings */
    char text[MERGE_BYTES];                      /* of the merge: both tokens, and what they make */
    char escaped[12 * TEXT_TOKEN_BYTES_MAX + 1]; /* \u0041 is the longest form of one byte */
};

static vecmill_status refuse_merge(const struct reading *r, size_t i, const char *text,
                                   size_t bytes, vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    return err_set(err, VECMILL_E_MODEL,
                   "%s: model.merges[%zu] needs token %s, which is not among the %zu of the "
                   "vocabulary",
                   r->index.s->file, i, spec_quote(text, bytes, quoted), r->index.s->n_tokens);
}

/* One more merge of the texts at r->text[0] and after it. */
static vecmill_status add_merge(struct reading *r, size_t i, size_t a_bytes, size_t b_bytes,
                                vecmill_err *err)
{
    struct bpe *bpe = r->bpe;
    struct merge m;
    const char *b = r->text + a_bytes;
    if (!index_find(&r->index, r->text, a_bytes, &m.a))
        return refuse_merge(r, i, r->text, a_bytes, err);
    if (!index_find(&r->index, b, b_bytes, &m.b)) return refuse_merge(r, i, b, b_bytes, err);
    if (b_bytes < bpe->prefix_bytes) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: model.merges[%zu] ends in %zu bytes, continuing_subword_prefix has %zu",
                       r->index.s->file, i, b_bytes, bpe->prefix_bytes);
    }
    /* As in the reference, whatever bytes the second one begins with. */
    b_bytes -= bpe->prefix_bytes;
    memmove(r->text + a_bytes, b + bpe->prefix_bytes, b_bytes);
    if (!index_find(&r->index, r->text, a_bytes + b_bytes, &m.merged))
        return refuse_merge(r, i, r->text, a_bytes + b_bytes, err);
    bpe->merges[bpe->n_merges++] = m;
    return VECMILL_OK;
}

/* A string of a merge, to r->escaped; false: no string, or longer than two tokens may be. */
static bool decode(struct reading *r, const struct json_value *string, size_t *bytes)
{
    uint64_t replaced = 0;
    if (string->kind != JSON_KIND_STRING || string->bytes - 2 > sizeof r->escaped) return false;
    *bytes = json_decode(string, r->escaped, &replaced);
    return true;
}

static vecmill_status read_merge(struct reading *r, size_t i, const struct json_value *merge,
                                 vecmill_err *err)
{
    static const char version[] = "#version"; /* a line of merges.txt, which converters kept */
    const bool is_pair = merge->kind == JSON_KIND_ARRAY;
    struct json_each each = json_begin(merge);
    struct json_value none, a = {.kind = JSON_KIND_ABSENT}, b = a, more;
    size_t a_bytes = 0, b_bytes = 0, n;
    bool good = i == 0 || is_pair == r->pairs;
    r->pairs = is_pair;
    if (is_pair) {
        good = good && json_each(&each, &none, &a) && json_each(&each, &none, &b) &&
               !json_each(&each, &none, &more) && decode(r, &a, &a_bytes) &&
               a_bytes <= TEXT_TOKEN_BYTES_MAX;
        if (good) memcpy(r->text, r->escaped, a_bytes);
        good = good && decode(r, &b, &b_bytes) && b_bytes <= TEXT_TOKEN_BYTES_MAX;
        if (good) memcpy(r->text + a_bytes, r->escaped, b_bytes);
    } else if (good && decode(r, merge, &n)) {
        if (n >= sizeof version - 1 && memcmp(r->escaped, version, sizeof version - 1) == 0)
            return VECMILL_OK;
        const char *space = memchr(r->escaped, ' ', n);
        a_bytes = space ? (size_t)(space - r->escaped) : n;
        b_bytes = space ? n - a_bytes - 1 : 0;
        good = space && !memchr(space + 1, ' ', b_bytes) && a_bytes + b_bytes <= MERGE_BYTES;
        if (good) {
            memcpy(r->text, r->escaped, a_bytes);
            memcpy(r->text + a_bytes, space + 1, b_bytes);
        }
    } else {
        good = false;
    }
    if (!good) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: model.merges[%zu] is not two tokens with a space between them, nor an "
                       "array of two, as the others are",
                       r->index.s->file, i);
    }
    return add_merge(r, i, a_bytes, b_bytes, err);
}

static vecmill_status read_merges(struct spec *s, const struct json_value *merges, struct bpe *bpe,
                                  vecmill_err *err)
{
    struct json_each each = json_begin(merges);
    struct json_value none, merge;
    struct reading r = {.bpe = bpe};
    VM_TRY(index_open(&r.index, s, err));
    vecmill_status status = VECMILL_OK;
    for (size_t i = 0; status == VECMILL_OK && json_each(&each, &none, &merge); i++)
        status = read_merge(&r, i, &merge, err);
    mem_free(r.index.slots);
    return status;
}

struct file {
    struct json_value dropout, unk, prefix, suffix, vocab, merges;
    bool fuse_unk, byte_fallback, ignore_merges;
};

/* The description with room for the merges. */
static vecmill_status describe(struct spec *s, const struct json_value *merges, struct bpe **out,
                               vecmill_err *err)
{
    void *memory = NULL;
    if (merges->kind != JSON_KIND_ARRAY)
        return err_set(err, VECMILL_E_MODEL, "%s: model.merges is missing or not an array",
                       s->file);
    const size_t n = json_count(merges);
    if (n > TEXT_MERGES_MAX || n > s->merges_plan) {
        const bool max = n > TEXT_MERGES_MAX;
        return err_set(err, VECMILL_E_MODEL, "%s: %zu merges, the most %s, %u", s->file, n,
                       max ? "is TEXT_MERGES_MAX" : "that its size allows is SPEC_MERGES_PLAN",
                       max ? TEXT_MERGES_MAX : s->merges_plan);
    }
    VM_TRY(mem_new(sizeof(struct bpe) + n * sizeof(struct merge), "the merges", &memory, err));
    *out = s->model_description = memory;
    return VECMILL_OK;
}

/* Random merges are for training; 0 is as good as none (models/bpe/model.rs, tokenize). */
static bool is_random(const struct json_value *dropout)
{
    double p;
    return dropout->kind > JSON_KIND_NULL && (!json_double(dropout, &p) || p != 0);
}

static vecmill_status read(struct spec *s, const struct json_value *model, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MAY("dropout", ANY, offsetof(struct file, dropout)),
        JSON_MAY("unk_token", STRING, offsetof(struct file, unk)),
        JSON_MAY("continuing_subword_prefix", STRING, offsetof(struct file, prefix)),
        JSON_MAY("end_of_word_suffix", STRING, offsetof(struct file, suffix)),
        JSON_MAY("fuse_unk", BOOL, offsetof(struct file, fuse_unk)),
        JSON_MAY("byte_fallback", BOOL, offsetof(struct file, byte_fallback)),
        JSON_MAY("ignore_merges", BOOL, offsetof(struct file, ignore_merges)),
        JSON_MAY("vocab", ANY, offsetof(struct file, vocab)),
        JSON_MAY("merges", ANY, offsetof(struct file, merges)),
    };
    struct file file = {.vocab.kind = JSON_KIND_ABSENT};
    struct bpe *bpe = NULL;
    VM_TRY(spec_read_part(s, model, "model", fields, sizeof fields / sizeof *fields, &file, err));
    if (is_random(&file.dropout))
        return spec_refuse_value(s, "model.dropout", &file.dropout, "null", err);
    VM_TRY(spec_read_vocab(s, &file.vocab, file.prefix.bytes + file.suffix.bytes, err));
    VM_TRY(describe(s, &file.merges, &bpe, err));
    if (file.prefix.bytes) bpe->prefix = spec_keep_text(s, &file.prefix, &bpe->prefix_bytes);
    if (file.suffix.bytes) bpe->suffix = spec_keep_text(s, &file.suffix, &bpe->suffix_bytes);
    const bool affix = bpe->prefix_bytes + bpe->suffix_bytes > 0;
    if (bpe->prefix_bytes > TEXT_TOKEN_BYTES_MAX || bpe->suffix_bytes > TEXT_TOKEN_BYTES_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: a prefix of %zu bytes and a suffix of %zu, the most is "
                       "TEXT_TOKEN_BYTES_MAX, %u",
                       s->file, bpe->prefix_bytes, bpe->suffix_bytes, TEXT_TOKEN_BYTES_MAX);
    }
    if (affix && file.byte_fallback) {
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: model has byte_fallback and a prefix or suffix, which is not understood "
            "together",
            s->file);
    }
    bpe->byte_fallback = file.byte_fallback;
    bpe->flags = (file.fuse_unk ? BPE_FUSE_UNK : 0u) | (affix ? BPE_AFFIX : 0u) |
                 (file.ignore_merges ? BPE_IGNORE_MERGES : 0u);
    bpe->unk = s->unk = TRIE_NONE;
    if (file.unk.kind == JSON_KIND_STRING) {
        VM_TRY(spec_need_value(s, "model.unk_token", &file.unk, &s->unk, err));
        bpe->unk = s->unk;
    }
    return read_merges(s, &file.merges, bpe, err);
}

/* ---- the table ---- */

/* Whether a token is the form of one character: [prefix] character [suffix]. */
static bool is_character(const struct bpe *bpe, const struct trie_key *key)
{
    const unsigned char *text = (const unsigned char *)key->text;
    for (unsigned form = 0; form < 4; form++) {
        const size_t before = form & 1 ? bpe->prefix_bytes : 0;
        const size_t after = form & 2 ? bpe->suffix_bytes : 0;
        uint32_t cp;
        bool bad;
        if (key->bytes <= before + after) continue;
        if (before && memcmp(text, bpe->prefix, before) != 0) continue;
        if (after && memcmp(text + key->bytes - after, bpe->suffix, after) != 0) continue;
        const size_t bytes = key->bytes - before - after;
        if (utf8_next(text + before, bytes, &cp, &bad) == bytes) return true;
    }
    return false;
}

static vecmill_status add_characters(const struct table_writer *w, const struct spec *s,
                                     struct trie_key *keys, vecmill_err *err)
{
    const struct bpe *bpe = s->model_description;
    unsigned char *at;
    size_t n = 0;
    for (size_t i = 0; i < s->n_tokens; i++)
        if (is_character(bpe, &s->tokens[i])) keys[n++] = s->tokens[i];
    VM_TRY(table_add_trie(w, BPE_CHARS_AT, keys, n, err));
    const struct trie chars = table_trie(table_data(w), BPE_CHARS_AT);
    table_set(w, BPE_PREFIX,
              trie_walk(&chars, bpe->prefix, bpe->prefix_bytes)); /* none: the root */
    VM_TRY(table_add_filled(w, BPE_SUFFIX_AT, bpe->suffix_bytes, 0, &at, err));
    if (bpe->suffix_bytes) memcpy(at, bpe->suffix, bpe->suffix_bytes);
    table_set(w, BPE_SUFFIX_BYTES, (uint32_t)bpe->suffix_bytes);
    VM_TRY(table_add_filled(w, BPE_LETTERS_AT, BPE_LETTERS * sizeof(uint32_t), 0xFF, &at, err));
    for (size_t i = 0; i < n; i++) {
        uint32_t cp;
        bool bad;
        const size_t taken =
            utf8_next((const unsigned char *)keys[i].text, keys[i].bytes, &cp, &bad);
        if (taken != keys[i].bytes || cp >= BPE_LETTERS) continue;
        memcpy(at + (size_t)4 * cp, &keys[i].value, sizeof keys[i].value);
    }
    uint32_t ids[TABLE_BYTE_TOKENS];
    VM_TRY(table_add_filled(w, BPE_BYTES_AT, sizeof ids, 0xFF, &at, err));
    if (!bpe->byte_fallback) return VECMILL_OK;
    table_byte_tokens(s, ids);
    memcpy(at, ids, sizeof ids);
    return VECMILL_OK;
}

/* Puts the merges into empty slots; false: a search would take too long. Of merges of one pair the
 * last counts. */
static bool fill_slots(const struct bpe *bpe, unsigned char *slots, uint32_t log, uint32_t seed)
{
    for (uint32_t rank = 0; rank < bpe->n_merges; rank++) {
        const uint64_t pair = bpe_pair(bpe->merges[rank].a, bpe->merges[rank].b);
        unsigned char *at = slots + bpe_slot(pair, seed, log) * sizeof(uint64_t);
        for (unsigned run = 0;; run++, at += sizeof(uint64_t)) {
            const uint64_t slot = bpe_u64(at);
            if (run == BPE_RUN_MAX - 1) return false;
            if (slot != BPE_EMPTY && slot >> BPE_RANK_BITS != pair) continue;
            const uint64_t mine = pair << BPE_RANK_BITS | rank;
            memcpy(at, &mine, sizeof mine);
            break;
        }
    }
    return true;
}

static size_t slots_bytes(uint32_t log)
{
    return (((size_t)1 << log) + BPE_RUN_MAX) * sizeof(uint64_t);
}

/* No run of full slots is so long that a search would leave the table. */
static bool runs_end(const unsigned char *slots, uint32_t log)
{
    unsigned run = 0;
    for (size_t at = 0; at < slots_bytes(log) && run < BPE_RUN_MAX; at += sizeof(uint64_t))
        run = bpe_u64(slots + at) == BPE_EMPTY ? 0 : run + 1;
    return run == 0;
}

static vecmill_status add_merges(const struct table_writer *w, const struct spec *s,
                                 vecmill_err *err)
{
    const struct bpe *bpe = s->model_description;
    uint32_t log = 4, seed = 0;
    unsigned char *at;
    while ((size_t)1 << log < 2 * (size_t)bpe->n_merges)
        log++;
    const uint32_t most = log + SLOTS_MORE < LOG_MAX ? log + SLOTS_MORE : LOG_MAX;
    const size_t before = w->out->bytes;
    for (bool good = false; !good; log += !good) {
        if (log > most) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: more than %u of its %u merges have one place in tables of 2^%u",
                           s->file, BPE_RUN_MAX, bpe->n_merges, most);
        }
        for (seed = 0; !good && seed < SEEDS_MAX; seed += !good) {
            w->out->bytes = before;
            VM_TRY(table_add_filled(w, BPE_SLOTS_AT, slots_bytes(log), 0xFF, &at, err));
            good = fill_slots(bpe, at, log, seed) && runs_end(at, log);
        }
        table_set(w, BPE_SLOTS_LOG, log);
        table_set(w, BPE_SLOTS_SEED, seed);
    }
    VM_TRY(table_add_filled(w, BPE_MERGED_AT, bpe->n_merges * sizeof(uint32_t), 0, &at, err));
    for (uint32_t rank = 0; rank < bpe->n_merges; rank++)
        memcpy(at + (size_t)4 * rank, &bpe->merges[rank].merged, sizeof(uint32_t));
    table_set(w, BPE_N_MERGES, bpe->n_merges);
    return VECMILL_OK;
}

static size_t spans_bytes(uint32_t log)
{
    return (BPE_ASCII_SPANS + ((size_t)1 << log)) / 8;
}

/* The first and last characters of a token. */
struct edges {
    uint32_t first, last;
};

static struct edges edges_of(const struct trie_key *key)
{
    const unsigned char *text = (const unsigned char *)key->text;
    struct edges e = {.first = 0};
    bool bad;
    size_t last = key->bytes;
    if (key->bytes == 0) return e;
    utf8_next(text, key->bytes, &e.first, &bad);
    do
        last--;
    while (last > 0 && (text[last] & 0xC0) == 0x80);
    utf8_next(text + last, key->bytes - last, &e.last, &bad);
    return e;
}

/* A bit for the last character of each merge's first token and the first of its second: between two
 * that have none no merge can be, however long the tokens. With a prefix or suffix tokens are not
 * what they are made of; all bits are set. */
static vecmill_status add_spans(const struct table_writer *w, const struct spec *s,
                                vecmill_err *err)
{
    const struct bpe *bpe = s->model_description;
    const bool affix = bpe->flags & BPE_AFFIX;
    void *memory = NULL;
    unsigned char *bits;
    uint32_t log = 10, n_ids = 0;
    while (log < LOG_MAX && (size_t)1 << log < SPAN_BITS * (size_t)bpe->n_merges)
        log++;
    VM_TRY(table_add_filled(w, BPE_SPANS_AT, spans_bytes(log), affix ? 0xFF : 0, &bits, err));
    table_set(w, BPE_SPANS_LOG, log);
    if (affix) return VECMILL_OK;
    for (size_t i = 0; i < s->n_tokens; i++)
        n_ids = s->tokens[i].value >= n_ids ? s->tokens[i].value + 1 : n_ids;
    VM_TRY(mem_new_array(n_ids, sizeof(struct edges), "tokens' edges", &memory, err));
    struct edges *edges = memory;
    for (size_t i = 0; i < s->n_tokens; i++)
        edges[s->tokens[i].value] = edges_of(&s->tokens[i]);
    for (uint32_t i = 0; i < bpe->n_merges; i++) {
        const struct merge *m = &bpe->merges[i];
        const uint64_t bit = bpe_span(edges[m->a].last, edges[m->b].first, log);
        bits[bit >> 3] |= (unsigned char)(1u << (bit & 7));
    }
    mem_free(memory);
    return VECMILL_OK;
}

/* The words that are one token: all, where the model ignores merges for them; or else those that
 * merging makes of their characters, found by doing it. They are then looked up at once. */
static vecmill_status add_whole(const struct table_writer *w, const struct spec *s,
                                struct trie_key *keys, void *scratch, vecmill_err *err)
{
    const struct bpe *bpe = s->model_description;
    size_t n = 0;
    for (size_t i = 0; i < s->n_tokens; i++) {
        const struct trie_key *key = &s->tokens[i];
        const struct model_piece *pieces;
        bool whole = bpe->flags & BPE_IGNORE_MERGES;
        if (!whole && key->bytes > bpe->suffix_bytes) {
            const size_t bytes = key->bytes - bpe->suffix_bytes;
            whole = bpe->suffix_bytes == 0 ||
                    memcmp(key->text + bytes, bpe->suffix, bpe->suffix_bytes) == 0;
            whole = whole &&
                    bpe_encode(table_data(w), (const unsigned char *)key->text, bytes, scratch,
                               &pieces) == 1 &&
                    pieces[0].id == key->value && pieces[0].end == bytes;
        }
        if (whole) keys[n++] = *key;
    }
    return table_add_trie(w, BPE_WHOLE_AT, keys, n, err);
}

static vecmill_status compile(const struct spec *s, struct buf *out, vecmill_err *err)
{
    const struct bpe *bpe = s->model_description;
    void *keys = NULL, *scratch = NULL;
    struct table_writer w;
    VM_TRY(table_begin(&w, out, BPE_WORDS, err));
    table_set(&w, BPE_FLAGS, bpe->flags);
    table_set(&w, BPE_UNK, bpe->unk);
    VM_TRY(add_merges(&w, s, err));
    VM_TRY(add_spans(&w, s, err));
    VM_TRY(mem_new_array(s->n_tokens, sizeof(struct trie_key), "some tokens", &keys, err));
    vecmill_status status = add_characters(&w, s, keys, err);
    if (status == VECMILL_OK)
        status = mem_new(bpe_scratch(TEXT_TOKEN_BYTES_MAX), "a token's symbols", &scratch, err);
    if (status == VECMILL_OK) status = add_whole(&w, s, keys, scratch, err);
    mem_free(scratch);
    mem_free(keys);
    return status;
}

static bool holds_slots(const unsigned char *table, size_t bytes, uint32_t vocab)
{
    const uint32_t log = table_word(table, BPE_SLOTS_LOG), n = table_word(table, BPE_N_MERGES);
    if (log == 0 || log > LOG_MAX || n > TEXT_MERGES_MAX) return false;
    const size_t slots = slots_bytes(log);
    if (!table_holds(table, bytes, BPE_SLOTS_AT, slots, 1) ||
        !table_holds(table, bytes, BPE_MERGED_AT, n, sizeof(uint32_t)))
        return false;
    const unsigned char *at = table + table_word(table, BPE_SLOTS_AT);
    for (size_t i = 0; i < slots; i += sizeof(uint64_t)) {
        const uint64_t slot = bpe_u64(at + i);
        if (slot != BPE_EMPTY && (slot & ((1u << BPE_RANK_BITS) - 1)) >= n) return false;
    }
    for (uint32_t i = 0; i < n; i++)
        if (section_u32(table + table_word(table, BPE_MERGED_AT) + (size_t)4 * i) >= vocab)
            return false;
    return runs_end(at, log);
}

static bool holds_characters(const unsigned char *table, size_t bytes, uint32_t vocab)
{
    const uint32_t prefix = table_word(table, BPE_PREFIX), unk = table_word(table, BPE_UNK);
    return table_holds_trie(table, bytes, BPE_CHARS_AT, vocab) &&
           (prefix == TRIE_NONE || prefix < table_word(table, BPE_CHARS_UNITS)) &&
           (unk == TRIE_NONE || unk < vocab) &&
           table_word(table, BPE_SUFFIX_BYTES) <= TEXT_TOKEN_BYTES_MAX &&
           table_holds(table, bytes, BPE_SUFFIX_AT, table_word(table, BPE_SUFFIX_BYTES), 1) &&
           table_holds_ids(table, bytes, BPE_LETTERS_AT, BPE_LETTERS, vocab) &&
           table_holds_ids(table, bytes, BPE_BYTES_AT, TABLE_BYTE_TOKENS, vocab) &&
           table_holds_trie(table, bytes, BPE_WHOLE_AT, vocab);
}

static vecmill_status check(const unsigned char *table, size_t bytes, uint32_t vocab,
                            vecmill_err *err)
{
    if (bytes < BPE_WORDS * sizeof(uint32_t) || table_word(table, BPE_FLAGS) > BPE_FLAGS_ALL)
        return table_refuse(&text_model_bpe, "the words", bytes, err);
    if (!holds_characters(table, bytes, vocab))
        return table_refuse(&text_model_bpe, "tokens", bytes, err);
    if (!holds_slots(table, bytes, vocab))
        return table_refuse(&text_model_bpe, "merges", bytes, err);
    const uint32_t log = table_word(table, BPE_SPANS_LOG);
    if (log == 0 || log > LOG_MAX || !table_holds(table, bytes, BPE_SPANS_AT, spans_bytes(log), 1))
        return table_refuse(&text_model_bpe, "neighbours", bytes, err);
    return VECMILL_OK;
}

const struct text_model text_model_bpe = {"BPE",       read,       compile,   check,
                                          bpe_scratch, bpe_encode, bpe_splits};
