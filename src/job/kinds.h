/* kinds: the output formats, each a row of a table.
 *
 * To add one: write a file that defines its struct sink_kind, and add a line to SINK_KINDS. No other
 * file asks which format it is. */
#ifndef JOB_KINDS_H
#define JOB_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

struct sink;
struct sink_row;

/* X(NAME, name). The position is the number in OUTPUT.journal: add at the end, never reorder. */
#define SINK_KINDS(X)                                                                              \
    X(JSONL, jsonl) /* sink_jsonl.c */                                                             \
    X(NPY, npy)     /* npy.c */

enum sink_format {
#define SINK_FORMAT(NAME, name) SINK_##NAME,
    SINK_KINDS(SINK_FORMAT)
#undef SINK_FORMAT
        SINK_FORMATS
};

#define SINK_HEADER_MAX 128u

/* An output format: a header of fixed size, then rows. */
struct sink_kind {
    const char *word;   /* in OUTPUT.shard.json */
    const char *ending; /* of the output's name */
    bool has_ids_file;  /* ids go into OUTPUT.ids.jsonl, not into the rows */
    /* The header of a file of n rows into out[SINK_HEADER_MAX]; returns its bytes, the same number for
     * any n. NULL: there is none. */
    size_t (*header)(uint64_t n, uint32_t dim, char *out);
    /* Bytes of each row. NULL: a row is a line of text. */
    size_t (*row_bytes)(uint32_t dim);
    /* Writes one row to s->files[PATHS_OUTPUT]. */
    vecmill_status (*put)(struct sink *s, const struct sink_row *row, vecmill_err *err);
};

extern const struct sink_kind *const sink_kinds[SINK_FORMATS];

/* The format that an output's name asks for; "-" is JSON lines. E_USAGE. */
vecmill_status sink_kind_choose(const char *output, enum sink_format *format, vecmill_err *err);

/* Whether a finished output of `rows` rows can have this many bytes. */
bool sink_kind_fits(enum sink_format format, uint64_t rows, uint32_t dim, uint64_t bytes);

#endif
