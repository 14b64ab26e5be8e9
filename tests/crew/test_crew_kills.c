/* test_crew_kills: what comes from outside: workers killed, stopped and sent signals, one, some or
 * all at once; the supervisor stopped, slow or killed. Nothing is lost or blamed for it. Nothing is
 * measured. */
#include "crew_kit.h"

#include "../kit/test_clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIDS_MOST 128u

static struct host h;

/* Steps until `condition`; the test's own deadline ends what never comes. */
#define step_until(condition)                                                                      \
    do {                                                                                           \
        host_step(&h);                                                                             \
        need(crew_failure(h.crew, NULL) == VECMILL_OK);                                            \
    } while (!(condition))

/* Without stepping: the supervisor does not see what happens. */
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

static void kill_and_reap(pid_t pid, int signal_number)
{
    need(kill(pid, signal_number) == 0);
    sleep_until(kit_state(pid) == 'Z');
}

/* ---- killed ---- */

static void kill_all(void)
{
    pid_t pids[PIDS_MOST];
    const size_t n = kit_children(getpid(), pids, PIDS_MOST);
    for (size_t i = 0; i < n; i++)
        (void)kill(pids[i], SIGKILL);
}

static unsigned rounds;

/* By what was returned: a suspect that waits delays what is taken. There is work until it is
 * done. */
static void kill_all_now_and_then(struct host *host)
{
    const uint64_t returned = counts().returned;
    if (rounds == 50) return;
    host->n_items = num_max(host->n_items, returned + 100);
    if (returned < 25 * (uint64_t)rounds) return;
    kill_all();
    rounds++;
}

static void all_at_once_fifty_times(void)
{
    host_init(&h, 4);
    h.all = "sleep 1 x 0";
    h.n_items = 50 * 25 + 100;
    h.each_step = kill_all_now_and_then;
    host_open(&h);
    host_run_well(&h);
    need(rounds == 50 && h.n_condemned == 0);
    need(h.n_deaths >= 50 && host_deaths(&h, VECMILL_CAUSE_KILLED) == h.n_deaths);
    host_close(&h);
}

/* More of them at once than there may be deaths in a row, each alone with its item. */
static void all_of_many_at_once(void)
{
    enum { MANY = 24 };
    static char words[MANY][32];
    static const char *script[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(words[i], sizeof words[i], "sleep 600000 i%u 2", i);
        script[i] = words[i];
    }
    host_init(&h, MANY);
    h.options.start_workers = MANY;
    h.options.batch_items_max = 1;
    h.script = script;
    h.n_script = h.n_items = MANY;
    host_open(&h);
    host_fill(&h);
    for (unsigned k = 0; k < 2; k++) {
        step_until(counts().in_flight == MANY);
        for (unsigned i = 0; i < MANY; i++) {
            char name[8];
            snprintf(name, sizeof name, "i%u", i);
            sleep_until(host_mark(&h, name, k ? "1" : "0"));
        }
        kill_all();
        /* Until then the dead still count as in flight, and a step may end before the first dies. */
        step_until(host_deaths(&h, VECMILL_CAUSE_KILLED) == (k + 1) * (uint64_t)MANY);
    }
    host_run_well(&h);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) == 2 * MANY);
    host_close(&h);
}

static struct {
    volatile uint64_t done;  /* items returned */
    volatile uint64_t kills; /* of workers */
} * shared;                  /* with the killer */

/* A process that kills its siblings, whatever they are doing; as long as something is returned between. */
static void killer(void)
{
    for (uint64_t seen = 0;;) {
        pid_t pids[PIDS_MOST];
        usleep(500 + kit_below(4000 * KIT_SLOW));
        const size_t n = kit_children(getppid(), pids, PIDS_MOST);
        if (n == 0 || shared->done < seen + 4) continue;
        const pid_t pid = pids[kit_below((uint32_t)n)];
        if (pid == getpid()) continue;
        shared->kills += kill(pid, SIGKILL) == 0;
        seen = shared->done;
    }
}

static void tell_killer(struct host *host)
{
    shared->done = host->n_out;
    /* However late the killer comes, it comes while there is work. */
    if (host->n_out > host->n_items / 2) sleep_until(shared->kills > 0);
}

