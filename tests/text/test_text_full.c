/* Tokenizers of stages where something does not fit: a text that grows, a string that is too long, a
 * run that could cost its square. What fits is given, in order, and nothing from after it. */
#include "text_kit.h"

#include "text/text_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIGRAM(tokens) "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[" tokens "]}"
#define NO_TEMPLATE     "\"post_processor\":null"
#define METASPACE                                                                                  \
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":"        \
    "\"always\",\"split\":true}"
#define NO_PRE_TOKENIZER "\"pre_tokenizer\":null"
#define ADDED(text, lstrip, rstrip, normalized)                                                    \
    "\"added_tokens\":[{\"id\":1,\"content\":\"" text                                              \
    "\",\"single_word\":false,\"lstrip\":" lstrip ",\"rstrip\":" rstrip                            \
    ",\"normalized\":" normalized ",\"special\":true}]"
#define A_1024(x) A_256(x) A_256(x) A_256(x) A_256(x)
#define A_256(x)  A_64(x) A_64(x) A_64(x) A_64(x)
#define A_64(x)   A_16(x) A_16(x) A_16(x) A_16(x)
#define A_16(x)   x x x x x x x x x x x x x x x x
#define REPLACE_A                                                                                  \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"" A_256("aaa") "\"}"

static void open_kit(struct kit *k, struct kit_parts parts)
{
    vecmill_err err = {0};
    parts.post_processor = NO_TEMPLATE;
    if (kit_json(k, kit_make(parts), &err) != VECMILL_OK) fail_msg("%s", err.message);
}

/* A text of n copies, then `end`. The caller frees it. */
static char *repeated(const char *part, size_t n, const char *end, size_t *bytes)
{
    const size_t one = strlen(part);
    char *text = malloc(n * one + strlen(end) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * one, part, one);
    strcpy(text + n * one, end);
    *bytes = n * one + strlen(end);
    return text;
}

static struct text_result encode(const struct kit *k, const char *text, size_t bytes, uint32_t most,
                                 int32_t *ids)
{
    struct text_result r;
    void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(&k->text), 64));
    assert_non_null(scratch);
    text_encode(&k->text, scratch, text, bytes, most, ids, &r);
    free(scratch);
    return r;
}

static void assert_refused(const struct kit *k, const char *text, size_t bytes, const char *why)
{
    static int32_t ids[1024];
    uint32_t n;
    bool more = true;
    vecmill_err err = {0};
    vecmill_status status = VECMILL_OK;
    void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(&k->text), 64));
    void *memory = aligned_alloc(64, num_up(text_stream_bytes(), 64));
    struct text_stream *s = text_stream_begin(memory, scratch, &k->text, text, bytes);
    while (status == VECMILL_OK && more)
        status = text_stream_next(s, ids, 1024, &n, &more, &err);
    assert_int_equal(status, VECMILL_E_LIMIT);
    if (!strstr(err.message, why)) fail_msg("%s", err.message);
    free(memory);
    free(scratch);
}

/* U+FDFA becomes 18 characters in NFKC. */
static void the_begin_of_a_text_that_grows_is_given(void **state)
{
    (void)state;
    static int32_t few[512], many[512], all[1u << 20];
    struct kit k;
    size_t bytes;
    open_kit(&k, (struct kit_parts){
                     .normalizer = "\"normalizer\":{\"type\":\"NFKC\"}",
                     .pre_tokenizer = METASPACE,
                     .added = ADDED("<m>", "false", "false", "false"),
                     .model = UNIGRAM("[\"[U]\",0],[\"<m>\",0],[\"▁\",-1],[\"ص\",-2],[\"ل\",-3],"
                                      "[\"م\",-4]")});
    char *text = repeated("\xEF\xB7\xBA", 87000, "<m><m>", &bytes);
    assert_int_equal(encode(&k, text, 600, 512, few).n_ids, 512);
    const struct text_result r = encode(&k, text, bytes, 512, many);
    assert_int_equal(r.n_ids, 512);
    assert_true(r.truncated);
    assert_memory_equal(few, many, sizeof few);
    const struct text_result whole = encode(&k, text, bytes, 1u << 20, all);
    assert_true(whole.truncated && whole.n_ids > 100000);
    for (uint32_t i = 0; i < whole.n_ids; i++)
        assert_int_not_equal(all[i], 1); /* from after what did not fit */
    assert_refused(&k, text, bytes, "grows");
    free(text);
    kit_done(&k);
}

