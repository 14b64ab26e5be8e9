/* text_stage: reading stages from tokenizer.json, and the writing that all kinds share. */
#include "text_stage.h"

#include "stage_kinds.h"
#include "text_regex.h"

#include <stdio.h>

#define DEPTH_MAX   8u /* sequences inside each other */
#define WHERE_BYTES 96u

const struct stage_kind STAGE_KINDS[] = {
    {"BertNormalizer", STAGE_NORMALIZER, norm_basic_read, norm_basic_check, stage_is_local,
     norm_basic_run},
    {"NFC", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local, norm_nfc_run},
    {"NFD", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local, norm_nfd_run},
    {"NFKC", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local, norm_nfkc_run},
    {"NFKD", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local, norm_nfkd_run},
    {"Lowercase", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local,
     norm_lowercase_run},
    {"StripAccents", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local,
     norm_accents_run},
    {"Strip", STAGE_NORMALIZER, norm_strip_read, norm_strip_check, stage_is_local, norm_strip_run},
    {"Replace", STAGE_NORMALIZER, norm_replace_read, norm_replace_check, norm_replace_is_local,
     norm_replace_run},
    {"Prepend", STAGE_NORMALIZER, norm_prepend_read, norm_prepend_check, stage_is_local,
     norm_prepend_run},
    {"Precompiled", STAGE_NORMALIZER, norm_precompiled_read, norm_precompiled_check, stage_is_local,
     norm_precompiled_run},
    {"ByteLevel", STAGE_NORMALIZER, stage_read_plain, stage_check_plain, stage_is_local,
     norm_bytes_run},
    {"BertPreTokenizer", STAGE_PRE_TOKENIZER, stage_read_plain, stage_check_plain, stage_is_local,
     pre_basic_run},
    {"Whitespace", STAGE_PRE_TOKENIZER, stage_read_plain, stage_check_plain, stage_is_local,
     pre_whitespace_run},
    {"WhitespaceSplit", STAGE_PRE_TOKENIZER, stage_read_plain, stage_check_plain, stage_is_local,
     pre_whitespace_split_run},
    {"Metaspace", STAGE_PRE_TOKENIZER, pre_metaspace_read, pre_metaspace_check,
     pre_metaspace_is_local, pre_metaspace_run},
    {"ByteLevel", STAGE_PRE_TOKENIZER, pre_bytes_read, pre_bytes_check, stage_is_local,
     pre_bytes_run},
    {"Split", STAGE_PRE_TOKENIZER, pre_split_read, pre_split_check, pre_split_is_local,
     pre_split_run},
    {"Digits", STAGE_PRE_TOKENIZER, pre_digits_read, pre_digits_check, stage_is_local,
     pre_digits_run},
    {"Punctuation", STAGE_PRE_TOKENIZER, pre_punctuation_read, pre_punctuation_check,
     stage_is_local, pre_punctuation_run},
};

const uint32_t STAGE_N_KINDS = sizeof STAGE_KINDS / sizeof *STAGE_KINDS;

/* ---- reading ---- */

static const struct stage_kind *find_kind(const struct json_value *type, enum stage_phase phase)
{
    for (uint32_t i = 0; i < STAGE_N_KINDS; i++) {
        if (STAGE_KINDS[i].phase == phase && json_is(type, STAGE_KINDS[i].type))
            return &STAGE_KINDS[i];
    }
    return NULL;
}

static vecmill_status read_one(struct spec *s, const struct json_value *part,
                               const struct json_value *type, enum stage_phase phase,
                               const char *where, vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    const struct stage_kind *kind = find_kind(type, phase);
    if (!kind) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s.type is %s, which is not understood", s->file,
                       where, spec_quote_value(type, quoted));
    }
    if (s->n_stages == TEXT_STAGES_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s is one stage more than TEXT_STAGES_MAX, %u",
                       s->file, where, TEXT_STAGES_MAX);
    }
    struct spec_stage stage = {.kind = kind};
    VM_TRY(kind->read(s, &stage, part, where, err));
    s->stages[s->n_stages++] = stage;
    return VECMILL_OK;
}

