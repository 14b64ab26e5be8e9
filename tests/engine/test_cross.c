/* Pairs of texts and their scores: what a session computes of them, and that a pool's are the same bytes,
 * whatever becomes of its workers. Their numbers are compared with other libraries' in
 * tests/model/test_model_families.c; here it is what is done with them.
 *
 * argv: tools/make_toy_model.py, the worker program, and one that ends by itself now and then. */
#include "engine_kit.h"

#include <math.h>

#define PAIRS     900u
#define LABELS    3u
#define TEXT_MOST 500u

static const char *hooked;

/* ---- pairs ---- */

struct pair {
    char query[TEXT_MOST], text[TEXT_MOST];
};

/* Of 0 to some 40 words each, the same for a number; some pairs come twice. */
static vecmill_doc pair_of(uint32_t i, struct pair *p)
{
    static const char *const words[] = {"many", "which", "time,", "said", "first", "x"};
    size_t used[2] = {0, 0};
    char *const out[2] = {p->query, p->text};
    i = i % 10 == 9 ? i - 9 : i;
    for (uint32_t side = 0; side < 2; side++) {
        const uint32_t n = (i + side) * (i + 3 * side) * 7 % 41;
        out[side][0] = '\0';
        for (uint32_t k = 0; k < n; k++)
            used[side] += (size_t)snprintf(out[side] + used[side], TEXT_MOST - used[side], "%s ",
                                           words[(i + k * k + side) % 6]);
    }
    return (vecmill_doc){.text = p->query,
                         .bytes = used[0],
                         .kind = VECMILL_DOC_PAIR,
                         .pair = p->text,
                         .pair_bytes = used[1]};
}

struct scored {
    vecmill_result results[PAIRS];
    float scores[PAIRS][LABELS];
};

/* One by one, in passes of one pair. */
static struct scored *score_alone(const vecmill_options *o, uint32_t labels)
{
    struct scored *out = calloc(1, sizeof *out);
    vecmill_session *s = kit_open(o);
    struct pair p;
    vecmill_err err;
    assert_non_null(out);
    for (uint32_t i = 0; i < PAIRS; i++) {
        const vecmill_doc doc = pair_of(i, &p);
        assert_int_equal(vecmill_embed(s, &doc, 1, out->scores[i], &out->results[i], &err),
                         VECMILL_OK);
        assert_int_equal(out->results[i].kind, VECMILL_KIND_SCORE);
        assert_int_equal(out->results[i].count, labels);
        assert_int_equal(out->results[i].bytes, labels * sizeof(float));
    }
    vecmill_session_close(s);
    return out;
}

static void compare(const struct scored *a, const struct scored *b, uint32_t labels)
{
    for (uint32_t i = 0; i < PAIRS; i++) {
        if (memcmp(a->scores[i], b->scores[i], labels * sizeof(float)) != 0)
            fail_msg("pair %u: %g, then %g", i, (double)a->scores[i][0], (double)b->scores[i][0]);
        assert_int_equal(a->results[i].n_tokens, b->results[i].n_tokens);
        assert_int_equal(a->results[i].truncated, b->results[i].truncated);
    }
}

/* ---- sessions ---- */

static void no_score_depends_on_the_pass(void **state)
{
    (void)state;
    static struct pair pairs[PAIRS];
    static vecmill_doc docs[PAIRS];
    struct scored *all = calloc(1, sizeof *all);
    float(*rows)[LABELS] = calloc(PAIRS, sizeof *rows);
    vecmill_err err;
    assert_non_null(all);
    assert_non_null(rows);
    vecmill_options o = kit_options("cross3");
    struct scored *alone = score_alone(&o, LABELS);
    for (uint32_t i = 0; i < PAIRS; i++)
        docs[i] = pair_of(i, &pairs[i]);
    for (uint32_t tokens = 64; tokens <= 1000; tokens += 312) {
        o.batch_tokens = tokens;
        vecmill_session *s = kit_open(&o);
        assert_int_equal(vecmill_embed(s, docs, PAIRS, rows[0], all->results, &err), VECMILL_OK);
        memcpy(all->scores, rows, PAIRS * sizeof *rows);
        compare(alone, all, LABELS);
        vecmill_session_close(s);
    }
    free(rows);
    free(all);
    free(alone);
}

