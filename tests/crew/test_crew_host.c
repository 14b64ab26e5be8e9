/* test_crew_host: the crew's host process and the kernel: what they refuse, take away, or do not
 * have; closing at any moment; and that nothing is left over or taken from others. */
#include "crew_kit.h"

#include "../kit/test_clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIDS_MOST 128u

static struct host h;

#define step_until(condition)                                                                      \
    do {                                                                                           \
        host_step(&h);                                                                             \
        need(crew_failure(h.crew, NULL) == VECMILL_OK);                                            \
    } while (!(condition))
#define sleep_until(condition)                                                                     \
    do {                                                                                           \
        usleep(1000);                                                                              \
    } while (!(condition))

static struct crew_counts counts(void)
{
    struct crew_counts c;
    crew_count(h.crew, &c);
    return c;
}

static void need_no_child(void)
{
    need(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* ---- calls that fail (the linker's --wrap puts these in front of the system's) ---- */

enum call { CLONE, SOCKETPAIR, SENDMSG, RECV, POLL, WAITID, N_CALLS };

static struct {
    int error[N_CALLS];      /* 0: none */
    uint64_t at[N_CALLS];    /* the call that fails, counted from 1 */
    uint64_t every[N_CALLS]; /* and every this many further ones; 0: it alone */
    uint64_t calls[N_CALLS];
    bool shortens; /* less is sent or received than was asked for */
} faults;

static bool fails(enum call call)
{
    const uint64_t n = ++faults.calls[call];
    if (faults.error[call] == 0 || n < faults.at[call]) return false;
    const uint64_t behind = n - faults.at[call];
    if (behind > 0 && (faults.every[call] == 0 || behind % faults.every[call] != 0)) return false;
    errno = faults.error[call];
    return true;
}

int __real_clone(int (*run)(void *), void *stack, int flags, void *argument, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *argument, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *argument, ...)
{
    va_list more;
    va_start(more, argument);
    int *pidfd = va_arg(more, int *);
    va_end(more);
    return fails(CLONE) ? -1 : __real_clone(run, stack, flags, argument, pidfd);
}

int __real_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2])
{
    return fails(SOCKETPAIR) ? -1 : __real_socketpair(domain, type, protocol, ends);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (fails(SENDMSG)) return -1;
    if (!faults.shortens) return __real_sendmsg(fd, message, flags);
    struct iovec one = message->msg_iov[0];
    struct msghdr less = {.msg_iov = &one, .msg_iovlen = 1};
    if (one.iov_len > 1) one.iov_len = 1 + kit_below((uint32_t)one.iov_len);
    return __real_sendmsg(fd, &less, flags);
}

ssize_t __real_recv(int fd, void *data, size_t bytes, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags)
{
    if (fails(RECV)) return -1;
    return __real_recv(fd, data, faults.shortens ? 1 + kit_below((uint32_t)bytes) : bytes, flags);
}

static bool poll_fails(const struct pollfd *fds, nfds_t n, int ms)
{
    (void)fds, (void)n, (void)ms;
    return fails(POLL);
}

int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int flags);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int flags);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int flags)
{
    return fails(WAITID) ? -1 : __real_waitid(type, id, info, flags);
}

/* 40 items, some larger than a socket, one of which kills its worker once: all are returned. */
static void run_a_job(void)
{
    static const char *const script[] = {[20] = "kill 9 x 1"};
    host_init(&h, 2);
    h.options.result_bytes = 5000;
    h.item_most = HOST_ITEM_MOST;
    h.script = script;
    h.n_script = 21;
    h.n_items = 40;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 0);
    host_close(&h);
    need_no_child();
}

