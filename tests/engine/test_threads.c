/* Sessions of several threads: the bits of one thread's and of a pool's, whatever is done with long
 * documents; sessions of different threads; and no thread is left when one is closed.
 *
 * Models are made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]; argv[3]: fewer
 * documents. */
#include "base/base.h"
#include "vecmill.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { DOCS_MOST = 90, DIM = 64, WAIT = 300000 /* ms */ };

static char folder[64];
static const char *maker, *worker;
static uint32_t n_docs = DOCS_MOST;
static vecmill_doc docs[DOCS_MOST];

static vecmill_options options_for(const char *model, vecmill_long policy)
{
    static char dir[IO_PATH_MAX], cache[IO_PATH_MAX];
    vecmill_options o;
    vecmill_options_init(&o);
    assert_int_equal(io_join(folder, model, dir, NULL), VECMILL_OK);
    assert_int_equal(io_join(folder, "cache", cache, NULL), VECMILL_OK);
    o.model_dir = dir;
    o.cache_dir = cache;
    o.worker_path = worker;
    o.long_policy = policy;
    return o;
}

static vecmill_session *open_session(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

/* Texts of no token to some hundred, of which the model reads 64; every 13th a long one. */
static void make_docs(void)
{
    static char text[DOCS_MOST][4096];
    uint32_t seed = 3;
    for (uint32_t i = 0; i < n_docs; i++) {
        size_t n = 0;
        seed = seed * 1664525u + 1013904223u;
        const uint32_t words = i % 13 == 12 ? 100 + (seed >> 16) % 300 : (seed >> 16) % 60;
        for (uint32_t w = 0; w < words; w++) {
            seed = seed * 1664525u + 1013904223u;
            n += (size_t)snprintf(text[i] + n, sizeof text[i] - n, "%c%c ",
                                  'a' + (int)(seed >> 16) % 26, 'a' + (int)(seed >> 24) % 26);
        }
        docs[i] = (vecmill_doc){.text = text[i], .bytes = n};
    }
}

struct rows {
    float vectors[DOCS_MOST][DIM];
    vecmill_result results[DOCS_MOST];
};

static void by_session(const vecmill_options *o, struct rows *rows)
{
    vecmill_session *s = open_session(o);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_err err;
    vecmill_session_describe(s, &facts);
    assert_int_equal(facts.threads, o->threads ? o->threads : 1);
    assert_int_equal(facts.dim, DIM);
    memset(rows, 0xee, sizeof *rows);
    if (vecmill_embed(s, docs, n_docs, rows->vectors[0], rows->results, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    vecmill_session_close(s);
}

static void by_pool(const vecmill_options *o, struct rows *rows)
{
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_err err, why;
    vecmill_pool_options_init(&p);
    p.workers = 2;
    if (vecmill_pool_open(o, &p, &pool, &err) != VECMILL_OK) fail_msg("%s", err.message);
    vecmill_pool_describe(pool, &facts);
    assert_int_equal(facts.threads, 1); /* of each worker, whatever o->threads is */
    memset(rows, 0xee, sizeof *rows);
    for (uint32_t given = 0, done = 0; done < n_docs;) {
        int accepted = 0, taken = 0;
        if (given < n_docs)
            assert_int_equal(vecmill_pool_submit(pool, docs[given], &accepted, &err), VECMILL_OK);
        given += (uint32_t)accepted;
        if (accepted) continue;
        assert_int_equal(vecmill_pool_take(pool, WAIT, rows->vectors[done], &rows->results[done],
                                           &why, &taken, &err),
                         VECMILL_OK);
        if (!taken) fail_msg("document %u did not come within %u ms", done, WAIT);
        done++;
    }
    vecmill_pool_close(pool);
}

static void expect_equal(const struct rows *is, const struct rows *want, const char *what)
{
    for (uint32_t i = 0; i < n_docs; i++) {
        const vecmill_result *a = &is->results[i], *b = &want->results[i];
        if (memcmp(is->vectors[i], want->vectors[i], sizeof is->vectors[i]) != 0)
            fail_msg("%s: document %u has other bits", what, i);
        if (a->status != b->status || a->n_tokens != b->n_tokens || a->truncated != b->truncated)
            fail_msg("%s: document %u has another result", what, i);
    }
}

/* ---- tests ---- */

static void no_bit_depends_on_threads(void **state)
{
    (void)state;
    static const char *const models[] = {"mean", "cls"};
    static const vecmill_long policies[] = {VECMILL_LONG_TRUNCATE, VECMILL_LONG_ERROR,
                                            VECMILL_LONG_SPLIT};
    static const uint32_t threads[] = {0, 2, 3, 5}, batches[] = {1, 100, 0};
    static struct rows one, other;
    for (size_t m = 0; m < 2; m++) {
        for (size_t p = 0; p < 3; p++) {
            vecmill_options o = options_for(models[m], policies[p]);
            char what[96];
            uint32_t n_over = 0;
            o.threads = 1;
            by_session(&o, &one);
            for (uint32_t i = 0; i < n_docs; i++)
                n_over += one.results[i].truncated || one.results[i].n_tokens > 64;
            assert_true(n_over > 3);
            for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
                for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
                    o.threads = threads[t];
                    o.batch_tokens = batches[b];
                    snprintf(what, sizeof what, "%s, policy %u, %u threads, batch %u", models[m],
                             (unsigned)policies[p], threads[t], batches[b]);
                    by_session(&o, &other);
                    expect_equal(&other, &one, what);
                }
            }
            o.threads = 4;
            o.batch_tokens = 0;
            by_pool(&o, &other);
            expect_equal(&other, &one, "a pool");
        }
    }
}

/* ---- sessions of different threads ---- */

enum { HOSTS = 3 };

struct host_thread {
    pthread_t id;
    vecmill_options options;
    struct rows rows;
    vecmill_status status; /* asserting is for the test's own thread */
    vecmill_err err;
};

static void *open_embed_close(void *context)
{
    struct host_thread *h = context;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session *s = NULL;
    h->status = vecmill_session_open(&h->options, &s, &h->err);
    if (h->status != VECMILL_OK) return NULL;
    vecmill_session_describe(s, &facts);
    h->status = vecmill_embed(s, docs, n_docs, h->rows.vectors[0], h->rows.results, &h->err);
    vecmill_session_close(s);
    return NULL;
}

/* On one model, whose pack the first of them has to build. */
static void sessions_are_independent(void **state)
{
    (void)state;
    static char cache[IO_PATH_MAX];
    static struct host_thread hosts[HOSTS];
    static struct rows one;
    vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
    o.threads = 1;
    by_session(&o, &one);
    assert_int_equal(io_join(folder, "another-cache", cache, NULL), VECMILL_OK);
    o.cache_dir = cache;
    for (uint32_t i = 0; i < HOSTS; i++) {
        hosts[i].options = o;
        hosts[i].options.threads = 1 + i;
        assert_int_equal(pthread_create(&hosts[i].id, NULL, open_embed_close, &hosts[i]), 0);
    }
    for (uint32_t i = 0; i < HOSTS; i++) {
        assert_int_equal(pthread_join(hosts[i].id, NULL), 0);
        if (hosts[i].status != VECMILL_OK) fail_msg("thread %u: %s", i, hosts[i].err.message);
        expect_equal(&hosts[i].rows, &one, "a session beside others");
    }
}

/* Threads are no part of what a vector depends on, and each has its own working memory. */
static void facts_of_threads(void **state)
{
    (void)state;
    char identity[64];
    uint64_t bytes[4];
    vecmill_facts f = {.struct_bytes = sizeof f};
    for (uint32_t n = 1; n <= 4; n++) {
        vecmill_options o = options_for("mean", VECMILL_LONG_TRUNCATE);
        o.threads = n;
        vecmill_session *s = open_session(&o);
        vecmill_session_describe(s, &f);
        if (n == 1) snprintf(identity, sizeof identity, "%s", f.identity);
        assert_string_equal(identity, f.identity);
        bytes[n - 1] = f.arena_bytes;
        vecmill_session_close(s);
    }
    assert_true(bytes[1] > bytes[0]);
    assert_in_range(bytes[3] - bytes[2], bytes[1] - bytes[0] - 128, bytes[1] - bytes[0] + 128);
}

static unsigned count_threads(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static unsigned own_threads;

/* One that was joined may be listed a moment longer. */
static void expect_no_thread(void)
{
    const uint64_t deadline = clock_ns() + WAIT * UINT64_C(1000000);
    while (count_threads() != own_threads && clock_ns() < deadline)
        usleep(1000);
    assert_int_equal(count_threads(), own_threads);
}

static void no_thread_is_left(void **state)
{
    (void)state;
    vecmill_options o = options_for("mean", VECMILL_LONG_TRUNCATE);
    float row[DIM];
    vecmill_err err;
    expect_no_thread();
    for (uint32_t i = 0; i < 30; i++) {
        o.threads = 1 + i % 6;
        vecmill_session *s = open_session(&o);
        assert_int_equal(count_threads(), own_threads + o.threads - 1);
        if (i % 2) assert_int_equal(vecmill_embed(s, docs, 1, row, NULL, &err), VECMILL_OK);
        vecmill_session_close(s);
        expect_no_thread();
    }
    /* The most there may be; and sessions beside each other, each with its own. */
    o.threads = VECMILL_MAX_THREADS;
    vecmill_session *most = open_session(&o);
    o.threads = 3;
    vecmill_session *other = open_session(&o);
    assert_int_equal(count_threads(), own_threads + VECMILL_MAX_THREADS - 1 + 2);
    vecmill_session_close(most);
    assert_int_equal(vecmill_embed(other, docs, 1, row, NULL, &err), VECMILL_OK);
    vecmill_session_close(other);
    expect_no_thread();
}

/* Stacks that the address space has no room for. */
static void threads_that_cannot_start_are_said(void **state)
{
    (void)state;
    vecmill_options o = options_for("mean", VECMILL_LONG_TRUNCATE);
    vecmill_session *s = (vecmill_session *)(uintptr_t)1;
    vecmill_err err;
    struct rlimit before, none;
    if (FENCE_SANITIZED) {
        printf("skipped: a sanitizer needs more address space than any limit here\n");
        return;
    }
    o.threads = VECMILL_MAX_THREADS;
    char statm[64] = "";
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_non_null(fgets(statm, sizeof statm, f));
    fclose(f);
    assert_int_equal(sscanf(statm, "%lu", &pages), 1);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none = before;
    none.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)16 << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    const vecmill_status status = vecmill_session_open(&o, &s, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    if (status != VECMILL_E_MEMORY || !strstr(err.message, "of 256 cannot be started"))
        fail_msg("status %d: %s", (int)status, err.message);
    assert_ptr_equal(s, (vecmill_session *)(uintptr_t)1);
    expect_no_thread();
}

static int prepare(void **state)
{
    (void)state;
    static const char *const models[][2] = {{"mean", ""}, {"cls", "--pooling cls --layers 3"}};
    snprintf(folder, sizeof folder, "/tmp/vecmill-threads-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    for (size_t i = 0; i < 2; i++) {
        char command[2 * IO_PATH_MAX];
        snprintf(command, sizeof command,
                 "python3 '%s' '%s/%s' --hidden 64 --intermediate 96 --heads 4 --positions 64 %s",
                 maker, folder, models[i][0], models[i][1]);
        if (system(command) != 0) return -1;
    }
    make_docs();
    vecmill_options o = options_for("mean", VECMILL_LONG_TRUNCATE);
    o.threads = 2; /* with the first thread a sanitizer starts one of its own */
    vecmill_session_close(open_session(&o));
    own_threads = count_threads();
    return 0;
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
        cmocka_unit_test(no_bit_depends_on_threads),
        cmocka_unit_test(sessions_are_independent),
        cmocka_unit_test(facts_of_threads),
        cmocka_unit_test(no_thread_is_left),
        cmocka_unit_test(threads_that_cannot_start_are_said),
    };
    if (argc < 3) return 2;
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    if (vecmill_machine_describe(&machine, NULL) == VECMILL_OK && machine.isa[0] == '\0') {
        printf("skipped: this machine lacks the level VECMILL_ISA names\n");
        return 77;
    }
    maker = argv[1];
    worker = argv[2];
    if (argc > 3) n_docs = (uint32_t)num_min(DOCS_MOST, strtoul(argv[3], NULL, 10));
    const int failed = cmocka_run_group_tests(tests, prepare, remove_folder);
    printf("engine-threads: %zu passed, %d failed\n", sizeof tests / sizeof *tests - (size_t)failed,
           failed);
    return failed;
}
