/* main: the program vecmill. Reads the command line, runs one command, says in one sentence why it
 * failed, and ends with the exit code of its status. */
#include "app.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Descriptors 0 to 2 that the caller has closed would be given to the next file opened, and messages
 * written into it. They are filled so that use of them still fails: stdin with one that cannot be
 * read, the others with one that cannot be written. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0) return;
    }
}

static vecmill_status show_help(struct app *app, enum command command, vecmill_err *err)
{
    struct buf text;
    buf_init(&text, OPTIONS_HELP_MAX, "OPTIONS_HELP_MAX");
    const vecmill_status status = options_help(command, &text, err);
    if (status == VECMILL_OK) app_put(&app->out, text.data, text.bytes);
    buf_done(&text);
    return status;
}

static vecmill_status dispatch(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    if (o->help) return show_help(app, o->command, err);
    if (o->version) {
        app_print(&app->out, "vecmill %s\n", vecmill_version());
        return VECMILL_OK;
    }
    switch (o->command) {
    case COMMAND_EMBED:
        return cmd_embed(app, err);
    case COMMAND_TOKENIZE:
        return cmd_tokenize(app, err);
    case COMMAND_SEARCH:
        return cmd_search(app, err);
    case COMMAND_MODELS:
        return cmd_models(app, err);
    case COMMAND_PULL:
        return cmd_pull(app, err);
    case COMMAND_DOCTOR:
        return cmd_doctor(app, err);
    case COMMAND_BENCH:
        return cmd_bench(app, err);
    case COMMAND_PLAN:
        return cmd_plan(app, err);
    case COMMAND_MERGE:
        return cmd_merge(app, err);
    case COMMAND_NONE:
        break; /* help or version */
    }
    return err_set(err, VECMILL_E_INTERNAL, "the command %s has no code",
                   options_command_name(o->command));
}

/* For a parent that does not get exit codes, since it ignores SIGCHLD or another part of it waits for all
 * children: the Python package asks for it. */
static void say_exit(int code)
{
    char line[32];
    if (!getenv("VECMILL_SAY_EXIT")) return;
    const int n = snprintf(line, sizeof(line), "vecmill exit %d\n", code);
    (void)io_write(STDERR_FILENO, line, (size_t)n, "standard error", VECMILL_E_OUTPUT, NULL);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    signals_init();
    /* jansson 2.14 does not survive an allocation that fails inside a token; in planned memory none does. */
    jsonx_claim(SIZE_MAX);

    vecmill_err err;
    struct options options;
    struct app app = {.options = &options};
    app_out_init(&app.out, STDOUT_FILENO, "standard output");
    vecmill_status status = options_parse(argc, argv, &options, &err);
    if (status == VECMILL_OK) {
        status = dispatch(&app, &err);
        const bool is_whole = status == VECMILL_OK || status == VECMILL_E_PARTIAL;
        vecmill_err out_err;
        const vecmill_status out_status = app_out_flush(&app.out, &out_err);
        if (is_whole && out_status != VECMILL_OK) {
            status = out_status;
            err = out_err;
        }
    }
    if (status != VECMILL_OK) app_complain(err.message);
    app_out_done(&app.out);
    say_exit(vecmill_status_exit(status));
    return vecmill_status_exit(status);
}
