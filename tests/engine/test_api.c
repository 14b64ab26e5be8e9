/* vecmill.h across versions: shorter and longer structs, and what this version has words for and refuses. */
#include "engine/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A struct as three versions of a library have it. */
struct first {
    size_t struct_bytes;
    uint64_t a;
};
struct second {
    size_t struct_bytes;
    uint64_t a;
    const char *b;
};
struct third {
    size_t struct_bytes;
    uint64_t a;
    const char *b;
    uint32_t c, d;
};

static vecmill_status take_second(const void *given, struct second *own, vecmill_err *err)
{
    *own = (struct second){.struct_bytes = sizeof *own, .a = 7, .b = "default"};
    return api_take("a struct", given, sizeof(struct first), own, sizeof *own, err);
}

static void shorter_has_defaults(void **state)
{
    (void)state;
    struct second own;
    const struct first given = {sizeof given, 1};
    assert_int_equal(take_second(&given, &own, NULL), VECMILL_OK);
    assert_int_equal(own.struct_bytes, sizeof own);
    assert_int_equal(own.a, 1);
    assert_string_equal(own.b, "default");
}

static void longer_is_taken_when_zero(void **state)
{
    (void)state;
    struct second own;
    vecmill_err err;
    struct third given = {.struct_bytes = sizeof given, .a = 2, .b = "given"};
    assert_int_equal(take_second(&given, &own, NULL), VECMILL_OK);
    assert_int_equal(own.struct_bytes, sizeof own);
    assert_int_equal(own.a, 2);
    assert_string_equal(own.b, "given");
    given.d = 1;
    assert_int_equal(take_second(&given, &own, &err), VECMILL_E_UNSUPPORTED);
    assert_int_equal(own.a, 7);
    assert_string_equal(own.b, "default");
    char numbers[64];
    snprintf(numbers, sizeof numbers, "a struct has %zu bytes, this library's has %zu",
             sizeof given, sizeof own);
    assert_non_null(strstr(err.message, numbers));
}

static void no_size_of_a_struct_is_refused(void **state)
{
    (void)state;
    static unsigned char room[(64 << 10) + 8];
    const size_t sizes[] = {0,
                            1,
                            sizeof(struct first) - 8,
                            sizeof(struct first) + 1,
                            sizeof(struct second) + 4,
                            sizeof room,
                            SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct second own;
        memcpy(room, &sizes[i], sizeof sizes[i]);
        assert_int_equal(take_second(room, &own, NULL), VECMILL_E_USAGE);
        assert_int_equal(own.a, 7);
    }
}

static void fills_as_far_as_both_reach(void **state)
{
    (void)state;
    const struct second own = {.struct_bytes = 99, .a = 3, .b = "ours"};
    const size_t sizes[] = {0, sizeof(size_t), sizeof(struct first), sizeof(struct second),
                            sizeof(struct third)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct third given;
        memset(&given, 0xA5, sizeof given);
        given.struct_bytes = sizes[i];
        api_give(&given, &own, sizeof own);
        assert_int_equal(given.struct_bytes, sizes[i]);
        if (sizes[i] >= sizeof(struct first)) assert_int_equal(given.a, 3);
        if (sizes[i] >= sizeof(struct second)) assert_string_equal(given.b, "ours");
        const unsigned char *bytes = (const unsigned char *)&given;
        size_t reach = num_min(sizes[i], sizeof own);
        if (reach < sizeof(size_t)) reach = sizeof(size_t);
        for (size_t k = reach; k < sizeof given; k++)
            assert_int_equal(bytes[k], 0xA5);
    }
}

/* ---- the library's own ---- */

typedef vecmill_status open_fn(const void *options, const void *pool_options, vecmill_err *err);

static vecmill_status open_session(const void *options, const void *pool_options, vecmill_err *err)
{
    vecmill_session *session = NULL;
    (void)pool_options;
    return vecmill_session_open(options, &session, err);
}

static vecmill_status open_pool(const void *options, const void *pool_options, vecmill_err *err)
{
    vecmill_pool *pool = NULL;
    return vecmill_pool_open(options, pool_options, &pool, err);
}

static vecmill_status make_plan(const void *options, const void *pool_options, vecmill_err *err)
{
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    return vecmill_pool_plan(options, pool_options, &plan, err);
}

static open_fn *const opens[] = {open_session, open_pool, make_plan};
#define OPENS (sizeof opens / sizeof *opens)

/* Options that are taken lead on to the model's folder, which is not there. */
#define NOWHERE "/nowhere/at/all"

struct longer_options {
    vecmill_options known;
    uint64_t unknown;
};

struct longer_pool_options {
    vecmill_pool_options known;
    uint64_t unknown;
};

static void expect(vecmill_status got, vecmill_status want, const vecmill_err *err,
                   const char *part)
{
    if (got != want || !strstr(err->message, part))
        fail_msg("status %d, not %d, with \"%s\", not \"%s\"", (int)got, (int)want, err->message,
                 part);
}