static void end_killer(pid_t pid)
{
    int how;
    need(kill(pid, SIGKILL) == 0);
    need(waitpid(pid, &how, 0) == pid); /* no other process has taken it */
    need(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

static void some_at_random(void)
{
    host_init(&h, 3);
    h.options.result_bytes = 3000;
    h.item_most = 100000;
    h.n_items = 5000 / KIT_SLOW;
    static const char *script[5000];
    for (size_t i = 0; i < h.n_items; i += 2)
        script[i] = "sleep 1 x 0";
    h.script = script;
    h.n_script = h.n_items;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(shared != MAP_FAILED);
    h.each_step = tell_killer;
    const pid_t pid = kit_fork(killer);
    host_open(&h);
    host_run_well(&h);
    end_killer(pid);
    need(h.n_condemned == 0 && h.n_deaths > 0);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) == h.n_deaths);
    host_close(&h);
}

/* Without work nothing is wrong that could end the crew, however long it goes on. */
static void idle_ones_again_and_again(void)
{
    static const char *const script[] = {"kill 9 x 1"};
    host_init(&h, 8);
    h.options.start_workers = 8;
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    while (h.n_deaths < 40) {
        step_until(counts().ready == 8);
        kill_all();
        const uint64_t n = h.n_deaths;
        step_until(h.n_deaths == n + 8);
    }
    h.n_items = 1; /* it alone, and it is unlucky once */
    host_run_well(&h);
    h.n_items = 30;
    host_run_well(&h);
    host_close(&h);
}

static void behind_a_result_that_was_sent(void)
{
    static const char *const script[] = {"mark 0 m 0"};
    host_init(&h, 1);
    h.script = script;
    h.n_script = 1;
    h.options.result_bytes = 20000;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) == 1);
    sleep_until(host_mark(&h, "m", "done"));
    kill_and_reap(host_event(&h, CREW_BATCH_GIVEN, 0)->pid, SIGKILL);
    step_until(h.n_deaths == 1);
    host_drain(&h);
    need(h.n_out == 1);
    need(host_count(&h, CREW_BATCH_GIVEN) == 1 && counts().requeued == 0);
    need(host_event(&h, CREW_DIED, 0)->n == 0);
    host_close(&h);
}

/* ---- signals that are faults, and polite ones ---- */

static void fault_signals_never_condemn(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static const vecmill_cause causes[] = {VECMILL_CAUSE_SEGV, VECMILL_CAUSE_BUS, VECMILL_CAUSE_ILL,
                                           VECMILL_CAUSE_FPE, VECMILL_CAUSE_ABORT};
    static const char *const script[] = {"sleep 600000 a 4"};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        host_init(&h, 1);
        h.script = script;
        h.n_script = 1;
        host_open(&h);
        host_fill(&h);
        for (unsigned k = 0; k < 4; k++) {
            char end[8];
            snprintf(end, sizeof end, "%u", k);
            step_until(host_count(&h, CREW_BATCH_GIVEN) == k + 1);
            sleep_until(host_mark(&h, "a", end)); /* it is in the middle of it */
            need(kill(host_event(&h, CREW_BATCH_GIVEN, k)->pid, signals[i]) == 0);
            step_until(h.n_deaths == k + 1);
            const struct crew_event *died = host_event(&h, CREW_DIED, k);
            need(died->cause == causes[i] && died->code == signals[i] && died->n == 1);
        }
        host_run_well(&h);
        need(h.n_condemned == 0);
        host_close(&h);
    }
}

static void be_polite(struct host *host)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    pid_t pids[PIDS_MOST];
    const size_t n = kit_children(getpid(), pids, PIDS_MOST);
    (void)host;
    for (size_t i = 0; i < n; i++)
        (void)kill(pids[i], signals[kit_below(4)]);
}

static void polite_signals_change_nothing(void)
{
    host_init(&h, 3);
    h.all = "sleep 1 x 0";
    h.n_items = 300;
    h.each_step = be_polite;
    host_open(&h);
    host_run_well(&h);
    need(h.n_deaths == 0);
    be_polite(&h);
    need(counts().ready > 0);
    host_close(&h);
}

/* ---- out of memory ---- */

