/* embed: the program's main work, a job over one session. */
#include "app.h"
#include "events.h"
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct run {
    struct progress progress;
    struct events events;
    bool says_failures; /* there is no errors file: tell on stderr */
};

static void on_progress(void *context, const struct job_progress *now)
{
    struct run *run = context;
    progress_tell(&run->progress, now);
}

static void on_failed(void *context, uint64_t index, const char *place, const char *reason)
{
    struct run *run = context;
    if (events_begin(&run->events, "document_failed")) {
        struct app_out *out = &run->events.out;
        app_json_key(out, "index");
        app_json_u64(out, index);
        app_json_key(out, "place");
        app_json_string(out, place);
        app_json_key(out, "reason");
        app_json_string(out, reason);
        events_end(&run->events);
    }
    if (run->says_failures) {
        char message[512];
        (void)snprintf(message, sizeof(message), "%.200s: %.250s", place, reason);
        progress_clear(&run->progress);
        app_complain(message);
    }
}

static void tell_started(struct events *events, const struct options *o,
                         const vecmill_session *session)
{
    if (!events_begin(events, "run_started")) return;
    struct app_out *out = &events->out;
    const vecmill_facts facts = app_facts(session);
    app_json_key(out, "pid");
    app_json_i64(out, getpid());
    app_json_key(out, "version");
    app_json_string(out, vecmill_version());
    app_json_key(out, "model");
    app_json_string(out, o->model);
    app_json_key(out, "input");
    app_json_string(out, o->input);
    app_json_key(out, "output");
    app_json_string(out, o->output);
    app_json_key(out, "isa");
    app_json_string(out, facts.isa);
    app_json_key(out, "dim");
    app_json_u64(out, facts.dim);
    app_json_key(out, "max_length");
    app_json_u64(out, facts.max_length);
    app_json_key(out, "batch_tokens");
    app_json_u64(out, facts.batch_tokens);
    events_end(events);
}

static void tell_finished(struct events *events, const struct job_progress *total,
                          vecmill_status status, const vecmill_err *err)
{
    if (!events_begin(events, "run_finished")) return;
    struct app_out *out = &events->out;
    app_json_key(out, "exit");
    app_json_i64(out, vecmill_status_exit(status));
    app_json_key(out, "reason");
    app_json_string(out, status == VECMILL_OK ? NULL : err->message);
    app_json_key(out, "documents");
    app_json_u64(out, total->documents);
    app_json_key(out, "failed");
    app_json_u64(out, total->failed);
    app_json_key(out, "truncated");
    app_json_u64(out, total->truncated);
    app_json_key(out, "replaced_bytes");
    app_json_u64(out, total->replaced_bytes);
    app_json_key(out, "tokens");
    app_json_u64(out, total->tokens);
    app_json_key(out, "seconds");
    app_json_real(out, (double)total->elapsed_ns / 1e9, 3);
    events_end(events);
}

/* Events are an aside: what is missing of them is told, and never decides the run. */
static void close_events(struct events *events)
{
    vecmill_err err;
    if (events_close(events, &err) == VECMILL_OK) return;
    char message[sizeof(err.message) + 64];
    (void)snprintf(message, sizeof(message), "warning: not all events were kept: %s", err.message);
    app_complain(message);
}

vecmill_status cmd_embed(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct job_options job = app_job_options(o);
    job.output = o->output;
    VM_TRY(job_check(&job, err));

    vecmill_session *session = NULL;
    struct job_progress total = {0};
    struct run run = {.says_failures = strcmp(o->output, "-") == 0};
    VM_TRY(events_open(&run.events, o->events, &job, err));
    progress_init(&run.progress, (enum progress_mode)o->progress);

    vecmill_err why;
    vecmill_status status = app_session_open(o, &session, &why);
    if (status == VECMILL_OK) {
        tell_started(&run.events, o, session);
        const struct job_hooks hooks = {
            .progress = on_progress,
            .failed = on_failed,
            .context = &run,
            .stop = signals_defer(),
        };
        status = job_run(&job, session, &hooks, &total, &why);
    }
    progress_summary(&run.progress, &total, status);
    tell_finished(&run.events, &total, status, &why);
    if (status != VECMILL_OK && err) *err = why;
    progress_done(&run.progress);
    close_events(&run.events);
    vecmill_session_close(session);
    return status;
}
