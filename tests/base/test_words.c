/* Base's small words: errors, numbers, arenas, buffers, cursors, characters, JSON. */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void err_is_cut_at_a_character(void **state)
{
    (void)state;
    /* For every alignment of a two-, three- and four-byte character against the end. */
    static const char *const units[] = {"\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x99\x82"};
    for (size_t u = 0; u < 3; u++) {
        for (size_t lead = 0; lead < 8; lead++) {
            char text[600];
            size_t n = 0;
            for (; n < lead; n++) {
                text[n] = 'a';
            }
            while (n < 500) {
                memcpy(text + n, units[u], strlen(units[u]));
                n += strlen(units[u]);
            }
            text[n] = '\0';
            vecmill_err err;
            assert_int_equal(err_set(&err, VECMILL_E_IO, "%s", text), VECMILL_E_IO);
            assert_int_equal(err.status, VECMILL_E_IO);
            assert_true(strlen(err.message) < sizeof(err.message));
            assert_true(strlen(err.message) > sizeof(err.message) - 9);
            assert_true(utf8_valid(err.message, strlen(err.message)));
            assert_string_equal(err.message + strlen(err.message) - 3, "...");
        }
    }
}

static void err_may_quote_itself_and_be_null(void **state)
{
    (void)state;
    vecmill_err err;
    err_set(&err, VECMILL_E_INPUT, "inner");
    err_set(&err, VECMILL_E_MODEL, "outer: %s", err.message);
    assert_string_equal(err.message, "outer: inner");
    assert_int_equal(err_set(NULL, VECMILL_E_MODEL, "x"), VECMILL_E_MODEL);
    assert_int_equal(err_sys(NULL, VECMILL_E_MODEL, ENOENT, "x"), VECMILL_E_MODEL);
    err_sys(&err, VECMILL_E_IO, ENOENT, "file %d", 7);
    assert_string_equal(err.message, "file 7: No such file or directory");
}

static void err_is_printable_whatever_it_quotes(void **state)
{
    (void)state;
    vecmill_err err;
    err_set(&err, VECMILL_E_INPUT, "a %s b", "x\n\x1b[2J\xff\xe6\xbc\x7f\xc2\x85\xc3\xa9");
    assert_string_equal(err.message, "a x??[2J??????\xc3\xa9 b");
    assert_true(utf8_valid(err.message, strlen(err.message)));
}

