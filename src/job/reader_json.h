/* reader_json: documents out of JSON that is no JSON Lines: an array, values over several lines,
 * values one after the other.
 *
 * Promises: the elements of arrays at the top, and all other values there, are documents; each is
 * read by itself, so that memory does not depend on how long an array is, and one that is bad
 * inside its brackets costs itself only. Does not know what a document's members are. */
#ifndef JOB_READER_JSON_H
#define JOB_READER_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

struct reader;
struct area;
struct record;

/* The next value as a record. E_INPUT with the line: an array or a value that is never closed, or
 * something between values that is no comma. */
vecmill_status reader_json_next(struct reader *r, struct area *area, struct record *record,
                                bool *end, vecmill_err *err);

/* Of a file's first line: "a JSON array", "JSON over several lines"; NULL: it may be a line of
 * JSON Lines. */
const char *reader_json_over_lines(const char *line, size_t bytes);

#endif
