/* run: what the files of one run share: job.c opens and ends it, begin.c decides where it begins, flow.c
 * moves its documents, and here is what is between them. */
#ifndef JOB_RUN_H
#define JOB_RUN_H

#include "job.h"
#include "journal.h"
#include "paths.h"
#include "pending.h"
#include "reader.h"
#include "sink.h"

struct run {
    const struct job_options *options;
    const struct job_hooks *hooks;
    vecmill_pool *pool;
    vecmill_facts facts;
    struct paths paths;
    struct reader reader;
    struct sink sink;
    struct job_progress progress;
    struct reader_point written; /* the input behind the last row written */
    uint64_t started_ns;

    struct journal_run id;
    struct journal journal;     /* its fd is -1 where the run has none */
    struct journal_point saved; /* the last checkpoint that is on the medium */
    uint64_t saved_ns, saved_batches;
    uint64_t reported_ns, flushed_ns;

    struct pending pending;
    struct area area; /* of the record that is being read */
    bool holds;       /* `record` was read, and there was no room for it yet */
    struct record record;
    struct reader_point after; /* where the one behind it begins */
    bool ended;                /* nothing more will be read, for the reason of `end` */
    vecmill_err end;           /* status OK: the input is at its end */
    bool is_suspect;           /* its pack is damaged: nothing of it is kept */
    bool broken;               /* the work done while the input was waited for failed */
    bool is_refused;           /* the input has been read, and holds no document */
    float *vector, *zeros;     /* [dim] */
    void *reader_memory;
    size_t memory_bytes; /* of the piece that this begins */
};

/* begin.c. Decides whether the run starts afresh or goes on from a journal, and opens its output. *whole:
 * all documents are done, and only the names are to be changed. On failure everything is as it was
 * before, unless the run was one that starts afresh. */
vecmill_status run_begin(struct run *run, bool *whole, vecmill_err *err);

/* flow.c. Moves documents from the input to the output until one of them ends, or a stop is asked for
 * (E_STOPPED: what could be finished has been written). */
vecmill_status run_flow(struct run *run, vecmill_err *err);

/* save.c. A checkpoint behind the last row written; `complete`: the parts are final. */
vecmill_status run_save(struct run *run, bool complete, vecmill_err *err);
/* The same if one is due. */
vecmill_status run_save_if_due(struct run *run, vecmill_err *err);

bool run_is_stopped(const struct run *run);
/* A sentence for the one who watches, if anybody does. */
void run_notice(const struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void run_measure(struct run *run);
void run_report(struct run *run);

#endif
