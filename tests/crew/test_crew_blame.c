/* test_crew_blame: the rule of blame, for every killer among n items, alone and in storms of other
 * deaths: the guilty item is found in few deaths, and no other is condemned. Then trials: of items
 * whose workers are killed from outside, because of the item or by chance. */
#include "ledger_kit.h"

#include "crew/trial.h"

#include <math.h>

#define BLAME_MOST 256u

struct hunt {
    uint32_t n, workers;
    bool kills[BLAME_MOST];
    unsigned storm; /* percent of batches whose worker dies of something else */
    uint64_t fault_deaths, deaths;
    bool condemned[BLAME_MOST];
};

/* All n items over `workers` workers, whose batches end in random order, to the end. */
static void hunt(struct hunt *t)
{
    struct ledger l;
    struct item_range out[8];
    uint32_t n_out = 0;
    static const vecmill_cause faults[] = {VECMILL_CAUSE_SEGV, VECMILL_CAUSE_EXIT,
                                           VECMILL_CAUSE_HANG};
    static const vecmill_cause others[] = {VECMILL_CAUSE_KILLED, VECMILL_CAUSE_OOM,
                                           VECMILL_CAUSE_SIGNAL};
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = t->n,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = (size_t)16 * t->n,
                                                          .batch_items_max = t->n,
                                                          .batch_bytes_max = (size_t)16 * t->n,
                                                          .result_bytes = 1});
    for (uint32_t i = 0; i < t->n; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    t->deaths = t->fault_deaths = 0;
    while (l.returned < t->n) {
        struct batch batch;
        struct item_range parts[2];
        /* Unsent items are shared out as schedule.c would; one worker is given all of them. */
        while (n_out < t->workers && ledger_next_batch(&l, t->n / t->workers + 1, &batch))
            out[n_out++] = batch.range;
        assert_true(n_out > 0);
        const uint32_t i = below(n_out);
        const struct item_range range = out[i];
        out[i] = out[--n_out];
        bool killer = false;
        for (uint32_t k = 0; k < range.n; k++)
            killer |= t->kills[range.first + k];
        if (t->storm > 0 && below(100) < t->storm) {
            (void)ledger_requeue(&l, &range, others[below(3)], BLAME_NONE, parts);
            t->deaths++;
        } else if (killer) {
            (void)ledger_requeue(&l, &range, faults[below(3)], BLAME_FAULT, parts);
            t->deaths++;
            t->fault_deaths++;
        } else {
            ledger_commit(&l, &range, 0);
        }
        assert_true(t->deaths < 1000000); /* it ends */
    }
    assert_true(ledger_is_sound(&l));
    for (uint32_t i = 0; i < t->n; i++) {
        t->condemned[i] = ledger_head(&l)->state == ITEM_CONDEMNED;
        assert_int_equal(t->condemned[i], t->kills[i]);
        if (t->condemned[i]) assert_int_equal(ledger_head(&l)->n_faults, CREW_FAULTS_MAX);
        ledger_drop(&l);
    }
    mem_free(memory);
}

static uint32_t log2_up(uint32_t n)
{
    uint32_t log = 0;
    while ((1u << log) < n)
        log++;
    return log;
}

static const uint32_t larger[] = {65, 96, 100, 127, 128, 129, 200, 255, 256};

static void for_every_killer(void (*check)(uint32_t n, uint32_t killer))
{
    for (uint32_t n = 1; n <= 64; n++)
        for (uint32_t killer = 0; killer < n; killer++)
            check(n, killer);
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
        for (uint32_t killer = 0; killer < larger[i]; killer++)
            check(larger[i], killer);
}

static void one_alone(uint32_t n, uint32_t killer)
{
    static struct hunt t;
    t = (struct hunt){.n = n, .workers = 1};
    t.kills[killer] = true;
    hunt(&t);
    assert_true(t.deaths <= log2_up(n) + 4);
}

static void one_among_workers(uint32_t n, uint32_t killer)
{
    static struct hunt t;
    t = (struct hunt){.n = n, .workers = 4};
    t.kills[killer] = true;
    hunt(&t);
    assert_true(t.deaths <= log2_up(n) + 4);
}

static void one_in_a_storm(uint32_t n, uint32_t killer)
{
    static struct hunt t;
    t = (struct hunt){.n = n, .workers = 1 + killer % 3, .storm = 10 + (n + killer) % 60};
    t.kills[killer] = true;
    hunt(&t);
    assert_true(t.fault_deaths <= log2_up(n) + 4);
}

static void a_killer_is_found_in_few_deaths(void **state)
{
    (void)state;
    seed = 1;
    for_every_killer(one_alone);
    for_every_killer(one_among_workers);
}

static void a_killer_is_found_in_a_storm(void **state)
{
    (void)state;
    seed = 2;
    for_every_killer(one_in_a_storm);
}

