/* sink: where rows go, with what stands beside them.
 *
 * OUTPUT.npy comes with OUTPUT.npy.ids.jsonl where an id occurs; every file output comes with
 * OUTPUT.errors.jsonl when a document failed. All are written as parts, which finish.h gives their
 * names. Promises: rows are whole, and in order; what was synced can be gone on from after any end.
 * Does not know when to sync, nor what becomes of the parts. */
#ifndef JOB_SINK_H
#define JOB_SINK_H

#include "journal.h"
#include "outbuf.h"
#include "paths.h"

#include "base/base.h"

/* Everything about one document that is written. */
struct sink_row {
    uint64_t index, line;
    const char *id;      /* JSON; NULL: none */
    const char *reason;  /* NULL, or why there is no vector */
    const float *vector; /* [dim]; zeros when it failed, which JSON has no use for */
};

struct sink_file {
    struct io_out out; /* not open: standard output, or no byte has come yet */
    struct outbuf buf;
    uint64_t synced; /* of buf.total, what is on the medium; UINT64_MAX: not known */
};

struct sink {
    const struct paths *paths; /* borrowed while it is open */
    uint32_t dim;
    uint64_t n_rows;
    bool counts; /* documents have no ids but their indices: lines of text */
    struct sink_file files[PATHS_FILES];
    char *scratch; /* a reason repaired and quoted */
};

void sink_layout(struct sink *s, struct arena *a);

/* First of all. stop, which may be NULL, ends a wait for the reader of standard output. Opens nothing,
 * but looks at standard output. E_OUTPUT. */
vecmill_status sink_init(struct sink *s, const struct paths *paths, uint32_t dim,
                         const atomic_int *stop, vecmill_err *err);

/* Locks the output's part, with what it holds; none for standard output. E_OUTPUT, also when another
 * process writes it. */
vecmill_status sink_lock(struct sink *s, vecmill_err *err);
/* Gives the lock back; an empty part, which sink_lock may have made, goes, unless it is a mark as of
 * sink_drop. */
void sink_unlock(struct sink *s);
/* From the beginning: empties what is locked, and removes what killed runs left. E_OUTPUT. */
vecmill_status sink_start(struct sink *s, vecmill_err *err);

/* Locks the parts that a checkpoint tells of, and checks that they are there in full; changes nothing. Of a
 * complete run those that are still parts. E_OUTPUT. */
vecmill_status sink_reopen(struct sink *s, const struct journal_point *point, vecmill_err *err);
/* From there on: cuts them to what the checkpoint tells, and removes those it does not tell of. */
vecmill_status sink_cut(struct sink *s, const struct journal_point *point, vecmill_err *err);

/* The next row; rows come in order. */
vecmill_status sink_put(struct sink *s, const struct sink_row *row, vecmill_err *err);

/* Bytes of one of the files as another sink wrote them; errors and ids come to be with their first. The
 * caller counts n_rows. */
vecmill_status sink_copy(struct sink *s, enum paths_file which, const void *data, size_t bytes,
                         vecmill_err *err);

/* The reader of standard output gets what there is. */
vecmill_status sink_flush(struct sink *s, vecmill_err *err);

/* All rows so far onto the medium, and what the parts are then into *point. E_OUTPUT. */
vecmill_status sink_sync(struct sink *s, struct journal_point *point, vecmill_err *err);
/* The same behind the last row: the parts are final. E_OUTPUT; E_STOPPED while the reader of standard
 * output is waited for. */
vecmill_status sink_finish(struct sink *s, struct journal_point *point, vecmill_err *err);

/* Closes; the parts stay. */
void sink_leave(struct sink *s);
/* Closes and removes the parts. mark: another run may go on where this one ends; then, where an output is
 * in place, which is an earlier run's, the output's part stays, empty, so that job_check does not take
 * that output for this run's. */
void sink_drop(struct sink *s, bool mark);

#endif
