/* sink: where rows go, and the files that come with them.
 *
 * An output of a kind with has_ids_file (kinds.h) comes with OUTPUT.ids.jsonl when an id occurs, one
 * with has_offsets with OUTPUT.offsets.npy, one of bytes with OUTPUT.ranges.npy. Every file output comes
 * with OUTPUT.errors.jsonl when a document failed. All are written as parts, which sink_place renames.
 * Promises: rows are whole and in order; after any end, a run can continue from what was synced.
 * Memory is fixed: a buffer for each file. Does not know when to sync.
 *
 * Runs and merges use no other way to an output. So a sink that is no file (a database, whose
 * checkpoint is a transaction) is another body for start, reopen, cut, put, sync, place and drop; what
 * it needs to continue goes into journal_point.cursor. */
#ifndef JOB_SINK_H
#define JOB_SINK_H

#include <stdatomic.h>

#include "journal.h"
#include "kinds.h"
#include "paths.h"

#include "base/base.h"

#define SINK_BUFFER_BYTES ((size_t)64 << 10)

/* All that is written about one document. */
struct sink_row {
    uint64_t index, line;
    const char *id;     /* JSON; NULL: none */
    const char *reason; /* NULL, or why there is no result */
    /* NULL when there is none. Its elements are of the sink's dtype, or floats for a stage. */
    const vecmill_part *part;
};

/* A file being written through a fixed buffer. */
struct sink_file {
    struct io_out out; /* not open: standard output, or no byte has come yet */
    int fd;            /* of `out`, or standard output */
    const char *name;  /* for messages; borrowed */
    char *data;        /* [SINK_BUFFER_BYTES], not yet written */
    size_t used;
    uint64_t total;  /* bytes put, an earlier run's included: the offset of the next one */
    uint64_t synced; /* of `total`, what is on the medium; UINT64_MAX: not known */
    bool waits;      /* not a regular file: its reader may stall */
    /* NULL, or nonzero: stop waiting for that reader, and drop what it would not take. */
    const atomic_int *stop;
};

struct sink {
    const struct paths *paths; /* borrowed while it is open */
    const struct sink_kind *kind;
    uint32_t dim;
    vecmill_dtype dtype;
    uint64_t n_rows;    /* documents */
    uint64_t n_vectors; /* of a kind with offsets: their rows */
    /* [dim, VECMILL_LABEL_BYTES], of scores: vecmill_facts.labels. Set by whoever opened the sink. */
    const char *labels;
    bool index_is_id; /* a document without an id has its index for one (lines of text) */
    struct sink_file files[PATHS_FILES];
    char *scratch; /* a reason, repaired and quoted */
    /* Of a dtype other than float32; else NULL. */
    float *floats;   /* [dim], a row as it comes out of the stage */
    float *ranges;   /* [2, dim], of bytes */
    void *row;       /* a row as it is stored */
    bool has_ranges; /* they are known: given, or those of the stage */
    const atomic_int *stop;
};

/* With the memory for rows of dim floats as dtype; what they are is said again to sink_init. */
void sink_layout(struct sink *s, uint32_t dim, vecmill_dtype dtype, struct arena *a);

/* Call first. stop may be NULL; it ends a wait for the reader of standard output, and an assembly. Opens
 * nothing, but checks standard output. E_OUTPUT. */
vecmill_status sink_init(struct sink *s, const struct paths *paths, uint32_t dim,
                         vecmill_dtype dtype, const atomic_int *stop, vecmill_err *err);

/* Reads the ranges for all rows; *digest is their XXH3, not 0. E_INPUT: they are none, or of another dim. */
vecmill_status sink_read_ranges(struct sink *s, const char *path, uint64_t *digest,
                                vecmill_err *err);

/* Locks the output's part and keeps its content; nothing for standard output. E_OUTPUT, also when
 * another process writes it. */
vecmill_status sink_lock(struct sink *s, vecmill_err *err);
/* Undoes sink_lock. Removes an empty part, which sink_lock may have made, unless it is a mark (see
 * sink_drop). */