/* Of one label the model's own activation is a sigmoid, of several none. */
static void raw_scores_are_logits(void **state)
{
    (void)state;
    vecmill_options one = kit_options("cross"), three = kit_options("cross3");
    struct scored *scores = score_alone(&one, 1), *several = score_alone(&three, LABELS);
    one.raw_scores = three.raw_scores = 1;
    struct scored *raw = score_alone(&one, 1), *raw_several = score_alone(&three, LABELS);
    uint32_t apart = 0;
    for (uint32_t i = 0; i < PAIRS; i++) {
        const double want = 1 / (1 + exp(-(double)raw->scores[i][0]));
        assert_true(fabs((double)scores->scores[i][0] - want) <= 1e-6);
        apart += i > 0 && raw->scores[i][0] != raw->scores[i - 1][0];
    }
    assert_true(apart > PAIRS / 2);
    compare(several, raw_several, LABELS);
    free(scores);
    free(several);
    free(raw);
    free(raw_several);
}

/* The two texts of a pair are not one text, nor one another's place. */
static void a_pair_is_two_texts(void **state)
{
    (void)state;
    const vecmill_options o = kit_options("cross");
    vecmill_session *s = kit_open(&o);
    vecmill_err err;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_result r;
    int32_t ids[64];
    size_t n = 0;
    float scores[4];
    vecmill_doc docs[] = {{"many time", 9, VECMILL_DOC_PAIR, 0, "said", 4, NULL, 0},
                          {"many", 4, VECMILL_DOC_PAIR, 0, "time said", 9, NULL, 0},
                          {"said", 4, VECMILL_DOC_PAIR, 0, "many time", 9, NULL, 0},
                          {NULL, 0, VECMILL_DOC_PAIR, 0, NULL, 0, NULL, 0}};
    assert_int_equal(vecmill_embed(s, docs, 4, scores, NULL, &err), VECMILL_OK);
    assert_true(scores[0] != scores[1] && scores[0] != scores[2] && scores[1] != scores[2]);
    /* [CLS] many time [SEP] said [SEP] */
    assert_int_equal(vecmill_tokenize(s, docs[0], ids, 64, &n, &r, &err), VECMILL_OK);
    assert_int_equal(n, 6);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[3], 3);
    assert_int_equal(ids[5], 3);
    assert_int_equal(vecmill_tokenize(s, docs[3], ids, 64, &n, &r, &err), VECMILL_OK);
    assert_int_equal(n, 3);
    vecmill_session_describe(s, &facts);
    assert_int_equal(facts.kinds, 1u << VECMILL_KIND_SCORE);
    assert_int_equal(facts.dim, 1);
    assert_string_equal(facts.labels, "LABEL_0");
    vecmill_session_close(s);
}

/* The longer text is cut first; each is looked at for VECMILL_TEXT_BYTES. */
static void a_long_pair_is_cut(void **state)
{
    (void)state;
    vecmill_options o = kit_options("cross");
    static char text[VECMILL_TEXT_BYTES + 100];
    memset(text, ' ', sizeof text);
    memcpy(text + sizeof text - 5, "time ", 5);
    vecmill_doc doc = {"many", 4, VECMILL_DOC_PAIR, 0, text, sizeof text, NULL, 0};
    vecmill_session *s = kit_open(&o);
    vecmill_result r;
    vecmill_err err;
    int32_t ids[64];
    size_t n;
    float score;
    assert_int_equal(vecmill_embed(s, &doc, 1, &score, &r, &err), VECMILL_OK);
    assert_true(r.truncated && r.n_tokens == 4); /* the word is not looked at */
    for (size_t i = 0; i < 800; i += 2)
        memcpy(text + i, "x ", 2);
    doc.pair_bytes = 800;
    assert_int_equal(vecmill_tokenize(s, doc, ids, 64, &n, &r, &err), VECMILL_OK);
    assert_true(r.truncated && n == 64 && ids[2] == 3 && ids[63] == 3); /* `many` is whole */
    vecmill_session_close(s);
    o.long_policy = VECMILL_LONG_ERROR;
    s = kit_open(&o);
    assert_int_equal(vecmill_embed(s, &doc, 1, &score, &r, &err), VECMILL_OK);
    assert_int_equal(r.status, VECMILL_E_LIMIT);
    assert_true(score == 0);
    vecmill_session_close(s);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    vecmill_session *s = NULL;
    vecmill_err err;
    static const struct {
        const char *model;
        uint32_t kinds, dimensions, raw;
        vecmill_long policy;
        vecmill_normalize normalize;
        const char *prompt, *part;
    } cases[] = {
        {"cross", 1u << VECMILL_KIND_DENSE, 0, 0, 0, 0, NULL, "dense is asked for"},
        {"toy", 1u << VECMILL_KIND_SCORE, 0, 0, 0, 0, NULL, "score is asked for"},
        {"toy", 0, 0, 1, 0, 0, NULL, "raw scores are asked for"},
        {"cross3", 0, 2, 0, 0, 0, NULL, "neither cut nor normalised"},
        {"cross3", 0, 0, 0, 0, VECMILL_NORMALIZE_YES, NULL, "neither cut nor normalised"},
        {"cross", 0, 0, 0, VECMILL_LONG_SPLIT, 0, NULL, "long documents are to be split"},
        {"cross", 0, 0, 0, 0, 0, "query: ", "without one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vecmill_options o = kit_options(cases[i].model);
        o.kinds = cases[i].kinds;
        o.dimensions = cases[i].dimensions;
        o.raw_scores = cases[i].raw;
        o.long_policy = cases[i].policy;
        o.normalize = cases[i].normalize;
        o.prompt = cases[i].prompt;
        assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_USAGE);
        if (!strstr(err.message, cases[i].part)) fail_msg("%s", err.message);
    }
    const vecmill_doc text = {.text = "many", .bytes = 4};
    const vecmill_doc pair = {"many", 4, VECMILL_DOC_PAIR, 0, "time", 4, NULL, 0};
    float row[32];
    const vecmill_options cross = kit_options("cross"), toy = kit_options("toy");
    s = kit_open(&cross);
    assert_int_equal(vecmill_embed(s, &text, 1, row, NULL, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "scores pairs"));
    vecmill_session_close(s);
    s = kit_open(&toy);
    assert_int_equal(vecmill_embed(s, &pair, 1, row, NULL, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "takes single texts"));
    vecmill_session_close(s);
}

