/* sink: where rows go, with what stands beside them.
 *
 * OUTPUT.npy comes with OUTPUT.npy.ids.jsonl where an id occurs; every file output comes with
 * OUTPUT.errors.jsonl when a document failed. Promises: nothing appears under its name before the run
 * is whole; errors, ids and output are renamed in that order; then files of those names from an
 * earlier run that do not belong to this one are removed; a failure leaves nothing new. */
#ifndef JOB_SINK_H
#define JOB_SINK_H

#include "job.h"
#include "outbuf.h"

#include "base/base.h"

/* Everything about one document that is written. */
struct sink_row {
    uint64_t index, line;
    const char *id;      /* JSON; NULL: none */
    const char *reason;  /* NULL, or why there is no vector */
    const float *vector; /* [dim]; zeros when it failed */
};

/* A file that is opened when its first byte comes. */
struct sink_side {
    char path[IO_PATH_MAX]; /* "": not wanted */
    struct io_out out;
    struct outbuf buf;
    bool placed; /* renamed into place */
};

struct sink {
    bool npy;      /* else lines of JSON */
    bool standard; /* standard output */
    uint32_t dim;
    uint64_t n_rows;
    struct io_out out;
    struct outbuf buf;
    struct sink_side ids, errors;
    char *scratch; /* a reason repaired and quoted */
};

void sink_layout(struct sink *s, struct arena *a);

/* Opens the output. Checks as paths_check does. stop, which may be NULL, ends a wait for the reader
 * of standard output. E_USAGE, E_OUTPUT. */
vecmill_status sink_open(struct sink *s, const struct job_options *options, uint32_t dim,
                         const atomic_int *stop, vecmill_err *err);

/* The next row; rows come in order. */
vecmill_status sink_put(struct sink *s, const struct sink_row *row, vecmill_err *err);

/* Between windows: a reader of standard output gets what there is. */
vecmill_status sink_flush(struct sink *s, vecmill_err *err);

/* Places all files, or none; a failure behind the last rename leaves them in place. Closed in every
 * case. E_OUTPUT; E_STOPPED while the reader of standard output is waited for. */
vecmill_status sink_commit(struct sink *s, vecmill_err *err);
void sink_drop(struct sink *s);

#endif
