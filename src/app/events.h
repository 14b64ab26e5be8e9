/* events: what happened in a run, as JSON lines in a file, each written at once.
 *
 * Every line has t_ms (since the file was opened; it never goes back) and event. A write that fails
 * does not stop the run, nor does a reader that stalls hold it up (app_out_set_lossy): events_close says
 * so. A closed or never opened file takes events and does nothing. Not locked: report.h's lock covers
 * it. */
#ifndef APP_EVENTS_H
#define APP_EVENTS_H

#include "app.h"

struct events {
    struct app_out out;
    int fd;
    bool is_open;
    uint64_t start_ns, last_ms;
};

/* Opens `path` (NULL: none) and empties it. E_USAGE when it is one of the job's own files. */
vecmill_status events_open(struct events *events, const char *path, const struct job_options *job,
                           vecmill_err *err);

/* The t_ms of something that was seen at time_ns (clock_ns). What two threads see may come in another
 * order than it was seen in: then the time of the line before counts. */
uint64_t events_ms(struct events *events, uint64_t time_ns);

/* Begins a line; the caller adds keys and values to events->out, then ends it. False: none is kept. */
bool events_begin(struct events *events, const char *event);
void events_end(struct events *events);

/* A line for an event of the pool. */
void events_pool(struct events *events, uint64_t t_ms, const vecmill_event *event);

/* E_OUTPUT when a line could not be written or was dropped. Repeatable. */
vecmill_status events_close(struct events *events, vecmill_err *err);

#endif
