/* vecmill-worker: the program that works for a session or a pool and dies with it. worker_args.h
 * has its command lines. Two of its modes answer on stdout: one byte of status, then what was asked
 * for, or the message of the failure; the third computes batches that come over a socket
 * (src/crew). It is started by libvecmill; people have no use for it. Prints nothing, leaves
 * nothing behind. */
#include "engine/build.h"
#include "engine/engine.h"
#include "engine/worker_args.h"

#include "crew/crew.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* How long to wait for another process that builds the same pack. */
#define WAIT_MS (9u * 60u * 1000u)

/* True when our parent is still the one that started us: if it died before the signal was armed, no
 * signal would ever come (prctl(2), PR_SET_PDEATHSIG). */
static bool is_tied_to(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

/* data: what is answered when all is well. */
static void answer(vecmill_status status, const void *data, size_t bytes, const vecmill_err *err)
{
    char line[sizeof(err->message) + 1];
    line[0] = (char)status;
    size_t n = status == VECMILL_OK ? bytes : strlen(err->message);
    if (n) memcpy(line + 1, status == VECMILL_OK ? data : err->message, n);
    (void)io_write(STDOUT_FILENO, line, n + 1, "stdout", VECMILL_E_INTERNAL, NULL);
}

static vecmill_status run_pack(const struct worker_args *args)
{
    vecmill_err err = {0};
    if (!is_tied_to(args->parent)) return VECMILL_E_STOPPED;
    const vecmill_status status = build_run(args->ref, args->isa, args->precision, WAIT_MS, &err);
    answer(status, NULL, 0, &err);
    return status;
}

static vecmill_status run_baseline(const struct worker_args *args)
{
    vecmill_err err = {0};
    struct baseline baseline;
    if (!is_tied_to(args->parent)) return VECMILL_E_STOPPED;
    const vecmill_status status = baseline_measure(&baseline, &err);
    answer(status, &baseline, sizeof(baseline), &err);
    return status;
}

int main(int argc, char **argv)
{
    static vecmill_status (*const modes[])(const struct worker_args *args) = {
        [WORKER_PACK] = run_pack,
        [WORKER_BASELINE] = run_baseline,
        [WORKER_SERVE] = worker_session_serve,
    };
    struct worker_args args;
    struct model_ref ref;
    if (!worker_args_decode(argc, argv, &args, &ref)) {
        fprintf(stderr, "vecmill-worker: started by vecmill, not by hand\n");
        return vecmill_status_exit(VECMILL_E_USAGE);
    }
    return vecmill_status_exit(modes[args.mode](&args));
}
