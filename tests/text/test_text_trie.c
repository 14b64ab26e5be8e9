/* The double array against a plain search, over sets that share prefixes and use every byte. */
#include "text/text_trie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define N_KEYS    3000
#define KEY_BYTES 12

static char texts[N_KEYS][KEY_BYTES];
static struct trie_key keys[N_KEYS];

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Random keys without equals, sorted; `alphabet` bytes from `first` on. */
static size_t make_keys(uint32_t seed, unsigned first, unsigned alphabet)
{
    size_t n = 0;
    for (uint32_t i = 0; i < N_KEYS; i++) {
        uint32_t bytes = 1 + next_random(&seed) % KEY_BYTES;
        for (uint32_t k = 0; k < bytes; k++)
            texts[i][k] = (char)(first + next_random(&seed) % alphabet);
        keys[i] = (struct trie_key){texts[i], bytes, i};
    }
    trie_sort(keys, N_KEYS);
    for (size_t i = 0; i < N_KEYS; i++) {
        bool again = n && keys[n - 1].bytes == keys[i].bytes &&
                     memcmp(keys[n - 1].text, keys[i].text, keys[i].bytes) == 0;
        if (!again) keys[n++] = keys[i];
    }
    return n;
}

static bool is_prefix(size_t n, const char *text, size_t bytes, uint32_t *value)
{
    bool any = false;
    *value = TRIE_NONE;
    for (size_t i = 0; i < n; i++) {
        if (keys[i].bytes < bytes || memcmp(keys[i].text, text, bytes) != 0) continue;
        any = true;
        if (keys[i].bytes == bytes) *value = keys[i].value;
    }
    return any;
}

static void check_set(size_t n, uint32_t seed)
{
    struct buf b;
    struct trie t;
    buf_init(&b, 64u << 20, "TEST");
    assert_int_equal(trie_build(keys, n, &b, &t.n_units, NULL), VECMILL_OK);
    t.units = (const unsigned char *)b.data;
    assert_true(trie_check(&t, N_KEYS));
    for (size_t i = 0; i < n; i++) {
        uint32_t node = trie_walk(&t, keys[i].text, keys[i].bytes);
        assert_int_not_equal(node, TRIE_NONE);
        assert_int_equal(trie_value(&t, node), keys[i].value);
    }
    for (unsigned i = 0; i < 2000; i++) { /* strings that mostly are not there */
        char text[KEY_BYTES];
        size_t bytes = 1 + next_random(&seed) % KEY_BYTES;
        memcpy(text, keys[next_random(&seed) % n].text, sizeof text);
        text[next_random(&seed) % bytes] = (char)next_random(&seed);
        uint32_t value, node = trie_walk(&t, text, bytes);
        assert_int_equal(is_prefix(n, text, bytes, &value), node != TRIE_NONE);
        if (node != TRIE_NONE) assert_int_equal(trie_value(&t, node), value);
    }
    assert_false(trie_check(&t, 1)); /* values are below N_KEYS, not below 1 */
    t.n_units = 255;
    assert_false(trie_check(&t, N_KEYS));
    buf_done(&b);
}

static void finds_what_is_there_and_no_more(void **state)
{
    (void)state;
    check_set(make_keys(1, 'a', 3), 11);
    check_set(make_keys(2, 'a', 26), 12);
    check_set(make_keys(3, 0, 256), 13);
}

static void an_empty_set_has_a_root(void **state)
{
    (void)state;
    struct buf b;
    struct trie t;
    buf_init(&b, 1 << 20, "TEST");
    assert_int_equal(trie_build(NULL, 0, &b, &t.n_units, NULL), VECMILL_OK);
    t.units = (const unsigned char *)b.data;
    assert_true(trie_check(&t, 0));
    for (unsigned byte = 0; byte < 256; byte++)
        assert_int_equal(trie_step(&t, TRIE_ROOT, (unsigned char)byte), TRIE_NONE);
    buf_done(&b);
}

static void too_big_for_the_buffer_is_an_error(void **state)
{
    (void)state;
    struct buf b;
    uint32_t n_units = 7;
    vecmill_err err;
    buf_init(&b, 4000, "SMALL");
    size_t n = make_keys(4, 'a', 26);
    assert_int_equal(trie_build(keys, n, &b, &n_units, &err), VECMILL_E_LIMIT);
    assert_non_null(strstr(err.message, "SMALL"));
    assert_int_equal(n_units, 7);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there_and_no_more),
        cmocka_unit_test(an_empty_set_has_a_root),
        cmocka_unit_test(too_big_for_the_buffer_is_an_error),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-trie: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
