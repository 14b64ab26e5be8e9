/* text_normalize: three layers of cursors: raw, decomposed, ordered and lower case. */
#include "text_normalize.h"

void norm_source_init(struct norm_source *s, const void *data, size_t bytes, uint32_t flags,
                      const struct added_set *raw)
{
    s->data = data;
    s->bytes = bytes;
    s->flags = flags;
    s->raw = raw && raw->trie.n_units ? raw : NULL;
    s->replaced = 0;
    s->counted = 0;
    s->memo_pos = SIZE_MAX;
    s->memo_i = 0;
}

void norm_begin(struct norm_cursor *c, const struct raw_cursor *raw)
{
    c->next.raw = *raw;
    c->next.i = c->next.n = 0;
    c->class = 0;
    c->i = c->n = 0;
}

/* Decodes the character at pos; invalid bytes are counted the first time they are read. */
static size_t decode(struct norm_source *s, size_t pos, uint32_t *cp)
{
    if (s->data[pos] < 0x80) {
        *cp = s->data[pos];
        return 1;
    }
    bool bad;
    size_t n = utf8_next(s->data + pos, s->bytes - pos, cp, &bad);
    if (bad && pos >= s->counted) {
        s->replaced += n;
        s->counted = pos + n;
    }
    return n;
}

/* The node that cp's bytes lead to in a trie. */
static uint32_t step_character(const struct trie *t, uint32_t node, uint32_t cp)
{
    unsigned char bytes[4];
    size_t n = utf8_put(cp, bytes);
    for (size_t i = 0; i < n && node != TRIE_NONE; i++)
        node = trie_step(t, node, bytes[i]);
    return node;
}

/* The longest added token at the cursor, whatever its neighbours. */
static bool longest_match(struct norm_source *s, const struct raw_cursor *at,
                          struct norm_match *match)
{
    const struct trie *t = &s->raw->trie;
    uint32_t node = TRIE_ROOT, cp;
    bool found = false;
    for (size_t pos = at->pos; pos < s->bytes;) {
        pos += decode(s, pos, &cp);
        node = step_character(t, node, cp);
        if (node == TRIE_NONE) break;
        uint32_t value = trie_value(t, node);
        if (value == TRIE_NONE) continue;
        *match = (struct norm_match){.index = value, .end = pos, .last = cp};
        found = true;
    }
    return found;
}

static bool stands_alone(struct norm_source *s, const struct raw_cursor *at,
                         const struct norm_match *match)
{
    uint32_t flags = section_u32(s->raw->added + (size_t)8 * match->index + 4);
    if (!(flags & ADDED_SINGLE_WORD)) return true;
    if (at->previous != NORM_NO_CHAR && unicode_word(at->previous)) return false;
    if (match->end == s->bytes) return true;
    uint32_t cp;
    decode(s, match->end, &cp);
    return !unicode_word(cp);
}

bool norm_match_raw(struct norm_source *s, const struct raw_cursor *at, struct norm_match *match)
{
    return s->raw && longest_match(s, at, match) && stands_alone(s, at, match);
}

/* Whether an added token begins at the cursor. A match that is refused because of its neighbours
 * still covers its text: no other may begin inside. */
static bool added_begins(struct norm_source *s, struct raw_cursor *c)
{
    if (!s->raw || c->pos < c->blocked) return false;
    uint32_t cp;
    unsigned char first[4];
    decode(s, c->pos, &cp);
    utf8_put(cp, first);
    if (!added_may_begin(s->raw, first[0])) return false;
    struct norm_match match;
    if (!longest_match(s, c, &match)) return false;
    if (stands_alone(s, c, &match)) return true;
    c->blocked = match.end;
    return false;
}

static bool raw_next(struct norm_source *s, struct raw_cursor *c, uint32_t *cp)
{
    if (c->pos == s->bytes || added_begins(s, c)) return false;
    c->start = c->pos;
    c->pos += decode(s, c->pos, cp);
    c->previous = *cp;
    return true;
}

static bool decomposed_next(struct norm_source *s, struct decomposed_cursor *c, uint32_t *cp)
{
    if (c->i < c->n) {
        *cp = c->queue[c->i++];
        return true;
    }
    uint32_t x;
    do {
        if (!raw_next(s, &c->raw, &x)) return false;
    } while (s->flags & NORM_CLEAN && unicode_control(x));
    if (s->flags & NORM_CLEAN && unicode_space(x)) x = ' ';
    if (x < 0x80) {
        *cp = x;
        return true;
    }
    c->i = c->n = 0;
    bool chinese = s->flags & NORM_CHINESE && unicode_chinese(x);
    if (chinese) c->queue[c->n++] = ' ';
    if (s->flags & NORM_STRIP)
        c->n = (uint8_t)(c->n + unicode_decompose(x, c->queue + c->n));
    else
        c->queue[c->n++] = x;
    if (chinese) c->queue[c->n++] = ' ';
    *cp = c->queue[c->i++];
    return true;
}

