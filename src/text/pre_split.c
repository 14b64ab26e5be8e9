/* pre_split: pre-tokenizers. All of them cut words at the matches of a pattern (NormalizedString::
 * split); two also write a letter in front (Metaspace, ByteLevel) or other bytes
 * (pre_tokenizers/{bert,whitespace,metaspace,byte_level,split,digits,punctuation}.rs). */
#include "stage_kinds.h"
#include "text_cut.h"
#include "text_regex.h"
#include "text_unicode.h"

#include <stddef.h>
#include <stdio.h>

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* What becomes of a match. */
enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS, BEHAVIORS };

#define INVERT 0x100u /* flags of Split: what does not match is a match */

struct matcher {
    const struct stage *stage; /* its pattern; NULL: is_match */
    bool (*is_match)(uint32_t cp);
    enum behavior behavior;
    bool invert;
};

/* The segments of a word so far: matches, and what is between two. */
struct segments {
    size_t n;
    bool was_match; /* the last one */
    struct stage_context *context;
};

/* Whether a word begins at a segment (SplitDelimiterBehavior). */
static bool begins_word(const struct segments *before, bool is_match, enum behavior behavior)
{
    if (before->n == 0) return true;
    switch (behavior) {
    case CONTIGUOUS:
        return is_match != before->was_match;
    case MERGED_WITH_PREVIOUS:
        return !is_match || before->was_match;
    case MERGED_WITH_NEXT:
        return is_match || !before->was_match;
    default:
        return true;
    }
}

static void add_segment(struct segments *s, const struct matcher *m, const struct stage_text *in,
                        size_t start, size_t end, bool is_match, struct stage_text *out)
{
    if (start == end) return;
    is_match = is_match != m->invert;
    if (m->behavior != REMOVED || !is_match) {
        if (begins_word(s, is_match, m->behavior)) stage_begin_word(out);
        stage_copy(in, start, end - start, out);
    }
    s->was_match = is_match;
    s->n++;
}

/* The next match in [from, end): its start, and *stop after it; `end` when there is none. */
static size_t find(const struct matcher *m, const struct stage_text *in, size_t word, size_t end,
                   size_t from, size_t *stop)
{
    if (m->stage)
        return word + stage_find(m->stage, in->data + word, end - word, from - word, stop);
    while (from < end) {
        uint32_t cp;
        const size_t n = utf8_char(in->data + from, &cp);
        *stop = from + n - word;
        if (m->is_match(cp)) return from;
        from += n;
    }
    return end;
}

static void split_word(const struct matcher *m, const struct stage_text *in, size_t word,
                       size_t end, struct stage_text *out, struct stage_context *context)
{
    struct segments segments = {.context = context};
    for (size_t at = word, stop = 0; at < end && !out->full; at = word + stop) {
        const size_t start = find(m, in, word, end, at, &stop);
        add_segment(&segments, m, in, at, start, false, out);
        if (start == end) break;
        add_segment(&segments, m, in, start, word + stop, true, out);
    }
}

static void split_all(const struct matcher *m, const struct stage_text *in, struct stage_text *out,
                      struct stage_context *context)
{
    for (size_t at = 0, end = 0; !out->full && stage_next_word(in, at, &end); at = end)
        split_word(m, in, at, end, out, context);
}

/* ---- those without members ---- */

void pre_whitespace_split_run(const struct stage *stage, const struct stage_text *in,
                              struct stage_text *out, struct stage_context *context)
{
    (void)stage;
    split_all(&(struct matcher){.is_match = unicode_space, .behavior = REMOVED}, in, out, context);
}

void pre_whitespace_run(const struct stage *stage, const struct stage_text *in,
                        struct stage_text *out, struct stage_context *context)
{
    const struct stage words = {.kind = stage->kind, .flags = STAGE_REGEX | regex_words()};
    split_all(&(struct matcher){.stage = &words, .behavior = REMOVED, .invert = true}, in, out,
              context);
}

/* White space is removed, then punctuation isolated: each character of both ends a word. */
void pre_basic_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                   struct stage_context *context)
{
    const struct matcher punctuation = {.is_match = unicode_punctuation, .behavior = ISOLATED};
    (void)stage;
    for (size_t at = 0, end = 0; !out->full && stage_next_word(in, at, &end); at = end) {
        for (size_t i = at, start = at; i < end;) {
            uint32_t cp;
            const size_t n = utf8_char(in->data + i, &cp);
            const bool space = unicode_space(cp);
            i += n;
            if (!space && i < end) continue;
            split_word(&punctuation, in, start, space ? i - n : i, out, context);
            start = i;
        }
    }
}

/* ---- Metaspace ---- */

enum { META_ALWAYS, META_FIRST, META_NEVER, META_SCHEMES, META_SPLIT = 4 };

