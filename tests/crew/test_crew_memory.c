/* test_crew_memory: when memory is short. Starts that are held back by a script, deaths that a
 * scripted counter ascribes to the OOM killer, and how many workers are started for how much work.
 * Nothing is measured: how often the crew woke is compared with the time that it waited, by a clock
 * that load does not move. */
#include "crew_kit.h"

#include "crew_echo.h"

#include "../kit/test_clock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIDS_MOST 128u

static struct host h;

#define step_until(condition)                                                                      \
    do {                                                                                           \
        host_step(&h);                                                                             \
        need(crew_failure(h.crew, NULL) == VECMILL_OK);                                            \
    } while (!(condition))

static struct crew_counts counts(void)
{
    struct crew_counts c;
    crew_count(h.crew, &c);
    return c;
}

/* ---- the script ---- */

static struct {
    uint32_t room;       /* workers that there may be */
    uint64_t n_asked;    /* calls of may_start */
    uint32_t most;       /* workers there were, at most, when it was allowed */
    uint64_t allowed_ms; /* when it was, last */
    bool heeds_ooms;     /* each OOM kill that is reported takes a worker's room, down to one */
    uint64_t n_ooms;     /* that were reported */
} script;

static bool may_start(void *context, uint32_t n_alive)
{
    const struct host *host = context;
    script.n_asked++;
    /* Each death so far was reported before. */
    need(script.n_ooms == host_deaths(host, VECMILL_CAUSE_OOM));
    need(n_alive < host->options.workers);
    if (n_alive >= script.room) return false;
    if (n_alive + 1 > script.most) script.most = n_alive + 1;
    script.allowed_ms = test_clock_ms();
    return true;
}

static void on_event(struct host *host, const struct crew_event *event)
{
    (void)host;
    if (event->kind != CREW_DIED || event->cause != VECMILL_CAUSE_OOM) return;
    script.n_ooms++;
    if (script.heeds_ooms && script.room > 1) script.room--;
}

/* Each look finds one kill more: so every death by SIGKILL is the OOM killer's. */
static bool always_oom(void *context, uint64_t *kills)
{
    struct host *host = context;
    *kills = ++host->oom_kills;
    return true;
}

static void init(uint32_t workers, uint32_t room)
{
    host_init(&h, workers);
    memset(&script, 0, sizeof script);
    script.room = room;
    h.options.may_start = may_start;
    h.on_event = on_event;
}

/* All children killed at once, and all of these deaths seen. */
static void kill_all(void)
{
    pid_t pids[PIDS_MOST];
    const uint64_t before = h.n_deaths;
    const size_t n = kit_children(getpid(), pids, PIDS_MOST);
    need(n > 0);
    for (size_t i = 0; i < n; i++)
        need(kill(pids[i], SIGKILL) == 0);
    while (h.n_deaths < before + n)
        host_step(&h);
}

/* ---- how many workers ---- */

static void fewer_workers_do_it_all(void)
{
    for (uint32_t room = 1; room <= 3; room++) {
        init(8, room);
        h.options.start_workers = 8;
        h.options.batch_items_max = 4;
        h.all = "sleep 1 x 0";
        h.n_items = 300;
        const uint64_t from = test_clock_ms();
        host_open(&h);
        host_run_well(&h);
        /* Each batch that comes back is a round, and none of those asks. */
        need(counts().batches > 10 && script.n_asked <= room + 2 + (test_clock_ms() - from) / 100);
        need(host_count(&h, CREW_READY) <= room && host_count(&h, CREW_READY) > 0);
        step_until(counts().ready == room);
        need(script.most == room && h.n_deaths == 0);
        host_close(&h);
    }
}

static void it_grows_back(void)
{
    init(4, 1);
    h.options.start_workers = 4;
    h.all = "sleep 1 x 0";
    h.n_items = 100;
    host_open(&h);
    host_run_well(&h);
    need(host_count(&h, CREW_READY) == 1);
    script.room = 3; /* nothing wakes the crew for it: it asks again by itself */
    step_until(counts().ready == 3);
    script.room = 0; /* and workers that live go on */
    h.n_items += 200;
    host_run_well(&h);
    need(host_count(&h, CREW_READY) == 3 && script.most == 3 && h.n_deaths == 0);
    script.room = 4;
    step_until(counts().ready == 4);
    host_close(&h);
}

