/* A section as hostile bytes: cut anywhere or changed anywhere, it is refused or stays in bounds. What
 * it encodes then does not matter; the sanitizers say whether it read or wrote outside. */
#include "text_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_TOKENS 20

static struct kit kit;
static unsigned char *bytes; /* a copy of exactly the section's size */

static int set_up(void **state)
{
    (void)state;
    vecmill_err err = {0};
    const char *json = kit_make((struct kit_parts){
        .added = "\"added_tokens\":[{\"id\":6,\"content\":\"[MASK]\",\"single_word\":true,"
                 "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},"
                 "{\"id\":7,\"content\":\"foo\",\"single_word\":true,\"lstrip\":true,"
                 "\"rstrip\":false,\"normalized\":true,\"special\":false}]"});
    if (kit_json(&kit, json, &err) != VECMILL_OK) fail_msg("%s", err.message);
    bytes = malloc(kit.section.bytes);
    assert_non_null(bytes);
    memcpy(bytes, kit.section.data, kit.section.bytes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(bytes);
    kit_done(&kit);
    return 0;
}

/* Uses an opened section in every way there is. */
static void use(const struct text *text)
{
    static const char *const texts[] = {"", "ab [MASK] foo", "FOO x\xCC\x81\xE3\x80\xAE ba\xFF",
                                        "[MASK]a Foofoo abab \xE4\xB8\xAD.", "[MAS [MASK]"};
    if (text->n_specials >= MAX_TOKENS) return;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int32_t ids[MAX_TOKENS];
        struct text_result r;
        text_encode(text, NULL, texts[i], strlen(texts[i]), MAX_TOKENS, ids, &r);
        assert_in_range(r.n_ids, text->n_specials, MAX_TOKENS);
        for (uint32_t k = 0; k < r.n_ids; k++)
            assert_in_range(ids[k], 0, text->vocab_size - 1);
    }
    unsigned long sum = 0;
    for (uint32_t id = 0; id < text->vocab_size && id < 64; id++) {
        size_t n;
        const char *t = text_token(text, (int32_t)id, &n);
        for (size_t k = 0; t && k < n; k++)
            sum += (unsigned char)t[k];
    }
    assert_true(sum < ~0ul);
}

static void every_byte_changed(void **state)
{
    (void)state;
    static const unsigned char masks[] = {0x01, 0x80, 0xFF, 0x40};
    unsigned n_opened = 0, n_refused = 0;
    for (size_t i = 0; i < kit.section.bytes; i++) {
        for (size_t m = 0; m < sizeof masks; m++) {
            struct text text;
            bytes[i] ^= masks[m];
            if (text_open(bytes, kit.section.bytes, &text, NULL) == VECMILL_OK) {
                use(&text);
                n_opened++;
            } else {
                n_refused++;
            }
            bytes[i] ^= masks[m];
        }
    }
    print_message("%u opened, %u refused\n", n_opened, n_refused);
    assert_true(n_opened > 0 && n_refused > 0);
}

/* Words of the head set to the numbers that break sums and products. */
static void every_word_extreme(void **state)
{
    (void)state;
    const uint32_t size = (uint32_t)kit.section.bytes;
    const uint32_t values[] = {0,        1,          257,        size - 1,   size,      size + 1,
                               1u << 20, 0x7FFFFFFF, 0x80000000, UINT32_MAX, 0xFFFFFFF4};
    for (size_t at = 0; at < 12 + 18 * 4; at += 4) {
        uint32_t kept;
        memcpy(&kept, bytes + at, 4);
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            struct text text;
            memcpy(bytes + at, &values[v], 4);
            if (text_open(bytes, kit.section.bytes, &text, NULL) == VECMILL_OK) use(&text);
        }
        memcpy(bytes + at, &kept, 4);
    }
}

static void every_length_is_refused(void **state)
{
    (void)state;
    struct text text = {.vocab_size = 77};
    vecmill_err err;
    for (size_t n = 0; n < kit.section.bytes; n++) {
        unsigned char *cut = malloc(n + 1);
        assert_non_null(cut);
        memcpy(cut, bytes, n);
        assert_int_equal(text_open(cut, n, &text, &err), VECMILL_E_MODEL);
        free(cut);
    }
    assert_int_equal(text.vocab_size, 77);
}

static void any_alignment_will_do(void **state)
{
    (void)state;
    unsigned char *moved = malloc(kit.section.bytes + 3);
    struct text text;
    assert_non_null(moved);
    memcpy(moved + 3, bytes, kit.section.bytes);
    assert_int_equal(text_open(moved + 3, kit.section.bytes, &text, NULL), VECMILL_OK);
    use(&text);
    free(moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(every_word_extreme),
        cmocka_unit_test(every_length_is_refused),
        cmocka_unit_test(any_alignment_will_do),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("text-section: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
