/* test_crew_run: a crew of real processes that echo, and that misbehave in every way their items
 * ask for.
 *
 * Once: everything is delivered all the same, and the death is named. Always: exactly that item
 * is condemned, or, where no item may be blamed, the crew ends and says so. Nothing here is
 * measured. */
#include "crew_kit.h"

#include "crew/crew_state.h"

#include "../kit/test_clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POISON_AT 60u

/* 100 items, of which one is a command. */
static void host_with_one(struct host *h, uint32_t workers, const char *command)
{
    static const char *script[POISON_AT + 1];
    host_init(h, workers);
    script[POISON_AT] = command;
    h->script = script;
    h->n_script = POISON_AT + 1;
    h->n_items = 100;
}

/* ---- well behaved ---- */

static void echoes_of_all_sizes(void)
{
    static struct host h;
    struct crew_counts c;
    host_init(&h, 2);
    h.options.result_bytes = 1000;
    h.options.start_workers = 2;
    h.n_items = 2000 / KIT_SLOW;
    h.item_most = 200000;
    host_open(&h);
    host_run_well(&h);
    crew_count(h.crew, &c);
    need(c.condemned == 0 && c.requeued == 0 && h.n_deaths == 0);
    need(c.ready == 2 && host_count(&h, CREW_READY) == 2);
    need(c.batches == host_count(&h, CREW_BATCH_GIVEN) && c.batches < h.n_items);
    host_close(&h);
}

static void results_larger_than_a_socket(void)
{
    static struct host h;
    host_init(&h, 2);
    h.options.result_bytes = CREW_RESULT_MAX;
    h.options.items_max = 50; /* so that results wrap within batches */
    h.options.batch_ns = 500 * (uint64_t)MS;
    h.n_items = 400;
    host_open(&h);
    host_run_well(&h);
    need(h.n_deaths == 0);
    host_close(&h);
}

