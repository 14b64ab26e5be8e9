/* Results of varying size: what a session computes of several kinds, and that a pool's are the same bytes,
 * whatever becomes of its workers.
 *
 * argv: tools/make_toy_model.py, the worker program, and one that ends by itself now and then. */
#include "engine_kit.h"

#include <math.h>

#define DIM       32u
#define ROW       24u /* of a vector of a token */
#define DOCS      600u
#define TEXT_MOST 400u

enum {
    DENSE = 1u << VECMILL_KIND_DENSE,
    SPARSE = 1u << VECMILL_KIND_SPARSE,
    MULTI = 1u << VECMILL_KIND_MULTI,
    TOKENS = 1u << VECMILL_KIND_TOKENS
};

static const char *hooked;

static vecmill_options options_for(const char *model, uint32_t kinds)
{
    vecmill_options o = kit_options(model);
    o.kinds = kinds;
    return o;
}

/* Texts of 0 to some 40 words, the same for a number. */
static size_t text_of(uint32_t i, char text[TEXT_MOST])
{
    static const char *const words[] = {"many", "which", "time,", "said", "first", "x"};
    size_t used = 0;
    const uint32_t n = i * i * 7 % 41;
    text[0] = '\0';
    for (uint32_t k = 0; k < n; k++)
        used += (size_t)snprintf(text + used, TEXT_MOST - used, "%s ", words[(i + k * k) % 6]);
    return used;
}

/* What was taken of each document: its parts end to end. */
struct taken {
    uint32_t kinds, n;
    struct {
        vecmill_result result;
        uint64_t rows, entries; /* of tokens; of sparse weights */
        float *dense, *tokens, *multi;
        uint32_t *sparse;
    } docs[DOCS];
};

static float *copy_of(const vecmill_part *part)
{
    float *copy = malloc(part->bytes + 1);
    assert_non_null(copy);
    memcpy(copy, part->data, part->bytes);
    return copy;
}

static vecmill_status keep(void *context, size_t d, const vecmill_result *result,
                           const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct taken *t = context;
    uint32_t kinds = 0;
    uint64_t bytes = 0;
    (void)err;
    assert_int_equal(d, t->n);
    t->docs[t->n].result = *result;
    for (uint32_t i = 0; i < n_parts; i++) {
        const vecmill_part *part = &parts[i];
        const bool is_sparse = part->kind == VECMILL_KIND_SPARSE;
        const bool is_multi = part->kind == VECMILL_KIND_MULTI;
        const uint32_t dim = is_sparse ? 0 : is_multi ? ROW : DIM;
        assert_true(t->kinds >> part->kind & 1);
        assert_int_equal(part->dim, dim);
        assert_int_equal(part->bytes, part->n * (is_sparse ? 8 : dim * sizeof(float)));
        assert_true(kinds >> part->kind == 0); /* in the order of kinds */
        kinds |= 1u << part->kind;
        bytes += part->bytes;
        if (part->kind == VECMILL_KIND_DENSE) t->docs[t->n].dense = copy_of(part);
        if (part->kind == VECMILL_KIND_TOKENS) t->docs[t->n].tokens = copy_of(part);
        if (is_sparse) t->docs[t->n].sparse = (uint32_t *)(void *)copy_of(part);
        if (is_multi) t->docs[t->n].multi = copy_of(part);
        if (is_sparse)
            t->docs[t->n].entries = part->n;
        else if (part->kind != VECMILL_KIND_DENSE)
            t->docs[t->n].rows = part->n;
    }
    if (result->status == VECMILL_OK) {
        assert_int_equal(kinds, t->kinds);
        assert_int_equal(result->bytes, bytes);
    } else {
        assert_int_equal(n_parts, 0);
    }
    t->n++;
    return VECMILL_OK;
}

static void forget(struct taken *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        free(t->docs[i].dense);
        free(t->docs[i].tokens);
        free(t->docs[i].multi);
        free(t->docs[i].sparse);
    }
    free(t);
}

