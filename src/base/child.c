/* child: a start is a clone that shares our memory until exec, as in posix_spawn, which itself cannot set
 * PR_SET_PDEATHSIG. */
#include "child.h"

#include "alloc.h"
#include "clock.h"
#include "io.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer takes every clone for a fork: its run-time sets itself up anew in the child, which
 * here shares our memory. There it is a fork, and a program that cannot be started ends with 127. */
#if defined(__SANITIZE_THREAD__)
#define IS_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IS_FORK 1
#endif
#endif
#ifndef IS_FORK
#define IS_FORK 0
#endif

#define STACK_BYTES ((size_t)64 << 10) /* between clone and exec; execvpe builds paths on it */

extern char **environ;

/* ---- finding ---- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The folder of the running program and that of the library with this code, each with a slash at its
 * end; "": not known. */
static void find_folders(char folders[2][IO_PATH_MAX])
{
    Dl_info library;
    char here[IO_PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", folders[0], IO_PATH_MAX - 1);
    folders[0][n > 0 ? n : 0] = '\0';
    folders[1][0] = '\0';
    if (dladdr((const void *)&child_find, &library) && library.dli_fname) {
        const char *name = library.dli_fname;
        const int bytes = name[0] == '/' ? snprintf(folders[1], IO_PATH_MAX, "%s", name)
                          : strchr(name, '/') && getcwd(here, sizeof here)
                              ? snprintf(folders[1], IO_PATH_MAX, "%s/%s", here, name)
                              : 0;
        if (bytes >= IO_PATH_MAX) folders[1][0] = '\0';
    }
    for (size_t i = 0; i < 2; i++) {
        char *slash = strrchr(folders[i], '/');
        if (slash) slash[1] = '\0'; /* it stays: the folder may be the root */
    }
}

vecmill_status child_find(const char *name, char *path, vecmill_status failure, vecmill_err *err)
{
    static const char *const below[] = {"", "../libexec/vecmill/"};
    char folders[2][IO_PATH_MAX], at[IO_PATH_MAX];
    find_folders(folders);
    for (size_t i = 0; i < 4; i++) {
        const char *folder = folders[i % 2];
        const int bytes = snprintf(at, sizeof at, "%s%s%s", folder, below[i / 2], name);
        if (!folder[0] || bytes >= IO_PATH_MAX || !is_program(at)) continue;
        memcpy(path, at, (size_t)bytes + 1);
        return VECMILL_OK;
    }
    const int bytes = snprintf(at, sizeof at, "%s/%s", VECMILL_LIBEXEC, name);
    if (bytes < IO_PATH_MAX && is_program(at)) {
        memcpy(path, at, (size_t)bytes + 1);
        return VECMILL_OK;
    }
    return err_set(err, failure, "%s is neither beside the program or library nor in %s", name,
                   VECMILL_LIBEXEC);
}

/* ---- starting ---- */

/* What the child needs between clone and exec, while it shares our memory and we are suspended. */
struct birth {
    const struct child_options *o;
    pid_t parent;
    int in, out;
    int error; /* errno of what failed, written by the child */
};

/* Handlers are ours, and what is ignored is not what a program expects to find so. */
__attribute__((no_sanitize("address", "undefined"))) static void reset_signals(void)
{
    struct sigaction now, normal;
    normal.sa_handler = SIG_DFL;
    normal.sa_flags = 0;
    (void)sigemptyset(&normal.sa_mask);
    for (int sig = 1; sig < NSIG; sig++) {
        if (sigaction(sig, NULL, &now) != 0) continue;
        const bool is_users = sig == SIGHUP || sig == SIGINT || sig == SIGQUIT || sig == SIGXFSZ;
        if (now.sa_handler == SIG_DFL || (now.sa_handler == SIG_IGN && is_users)) continue;
        (void)sigaction(sig, &normal, NULL);
    }
    (void)sigprocmask(SIG_SETMASK, &normal.sa_mask, NULL);
}

/* Runs on a stack of its own inside our memory: only system calls here. It is not instrumented, since
 * sanitizers know neither the stack nor that this thread is not ours. */
__attribute__((no_sanitize("address", "undefined"))) static int become(void *argument)
{
    struct birth *b = argument;
    const struct child_options *o = b->o;
    bool ok = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    /* If we died before it was armed, the signal will never come (prctl(2)). */
    if (ok && getppid() != b->parent) {
        errno = ESRCH;
        ok = false;
    }
    ok = ok && (!o->is_group || setpgid(0, 0) == 0) && (!o->dir || chdir(o->dir) == 0) &&
         dup2(b->in, STDIN_FILENO) >= 0 && dup2(b->out, STDOUT_FILENO) >= 0 &&
         (!o->errors_too || dup2(b->out, STDERR_FILENO) >= 0);
    if (ok) {
        /* Ours are all CLOEXEC; a host's need not be. Older kernels have no such call. */
        (void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
        reset_signals();
        if (o->search_path)
            (void)execvpe(o->program, o->argv, environ);
        else
            (void)execve(o->program, o->argv, environ);
    }
    b->error = errno;
    _exit(127);
}

static pid_t clone_child(void *stack, struct birth *b)
{
    if (IS_FORK) {
        const pid_t pid = fork();
        if (pid == 0) (void)become(b);
        return pid;
    }
    return clone(become, (char *)stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, b);
}

static void close_end(int *fd)
{
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}

/* Where a host has closed 0 to 2, a descriptor may be one of them, and dup2 would not clear its CLOEXEC. */
static bool move_up(int *fd)
{
    if (*fd > STDERR_FILENO) return true;
    const int above = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (above < 0) return false;
    (void)close(*fd);
    *fd = above;
    return true;
}

static bool open_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC) == 0 && move_up(&ends[0]) && move_up(&ends[1]);
}

