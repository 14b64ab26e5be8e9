/* text_encode: a text to ids, all at once or a few at a time: the door, and BERT's tokenizer. All
 * others are in text_staged.c.
 *
 * The text is read once, left to right. Regions between added tokens are normalized code point by
 * code point and gathered into words, and each word is cut into the longest known pieces. A word
 * that is too long is counted, not kept. Everything that a later call needs is in the stream: when
 * a token does not fit, what was read and not given out is the rest of one word, and possibly the
 * punctuation mark that ended it. An added token is not read before there is room for it. */
#include "text_normalize.h"
#include "text_staged.h"

#include <assert.h>

/* State of matching normalized text against added tokens. */
struct match_state {
    uint32_t previous; /* the normalized code point before, NORM_NO_CHAR at the region's start */
    uint64_t n_read;   /* normalized code points of the region so far */
    uint64_t blocked;  /* no added token begins before this one: a match over it was refused */
};

/* BERT's normalizer makes at most three bytes of one: U+D7A3 has three letters of three. */
#define MADE_BYTES(bytes) ((size_t)4 * (bytes) + 64)

/* The receiver of tokens with positions, and the positions of the word being gathered. */
struct record {
    struct text_watch watch;
    uint32_t n_words;
    uint32_t start, end; /* of the current character */
    uint32_t behind;     /* the last added token */
    struct norm_places places;
    unsigned char *made; /* [MADE_BYTES], normalized text; NULL: not asked for */
    size_t n_made;
    size_t made_char, made_word, made_end; /* where in it the character, and the word, are */
    struct {
        uint32_t start, end;
    } chars[TEXT_WORD_CHARS_MAX]; /* of the word being gathered */
    uint32_t word_start, word_end;
};

/* BERT's. */
struct fused {
    struct record *record; /* NULL: ids only */
    struct section_view view;
    struct norm_source source;
    struct norm_cursor at; /* in the current region */
    struct match_state match;

    int32_t *ids; /* of this call */
    uint32_t n, most;
    bool full; /* a token did not fit: nothing more is read */

    bool rest, rest_known; /* an ended word is partly given out: from word[rest_at] on it is not */
    uint32_t rest_at;
    uint32_t mark; /* punctuation that ended it, taken next; NORM_NO_CHAR: none */
    uint32_t word_bytes, word_chars;
    unsigned char word[TEXT_WORD_CHARS_MAX * 4];
};

struct text_stream {
    bool is_staged;
    bool ahead; /* staged: `piece` is the next token */
    struct text_piece piece;
    union {
        struct fused fused;
        struct staged staged;
    };
};

/* The piece of the word at an offset; 0 bytes: none. */
static uint32_t piece_at(const struct fused *s, uint32_t at, uint32_t *id)
{
    const uint32_t node = at > 0 ? s->view.continuation : TRIE_ROOT;
    if (node == TRIE_NONE) return 0;
    return trie_longest(&s->view.words, node, s->word + at, s->word_bytes - at, id);
}

/* Gives out the rest of the ended word, as far as there is room. */
static void give_rest(struct fused *s)
{
    while (s->rest && s->n < s->most) {
        uint32_t id = s->view.unk, bytes = s->word_bytes - s->rest_at;
        if (s->rest_known) bytes = piece_at(s, s->rest_at, &id);
        s->ids[s->n++] = (int32_t)id;
        s->rest_at += bytes;
        s->rest = s->rest_at < s->word_bytes;
    }
    s->full = s->rest;
    if (!s->rest) s->word_bytes = s->word_chars = 0;
}

static void keep_piece(struct record *r, uint32_t id, uint32_t start, uint32_t end)
{
    const struct text_piece piece = {(int32_t)id, r->n_words, start, end};
    r->watch.token(r->watch.context, &piece);
}

/* made[at .. n_made) was the text's bytes start to end, and is a word. */
static void tell_word(const struct record *r, size_t at, size_t end, uint32_t start,
                      uint32_t behind)
{
    if (r->made && r->watch.word)
        r->watch.word(r->watch.context, (const char *)r->made + at, end - at, start, behind);
}

/* Keeps the next normalized character. */
static void note_made(struct record *r, uint32_t cp)
{
    if (!r->made) return;
    r->made_char = r->n_made;
    r->n_made += utf8_put(cp, r->made + r->n_made);
}

