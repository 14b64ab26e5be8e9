/* Static embeddings through vecmill.h: what becomes of the text with model2vec and with
 * sentence-transformers' module, documents without a token, long ones, windows and pools.
 *
 * Models are made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]. Expected
 * vectors are means, in double, of the rows that the table has for single tokens. */
#include "base/base.h"
#include "vecmill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM   32u
#define VOCAB 160u
#define WAIT  300000u        /* ms: a hang ends the test */
#define HAN   "\xe6\xbc\xa2" /* a character that no token of the toys has */

static char folder[64];
static const char *maker, *worker;

/* ---- small things ---- */

static void make_model(const char *name, const char *arguments)
{
    char command[3 * IO_PATH_MAX];
    snprintf(command, sizeof command, "python3 '%s' '%s/%s' --hidden 32 --vocab 160 %s >/dev/null",
             maker, folder, name, arguments);
    assert_int_equal(system(command), 0);
}

/* Several are in use at a time. */
static vecmill_options options_for(const char *model)
{
    static char all[8][2][IO_PATH_MAX];
    static unsigned n;
    char(*paths)[IO_PATH_MAX] = all[n++ % 8];
    vecmill_options o;
    vecmill_options_init(&o);
    assert_int_equal(io_join(folder, model, paths[0], NULL), VECMILL_OK);
    assert_int_equal(io_join(folder, "cache", paths[1], NULL), VECMILL_OK);
    o.model_dir = paths[0];
    o.cache_dir = paths[1];
    o.worker_path = worker;
    return o;
}