/* Blob a: the mark. */
vecmill_status pre_metaspace_read(struct spec *s, struct spec_stage *stage,
                                  const struct json_value *part, const char *where,
                                  vecmill_err *err)
{
    static const char *const schemes[META_SCHEMES] = {"always", "first", "never"};
    struct meta {
        struct json_value mark, scheme;
        bool split, prefix;
    } m = {.split = true, .prefix = true};
    const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MUST("replacement", ANY, offsetof(struct meta, mark)),
        JSON_MAY("str_rep", UNREAD, 0),
        JSON_MAY("prepend_scheme", STRING, offsetof(struct meta, scheme)),
        JSON_MAY("add_prefix_space", BOOL, offsetof(struct meta, prefix)),
        JSON_MAY("split", BOOL, offsetof(struct meta, split)),
    };
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &m, err));
    VM_TRY(stage_keep_string(s, stage, false, &m.mark, where, "replacement", err));
    uint32_t scheme = META_ALWAYS, cp;
    if (m.scheme.kind != JSON_KIND_ABSENT) {
        while (scheme < META_SCHEMES && !json_is(&m.scheme, schemes[scheme]))
            scheme++;
        if (scheme == META_SCHEMES) {
            char name[SPEC_QUOTE_BYTES];
            snprintf(name, sizeof name, "%s.prepend_scheme", where);
            return spec_refuse_value(s, name, &m.scheme, "always, first or never", err);
        }
    }
    const char *mark = s->stage_data.data + stage->blobs[0].at;
    if (stage->blobs[0].bytes == 0 ||
        utf8_char((const unsigned char *)mark, &cp) != stage->blobs[0].bytes)
        return err_set(err, VECMILL_E_MODEL, "%s: %s.replacement is not one character", s->file,
                       where);
    if (!m.prefix && scheme == META_FIRST) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s has add_prefix_space false and prepend_scheme first", s->file,
                       where);
    }
    if (!m.prefix) scheme = META_NEVER;
    stage->flags = scheme | (m.split ? META_SPLIT : 0u);
    return VECMILL_OK;
}

bool pre_metaspace_check(const struct stage *stage)
{
    uint32_t cp;
    return stage->flags < 2 * META_SPLIT && (stage->flags & 3) < META_SCHEMES &&
           utf8_valid(stage->a, stage->a_bytes) && stage->a_bytes > 0 &&
           utf8_char(stage->a, &cp) == stage->a_bytes;
}

bool pre_metaspace_is_local(const struct stage *stage)
{
    uint32_t mark;
    utf8_char(stage->a, &mark);
    return cut_is_space(mark);
}

bool stage_asks_origin(const struct stage *stage)
{
    return stage->kind->run == pre_metaspace_run && (stage->flags & 3) == META_FIRST;
}

void pre_metaspace_run(const struct stage *stage, const struct stage_text *in,
                       struct stage_text *out, struct stage_context *context)
{
    const uint32_t scheme = stage->flags & 3;
    const size_t n_mark = stage->a_bytes;
    uint32_t mark;
    utf8_char(stage->a, &mark);
    for (size_t at = 0, end = 0; !out->full && stage_next_word(in, at, &end); at = end) {
        const bool marked = in->data[at] == ' ' ||
                            (end - at >= n_mark && memcmp(in->data + at, stage->a, n_mark) == 0);
        const bool first = at < context->n_origin;
        stage_begin_word(out);
        if (!marked && (scheme == META_ALWAYS || (scheme == META_FIRST && first)))
            stage_put(out, mark, in->places ? in->places[at] : (struct stage_place){0, 0});
        for (size_t i = at; i < end && !out->full;) {
            uint32_t cp;
            const size_t n = utf8_char(in->data + i, &cp);
            /* MergedWithNext of single marks: a word begins at each */
            if ((cp == ' ' || cp == mark) && stage->flags & META_SPLIT) stage_begin_word(out);
            if (cp == ' ')
                stage_put(out, mark, in->places ? in->places[i] : (struct stage_place){0, 0});
            else
                stage_copy(in, i, n, out);
            i += n;
        }
    }
}

/* ---- ByteLevel ---- */

enum { BYTES_PREFIX = 1, BYTES_REGEX = 2, BYTES_ALL = 3 };

vecmill_status pre_bytes_read(struct spec *s, struct spec_stage *stage,
                              const struct json_value *part, const char *where, vecmill_err *err)
{
    struct bytes {
        bool prefix, regex;
    } b = {.prefix = true, .regex = true};
    const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MUST("add_prefix_space", BOOL, offsetof(struct bytes, prefix)),
        JSON_MAY("use_regex", BOOL, offsetof(struct bytes, regex)),
        JSON_MAY("trim_offsets", UNREAD, 0)};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &b, err));
    stage->flags = (b.prefix ? BYTES_PREFIX : 0u) | (b.regex ? BYTES_REGEX : 0u);
    return VECMILL_OK;
}

bool pre_bytes_check(const struct stage *stage)
{
    return stage->flags <= BYTES_ALL;
}

/* The letters of a word's bytes. With a prefix the word has a space in front, which the expression
 * sees as its own. */