static void small_queues(void)
{
    static struct host h;
    static const uint32_t sizes[][4] = {/* items, queue's bytes, items and bytes of a batch */
                                        {1, 1, 1, 0},
                                        {2, 1, 4096, 0},
                                        {3, 100, 2, 64},
                                        {64, 4096, 64, 4096},
                                        {7, 300000, 3, 200000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        host_init(&h, 2);
        h.options.items_max = sizes[i][0];
        h.options.queue_bytes = sizes[i][1];
        h.options.batch_items_max = sizes[i][2];
        h.options.batch_bytes_max = sizes[i][3];
        h.options.result_bytes = 1 + (uint32_t)i * 7;
        h.item_most = i % 2 ? 3000 : 0;
        h.n_items = 200;
        host_open(&h);
        host_run_well(&h);
        need(h.n_deaths == 0);
        host_close(&h);
    }
}

/* Estimates may be anything: they decide how much is given out at a time, and nothing else. */
static void nonsensical_estimates(void)
{
    static const uint64_t costs[][4] = {{0, 0, 0, 0},
                                        {1, 0, 2, 1},
                                        {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
                                        {UINT64_MAX / 2 + 1, 1, UINT64_MAX / 2 + 1, 0},
                                        {1, UINT64_MAX / 100, 0, 1u << 30},
                                        {3600000000000u, 1, 1, 1}};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        static struct host h;
        host_init(&h, 2);
        h.costs = costs[i];
        h.n_costs = 4;
        h.all = "sleep 1 x 0";
        h.n_items = 200;
        h.options.least_ns = 500 * (uint64_t)MS * KIT_SLOW;
        host_open(&h);
        host_run_well(&h);
        need(h.n_deaths == 0);
        host_close(&h);
    }
}

static void two_crews_side_by_side(void)
{
    static struct host a, b;
    static const char *const script[] = {[5] = "kill 9 x 2", [50] = "segv 0 y 1"};
    host_init(&a, 2);
    host_init(&b, 2);
    a.script = b.script = script;
    a.n_script = b.n_script = 51;
    a.n_items = b.n_items = 200;
    a.all = b.all = "sleep 1 x 0";
    host_open(&a);
    host_open(&b);
    while (a.n_out < a.n_items || b.n_out < b.n_items) {
        struct host *both[] = {&a, &b};
        for (int i = 0; i < 2; i++) {
            host_fill(both[i]);
            crew_step(both[i]->crew);
            host_drain(both[i]);
        }
        crew_wait(a.n_out < a.n_items ? a.crew : b.crew);
    }
    need(a.n_deaths == 3 && b.n_deaths == 3);
    a.company = true;
    host_close(&a);
    b.base_fds = a.base_fds;
    host_close(&b);
}

static void held_back(void)
{
    static struct host h;
    const void *result;
    vecmill_cause causes[CREW_CAUSES_MAX];
    host_init(&h, 1);
    h.options.batch_items_max = 1;
    h.all = "sleep 50 x 0";
    h.n_items = 5;
    host_open(&h);
    need(crew_head(h.crew, &result, causes) == CREW_NONE);
    host_fill(&h);
    need(crew_head(h.crew, &result, causes) == CREW_WAITING);
    while (host_count(&h, CREW_BATCH_GIVEN) == 0)
        host_step(&h);
    crew_hold(h.crew);
    need(crew_head(h.crew, &result, causes) == CREW_WAITING); /* the first is with a worker */
    need(host_run(&h, NULL) == VECMILL_OK);
    need(h.n_out == 1 && host_count(&h, CREW_BATCH_GIVEN) == 1);
    need(crew_head(h.crew, &result, causes) == CREW_WITHHELD);
    host_close(&h);
}

static bool no_result(const void *result)
{
    (void)result;
    return false;
}

static bool odd_result(const void *result)
{
    unsigned char first;
    memcpy(&first, result, 1);
    return first % 2 > 0;
}

/* What the crew learns of: the estimated work of items whose results are measures, and nothing where none
 * is. */
static void failures_are_no_measure(void)
{
    static struct host h;
    static const uint64_t costs[] = {1000000};
    static bool (*const ways[])(const void *result) = {NULL, odd_result, no_result};
    uint64_t learned[3];
    for (int i = 0; i < 3; i++) {
        host_init(&h, 1);
        h.options.is_measure = ways[i];
        h.options.batch_ns = 60000 * (uint64_t)MS; /* nothing is forgotten */
        h.costs = costs;
        h.n_costs = 1;
        h.n_items = 64;
        host_open(&h);
        host_run_well(&h);
        learned[i] = h.crew->estimate.cost_ns;
        host_close(&h);
    }
    need(learned[0] == 64 * costs[0]);
    need(learned[1] > 0 && learned[1] < learned[0] && learned[1] % costs[0] == 0);
    need(learned[2] == 0);
}

static void options_out_of_range(void)
{
    static struct host h;
    vecmill_err err = {.status = VECMILL_OK};
    struct crew *crew = NULL;
    host_init(&h, 1);
    const struct crew_options good = h.options;
    need(crew_bytes(&good) != SIZE_MAX && crew_bytes(&good) > good.queue_bytes);
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        struct crew_options o = good;                                                              \
        o.field = (value);                                                                         \
        need(crew_bytes(&o) == SIZE_MAX);                                                          \
        need(crew_open(&o, &crew, &err) == VECMILL_E_USAGE && crew == NULL);                       \
        need(err.status == VECMILL_E_USAGE && err.message[0] != 0);                                \
    } while (0)
    BAD(workers, 0);
    BAD(workers, CREW_WORKERS_MAX + 1);
    BAD(items_max, 0);
    BAD(batch_items_max, 0);
    BAD(batch_items_max, CREW_BATCH_ITEMS_MAX + 1);
    BAD(result_bytes, 0);
    BAD(result_bytes, CREW_RESULT_MAX + 1);
    BAD(queue_bytes, 0);
    BAD(queue_bytes, SIZE_MAX);
    BAD(item_bytes_max, SIZE_MAX);
    BAD(batch_bytes_max, SIZE_MAX);
    BAD(batch_ns, 0);
    BAD(start_ns, 0);
    BAD(least_ns, 0);
#undef BAD
    struct crew_options huge = good;
    huge.items_max = UINT32_MAX;
    huge.result_bytes = CREW_RESULT_MAX;
    huge.queue_bytes = SIZE_MAX / 4;
    need(crew_open(&huge, &crew, &err) != VECMILL_OK && crew == NULL);
    need(err.status == VECMILL_E_MEMORY || err.status == VECMILL_E_USAGE);
    crew_close(NULL);
}

/* ---- misbehaving once ---- */

