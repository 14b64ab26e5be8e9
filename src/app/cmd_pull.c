/* pull: a model made present, with its progress on stderr. */
#include "app.h"

#include "hub/hub.h"

#include <stdio.h>
#include <unistd.h>

struct fetch_view {
    const struct options *options;
    struct app_out out; /* standard error */
    bool is_terminal;
    bool is_line_open;
    uint64_t said_ns; /* when progress was last shown */
};

static void on_fetch(void *context, const char *file, uint64_t bytes, uint64_t total)
{
    struct fetch_view *f = context;
    const uint64_t now_ns = clock_ns();
    const bool is_end = total > 0 && bytes == total;
    if (!is_end && now_ns - f->said_ns < 200000000u) return;
    f->said_ns = now_ns;

    if (f->options->progress == PROGRESS_JSON) {
        app_json_open(&f->out, '{');
        app_json_key_string(&f->out, "event", "fetch");
        app_json_key_string(&f->out, "file", file);
        app_json_key_u64(&f->out, "bytes", bytes);
        app_json_bytes(&f->out, "total", total > 0 ? total : UINT64_MAX);
        app_json_close(&f->out, '}');
        app_json_line(&f->out);
    } else if (f->is_terminal) {
        char have[APP_NUMBER_BYTES], all[APP_NUMBER_BYTES];
        app_print(&f->out, "\r%.40s %s%s%s\033[K", file, app_megabytes(bytes, have),
                  total > 0 ? " of " : "", total > 0 ? app_megabytes(total, all) : "");
        f->is_line_open = true;
    }
    (void)app_out_flush(&f->out, NULL);
}

vecmill_status app_model_pull(const struct options *o, const char *name, char *dir,
                              vecmill_err *err)
{
    char cache[IO_PATH_MAX];
    VM_TRY(cache_dir(cache, err));
    struct fetch_view f = {
        .options = o,
        .is_terminal = o->progress == PROGRESS_AUTO && isatty(STDERR_FILENO) == 1,
    };
    app_out_init(&f.out, STDERR_FILENO, "standard error");
    app_out_set_lossy(&f.out); /* signals are deferred: a slow reader must not delay them */
    struct hub_env env;
    hub_env_read(&env);
    env.stop = signals_defer();
    vecmill_status status = hub_pull(cache, name, &env, on_fetch, &f, dir, err);
    if (signals_undefer() && status != VECMILL_E_STOPPED)
        status =
            err_set(err, VECMILL_E_STOPPED, "stopped by a signal while %.120s was fetched", name);
    if (f.is_line_open) {
        app_print(&f.out, "\n");
        (void)app_out_flush(&f.out, NULL);
    }
    app_out_done(&f.out);
    return status;
}

vecmill_status cmd_pull(struct app *app, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    VM_TRY(app_model_pull(app->options, app->options->operands[0], dir, err));
    app_print(&app->out, "%s\n", dir);
    return VECMILL_OK;
}
