/* json: the reader, and the walk over a checked text. One bit of memory for each level instead of
 * recursion. json_text.c has strings and numbers, json_fields.c the tables. */
#include "json.h"

#include "utf8.h"

#include <string.h>

const char *json_kind_words(enum json_kind kind)
{
    static const char *const words[] = {
        [JSON_KIND_ABSENT] = "absent",     [JSON_KIND_NULL] = "null",
        [JSON_KIND_BOOLEAN] = "a boolean", [JSON_KIND_NUMBER] = "a number",
        [JSON_KIND_STRING] = "a string",   [JSON_KIND_ARRAY] = "an array",
        [JSON_KIND_OBJECT] = "an object",  [JSON_KIND_NONFINITE] = "NaN or infinite"};
    return words[kind];
}

/* ---- the reader ---- */

void json_reader_init(struct json_reader *r, const void *data, size_t bytes, const char *name,
                      vecmill_status failure)
{
    *r = (struct json_reader){
        .data = data != NULL ? data : "", .bytes = bytes, .name = name, .failure = failure};
}

/* The next byte, or -1 at the end. */
static int peek(const struct json_reader *r)
{
    return r->pos < r->bytes ? (unsigned char)r->data[r->pos] : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void pass_blanks(struct json_reader *r)
{
    while (r->pos < r->bytes && is_blank(r->data[r->pos]))
        r->pos++;
}

/* The fault at r->pos of a file: two pieces of a clause. */
static vecmill_status fail_in_file(const struct json_reader *r, const char *how, const char *what,
                                   vecmill_err *err)
{
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < r->pos; i++) {
        if (r->data[i] != '\n') continue;
        line++;
        begin = i + 1;
    }
    return err_set(err, r->failure, "%s: line %zu column %zu: not valid JSON, %s%s%s", r->name,
                   line, r->pos - begin + 1, how, what,
                   r->pos >= r->bytes ? " (the file is cut short)" : "");
}

static vecmill_status fail_expected(const struct json_reader *r, const char *expected,
                                    vecmill_err *err)
{
    if (r->name != NULL) return fail_in_file(r, "expected ", expected, err);
    if (r->pos >= r->bytes)
        return err_set(err, r->failure, "bad JSON: it ends after %zu bytes, expected %s", r->bytes,
                       expected);
    return err_set(err, r->failure, "bad JSON at byte %zu: expected %s", r->pos + 1, expected);
}