struct misdeed {
    const char *command;
    vecmill_cause cause;
    int code;     /* -1: whatever */
    bool hangs;   /* it is found by a deadline */
    bool answers; /* its results may count */
};

static const struct misdeed misdeeds[] = {
    {"kill 9 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"kill 10 x 1", VECMILL_CAUSE_SIGNAL, SIGUSR1, false, false},
    {"kill 11 x 1", VECMILL_CAUSE_SEGV, SIGSEGV, false, false},
    {"segv 0 x 1", VECMILL_CAUSE_SEGV, SIGSEGV, false, false},
    {"bus 0 x 1", VECMILL_CAUSE_BUS, SIGBUS, false, false},
    {"ill 0 x 1", VECMILL_CAUSE_ILL, SIGILL, false, false},
    {"fpe 0 x 1", VECMILL_CAUSE_FPE, SIGFPE, false, false},
    {"abort 0 x 1", VECMILL_CAUSE_ABORT, SIGABRT, false, false},
    {"exit 0 x 1", VECMILL_CAUSE_EXIT, 0, false, false},
    {"exit 77 x 1", VECMILL_CAUSE_EXIT, 77, false, false},
    {"stop 0 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"loop 0 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"hang 0 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"close 0 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"refuse 0 x 1", VECMILL_CAUSE_EXIT, 0, false, false},
    {"garbage 1 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"garbage 47 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"garbage 48 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"garbage 5000 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"half 0 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"half 1 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"half 47 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"half 48 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"half 49 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"half -1 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, false},
    {"halt 47 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"halt -1 x 1", VECMILL_CAUSE_HANG, SIGKILL, true, false},
    {"batch -1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"batch 1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"generation -1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"generation 1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"items 1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"size 1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"size -1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"size 4294967296 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"hash 1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"kind -2 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"kind 1 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"kind 9 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"payload 3 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"two 0 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, true},
    {"hello 0 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, true},
    {"flood 0 x 1", VECMILL_CAUSE_PROTOCOL, SIGKILL, false, false},
    {"drip 1 x 1", VECMILL_CAUSE_EXIT, 0, false, true},
    {"done 9 x 1", VECMILL_CAUSE_KILLED, SIGKILL, false, true},
    {"done 11 x 1", VECMILL_CAUSE_SEGV, SIGSEGV, false, true},
};

static void one_misdeed(const struct misdeed *m)
{
    static struct host h;
    struct crew_counts c;
    host_with_one(&h, 2, m->command);
    if (m->hangs) h.options.least_ns = 300 * (uint64_t)MS;
    host_open(&h);
    host_run_well(&h);
    while (h.n_deaths == 0) /* of what it did after its result */
        host_step(&h);
    crew_count(h.crew, &c);
    need(h.n_condemned == 0);
    const struct crew_event *died = host_event(&h, CREW_DIED, 0);
    need(died->cause == m->cause && c.deaths[m->cause] == 1 && h.n_deaths == 1);
    need(m->code < 0 || died->code == m->code);
    if (!m->answers) {
        need(died->n > 0 && died->first <= POISON_AT && died->first + died->n > POISON_AT);
        need(died->deaths == 1);
        need(c.requeued == 1 && host_count(&h, CREW_REQUEUED) == 1);
        const struct crew_event *again = host_event(&h, CREW_REQUEUED, 0);
        need(again->first == died->first && again->n == died->n && again->cause == m->cause);
    }
    need(c.requeued <= 1);
    host_close(&h);
}

static void each_misdeed_once(void)
{
    for (size_t i = 0; i < sizeof misdeeds / sizeof *misdeeds; i++) {
        printf("    %s\n", misdeeds[i].command);
        one_misdeed(&misdeeds[i]);
    }
}

/* ---- misbehaving always ---- */

static void one_poison(const char *command, vecmill_cause cause, uint32_t batch_items, bool hangs)
{
    static struct host h;
    host_with_one(&h, 2, command);
    if (hangs) h.options.least_ns = 150 * (uint64_t)MS;
    /* A loop is blamed once it has had processor time; a busy machine gives little. */
    const bool loops = strncmp(command, "loop", 4) == 0;
    if (loops) h.options.least_ns = 100 * (uint64_t)MS;
    test_clock_slow(loops ? 6 : 1);
    h.options.batch_items_max = batch_items;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 1 && h.condemned[0] == POISON_AT);
    for (unsigned i = 0; i < CREW_FAULTS_MAX; i++)
        need(h.causes[0][i] == cause);
    unsigned most = CREW_FAULTS_MAX + (batch_items > 1);
    for (uint32_t n = 1; n < batch_items; n *= 2)
        most++;
    need(h.n_deaths >= CREW_FAULTS_MAX && h.n_deaths <= most);
    need(host_deaths(&h, cause) == h.n_deaths);
    host_close(&h);
    test_clock_slow(1);
}

static void each_poison_is_condemned(void)
{
    static const struct {
        const char *command;
        vecmill_cause cause;
        uint32_t batch_items;
        bool hangs;
    } poisons[] = {
        {"segv 0 x 0", VECMILL_CAUSE_SEGV, 32, false},
        {"bus 0 x 0", VECMILL_CAUSE_BUS, 32, false},
        {"ill 0 x 0", VECMILL_CAUSE_ILL, 32, false},
        {"fpe 0 x 0", VECMILL_CAUSE_FPE, 32, false},
        {"abort 0 x 0", VECMILL_CAUSE_ABORT, 32, false},
        {"kill 6 x 0", VECMILL_CAUSE_ABORT, 4, false},
        {"exit 0 x 0", VECMILL_CAUSE_EXIT, 32, false},
        {"exit 77 x 0", VECMILL_CAUSE_EXIT, 32, false},
        {"refuse 0 x 0", VECMILL_CAUSE_EXIT, 8, false},
        {"garbage 48 x 0", VECMILL_CAUSE_PROTOCOL, 32, false},
        {"generation 1 x 0", VECMILL_CAUSE_PROTOCOL, 8, false},
        {"size -1 x 0", VECMILL_CAUSE_PROTOCOL, 8, false},
        {"payload 0 x 0", VECMILL_CAUSE_PROTOCOL, 8, false},
        {"flood 0 x 0", VECMILL_CAUSE_PROTOCOL, 4, false},
        {"close 0 x 0", VECMILL_CAUSE_PROTOCOL, 1, false}, /* two seconds each */
        {"loop 0 x 0", VECMILL_CAUSE_HANG, 8, true},
        {"hang 0 x 0", VECMILL_CAUSE_HANG, 8, true},
        {"halt 50 x 0", VECMILL_CAUSE_HANG, 4, true},
    };
    for (size_t i = 0; i < sizeof poisons / sizeof *poisons; i++) {
        printf("    %s\n", poisons[i].command);
        one_poison(poisons[i].command, poisons[i].cause, poisons[i].batch_items, poisons[i].hangs);
    }
}

static void several_poisons_in_company(void)
{
    static struct host h;
    static const char *script[120];
    static const uint64_t at[] = {0, 31, 32, 33, 70, 119};
    static const char *const words[] = {"segv 0 x 0", "exit 3 x 0", "abort 0 x 0"};
    memset(script, 0, sizeof script);
    for (size_t i = 0; i < 6; i++)
        script[at[i]] = words[i % 3];
    script[50] = "kill 9 once 1";
    script[90] = "half 40 more 2";
    host_init(&h, 3);
    h.script = script;
    h.n_script = 120;
    h.n_items = 150;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 6);
    for (size_t i = 0; i < 6; i++)
        need(h.condemned[i] == at[i]);
    need(h.causes[1][0] == VECMILL_CAUSE_EXIT && h.causes[2][0] == VECMILL_CAUSE_ABORT);
    host_close(&h);
}

/* Ends of workers that say nothing about their work, each time with the same item. */
static const struct {
    const char *command;
    vecmill_cause cause;
} odd[] = {{"kill 9 x 0", VECMILL_CAUSE_KILLED},
           {"half 10 x 0", VECMILL_CAUSE_KILLED},
           {"kill 14 x 0", VECMILL_CAUSE_SIGNAL},
           {"stop 0 x 0", VECMILL_CAUSE_HANG}};

static void init_odd(struct host *h, size_t i)
{
    printf("    %s\n", odd[i].command);
    host_with_one(h, 1 + (uint32_t)i, odd[i].command);
    if (i < 3) return;
    h->options.least_ns = 100 * (uint64_t)MS;
    h->options.batch_items_max = 1;
}

/* All others are returned, then other work lives where it does not: it is condemned. (One that is
 * stopped holds its worker so long that the probe would have to live a hundred thousand times:
 * test_crew_blame.c.) */
static void who_is_always_killed_is_condemned_at_last(void)
{
    for (size_t i = 0; i < 3; i++) {
        static struct host h;
        struct crew_counts c;
        init_odd(&h, i);
        host_open(&h);
        host_run_well(&h);
        need(h.n_condemned == 1 && h.condemned[0] == POISON_AT);
        for (unsigned k = 0; k < CREW_TRIAL_DEATHS; k++)
            need(h.causes[0][k] == odd[i].cause);
        crew_count(h.crew, &c);
        need(c.requeued == h.n_deaths && host_deaths(&h, odd[i].cause) == h.n_deaths);
        need(h.n_deaths <= 5 + 2 + CREW_TRIAL_DEATHS + 1); /* a batch of 32, halved */
        /* From its second death alone on it waited until all others were done. */
        const struct crew_event *last = NULL;
        for (uint32_t k = 0; k < host_count(&h, CREW_BATCH_GIVEN); k++) {
            last = host_event(&h, CREW_BATCH_GIVEN, k);
            if (k + CREW_TRIAL_DEATHS >= host_count(&h, CREW_BATCH_GIVEN))
                need(last->first == POISON_AT && last->n == 1);
        }
        host_close(&h);
    }
}

/* Two at once, the first item and the last, and every item there is. */
static void several_that_are_always_killed(void)
{
    static struct host h;
    static const char *script[100];
    script[0] = script[1] = script[60] = script[99] = "kill 9 x 0";
    host_init(&h, 2);
    h.script = script;
    h.n_script = h.n_items = 100;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 4 && h.condemned[0] == 0 && h.condemned[1] == 1);
    need(h.condemned[2] == 60 && h.condemned[3] == 99);
    host_close(&h);
    host_init(&h, 2);
    h.all = "kill 9 x 0";
    h.n_items = 30;
    host_open(&h);
    host_run_well(&h);
    need(h.n_condemned == 30);
    host_close(&h);
}

