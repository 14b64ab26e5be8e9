/* Encoding by the reference's rules: ids of PyPI tokenizers for each rule, and the other promises
 * of text.h. */
#include "text_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN_IDS 32

struct golden {
    const char *json, *rule, *text;
    size_t bytes;
    uint32_t limit;
    bool truncated;
    uint64_t replaced;
    uint32_t n;
    int32_t ids[GOLDEN_IDS];
};

#include "tokenizer_golden.inc"

#define N_GOLDEN (sizeof golden_cases / sizeof golden_cases[0])

static void golden_ids(void **state)
{
    (void)state;
    struct kit k;
    const char *open = NULL;
    for (size_t i = 0; i < N_GOLDEN; i++) {
        const struct golden *g = &golden_cases[i];
        vecmill_err err = {0};
        if (open != g->json) {
            if (open) kit_done(&k);
            if (kit_json(&k, g->json, &err) != VECMILL_OK) fail_msg("%s", err.message);
            open = g->json;
        }
        int32_t ids[512];
        struct text_result r;
        text_encode(&k.text, NULL, g->text, g->bytes, g->limit, ids, &r);
        bool equal = r.n_ids == g->n && memcmp(ids, g->ids, g->n * sizeof ids[0]) == 0;
        if (!equal || r.truncated != g->truncated ||
            (!r.truncated && r.replaced_bytes != g->replaced)) {
            fail_msg("%s: ids %s, want %u (first %d), truncated %d, replaced %llu", g->rule,
                     kit_ids(&k, g->text, g->limit), g->n, g->ids[0], r.truncated,
                     (unsigned long long)r.replaced_bytes);
        }
    }
    kit_done(&k);
}

/* A copy that ends where its memory ends, so that a sanitizer sees any byte read after it. */
static void reads_no_byte_behind(void **state)
{
    (void)state;
    struct kit k;
    assert_int_equal(kit_json(&k, golden_added_spaced, NULL), VECMILL_OK);
    for (size_t i = 0; i < N_GOLDEN; i++) {
        for (size_t bytes = 0; bytes <= golden_cases[i].bytes; bytes++) {
            char *copy = malloc(bytes + 1);
            int32_t ids[64];
            struct text_result r;
            assert_non_null(copy);
            memcpy(copy + 1, golden_cases[i].text, bytes);
            text_encode(&k.text, NULL, copy + 1, bytes, 64, ids, &r);
            assert_in_range(r.n_ids, 2, 64);
            free(copy);
        }
    }
    kit_done(&k);
}

/* Every limit gives the start of the whole, and writes nothing after it. */
static void truncation_is_exact(void **state)
{
    (void)state;
    struct kit k;
    int32_t whole[64], ids[64];
    struct text_result all, r;
    const char *text = "a ab hello abz \xC3\xA9[MASK]zz caf\xC3\xA9! abca  ";
    assert_int_equal(kit_json(&k, golden_uncased, NULL), VECMILL_OK);
    text_encode(&k.text, NULL, text, strlen(text), 64, whole, &all);
    assert_false(all.truncated);
    for (uint32_t limit = 3; limit <= all.n_ids + 2; limit++) {
        uint32_t n = limit < all.n_ids ? limit : all.n_ids;
        memset(ids, 0x55, sizeof ids);
        text_encode(&k.text, NULL, text, strlen(text), limit, ids, &r);
        assert_int_equal(r.n_ids, n);
        assert_int_equal(r.truncated, limit < all.n_ids);
        assert_memory_equal(ids, whole, (n - 1) * sizeof ids[0]);
        assert_int_equal(ids[n - 1], whole[all.n_ids - 1]);
        for (uint32_t i = n; i < 64; i++)
            assert_int_equal(ids[i], 0x55555555);
    }
    kit_done(&k);
}