/* What is filled has the size of the caller's header: a byte more would be another variable of his. */
static void init_fills_what_the_caller_has(void **state)
{
    (void)state;
    const size_t sizes[] = {offsetof(vecmill_options, prompt), sizeof(vecmill_options),
                            sizeof(struct longer_options)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        union {
            struct longer_options options;
            struct longer_pool_options pool;
            unsigned char bytes[sizeof(struct longer_options) + sizeof(struct longer_pool_options)];
        } u;
        memset(&u, 0xA5, sizeof u);
        vecmill_options_init_sized(&u.options.known, sizes[i]);
        assert_int_equal(u.options.known.struct_bytes, sizes[i]);
        for (size_t at = sizeof(size_t); at < sizeof u.bytes; at++)
            assert_int_equal(u.bytes[at], at < sizes[i] ? 0 : 0xA5);
        const size_t bytes = i == 0   ? offsetof(vecmill_pool_options, caller_bytes_of)
                             : i == 1 ? sizeof(vecmill_pool_options)
                                      : sizeof(struct longer_pool_options);
        memset(&u, 0xA5, sizeof u);
        vecmill_pool_options_init_sized(&u.pool.known, bytes);
        assert_int_equal(u.pool.known.struct_bytes, bytes);
        for (size_t at = sizeof(size_t); at < sizeof u.bytes; at++)
            assert_int_equal(u.bytes[at], at < bytes ? 0 : 0xA5);
    }
}

static void options_grow(void **state)
{
    (void)state;
    struct longer_options o = {.unknown = 0};
    vecmill_pool_options p;
    vecmill_err err;
    vecmill_pool_options_init(&p);
    vecmill_options_init(&o.known);
    o.known.model_dir = NOWHERE;
    const size_t first = offsetof(vecmill_options, prompt);
    for (size_t i = 0; i < OPENS; i++) {
        o.known.task = "what a caller of the first version has not got";
        o.known.struct_bytes = first;
        expect(opens[i](&o, &p, &err), VECMILL_E_MODEL, &err, NOWHERE);
        o.known.struct_bytes = first - 8;
        expect(opens[i](&o, &p, &err), VECMILL_E_USAGE, &err, "vecmill_options has");
        o.known.task = NULL;
        o.known.struct_bytes = sizeof o;
        expect(opens[i](&o, &p, &err), VECMILL_E_MODEL, &err, NOWHERE);
        o.unknown = 1;
        expect(opens[i](&o, &p, &err), VECMILL_E_UNSUPPORTED, &err, "vecmill_options has");
        o.unknown = 0;
    }
}

static void pool_options_grow(void **state)
{
    (void)state;
    vecmill_options o;
    struct longer_pool_options p = {.unknown = 0};
    vecmill_err err;
    vecmill_options_init(&o);
    vecmill_pool_options_init(&p.known);
    o.model_dir = NOWHERE;
    const size_t first = offsetof(vecmill_pool_options, caller_bytes_of);
    for (size_t i = 1; i < OPENS; i++) {
        p.known.struct_bytes = first; /* what it lacks is not called */
        p.known.caller_bytes_of = (uint64_t(*)(void *, const vecmill_facts *, uint32_t, uint64_t))1;
        expect(opens[i](&o, &p, &err), VECMILL_E_MODEL, &err, NOWHERE);
        p.known.caller_bytes_of = NULL;
        p.known.struct_bytes = first - 8;
        expect(opens[i](&o, &p, &err), VECMILL_E_USAGE, &err, "vecmill_pool_options has");
        p.known.struct_bytes = sizeof p;
        expect(opens[i](&o, &p, &err), VECMILL_E_MODEL, &err, NOWHERE);
        p.unknown = UINT64_C(1) << 63;
        expect(opens[i](&o, &p, &err), VECMILL_E_UNSUPPORTED, &err, "vecmill_pool_options has");
        p.unknown = 0;
    }
}

static void what_is_not_computed_is_refused(void **state)
{
    (void)state;
    static const float ranges[2] = {0, 1};
    enum { N = 2 };
    vecmill_options o[N];
    const char *const parts[N] = {"a dtype other than float32", "ranges of components"};
    vecmill_pool_options p;
    vecmill_err err;
    vecmill_pool_options_init(&p);
    for (int i = 0; i < N; i++) {
        vecmill_options_init(&o[i]);
        o[i].model_dir = NOWHERE;
    }
    o[0].dtype = VECMILL_DTYPE_BINARY;
    o[1].ranges = ranges;
    for (size_t i = 0; i < OPENS; i++)
        for (int k = 0; k < N; k++)
            expect(opens[i](&o[k], &p, &err), VECMILL_E_UNSUPPORTED, &err, parts[k]);
    vecmill_options bad = o[0];
    bad.dtype = (vecmill_dtype)7;
    expect(open_session(&bad, NULL, &err), VECMILL_E_USAGE, &err, "dtype is 7, over");
    bad.dtype = VECMILL_DTYPE_FLOAT32;
    bad.role = (vecmill_role)3;
    expect(open_session(&bad, NULL, &err), VECMILL_E_USAGE, &err, "role is 3, over");
    bad.role = VECMILL_ROLE_DEFAULT;
    bad.kinds = 1u << VECMILL_KIND_DENSE | 1u << 31;
    expect(open_session(&bad, NULL, &err), VECMILL_E_USAGE, &err, "kinds is 0x80000001, a bit");
    bad.kinds = 1u << VECMILL_KIND_IDS;
    expect(open_session(&bad, NULL, &err), VECMILL_E_USAGE, &err, "kinds is 0x20, a bit");
    bad.kinds = 1u << VECMILL_KIND_DENSE; /* what is computed may be asked for by its name */
    expect(open_session(&bad, NULL, &err), VECMILL_E_MODEL, &err, NOWHERE);
}

