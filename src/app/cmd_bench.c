/* bench: becomes the program vecmill-bench, which reads the same command line. */
#include "app.h"

#include <errno.h>
#include <unistd.h>

vecmill_status cmd_bench(struct app *app, vecmill_err *err)
{
    char path[IO_PATH_MAX], self[IO_PATH_MAX];
    VM_TRY(child_find("vecmill-bench", path, VECMILL_E_INTERNAL, err));
    /* It starts this program to time the start, and finds its path in its own name. */
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = 0;
        app->argv[0] = self;
    }
    (void)execv(path, app->argv);
    return err_sys(err, VECMILL_E_INTERNAL, errno, "%s cannot be started", path);
}
