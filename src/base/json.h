/* json: reads JSON where it is in memory, and writes strings.
 *
 * A reader walks a text once, from left to right, checks it by RFC 8259, and gives its values one
 * by one (json_next). json_check reads a whole text; its values can then be looked up in any order:
 * members, elements, strings and numbers. A file whose keys are known is read by a table of them
 * (json_fields).
 *
 * Promises: no tree, no allocation, no recursion. Nothing outside the text is read. Each pass takes
 * time linear in the text. There are at most JSON_DEPTH_MAX containers inside each other. A number
 * keeps its digits until a caller asks for a type; the result is then exact, or there is none. Does
 * not know which keys an object may have. Only json_fields refuses a key that is there twice:
 * callers that iterate over members check it where it matters. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define JSON_DEPTH_MAX   64u   /* arrays and objects inside each other */
#define JSON_FIELDS_MAX  48u   /* rows of a table of keys */
#define JSON_MEMBERS_MAX 1024u /* of an object that is read by a table */
#define JSON_NUMBER_MAX  127u  /* bytes of a number that is read as a double */

enum json_kind {
    JSON_KIND_ABSENT, /* no value: the default of a struct json_value */
    JSON_KIND_NULL,
    JSON_KIND_BOOLEAN,
    JSON_KIND_NUMBER,
    JSON_KIND_NONFINITE, /* NaN, Infinity, -Infinity: no JSON, but Python writes them; lenient only */
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

/* "a number", "an object"; static. */
const char *json_kind_words(enum json_kind kind);

/* The bytes of a value in its text, which the caller keeps; a string's include the quotes. */
struct json_value {
    enum json_kind kind;
    const char *raw;
    size_t bytes;
};

/* ---- reading a text from left to right ---- */

struct json_reader {
    const char *data;
    size_t bytes, pos;
    const char *name; /* of the file; NULL: a line, whose place its caller says */
    vecmill_status failure;

    /* Set by the caller when the text is a line of somebody's data: the words of
     * JSON_KIND_NONFINITE are values, bytes above 7F in strings are not checked, halves of
     * surrogate pairs may be alone, and keys may hold NUL. Otherwise each of these is a fault. */
    bool is_lenient;

