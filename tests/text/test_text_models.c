/* Models alone: their pieces against those of PyPI tokenizers, what the files may not say, tables that
 * were changed, cuts, and time that does not depend on how a word is made. */
#include "model_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct golden {
    const char *name, *model, *word, *pieces;
};
#include "models_golden.inc"

#define N_CASES     (sizeof golden_cases / sizeof golden_cases[0])
#define SHOWN_BYTES 8192u

static void open_model(struct model_kit *k, const char *json)
{
    vecmill_err err;
    if (model_kit_open(k, json, strlen(json), &err) != VECMILL_OK) fail_msg("%s", err.message);
}

static const char *show(struct model_kit *k, const char *word, size_t bytes)
{
    static char out[SHOWN_BYTES];
    const struct model_piece *p;
    const size_t n = model_kit_encode(k, word, bytes, &p);
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && at + 40 < sizeof out; i++)
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%u:%u-%u", i ? " " : "", p[i].id,
                               p[i].start, p[i].end);
    return out;
}

static void pieces_are_those_of_the_reference(void **state)
{
    (void)state;
    struct model_kit k = {.kind = NULL};
    for (size_t i = 0; i < N_CASES; i++) {
        const struct golden *g = &golden_cases[i];
        if (i == 0 || g->model != golden_cases[i - 1].model) {
            if (i > 0) model_kit_done(&k);
            open_model(&k, g->model);
        }
        const char *got = show(&k, g->word, strlen(g->word));
        if (strcmp(got, g->pieces) != 0)
            fail_msg("%s, \"%s\": %s, expected %s", g->name, g->word, got, g->pieces);
    }
    model_kit_done(&k);
}

/* ---- refusals ---- */

#define UNIGRAM(members) "{\"type\":\"Unigram\"," members "}"
#define BPE(members)     "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}," members "}"

static void what_is_not_understood_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"a\"}",
         "model.type is \"WordLevel\", understood is WordPiece, Unigram or BPE"},
        {"{\"vocab\":{\"a\":0},\"unk_token\":\"a\"}", "model has no type"},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"unk_id\":0,\"alpha\":0.1"), "\"alpha\""},
        {UNIGRAM("\"vocab\":[[\"a\",0]]"), "model.unk_id"},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"unk_id\":null"), "model.unk_id is \"null\""},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"unk_id\":1"), "model.unk_id is 1, there are 1 tokens"},
        {UNIGRAM("\"vocab\":[],\"unk_id\":0"), "the vocabulary is empty"},
        {UNIGRAM("\"vocab\":{\"a\":0},\"unk_id\":0"), "model.vocab is missing or not an array"},
        {UNIGRAM("\"vocab\":[[\"a\",0],[\"b\"]],\"unk_id\":0"), "model.vocab[1]"},
        {UNIGRAM("\"vocab\":[[\"a\",0],[\"b\",0,0]],\"unk_id\":0"), "model.vocab[1]"},
        {UNIGRAM("\"vocab\":[[\"a\",0],[\"b\",1e309]],\"unk_id\":0"), "model.vocab[1]"},
        {UNIGRAM("\"vocab\":[[\"a\",0],[\"a\",1]],\"unk_id\":0"), "token \"a\" is there twice"},
        {BPE("\"merges\":[],\"dropout\":0.5"), "model.dropout is \"0.5\", understood is null"},
        {BPE("\"merges\":[],\"unk_token\":\"x\""), "model.unk_token is \"x\", which is not among"},
        {BPE("\"merges\":[],\"lower\":true"), "\"lower\""},
        {BPE("\"merges\":{}"), "model.merges is missing or not an array"},
        {BPE("\"merges\":[\"a b\",\"a c\"]"), "model.merges[1] needs token \"c\""},
        {BPE("\"merges\":[\"b a\"]"), "model.merges[0] needs token \"ba\""},
        {BPE("\"merges\":[\"ab\"]"), "model.merges[0] is not two tokens"},
        {BPE("\"merges\":[\"a b \"]"), "model.merges[0] is not two tokens"},
        {BPE("\"merges\":[\"a b\",[\"a\",\"b\"]]"), "model.merges[1] is not two tokens"},
        {BPE("\"merges\":[[\"a\",\"b\",\"c\"]]"), "model.merges[0] is not two tokens"},
        {BPE("\"merges\":[7]"), "model.merges[0] is not two tokens"},
        {BPE("\"merges\":[\"a b\"],\"continuing_subword_prefix\":\"##\""),
         "model.merges[0] ends in 1 bytes, continuing_subword_prefix has 2"},
        {BPE("\"merges\":[],\"byte_fallback\":true,\"end_of_word_suffix\":\"$\""),
         "byte_fallback and a prefix or suffix"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_kit k;
        vecmill_err err;
        const vecmill_status status =
            model_kit_open(&k, cases[i].json, strlen(cases[i].json), &err);
        if (status != VECMILL_E_MODEL || strstr(err.message, cases[i].words) == NULL)
            fail_msg("%s: status %d, %s", cases[i].json, (int)status,
                     status == VECMILL_OK ? "understood" : err.message);
    }
}

