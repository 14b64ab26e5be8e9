/* vecmill.h on an open session and pool: structs of other versions are filled as far as they reach, results
 * say what they are, and documents that this version does not compute are refused.
 *
 * The model is made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]. */
#include "base/base.h"
#include "vecmill_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM  32u
#define WAIT 300000u /* ms: a hang ends the test */

static char folder[64];
static const char *maker, *worker;

static vecmill_doc doc(const char *text)
{
    return (vecmill_doc){.text = text, .bytes = strlen(text)};
}

static vecmill_options options_for(void)
{
    static char paths[2][IO_PATH_MAX];
    vecmill_options o;
    vecmill_options_init(&o);
    assert_int_equal(io_join(folder, "toy", paths[0], NULL), VECMILL_OK);
    assert_int_equal(io_join(folder, "cache", paths[1], NULL), VECMILL_OK);
    o.model_dir = paths[0];
    o.cache_dir = paths[1];
    o.worker_path = worker;
    return o;
}

static vecmill_session *open_session(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

static vecmill_pool *open_pool(const vecmill_options *o)
{
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err;
    vecmill_pool_options_init(&p);
    p.workers = 1;
    if (vecmill_pool_open(o, &p, &pool, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return pool;
}

/* Pairs, ids and roles have words in vecmill.h; what is not computed is refused before anything is. */
static void a_session_refuses_other_documents(void **state)
{
    (void)state;
    static const int32_t given[] = {2, 5, 3};
    vecmill_options o = options_for();
    vecmill_session *s = open_session(&o);
    const struct {
        vecmill_doc doc;
        vecmill_status status;
        const char *part;
    } cases[] = {
        {{.kind = VECMILL_DOC_PAIR, .pair = "b", .pair_bytes = 1}, VECMILL_E_USAGE, "a pair"},
        {{.kind = VECMILL_DOC_IDS, .ids = given, .n_ids = 3}, VECMILL_E_UNSUPPORTED, "token ids"},
        {{.text = "a", .bytes = 1, .role = VECMILL_ROLE_QUERY}, VECMILL_E_UNSUPPORTED, "a role"},
        {{.kind = (vecmill_doc_kind)3}, VECMILL_E_USAGE, "kind is 3, over VECMILL_DOC_IDS, 2"},
        {{.role = (vecmill_role)3}, VECMILL_E_USAGE, "role is 3, over VECMILL_ROLE_QUERY, 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vecmill_doc docs[2] = {doc("a"), cases[i].doc};
        float rows[2][DIM] = {{7}, {7}};
        int32_t ids[64] = {-1};
        size_t n_ids = 99, n_tokens = 99;
        vecmill_err err[3];
        assert_int_equal(vecmill_embed(s, docs, 2, rows[0], NULL, &err[0]), cases[i].status);
        assert_int_equal(vecmill_tokenize(s, cases[i].doc, ids, 64, &n_ids, NULL, &err[1]),
                         cases[i].status);
        assert_int_equal(vecmill_tokens(s, cases[i].doc, 1, NULL, 0, &n_tokens, &err[2]),
                         cases[i].status);
        for (int k = 0; k < 3; k++)
            assert_non_null(strstr(err[k].message, cases[i].part));
        assert_true(rows[0][0] == 7 && rows[1][0] == 7 && ids[0] == -1);
        assert_true(n_ids == 99 && n_tokens == 99);
    }
    vecmill_session_close(s);
}

static void results_say_what_they_are(void **state)
{
    (void)state;
    vecmill_options o = options_for();
    o.long_policy = VECMILL_LONG_ERROR;
    o.max_length = 8;
    vecmill_session *s = open_session(&o);
    vecmill_facts f = {.struct_bytes = sizeof f};
    vecmill_session_describe(s, &f);
    assert_int_equal(f.kinds, 1u << VECMILL_KIND_DENSE);
    assert_int_equal(f.dtype, VECMILL_DTYPE_FLOAT32);
    assert_int_equal(f.result_bytes, DIM * sizeof(float));
    const vecmill_doc docs[] = {doc("ab"), doc("a b c d e f g h i j k l m n o p")};
    float rows[2][DIM];
    int32_t ids[8];
    size_t n_ids;
    vecmill_result r[2];
    assert_int_equal(vecmill_embed(s, docs, 2, rows[0], r, NULL), VECMILL_OK);
    assert_int_equal(r[0].kind, VECMILL_KIND_DENSE);
    assert_int_equal(r[0].dtype, VECMILL_DTYPE_FLOAT32);
    assert_int_equal(r[0].count, DIM);
    assert_int_equal(r[0].bytes, DIM * sizeof(float));
    assert_int_equal(r[1].status, VECMILL_E_LIMIT);
    assert_int_equal(r[1].count + r[1].bytes, 0);
    assert_int_equal(vecmill_tokenize(s, docs[0], ids, 8, &n_ids, r, NULL), VECMILL_OK);
    assert_int_equal(r[0].kind, VECMILL_KIND_IDS);
    assert_int_equal(r[0].dtype, VECMILL_DTYPE_INT32);
    assert_int_equal(r[0].count, n_ids);
    assert_int_equal(r[0].bytes, n_ids * sizeof *ids);
    vecmill_session_close(s);
}

/* Callers built before, and after: what is beyond theirs, or ours, stays as it was. */
static void give_one(vecmill_pool *pool, int which, void *given)
{
    switch (which) {
    case 0:
        vecmill_pool_planned(pool, given);
        break;
    case 1:
        vecmill_pool_count(pool, given);
        break;
    case 2:
        vecmill_pool_describe(pool, given);
        break;
    default:
        assert_int_equal(vecmill_pool_measure(pool, given, NULL), VECMILL_OK);
    }
}

static void structs_are_filled_as_far_as_they_reach(void **state)
{
    (void)state;
    static const size_t ours[] = {sizeof(vecmill_plan), sizeof(vecmill_pool_counts),
                                  sizeof(vecmill_facts), sizeof(vecmill_plan)};
    static union {
        size_t struct_bytes;
        unsigned char bytes[sizeof(vecmill_plan) + 64];
    } given, whole;
    static const unsigned char none[sizeof(vecmill_plan)];
    const vecmill_options o = options_for();
    vecmill_pool *pool = open_pool(&o);
    for (int which = 0; which < 4; which++) {
        const size_t sizes[] = {sizeof(size_t), sizeof(size_t) + 8, ours[which] - 8, ours[which],
                                ours[which] + 64};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            memset(&given, 0xA5, sizeof given);
            given.struct_bytes = sizes[i];
            give_one(pool, which, &given);
            assert_int_equal(given.struct_bytes, sizes[i]);
            for (size_t k = num_min(sizes[i], ours[which]); k < sizeof given; k++)
                assert_int_equal(given.bytes[k], 0xA5);
        }
        memset(&whole, 0, sizeof whole);
        whole.struct_bytes = ours[which];
        give_one(pool, which, &whole);
        assert_memory_not_equal(whole.bytes + sizeof(size_t), none, ours[which] - sizeof(size_t));
    }
    vecmill_pool_close(pool);
}

static void a_pool_refuses_other_documents(void **state)
{
    (void)state;
    static const int32_t ids[] = {2, 5, 3};
    const vecmill_options o = options_for();
    vecmill_pool *pool = open_pool(&o);
    const vecmill_doc docs[] = {
        {.kind = VECMILL_DOC_PAIR, .pair = "b", .pair_bytes = 1},
        {.kind = VECMILL_DOC_IDS, .ids = ids, .n_ids = 3},
        {.text = "a", .bytes = 1, .role = VECMILL_ROLE_DOCUMENT},
    };
    int accepted = 99, taken = 0;
    float vector[DIM];
    vecmill_result r;
    vecmill_err err;
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        assert_int_equal(vecmill_pool_submit(pool, docs[i], &accepted, &err),
                         i == 0 ? VECMILL_E_USAGE : VECMILL_E_UNSUPPORTED);
        assert_int_equal(accepted, 99);
        assert_non_null(strstr(err.message, i == 0 ? "single texts" : "does not compute"));
    }
    /* and goes on */
    assert_int_equal(
        vecmill_pool_submit(pool, (vecmill_doc){.text = "a", .bytes = 1}, &accepted, &err),
        VECMILL_OK);
    assert_int_equal(vecmill_pool_take(pool, WAIT, vector, &r, NULL, &taken, &err), VECMILL_OK);
    assert_true(accepted == 1 && taken == 1 && r.status == VECMILL_OK);
    assert_int_equal(r.kind, VECMILL_KIND_DENSE);
    assert_int_equal(r.dtype, VECMILL_DTYPE_FLOAT32);
    assert_int_equal(r.count, DIM);
    assert_int_equal(r.bytes, DIM * sizeof(float));
    vecmill_pool_close(pool);
}

static int make_model(void **state)
{
    char command[3 * IO_PATH_MAX];
    (void)state;
    snprintf(command, sizeof command,
             "python3 '%s' '%s/toy' --layers 2 --hidden 32 --heads 4 --intermediate 64 --vocab 160 "
             "--positions 64 >/dev/null",
             maker, folder);
    return system(command);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    maker = argv[1];
    worker = argv[2];
    snprintf(folder, sizeof folder, "%s", "/tmp/vecmill-growth-XXXXXX");
    if (!mkdtemp(folder)) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_refuses_other_documents),
        cmocka_unit_test(results_say_what_they_are),
        cmocka_unit_test(structs_are_filled_as_far_as_they_reach),
        cmocka_unit_test(a_pool_refuses_other_documents),
    };
    const int failed = cmocka_run_group_tests_name("growth", tests, make_model, NULL);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) printf("growth: %s is left\n", folder);
    printf("growth: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