void sink_unlock(struct sink *s);
/* Starts at the beginning: empties the locked part and removes what killed runs left. E_OUTPUT. */
vecmill_status sink_start(struct sink *s, vecmill_err *err);

/* Locks the parts that a checkpoint names and checks that none is shorter; changes nothing. Of a
 * complete run, those that are still parts. E_OUTPUT. */
vecmill_status sink_reopen(struct sink *s, const struct journal_point *point, vecmill_err *err);
/* Continues there: cuts the parts to the checkpoint's sizes and removes those it does not name. */
vecmill_status sink_cut(struct sink *s, const struct journal_point *point, vecmill_err *err);

/* Makes of a part of floats the one to put: of the sink's dtype, in memory that the next call uses again.
 * Floats stay as they are, those of a stage too. E_INPUT: one of them has no place in the dtype. */
vecmill_status sink_narrow(struct sink *s, vecmill_part *part, vecmill_err *err);

/* Writes the next document's row, or rows. */
vecmill_status sink_put(struct sink *s, const struct sink_row *row, vecmill_err *err);

/* Appends bytes that another sink wrote to the same file. Errors and ids are created by their first
 * bytes. The caller counts n_rows. */
vecmill_status sink_copy(struct sink *s, enum paths_which which, const void *data, size_t bytes,
                         vecmill_err *err);

/* Gives the reader of standard output what there is; nothing for files. */
vecmill_status sink_flush(struct sink *s, vecmill_err *err);

/* Puts all rows so far onto the medium, then describes the parts in *point. E_OUTPUT. */
vecmill_status sink_sync(struct sink *s, struct journal_point *point, vecmill_err *err);
/* The same after the last row: the parts are final. Of a kind that assembles, the output is made here.
 * E_OUTPUT; E_STOPPED while waiting for the reader of standard output, or assembling; E_USAGE as of
 * kind->assemble. */
vecmill_status sink_finish(struct sink *s, struct journal_point *point, vecmill_err *err);
/* Renames the parts of a finished sink; *placed as of paths_rename. E_OUTPUT. */
vecmill_status sink_place(struct sink *s, const struct journal_point *point, bool *placed,
                          vecmill_err *err);

/* Closes and keeps the parts. */
void sink_leave(struct sink *s);
/* Closes and removes the parts. mark: the user may run this again with --resume. If an older output is
 * in place, an empty part is kept then, so that job_check does not take that output for this run's. */
void sink_drop(struct sink *s, bool mark);

/* ---- for a kind's put ---- */

/* E_OUTPUT, or E_STOPPED when the reader stalls and the stop flag is set. */
vecmill_status sink_write(struct sink_file *f, const void *data, size_t bytes, vecmill_err *err);
vecmill_status sink_write_text(struct sink_file *f, const char *text, vecmill_err *err);
vecmill_status sink_write_u64(struct sink_file *f, uint64_t value, vecmill_err *err);
/* Over bytes that were written before. E_OUTPUT. */
vecmill_status sink_write_over(struct sink_file *f, const void *data, size_t bytes, uint64_t at,
                               vecmill_err *err);
/* A reason as a JSON string. */
vecmill_status sink_write_reason(struct sink *s, struct sink_file *f, const char *reason,
                                 vecmill_err *err);

/* ---- for a kind's assemble ---- */

/* Whether a stop was asked for: E_STOPPED. */
vecmill_status sink_stopped(const struct sink *s, vecmill_err *err);

/* The bytes of the stage at `at`, up to SINK_BUFFER_BYTES of them, in its buffer; valid until the next call.
 * *bytes is what was asked for, all of it. E_OUTPUT: there are fewer. */
vecmill_status sink_read_stage(struct sink *s, uint64_t at, size_t bytes, const void **data,
                               vecmill_err *err);

/* sink_jsonl.c. A float as JSON: the fewest of 7 to 9 digits that read back as the same float32,
 * trailing zeros removed; null for NaN and infinities. Not terminated; returns the bytes. */
#define SINK_FLOAT_MAX 24u
size_t sink_float_text(float value, char out[SINK_FLOAT_MAX]);

#endif
