/* Pools and documents that come more than once: the same bits and statuses, in order, as without the feature,
 * whatever happens to the workers; what is computed, and what is told of it.
 *
 * The model is made by tools/make_toy_model.py (argv[1]); the worker program is argv[2], and one with faults
 * on purpose (tests/hooked) argv[3]. */
#include "base/base.h"
#include "vecmill_bench.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM       32u
#define N_DOCS    4000u
#define TEXT_MOST 1500u
#define WAIT      300000u /* ms: a hang ends the test */
#define POISON    "zzpoisonzz"

static char folder[64];
static const char *maker, *worker, *hooked;

/* ---- documents: a few texts that come often, some that come again soon, the rest once ---- */

static uint32_t texts[N_DOCS]; /* the text of each document */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* share: percent of documents whose text was there before. */
static void choose_texts(uint32_t share, uint32_t seed)
{
    uint32_t state = seed, n_texts = 0;
    for (uint32_t i = 0; i < N_DOCS; i++) {
        const uint32_t kind = next_random(&state) % 3, far = 1 + next_random(&state) % 2000;
        if (i == 0 || next_random(&state) % 100 >= share)
            texts[i] = n_texts++;
        else if (kind == 0)
            texts[i] = next_random(&state) % (n_texts < 5 ? n_texts : 5);
        else if (kind == 1)
            texts[i] = texts[i - 1];
        else
            texts[i] = texts[i - (far < i ? far : i)];
    }
}

/* Of 1 to 60 words, one empty; some are too long for max_length, some have bytes that are no UTF-8. */
static vecmill_doc text_of(uint32_t text, char out[TEXT_MOST])
{
    size_t n = 0;
    out[0] = 0;
    for (uint32_t w = 0; text != 3 && w < 1 + text % 60; w++)
        n += (size_t)snprintf(out + n, TEXT_MOST - n, "%c%c%u ", 'a' + (int)((text + w) % 26),
                              'a' + (int)((text * 7 + w) % 26), text);
    if (text % 31 == 7 && n > 2) out[1] = (char)0xff;
    return (vecmill_doc){.text = out, .bytes = n};
}

/* ---- pools ---- */