static void room_is_for_what_is_put_in_front(void **state)
{
    (void)state;
    static int32_t ids[512];
    struct kit k;
    size_t bytes;
    open_kit(&k, (struct kit_parts){.normalizer =
                                        "\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"▁\"}",
                                    .pre_tokenizer = NO_PRE_TOKENIZER,
                                    .model = UNIGRAM("[\"[U]\",0],[\"▁\",-1],[\"\xEF\xBF\xBD\","
                                                     "-1]")});
    char *text = repeated("\xFF", TEXT_STRETCH_MAX, "", &bytes);
    const struct text_result r = encode(&k, text, bytes, 512, ids);
    assert_int_equal(r.n_ids, 512);
    assert_int_equal(ids[0], 1);
    for (int i = 1; i < 512; i++)
        assert_int_equal(ids[i], 2);
    free(text);
    kit_done(&k);
}

static void a_long_run_in_nfc_is_words(void **state)
{
    (void)state;
    static int32_t ids[512];
    struct kit k;
    size_t bytes;
    open_kit(&k,
             (struct kit_parts){.normalizer = "\"normalizer\":{\"type\":\"NFC\"}",
                                .pre_tokenizer =
                                    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":"
                                    "\"\\\\p{N}\"},\"behavior\":\"Isolated\",\"invert\":false}"});
    char *long_one = repeated("й", 524000, "", &bytes);
    long_one[0] = '1'; /* and one bad byte */
    const struct text_result r = encode(&k, long_one, bytes, 512, ids);
    assert_true(r.n_ids >= 2);
    assert_int_equal(ids[0], 0); /* [UNK] */
    assert_int_equal(ids[1], 0);
    free(long_one);
    kit_done(&k);
}

/* Six times "a" to 768: the time is that of the room, not of the text that would be. */
static void growth_by_growth_ends(void **state)
{
    (void)state;
    static int32_t ids[512];
    struct kit k;
    size_t bytes;
    open_kit(&k, (struct kit_parts){
                     .normalizer =
                         "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" REPLACE_A
                         "," REPLACE_A "," REPLACE_A "," REPLACE_A "," REPLACE_A "," REPLACE_A "]}",
                     .pre_tokenizer = NO_PRE_TOKENIZER,
                     .model = UNIGRAM("[\"[U]\",0],[\"a\",-1]")});
    char *text = repeated("a", 100, "", &bytes);
    const struct text_result r = encode(&k, text, bytes, 512, ids);
    assert_int_equal(r.n_ids, 512);
    for (int i = 0; i < 512; i++)
        assert_int_equal(ids[i], 1);
    assert_refused(&k, text, bytes, "grows");
    free(text);
    kit_done(&k);
}

static void count(void *context, const struct text_piece *piece)
{
    const struct text_piece **last = context;
    assert_int_equal(piece->start + 1, piece->end);
    ++*(size_t *)last;
}

