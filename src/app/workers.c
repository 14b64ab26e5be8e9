/* workers: counting deaths, choosing words, adding up memory. */
#include "workers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- counting ---- */

/* False when it never was ready. */
static bool remove_live(struct workers *w, int64_t pid)
{
    for (uint32_t i = 0; i < w->n_live; i++) {
        if (w->live[i] != pid) continue;
        w->live[i] = w->live[--w->n_live];
        return true;
    }
    return false;
}

uint64_t workers_sum(const uint64_t *by_cause)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < VECMILL_CAUSE_COUNT; i++)
        sum += by_cause[i];
    return sum;
}

/* ---- words ---- */

const char *workers_causes(const uint64_t *by_cause, char *text)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < VECMILL_CAUSE_COUNT; i++) {
        if (by_cause[i] == 0) continue;
        const int n =
            snprintf(text + used, WORKERS_WORDS_MAX - used, "%s%s %llu", used > 0 ? ", " : "",
                     cause_word((vecmill_cause)i), (unsigned long long)by_cause[i]);
        used += (size_t)n;
        if (used >= WORKERS_WORDS_MAX) break; /* thirteen causes of 20 digits each are below it */
    }
    return text;
}

static void say_death(const vecmill_event *e, bool was_ready, char *words)
{
    char cause[32], batch[96];
    if (e->cause == VECMILL_CAUSE_EXIT)
        (void)snprintf(cause, sizeof(cause), "exit, code %d", e->code);
    else if (e->cause == VECMILL_CAUSE_SIGNAL)
        (void)snprintf(cause, sizeof(cause), "signal %d", e->code);
    else
        (void)snprintf(cause, sizeof(cause), "%s", cause_word(e->cause));

    if (!was_ready)
        (void)snprintf(batch, sizeof(batch), "before it was ready");
    else if (e->n_docs == 0)
        (void)snprintf(batch, sizeof(batch), "between batches; another is started");
    else if (e->n_docs > 1)
        (void)snprintf(batch, sizeof(batch),
                       "with a batch of %u documents; they are computed again", e->n_docs);
    else if (e->deaths <= 1)
        (void)snprintf(batch, sizeof(batch), "with a batch of 1 document");
    else
        (void)snprintf(batch, sizeof(batch), "with a batch of 1 document, as %u before it",
                       e->deaths - 1);
    (void)snprintf(words, WORKERS_WORDS_MAX, "worker %lld died (%s) %s", (long long)e->pid, cause,
                   batch);
}

/* One line for one death, while they are few; else one for all that had none. */
static bool note_death(struct workers *w, const vecmill_event *e, char *words)
{
    const bool was_ready = remove_live(w, e->pid);
    w->deaths[e->cause]++;
    w->unsaid[e->cause]++;
    const uint64_t n_unsaid = workers_sum(w->unsaid);
    if (w->n_lines >= WORKERS_LINES_FIRST && e->time_ns - w->last_line_ns < WORKERS_LINE_NS)
        return false;
    if (n_unsaid == 1) {
        say_death(e, was_ready, words);
    } else {
        char causes[WORKERS_WORDS_MAX];
        (void)snprintf(words, WORKERS_WORDS_MAX, "%llu more workers died: %.400s",
                       (unsigned long long)n_unsaid, workers_causes(w->unsaid, causes));
    }
    memset(w->unsaid, 0, sizeof(w->unsaid));
    w->n_lines++;
    w->last_line_ns = e->time_ns;
    return true;
}

bool workers_note(struct workers *w, const vecmill_event *event, char *words)
{
    switch (event->kind) {
    case VECMILL_WORKER_READY:
        if (w->n_live < VECMILL_MAX_WORKERS) w->live[w->n_live++] = event->pid;
        return false;
    case VECMILL_WORKER_DIED:
        return note_death(w, event, words);
    case VECMILL_WORKER_LOST:
        (void)remove_live(w, event->pid);
        (void)snprintf(words, WORKERS_WORDS_MAX,
                       "worker %lld does not end by SIGKILL, it hangs in the kernel; written off",
                       (long long)event->pid);
        return true;
    case VECMILL_BATCH_STARTED:
    case VECMILL_BATCH_REQUEUED:
        return false;
    }
    return false;
}