/* Killed all at once, only as many come back as there is room for by then: the opener, told of each
 * OOM kill before may_start is called, makes the room less. */
static void a_mass_kill_is_followed_by_fewer(void)
{
    init(6, 6);
    h.options.start_workers = 6;
    h.options.oom_kills = always_oom;
    h.all = "sleep 1 x 0";
    h.n_items = 400;
    host_open(&h);
    step_until(counts().ready == 6);
    script.heeds_ooms = true;
    script.most = 0;
    kill_all();
    need(script.n_ooms == 6 && script.room == 1);
    host_run_well(&h);
    need(host_deaths(&h, VECMILL_CAUSE_OOM) == 6 && h.n_deaths == 6);
    need(script.most == 1 && counts().ready == 1 && host_count(&h, CREW_READY) == 7);
    host_close(&h);
}

/* What the first round starts for n items that are `batches` batches at most. */
static void starts_for(uint32_t n, uint32_t batch_items, size_t workers)
{
    pid_t pids[PIDS_MOST];
    host_init(&h, 8);
    h.n_items = n;
    h.options.batch_items_max = batch_items;
    h.all = "sleep 10 x 0";
    host_open(&h);
    host_fill(&h);
    host_step(&h);
    need(kit_children(getpid(), pids, PIDS_MOST) == workers);
    host_run_well(&h);
    need(h.n_deaths == 0);
    host_close(&h);
}

static void one_item_starts_one_worker(void)
{
    pid_t pids[PIDS_MOST];
    starts_for(1, 32, 1);
    starts_for(2, 1, 2);
    starts_for(5, 2, 3);
    /* And for the next, a worker that is there is enough. */
    host_init(&h, 8);
    h.options.start_workers = 1;
    h.n_items = 1;
    host_open(&h);
    step_until(counts().ready == 1);
    host_fill(&h);
    step_until(counts().in_flight + counts().returned == 1);
    need(kit_children(getpid(), pids, PIDS_MOST) == 1);
    host_run_well(&h);
    host_close(&h);
}

static void much_work_starts_all(void)
{
    starts_for(256, 32, 8);
    starts_for(256, 1, 8);
    starts_for(40, 32, 8); /* by what they cost */
}

/* A worker that does not come to be ready is not counted on for ever. */
static void one_that_is_slow_to_start_is_not_waited_for(void)
{
    host_init(&h, 4);
    h.n_items = 1;
    h.start = "late";
    h.start_times = 1;
    host_open(&h);
    host_run_well(&h);
    need(h.n_deaths == 0 && counts().ready >= 1);
    host_close(&h);
}

/* ---- deaths by the OOM killer ---- */

#define MANY 8u

/* As many deaths in a row as would end it long since. */
static void the_twenty_are_not_reached_by_oom(void)
{
    static const char *const items[MANY] = {"kill 9 a 6", "kill 9 b 6", "kill 9 c 6", "kill 9 d 6",
                                            "kill 9 e 6", "kill 9 f 6", "kill 9 g 6", "kill 9 h 6"};
    init(4, 4);
    h.options.oom_kills = always_oom;
    h.options.batch_items_max = 1;
    h.script = items;
    h.n_script = h.n_items = MANY;
    host_open(&h);
    host_run_well(&h);
    need(h.n_deaths == 6 * MANY && host_deaths(&h, VECMILL_CAUSE_OOM) == 6 * MANY);
    need(h.n_condemned == 0);
    host_close(&h);
    /* Before they are ready just as well. */
    init(4, 4);
    h.options.oom_kills = always_oom;
    h.options.start_workers = 4;
    h.start = "kill";
    h.start_times = 30;
    h.n_items = 20;
    host_open(&h);
    host_run_well(&h);
    /* The thirty-first may have returned all while others of the thirty were still about to die. */
    step_until(h.n_deaths >= 30);
    need(h.n_deaths == 30 && host_deaths(&h, VECMILL_CAUSE_OOM) == 30);
    host_close(&h);
}