    bool is_first;    /* private: a container was opened and nothing of it was read */
    unsigned depth;   /* private */
    uint64_t objects; /* private; bit d: the container at depth d is an object */
};

/* A line, or with a name a file, strict. */
void json_reader_init(struct json_reader *r, const void *data, size_t bytes, const char *name,
                      vecmill_status failure);

/* The next value in the container that the reader is in, or the text's own first; *key is its key,
 * JSON_KIND_ABSENT where there is none. Of an array or object only the bracket that opens it was
 * read then, and the next values are its own. JSON_KIND_ABSENT: the container is at its end, and
 * the reader is in the one around it. `failure` with the place and what was expected: "bad JSON at
 * byte 7: expected a colon" of a line, "NAME: line 1 column 7: not valid JSON, expected a colon" of
 * a file. */
vecmill_status json_next(struct json_reader *r, struct json_value *key, struct json_value *value,
                         vecmill_err *err);

/* Goes to the end of the value that json_next has just given, and completes it. */
vecmill_status json_pass(struct json_reader *r, struct json_value *value, vecmill_err *err);

/* After the text's value: nothing but blanks may follow. */
vecmill_status json_end(struct json_reader *r, vecmill_err *err);

/* ---- a text that was checked ---- */

/* Checks all of a file's text; a byte order mark before it is passed over. *root is borrowed
 * from data. */
vecmill_status json_check(const void *data, size_t bytes, const char *name, vecmill_status failure,
                          struct json_value *root, vecmill_err *err);

/* The members of an object or elements of an array, in order, each found by passing over the one
 * before:
 *     struct json_each each = json_begin(&value);
 *     while (json_each(&each, &key, &member)) ...
 * No other kind has any. `value` must have been checked. */
struct json_each {
    const char *at, *end; /* private */
    bool is_object, is_first;
};
struct json_each json_begin(const struct json_value *value);
bool json_each(struct json_each *each, struct json_value *key, struct json_value *value);

/* How many there are. */
size_t json_count(const struct json_value *value);

/* The last member of this key, as Python's json and serde_json have it; JSON_KIND_ABSENT: there is none,
 * or the value is no object. */
struct json_value json_get(const struct json_value *object, const char *key);
/* The same for a key that is a JSON string. */
struct json_value json_find(const struct json_value *object, const struct json_value *key);

/* ---- strings ---- */

/* What a string means, at most value->bytes - 2 of it; out may be value->raw itself or be before
 * it. Returns the bytes written. Halves of surrogate pairs that are alone become U+FFFD, and their
 * escapes' bytes are added to *replaced. */
size_t json_decode(const struct json_value *value, char *out, uint64_t *replaced);

/* Whether the value is a string that means `text`. */
bool json_is(const struct json_value *value, const char *text);

/* Whether two strings mean the same; and a number that is equal for all of one meaning. */
bool json_same(const struct json_value *a, const struct json_value *b);
uint32_t json_hash(const struct json_value *string);

/* Whether a string holds the character NUL. */
bool json_has_nul(const struct json_value *value);

/* Copies a string with a NUL after it; false, and out is "", when it is no string, holds NUL itself
 * or takes more than `most` bytes. */
bool json_string_into(const struct json_value *value, char *out, size_t most);

/* The beginning of a string, or of any other value's text, for a message: at most `most` bytes with
 * the NUL, cut between characters; a NUL in it becomes a question mark. Returns out. */
const char *json_show(const struct json_value *value, char *out, size_t most);

/* Writes text as a JSON string with its quotes: valid UTF-8 stays, control characters, quote and
 * backslash are escaped. out has room for 6 * bytes + 2. Returns the bytes written. */
size_t json_quote(const char *text, size_t bytes, char *out);

/* ---- numbers ---- */

/* An integer, written without point and exponent, that the type holds; false otherwise. */
bool json_i64(const struct json_value *value, int64_t *out);
bool json_u64(const struct json_value *value, uint64_t *out);

/* Any number, rounded to the nearest double; false when it is none, has more than JSON_NUMBER_MAX
 * bytes, or is past the largest double. */
bool json_double(const struct json_value *value, double *out);

/* ---- an object by a table of its keys ----
 *
 *     static const struct json_field fields[] = {
 *         JSON_MUST("layers", U32, offsetof(struct config, layers), .least = 1, .most = LAYERS_MAX,
 *                   .most_name = "LAYERS_MAX"),
 *         JSON_MAY("act", OWN, offsetof(struct config, act), .own = read_act)};
 *
 * A default is what the target holds before. null is as good as absent, but for JSON_FIELD_ANY and
 * for a function of the caller's that takes it. */

enum json_field_kind {
    JSON_FIELD_ANY,    /* struct json_value, of whatever kind */
    JSON_FIELD_STRING, /* struct json_value: a string without NUL */
    JSON_FIELD_U32,    /* uint32_t, least to most */
    JSON_FIELD_U64,    /* uint64_t, least to most */
    JSON_FIELD_FLOAT,  /* float, low to high */
    JSON_FIELD_BOOL,   /* bool */
    JSON_FIELD_OWN,    /* whatever the function reads */
    JSON_FIELD_UNREAD  /* a key that is known, and whose value changes nothing */
};

struct json_field;
struct json_reading;

/* Reads one member that is present. */
typedef vecmill_status json_field_own(const struct json_reading *reading,
                                      const struct json_field *field,
                                      const struct json_value *value, vecmill_err *err);

/* Looks at a member that the table does not have. */
typedef vecmill_status json_field_other(const struct json_reading *reading,
                                        const struct json_value *key,
                                        const struct json_value *value, vecmill_err *err);

struct json_field {
    const char *key;
    /* A second name of the same member, NULL as a rule. A file may have either, or both with the same
     * text. */
    const char *alias;
    enum json_field_kind kind;
    size_t at; /* offset of what it fills in reading->target */
    bool is_required;
    uint64_t least, most;
    const char
        *most_name; /* of a maximum of ours, said when it is passed; NULL: the file's own range */
    double low, high;
    json_field_own *own;
    const void *detail; /* for `own` */
    bool takes_null;    /* `own` reads null too */
};

#define JSON_MUST(word, of, place, ...)                                                            \
    {                                                                                              \
        .key = word, .kind = JSON_FIELD_##of, .at = place, .is_required = true, __VA_ARGS__        \
    }
#define JSON_MAY(word, of, place, ...)                                                             \
    {                                                                                              \
        .key = word, .kind = JSON_FIELD_##of, .at = place, __VA_ARGS__                             \
    }

struct json_reading {
    const char *name; /* of the file, as messages say it */
    vecmill_status failure;
    void *target;
    json_field_other *other; /* NULL: what the table does not have is passed over */
    void *context;           /* for `own` and `other` */
};

/* Refuses what JSON_FIELD_STRING does, for functions of the caller's. */
vecmill_status json_field_string(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, vecmill_err *err);

/* One pass over the object, then each field in the table's order, so that what is wrong first in
 * the table is said first: "NAME: "layers" is missing", "... is not an integer", "... is 7, outside
 * 1 to 5", "... is 9, LAYERS_MAX is 8". Before that, "NAME: duplicate key "layers"", two names of
 * one member with different values, and whatever `other` refuses. On failure some targets are
 * filled. A value of another kind than an object has no members. */
vecmill_status json_fields(const struct json_value *object, const struct json_field *fields,
                           size_t n, const struct json_reading *reading, vecmill_err *err);

#endif
