/* start_time: spawns this program, times its first byte, reaps it. A start that hangs is killed. */
#include "start_time.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define PROGRAM "/proc/self/exe"
#define LINE    "the first vector\n"

struct pipes {
    int in[2], out[2];
};

static void close_one(int *fd)
{
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}

static vecmill_status spawn(const struct options *o, struct pipes *p, pid_t *pid, vecmill_err *err)
{
    char batch[24] = "auto", workers[24] = "auto", length[24];
    const char *argv[24] = {
        "vecmill",
        "embed",
        "-m",
        o->model,
        "-i",
        "-",
        "-o",
        "-",
        "--progress",
        "none",
        "--batch-tokens",
        batch,
        "--workers",
        workers,
        "--precision",
        app_precision_word(app_precision(o)),
    };
    int n = 16;
    if (o->batch_tokens > 0)
        (void)snprintf(batch, sizeof(batch), "%llu", (unsigned long long)o->batch_tokens);
    if (o->workers > 0)
        (void)snprintf(workers, sizeof(workers), "%llu", (unsigned long long)o->workers);
    if (o->max_length > 0) {
        (void)snprintf(length, sizeof(length), "%llu", (unsigned long long)o->max_length);
        argv[n++] = "--max-length";
        argv[n++] = length;
    }
    posix_spawn_file_actions_t actions;
    int e = posix_spawn_file_actions_init(&actions);
    if (e != 0) return err_sys(err, VECMILL_E_IO, e, "a process cannot be prepared");
    e = posix_spawn_file_actions_adddup2(&actions, p->in[0], STDIN_FILENO);
    if (e == 0) e = posix_spawn_file_actions_adddup2(&actions, p->out[1], STDOUT_FILENO);
    if (e == 0) e = posix_spawn(pid, PROGRAM, &actions, NULL, (char *const *)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (e != 0) return err_sys(err, VECMILL_E_IO, e, "%s cannot be started", PROGRAM);
    return VECMILL_OK;
}

/* Reads to the end of the child's output; *first_ns is the time of its first byte, 0 if none came. */
static vecmill_status drain(int fd, uint64_t *first_ns, vecmill_err *err)
{
    uint64_t first = 0;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const int ready = poll(&wait, 1, START_TIME_WAIT_MS);
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) return err_sys(err, VECMILL_E_IO, errno, "waiting for a start failed");
        if (ready == 0)
            return err_set(err, VECMILL_E_INTERNAL, "a start wrote nothing for %d ms",
                           START_TIME_WAIT_MS);
        char bytes[16384];
        const ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, VECMILL_E_IO, errno, "reading from a start failed");
        if (got == 0) break;
        if (first == 0) first = clock_ns();
    }
    *first_ns = first;
    return VECMILL_OK;
}

static vecmill_status run_once(const struct options *o, uint64_t *ns, vecmill_err *err)
{
    struct pipes p = {{-1, -1}, {-1, -1}};
    pid_t pid = -1;
    uint64_t start_ns = 0, first_ns = 0;
    vecmill_status status = VECMILL_OK;
    if (pipe2(p.in, O_CLOEXEC) != 0 || pipe2(p.out, O_CLOEXEC) != 0)
        status = err_sys(err, VECMILL_E_IO, errno, "a pipe cannot be made");
    if (status == VECMILL_OK)
        status = io_write(p.in[1], LINE, sizeof(LINE) - 1, "a pipe", VECMILL_E_IO, err);
    close_one(&p.in[1]);
    if (status == VECMILL_OK) {
        start_ns = clock_ns();
        status = spawn(o, &p, &pid, err);
    }
    close_one(&p.in[0]);
    close_one(&p.out[1]);
    if (status == VECMILL_OK) status = drain(p.out[0], &first_ns, err);
    close_one(&p.out[0]);
    if (pid > 0) {
        if (status != VECMILL_OK) (void)kill(pid, SIGKILL);
        int end = 0;
        while (waitpid(pid, &end, 0) < 0 && errno == EINTR)
            continue;
        if (status == VECMILL_OK && (!WIFEXITED(end) || WEXITSTATUS(end) != 0 || first_ns == 0))
            status = err_set(err, VECMILL_E_INTERNAL, "a start ended with wait status 0x%x", end);
    }
    if (status == VECMILL_OK) *ns = first_ns - start_ns;
    return status;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

vecmill_status start_time_measure(const struct options *o, uint32_t n, const atomic_int *stop,
                                  struct start_time *t, vecmill_err *err)
{
    assert(n > 0 && n <= START_TIME_RUNS_MAX);
    uint64_t times[START_TIME_RUNS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        if (stop && atomic_load(stop))
            return err_set(err, VECMILL_E_STOPPED, "stopped by a signal while starts were timed");
        VM_TRY(run_once(o, &times[i], err));
    }
    qsort(times, n, sizeof(times[0]), by_value);
    *t = (struct start_time){.n = n, .least_ns = times[0], .median_ns = times[n / 2]};
    return VECMILL_OK;
}
