/* text_encode: one document to ids.
 *
 * The text is read once, left to right: regions between added tokens are normalized code point by
 * code point, gathered into words, and each word is cut into the longest known pieces. State lives on
 * the stack; a word that is too long is counted, not kept. */
#include "text_normalize.h"

#include <assert.h>

struct encoder {
    struct section_view view;
    struct norm_source source;
    int32_t *ids; /* of the text, behind the special tokens */
    uint32_t n, most;
    bool full; /* a token did not fit: nothing more is read */
    uint32_t word_bytes, word_chars;
    unsigned char word[TEXT_WORD_CHARS_MAX * 4];
};

static void emit(struct encoder *e, uint32_t id)
{
    if (e->n == e->most)
        e->full = true;
    else
        e->ids[e->n++] = (int32_t)id;
}

/* The longest piece at the start of the text, from a node of the words' trie; 0 bytes: none. */
static uint32_t longest_piece(const struct trie *words, uint32_t node, const unsigned char *text,
                              uint32_t bytes, uint32_t *id)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        node = trie_step(words, node, text[i]);
        if (node == TRIE_NONE) break;
        uint32_t value = trie_value(words, node);
        if (value == TRIE_NONE) continue;
        *id = value;
        longest = i + 1;
    }
    return longest;
}

/* Ends the word gathered so far: its pieces, or one unknown token. A word is unknown as a whole, and
 * that shows only at its last piece, so pieces are emitted once all are known. */
static void end_word(struct encoder *e)
{
    if (e->word_chars == 0) return;
    uint32_t pieces[sizeof e->word], n = 0; /* a piece has a byte at least */
    uint32_t node = TRIE_ROOT, at = 0;
    bool known = e->word_chars <= e->view.word_chars;
    while (known && at < e->word_bytes) {
        uint32_t id = 0, bytes = 0;
        if (node != TRIE_NONE)
            bytes = longest_piece(&e->view.words, node, e->word + at, e->word_bytes - at, &id);
        known = bytes > 0;
        pieces[n] = id;
        n += known;
        at += bytes;
        node = e->view.continuation;
    }
    if (!known) {
        pieces[0] = e->view.unk;
        n = 1;
    }
    for (uint32_t i = 0; i < n && !e->full; i++)
        emit(e, pieces[i]);
    e->word_bytes = e->word_chars = 0;
}

static void add_to_word(struct encoder *e, uint32_t cp)
{
    if (e->word_chars <= e->view.word_chars) e->word_chars++;
    if (e->word_chars <= e->view.word_chars)
        e->word_bytes += (uint32_t)utf8_put(cp, e->word + e->word_bytes);
}

/* BertPreTokenizer: white space separates, punctuation stands alone. */
static void take(struct encoder *e, uint32_t cp)
{
    if (unicode_space(cp)) {
        end_word(e);
    } else if (unicode_punctuation(cp)) {
        end_word(e);
        add_to_word(e, cp);
        end_word(e);
    } else {
        add_to_word(e, cp);
    }
}

/* Where normalized text is matched against added tokens. */
struct match_state {
    uint32_t previous; /* normalized code point before, NORM_NO_CHAR at the region's start */
    uint64_t n_read;   /* normalized code points of the region so far */
    uint64_t blocked;  /* no added token begins before this many: a match over it was refused */
};

/* A stretch of ASCII that begins no added token, straight from the section's table. */
static void take_ascii(struct encoder *e, struct raw_cursor *raw, struct match_state *m)
{
    const unsigned char *data = e->source.data, *table = e->view.ascii;
    size_t pos = raw->pos;
    for (; pos < e->source.bytes && data[pos] < SECTION_ASCII && !e->full; pos++) {
        const unsigned char *pair = table + 2 * data[pos];
        if (pair[0] == ASCII_SLOW) break;
        if (pair[0] == ASCII_DROP) continue;
        m->previous = pair[1];
        m->n_read++;
        if (pair[0] == ASCII_WORD) {
            if (e->word_chars <= e->view.word_chars) e->word_chars++;
            if (e->word_chars <= e->view.word_chars) e->word[e->word_bytes++] = pair[1];
        } else {
            take(e, pair[1]);
        }
    }
    if (pos > raw->pos) raw->previous = data[pos - 1];
    raw->pos = pos;
}

