/* read_json: documents out of JSON, a line each (jsonl) or wherever values are (json): elements of arrays,
 * values over several lines, values one after the other.
 *
 * Promises: each value is read by itself, so memory does not depend on the length of an array, and a value
 * that is bad inside its brackets costs only itself. Values are found by their brackets and quotes alone;
 * jline.h says what they are. */
#include "reader.h"

#include "jline.h"

#include <string.h>

/* ---- one value as a record ---- */

/* Copies the id, since decoding the text may write over it. */
static vecmill_status save_id(struct reader *r, const struct json_value *id,
                              struct reader_record *record, vecmill_err *err)
{
    if (id->kind == JSON_KIND_ARRAY || id->kind == JSON_KIND_OBJECT ||
        id->kind == JSON_KIND_NONFINITE)
        return err_set(err, VECMILL_E_INPUT, "the id \"%s\" is %s, a string or number is needed",
                       r->id_field, json_kind_words(id->kind));
    VM_TRY(reader_check_id(r, id->bytes, err));
    uint64_t replaced = 0;
    const size_t valid = utf8_repair(id->raw, id->bytes, r->id_json, &replaced);
    VM_TRY(reader_check_id(r, valid, err));
    record->replaced_bytes += replaced;
    r->id_bytes = valid;
    return VECMILL_OK;
}

/* A failed document keeps its id if that can be read: the id says whose row has no vector. */
static void keep_id_of_failed(struct reader *r, struct record_buf *buf, const struct jline *json,
                              struct reader_record *record)
{
    if (json->id.kind != JSON_KIND_ABSENT && save_id(r, &json->id, record, NULL) == VECMILL_OK)
        reader_keep_id(r, buf, record);
}

static vecmill_status check_text(const struct json_value *text, const char *key, vecmill_err *err)
{
    if (text->kind == JSON_KIND_STRING) return VECMILL_OK;
    if (text->kind == JSON_KIND_ABSENT)
        return err_set(err, VECMILL_E_INPUT, "the object has no \"%s\"", key);
    return err_set(err, VECMILL_E_INPUT, "\"%s\" is %s, a string is needed", key,
                   json_kind_words(text->kind));
}

/* Decodes the text, and the query if there is one, over the value they are in: the first of them first. */
static void decode_texts(struct record_buf *buf, const struct json_value *text,
                         const struct json_value *query, struct reader_record *record)
{
    const bool is_pair = query->kind == JSON_KIND_STRING;
    const bool is_query_first = is_pair && query->raw < text->raw;
    for (int i = !is_pair; i < 2; i++) {
        const bool is_query = is_pair && (i == 0) == is_query_first;
        char *out = buf->data + buf->used;
        const size_t bytes = json_decode(is_query ? query : text, out, &record->replaced_bytes);
        *(is_query ? &record->query : &record->text) = out;
        *(is_query ? &record->query_bytes : &record->bytes) = bytes;
        buf->used += bytes;
    }
}

static vecmill_status parse_record(struct reader *r, struct record_buf *buf,
                                   const struct reader_line *value, struct reader_record *record,
                                   vecmill_err *err)
{
    struct jline json;
    char *out = buf->data + buf->used;
    const vecmill_status scanned =
        jline_scan(out, value->kept, r->field, r->query_field, r->id_field, &json, err);
    if (scanned != VECMILL_OK) {
        keep_id_of_failed(r, buf, &json, record);
        return scanned;
    }
    const bool is_object = json.top.kind == JSON_KIND_OBJECT;
    const bool is_pair = r->query_field != NULL;
    if (!is_object && (json.top.kind != JSON_KIND_STRING || is_pair)) {
        return err_set(err, VECMILL_E_INPUT, "the %s is %s, an object%s is needed", r->kind->unit,
                       json_kind_words(json.top.kind), is_pair ? "" : " or a string");
    }
    const bool has_id = json.id.kind != JSON_KIND_ABSENT;
    if (has_id) VM_TRY(save_id(r, &json.id, record, err));
    vecmill_status status = VECMILL_OK;
    if (is_pair) status = check_text(&json.query, r->query_field, err);
    if (status == VECMILL_OK && is_object) status = check_text(&json.field, r->field, err);
    if (status == VECMILL_OK)
        decode_texts(buf, is_object ? &json.field : &json.top, &json.query, record);
    if (has_id) reader_keep_id(r, buf, record);
    return status;
}

/* The value as a record, or as one that failed. */
static void take_value(struct reader *r, struct record_buf *buf, const struct reader_line *value,
                       struct reader_record *record)
{
    vecmill_err why;
    if (read_text_fits(r, value, &why)) {
        if (parse_record(r, buf, value, record, &why) == VECMILL_OK) return;
    } else {
        struct jline json;
        (void)jline_scan(buf->data + buf->used, value->kept, r->field, r->query_field, r->id_field,
                         &json, NULL);
        keep_id_of_failed(r, buf, &json, record);
    }
    reader_fail(buf, record, &why);
}