/* ---- pools ---- */

static uint32_t n_died;

static void on_event(void *context, const vecmill_event *event)
{
    (void)context;
    if (event->kind == VECMILL_WORKER_DIED) n_died++;
}

static struct scored *score_all(const vecmill_options *o, uint32_t workers, uint32_t labels,
                                uint64_t *duplicates)
{
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err, why;
    struct scored *out = calloc(1, sizeof *out);
    uint32_t given = 0, n = 0;
    assert_non_null(out);
    vecmill_pool_options_init(&p);
    p.workers = workers;
    p.on_event = on_event;
    p.max_document = 2 * TEXT_MOST;
    n_died = 0;
    if (vecmill_pool_open(o, &p, &pool, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    while (n < PAIRS) {
        struct pair pair;
        int accepted = 0, taken = 0;
        if (given < PAIRS) {
            if (vecmill_pool_submit(pool, pair_of(given, &pair), &accepted, &err) != VECMILL_OK)
                fail_msg("submit: %s", err.message);
            given += (uint32_t)accepted;
        }
        if (accepted) continue;
        if (vecmill_pool_take(pool, KIT_WAIT, out->scores[n], &out->results[n], &why, &taken,
                              &err) != VECMILL_OK)
            fail_msg("take: %s", err.message);
        if (!taken) fail_msg("pair %u did not come within %u ms", n, KIT_WAIT);
        assert_int_equal(out->results[n].status, VECMILL_OK);
        assert_int_equal(out->results[n].kind, VECMILL_KIND_SCORE);
        assert_int_equal(out->results[n].count, labels);
        n++;
    }
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_pool_count(pool, &counts);
    assert_int_equal(counts.accepted, PAIRS);
    assert_int_equal(counts.returned, PAIRS);
    *duplicates = counts.duplicates;
    vecmill_pool_close(pool);
    return out;
}

static void a_pool_gives_the_same(void **state)
{
    (void)state;
    uint64_t duplicates;
    const vecmill_options one = kit_options("cross"), three = kit_options("cross3");
    struct scored *session = score_alone(&one, 1);
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct scored *pool = score_all(&one, workers, 1, &duplicates);
        compare(session, pool, 1);
        assert_int_equal(n_died, 0);
        assert_true(duplicates >= PAIRS / 10 - 1); /* each tenth comes twice, within the pool */
        free(pool);
    }
    free(session);
    session = score_alone(&three, LABELS);
    struct scored *pool = score_all(&three, 2, LABELS, &duplicates);
    compare(session, pool, LABELS);
    free(pool);
    free(session);
}

/* Once, at each point of a batch, of one worker; then again and again, as it comes, among three. */
static void kills_cost_nothing(void **state)
{
    (void)state;
    static const char *const points[] = {"W2:1:kill", "W3:1:kill", "W4:1:segv", "W7:1:half",
                                         "W7:1:kill"};
    vecmill_options o = kit_options("cross");
    struct scored *const session = score_alone(&o, 1);
    uint64_t duplicates;
    o.worker_path = hooked;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        char faults[256];
        snprintf(faults, sizeof faults, "at=%s:%s/fault-%zu", points[i], kit_folder, i);
        setenv("VECMILL_TEST_FAULTS", faults, 1);
        struct scored *const pool = score_all(&o, 1, 1, &duplicates);
        compare(session, pool, 1);
        if (n_died != 1) fail_msg("%s: %u deaths", points[i], n_died);
        free(pool);
    }
    setenv("VECMILL_TEST_FAULTS", "seed=20261201;rate=0.2;kinds=kill*6,exit77,segv,half", 1);
    struct scored *const pool = score_all(&o, 3, 1, &duplicates);
    unsetenv("VECMILL_TEST_FAULTS");
    compare(session, pool, 1);
    free(pool);
    free(session);
}