static vecmill_session *open_ok(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

static vecmill_doc doc_of(const char *text)
{
    return (vecmill_doc){.text = text, .bytes = strlen(text)};
}

static vecmill_result embed_one(vecmill_session *s, const char *text, float vector[DIM])
{
    const vecmill_doc doc = doc_of(text);
    vecmill_result r;
    vecmill_err err;
    if (vecmill_embed(s, &doc, 1, vector, &r, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return r;
}

static void is_zero(const float vector[DIM])
{
    for (uint32_t k = 0; k < DIM; k++)
        assert_true(vector[k] == 0.0f);
}

/* The vector of a text is the mean of the rows of these words, scaled to length 1 if asked. `rows` has
 * vectors that are not normalised. */
static void is_mean(vecmill_session *s, vecmill_session *rows, const char *text,
                    const char *const *words, uint32_t n, bool normalize)
{
    float vector[DIM], row[DIM];
    double want[DIM] = {0}, length = 0;
    for (uint32_t i = 0; i < n; i++) {
        const vecmill_result r = embed_one(rows, words[i], row);
        assert_int_equal(r.n_tokens, 1);
        for (uint32_t k = 0; k < DIM; k++)
            want[k] += (double)row[k] / n;
    }
    for (uint32_t k = 0; k < DIM; k++)
        length += want[k] * want[k];
    const vecmill_result r = embed_one(s, text, vector);
    assert_int_equal(r.status, VECMILL_OK);
    assert_int_equal(r.n_tokens, n);
    assert_int_equal(r.count, DIM);
    for (uint32_t k = 0; k < DIM; k++) {
        const double expected = normalize ? want[k] / sqrt(length) : want[k];
        if (fabs((double)vector[k] - expected) > 2e-6)
            fail_msg("%s: component %u is %g, not %g", text, k, (double)vector[k], expected);
    }
}

static const char *const three[] = {"the", "which", "time"};

/* ---- the tests ---- */

static void a_module_keeps_unknown_tokens(void **state)
{
    (void)state;
    const vecmill_options o = options_for("module");
    vecmill_session *s = open_ok(&o);
    float vector[DIM], unknown[DIM];
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(s, &facts);
    assert_int_equal(facts.layers, 0);
    assert_int_equal(facts.heads, 0);
    assert_int_equal(facts.dim, DIM);
    assert_int_equal(facts.normalized, 0);
    assert_string_equal(facts.pooling, "mean");
    is_mean(s, s, "the which time", three, 3, false);
    is_mean(s, s, "The " HAN, (const char *const[]){"the", "[UNK]"}, 2, false);
    assert_int_equal(embed_one(s, HAN, unknown).n_tokens, 1);
    assert_int_equal(embed_one(s, "[UNK]", vector).n_tokens, 1);
    assert_memory_equal(vector, unknown, sizeof vector);
    assert_int_equal(embed_one(s, "", vector).n_tokens, 0);
    is_zero(vector);
    vecmill_session_close(s);
}

static void model2vec_leaves_them_out(void **state)
{
    (void)state;
    const vecmill_options o = options_for("model2vec"), plain = options_for("plain");
    vecmill_session *s = open_ok(&o), *rows = open_ok(&plain);
    float vector[DIM];
    int32_t ids[8];
    size_t n = 0;
    vecmill_err err;
    is_mean(s, rows, "the which time", three, 3, true);
    is_mean(s, rows, HAN " the " HAN " which" HAN "time", three, 3, true);
    const vecmill_result r = embed_one(s, HAN HAN, vector);
    assert_int_equal(r.status, VECMILL_OK);
    assert_int_equal(r.n_tokens, 0);
    assert_int_equal(r.count, DIM);
    is_zero(vector);
    if (vecmill_tokenize(s, doc_of("the " HAN " which"), ids, 8, &n, NULL, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(n, 2);
    vecmill_session_close(rows);
    vecmill_session_close(s);
}

static int by_length(const void *a, const void *b)
{
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

/* Characters of the tokens, all of them ASCII: their median. */
static uint32_t median(const vecmill_session *s)
{
    uint32_t lengths[VOCAB];
    for (int32_t id = 0; id < (int32_t)VOCAB; id++) {
        size_t bytes = 0;
        assert_non_null(vecmill_token_text(s, id, &bytes));
        lengths[id] = (uint32_t)bytes;
    }
    qsort(lengths, VOCAB, sizeof *lengths, by_length);
    return (lengths[VOCAB / 2 - 1] + lengths[VOCAB / 2]) / 2;
}

static void model2vec_cuts_characters_then_tokens(void **state)
{
    (void)state;
    const vecmill_options o = options_for("short"), plain = options_for("plain");
    vecmill_session *s = open_ok(&o), *rows = open_ok(&plain);
    char text[512];
    float vector[DIM], cut[DIM];
    const uint32_t most = 5 * median(s); /* the toy's max_length is 5 */
    assert_in_range(most, 13, 390);
    /* unknown tokens count for the length */
    is_mean(s, rows, "a " HAN " a z a a", (const char *const[]){"a", "a", "z", "a"}, 4, true);
    assert_int_equal(embed_one(s, "a " HAN " a z a a", vector).truncated, 1);
    assert_int_equal(embed_one(s, "a z a a a", vector).truncated, 0);
    /* a word that begins after the last character, and one that ends there, of two bytes each */
    for (uint32_t tail = 0; tail < 2; tail++) {
        memset(text, ' ', sizeof text);
        memcpy(text, "the", 3);
        for (uint32_t i = 4; i < 8; i++) /* spaces of two bytes: U+00A0 */
            memcpy(text + 2 * i, "\xc2\xa0", 2);
        const size_t end = most + 4 - tail; /* of a text of `most - tail` characters */
        snprintf(text + end, sizeof text - end, "z");
        const vecmill_result r = embed_one(s, text, vector);
        assert_int_equal(r.truncated, tail == 0);
        assert_int_equal(r.n_tokens, tail == 0 ? 1 : 2);
    }
    embed_one(s, "the", cut);
    memset(text, ' ', 400);
    memcpy(text, "the", 3);
    snprintf(text + 400, sizeof text - 400, "which");
    embed_one(s, text, vector);
    assert_memory_equal(vector, cut, sizeof cut);
    vecmill_session_close(rows);
    vecmill_session_close(s);
}

/* Nothing of a long document is cut, and its mean is as exact as a short one's. */
static void a_module_cuts_nothing(void **state)
{
    (void)state;
    enum { TOKENS = 100000 };
    const vecmill_options o = options_for("module");
    vecmill_session *s = open_ok(&o);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    char *text = malloc(4 * TOKENS);
    float vector[DIM], a[DIM], z[DIM];
    assert_non_null(text);
    for (uint32_t i = 0; i < TOKENS; i++)
        memcpy(text + 2 * (size_t)i, i % 7 ? "a " : "z ", 2);
    const vecmill_doc doc = {.text = text, .bytes = 2 * TOKENS};
    vecmill_result r;
    assert_int_equal(vecmill_embed(s, &doc, 1, vector, &r, NULL), VECMILL_OK);
    assert_int_equal(r.n_tokens, TOKENS);
    assert_int_equal(r.truncated, 0);
    embed_one(s, "a", a);
    embed_one(s, "z", z);
    const double share = (double)((TOKENS + 6) / 7) / TOKENS;
    for (uint32_t k = 0; k < DIM; k++)
        assert_true(fabs((double)vector[k] - share * (double)z[k] - (1 - share) * (double)a[k]) <=
                    1e-6);
    vecmill_session_describe(s, &facts);
    assert_true(facts.max_length >= 1u << 20);
    assert_true(facts.arena_bytes < (6u << 20));
    free(text);
    vecmill_session_close(s);
}

/* ---- company ---- */

#define N_DOCS 1200u

/* Most have no token at all. */
static const char *text_of(uint32_t i)
{
    static const char *const texts[] = {"",           " ",  HAN,           "the", "",
                                        "which time", "\t", "a " HAN " z", ""};
    return texts[i % 9 == 3 && i % 5 ? 0 : i % 9];
}

static void same_bits_in_any_company(void **state)
{
    const char *model = *state;
    vecmill_options o = options_for(model);
    vecmill_session *s = open_ok(&o);
    static float alone[N_DOCS][DIM], together[N_DOCS][DIM];
    static vecmill_doc docs[N_DOCS];
    static vecmill_result results[N_DOCS];
    for (uint32_t i = 0; i < N_DOCS; i++) {
        docs[i] = doc_of(text_of(i));
        embed_one(s, text_of(i), alone[i]);
    }
    vecmill_session_close(s);
    static const uint32_t batches[] = {0, 1, 3, 64};
    for (size_t b = 0; b < 4; b++) {
        o.batch_tokens = batches[b];
        o.threads = b == 3 ? 2 : 1;
        s = open_ok(&o);
        memset(together, 0xff, sizeof together);
        assert_int_equal(vecmill_embed(s, docs, N_DOCS, together[0], results, NULL), VECMILL_OK);
        assert_memory_equal(together, alone, sizeof alone);
        for (uint32_t i = 0; i < N_DOCS; i++)
            assert_int_equal(results[i].status, VECMILL_OK);
        vecmill_session_close(s);
    }
    /* and where vectors are cut */
    o.batch_tokens = 3;
    o.dimensions = 5;
    o.normalize = VECMILL_NORMALIZE_NO;
    s = open_ok(&o);
    float *cut = together[0];
    assert_int_equal(vecmill_embed(s, docs, N_DOCS, cut, NULL, NULL), VECMILL_OK);
    for (uint32_t i = 0; i < N_DOCS; i++)
        assert_memory_equal(cut + (size_t)i * 5, alone[i], 5 * sizeof *cut);
    vecmill_session_close(s);
}

static void pools_give_the_same(void **state)
{
    const char *model = *state;
    const vecmill_options o = options_for(model);
    vecmill_session *s = open_ok(&o);
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err;
    vecmill_pool_options_init(&p);
    p.workers = 2;
    if (vecmill_pool_open(&o, &p, &pool, &err) != VECMILL_OK) fail_msg("pool: %s", err.message);
    for (uint32_t i = 0; i < 40; i++) {
        int accepted = 0;
        assert_int_equal(vecmill_pool_submit(pool, doc_of(text_of(i)), &accepted, &err),
                         VECMILL_OK);
        assert_int_equal(accepted, 1);
    }
    for (uint32_t i = 0; i < 40; i++) {
        float want[DIM], got[DIM];
        vecmill_result r;
        int taken = 0;
        const vecmill_result wanted = embed_one(s, text_of(i), want);
        assert_int_equal(vecmill_pool_take(pool, WAIT, got, &r, NULL, &taken, &err), VECMILL_OK);
        assert_int_equal(taken, 1);
        assert_int_equal(r.status, VECMILL_OK);
        assert_int_equal(r.n_tokens, wanted.n_tokens);
        assert_memory_equal(got, want, sizeof want);
    }
    vecmill_pool_close(pool);
    vecmill_session_close(s);
}

/* Windows share nothing, since tokens do not see each other; what is left out has no weight. */
static void windows_are_weighted_by_known_tokens(void **state)
{
    (void)state;
    vecmill_options o = options_for("model2vec-plain"), plain = options_for("plain");
    vecmill_session *rows = open_ok(&plain);
    o.long_policy = VECMILL_LONG_SPLIT;
    o.max_length = 2;
    vecmill_session *s = open_ok(&o);
    float vector[DIM];
    is_mean(s, rows, "the which time", three, 3, false);
    is_mean(s, rows, "the " HAN HAN HAN " which " HAN HAN HAN HAN " time", three, 3, false);
    is_mean(s, rows, HAN HAN HAN HAN " the", three, 1, false);
    is_mean(s, rows, "the " HAN HAN HAN HAN HAN, three, 1, false);
    assert_int_equal(embed_one(s, HAN HAN HAN HAN HAN, vector).n_tokens, 0);
    is_zero(vector);
    vecmill_session_close(s);
    vecmill_session_close(rows);
}

static void low_precisions_are_near(void **state)
{
    (void)state;
    static const vecmill_precision precisions[] = {VECMILL_BF16, VECMILL_INT8};
    vecmill_options o = options_for("model2vec");
    vecmill_session *s = open_ok(&o);
    float want[DIM], got[DIM];
    embed_one(s, "the which time , many first", want);
    vecmill_session_close(s);
    for (size_t i = 0; i < 2; i++) {
        double cosine = 0;
        o.precision = precisions[i];
        s = open_ok(&o);
        embed_one(s, "the which time , many first", got);
        for (uint32_t k = 0; k < DIM; k++)
            cosine += (double)want[k] * (double)got[k];
        assert_true(cosine > 0.9999 && cosine < 1.0001);
        embed_one(s, "", got);
        is_zero(got);
        vecmill_session_close(s);
    }
}

static int set_up(void **state)
{
    static const char shape[] = "/tmp/vecmill-static-XXXXXX";
    (void)state;
    memcpy(folder, shape, sizeof shape);
    if (!mkdtemp(folder)) return -1;
    make_model("module", "--table module --transformer 0_StaticEmbedding --no-normalize");
    make_model("dense", "--table module --after Dense:32:Tanh,Normalize");
    make_model("model2vec", "--table model2vec");
    make_model("model2vec-plain", "--table model2vec --no-normalize");
    make_model("plain", "--table module --no-normalize");
    make_model("short", "--table model2vec --max-length 5");
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_keeps_unknown_tokens),
        cmocka_unit_test(model2vec_leaves_them_out),
        cmocka_unit_test(model2vec_cuts_characters_then_tokens),
        cmocka_unit_test(a_module_cuts_nothing),
        cmocka_unit_test_prestate(same_bits_in_any_company, (void *)"module"),
        cmocka_unit_test_prestate(same_bits_in_any_company, (void *)"dense"),
        cmocka_unit_test_prestate(same_bits_in_any_company, (void *)"model2vec"),
        cmocka_unit_test_prestate(pools_give_the_same, (void *)"dense"),
        cmocka_unit_test_prestate(pools_give_the_same, (void *)"model2vec"),
        cmocka_unit_test(windows_are_weighted_by_known_tokens),
        cmocka_unit_test(low_precisions_are_near),
    };
    if (argc < 3) return 2;
    maker = argv[1];
    worker = argv[2];
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("engine-static: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
