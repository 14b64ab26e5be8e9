/* norm_basic: normalizers that look at one character at a time, and those that add, remove or
 * replace (normalizers/{bert,strip,replace,prepend,byte_level}.rs). */
#include "stage_kinds.h"
#include "text_cut.h"
#include "text_normalize.h"
#include "text_regex.h"

#include <stddef.h>

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* ---- BertNormalizer ---- */

vecmill_status norm_basic_read(struct spec *s, struct spec_stage *stage,
                               const struct json_value *part, const char *where, vecmill_err *err)
{
    struct {
        bool clean, chinese, lower;
    } n = {.clean = true, .chinese = true, .lower = true};
    const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MUST("clean_text", BOOL, 0),
        JSON_MUST("handle_chinese_chars", BOOL, 1),
        JSON_MUST("lowercase", BOOL, 2),
        JSON_MAY("strip_accents", UNREAD, 0),
    };
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &n, err));
    bool strip = n.lower; /* null: as lowercase */
    VM_TRY(spec_read_bool(s->file, part, "strip_accents", &strip, err));
    stage->flags = (n.clean ? NORM_CLEAN : 0u) | (n.chinese ? NORM_CHINESE : 0u) |
                   (strip ? NORM_STRIP : 0u) | (n.lower ? NORM_LOWER : 0u);
    return VECMILL_OK;
}

bool norm_basic_check(const struct stage *stage)
{
    return stage->flags <= NORM_ALL;
}

void norm_basic_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                    struct stage_context *context)
{
    (void)context;
    struct norm_source source;
    struct norm_cursor cursor;
    struct norm_places places = {.class = 0};
    const struct raw_cursor raw = {.previous = NORM_NO_CHAR};
    uint32_t cp;
    norm_source_init(&source, in->data, in->bytes, stage->flags, NULL);
    norm_begin(&cursor, &raw);
    while (!out->full && norm_next(&source, &cursor, &cp)) {
        struct stage_place place = {0, 0};
        if (in->places) {
            norm_place(&source, &cursor, &places, &place.start, &place.end);
            if (place.end > 0)
                place = (struct stage_place){in->places[place.start].start,
                                             in->places[place.end - 1].end};
        }
        stage_put(out, cp, place);
    }
}

/* ---- Lowercase, StripAccents, ByteLevel ---- */

void norm_lowercase_run(const struct stage *stage, const struct stage_text *in,
                        struct stage_text *out, struct stage_context *context)
{
    struct stage_flow f = {in, out, 0};
    (void)stage;
    (void)context;
    for (size_t at = 0; at < in->bytes && !out->full;) {
        uint32_t cp, lower[UNICODE_LOWER_MAX];
        at += utf8_char(in->data + at, &cp);
        if (cp < 0x80) {
            stage_give(&f, cp - 'A' < 26 ? cp | 32 : cp, 0);
            continue;
        }
        const unsigned n = unicode_lower(cp, lower);
        for (unsigned i = 0; i < n; i++)
            stage_give(&f, lower[i], i > 0);
    }
}

void norm_accents_run(const struct stage *stage, const struct stage_text *in,
                      struct stage_text *out, struct stage_context *context)
{
    (void)context;
    struct stage_flow f = {in, out, 0};
    (void)stage;
    for (size_t at = 0; at < in->bytes && !out->full;) {
        uint32_t cp, next;
        at += utf8_char(in->data + at, &cp);
        if (unicode_combining(cp)) {
            f.at = at;
            continue;
        }
        int removed = 0;
        for (size_t n; at < in->bytes; at += n, removed++) {
            n = utf8_char(in->data + at, &next);
            if (!unicode_combining(next)) break;
        }
        stage_give(&f, cp, -removed);
    }
}

void norm_bytes_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                    struct stage_context *context)
{
    (void)stage;
    (void)context;
    stage_put_bytes(in, 0, in->bytes, out);
}

/* ---- Strip ---- */

enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };

vecmill_status norm_strip_read(struct spec *s, struct spec_stage *stage,
                               const struct json_value *part, const char *where, vecmill_err *err)
{
    struct {
        bool left, right;
    } strip = {false, false};
    const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0),
                                        JSON_MUST("strip_left", BOOL, 0),
                                        JSON_MUST("strip_right", BOOL, 1)};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &strip, err));
    stage->flags = (strip.left ? STRIP_LEFT : 0u) | (strip.right ? STRIP_RIGHT : 0u);
    return VECMILL_OK;
}

