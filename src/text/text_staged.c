/* text_staged: stretches, added tokens and words. */
#include "text_staged.h"

#include "text_cut.h"
#include "text_unicode.h"

#include <stdio.h>

#define STRETCH_FIRST (16u << 10) /* bytes of a stretch that are tried first */
/* Bytes of a buffer: U+FFFD has three for one; and for what is put in front. */
#define ROOM       ((size_t)3 * TEXT_STRETCH_MAX + 4096)
#define WORK_LEAST (8u << 20)  /* bytes for putting marks into order */
#define ROOM_SMALL (16u << 10) /* of the compiler, for texts of one added token */
#define WORK_SMALL (64u << 10)
#define EXPANSION  64u /* of a short text: U+FDFA has 33 bytes for 3 */

/* ---- memory ---- */

static size_t begins_bytes(size_t room)
{
    return num_up((room / 64 + 1) * sizeof(uint64_t), 64);
}

static size_t buffers_bytes(size_t room, bool places)
{
    return 3 * num_up(room, 64) + 2 * begins_bytes(room) +
           (places ? 3 * num_up(room * sizeof(struct stage_place), 64) : 0);
}

uint32_t staged_word_most(const struct text_model *model)
{
    const size_t left = TEXT_SCRATCH_MAX - buffers_bytes(ROOM, false);
    uint32_t low = 0, high = (uint32_t)(ROOM / 4096);
    while (low < high) {
        const uint32_t middle = high - (high - low) / 2;
        if (model->scratch((size_t)middle * 4096) <= left)
            low = middle;
        else
            high = middle - 1;
    }
    return low * 4096;
}

static size_t room_for(bool places, size_t text_bytes)
{
    return places && text_bytes < ROOM / EXPANSION ? EXPANSION * text_bytes + 4096 : ROOM;
}

/* The largest word that is encoded in buffers of this room. */
static uint32_t word_most(const struct text *text, size_t room)
{
    return (uint32_t)num_min(text->private_[SECTION_WORD_MOST], room);
}

static size_t model_bytes(const struct text *text, size_t room)
{
    const size_t work = num_min(WORK_LEAST, 2 * sizeof(struct stage_cp) * room);
    const struct text_model *model = TEXT_MODELS[text->private_[SECTION_MODEL]];
    return num_up(num_max(model->scratch(word_most(text, room)), work), 64);
}

size_t staged_scratch_bytes(const struct text *text, bool places, size_t text_bytes)
{
    const size_t room = room_for(places, text_bytes);
    return buffers_bytes(room, places) + model_bytes(text, room);
}

static unsigned char *take(unsigned char **at, size_t bytes)
{
    unsigned char *taken = *at;
    *at += num_up(bytes, 64);
    return taken;
}

static void lay_out(struct staged *s, void *scratch, size_t room, bool places)
{
    struct stage_text *const texts[] = {&s->text, &s->one, &s->two};
    unsigned char *at = scratch;
    for (int i = 0; i < 3; i++) {
        *texts[i] = (struct stage_text){.data = take(&at, room), .room = room};
        if (i > 0) texts[i]->begins = (uint64_t *)(void *)take(&at, begins_bytes(room));
        if (places)
            texts[i]->places =
                (struct stage_place *)(void *)take(&at, room * sizeof(struct stage_place));
    }
    s->scratch = at;
}

void staged_begin(struct staged *s, void *scratch, const struct text *text, const void *data,
                  size_t bytes, bool places)
{
    const size_t room = room_for(places, bytes);
    memset(s, 0, sizeof *s);
    s->tokens = text;
    section_view(text, &s->view);
    section_stages(text, s->stages);
    s->model = TEXT_MODELS[text->private_[SECTION_MODEL]];
    s->data = data;
    s->bytes = bytes;
    s->begins = true;
    for (uint32_t i = s->view.n_normalizers; i < s->view.n_stages; i++)
        s->asks_origin = s->asks_origin || stage_asks_origin(&s->stages[i]);
    s->window = STRETCH_FIRST;
    s->scratch_bytes = model_bytes(text, room);
    s->word_most = word_most(text, room);
    lay_out(s, scratch, room, places);
}

