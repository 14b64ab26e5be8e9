/* The tokens of a text a few at a time: the same as all at once, wherever it is cut; linear time;
 * no allocation, no byte read after the text. */
#include "text_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN_IDS 32
struct golden {
    const char *json, *rule, *text;
    size_t bytes;
    uint32_t limit;
    bool truncated;
    uint64_t replaced;
    uint32_t n;
    int32_t ids[GOLDEN_IDS];
};

#include "tokenizer_golden.inc"

#define N_GOLDEN   (sizeof golden_cases / sizeof golden_cases[0])
#define TEXT_BYTES 4096u
#define MOST       (1u << 16)
#define UNTOUCHED  0x55555555

static uint32_t seed = 11;

static uint32_t any(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void *stream_memory(void)
{
    void *memory = aligned_alloc(64, (text_stream_bytes() + 63) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

/* A text made of the golden cases' texts, long words, runs of marks and any bytes, in a block of
 * exactly its size, so that a sanitizer sees any byte read after it. */
static char *make_text(size_t *bytes)
{
    static const char *const units[] = {
        "abcabcabcbcacb",
        "aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "hello",
        " ",
        "!",
        "ab!c",
        "[MASK]",
        "foo bar",
        "\xE3\x80\xAE\xD6\xB0\xCC\x81",
        "\xE4\xB8\xAD\xE6\x96\x87",
        "\xFF",
        "\xE2\x82",
        "caf\xC3\xA9",
        "\xED\x95\x9C",
        "foo",
        "[",
        "\xC4\xB0",
        "#",
    };
    char text[TEXT_BYTES];
    size_t n = 0;
    for (uint32_t parts = any(40); parts > 0; parts--) {
        const struct golden *g = &golden_cases[any(N_GOLDEN)];
        const char *unit = units[any(sizeof units / sizeof units[0])];
        const bool golden = any(3) == 0;
        size_t size = golden ? g->bytes : strlen(unit);
        for (uint32_t times = golden ? 1 : 1 + any(4); times > 0 && size <= TEXT_BYTES - n;
             times--) {
            memcpy(text + n, golden ? g->text : unit, size);
            n += size;
        }
        if (any(4) == 0 && n < TEXT_BYTES) text[n++] = (char)any(256);
    }
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    *bytes = n;
    return copy;
}

struct places {
    const int32_t *ids;
    size_t n, bytes;
    uint32_t word;
};

static void keep(void *context, const struct text_piece *piece)
{
    struct places *p = context;
    assert_int_equal(piece->id, p->ids[p->n]);
    assert_true(piece->start <= piece->end && piece->end <= p->bytes);
    assert_true(p->n == 0 ? piece->word == 0 : piece->word - p->word < 2);
    p->word = piece->word;
    p->n++;
}

/* The same tokens with their positions in the text. */
static void compare_places(const struct text *text, const char *data, size_t bytes,
                           const int32_t *ids, size_t n)
{
    void *memory = aligned_alloc(64, (text_pieces_bytes(text, bytes) + 63) / 64 * 64);
    assert_non_null(memory);
    struct places p = {.ids = ids, .bytes = bytes};
    assert_int_equal(text_pieces(memory, text, data, bytes, keep, &p, NULL), VECMILL_OK);
    assert_int_equal(p.n, n);
    free(memory);
}

/* Reads the stream in pieces of at most `most` tokens (0: of any size) and compares. */
static void compare(const struct text *text, const char *data, size_t bytes, uint32_t most,
                    const int32_t *whole, const struct text_result *all)
{
    static int32_t ids[64];
    void *memory = stream_memory();
    struct text_stream *s = text_stream_begin(memory, NULL, text, data, bytes);
    const uint32_t n_all = all->n_ids - text->n_specials;
    uint32_t n = 0;
    uint64_t replaced = 0;
    for (bool more = true; more;) {
        const uint32_t ask = most ? most : any(any(2) ? 4 : 40);
        memset(ids, 0x55, sizeof ids);
        const uint32_t got = kit_next(s, ids, ask, &more);
        assert_true(got <= ask && got <= n_all - n);
        assert_true(got == ask || !more);
        if (got) assert_memory_equal(ids, whole + text->n_before + n, got * sizeof ids[0]);
        for (uint32_t i = got; i < 64; i++)
            assert_int_equal(ids[i], UNTOUCHED);
        n += got;
        assert_int_equal(more, n < n_all);
        assert_true(text_stream_replaced(s) >= replaced);
        replaced = text_stream_replaced(s);
    }
    assert_int_equal(n, n_all);
    if (most == 1) compare_places(text, data, bytes, whole + text->n_before, n_all);
    assert_int_equal(replaced, all->replaced_bytes);
    bool more = true;
    assert_int_equal(kit_next(s, ids, 64, &more), 0); /* the end stays the end */
    assert_false(more);
    free(memory);
}

static void any_pieces_are_the_whole(void **state)
{
    (void)state;
    static const char *const jsons[] = {
        golden_uncased,     golden_cased,    golden_keep_accents,    golden_strip_only,
        golden_no_chinese,  golden_no_clean, golden_bert_processing, golden_no_specials,
        golden_short_words, golden_added,    golden_added_spaced,
    };
    static int32_t whole[MOST];
    uint64_t n_tokens = 0;
    for (size_t j = 0; j < sizeof jsons / sizeof jsons[0]; j++) {
        struct kit k;
        assert_int_equal(kit_json(&k, jsons[j], NULL), VECMILL_OK);
        for (int i = 0; i < 300; i++) {
            size_t bytes;
            struct text_result all;
            char *data = make_text(&bytes);
            text_encode(&k.text, NULL, data, bytes, MOST, whole, &all);
            assert_false(all.truncated);
            n_tokens += all.n_ids;
            for (uint32_t most = 0; most <= 3; most++)
                compare(&k.text, data, bytes, most, whole, &all);
            compare(&k.text, data, bytes, 64, whole, &all);
            free(data);
        }
        kit_done(&k);
    }
    assert_true(n_tokens > 100000);
}

/* An added token and a word of many pieces, cut at each position, by hand. */
static void cuts_fall_anywhere(void **state)
{
    (void)state;
    struct kit k;
    char memory_text[] = "abbb[MASK]\xC3\xA1"
                         "b.";
    bool more;
    int32_t id = -1;
    void *memory = stream_memory();
    assert_int_equal(
        kit_json(&k,
                 kit_make((struct kit_parts){
                     .added = "\"added_tokens\":[{\"id\":6,\"content\":\"[MASK]\",\"single_word\":"
                              "false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                              "\"special\":true}]"}),
                 NULL),
        VECMILL_OK);
    struct text_stream *s =
        text_stream_begin(memory, NULL, &k.text, memory_text, sizeof memory_text - 1);
    static const int32_t want[] = {3, 5, 5, 5, 6, 3, 5, 0};
    const uint32_t n = sizeof want / sizeof want[0];
    assert_int_equal(kit_next(s, &id, 0, &more), 0);
    assert_true(more);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(kit_next(s, &id, 1, &more), 1);
        assert_int_equal(id, want[i]);
        assert_int_equal(more, i + 1 < n);
    }
    free(memory);
    kit_done(&k);
}

static void specials_stand_around(void **state)
{
    (void)state;
    struct kit k;
    int32_t ids[8];
    struct text_result r;
    assert_int_equal(kit_json(&k, kit_make((struct kit_parts){0}), NULL), VECMILL_OK);
    assert_int_equal(k.text.n_before, 1);
    assert_int_equal(k.text.n_specials, 2);
    for (uint32_t n = 0; n <= 4; n++) {
        int32_t want[8];
        memset(ids, 0x55, sizeof ids);
        for (uint32_t i = 0; i < n; i++)
            ids[1 + i] = i ? 5 : 3;
        text_encode(&k.text, NULL, "abbb", n, 8, want, &r);
        assert_int_equal(text_enclose(&k.text, ids, n), n + 2);
        assert_int_equal(r.n_ids, n + 2);
        assert_memory_equal(ids, want, (n + 2) * sizeof ids[0]);
        assert_int_equal(ids[n + 2], UNTOUCHED);
    }
    kit_done(&k);
}

/* Texts for which a careless stream takes quadratic time when it is asked for one token at a time;
 * the test's time limit notices. */
static void one_at_a_time_is_linear(void **state)
{
    (void)state;
    static const char *const units[] = {
        "a",                    /* one word, of no known pieces that end */
        "abcabcabcabcabcabca ", /* words of many pieces */
        "\xCC\x81",
        "\xE3\x80\xAE\xD6\xB0",
        "##",
        "[MAS",
        " ",
        "\xFF",
        "fooo",
        "foo bar",
    };
    const size_t bytes = 2u << 20;
    struct kit k;
    char *data = malloc(bytes);
    void *memory = stream_memory();
    assert_non_null(data);
    assert_int_equal(kit_json(&k, golden_added, NULL), VECMILL_OK);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        for (size_t at = 0, unit = strlen(units[i]); at < bytes; at++)
            data[at] = units[i][at % unit];
        struct text_stream *s = text_stream_begin(memory, NULL, &k.text, data, bytes);
        size_t n = 0;
        for (bool more = true; more;) {
            int32_t id;
            n += kit_next(s, &id, 1, &more);
        }
        assert_true(n <= bytes);
    }
    free(memory);
    free(data);
    kit_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_are_the_whole),
        cmocka_unit_test(cuts_fall_anywhere),
        cmocka_unit_test(specials_stand_around),
        cmocka_unit_test(one_at_a_time_is_linear),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-stream: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