/* What ends all workers ends the crew, and no item is condemned: all others were returned
 * before. */
static void what_ends_other_work_too_ends_the_crew(void)
{
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        static struct host h;
        struct crew_counts c;
        vecmill_err err = {.status = VECMILL_OK};
        char probe[64];
        init_odd(&h, i);
        h.options.probe_bytes = (size_t)snprintf(probe, sizeof probe, "!%s\n", odd[i].command);
        h.options.probe = probe;
        host_open(&h);
        need(host_run(&h, &err) == VECMILL_E_WORKERS);
        need(err.status == VECMILL_E_WORKERS && strstr(err.message, "keep dying") != NULL);
        need(h.n_out == POISON_AT);
        crew_count(h.crew, &c);
        need(c.returned == 99 && c.queued == 1 && c.in_flight == 0 && c.condemned == 0);
        need(h.n_deaths >= CREW_DEATHS_MAX);
        need(crew_submit(h.crew, &(struct crew_piece){"x", 1}, 1,
                         1)); /* it is accepted, and withheld */
        host_close(&h);
    }
}

static void a_computation_that_fails_ends_the_crew(void)
{
    static struct host h;
    vecmill_err err = {.status = VECMILL_OK};
    host_with_one(&h, 2, "fail 0 x 0");
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_E_INPUT);
    need(strcmp(err.message, "crew_dummy was told to fail") == 0);
    need(h.n_condemned == 0 && h.n_out <= POISON_AT);
    host_close(&h);
    host_with_one(&h, 2, "refuse 1 x 0");
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_E_MODEL);
    need(strcmp(err.message, "crew_dummy does not want to") == 0);
    host_close(&h);
}