static void num_refuses_what_does_not_fit(void **state)
{
    (void)state;
    uint64_t v = 77;
    static const char *const bad[] = {
        "", " 1", "1 ", "-1", "+1", "0x1", "1.0", "18446744073709551616", "101", "K", "1KB"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_false(num_parse(bad[i], 100, &v));
    }
    assert_int_equal(v, 77);
    assert_true(num_parse("18446744073709551615", UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_true(num_parse("0100", 100, &v) && v == 100);
    assert_true(num_parse_bytes("3K", &v) && v == 3072);
    assert_true(num_parse_bytes("2m", &v) && v == 2u << 20);
    assert_true(num_parse_bytes("5G", &v) && v == (uint64_t)5 << 30);
    assert_true(num_parse_bytes("17179869183G", &v));
    assert_false(num_parse_bytes("17179869184G", &v));
    assert_false(num_parse_bytes("1T", &v));
    assert_false(num_parse_bytes("K", &v));
    size_t s = 1;
    assert_false(num_add(SIZE_MAX, 1, &s));
    assert_false(num_mul(SIZE_MAX / 2, 3, &s));
    assert_int_equal(s, 1);
}

static void arena_plans_what_it_carves(void **state)
{
    (void)state;
    srand(1);
    for (int run = 0; run < 2000; run++) {
        size_t sizes[8], aligns[8];
        struct arena a;
        arena_count(&a);
        for (int i = 0; i < 8; i++) {
            sizes[i] = (size_t)(rand() % 5000);
            aligns[i] = (size_t)1 << rand() % 13;
            assert_null(arena_take(&a, sizes[i], aligns[i]));
        }
        size_t bytes = arena_bytes(&a);
        void *memory = aligned_alloc(4096, num_up(bytes, 4096) + 4096);
        arena_init(&a, memory, bytes);
        char *end = memory;
        for (int i = 0; i < 8; i++) {
            char *p = arena_take(&a, sizes[i], aligns[i]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % aligns[i], 0);
            assert_true(p >= end);
            end = p + sizes[i];
        }
        assert_int_equal(arena_bytes(&a), bytes);
        assert_null(arena_take(&a, 1, 1));
        assert_false(arena_ok(&a));
        assert_true(arena_bytes(&a) == SIZE_MAX);
        free(memory);
    }
}

static void arena_overflow_sticks(void **state)
{
    (void)state;
    struct arena a;
    arena_count(&a);
    arena_take_array(&a, SIZE_MAX / 4, 8, 64);
    assert_false(arena_ok(&a));
    arena_count(&a);
    arena_take(&a, SIZE_MAX - 10, 1);
    assert_true(arena_ok(&a));
    arena_take(&a, 11, 1);
    assert_false(arena_ok(&a));
    arena_take(&a, 1, 1);
    assert_true(arena_bytes(&a) == SIZE_MAX);
}

static void buf_meets_its_maximum(void **state)
{
    (void)state;
    struct buf b;
    vecmill_err err;
    buf_init(&b, 1000, "TEST_MAX");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_add_string(&b, "0123456789", &err), VECMILL_OK);
    }
    assert_int_equal(b.bytes, 1000);
    assert_true(b.capacity <= 1000);
    assert_int_equal(buf_add(&b, "x", 1, &err), VECMILL_E_LIMIT);
    assert_string_equal(err.message, "1000 bytes and 1 more are over the maximum TEST_MAX, 1000");
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &err), VECMILL_E_LIMIT);
    assert_int_equal(buf_terminate(&b, &err), VECMILL_E_LIMIT);
    buf_clear(&b);
    assert_int_equal(buf_terminate(&b, &err), VECMILL_OK);
    assert_int_equal(b.bytes, 0);
    buf_done(&b);
    buf_done(&b);
}

static void cur_never_leaves_its_bytes(void **state)
{
    (void)state;
    static const unsigned char data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct cur c;
    cur_init(&c, data, sizeof(data));
    assert_int_equal(cur_u8(&c), 1);
    assert_int_equal(cur_u16(&c), 0x0302);
    assert_int_equal(cur_u32(&c), 0x07060504);
    assert_int_equal(cur_u64(&c), 0);
    assert_true(c.failed);
    assert_int_equal(c.pos, 7);
    assert_int_equal(cur_u8(&c), 0);
    assert_int_equal(cur_left(&c), 4);
    cur_init(&c, data, sizeof(data));
    assert_null(cur_take(&c, SIZE_MAX));
    cur_init(&c, data, 8);
    assert_true(cur_u64(&c) == 0x0807060504030201);
    unsigned char written[8] = {0};
    cur_put_u64(written, 0x0807060504030201);
    assert_memory_equal(written, data, 8);
    cur_put_u32(written + 4, 0x04030201);
    assert_memory_equal(written, data, 4);
    assert_memory_equal(written + 4, data, 4);
    assert_false(c.failed);
}

struct golden {
    const char *bytes;
    size_t n;
    const char *repaired;
    size_t n_repaired;
    uint64_t bad;
};
static const struct golden golden[] = {
#include "utf8_golden.inc"
};

static void utf8_repairs_as_python_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(*golden); i++) {
        const struct golden *g = &golden[i];
        char out[64];
        uint64_t bad;
        size_t n = utf8_repair(g->bytes, g->n, out, &bad);
        assert_int_equal(n, g->n_repaired);
        assert_memory_equal(out, g->repaired, n);
        assert_int_equal(bad, g->bad);
        assert_int_equal(utf8_valid(g->bytes, g->n), g->bad == 0);
    }
}