/* A batch is halved after its second death, whatever the cause, so that less is lost by the
 * next. */
static void oom_halves_a_batch(void)
{
    uint32_t smallest = UINT32_MAX;
    init(1, 1);
    h.options.oom_kills = always_oom;
    static const char *const items[] = {[15] = "kill 9 a 5"};
    h.script = items;
    h.n_script = h.n_items = 16;
    h.options.batch_ns = 1000 * (uint64_t)MS;
    host_open(&h);
    host_run_well(&h);
    for (uint32_t i = 0; i < host_count(&h, CREW_BATCH_GIVEN); i++) {
        const struct crew_event *given = host_event(&h, CREW_BATCH_GIVEN, i);
        if (given->first + given->n == 16 && given->n < smallest) smallest = given->n;
    }
    need(host_event(&h, CREW_BATCH_GIVEN, 0)->n == 16 && smallest == 1 && h.n_condemned == 0);
    need(host_deaths(&h, VECMILL_CAUSE_OOM) == 5);
    host_close(&h);
}

/* And unsent items are given out in smaller batches, as after any other death. */
static void oom_makes_new_batches_smaller(void)
{
    static const char *const items[] = {"sleep 600000 a 0"};
    static uint64_t costs[200];
    const struct crew_event *second = NULL;
    costs[0] = 16 * (uint64_t)MS; /* a batch of its own */
    for (size_t i = 1; i < 200; i++)
        costs[i] = MS;
    init(2, 1);
    h.options.oom_kills = always_oom;
    h.options.batch_ns = 128 * (uint64_t)MS; /* an eighth of it, until something was measured */
    h.costs = costs;
    h.n_costs = 200;
    h.script = items;
    h.n_script = 1;
    h.n_items = 200;
    host_open(&h);
    host_fill(&h);
    step_until(host_count(&h, CREW_BATCH_GIVEN) == 1);
    kill_all();
    script.room = 2; /* one has the first, and sleeps; the other what comes next */
    while (!second) {
        step_until(true);
        for (uint32_t i = 0; i < host_count(&h, CREW_BATCH_GIVEN) && !second; i++)
            if (host_event(&h, CREW_BATCH_GIVEN, i)->first == 1)
                second = host_event(&h, CREW_BATCH_GIVEN, i);
    }
    need(host_event(&h, CREW_BATCH_GIVEN, 0)->n == 1 && second->n <= 8); /* else 16 */
    host_close(&h);
}

/* Every other death is by a kill that no counter shows. Only those count, and they do. */
static void every_other_is_oom(struct host *host, const struct crew_event *event)
{
    if (event->kind == CREW_BATCH_GIVEN && host_count(host, CREW_BATCH_GIVEN) % 2 == 0)
        host->oom_kills++;
}

static void a_mixed_storm_ends_by_the_twenty(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    host_init(&h, 4);
    h.on_event = every_other_is_oom;
    h.oom_known = true;
    h.options.batch_items_max = 1;
    h.options.oom_patience_ns = 3600000 * (uint64_t)MS;
    h.all = "kill 9 x 0";
    h.options.probe = "!kill 9 x 0\n"; /* nothing lives */
    h.options.probe_bytes = 12;
    h.n_items = 4;
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_E_WORKERS);
    need(strcmp(err.message, "workers keep dying: 20 in a row without one item done") == 0);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) >= CREW_DEATHS_MAX);
    need(host_deaths(&h, VECMILL_CAUSE_KILLED) <
         CREW_DEATHS_MAX + 4); /* of the workers that had it when it ended */
    need(host_deaths(&h, VECMILL_CAUSE_OOM) > 0 && h.n_condemned == 0);
    host_close(&h);
}

