/* The plan of compiling a model: what is taken stays under model_compile_most, a failed allocation leaves
 * nothing behind, and a folder's configuration is that of its pack. The calls that take memory are wrapped by
 * the linker. */
#include "model_toy.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define NEVER 1000000

static size_t live, peak;
static int left = NEVER; /* calls of our code that take memory, until one fails */
static struct toy toy;
static const struct kern *kern;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void __wrap_free(void *memory);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);

static void add(size_t bytes)
{
    live += bytes;
    peak = live > peak ? live : peak;
}

static void *added(void *m)
{
    if (m) add(malloc_usable_size(m));
    return m;
}

void *__wrap_malloc(size_t bytes)
{
    return added(__real_malloc(bytes));
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return added(__real_calloc(n, bytes));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return left-- == 0 ? NULL : added(__real_aligned_alloc(alignment, bytes));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    const size_t before = memory ? malloc_usable_size(memory) : 0;
    void *m = left-- == 0 ? NULL : __real_realloc(memory, bytes);
    if (m) live -= before;
    return added(m);
}

void __wrap_free(void *memory)
{
    if (memory) live -= malloc_usable_size(memory);
    __real_free(memory);
}

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    void *m = left-- == 0 ? MAP_FAILED : __real_mmap64(at, bytes, prot, flags, fd, offset);
    if (m != MAP_FAILED) add(bytes);
    return m;
}

int __wrap_munmap(void *at, size_t bytes)
{
    live -= bytes;
    return __real_munmap(at, bytes);
}

/* ---- tests ---- */

static void within(const char *arguments)
{
    size_t most = 0;
    vecmill_err err;
    if (model_compile_most(toy.model, &most, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(live, 0);
    peak = 0;
    if (toy_compile(&toy, kern, &err) != VECMILL_OK) fail_msg("%s: %s", arguments, err.message);
    assert_int_equal(live, 0);
    printf("%-64s planned %8zu, taken %8zu\n", arguments, most, peak);
    assert_true(peak <= most + sizeof(struct pack_writer) + 64); /* the writer is the test's */
}

static const char *const variants[] = {
    "",
    "--pooling cls --prefix --extras --max-length 20",
    "--pooling none --dtype F16",
    "--layers 64 --hidden 4 --heads 2 --intermediate 4",
    "--layers 1 --hidden 256 --intermediate 1024 --heads 4",
    "--layers 1 --hidden 72 --intermediate 1000 --heads 3 --vocab 300",
    "--transformer 0_Transformer --shards 7 --layers 40 --hidden 4 --heads 2 --intermediate 4",
    "--transformer 0_Transformer --pooling-path pool --shards 2",
    "--pooling cls+mean --after Dense:4000:Tanh,LayerNorm",
    "--torch --after Dense:3000:Tanh,Dense:60:ReLU,Normalize",
    "--torch --extras",
    "--torch --layers 64 --hidden 4 --heads 2 --intermediate 4",
    "--torch --shards 5 --layers 40 --hidden 4 --heads 2 --intermediate 4",
};

static void folders_stay_within_their_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        toy_make(&toy, variants[i]);
        within(variants[i]);
    }
    /* The largest configuration file decides for a small model. */
    static char spaces[3900000];
    memset(spaces, ' ', sizeof spaces - 2);
    spaces[sizeof spaces - 2] = '{';
    toy_make(&toy, "");
    toy_edit(&toy, "tokenizer_config.json", "{", spaces);
    within("a tokenizer_config.json of 3,900,000 bytes");
}

static void a_folders_configuration_is_its_packs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        vecmill_err err;
        struct pack pack;
        struct model_config of_folder, of_pack;
        memset(&of_folder, 0xee, sizeof of_folder);
        toy_make(&toy, variants[i]);
        if (model_config_of_folder(toy.model, toy_precision(), &of_folder, &err) != VECMILL_OK)
            fail_msg("%s", err.message);
        assert_int_equal(toy_compile(&toy, kern, &err), VECMILL_OK);
        assert_int_equal(pack_open(toy.pack, &pack, &err), VECMILL_OK);
        assert_int_equal(model_read_config(&pack, kern, toy_precision(), &of_pack, &err),
                         VECMILL_OK);
        pack_close(&pack);
        assert_memory_equal(&of_folder, &of_pack, sizeof of_pack);
    }
}

static void what_does_not_compile_has_no_configuration(void **state)
{
    (void)state;
    vecmill_err err;
    struct model_config config = {.hidden = 7};
    size_t most = 7;
    toy_make(&toy, "");
    toy_edit(&toy, "sentence_bert_config.json", "64", "65");
    assert_int_equal(model_config_of_folder(toy.model, toy_precision(), &config, &err),
                     VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "max_seq_length"));
    toy_make(&toy, "");
    toy_edit(&toy, "model.safetensors", "encoder.layer.1.output.dense.bias", "x");
    assert_int_equal(model_config_of_folder(toy.model, toy_precision(), &config, &err),
                     VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "encoder.layer.1.output.dense.bias"));
    assert_int_equal(config.hidden, 7);

    char path[TOY_PATH + 64];
    snprintf(path, sizeof path, "%s/model.safetensors", toy.model);
    toy_write(path, "\xff\xff\xff\x00\x00\x00\x00\x00{}", 10);
    assert_int_equal(model_compile_most(toy.model, &most, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "the file holds 2"));
    toy_write(path, "\x02\x00", 2);
    assert_int_equal(model_compile_most(toy.model, &most, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "2 bytes, a safetensors file has 8 or more"));
    assert_int_equal(remove(path), 0);
    assert_int_equal(model_compile_most(toy.model, &most, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "is missing"));
    assert_int_equal(most, 7);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    static const char *const of[] = {"--layers 1 --shards 2", "--layers 1 --shards 2 --torch"};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        vecmill_err err;
        int n = 0;
        toy_make(&toy, of[i]);
        for (bool failed = true; failed; n++) {
            left = n;
            const vecmill_status status = toy_compile(&toy, kern, &err);
            failed = left < 0;
            left = NEVER;
            assert_int_equal(status, failed ? VECMILL_E_MEMORY : VECMILL_OK);
            assert_int_equal(live, 0);
        }
        printf("%s: %d allocations failed, one at a time\n", of[i], n - 1);
        assert_true(n > 10);
    }
}

static int set_up(void **state)
{
    (void)state;
    toy_open(&toy);
    kern = toy_kern();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    toy_remove(&toy);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_stay_within_their_plan),
        cmocka_unit_test(a_folders_configuration_is_its_packs),
        cmocka_unit_test(what_does_not_compile_has_no_configuration),
        cmocka_unit_test(each_allocation_fails),
    };
    const int n = sizeof tests / sizeof tests[0];
    if (!toy_level()) {
        printf("skipped: this machine has no %s\n", getenv("VECMILL_ISA"));
        return 77;
    }
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("model-plan: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