/* ---- added tokens (tokenizer/added_vocabulary.rs, find_matches) ---- */

static size_t space_before(const unsigned char *data, size_t least, size_t at)
{
    while (at > least) {
        size_t start = at - 1;
        uint32_t cp;
        bool bad;
        while (start > least && at - start < 4 && (data[start] & 0xC0) == 0x80)
            start--;
        if (utf8_next(data + start, at - start, &cp, &bad) != at - start || !unicode_space(cp))
            break;
        at = start;
    }
    return at;
}

/* *known: where the last run that was looked at ends, so that tokens inside it do not look again. */
static size_t space_after(const unsigned char *data, size_t bytes, size_t at, size_t *known)
{
    uint32_t cp;
    bool bad;
    if (at < *known) return *known;
    while (at < bytes) {
        const size_t n = utf8_next(data + at, bytes - at, &cp, &bad);
        if (!unicode_space(cp)) break;
        at += n;
    }
    *known = at;
    return at;
}

static bool word_before(const unsigned char *data, size_t at)
{
    size_t start = at;
    uint32_t cp;
    bool bad;
    if (at == 0) return false;
    do
        start--;
    while (start > 0 && at - start < 4 && (data[start] & 0xC0) == 0x80);
    return utf8_next(data + start, at - start, &cp, &bad) == at - start && !bad && unicode_word(cp);
}

static bool word_after(const unsigned char *data, size_t bytes, size_t at)
{
    uint32_t cp;
    bool bad;
    if (at == bytes) return false;
    utf8_next(data + at, bytes - at, &cp, &bad);
    return unicode_word(cp);
}

/* The longest added token at `at`: its end, or `at`. */
static size_t token_end(const struct added_set *set, const unsigned char *data, size_t bytes,
                        size_t at, uint32_t *index)
{
    size_t end = at;
    uint32_t node = TRIE_ROOT;
    for (size_t i = at; i < bytes; i++) {
        node = trie_step(&set->trie, node, data[i]);
        if (node == TRIE_NONE) break;
        if (trie_value(&set->trie, node) == TRIE_NONE) continue;
        *index = trie_value(&set->trie, node);
        end = i + 1;
    }
    return end;
}

/* The first added token that begins in [from, until); what it strips on the left is after `least`. A
 * token that is refused because of its neighbours still covers its text. spaces: of space_after, 0 at
 * first. false: the search goes on at match->next. */
static bool find_added(const struct added_set *set, const unsigned char *data, size_t bytes,
                       size_t least, size_t from, size_t until, size_t *spaces,
                       struct staged_match *match)
{
    uint32_t index = 0;
    size_t at = from;
    while (set->trie.n_units && at < until) {
        if (!added_may_begin(set, data[at])) {
            at++;
            continue;
        }
        const size_t end = token_end(set, data, bytes, at, &index);
        if (end == at) {
            at++;
            continue;
        }
        const uint32_t flags = section_u32(set->added + (size_t)8 * index + 4);
        if (flags & ADDED_SINGLE_WORD && (word_before(data, at) || word_after(data, bytes, end))) {
            at = end;
            continue;
        }
        *match = (struct staged_match){.start = at, .end = end, .next = end, .index = index};
        if (flags & ADDED_LSTRIP)
            match->start = num_max(least, space_before(data, num_min(least, at), at));
        if (flags & ADDED_RSTRIP) match->end = space_after(data, bytes, end, spaces);
        if (match->start < match->end) return true;
        at = end; /* nothing is left of it: the one before has stripped it */
    }
    match->next = num_max(at, until);
    return false;
}

/* ---- stretches ---- */

/* Repairs data[s->pos .. end) into s->text. */
static void fill(struct staged *s, size_t end)
{
    struct stage_text *t = &s->text;
    const unsigned char *data = s->data + s->pos;
    const size_t bytes = end - s->pos;
    stage_clear(t);
    if (!t->places) {
        if (utf8_valid(data, bytes)) {
            memcpy(t->data, data, bytes);
            t->bytes = bytes;
        } else {
            uint64_t replaced = 0;
            t->bytes = utf8_repair(data, bytes, (char *)t->data, &replaced);
            s->replaced += replaced;
        }
        return;
    }
    for (size_t at = 0; at < bytes;) {
        uint32_t cp;
        bool bad;
        const size_t n = utf8_next(data + at, bytes - at, &cp, &bad);
        const uint32_t from = (uint32_t)(s->pos + at);
        if (bad) s->replaced += n;
        stage_put(t, cp, (struct stage_place){from, from + (uint32_t)n});
        at += n;
    }
    s->grows = t->full;
}