/* One part: a stage, a Sequence of parts, or null. */
static vecmill_status read_part(struct spec *s, const struct json_value *root,
                                enum stage_phase phase, vecmill_err *err)
{
    static const char *const names[] = {
        [STAGE_NORMALIZER] = "normalizer", [STAGE_PRE_TOKENIZER] = "pre_tokenizer"};
    static const char *const lists[] = {
        [STAGE_NORMALIZER] = "normalizers", [STAGE_PRE_TOKENIZER] = "pretokenizers"};
    struct json_each open[DEPTH_MAX];
    struct json_value none, part = *root;
    char where[WHERE_BYTES];
    uint32_t depth = 0, n = 0;
    if (root->kind <= JSON_KIND_NULL) return VECMILL_OK;
    for (;;) {
        struct json_value type = {.kind = JSON_KIND_ABSENT}, list = {.kind = JSON_KIND_ABSENT};
        if (depth == 0)
            snprintf(where, sizeof where, "%s", names[phase]);
        else
            snprintf(where, sizeof where, "%s.%s[%u]", names[phase], lists[phase], n++);
        if (part.kind != JSON_KIND_OBJECT)
            return err_set(err, VECMILL_E_MODEL, "%s: %s is not an object", s->file, where);
        type = json_get(&part, "type");
        if (type.kind != JSON_KIND_STRING)
            return err_set(err, VECMILL_E_MODEL, "%s: %s has no type", s->file, where);
        if (json_is(&type, "Sequence")) {
            const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0),
                                                JSON_MAY(lists[phase], ANY, 0)};
            VM_TRY(spec_read_part(s, &part, where, fields, 2, &list, err));
            if (list.kind != JSON_KIND_ARRAY) {
                return err_set(err, VECMILL_E_MODEL, "%s: %s.%s is not an array", s->file, where,
                               lists[phase]);
            }
            if (depth == DEPTH_MAX) {
                return err_set(err, VECMILL_E_MODEL,
                               "%s: %s is more than %u sequences inside each other", s->file, where,
                               DEPTH_MAX);
            }
            open[depth++] = json_begin(&list);
        } else {
            VM_TRY(read_one(s, &part, &type, phase, where, err));
        }
        while (depth && !json_each(&open[depth - 1], &none, &part))
            depth--;
        if (!depth) return VECMILL_OK;
    }
}

vecmill_status stage_read(struct spec *s, const struct json_value *normalizer,
                          const struct json_value *pre_tokenizer, vecmill_err *err)
{
    VM_TRY(read_part(s, normalizer, STAGE_NORMALIZER, err));
    s->n_normalizers = s->n_stages;
    return read_part(s, pre_tokenizer, STAGE_PRE_TOKENIZER, err);
}

vecmill_status stage_keep(struct spec *s, struct spec_stage *stage, bool second, const void *data,
                          size_t bytes, vecmill_err *err)
{
    stage->blobs[second].at = s->stage_data.bytes;
    stage->blobs[second].bytes = bytes;
    return buf_add(&s->stage_data, data, bytes, err);
}

static vecmill_status read_string(const struct spec *s, const struct json_value *value,
                                  const char *where, const char *key, char *text, size_t room,
                                  size_t *bytes, vecmill_err *err)
{
    uint64_t replaced = 0;
    if (value->kind != JSON_KIND_STRING)
        return err_set(err, VECMILL_E_MODEL, "%s: %s.%s is not a string", s->file, where, key);
    if (value->bytes - 2 > room) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s.%s has %zu bytes, the most is %zu", s->file,
                       where, key, value->bytes - 2, room);
    }
    *bytes = json_decode(value, text, &replaced);
    return VECMILL_OK;
}

vecmill_status stage_keep_string(struct spec *s, struct spec_stage *stage, bool second,
                                 const struct json_value *value, const char *where, const char *key,
                                 vecmill_err *err)
{
    char text[STAGE_STRING_MAX];
    size_t bytes = 0;
    VM_TRY(read_string(s, value, where, key, text, sizeof text, &bytes, err));
    return stage_keep(s, stage, second, text, bytes, err);
}

vecmill_status stage_read_pattern(struct spec *s, struct spec_stage *stage,
                                  const struct json_value *pattern, const char *where,
                                  vecmill_err *err)
{
    struct {
        struct json_value string, regex;
    } p = {.string.kind = JSON_KIND_ABSENT};
    static const struct json_field fields[] = {JSON_MAY("String", ANY, 0),
                                               JSON_MAY("Regex", ANY, sizeof(struct json_value))};
    char text[STAGE_STRING_MAX], quoted[SPEC_QUOTE_BYTES];
    size_t bytes = 0;
    VM_TRY(spec_read_part(s, pattern, where, fields, 2, &p, err));
    if ((p.string.kind == JSON_KIND_ABSENT) == (p.regex.kind == JSON_KIND_ABSENT)) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s.pattern is neither a String nor a Regex",
                       s->file, where);
    }
    if (p.string.kind != JSON_KIND_ABSENT) {
        VM_TRY(stage_keep_string(s, stage, false, &p.string, where, "pattern", err));
        if (stage->blobs[0].bytes > 0) return VECMILL_OK;
        return err_set(err, VECMILL_E_MODEL, "%s: %s.pattern is an empty string", s->file, where);
    }
    VM_TRY(read_string(s, &p.regex, where, "pattern", text, sizeof text, &bytes, err));
    const uint32_t regex = regex_named(text, bytes);
    if (regex == REGEX_NONE) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s.pattern is the regular expression %s (%zu bytes), which is not "
                       "among those understood",
                       s->file, where, spec_quote(text, bytes, quoted), bytes);
    }
    stage->flags |= STAGE_REGEX | regex;
    return VECMILL_OK;
}

/* ---- checks and cuts that several kinds share ---- */

vecmill_status stage_read_plain(struct spec *s, struct spec_stage *stage,
                                const struct json_value *part, const char *where, vecmill_err *err)
{
    static const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0)};
    (void)stage;
    return spec_read_part(s, part, where, fields, 1, NULL, err);
}