static struct taken *compute_all(const vecmill_options *o)
{
    static char texts[DOCS][TEXT_MOST];
    static vecmill_doc docs[DOCS];
    struct taken *t = calloc(1, sizeof *t);
    vecmill_err err;
    vecmill_session *s = kit_open(o);
    assert_non_null(t);
    t->kinds = o->kinds ? o->kinds : DENSE;
    for (uint32_t i = 0; i < DOCS; i++) {
        const size_t bytes = text_of(i, texts[i]);
        docs[i] = (vecmill_doc){.text = texts[i], .bytes = bytes};
    }
    if (vecmill_compute(s, docs, DOCS, keep, t, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(t->n, DOCS);
    vecmill_session_close(s);
    return t;
}

static void compare(const struct taken *a, const struct taken *b)
{
    assert_int_equal(a->n, b->n);
    for (uint32_t i = 0; i < a->n; i++) {
        const uint64_t rows = a->docs[i].rows;
        assert_int_equal(a->docs[i].result.status, b->docs[i].result.status);
        assert_int_equal(a->docs[i].result.n_tokens, b->docs[i].result.n_tokens);
        if (a->docs[i].tokens && b->docs[i].tokens) assert_int_equal(rows, b->docs[i].rows);
        if (a->docs[i].sparse && b->docs[i].sparse) {
            assert_int_equal(a->docs[i].entries, b->docs[i].entries);
            assert_memory_equal(a->docs[i].sparse, b->docs[i].sparse, a->docs[i].entries * 8);
        }
        if (a->docs[i].multi && b->docs[i].multi) {
            assert_int_equal(rows, b->docs[i].rows);
            assert_memory_equal(a->docs[i].multi, b->docs[i].multi, rows * ROW * sizeof(float));
        }
        if (a->docs[i].dense && b->docs[i].dense)
            assert_memory_equal(a->docs[i].dense, b->docs[i].dense, DIM * sizeof(float));
        if (a->docs[i].tokens && b->docs[i].tokens && rows > 0)
            assert_memory_equal(a->docs[i].tokens, b->docs[i].tokens, rows * DIM * sizeof(float));
    }
}

static struct taken *take_all(const vecmill_options *o, uint32_t workers);

/* ---- a session ---- */

/* A vector is the mean of its tokens' rows (the toy's pooling), of length 1. */
static void tokens_make_the_vector(void **state)
{
    (void)state;
    const vecmill_options both = options_for("toy", DENSE | TOKENS), one = options_for("toy", 0),
                          rows = options_for("toy", TOKENS);
    struct taken *t = compute_all(&both), *dense = compute_all(&one), *tokens = compute_all(&rows);
    compare(t, dense);
    compare(t, tokens);
    for (uint32_t i = 0; i < DOCS; i++) {
        double mean[DIM] = {0}, length = 0;
        assert_int_equal(t->docs[i].rows, t->docs[i].result.n_tokens);
        for (uint64_t r = 0; r < t->docs[i].rows; r++)
            for (uint32_t k = 0; k < DIM; k++)
                mean[k] += (double)t->docs[i].tokens[r * DIM + k];
        for (uint32_t k = 0; k < DIM; k++)
            length += mean[k] * mean[k];
        for (uint32_t k = 0; k < DIM; k++) {
            const double got = (double)t->docs[i].dense[k];
            if (fabs(got - mean[k] / sqrt(length)) > 1e-6)
                fail_msg("document %u: %.9g, not %.9g", i, got, mean[k] / sqrt(length));
        }
    }
    forget(t);
    forget(dense);
    forget(tokens);
}

/* Ascending, above 0, of the vocabulary; some documents' differ. That they are right is shown in
 * tests/model/test_model_heads.c. */
static void sparse_weights_are_in_order(void **state)
{
    (void)state;
    const vecmill_options o = options_for("splade", SPARSE);
    struct taken *t = compute_all(&o);
    bool differ = false;
    for (uint32_t i = 0; i < DOCS; i++) {
        const uint32_t *indices = t->docs[i].sparse;
        const uint64_t n = t->docs[i].entries;
        for (uint64_t k = 0; k < n; k++) {
            float weight;
            memcpy(&weight, &indices[n + k], sizeof weight);
            assert_true(indices[k] < 160 && weight > 0 && (k == 0 || indices[k] > indices[k - 1]));
        }
        differ = differ || n != t->docs[0].entries;
    }
    assert_true(differ);
    forget(t);
}

/* What a model makes of three kinds in one pass is what it makes of each by itself. That it is right is
 * shown in tests/model/test_model_rows.c. */
static void one_pass_makes_all(void **state)
{
    (void)state;
    const vecmill_options all = options_for("m3", DENSE | SPARSE | MULTI);
    struct taken *t = compute_all(&all);
    uint64_t entries = 0;
    for (uint32_t kinds = 1; kinds < all.kinds; kinds++) {
        if ((kinds & all.kinds) != kinds) continue;
        const vecmill_options some = options_for("m3", kinds);
        struct taken *one = compute_all(&some);
        compare(t, one);
        forget(one);
    }
    for (uint32_t i = 0; i < DOCS; i++) {
        assert_int_equal(t->docs[i].rows, t->docs[i].result.n_tokens - 1);
        /* of an empty text [CLS] has none; [SEP] may have, which is not the end of BERT's texts */
        if (t->docs[i].result.n_tokens == 2) assert_true(t->docs[i].entries <= 1);
        for (uint64_t k = 0; k < t->docs[i].entries; k++)
            assert_true(t->docs[i].sparse[k] != 2); /* [CLS] */
        entries += t->docs[i].entries;
    }
    assert_true(entries > DOCS);
    forget(t);
}

/* Ids of a text as a session sees it. */
static size_t ids_of(const vecmill_options *o, const char *text, int32_t ids[64])
{
    vecmill_session *s = kit_open(o);
    vecmill_err err;
    size_t n = 0;
    const vecmill_doc doc = {.text = text, .bytes = strlen(text)};
    if (vecmill_tokenize(s, doc, ids, 64, &n, NULL, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    vecmill_session_close(s);
    return n;
}

/* The toy's tokens: [CLS] 2, [SEP] 3, [MASK] 4; letters from 5 on. */
static void queries_are_marked_and_expanded(void **state)
{
    enum { D = 'd' - 'a' + 5, Q = 'q' - 'a' + 5, X = 'x' - 'a' + 5 };
    (void)state;
    vecmill_options o = options_for("late", 0);
    int32_t ids[64];
    assert_int_equal(ids_of(&o, "x", ids), 4);
    const int32_t document[] = {2, D, X, 3};
    assert_memory_equal(ids, document, sizeof document);
    o.role = VECMILL_ROLE_QUERY;
    assert_int_equal(ids_of(&o, "x", ids), 24);
    const int32_t query[] = {2, Q, X, 3, 4};
    assert_memory_equal(ids, query, sizeof query);
    assert_int_equal(ids[23], 4);
    /* of a longer one, the first 24 */
    assert_int_equal(ids_of(&o, "x x x x x x x x x x x x x x x x x x x x x x x x x x", ids), 24);
    assert_int_equal(ids[22], X);
    assert_int_equal(ids[23], 3);
    o.max_length = 10;
    assert_int_equal(ids_of(&o, "x", ids), 10);
}

/* A query has a vector for each of its 24 tokens, a document for each that is no punctuation. */
static void late_rows_are_counted(void **state)
{
    (void)state;
    vecmill_options o = options_for("late", MULTI);
    struct taken *documents = compute_all(&o);
    o.role = VECMILL_ROLE_QUERY;
    struct taken *queries = compute_all(&o), *pool = take_all(&o, 2);
    uint32_t n_fewer = 0;
    compare(queries, pool);
    for (uint32_t i = 0; i < DOCS; i++) {
        assert_int_equal(queries->docs[i].rows, 24);
        assert_true(documents->docs[i].rows <= documents->docs[i].result.n_tokens);
        n_fewer += documents->docs[i].rows < documents->docs[i].result.n_tokens;
    }
    assert_true(n_fewer > DOCS / 2 && n_fewer < DOCS);
    forget(documents);
    forget(queries);
    forget(pool);
}

static void no_row_depends_on_the_pass(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        vecmill_options o = i == 0   ? options_for("toy", DENSE | TOKENS)
                            : i == 1 ? options_for("splade", SPARSE)
                            : i == 2 ? options_for("m3", DENSE | SPARSE | MULTI)
                                     : options_for("late", MULTI),
                        small;
        if (i == 3) o.role = VECMILL_ROLE_QUERY;
        small = o;
        small.batch_tokens = 1;
        struct taken *a = compute_all(&o), *b = compute_all(&small);
        compare(a, b);
        forget(a);
        forget(b);
    }
}

static void one_that_fails_has_no_part(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", DENSE | TOKENS), whole = o;
    o.long_policy = VECMILL_LONG_ERROR;
    o.max_length = 20;
    struct taken *t = compute_all(&o), *all = compute_all(&whole);
    uint32_t n_failed = 0;
    for (uint32_t i = 0; i < DOCS; i++) {
        const bool failed = all->docs[i].result.n_tokens > 20;
        assert_int_equal(t->docs[i].result.status, failed ? VECMILL_E_LIMIT : VECMILL_OK);
        n_failed += failed;
        if (!failed)
            assert_memory_equal(t->docs[i].tokens, all->docs[i].tokens,
                                all->docs[i].rows * DIM * sizeof(float));
    }
    assert_true(n_failed > 50 && n_failed < DOCS - 50);
    forget(t);
    forget(all);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", TOKENS);
    vecmill_session *s = kit_open(&o);
    vecmill_err err;
    float vector[DIM];
    const vecmill_doc doc = {.text = "x", .bytes = 1};
    assert_int_equal(vecmill_embed(s, &doc, 1, vector, NULL, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "vecmill_compute"));
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(s, &facts);
    assert_int_equal(facts.kinds, TOKENS);
    assert_int_equal(facts.result_bytes, facts.max_length * DIM * sizeof(float));
    vecmill_session_close(s);
    o.long_policy = VECMILL_LONG_SPLIT;
    assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "tokens: only dense vectors"));
    o = options_for("toy", 1u << VECMILL_KIND_SPARSE);
    assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "sparse is asked for, and"));
    assert_non_null(strstr(err.message, "makes dense, tokens"));
    o = options_for("m3", MULTI | TOKENS);
    assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "multi and tokens are asked for together"));
    o = options_for("splade", SPARSE | TOKENS);
    assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "sparse weights of a vocabulary"));
}