static struct {
    pthread_mutex_t lock;
    int64_t pids[16];
    uint32_t n_pids, n_died;
    uint64_t first[64], n[64]; /* of batches that were lost */
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_event(void *context, const vecmill_event *e)
{
    (void)context;
    pthread_mutex_lock(&told.lock);
    if (e->kind == VECMILL_WORKER_READY && told.n_pids < 16) told.pids[told.n_pids++] = e->pid;
    if (e->kind == VECMILL_WORKER_DIED) {
        told.first[told.n_died % 64] = e->first;
        told.n[told.n_died++ % 64] = e->n_docs;
        for (uint32_t i = 0; i < told.n_pids; i++)
            if (told.pids[i] == e->pid) told.pids[i] = told.pids[--told.n_pids];
    }
    pthread_mutex_unlock(&told.lock);
}

static void kill_one(uint32_t which)
{
    pthread_mutex_lock(&told.lock);
    if (told.n_pids > 0) kill((pid_t)told.pids[which % told.n_pids], SIGKILL);
    pthread_mutex_unlock(&told.lock);
}

struct asked {
    const char *worker;
    vecmill_long policy;
    uint32_t max_length;
    bool computes; /* duplicates */
};

static vecmill_pool *open_pool(const struct asked *asked)
{
    static char model[IO_PATH_MAX], cache[IO_PATH_MAX];
    vecmill_options o;
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_err err;
    vecmill_options_init(&o);
    assert_int_equal(io_join(folder, "toy", model, NULL), VECMILL_OK);
    assert_int_equal(io_join(folder, "cache", cache, NULL), VECMILL_OK);
    o.model_dir = model;
    o.cache_dir = cache;
    o.worker_path = asked->worker ? asked->worker : worker;
    o.long_policy = asked->policy;
    o.max_length = asked->max_length;
    vecmill_pool_options_init(&p);
    p.workers = 2;
    p.on_event = on_event;
    pthread_mutex_lock(&told.lock);
    told.n_pids = told.n_died = 0;
    pthread_mutex_unlock(&told.lock);
    if (vecmill_pool_open(&o, &p, &pool, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    if (asked->computes) vecmill_pool_duplicates(pool, 1);
    return pool;
}

/* What came of a document. */
struct row {
    float vector[DIM];
    vecmill_result result;
    char why[256];
};

static vecmill_pool_counts count(vecmill_pool *pool)
{
    vecmill_pool_counts c = {.struct_bytes = sizeof c};
    vecmill_pool_count(pool, &c);
    assert_int_equal(c.accepted, c.returned + c.queued + c.in_flight);
    return c;
}

static void take(vecmill_pool *pool, struct row *row)
{
    int taken = 0;
    vecmill_err err, why = {.message = ""};
    memset(row, 0, sizeof *row);
    if (vecmill_pool_take(pool, WAIT, row->vector, &row->result, &why, &taken, &err) != VECMILL_OK)
        fail_msg("take: %s", err.message);
    if (!taken) fail_msg("a document did not come within %u ms", WAIT);
    snprintf(row->why, sizeof row->why, "%s", why.message);
}

static uint32_t count_dead(void)
{
    pthread_mutex_lock(&told.lock);
    const uint32_t n = told.n_died;
    pthread_mutex_unlock(&told.lock);
    return n;
}

/* Runs all documents through; kills a worker every `kills` documents, until at least one death has been
 * reported. Returns what was counted. */
static vecmill_pool_counts run(vecmill_pool *pool, struct row *rows, uint32_t kills)
{
    char text[TEXT_MOST];
    vecmill_err err;
    for (uint32_t given = 0, done = 0; done < N_DOCS;) {
        int accepted = 0;
        if (given < N_DOCS &&
            vecmill_pool_submit(pool, text_of(texts[given], text), &accepted, &err) != VECMILL_OK)
            fail_msg("submit: %s", err.message);
        memset(text, 'x', sizeof text); /* the pool has a copy */
        given += (uint32_t)accepted;
        if (accepted) continue;
        assert_true(given == N_DOCS || given - done <= count(pool).capacity);
        take(pool, &rows[done++]);
        if (kills > 0 && done % kills == 0) kill_one(done / kills);
    }
    for (; kills > 0 && count_dead() == 0; usleep(1000))
        kill_one(0);
    const vecmill_pool_counts c = count(pool);
    assert_int_equal(c.accepted, N_DOCS);
    assert_int_equal(c.returned, N_DOCS);
    return c;
}

static void expect_same(const struct row *rows, const struct row *wanted, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        vecmill_result result = rows[i].result;
        result.duplicate = wanted[i].result.duplicate;
        if (memcmp(rows[i].vector, wanted[i].vector, sizeof rows[i].vector) != 0)
            fail_msg("row %u is another", i);
        if (memcmp(&result, &wanted[i].result, sizeof result) != 0)
            fail_msg("row %u: another result", i);
        assert_string_equal(rows[i].why, wanted[i].why);
    }
}

static uint32_t count_copies(const struct row *rows, uint32_t n)
{
    uint32_t copies = 0;
    for (uint32_t i = 0; i < n; i++)
        copies += rows[i].result.duplicate;
    return copies;
}

static struct row *new_rows(void)
{
    struct row *rows = calloc(N_DOCS, sizeof *rows);
    assert_non_null(rows);
    return rows;
}

/* ---- the same bits ---- */

static void rows_are_those_of_computing_all(void **state)
{
    (void)state;
    static const uint32_t shares[] = {0, 50, 98};
    struct row *wanted = new_rows(), *rows = new_rows();
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        for (int policy = VECMILL_LONG_TRUNCATE; policy <= VECMILL_LONG_SPLIT; policy++) {
            struct asked asked = {.policy = (vecmill_long)policy, .max_length = 50, .computes = 1};
            choose_texts(shares[i], 7 + (uint32_t)i);
            vecmill_pool *pool = open_pool(&asked);
            vecmill_pool_counts c = run(pool, wanted, 0);
            vecmill_pool_close(pool);
            assert_int_equal(c.duplicates, 0);
            assert_int_equal(count_copies(wanted, N_DOCS), 0);

            for (uint32_t kills = 0; kills <= 50; kills += 50) {
                asked.computes = false;
                pool = open_pool(&asked);
                c = run(pool, rows, kills);
                vecmill_pool_close(pool);
                expect_same(rows, wanted, N_DOCS);
                assert_int_equal(c.duplicates, count_copies(rows, N_DOCS));
                assert_true((c.duplicates == 0) == (shares[i] == 0));
                assert_true(shares[i] < 50 || c.duplicates >= N_DOCS / 4);
                assert_true(shares[i] < 98 || c.duplicates >= N_DOCS / 10 * 8);
                assert_int_equal(told.n_died > 0, kills > 0);
            }
        }
    free(rows);
    free(wanted);
}

/* A text that fails does so each time, and says why each time. */
static void failures_are_copied_too(void **state)
{
    (void)state;
    static const char *const docs[] = {"a b", "a b c d e f g h i j k l m n", "a b", "c"};
    const struct asked asked = {.policy = VECMILL_LONG_ERROR, .max_length = 10};
    vecmill_pool *pool = open_pool(&asked);
    int accepted;
    struct row row;
    for (int i = 0; i < 40; i++) {
        const vecmill_doc doc = {.text = docs[i % 4], .bytes = strlen(docs[i % 4])};
        assert_int_equal(vecmill_pool_submit(pool, doc, &accepted, NULL), VECMILL_OK);
        assert_int_equal(accepted, 1);
    }
    assert_int_equal(count(pool).duplicates, 37);
    for (int i = 0; i < 40; i++) {
        take(pool, &row);
        assert_int_equal(row.result.status, i % 4 == 1 ? VECMILL_E_LIMIT : VECMILL_OK);
        assert_int_equal(row.result.duplicate, i >= 4 || i == 2);
        assert_true((row.vector[0] == 0.0f && row.vector[DIM - 1] == 0.0f) == (i % 4 == 1));
        if (i % 4 == 1) assert_non_null(strstr(row.why, "10"));
    }
    vecmill_pool_close(pool);
}

/* ---- a document that ends its workers, and comes again ---- */

static void a_poisoned_text_is_tried_once(void **state)
{
    (void)state;
    enum { N = 60, EVERY = 6 };
    const struct asked asked = {.worker = hooked};
    assert_int_equal(setenv("VECMILL_TEST_FAULTS", "poison=" POISON ":segv", 1), 0);
    vecmill_pool *pool = open_pool(&asked);
    struct row rows[N];
    int accepted;
    for (uint32_t i = 0; i < N; i++) {
        char text[TEXT_MOST];
        const vecmill_doc doc =
            i % EVERY == 2 ? (vecmill_doc){.text = POISON " a", .bytes = strlen(POISON " a")}
                           : text_of(i, text);
        assert_int_equal(vecmill_pool_submit(pool, doc, &accepted, NULL), VECMILL_OK);
        assert_int_equal(accepted, 1);
    }
    for (uint32_t i = 0; i < N; i++) {
        take(pool, &rows[i]);
        assert_int_equal(rows[i].result.status, i % EVERY == 2 ? VECMILL_E_WORKERS : VECMILL_OK);
        if (i % EVERY != 2) continue;
        assert_non_null(strstr(rows[i].why, "segv, segv, segv"));
        assert_int_equal(rows[i].result.duplicate, i > 2);
        for (unsigned k = 0; k < DIM; k++)
            assert_true(rows[i].vector[k] == 0.0f);
    }
    const vecmill_pool_counts c = count(pool);
    vecmill_pool_close(pool);
    assert_int_equal(unsetenv("VECMILL_TEST_FAULTS"), 0);
    assert_int_equal(c.condemned, N / EVERY);
    assert_int_equal(c.returned, N);
    /* One among 60 documents: ceil(log2 60) + 4, each halving twice at most where two workers try. */
    assert_true(c.deaths[VECMILL_CAUSE_SEGV] >= 3);
    assert_true(c.deaths[VECMILL_CAUSE_SEGV] <= 10);
}

/* ---- what is told ---- */

/* Batches that are lost begin with the document that they say, though copies are in none of them: here every
 * other document is a copy, and all that is computed has an even number. */
static void events_count_documents(void **state)
{
    (void)state;
    const struct asked asked = {0};
    uint64_t largest = 0, n_died = 0;
    for (uint32_t i = 0; i < N_DOCS; i++)
        texts[i] = i / 2 * 2;
    struct row *rows = new_rows();
    /* Until some were lost, one of them with a number that no work has: those are below half. */
    while (n_died <= 8 || largest < N_DOCS / 2) {
        vecmill_pool *pool = open_pool(&asked);
        const vecmill_pool_counts c = run(pool, rows, 20);
        assert_int_equal(c.duplicates, N_DOCS / 2);
        pthread_mutex_lock(&told.lock);
        n_died += told.n_died;
        for (uint32_t i = 0; i < told.n_died && i < 64; i++) {
            if (told.n[i] == 0) continue;
            assert_int_equal(told.first[i] % 2, 0);
            assert_true(told.first[i] + 2 * told.n[i] <= N_DOCS);
            largest = told.first[i] > largest ? told.first[i] : largest;
        }
        pthread_mutex_unlock(&told.lock);
        vecmill_pool_close(pool);
    }
    free(rows);
}

/* All of one text fills the pool as others do: capacity is of documents, whatever they are. */
static void copies_take_their_place(void **state)
{
    (void)state;
    const struct asked asked = {0};
    vecmill_pool *pool = open_pool(&asked);
    uint32_t n = 0;
    struct row first, row;
    for (int accepted = 1; accepted; n += (uint32_t)accepted)
        assert_int_equal(
            vecmill_pool_submit(pool, (vecmill_doc){.text = "ab", .bytes = 2}, &accepted, NULL),
            VECMILL_OK);
    assert_int_equal(n, count(pool).capacity);
    assert_int_equal(count(pool).duplicates, n - 1);
    take(pool, &first);
    for (uint32_t i = 1; i < n; i++) {
        take(pool, &row);
        assert_memory_equal(row.vector, first.vector, sizeof row.vector);
        assert_int_equal(row.result.n_tokens, first.result.n_tokens);
        assert_int_equal(row.result.duplicate, 1);
    }
    /* Nobody is left to be copied. */
    int accepted, taken = 1;
    float vector[DIM];
    assert_int_equal(vecmill_pool_take(pool, 0, vector, NULL, NULL, &taken, NULL), VECMILL_OK);
    assert_int_equal(taken, 0);
    assert_int_equal(
        vecmill_pool_submit(pool, (vecmill_doc){.text = "ab", .bytes = 2}, &accepted, NULL),
        VECMILL_OK);
    take(pool, &row);
    assert_int_equal(row.result.duplicate, 0);
    vecmill_pool_close(pool);
}

/* What was done before the pool was held comes, copies too, and nothing waits for the rest. */
static void a_held_pool_gives_what_it_has(void **state)
{
    (void)state;
    const struct asked asked = {0};
    vecmill_pool *pool = open_pool(&asked);
    struct row row, first;
    int accepted, taken = 1;
    float vector[DIM];
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            vecmill_pool_submit(pool, (vecmill_doc){.text = "ab", .bytes = 2}, &accepted, NULL),
            VECMILL_OK);
    take(pool, &first);
    vecmill_pool_hold(pool);
    assert_int_equal(
        vecmill_pool_submit(pool, (vecmill_doc){.text = "cd", .bytes = 2}, &accepted, NULL),
        VECMILL_OK);
    assert_int_equal(
        vecmill_pool_submit(pool, (vecmill_doc){.text = "cd", .bytes = 2}, &accepted, NULL),
        VECMILL_OK);
    for (int i = 1; i < 3; i++) {
        take(pool, &row);
        assert_memory_equal(row.vector, first.vector, sizeof row.vector);
    }
    /* A wait for it would be one of weeks. */
    assert_int_equal(vecmill_pool_take(pool, UINT32_MAX, vector, NULL, NULL, &taken, NULL),
                     VECMILL_OK);
    assert_int_equal(taken, 0);
    assert_int_equal(count(pool).queued, 2);
    vecmill_pool_close(pool);
}

static int prepare(void **state)
{
    (void)state;
    char command[2 * IO_PATH_MAX];
    snprintf(folder, sizeof folder, "/tmp/vecmill-dedup-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(command, sizeof command,
             "python3 '%s' '%s/toy' --layers 2 --hidden 32 --heads 4 --intermediate 64 --vocab 160 "
             "--positions 64 >/dev/null",
             maker, folder);
    return system(command);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_computing_all),
        cmocka_unit_test(failures_are_copied_too),
        cmocka_unit_test(a_poisoned_text_is_tried_once),
        cmocka_unit_test(events_count_documents),
        cmocka_unit_test(copies_take_their_place),
        cmocka_unit_test(a_held_pool_gives_what_it_has),
    };
    if (argc != 4) return 2;
    maker = argv[1];
    worker = argv[2];
    hooked = argv[3];
    return cmocka_run_group_tests_name("engine", tests, prepare, remove_folder);
}