static void limits_are_said_by_name(void **state)
{
    (void)state;
    static char json[64u << 10];
    struct model_kit k;
    vecmill_err err;
    size_t at = (size_t)snprintf(json, sizeof json, BPE("\"merges\":["));
    at -= 1; /* the brace */
    for (unsigned i = 0; i < 4000; i++)
        at += (size_t)snprintf(json + at, sizeof json - at, "%s\"a b\"", i ? "," : "");
    snprintf(json + at, sizeof json - at, "]}");
    assert_int_equal(model_kit_open(&k, json, strlen(json), &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "SPEC_MERGES_PLAN"));
    char *token = json;
    token += snprintf(token, sizeof json, "{\"type\":\"BPE\",\"merges\":[\"");
    memset(token, 'a', 13000);
    strcpy(token + 13000, " b\"],\"vocab\":{\"a\":0}}");
    assert_int_equal(model_kit_open(&k, json, strlen(json), &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "model.merges[0] is not two tokens"));
}

/* ---- scores ---- */

static void scores_are_read_as_the_reference_reads_them(void **state)
{
    (void)state;
    /* Digits as an integer of 64 bits, the further ones left out, to a double, then divided: the second
     * spelling is what the reference makes of the first. "ab" of one is not less than "a" of the other
     * + "b" of 0 and the path that was found first, either way round: they are equal. */
    static const char json[] = "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\","
                               "%s],[\"b\",0],[\"ab\",%s]]}";
    static const struct {
        const char *score, *quotient;
    } cases[] = {
        {"-8.5", "-8.5"},
        {"-0.125", "-125e-3"},
        {"-123456789012345678901234567890", "-12345678901234567890e10"},
        {"-1.2345678901234567890123456789", "-12345678901234567890e-19"},
        {"-0.00000000000000000000000000000000000012345", "-12345e-41"},
        {"-1e-400", "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned swap = 0; swap < 2; swap++) {
            char text[512];
            struct model_kit k;
            snprintf(text, sizeof text, json, swap ? cases[i].quotient : cases[i].score,
                     swap ? cases[i].score : cases[i].quotient);
            open_model(&k, text);
            assert_string_equal(show(&k, "ab", 2), "3:0-2");
            model_kit_done(&k);
        }
    }
}

/* ---- cuts ---- */

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static const char *const letters[] = {"a", "b",        "c", "d",           "e",
                                      "f", "\xC3\xA9", "z", "\xE6\x97\xA5"};

