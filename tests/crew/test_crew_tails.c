/* test_crew_tails: results with tails, whose sizes differ: they come back whole and in order whatever
 * happens to workers, also where there is room for few of them. Nothing is measured. */
#include "crew_kit.h"

#include "crew/crew_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIDS_MOST 64u

static struct host h;

#define step_until(condition)                                                                      \
    do {                                                                                           \
        host_step(&h);                                                                             \
        need(crew_failure(h.crew, NULL) == VECMILL_OK);                                            \
    } while (!(condition))

/* Room for `frames` frames of at most `frame` bytes of tails, of at most `tail` each. */
static void init(uint32_t workers, uint32_t tail, uint32_t frame, size_t frames)
{
    host_init(&h, workers);
    h.options.tail_bytes = tail;
    h.options.frame_tails = frame;
    h.options.tails_bytes = frame * frames;
}

static struct crew_counts counts_of(const struct host *host)
{
    struct crew_counts c;
    crew_count(host->crew, &c);
    return c;
}

static uint32_t n_waiting(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h.options.workers; i++)
        n += h.crew->slots[i].no_room_ns > 0;
    return n;
}

/* All blocks are free again. */
static void all_is_given_back(void)
{
    const struct tails *t = &h.crew->ledger.tails;
    uint32_t n = 0;
    for (uint32_t at = t->free; n < t->n; n++)
        at = t->next[at];
    need(t->n_free == t->n && n == t->n);
    host_close(&h);
}

static void in_all_sizes(void)
{
    static const struct {
        uint32_t workers, result, tail, frame, frames;
    } sizes[] = {{1, 4, 1, 1, 1},         {1, 4, 4096, 4096, 1},    {2, 48, 300, 5000, 1},
                 {3, 7, 4095, 4096, 3},   {2, 24, 10000, 65536, 2}, {4, 1000, 100, 200, 9},
                 {3, 48, 65536, 65536, 4}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        init(sizes[i].workers, sizes[i].tail, sizes[i].frame, sizes[i].frames);
        h.options.result_bytes = sizes[i].result;
        h.n_items = 1000;
        host_open(&h);
        host_run_well(&h);
        need(h.n_deaths == 0 && counts_of(&h).requeued == 0);
        all_is_given_back();
    }
}

/* Nothing is taken until all workers wait: none is late, and all goes on when it is. */
static void workers_wait_for_room(void)
{
    init(3, 20000, 20000, 4);
    h.n_items = 200;
    h.options.least_ns = h.options.batch_ns; /* a deadline would pass soon */
    host_open(&h);
    host_fill(&h);
    step_until(n_waiting() == 3);
    for (int i = 0; i < 20; i++) {
        usleep(20000); /* nothing depends on how long */
        crew_wake(h.crew);
        host_step(&h);
    }
    need(n_waiting() == 3 && h.n_deaths == 0);
    host_run_well(&h);
    need(h.n_deaths == 0 && counts_of(&h).requeued == 0);
    all_is_given_back();
}

static uint64_t killed_at;

static void kill_one_now_and_then(struct host *host)
{
    pid_t pids[PIDS_MOST];
    const uint64_t returned = counts_of(host).returned;
    if (returned < killed_at + 20) return;
    const size_t n = kit_children(getpid(), pids, PIDS_MOST);
    if (n > 0) (void)kill(pids[returned % n], SIGKILL);
    killed_at = returned;
}

static void in_a_storm_of_kills(void)
{
    for (uint32_t workers = 1; workers <= 3; workers++) {
        init(workers, 30000, 40000, workers);
        h.n_items = 1500;
        h.each_step = kill_one_now_and_then;
        killed_at = 0;
        host_open(&h);
        host_run_well(&h);
        need(h.n_condemned == 0 && host_deaths(&h, VECMILL_CAUSE_KILLED) > 20);
        all_is_given_back();
    }
}

static bool refuses;

static bool may_start(void *context, uint32_t n_alive)
{
    (void)context;
    return !refuses || n_alive == 0;
}

/* The worker of the oldest item dies, no other can be started, and those that live wait for room that
 * only this item's end would make. One of them gives up what it has, and computes it. */
static void the_oldest_is_not_waited_for_in_vain(void)
{
    static const char *const script[] = {"sleep 600000 a 1"};
    init(3, 20000, 20000, 3);
    h.script = script;
    h.n_script = 1;
    h.n_items = 300;
    h.options.batch_items_max = 4;
    h.options.may_start = may_start;
    refuses = false;
    host_open(&h);
    host_fill(&h);
    step_until(n_waiting() == 2 && host_mark(&h, "a", "0"));
    refuses = true;
    need(kill(host_event(&h, CREW_BATCH_GIVEN, 0)->pid, SIGKILL) == 0);
    step_until(h.n_deaths == 1);
    host_run_well(&h);
    need(h.n_condemned == 0 && h.n_deaths == 1);
    all_is_given_back();
}

