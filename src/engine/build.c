/* build: has a pack built, or a floor measured, by a child process, whose memory ends with it.
 *
 * Promises: the child dies with us; the wait has a deadline; the child's bytes are judged as hostile;
 * nobody else's children are waited for, and a host that ignores SIGCHLD is coped with: the answer
 * comes through the pipe, the wait status only names a death. */
#include "engine/source.h"
#include "host/host.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A model of 1.3 GB from a disk of 10 MB/s takes two minutes. */
#define BUILD_DEADLINE_MS (10u * 60u * 1000u)

extern char **environ;

static vecmill_status spawn(const char *worker, char *const argv[], int answer, pid_t *pid,
                            vecmill_err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int e = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (e == 0) e = posix_spawn_file_actions_adddup2(&files, answer, 1);
    if (e == 0) e = posix_spawn(pid, worker, &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    if (e == 0) return VECMILL_OK;
    return err_sys(err, e == ENOMEM ? VECMILL_E_MEMORY : VECMILL_E_INTERNAL, e,
                   "%s cannot be started", worker);
}

/* Reads the answer to its end; false when the deadline passed. */
static bool read_answer(int fd, char *answer, size_t room, size_t *got)
{
    const uint64_t deadline = clock_ns() + (uint64_t)BUILD_DEADLINE_MS * 1000000u;
    *got = 0;
    for (;;) {
        const uint64_t now = clock_ns();
        if (now >= deadline) return false;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, (int)((deadline - now) / 1000000u) + 1);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        char spill[64]; /* what does not fit is read and let go */
        bool full = *got == room;
        ssize_t n = read(fd, full ? spill : answer + *got, full ? sizeof(spill) : room - *got);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        if (!full) *got += (size_t)n;
    }
}

/* Reaps our child; false when somebody else did (SIGCHLD ignored). */
static bool reap(pid_t pid, int *wait_status)
{
    pid_t r;
    do {
        r = waitpid(pid, wait_status, 0);
    } while (r < 0 && errno == EINTR);
    return r == pid;
}

/* The answer by its first byte. */
static vecmill_status judge(const char *said, size_t n, char *answer, size_t room, size_t *got,
                            vecmill_err *err)
{
    const unsigned status = (unsigned char)said[0];
    if (status != VECMILL_OK) {
        return err_set(err,
                       status < VECMILL_STATUS_COUNT ? (vecmill_status)status : VECMILL_E_INTERNAL,
                       "%.*s", (int)(n - 1), said + 1);
    }
    *got = num_min(n - 1, room);
    if (*got) memcpy(answer, said + 1, *got);
    return VECMILL_OK;
}

vecmill_status source_ask(const char *program, char *const argv[], const char *what, char *answer,
                          size_t room, size_t *got, vecmill_err *err)
{
    char said[sizeof(((vecmill_err *)0)->message)];
    size_t n = 0;
    int ends[2], wait_status = 0;
    pid_t pid;
    struct host_oom oom;
    uint64_t kills_before = UINT64_MAX, kills = 0;
    host_oom_find(host_root(), &oom);
    (void)host_oom_kills(&oom, &kills_before);
    assert(room < sizeof said);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, VECMILL_E_INTERNAL, errno, "no pipe for %s", what);
    vecmill_status status = spawn(program, argv, ends[1], &pid, err);
    close(ends[1]);
    if (status != VECMILL_OK) {
        close(ends[0]);
        return status;
    }
    bool in_time = read_answer(ends[0], said, sizeof(said), &n);
    close(ends[0]);
    if (!in_time) kill(pid, SIGKILL);
    bool reaped = reap(pid, &wait_status);
    if (!in_time) {
        return err_set(err, VECMILL_E_INTERNAL, "%s took more than %u s", what,
                       BUILD_DEADLINE_MS / 1000u);
    }
    if (n == 0 && reaped && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL &&
        host_oom_kills(&oom, &kills) && kills > kills_before) {
        return err_set(err, VECMILL_E_MEMORY, "%s was ended by the OOM killer", what);
    }
    if (n == 0 && reaped && WIFSIGNALED(wait_status)) {
        return err_set(err, VECMILL_E_INTERNAL, "%s was ended by signal %d (%s)", what,
                       WTERMSIG(wait_status), sigabbrev_np(WTERMSIG(wait_status)));
    }
    if (n == 0) {
        return err_set(err, VECMILL_E_INTERNAL, "%s: %s ended without an answer", what, program);
    }
    return judge(said, n, answer, room, got, err);
}

vecmill_status source_build(const struct engine_source *source, const char *worker, const char *isa,
                            enum kern_precision precision, vecmill_err *err)
{
    char parent[24], what[IO_PATH_MAX + 16];
    size_t got;
    if (!source_in_memory(source)) {
        snprintf(what, sizeof what, "%s", source->path);
        *strrchr(what, '/') = '\0';
        VM_TRY(io_make_dirs(what, VECMILL_E_IO, err));
    }
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    snprintf(what, sizeof(what), "building %s", source->path);
    char *const argv[] = {(char *)"vecmill-worker",
                          (char *)"pack",
                          parent,
                          (char *)isa,
                          (char *)kern_precision_name(precision),
                          (char *)source->dir,
                          (char *)source->path,
                          (char *)source->key,
                          NULL};
    return source_ask(worker, argv, what, NULL, 0, &got, err);
}
