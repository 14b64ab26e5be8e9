/* model_bpe_encode: a word to pieces.
 *
 * A word is taken in segments: between two known characters that no merge can be across
 * (BPE_SPANS_AT) what is before does not see what is after. So a text that is one word is many short
 * problems. A segment that is one token is looked up; in a short one the lowest rank is searched
 * for, in a long one it is at the root of a tree of least ranks. As in the reference
 * (models/bpe/word.rs):
 *   - places of pieces are sums of their bytes in order, without characters that are left out;
 *   - an unknown character waits for the next known or unknown one before it becomes a symbol, and a
 *     character that becomes bytes does not end the wait: its bytes come first. */
#include "model_bpe.h"

#define SHORT_MAX 64u  /* symbols of a short segment: above it the tree is faster */
#define WHOLE_MAX 128u /* bytes of words and segments that are looked up as a whole */

struct view {
    const unsigned char *letters, *bytes, *slots, *merged, *spans, *suffix;
    struct trie chars, whole;
    uint32_t flags, unk, prefix, suffix_bytes, slots_log, seed, spans_log;
};

/* At its place in the word: index in the segment is the sum of the bytes before it. */
struct symbol {
    uint32_t id, before, after; /* places of its neighbours; TRIE_NONE: it is the first */
};

/* What is made of the word. Pieces are written over the segments that are done: a piece is no larger
 * than a symbol, and there are no more of them. */
struct state {
    const struct view *view;
    const unsigned char *word;
    struct model_piece *pieces;
    size_t n_pieces;

    uint32_t begin;         /* of the segment in the word's bytes, to look it up */
    uint32_t place;         /* the same in the places of pieces */
    struct symbol *symbols; /* of the segment */
    uint32_t n, bytes;      /* symbols, and the sum of their bytes */
    uint32_t last;          /* symbol */
    bool looks_up;          /* segments as a whole: the word was not */
    bool waits;             /* an unknown character ... */
    uint32_t waits_bytes;   /* ... or several, of this many bytes */
};

static void open_view(struct view *v, const unsigned char *table)
{
    *v = (struct view){
        .letters = table + table_word(table, BPE_LETTERS_AT),
        .bytes = table + table_word(table, BPE_BYTES_AT),
        .slots = table + table_word(table, BPE_SLOTS_AT),
        .merged = table + table_word(table, BPE_MERGED_AT),
        .spans = table + table_word(table, BPE_SPANS_AT),
        .suffix = table + table_word(table, BPE_SUFFIX_AT),
        .chars = table_trie(table, BPE_CHARS_AT),
        .whole = table_trie(table, BPE_WHOLE_AT),
        .flags = table_word(table, BPE_FLAGS),
        .unk = table_word(table, BPE_UNK),
        .prefix = table_word(table, BPE_PREFIX),
        .suffix_bytes = table_word(table, BPE_SUFFIX_BYTES),
        .slots_log = table_word(table, BPE_SLOTS_LOG),
        .seed = table_word(table, BPE_SLOTS_SEED),
        .spans_log = table_word(table, BPE_SPANS_LOG),
    };
}

/* The rank of the merge of two symbols, or BPE_NO_RANK. */
static inline uint32_t rank_of(const struct view *v, uint32_t a, uint32_t b)
{
    const uint64_t pair = bpe_pair(a, b);
    const unsigned char *at = v->slots + bpe_slot(pair, v->seed, v->slots_log) * sizeof(uint64_t);
    for (;; at += sizeof(uint64_t)) {
        const uint64_t slot = bpe_u64(at);
        if (slot == BPE_EMPTY) return BPE_NO_RANK;
        if (slot >> BPE_RANK_BITS == pair) return (uint32_t)(slot & ((1u << BPE_RANK_BITS) - 1));
    }
}

static inline uint32_t merged_id(const struct view *v, uint32_t rank)
{
    return section_u32(v->merged + (size_t)4 * rank);
}

static void put_piece(struct state *s, uint32_t id, uint32_t start, uint32_t end)
{
    s->pieces[s->n_pieces++] = (struct model_piece){id, s->place + start, s->place + end};
}

/* ---- a short segment ---- */