/* The last worker that was given the oldest item; 0: none since the last death. */
static pid_t holder(void)
{
    pid_t pid = 0;
    for (uint32_t i = 0; i < h.n_events; i++) {
        const struct crew_event *e = &h.events[i];
        if (e->kind == CREW_BATCH_GIVEN && e->first == 0) pid = e->pid;
        if (e->kind == CREW_DIED && e->pid == pid) pid = 0;
    }
    return pid;
}

/* The oldest item lost its worker until it is a suspect; one worker waits for room, and nothing is left
 * to compute for the others. An idle one is given the suspect, though another item is in flight. */
static void a_suspect_does_not_wait_for_those_that_wait(void)
{
    static const char *const script[] = {"sleep 600000 a 2"};
    init(3, 20000, 20000, 2);
    h.script = script;
    h.n_script = 1;
    h.n_items = 1;
    h.options.batch_items_max = 1;
    h.options.start_workers = 3; /* one is idle */
    host_open(&h);
    do {
        host_fill(&h);
        step_until(counts_of(&h).returned + 1 + n_waiting() == h.n_items && holder() != 0);
        h.n_items++;
    } while (n_waiting() == 0);
    h.n_items--;
    for (uint32_t deaths = 1; deaths <= 2; deaths++) {
        step_until(holder() != 0 && host_mark(&h, "a", deaths == 1 ? "0" : "1") &&
                   crew_n_at(h.crew, AT_IDLE) == 1);
        need(kill(holder(), SIGKILL) == 0);
        step_until(h.n_deaths == deaths);
    }
    need(n_waiting() == 1 && ledger_is_suspect(&h.crew->ledger, 0));
    host_run_well(&h);
    need(h.n_condemned == 0 && h.n_deaths == 2);
    all_is_given_back();
}

/* It is the oldest, and those that come after it find no room. */
static void a_suspect_is_condemned(void)
{
    static const char *const script[] = {"kill 9 x 0", "sleep 1 y 0"};
    for (uint32_t workers = 1; workers <= 3; workers += 2) {
        init(workers, 20000, 20000, workers);
        h.script = script;
        h.n_script = 2;
        h.n_items = 200;
        h.options.batch_items_max = 4;
        host_open(&h);
        host_run_well(&h);
        need(h.n_condemned == 1 && host_is_condemned(&h, 0));
        all_is_given_back();
    }
}

static void a_faulty_item_is_condemned(void)
{
    static const char *const script[] = {"sleep 1 x 0", "segv 0 x 0", "exit 3 x 0"};
    init(2, 20000, 30000, 2);
    h.script = script;
    h.n_script = 3;
    h.n_items = 300;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 2 && host_is_condemned(&h, 1) && host_is_condemned(&h, 2));
    all_is_given_back();
}

/* Bytes that are changed on their way: in a result, in the size of a tail, in a tail. */
static void damaged_ones_are_not_taken(void)
{
    static const char *const words[] = {
        "payload 0 x 1", "payload 3 x 1", "payload 20 x 1", "payload 60 x 1",  "size 4 x 1",
        "size -1 x 1",   "items 1 x 1",   "items -1 x 1",   "two 0 x 1",       "half 50 x 1",
        "half -1 x 1",   "halt 49 x 1",   "garbage 9 x 1",  "generation 1 x 1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        init(1, 5000, 9000, 2);
        h.script = &words[i];
        h.n_script = 1;
        h.n_items = 40;
        h.options.least_ns = 300 * UINT64_C(1000000); /* of "halt", which ends by it */
        host_open(&h);
        host_run_well(&h);
        need(h.n_condemned == 0 && h.n_deaths >= 1);
        all_is_given_back();
    }
}

static const struct kit_test tests[] = {
    KIT_TEST(in_all_sizes),
    KIT_TEST(workers_wait_for_room),
    KIT_TEST(in_a_storm_of_kills),
    KIT_TEST(the_oldest_is_not_waited_for_in_vain),
    KIT_TEST(a_suspect_does_not_wait_for_those_that_wait),
    KIT_TEST(a_suspect_is_condemned),
    KIT_TEST(a_faulty_item_is_condemned),
    KIT_TEST(damaged_ones_are_not_taken),
};

int main(int argc, char **argv)
{
    return kit_main("crew-tails", tests, sizeof tests / sizeof *tests, argc, argv);
}