static void utf8_round_trips_every_character(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        unsigned char out[4];
        uint32_t back;
        bool bad;
        if (cp >= 0xD800 && cp < 0xE000) continue;
        size_t n = utf8_put(cp, out);
        if (utf8_next(out, n, &back, &bad) != n || bad || back != cp) fail_msg("U+%04X", cp);
        for (size_t cut = 1; cut < n; cut++) {
            if (utf8_next(out, cut, &back, &bad) != cut || !bad) fail_msg("U+%04X cut", cp);
        }
    }
}

static void cache_follows_the_environment(void **state)
{
    (void)state;
    char dir[IO_PATH_MAX];
    setenv("VECMILL_CACHE", "/a", 1);
    setenv("XDG_CACHE_HOME", "/b", 1);
    setenv("HOME", "/c", 1);
    assert_int_equal(cache_dir(dir, NULL), VECMILL_OK);
    assert_string_equal(dir, "/a");
    setenv("VECMILL_CACHE", "", 1);
    assert_int_equal(cache_dir(dir, NULL), VECMILL_OK);
    assert_string_equal(dir, "/b/vecmill");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_int_equal(cache_dir(dir, NULL), VECMILL_OK);
    assert_string_equal(dir, "/c/.cache/vecmill");
}

static void clock_goes_forward(void **state)
{
    (void)state;
    uint64_t before = clock_ns();
    uint64_t age = clock_process_age_ns();
    assert_true(clock_ns() >= before);
    assert_true(age < (uint64_t)3600 * 1000000000u);
}

static void near_counts_edits(void **state)
{
    (void)state;
    char longest[NEAR_MAX + 2];
    assert_int_equal(near_distance("embed", "embed"), 0);
    assert_int_equal(near_distance("EMBED", "embed"), 0);
    assert_int_equal(near_distance("", "embed"), 5);
    assert_int_equal(near_distance("embed", ""), 5);
    assert_int_equal(near_distance("mebed", "embed"), 1);
    assert_int_equal(near_distance("embedd", "embed"), 1);
    assert_int_equal(near_distance("ca", "abc"), 3); /* a swapped pair is not edited again */
    assert_int_equal(near_distance("kitten", "sitting"), 3);
    memset(longest, 'a', sizeof longest);
    longest[NEAR_MAX] = '\0';
    assert_int_equal(near_distance(longest, "a"), NEAR_MAX - 1);
    longest[NEAR_MAX] = 'a';
    longest[NEAR_MAX + 1] = '\0';
    assert_int_equal(near_distance(longest, longest), NEAR_MAX);
    assert_true(near_is_slip(2, "plan"));
    assert_false(near_is_slip(3, "plan"));
    assert_true(near_is_slip(3, "verify-me"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_is_cut_at_a_character),
        cmocka_unit_test(err_may_quote_itself_and_be_null),
        cmocka_unit_test(err_is_printable_whatever_it_quotes),
        cmocka_unit_test(num_refuses_what_does_not_fit),
        cmocka_unit_test(arena_plans_what_it_carves),
        cmocka_unit_test(arena_overflow_sticks),
        cmocka_unit_test(buf_meets_its_maximum),
        cmocka_unit_test(cur_never_leaves_its_bytes),
        cmocka_unit_test(utf8_repairs_as_python_does),
        cmocka_unit_test(utf8_round_trips_every_character),
        cmocka_unit_test(cache_follows_the_environment),
        cmocka_unit_test(clock_goes_forward),
        cmocka_unit_test(near_counts_edits),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("base-words: %zu passed, %d failed\n", sizeof(tests) / sizeof(*tests) - (size_t)failed,
           failed);
    return failed;
}