/* Two workers with an item each, dead by the next step: by these commands, or killed from outside. */
static void two_deaths(const char *first, const char *second, unsigned oom_kills)
{
    static const char *script[2];
    script[0] = first;
    script[1] = second;
    host_init(&h, 2);
    h.options.start_workers = 2;
    h.options.batch_items_max = 1;
    h.oom_known = true;
    h.oom_kills = 7;
    h.script = script;
    h.n_script = h.n_items = 2;
    host_open(&h);
    step_until(counts().ready == 2);
    host_fill(&h);
    step_until(counts().in_flight == 2);
    h.oom_kills += oom_kills;
    for (unsigned i = 0; i < 2; i++) {
        const struct crew_event *given = host_event(&h, CREW_BATCH_GIVEN, i);
        const bool sleeps = strncmp(script[given->first], "sleep", 5) == 0;
        if (sleeps) {
            sleep_until(host_mark(&h, given->first ? "b" : "a", "0"));
            need(kill(given->pid, SIGKILL) == 0);
        }
        sleep_until(kit_state(given->pid) == 'Z');
    }
    step_until(h.n_deaths == 2);
    host_run_well(&h);
    need(h.n_condemned == 0);
}

static void oom_is_told_from_killed(void)
{
    static const char *const a = "sleep 600000 a 1", *const b = "sleep 600000 b 1";
    two_deaths(a, b, 0);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) == 2);
    host_close(&h);
    two_deaths(a, b, 1);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) == 1 && host_deaths(&h, VECMILL_CAUSE_OOM) == 1);
    host_close(&h);
    two_deaths(a, b, 2);
    need(host_deaths(&h, VECMILL_CAUSE_OOM) == 2);
    need(host_event(&h, CREW_DIED, 0)->code == SIGKILL);
    host_close(&h);
}

/* A death of another kind takes nothing off the counter, whichever is seen first. */
static void oom_beside_a_fault(void)
{
    static const char *const deaths[] = {"segv 0 x 1", "exit 9 x 1", "kill 10 x 1"};
    for (size_t i = 0; i < 3; i++) {
        two_deaths(deaths[i], "sleep 600000 b 1", 1);
        need(host_deaths(&h, VECMILL_CAUSE_OOM) == 1);
        host_close(&h);
        two_deaths("sleep 600000 a 1", deaths[i], 1);
        need(host_deaths(&h, VECMILL_CAUSE_OOM) == 1);
        host_close(&h);
    }
}

static void an_old_oom_kill_is_nobody_s(void)
{
    host_init(&h, 1);
    h.options.start_workers = 1;
    h.oom_known = true;
    host_open(&h);
    step_until(counts().ready == 1);
    h.oom_kills = 3; /* neighbours */
    const uint64_t n_looks = h.n_looks;
    step_until(h.n_looks >= n_looks + 3);
    kill_and_reap(host_event(&h, CREW_READY, 0)->pid, SIGKILL);
    step_until(h.n_deaths == 1);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) == 1);
    /* Where it cannot be read, nothing is said. */
    h.oom_known = false;
    h.oom_kills = 9;
    step_until(counts().ready == 1);
    kill_and_reap(host_event(&h, CREW_READY, 1)->pid, SIGKILL);
    step_until(h.n_deaths == 2);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) == 2);
    host_close(&h);
}

/* ---- stopped ---- */

/* The probe takes time: one that ends at once would be given again without pause. */
static void a_stopped_worker_is_not_blamed(void)
{
    static const char *const script[] = {"sleep 600000 a 4"};
    static const char probe[] = "!sleep 20 p 0\n";
    host_init(&h, 2);
    h.options.probe = probe;
    h.options.probe_bytes = sizeof probe - 1;
    h.options.least_ns = 500 * (uint64_t)MS * KIT_SLOW;
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    host_fill(&h);
    for (unsigned k = 0; k < 4; k++) {
        char end[8];
        snprintf(end, sizeof end, "%u", k);
        step_until(host_count(&h, CREW_BATCH_GIVEN) == k + 1);
        sleep_until(host_mark(&h, "a", end));
        need(kill(host_event(&h, CREW_BATCH_GIVEN, k)->pid, SIGSTOP) == 0);
        step_until(h.n_deaths == k + 1);
    }
    host_run_well(&h);
    need(h.n_condemned == 0 && host_deaths(&h, VECMILL_CAUSE_HANG) == 4);
    host_close(&h);
}

