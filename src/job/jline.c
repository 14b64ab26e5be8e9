/* jline: see jline.h. A walk with one bit of memory a level instead of recursion. */
#include "jline.h"

#include "base/base.h"

#include <assert.h>
#include <string.h>

struct walk {
    const char *data;
    size_t bytes, pos;
    uint64_t objects; /* bit d: the container at depth d is an object */
    unsigned depth;
};

const char *jline_kind_words(enum jline_kind kind)
{
    static const char *const words[] = {
        [JLINE_ABSENT] = "absent",     [JLINE_NULL] = "null",
        [JLINE_BOOLEAN] = "a boolean", [JLINE_NUMBER] = "a number",
        [JLINE_STRING] = "a string",   [JLINE_ARRAY] = "an array",
        [JLINE_OBJECT] = "an object",  [JLINE_NONFINITE] = "NaN or infinite"};
    return words[kind];
}

/* The next byte, or -1 at the end. */
static int walk_peek(const struct walk *w)
{
    return w->pos < w->bytes ? (unsigned char)w->data[w->pos] : -1;
}

static void walk_space(struct walk *w)
{
    while (w->pos < w->bytes) {
        const char c = w->data[w->pos];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return;
        w->pos++;
    }
}

static vecmill_status walk_fail(const struct walk *w, const char *expected, vecmill_err *err)
{
    if (w->pos >= w->bytes)
        return err_set(err, VECMILL_E_INPUT, "bad JSON: it ends after %zu bytes, expected %s",
                       w->bytes, expected);
    return err_set(err, VECMILL_E_INPUT, "bad JSON at byte %zu: expected %s", w->pos + 1, expected);
}

static bool is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At an opening quote; ends behind the closing one. */
static vecmill_status walk_string(struct walk *w, vecmill_err *err)
{
    w->pos++;
    for (;;) {
        const int c = walk_peek(w);
        if (c < 0) return walk_fail(w, "the closing quote of a string", err);
        if (c < 0x20) return walk_fail(w, "no bare control character in a string", err);
        w->pos++;
        if (c == '"') return VECMILL_OK;
        if (c != '\\') continue;
        const int e = walk_peek(w);
        if (e < 0 || strchr("\"\\/bfnrtu", e) == NULL || e == 0)
            return walk_fail(w, "one of \"\\/bfnrtu behind a backslash", err);
        w->pos++;
        for (int i = 0; e == 'u' && i < 4; i++) {
            if (!is_hex(walk_peek(w))) return walk_fail(w, "four hexadecimal digits", err);
            w->pos++;
        }
    }
}

static vecmill_status walk_word(struct walk *w, const char *word, const char *expected,
                                vecmill_err *err)
{
    for (; *word != 0; word++) {
        if (walk_peek(w) != *word) return walk_fail(w, expected, err);
        w->pos++;
    }
    return VECMILL_OK;
}

static bool walk_digits(struct walk *w)
{
    const size_t begin = w->pos;
    for (int c = walk_peek(w); c >= '0' && c <= '9'; c = walk_peek(w))
        w->pos++;
    return w->pos > begin;
}

static vecmill_status walk_number(struct walk *w, enum jline_kind *kind, vecmill_err *err)
{
    *kind = JLINE_NUMBER;
    if (walk_peek(w) == '-') w->pos++;
    if (walk_peek(w) == 'I') {
        *kind = JLINE_NONFINITE;
        return walk_word(w, "Infinity", "a digit or Infinity", err);
    }
    if (walk_peek(w) == '0')
        w->pos++;
    else if (!walk_digits(w))
        return walk_fail(w, "a digit", err);
    if (walk_peek(w) == '.') {
        w->pos++;
        if (!walk_digits(w)) return walk_fail(w, "a digit behind the point", err);
    }
    if (walk_peek(w) == 'e' || walk_peek(w) == 'E') {
        w->pos++;
        if (walk_peek(w) == '+' || walk_peek(w) == '-') w->pos++;
        if (!walk_digits(w)) return walk_fail(w, "a digit of the exponent", err);
    }
    return VECMILL_OK;
}

