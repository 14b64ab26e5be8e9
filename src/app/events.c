/* events: opening, telling and closing. Memory is taken once, before the run. */
#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The longest line is a failed document: its place and reason are at most IO_PATH_MAX and 252 bytes,
 * each byte six when escaped. Taken once, before the run. */
#define EVENTS_LINE_MAX 32768u

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
    e.out.status = buf_reserve(&e.out.buf, EVENTS_LINE_MAX, &e.out.err);
    e.is_open = true;
    *events = e;
    return VECMILL_OK;
}

bool events_begin(struct events *events, const char *event)
{
    if (!events->is_open) return false;
    app_json_open(&events->out, '{');
    app_json_key(&events->out, "t_ms");
    app_json_u64(&events->out, (clock_ns() - events->start_ns) / 1000000u);
    app_json_key(&events->out, "event");
    app_json_string(&events->out, event);
    return true;
}

void events_end(struct events *events)
{
    app_json_close(&events->out, '}');
    app_json_line(&events->out);
    (void)app_out_flush(&events->out, NULL);
}

vecmill_status events_close(struct events *events, vecmill_err *err)
{
    if (!events->is_open) return VECMILL_OK;
    vecmill_status status = app_out_flush(&events->out, err);
    if (close(events->out.fd) != 0 && status == VECMILL_OK)
        status = err_sys(err, VECMILL_E_OUTPUT, errno, "%s cannot be written", events->out.name);
    app_out_done(&events->out);
    events->is_open = false;
    return status;
}