static struct stage_context context_of(struct staged *s)
{
    return (struct stage_context){.begins = s->text_begins,
                                  .ends = s->text_ends,
                                  .n_origin = s->n_origin,
                                  .work = s->scratch,
                                  .n_work = s->scratch_bytes / (2 * sizeof(struct stage_cp))};
}

#define ORIGIN_IN                                                                                  \
    2048u /* bytes of a stage's input in which the document's first character is followed */
#define ORIGIN_OUT 4096u

/* How many bytes at the begin of a stage's output come from the document's first character: the stage is
 * run over its first bytes with their places. */
static size_t origin_after(const struct stage *stage, const struct stage_text *in,
                           const struct stage_context *context)
{
    struct stage_place from[ORIGIN_IN], to[ORIGIN_OUT];
    unsigned char data[ORIGIN_OUT];
    uint64_t begins[ORIGIN_OUT / 64 + 1];
    struct stage_context around = *context;
    struct stage_text begin = *in;
    struct stage_text out = {.data = data, .room = ORIGIN_OUT, .places = to};
    if (context->n_origin == 0) return 0;
    begin.bytes = num_min(in->bytes, ORIGIN_IN);
    while (begin.bytes < in->bytes && (in->data[begin.bytes] & 0xC0) == 0x80)
        begin.bytes--;
    around.ends = around.ends && begin.bytes == in->bytes;
    for (size_t i = 0; i < begin.bytes; i++)
        from[i] = (struct stage_place){i >= context->n_origin, 1};
    begin.places = from;
    if (stage->kind->phase == STAGE_PRE_TOKENIZER) out.begins = begins;
    stage_clear(&out);
    stage->kind->run(stage, &begin, &out, &around);
    size_t n = 0;
    while (n < out.bytes && to[n].start == 0)
        n++;
    return n;
}

static void normalize(struct staged *s)
{
    struct stage_context context = context_of(s);
    for (uint32_t i = 0; i < s->view.n_normalizers; i++) {
        const struct stage *stage = &s->stages[i];
        uint64_t *begins = s->one.begins;
        stage_clear(&s->one);
        s->one.begins = NULL; /* a normalizer makes no words */
        const size_t n_origin = origin_after(stage, &s->text, &context);
        stage->kind->run(stage, &s->text, &s->one, &context);
        context.n_origin = n_origin;
        s->grows = s->grows || s->one.full;
        const struct stage_text made = s->one;
        s->one = s->text;
        s->one.begins = begins;
        s->one.bytes = 0;
        s->text = made;
    }
    s->n_origin = context.n_origin;
    s->limit = s->limit || s->grows;
}

static void tell_normalized(const struct staged *s, const void *made, size_t bytes)
{
    if (s->watch && s->watch->normalized && bytes > 0)
        s->watch->normalized(s->watch->context, made, bytes);
}

static void tell_word(const struct staged *s, const void *made, size_t bytes, size_t start,
                      size_t end)
{
    if (s->watch && s->watch->word)
        s->watch->word(s->watch->context, made, bytes, (uint32_t)start, (uint32_t)end);
}

