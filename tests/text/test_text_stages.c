/* Tokenizers of many stages: ids of PyPI tokenizers, and that a text may be cut where the pipeline
 * says so. tests/data/stages.jsonl has small tokenizers, texts and ids; tools/make_golden_stages.py
 * made it. */
#include "text_kit.h"

#include "text/text_cut.h"
#include "text/text_staged.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN      "tests/data/stages.jsonl"
#define TEXTS_MAX   64u
#define MODELS_MAX  16u
#define IDS_MAX     4096u
#define RANDOM_RUNS 300u
#define RANDOM_MAX  400u /* bytes of a random text */

struct golden {
    struct buf file;
    struct json_value texts[TEXTS_MAX], models[MODELS_MAX], names[MODELS_MAX];
    uint32_t n_texts, n_models;
    struct json_value placed; /* numbers of texts */
    size_t at;                /* in file, of the next line */
};

static void open_golden(struct golden *g)
{
    memset(g, 0, sizeof *g);
    buf_init(&g->file, 1u << 22, "GOLDEN_MAX");
    vecmill_err err = {0};
    if (io_read_file(GOLDEN, &g->file, VECMILL_E_IO, VECMILL_E_IO, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
}

/* The next line's object; false at the end. */
static bool next_line(struct golden *g, struct json_value *line)
{
    if (g->at == g->file.bytes) return false;
    const char *start = g->file.data + g->at;
    const char *end = memchr(start, '\n', g->file.bytes - g->at);
    assert_non_null(end);
    assert_int_equal(json_check(start, (size_t)(end - start), GOLDEN, VECMILL_E_IO, line, NULL),
                     VECMILL_OK);
    g->at = (size_t)(end + 1 - g->file.data);
    return true;
}

/* The next tokenizer, compiled; *line: its line. false at the end. */
static bool next_tokenizer(struct golden *g, struct kit *k, char name[static 64],
                           struct json_value *tokenizer)
{
    struct json_value line;
    while (next_line(g, &line)) {
        const struct json_value texts = json_get(&line, "texts"), model = json_get(&line, "model");
        struct json_value none;
        if (texts.kind == JSON_KIND_ARRAY) {
            struct json_each each = json_begin(&texts);
            while (json_each(&each, &none, &g->texts[g->n_texts]))
                assert_true(++g->n_texts < TEXTS_MAX);
            g->placed = json_get(&line, "placed");
            continue;
        }
        const struct json_value is = json_get(&line, "is"), rest = json_get(&line, "rest");
        if (is.kind == JSON_KIND_OBJECT) {
            assert_true(g->n_models < MODELS_MAX);
            g->names[g->n_models] = model;
            g->models[g->n_models++] = is;
            continue;
        }
        uint32_t i = 0;
        while (i < g->n_models && !json_same(&g->names[i], &model))
            i++;
        assert_true(i < g->n_models);
        const struct json_value title = json_get(&line, "tokenizer");
        json_show(&title, name, 64);
        *tokenizer = line;
        char *json = malloc(rest.bytes + g->models[i].bytes + 16);
        assert_non_null(json);
        sprintf(json, "%.*s,\"model\":%.*s}", (int)rest.bytes - 1, rest.raw,
                (int)g->models[i].bytes, g->models[i].raw);
        vecmill_err err = {0};
        if (kit_json(k, json, &err) != VECMILL_OK) fail_msg("%s: %s", name, err.message);
        free(json);
        return true;
    }
    return false;
}

static void *scratch_of(const struct text *text)
{
    void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(text), 64) + 64);
    assert_non_null(scratch);
    return scratch;
}

static void ids_are_the_reference_s(void **state)
{
    (void)state;
    static int32_t got[IDS_MAX];
    static char text[1u << 16];
    struct golden g;
    struct kit k;
    char name[64];
    struct json_value tokenizer;
    uint32_t n_tokenizers = 0, n_different = 0;
    open_golden(&g);
    while (next_tokenizer(&g, &k, name, &tokenizer)) {
        const struct json_value ids = json_get(&tokenizer, "ids");
        struct json_each each = json_begin(&ids);
        struct json_value none, list, id;
        void *scratch = scratch_of(&k.text);
        n_tokenizers++;
        assert_true(text_scratch_bytes(&k.text) <= TEXT_SCRATCH_MAX);
        assert_int_equal(json_count(&ids), g.n_texts);
        for (uint32_t i = 0; json_each(&each, &none, &list); i++) {
            uint64_t replaced = 0;
            const size_t bytes = json_decode(&g.texts[i], text, &replaced);
            struct text_result r;
            text_encode(&k.text, scratch, text, bytes, IDS_MAX, got, &r);
            assert_false(r.truncated);
            struct json_each of = json_begin(&list);
            uint32_t n = 0;
            bool equal = json_count(&list) == r.n_ids;
            for (int64_t want; equal && json_each(&of, &none, &id); n++)
                equal = json_i64(&id, &want) && want == got[n];
            if (equal) continue;
            n_different++;
            printf("%s: text %u: ids", name, i);
            for (n = 0; n < r.n_ids; n++)
                printf(" %d", got[n]);
            printf(", want %.*s\n", (int)list.bytes, list.raw);
        }
        free(scratch);
        kit_done(&k);
    }
    buf_done(&g.file);
    assert_true(n_tokenizers >= 20);
    assert_int_equal(n_different, 0);
}

struct places {
    uint32_t n, at[2 * IDS_MAX];
};