/* However often a worker was ended by lack of memory, may_start is asked, and believed. */
static void room_that_is_back_is_used_at_once(void)
{
    init(1, 1);
    h.options.oom_kills = always_oom;
    h.options.batch_items_max = 1;
    h.all = "kill 9 x 8";
    h.n_items = 1;
    host_open(&h);
    host_fill(&h);
    for (unsigned i = 1; i <= 8; i++) {
        script.room = 1;
        const uint64_t from_ms = test_clock_ms(), allowed_ms = script.allowed_ms;
        step_until(script.allowed_ms > allowed_ms || h.n_deaths == i);
        need(script.allowed_ms <= from_ms + 110); /* it asks every 100 ms */
        script.room = 0;
        step_until(h.n_deaths == i);
        const uint64_t n_asked = script.n_asked;
        step_until(script.n_asked >= n_asked + i % 3);
    }
    script.room = 1;
    host_run_well(&h);
    host_close(&h);
}

/* ---- patience ---- */

static unsigned said_deaths(const vecmill_err *err)
{
    unsigned n = 0;
    char end[32] = "";
    need(sscanf(
             err->message,
             "memory is short: %u workers were ended by the OOM killer within %*f s, without %31s",
             &n, end) == 2);
    need(strcmp(end, "one") == 0);
    return n;
}

static void patience_ends(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    init(1, 1);
    h.options.oom_kills = always_oom;
    h.options.oom_patience_ns = 700 * (uint64_t)MS;
    h.all = "kill 9 x 0";
    h.n_items = 10;
    host_open(&h);
    const uint64_t from = test_clock_ms();
    need(host_run(&h, &err) == VECMILL_E_WORKERS);
    need(test_clock_ms() - from >= 700);
    need(said_deaths(&err) == h.n_deaths && h.n_out == 0);
    host_close(&h);
    /* At its start no worker has an item, and the crew is useless without one. */
    init(1, 1);
    h.options.oom_kills = always_oom;
    h.options.oom_patience_ns = 500 * (uint64_t)MS;
    h.options.start_workers = 1;
    h.start = "kill";
    host_open(&h);
    while (crew_failure(h.crew, &err) == VECMILL_OK)
        host_step(&h);
    need(said_deaths(&err) == h.n_deaths);
    host_close(&h);
}

/* A worker that reports that it finds no memory to start with is waited for like one that was
 * killed for lack of it: thirty of them are not the twenty that end a crew, and the opener is
 * told. */
static uint64_t n_shortages;

static void count_shortages(struct host *host, const struct crew_event *event)
{
    (void)host;
    if (event->kind == CREW_DIED && event->shortage) n_shortages++;
}

static void no_memory_to_start_with_is_waited_out(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    init(2, 2);
    h.on_event = count_shortages;
    h.start = "no-memory";
    h.start_times = 30;
    h.options.oom_patience_ns = 3600000 * (uint64_t)MS;
    h.n_items = 5;
    n_shortages = 0;
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_OK);
    step_until(n_shortages >= 30); /* one may still be about to end */
    need(h.n_out == 5 && h.n_deaths == n_shortages && n_shortages >= 30);
    need(host_deaths(&h, VECMILL_CAUSE_EXIT) == n_shortages);
    host_close(&h);
}

/* Once only the third item is left, patience ends soon; before, no slow worker ends it. */
static void hasten_the_end(struct host *host)
{
    if (host->n_out == 2) test_clock_pass_ms(200);
}

/* Patience begins anew when an item is returned: the deaths before it are not in the sentence. */
static void progress_resets_patience(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    static const char *const items[] = {"kill 9 a 4", "kill 9 b 4", "kill 9 c 0"};
    init(1, 1);
    h.options.oom_kills = always_oom;
    h.options.oom_patience_ns = 10000 * (uint64_t)MS;
    h.each_step = hasten_the_end;
    h.options.batch_items_max = 1;
    h.script = items;
    h.n_script = h.n_items = 3;
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_E_WORKERS);
    need(h.n_out == 2 && h.n_deaths > 8 && said_deaths(&err) == h.n_deaths - 8);
    host_close(&h);
}