static void two_killers_are_found(void **state)
{
    (void)state;
    static struct hunt t;
    seed = 3;
    for (uint32_t n = 2; n <= 20; n++) {
        for (uint32_t a = 0; a < n; a++) {
            for (uint32_t b = a + 1; b < n; b++) {
                t = (struct hunt){.n = n, .workers = 1 + (a + b) % 3, .storm = (a * b) % 50};
                t.kills[a] = t.kills[b] = true;
                hunt(&t);
                assert_true(t.fault_deaths <= 2 * (log2_up(n) + 4));
            }
        }
    }
    /* And where every item kills, each is condemned. */
    t = (struct hunt){.n = 64, .workers = 2};
    memset(t.kills, true, t.n);
    hunt(&t);
}

/* The ledger itself condemns nothing for kills, however many there are: it names the suspects. */
static void kills_make_a_suspect_and_no_more(void **state)
{
    (void)state;
    struct ledger l;
    struct item_range parts[2];
    struct batch batch;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 1,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 64,
                                                          .batch_items_max = 1,
                                                          .batch_bytes_max = 64,
                                                          .result_bytes = 1});
    assert_true(put_letters(&l, 'x', 1, 1));
    for (uint32_t i = 0; i < 5000; i++) {
        const bool want = i % 2 == 0; /* of memory, which says nothing */
        assert_true(i < 4 ? ledger_next_batch(&l, 1, &batch) : ledger_next_suspect(&l, &batch));
        assert_int_equal(batch.range.deaths, i);
        const vecmill_cause cause = (vecmill_cause)(1 + below(VECMILL_CAUSE_COUNT - 1));
        assert_int_equal(
            ledger_requeue(&l, &batch.range, cause, want ? BLAME_NONE : BLAME_ODD, parts), 1);
        assert_int_equal(l.condemned, 0);
        assert_int_equal(ledger_is_suspect(&l, 0), i >= 3);
    }
    assert_int_equal(ledger_head(&l)->n_faults, 0);
    mem_free(memory);
}

/* ---- trials, by a time of their own ---- */

#define MS 1000000u
#define T0 (1000 * (uint64_t)MS)

/* Other work that lives, `batches` times `ms`. */
static void live(struct suspect_trial *t, unsigned batches, uint64_t ms)
{
    for (unsigned i = 0; i < batches; i++)
        trial_other_returned(t, ms * MS);
}

static void five_deaths_while_others_live_are_guilt(void **state)
{
    (void)state;
    struct suspect_trial t = {0};
    uint64_t now = T0;
    assert_false(trial_wants_other_work(&t));
    for (unsigned i = 0; i < CREW_TRIAL_DEATHS; i++) {
        trial_begin(&t, 7, now);
        assert_true(trial_wants_other_work(&t)); /* next to it as well */
        live(&t, 50, 1000);                      /* and before it died that says nothing */
        now += 10 * MS;
        trial_died(&t, i % 2 ? VECMILL_CAUSE_KILLED : VECMILL_CAUSE_SIGNAL, false, now);
        assert_int_equal(t.n_deaths, i);
        live(&t, CREW_TRIAL_LIVES - 1, 1000); /* long enough, and one batch too few */
        assert_int_equal(t.n_deaths, i);
        assert_true(trial_wants_other_work(&t));
        live(&t, 1, 0);
        assert_int_equal(t.n_deaths, i + 1);
        assert_false(trial_wants_other_work(&t));
        assert_int_equal(trial_is_guilty(&t), i + 1 == CREW_TRIAL_DEATHS);
    }
    for (unsigned i = 0; i < CREW_TRIAL_DEATHS; i++)
        assert_int_equal(t.causes[i], i % 2 ? VECMILL_CAUSE_KILLED : VECMILL_CAUSE_SIGNAL);
    trial_end(&t);
    assert_false(trial_is_guilty(&t) || trial_wants_other_work(&t));
}

static void others_have_to_live_longer(void **state)
{
    (void)state;
    static const uint64_t had_ms[] = {1, 200, 1000, 1250, 2000, 60000};
    static const uint64_t owed_ms[] = {8, 1600, 8000, 10000, 10000, 60000};
    for (size_t i = 0; i < 6; i++) {
        struct suspect_trial t = {0};
        trial_begin(&t, 7, T0);
        trial_died(&t, VECMILL_CAUSE_KILLED, false, T0 + had_ms[i] * MS);
        live(&t, 20, 0); /* many, and none of them long */
        live(&t, 1, owed_ms[i] - 1);
        assert_int_equal(t.n_deaths, 0);
        live(&t, 1, 1);
        assert_int_equal(t.n_deaths, 1);
    }
}

/* Another worker's death, at any time from the suspect's batch on: the suspect's last death does
 * not count, the earlier ones do. */
