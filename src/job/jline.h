/* jline: one JSON text, checked where it lies.
 *
 * Promises: RFC 8259 to the letter, and the NaN, Infinity and -Infinity that Python's json writes;
 * nothing is allocated and nothing copied, so that a line of any content costs no memory beyond its own
 * bytes; numbers keep their digits. Bytes above 7F are allowed inside strings only and are not checked
 * further: what is no UTF-8 is replaced where text is read.
 * base/jsonx.h reads whole files of ours into trees; this reads millions of lines of others'. */
#ifndef JOB_JLINE_H
#define JOB_JLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define JLINE_DEPTH_MAX 64u /* arrays and objects inside each other */

enum jline_kind {
    JLINE_ABSENT,
    JLINE_NULL,
    JLINE_BOOLEAN,
    JLINE_NUMBER,
    JLINE_NONFINITE, /* NaN, Infinity, -Infinity: no JSON, but read */
    JLINE_STRING,
    JLINE_ARRAY,
    JLINE_OBJECT
};

/* "a number", "an object"; static. */
const char *jline_kind_words(enum jline_kind kind);

struct jline_value {
    enum jline_kind kind;
    const char *raw; /* in the line, quotes included */
    size_t bytes;
};

struct jline {
    struct jline_value top;
    struct jline_value field, id; /* members of the top object; JLINE_ABSENT elsewhere */
};

/* Reads `bytes` of data whole. field and id_field are names of members, compared after decoding. E_INPUT:
 * it is no JSON; line->id is then the id where it is whole before the fault, all else is absent. */
vecmill_status jline_scan(const char *data, size_t bytes, const char *field, const char *id_field,
                          struct jline *line, vecmill_err *err);

/* The text of a JLINE_STRING, at most value->bytes - 2 of it; out may be value->raw itself or lie
 * before it. Returns the bytes written. Halves of surrogate pairs that stand alone become U+FFFD and
 * their escapes' bytes are added to *replaced. */
size_t jline_decode(const struct jline_value *value, char *out, uint64_t *replaced);

#endif