/* Takes the next stretch; false at the end of the text. */
static bool next_stretch(struct staged *s)
{
    size_t window = s->window, end = 0;
    if (s->limit || num_min(s->pos, s->raw_search) == s->bytes) return false;
    for (;; window *= 2) {
        const size_t until = s->pos + num_min(num_min(window, TEXT_STRETCH_MAX), s->bytes - s->pos);
        if (!s->raw_known) {
            s->raw_known = find_added(&s->view.raw, s->data, s->bytes, s->pos, s->raw_search, until,
                                      &s->raw_spaces, &s->raw);
            s->raw_search = s->raw.next;
        }
        s->text_ends = s->raw_known || until == s->bytes;
        end = s->raw_known ? num_max(s->raw.start, s->pos) : until;
        if (s->text_ends) break;
        end = cut_find(&s->view, s->data, s->bytes, s->pos, until);
        if (end) break;
        if (window < TEXT_STRETCH_MAX) continue;
        end = until;
        while (end > s->pos + 1 && (s->data[end] & 0xC0) == 0x80)
            end--;
        s->limit = true;
        break;
    }
    s->n_stretches++;
    s->text_begins = s->begins;
    const bool first = s->pos == 0 && s->asks_origin;
    fill(s, end);
    s->n_origin = first && s->text.bytes
                      ? utf8_next(s->text.data, s->text.bytes, &(uint32_t){0}, &(bool){0})
                      : 0;
    normalize(s);
    tell_normalized(s, s->text.data, s->text.bytes);
    s->text_at = s->text_search = s->text_spaces = 0;
    s->pos = end;
    s->begins = false;
    s->raw_pending = s->raw_known && !s->limit;
    return true;
}

/* ---- words ---- */

/* Something did not fit: the tokens of what did are the last ones. */
static void end_here(struct staged *s)
{
    s->limit = true;
    s->normalized_pending = s->raw_pending = false;
    s->text_at = s->text_search = s->text.bytes;
}

/* Pre-tokenizes s->text[start .. end). */
static void begin_words(struct staged *s, size_t start, size_t end)
{
    struct stage_context context = context_of(s);
    context.n_origin = start == 0 ? context.n_origin : 0;
    s->gap = (struct stage_text){.data = s->text.data + start,
                                 .bytes = end - start,
                                 .room = end - start,
                                 .places = s->text.places ? s->text.places + start : NULL};
    const struct stage_text *in = &s->gap;
    bool full = false;
    for (uint32_t i = s->view.n_normalizers; i < s->view.n_stages; i++) {
        struct stage_text *out = in == &s->one ? &s->two : &s->one;
        stage_clear(out);
        const size_t n_origin = origin_after(&s->stages[i], in, &context);
        s->stages[i].kind->run(&s->stages[i], in, out, &context);
        context.n_origin = n_origin;
        full = full || out->full;
        in = out;
    }
    s->grows = s->grows || full;
    if (full) end_here(s);
    s->words = in;
    s->word_at = 0;
}

/* The next part of the stretch: words up to an added token, and that one. */
static void next_part(struct staged *s)
{
    const size_t at = s->text_at;
    struct staged_match *m = &s->normalized;
    size_t end = s->text.bytes;
    s->normalized_pending = find_added(&s->view.normalized, s->text.data, s->text.bytes, at,
                                       s->text_search, s->text.bytes, &s->text_spaces, m);
    s->text_at = end;
    s->text_search = m->next;
    if (s->normalized_pending) {
        end = num_max(m->start, at);
        s->text_at = m->end;
    }
    if (end > at) begin_words(s, at, end);
}

/* White space at the begin, or end, of a token's text; byte-level tokens have a letter for a space. */
static size_t count_spaces(const unsigned char *text, size_t bytes, bool at_end)
{
    size_t n = 0, from = 0, to = bytes;
    for (uint32_t cp; from < to; n++) {
        size_t at = from;
        if (at_end) {
            at = to - 1;
            while (at > from && (text[at] & 0xC0) == 0x80)
                at--;
        }
        bool bad;
        const size_t size = utf8_next(text + at, to - at, &cp, &bad);
        if (cp != stage_byte_letter(' ') && !unicode_space(cp)) break;
        if (at_end)
            to = at;
        else
            from += size;
    }
    return n;
}

/* Leaves white space out of a token's place, as the reference does: as many characters of the text
 * as the token has blanks (pre_tokenizers/byte_level.rs, process_offsets). */
