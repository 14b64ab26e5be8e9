/* Prompts: a text with a prompt is the text of both; whose prompt it is; what its tokens count for; long
 * documents, pools and duplicates.
 *
 * Models are made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]. */
#include "base/base.h"
#include "vecmill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM  32u
#define WAIT 300000u /* ms: a hang ends the test */

/* Of the toys: one token each word and comma. The last character of a prompt and the first of a text may be
 * of one word. */
#define QUERY   "your said "
#define PASSAGE "the first:"
#define GLUED   "wi"

static const char prompts[] =
    "{\"prompts\":{\"query\":\"" QUERY "\",\"passage\":\"" PASSAGE "\",\"none\":\"\",\"bad\":7,"
    "\"void\":null},\"default_prompt_name\":%s}";

static char folder[64];
static const char *maker, *worker;

/* ---- small things ---- */

static void write_file(const char *model, const char *name, const char *text)
{
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/%s", folder, model, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* default_name: as JSON. */
static void make_model(const char *name, const char *arguments, const char *default_name)
{
    char command[3 * IO_PATH_MAX], text[512];
    snprintf(command, sizeof command, "python3 '%s' '%s/%s' --vocab 160 %s >/dev/null", maker,
             folder, name, arguments);
    assert_int_equal(system(command), 0);
    snprintf(text, sizeof text, prompts, default_name);
    write_file(name, "config_sentence_transformers.json", text);
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

static void open_fails(const vecmill_options *o, vecmill_status status, const char *part)
{
    vecmill_session *s = NULL;
    vecmill_pool *pool = NULL;
    vecmill_pool_options p;
    vecmill_err err;
    vecmill_pool_options_init(&p);
    for (int i = 0; i < 2; i++) {
        const vecmill_status got =
            i == 0 ? vecmill_session_open(o, &s, &err) : vecmill_pool_open(o, &p, &pool, &err);
        if (got != status || !strstr(err.message, part))
            fail_msg("status %d, not %d: %s (wanted %s)", (int)got, (int)status, err.message, part);
    }
}

static vecmill_facts facts_of(const vecmill_session *s)
{
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(s, &facts);
    return facts;
}

static vecmill_result embed_bytes(vecmill_session *s, const char *text, size_t bytes,
                                  float vector[DIM])
{
    const vecmill_doc doc = {.text = text, .bytes = bytes};
    vecmill_result r;
    vecmill_err err;
    if (vecmill_embed(s, &doc, 1, vector, &r, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return r;
}

static vecmill_result embed(vecmill_session *s, const char *text, float vector[DIM])
{
    return embed_bytes(s, text, strlen(text), vector);
}

/* ---- what a prompt is ---- */

static const char *const texts[] = {"", "many which,time", "ll you", " ", "a\xff z", "z"};
#define TEXTS (sizeof texts / sizeof *texts)

/* The vectors of `o` are those of the prompt and the text in one. */
static void is_as_written(const vecmill_options *o, const char *prompt)
{
    vecmill_options bare = options_for("plain");
    bare.prompt = "";
    bare.long_policy = o->long_policy;
    bare.max_length = o->max_length;
    vecmill_session *with = open_ok(o), *without = open_ok(&bare);
    assert_string_equal(facts_of(with).prompt, prompt);
    assert_string_equal(facts_of(without).prompt, "");
    for (size_t i = 0; i < TEXTS; i++) {
        char whole[256];
        float a[DIM], b[DIM];
        int32_t ids[2][64];
        size_t n[2];
        snprintf(whole, sizeof whole, "%s%s", prompt, texts[i]);
        const vecmill_result x = embed(with, texts[i], a), y = embed(without, whole, b);
        assert_int_equal(x.status, VECMILL_OK);
        assert_int_equal(x.n_tokens, y.n_tokens);
        assert_int_equal(x.replaced_bytes, y.replaced_bytes);
        assert_memory_equal(a, b, sizeof a);
        const vecmill_doc given = {.text = texts[i], .bytes = strlen(texts[i])};
        const vecmill_doc both = {.text = whole, .bytes = strlen(whole)};
        assert_int_equal(vecmill_tokenize(with, given, ids[0], 64, &n[0], NULL, NULL), VECMILL_OK);
        assert_int_equal(vecmill_tokenize(without, both, ids[1], 64, &n[1], NULL, NULL),
                         VECMILL_OK);
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(ids[0], ids[1], n[0] * sizeof(int32_t));
    }
    vecmill_session_close(without);
    vecmill_session_close(with);
}

static void a_prompt_is_text_before_the_text(void **state)
{
    static const struct {
        const char *prompt, *name;
        vecmill_role role;
        const char *is;
    } cases[] = {
        {QUERY, NULL, VECMILL_ROLE_DEFAULT, QUERY},
        {GLUED, NULL, VECMILL_ROLE_DEFAULT, GLUED},
        {NULL, "query", VECMILL_ROLE_DEFAULT, QUERY},
        {NULL, "passage", VECMILL_ROLE_DEFAULT, PASSAGE},
        {NULL, "document", VECMILL_ROLE_DEFAULT, ""}, /* the file has none */
        {NULL, "none", VECMILL_ROLE_DEFAULT, ""},
        {NULL, "void", VECMILL_ROLE_DEFAULT, ""},
        {NULL, NULL, VECMILL_ROLE_QUERY, QUERY},
        {NULL, NULL, VECMILL_ROLE_DOCUMENT, ""},
        {"", NULL, VECMILL_ROLE_QUERY, ""}, /* what is said goes before the role's */
        {NULL, "passage", VECMILL_ROLE_QUERY, PASSAGE},
        {NULL, NULL, VECMILL_ROLE_DEFAULT, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vecmill_options o = options_for("plain");
        o.prompt = cases[i].prompt;
        o.prompt_name = cases[i].name;
        o.role = cases[i].role;
        is_as_written(&o, cases[i].is);
        o.long_policy = VECMILL_LONG_SPLIT;
        is_as_written(&o, cases[i].is);
    }
}

static void a_default_prompt_is_applied(void **state)
{
    (void)state;
    vecmill_options o = options_for("default");
    is_as_written(&o, PASSAGE);
    o.role = VECMILL_ROLE_DOCUMENT; /* of the name "document", which has none here */
    is_as_written(&o, "");
    o.role = VECMILL_ROLE_QUERY;
    is_as_written(&o, QUERY);
    o.role = VECMILL_ROLE_DEFAULT;
    o.prompt = "";
    is_as_written(&o, "");
}

static void prompts_that_are_refused(void **state)
{
    (void)state;
    static char longest[VECMILL_MAX_PROMPT + 2];
    vecmill_options o = options_for("plain");
    o.prompt_name = "queries";
    open_fails(
        &o, VECMILL_E_USAGE,
        "no prompt of the model is called queries; there are query, document, passage, none");
    o.prompt_name = "bad";
    open_fails(&o, VECMILL_E_MODEL, "prompt \"bad\" is not a string");
    o.prompt = "x";
    open_fails(&o, VECMILL_E_USAGE, "a prompt and the name of a prompt");
    o.prompt_name = NULL;
    o.prompt = "\xff";
    open_fails(&o, VECMILL_E_USAGE, "UTF-8");
    memset(longest, ' ', sizeof longest - 1);
    o.prompt = longest;
    open_fails(&o, VECMILL_E_USAGE, "MODEL_PROMPT_MAX");
    longest[VECMILL_MAX_PROMPT] = '\0';
    vecmill_session_close(open_ok(&o));
    /* 2 tokens, 2 special ones */
    o.prompt = QUERY;
    o.max_length = 4;
    open_fails(&o, VECMILL_E_USAGE, "a prompt of 2 tokens and 2 special ones");
    o.max_length = 5;
    is_as_written(&o, QUERY);
}

/* ---- lengths ---- */

static void its_tokens_count_for_the_length(void **state)
{
    (void)state;
    vecmill_options o = options_for("plain");
    float cut[DIM], whole[DIM];
    o.prompt = QUERY;
    o.max_length = 6; /* two of the prompt, two special ones, two of the text */
    vecmill_session *s = open_ok(&o);
    assert_int_equal(embed(s, "many which", whole).truncated, 0);
    const vecmill_result r = embed(s, "many which time", cut);
    assert_int_equal(r.truncated, 1);
    assert_int_equal(r.n_tokens, 6);
    assert_memory_equal(cut, whole, sizeof cut);
    vecmill_session_close(s);
    o.long_policy = VECMILL_LONG_ERROR;
    s = open_ok(&o);
    assert_int_equal(embed(s, "many which time", cut).status, VECMILL_E_LIMIT);
    assert_int_equal(embed(s, "many which", cut).status, VECMILL_OK);
    vecmill_session_close(s);
}

/* Each window has the prompt. The mean of theirs, weighted by the tokens of the text alone. */
static void each_window_begins_with_it(void **state)
{
    (void)state;
    static const char *const words[] = {"the",  "which", "many", "first", "would", "time",
                                        "been", "other", "z",    "a",     "their"};
    enum { WORDS = sizeof words / sizeof *words, CONTENT = 6, STRIDE = 5 };
    vecmill_options o = options_for("plain"), bare = o;
    double want[DIM] = {0}, total = 0, length = 0;
    char text[256] = "";
    float vector[DIM];
    uint32_t n_tokens = 0;
    bare.prompt = "";
    vecmill_session *plain = open_ok(&bare);
    o.prompt = QUERY;
    o.max_length = CONTENT + 4;
    o.long_policy = VECMILL_LONG_SPLIT;
    vecmill_session *s = open_ok(&o);
    for (uint32_t first = 0; first < WORDS; first += STRIDE) {
        const uint32_t n = (uint32_t)num_min(CONTENT, WORDS - first);
        snprintf(text, sizeof text, "%s", QUERY);
        for (uint32_t i = 0; i < n; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", words[first + i]);
        n_tokens += embed(plain, text, vector).n_tokens;
        for (uint32_t k = 0; k < DIM; k++)
            want[k] += n * (double)vector[k];
        total += n;
        if (first + n == WORDS) break;
    }
    text[0] = '\0';
    for (uint32_t i = 0; i < WORDS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", words[i]);
    for (uint32_t k = 0; k < DIM; k++)
        length += want[k] / total * want[k] / total;
    const vecmill_result r = embed(s, text, vector);
    assert_int_equal(r.n_tokens, n_tokens);
    for (uint32_t k = 0; k < DIM; k++)
        assert_true(fabs((double)vector[k] - want[k] / total / sqrt(length)) < 1e-6);
    vecmill_session_close(s);
    vecmill_session_close(plain);
}

/* A session has room for as much of a text as it looks at; what is split is all of it. */
static void very_long_texts(void **state)
{
    (void)state;
    const size_t most = VECMILL_TEXT_BYTES;
    char *text = malloc(most + 2);
    assert_non_null(text);
    memset(text, ' ', most + 2);
    memcpy(text, "many which", 10);
    memcpy(text + most - 1, "z.",
           2); /* the last character that is looked at, and the first that is not */
    vecmill_options o = options_for("plain");
    float a[DIM], b[DIM];
    o.prompt = QUERY;
    vecmill_session *s = open_ok(&o);
    const vecmill_result r = embed_bytes(s, text, most + 1, a);
    assert_int_equal(r.truncated, 1);
    assert_int_equal(r.n_tokens, 7);
    assert_int_equal(embed_bytes(s, text, most, b).truncated, 0);
    assert_memory_equal(a, b, sizeof a);
    vecmill_session_close(s);
    o.long_policy = VECMILL_LONG_SPLIT;
    s = open_ok(&o);
    assert_int_equal(embed_bytes(s, text, most, b).status, VECMILL_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(embed_bytes(s, text, most + 1, b).status, VECMILL_E_LIMIT);
    for (uint32_t k = 0; k < DIM; k++)
        assert_true(b[k] == 0.0f);
    vecmill_session_close(s);
    free(text);
}

/* ---- what poolings leave out ---- */

/* Model "left-out" has the weights of "plain" and include_prompt false: there the mean is of what comes
 * after the prompt, so that with an empty text it is the last special token's row. */
static void poolings_leave_it_out(void **state)
{
    (void)state;
    vecmill_options o = options_for("left-out"), last = options_for("last"), bare = o;
    float a[DIM], b[DIM];
    o.prompt = last.prompt = QUERY;
    bare.prompt = "";
    vecmill_session *s = open_ok(&o), *l = open_ok(&last), *w = open_ok(&bare);
    embed(s, "", a);
    embed(l, "", b);
    for (uint32_t k = 0; k < DIM; k++)
        assert_true(fabs((double)a[k] - (double)b[k]) < 1e-6);
    embed(s, "many", a);
    embed(w, QUERY "many", b);
    assert_memory_not_equal(a, b, sizeof a);
    vecmill_session_close(w);
    vecmill_session_close(l);
    vecmill_session_close(s);
}

/* ---- pools ---- */

static void pools_give_the_same(void **state)
{
    const char *model = *state;
    for (int policy = VECMILL_LONG_TRUNCATE; policy <= VECMILL_LONG_SPLIT; policy++) {
        vecmill_options o = options_for(model);
        o.prompt_name = "query";
        o.long_policy = (vecmill_long)policy;
        o.max_length = 9;
        vecmill_session *s = open_ok(&o);
        vecmill_pool_options p;
        vecmill_pool *pool = NULL;
        vecmill_err err;
        vecmill_pool_options_init(&p);
        p.workers = 1;
        if (vecmill_pool_open(&o, &p, &pool, &err) != VECMILL_OK) fail_msg("pool: %s", err.message);
        vecmill_facts facts = {.struct_bytes = sizeof facts};
        vecmill_pool_describe(pool, &facts);
        assert_string_equal(facts.prompt, QUERY);
        assert_string_equal(facts.identity, facts_of(s).identity);
        const char *const many[] = {
            "",           "many which", "",    "many which time a z the other their been",
            "many which", "a\xff",      QUERY, ""};
        enum { N = sizeof many / sizeof *many };
        for (int i = 0; i < N; i++) {
            const vecmill_doc doc = {.text = many[i], .bytes = strlen(many[i])};
            int accepted = 0;
            assert_int_equal(vecmill_pool_submit(pool, doc, &accepted, &err), VECMILL_OK);
            assert_int_equal(accepted, 1);
        }
        for (int i = 0; i < N; i++) {
            float want[DIM], got[DIM];
            vecmill_result r;
            int taken = 0;
            const vecmill_result wanted = embed(s, many[i], want);
            assert_int_equal(vecmill_pool_take(pool, WAIT, got, &r, &err, &taken, &err),
                             VECMILL_OK);
            assert_int_equal(taken, 1);
            assert_int_equal(r.status, wanted.status);
            assert_int_equal(r.truncated, wanted.truncated);
            assert_int_equal(r.replaced_bytes, wanted.replaced_bytes);
            assert_memory_equal(got, want, sizeof want);
        }
        vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
        vecmill_pool_count(pool, &counts);
        assert_int_equal(counts.duplicates, 3);
        vecmill_pool_close(pool);
        vecmill_session_close(s);
    }
}

/* Equal identity, equal bits: another prompt, another identity. */
static void identities_differ(void **state)
{
    (void)state;
    const char *const given[] = {"", QUERY, GLUED, "your said  "};
    char identities[4][33];
    for (int i = 0; i < 4; i++) {
        vecmill_options o = options_for("plain");
        o.prompt = given[i];
        vecmill_session *s = open_ok(&o);
        snprintf(identities[i], sizeof identities[i], "%s", facts_of(s).identity);
        vecmill_session_close(s);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(identities[k], identities[i]);
    }
}

static int set_up(void **state)
{
    static const char shape[] = "/tmp/vecmill-prompt-XXXXXX";
    (void)state;
    memcpy(folder, shape, sizeof shape);
    if (!mkdtemp(folder)) return -1;
    make_model("plain", "", "null");
    make_model("default", "", "\"passage\"");
    make_model("last", "--pooling lasttoken", "null");
    make_model("left-out", "", "null");
    write_file("left-out", "1_Pooling/config.json",
               "{\"embedding_dimension\":32,\"pooling_mode\":\"mean\",\"include_prompt\":false}");
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
        cmocka_unit_test(a_prompt_is_text_before_the_text),
        cmocka_unit_test(a_default_prompt_is_applied),
        cmocka_unit_test(prompts_that_are_refused),
        cmocka_unit_test(its_tokens_count_for_the_length),
        cmocka_unit_test(each_window_begins_with_it),
        cmocka_unit_test(very_long_texts),
        cmocka_unit_test(poolings_leave_it_out),
        cmocka_unit_test_prestate(pools_give_the_same, (void *)"plain"),
        cmocka_unit_test_prestate(pools_give_the_same, (void *)"left-out"),
        cmocka_unit_test(identities_differ),
    };
    if (argc < 3) return 2;
    maker = argv[1];
    worker = argv[2];
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("engine-prompt: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