/* ---- misbehaving at the start ---- */

static void each_bad_start_a_few_times(void)
{
    static const struct {
        const char *start;
        vecmill_cause cause;
        int code;
        unsigned times;
    } starts[] = {
        {"refuse", VECMILL_CAUSE_EXIT, 1, 3}, {"exit", VECMILL_CAUSE_EXIT, 9, 5},
        {"early", VECMILL_CAUSE_EXIT, 7, 5},  {"kill", VECMILL_CAUSE_KILLED, SIGKILL, 5},
        {"segv", VECMILL_CAUSE_SEGV, 11, 3},  {"sizes", VECMILL_CAUSE_PROTOCOL, SIGKILL, 3},
        {"mute", VECMILL_CAUSE_HANG, 9, 2},   {"garbage", VECMILL_CAUSE_HANG, SIGKILL, 1},
        {"late", VECMILL_CAUSE_HANG, 9, 1},   {"close", VECMILL_CAUSE_PROTOCOL, SIGKILL, 1},
    };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        static struct host h;
        printf("    %s\n", starts[i].start);
        host_init(&h, 2);
        h.n_items = 50;
        h.start = starts[i].start;
        h.start_times = starts[i].times;
        if (starts[i].cause == VECMILL_CAUSE_HANG)
            h.options.start_ns = 300 * (uint64_t)MS * KIT_SLOW;
        host_open(&h);
        host_run_well(&h);
        need(h.n_condemned == 0);
        /* All may be done by the other worker before the last bad one has ended. */
        while (h.n_deaths < starts[i].times)
            host_step(&h);
        need(host_deaths(&h, starts[i].cause) >= starts[i].times);
        need(host_event(&h, CREW_DIED, 0)->cause == starts[i].cause);
        need(host_event(&h, CREW_DIED, 0)->code == starts[i].code);
        need(host_event(&h, CREW_DIED, 0)->n == 0 && host_count(&h, CREW_REQUEUED) == 0);
        host_close(&h);
    }
}