static vecmill_status walk_open(struct walk *w, bool object, vecmill_err *err)
{
    if (w->depth == JLINE_DEPTH_MAX)
        return err_set(err, VECMILL_E_INPUT,
                       "JSON at byte %zu is nested deeper than %u (JLINE_DEPTH_MAX)", w->pos + 1,
                       JLINE_DEPTH_MAX);
    const uint64_t bit = (uint64_t)1 << w->depth;
    w->objects = object ? w->objects | bit : w->objects & ~bit;
    w->depth++;
    w->pos++;
    return VECMILL_OK;
}

static bool walk_in_object(const struct walk *w)
{
    return w->depth > 0 && ((w->objects >> (w->depth - 1)) & 1) != 0;
}

/* A scalar whole, or the opening of a container. */
static vecmill_status walk_value(struct walk *w, enum jline_kind *kind, vecmill_err *err)
{
    const int c = walk_peek(w);
    switch (c) {
    case '"':
        *kind = JLINE_STRING;
        return walk_string(w, err);
    case '{':
        *kind = JLINE_OBJECT;
        return walk_open(w, true, err);
    case '[':
        *kind = JLINE_ARRAY;
        return walk_open(w, false, err);
    case 't':
    case 'f':
        *kind = JLINE_BOOLEAN;
        return walk_word(w, c == 't' ? "true" : "false", "true, false or null", err);
    case 'n':
        *kind = JLINE_NULL;
        return walk_word(w, "null", "true, false or null", err);
    case 'N':
        *kind = JLINE_NONFINITE;
        return walk_word(w, "NaN", "a value", err);
    default:
        if (c != '-' && c != 'I' && (c < '0' || c > '9')) return walk_fail(w, "a value", err);
        return walk_number(w, kind, err);
    }
}

static unsigned hex4(const char *digits)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = digits[i];
        value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/* One character or byte of a checked string's inside: returns the bytes taken, and the bytes
 * it means in out[4]. */
static size_t decode_next(const char *text, size_t bytes, unsigned char out[4], size_t *n_out,
                          uint64_t *replaced)
{
    *n_out = 1;
    if (text[0] != '\\') {
        out[0] = (unsigned char)text[0];
        return 1;
    }
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (text[1] != 'u') {
        out[0] = (unsigned char)meant[strchr(names, text[1]) - names];
        return 2;
    }
    uint32_t cp = hex4(text + 2);
    size_t taken = 6;
    if (cp >= 0xD800 && cp <= 0xDFFF) {
        const uint32_t low = bytes >= 12 && text[6] == '\\' && text[7] == 'u' ? hex4(text + 8) : 0;
        if (cp < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            taken = 12;
        } else {
            cp = UTF8_REPLACEMENT;
            *replaced += taken;
        }
    }
    *n_out = utf8_put(cp, out);
    return taken;
}

size_t jline_decode(const struct jline_value *value, char *out, uint64_t *replaced)
{
    assert(value->kind == JLINE_STRING && value->bytes >= 2);
    const char *text = value->raw + 1;
    size_t left = value->bytes - 2, used = 0;
    while (left > 0) {
        const char *escape = memchr(text, '\\', left);
        const size_t run = escape != NULL ? (size_t)(escape - text) : left;
        memmove(out + used, text, run);
        used += run;
        text += run;
        left -= run;
        if (left == 0) break;
        unsigned char character[4];
        size_t n;
        const size_t taken = decode_next(text, left, character, &n, replaced);
        memcpy(out + used, character, n);
        used += n;
        text += taken;
        left -= taken;
    }
    return used;
}

/* Whether a checked string, quotes included, means `name`. */
static bool means(const char *raw, size_t bytes, const char *name)
{
    size_t pos = 1, left = strlen(name);
    uint64_t replaced = 0;
    while (pos < bytes - 1) {
        unsigned char character[4];
        size_t n;
        pos += decode_next(raw + pos, bytes - 1 - pos, character, &n, &replaced);
        if (n > left || memcmp(character, name, n) != 0) return false;
        name += n;
        left -= n;
    }
    return left == 0;
}