bool norm_strip_check(const struct stage *stage)
{
    return stage->flags <= (STRIP_LEFT | STRIP_RIGHT);
}

void norm_strip_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                    struct stage_context *context)
{
    size_t begin = 0, end = in->bytes;
    uint32_t cp;
    while (stage->flags & STRIP_LEFT && context->begins && begin < end) {
        const size_t n = utf8_char(in->data + begin, &cp);
        if (!unicode_space(cp)) break;
        begin += n;
    }
    while (stage->flags & STRIP_RIGHT && context->ends && end > begin) {
        size_t last = end - 1;
        while (last > begin && (in->data[last] & 0xC0) == 0x80)
            last--;
        utf8_char(in->data + last, &cp);
        if (!unicode_space(cp)) break;
        end = last;
    }
    stage_copy(in, begin, end - begin, out);
}

/* ---- Replace ---- */

vecmill_status norm_replace_read(struct spec *s, struct spec_stage *stage,
                                 const struct json_value *part, const char *where, vecmill_err *err)
{
    struct {
        struct json_value pattern, content;
    } r = {.pattern.kind = JSON_KIND_ABSENT};
    const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0), JSON_MUST("pattern", ANY, 0),
                                        JSON_MUST("content", ANY, sizeof(struct json_value))};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &r, err));
    VM_TRY(stage_read_pattern(s, stage, &r.pattern, where, err));
    return stage_keep_string(s, stage, true, &r.content, where, "content", err);
}

bool norm_replace_check(const struct stage *stage)
{
    return stage_check_pattern(stage) && stage->b_bytes <= STAGE_STRING_MAX &&
           utf8_valid(stage->b, stage->b_bytes);
}

/* Of the expressions those for white space and digits. What is written must join nothing. */
bool norm_replace_is_local(const struct stage *stage)
{
    size_t end;
    for (size_t i = 0; i < stage->b_bytes;) {
        uint32_t cp;
        i += utf8_char(stage->b + i, &cp);
        if (cp >= 0x80 && !cut_is_space(cp)) return false;
    }
    if (!(stage->flags & STAGE_REGEX)) return cut_string_is_local(stage->a, stage->a_bytes);
    return stage_find(stage, (const unsigned char *)"a.", 2, 0, &end) == 2;
}

void norm_replace_run(const struct stage *stage, const struct stage_text *in,
                      struct stage_text *out, struct stage_context *context)
{
    const bool anchored = stage->flags & STAGE_REGEX && !regex_is_local(stage->flags & 0xFF);
    for (size_t at = 0, end = 0; at < in->bytes && !out->full; at = end) {
        const size_t start = stage_find(stage, in->data, in->bytes, at, &end);
        stage_copy(in, at, start - at, out);
        if (start == in->bytes) break;
        if (anchored && start == 0 && !context->begins) { /* the stretch's begin is not \A */
            stage_copy(in, start, end - start, out);
            continue;
        }
        for (size_t i = 0; i < stage->b_bytes;) {
            uint32_t cp;
            i += utf8_char(stage->b + i, &cp);
            stage_put(out, cp, in->places ? in->places[end - 1] : (struct stage_place){0, 0});
        }
    }
}

/* ---- Prepend ---- */

vecmill_status norm_prepend_read(struct spec *s, struct spec_stage *stage,
                                 const struct json_value *part, const char *where, vecmill_err *err)
{
    struct json_value text = {.kind = JSON_KIND_ABSENT};
    const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0), JSON_MUST("prepend", ANY, 0)};
    VM_TRY(spec_read_part(s, part, where, fields, LENGTH(fields), &text, err));
    return stage_keep_string(s, stage, false, &text, where, "prepend", err);
}

bool norm_prepend_check(const struct stage *stage)
{
    return stage->flags == 0 && stage->a_bytes <= STAGE_STRING_MAX &&
           utf8_valid(stage->a, stage->a_bytes);
}

void norm_prepend_run(const struct stage *stage, const struct stage_text *in,
                      struct stage_text *out, struct stage_context *context)
{
    for (size_t i = 0; in->bytes > 0 && context->begins && i < stage->a_bytes;) {
        uint32_t cp;
        i += utf8_char(stage->a + i, &cp);
        stage_put(out, cp, in->places ? in->places[0] : (struct stage_place){0, 0});
    }
    stage_copy(in, 0, in->bytes, out);
}