static void a_death_of_another_clears_the_last(void **state)
{
    (void)state;
    struct suspect_trial t = {0};
    uint64_t now = T0;
    for (unsigned i = 0; i < 40; i++) {
        trial_begin(&t, 7, now += MS);
        if (i % 4 == 0) trial_other_died(&t); /* before it, in the same moment */
        if (i % 4 == 1) trial_other_died(&t);
        trial_died(&t, VECMILL_CAUSE_KILLED, i % 4 == 3, now += MS); /* by the OOM killer */
        if (i % 4 == 2) {
            live(&t, CREW_TRIAL_LIVES - 1, 100);
            trial_other_died(&t); /* after it: one of those that were to live */
        }
        live(&t, 100, 1000);
        assert_int_equal(t.n_deaths, 0);
        assert_false(trial_wants_other_work(&t));
    }
    for (unsigned i = 0; i < CREW_TRIAL_DEATHS; i++) {
        trial_begin(&t, 7, now += MS);
        trial_died(&t, VECMILL_CAUSE_KILLED, false, now += MS);
        live(&t, 100, 1000);
        trial_other_died(&t); /* too late: the others had lived */
        assert_int_equal(t.n_deaths, i + 1);
    }
    assert_true(trial_is_guilty(&t));
}

static void each_suspect_has_a_trial_of_its_own(void **state)
{
    (void)state;
    struct suspect_trial t = {0};
    uint64_t now = T0;
    for (unsigned i = 0; i < 3; i++) {
        trial_begin(&t, 7, now += MS);
        trial_died(&t, VECMILL_CAUSE_KILLED, false, now += MS);
        live(&t, 100, 1000);
    }
    assert_int_equal(t.n_deaths, 3);
    trial_begin(&t, 9, now += MS);
    assert_int_equal(t.n_deaths, 0);
    trial_end(&t);
    trial_begin(&t, 7, now += MS);
    assert_int_equal(t.n_deaths, 0);
}

static double chance(void)
{
    return (double)(next_random() >> 11) / 9007199254740992.0;
}

/* One suspect in a storm: a worker that has something dies, so that it lives through t with exp(-rate t).
 * Until it is returned or condemned: then true. `kills`: it does that itself. */
static bool is_condemned_in_a_storm(double rate, bool kills, unsigned *tries)
{
    struct suspect_trial t = {0};
    double now_ms = 1000;
    const double work_ms = 10, probe_ms = 2;
    for (*tries = 0; *tries < 10000; ++*tries) {
        trial_begin(&t, 7, (uint64_t)(now_ms * MS));
        const double until_ms = -log(1 - chance()) / rate;
        if (!kills && until_ms > work_ms) return false;
        now_ms += until_ms < work_ms ? until_ms : work_ms;
        trial_died(&t, VECMILL_CAUSE_KILLED, false, (uint64_t)(now_ms * MS));
        while (trial_wants_other_work(&t)) {
            const bool lives = -log(1 - chance()) / rate > probe_ms;
            now_ms += probe_ms;
            if (lives)
                trial_other_returned(&t, (uint64_t)(probe_ms * MS));
            else
                trial_other_died(&t);
        }
        if (trial_is_guilty(&t)) return true;
    }
    fail_msg("a trial without end");
    return false;
}

/* From a kill a minute to five hundred a second for each worker, and in the worst storm: a harmless
 * item is returned. */
static void no_storm_condemns_the_innocent(void **state)
{
    (void)state;
    seed = 5;
    for (double rate = 1.0 / 60000; rate < 0.5; rate *= 1.5) {
        for (unsigned i = 0; i < 5000; i++) {
            unsigned tries;
            assert_false(is_condemned_in_a_storm(rate, false, &tries));
        }
    }
}

/* And a harmful one is found, before twenty deaths while a worker is hit every second. */
static void a_storm_does_not_hide_the_guilty(void **state)
{
    (void)state;
    seed = 6;
    for (unsigned i = 0; i < 2000; i++) {
        unsigned tries;
        assert_true(is_condemned_in_a_storm(1.0 / 1000, true, &tries));
        assert_true(tries < CREW_DEATHS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killer_is_found_in_few_deaths),
        cmocka_unit_test(a_killer_is_found_in_a_storm),
        cmocka_unit_test(two_killers_are_found),
        cmocka_unit_test(kills_make_a_suspect_and_no_more),
        cmocka_unit_test(five_deaths_while_others_live_are_guilt),
        cmocka_unit_test(others_have_to_live_longer),
        cmocka_unit_test(a_death_of_another_clears_the_last),
        cmocka_unit_test(each_suspect_has_a_trial_of_its_own),
        cmocka_unit_test(no_storm_condemns_the_innocent),
        cmocka_unit_test(a_storm_does_not_hide_the_guilty),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("crew-blame: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
