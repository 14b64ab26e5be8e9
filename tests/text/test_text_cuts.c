/* Where a text may be cut into stretches: the tokens of a long text in stretches are those of the whole,
 * and texts of many scripts can be cut. */
#include "text_kit.h"

#include "text/text_staged.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT_BYTES (40u << 10) /* more than a stretch that is tried first */
#define IDS_MAX    (64u << 10)

/* Members of tokenizer.json. */
#define UNIGRAM                                                                                    \
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<u>\",-9],[\"a\",-3],"             \
    "[\"b\",-3.5],[\"\\u2581\",-4],[\"\\u2581a\",-4.5],[\"X\",-5],[\"ab\",-5.5],[\"1\",-6],"       \
    "[\"2\",-6.5],[\".\",-7],[\"\\u2581\\u2581\",-7.5],[\"k\",-8],[\" \",-8.5],[\"\\n\",-9.5]]}"
#define NORMALIZERS(list) "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" list "]}"
#define REPLACE(from, to)                                                                          \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
#define REPLACE_ALL(from, to)                                                                      \
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"" from "\"},\"content\":\"" to "\"}"
#define SPLIT(at, how)                                                                             \
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"" at                          \
    "\"},\"behavior\":\"" how "\",\"invert\":false}"
#define METASPACE(scheme)                                                                          \
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":"    \
    "\"" scheme "\",\"split\":true}"
#define ADDED(text, flags)                                                                         \
    "\"added_tokens\":[{\"id\":14,\"content\":\"" text "\",\"special\":false," flags "}]"
#define NORMALIZED "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true"
#define MARKS      REPLACE(" ", "\\u2581")
#define BLANKS     NORMALIZERS(REPLACE_ALL("[\\\\n\\\\r\\\\t]", " ") "," REPLACE_ALL(" {2,}", " "))
#define NOTHING    "\"normalizer\":null"
#define NO_ADDED   "\"added_tokens\":[]"

struct sample {
    const char *added, *normalizer, *pre_tokenizer;
    const char *part; /* of the text, which repeats it */
    bool is_cut;      /* or nothing is said of it */
};

