/* progress: telling a person or a program how far a run is.
 *
 * On a terminal one line that is rewritten (documents, tokens/s, time left, memory); as JSON an object
 * a line; both on stderr. At the end a summary, also where stderr is no terminal. With PROGRESS_NONE
 * nothing at all. Allocates nothing after progress_init. */
#ifndef APP_PROGRESS_H
#define APP_PROGRESS_H

#include "app.h"

struct progress {
    enum progress_mode mode;
    bool is_terminal;
    bool is_line_open; /* the cursor stands behind a line that is not ended */
    uint64_t said_ns;
    struct app_out out;
};

/* In place; pair: progress_done. */
void progress_init(struct progress *p, enum progress_mode mode);
void progress_done(struct progress *p);

/* Tells at most five times a second. */
void progress_tell(struct progress *p, const struct job_progress *now);

/* Removes the line that is being rewritten, so that a message can be printed. */
void progress_clear(struct progress *p);

/* The last word about a run, with the counters it reached: as JSON however it ended, as text only when
 * the output is there (else the sentence that says why it is not comes in its place). */
void progress_summary(struct progress *p, const struct job_progress *total, vecmill_status status);

#endif
