/* team: items once each and in order, runs without end, threads that sleep, what a run orders, and teams that
 * cannot be opened.
 *
 * The linker replaces pthread_create, so that it can fail at any thread, and the calls that lock and sleep,
 * so that the test knows which threads did. A lost wake-up is a hang: a deadline ends the program. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS_MOST = 9, ITEMS_MOST = 100, DEADLINE_S = 600 };

static unsigned n_runs = FENCE_SANITIZED ? 2500 : 5000; /* $VECMILL_TEST_LONG: 100,000 */

static int creates_left = -1; /* threads that are started until one is not; -1: all are */

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*main)(void *),
                          void *context);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*main)(void *),
                          void *context);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*main)(void *),
                          void *context)
{
    if (creates_left == 0) return EAGAIN;
    if (creates_left > 0) creates_left--;
    return __real_pthread_create(id, attr, main, context);
}

static _Thread_local bool has_locked; /* this thread, since its last item of hand_over */
static atomic_uint n_asleep;          /* threads in pthread_cond_wait */

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    has_locked = true;
    return __real_pthread_mutex_lock(lock);
}

int __real_pthread_cond_wait(pthread_cond_t *told, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *told, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *told, pthread_mutex_t *lock)
{
    atomic_fetch_add_explicit(&n_asleep, 1, memory_order_relaxed);
    const int e = __real_pthread_cond_wait(told, lock);
    atomic_fetch_sub_explicit(&n_asleep, 1, memory_order_relaxed);
    return e;
}

static void on_deadline(int number)
{
    static const char line[] = "the deadline passed: a run did not end\n";
    (void)number;
    const ssize_t n = write(STDERR_FILENO, line, sizeof line - 1);
    _exit(n > 0 ? 3 : 4);
}

