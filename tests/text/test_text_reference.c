/* The ids of all-MiniLM-L6-v2's tokenizer are the reference's, from tokenizer.json and from vocab.txt alone.
 * The model's folder is VECMILL_TEST_MODEL; without it it says so and is skipped. Also says how fast that
 * was; nothing is asserted of it. */
#include "../data/reference.h"
#include "text/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT  REFERENCE_LENGTH
#define ROUNDS 20

static const char *model;
static struct reference reference;

/* Encodes every row; returns the tokens. */
static uint64_t compare(const struct text *text)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < reference.n; i++) {
        const struct reference_row *row = &reference.rows[i];
        int32_t ids[LIMIT];
        struct text_result r;
        text_encode(text, NULL, row->text, row->bytes, LIMIT, ids, &r);
        assert_int_equal(r.n_ids, row->n_ids);
        for (uint32_t k = 0; k < r.n_ids; k++)
            assert_int_equal(ids[k], row->ids[k]);
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
    uint64_t tokens = compare(&text), began = clock_ns();
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t k = 0; k < reference.n; k++) {
            const struct reference_row *row = &reference.rows[k];
            int32_t ids[LIMIT];
            struct text_result r;
            text_encode(&text, NULL, row->text, row->bytes, LIMIT, ids, &r);
        }
    }
    double seconds = (double)(clock_ns() - began) / 1e9;
    print_message("%zu texts, %llu tokens equal; section %zu bytes; %.1f million tokens/s\n",
                  reference.n, (unsigned long long)tokens, section.bytes,
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
    vecmill_err err = {0};
    model = getenv("VECMILL_TEST_MODEL");
    if (!model || !io_exists(model)) {
        printf("skipped: VECMILL_TEST_MODEL is %s\n", model ? model : "not set");
        return 77;
    }
    if (reference_open(&reference, &err) != VECMILL_OK) {
        printf("text-reference: %s\n", err.message);
        reference_close(&reference);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_the_reference_s),
        cmocka_unit_test(vocab_alone_gives_the_same),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    reference_close(&reference);
    printf("text-reference: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
