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

/* A worker that ends before it has done anything: what is tried next is smaller, until it is one small
 * worker. */
static void a_kill_is_not_answered_with_the_same(void **state)
{
    (void)state;
    struct pressure p = four();
    uint64_t now = S;
    uint32_t alive = 4, size = p.tokens_most * 8 + p.workers;
    for (int kill = 0; kill < 5; kill++) {
        pressure_lack(&p, now, --alive > 0 ? alive : (alive = 1), false);
        const uint32_t next = p.tokens_most * 8 + p.workers;
        assert_true(next < size || next == 256 * 8 + 1);
        assert_false(pressure_may_start(&p, now, alive, &plenty));
        size = next;
        now += 20 * MS;
    }
    assert_int_equal(p.tokens_most, 256);
    assert_int_equal(p.workers, 1);
    pressure_lack(&p, now, 0, false);
    assert_int_equal(p.workers, 1);
    assert_int_equal(p.tokens_most, 256);
}

/* Kills without end are answered more and more slowly, and never slower than every ten seconds: twelve in the
 * first minute at most, whether no room is known or it is seen and false. */
static void starts_never_race_with_kills(void **state)
{
    (void)state;
    for (unsigned known = 0; known < 2; known++) {
        const struct pressure_view *view = known ? &plenty : &unknown;
        struct pressure p = four();
        uint64_t tried[200], n = 0, first_minute = 0;
        pressure_lack(&p, S, 0, true);
        for (uint64_t now = S; now < 600 * S && n < 200; now += 10 * MS) {
            if (!pressure_may_start(&p, now, 0, view)) continue;
            first_minute += now < 61 * S;
            tried[n++] = now;
            pressure_lack(&p, now + MS, 0, false);
        }
        assert_true(first_minute > 8 && first_minute <= PRESSURE_STARTS_FULL);
        assert_true(n > 60 && n < 80);
        for (uint64_t i = 1; i < n; i++) {
            assert_true(tried[i] - tried[i - 1] >= 250 * MS);
            assert_true(tried[i] - tried[i - 1] <= 10 * S + 20 * MS);
        }
    }
}

static void it_grows_back_when_there_is_room(void **state)
{
    (void)state;
    struct pressure p = four();
    uint64_t now = S;
    for (int kill = 0; kill < 4; kill++)
        pressure_lack(&p, now, 1, false);
    assert_int_equal(p.workers, 1);
    const struct pressure_view full = {.room_known = true, .room_bytes = 3u << 20};
    const struct pressure_view waits = {
        .room_known = true, .room_bytes = 7u << 20, .waiting_known = true, .waiting = 40};
    for (now = S; now < 200 * S; now += 100 * MS) {
        assert_false(pressure_may_start(&p, now, 1, &full));
        assert_false(
            pressure_may_start(&p, now, 1, &waits)); /* with others, and not room for two */
    }
    uint32_t alive = 1;
    for (; now < 400 * S; now += 100 * MS)
        alive += pressure_may_start(&p, now, alive, &plenty);
    assert_int_equal(alive, 4);
    assert_int_equal(p.workers, 4);
    assert_int_equal(p.tokens_most, 960);
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
        if (!pressure_may_start(&p, now, 0, &full)) continue;
        alone++;
        pressure_lack(&p, now, 0, false);
    }
    assert_true(alone >= 9 && alone <= PRESSURE_STARTS_FULL);
    /* And when there is room, it is not waited for the hold that these have come to. */
    const uint64_t freed = 61 * S + 100 * MS;
    assert_true(pressure_may_start(&p, freed, 0, &plenty));
}

