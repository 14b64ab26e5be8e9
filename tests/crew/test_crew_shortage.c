/* test_crew_shortage: how long memory has been short, by a script of what happened and when. */
#include "crew/shortage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S 1000000000u

static bool is_over(const struct shortage *l, uint64_t patience_s, uint64_t now_s)
{
    vecmill_err err = {.status = VECMILL_OK};
    const bool over = shortage_is_over(l, patience_s * S, now_s * S, &err);
    assert_int_equal(err.status, over ? VECMILL_E_WORKERS : VECMILL_OK);
    return over;
}

static void it_is_over_when_patience_is(void **state)
{
    (void)state;
    struct shortage l = {0};
    vecmill_err err;
    assert_false(is_over(&l, 10, 1000)); /* there is none */
    shortage_death(&l, 100 * (uint64_t)S);
    shortage_death(&l, 105 * (uint64_t)S);
    assert_false(is_over(&l, 10, 109));
    assert_true(is_over(&l, 10, 110)); /* from the first on */
    assert_false(is_over(&l, 0, 1000000));
    shortage_death(&l, 112 * (uint64_t)S);
    assert_true(shortage_is_over(&l, 10 * (uint64_t)S, 112 * (uint64_t)S + S / 2, &err));
    assert_string_equal(err.message, "memory is short: 3 workers were ended by the OOM killer "
                                     "within 12.5 s, without one item done");
    /* A round may have begun earlier than a death within it. */
    assert_false(is_over(&l, 10, 99));
}

static void what_ends_it(void **state)
{
    (void)state;
    struct shortage l = {0};
    for (uint64_t t = 100; t < 200; t += 8) {
        shortage_death(&l, t * S);
        shortage_death(&l, (t + 7) * S);
        assert_false(is_over(&l, 8, t + 7));
        shortage_end(&l);
        assert_false(is_over(&l, 8, t + 100));
    }
}

static void held_back_without_a_death(void **state)
{
    (void)state;
    struct shortage l = {0};
    vecmill_err err;
    shortage_no_room(&l, 100 * (uint64_t)S);
    shortage_no_room(&l, 104 * (uint64_t)S);
    assert_false(is_over(&l, 5, 104));
    assert_true(shortage_is_over(&l, 5 * (uint64_t)S, 105 * (uint64_t)S, &err));
    assert_string_equal(err.message, "memory is short: no worker could be started for 5.0 s");
    shortage_death(&l, 106 * (uint64_t)S); /* it is the same shortage */
    assert_true(is_over(&l, 5, 106));
}

static void stopped_time_does_not_count(void **state)
{
    (void)state;
    struct shortage l = {0};
    shortage_pause(&l, 50 * (uint64_t)S, 50 * (uint64_t)S); /* nothing to forgive */
    assert_int_equal(l.since_ns, 0);
    shortage_death(&l, 100 * (uint64_t)S);
    for (uint64_t n = 1; n <= SHORTAGE_PAUSES_MOST; n++) {
        shortage_pause(&l, 1000 * (uint64_t)S, (1000 * n + 100) * S);
        assert_false(is_over(&l, 10, 1000 * n + 109));
        assert_true(is_over(&l, 10, 1000 * n + 110));
    }
    /* But not for ever. */
    const uint64_t since_ns = l.since_ns;
    shortage_pause(&l, 1000 * (uint64_t)S, 7000 * (uint64_t)S);
    assert_int_equal(l.since_ns, since_ns);
    assert_true(is_over(&l, 10, 7000));
    /* A shortage that began within the pause begins at its end. */
    shortage_end(&l);
    shortage_death(&l, 8000 * (uint64_t)S);
    shortage_pause(&l, 100 * (uint64_t)S, 8003 * (uint64_t)S);
    assert_int_equal(l.since_ns, 8003 * (uint64_t)S);
    assert_false(is_over(&l, 10, 8012));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_over_when_patience_is),
        cmocka_unit_test(what_ends_it),
        cmocka_unit_test(held_back_without_a_death),
        cmocka_unit_test(stopped_time_does_not_count),
    };
    const int n = (int)(sizeof tests / sizeof *tests);
    const int failed = cmocka_run_group_tests_name("crew-shortage", tests, NULL, NULL);
    printf("crew-shortage: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