static void tokens_have_texts(void **state)
{
    (void)state;
    struct kit k;
    size_t bytes;
    const char *text;
    const char *holes = kit_make((struct kit_parts){
        .post_processor = "\"post_processor\":null",
        .added = "\"added_tokens\":[{\"id\":3,\"content\":\"new\",\"single_word\":false,"
                 "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":false}]",
        .model = "\"model\":{\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","
                 "\"max_input_chars_per_word\":9,\"vocab\":{\"u\":1,\"\":2,\"far\":7}}"});
    assert_int_equal(kit_json(&k, holes, NULL), VECMILL_OK);
    assert_int_equal(k.text.vocab_size, 8);
    assert_int_equal(k.text.n_specials, 0);
    assert_int_equal(k.text.unknown, 1);
    text = text_token(&k.text, 7, &bytes);
    assert_int_equal(bytes, 3);
    assert_memory_equal(text, "far", 3);
    text = text_token(&k.text, 3, &bytes);
    assert_int_equal(bytes, 3);
    assert_memory_equal(text, "new", 3);
    assert_non_null(text_token(&k.text, 2, &bytes));
    assert_int_equal(bytes, 0);
    assert_null(text_token(&k.text, 0, &bytes));
    assert_null(text_token(&k.text, 8, &bytes));
    assert_null(text_token(&k.text, -1, &bytes));
    assert_string_equal(kit_ids(&k, "far new x", 9), "7 3 1");
    kit_done(&k);
}

/* Ten million bytes that a careless tokenizer takes quadratic time or memory for; the time limit of
 * the test is what notices. */
static void long_texts_take_linear_time(void **state)
{
    (void)state;
    static const struct {
        const char *unit, *ids;
    } texts[] = {
        {"a", "2 1 3"},                    /* one word */
        {"\xCC\x81", "2 3"},               /* marks */
        {"\xE3\x80\xAE\xD6\xB0", "2 1 3"}, /* marks that survive in two classes */
        {"##", "2 29 29 29 3"},            /* the prefix */
        {"[MAS", "2 51 1 51 3"},           /* beginnings of an added token */
        {" ", "2 3"},
        {"\xFF", "2 3"},
        {"fooo", "2 1 3"}, /* an added token refused by its neighbours */
    };
    const size_t bytes = 10u << 20;
    struct kit k;
    char *data = malloc(bytes);
    assert_non_null(data);
    assert_int_equal(kit_json(&k, golden_added, NULL), VECMILL_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t unit = strlen(texts[i].unit);
        for (size_t at = 0; at < bytes; at++)
            data[at] = texts[i].unit[at % unit];
        int32_t ids[5];
        struct text_result r;
        char out[64] = "";
        size_t at = 0;
        text_encode(&k.text, NULL, data, bytes, 5, ids, &r);
        for (uint32_t n = 0; n < r.n_ids; n++)
            at += (size_t)snprintf(out + at, sizeof out - at, n ? " %d" : "%d", ids[n]);
        assert_string_equal(out, texts[i].ids);
    }
    free(data);
    kit_done(&k);
}

/* A full result ends the reading: the invalid byte far after it is not counted. */
static void stops_when_certain(void **state)
{
    (void)state;
    struct kit k;
    const size_t bytes = 1u << 20;
    char *data = malloc(bytes);
    int32_t ids[8];
    struct text_result r;
    assert_non_null(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = "a "[i % 2];
    data[bytes - 1] = '\xFF';
    assert_int_equal(kit_json(&k, golden_uncased, NULL), VECMILL_OK);
    text_encode(&k.text, NULL, data, bytes, 8, ids, &r);
    assert_true(r.truncated);
    assert_int_equal(r.replaced_bytes, 0);
    kit_done(&k);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ids),
        cmocka_unit_test(reads_no_byte_behind),
        cmocka_unit_test(truncation_is_exact),
        cmocka_unit_test(tokens_have_texts),
        cmocka_unit_test(long_texts_take_linear_time),
        cmocka_unit_test(stops_when_certain),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-encode: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