/* An added token on normalized text at the cursor: emits it and moves the cursor behind it. */
static bool take_normalized(struct encoder *e, struct norm_cursor *c, struct match_state *m)
{
    const struct added_set *set = &e->view.normalized;
    if (set->trie.n_units == 0 || m->n_read < m->blocked) return false;
    struct norm_cursor ahead = *c, behind;
    uint32_t node = TRIE_ROOT, index = TRIE_NONE, last = NORM_NO_CHAR, cp;
    uint64_t n = 0, length = 0;
    while (node != TRIE_NONE && norm_next(&e->source, &ahead, &cp)) {
        unsigned char bytes[4];
        size_t n_bytes = utf8_put(cp, bytes);
        if (n == 0 && !added_may_begin(set, bytes[0])) return false;
        for (size_t i = 0; i < n_bytes && node != TRIE_NONE; i++)
            node = trie_step(&set->trie, node, bytes[i]);
        n++;
        if (node == TRIE_NONE || trie_value(&set->trie, node) == TRIE_NONE) continue;
        index = trie_value(&set->trie, node);
        behind = ahead;
        length = n;
        last = cp;
    }
    if (index == TRIE_NONE) return false;

    const unsigned char *pair = set->added + (size_t)8 * index;
    if (section_u32(pair + 4) & ADDED_SINGLE_WORD) {
        ahead = behind;
        bool beside = m->previous != NORM_NO_CHAR && unicode_word(m->previous);
        if (!beside && norm_next(&e->source, &ahead, &cp)) beside = unicode_word(cp);
        if (beside) {
            m->blocked = m->n_read + length;
            return false;
        }
    }
    end_word(e);
    if (!e->full) emit(e, section_u32(pair));
    *c = behind;
    m->n_read += length;
    m->previous = last;
    return true;
}

/* The text up to the next added token on raw text, or to the end. */
static void take_region(struct encoder *e, struct raw_cursor *raw)
{
    struct norm_cursor c;
    struct match_state m = {.previous = NORM_NO_CHAR};
    norm_begin(&c, raw);
    while (!e->full) {
        uint32_t cp;
        if (norm_is_plain(&c)) take_ascii(e, &c.next.raw, &m);
        if (e->full) break;
        if (take_normalized(e, &c, &m)) continue;
        if (!norm_next(&e->source, &c, &cp)) break;
        take(e, cp);
        m.previous = cp;
        m.n_read++;
    }
    if (!e->full) end_word(e);
    *raw = c.next.raw;
}

void text_encode(const struct text *text, const char *data, size_t bytes, uint32_t max_tokens,
                 int32_t *ids, struct text_result *result)
{
    assert(max_tokens > text->n_specials);
    struct encoder e;
    section_view(text, &e.view);
    norm_source_init(&e.source, data, bytes, e.view.flags, &e.view.raw);
    e.ids = ids + e.view.n_before;
    e.n = 0;
    e.most = max_tokens - text->n_specials;
    e.full = false;
    e.word_bytes = e.word_chars = 0;

    struct raw_cursor raw = {.previous = NORM_NO_CHAR};
    while (!e.full && raw.pos < bytes) {
        struct norm_match match;
        take_region(&e, &raw);
        if (e.full || !norm_match_raw(&e.source, &raw, &match)) break;
        emit(&e, section_u32(e.view.raw.added + (size_t)8 * match.index));
        raw.pos = match.end;
        raw.previous = match.last;
    }

    for (uint32_t i = 0; i < text->n_specials; i++) {
        uint32_t at = i < e.view.n_before ? i : i + e.n;
        ids[at] = (int32_t)section_u32(e.view.specials + (size_t)4 * i);
    }
    *result = (struct text_result){
        .n_ids = e.n + text->n_specials,
        .truncated = e.full,
        .replaced_bytes = e.source.replaced,
    };
}
