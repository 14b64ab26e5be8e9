/* ledger_kit: what the tests of the ledger share. Each program uses some of it. */
#ifndef LEDGER_KIT_H
#define LEDGER_KIT_H

#include "crew/frame.h"
#include "crew/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 0x9E3779B97F4A7C15u;

/* xorshift64* (Vigna 2016), so that a failure comes back. */
__attribute__((unused)) static uint64_t next_random(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1Dull;
}

__attribute__((unused)) static uint32_t below(uint32_t n)
{
    return (uint32_t)((next_random() >> 32) % n);
}

__attribute__((unused)) static void *open_ledger(struct ledger *l,
                                                 const struct crew_options *options)
{
    struct arena a;
    void *memory = NULL;
    memset(l, 0, sizeof *l);
    arena_count(&a);
    ledger_layout(l, options, &a);
    assert_int_equal(mem_new(arena_bytes(&a), "a ledger", &memory, NULL), VECMILL_OK);
    memset(l, 0, sizeof *l);
    arena_init(&a, memory, arena_bytes(&a));
    ledger_layout(l, options, &a);
    assert_true(arena_ok(&a));
    assert_true(ledger_is_sound(l));
    return memory;
}

__attribute__((unused)) static bool put_letters(struct ledger *l, char letter, size_t bytes,
                                                uint64_t cost_ns)
{
    char data[4096];
    assert_true(bytes <= sizeof data);
    memset(data, letter, bytes);
    return ledger_put(l, &(struct crew_piece){data, bytes}, 1, cost_ns);
}

/* A batch of the next items and nothing else about it. */
__attribute__((unused)) static struct item_range take(struct ledger *l)
{
    struct batch batch;
    assert_true(ledger_next_batch(l, UINT64_MAX, &batch));
    return batch.range;
}

__attribute__((unused)) static void commit_and_drop(struct ledger *l)
{
    const struct item_range range = take(l);
    ledger_commit(l, &range, 0);
    for (uint32_t i = 0; i < range.n; i++)
        ledger_drop(l);
    assert_true(ledger_is_sound(l));
}

__attribute__((unused)) static struct item_range die(struct ledger *l,
                                                     const struct item_range *range,
                                                     vecmill_cause cause, enum blame blame,
                                                     unsigned want_parts)
{
    struct item_range parts[2];
    assert_int_equal(ledger_requeue(l, range, cause, blame, parts), want_parts);
    assert_true(ledger_is_sound(l));
    uint32_t n = 0;
    for (unsigned i = 0; i < want_parts; i++) {
        assert_int_equal(parts[i].first, range->first + n);
        assert_int_equal(parts[i].deaths, range->deaths + 1);
        n += parts[i].n;
    }
    if (want_parts > 0) assert_int_equal(n, range->n);
    return parts[0];
}

#endif