/* At a member's key; ends behind the colon. */
static vecmill_status walk_key(struct walk *w, size_t *begin, size_t *bytes, vecmill_err *err)
{
    walk_space(w);
    if (walk_peek(w) != '"') return walk_fail(w, "a key in quotes", err);
    *begin = w->pos;
    VM_TRY(walk_string(w, err));
    *bytes = w->pos - *begin;
    walk_space(w);
    if (walk_peek(w) != ':') return walk_fail(w, "a colon", err);
    w->pos++;
    return VECMILL_OK;
}

/* Behind an opening bracket, or a comma: whether the container closes here. */
static bool walk_closes(struct walk *w)
{
    walk_space(w);
    if (walk_peek(w) != (walk_in_object(w) ? '}' : ']')) return false;
    w->pos++;
    w->depth--;
    return true;
}

/* Of two values neither is the one. */
static vecmill_status keep(struct jline_value *slot, const struct jline_value *value,
                           const char *name, vecmill_err *err)
{
    if (slot->kind != JLINE_ABSENT) {
        slot->kind = JLINE_ABSENT;
        return err_set(err, VECMILL_E_INPUT, "bad JSON: the key \"%s\" occurs twice", name);
    }
    *slot = *value;
    return VECMILL_OK;
}

static vecmill_status scan(const char *data, size_t bytes, const char *field, const char *id_field,
                           struct jline *found, vecmill_err *err)
{
    struct walk w = {.data = data, .bytes = bytes};
    struct jline_value member = {.kind = JLINE_ABSENT}; /* of the top object, being read */
    size_t begin = 0, key = 0, key_bytes = 0;

    for (;;) {
        if (walk_in_object(&w)) {
            size_t at, n;
            VM_TRY(walk_key(&w, &at, &n, err));
            if (w.depth == 1) {
                key = at;
                key_bytes = n;
            }
        }
        walk_space(&w);
        const unsigned level = w.depth; /* of the value that begins here */
        const size_t value_begin = w.pos;
        enum jline_kind kind;
        VM_TRY(walk_value(&w, &kind, err));
        if (level == 0) {
            begin = value_begin;
            found->top.kind = kind;
        } else if (level == 1) {
            member = (struct jline_value){.kind = kind, .raw = data + value_begin};
        }

        if (w.depth > level && !walk_closes(&w)) continue;
        /* A value ended. It may be the last of its container, and that of another. */
        for (;;) {
            if (w.depth == 1 && walk_in_object(&w)) {
                member.bytes = (size_t)(data + w.pos - member.raw);
                if (means(data + key, key_bytes, field))
                    VM_TRY(keep(&found->field, &member, field, err));
                if (means(data + key, key_bytes, id_field))
                    VM_TRY(keep(&found->id, &member, id_field, err));
            }
            if (w.depth == 0) break;
            if (walk_closes(&w)) continue;
            if (walk_peek(&w) == ',') break;
            return walk_fail(&w, walk_in_object(&w) ? "a comma or }" : "a comma or ]", err);
        }
        if (w.depth == 0) break;
        w.pos++;
    }
    found->top.raw = data + begin;
    found->top.bytes = w.pos - begin;
    walk_space(&w);
    if (w.pos < bytes) return walk_fail(&w, "nothing behind the value", err);
    return VECMILL_OK;
}

vecmill_status jline_scan(const char *data, size_t bytes, const char *field, const char *id_field,
                          struct jline *line, vecmill_err *err)
{
    struct jline found = {.top.kind = JLINE_ABSENT};
    const vecmill_status status = scan(data, bytes, field, id_field, &found, err);
    /* Digits at the very end may be the first of more. */
    const bool has_whole_id =
        found.id.kind != JLINE_ABSENT && found.id.raw + found.id.bytes < data + bytes;
    if (status == VECMILL_OK)
        *line = found;
    else
        *line = has_whole_id ? (struct jline){.id = found.id} : (struct jline){.id = {0}};
    return status;
}
