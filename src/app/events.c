/* events: memory is taken once, before the run. */
#include "events.h"

#include "workers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The longest line, run_started: the paths of model, input and output, and keys and numbers. Taken once,
 * before the run, and twice: before a line is what a slow reader has not taken of another. */
#define EVENTS_LINE_MAX (3u * APP_JSON_ROOM(IO_PATH_MAX) + 2048u)

vecmill_status events_open(struct events *events, const char *path, const struct job_options *job,
                           vecmill_err *err)
{
    struct events e = {.start_ns = clock_ns()};
    if (!path) {
        *events = e;
        return VECMILL_OK;
    }
    if (job_is_own_path(job, path))
        return err_set(err, VECMILL_E_USAGE,
                       "--events %s is also a file that the run itself reads or writes", path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0) return err_sys(err, VECMILL_E_OUTPUT, errno, "%s cannot be written", path);
    app_out_init(&e.out, fd, path);
    app_out_set_lossy(&e.out);
    e.out.status = buf_reserve(&e.out.buf, 2 * EVENTS_LINE_MAX, &e.out.err);
    e.fd = fd;
    e.is_open = true;
    *events = e;
    return VECMILL_OK;
}

uint64_t events_ms(struct events *events, uint64_t time_ns)
{
    const uint64_t last_ns = events->start_ns + events->last_ms * 1000000u;
    if (time_ns > last_ns) events->last_ms = (time_ns - events->start_ns) / 1000000u;
    return events->last_ms;
}

bool events_begin(struct events *events, const char *event)
{
    if (!events->is_open) return false;
    app_json_open(&events->out, '{');
    app_json_key_u64(&events->out, "t_ms", events_ms(events, clock_ns()));
    app_json_key_string(&events->out, "event", event);
    return true;
}

void events_end(struct events *events)
{
    app_json_close(&events->out, '}');
    app_json_line(&events->out);
    (void)app_out_flush(&events->out, NULL);
}

void events_pool(struct events *events, uint64_t t_ms, const vecmill_event *event)
{
    if (!events->is_open) return;
    workers_json_event(&events->out, t_ms, event);
    app_json_line(&events->out);
    (void)app_out_flush(&events->out, NULL);
}

vecmill_status events_close(struct events *events, vecmill_err *err)
{
    if (!events->is_open) return VECMILL_OK;
    struct app_out *out = &events->out;
    vecmill_status status = app_out_flush(out, err);
    const uint64_t n_dropped = out->n_dropped + (out->buf.bytes > 0);
    if (close(events->fd) != 0 && status == VECMILL_OK)
        status = err_sys(err, VECMILL_E_OUTPUT, errno, "%s cannot be written", out->name);
    if (n_dropped > 0 && status == VECMILL_OK)
        status = err_set(err, VECMILL_E_OUTPUT,
                         "%.160s: %llu were dropped, since its reader did not take them in %u ms",
                         out->name, (unsigned long long)n_dropped, APP_LOSSY_MS);
    app_out_done(out);
    events->is_open = false;
    return status;
}