static void each_call_fails_once_and_often(void)
{
    static const struct {
        enum call call;
        int error;
    } errors[] = {
        {CLONE, EAGAIN},   {CLONE, ENOMEM},      {CLONE, EPERM},       {CLONE, EINVAL},
        {CLONE, ENOSYS},   {SOCKETPAIR, EMFILE}, {SOCKETPAIR, ENOMEM}, {SENDMSG, EINTR},
        {SENDMSG, EAGAIN}, {SENDMSG, ENOBUFS},   {SENDMSG, ENOMEM},    {RECV, EINTR},
        {RECV, EAGAIN},    {POLL, EINTR},        {POLL, ENOMEM},       {WAITID, EINTR},
        {WAITID, EINVAL},
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const enum call call = errors[i].call;
        for (uint64_t at = 1; at <= 9; at += KIT_SLOW) {
            memset(&faults, 0, sizeof faults);
            faults.error[call] = errors[i].error;
            faults.at[call] = at;
            /* The last ones go on failing, every third time. */
            faults.every[call] = at + KIT_SLOW > 7 ? 3 : 0;
            run_a_job();
        }
        need(faults.calls[call] > 0);
    }
}

static void everything_comes_in_bits(void)
{
    memset(&faults, 0, sizeof faults);
    faults.shortens = true;
    for (int i = 0; i < 5; i++)
        run_a_job();
}

static void on_alarm(int number)
{
    (void)number;
}

static void interrupted_all_the_time(void)
{
    static const struct itimerval often = {.it_interval = {.tv_usec = 500},
                                           .it_value = {.tv_usec = 500}};
    const struct sigaction action = {.sa_handler = on_alarm}; /* nothing is restarted */
    need(sigaction(SIGALRM, &action, NULL) == 0);
    need(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (int i = 0; i < 10; i++)
        run_a_job();
}

/* The death is seen before the result is: it counts all the same. No pidfd here, so that each round
 * looks, and a poll that reports nothing. */
static void a_death_that_is_seen_first(void)
{
    static const char *const script[] = {"mark 0 m 0"};
    memset(&faults, 0, sizeof faults);
    faults.error[CLONE] = EINVAL;
    faults.at[CLONE] = faults.every[CLONE] = 1;
    host_init(&h, 1);
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) == 1);
    const pid_t pid = host_event(&h, CREW_BATCH_GIVEN, 0)->pid;
    sleep_until(host_mark(&h, "m", "done"));
    need(kill(pid, SIGKILL) == 0);
    sleep_until(kit_state(pid) == 'Z');
    faults.error[POLL] = EINTR;
    faults.at[POLL] = faults.every[POLL] = 1;
    host_step(&h);
    need(h.n_deaths == 1 && host_event(&h, CREW_DIED, 0)->n == 0 && counts().requeued == 0);
    host_drain(&h);
    need(h.n_out == 1);
    memset(&faults, 0, sizeof faults);
    host_close(&h);
}

/* It has answered and sleeps because it is done, but poll had not reported it when its time was
 * up. */
static void an_answer_that_is_not_seen_yet(void)
{
    static const char *const script[] = {"mark 0 m 0"};
    memset(&faults, 0, sizeof faults);
    host_init(&h, 1);
    h.options.least_ns = 150 * (uint64_t)MS;
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) == 1);
    const struct crew_event *given = host_event(&h, CREW_BATCH_GIVEN, 0);
    sleep_until(host_mark(&h, "m", "done") && kit_state(given->pid) == 'S');
    test_clock_pass_ms(given->time_ns / MS + 160 - test_clock_ms()); /* late, but not a pause */
    faults.error[POLL] = EINTR;
    faults.at[POLL] = faults.calls[POLL] + 1;
    host_step(&h);
    host_run_well(&h);
    need(h.n_deaths == 0);
    host_close(&h);
}

/* After memory was short once, the crew does not poll in haste for the rest of its life. */
static void a_poll_that_failed_is_forgotten(void)
{
    memset(&faults, 0, sizeof faults);
    host_init(&h, 2);
    h.options.start_workers = 2;
    host_open(&h);
    step_until(counts().ready == 2);
    faults.error[POLL] = ENOMEM;
    faults.at[POLL] = faults.calls[POLL] + 1;
    const uint64_t until = test_clock_ms() + 1500;
    unsigned rounds = 0;
    for (; test_clock_ms() < until; rounds++)
        host_step(&h);
    need(rounds < 25); /* four, if nothing disturbs */
    host_close(&h);
}

