/* workers: what has become of a pool's workers, by its events; and the words for it.
 *
 * Knows which live, how many died of what, and how much memory they hold. Says a line about each death,
 * but in a storm of thousands at most one a second. Time is that of the events; writes nothing itself.
 * Not locked: report.h's lock covers it. */
#ifndef APP_WORKERS_H
#define APP_WORKERS_H

#include "app_out.h"
#include "vecmill.h"

#define WORKERS_LINES_FIRST 20u         /* deaths that have a line each, however fast they come */
#define WORKERS_LINE_NS     1000000000u /* from then on, between two lines */
#define WORKERS_WORDS_MAX   480u        /* bytes of a line with its NUL */

struct workers {
    uint64_t deaths[VECMILL_CAUSE_COUNT];
    uint64_t unsaid[VECMILL_CAUSE_COUNT]; /* of the deaths: those without a line yet */
    uint64_t n_lines, last_line_ns;
    uint32_t n_live;
    int64_t live[VECMILL_MAX_WORKERS]; /* pids of those that are ready */
};

/* Takes notice of an event. True when there is a line to say about it, in words[WORKERS_WORDS_MAX]. */
bool workers_note(struct workers *w, const vecmill_event *event, char *words);

/* The sum over all causes. */
uint64_t workers_sum(const uint64_t *by_cause);

/* "killed 3, oom 1" into text[WORKERS_WORDS_MAX], which is returned; "" where there is none. */
const char *workers_causes(const uint64_t *by_cause, char *text);

/* The same as a JSON object. */
void workers_json_causes(struct app_out *out, const uint64_t *by_cause);

/* An event of the pool as a JSON object, t_ms since the start of the run. */
void workers_json_event(struct app_out *out, uint64_t t_ms, const vecmill_event *event);

/* Resident bytes of this process and the live workers: what each has for itself, and once what it
 * shares with others (the pack, libraries), where that is largest. 0: unknown. */
uint64_t workers_memory(const struct workers *w);

#endif
