/* The command line of vecmill-worker: what is written is read, and hostile words are refused. */
#include "engine/worker_args.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct model_ref model = {
    .dir = "/models/a model",
    .path = "/cache/packs/a.pack",
    .key = "vecmill 0.4.0, format 6, files 12, fp32 ref",
    .identity = "0123456789abcdef0123456789abcdef",
};

static const struct worker_args serve = {
    .mode = WORKER_SERVE,
    .parent = INT32_MAX,
    .isa = "avx2",
    .precision = VECMILL_INT8,
    .ref = &model,
    .batch_tokens = VECMILL_MAX_BATCH_TOKENS,
    .max_length = 512,
    .dimensions = UINT32_MAX,
    .long_policy = VECMILL_LONG_SPLIT,
    .normalize = VECMILL_NORMALIZE_NO,
    .role = VECMILL_ROLE_QUERY,
    .kinds = 1u << VECMILL_KIND_SPARSE | 1u << VECMILL_KIND_MULTI,
    .max_document = VECMILL_MAX_DOCUMENT + VECMILL_MAX_PROMPT,
    .prompt = "query: ",
};

static int count(const struct worker_argv *argv)
{
    int n = 0;
    while (argv->words[n])
        n++;
    return n;
}

static void check_same(const struct worker_args *a, const struct worker_args *b)
{
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->parent, b->parent);
    if (b->mode == WORKER_BASELINE) return;
    assert_string_equal(a->isa, b->isa);
    assert_int_equal(a->precision, b->precision);
    assert_string_equal(a->ref->dir, b->ref->dir);
    assert_string_equal(a->ref->path, b->ref->path);
    assert_string_equal(a->ref->key, b->ref->key);
    if (b->mode == WORKER_PACK) return;
    assert_string_equal(a->ref->identity, b->ref->identity);
    assert_int_equal(a->batch_tokens, b->batch_tokens);
    assert_int_equal(a->max_length, b->max_length);
    assert_int_equal(a->dimensions, b->dimensions);
    assert_int_equal(a->long_policy, b->long_policy);
    assert_int_equal(a->normalize, b->normalize);
    assert_int_equal(a->role, b->role);
    assert_int_equal(a->kinds, b->kinds);
    assert_int_equal(a->max_document, b->max_document);
    assert_string_equal(a->prompt, b->prompt ? b->prompt : "");
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const struct worker_args least = {.mode = WORKER_SERVE, .isa = "ref", .ref = &model};
    static const struct worker_args pack = {
        .mode = WORKER_PACK, .parent = 7, .isa = "ref", .precision = VECMILL_BF16, .ref = &model};
    static const struct worker_args baseline = {.mode = WORKER_BASELINE, .parent = 1};
    const struct worker_args *const all[] = {&serve, &least, &pack, &baseline};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct worker_argv argv;
        struct worker_args read;
        struct model_ref ref;
        memset(&ref, 0x5A, sizeof ref);
        worker_args_encode(all[i], &argv);
        assert_string_equal(argv.words[0], "vecmill-worker");
        assert_true(worker_args_decode(count(&argv), argv.words, &read, &ref));
        check_same(&read, all[i]);
    }
}

/* Encoding again changes one number in place: a crew holds the words while the batch gets smaller. */
static void numbers_change_in_place(void **state)
{
    (void)state;
    struct worker_args args = serve, read;
    struct worker_argv argv;
    struct model_ref ref;
    worker_args_encode(&args, &argv);
    char *const *const words = argv.words;
    const char *const batch = words[8];
    args.batch_tokens = 16;
    worker_args_encode(&args, &argv);
    assert_ptr_equal(words[8], batch);
    assert_true(worker_args_decode(count(&argv), words, &read, &ref));
    assert_int_equal(read.batch_tokens, 16);
}

static void hostile_words_are_refused(void **state)
{
    (void)state;
    static char long_path[IO_PATH_MAX + 1], long_key[PACK_KEY_BYTES + 1];
    static char long_prompt[VECMILL_MAX_PROMPT + 2];
    static char huge[] = "18446744073709551617", none[] = "", minus[] = "-1", hex[] = "0x10";
    memset(long_path, 'a', IO_PATH_MAX);
    memset(long_key, 'a', PACK_KEY_BYTES);
    memset(long_prompt, 'a', VECMILL_MAX_PROMPT + 1);
    const struct {
        int at;
        char *word;
    } cases[] = {
        {1, none},
        {1, (char *)"Serve"},
        {1, (char *)"pack"}, /* with the words of another mode */
        {1, (char *)"baseline"},
        {2, none},
        {2, minus},
        {2, (char *)"2147483648"},
        {2, (char *)"12 "},
        {4, none},
        {4, (char *)"fp64"},
        {4, (char *)"fp32,"},
        {5, none},
        {5, long_path},
        {6, none},
        {6, long_path},
        {7, none},
        {7, long_key},
        {8, (char *)"65537"},
        {8, hex},
        {9, (char *)"4294967296"},
        {9, huge},
        {10, (char *)"3"},
        {11, (char *)"1073745921"},
        {12, huge},
        {13, (char *)"3"},
        {13, minus},
        {14, none},
        {14, (char *)"0123456789abcdef0123456789abcde"},
        {14, (char *)"0123456789abcdef0123456789abcdef0"},
        {14, (char *)"0123456789abcdef0123456789abcdeg"},
        {15, long_prompt},
        {16, long_prompt},
    };
    struct worker_argv argv;
    struct worker_args read = {.parent = 99};
    struct model_ref ref;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        worker_args_encode(&serve, &argv);
        argv.words[cases[i].at] = cases[i].word;
        if (worker_args_decode(WORKER_WORDS, argv.words, &read, &ref))
            fail_msg("word %d as \"%.40s\" was taken", cases[i].at, cases[i].word);
        assert_int_equal(read.parent, 99);
    }
    worker_args_encode(&serve, &argv);
    for (int n = 0; n < WORKER_WORDS; n++)
        assert_false(worker_args_decode(n, argv.words, &read, &ref));
    assert_true(worker_args_decode(WORKER_WORDS, argv.words, &read, &ref));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(numbers_change_in_place),
        cmocka_unit_test(hostile_words_are_refused),
    };
    const int failed = cmocka_run_group_tests_name("worker_args", tests, NULL, NULL);
    printf("worker_args: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