/* U+FFFD has three bytes for one: the last one of the largest stretch has its place too. */
static void places_of_bad_bytes_fit(void **state)
{
    (void)state;
    struct kit k;
    size_t bytes, n = 0;
    vecmill_err err = {0};
    open_kit(&k, (struct kit_parts){.normalizer = "\"normalizer\":{\"type\":\"NFC\"}",
                                    .pre_tokenizer =
                                        "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{"
                                        "\"String\":\"\xEF\xBF\xBD\"},\"behavior\":\"Isolated\","
                                        "\"invert\":false}",
                                    .model = UNIGRAM("[\"[U]\",0],[\"\xEF\xBF\xBD\",-1]")});
    char *text = repeated("\xFF", TEXT_STRETCH_MAX, "", &bytes);
    void *memory = aligned_alloc(64, num_up(text_pieces_bytes(&k.text, bytes), 64));
    if (text_pieces(memory, &k.text, text, bytes, count, &n, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(n, bytes);
    free(memory);
    free(text);
    kit_done(&k);
}

static void places_of_a_short_text_take_little(void **state)
{
    (void)state;
    struct kit k;
    open_kit(&k, (struct kit_parts){.normalizer = "\"normalizer\":{\"type\":\"NFC\"}"});
    assert_true(text_pieces_bytes(&k.text, 100) < 2u << 20);
    /* The longest prompt: docs/MEMORY.md. */
    assert_true(text_pieces_bytes(&k.text, 4095) < 12u << 20);
    assert_true(text_pieces_bytes(&k.text, 4095) < text_scratch_bytes(&k.text));
    kit_done(&k);
}

/* Each blank is a token that strips the rest, so that every search looks at all of it. */
static void stripping_is_linear(void **state)
{
    (void)state;
    static int32_t ids[300001];
    const char *const added[] = {ADDED(" ", "false", "true", "false"),
                                 ADDED(" ", "false", "true", "true"),
                                 ADDED(" ", "true", "true", "false")};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        struct kit k;
        size_t bytes;
        open_kit(&k, (struct kit_parts){.normalizer = "\"normalizer\":{\"type\":\"NFC\"}",
                                        .pre_tokenizer = NO_PRE_TOKENIZER,
                                        .added = added[i],
                                        .model = UNIGRAM("[\"[U]\",0],[\" \",0],[\"a\",-1]")});
        char *text = repeated(" ", 200000, "a", &bytes);
        const struct text_result r = encode(&k, text, bytes, 300001, ids);
        assert_int_equal(ids[r.n_ids - 1], 2);
        for (uint32_t n = 0; n + 1 < r.n_ids; n++)
            assert_int_equal(ids[n], 1);
        printf("%u tokens\n", r.n_ids);
        free(text);
        kit_done(&k);
    }
}

static void a_token_that_grows_is_refused(void **state)
{
    (void)state;
    struct kit k;
    vecmill_err err = {0};
    const char *json =
        kit_make((struct kit_parts){.normalizer = "\"normalizer\":" REPLACE_A,
                                    .added = ADDED(A_64("a"), "false", "false", "true"),
                                    .model = UNIGRAM("[\"[U]\",0],[\"" A_64("a") "\",0]"),
                                    .post_processor = NO_TEMPLATE});
    assert_int_equal(kit_json(&k, json, &err), VECMILL_E_MODEL);
    if (!strstr(err.message, "grows")) fail_msg("%s", err.message);
}

/* The row of a kind of stage. */
static const struct stage_kind *kind_of(const char *type)
{
    for (uint32_t i = 0; i < STAGE_N_KINDS; i++)
        if (strcmp(STAGE_KINDS[i].type, type) == 0) return &STAGE_KINDS[i];
    fail_msg("no kind %s", type);
    return NULL;
}

static void a_section_has_no_long_strings(void **state)
{
    (void)state;
    static const unsigned char text[] = A_1024("a") "a", trie[4] = {0};
    const struct {
        const char *type;
        size_t a_bytes, b_bytes;
        bool is_valid;
    } all[] = {
        {"Replace", 1024, 1024, true}, {"Replace", 1025, 1, false}, {"Replace", 1, 1025, false},
        {"Prepend", 1024, 0, true},    {"Prepend", 1025, 0, false}, {"Split", 1024, 0, true},
        {"Split", 1025, 0, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct stage stage = {.kind = kind_of(all[i].type),
                                    .a = text,
                                    .b = text,
                                    .a_bytes = all[i].a_bytes,
                                    .b_bytes = all[i].b_bytes};
        assert_int_equal(stage.kind->check(&stage), all[i].is_valid);
    }
    struct stage table = {.kind = kind_of("Precompiled"), .a = trie, .a_bytes = 4, .b = text};
    table.b_bytes = 1024;
    assert_true(table.kind->check(&table));
    table.b_bytes = 1025;
    assert_false(table.kind->check(&table));
}

/* base64 of: the trie has four bytes; those, zeros; then 1,026 letters. */
static void a_long_replacement_is_refused(void **state)
{
    (void)state;
    struct kit k;
    vecmill_err err = {0};
    const char *json = kit_make((struct kit_parts){
        .normalizer =
            "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":"
            "\"BAAAAAAAAABhYWFh" A_256("YWFh") A_64("YWFh") A_16("YWFh") A_16("YWFh") "\"}"});
    assert_int_equal(kit_json(&k, json, &err), VECMILL_E_MODEL);
    if (!strstr(err.message, "1024")) fail_msg("%s", err.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_begin_of_a_text_that_grows_is_given),
        cmocka_unit_test(room_is_for_what_is_put_in_front),
        cmocka_unit_test(a_long_run_in_nfc_is_words),
        cmocka_unit_test(places_of_bad_bytes_fit),
        cmocka_unit_test(places_of_a_short_text_take_little),
        cmocka_unit_test(a_token_that_grows_is_refused),
        cmocka_unit_test(a_section_has_no_long_strings),
        cmocka_unit_test(a_long_replacement_is_refused),
        cmocka_unit_test(stripping_is_linear),
        cmocka_unit_test(growth_by_growth_ends),
    };
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-full: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