/* A descriptor that brings the input. It is written before there is a reader, so that a child that dies at
 * once cannot raise SIGPIPE here. */
static vecmill_status open_input(const struct child_options *o, int *fd, vecmill_status failure,
                                 vecmill_err *err)
{
    int ends[2] = {-1, -1};
    vecmill_status status = VECMILL_OK;
    assert(o->input_bytes <= CHILD_INPUT_MAX);
    if (o->input_bytes == 0) {
        ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (ends[0] < 0 || !move_up(&ends[0]))
            status = err_sys(err, failure, errno, "no input for %s", o->program);
    } else if (!open_pipe(ends)) {
        status = err_sys(err, failure, errno, "no pipe for %s", o->program);
    } else {
        status = io_write(ends[1], o->input, o->input_bytes, "a pipe", failure, err);
    }
    close_end(&ends[1]);
    if (status != VECMILL_OK) close_end(&ends[0]);
    *fd = ends[0];
    return status;
}

/* errno of what failed; 0: it runs. */
static int start_process(struct birth *b, void *stack, struct child *c)
{
    sigset_t all, before;
    struct child_end ignored;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of ours runs in the child */
    const pid_t pid = clone_child(stack, b);
    const int error = pid < 0 ? errno : b->error;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) return error;
    c->pid = pid;
    c->is_group = b->o->is_group;
    if (error) child_close(c, CHILD_KILL_MS, &ignored); /* it is in _exit */
    return error;
}

vecmill_status child_start(const struct child_options *o, struct child *c, vecmill_status failure,
                           vecmill_err *err)
{
    struct birth b = {.o = o, .parent = getpid(), .in = -1};
    struct child started = {.out = -1};
    int out[2] = {-1, -1}, error = 0;
    void *stack = NULL;
    VM_TRY(mem_map(STACK_BYTES, "a program's start", &stack, err));
    vecmill_status status = open_input(o, &b.in, failure, err);
    if (status != VECMILL_OK) goto done;
    if (!open_pipe(out) || fcntl(out[0], F_SETFL, O_NONBLOCK) != 0) {
        status = err_sys(err, failure, errno, "no pipe for %s", o->program);
        goto done;
    }
    b.out = out[1];
    error = start_process(&b, stack, &started);
    if (error) {
        status = err_sys(err, error == ENOMEM ? VECMILL_E_MEMORY : failure, error,
                         "%s cannot be started", o->program);
        goto done;
    }
    *c = started;
    c->out = out[0];
    out[0] = -1;
done:
    close_end(&out[0]);
    close_end(&out[1]);
    close_end(&b.in);
    mem_unmap(stack, STACK_BYTES);
    return status;
}

