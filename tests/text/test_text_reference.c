/* The ids of all-MiniLM-L6-v2's tokenizer: the texts of VECMILL_SHARED/data/reference/texts.jsonl
 * ({"text", "ids"}, made with PyPI tokenizers, at most 256 tokens), from tokenizer.json and from
 * vocab.txt alone. The model's folder is VECMILL_TEST_MODEL. Without either it says so and is skipped.
 * Also says how fast that was; nothing is asserted of it. */
#include "text/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT      256
#define TEXTS_MAX  (64u << 20)
#define MOST_TEXTS 1000
#define ROUNDS     20

static const char *model;
static char texts_path[IO_PATH_MAX];

static json_t *rows[MOST_TEXTS];
static size_t n_rows;

static int read_rows(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, TEXTS_MAX, "TEXTS_MAX");
    assert_int_equal(io_read_file(texts_path, &b, VECMILL_E_IO, VECMILL_E_IO, NULL), VECMILL_OK);
    for (size_t at = 0; at < b.bytes;) {
        const char *end = memchr(b.data + at, '\n', b.bytes - at);
        size_t n = end ? (size_t)(end - b.data) - at : b.bytes - at;
        assert_true(n_rows < MOST_TEXTS);
        rows[n_rows] = json_loadb(b.data + at, n, JSON_ALLOW_NUL, NULL);
        assert_true(json_is_array(json_object_get(rows[n_rows], "ids")));
        n_rows++;
        at += n + 1;
    }
    buf_done(&b);
    return 0;
}

static int drop_rows(void **state)
{
    (void)state;
    while (n_rows)
        json_decref(rows[--n_rows]);
    return 0;
}

/* Encodes every row; returns the tokens. */
static uint64_t compare(const struct text *text)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const json_t *t = json_object_get(rows[i], "text"), *want = json_object_get(rows[i], "ids");
        int32_t ids[LIMIT];
        struct text_result r;
        text_encode(text, json_string_value(t), json_string_length(t), LIMIT, ids, &r);
        assert_int_equal(r.n_ids, json_array_size(want));
        for (uint32_t k = 0; k < r.n_ids; k++)
            assert_int_equal(ids[k], json_integer_value(json_array_get(want, k)));
        tokens += r.n_ids;
    }
    return tokens;
}

static void ids_are_the_reference_s(void **state)
{
    (void)state;
    struct buf section;
    struct text text;
    vecmill_err err = {0};
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    if (text_compile(model, &section, &err) != VECMILL_OK ||
        text_open(section.data, section.bytes, &text, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    assert_true(n_rows > 500);
    uint64_t tokens = compare(&text), began = clock_ns();
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t row = 0; row < n_rows; row++) {
            const json_t *t = json_object_get(rows[row], "text");
            int32_t ids[LIMIT];
            struct text_result r;
            text_encode(&text, json_string_value(t), json_string_length(t), LIMIT, ids, &r);
        }
    }
    double seconds = (double)(clock_ns() - began) / 1e9;
    print_message("%zu texts, %llu tokens equal; section %zu bytes; %.1f million tokens/s\n",
                  n_rows, (unsigned long long)tokens, section.bytes,
                  (double)tokens * ROUNDS / seconds / 1e6);
    buf_done(&section);
}

static void vocab_alone_gives_the_same(void **state)
{
    (void)state;
    struct buf vocab, section;
    struct text text;
    vecmill_err err = {0};
    char path[IO_PATH_MAX];
    buf_init(&vocab, TEXT_FILE_MAX, "TEXT_FILE_MAX");
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    assert_int_equal(io_join(model, "vocab.txt", path, NULL), VECMILL_OK);
    if (io_read_file(path, &vocab, VECMILL_E_IO, VECMILL_E_IO, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    const struct text_files files = {.vocab = vocab.data, .vocab_bytes = vocab.bytes};
    if (text_compile_bytes(&files, &section, &err) != VECMILL_OK ||
        text_open(section.data, section.bytes, &text, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    compare(&text);
    buf_done(&section);
    buf_done(&vocab);
}

int main(void)
{
    const char *shared = getenv("VECMILL_SHARED");
    model = getenv("VECMILL_TEST_MODEL");
    snprintf(texts_path, sizeof texts_path, "%s/data/reference/texts.jsonl",
             shared ? shared : "../shared");
    if (!model || !io_exists(model) || !io_exists(texts_path)) {
        printf("skipped: VECMILL_TEST_MODEL is %s, %s is %s\n", model ? model : "not set",
               texts_path, io_exists(texts_path) ? "there" : "not there");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_the_reference_s),
        cmocka_unit_test(vocab_alone_gives_the_same),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, read_rows, drop_rows);
    printf("text-reference: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