static vecmill_status stop_at_ten(void *context, size_t d, const vecmill_result *result,
                                  const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    (void)result;
    (void)parts;
    (void)n_parts;
    ++*(size_t *)context;
    return d == 10 ? err_set(err, VECMILL_E_OUTPUT, "enough") : VECMILL_OK;
}

/* A table for queries lies beside the model: they are not given the weights of documents. */
static void queries_with_a_table_are_refused(void **state)
{
    (void)state;
    char command[256];
    vecmill_session *s = NULL;
    vecmill_err err;
    vecmill_options o = options_for("splade", SPARSE);
    o.role = VECMILL_ROLE_QUERY;
    s = kit_open(&o);
    vecmill_session_close(s);
    snprintf(command, sizeof command, "echo '{}' > '%s/splade/idf.json'", kit_folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(vecmill_session_open(&o, &s, &err), VECMILL_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "idf.json"));
    o.role = VECMILL_ROLE_DOCUMENT;
    s = kit_open(&o);
    vecmill_session_close(s);
    snprintf(command, sizeof command, "rm '%s/splade/idf.json'", kit_folder);
    assert_int_equal(system(command), 0);
}

static void a_taker_ends_the_call(void **state)
{
    (void)state;
    vecmill_doc docs[100];
    for (size_t i = 0; i < 100; i++)
        docs[i] = (vecmill_doc){.text = "many", .bytes = 4};
    for (uint32_t kinds = DENSE; kinds <= TOKENS; kinds += TOKENS - DENSE) {
        const vecmill_options o = options_for("toy", kinds);
        vecmill_session *s = kit_open(&o);
        vecmill_err err;
        size_t n = 0;
        assert_int_equal(vecmill_compute(s, docs, 100, stop_at_ten, &n, &err), VECMILL_E_OUTPUT);
        assert_string_equal(err.message, "enough");
        assert_int_equal(n, 11);
        vecmill_session_close(s);
    }
}