static void merge_short(struct state *s)
{
    const struct view *v = s->view;
    uint32_t ids[SHORT_MAX], places[SHORT_MAX + 1], ranks[SHORT_MAX];
    uint32_t n = 0;
    for (uint32_t at = 0; at < s->bytes; at = s->symbols[at].after, n++) {
        ids[n] = s->symbols[at].id;
        places[n] = at;
    }
    places[n] = s->bytes;
    for (uint32_t i = 0; i + 1 < n; i++)
        ranks[i] = rank_of(v, ids[i], ids[i + 1]);
    while (n > 1) {
        uint32_t least = BPE_NO_RANK, at = 0;
        for (uint32_t i = 0; i + 1 < n; i++) {
            if (ranks[i] >= least) continue;
            least = ranks[i];
            at = i;
        }
        if (least == BPE_NO_RANK) break;
        ids[at] = merged_id(v, least);
        n--;
        for (uint32_t i = at + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            places[i] = places[i + 1];
            ranks[i - 1] = ranks[i];
        }
        places[n] = s->bytes;
        if (at + 1 < n) ranks[at] = rank_of(v, ids[at], ids[at + 1]);
        if (at > 0) ranks[at - 1] = rank_of(v, ids[at - 1], ids[at]);
    }
    for (uint32_t i = 0; i < n; i++)
        put_piece(s, ids[i], places[i], places[i + 1]);
}

/* ---- a long segment: a tree of least ranks ----
 *
 * Above the ranks of BLOCK places is the least of them with its place, above LOW_FAN of these again
 * the least. A merge changes three ranks, which are mostly in one block; what is read for it is a
 * few lines of memory next to each other, where a heap would read one at each of its levels. */

#define BLOCK      64u
#define LOW_FAN    16u
#define LEVELS_MAX 8u /* above blocks: of words of 4 GiB */
#define NONE       INT32_MAX
_Static_assert(BLOCK << BPE_RANK_BITS <= 1u << 30, "a rank and a place are below NONE");

struct lows {
    int32_t *ranks;               /* of each place, then the place in its block; NONE: no merge */
    uint64_t *levels[LEVELS_MAX]; /* rank, then place; the last is the least of all */
    unsigned n_levels;
};

/* Entries of a level above n others, in whole groups. */
static size_t level_entries(size_t n)
{
    return n > 1 ? num_up(n, LOW_FAN) : 1;
}

static size_t lows_bytes(size_t bytes)
{
    size_t n = num_up(bytes, BLOCK) / BLOCK, sum = num_up(bytes, BLOCK) * sizeof(uint32_t);
    for (;; n = (n + LOW_FAN - 1) / LOW_FAN) {
        sum += level_entries(n) * sizeof(uint64_t);
        if (n <= 1) return sum;
    }
}

static uint64_t block_low(const struct lows *l, size_t block)
{
    const int32_t *ranks = l->ranks + block * BLOCK;
    int32_t least = NONE; /* signed, as vectors compare */
    for (unsigned i = 0; i < BLOCK; i++)
        least = ranks[i] < least ? ranks[i] : least;
    if (least == NONE) return UINT64_MAX;
    return (uint64_t)(least / (int32_t)BLOCK) << 32 | (block * BLOCK + (uint32_t)least % BLOCK);
}

static uint64_t group_low(const uint64_t *entries)
{
    uint64_t least = entries[0];
    for (unsigned i = 1; i < LOW_FAN; i++)
        least = entries[i] < least ? entries[i] : least;
    return least;
}

/* After a rank of the block was changed. */
static void lows_renew(const struct lows *l, size_t block)
{
    uint64_t low = block_low(l, block);
    size_t i = block;
    for (unsigned level = 0; l->levels[level][i] != low; level++) {
        l->levels[level][i] = low;
        if (level + 1 == l->n_levels) break;
        low = group_low(l->levels[level] + i / LOW_FAN * LOW_FAN);
        i /= LOW_FAN;
    }
}

/* Sets the rank of a symbol's merge with the next. */
static void rank_symbol(const struct lows *l, const struct state *s, uint32_t place)
{
    const uint32_t after = s->symbols[place].after;
    uint32_t rank = BPE_NO_RANK;
    if (after < s->bytes) rank = rank_of(s->view, s->symbols[place].id, s->symbols[after].id);
    l->ranks[place] = rank == BPE_NO_RANK ? NONE : (int32_t)(rank * BLOCK + place % BLOCK);
}

/* In the memory after the segment's symbols. */
static void lows_open(struct lows *l, const struct state *s)
{
    size_t n = num_up(s->bytes, BLOCK) / BLOCK;
    unsigned char *end = (unsigned char *)(s->symbols + s->bytes);
    uint64_t *at = (uint64_t *)(void *)(end + (-(uintptr_t)end & (sizeof(uint64_t) - 1)));
    l->ranks = (int32_t *)at;
    at += n * BLOCK / 2;
    for (size_t i = 0; i < n * BLOCK; i++)
        l->ranks[i] = NONE;
    for (uint32_t i = 0; i < s->bytes; i = s->symbols[i].after)
        rank_symbol(l, s, i);
    for (l->n_levels = 0;; n = (n + LOW_FAN - 1) / LOW_FAN) {
        uint64_t *level = l->levels[l->n_levels] = at;
        const size_t room = level_entries(n);
        for (size_t i = 0; i < room; i++) {
            level[i] = i >= n             ? UINT64_MAX
                       : l->n_levels == 0 ? block_low(l, i)
                                          : group_low(l->levels[l->n_levels - 1] + i * LOW_FAN);
        }
        at += room;
        l->n_levels++;
        if (n == 1) break;
    }
}

