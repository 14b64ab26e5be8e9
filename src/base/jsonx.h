/* jsonx: JSON read by jansson under our limits.
 *
 * Promises: duplicate keys are refused, NUL inside strings is allowed, depth is bounded by jansson
 * (2,048), trailing bytes are refused; an error names the file, line and column. */
#ifndef BASE_JSONX_H
#define BASE_JSONX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Parses bytes. `name` is said in the message ("config.json"). Release with json_decref. */
vecmill_status jsonx_parse(const void *data, size_t bytes, const char *name, vecmill_status failure,
                           json_t **value, vecmill_err *err);

/* The same, but every integer becomes a double, and one past 63 bits is no error: tokenizers' files hold
 * 1000000000000000019884624838656 for "no limit". */
vecmill_status jsonx_parse_wide(const void *data, size_t bytes, const char *name,
                                vecmill_status failure, json_t **value, vecmill_err *err);

/* Bounds what a parse will allocate before it runs, about 100 bytes a value: false when there are more
 * than `most` values, counted by the commas and opening brackets outside strings. */
bool jsonx_few_values(const void *data, size_t bytes, size_t most);

/* Reads and parses a file of at most `most` bytes. */
vecmill_status jsonx_read_file(const char *path, size_t most, vecmill_status missing,
                               vecmill_status failure, json_t **value, vecmill_err *err);

/* Typed members of an object. Absent: *out untouched and OK when `required` is false. Present with a
 * wrong type, or out of [least, most]: `failure`, and the message names file, key and value.
 * JSON null counts as absent. */
vecmill_status jsonx_u32(const json_t *object, const char *key, bool required, uint32_t least,
                         uint32_t most, const char *name, vecmill_status failure, uint32_t *out,
                         vecmill_err *err);
vecmill_status jsonx_double(const json_t *object, const char *key, bool required, double least,
                            double most, const char *name, vecmill_status failure, double *out,
                            vecmill_err *err);
vecmill_status jsonx_bool(const json_t *object, const char *key, bool required, const char *name,
                          vecmill_status failure, bool *out, vecmill_err *err);
/* Borrowed from the object. */
vecmill_status jsonx_string(const json_t *object, const char *key, bool required, const char *name,
                            vecmill_status failure, const char **out, vecmill_err *err);

/* Writes text as a JSON string with its quotes: valid UTF-8 stays, control characters, quote and
 * backslash are escaped. out has room for 6 * bytes + 2. Returns the bytes written. */
size_t jsonx_quote(const char *text, size_t bytes, char *out);

#endif
