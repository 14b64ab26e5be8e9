#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3 /* linux/wait.h, since 5.4 */
#endif

/* ThreadSanitizer takes every clone for a fork and sets up its run-time again in the child, which
 * here shares our memory. It does not see the clone of posix_spawn. */
#if defined(__SANITIZE_THREAD__)
#define CLONE_IS_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CLONE_IS_FORK 1
#endif
#endif
#ifndef CLONE_IS_FORK
#define CLONE_IS_FORK 0
#endif

extern char **environ;

/* waitid with these flags. 1: a status was found, 0: none yet, -1: another took it. */
static int wait_status(const struct process *p, int flags, siginfo_t *info)
{
    int r;
    do {
        info->si_pid = 0;
        r = waitid(P_PIDFD, (id_t)p->pidfd, info, flags);
        if (r < 0 && (p->pidfd < 0 || errno == EINVAL)) /* no pidfd, or Linux before 5.4 */
            r = waitid(P_PID, (id_t)p->pid, info, flags);
    } while (r < 0 && errno == EINTR);
    if (r < 0) return -1;
    return info->si_pid != 0;
}

/* ---- starting ---- */

/* Makes the OOM killer choose a worker, never the supervisor. It weighs a process by its pages plus
 * its score in thousandths of the limit (proc(5)): with the highest, 1000, a worker that has hardly
 * begun outweighs a supervisor that holds all the rest. Any process may raise its score. Without
 * /proc the kernel's own choice remains. Also called in the child. */
__attribute__((no_sanitize("address", "undefined"))) static void offer_to_oom_killer(
    const char *path)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!write(fd, "1000", 4);
    close(fd);
}

/* What the child needs between clone and exec, while it shares our memory and we are suspended. */
struct start_args {
    const char *program;
    char *const *argv;
    int socket, null;
    int error; /* errno of what failed, written by the child */
};

/* Runs on its own stack inside our memory: system calls only. Not instrumented, since sanitizers
 * know neither the stack nor that this thread is not ours. */
__attribute__((no_sanitize("address", "undefined"))) static int run_child(void *argument)
{
    struct start_args *b = argument;
    /* Survives exec. The program arms it again, and then checks that its parent still lives. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Before exec, since the first pages after it may already be too many. The kernel keeps our own
     * score apart from that of a vfork child, although memory is shared. */
    offer_to_oom_killer("/proc/self/oom_score_adj");
    if (dup2(b->null, 0) == 0 && dup2(b->null, 1) == 1 &&
        dup2(b->socket, CREW_SOCKET) == CREW_SOCKET) {
        /* Ours are all CLOEXEC; those of a host may not be. Older kernels do not have this call. */
        (void)syscall(SYS_close_range, (unsigned)CREW_SOCKET + 1, ~0u, 0);
        execve(b->program, b->argv, environ);
    }
    b->error = errno;
    _exit(127);
}

/* The child's pid; or -1 and errno, ENOSYS where clone must not be used. */
static pid_t clone_child(void *stack, struct start_args *b, int *pidfd)
{
    if (CLONE_IS_FORK) {
        errno = ENOSYS;
        return -1;
    }
    return clone(run_child, (char *)stack + PROCESS_STACK_BYTES,
                 CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, b, pidfd);
}

/* For kernels and sandboxes without CLONE_PIDFD. Blocked signals are inherited here as well. */
static int start_without_pidfd(const struct start_args *b, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    int e = posix_spawn_file_actions_init(&files);
    if (e) return e;
    e = posix_spawn_file_actions_adddup2(&files, b->null, 0);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, b->null, 1);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, b->socket, CREW_SOCKET);
#if __GLIBC_PREREQ(2, 34)
    if (!e) e = posix_spawn_file_actions_addclosefrom_np(&files, CREW_SOCKET + 1);
#endif
    if (!e) e = posix_spawn(pid, b->program, &files, NULL, b->argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (e) return e;
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)*pid);
    offer_to_oom_killer(path);
    return 0;
}

