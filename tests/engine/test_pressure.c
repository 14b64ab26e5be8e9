/* Pressure on memory, told as a story: what the machine says at which time, and what is started then. */
#include "engine/pressure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

static const struct pressure_view unknown = {0};
static const struct pressure_view plenty = {
    .room_known = true, .room_bytes = UINT64_C(1) << 40, .waiting_known = true, .waiting = 0};

static struct pressure four(void)
{
    struct pressure p;
    pressure_init(&p, 4, (struct pressure_size){960, 10u << 20},
                  (struct pressure_size){256, 4u << 20});
    return p;
}

static void all_start_where_nothing_is_short(void **state)
{
    (void)state;
    struct pressure p = four();
    for (uint32_t alive = 0; alive < 4; alive++) {
        assert_true(pressure_may_start(&p, 1, alive, &unknown));
        assert_true(pressure_may_start(&p, 1, alive, &plenty));
    }
    assert_false(pressure_may_start(&p, 1, 4, &plenty));
    assert_int_equal(p.batch_tokens, 960);
}

/* Each kill changes what is tried next, until it is one small worker. */
static void a_kill_is_not_answered_with_the_same(void **state)
{
    (void)state;
    struct pressure p = four();
    uint64_t now = S;
    uint32_t alive = 4, size = p.batch_tokens * 8 + p.workers;
    for (int kill = 0; kill < 5; kill++) {
        pressure_lack(&p, now, --alive > 0 ? alive : (alive = 1));
        const uint32_t next = p.batch_tokens * 8 + p.workers;
        assert_true(next < size || next == 256 * 8 + 1);
        assert_false(pressure_may_start(&p, now, alive, &plenty));
        size = next;
        now += 20 * MS;
    }
    assert_int_equal(p.batch_tokens, 256);
    assert_int_equal(p.workers, 1);
    pressure_lack(&p, now, 0);
    assert_int_equal(p.workers, 1);
    assert_int_equal(p.batch_tokens, 256);
}

/* Kills without end are answered more and more slowly, and never slower than every five seconds. */
static void starts_never_race_with_kills(void **state)
{
    (void)state;
    struct pressure p = four();
    uint64_t now = S, tried[200], n = 0;
    for (; now < 600 * S && n < 200; now += 10 * MS) {
        if (!pressure_may_start(&p, now, 0, &unknown)) continue;
        tried[n++] = now;
        pressure_lack(&p, now + MS, 0);
    }
    assert_true(n > 110 && n < 150);
    for (uint64_t i = 1; i < n; i++) {
        assert_true(tried[i] - tried[i - 1] >= 125 * MS);
        assert_true(tried[i] - tried[i - 1] <= 5 * S + 20 * MS);
    }
}

static void it_grows_back_when_there_is_room(void **state)
{
    (void)state;
    struct pressure p = four();
    uint64_t now = S;
    for (int kill = 0; kill < 4; kill++)
        pressure_lack(&p, now, 1);
    assert_int_equal(p.workers, 1);
    const struct pressure_view full = {.room_known = true, .room_bytes = 3u << 20};
    const struct pressure_view waits = {
        .room_known = true, .room_bytes = 1u << 30, .waiting_known = true, .waiting = 40};
    for (now = S; now < 200 * S; now += 100 * MS) {
        assert_false(pressure_may_start(&p, now, 1, &full));
        assert_false(pressure_may_start(&p, now, 1, &waits));
    }
    uint32_t alive = 1;
    for (; now < 400 * S; now += 100 * MS)
        alive += pressure_may_start(&p, now, alive, &plenty);
    assert_int_equal(alive, 4);
    assert_int_equal(p.workers, 4);
    assert_int_equal(p.batch_tokens, 960);
    assert_int_equal(p.level, 0);
}

/* No room to be seen: beside others nobody is started, alone one is tried now and then. */
static void no_room_is_believed_but_not_for_ever(void **state)
{
    (void)state;
    struct pressure p = four();
    const struct pressure_view full = {.room_known = true, .room_bytes = 1000};
    unsigned alone = 0;
    for (uint64_t now = S; now < 61 * S; now += 100 * MS) {
        assert_false(pressure_may_start(&p, now, 1, &full));
        alone += pressure_may_start(&p, now, 0, &full);
    }
    assert_int_equal(alone, 12);
}

/* Room for one and a half: who starts has not taken its share yet, and it is counted all the same. */
static void those_that_start_are_counted(void **state)
{
    (void)state;
    struct pressure p = four();
    struct pressure_view view = {.room_known = true, .room_bytes = 15u << 20};
    uint32_t alive = 0;
    while (alive < 4 && pressure_may_start(&p, S, alive, &view))
        view.starting = ++alive;
    assert_int_equal(alive, 1);
    view.starting = 0; /* it is ready, and has taken its ten */
    view.room_bytes = 5u << 20;
    assert_false(pressure_may_start(&p, S, 1, &view));
    /* A smaller one would do: room is asked for what would be started. */
    pressure_lack(&p, S, 1);
    pressure_lack(&p, S, 1);
    assert_int_equal(p.batch_tokens, 256);
    assert_true(pressure_is_felt(&p));
    assert_true(pressure_may_start(&p, 2 * S, 1, &view));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_start_where_nothing_is_short),
        cmocka_unit_test(a_kill_is_not_answered_with_the_same),
        cmocka_unit_test(starts_never_race_with_kills),
        cmocka_unit_test(it_grows_back_when_there_is_room),
        cmocka_unit_test(no_room_is_believed_but_not_for_ever),
        cmocka_unit_test(those_that_start_are_counted),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