/* ---- kernels that lack calls (by seccomp), and hosts that reap ---- */

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

#define LOAD(field)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define IF_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define FAIL(error)         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void install(const struct sock_filter *filter, size_t n)
{
    const struct sock_fprog program = {.len = (unsigned short)n,
                                       .filter = (struct sock_filter *)(uintptr_t)filter};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* As before Linux 5.2: no pidfd by any call, no close_range. error: of clone with CLONE_PIDFD. */
static void forbid_pidfds(unsigned error)
{
    const struct sock_filter filter[] = {
        LOAD(nr),
        IF_NOT(SYS_clone, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_PIDFD, 0, 1),
        FAIL(error),
        ALLOW,
        IF_NOT(SYS_waitid, 4),
        LOAD(args[0]),
        IF_NOT(3, 1), /* P_PIDFD */
        FAIL(EINVAL),
        ALLOW,
        IF_NOT(SYS_clone3, 1),
        FAIL(ENOSYS),
        IF_NOT(SYS_pidfd_open, 1),
        FAIL(ENOSYS),
        IF_NOT(SYS_pidfd_send_signal, 1),
        FAIL(ENOSYS),
        IF_NOT(SYS_close_range, 1),
        FAIL(ENOSYS),
        ALLOW,
    };
    install(filter, sizeof filter / sizeof *filter);
}

/* As Linux 5.2 and 5.3: pidfds, but waitid does not know them. */
static void forbid_waiting_by_pidfd(void)
{
    const struct sock_filter filter[] = {
        LOAD(nr), IF_NOT(SYS_waitid, 4), LOAD(args[0]), IF_NOT(3, 1), FAIL(EINVAL), ALLOW, ALLOW,
    };
    install(filter, sizeof filter / sizeof *filter);
}

static unsigned count_pidfds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    need(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char target[64] = "";
        if (readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1) > 0)
            n += strstr(target, "pidfd") != NULL;
    }
    closedir(dir);
    return n;
}

static unsigned pidfds_seen;
static uint64_t next_kill;

/* Kills a child now and then: each time something was done, so that the storm is not endless. */
static void kill_one(struct host *host)
{
    pid_t pids[PIDS_MOST];
    pidfds_seen += count_pidfds();
    if (host->n_out < next_kill) return;
    const size_t n = kit_children(getpid(), pids, PIDS_MOST);
    if (n == 0) return;
    (void)kill(pids[kit_below((uint32_t)n)], SIGKILL);
    next_kill = host->n_out + 1 + kit_below(20);
}

/* Killed, faulty, silent and hanging workers: everything is returned, whatever can be known of it. */
static void run_a_rough_job(bool knows)
{
    static const char *const script[] = {
        [10] = "segv 0 a 1",   [20] = "close 0 b 1", [30] = "half 30 c 1", [40] = "hang 0 d 1",
        [50] = "exit 77 e 1",  [60] = "batch 1 f 1", [70] = "stop 0 g 1",  [80] = "done 9 i 1",
        [90] = "refuse 0 j 1", [99] = NULL};
    host_init(&h, 3);
    h.options.least_ns = 500 * (uint64_t)MS * KIT_SLOW;
    h.all = "sleep 1 x 0";
    h.script = script;
    h.n_script = 100;
    h.n_items = 300;
    h.each_step = kill_one;
    pidfds_seen = 0;
    next_kill = 0;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 0 && h.n_deaths > 0);
    if (knows) need(host_deaths(&h, VECMILL_CAUSE_KILLED) > 0);
    need((host_deaths(&h, VECMILL_CAUSE_UNKNOWN) == 0) == knows);
    if (!knows) /* nothing but what the supervisor did itself */
        need(h.n_deaths == host_deaths(&h, VECMILL_CAUSE_UNKNOWN) +
                               host_deaths(&h, VECMILL_CAUSE_HANG) +
                               host_deaths(&h, VECMILL_CAUSE_PROTOCOL));
    host_close(&h);
    need_no_child();
}

