/* report: what a run of embed says, in the file of events and on stderr.
 *
 * Two threads report: the one that runs the job, and the pool's, which reports its workers at once, also
 * while the first waits for documents. One lock covers all that is written, so that lines stay whole
 * and the line on a terminal is cleared before another; it is never held while the pool or the job is
 * called, and, since the pool's thread waits for it, never for long: see app_out_set_lossy. */
#ifndef APP_REPORT_H
#define APP_REPORT_H

#include "app.h"
#include "events.h"
#include "progress.h"

#include <pthread.h>

struct report {
    pthread_mutex_t lock; /* of all below */
    struct events events;
    struct progress progress;
    bool says_failures; /* there is no errors file: failures go to stderr */
    bool is_over;       /* the summary was written: the ends of workers are no news any more */
};

/* In place, and not moved from then on; pair: report_close. E_USAGE, E_OUTPUT: --events. */
vecmill_status report_open(struct report *r, const struct options *o, const struct job_options *job,
                           vecmill_err *err);
/* Warns when not all events were kept: they are lossy, and never decide a run. */
void report_close(struct report *r);

/* vecmill_pool_options.on_event and job_hooks; context is the report. */
void report_pool(void *context, const vecmill_event *event);
void report_progress(void *context, const struct job_progress *now);
void report_failed(void *context, uint64_t index, const char *place, const char *reason);
void report_notice(void *context, const char *sentence);

void report_started(struct report *r, const struct options *o, vecmill_pool *pool);

/* The end: the summary and run_finished. pool: NULL when none was opened, else still open; why: of a
 * status other than OK. */
void report_finished(struct report *r, const struct job_progress *total, vecmill_pool *pool,
                     vecmill_status status, const vecmill_err *why);

/* The end when the output had been complete before: a sentence, as JSON the summary, and run_finished. */
void report_unneeded(struct report *r, const char *sentence);

/* Whether a run that fits leaves less of its limit than its pack has, and then the sentence that says so. */
bool report_tight_cache(const vecmill_plan *plan, char sentence[APP_SENTENCE_MAX]);

#endif