/* Room for one and a half: who starts has not taken its share yet, and it is counted all the same. */
static void those_that_start_are_counted(void **state)
{
    (void)state;
    struct pressure p = four();
    struct pressure_view view = {.room_known = true, .room_bytes = 13u << 20};
    uint32_t alive = 0;
    assert_true(pressure_may_start(&p, S, alive, &view));
    assert_int_equal(p.batch_tokens, 960);
    view.starting = ++alive;
    /* A small one beside it would fit for itself: but for two there is room only if both are small. */
    assert_true(pressure_may_start(&p, S, alive, &view));
    assert_int_equal(p.batch_tokens, 480);
    view.starting = ++alive;
    assert_true(pressure_may_start(&p, S, alive, &view));
    assert_int_equal(p.batch_tokens, 256);
    view.starting = ++alive;
    assert_false(pressure_may_start(&p, S, alive, &view));
    view.starting = 0; /* they are ready, and have taken theirs */
    view.room_bytes = 3u << 20;
    assert_false(pressure_may_start(&p, S, alive, &view));
    assert_true(pressure_is_felt(&p));
}

/* Sizes go by the room: the largest halving that fits, whatever was started before. */
static void a_worker_is_as_large_as_there_is_room(void **state)
{
    (void)state;
    static const struct {
        uint32_t mib, tokens;
    } rooms[] = {{9, 480}, {100, 960}, {5, 256}, {10, 960}, {4, 256}, {6, 480}};
    struct pressure p = four();
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        const struct pressure_view view = {.room_known = true,
                                           .room_bytes = (uint64_t)rooms[i].mib << 20};
        assert_true(pressure_may_start(&p, S, 1, &view));
        assert_int_equal(p.batch_tokens, rooms[i].tokens);
    }
}

/* A neighbour takes all for a part of each second, and every worker is ended that had done something:
 * whenever there is room, all are there within two tenths of a second, whole, and never more than three
 * starts a second. */
static void a_storm_costs_the_time_without_room(void **state)
{
    (void)state;
    static const uint64_t holds_ms[] = {100, 300, 500, 800};
    const struct pressure_view full = {.room_known = true, .room_bytes = 1000};
    for (size_t i = 0; i < sizeof holds_ms / sizeof *holds_ms; i++) {
        struct pressure p;
        pressure_init(&p, 2, (struct pressure_size){960, 10u << 20},
                      (struct pressure_size){256, 4u << 20});
        uint64_t starts[400], n = 0;
        uint32_t alive = 2;
        for (uint64_t now = S; now < 100 * S; now += 20 * MS) {
            const bool is_full = now % S < holds_ms[i] * MS;
            if (now % S == 0) {
                pressure_lack(&p, now, 1, true);
                pressure_lack(&p, now, 0, true);
                alive = 0;
            }
            if (now % S >= holds_ms[i] * MS + 200 * MS) assert_int_equal(alive, 2);
            if (!pressure_may_start(&p, now, alive, is_full ? &full : &plenty)) continue;
            assert_int_equal(p.batch_tokens, 960);
            assert_false(is_full);
            starts[n++] = now;
            alive++;
        }
        for (uint64_t k = PRESSURE_STARTS; k < n; k++)
            assert_true(starts[k] - starts[k - PRESSURE_STARTS] >= S);
    }
}

/* The same where every worker is ended as it starts: the room goes and comes, so three a second are tried. */
static void a_storm_that_hits_whoever_starts(void **state)
{
    (void)state;
    struct pressure p = four();
    const struct pressure_view full = {.room_known = true, .room_bytes = 1000};
    uint64_t starts[400], n = 0;
    pressure_lack(&p, S, 0, false);
    for (uint64_t now = S; now < 61 * S; now += 20 * MS) {
        if (!pressure_may_start(&p, now, 0, now % (200 * MS) < 100 * MS ? &full : &plenty))
            continue;
        starts[n++] = now;
        pressure_lack(&p, now + 10 * MS, 0, false);
    }
    assert_true(n > 100);
    for (uint64_t k = PRESSURE_STARTS; k < n; k++)
        assert_true(starts[k] - starts[k - PRESSURE_STARTS] >= S);
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
        cmocka_unit_test(a_worker_is_as_large_as_there_is_room),
        cmocka_unit_test(a_storm_costs_the_time_without_room),
        cmocka_unit_test(a_storm_that_hits_whoever_starts),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
