/* What text knows about every code point, against the checksum that tools/make_unicode.py took from
 * the reference. It fails when this machine's utf8proc has other tables than the exceptions were made
 * for: run tools/make_unicode.py then. */
#include "text/text_unicode.h"
#include "text/unicode_exceptions.inc"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <utf8proc.h>

#include <cmocka.h>

static uint64_t hash(uint64_t h, uint32_t byte)
{
    return (h ^ byte) * UINT64_C(0x100000001B3);
}

static uint64_t hash_sequence(uint64_t h, const uint32_t *cps, unsigned n)
{
    h = hash(h, n);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned shift = 0; shift < 24; shift += 8)
            h = hash(h, cps[i] >> shift & 0xFF);
    }
    return h;
}

/* The same bytes in the same order as checksum() of tools/make_unicode.py. */
static void every_code_point_is_the_reference_s(void **state)
{
    (void)state;
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        uint32_t lower[UNICODE_LOWER_MAX], to[UNICODE_DECOMPOSE_MAX];
        unsigned n_lower = unicode_lower(cp, lower), n = unicode_decompose(cp, to);
        bool whole = n == 1 && to[0] == cp;
        h = hash(h, (unsigned)unicode_control(cp) | (whole && unicode_mark(cp) ? 2u : 0u) |
                        (unicode_punctuation(cp) ? 4u : 0u) | (unicode_space(cp) ? 8u : 0u) |
                        (unicode_word(cp) ? 16u : 0u));
        h = hash(h, whole ? unicode_class(cp) : 0);
        h = hash_sequence(hash_sequence(h, lower, n_lower), to, n);
    }
    printf("utf8proc %s here, exceptions for %s over %s\n", utf8proc_version(), UNICODE_REFERENCE,
           UNICODE_UTF8PROC);
    assert_int_equal(h, UNICODE_CHECKSUM);
}

/* The same as stages_checksum() of the tool. */
static void stages_see_what_the_reference_sees(void **state)
{
    (void)state;
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        uint32_t to[UNICODE_COMPAT_MAX];
        int grapheme = 0;
        const unsigned n = unicode_decompose_compat(cp, to);
        const uint32_t kind = unicode_kind(cp);
        h = hash(hash(h, kind & 255), kind >> 8);
        h = hash(h, (unicode_numeric(cp) ? 1u : 0u) | (unicode_combining(cp) ? 2u : 0u) |
                        (cp && unicode_joins('a', cp, &grapheme) ? 4u : 0u));
        h = hash_sequence(h, to, n);
    }
    assert_int_equal(h, UNICODE_STAGES_CHECKSUM);
}

static void composed_is_what_decomposes(void **state)
{
    (void)state;
    uint32_t n_composed = 0;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        uint32_t to[UNICODE_DECOMPOSE_MAX], again[UNICODE_DECOMPOSE_MAX];
        if (unicode_decompose(cp, to) != 2) continue;
        const uint32_t both = unicode_compose(to[0], to[1]);
        if (both == 0) continue; /* excluded from composition */
        assert_int_equal(unicode_decompose(both, again), 2);
        assert_memory_equal(again, to, 2 * sizeof *to);
        n_composed++;
    }
    assert_true(n_composed > 1000);
    assert_int_equal(unicode_compose(0x1112, 0x1161), 0xD558);
    assert_int_equal(unicode_compose(0xD558, 0x11AB), 0xD55C);
    assert_int_equal(unicode_compose(0xD55C, 0x11AB), 0);
    assert_int_equal(unicode_compose('a', 'b'), 0);
}

static void chinese_ranges_end_where_they_should(void **state)
{
    (void)state;
    static const uint32_t ranges[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_false(unicode_chinese(ranges[i][0] - 1));
        assert_true(unicode_chinese(ranges[i][0]));
        assert_true(unicode_chinese(ranges[i][1]));
        assert_false(unicode_chinese(ranges[i][1] + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_the_reference_s),
        cmocka_unit_test(stages_see_what_the_reference_sees),
        cmocka_unit_test(composed_is_what_decomposes),
        cmocka_unit_test(chinese_ranges_end_where_they_should),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-unicode: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
