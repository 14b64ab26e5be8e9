/* vecmill-worker: the program that works for a session and dies with it.
 *
 *     vecmill-worker pack PARENT ISA MODEL_DIR PACK KEY
 *
 * builds a pack and answers on stdout: one byte of status, then the message when it failed. It is
 * started by libvecmill; people have no use for it. Prints nothing, leaves nothing behind. */
#include "engine/engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* How long to wait for another process that builds the same pack. */
#define WAIT_MS (9u * 60u * 1000u)

/* True when our parent is still the one that started us: if it died before the signal was armed, no
 * signal would ever come (prctl(2), PR_SET_PDEATHSIG). */
static bool tied_to_parent(const char *pid_text)
{
    uint64_t pid;
    return num_parse(pid_text, INT32_MAX, &pid) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
           getppid() == (pid_t)pid;
}

static void answer(vecmill_status status, const vecmill_err *err)
{
    char line[sizeof(err->message) + 1];
    line[0] = (char)status;
    size_t n = status == VECMILL_OK ? 0 : strlen(err->message);
    memcpy(line + 1, err->message, n);
    (void)io_write(STDOUT_FILENO, line, n + 1, "stdout", VECMILL_E_INTERNAL, NULL);
}

int main(int argc, char **argv)
{
    vecmill_err err = {0};
    struct engine_source source;
    if (argc != 7 || strcmp(argv[1], "pack") != 0) {
        fprintf(stderr, "vecmill-worker: started by vecmill, not by hand\n");
        return vecmill_status_exit(VECMILL_E_USAGE);
    }
    if (!tied_to_parent(argv[2])) return vecmill_status_exit(VECMILL_E_STOPPED);
    int n_dir = snprintf(source.dir, sizeof(source.dir), "%s", argv[4]);
    int n_path = snprintf(source.path, sizeof(source.path), "%s", argv[5]);
    int n_key = snprintf(source.key, sizeof(source.key), "%s", argv[6]);
    if (n_dir >= (int)sizeof(source.dir) || n_path >= (int)sizeof(source.path) ||
        n_key >= (int)sizeof(source.key)) {
        return vecmill_status_exit(VECMILL_E_USAGE);
    }
    vecmill_status status = engine_compile(&source, argv[3], WAIT_MS, &err);
    answer(status, &err);
    return vecmill_status_exit(status);
}