/* ---- where a value ends ---- */

struct json_depth {
    uint64_t open; /* brackets */
    bool in_string, is_escaped;
};

static void pass_byte(struct json_depth *d, unsigned char c)
{
    if (d->in_string) {
        if (d->is_escaped)
            d->is_escaped = false;
        else if (c == '\\')
            d->is_escaped = true;
        else
            d->in_string = c != '"';
    } else if (c == '"') {
        d->in_string = true;
    } else if (c == '{' || c == '[') {
        d->open++;
    } else if ((c == '}' || c == ']') && d->open > 0) {
        d->open--;
    }
}

/* ---- .jsonl: a value a line ---- */

static bool is_blank_line(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
    return true;
}

/* What a first line that is no JSON seems to be of; NULL: no guess. */
static const char *guess_format(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && (text[at] == ' ' || text[at] == '\t'))
        at++;
    if (at == bytes || text[at] == '{' || text[at] == '"') return NULL;
    if (text[at] == '<') return "HTML or XML";
    if (memchr(text, ',', bytes) != NULL || memchr(text, ';', bytes) != NULL ||
        memchr(text, '\t', bytes) != NULL)
        return "a table (--input-format csv)";
    return "plain text (--input-format txt)";
}

/* What a first line is the beginning of; NULL: it may be a line of JSON Lines. */
static const char *json_over_lines(const char *line, size_t bytes)
{
    struct json_depth d = {0};
    size_t at = 0;
    while (at < bytes && strchr(" \t\r", line[at]) != NULL && line[at] != 0)
        at++;
    while (bytes > at && strchr(" \t\r", line[bytes - 1]) != NULL && line[bytes - 1] != 0)
        bytes--;
    if (at == bytes) return NULL;
    if (line[at] == '[') return "a JSON array";
    if (line[at] != '{') return NULL;
    for (size_t i = at; i < bytes; i++)
        pass_byte(&d, (unsigned char)line[i]);
    const char last = line[bytes - 1];
    const bool is_between = last == '{' || last == '[' || last == ',';
    return d.open > 0 && !d.in_string && is_between ? "JSON over several lines" : NULL;
}

static vecmill_status check_first_line(struct reader *r, const char *text, size_t bytes,
                                       vecmill_err *err)
{
    struct jline json;
    if (jline_scan(text, bytes, r->field, r->query_field, r->id_field, &json, NULL) != VECMILL_OK)
        r->seems = guess_format(text, bytes);
    const char *what = json_over_lines(text, bytes);
    if (what == NULL) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT,
                   "%s: is %s, not a document a line; --input-format json reads it", r->name, what);
}

static vecmill_status next_jsonl(struct reader *r, struct record_buf *buf,
                                 struct reader_record *record, bool *end, vecmill_err *err)
{
    struct reader_line line;
    const char *text = buf->data + buf->used;
    do {
        VM_TRY(read_text_line(r, buf, &line, end, err));
        if (*end) return VECMILL_OK;
        record->line = r->line++;
    } while (line.bytes <= r->max_document && is_blank_line(text, line.kept));
    if (r->n_records == 0) VM_TRY(check_first_line(r, text, line.kept, err));
    take_value(r, buf, &line, record);
    return VECMILL_OK;
}

const struct reader_kind reader_kind_jsonl = {.word = "jsonl",
                                              .unit = "line",
                                              .endings = {{".jsonl", 0}, {".ndjson", 0}},
                                              .takes_pairs = true,
                                              .check = read_text_check,
                                              .layout = read_text_layout,
                                              .open = read_text_open,
                                              .next = next_jsonl,
                                              .tell = read_text_tell,
                                              .seek = read_text_seek_lines,
                                              .close = read_text_close};

/* ---- .json: values wherever they are ---- */

/* All that a walk knows between two calls: any of them may end with INTAKE_AGAIN. */
struct json_walk {
    bool in_array; /* the next value is an element */
    bool is_first; /* no element of the array was read yet */
    bool has_comma;
    unsigned n_mark; /* bytes of a mark between values */
    bool in_value;
    uint64_t value_line; /* where it begins */
    bool is_word; /* it is a number, true, false or null: it ends where another thing begins */
    struct json_depth depth;
};

static void layout_json(struct reader *r, struct arena *a)
{
    read_text_layout(r, a);
    struct json_walk *w = arena_take(a, sizeof *w, 64);
    r->state = w;
    if (w != NULL) *w = (struct json_walk){.in_array = false};
}

/* A blank, or the separator of RFC 7464. */
static bool is_json_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0x1E;
}

/* Passes over blanks and marks; *c is the byte after them, unread, or -1 at the end. */
static vecmill_status pass_json_blanks(struct reader *r, int *c, vecmill_err *err)
{
    static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};
    struct json_walk *w = r->state;
    for (;;) {
        const unsigned char *data;
        size_t n, at = 0;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        *c = -1;
        if (n == 0) break;
        while (at < n) {
            if (data[at] == mark[w->n_mark])
                w->n_mark = (w->n_mark + 1) % 3;
            else if (w->n_mark > 0 || !is_json_blank(data[at]))
                break;
            r->line += data[at] == '\n';
            at++;
        }
        intake_consume(&r->intake, at);
        if (at == n) continue;
        *c = data[at];
        break;
    }
    if (w->n_mark == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT, "%s line %llu: bad JSON: expected a value", r->name,
                   (unsigned long long)r->line);
}

