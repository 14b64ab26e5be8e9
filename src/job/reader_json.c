/* reader_json: values are found by their brackets and quotes alone; jline.h says what they are. */
#include "reader_json.h"

#include "base/base.h"
#include "reader.h"

#include <string.h>

/* Where a walk is inside a value. */
struct depth {
    uint64_t open; /* brackets */
    bool in_string, is_escaped;
};

static void pass_byte(struct depth *d, unsigned char c)
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

const char *reader_json_over_lines(const char *line, size_t bytes)
{
    struct depth d = {0};
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

/* A blank, or the separator of RFC 7464. */
static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0x1E;
}

/* Passes over what is between values; *c is the byte after it, unread, or -1 at the end. */
static vecmill_status pass_blanks(struct reader *r, int *c, vecmill_err *err)
{
    static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};
    unsigned n_mark = 0;
    for (;;) {
        const unsigned char *data;
        size_t n, at = 0;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        *c = -1;
        if (n == 0) break;
        while (at < n) {
            if (data[at] == mark[n_mark])
                n_mark = (n_mark + 1) % 3;
            else if (n_mark > 0 || !is_blank(data[at]))
                break;
            r->line += data[at] == '\n';
            at++;
        }
        intake_consume(&r->intake, at);
        if (at == n) continue;
        *c = data[at];
        break;
    }
    if (n_mark == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT, "%s line %llu: bad JSON: expected a value", r->intake.name,
                   (unsigned long long)r->line);
}

/* Whether the byte ends a number or a word. */
static bool ends_word(unsigned char c)
{
    return is_blank(c) || strchr(",:{}[]\"", c) != NULL;
}

/* The value that begins here, into the area as of struct reader_line. */
static vecmill_status read_value(struct reader *r, struct area *area, struct reader_line *value,
                                 vecmill_err *err)
{
    const size_t most = (size_t)r->max_document + 1;
    const unsigned long long begin = r->line;
    char *out = area->data + area->used;
    struct depth d = {0};
    bool is_word = false, complete = false;
    *value = (struct reader_line){0};
    while (!complete) {
        const unsigned char *data;
        size_t n, at = 0;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        if (n == 0 && is_word) return VECMILL_OK;
        if (n == 0)
            return err_set(err, VECMILL_E_INPUT,
                           "%s line %llu: the JSON value that begins here is never closed",
                           r->intake.name, begin);
        if (value->bytes == 0) is_word = strchr("{[\"", data[0]) == NULL;
        while (at < n && !complete) {
            if (is_word && value->bytes + at > 0 && ends_word(data[at])) {
                complete = true;
                break;
            }
            pass_byte(&d, data[at]);
            r->line += data[at] == '\n';
            at++;
            complete = !is_word && d.open == 0 && !d.in_string;
        }
        const size_t fits = num_min(at, most - value->kept);
        memcpy(out + value->kept, data, fits);
        value->kept += fits;
        value->bytes += at;
        intake_consume(&r->intake, at);
    }
    return VECMILL_OK;
}

static vecmill_status expected(const struct reader *r, const char *what, int c, vecmill_err *err)
{
    const char found[] = {(char)c, 0};
    return err_set(err, VECMILL_E_INPUT, "%s line %llu: bad JSON: expected %s, found %s",
                   r->intake.name, (unsigned long long)r->line, what, c < 0 ? "the end" : found);
}

/* To the next value; *end: there is none. */
static vecmill_status find_value(struct reader *r, bool *end, vecmill_err *err)
{
    bool is_first = !r->in_array, has_comma = false;
    for (;;) {
        int c;
        VM_TRY(pass_blanks(r, &c, err));
        if (!r->in_array) {
            *end = c < 0;
            if (c == '[') { /* each element is a document */
                r->in_array = is_first = true;
                intake_consume(&r->intake, 1);
                continue;
            }
            if (c >= 0 && strchr(",:]}", c) != NULL) return expected(r, "a value", c, err);
            return VECMILL_OK;
        }
        if (c == ']' && !has_comma) {
            r->in_array = false;
            intake_consume(&r->intake, 1);
            continue;
        }
        if (is_first || has_comma) {
            if (c < 0 || strchr(",:]}", c) != NULL) return expected(r, "a value", c, err);
            *end = false;
            return VECMILL_OK;
        }
        if (c != ',') return expected(r, "a comma or ]", c, err);
        has_comma = true;
        intake_consume(&r->intake, 1);
    }
}

vecmill_status reader_json_next(struct reader *r, struct area *area, struct record *record,
                                bool *end, vecmill_err *err)
{
    struct reader_line value;
    VM_TRY(find_value(r, end, err));
    if (*end) return VECMILL_OK;
    record->line = r->line;
    VM_TRY(read_value(r, area, &value, err));
    reader_take_json(r, area, &value, record);
    return VECMILL_OK;
}