/* Where two neighbours split, a word's pieces are those of its parts. */
static void a_word_is_its_parts(void **state)
{
    (void)state;
    uint64_t seed = 20;
    unsigned n_split = 0, n_not = 0;
    for (size_t i = 0; i < N_CASES; i++) {
        if (i > 0 && golden_cases[i].model == golden_cases[i - 1].model) continue;
        struct model_kit k, part;
        open_model(&k, golden_cases[i].model);
        open_model(&part, golden_cases[i].model);
        for (unsigned turn = 0; turn < 300; turn++) {
            char word[256];
            uint32_t cps[64], at[65], n = 1 + next_random(&seed) % 12;
            at[0] = 0;
            for (uint32_t c = 0; c < n; c++) {
                const char *letter =
                    letters[next_random(&seed) % (sizeof letters / sizeof *letters)];
                const size_t bytes = strlen(letter);
                bool bad;
                utf8_next((const unsigned char *)letter, bytes, &cps[c], &bad);
                memcpy(word + at[c], letter, bytes);
                at[c + 1] = at[c] + (uint32_t)bytes;
            }
            const struct model_piece *whole, *p;
            const size_t n_whole = model_kit_encode(&k, word, at[n], &whole);
            size_t n_parts = 0;
            uint32_t begin = 0;
            for (uint32_t c = 1; c <= n; c++) {
                const bool cut =
                    c == n || k.kind->splits((unsigned char *)k.table.data, cps[c - 1], cps[c]);
                if (c < n) *(cut ? &n_split : &n_not) += 1;
                if (!cut) continue;
                const size_t got = model_kit_encode(&part, word + at[begin], at[c] - at[begin], &p);
                for (size_t m = 0; m < got; m++) {
                    assert_true(n_parts < n_whole);
                    assert_int_equal(whole[n_parts].id, p[m].id);
                    n_parts++;
                }
                begin = c;
            }
            assert_int_equal(n_parts, n_whole);
        }
        model_kit_done(&k);
        model_kit_done(&part);
    }
    assert_true(n_split > 1000 && n_not > 1000);
}

/* Tables with any byte changed are refused, or encode without leaving them (the sanitizers look). */
static void changed_tables_are_refused_or_safe(void **state)
{
    (void)state;
    static const char word[] = "abcabcd\xC3\xA9z\xE6\x97\xA5"
                               "aaaaaaab";
    uint64_t seed = 21;
    for (size_t i = 0; i < N_CASES; i++) {
        if (i > 0 && golden_cases[i].model == golden_cases[i - 1].model) continue;
        struct model_kit k;
        open_model(&k, golden_cases[i].model);
        const struct model_piece *p;
        unsigned n_refused = 0;
        for (unsigned turn = 0; turn < 2000; turn++) {
            unsigned char *at = (unsigned char *)k.table.data;
            /* half of the changes in the words in front */
            at += next_random(&seed) % (turn & 1 ? k.table.bytes : 80);
            const unsigned char before = *at;
            *at = (unsigned char)next_random(&seed);
            vecmill_err err;
            if (k.kind->check((unsigned char *)k.table.data, k.table.bytes, k.vocab, &err) !=
                VECMILL_OK) {
                assert_int_equal(err.status, VECMILL_E_MODEL);
                n_refused++;
            } else {
                const size_t n = model_kit_encode(&k, word, sizeof word - 1, &p);
                assert_true(n <= sizeof word - 1);
                for (size_t m = 0; m < n; m++)
                    assert_true(p[m].id < k.vocab && p[m].end <= sizeof word - 1);
            }
            *at = before;
        }
        for (size_t cut = 0; cut < k.table.bytes; cut += 1 + cut / 50)
            n_refused +=
                k.kind->check((unsigned char *)k.table.data, cut, k.vocab, NULL) != VECMILL_OK;
        assert_true(n_refused > 100);
        model_kit_done(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_those_of_the_reference),
        cmocka_unit_test(what_is_not_understood_is_refused_by_name),
        cmocka_unit_test(limits_are_said_by_name),
        cmocka_unit_test(scores_are_read_as_the_reference_reads_them),
        cmocka_unit_test(a_word_is_its_parts),
        cmocka_unit_test(changed_tables_are_refused_or_safe),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-models: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