static void patience_ends_while_starts_are_held_back(void)
{
    vecmill_err err = {.status = VECMILL_OK};
    init(2, 1);
    h.options.oom_kills = always_oom;
    h.options.oom_patience_ns = 700 * (uint64_t)MS;
    h.all = "kill 9 x 0";
    h.n_items = 1;
    host_open(&h);
    host_fill(&h);
    step_until(h.n_deaths > 0);
    script.room = 0;
    need(host_run(&h, &err) == VECMILL_E_WORKERS);
    need(said_deaths(&err) == h.n_deaths);
    host_close(&h);
    /* Without any death too. */
    init(2, 0);
    h.options.oom_patience_ns = 500 * (uint64_t)MS;
    h.n_items = 1;
    host_open(&h);
    need(host_run(&h, &err) == VECMILL_E_WORKERS);
    need(strncmp(err.message, "memory is short: no worker could be started for ", 48) == 0);
    need(h.n_deaths == 0 && host_count(&h, CREW_READY) == 0);
    host_close(&h);
}

/* While a worker works, and while nothing is awaited, there is no hurry. */
static void patience_is_not_asked_of_who_works(void)
{
    init(4, 1);
    h.options.start_workers = 4;
    h.options.oom_patience_ns = 100 * (uint64_t)MS;
    h.all = "sleep 1000 x 0";
    h.n_items = 2;
    h.options.batch_items_max = 1;
    host_open(&h);
    host_run_well(&h);
    need(script.n_asked > 1 && host_count(&h, CREW_READY) == 1);
    script.room = 0;
    kill_all(); /* it is idle */
    const uint64_t n_asked = script.n_asked;
    step_until(script.n_asked >= n_asked + 8); /* it would have four, as its options say */
    script.room = 4;
    h.n_items = 6;
    host_run_well(&h);
    host_close(&h);
}

static void a_stop_does_not_count(void)
{
    init(2, 0);
    h.options.oom_patience_ns = 3000 * (uint64_t)MS;
    h.n_items = 5;
    host_open(&h);
    host_fill(&h);
    step_until(script.n_asked == 2);
    test_clock_pass_ms(3500); /* this process was stopped */
    for (int i = 0; i < 3; i++)
        step_until(true);
    script.room = 2;
    host_run_well(&h);
    host_close(&h);
}

/* And still a host that is late at every round finds the end of its patience. */
static void a_host_that_is_always_late(void)
{
    init(2, 0);
    h.options.oom_patience_ns = 1000 * (uint64_t)MS;
    h.n_items = 1;
    host_open(&h);
    host_fill(&h);
    while (crew_failure(h.crew, NULL) == VECMILL_OK) {
        test_clock_pass_ms(500);
        host_step(&h);
    }
    host_close(&h);
}

/* ---- waking ---- */

/* Rounds in about `ms` of the crew's time, with crew_hurry; and how long that was. */
static uint64_t rounds_in(uint64_t ms, uint64_t *took_ms)
{
    const uint64_t from = test_clock_ms();
    uint64_t n = 0;
    for (*took_ms = 0; *took_ms < ms; *took_ms = test_clock_ms() - from, n++) {
        host_step(&h);
        need(crew_failure(h.crew, NULL) == VECMILL_OK);
        crew_hurry(h.crew);
    }
    return n;
}

static void waiting_for_room_does_not_spin(void)
{
    uint64_t ms;
    init(8, 0);
    h.n_items = 50;
    host_open(&h);
    /* No worker is wanted: may_start is not called. */
    uint64_t n = rounds_in(1200, &ms);
    need(script.n_asked == 0 && n <= 4 + ms / 250);
    host_fill(&h);
    n = rounds_in(3000, &ms);
    need(script.n_asked >= ms / 300 && script.n_asked <= 2 + ms / 100 && n <= 4 + ms / 50);
    /* With one that works, and others that are held back. */
    script.room = 1;
    step_until(counts().ready == 1);
    host_run_well(&h);
    h.all = "sleep 600000 a 1"; /* until it is killed: as long as is measured here */
    h.n_items += 1;
    host_fill(&h);
    step_until(counts().in_flight > 0);
    h.n_items += 1;
    host_fill(&h);
    script.n_asked = 0;
    n = rounds_in(1200, &ms);
    need(script.n_asked >= 2 && script.n_asked <= 3 + ms / 100 && n <= 6 + ms / 50);
    kill_all();
    host_run_well(&h);
    host_close(&h);
}