/* ---- JSON ---- */

void workers_json_causes(struct app_out *out, const uint64_t *by_cause)
{
    app_json_open(out, '{');
    for (size_t i = 0; i < VECMILL_CAUSE_COUNT; i++) {
        if (by_cause[i] == 0) continue;
        app_json_key(out, cause_word((vecmill_cause)i));
        app_json_u64(out, by_cause[i]);
    }
    app_json_close(out, '}');
}

static void json_pid(struct app_out *out, const vecmill_event *e)
{
    app_json_key_i64(out, "pid", e->pid);
}

static void json_batch(struct app_out *out, const vecmill_event *e)
{
    app_json_key_u64(out, "documents", e->n_docs);
    app_json_key_u64(out, "deaths", e->deaths);
}

void workers_json_event(struct app_out *out, uint64_t t_ms, const vecmill_event *event)
{
    static const char *const names[] = {
        [VECMILL_WORKER_READY] = "worker_ready",     [VECMILL_WORKER_DIED] = "worker_died",
        [VECMILL_WORKER_LOST] = "worker_lost",       [VECMILL_BATCH_STARTED] = "batch_started",
        [VECMILL_BATCH_REQUEUED] = "batch_requeued",
    };
    app_json_open(out, '{');
    app_json_key_u64(out, "t_ms", t_ms);
    app_json_key_string(out, "event", names[event->kind]);
    switch (event->kind) {
    case VECMILL_WORKER_READY:
    case VECMILL_WORKER_LOST:
        json_pid(out, event);
        break;
    case VECMILL_WORKER_DIED:
        json_pid(out, event);
        app_json_key_string(out, "cause", cause_word(event->cause));
        if (event->cause == VECMILL_CAUSE_EXIT || event->code > 0) {
            app_json_key(out, event->cause == VECMILL_CAUSE_EXIT ? "exit_code" : "signal");
            app_json_i64(out, event->code);
        }
        json_batch(out, event);
        break;
    case VECMILL_BATCH_STARTED:
    case VECMILL_BATCH_REQUEUED:
        app_json_key_u64(out, "first", event->first);
        json_batch(out, event);
        break;
    }
    app_json_close(out, '}');
}

/* ---- memory ---- */

/* Pages of /proc/PID/statm: all that are resident, and those of them that a file backs. */
static bool read_statm(const char *path, uint64_t *resident, uint64_t *shared)
{
    char text[128]; /* seven numbers */
    size_t got = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const vecmill_status status =
        io_read(fd, text, sizeof(text) - 1, &got, path, VECMILL_E_IO, NULL);
    (void)close(fd);
    text[got] = 0;
    char *second, *third, *end;
    (void)strtoull(text, &second, 10);
    const unsigned long long r = strtoull(second, &third, 10);
    const unsigned long long s = strtoull(third, &end, 10);
    if (status != VECMILL_OK || end == third || s > r) return false;
    *resident = r;
    *shared = s;
    return true;
}

uint64_t workers_memory(const struct workers *w)
{
    uint64_t own = 0, most_shared = 0;
    for (uint32_t i = 0; i <= w->n_live; i++) {
        char path[48] = "/proc/self/statm";
        uint64_t resident, shared;
        if (i > 0)
            (void)snprintf(path, sizeof(path), "/proc/%lld/statm", (long long)w->live[i - 1]);
        if (!read_statm(path, &resident, &shared)) continue; /* it has just died */
        own += resident - shared;
        if (shared > most_shared) most_shared = shared;
    }
    return (own + most_shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}
