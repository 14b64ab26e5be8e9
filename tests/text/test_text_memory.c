/* Every allocation of the compiler fails once: each failure is reported as one of memory, leaves
 * the caller's buffer as it was, and leaks nothing. Encoding allocates nothing at all. The linker
 * wraps the allocator's calls. */
#include "text_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NEVER 1000000

static int left = NEVER; /* allocations until one fails */
static int n_calls;

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    n_calls++;
    return left-- == 0 ? NULL : __real_aligned_alloc(alignment, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    n_calls++;
    return left-- == 0 ? NULL : __real_realloc(memory, bytes);
}

static void fail_each(const struct text_files *files)
{
    vecmill_status status = VECMILL_E_MEMORY;
    int n = 0;
    for (; status != VECMILL_OK; n++) {
        struct buf section;
        vecmill_err err = {0};
        buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
        left = n;
        status = text_compile_bytes(files, &section, &err);
        bool failed = left < 0;
        left = NEVER;
        if (status == VECMILL_OK) {
            assert_false(failed);
        } else {
            assert_int_equal(status, VECMILL_E_MEMORY);
            assert_int_equal(err.status, VECMILL_E_MEMORY);
            assert_int_equal(section.bytes, 0);
        }
        buf_done(&section);
    }
    assert_true(n > 5);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    static const char vocab[] = "[UNK]\n[CLS]\n[SEP]\na\n##b\n";
    const char *json = kit_make((struct kit_parts){
        .added = "\"added_tokens\":[{\"id\":7,\"content\":\"foo\",\"single_word\":false,"
                 "\"lstrip\":false,\"rstrip\":false,\"normalized\":true,\"special\":false}]"});
    fail_each(&(struct text_files){.json = json, .json_bytes = strlen(json)});
    fail_each(&(struct text_files){.vocab = vocab, .vocab_bytes = sizeof vocab - 1});
}

static void encoding_allocates_nothing(void **state)
{
    (void)state;
    struct kit k;
    assert_int_equal(kit_json(&k, kit_make((struct kit_parts){0}), NULL), VECMILL_OK);
    int before = n_calls;
    assert_true(before > 0);
    assert_string_equal(kit_ids(&k, "ab \xC3\xA9\xE3\x80\xAE a", 99), "1 3 5 0 3 2");
    static _Alignas(64) unsigned char memory[1u << 14];
    assert_true(text_stream_bytes() <= sizeof memory);
    struct text_stream *s = text_stream_begin(memory, NULL, &k.text, "ab a", 4);
    int32_t id = -1;
    uint32_t n = 0;
    for (bool more = true; more;)
        n += kit_next(s, &id, 1, &more);
    assert_int_equal(n, 3);
    assert_int_equal(n_calls, before);
    kit_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(encoding_allocates_nothing),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-memory: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