static void trim(struct staged *s, const void *text, size_t bytes, struct text_piece *piece)
{
    const bool first = !s->given || piece->start == 0;
    s->given = true;
    if (!(s->view.trim & SECTION_TRIMS) || !text) return;
    size_t leading = count_spaces(text, bytes, false);
    const size_t trailing = count_spaces(text, bytes, true);
    if (first && s->view.trim & SECTION_TRIM_PREFIX && leading == 1) leading = 0;
    for (; leading && piece->start < piece->end; leading--) {
        uint32_t cp;
        bool bad;
        piece->start +=
            (uint32_t)utf8_next(s->data + piece->start, piece->end - piece->start, &cp, &bad);
    }
    for (size_t n = trailing; n && piece->end > piece->start; n--) {
        do
            piece->end--;
        while (piece->end > piece->start && (s->data[piece->end] & 0xC0) == 0x80);
    }
}

/* An added token; text: what it was found as. */
static void give_added(struct staged *s, const struct added_set *set, uint32_t index,
                       const unsigned char *text, size_t bytes, struct text_piece *piece)
{
    piece->id = (int32_t)section_u32(set->added + (size_t)8 * index);
    piece->word = s->n_words++;
    if (s->text.places) trim(s, text, bytes, piece);
}

static void give_piece(struct staged *s, struct text_piece *piece)
{
    const struct model_piece *p = &s->pieces[s->i_piece++];
    const struct stage_place *places = s->words->places;
    *piece = (struct text_piece){.id = (int32_t)p->id, .word = s->n_words};
    if (s->i_piece == s->n_pieces) s->n_words++;
    if (!places) return;
    if (p->end > p->start) {
        piece->start = places[s->word + p->start].start;
        piece->end = places[s->word + p->end - 1].end;
    }
    size_t bytes = 0;
    const char *text = text_token(s->tokens, piece->id, &bytes);
    trim(s, text, bytes, piece);
}

static bool next_word(struct staged *s)
{
    size_t end;
    if (!stage_next_word(s->words, s->word_at, &end)) return false;
    s->word = s->word_at;
    s->word_at = end;
    if (end - s->word > s->word_most) {
        end = s->word + s->word_most;
        while ((s->words->data[end] & 0xC0) == 0x80)
            end--;
        s->word_at = s->words->bytes;
        end_here(s);
    }
    if (s->watch && end > s->word)
        tell_word(s, s->words->data + s->word, end - s->word, s->words->places[s->word].start,
                  s->words->places[end - 1].end);
    s->n_pieces = s->model->encode(s->view.model, s->words->data + s->word, end - s->word,
                                   s->scratch, &s->pieces);
    s->i_piece = 0;
    return true;
}

bool staged_next(struct staged *s, struct text_piece *piece)
{
    for (;;) {
        if (s->i_piece < s->n_pieces) {
            give_piece(s, piece);
            return true;
        }
        if (s->words && next_word(s)) continue;
        s->words = NULL;
        if (s->normalized_pending) {
            const struct staged_match *m = &s->normalized;
            const struct stage_place *places = s->text.places;
            s->normalized_pending = false;
            *piece = (struct text_piece){.start = places ? places[m->start].start : 0,
                                         .end = places ? places[m->end - 1].end : 0};
            tell_word(s, s->text.data + m->start, m->end - m->start, piece->start, piece->end);
            give_added(s, &s->view.normalized, m->index, s->text.data + m->start, m->end - m->start,
                       piece);
            return true;
        }
        /* A token may begin in white space that the one before has stripped. */
        if (num_min(s->text_at, s->text_search) < s->text.bytes) {
            next_part(s);
            continue;
        }
        if (s->raw_pending) {
            s->raw_pending = s->raw_known = false;
            s->pos = s->raw.end;
            s->begins = true;
            *piece =
                (struct text_piece){.start = (uint32_t)s->raw.start, .end = (uint32_t)s->raw.end};
            tell_normalized(s, s->data + piece->start, piece->end - piece->start);
            tell_word(s, s->data + piece->start, piece->end - piece->start, piece->start,
                      piece->end);
            give_added(s, &s->view.raw, s->raw.index, s->data + s->raw.start,
                       s->raw.end - s->raw.start, piece);
            return true;
        }
        if (!next_stretch(s)) return false;
    }
}

/* ---- for the compiler ---- */

size_t staged_prepare_bytes(void)
{
    return buffers_bytes(ROOM_SMALL, false) + WORK_SMALL;
}