/* Both texts together are at most max_document; a plan for pairs is larger by what they need. */
static void a_pool_bounds_both_texts(void **state)
{
    (void)state;
    const vecmill_options o = kit_options("cross");
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err, why;
    vecmill_result r;
    float score, want;
    int accepted = 0, taken = 0;
    vecmill_pool_options_init(&p);
    p.workers = 1;
    p.max_document = 8;
    assert_int_equal(vecmill_pool_open(&o, &p, &pool, &err), VECMILL_OK);
    const vecmill_doc over = {"many", 4, VECMILL_DOC_PAIR, 0, "first", 5, NULL, 0};
    const vecmill_doc fits = {"many", 4, VECMILL_DOC_PAIR, 0, "time", 4, NULL, 0};
    const vecmill_doc text = {.text = "many", .bytes = 4};
    assert_int_equal(vecmill_pool_submit(pool, over, &accepted, &err), VECMILL_E_LIMIT);
    assert_non_null(strstr(err.message, "9 bytes"));
    assert_int_equal(vecmill_pool_submit(pool, text, &accepted, &err), VECMILL_E_USAGE);
    assert_int_equal(vecmill_pool_submit(pool, fits, &accepted, &err), VECMILL_OK);
    assert_int_equal(accepted, 1);
    assert_int_equal(vecmill_pool_take(pool, KIT_WAIT, &score, &r, &why, &taken, &err), VECMILL_OK);
    assert_true(taken && r.status == VECMILL_OK);
    vecmill_pool_close(pool);
    vecmill_session *s = kit_open(&o);
    assert_int_equal(vecmill_embed(s, &fits, 1, &want, NULL, &err), VECMILL_OK);
    assert_memory_equal(&score, &want, sizeof score);
    vecmill_session_close(s);
}

/* ---- a language model that is asked (tests/data/question, whose file says its source) ---- */

#define ASKED_MOST 16u

static char *asked_file; /* the file's text */

/* Writes the model, and reads its file, which is found from the maker's place. */
static void write_asked(void)
{
    char command[4 * IO_PATH_MAX], path[2 * IO_PATH_MAX];
    const int root = (int)(strstr(kit_maker, "tools/make_toy_model.py") - kit_maker);
    snprintf(path, sizeof path, "%.*stests/data/question/asked-qwen3.json", root, kit_maker);
    snprintf(command, sizeof command, "python3 '%.*stools/write_family.py' '%s' '%s/asked'", root,
             kit_maker, path, kit_folder);
    assert_int_equal(system(command), 0);
    struct io_map map;
    vecmill_err err;
    assert_int_equal(io_map_file(path, &map, VECMILL_E_IO, VECMILL_E_IO, &err), VECMILL_OK);
    asked_file = calloc(map.bytes + 1, 1);
    assert_non_null(asked_file);
    memcpy(asked_file, map.data, map.bytes);
    io_unmap(&map);
}

static size_t text_of(const struct json_value *one, const char *key, char *out, size_t room)
{
    const struct json_value value = json_get(one, key);
    out[0] = '\0';
    if (value.kind != JSON_KIND_STRING) return 0;
    assert_true(json_string_into(&value, out, room));
    return strlen(out);
}

static double number_of(const struct json_value *one, const char *key)
{
    const struct json_value value = json_get(one, key);
    double number = 0;
    assert_true(json_double(&value, &number));
    return number;
}

