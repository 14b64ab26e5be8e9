/* main: the program vecmill. Reads the command line, runs one command, says in one sentence why it
 * failed, and ends with the exit code of its status. */
#include "app.h"

static vecmill_status show_help(struct app *app, vecmill_err *err)
{
    struct buf text;
    buf_init(&text, OPTIONS_HELP_MAX, "OPTIONS_HELP_MAX");
    const vecmill_status status = options_help(app->options->command, &text, err);
    if (status == VECMILL_OK) app_put(&app->out, text.data, text.bytes);
    buf_done(&text);
    return status;
}

static vecmill_status show_version(struct app *app, vecmill_err *err)
{
    (void)err;
    app_print(&app->out, "vecmill %s\n", vecmill_version());
    return VECMILL_OK;
}

static const struct {
    enum command command;
    vecmill_status (*run)(struct app *app, vecmill_err *err);
} runs[] = {
    {COMMAND_NONE, show_version},
#define X(identifier, name, ...) {COMMAND_##identifier, cmd_##name},
#include "commands.def"
#undef X
};

int main(int argc, char **argv)
{
    struct app app;
    struct options options;
    vecmill_err err;
    vecmill_status status = app_begin(&app, argc, argv, &options, &err);
    size_t i = 0;
    if (status == VECMILL_OK && options.help) {
        status = show_help(&app, &err);
    } else if (status == VECMILL_OK) {
        while (runs[i].command != options.command)
            i++;
        status = runs[i].run(&app, &err);
    }
    return app_end(&app, status, &err);
}