static void merge_long(struct state *s)
{
    struct lows l;
    lows_open(&l, s);
    for (;;) {
        const uint64_t low = l.levels[l.n_levels - 1][0];
        if (low == UINT64_MAX) break;
        const uint32_t at = (uint32_t)low, right = s->symbols[at].after;
        const uint32_t after = s->symbols[right].after, before = s->symbols[at].before;
        s->symbols[at].id = merged_id(s->view, (uint32_t)(low >> 32));
        s->symbols[at].after = after;
        if (after < s->bytes) s->symbols[after].before = at;
        l.ranks[right] = NONE;
        rank_symbol(&l, s, at);
        if (before != TRIE_NONE) rank_symbol(&l, s, before);
        lows_renew(&l, at / BLOCK);
        if (right / BLOCK != at / BLOCK) lows_renew(&l, right / BLOCK);
        if (before != TRIE_NONE && before / BLOCK != at / BLOCK) lows_renew(&l, before / BLOCK);
    }
    for (uint32_t at = 0; at < s->bytes;) {
        const struct symbol symbol = s->symbols[at];
        put_piece(s, symbol.id, at, symbol.after);
        at = symbol.after;
    }
}

/* ---- segments ---- */

/* The token that a part of the word is as a whole, or TRIE_NONE. */
static uint32_t whole_token(const struct view *v, const unsigned char *text, size_t bytes)
{
    uint32_t node = v->whole.n_units > 0 ? TRIE_ROOT : TRIE_NONE; /* compile: not there yet */
    for (size_t i = 0; i < bytes && node != TRIE_NONE; i++)
        node = trie_step(&v->whole, node, text[i]);
    if ((v->flags & BPE_IGNORE_MERGES) == 0)
        for (uint32_t i = 0; i < v->suffix_bytes && node != TRIE_NONE; i++)
            node = trie_step(&v->whole, node, v->suffix[i]);
    return node == TRIE_NONE ? TRIE_NONE : trie_value(&v->whole, node);
}

/* Ends the segment before byte `end` of the word. */
static void end_segment(struct state *s, uint32_t end)
{
    const uint32_t bytes = end - s->begin;
    uint32_t whole = TRIE_NONE;
    if (s->n > 1 && bytes <= WHOLE_MAX && bytes == s->bytes && s->looks_up)
        whole = whole_token(s->view, s->word + s->begin, bytes);
    if (whole != TRIE_NONE) {
        put_piece(s, whole, 0, s->bytes);
    } else if (s->n == 1) {
        put_piece(s, s->symbols[0].id, 0, s->bytes);
    } else if (s->n > SHORT_MAX) {
        merge_long(s);
    } else if (s->n > 1) {
        merge_short(s);
    }
    s->place += s->bytes;
    s->begin = end;
    s->symbols = (struct symbol *)(void *)(s->pieces + s->n_pieces);
    s->n = s->bytes = 0;
    s->last = TRIE_NONE;
}

static void add_symbol(struct state *s, uint32_t id, uint32_t bytes)
{
    const uint32_t at = s->bytes;
    s->symbols[at] = (struct symbol){id, s->last, at + bytes};
    s->last = at;
    s->bytes += bytes;
    s->n++;
}

static void end_wait(struct state *s)
{
    if (s->waits) add_symbol(s, s->view->unk, s->waits_bytes);
    s->waits = false;
}

/* A character that no token is: its bytes' tokens, or the unknown token, or nothing. */
static void add_unknown(struct state *s, const unsigned char *character, uint32_t bytes)
{
    const struct view *v = s->view;
    bool all = true;
    for (uint32_t i = 0; i < bytes; i++)
        all = all && section_u32(v->bytes + (size_t)4 * character[i]) != TRIE_NONE;
    if (all) {
        for (uint32_t i = 0; i < bytes; i++)
            add_symbol(s, section_u32(v->bytes + (size_t)4 * character[i]), 1);
        return;
    }
    if (v->unk == TRIE_NONE) return;
    if (s->waits && (v->flags & BPE_FUSE_UNK)) {
        s->waits_bytes += bytes;
        return;
    }
    end_wait(s);
    s->waits = true;
    s->waits_bytes = bytes;
}