/* ---- hearing ---- */

enum child_heard child_read(const struct child *c, void *data, size_t bytes, unsigned wait_ms,
                            size_t *got)
{
    struct pollfd p = {.fd = c->out, .events = POLLIN};
    if (poll(&p, 1, (int)wait_ms) <= 0) return CHILD_SILENT;
    const ssize_t n = read(c->out, data, bytes);
    if (n < 0) return errno == EINTR || errno == EAGAIN ? CHILD_SILENT : CHILD_CLOSED;
    if (n == 0) return CHILD_CLOSED;
    *got = (size_t)n;
    return CHILD_SAID;
}

/* ---- ending ---- */

void child_signal(const struct child *c, int sig)
{
    siginfo_t info = {0};
    /* Once somebody else has taken its status its number may be another process's. */
    if (c->pid <= 0 || waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return;
    if (!c->is_group || kill(-c->pid, sig) != 0) (void)kill(c->pid, sig);
}

bool child_has_ended(struct child *c, struct child_end *end)
{
    int how = 0;
    pid_t got;
    if (c->pid <= 0) return true;
    do {
        got = waitpid(c->pid, &how, WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got == 0) return false;
    *end = (struct child_end){.is_known = got == c->pid};
    if (end->is_known && WIFSIGNALED(how)) end->sig = WTERMSIG(how);
    if (end->is_known && WIFEXITED(how)) end->code = WEXITSTATUS(how);
    c->pid = 0;
    return true;
}

static bool wait_for_end(struct child *c, unsigned wait_ms, struct child_end *end)
{
    const uint64_t until = clock_ns() + (uint64_t)wait_ms * 1000000u;
    for (int sleep_ms = 1; !child_has_ended(c, end); sleep_ms = sleep_ms < 16 ? 2 * sleep_ms : 16) {
        if (clock_ns() >= until) return false;
        (void)poll(NULL, 0, sleep_ms);
    }
    return true;
}

void child_close(struct child *c, unsigned wait_ms, struct child_end *end)
{
    close_end(&c->out);
    *end = (struct child_end){.is_known = false};
    if (wait_for_end(c, wait_ms, end)) return;
    child_signal(c, SIGKILL);
    (void)wait_for_end(c, CHILD_KILL_MS, end);
    c->pid = 0;
}

/* ---- asking ---- */

vecmill_status child_ask(const struct child_options *o, const char *what, unsigned wait_ms,
                         char *answer, size_t room, size_t *got, struct child_end *end,
                         vecmill_status failure, vecmill_err *err)
{
    struct child c;
    size_t n = 0;
    VM_TRY(child_start(o, &c, failure, err));
    const uint64_t deadline = clock_ns() + (uint64_t)wait_ms * 1000000u;
    for (;;) {
        char over[4096];
        size_t more = 0;
        const uint64_t now = clock_ns();
        if (now >= deadline) {
            child_close(&c, 0, end);
            return err_set(err, failure, "%s took more than %u s", what, wait_ms / 1000u);
        }
        const unsigned left_ms = (unsigned)((deadline - now) / 1000000u) + 1;
        const bool is_full = n == room;
        const enum child_heard heard = child_read(&c, is_full ? over : answer + n,
                                                  is_full ? sizeof over : room - n, left_ms, &more);
        if (heard == CHILD_CLOSED) break;
        if (heard == CHILD_SAID && !is_full) n += more;
    }
    /* What it may still have to do after its last word is little. */
    child_close(&c, CHILD_KILL_MS, end);
    *got = n;
    return VECMILL_OK;
}