/* Ids and scores of the file's pairs, each with its instruction and length; a pool's are the same bits. */
static void a_language_model_is_asked(void **state)
{
    (void)state;
    struct json_value root, none, one;
    vecmill_err err;
    uint32_t n = 0;
    double worst = 0, largest = 0;
    write_asked();
    assert_int_equal(
        json_check(asked_file, strlen(asked_file), "qwen3.json", VECMILL_E_IO, &root, &err),
        VECMILL_OK);
    const struct json_value cases = json_get(&root, "cases");
    struct json_each each = json_begin(&cases);
    for (; json_each(&each, &none, &one); n++) {
        static char query[1024], text[4096], instruction[256];
        vecmill_options o = kit_options("asked");
        vecmill_doc doc = {.kind = VECMILL_DOC_PAIR, .text = query, .pair = text};
        doc.bytes = text_of(&one, "query", query, sizeof query);
        doc.pair_bytes = text_of(&one, "text", text, sizeof text);
        o.kinds = 1u << VECMILL_KIND_SCORE;
        o.raw_scores = 1;
        if (text_of(&one, "instruction", instruction, sizeof instruction)) o.prompt = instruction;
        const uint32_t most = (uint32_t)number_of(&one, "max_length");
        o.max_length = most < 1024 ? most : 0; /* of 1,024 positions */
        vecmill_session *s = kit_open(&o);
        int32_t ids[1024];
        size_t n_ids = 0, k = 0;
        vecmill_result r;
        float score = 0, again = 0;
        if (vecmill_tokenize(s, doc, ids, 1024, &n_ids, &r, &err) != VECMILL_OK)
            fail_msg("%s", err.message);
        const struct json_value wanted = json_get(&one, "ids");
        struct json_value id;
        for (struct json_each all = json_begin(&wanted); json_each(&all, &none, &id); k++) {
            double number = -1;
            assert_true(k < n_ids && json_double(&id, &number));
            if (ids[k] != (int32_t)number)
                fail_msg("pair %u, token %zu: %d, not %g", n, k, ids[k], number);
        }
        assert_int_equal(k, n_ids);
        assert_int_equal(vecmill_embed(s, &doc, 1, &score, &r, &err), VECMILL_OK);
        assert_int_equal(r.truncated, n_ids == most);
        const double want = number_of(&one, "logit");
        worst = fmax(worst, fabs((double)score - want));
        largest = fmax(largest, fabs(want));
        vecmill_session_close(s);
        vecmill_pool_options p;
        vecmill_pool *pool = NULL;
        int accepted = 0, taken = 0;
        vecmill_pool_options_init(&p);
        p.workers = 1;
        assert_int_equal(vecmill_pool_open(&o, &p, &pool, &err), VECMILL_OK);
        assert_int_equal(vecmill_pool_submit(pool, doc, &accepted, &err), VECMILL_OK);
        assert_int_equal(vecmill_pool_take(pool, KIT_WAIT, &again, &r, NULL, &taken, &err),
                         VECMILL_OK);
        assert_true(taken && memcmp(&score, &again, sizeof score) == 0);
        vecmill_pool_close(pool);
    }
    free(asked_file);
    assert_true(n >= 6 && n <= ASKED_MOST);
    printf("asked: %u pairs, difference %.1e of the largest logit\n", n, worst / largest);
    assert_true(worst <= 2e-5 * largest);
    /* asked for nothing, it makes vectors; but its tokenizer adds no token to an empty text */
    vecmill_session *s = NULL;
    const vecmill_options o = kit_options("asked");
    assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_MODEL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_score_depends_on_the_pass), cmocka_unit_test(raw_scores_are_logits),
        cmocka_unit_test(a_pair_is_two_texts),          cmocka_unit_test(a_long_pair_is_cut),
        cmocka_unit_test(what_does_not_fit_is_refused), cmocka_unit_test(a_pool_gives_the_same),
        cmocka_unit_test(kills_cost_nothing),           cmocka_unit_test(a_pool_bounds_both_texts),
        cmocka_unit_test(a_language_model_is_asked),
    };
    if (argc != 4 || !kit_begin(argv[1], argv[2])) return 2;
    hooked = argv[3];
    kit_model("toy", "");
    kit_model("cross", "--cross 1");
    kit_model("cross3", "--cross 3");
    return kit_end("engine-cross", sizeof tests / sizeof *tests,
                   cmocka_run_group_tests(tests, NULL, NULL));
}