static const struct sample samples[] = {
    /* strings over what a space became, and over a letter that did not stay one */
    {NO_ADDED, NORMALIZERS(MARKS "," REPLACE("ab\\u2581", "X")), SPLIT("\\u2581", "MergedWithNext"),
     "ab ", false},
    {NO_ADDED, NORMALIZERS(MARKS "," REPLACE("a\\u2581b", "X")), SPLIT("\\u2581", "MergedWithNext"),
     "a b ", false},
    {NO_ADDED, NORMALIZERS(MARKS), SPLIT("b\\u2581a", "Removed"), "ab ", false},
    {NO_ADDED, NORMALIZERS(REPLACE("b", " ") "," REPLACE("  ", "X")), METASPACE("never"), "ab ",
     false},
    {NO_ADDED, NORMALIZERS(REPLACE("ab", "") "," REPLACE_ALL(" {2,}", "X")), METASPACE("never"),
     "a ab b ", false},
    {NO_ADDED, NORMALIZERS(REPLACE("bb", "  ") "," REPLACE_ALL(" {2,}", "X")), METASPACE("never"),
     "abb a ", false},
    {NO_ADDED, NORMALIZERS(REPLACE_ALL("\\\\p{N}", " ") "," REPLACE_ALL(" {2,}", "X")),
     METASPACE("never"), "1 2", false},
    {NO_ADDED, NORMALIZERS(REPLACE("'", "\\u0301") ",{\"type\":\"NFC\"}"), METASPACE("never"),
     "a' a", false},
    {NO_ADDED, NORMALIZERS(REPLACE(" ", "\\u0301") ",{\"type\":\"NFC\"}"), METASPACE("never"),
     "ea a", false},
    {NO_ADDED, NORMALIZERS(REPLACE("..", "") "," REPLACE_ALL(" {2,}", "X")), METASPACE("never"),
     "1 .. 2", false},
    /* added tokens over what their text became */
    {ADDED("a\\tb", NORMALIZED), NORMALIZERS(REPLACE_ALL("\\\\s+", " ")), METASPACE("never"),
     "a b ", false},
    {ADDED("\\u212a b", NORMALIZED), NORMALIZERS("{\"type\":\"Lowercase\"}"), METASPACE("never"),
     "k b ", false},
    {ADDED("a\\u0001 b", NORMALIZED),
     NORMALIZERS("{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":false,"
                 "\"strip_accents\":false,\"lowercase\":false}"),
     METASPACE("never"), "a b ", false},
    {ADDED("c1", "\"single_word\":false,\"lstrip\":false,\"rstrip\":true,\"normalized\":true"),
     NOTHING, METASPACE("always"), "1 c1 1\n", false},
    {ADDED("1 2", NORMALIZED), NOTHING, METASPACE("always"), "1 2 1\n", false},
    /* one character of a class that is no letter */
    {NO_ADDED, NORMALIZERS(REPLACE("国", " ") "," REPLACE_ALL(" {2,}", " ")), METASPACE("never"),
     "中国 国文", false},
    {NO_ADDED, NORMALIZERS(REPLACE("国", " ") "," REPLACE_ALL(" {2,}", " ")), METASPACE("never"),
     "文。 国 国文", true},
    {NO_ADDED, NORMALIZERS(REPLACE("国", "") "," REPLACE_ALL(" {2,}", "X")), METASPACE("always"),
     "国文 国\n国文", false},
    {NO_ADDED, NORMALIZERS(REPLACE("국", " ") "," REPLACE_ALL(" {2,}", " ")), METASPACE("never"),
     "중국 국문", false},
    {NO_ADDED, NORMALIZERS(REPLACE("ж", "") "," REPLACE_ALL(" {2,}", "X")), METASPACE("never"),
     "а ж ба", false},
    {NO_ADDED, NOTHING, SPLIT("国", "MergedWithNext"), "中国 国文", false},
    /* what can be cut */
    {NO_ADDED, BLANKS, METASPACE("always"), "a ab b\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "12.5, 17.25, 18.75;\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "12345\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "Съешь же ещё этих мягких французских булок.\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "한국어 문장 입니다.\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "中文句子。\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "こんにちは、セカイ。\nカー ", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "Ξεσκεπάζω την ψυχοφθόρα\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "دخل رجل الدار\n", true},
    {NO_ADDED, BLANKS, METASPACE("always"), "דג סקרן\n", true},
    {NO_ADDED,
     NORMALIZERS("{\"type\":\"NFD\"},{\"type\":\"StripAccents\"},{\"type\":\"Lowercase\"}"),
     "\"pre_tokenizer\":{\"type\":\"Whitespace\"}", "한국어 Ещё ЙОД が ", true},
    {NO_ADDED, NOTHING,
     "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
     "\"use_regex\":true}",
     "Слово 12, 中文。\n", true},
};

static uint32_t run(const struct kit *k, void *scratch, const char *text, size_t window,
                    int32_t *ids, uint64_t *n_stretches)
{
    struct staged s;
    struct text_piece piece;
    uint32_t n = 0;
    staged_begin(&s, scratch, &k->text, text, strlen(text), false);
    if (window) s.window = window;
    while (staged_next(&s, &piece)) {
        assert_true(n < IDS_MAX);
        ids[n++] = piece.id;
    }
    assert_false(s.limit);
    *n_stretches = s.n_stretches;
    return n;
}

static void long_texts_are_their_whole(void **state)
{
    static char text[TEXT_BYTES + 128];
    static int32_t whole[IDS_MAX], parts[IDS_MAX];
    uint32_t n_different = 0;
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *x = &samples[i];
        const size_t n_part = strlen(x->part);
        struct kit k;
        vecmill_err err;
        uint64_t one, some, many;
        if (kit_json(&k,
                     kit_make((struct kit_parts){.added = x->added,
                                                 .normalizer = x->normalizer,
                                                 .pre_tokenizer = x->pre_tokenizer,
                                                 .model = UNIGRAM,
                                                 .post_processor = "\"post_processor\":null"}),
                     &err) != VECMILL_OK)
            fail_msg("sample %zu: %s", i, err.message);
        void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(&k.text), 64));
        assert_non_null(scratch);
        size_t bytes = 0;
        for (; bytes < TEXT_BYTES; bytes += n_part)
            memcpy(text + bytes, x->part, n_part + 1);
        const uint32_t n = run(&k, scratch, text, TEXT_STRETCH_MAX, whole, &one);
        const uint32_t n_long = run(&k, scratch, text, 0, parts, &some);
        bool same = n_long == n && memcmp(whole, parts, n * sizeof *whole) == 0;
        text[400 / n_part * n_part] = '\0';
        const uint32_t n_short = run(&k, scratch, text, TEXT_STRETCH_MAX, whole, &one);
        const uint32_t n_tiny = run(&k, scratch, text, 1, parts, &many);
        same = same && n_tiny == n_short && memcmp(whole, parts, n_short * sizeof *whole) == 0;
        if (!same || (x->is_cut && some < 3)) {
            printf("sample %zu, \"%s\": %u ids whole, %u in %llu stretches; %u, %u in %llu\n", i,
                   x->part, n, n_long, (unsigned long long)some, n_short, n_tiny,
                   (unsigned long long)many);
            n_different++;
        }
        free(scratch);
        kit_done(&k);
    }
    assert_int_equal(n_different, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_texts_are_their_whole),
    };
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-cuts: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
