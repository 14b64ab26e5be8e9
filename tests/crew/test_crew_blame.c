/* test_crew_blame: the rule of blame, for every killer among n items, alone and in storms of other deaths:
 * the guilty item is found in few deaths, and no other is condemned. */
#include "ledger_kit.h"

#define BLAME_MOST 256u

struct trial {
    uint32_t n, workers;
    bool kills[BLAME_MOST];
    unsigned storm; /* percent of leases whose worker dies of something else */
    uint64_t fault_deaths, deaths;
    bool condemned[BLAME_MOST];
};

/* All n items over `workers` workers, whose leases end in random order, to the end. */
static void try_blame(struct trial *t)
{
    struct ledger l;
    struct range out[8];
    uint32_t n_out = 0;
    static const vecmill_cause faults[] = {VECMILL_CAUSE_SEGV, VECMILL_CAUSE_EXIT,
                                           VECMILL_CAUSE_HANG};
    static const vecmill_cause others[] = {VECMILL_CAUSE_KILLED, VECMILL_CAUSE_OOM,
                                           VECMILL_CAUSE_SIGNAL};
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = t->n,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = (size_t)16 * t->n,
                                                          .lease_items_max = t->n,
                                                          .lease_bytes_max = (size_t)16 * t->n,
                                                          .result_bytes = 1});
    for (uint32_t i = 0; i < t->n; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    t->deaths = t->fault_deaths = 0;
    while (l.returned < t->n) {
        struct lease lease;
        struct range parts[2];
        /* Fresh items are shared out as crew.c would; one worker is given all of them. */
        while (n_out < t->workers && ledger_lease(&l, t->n / t->workers + 1, &lease))
            out[n_out++] = lease.range;
        assert_true(n_out > 0);
        const uint32_t i = below(n_out);
        const struct range range = out[i];
        out[i] = out[--n_out];
        bool killer = false;
        for (uint32_t k = 0; k < range.n; k++)
            killer |= t->kills[range.first + k];
        if (t->storm > 0 && below(100) < t->storm) {
            (void)ledger_return(&l, &range, others[below(3)], false, parts);
            t->deaths++;
        } else if (killer) {
            (void)ledger_return(&l, &range, faults[below(3)], true, parts);
            t->deaths++;
            t->fault_deaths++;
        } else {
            ledger_commit(&l, &range);
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
    static struct trial t;
    t = (struct trial){.n = n, .workers = 1};
    t.kills[killer] = true;
    try_blame(&t);
    assert_true(t.deaths <= log2_up(n) + 4);
}

static void one_among_workers(uint32_t n, uint32_t killer)
{
    static struct trial t;
    t = (struct trial){.n = n, .workers = 4};
    t.kills[killer] = true;
    try_blame(&t);
    assert_true(t.deaths <= log2_up(n) + 4);
}

static void one_in_a_storm(uint32_t n, uint32_t killer)
{
    static struct trial t;
    t = (struct trial){.n = n, .workers = 1 + killer % 3, .storm = 10 + (n + killer) % 60};
    t.kills[killer] = true;
    try_blame(&t);
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
    static struct trial t;
    seed = 3;
    for (uint32_t n = 2; n <= 20; n++) {
        for (uint32_t a = 0; a < n; a++) {
            for (uint32_t b = a + 1; b < n; b++) {
                t = (struct trial){.n = n, .workers = 1 + (a + b) % 3, .storm = (a * b) % 50};
                t.kills[a] = t.kills[b] = true;
                try_blame(&t);
                assert_true(t.fault_deaths <= 2 * (log2_up(n) + 4));
            }
        }
    }
    /* And where every item kills, each is condemned. */
    t = (struct trial){.n = 64, .workers = 2};
    memset(t.kills, true, t.n);
    try_blame(&t);
}

static void kills_from_outside_never_condemn(void **state)
{
    (void)state;
    struct ledger l;
    struct range parts[2];
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 1,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 64,
                                                          .lease_items_max = 1,
                                                          .lease_bytes_max = 64,
                                                          .result_bytes = 1});
    assert_true(put_letters(&l, 'x', 1, 1));
    for (uint32_t i = 0; i < 5000; i++) {
        const struct range range = take(&l);
        assert_int_equal(range.deaths, i);
        const vecmill_cause cause = (vecmill_cause)(1 + below(VECMILL_CAUSE_COUNT - 1));
        assert_int_equal(ledger_return(&l, &range, cause, false, parts), 1);
        assert_int_equal(l.condemned, 0);
    }
    assert_int_equal(ledger_head(&l)->n_faults, 0);
    commit_and_drop(&l);
    assert_int_equal(l.returned, 1);
    mem_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killer_is_found_in_few_deaths),
        cmocka_unit_test(a_killer_is_found_in_a_storm),
        cmocka_unit_test(two_killers_are_found),
        cmocka_unit_test(kills_from_outside_never_condemn),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("crew-blame: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