static void a_worker_that_goes_on_in_time_lives(void)
{
    static const char *const script[] = {"sleep 200 a 1"};
    host_init(&h, 1);
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) == 1);
    const pid_t pid = host_event(&h, CREW_BATCH_GIVEN, 0)->pid;
    need(kill(pid, SIGSTOP) == 0);
    for (int i = 0; i < 3; i++)
        host_step(&h); /* a tick each */
    need(kill(pid, SIGCONT) == 0);
    host_run_well(&h);
    need(h.n_deaths == 0);
    host_close(&h);
}

/* A crew whose deadlines are short, results larger than a socket takes, and no death. */
static void supervise_with(void (*each_step)(struct host *))
{
    host_init(&h, 3);
    h.each_step = each_step;
    h.options.least_ns = 300 * (uint64_t)MS * KIT_SLOW;
    h.options.start_ns = 300 * (uint64_t)MS * KIT_SLOW;
    h.options.result_bytes = 60000;
    h.options.batch_ns = 100 * (uint64_t)MS;
    h.all = "spin 5 x 0";
    h.n_items = 600 / KIT_SLOW;
    host_open(&h);
    host_run_well(&h);
    need(h.n_deaths == 0);
    host_close(&h);
}

static void supervise(void)
{
    test_clock_real();
    supervise_with(NULL);
}

static void a_stopped_supervisor_kills_nobody(void)
{
    const pid_t pid = kit_fork(supervise);
    usleep(3000); /* while it starts */
    for (unsigned i = 0; i < 4; i++) {
        if (kit_state(pid) == 'Z') break;
        need(kill(pid, SIGSTOP) == 0);
        usleep(1000000);
        need(kill(pid, SIGCONT) == 0);
        usleep(100000 + kit_below(100000));
    }
    kit_wait(pid);
}

static struct {
    pid_t pids[PIDS_MOST];
    size_t n;
    unsigned times, steps;
} stopped;

static void signal_stopped(int signal_number)
{
    for (size_t i = 0; i < stopped.n; i++)
        (void)kill(stopped.pids[i], signal_number);
}

/* Now and then the workers are stopped, a second passes that this process knows nothing of, and they go on
 * 200 ms after it does: before the least of a batch that one of them may have been given meanwhile. */
static void stop_with_workers(struct host *host)
{
    if (stopped.n > 0 && ++stopped.steps == 3) {
        signal_stopped(SIGCONT);
        stopped.n = 0;
    } else if (stopped.n > 0) {
        test_clock_pass_ms(100);
        crew_wake(host->crew);
    } else if (host->n_out >= stopped.times * host->n_items / 8) {
        stopped.n = kit_children(getpid(), stopped.pids, PIDS_MOST);
        signal_stopped(SIGSTOP);
        for (size_t i = 0; i < stopped.n; i++)
            sleep_until(kit_state(stopped.pids[i]) == 'T');
        stopped.times++;
        stopped.steps = 0;
        test_clock_pass_ms(1000);
    }
}

static void workers_that_were_stopped_with_it_live(void)
{
    supervise_with(stop_with_workers);
    need(stopped.times >= 8);
}

/* The same where it was busy elsewhere: between two rounds, and within one, in on_event. */
static void a_slow_host_kills_nobody(void)
{
    host_init(&h, 1);
    h.options.least_ns = 300 * (uint64_t)MS;
    h.all = "sleep 20 x 0";
    h.n_items = 8;
    h.options.batch_items_max = 4;
    host_open(&h);
    host_fill(&h);
    while (h.n_out < h.n_items) {
        host_step(&h);
        host_drain(&h);
        if (h.n_out % 8 < 4) kit_pause_ms(700);
    }
    need(h.n_deaths == 0);
    host_close(&h);
}

/* And still a worker that hangs is found by a host that is never in time. */
static void a_host_that_is_always_late(void)
{
    static const char *const script[] = {[5] = "hang 0 x 1"};
    host_init(&h, 1);
    h.options.least_ns = 200 * (uint64_t)MS;
    h.script = script;
    h.n_script = 6;
    h.n_items = 10;
    host_open(&h);
    while (h.n_out < h.n_items) {
        host_fill(&h);
        crew_wait(h.crew);
        kit_pause_ms(300);
        host_step(&h);
        host_drain(&h);
    }
    need(h.n_deaths == 1 && host_deaths(&h, VECMILL_CAUSE_HANG) == 1);
    host_close(&h);
}

