/* test_crew_parts: the small parts separately: naming a cause, the counter of OOM kills, judging a
 * deadline that has passed, looking at a process. */
#include "crew_kit.h"

#include "crew/cause.h"
#include "crew/process.h"
#include "crew/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NONE     VECMILL_CAUSE_NONE
#define HANG     VECMILL_CAUSE_HANG
#define PROTOCOL VECMILL_CAUSE_PROTOCOL

/* ---- causes ---- */

static void causes_are_named(void)
{
    static const struct {
        struct exit_status status; /* known, by signal, code */
        vecmill_cause kill_cause;
        bool kill_is_fault, oom;
        vecmill_cause cause;
        int code;
        bool fault;
    } cases[] = {
        {{true, true, SIGSEGV}, NONE, false, false, VECMILL_CAUSE_SEGV, SIGSEGV, true},
        {{true, true, SIGBUS}, NONE, false, false, VECMILL_CAUSE_BUS, SIGBUS, true},
        {{true, true, SIGILL}, NONE, false, false, VECMILL_CAUSE_ILL, SIGILL, true},
        {{true, true, SIGFPE}, NONE, false, false, VECMILL_CAUSE_FPE, SIGFPE, true},
        {{true, true, SIGABRT}, NONE, false, false, VECMILL_CAUSE_ABORT, SIGABRT, true},
        {{true, true, SIGKILL}, NONE, false, false, VECMILL_CAUSE_KILLED, SIGKILL, false},
        {{true, true, SIGKILL}, NONE, false, true, VECMILL_CAUSE_OOM, SIGKILL, false},
        {{true, true, SIGSEGV}, NONE, false, true, VECMILL_CAUSE_SEGV, SIGSEGV, true},
        {{true, true, SIGTERM}, NONE, false, false, VECMILL_CAUSE_SIGNAL, SIGTERM, false},
        {{true, true, SIGUSR1}, NONE, false, true, VECMILL_CAUSE_SIGNAL, SIGUSR1, false},
        {{true, true, SIGSYS}, NONE, false, false, VECMILL_CAUSE_SIGNAL, SIGSYS, false},
        {{true, false, 0}, NONE, false, false, VECMILL_CAUSE_EXIT, 0, true},
        {{true, false, 77}, NONE, false, true, VECMILL_CAUSE_EXIT, 77, true},
        {{true, false, 160}, NONE, false, false, VECMILL_CAUSE_EXIT, 160, true},
        {{true, false, 160 + 11}, NONE, false, false, VECMILL_CAUSE_SEGV, SIGSEGV, false},
        {{true, false, 160 + 6}, NONE, false, false, VECMILL_CAUSE_ABORT, SIGABRT, false},
        {{true, false, 160 + 31}, NONE, false, false, VECMILL_CAUSE_SIGNAL, 31, false},
        {{true, false, 160 + 32}, NONE, false, false, VECMILL_CAUSE_EXIT, 192, true},
        {{true, false, 255}, NONE, false, false, VECMILL_CAUSE_EXIT, 255, true},
        /* The supervisor's own doing, unless it died of something else before. */
        {{true, true, SIGKILL}, HANG, true, false, HANG, SIGKILL, true},
        {{true, true, SIGKILL}, HANG, false, false, HANG, SIGKILL, false},
        {{true, true, SIGKILL}, PROTOCOL, true, true, PROTOCOL, SIGKILL, true},
        {{true, true, SIGSEGV}, HANG, false, false, VECMILL_CAUSE_SEGV, SIGSEGV, true},
        {{true, false, 3}, PROTOCOL, true, false, VECMILL_CAUSE_EXIT, 3, true},
        {{false, false, 0}, NONE, false, false, VECMILL_CAUSE_UNKNOWN, 0, false},
        {{false, false, 0}, NONE, false, true, VECMILL_CAUSE_UNKNOWN, 0, false},
        {{false, false, 0}, HANG, true, false, HANG, 0, true},
        {{false, false, 0}, PROTOCOL, true, false, PROTOCOL, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct death d =
            cause_of(&cases[i].status, cases[i].kill_cause, cases[i].kill_is_fault, cases[i].oom);
        if (d.cause != cases[i].cause || d.code != cases[i].code || d.fault != cases[i].fault)
            fprintf(stderr, "case %zu: %s %d %d\n", i, cause_word(d.cause), d.code, d.fault);
        need(d.cause == cases[i].cause && d.code == cases[i].code && d.fault == cases[i].fault);
    }
}

static void oom_kills_are_taken_once(void)
{
    struct oom_count oom = {.known = false};
    need(!oom_take(&oom, 5, true)); /* nothing to compare with yet */
    oom_tick(&oom, 5, true);
    need(!oom_take(&oom, 5, true));
    need(oom_take(&oom, 6, true) && !oom_take(&oom, 6, true));
    need(oom_take(&oom, 9, true) && oom_take(&oom, 9, true) && oom_take(&oom, 9, true));
    need(!oom_take(&oom, 9, true));
    /* A kill that no death took is there for one tick, and gone with the second. */
    oom_tick(&oom, 9, true);
    oom_tick(&oom, 10, true);
    need(oom_take(&oom, 10, true) && !oom_take(&oom, 10, true));
    oom_tick(&oom, 11, true);
    oom_tick(&oom, 11, true);
    need(!oom_take(&oom, 11, true));
    /* Unknown for a while: nothing is taken, nothing forgotten. */
    oom_tick(&oom, 0, false);
    need(!oom_take(&oom, 12, false));
    need(oom_take(&oom, 12, true));
    /* A counter that falls (another cgroup) takes nothing until it is past what was taken. */
    oom_tick(&oom, 2, true);
    need(!oom_take(&oom, 3, true));
}

/* ---- deadlines ---- */

static struct slot at(pid_t pid)
{
    struct slot p = {.state = AT_BUSY, .process = {.pid = pid, .pidfd = -1}, .pid = pid};
    p.since_cpu_ns = process_cpu_ns(&p.process);
    p.allowed_ns = UINT64_MAX / 20;
    p.checked_faults = process_major_faults(&p.process);
    p.received = p.checked_received = 100;
    return p;
}

static void spin(void)
{
    for (;;)
        continue;
}

static void sleep_on(void)
{
    for (;;)
        pause();
}

static void end(void) {}

static void await_state(pid_t pid, char state)
{
    while (kit_state(pid) != state)
        usleep(500);
}

static void reap(pid_t pid)
{
    need(kill(pid, SIGKILL) == 0);
    need(waitpid(pid, NULL, 0) == pid);
}

static void who_sleeps_is_late(void)
{
    const pid_t pid = kit_fork(sleep_on);
    await_state(pid, 'S');
    struct slot p = at(pid);
    need(process_state(&p.process) == 'S');
    need(slot_judge(&p, 1) == SLOT_LOOPS);
    /* Unless its answer is coming in; and even that not for ever. */
    p.received++;
    need(slot_judge(&p, 1) == SLOT_SLOW);
    p.allowed_ns = 10;
    need(slot_judge(&p, 99) == SLOT_SLOW);
    need(slot_judge(&p, 100) == SLOT_STOPPED);
    reap(pid);
}

static void who_was_stopped_is_not_to_blame(void)
{
    const pid_t pid = kit_fork(sleep_on);
    await_state(pid, 'S');
    need(kill(pid, SIGSTOP) == 0);
    await_state(pid, 'T');
    struct slot p = at(pid);
    need(slot_judge(&p, 1) == SLOT_STOPPED);
    p.received++;
    need(slot_judge(&p, 1) == SLOT_STOPPED);
    reap(pid);
}

static void who_computes_is_judged_by_processor_time(void)
{
    const pid_t pid = kit_fork(spin);
    await_state(pid, 'R');
    struct slot p = at(pid);
    need(slot_judge(&p, 1) == SLOT_SLOW);
    while (process_cpu_ns(&p.process) <= p.since_cpu_ns + 1000)
        usleep(1000);
    p.allowed_ns = 1000;
    need(slot_judge(&p, 1) == SLOT_LOOPS);
    /* Unless it had to read pages in since the last look; and even that not for ever. */
    p.checked_faults++;
    need(slot_judge(&p, 1) == SLOT_SLOW);
    need(slot_judge(&p, 9999) == SLOT_SLOW);
    need(slot_judge(&p, 10000) == SLOT_STOPPED);
    p.checked_faults--;
    /* It had no processor for ten times as long: it got nowhere, and is not to blame. */
    p.since_cpu_ns = process_cpu_ns(&p.process);
    p.allowed_ns = UINT64_MAX / 20;
    need(slot_judge(&p, UINT64_MAX - 1) == SLOT_STOPPED);
    p.since_ns = UINT64_MAX / 2;
    need(slot_judge(&p, UINT64_MAX / 2 + 5) == SLOT_SLOW);
    reap(pid);
}

/* It ended after the look for deaths and before that at deadlines: its cause is not known yet. */
static void who_has_ended_is_not_late(void)
{
    const pid_t pid = kit_fork(end);
    await_state(pid, 'Z');
    struct slot p = at(pid);
    p.since_cpu_ns = 0;
    need(slot_judge(&p, 1) == SLOT_SLOW);
    need(waitpid(pid, NULL, 0) == pid);
    need(kit_state(pid) == 0);
    p.since_cpu_ns = 5;
    need(slot_judge(&p, 1) == SLOT_SLOW);
}

/* ---- processes ---- */

static void be_named_oddly(void)
{
    need(prctl(PR_SET_NAME, ") Z (a b) T 1") == 0);
    sleep_on();
}

static void names_do_not_deceive(void)
{
    const pid_t pid = kit_fork(be_named_oddly);
    const struct process p = {.pid = pid, .pidfd = -1};
    await_state(pid, 'S');
    for (int i = 0; i < 20; i++, usleep(1000))
        need(process_state(&p) == 'S');
    reap(pid);
    need(process_state(&p) == 0 && process_cpu_ns(&p) == 0);
}

static void a_start_is_all_or_nothing(void)
{
    const int own = kit_oom_score(getpid());
    static char *const argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "1000", NULL};
    void *stack = NULL;
    vecmill_err err = {.status = VECMILL_OK};
    struct exit_status status;
    const int base = kit_count_fds(), null = fcntl(open("/dev/null", O_RDWR), F_DUPFD, 10);
    need(null >= 10 && mem_map(PROCESS_STACK_BYTES, "a stack", &stack, NULL) == VECMILL_OK);
    for (int i = 0; i < 200; i++) {
        struct process p = {.pid = 0, .pidfd = -7};
        need(process_start("/nonexistent", argv, null, null, stack, &p, &err) == VECMILL_E_WORKERS);
        need(p.pid == 0 && p.pidfd == -7); /* untouched */
        need(strstr(err.message, "/nonexistent") && strstr(err.message, "No such file"));
        need(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
        need(kit_count_fds() == base + 2);
    }
    struct process p;
    need(process_start("/bin/sleep", argv, null, null, stack, &p, &err) == VECMILL_OK);
    need(p.pid > 0);
    need(kit_oom_score(p.pid) == 1000 &&
         kit_oom_score(getpid()) == own); /* it has run no code of ours */
    need(!process_reap(&p, &status));
    process_kill(&p);
    while (!process_reap(&p, &status))
        usleep(500);
    need(status.known && status.signal && status.code == SIGKILL);
    need(p.pid == 0 && p.pidfd == -1);
    process_kill(&p); /* no process */
    need(kit_count_fds() == base + 2);
}

static void end_with_42(void)
{
    _exit(42);
}

/* A child of the host's that has ended is left to the host, whatever is asked of ours. */
static void others_children_are_not_touched(void)
{
    static char *const argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "1000", NULL};
    void *stack = NULL;
    struct process p;
    struct exit_status status;
    int how = 0;
    const int null = fcntl(open("/dev/null", O_RDWR), F_DUPFD, 10);
    need(null >= 10 && mem_map(PROCESS_STACK_BYTES, "a stack", &stack, NULL) == VECMILL_OK);
    const pid_t other = kit_fork(end_with_42);
    await_state(other, 'Z');
    need(process_start("/bin/sleep", argv, null, null, stack, &p, NULL) == VECMILL_OK);
    need(!process_reap(&p, &status));
    process_kill(&p);
    while (!process_reap(&p, &status))
        usleep(500);
    need(status.known && status.signal && status.code == SIGKILL);
    need(waitpid(other, &how, 0) == other && WIFEXITED(how) && WEXITSTATUS(how) == 42);
}