void staged_prepare(struct staged *s, void *scratch, const struct stage *stages,
                    uint32_t n_normalizers, uint32_t n_stages)
{
    memset(s, 0, sizeof *s);
    memcpy(s->stages, stages, n_stages * sizeof(*stages));
    s->view.n_normalizers = n_normalizers;
    s->view.n_stages = n_stages;
    s->scratch_bytes = WORK_SMALL;
    lay_out(s, scratch, ROOM_SMALL, false);
}

/* Puts a text that is neither long nor invalid through the normalizers. */
static void normalize_short(struct staged *s, const char *text, size_t bytes, bool begins,
                            bool ends)
{
    s->data = (const unsigned char *)text;
    s->bytes = bytes;
    s->pos = 0;
    s->text_begins = begins;
    s->n_origin = 0;
    s->limit = s->grows = false;
    s->text_ends = ends;
    fill(s, s->bytes);
    normalize(s);
}

bool staged_normalize(struct staged *s, const char *text, size_t bytes, const char **normalized,
                      size_t *n)
{
    normalize_short(s, text, bytes, true, true);
    *normalized = (const char *)s->text.data;
    *n = s->text.bytes;
    return !s->limit;
}

#define SHORT 63u /* bytes of the words that are compared */

/* The words of a short text, one after the other, with a bit where each begins. Returns their bytes;
 * 0 or more than SHORT: there is nothing to compare. */
static size_t words_of(struct staged *s, const char *text, bool begins, bool ends,
                       unsigned char bytes[static SHORT], uint64_t *bits)
{
    normalize_short(s, text, strlen(text), begins, ends);
    if (s->text.bytes == 0) return 0;
    begin_words(s, 0, s->text.bytes);
    *bits = 0;
    for (size_t at = 0, end = 0; at <= SHORT && stage_next_word(s->words, at, &end); at = end)
        *bits |= UINT64_C(1) << at;
    memcpy(bytes, s->words->data, num_min(s->words->bytes, SHORT));
    return s->limit ? 0 : s->words->bytes;
}

/* Whether the text is not empty and each normalizer leaves it letters, or white space, as text_cut.h
 * needs them; the first one joins nothing. */
static bool keeps_kind(struct staged *s, const char *text, size_t bytes, bool (*is)(uint32_t cp))
{
    const uint32_t n = s->view.n_normalizers;
    bool keeps = true;
    for (uint32_t i = 0; keeps && i <= n; i++) {
        s->view.n_normalizers = i;
        normalize_short(s, text, bytes, false, false);
        keeps = s->text.bytes > 0 && !s->limit;
        for (size_t at = 0; keeps && at < s->text.bytes;) {
            uint32_t cp;
            const bool first = at == 0;
            at += utf8_char(s->text.data + at, &cp);
            keeps = is(cp) && !(first && (unicode_combining(cp) || unicode_class(cp)));
        }
    }
    s->view.n_normalizers = n;
    return keeps;
}

/* Whether the normalizers change none of the characters; for many of them faster than one by one. */
static bool are_unchanged(struct staged *s, uint32_t first, uint32_t last)
{
    const uint32_t n = s->view.n_normalizers;
    unsigned char chars[256 * 4];
    bool same = true;
    for (uint32_t cp = first; same && cp <= last;) {
        size_t bytes = 0;
        for (; cp <= last && bytes <= sizeof chars - 4; cp++)
            bytes += utf8_put(cp, chars + bytes);
        for (uint32_t i = 1; same && i <= n; i++) {
            s->view.n_normalizers = i;
            normalize_short(s, (const char *)chars, bytes, false, false);
            same = s->text.bytes == bytes && memcmp(s->text.data, chars, bytes) == 0;
        }
        s->view.n_normalizers = n;
    }
    return same;
}

enum cut { NO_CUT, CUT_OF_WORD, CUT_BETWEEN_WORDS };

/* Whether a text of this letter, a space or LF, and this letter may be cut before the space: its words
 * are those of the two parts, but that one may reach over the cut if no token can do so. */