/* What a hexadecimal digit counts; -1: it is none. */
static int hex_value(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of a \u escape. *low: the second half of a pair of surrogates has to be next. */
static vecmill_status read_escape(struct json_reader *r, bool is_key, bool *low, vecmill_err *err)
{
    const size_t begin = r->pos - 2;
    int unit = 0;
    for (int i = 0; i < 4; i++, r->pos++) {
        const int digit = hex_value(peek(r));
        if (digit < 0) return fail_expected(r, "four hexadecimal digits", err);
        unit = unit * 16 + digit;
    }
    if (r->is_lenient) return VECMILL_OK;
    const bool is_low = unit >= 0xDC00 && unit <= 0xDFFF;
    if (is_low == *low && (unit > 0 || !is_key)) {
        *low = unit >= 0xD800 && unit < 0xDC00;
        return VECMILL_OK;
    }
    r->pos = begin;
    return fail_expected(r, is_low == *low ? "no NUL in a key" : "a surrogate's other half", err);
}

static vecmill_status check_utf8(struct json_reader *r, size_t begin, vecmill_err *err)
{
    const unsigned char *data = (const unsigned char *)r->data;
    const size_t end = r->pos;
    if (utf8_valid(data + begin, end - begin)) return VECMILL_OK;
    bool bad = false;
    for (size_t taken = 0; !bad; begin += bad ? 0 : taken) {
        uint32_t cp;
        taken = utf8_next(data + begin, end - begin, &cp, &bad);
    }
    r->pos = begin;
    return fail_expected(r, "valid UTF-8", err);
}

/* At an opening quote; ends after the closing one. */
static vecmill_status read_string(struct json_reader *r, bool is_key, vecmill_err *err)
{
    const size_t begin = r->pos++;
    bool is_ascii = true, low = false;
    for (;;) {
        const int c = peek(r);
        if (c < 0) return fail_expected(r, "the closing quote of a string", err);
        if (c < 0x20) return fail_expected(r, "no bare control character in a string", err);
        if (low && c != '\\') return fail_expected(r, "a surrogate's other half", err);
        r->pos++;
        if (c == '"') break;
        is_ascii = is_ascii && c < 0x80;
        if (c != '\\') continue;
        const int e = peek(r);
        if (e <= 0 || strchr("\"\\/bfnrtu", e) == NULL)
            return fail_expected(r, "one of \"\\/bfnrtu after a backslash", err);
        r->pos++;
        if (e == 'u') {
            VM_TRY(read_escape(r, is_key, &low, err));
        } else if (low) {
            r->pos -= 2;
            return fail_expected(r, "a surrogate's other half", err);
        }
    }
    return is_ascii || r->is_lenient ? VECMILL_OK : check_utf8(r, begin, err);
}

static vecmill_status read_word(struct json_reader *r, const char *word, const char *expected,
                                vecmill_err *err)
{
    for (; *word != 0; word++, r->pos++)
        if (peek(r) != *word) return fail_expected(r, expected, err);
    return VECMILL_OK;
}

static bool pass_digits(struct json_reader *r)
{
    const size_t begin = r->pos;
    for (int c = peek(r); c >= '0' && c <= '9'; c = peek(r))
        r->pos++;
    return r->pos > begin;
}

static vecmill_status read_number(struct json_reader *r, enum json_kind *kind, vecmill_err *err)
{
    *kind = JSON_KIND_NUMBER;
    if (peek(r) == '-') r->pos++;
    if (peek(r) == 'I' && r->is_lenient) {
        *kind = JSON_KIND_NONFINITE;
        return read_word(r, "Infinity", "a digit or Infinity", err);
    }
    if (peek(r) == '0')
        r->pos++;
    else if (!pass_digits(r))
        return fail_expected(r, "a digit", err);
    if (peek(r) == '.') {
        r->pos++;
        if (!pass_digits(r)) return fail_expected(r, "a digit after the point", err);
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->pos++;
        if (peek(r) == '+' || peek(r) == '-') r->pos++;
        if (!pass_digits(r)) return fail_expected(r, "a digit of the exponent", err);
    }
    return VECMILL_OK;
}

static vecmill_status enter(struct json_reader *r, bool is_object, vecmill_err *err)
{
    if (r->depth == JSON_DEPTH_MAX && r->name != NULL)
        return fail_in_file(r, "nested deeper than 64", " (JSON_DEPTH_MAX)", err);
    if (r->depth == JSON_DEPTH_MAX)
        return err_set(err, r->failure,
                       "JSON at byte %zu is nested deeper than %u (JSON_DEPTH_MAX)", r->pos + 1,
                       JSON_DEPTH_MAX);
    const uint64_t bit = (uint64_t)1 << r->depth;
    r->objects = is_object ? r->objects | bit : r->objects & ~bit;
    r->depth++;
    r->pos++;
    r->is_first = true;
    return VECMILL_OK;
}

/* A scalar whole, or the opening of a container. */
static vecmill_status read_value(struct json_reader *r, enum json_kind *kind, vecmill_err *err)
{
    const int c = peek(r);
    switch (c) {
    case '"':
        *kind = JSON_KIND_STRING;
        return read_string(r, false, err);
    case '{':
        *kind = JSON_KIND_OBJECT;
        return enter(r, true, err);
    case '[':
        *kind = JSON_KIND_ARRAY;
        return enter(r, false, err);
    case 't':
    case 'f':
        *kind = JSON_KIND_BOOLEAN;
        return read_word(r, c == 't' ? "true" : "false", "true, false or null", err);
    case 'n':
        *kind = JSON_KIND_NULL;
        return read_word(r, "null", "true, false or null", err);
    default:
        if (c == 'N' && r->is_lenient) {
            *kind = JSON_KIND_NONFINITE;
            return read_word(r, "NaN", "a value", err);
        }
        if (c == '-' || (c >= '0' && c <= '9') || (c == 'I' && r->is_lenient))
            return read_number(r, kind, err);
        return fail_expected(r, "a value", err);
    }
}

static bool in_object(const struct json_reader *r)
{
    return r->depth > 0 && ((r->objects >> (r->depth - 1)) & 1) != 0;
}

/* To the next value of the container; *is_over: there is none, and the container was left. */
static vecmill_status read_between(struct json_reader *r, bool *is_over, vecmill_err *err)
{
    const bool is_object = in_object(r), is_first = r->is_first;
    r->is_first = false;
    pass_blanks(r);
    *is_over = peek(r) == (is_object ? '}' : ']');
    if (*is_over) {
        r->pos++;
        r->depth--;
        return VECMILL_OK;
    }
    if (is_first) return VECMILL_OK;
    if (peek(r) != ',') return fail_expected(r, is_object ? "a comma or }" : "a comma or ]", err);
    r->pos++;
    return VECMILL_OK;
}

/* A member's key; ends after the colon. */
static vecmill_status read_key(struct json_reader *r, struct json_value *key, vecmill_err *err)
{
    pass_blanks(r);
    if (peek(r) != '"') return fail_expected(r, "a key in quotes", err);
    const size_t begin = r->pos;
    VM_TRY(read_string(r, true, err));
    *key = (struct json_value){JSON_KIND_STRING, r->data + begin, r->pos - begin};
    pass_blanks(r);
    if (peek(r) != ':') return fail_expected(r, "a colon", err);
    r->pos++;
    return VECMILL_OK;
}

vecmill_status json_next(struct json_reader *r, struct json_value *key, struct json_value *value,
                         vecmill_err *err)
{
    struct json_value k = {.kind = JSON_KIND_ABSENT}, v = {.kind = JSON_KIND_ABSENT};
    bool is_over = false;
    if (r->depth > 0) VM_TRY(read_between(r, &is_over, err));
    if (!is_over) {
        if (in_object(r)) VM_TRY(read_key(r, &k, err));
        pass_blanks(r);
        v.raw = r->data + r->pos;
        VM_TRY(read_value(r, &v.kind, err));
        v.bytes = (size_t)(r->data + r->pos - v.raw);
    }
    *key = k;
    *value = v;
    return VECMILL_OK;
}

vecmill_status json_pass(struct json_reader *r, struct json_value *value, vecmill_err *err)
{
    struct json_value key, inner;
    if (value->kind != JSON_KIND_ARRAY && value->kind != JSON_KIND_OBJECT) return VECMILL_OK;
    for (const unsigned outside = r->depth - 1; r->depth > outside;)
        VM_TRY(json_next(r, &key, &inner, err));
    value->bytes = (size_t)(r->data + r->pos - value->raw);
    return VECMILL_OK;
}

vecmill_status json_end(struct json_reader *r, vecmill_err *err)
{
    pass_blanks(r);
    return r->pos < r->bytes ? fail_expected(r, "nothing behind the value", err) : VECMILL_OK;
}

/* ---- a text that was checked ---- */

vecmill_status json_check(const void *data, size_t bytes, const char *name, vecmill_status failure,
                          struct json_value *root, vecmill_err *err)
{
    struct json_reader r;
    struct json_value key, value;
    json_reader_init(&r, data, bytes, name, failure);
    /* A byte order mark is no JSON, but editors write it. */
    if (bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) r.pos = 3;
    VM_TRY(json_next(&r, &key, &value, err));
    VM_TRY(json_pass(&r, &value, err));
    VM_TRY(json_end(&r, err));
    *root = value;
    return VECMILL_OK;
}

static const char *after_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

static bool ends_scalar(char c)
{
    return is_blank(c) || c == ',' || c == ']' || c == '}';
}

static const char *after_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        switch (*at) {
        case '"':
            at = after_string(at, end);
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            depth--;
            at++;
            break;
        case ',':
        case ':':
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            at++;
            break;
        default: /* a number or a word */
            do
                at++;
            while (at < end && !ends_scalar(*at));
        }
    } while (depth > 0 && at < end);
    return at;
}