/* ---- a pool ---- */

static uint32_t n_died;

static void on_event(void *context, const vecmill_event *event)
{
    (void)context;
    if (event->kind == VECMILL_WORKER_DIED) n_died++;
}

static struct taken *take_all(const vecmill_options *o, uint32_t workers)
{
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err, why;
    struct taken *t = calloc(1, sizeof *t);
    uint32_t given = 0;
    assert_non_null(t);
    t->kinds = o->kinds;
    n_died = 0;
    vecmill_pool_options_init(&p);
    p.workers = workers;
    p.on_event = on_event;
    if (vecmill_pool_open(o, &p, &pool, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(pool, &facts);
    unsigned char *memory = aligned_alloc(64, num_up(facts.result_bytes + 1, 64));
    assert_non_null(memory);
    while (t->n < DOCS) {
        char text[TEXT_MOST];
        int accepted = 0, taken = 0;
        vecmill_result r;
        vecmill_part parts[VECMILL_PARTS_MAX];
        uint32_t n_parts;
        if (given < DOCS) {
            const size_t bytes = text_of(given, text);
            const vecmill_doc doc = {.text = text, .bytes = bytes};
            if (vecmill_pool_submit(pool, doc, &accepted, &err) != VECMILL_OK)
                fail_msg("submit: %s", err.message);
            given += (uint32_t)accepted;
        }
        if (accepted) continue;
        if (vecmill_pool_take_parts(pool, KIT_WAIT, memory, parts, &n_parts, &r, &why, &taken,
                                    &err) != VECMILL_OK)
            fail_msg("take: %s", err.message);
        if (!taken) fail_msg("document %u did not come within %u ms", t->n, KIT_WAIT);
        if (r.status != VECMILL_OK) fail_msg("document %u: %s", t->n, why.message);
        assert_int_equal(keep(t, t->n, &r, parts, n_parts, &err), VECMILL_OK);
    }
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_pool_count(pool, &counts);
    assert_int_equal(counts.accepted, DOCS);
    assert_int_equal(counts.returned, DOCS);
    if (o->kinds & (TOKENS | SPARSE | MULTI))
        assert_int_equal(counts.duplicates, 0); /* none is kept for copies */
    vecmill_pool_close(pool);
    free(memory);
    return t;
}

static void a_pool_gives_the_same(void **state)
{
    (void)state;
    for (uint32_t kinds = DENSE; kinds <= (DENSE | TOKENS); kinds += TOKENS - DENSE) {
        const uint32_t asked = kinds > TOKENS ? DENSE | TOKENS : kinds;
        const vecmill_options o = options_for("toy", asked);
        struct taken *session = compute_all(&o);
        for (uint32_t workers = 1; workers <= 3; workers++) {
            struct taken *pool = take_all(&o, workers);
            compare(session, pool);
            assert_int_equal(n_died, 0);
            forget(pool);
        }
        forget(session);
    }
    const vecmill_options sparse = options_for("splade", SPARSE);
    struct taken *session = compute_all(&sparse), *pool = take_all(&sparse, 2);
    compare(session, pool);
    forget(session);
    forget(pool);
    for (uint32_t kinds = SPARSE; kinds <= (DENSE | SPARSE | MULTI); kinds++) {
        if ((kinds & (DENSE | SPARSE | MULTI)) != kinds) continue;
        const vecmill_options o = options_for("m3", kinds);
        session = compute_all(&o);
        pool = take_all(&o, 2);
        compare(session, pool);
        forget(session);
        forget(pool);
    }
}

/* Once, at each point of a batch: the file makes sure that it is once. One worker, so that the one that
 * made the file has a batch for certain. Then again and again, as it comes, among three. */
static void kills_cost_nothing(void **state)
{
    (void)state;
    static const char *const points[] = {"W2:1:kill", "W3:1:kill", "W4:1:segv",
                                         "W7:1:half", "W7:1:kill", "W9:1:kill"};
    for (int k = 0; k < 3; k++) {
        vecmill_options o = k == 0   ? options_for("toy", DENSE | TOKENS)
                            : k == 1 ? options_for("splade", SPARSE)
                                     : options_for("m3", DENSE | SPARSE | MULTI);
        struct taken *const session = compute_all(&o);
        o.worker_path = hooked;
        for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
            char faults[256];
            snprintf(faults, sizeof faults, "at=%s:%s/fault-%d-%zu", points[i], kit_folder, k, i);
            setenv("VECMILL_TEST_FAULTS", faults, 1);
            struct taken *const pool = take_all(&o, 1);
            compare(session, pool);
            if (n_died != 1) fail_msg("%s: %u deaths", points[i], n_died);
            forget(pool);
        }
        setenv("VECMILL_TEST_FAULTS",
               "seed=20261201;rate=0.2;kinds=kill*6,exit77,segv,half,kill-in-compute", 1);
        struct taken *const pool = take_all(&o, k == 2 ? 2 : 3);
        unsetenv("VECMILL_TEST_FAULTS");
        compare(session, pool);
        forget(pool);
        forget(session);
    }
}

static void a_pool_says_what_takes_its_results(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", TOKENS);
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err;
    float vector[DIM];
    int taken;
    vecmill_pool_options_init(&p);
    p.workers = 1;
    assert_int_equal(vecmill_pool_open(&o, &p, &pool, &err), VECMILL_OK);
    assert_int_equal(vecmill_pool_take(pool, 0, vector, NULL, NULL, &taken, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "vecmill_pool_take_parts"));
    vecmill_pool_close(pool);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_make_the_vector),
        cmocka_unit_test(sparse_weights_are_in_order),
        cmocka_unit_test(one_pass_makes_all),
        cmocka_unit_test(queries_are_marked_and_expanded),
        cmocka_unit_test(late_rows_are_counted),
        cmocka_unit_test(no_row_depends_on_the_pass),
        cmocka_unit_test(one_that_fails_has_no_part),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(queries_with_a_table_are_refused),
        cmocka_unit_test(a_taker_ends_the_call),
        cmocka_unit_test(a_pool_gives_the_same),
        cmocka_unit_test(kills_cost_nothing),
        cmocka_unit_test(a_pool_says_what_takes_its_results),
    };
    if (argc != 4 || !kit_begin(argv[1], argv[2])) return 2;
    hooked = argv[3];
    kit_model("toy", "");
    kit_model("splade", "--splade --prefix");
    kit_model("m3", "--pooling cls --m3 24");
    kit_model("late", "--late 24");
    return kit_end("engine-output", sizeof tests / sizeof *tests,
                   cmocka_run_group_tests(tests, NULL, NULL));
}