vecmill_status process_start(const char *program, char *const *argv, int socket, int null,
                             void *stack, struct process *p, vecmill_err *err)
{
    struct start_args b = {.program = program, .argv = argv, .socket = socket, .null = null};
    struct process started = {.pidfd = -1};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* As posix_spawn does it: page tables are not copied, and exec's failure is reported through b.
     * The pidfd comes with the process, so it cannot be another's. */
    int error = 0;
    started.pid = clone_child(stack, &b, &started.pidfd);
    if (started.pid < 0) {
        error = errno;
        started.pid = 0;
        if (error == EINVAL || error == ENOSYS || error == EPERM)
            error = start_without_pidfd(&b, &started.pid);
    } else if (b.error) {
        siginfo_t ignored;
        error = b.error;
        /* The child is in _exit: nothing holds it up any more. */
        (void)wait_status(&started, WEXITED, &ignored);
        close(started.pidfd);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return err_sys(err, VECMILL_E_WORKERS, error, "%s cannot be started", program);
    *p = started;
    return VECMILL_OK;
}

int process_lift_fd(int fd)
{
    const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, CREW_SOCKET + 1);
    const int error = errno;
    close(fd);
    errno = error;
    return lifted;
}

/* ---- ending ---- */

void process_kill(const struct process *p)
{
    if (p->pid <= 0) return;
    if (p->pidfd >= 0 && syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0) == 0) return;
    /* The pid stays its own until it is reaped; by us, unless SIGCHLD is ignored. */
    if (p->pidfd < 0 || errno != ESRCH) (void)kill(p->pid, SIGKILL);
}

/* Whether a process whose status another one takes has ended. */
static bool is_gone(const struct process *p)
{
    return kill(p->pid, 0) != 0 && errno == ESRCH;
}

bool process_reap(struct process *p, struct exit_status *status)
{
    siginfo_t info;
    const int found = wait_status(p, WEXITED | WNOHANG, &info);
    if (found == 0 || (found < 0 && p->pidfd < 0 && !is_gone(p))) return false;
    *status = (struct exit_status){0};
    if (found > 0)
        *status = (struct exit_status){
            .known = true, .signal = info.si_code != CLD_EXITED, .code = info.si_status};
    if (p->pidfd >= 0) close(p->pidfd);
    *p = (struct process){.pidfd = -1};
    return true;
}

void process_reap_strangers(bool (*is_own)(void *context, pid_t pid), void *context)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
        /* reaped by its own handle later, then the others */
        if (is_own(context, info.si_pid)) return;
        if (waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG) != 0) return;
    }
}

/* ---- looking ---- */

#define STAT_BYTES         256u /* of about 350; all that is read is in the first 150 */
#define STATE_FIELD        3u
#define MAJOR_FAULTS_FIELD 12u

/* What /proc/PID/stat has after the name, from the state on (proc(5)); NULL: unknown. */
static const char *read_stat(const struct process *p, char text[STAT_BYTES])
{
    char path[40];
    size_t got = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    if (io_read(fd, text, STAT_BYTES - 1, &got, path, VECMILL_E_IO, NULL) != VECMILL_OK) got = 0;
    close(fd);
    text[got] = 0;
    /* "pid (comm) state ...", and comm may hold anything. */
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end + 2 : NULL;
}

char process_state(const struct process *p)
{
    char text[STAT_BYTES];
    const char *state = read_stat(p, text);
    if (!state) return 0;
    return *state;
}

uint64_t process_major_faults(const struct process *p)
{
    char text[STAT_BYTES];
    const char *field = read_stat(p, text);
    for (unsigned i = STATE_FIELD; field && i < MAJOR_FAULTS_FIELD; i++) {
        field = strchr(field, ' ');
        if (field) field++;
    }
    return field ? strtoull(field, NULL, 10) : 0;
}

uint64_t process_cpu_ns(const struct process *p)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(p->pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