static void keep(void *context, const struct text_piece *piece)
{
    struct places *p = context;
    assert_true(p->n + 2 <= 2 * IDS_MAX);
    p->at[p->n++] = piece->start;
    p->at[p->n++] = piece->end;
}

static void places_are_the_reference_s(void **state)
{
    (void)state;
    static struct places got;
    static char text[1u << 16];
    struct golden g;
    struct kit k;
    char name[64];
    struct json_value tokenizer;
    uint32_t n_compared = 0;
    open_golden(&g);
    while (next_tokenizer(&g, &k, name, &tokenizer)) {
        const struct json_value places = json_get(&tokenizer, "places");
        struct json_each each = json_begin(&places), texts = json_begin(&g.placed);
        struct json_value none, list, number, place;
        while (json_each(&each, &none, &list) && json_each(&texts, &none, &number)) {
            uint64_t replaced = 0, i, want;
            assert_true(json_u64(&number, &i) && i < g.n_texts);
            const size_t bytes = json_decode(&g.texts[i], text, &replaced);
            void *memory = aligned_alloc(64, num_up(text_pieces_bytes(&k.text, bytes), 64));
            assert_non_null(memory);
            got.n = 0;
            assert_int_equal(text_pieces(memory, &k.text, text, bytes, keep, &got, NULL),
                             VECMILL_OK);
            struct json_each of = json_begin(&list);
            bool equal = json_count(&list) == got.n;
            for (uint32_t n = 0; equal && json_each(&of, &none, &place); n++)
                equal = json_u64(&place, &want) && want == got.at[n];
            if (!equal)
                fail_msg("%s: text %d: places differ from %.*s", name, (int)i, (int)list.bytes,
                         list.raw);
            n_compared++;
            free(memory);
        }
        kit_done(&k);
    }
    buf_done(&g.file);
    assert_true(n_compared > 150);
}

static uint32_t seed;

static uint32_t any(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * n >> 32);
}

/* Words of letters with single spaces, among all that may stand next to them. */
static size_t make_text(char *out)
{
    static const char *const parts[] = {"a",
                                        "the",
                                        "wing",
                                        " ",
                                        " ",
                                        " of",
                                        "  ",
                                        "\t",
                                        "\n",
                                        "'s",
                                        " 's",
                                        "12",
                                        " 7",
                                        ".",
                                        " -",
                                        "é",
                                        "e\xCC\x81",
                                        "\xCC\x81",
                                        "中",
                                        "\xE2\x96\x81",
                                        "<mask>",
                                        "<one>",
                                        "ab",
                                        "of the",
                                        "\r\n",
                                        "\xC2\xA0",
                                        "\xE3\x82\xAB\xE3\x82\x99",
                                        "\xFF",
                                        "\xE2\x80\x8B",
                                        "qq",
                                        "X"};
    size_t n = 0;
    const uint32_t n_parts = 1 + any(60);
    for (uint32_t i = 0; i < n_parts; i++) {
        const char *part = parts[any(sizeof parts / sizeof *parts)];
        if (n + strlen(part) > RANDOM_MAX) break;
        memcpy(out + n, part, strlen(part));
        n += strlen(part);
    }
    return n;
}

static uint32_t run(struct staged *s, int32_t *ids)
{
    struct text_piece piece;
    uint32_t n = 0;
    while (staged_next(s, &piece)) {
        assert_true(n < IDS_MAX);
        ids[n++] = piece.id;
    }
    return n;
}

static void a_text_in_stretches_is_the_whole(void **state)
{
    (void)state;
    static int32_t whole[IDS_MAX], parts[IDS_MAX];
    char text[RANDOM_MAX];
    struct golden g;
    struct kit k;
    char name[64];
    struct json_value tokenizer;
    uint64_t n_stretches = 0;
    uint32_t n_cutting = 0, n_han = 0;
    open_golden(&g);
    seed = 20261130;
    printf("seed %u\n", seed);
    while (next_tokenizer(&g, &k, name, &tokenizer)) {
        if (text_scratch_bytes(&k.text) == 0) { /* BERT's */
            kit_done(&k);
            continue;
        }
        void *scratch = scratch_of(&k.text);
        struct staged s;
        bool cuts = false, han = false;
        for (uint32_t i = 0; i < RANDOM_RUNS; i++) {
            const size_t bytes = make_text(text);
            staged_begin(&s, scratch, &k.text, text, bytes, false);
            const uint32_t n = run(&s, whole);
            assert_false(s.limit);
            staged_begin(&s, scratch, &k.text, text, bytes, false);
            s.window = 1 + any(40);
            const uint32_t n_parts = run(&s, parts);
            n_stretches += s.n_stretches;
            cuts = cuts || s.view.cuts[0];
            han = han || s.view.cuts[2] & cut_bit(CUT_HAN, true);
            if (n_parts == n && memcmp(whole, parts, n * sizeof *whole) == 0) continue;
            fail_msg("%s: %u tokens whole, %u in stretches of %zu: \"%.*s\"", name, n, n_parts,
                     s.window, (int)bytes, text);
        }
        n_cutting += cuts;
        n_han += han;
        free(scratch);
        kit_done(&k);
    }
    printf("%u tokenizers with cuts, %u of them at lines of Han, %llu stretches\n", n_cutting,
           n_han, (unsigned long long)n_stretches);
    buf_done(&g.file);
    assert_true(n_cutting >= 15 && n_han >= 10 && n_stretches > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_the_reference_s),
        cmocka_unit_test(places_are_the_reference_s),
        cmocka_unit_test(a_text_in_stretches_is_the_whole),
    };
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-stages: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