/* Records the ended word's pieces; an unknown word is one piece. */
static void keep_word(struct fused *s, bool known)
{
    struct record *r = s->record;
    uint32_t at = 0, i = 0; /* byte and character of the word */
    tell_word(r, r->made_word, r->made_end, r->word_start, r->word_end);
    while (known && at < s->word_bytes) {
        uint32_t id = 0;
        const uint32_t first = i, behind = at + piece_at(s, at, &id);
        for (; at < behind; at++)
            i += (s->word[at] & 0xC0) != 0x80;
        /* A piece that is not a whole character, which only a corrupt section has, is the one
         * before. */
        const uint32_t last = i > first ? i - 1 : (first > 0 ? first - 1 : 0);
        keep_piece(r, id, r->chars[i > first ? first : last].start, r->chars[last].end);
    }
    if (!known) keep_piece(r, s->view.unk, r->word_start, r->word_end);
    r->n_words++;
    s->word_bytes = s->word_chars = 0;
}

/* Pieces of a word that are kept while it is cut; words have about five. A word with more is cut
 * twice: a stack may be small. */
#define WORD_PIECES 128u

/* Ends the word gathered so far: its pieces, or one unknown token. Whether a word is unknown as a
 * whole shows only at its last piece, so pieces are given out once all are known. */