bool stage_check_plain(const struct stage *stage)
{
    return stage->flags == 0;
}

bool stage_is_local(const struct stage *stage)
{
    (void)stage;
    return true;
}

bool stage_check_pattern(const struct stage *stage)
{
    if (stage->flags & STAGE_REGEX) return (stage->flags & 0xFF) < regex_count();
    return stage->a_bytes > 0 && stage->a_bytes <= STAGE_STRING_MAX &&
           utf8_valid(stage->a, stage->a_bytes);
}

size_t stage_find(const struct stage *stage, const unsigned char *data, size_t bytes, size_t from,
                  size_t *end)
{
    if (stage->flags & STAGE_REGEX) return regex_find(stage->flags & 0xFF, data, bytes, from, end);
    const size_t n = stage->a_bytes;
    for (size_t at = from; n <= bytes - at; at++) {
        const unsigned char *next = memchr(data + at, stage->a[0], bytes - at - n + 1);
        if (!next) break;
        at = (size_t)(next - data);
        if (memcmp(next, stage->a, n) != 0) continue;
        *end = at + n;
        return at;
    }
    return bytes;
}

/* ---- writing ---- */

/* n bytes were written: bits of begins are zero up to the one after them. */
static void advance(struct stage_text *t, size_t n)
{
    const size_t before = t->bytes / 64;
    t->bytes += n;
    for (size_t i = before + 1; t->begins && i <= t->bytes / 64; i++)
        t->begins[i] = 0;
}

void stage_clear(struct stage_text *t)
{
    if (t->begins) t->begins[0] = 0;
    t->bytes = 0;
    t->full = false;
}

bool stage_next_word(const struct stage_text *t, size_t at, size_t *end)
{
    if (at >= t->bytes) return false;
    *end = t->bytes;
    if (!t->begins) return true;
    size_t i = (at + 1) / 64;
    const size_t last = (t->bytes - 1) / 64;
    if (i > last) return true;
    uint64_t word = t->begins[i] & (UINT64_MAX << (at + 1) % 64);
    while (!word && i < last)
        word = t->begins[++i];
    if (word) *end = num_min(i * 64 + (size_t)__builtin_ctzll(word), t->bytes);
    return true;
}

void stage_copy(const struct stage_text *in, size_t at, size_t n, struct stage_text *out)
{
    if (out->full) return;
    if (n > out->room - out->bytes) {
        out->full = true;
        n = out->room - out->bytes;
        while (n > 0 && (in->data[at + n] & 0xC0) == 0x80)
            n--;
    }
    memcpy(out->data + out->bytes, in->data + at, n);
    if (out->places) memcpy(out->places + out->bytes, in->places + at, n * sizeof(*in->places));
    advance(out, n);
}

void stage_put(struct stage_text *out, uint32_t cp, struct stage_place place)
{
    if (out->full || out->room - out->bytes < 4) {
        out->full = true;
        return;
    }
    const size_t n = utf8_put(cp, out->data + out->bytes);
    for (size_t i = 0; out->places && i < n; i++)
        out->places[out->bytes + i] = place;
    advance(out, n);
}

void stage_skip(struct stage_flow *f, size_t n)
{
    uint32_t cp;
    for (; n && f->at < f->in->bytes; n--)
        f->at += utf8_char(f->in->data + f->at, &cp);
}

void stage_give(struct stage_flow *f, uint32_t cp, int change)
{
    if (!f->out->places) {
        stage_put(f->out, cp, (struct stage_place){0, 0});
        return;
    }
    const size_t at = change > 0 ? f->at - (f->at > 0) : f->at;
    stage_put(f->out, cp, at < f->in->bytes ? f->in->places[at] : (struct stage_place){0, 0});
    if (change <= 0) stage_skip(f, 1 + (size_t)-change);
}

/* Printable bytes are themselves; the others are U+0100 on, in order (bytes_char). */
uint32_t stage_byte_letter(unsigned char byte)
{
    if ((byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD)) return byte;
    if (byte < '!') return 0x100u + byte;
    if (byte < 0xA1) return 0x100u + 0x21 + (byte - 0x7Fu);
    return 0x100u + 0x43;
}

void stage_put_bytes(const struct stage_text *in, size_t at, size_t n, struct stage_text *out)
{
    for (size_t i = at; i < at + n && !out->full; i++) {
        if (out->room - out->bytes < 2) {
            out->full = true;
            break;
        }
        const uint32_t letter = stage_byte_letter(in->data[i]);
        const size_t before = out->bytes;
        unsigned char *to = out->data + before;
        if (letter < 0x80) {
            to[0] = (unsigned char)letter;
            advance(out, 1);
        } else {
            to[0] = (unsigned char)(0xC0 | letter >> 6);
            to[1] = (unsigned char)(0x80 | (letter & 0x3F));
            advance(out, 2);
        }
        for (size_t k = before; out->places && k < out->bytes; k++)
            out->places[k] = in->places[i];
    }
}
