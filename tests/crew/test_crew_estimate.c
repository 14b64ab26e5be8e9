/* test_crew_estimate: how much work a batch has, by what was measured, what died and when. */
#include "crew/estimate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS       UINT64_C(1000000)
#define BATCH_NS (250 * MS)
#define T0       (1000000 * MS)

/* Measured: what was estimated as 1 ms takes 1 ms. */
static struct estimate exact(void)
{
    struct estimate e = {0};
    estimate_add(&e, 100 * MS, 100 * MS, BATCH_NS);
    return e;
}

/* The time a whole batch is planned to take, to the microsecond. */
static uint64_t whole_us(const struct estimate *e, uint64_t deaths, uint64_t now_ns)
{
    return (estimate_time_ns(e, estimate_batch_ns(e, BATCH_NS, deaths, now_ns)) + 500) / 1000;
}

static void a_first_guess_is_an_eighth(void **state)
{
    (void)state;
    struct estimate e = {0};
    assert_int_equal(whole_us(&e, 0, T0), 250000 / 8);
    assert_int_equal(estimate_time_ns(&e, 77 * MS), 77 * MS);
    assert_int_equal(estimate_cost_ns(&e, 77 * MS), 77 * MS);
    e = exact();
    assert_int_equal(whole_us(&e, 0, T0), 250000);
}

static void costs_are_turned_into_time(void **state)
{
    (void)state;
    struct estimate e = {0};
    estimate_add(&e, 10 * MS, 40 * MS, BATCH_NS); /* four times what was estimated */
    assert_int_equal(estimate_time_ns(&e, 5 * MS), 20 * MS);
    assert_int_equal(estimate_cost_ns(&e, 20 * MS) / 1000, 5 * MS / 1000);
    assert_int_equal(whole_us(&e, 0, T0), 250000);
    assert_int_equal(estimate_batch_ns(&e, BATCH_NS, 0, T0) / MS, 250 / 4);
    /* What was measured lately counts most: the machine is slower by ten from now on. */
    for (int i = 0; i < 100; i++)
        estimate_add(&e, 25 * MS, 1000 * MS, BATCH_NS);
    assert_true(e.cost_ns <= 2 * 12 * BATCH_NS && e.took_ns > 0);
    assert_in_range(estimate_time_ns(&e, 1 * MS), 39 * MS, 40 * MS);
}

static void any_estimate_is_bounded(void **state)
{
    (void)state;
    const uint64_t day_ns = UINT64_C(86400000) * MS;
    struct estimate e = {.cost_ns = 1, .took_ns = UINT64_MAX / 2};
    assert_int_equal(estimate_time_ns(&e, UINT64_MAX / 2), day_ns);
    assert_int_equal(estimate_batch_ns(&e, BATCH_NS, 0, T0), 1); /* one item fits anyway */
    e = (struct estimate){.cost_ns = UINT64_MAX / 2, .took_ns = 0};
    assert_int_equal(estimate_time_ns(&e, MS), 0);
    assert_int_equal(estimate_cost_ns(&e, BATCH_NS), 1 + day_ns);
}

static void deaths_halve_it(void **state)
{
    (void)state;
    const struct estimate e = exact();
    uint64_t before = whole_us(&e, 0, T0);
    for (uint64_t deaths = 1; deaths <= 7; deaths++) {
        const uint64_t now = whole_us(&e, deaths, T0);
        assert_in_range(2 * now, before - 1, before + 1);
        before = now;
    }
    assert_in_range(before, 1953 - 1, 1953 + 1); /* a 128th of 250 ms */
    assert_int_equal(whole_us(&e, 8, T0), before);
    assert_int_equal(whole_us(&e, UINT64_MAX, T0), before);
}

static void after_a_loss_it_is_a_quarter_of_the_time_since(void **state)
{
    (void)state;
    struct estimate e = exact();
    e.lost_ns = T0;
    assert_int_equal(whole_us(&e, 0, T0), 250000 / 16); /* at once: a sixteenth, and no less */
    assert_int_equal(whole_us(&e, 0, T0 + 62 * MS), 250000 / 16);
    for (uint64_t ms = 63; ms <= 1000; ms++) /* then a quarter of the time */
        assert_int_equal(whole_us(&e, 0, T0 + ms * MS), ms * 1000 / 4);
    assert_int_equal(whole_us(&e, 0, T0 + 1001 * MS), 250000); /* up to a whole one */
    assert_int_equal(whole_us(&e, 0, T0 + 1000000 * MS), 250000);
    e.lost_ns = T0 + 500 * MS; /* the last loss counts */
    assert_int_equal(whole_us(&e, 0, T0 + 600 * MS), 100000 / 4);
}

/* The smaller of both: neither rule lets through what the other forbids. */
static void halving_and_a_loss_at_once(void **state)
{
    (void)state;
    struct estimate e = exact();
    e.lost_ns = T0;
    assert_int_equal(whole_us(&e, 1, T0 + 400 * MS), 100000);
    assert_int_equal(whole_us(&e, 2, T0 + 400 * MS), 62500);
    assert_int_equal(whole_us(&e, 1, T0), 250000 / 16);
    assert_int_equal(whole_us(&e, 5, T0) / 10, 250000 / 32 / 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_guess_is_an_eighth),
        cmocka_unit_test(costs_are_turned_into_time),
        cmocka_unit_test(any_estimate_is_bounded),
        cmocka_unit_test(deaths_halve_it),
        cmocka_unit_test(after_a_loss_it_is_a_quarter_of_the_time_since),
        cmocka_unit_test(halving_and_a_loss_at_once),
    };
    const int n = (int)(sizeof tests / sizeof *tests);
    const int failed = cmocka_run_group_tests_name("crew-estimate", tests, NULL, NULL);
    printf("crew-estimate: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
