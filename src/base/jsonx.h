/* jsonx: JSON read by jansson under our limits.
 *
 * Promises: duplicate keys are refused, NUL inside strings is allowed, depth is bounded by jansson
 * (2,048), trailing bytes are refused, a byte order mark before the text is passed over; an error names the
 * file, line and column. */
#ifndef BASE_JSONX_H
#define BASE_JSONX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* ---- planned memory, for a program of ours that parses models' files ----
 *
 * jansson's allocator is one for the process, so only a program that is all ours may take it over; a
 * library in somebody's program leaves it alone. Once taken over, a document's values lie in one mapping
 * of jsonx_plan_bytes(bytes of text), which is given back when the last of them is released: nothing is
 * left behind in the heap, and a text whose values need more is E_MEMORY that names JSONX_PLAN. One
 * document at a time, one thread. */

/* Bytes for each byte of text. Measured with jansson 2.14, in bytes a member of an object { "key": 5 }:
 * key as read 8, integer 24, pair 64 to 72, hash buckets 32 to 64 with those outgrown, 144 in all for
 * BERT's vocabulary, whose members take 15 bytes of text each: 9 for each byte. Members of a large
 * vocabulary take 12 bytes at the least and 168 in memory: 14; a compact one of some thousand keys of two
 * letters comes to 15. */
#define JSONX_PLAN      16u
#define JSONX_PLAN_BASE (64u << 10) /* small texts, whose objects and arrays weigh more */

static inline size_t jsonx_plan_bytes(size_t text_bytes)
{
    return JSONX_PLAN_BASE + JSONX_PLAN * text_bytes; /* texts are bounded far below an overflow */
}

/* Takes jansson over, before the first document, for the rest of the process. `most` bounds every
 * document's memory beside its plan: for tests; SIZE_MAX. May be called again with another `most`. */
void jsonx_claim(size_t most);

/* ---- reading ---- */

/* Parses bytes. `name` is said in the message ("config.json"). Release with json_decref. */
vecmill_status jsonx_parse(const void *data, size_t bytes, const char *name, vecmill_status failure,
                           json_t **value, vecmill_err *err);

/* The same, but every integer becomes a double, and one past 63 bits is no error: tokenizers' files hold
 * 1000000000000000019884624838656 for "no limit". */
vecmill_status jsonx_parse_wide(const void *data, size_t bytes, const char *name,
                                vecmill_status failure, json_t **value, vecmill_err *err);

/* Bounds what a parse will do before it runs: false when there are more than `most` values, counted by
 * the commas and opening brackets outside strings. */
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
vecmill_status jsonx_u64(const json_t *object, const char *key, bool required, uint64_t least,
                         uint64_t most, const char *name, vecmill_status failure, uint64_t *out,
                         vecmill_err *err); /* as far as JSON's integers go here: up to INT64_MAX */
vecmill_status jsonx_double(const json_t *object, const char *key, bool required, double least,
                            double most, const char *name, vecmill_status failure, double *out,
                            vecmill_err *err);
vecmill_status jsonx_bool(const json_t *object, const char *key, bool required, const char *name,
                          vecmill_status failure, bool *out, vecmill_err *err);
/* Borrowed from the object. */
vecmill_status jsonx_string(const json_t *object, const char *key, bool required, const char *name,
                            vecmill_status failure, const char **out, vecmill_err *err);

#endif
