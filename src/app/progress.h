/* progress: how far a run is, and what happens to its workers, for a person or a program.
 *
 * On a terminal one line that is rewritten (documents, tokens/s, time left, memory); as JSON an object
 * a line; both on stderr. At the end a summary, also where stderr is no terminal. With PROGRESS_NONE
 * nothing at all. Whoever reads stderr cannot hold it up (app_out_set_lossy). Allocates nothing after
 * progress_init. Not locked: report.h's lock covers it. */
#ifndef APP_PROGRESS_H
#define APP_PROGRESS_H

#include "app.h"
#include "workers.h"

struct progress {
    enum progress_mode mode;
    bool is_terminal;
    bool is_line_open; /* the cursor is after a line that is not ended */
    uint64_t said_ns;
    uint64_t peak_bytes;   /* the most memory that was seen */
    const char *precision; /* in force, for the summary; NULL: no run was started */
    struct workers workers;
    struct app_out out;
};

/* In place, to fd, which is stderr; pair: progress_done. */
void progress_init(struct progress *p, enum progress_mode mode, int fd);
void progress_done(struct progress *p);

/* Tells at most five times a second. */
void progress_tell(struct progress *p, const struct job_progress *now);

/* A sentence of at most APP_SENTENCE_MAX for people, between the progress. */
void progress_notice(struct progress *p, const char *sentence);

/* Takes notice of an event of the pool, and says it when it is a worker's end. */
void progress_pool(struct progress *p, uint64_t t_ms, const vecmill_event *event);

/* The same in words, whatever the mode. */
void progress_complain(struct progress *p, const char *sentence);

/* The last word about a run, with the counters it reached: as JSON however it ended, as text only when
 * the output is there (else the sentence that says why it is not comes in its place), but the workers
 * that died in any case. While the workers live, so that their memory is seen. */
void progress_summary(struct progress *p, const struct job_progress *total,
                      const vecmill_pool_counts *counts, vecmill_status status);

#endif