static void put_word(const struct stage *stage, const struct stage_text *in, size_t at, size_t end,
                     bool prefix, struct stage_text *out)
{
    const unsigned char *word = in->data + at;
    const size_t bytes = end - at;
    stage_begin_word(out);
    if (prefix) {
        const struct stage_place place = in->places ? in->places[at] : (struct stage_place){0, 0};
        stage_put(out, stage_byte_letter(' '), place);
    }
    if (!(stage->flags & BYTES_REGEX)) {
        stage_put_bytes(in, at, bytes, out);
        return;
    }
    size_t stop = prefix ? regex_after_space(word, bytes) : 0;
    stage_put_bytes(in, at, stop, out);
    for (size_t from = stop; from < bytes && !out->full; from = stop) {
        (void)regex_find(regex_gpt2(), word, bytes, from, &stop);
        stage_begin_word(out);
        stage_put_bytes(in, at + from, stop - from, out);
    }
}

void pre_bytes_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                   struct stage_context *context)
{
    (void)context;
    for (size_t at = 0, end = 0; !out->full && stage_next_word(in, at, &end); at = end) {
        const bool prefix = stage->flags & BYTES_PREFIX && in->data[at] != ' ';
        put_word(stage, in, at, end, prefix, out);
    }
}

/* ---- Split, Digits, Punctuation ---- */

static vecmill_status read_behavior(const struct spec *s, const struct json_value *value,
                                    const char *where, uint32_t *flags, vecmill_err *err)
{
    static const char *const names[BEHAVIORS] = {"Removed", "Isolated", "MergedWithPrevious",
                                                 "MergedWithNext", "Contiguous"};
    uint32_t i = 0;
    while (i < BEHAVIORS && !json_is(value, names[i]))
        i++;
    if (i == BEHAVIORS) {
        char name[SPEC_QUOTE_BYTES];
        snprintf(name, sizeof name, "%s.behavior", where);
        return spec_refuse_value(
            s, name, value, "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
            err);
    }
    *flags |= i << 16;
    return VECMILL_OK;
}

vecmill_status pre_split_read(struct spec *s, struct spec_stage *stage,
                              const struct json_value *part, const char *where, vecmill_err *err)
{
    struct split {
        struct json_value pattern, behavior;
        bool invert;
    } p = {.invert = false};
    const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0), JSON_MUST("pattern", ANY, offsetof(struct split, pattern)),
        JSON_MUST("behavior", ANY, offsetof(struct split, behavior)),
        JSON_MUST("invert", BOOL, offsetof(struct split, invert))};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &p, err));
    VM_TRY(stage_read_pattern(s, stage, &p.pattern, where, err));
    if (stage->flags & STAGE_REGEX && !regex_is_local(stage->flags & 0xFF)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s.pattern is an expression that is understood for Replace only",
                       s->file, where);
    }
    if (p.invert) stage->flags |= INVERT;
    return read_behavior(s, &p.behavior, where, &stage->flags, err);
}

static enum behavior behavior_of(const struct stage *stage)
{
    return (enum behavior)(stage->flags >> 16 & 0xFF);
}

bool pre_split_check(const struct stage *stage)
{
    return behavior_of(stage) < BEHAVIORS && stage_check_pattern(stage);
}

/* Characters outside ASCII are not tried one by one for cuts. */
bool pre_split_is_local(const struct stage *stage)
{
    uint32_t cp;
    if (stage->flags & STAGE_REGEX) return true;
    utf8_char(stage->a, &cp);
    return cut_string_is_local(stage->a, stage->a_bytes) && (cp < 0x80 || cut_is_space(cp));
}

void pre_split_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                   struct stage_context *context)
{
    split_all(&(struct matcher){.stage = stage,
                                .behavior = behavior_of(stage),
                                .invert = stage->flags & INVERT},
              in, out, context);
}

vecmill_status pre_digits_read(struct spec *s, struct spec_stage *stage,
                               const struct json_value *part, const char *where, vecmill_err *err)
{
    bool individual = false;
    const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0),
                                        JSON_MUST("individual_digits", BOOL, 0)};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &individual, err));
    stage->flags = individual;
    return VECMILL_OK;
}

bool pre_digits_check(const struct stage *stage)
{
    return stage->flags <= 1;
}

void pre_digits_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                    struct stage_context *context)
{
    split_all(&(struct matcher){.is_match = unicode_numeric,
                                .behavior = stage->flags ? ISOLATED : CONTIGUOUS},
              in, out, context);
}

vecmill_status pre_punctuation_read(struct spec *s, struct spec_stage *stage,
                                    const struct json_value *part, const char *where,
                                    vecmill_err *err)
{
    struct json_value behavior = {.kind = JSON_KIND_ABSENT};
    const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0), JSON_MAY("behavior", ANY, 0)};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &behavior, err));
    stage->flags = (uint32_t)ISOLATED << 16;
    if (behavior.kind == JSON_KIND_ABSENT) return VECMILL_OK;
    stage->flags = 0;
    return read_behavior(s, &behavior, where, &stage->flags, err);
}

bool pre_punctuation_check(const struct stage *stage)
{
    return behavior_of(stage) < BEHAVIORS;
}

void pre_punctuation_run(const struct stage *stage, const struct stage_text *in,
                         struct stage_text *out, struct stage_context *context)
{
    split_all(&(struct matcher){.is_match = unicode_punctuation, .behavior = behavior_of(stage)},
              in, out, context);
}