static vecmill_status refuse_byte(const struct reader *r, const char *expected, int c,
                                  vecmill_err *err)
{
    const char found[] = {(char)c, 0};
    return err_set(err, VECMILL_E_INPUT, "%s line %llu: bad JSON: expected %s, found %s", r->name,
                   (unsigned long long)r->line, expected, c < 0 ? "the end" : found);
}

/* To the next value; *end: there is none. */
static vecmill_status find_value(struct reader *r, bool *end, vecmill_err *err)
{
    struct json_walk *w = r->state;
    for (;;) {
        int c;
        VM_TRY(pass_json_blanks(r, &c, err));
        if (!w->in_array && c == '[') { /* each element is a document */
            w->in_array = w->is_first = true;
            intake_consume(&r->intake, 1);
            continue;
        }
        if (w->in_array && c == ']' && !w->has_comma) {
            w->in_array = false;
            intake_consume(&r->intake, 1);
            continue;
        }
        if (w->in_array && !w->is_first && !w->has_comma) {
            if (c != ',') return refuse_byte(r, "a comma or ]", c, err);
            w->has_comma = true;
            intake_consume(&r->intake, 1);
            continue;
        }
        *end = c < 0;
        if (*end && !w->in_array) return VECMILL_OK;
        if (c < 0 || strchr(",:]}", c) != NULL) return refuse_byte(r, "a value", c, err);
        w->is_first = w->has_comma = false;
        return VECMILL_OK;
    }
}

/* Whether the byte ends a number or a word. */
static bool ends_word(unsigned char c)
{
    return is_json_blank(c) || strchr(",:{}[]\"", c) != NULL;
}

/* The value that begins here, into the buffer as of struct reader_line. */
static vecmill_status read_json_value(struct reader *r, struct record_buf *buf,
                                      struct reader_line *value, vecmill_err *err)
{
    const size_t most = (size_t)r->max_document + 1;
    struct json_walk *w = r->state;
    struct reader_line *part = &r->part;
    char *out = buf->data + buf->used;
    bool complete = false;
    while (!complete) {
        const unsigned char *data;
        size_t n, at = 0;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        if (n == 0 && w->is_word) break;
        if (n == 0)
            return err_set(err, VECMILL_E_INPUT,
                           "%s line %llu: the JSON value that begins here is never closed", r->name,
                           (unsigned long long)w->value_line);
        if (part->bytes == 0) w->is_word = strchr("{[\"", data[0]) == NULL;
        while (at < n && !complete) {
            if (w->is_word && part->bytes + at > 0 && ends_word(data[at])) {
                complete = true;
                break;
            }
            pass_byte(&w->depth, data[at]);
            r->line += data[at] == '\n';
            at++;
            complete = !w->is_word && w->depth.open == 0 && !w->depth.in_string;
        }
        const size_t fits = num_min(at, most - part->kept);
        memcpy(out + part->kept, data, fits);
        part->kept += fits;
        part->bytes += at;
        intake_consume(&r->intake, at);
    }
    *value = *part;
    *part = (struct reader_line){0};
    return VECMILL_OK;
}

static vecmill_status next_json(struct reader *r, struct record_buf *buf,
                                struct reader_record *record, bool *end, vecmill_err *err)
{
    struct json_walk *w = r->state;
    struct reader_line value;
    if (!w->in_value) {
        VM_TRY(find_value(r, end, err));
        if (*end) return VECMILL_OK;
        w->in_value = true;
        w->value_line = r->line;
        w->depth = (struct json_depth){0};
    }
    VM_TRY(read_json_value(r, buf, &value, err));
    w->in_value = false;
    record->line = w->value_line;
    take_value(r, buf, &value, record);
    return VECMILL_OK;
}

static void tell_json_point(const struct reader *r, struct reader_point *point)
{
    const struct json_walk *w = r->state;
    read_text_tell(r, point);
    point->in_array = w->in_array;
}

static vecmill_status seek_json_point(struct reader *r, const struct reader_point *point,
                                      vecmill_err *err)
{
    struct json_walk *w = r->state;
    VM_TRY(read_text_seek(r, point, err));
    w->in_array = point->in_array;
    return VECMILL_OK;
}

const struct reader_kind reader_kind_json = {.word = "json",
                                             .unit = "value",
                                             .endings = {{".json", 0}},
                                             .takes_pairs = true,
                                             .check = read_text_check,
                                             .layout = layout_json,
                                             .open = read_text_open,
                                             .next = next_json,
                                             .tell = tell_json_point,
                                             .seek = seek_json_point,
                                             .close = read_text_close};