static enum cut may_cut(struct staged *s, uint32_t cp, char space)
{
    char letter[8] = "", whole[16], right[12];
    unsigned char a[SHORT], b[SHORT], both[SHORT];
    uint64_t bits_a, bits_b, bits;
    const size_t bytes = utf8_put(cp, (unsigned char *)letter);
    if (!keeps_kind(s, letter, bytes, cut_is_letter)) return NO_CUT;
    snprintf(right, sizeof right, "%c%s", space, letter);
    snprintf(whole, sizeof whole, "%s%c%s", letter, space, letter);
    const size_t n = words_of(s, whole, true, true, both, &bits);
    const size_t n_a = words_of(s, letter, true, false, a, &bits_a);
    const size_t n_b = words_of(s, right, false, true, b, &bits_b);
    if (n == 0 || n > SHORT || n_a == 0 || n_b == 0 || n != n_a + n_b ||
        memcmp(both, a, n_a) != 0 || memcmp(both + n_a, b, n_b) != 0)
        return NO_CUT;
    if (bits == (bits_a | bits_b << n_a)) return CUT_BETWEEN_WORDS;
    if ((bits | UINT64_C(1) << n_a) != (bits_a | bits_b << n_a)) return NO_CUT;
    size_t last = n_a - 1;
    uint32_t before, after;
    while (last > 0 && (a[last] & 0xC0) == 0x80)
        last--;
    utf8_char(a + last, &before);
    utf8_char(b, &after);
    return s->model->splits(s->view.model, before, after) ? CUT_OF_WORD : NO_CUT;
}

/* What pre-tokenizers see of a character outside ASCII. */
static uint32_t kind_of(uint32_t cp)
{
    return unicode_kind(cp) | (uint32_t)unicode_word(cp) << 16 |
           (uint32_t)unicode_punctuation(cp) << 17 | (uint32_t)unicode_numeric(cp) << 18;
}

/* Whether each character of the range may be before a cut. Of those that stay as they are, and are cut
 * between words, one of each kind is tried. */
static bool may_cut_range(struct staged *s, const struct cut_range *r, char space)
{
    const bool unchanged = r->first >= 0x80 && are_unchanged(s, r->first, r->last);
    uint32_t known = UINT32_MAX;
    for (uint32_t cp = r->first; cp <= r->last; cp++) {
        const uint32_t kind = kind_of(cp);
        if (unchanged && kind == known) continue;
        const enum cut cut = may_cut(s, cp, space);
        if (cut == NO_CUT) return false;
        known = cut == CUT_BETWEEN_WORDS ? kind : UINT32_MAX;
    }
    return true;
}

void staged_find_cuts(struct staged *s, const struct text_model *model, const unsigned char *table,
                      uint32_t cuts[static 3])
{
    s->model = model;
    s->view.model = table;
    memset(cuts, 0, 3 * sizeof(*cuts));
    for (uint32_t i = 0; i < s->view.n_stages; i++) {
        if (!s->stages[i].kind->is_local(&s->stages[i])) return;
    }
    const bool spaces = keeps_kind(s, " ", 1, cut_is_space);
    const bool lines = keeps_kind(s, "\n", 1, cut_is_space);
    bool letters = lines;
    for (uint32_t i = 0; spaces && i < 52; i++) {
        const uint32_t letter = i % 26 + (i < 26 ? 'a' : 'A');
        if (may_cut(s, letter, ' ') == NO_CUT) continue;
        cuts[i / 26] |= UINT32_C(1) << i % 26;
        letters = letters && may_cut(s, letter, '\n') != NO_CUT;
    }
    if (letters) cuts[2] |= SECTION_CUT_LINES;
    uint32_t failed = 0;
    for (uint32_t i = 0; i < CUT_N_RANGES; i++) {
        const struct cut_range *r = &CUT_RANGES[i];
        const uint32_t space = cut_bit(r->class, false), line = cut_bit(r->class, true);
        cuts[2] |= space | line;
        if (!(failed & space) && !(spaces && may_cut_range(s, r, ' '))) failed |= space;
        if (!(failed & line) && !(lines && may_cut_range(s, r, '\n'))) failed |= line;
    }
    cuts[2] &= ~failed;
}