static void without_pidfds(void)
{
    run_a_rough_job(true);
    need(pidfds_seen > 0);
    forbid_pidfds(EINVAL);
    run_a_rough_job(true);
    need(pidfds_seen == 0);
}

static void with_pidfds_forbidden(void)
{
    forbid_pidfds(EPERM);
    run_a_rough_job(true);
    need(pidfds_seen == 0);
}

static void without_waiting_by_pidfd(void)
{
    forbid_waiting_by_pidfd();
    run_a_rough_job(true);
    need(pidfds_seen > 0);
}

static void with_sigchld_ignored(void)
{
    need(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    run_a_rough_job(false);
    need(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_NOCLDWAIT};
    need(sigaction(SIGCHLD, &action, NULL) == 0);
    run_a_rough_job(false);
}

static void with_sigchld_ignored_and_without_pidfds(void)
{
    forbid_pidfds(EINVAL);
    need(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    run_a_rough_job(false);
}

static void reap_everyone(int number)
{
    const int error = errno;
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    errno = error;
}

/* A host that waits for any child that ends, as it should not. */
static void with_a_host_that_reaps(void)
{
    const struct sigaction action = {.sa_handler = reap_everyone, .sa_flags = SA_RESTART};
    need(sigaction(SIGCHLD, &action, NULL) == 0);
    static const char *const script[] = {[5] = "kill 9 x 3", [20] = "segv 0 y 2"};
    for (int i = 0; i < 10; i++) {
        host_init(&h, 2);
        h.script = script;
        h.n_script = 21;
        h.n_items = 60;
        host_open(&h);
        host_run_well(&h);
        need(h.n_condemned == 0);
        host_close(&h);
    }
}

static void exit_well(int number)
{
    (void)number;
    _exit(42);
}

/* A process that has a dead worker's pid is not killed in its place. */
static void the_next_of_the_same_number_lives(void)
{
    static const char *const script[] = {"sleep 600000 a 1"};
    need(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    need(signal(SIGUSR1, exit_well) != SIG_ERR);
    host_init(&h, 1);
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) == 1);
    pid_t number = host_event(&h, CREW_BATCH_GIVEN, 0)->pid;
    need(kill(number, SIGKILL) == 0);
    sleep_until(kit_state(number) == 0);
    struct clone_args args = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&number, .set_tid_size = 1};
    const long child = syscall(SYS_clone3, &args, sizeof args);
    if (child < 0) { /* EPERM, E2BIG: only root chooses a number, and only since Linux 5.5 */
        printf("    the_next_of_the_same_number_lives: skipped, clone3: %s\n", strerror(errno));
        host_close(&h);
        return;
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    need(child == number);
    crew_close(h.crew); /* at once: the worker was not looked at since */
    /* A process that was sent SIGKILL does not get to handle another signal. */
    int how;
    need(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    need(kill((pid_t)child, SIGUSR1) == 0);
    need(waitpid((pid_t)child, &how, 0) == child);
    need(WIFEXITED(how) && WEXITSTATUS(how) == 42);
}

/* ---- descriptors ---- */

static int next_fd(void)
{
    const int fd = dup(0);
    need(fd >= 0);
    close(fd);
    return fd;
}

static void limit_fds(int n)
{
    struct rlimit limit;
    need(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)n < limit.rlim_max ? (rlim_t)n : limit.rlim_max;
    need(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void opening_without_descriptors(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    struct crew *crew = NULL;
    const int base = kit_count_fds(), first = next_fd();
    unsigned failures = 0;
    host_init(&h, 1);
    for (int more = 0; !crew; more++) {
        need(more < 10);
        limit_fds(first + more);
        const vecmill_status status = crew_open(&h.options, &crew, &err);
        failures += status != VECMILL_OK;
        need((status == VECMILL_OK) == (crew != NULL));
        if (!crew) need(status == VECMILL_E_INTERNAL && err.message[0] != 0);
        limit_fds(1024);
        if (!crew) need(kit_count_fds() == base);
    }
    need(failures >= 2);
    crew_close(crew);
    need(kit_count_fds() == base);
}

/* Room for one or two workers where many were wanted: they do all the work. */
static void working_with_few_descriptors(void)
{
    for (int room = 1; room <= 12; room++) {
        static const char *const script[] = {[5] = "kill 9 x 2", [50] = "exit 0 y 1"};
        host_init(&h, 40);
        h.options.start_workers = 40;
        h.script = script;
        h.n_script = 51;
        h.n_items = 100;
        limit_fds(1024);
        host_open(&h);
        /* A start takes its two ends, a higher number for one of them, and the pidfd. */
        limit_fds(next_fd() + 3 + room);
        host_run_well(&h);
        need(counts().ready <= 7);
        limit_fds(1024);
        host_close(&h);
        need_no_child();
    }
}

static void closing_gives_all_back(void)
{
    static const char *const commands[] = {"sleep 5 x 0", "kill 9 x 1", "hang 0 x 0", "segv 0 x 1"};
    static const char *script[8];
    char path[] = "/proc/self/maps", line[512];
    unsigned maps[2] = {0, 0};
    const int base = kit_count_fds();
    for (int i = 0; i < 52; i++) {
        for (size_t k = 0; k < 8; k++)
            script[k] = commands[kit_below(4)];
        host_init(&h, 1 + kit_below(3));
        h.options.start_workers = kit_below(2);
        h.script = script;
        h.n_script = 8;
        h.n_items = 16;
        host_open(&h);
        host_fill(&h);
        for (uint32_t k = kit_below(4); k > 0; k--)
            host_step(&h);
        host_close(&h);
        need_no_child();
        need(kit_count_fds() == base);
        if (i != 1 && i != 51) continue;
        FILE *f = fopen(path, "re");
        need(f != NULL);
        while (fgets(line, sizeof line, f))
            maps[i == 51]++;
        fclose(f);
    }
    if (KIT_SLOW == 1) need(maps[0] == maps[1]); /* a sanitizer maps as it likes */
}

/* What a worker has: its four descriptors, its dispositions, no signal blocked, the highest OOM
 * score; whatever the host has. */
static void what_a_worker_inherits(void)
{
    char path[64], line[256];
    sigset_t all;
    sigfillset(&all);
    const int hosts = open("/", O_RDONLY); /* not CLOEXEC, as a host's need not be */
    const int own_score = kit_oom_score(getpid());
    need(hosts > 2 && dup2(hosts, 77) == 77);
    need(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    need(signal(SIGCHLD, SIG_IGN) != SIG_ERR && signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    host_init(&h, 1);
    h.options.start_workers = 1;
    host_open(&h);
    step_until(counts().ready == 1);
    const pid_t pid = host_event(&h, CREW_READY, 0)->pid;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    need(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));)
        need(entry->d_name[0] == '.' || (entry->d_name[0] <= '3' && entry->d_name[1] == 0));
    closedir(dir);
    need(kit_oom_score(pid) == 1000 && kit_oom_score(getpid()) == own_score);
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    need(f != NULL);
    unsigned seen = 0;
    while (fgets(line, sizeof line, f)) {
        const uint64_t set = strncmp(line, "Sig", 3) == 0 ? strtoull(line + 8, NULL, 16) : 0;
        const uint64_t polite =
            1u << (SIGINT - 1) | 1u << (SIGTERM - 1) | 1u << (SIGHUP - 1) | 1u << (SIGPIPE - 1);
        const uint64_t faulty = 1u << (SIGSEGV - 1) | 1u << (SIGBUS - 1) | 1u << (SIGILL - 1) |
                                1u << (SIGFPE - 1) | 1u << (SIGABRT - 1);
        if (strncmp(line, "SigBlk:", 7) == 0) seen++, need(set == 0);
        if (strncmp(line, "SigIgn:", 7) == 0)
            seen++, need((set & polite) == polite && !(set & 1u << (SIGCHLD - 1)));
        if (strncmp(line, "SigCgt:", 7) == 0) seen++, need((set & faulty) == faulty);
    }
    fclose(f);
    need(seen == 3);
    /* The host's own mask is what it was. */
    sigset_t now;
    need(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
    need(sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGINT) == 1);
    host_close(&h);
}

static void what_a_worker_inherits_without_pidfds(void)
{
    forbid_pidfds(EINVAL);
    what_a_worker_inherits();
}

/* A host that closed its standard descriptors, and still writes to them. */
static void a_host_without_standard_descriptors(void)
{
    static const char noise[] = "a library says something to nobody\n";
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    host_init(&h, 2);
    h.all = "sleep 1 x 0";
    h.n_items = 60;
    host_open(&h);
    while (h.n_out < h.n_items) {
        host_fill(&h);
        host_step(&h);
        host_drain(&h);
        for (int fd = 0; fd <= 2; fd++) {
            const ssize_t n = write(fd, noise, sizeof noise - 1);
            (void)n;
        }
    }
    need(h.n_deaths == 0);
    host_close(&h);
}

/* ---- closing ---- */

/* Closes a crew of two, the first of which has this command or start, at some moment of it. */
static void close_amid(const char *command, const char *start, bool stopped, unsigned steps)
{
    static const char *script[1];
    pid_t pids[PIDS_MOST];
    script[0] = command;
    host_init(&h, 2);
    h.options.start_workers = 2;
    h.start = start;
    h.script = script;
    h.n_script = 1;
    h.n_items = command ? 50 : 0;
    host_open(&h);
    host_fill(&h);
    for (unsigned i = 0; i < steps; i++) {
        const uint32_t before = h.n_events;
        host_step(&h);
        if (i > 1 && h.n_events == before) break; /* nothing more happens by waiting */
    }
    const size_t n = kit_children(getpid(), pids, PIDS_MOST);
    for (size_t i = 0; stopped && i < n; i++)
        (void)kill(pids[i], SIGSTOP);
    host_close(&h);
    need_no_child();
}

static void closing_at_any_moment(void)
{
    for (unsigned steps = 0; steps < 8; steps++) {
        for (unsigned stopped = 0; stopped < 2; stopped++) {
            close_amid(NULL, "work", stopped, steps);         /* idle */
            close_amid("hang 0 x 0", "work", stopped, steps); /* busy */
            if (steps > 3) continue;
            close_amid("loop 0 x 0", "work", stopped, steps);
            close_amid("kill 9 x 0", "work", stopped, steps);
            close_amid("close 0 x 0", "work", stopped, steps);
            close_amid(NULL, "mute", stopped, steps % 3); /* starting */
            close_amid(NULL, "exit", stopped, steps);
            close_amid("flood 0 x 0", "work", stopped, steps);
        }
    }
}

static void closing_a_crew_that_failed(void)
{
    host_init(&h, 3);
    h.start = "refuse-good";
    h.options.start_workers = 3;
    host_open(&h);
    while (crew_failure(h.crew, NULL) == VECMILL_OK)
        host_step(&h);
    host_close(&h);
    need_no_child();
    host_init(&h, 3);
    h.options.program = "/nonexistent";
    host_open(&h);
    need(host_run(&h, NULL) == VECMILL_E_WORKERS);
    host_close(&h);
    need_no_child(); /* each start that failed was a child for a moment */
}

/* ---- others' children ---- */

static void end_at_once(void)
{
    _exit(42);
}

static void others_are_left_alone(void)
{
    int how;
    pid_t others[20];
    host_init(&h, 2);
    static const char *const script[] = {[10] = "kill 9 x 3"};
    h.script = script;
    h.n_script = 11;
    h.all = "sleep 2 x 0";
    h.n_items = 100;
    others[0] = kit_fork(end_at_once);
    host_open(&h);
    unsigned n = 1;
    while (h.n_out < h.n_items) {
        host_fill(&h);
        host_step(&h);
        host_drain(&h);
        if (n < 20) others[n++] = kit_fork(end_at_once);
    }
    crew_close(h.crew);
    for (unsigned i = 0; i < n; i++) {
        need(waitpid(others[i], &how, 0) == others[i]);
        need(WIFEXITED(how) && WEXITSTATUS(how) == 42);
    }
    need_no_child();
}

/* An orphan of a grandchild, which ends at once and is handed to this process. */
static void leave_an_orphan(void)
{
    if (fork() == 0) _exit(43);
    _exit(42);
}

static void strangers_are_reaped_only_as_asked(void)
{
    need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    for (int asked = 0; asked < 2; asked++) {
        static const char *const script[] = {[10] = "kill 9 x 3"};
        pid_t pids[PIDS_MOST];
        host_init(&h, 2);
        h.options.reap_strangers = asked;
        h.options.start_workers = 2;
        h.script = script;
        h.n_script = 11;
        h.n_items = 20;
        host_open(&h);
        step_until(counts().ready == 2);
        for (int i = 0; i < 3; i++)
            (void)kit_fork(leave_an_orphan);
        /* Six that have ended, besides the two workers. */
        for (unsigned dead = 0; dead < 6; usleep(1000)) {
            const size_t n = kit_children(getpid(), pids, PIDS_MOST);
            dead = 0;
            for (size_t i = 0; i < n; i++)
                dead += kit_state(pids[i]) == 'Z';
        }
        host_run_well(&h);
        if (asked) {
            step_until(kit_children(getpid(), pids, PIDS_MOST) == 2);
            need(host_deaths(&h, VECMILL_CAUSE_UNKNOWN) == 0); /* its own were not among them */
        } else {
            for (int i = 0; i < 4; i++)
                host_step(&h);
            need(kit_children(getpid(), pids, PIDS_MOST) == 8);
        }
        crew_close(h.crew);
        unsigned left = 0;
        while (waitpid(-1, NULL, 0) > 0)
            left++;
        need(left == (asked ? 0 : 6));
    }
}

static const struct kit_test tests[] = {
    KIT_TEST(each_call_fails_once_and_often),
    KIT_TEST(everything_comes_in_bits),
    KIT_TEST(interrupted_all_the_time),
    KIT_TEST(a_death_that_is_seen_first),
    KIT_TEST(an_answer_that_is_not_seen_yet),
    KIT_TEST(a_poll_that_failed_is_forgotten),
    KIT_TEST(without_pidfds),
    KIT_TEST(with_pidfds_forbidden),
    KIT_TEST(without_waiting_by_pidfd),
    KIT_TEST(with_sigchld_ignored),
    KIT_TEST(with_sigchld_ignored_and_without_pidfds),
    KIT_TEST(with_a_host_that_reaps),
    KIT_TEST(the_next_of_the_same_number_lives),
    KIT_TEST(opening_without_descriptors),
    KIT_TEST(working_with_few_descriptors),
    KIT_TEST(closing_gives_all_back),
    KIT_TEST(what_a_worker_inherits),
    KIT_TEST(what_a_worker_inherits_without_pidfds),
    KIT_TEST(a_host_without_standard_descriptors),
    KIT_TEST(closing_at_any_moment),
    KIT_TEST(closing_a_crew_that_failed),
    KIT_TEST(others_are_left_alone),
    KIT_TEST(strangers_are_reaped_only_as_asked),
};

int main(int argc, char **argv)
{
    test_on_poll = poll_fails;
    return kit_main("crew-host", tests, sizeof tests / sizeof *tests, argc, argv);
}