static struct team *open_team(uint32_t n)
{
    struct team *team = NULL;
    vecmill_err err;
    if (team_open(n, &team, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(team_size(team), n);
    return team;
}

static unsigned count_threads(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Threads of this process while no team is open, a sanitizer's included. One that was joined may be listed
 * a moment longer; one that never ends runs into the deadline. */
static unsigned own_threads;

static void expect_no_thread(void)
{
    while (count_threads() != own_threads)
        usleep(1000);
    assert_int_equal(count_threads(), own_threads);
}

/* ---- one run ---- */

static struct {
    uint32_t n_threads;
    atomic_uint n_begun;
    atomic_uint times[ITEMS_MOST];
    atomic_bool busy[THREADS_MOST];
    uint32_t next[THREADS_MOST]; /* the thread's last item and one */
    atomic_uint wrong;           /* asserting is for the test's own thread */
    unsigned plain;              /* what the caller wrote before the run */
    unsigned long sums[THREADS_MOST];
} run;

/* Every thread before this one that was handed an item below `item` and has not begun it is another one, so
 * all but n_threads - 1 of the items below have begun. */
static void check_item(void *context, uint32_t item, uint32_t thread)
{
    const unsigned begun = atomic_fetch_add(&run.n_begun, 1);
    if (context != &run || thread >= run.n_threads || item >= ITEMS_MOST) {
        atomic_fetch_add(&run.wrong, 1);
        return;
    }
    if (atomic_exchange(&run.busy[thread], true)) atomic_fetch_add(&run.wrong, 1);
    if (begun + run.n_threads <= item) atomic_fetch_add(&run.wrong, 1);
    if (item < run.next[thread]) atomic_fetch_add(&run.wrong, 1);
    run.next[thread] = item + 1;
    run.sums[thread] += run.plain + item;
    atomic_fetch_add(&run.times[item], 1);
    atomic_store(&run.busy[thread], false);
}

static void run_once(struct team *team, uint32_t n_items, unsigned plain)
{
    unsigned long sum = 0;
    memset(run.sums, 0, sizeof run.sums);
    memset(run.next, 0, sizeof run.next);
    for (uint32_t i = 0; i < ITEMS_MOST; i++)
        atomic_store_explicit(&run.times[i], 0, memory_order_relaxed);
    atomic_store(&run.n_begun, 0);
    run.n_threads = team_size(team);
    run.plain = plain;
    team_run(team, check_item, &run, n_items);
    assert_int_equal(run.wrong, 0);
    for (uint32_t i = 0; i < ITEMS_MOST; i++)
        assert_int_equal(run.times[i], i < n_items);
    /* What threads wrote without any lock is there when the run has ended. */
    for (uint32_t t = 0; t < THREADS_MOST; t++)
        sum += run.sums[t];
    const unsigned long below = n_items == 0 ? 0 : (unsigned long)n_items * (n_items - 1) / 2;
    assert_true(sum == (unsigned long)plain * n_items + below);
}

/* ---- tests ---- */

static void every_item_once_and_in_order(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= THREADS_MOST; n++) {
        struct team *team = n ? open_team(n) : NULL;
        for (uint32_t items = 0; items <= ITEMS_MOST; items++)
            run_once(team, items, items * 3);
        team_close(team);
    }
    assert_int_equal(team_size(NULL), 1);
    expect_no_thread();
}

/* Runs that follow each other at once, and some that find the threads asleep. */
static void no_wake_up_is_lost(void **state)
{
    (void)state;
    uint32_t seed = 5;
    for (uint32_t n = 1; n <= THREADS_MOST; n++) {
        struct team *team = open_team(n);
        for (unsigned i = 0; i < n_runs / THREADS_MOST + 1; i++) {
            seed = seed * 1664525u + 1013904223u;
            run_once(team, (seed >> 16) % (ITEMS_MOST + 1), i);
            if (i % 500 == 499) usleep(1000);
        }
        team_close(team);
    }
    expect_no_thread();
}

/* Opened and closed, with and without a run between. */
static void teams_come_and_go(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        struct team *team = open_team(1 + i % THREADS_MOST);
        if (i % 2) run_once(team, i % (ITEMS_MOST + 1), i);
        team_close(team);
    }
    team_close(NULL);
    expect_no_thread();
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* By the processor time of this process, of which load makes no more: a thread that has not come to sleep
 * yet turns 4000 times at most. */
static void threads_sleep_between_runs(void **state)
{
    (void)state;
    struct team *team = open_team(THREADS_MOST);
    run_once(team, ITEMS_MOST, 1);
    usleep(100000); /* past the turns before sleeping */
    const uint64_t before = cpu_ns();
    usleep(500000);
    const uint64_t idle = cpu_ns() - before;
    printf("%d threads, idle for 500 ms: %llu us of processor\n", THREADS_MOST,
           (unsigned long long)idle / 1000);
    assert_true(idle < 20000000); /* one that turned all the time would have 500 ms */
    run_once(team, ITEMS_MOST, 1);
    team_close(team);
}

static void nothing_is_taken_after_open(void **state)
{
    (void)state;
    struct team *team = open_team(4);
    run_once(team, 10, 1);
    const size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < 1000; i++)
        run_once(team, ITEMS_MOST, i);
    if (!FENCE_SANITIZED) assert_true(mallinfo2().uordblks == before);
    team_close(team);
}

/* The calling thread's blocked signals, a bit each. */
static uint64_t blocked(void)
{
    sigset_t mask;
    uint64_t bits = 0;
    sigemptyset(&mask);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    for (int i = 1; i <= 63; i++)
        bits |= (uint64_t)(sigismember(&mask, i) == 1) << i;
    return bits;
}

/* Each thread takes one item and waits for the others. */
static struct {
    atomic_uint arrived, unblocked;
    uint32_t n;
} meeting;

static void meet(void *context, uint32_t item, uint32_t thread)
{
    static const int some[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGCHLD, SIGALRM};
    sigset_t mask;
    (void)context;
    (void)item;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (thread > 0 && !sigismember(&mask, some[i])) atomic_fetch_add(&meeting.unblocked, 1);
    atomic_fetch_add(&meeting.arrived, 1);
    while (atomic_load(&meeting.arrived) < meeting.n)
        usleep(100);
}

static void signals_are_the_hosts(void **state)
{
    (void)state;
    const uint64_t before = blocked();
    struct team *team = open_team(THREADS_MOST);
    assert_true(blocked() == before);
    meeting.n = THREADS_MOST;
    team_run(team, meet, NULL, meeting.n);
    assert_int_equal(meeting.arrived, THREADS_MOST);
    assert_int_equal(meeting.unblocked, 0);
    assert_int_equal(count_threads(), own_threads + THREADS_MOST - 1);
    team_close(team);
    expect_no_thread();
}

/* Plain memory that only the team orders: what the items share besides is relaxed, and orders nothing. So if
 * the team orders too little, ThreadSanitizer sees a race. */
static struct {
    uint32_t n;                     /* threads, and items */
    bool caller_is_last;            /* its item ends when all other threads sleep */
    atomic_uint n_begun, n_unslept; /* n_unslept: threads that saw the run without the lock */
    unsigned given, taken[THREADS_MOST];
} handed;

static void hand_over(void *context, uint32_t item, uint32_t thread)
{
    (void)context;
    (void)item;
    const unsigned given = handed.given;
    if (thread > 0 && !has_locked)
        atomic_fetch_add_explicit(&handed.n_unslept, 1, memory_order_relaxed);
    has_locked = false;
    atomic_fetch_add_explicit(&handed.n_begun, 1, memory_order_relaxed);
    while (atomic_load_explicit(&handed.n_begun, memory_order_relaxed) < handed.n)
        sched_yield();
    while (thread == 0 && handed.caller_is_last &&
           atomic_load_explicit(&n_asleep, memory_order_relaxed) < handed.n - 1)
        usleep(100);
    handed.taken[thread] = given;
}

static void hand_over_once(struct team *team, unsigned given, bool caller_is_last)
{
    handed.n = team_size(team);
    handed.caller_is_last = caller_is_last;
    handed.given = given;
    atomic_store_explicit(&handed.n_begun, 0, memory_order_relaxed);
    team_run(team, hand_over, NULL, handed.n);
    for (uint32_t t = 0; t < handed.n; t++)
        assert_int_equal(handed.taken[t], given);
}

/* By its numbers alone, without the lock: a run that a thread sees before it sleeps, and the end of one that
 * the caller finds ended. */
static void a_run_orders_what_is_not_atomic(void **state)
{
    (void)state;
    unsigned given = 0;
    struct team *team = open_team(3);
    atomic_store(&handed.n_unslept, 0);
    while (atomic_load(&handed.n_unslept) == 0)
        hand_over_once(team, ++given, false);
    printf("a thread saw run %u before it slept\n", given);
    for (unsigned i = 0; i < 3; i++)
        hand_over_once(team, ++given, true);
    team_close(team);
    expect_no_thread();
}

static void a_team_that_cannot_be_opened_leaves_nothing(void **state)
{
    (void)state;
    for (int started = 0; started < THREADS_MOST - 1; started++) {
        struct team *team = (struct team *)(uintptr_t)1;
        vecmill_err err;
        char part[64];
        const uint64_t before = blocked();
        creates_left = started;
        assert_int_equal(team_open(THREADS_MOST, &team, &err), VECMILL_E_MEMORY);
        creates_left = -1;
        assert_true(blocked() == before);
        snprintf(part, sizeof part, "thread %d of %d cannot be started", started + 2, THREADS_MOST);
        if (!strstr(err.message, part)) fail_msg("%s", err.message);
        assert_ptr_equal(team, (struct team *)(uintptr_t)1);
        expect_no_thread();
    }
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, TEAM_MOST + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct team *team = NULL;
        vecmill_err err;
        assert_int_equal(team_open(sizes[i], &team, &err), VECMILL_E_USAGE);
        assert_non_null(strstr(err.message, "outside 1 to 256"));
        assert_null(team);
    }
    struct team *most = open_team(TEAM_MOST);
    run.n_threads = TEAM_MOST;
    meeting.n = TEAM_MOST;
    meeting.arrived = 0;
    team_run(most, meet, NULL, TEAM_MOST);
    assert_int_equal(meeting.arrived, TEAM_MOST);
    team_close(most);
    expect_no_thread();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once_and_in_order),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(teams_come_and_go),
        cmocka_unit_test(threads_sleep_between_runs),
        cmocka_unit_test(nothing_is_taken_after_open),
        cmocka_unit_test(signals_are_the_hosts),
        cmocka_unit_test(a_run_orders_what_is_not_atomic),
        cmocka_unit_test(a_team_that_cannot_be_opened_leaves_nothing),
        cmocka_unit_test(wrong_sizes_are_refused),
    };
    const char *is_long = getenv("VECMILL_TEST_LONG");
    if (is_long && *is_long) n_runs = 100000;
    team_close(open_team(2)); /* a sanitizer starts one of its own with the first thread */
    own_threads = count_threads();
    signal(SIGALRM, on_deadline);
    alarm(is_long && *is_long ? 20 * DEADLINE_S : DEADLINE_S);
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
