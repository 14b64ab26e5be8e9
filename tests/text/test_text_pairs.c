/* text_encode_pair: ids and type ids of PyPI tokenizers for pairs, cut longest first. tests/data/pairs.jsonl
 * has the tokenizers and what they give; tools/make_golden_pairs.py made it. */
#include "text_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN     "tests/data/pairs.jsonl"
#define TOKENS_MAX 64u

/* The n words "a b c ..." or, with 'e', "e d c ...". */
static const char *words(char first, int64_t n, char text[static 2 * TOKENS_MAX])
{
    size_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) text[bytes++] = ' ';
        text[bytes++] = (char)(first == 'a' ? 'a' + i % 5 : 'e' - i % 5);
    }
    text[bytes] = 0;
    return text;
}

/* One case: [words, words, most tokens, ids, types]. */
static void check_case(const struct kit *k, void *scratch, const struct json_value *item)
{
    struct json_value none, id, member[5];
    struct json_each each = json_begin(item);
    int64_t number[3];
    char first[2 * TOKENS_MAX], second[2 * TOKENS_MAX], want_types[TOKENS_MAX + 1];
    int32_t ids[3 * TOKENS_MAX];
    uint8_t types[TOKENS_MAX];
    uint64_t replaced = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(json_each(&each, &none, &member[i]));
        if (i < 3) assert_true(json_i64(&member[i], &number[i]));
    }
    assert_true(number[2] <= TOKENS_MAX && member[4].bytes <= sizeof want_types);
    const size_t n_want = json_decode(&member[4], want_types, &replaced);
    words('a', number[0], first);
    words('e', number[1], second);
    const struct text_part parts[2] = {{first, strlen(first)}, {second, strlen(second)}};
    struct text_result r;
    text_encode_pair(&k->text, scratch, parts, (uint32_t)number[2], ids, types, &r);
    bool equal = r.n_ids == n_want && json_count(&member[3]) == n_want;
    struct json_each of = json_begin(&member[3]);
    for (uint32_t i = 0; equal && json_each(&of, &none, &id); i++) {
        int64_t want = -1;
        equal = json_i64(&id, &want) && want == ids[i] && want_types[i] == '0' + types[i];
    }
    if (!equal) fail_msg("%u tokens differ in %.*s", r.n_ids, (int)item->bytes, item->raw);
    const uint64_t whole = (uint64_t)number[0] + (uint64_t)number[1] + k->text.n_pair_specials;
    assert_int_equal(r.truncated, whole > (uint64_t)number[2]);
}

/* A plan knows the scratch before there is a section. */
static void check_scratch(const struct kit *k, const struct json_value *tokenizer)
{
    char dir[] = "/tmp/vecmill-pairs-XXXXXX", path[64];
    size_t bytes = 1;
    vecmill_err err = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(tokenizer->raw, 1, tokenizer->bytes, f);
    fclose(f);
    const vecmill_status status = text_scratch_of(dir, &bytes, &err);
    unlink(path);
    rmdir(dir);
    if (status != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(bytes, text_scratch_bytes(&k->text));
}

static void ids_and_types_are_the_reference_s(void **state)
{
    (void)state;
    struct buf file;
    uint32_t n_tokenizers = 0, n_cases = 0;
    vecmill_err err = {0};
    buf_init(&file, 1u << 20, "GOLDEN_MAX");
    assert_int_equal(io_read_file(GOLDEN, &file, VECMILL_E_IO, VECMILL_E_IO, &err), VECMILL_OK);
    for (const char *at = file.data, *end; at < file.data + file.bytes; at = end + 1) {
        struct json_value line, none, item;
        struct kit k;
        end = memchr(at, '\n', (size_t)(file.data + file.bytes - at));
        assert_non_null(end);
        assert_int_equal(json_check(at, (size_t)(end - at), GOLDEN, VECMILL_E_IO, &line, NULL),
                         VECMILL_OK);
        const struct json_value tokenizer = json_get(&line, "tokenizer"),
                                cases = json_get(&line, "cases");
        if (tokenizer.kind != JSON_KIND_OBJECT) continue;
        char *json = strndup(tokenizer.raw, tokenizer.bytes);
        if (kit_json(&k, json, &err) != VECMILL_OK) fail_msg("%s", err.message);
        free(json);
        assert_true(k.text.takes_pairs);
        check_scratch(&k, &tokenizer);
        void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(&k.text), 64) + 64);
        struct json_each each = json_begin(&cases);
        for (; json_each(&each, &none, &item); n_cases++)
            check_case(&k, scratch, &item);
        free(scratch);
        kit_done(&k);
        n_tokenizers++;
    }
    buf_done(&file);
    assert_int_equal(n_tokenizers, 7);
    assert_true(n_cases > 300);
}

/* A template for pairs that is not understood hinders nobody who has single texts. */
static void other_templates_take_no_pairs(void **state)
{
    (void)state;
    static const char *const pairs[] = {
        "null",
        "[]",
        "[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]",
        "[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]",
        "[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":2}}]",
        "[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}]",
        "[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"none\",\"type_"
        "id\":0}}"
        ",{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}]"};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct kit k;
        vecmill_err err = {0};
        char post[1024];
        snprintf(
            post, sizeof post,
            "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
            "\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
            "\"pair\":%s,\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1],"
            "\"tokens\":[\"[CLS]\"]}}}",
            pairs[i]);
        const char *json = kit_make((struct kit_parts){.post_processor = post});
        if (kit_json(&k, json, &err) != VECMILL_OK) fail_msg("%s: %s", pairs[i], err.message);
        assert_false(k.text.takes_pairs);
        assert_string_equal(kit_ids(&k, "a b", 10), "1 3 4");
        kit_done(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_types_are_the_reference_s),
        cmocka_unit_test(other_templates_take_no_pairs),
    };
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-pairs: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
