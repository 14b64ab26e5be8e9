/* events: what happened in a run, as JSON lines in a file, each written at once.
 *
 * Every line has t_ms (since the file was opened) and event. A write that fails does not stop the
 * run: events_close tells of it. A closed or never opened file takes events and does nothing. */
#ifndef APP_EVENTS_H
#define APP_EVENTS_H

#include "app.h"

struct events {
    struct app_out out;
    bool is_open;
    uint64_t start_ns;
};

/* Opens `path` (NULL: none) and empties it. E_USAGE when it is one of the job's own files. */
vecmill_status events_open(struct events *events, const char *path, const struct job_options *job,
                           vecmill_err *err);

/* Begins a line; the caller adds keys and values to events->out, then ends it. False: none is kept. */
bool events_begin(struct events *events, const char *event);
void events_end(struct events *events);

/* E_OUTPUT when a line could not be written. NULL-safe and repeatable. */
vecmill_status events_close(struct events *events, vecmill_err *err);

#endif