static void sleep_at_third(struct host *host, const struct crew_event *event)
{
    if (event->kind == CREW_READY && host_count(host, CREW_READY) == 3) kit_pause_ms(1500);
}

static void a_slow_listener_kills_nobody(void)
{
    static const char *const script[] = {NULL, NULL, "sleep 100 x 0"};
    host_init(&h, 2);
    h.options.start_workers = 2;
    h.options.least_ns = 400 * (uint64_t)MS;
    h.options.batch_items_max = 1;
    h.on_event = sleep_at_third;
    h.script = script;
    h.n_script = 3;
    h.n_items = 2;
    host_open(&h);
    step_until(counts().ready == 2);
    host_run_well(&h);
    /* The worker in the first slot gets the item; the other one dies, and its successor says ready
     * while the first, which was looked at before, ends its work and waits. */
    h.n_items = 3;
    host_fill(&h);
    step_until(counts().in_flight == 1);
    const pid_t busy = host_event(&h, CREW_BATCH_GIVEN, 2)->pid;
    for (uint32_t i = 0; i < 2; i++)
        if (host_event(&h, CREW_READY, i)->pid != busy)
            kill_and_reap(host_event(&h, CREW_READY, i)->pid, SIGKILL);
    step_until(host_count(&h, CREW_READY) == 3);
    for (int i = 0; i < 3; i++)
        host_step(&h);
    need(h.n_deaths == 1);
    host_run_well(&h);
    host_close(&h);
}

/* The work of a batch: a millisecond an item, on any machine. */
static void pass_work(struct host *host, const struct crew_event *event)
{
    (void)host;
    if (event->kind == CREW_BATCH_GIVEN) test_clock_pass_ms(event->n);
}

/* A pause is not work: batches are of the same size after it. */
static void a_pause_is_not_measured(void)
{
    host_init(&h, 1);
    h.on_event = pass_work;
    h.options.batch_ns = 20 * (uint64_t)MS;
    h.options.batch_items_max = 1000; /* it is the measured work that bounds them */
    h.options.items_max = 4000;
    h.n_items = UINT32_MAX;
    host_open(&h);
    uint32_t before = 0, behind = 0;
    for (uint32_t paused_at = 0; host_count(&h, CREW_BATCH_GIVEN) < 40;) {
        host_fill(&h);
        host_step(&h);
        host_drain(&h);
        const uint32_t batches = host_count(&h, CREW_BATCH_GIVEN);
        if (batches == 30 && paused_at == 0) {
            paused_at = batches;
            kit_pause_ms(3000);
        }
    }
    for (uint32_t i = 0; i < 5; i++) {
        before += host_event(&h, CREW_BATCH_GIVEN, 24 + i)->n;
        behind += host_event(&h, CREW_BATCH_GIVEN, 31 + i)->n;
    }
    need(behind * 3 >= before);
    host_close(&h);
}

/* Past its deadline and asleep, but in the midst of its answer: it waits for the supervisor to read. */
static void an_answer_on_its_way_is_waited_for(void)
{
    static const char *const script[] = {"drip 10 x 1"};
    host_init(&h, 1);
    h.options.least_ns = 50 * (uint64_t)MS;
    h.options.result_bytes = 1000;
    h.script = script;
    h.n_script = 1;
    host_open(&h);
    host_run_well(&h);
    step_until(h.n_deaths == 1); /* what follows its answer is of no interest here */
    need(host_deaths(&h, VECMILL_CAUSE_EXIT) == 1 && counts().requeued == 0);
    host_close(&h);
}

/* ---- killed supervisors, and workers that do not end ---- */

static void supervise_for_ever(void)
{
    static const char *const script[] = {"hang 0 x 0", "loop 0 x 0", "stop 0 x 0"};
    host_init(&h, 5);
    h.options.start_workers = 5;
    h.options.batch_items_max = 1;
    h.script = script;
    h.n_script = h.n_items = 3;
    host_open(&h);
    for (;;) {
        host_fill(&h);
        host_step(&h);
    }
}