static void words_are_in_range(void **state)
{
    (void)state;
    assert_string_equal(vecmill_owner_word(VECMILL_OWNER_SUPERVISOR), "supervisor");
    assert_string_equal(vecmill_owner_word(VECMILL_OWNER_BUILDER), "builder");
    assert_string_equal(vecmill_owner_word(VECMILL_OWNER_COUNT), "unknown");
    assert_string_equal(vecmill_owner_word((vecmill_owner)-1), "unknown");
}

static void assert_quantize(vecmill_status status, vecmill_status expected, const vecmill_err *err,
                            const char *part)
{
    assert_int_equal(status, expected);
    if (strstr(err->message, part) == NULL)
        fail_msg("got \"%s\", expected \"%s\"", err->message, part);
}

/* Against sentence-transformers: base-quantize. These bytes are its too (255 * (0.5 / 255) is under 0.5). */
static void rows_are_quantized(void **state)
{
    (void)state;
    const float rows[] = {0, -1, 3, 0.5f, 1, 0};
    float ranges[6], back[6];
    unsigned char out[6];
    vecmill_err err = {.message = ""};
    assert_int_equal(vecmill_quantized_bytes(VECMILL_DTYPE_FLOAT32, 9), 36);
    assert_int_equal(vecmill_quantized_bytes(VECMILL_DTYPE_FLOAT16, 9), 18);
    assert_int_equal(vecmill_quantized_bytes(VECMILL_DTYPE_INT8, 9), 9);
    assert_int_equal(vecmill_quantized_bytes(VECMILL_DTYPE_UBINARY, 9), 2);
    assert_int_equal(vecmill_quantized_bytes(VECMILL_DTYPE_INT32, 9), 0);
    assert_quantize(vecmill_ranges(rows, 1, 3, ranges, &err), VECMILL_E_USAGE, &err,
                    "of 1 row, 2 rows are the least");
    assert_int_equal(vecmill_ranges(rows, 2, 3, ranges, NULL), VECMILL_OK);
    assert_true(ranges[0] == 0 && ranges[1] == -1 && ranges[2] == 0 && ranges[3] == 0.5f &&
                ranges[4] == 1 && ranges[5] == 3);
    assert_int_equal(vecmill_quantize(rows, 2, 3, VECMILL_DTYPE_UINT8, ranges, out, NULL),
                     VECMILL_OK);
    assert_memory_equal(out, "\x00\x00\xFF\xFE\xFE\x00", 6);
    assert_int_equal(vecmill_dequantize(out, 2, 3, VECMILL_DTYPE_UINT8, ranges, back, NULL),
                     VECMILL_OK);
    for (size_t i = 0; i < 6; i++)
        assert_true(back[i] > rows[i] - 0.01f && back[i] < rows[i] + 0.01f);
    assert_quantize(vecmill_quantize(rows, 1, 3, VECMILL_DTYPE_INT8, NULL, out, &err),
                    VECMILL_E_USAGE, &err, "int8 of 1 row needs ranges, [2, 3]");
    assert_quantize(vecmill_quantize(rows, 2, 0, VECMILL_DTYPE_BINARY, NULL, out, &err),
                    VECMILL_E_USAGE, &err, "0 components");
    assert_quantize(vecmill_quantize(rows, 2, 3, VECMILL_DTYPE_INT32, NULL, out, &err),
                    VECMILL_E_USAGE, &err, "dtype is 6, over VECMILL_DTYPE_UBINARY, 5");
    ranges[0] = 1;
    assert_quantize(vecmill_dequantize(out, 2, 3, VECMILL_DTYPE_INT8, ranges, back, &err),
                    VECMILL_E_INPUT, &err, "component 0 ranges from 1 to 0.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shorter_has_defaults),
        cmocka_unit_test(longer_is_taken_when_zero),
        cmocka_unit_test(no_size_of_a_struct_is_refused),
        cmocka_unit_test(fills_as_far_as_both_reach),
        cmocka_unit_test(init_fills_what_the_caller_has),
        cmocka_unit_test(options_grow),
        cmocka_unit_test(pool_options_grow),
        cmocka_unit_test(what_is_not_computed_is_refused),
        cmocka_unit_test(words_are_in_range),
        cmocka_unit_test(rows_are_quantized),
    };
    const int failed = cmocka_run_group_tests_name("api", tests, NULL, NULL);
    printf("api: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed, failed);
    return failed;
}
