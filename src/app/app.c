/* app: what a program does before its command and after it. */
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

/* For a parent that does not get exit codes, since it ignores SIGCHLD or another part of it waits for all
 * children: the Python package asks for it. */
static void say_exit(int code)
{
    char line[32];
    if (!getenv("VECMILL_SAY_EXIT")) return;
    const int n = snprintf(line, sizeof(line), "vecmill exit %d\n", code);
    (void)io_write(STDERR_FILENO, line, (size_t)n, "standard error", VECMILL_E_OUTPUT, NULL);
}

vecmill_status app_begin(struct app *app, int argc, char **argv, struct options *options,
                         vecmill_err *err)
{
    fill_standard_descriptors();
    signals_init();
    *app = (struct app){.options = options, .argv = argv};
    app_out_init(&app->out, STDOUT_FILENO, "standard output");
    return options_parse(argc, argv, options, err);
}

int app_end(struct app *app, vecmill_status status, vecmill_err *err)
{
    vecmill_err out_err;
    const vecmill_status out_status = app_out_flush(&app->out, &out_err);
    if ((status == VECMILL_OK || status == VECMILL_E_PARTIAL) && out_status != VECMILL_OK) {
        status = out_status;
        *err = out_err;
    }
    if (status != VECMILL_OK) app_complain(err->message);
    app_out_done(&app->out);
    say_exit(vecmill_status_exit(status));
    return vecmill_status_exit(status);
}