/* The id of a character alone, without prefix or suffix, or TRIE_NONE. */
static inline uint32_t plain_id(const struct view *v, uint32_t cp, const unsigned char *text,
                                uint32_t bytes)
{
    if (cp < BPE_LETTERS) return section_u32(v->letters + (size_t)4 * cp);
    uint32_t node = TRIE_ROOT;
    for (uint32_t i = 0; i < bytes && node != TRIE_NONE; i++)
        node = trie_step(&v->chars, node, text[i]);
    return node == TRIE_NONE ? TRIE_NONE : trie_value(&v->chars, node);
}

/* The same with prefix and suffix, as its place in the word needs them. */
static uint32_t affixed_id(const struct view *v, const unsigned char *text, uint32_t bytes,
                           bool is_first, bool is_last)
{
    uint32_t node = is_first ? TRIE_ROOT : v->prefix;
    for (uint32_t i = 0; i < bytes && node != TRIE_NONE; i++)
        node = trie_step(&v->chars, node, text[i]);
    for (uint32_t i = 0; is_last && i < v->suffix_bytes && node != TRIE_NONE; i++)
        node = trie_step(&v->chars, node, v->suffix[i]);
    return node == TRIE_NONE ? TRIE_NONE : trie_value(&v->chars, node);
}

static inline bool may_span(const struct view *v, uint32_t a, uint32_t b)
{
    const uint64_t bit = bpe_span(a, b, v->spans_log);
    return v->spans[bit >> 3] >> (bit & 7) & 1;
}

static void encode_plain(struct state *s, uint32_t bytes)
{
    const struct view *v = s->view;
    uint32_t previous = 0, taken;
    bool known = false; /* so is the previous character */
    for (uint32_t at = 0; at < bytes; at += taken) {
        uint32_t cp;
        taken = (uint32_t)utf8_char(s->word + at, &cp);
        const uint32_t id = plain_id(v, cp, s->word + at, taken);
        if (id == TRIE_NONE) {
            add_unknown(s, s->word + at, taken);
            known = false;
            continue;
        }
        if (known && !may_span(v, previous, cp)) end_segment(s, at);
        end_wait(s);
        add_symbol(s, id, taken);
        previous = cp;
        known = true;
    }
}

static void encode_affixed(struct state *s, uint32_t bytes)
{
    uint32_t taken;
    for (uint32_t at = 0; at < bytes; at += taken) {
        uint32_t cp;
        taken = (uint32_t)utf8_char(s->word + at, &cp);
        const uint32_t id = affixed_id(s->view, s->word + at, taken, at == 0, at + taken == bytes);
        if (id == TRIE_NONE) {
            add_unknown(s, s->word + at, taken);
            continue;
        }
        end_wait(s);
        add_symbol(s, id, taken);
    }
}

size_t bpe_scratch(size_t bytes)
{
    return bytes * sizeof(struct symbol) + sizeof(uint64_t) + lows_bytes(num_max(bytes, 1));
}

size_t bpe_encode(const unsigned char *table, const unsigned char *word, size_t bytes,
                  void *scratch, const struct model_piece **pieces)
{
    struct view view;
    struct state s = {
        .view = &view, .word = word, .pieces = scratch, .symbols = scratch, .last = TRIE_NONE};
    *pieces = scratch;
    open_view(&view, table);
    const bool ignores = view.flags & BPE_IGNORE_MERGES;
    if (bytes <= WHOLE_MAX || ignores) {
        const uint32_t id = whole_token(&view, word, bytes);
        if (id != TRIE_NONE) {
            put_piece(&s, id, 0, (uint32_t)bytes);
            return 1;
        }
    }
    s.looks_up = !ignores && !(view.flags & BPE_AFFIX);
    if (view.flags & BPE_AFFIX)
        encode_affixed(&s, (uint32_t)bytes);
    else
        encode_plain(&s, (uint32_t)bytes);
    end_wait(&s);
    end_segment(&s, (uint32_t)bytes);
    return s.n_pieces;
}

bool bpe_splits(const unsigned char *table, uint32_t a, uint32_t b)
{
    struct view v;
    unsigned char text[4];
    open_view(&v, table);
    if (v.flags & (BPE_AFFIX | BPE_IGNORE_MERGES)) return false;
    return !may_span(&v, a, b) && plain_id(&v, a, text, (uint32_t)utf8_put(a, text)) != TRIE_NONE &&
           plain_id(&v, b, text, (uint32_t)utf8_put(b, text)) != TRIE_NONE;
}