static enum json_kind kind_of(const char *raw)
{
    switch (raw[0]) {
    case '"':
        return JSON_KIND_STRING;
    case '{':
        return JSON_KIND_OBJECT;
    case '[':
        return JSON_KIND_ARRAY;
    case 't':
    case 'f':
        return JSON_KIND_BOOLEAN;
    case 'n':
        return JSON_KIND_NULL;
    case 'N':
    case 'I':
        return JSON_KIND_NONFINITE;
    default: /* a minus has a digit or Infinity after it */
        return raw[0] == '-' && raw[1] == 'I' ? JSON_KIND_NONFINITE : JSON_KIND_NUMBER;
    }
}

struct json_each json_begin(const struct json_value *value)
{
    struct json_each each = {.at = "", .end = "", .is_first = true};
    if (value->kind != JSON_KIND_ARRAY && value->kind != JSON_KIND_OBJECT) return each;
    each.at = value->raw + 1;
    each.end = value->raw + value->bytes - 1; /* the closing bracket */
    each.is_object = value->kind == JSON_KIND_OBJECT;
    return each;
}

static void each_blanks(struct json_each *each)
{
    while (each->at < each->end && is_blank(*each->at))
        each->at++;
}

/* The string or other value at each->at. */
static struct json_value each_take(struct json_each *each)
{
    const char *begin = each->at;
    each->at = after_value(begin, each->end);
    return (struct json_value){kind_of(begin), begin, (size_t)(each->at - begin)};
}

bool json_each(struct json_each *each, struct json_value *key, struct json_value *value)
{
    each_blanks(each);
    if (each->at >= each->end) return false;
    if (!each->is_first) each->at++; /* the comma */
    each->is_first = false;
    each_blanks(each);
    *key = (struct json_value){.kind = JSON_KIND_ABSENT};
    if (each->is_object) {
        *key = each_take(each);
        each_blanks(each);
        each->at++; /* the colon */
        each_blanks(each);
    }
    *value = each_take(each);
    return true;
}

size_t json_count(const struct json_value *value)
{
    struct json_each each = json_begin(value);
    struct json_value key, member;
    size_t n = 0;
    while (json_each(&each, &key, &member))
        n++;
    return n;
}

struct json_value json_get(const struct json_value *object, const char *key)
{
    struct json_each each = json_begin(object);
    struct json_value name, value, found = {.kind = JSON_KIND_ABSENT};
    while (json_each(&each, &name, &value))
        if (json_is(&name, key)) found = value;
    return found;
}

struct json_value json_find(const struct json_value *object, const struct json_value *key)
{
    struct json_each each = json_begin(object);
    struct json_value name, value, found = {.kind = JSON_KIND_ABSENT};
    while (json_each(&each, &name, &value))
        if (json_same(&name, key)) found = value;
    return found;
}