static void end_word(struct fused *s)
{
    if (s->word_chars == 0) return;
    uint32_t pieces[WORD_PIECES], n = 0, id = 0;
    bool known = s->word_chars <= s->view.word_chars;
    for (uint32_t at = 0; known && at < s->word_bytes; n += known) {
        const uint32_t bytes = piece_at(s, at, &id);
        known = bytes > 0;
        if (n < WORD_PIECES) pieces[n] = id;
        at += bytes;
    }
    if (s->record) {
        keep_word(s, known);
        return;
    }
    if (!known) {
        pieces[0] = s->view.unk;
        n = 1;
    }
    if (n > WORD_PIECES || n > s->most - s->n) {
        s->rest = true;
        s->rest_known = known;
        s->rest_at = 0;
        give_rest(s); /* cuts again while giving out, so that the position in the word is known */
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        s->ids[s->n++] = (int32_t)pieces[i];
    s->word_bytes = s->word_chars = 0;
}

/* Records where in the text the word's next character comes from. */
static void note_place(struct fused *s)
{
    struct record *r = s->record;
    if (s->word_chars == 0) {
        r->word_start = r->start;
        r->made_word = r->made_char;
    }
    r->word_end = r->end;
    r->made_end = r->n_made;
    if (s->word_chars < TEXT_WORD_CHARS_MAX) {
        r->chars[s->word_chars].start = r->start;
        r->chars[s->word_chars].end = r->end;
    }
}

static void add_to_word(struct fused *s, uint32_t cp)
{
    if (s->record) note_place(s);
    if (s->word_chars <= s->view.word_chars) s->word_chars++;
    if (s->word_chars <= s->view.word_chars)
        s->word_bytes += (uint32_t)utf8_put(cp, s->word + s->word_bytes);
}

/* BertPreTokenizer: white space separates, punctuation is a word by itself. */
static void take(struct fused *s, uint32_t cp)
{
    if (s->record) note_made(s->record, cp);
    if (unicode_space(cp)) {
        end_word(s);
    } else if (unicode_punctuation(cp)) {
        end_word(s);
        if (s->full) {
            s->mark = cp;
            return;
        }
        add_to_word(s, cp);
        end_word(s);
    } else {
        add_to_word(s, cp);
    }
}

/* A run of ASCII in which no added token begins, directly from the section's table. */
static void take_ascii(struct fused *s)
{
    struct raw_cursor *raw = &s->at.next.raw;
    struct match_state *m = &s->match;
    const unsigned char *data = s->source.data, *table = s->view.ascii;
    size_t pos = raw->pos;
    for (; pos < s->source.bytes && data[pos] < SECTION_ASCII && !s->full; pos++) {
        const unsigned char *pair = table + (size_t)2 * data[pos];
        if (pair[0] == ASCII_SLOW) break;
        if (pair[0] == ASCII_DROP) continue;
        m->previous = pair[1];
        m->n_read++;
        if (s->record) {
            s->record->start = (uint32_t)pos;
            s->record->end = (uint32_t)pos + 1;
        }
        if (pair[0] == ASCII_WORD) {
            if (s->record) {
                note_made(s->record, pair[1]);
                note_place(s);
            }
            if (s->word_chars <= s->view.word_chars) s->word_chars++;
            if (s->word_chars <= s->view.word_chars) s->word[s->word_bytes++] = pair[1];
        } else {
            take(s, pair[1]);
        }
    }
    if (pos > raw->pos) raw->previous = data[pos - 1];
    raw->pos = pos;
}

/* What an added token that strips white space does with a character next to it. */
enum strip { STRIP_STOP, STRIP_PASS, STRIP_TAKE, STRIP_LAST };

/* normalized: the token was found in normalized text, where some characters are not, and a Chinese one has
 * spaces around it. */
static enum strip strip_of(const struct fused *s, bool normalized, uint32_t cp)
{
    if (normalized && s->source.flags & NORM_CLEAN && unicode_control(cp)) return STRIP_PASS;
    if (normalized && s->source.flags & NORM_CHINESE && unicode_chinese(cp)) return STRIP_LAST;
    return unicode_space(cp) ? STRIP_TAKE : STRIP_STOP;
}

/* White space that an added token strips belongs to it; what is before was another's. */
static void widen_added(struct fused *s, uint32_t flags, bool normalized, uint32_t *start,
                        uint32_t *end)
{
    const unsigned char *data = s->source.data;
    const size_t before = s->record->behind;
    enum strip strip = STRIP_PASS;
    uint32_t cp;
    bool bad;
    for (size_t at = *start; flags & ADDED_LSTRIP && at > before && strip != STRIP_LAST;) {
        const size_t behind = at;
        do
            at--;
        while (at > before && (data[at] & 0xC0) == 0x80);
        (void)utf8_next(data + at, behind - at, &cp, &bad);
        strip = strip_of(s, normalized, cp);
        if (strip == STRIP_STOP) break;
        if (strip != STRIP_PASS) *start = (uint32_t)at;
    }
    strip = STRIP_PASS;
    for (size_t at = *end; flags & ADDED_RSTRIP && at < s->source.bytes && strip != STRIP_LAST;) {
        const struct raw_cursor raw = {.pos = at, .previous = NORM_NO_CHAR};
        struct norm_match match;
        if (normalized && norm_match_raw(&s->source, &raw, &match)) break;
        at += utf8_next(data + at, s->source.bytes - at, &cp, &bad);
        strip = strip_of(s, normalized, cp);
        if (strip == STRIP_STOP) break;
        if (strip != STRIP_PASS) *end = (uint32_t)at;
    }
}

static void give_added(struct fused *s, const unsigned char *pair, bool normalized, size_t start,
                       size_t end)
{
    if (s->record) {
        struct record *r = s->record;
        uint32_t from = (uint32_t)start, to = (uint32_t)end;
        widen_added(s, section_u32(pair + 4), normalized, &from, &to);
        tell_word(r, r->made_word, r->n_made, from, to);
        keep_piece(r, section_u32(pair), from, to);
        r->n_words++;
        r->behind = to;
    } else {
        s->ids[s->n++] = (int32_t)section_u32(pair);
    }
}

/* An added token on normalized text at the cursor: gives it out and moves the cursor past it. If
 * there is no room the cursor stays, so that it is found again. */
static bool take_normalized(struct fused *s)
{
    struct norm_cursor *c = &s->at;
    struct match_state *m = &s->match;
    const struct added_set *set = &s->view.normalized;
    if (set->trie.n_units == 0 || m->n_read < m->blocked) return false;
    struct norm_cursor ahead = *c, behind;
    size_t start = 0;
    uint32_t node = TRIE_ROOT, index = TRIE_NONE, last = NORM_NO_CHAR, cp;
    uint64_t n = 0, length = 0;
    while (node != TRIE_NONE && norm_next(&s->source, &ahead, &cp)) {
        unsigned char bytes[4];
        size_t n_bytes = utf8_put(cp, bytes);
        if (n == 0 && !added_may_begin(set, bytes[0])) return false;
        if (n == 0) start = norm_origin(&ahead)->start;
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
        if (!beside && norm_next(&s->source, &ahead, &cp)) beside = unicode_word(cp);
        if (beside) {
            m->blocked = m->n_read + length;
            return false;
        }
    }
    end_word(s);
    s->full = s->full || s->n == s->most;
    if (s->full) return true;
    if (s->record) {
        ahead = *c;
        s->record->made_word = s->record->n_made;
        for (n = 0; n < length && norm_next(&s->source, &ahead, &cp); n++)
            note_made(s->record, cp);
    }
    give_added(s, pair, true, start, norm_origin(&behind)->pos);
    *c = behind;
    m->n_read += length;
    m->previous = last;
    return true;
}

/* The text up to the next added token on raw text, or to the end. */
static void take_region(struct fused *s)
{
    while (!s->full) {
        uint32_t cp;
        if (norm_is_plain(&s->at)) take_ascii(s);
        if (s->full) break;
        if (take_normalized(s)) continue;
        if (!norm_next(&s->source, &s->at, &cp)) break;
        if (s->record) {
            norm_place(&s->source, &s->at, &s->record->places, &s->record->start, &s->record->end);
        }
        take(s, cp);
        s->match.previous = cp;
        s->match.n_read++;
    }
    if (!s->full) end_word(s);
}

static void begin_region(struct fused *s, const struct raw_cursor *raw)
{
    norm_begin(&s->at, raw);
    s->match = (struct match_state){.previous = NORM_NO_CHAR};
}

static void begin_fused(struct fused *s, const struct text *text, const char *data, size_t bytes)
{
    const struct raw_cursor raw = {.previous = NORM_NO_CHAR};
    section_view(text, &s->view);
    norm_source_init(&s->source, data, bytes, s->view.flags, &s->view.raw);
    begin_region(s, &raw);
    s->record = NULL;
    s->rest = false;
    s->mark = NORM_NO_CHAR;
    s->word_bytes = s->word_chars = 0;
}

static uint32_t next_fused(struct fused *s, int32_t *ids, uint32_t max, bool *more)
{
    s->ids = ids;
    s->n = 0;
    s->most = max;
    s->full = false;
    if (s->rest) give_rest(s);
    if (!s->full && s->mark != NORM_NO_CHAR) {
        const uint32_t mark = s->mark;
        s->mark = NORM_NO_CHAR;
        take(s, mark);
    }
    while (!s->full) {
        struct norm_match match;
        take_region(s);
        struct raw_cursor raw = s->at.next.raw;
        if (s->full || !norm_match_raw(&s->source, &raw, &match)) break;
        s->full = s->n == s->most; /* it will be found here again */
        if (s->full) break;
        if (s->record && s->record->made) {
            struct record *r = s->record;
            r->made_word = r->n_made;
            /* bad bytes may be the token U+FFFD */
            r->n_made += utf8_repair(s->source.data + raw.pos, match.end - raw.pos,
                                     (char *)r->made + r->n_made, &(uint64_t){0});
        }
        give_added(s, s->view.raw.added + (size_t)8 * match.index, false, raw.pos, match.end);
        raw.pos = match.end;
        raw.previous = match.last;
        begin_region(s, &raw);
    }
    *more = s->full;
    return s->n;
}

/* ---- the door ---- */

size_t text_scratch_bytes(const struct text *text)
{
    return section_is_staged(text) ? staged_scratch_bytes(text, false, 0) : 0;
}

size_t text_stream_bytes(void)
{
    return sizeof(struct text_stream);
}

static void begin(struct text_stream *s, void *scratch, const struct text *text, const char *data,
                  size_t bytes)
{
    s->is_staged = section_is_staged(text);
    s->ahead = false;
    if (s->is_staged)
        staged_begin(&s->staged, scratch, text, data, bytes, false);
    else
        begin_fused(&s->fused, text, data, bytes);
}

struct text_stream *text_stream_begin(void *memory, void *scratch, const struct text *text,
                                      const char *data, size_t bytes)
{
    struct text_stream *s = memory;
    begin(s, scratch, text, data, bytes);
    return s;
}

static uint32_t next_staged(struct text_stream *s, int32_t *ids, uint32_t max, bool *more)
{
    uint32_t n = 0;
    while (n < max && (s->ahead || staged_next(&s->staged, &s->piece))) {
        s->ahead = false;
        ids[n++] = s->piece.id;
    }
    if (n == max && !s->ahead) s->ahead = staged_next(&s->staged, &s->piece);
    *more = s->ahead;
    return n;
}

static vecmill_status refuse_stretch(const struct staged *s, vecmill_err *err)
{
    if (s->grows) {
        return err_set(err, VECMILL_E_LIMIT,
                       "the text grows too much before byte %zu: the tokenizer's stages make more "
                       "of it than the %zu bytes that there is room for",
                       s->pos, s->text.room);
    }
    return err_set(err, VECMILL_E_LIMIT,
                   "the text has no place before byte %zu where it may be cut: the most that this "
                   "tokenizer takes at a time is TEXT_STRETCH_MAX, %u bytes, and words of %zu",
                   s->pos, TEXT_STRETCH_MAX, s->word_most);
}

vecmill_status text_stream_next(struct text_stream *s, int32_t *ids, uint32_t max, uint32_t *n,
                                bool *more, vecmill_err *err)
{
    bool follows;
    const uint32_t n_ids = s->is_staged ? next_staged(s, ids, max, &follows)
                                        : next_fused(&s->fused, ids, max, &follows);
    if (s->is_staged && s->staged.limit) return refuse_stretch(&s->staged, err);
    *n = n_ids;
    *more = follows;
    return VECMILL_OK;
}

uint64_t text_stream_replaced(const struct text_stream *s)
{
    return s->is_staged ? s->staged.replaced : s->fused.source.replaced;
}

/* ---- with positions ---- */

struct places {
    struct text_stream stream;
    struct record record;
};

size_t text_pieces_bytes(const struct text *text, size_t bytes)
{
    const size_t places = num_up(sizeof(struct places), 64);
    return places + (section_is_staged(text) ? staged_scratch_bytes(text, true, bytes) : 0);
}

size_t text_explain_bytes(const struct text *text, size_t bytes)
{
    return text_pieces_bytes(text, bytes) + (section_is_staged(text) ? 0 : MADE_BYTES(bytes));
}

/* made: of MADE_BYTES, or NULL: the tokens alone are asked for. */
static void watch_fused(struct places *p, unsigned char *made, const struct text *text,
                        const char *data, size_t bytes, const struct text_watch *watch)
{
    bool more;
    begin_fused(&p->stream.fused, text, data, bytes);
    p->record = (struct record){.watch = *watch, .made = made};
    p->stream.fused.record = &p->record;
    (void)next_fused(&p->stream.fused, NULL, UINT32_MAX,
                     &more); /* enough room: it ends with the text */
    if (made && watch->normalized && p->record.n_made > 0)
        watch->normalized(watch->context, (const char *)made, p->record.n_made);
}

static vecmill_status watch_staged(struct places *p, const struct text *text, const char *data,
                                   size_t bytes, const struct text_watch *watch, vecmill_err *err)
{
    struct staged *s = &p->stream.staged;
    struct text_piece piece;
    staged_begin(s, (char *)p + num_up(sizeof *p, 64), text, data, bytes, true);
    s->watch = watch;
    while (staged_next(s, &piece))
        watch->token(watch->context, &piece);
    return s->limit ? refuse_stretch(s, err) : VECMILL_OK;
}

vecmill_status text_pieces(void *memory, const struct text *text, const char *data, size_t bytes,
                           void (*keep)(void *context, const struct text_piece *piece),
                           void *context, vecmill_err *err)
{
    const struct text_watch watch = {.token = keep, .context = context};
    assert(bytes <= UINT32_MAX);
    if (section_is_staged(text)) return watch_staged(memory, text, data, bytes, &watch, err);
    watch_fused(memory, NULL, text, data, bytes, &watch);
    return VECMILL_OK;
}

vecmill_status text_explain(void *memory, const struct text *text, const char *data, size_t bytes,
                            const struct text_watch *watch, vecmill_err *err)
{
    assert(bytes <= UINT32_MAX);
    if (section_is_staged(text)) return watch_staged(memory, text, data, bytes, watch, err);
    watch_fused(memory, (unsigned char *)memory + text_pieces_bytes(text, bytes), text, data, bytes,
                watch);
    return VECMILL_OK;
}

uint32_t text_enclose(const struct text *text, int32_t *ids, uint32_t n)
{
    struct section_view view;
    section_view(text, &view);
    for (uint32_t i = 0; i < text->n_specials; i++) {
        const uint32_t at = i < view.n_before ? i : i + n;
        ids[at] = (int32_t)section_u32(view.specials + (size_t)4 * i);
    }
    return n + text->n_specials;
}

void text_encode_bare(const struct text *text, void *scratch, const char *data, size_t bytes,
                      uint32_t max_tokens, int32_t *ids, struct text_result *result)
{
    struct text_stream s;
    bool more;
    begin(&s, scratch, text, data, bytes);
    const uint32_t n = s.is_staged ? next_staged(&s, ids, max_tokens, &more)
                                   : next_fused(&s.fused, ids, max_tokens, &more);
    *result = (struct text_result){
        .n_ids = n,
        .truncated = more || (s.is_staged && s.staged.limit),
        .replaced_bytes = text_stream_replaced(&s),
    };
}

void text_encode(const struct text *text, void *scratch, const char *data, size_t bytes,
                 uint32_t max_tokens, int32_t *ids, struct text_result *result)
{
    assert(max_tokens > text->n_specials);
    text_encode_bare(text, scratch, data, bytes, max_tokens - text->n_specials,
                     ids + text->n_before, result);
    result->n_ids = text_enclose(text, ids, result->n_ids);
}

/* Tokens of a text, `most` at most. */
static uint64_t count_tokens(const struct text *text, void *scratch, const struct text_part *part,
                             uint64_t most)
{
    struct text_stream s;
    int32_t some[256];
    uint64_t n = 0;
    bool more = true;
    begin(&s, scratch, text, part->data, part->bytes);
    while (more && n < most)
        n += s.is_staged ? next_staged(&s, some, sizeof some / sizeof *some, &more)
                         : next_fused(&s.fused, some, sizeof some / sizeof *some, &more);
    return num_min(n, most);
}

/* How many tokens of two texts are kept where room of them fit. first_is_longer: where both are cut,
 * it gets what is left over. */
static void cut_longest_first(uint32_t room, bool first_is_longer, uint32_t kept[static 2])
{
    uint32_t *shorter = &kept[first_is_longer], *longer = &kept[!first_is_longer];
    if ((uint64_t)kept[0] + kept[1] <= room) return;
    if (2 * (uint64_t)*shorter > room) *shorter = room / 2;
    *longer = room - *shorter;
}

void text_encode_pair(const struct text *text, void *scratch, const struct text_part parts[2],
                      uint32_t max_tokens, int32_t *ids, uint8_t *types, struct text_result *result)
{
    assert(text->takes_pairs && max_tokens > text->n_pair_specials);
    const uint32_t room = max_tokens - text->n_pair_specials;
    int32_t *const of_parts[2] = {ids + max_tokens, ids + (size_t)2 * max_tokens};
    struct text_result encoded[2];
    uint32_t kept[2], n = 0;
    for (int i = 0; i < 2; i++) {
        text_encode_bare(text, scratch, parts[i].data, parts[i].bytes, room, of_parts[i],
                         &encoded[i]);
        kept[i] = encoded[i].n_ids;
    }
    bool first_is_longer = kept[0] > kept[1];
    if (kept[0] == room && kept[1] == room && room % 2 > 0) { /* both may go on */
        const uint64_t first = count_tokens(text, scratch, &parts[0], UINT64_MAX);
        first_is_longer = count_tokens(text, scratch, &parts[1], first) < first;
    }
    cut_longest_first(room, first_is_longer, kept);
    const unsigned char *pieces = text->section + SECTION_PAIR_AT;
    for (uint32_t i = 0; i < text->private_[SECTION_N_PAIR]; i++) {
        const uint32_t piece = section_u32(pieces + (size_t)4 * i), kind = PAIR_WORD_KIND(piece);
        const uint32_t n_piece = kind == PAIR_SPECIAL ? 1 : kept[kind - PAIR_FIRST];
        if (kind == PAIR_SPECIAL)
            ids[n] = (int32_t)PAIR_WORD_ID(piece);
        else
            memcpy(ids + n, of_parts[kind - PAIR_FIRST], n_piece * sizeof *ids);
        memset(types + n, (int)PAIR_WORD_TYPE(piece), n_piece);
        n += n_piece;
    }
    *result = (struct text_result){
        .n_ids = n,
        .truncated = encoded[0].truncated || encoded[1].truncated || kept[0] < encoded[0].n_ids ||
                     kept[1] < encoded[1].n_ids,
        .replaced_bytes = encoded[0].replaced_bytes + encoded[1].replaced_bytes,
    };
}
