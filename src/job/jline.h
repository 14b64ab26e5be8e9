/* jline: one JSON text of somebody's data, a line or a value, and up to three members of it.
 *
 * Promises what base/json.h does of a lenient text: also NaN, Infinity and -Infinity are values,
 * and bytes above 7F in strings are not checked: what is no UTF-8 is replaced where text is read. A
 * line of any content costs no memory besides its own bytes. */
#ifndef JOB_JLINE_H
#define JOB_JLINE_H

#include <stddef.h>

#include "base/base.h"

struct jline {
    struct json_value top;
    struct json_value field, query, id; /* members of the top object; JSON_KIND_ABSENT elsewhere */
};

/* Reads `bytes` of data whole. field, query_field (NULL: none) and id_field are names of members,
 * compared after decoding.
 * E_INPUT: it is no JSON; line->id is then the id where it is whole before the fault, all else is
 * absent. */
vecmill_status jline_scan(const char *data, size_t bytes, const char *field,
                          const char *query_field, const char *id_field, struct jline *line,
                          vecmill_err *err);

#endif