static void workers_end_with_their_supervisor(void)
{
    for (unsigned round = 0; round < 6; round++) {
        pid_t workers[8];
        size_t n = 0;
        const pid_t pid = kit_fork(supervise_for_ever);
        sleep_until((n = kit_children(pid, workers, 8)) == 5);
        usleep(round * 20000); /* some of them not yet entered, or some at work */
        n = kit_children(pid, workers, 8);
        need(n == 5);
        end_killer(pid);
        for (size_t i = 0; i < n; i++)
            for (char s; (s = kit_state(workers[i])) != 0 && s != 'Z';)
                usleep(1000);
    }
}

static pid_t traced;

/* While a process is traced by one that does not wait for it, its parent cannot reap it when it is
 * dead. */
static void tracer(void)
{
    need(ptrace(PTRACE_SEIZE, traced, NULL, NULL) == 0);
    for (;;)
        pause();
}

static void a_worker_that_does_not_end_is_written_off(void)
{
    static const char *const script[] = {"sleep 600000 a 1"};
    host_init(&h, 2);
    h.script = script;
    h.n_script = 1;
    h.n_items = 20;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) >= 1 && host_mark(&h, "a", "0"));
    traced = host_event(&h, CREW_BATCH_GIVEN, 0)->pid;
    const pid_t pid = kit_fork(tracer);
    sleep_until(kit_tracer(traced) == pid);
    need(kill(traced, SIGKILL) == 0);
    /* Its batch runs elsewhere, though its death could not be seen. */
    uint64_t steps = 0;
    for (; h.n_out < h.n_items; steps++) {
        host_step(&h);
        host_drain(&h);
    }
    need(host_count(&h, CREW_LOST) == 1 && host_event(&h, CREW_LOST, 0)->pid == traced);
    need(h.n_deaths == 0 && kit_state(traced) == 'Z');
    need(steps < 2000); /* it was waited for without spinning */
    /* It ends at last, and its slot is of use again. */
    end_killer(pid);
    step_until(kit_state(traced) == 0);
    h.n_items += 200;
    h.all = "sleep 1 x 0";
    host_run_well(&h);
    need(counts().ready == 2 && h.n_deaths == 0);
    host_close(&h);
}

static void nobody_left_ends_the_crew(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    static const char *const script[] = {"sleep 600000 a 1"};
    host_init(&h, 1);
    h.script = script;
    h.n_script = 1;
    h.n_items = 1;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) >= 1 && host_mark(&h, "a", "0"));
    traced = host_event(&h, CREW_BATCH_GIVEN, 0)->pid;
    const pid_t pid = kit_fork(tracer);
    sleep_until(kit_tracer(traced) == pid);
    need(kill(traced, SIGKILL) == 0);
    need(host_run(&h, &err) == VECMILL_E_WORKERS);
    crew_close(h.crew);
    end_killer(pid);
    int how;
    need(waitpid(traced, &how, 0) == traced);
    need(kit_count_fds() == h.base_fds);
}

static const struct kit_test tests[] = {
    KIT_TEST(all_at_once_fifty_times),
    KIT_TEST(all_of_many_at_once),
    KIT_TEST(some_at_random),
    KIT_TEST(idle_ones_again_and_again),
    KIT_TEST(behind_a_result_that_was_sent),
    KIT_TEST(fault_signals_never_condemn),
    KIT_TEST(polite_signals_change_nothing),
    KIT_TEST(oom_is_told_from_killed),
    KIT_TEST(oom_beside_a_fault),
    KIT_TEST(an_old_oom_kill_is_nobody_s),
    KIT_TEST(a_stopped_worker_is_not_blamed),
    KIT_TEST(a_worker_that_goes_on_in_time_lives),
    KIT_TEST(a_stopped_supervisor_kills_nobody),
    KIT_TEST(workers_that_were_stopped_with_it_live),
    KIT_TEST(a_slow_host_kills_nobody),
    KIT_TEST(a_host_that_is_always_late),
    KIT_TEST(a_slow_listener_kills_nobody),
    KIT_TEST(a_pause_is_not_measured),
    KIT_TEST(an_answer_on_its_way_is_waited_for),
    KIT_TEST(workers_end_with_their_supervisor),
    KIT_TEST(a_worker_that_does_not_end_is_written_off),
    KIT_TEST(nobody_left_ends_the_crew),
};

int main(int argc, char **argv)
{
    return kit_main("crew-kills", tests, sizeof tests / sizeof *tests, argc, argv);
}