static void a_start_that_is_always_bad_ends_the_crew(void)
{
    static const char *const starts[] = {"exit", "kill", "refuse", "sizes"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        static struct host h;
        vecmill_err err = {.status = VECMILL_OK};
        printf("    %s\n", starts[i]);
        host_init(&h, 8);
        h.options.start_workers = i % 2 ? 8 : 0;
        h.start = starts[i];
        h.n_items = 10;
        host_open(&h);
        need(host_run(&h, &err) == VECMILL_E_WORKERS);
        need(strstr(err.message, "before they were ready") != NULL);
        if (i == 2) need(strstr(err.message, "crew_dummy does not want to") != NULL);
        need(h.n_deaths >= CREW_DEATHS_MAX && h.n_out == 0 && host_count(&h, CREW_READY) == 0);
        host_close(&h);
    }
}

static void a_refusal_for_good_ends_the_crew(void)
{
    static struct host h;
    vecmill_err err = {.status = VECMILL_OK};
    host_init(&h, 2);
    h.start = "refuse-good";
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_E_MODEL);
    need(err.status == VECMILL_E_MODEL);
    need(strcmp(err.message, "crew_dummy does not want to") == 0);
    need(h.n_deaths <= 2);
    host_close(&h);
}

static void a_program_that_is_not_there(void)
{
    static const char *const programs[] = {"/nonexistent/crew", "/etc/hostname", "/tmp"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        static struct host h;
        vecmill_err err = {.status = VECMILL_OK};
        host_init(&h, 4);
        h.options.program = programs[i];
        host_open(&h);
        need(host_run(&h, &err) == VECMILL_E_WORKERS);
        need(strstr(err.message, programs[i]) != NULL);
        need(h.n_events == 0 && h.n_out == 0); /* there never was a process */
        host_close(&h);
    }
}

static const struct kit_test tests[] = {
    KIT_TEST(echoes_of_all_sizes),
    KIT_TEST(results_larger_than_a_socket),
    KIT_TEST(small_queues),
    KIT_TEST(nonsensical_estimates),
    KIT_TEST(two_crews_side_by_side),
    KIT_TEST(held_back),
    KIT_TEST(failures_are_no_measure),
    KIT_TEST(options_out_of_range),
    KIT_TEST(each_misdeed_once),
    KIT_TEST(each_poison_is_condemned),
    KIT_TEST(several_poisons_in_company),
    KIT_TEST(who_is_always_killed_is_condemned_at_last),
    KIT_TEST(several_that_are_always_killed),
    KIT_TEST(what_ends_other_work_too_ends_the_crew),
    KIT_TEST(a_computation_that_fails_ends_the_crew),
    KIT_TEST(each_bad_start_a_few_times),
    KIT_TEST(a_start_that_is_always_bad_ends_the_crew),
    KIT_TEST(a_refusal_for_good_ends_the_crew),
    KIT_TEST(a_program_that_is_not_there),
};

int main(int argc, char **argv)
{
    return kit_main("crew-run", tests, sizeof tests / sizeof *tests, argc, argv);
}