/* Reads the run of non-starters that begins at `begin`, once for all cursors. */
static const struct norm_run *read_run(struct norm_source *s, const struct decomposed_cursor *begin)
{
    uint8_t left = (uint8_t)(begin->n - begin->i);
    if (s->memo_pos == begin->raw.pos && s->memo_i == left) return &s->memo;
    struct norm_run *run = &s->memo;
    memset(run->classes, 0, sizeof run->classes);
    struct decomposed_cursor c = *begin;
    uint32_t cp;
    for (;;) {
        run->end = c;
        if (!decomposed_next(s, &c, &cp)) break;
        unsigned class = unicode_class(cp);
        if (class == 0) break;
        if (!unicode_mark(cp)) run->classes[class / 64] |= UINT64_C(1) << class % 64;
    }
    s->memo_pos = begin->raw.pos;
    s->memo_i = left;
    return run;
}

/* The next class above `class` that survives in the run; 0 when there is none. */
static unsigned next_class(const struct norm_run *run, unsigned class)
{
    for (class ++; class < NORM_CLASSES; class ++) {
        if (run->classes[class / 64] >> class % 64 & 1) return class;
    }
    return 0;
}

/* Begins reading the next class of the run, or leaves the run. */
static void turn_to_class(struct norm_cursor *c, unsigned class)
{
    c->class = class;
    c->scan = c->begin;
    if (class == 0) c->next = c->run.end;
}

static bool at_end_of_run(const struct norm_cursor *c)
{
    return c->scan.raw.pos == c->run.end.raw.pos &&
           c->scan.n - c->scan.i == c->run.end.n - c->run.end.i;
}

/* Decomposed text with marks dropped and the rest in canonical order. */
static bool ordered_next(struct norm_source *s, struct norm_cursor *c, uint32_t *cp)
{
    for (;;) {
        if (c->class) {
            if (at_end_of_run(c)) {
                turn_to_class(c, next_class(&c->run, c->class));
                continue;
            }
            if (!decomposed_next(s, &c->scan, cp)) return false;
            if (unicode_class(*cp) == c->class && !unicode_mark(*cp)) return true;
            continue;
        }
        const struct decomposed_cursor before = c->next;
        if (!decomposed_next(s, &c->next, cp)) return false;
        if (*cp < 0x80) return true;
        if (unicode_class(*cp) == 0) {
            if (unicode_mark(*cp)) continue;
            return true;
        }
        c->begin = before;
        c->run = *read_run(s, &before);
        turn_to_class(c, next_class(&c->run, 0));
    }
}

bool norm_next(struct norm_source *s, struct norm_cursor *c, uint32_t *cp)
{
    if (c->i < c->n) {
        *cp = c->lower[c->i++];
        return true;
    }
    uint32_t x;
    if (!(s->flags & NORM_STRIP ? ordered_next(s, c, &x) : decomposed_next(s, &c->next, &x)))
        return false;
    if (s->flags & NORM_LOWER) {
        c->i = 0;
        c->n = (uint8_t)unicode_lower(x, c->lower);
        x = c->lower[c->i++];
    }
    *cp = x;
    return true;
}

/* ---- places ---- */

static bool is_same(const struct decomposed_cursor *a, const struct decomposed_cursor *b)
{
    return a->raw.pos == b->raw.pos && a->n - a->i == b->n - b->i;
}

/* Whether the code point that was just read is the first of its character. */
static bool is_first(const struct decomposed_cursor *c)
{
    return c->i == 1;
}

/* Characters of the run that are ordered before those of the class. */
static size_t count_below(struct norm_source *s, const struct norm_cursor *c, unsigned class)
{
    struct decomposed_cursor at = c->begin;
    size_t n = 0;
    uint32_t cp;
    while (!is_same(&at, &c->run.end) && decomposed_next(s, &at, &cp))
        n += is_first(&at) && unicode_class(cp) < class;
    return n;
}

void norm_place(struct norm_source *s, const struct norm_cursor *c, struct norm_places *p,
                uint32_t *start, uint32_t *end)
{
    uint32_t cp;
    if (!c->class) {
        p->class = 0;
        *start = (uint32_t)c->next.raw.start;
        *end = (uint32_t)c->next.raw.pos;
        return;
    }
    if (!p->class || !is_same(&p->begin, &c->begin))
        *p = (struct norm_places){.begin = c->begin, .at = c->begin};
    if (p->class != c->class) {
        p->class = c->class;
        p->scan = c->begin;
        p->n = count_below(s, c, c->class);
    }
    while (!is_same(&p->scan, &c->scan) && decomposed_next(s, &p->scan, &cp))
        p->n += is_first(&p->scan) && unicode_class(cp) == c->class;
    while (p->n_at < p->n && decomposed_next(s, &p->at, &cp))
        p->n_at += is_first(&p->at);
    *start = (uint32_t)p->at.raw.start;
    *end = (uint32_t)p->at.raw.pos;
}