/* A batch whose worker is gone counts as sent; one that does not fit is sent in pieces. */
static void batches_are_sent_in_pieces(void)
{
    static unsigned char big[600000], seen[sizeof big + FRAME_HEAD_BYTES];
    int ends[2];
    struct slot p = {.state = AT_BUSY};
    struct tails none = {0};
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    p.socket = ends[0];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (unsigned char)(i * 31 >> 3);
    memset(p.head, 7, sizeof p.head);
    p.batch.payload_bytes = sizeof big;
    p.batch.pieces[0] = big;
    p.batch.piece_bytes[0] = 250001;
    p.batch.pieces[1] = big + 250001;
    p.batch.piece_bytes[1] = sizeof big - 250001;
    size_t got = 0;
    unsigned rounds = 0;
    for (; got < sizeof seen; rounds++) {
        slot_send(&p);
        need(slot_is_sent(&p) == (p.sent == sizeof seen));
        const ssize_t n = recv(ends[1], seen + got, kit_below(90000) + 1, MSG_DONTWAIT);
        need(n > 0);
        got += (size_t)n;
    }
    need(rounds > 6 && slot_is_sent(&p));
    need(seen[0] == 7 && seen[FRAME_HEAD_BYTES - 1] == 7);
    need(memcmp(seen + FRAME_HEAD_BYTES, big, sizeof big) == 0);
    p.sent = 0;
    close(ends[1]);
    slot_send(&p); /* EPIPE, and no signal */
    need(slot_is_sent(&p));
    slot_clear(&p, &none);
    need(p.socket == -1 && fcntl(ends[0], F_GETFD) == -1);
    slot_clear(&p, &none);
}

static const struct kit_test tests[] = {
    KIT_TEST(causes_are_named),
    KIT_TEST(oom_kills_are_taken_once),
    KIT_TEST(who_sleeps_is_late),
    KIT_TEST(who_was_stopped_is_not_to_blame),
    KIT_TEST(who_computes_is_judged_by_processor_time),
    KIT_TEST(who_has_ended_is_not_late),
    KIT_TEST(names_do_not_deceive),
    KIT_TEST(a_start_is_all_or_nothing),
    KIT_TEST(others_children_are_not_touched),
    KIT_TEST(batches_are_sent_in_pieces),
};

int main(int argc, char **argv)
{
    return kit_main("crew-parts", tests, sizeof tests / sizeof *tests, argc, argv);
}