/* A worker that starts is enough for what is queued: crew_hurry meanwhile changes nothing. */
static void waiting_for_a_start_does_not_spin(void)
{
    uint64_t ms;
    host_init(&h, 8);
    h.n_items = 1;
    h.start = "mute";
    host_open(&h);
    host_fill(&h);
    const uint64_t n = rounds_in(1500, &ms);
    need(n <= 12 + ms / 50);
    host_close(&h);
}

/* ---- bytes ---- */

static void an_item_that_is_too_large_is_refused(void)
{
    static unsigned char item[1001];
    host_init(&h, 1);
    h.options.item_bytes_max = 1000;
    host_open(&h);
    need(!crew_submit(h.crew, &(struct crew_piece){item, 1001}, 1, 1));
    need(!crew_submit(h.crew, &(struct crew_piece){item, SIZE_MAX}, 1, 1));
    const struct crew_piece pieces[] = {{item, 400}, {NULL, 0}, {item, 600}, {item, 1}};
    need(!crew_submit(h.crew, pieces, 4, 1));
    need(counts().accepted == 0 && counts().queued == 0);
    need(crew_submit(h.crew, pieces, 3, 1));
    need(counts().accepted == 1);
    h.n_in = 1;
    step_until(counts().returned == 1);
    h.n_in = 0; /* it is none of the host's */
    crew_drop(h.crew);
    host_close(&h);
}

static void socket_buffers_have_a_maximum(void)
{
    static char check[ECHO_COMMAND_MOST];
    snprintf(check, sizeof check, "buffer %u x 0", 2 * CREW_SOCKET_BYTES); /* as socket(7) says */
    bool is_hosts[64];
    for (int fd = 0; fd < 64; fd++)
        is_hosts[fd] = fcntl(fd, F_GETFD) >= 0;
    host_init(&h, 2);
    h.options.start_workers = 2;
    h.all = check; /* its worker exits where this is not so */
    h.n_items = 20;
    host_open(&h);
    host_run_well(&h);
    need(h.n_deaths == 0);
    step_until(counts().ready == 2);
    unsigned n = 0;
    for (int fd = 0; fd < 64; fd++) {
        int bytes = 0;
        socklen_t size = sizeof bytes;
        if (is_hosts[fd] || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size) != 0) continue;
        need(bytes == (int)(2 * CREW_SOCKET_BYTES));
        n++;
    }
    need(n == 2);
    host_close(&h);
    need(crew_kernel_bytes(0) == 0 && crew_kernel_bytes(1) > (size_t)4 * CREW_SOCKET_BYTES);
    need(crew_kernel_bytes(CREW_WORKERS_MAX) == CREW_WORKERS_MAX * crew_kernel_bytes(1));
}

static const struct kit_test tests[] = {
    KIT_TEST(fewer_workers_do_it_all),
    KIT_TEST(it_grows_back),
    KIT_TEST(a_mass_kill_is_followed_by_fewer),
    KIT_TEST(one_item_starts_one_worker),
    KIT_TEST(much_work_starts_all),
    KIT_TEST(one_that_is_slow_to_start_is_not_waited_for),
    KIT_TEST(the_twenty_are_not_reached_by_oom),
    KIT_TEST(oom_halves_a_batch),
    KIT_TEST(room_that_is_back_is_used_at_once),
    KIT_TEST(oom_makes_new_batches_smaller),
    KIT_TEST(a_mixed_storm_ends_by_the_twenty),
    KIT_TEST(patience_ends),
    KIT_TEST(no_memory_to_start_with_is_waited_out),
    KIT_TEST(progress_resets_patience),
    KIT_TEST(patience_ends_while_starts_are_held_back),
    KIT_TEST(patience_is_not_asked_of_who_works),
    KIT_TEST(a_stop_does_not_count),
    KIT_TEST(a_host_that_is_always_late),
    KIT_TEST(waiting_for_room_does_not_spin),
    KIT_TEST(waiting_for_a_start_does_not_spin),
    KIT_TEST(an_item_that_is_too_large_is_refused),
    KIT_TEST(socket_buffers_have_a_maximum),
};

int main(int argc, char **argv)
{
    return kit_main("crew-memory", tests, sizeof tests / sizeof *tests, argc, argv);
}
