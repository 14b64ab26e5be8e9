/* JSON in planned memory: within its plan it is as it always was; beyond it, at every point where jansson
 * asks for more, it is one error that names the plan, and all memory is given back. The calls that take
 * memory are wrapped by the linker. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static int n_mapped, n_heap; /* mappings that are there; blocks taken by realloc */

/* mmap64: what mmap is called with 64-bit offsets, which Meson asks for. */
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    n_mapped++;
    return __real_mmap64(at, bytes, prot, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t bytes)
{
    n_mapped--;
    return __real_munmap(at, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    n_heap++;
    return __real_realloc(memory, bytes);
}

/* Tokens of every length, so that the buffer of jansson's lexer grows at all of them. */
static char text[40000];

static void make_text(void)
{
    size_t at = 0;
    text[at++] = '{';
    for (int i = 0; i < 90; i++) {
        at += (size_t)sprintf(text + at, "%s\"k%d\":[%d,\"", i ? "," : "", i, i);
        for (int n = 0; n < 4 * i; n++)
            text[at++] = (char)('a' + n % 26);
        at +=
            (size_t)sprintf(text + at, "\\u00e9\\n\",{\"x\":1e3,\"y\":[null,true,false,-%d]}]", i);
    }
    text[at++] = '}';
    text[at] = '\0';
}

static vecmill_status parse(const char *json, json_t **v, vecmill_err *err)
{
    return jsonx_parse(json, strlen(json), "f.json", VECMILL_E_MODEL, v, err);
}

static void lies_in_one_mapping(void **state)
{
    (void)state;
    json_t *v = NULL;
    vecmill_err err;
    jsonx_claim(SIZE_MAX);
    n_heap = 0;
    assert_int_equal(parse(text, &v, &err), VECMILL_OK);
    assert_int_equal(n_mapped, 1);
    assert_int_equal(n_heap, 0);
    assert_int_equal(json_object_size(v), 90);
    const json_t *last = json_object_get(v, "k89");
    assert_int_equal(json_integer_value(json_array_get(last, 0)), 89);
    assert_int_equal(json_string_length(json_array_get(last, 1)), 4 * 89 + 3);
    json_decref(v);
    assert_int_equal(n_mapped, 0);
}

static void words_alone_leave_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {"true", "false", "null", "7", "\"\"", "[]"};
    jsonx_claim(SIZE_MAX);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        json_t *v = NULL;
        assert_int_equal(parse(words[i], &v, NULL), VECMILL_OK);
        json_decref(v);
        assert_int_equal(n_mapped, 0);
    }
}

static void what_is_no_json_leaves_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "{",         "[1,2",   "{\"a\":1,\"a\":2}",
                                      "{} x", "\"\\u12\"", "[1e999]"};
    vecmill_err err;
    jsonx_claim(SIZE_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *v = NULL;
        assert_int_equal(parse(bad[i], &v, &err), VECMILL_E_MODEL);
        assert_non_null(strstr(err.message, "f.json: line"));
        assert_null(v);
        assert_int_equal(n_mapped, 0);
    }
}

static void any_smaller_plan_is_an_error(void **state)
{
    (void)state;
    size_t n_failed = 0, most = 0;
    vecmill_status status = VECMILL_E_MEMORY;
    for (; status != VECMILL_OK; most += 40) {
        json_t *v = NULL;
        vecmill_err err;
        jsonx_claim(most);
        status = parse(text, &v, &err);
        if (status == VECMILL_OK) {
            json_decref(v);
        } else {
            n_failed++;
            assert_int_equal(status, VECMILL_E_MEMORY);
            assert_non_null(strstr(err.message, "JSONX_PLAN"));
            assert_non_null(strstr(err.message, "f.json"));
            assert_null(v);
        }
        assert_int_equal(n_mapped, 0);
    }
    printf("%zu plans were too small, %zu bytes were enough for %zu of text\n", n_failed, most - 40,
           strlen(text));
    assert_true(n_failed > 500);
    assert_true(most - 40 <= jsonx_plan_bytes(strlen(text)));
}

/* Three bytes a value, and all of them objects: far more than the plan's share. */
static void what_needs_more_than_its_share_is_an_error(void **state)
{
    (void)state;
    static char objects[60001];
    json_t *v = NULL;
    vecmill_err err;
    for (size_t i = 0; i < 60000; i += 3)
        memcpy(objects + i, i ? ",{}" : "[{}", 3);
    objects[60000] = ']';
    jsonx_claim(SIZE_MAX);
    assert_int_equal(jsonx_parse(objects, sizeof objects, "f.json", VECMILL_E_MODEL, &v, &err),
                     VECMILL_E_MEMORY);
    assert_non_null(strstr(err.message, "JSONX_PLAN, 16"));
    assert_int_equal(n_mapped, 0);
}

static void what_was_made_elsewhere_is_freed(void **state)
{
    (void)state;
    json_t *v = NULL, *made = json_pack("{s:i}", "a", 5);
    jsonx_claim(SIZE_MAX);
    assert_int_equal(parse(text, &v, NULL), VECMILL_OK);
    json_decref(made); /* the heap's, while a document is there */
    json_decref(v);
    assert_int_equal(n_mapped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_made_elsewhere_is_freed),
        cmocka_unit_test(lies_in_one_mapping),
        cmocka_unit_test(words_alone_leave_nothing),
        cmocka_unit_test(what_is_no_json_leaves_nothing),
        cmocka_unit_test(any_smaller_plan_is_an_error),
        cmocka_unit_test(what_needs_more_than_its_share_is_an_error),
    };
    const int n = sizeof tests / sizeof tests[0];
    make_text();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("base-jsonx-plan: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
