/* Pools on a small model: the same bits as a session's, whatever happens to the workers; failures of
 * opening; what a pool leaves behind.
 *
 * The model is made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]. */
#include "base/base.h"
#include "vecmill_bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM    32u
#define N_DOCS 3000u
#define WAIT   300000u /* ms: a hang ends the test */

static char folder[64];
static const char *maker, *worker;

/* ---- small things ---- */

static void in_folder(char out[IO_PATH_MAX], const char *name)
{
    assert_int_equal(io_join(folder, name, out, NULL), VECMILL_OK);
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[3 * IO_PATH_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

static vecmill_options options_for(const char *model, const char *cache)
{
    static char paths[2][IO_PATH_MAX];
    vecmill_options o;
    vecmill_options_init(&o);
    in_folder(paths[0], model);
    in_folder(paths[1], cache);
    o.model_dir = paths[0];
    o.cache_dir = paths[1];
    o.worker_path = worker;
    return o;
}

/* What a pool's events tell. */
static struct {
    pthread_mutex_t lock;
    int64_t pids[16]; /* alive */
    uint32_t n_pids, n_died, n_requeued;
    uint32_t causes[VECMILL_CAUSE_COUNT];
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_event(void *context, const vecmill_event *e)
{
    (void)context;
    pthread_mutex_lock(&told.lock);
    if (e->kind == VECMILL_WORKER_READY && told.n_pids < 16) told.pids[told.n_pids++] = e->pid;
    if (e->kind == VECMILL_WORKER_DIED) {
        told.n_died++;
        told.causes[e->cause]++;
        for (uint32_t i = 0; i < told.n_pids; i++)
            if (told.pids[i] == e->pid) told.pids[i] = told.pids[--told.n_pids];
    }
    if (e->kind == VECMILL_BATCH_REQUEUED) told.n_requeued++;
    pthread_mutex_unlock(&told.lock);
}

static void kill_all(int signal)
{
    pthread_mutex_lock(&told.lock);
    for (uint32_t i = 0; i < told.n_pids; i++)
        kill((pid_t)told.pids[i], signal);
    pthread_mutex_unlock(&told.lock);
}

static void kill_one(unsigned which, int signal)
{
    pthread_mutex_lock(&told.lock);
    if (told.n_pids > 0) kill((pid_t)told.pids[which % told.n_pids], signal);
    pthread_mutex_unlock(&told.lock);
}

static vecmill_status try_open(const vecmill_options *o, uint32_t workers, vecmill_pool **pool,
                               vecmill_err *err)
{
    vecmill_pool_options p;
    vecmill_pool_options_init(&p);
    p.workers = workers;
    p.on_event = on_event;
    pthread_mutex_lock(&told.lock);
    told.n_pids = told.n_died = told.n_requeued = 0;
    memset(told.causes, 0, sizeof told.causes);
    pthread_mutex_unlock(&told.lock);
    return vecmill_pool_open(o, &p, pool, err);
}

static vecmill_pool *open_pool(const vecmill_options *o, uint32_t workers)
{
    vecmill_pool *pool = NULL;
    vecmill_err err;
    if (try_open(o, workers, &pool, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return pool;
}

static vecmill_session *open_session(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

/* Document i, of 0 to 40 words; every 97th is empty. */
static vecmill_doc text_of(uint32_t i, char *out, size_t room)
{
    size_t n = 0;
    out[0] = 0;
    for (uint32_t w = 0; i % 97 != 0 && w < i % 41; w++)
        n += (size_t)snprintf(out + n, room - n, "%c%c%u ", 'a' + (int)((i + w) % 26),
                              'a' + (int)((i * 7 + w) % 26), w);
    return (vecmill_doc){.text = out, .bytes = n};
}

static float *expected; /* [N_DOCS, DIM]: a session's */

static void expect_row(const float *vector, uint32_t i)
{
    if (memcmp(vector, expected + (size_t)i * DIM, DIM * sizeof(float)) != 0)
        fail_msg("row %u differs from a session's", i);
}

/* Runs documents 0 .. n through the pool; `disturb` is called after each that was taken. */
static void run(vecmill_pool *pool, uint32_t n, void (*disturb)(uint32_t done))
{
    char text[1024];
    float vector[DIM];
    vecmill_err err;
    for (uint32_t given = 0, done = 0; done < n;) {
        int accepted = 0, taken = 0;
        if (given < n && vecmill_pool_submit(pool, text_of(given, text, sizeof text), &accepted,
                                             &err) != VECMILL_OK)
            fail_msg("submit: %s", err.message);
        given += (uint32_t)accepted;
        if (accepted) continue;
        vecmill_result r;
        vecmill_err why;
        if (vecmill_pool_take(pool, WAIT, vector, &r, &why, &taken, &err) != VECMILL_OK)
            fail_msg("take: %s", err.message);
        if (!taken) fail_msg("document %u did not come within %u ms", done, WAIT);
        if (r.status != VECMILL_OK) fail_msg("document %u: %s", done, why.message);
        expect_row(vector, done++);
        if (disturb) disturb(done);
    }
    vecmill_pool_counts c = {.struct_bytes = sizeof c};
    vecmill_pool_count(pool, &c);
    assert_int_equal(c.accepted, c.returned + c.queued + c.in_flight);
    assert_int_equal(c.accepted, c.returned);
    assert_int_equal(c.condemned, 0);
}

/* No child of ours is left, dead or alive. */
static void expect_childless(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static int count_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* ---- the same bits ---- */

static void rows_are_a_sessions(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    static const uint32_t workers[] = {1, 2, 5};
    for (size_t i = 0; i < 3; i++) {
        vecmill_pool *pool = open_pool(&o, workers[i]);
        run(pool, N_DOCS, NULL);
        vecmill_pool_close(pool);
        assert_int_equal(told.n_died, 0);
        expect_childless();
    }
}

static void kill_now_and_then(uint32_t done)
{
    if (done % 40 == 0) kill_one(done / 40, SIGKILL);
    if (done % 400 == 0) kill_all(SIGKILL);
}

/* Runs once, and again until the pool has reported a death of this cause: a late one may still be to come. */
static void run_until_told(vecmill_pool *pool, void (*disturb)(uint32_t done), vecmill_cause cause)
{
    uint32_t n;
    do {
        run(pool, N_DOCS, disturb);
        pthread_mutex_lock(&told.lock);
        n = told.causes[cause];
        pthread_mutex_unlock(&told.lock);
    } while (n == 0);
}

static void kills_change_nothing(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    vecmill_pool *pool = open_pool(&o, 2);
    run_until_told(pool, kill_now_and_then, VECMILL_CAUSE_KILLED);
    vecmill_pool_counts c = {.struct_bytes = sizeof c};
    vecmill_pool_count(pool, &c);
    vecmill_pool_close(pool);
    assert_true(told.causes[VECMILL_CAUSE_KILLED] > 0);
    assert_int_equal(told.n_died, told.causes[VECMILL_CAUSE_KILLED]);
    assert_true(c.deaths[VECMILL_CAUSE_KILLED] > 0);
    expect_childless();
}

static void send_other_signals(uint32_t done)
{
    static const int signals[] = {SIGSEGV, SIGTERM, SIGBUS, SIGINT, SIGABRT, SIGHUP, SIGUSR1};
    if (done % 50 == 0) kill_one(done / 50, signals[done / 50 % 7]);
}

static void other_signals_change_nothing_either(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    vecmill_pool *pool = open_pool(&o, 2);
    run_until_told(pool, send_other_signals, VECMILL_CAUSE_SEGV);
    run_until_told(pool, send_other_signals, VECMILL_CAUSE_ABORT);
    vecmill_pool_close(pool);
    assert_true(told.causes[VECMILL_CAUSE_SEGV] > 0 && told.causes[VECMILL_CAUSE_ABORT] > 0);
    assert_int_equal(told.causes[VECMILL_CAUSE_KILLED], 0);
    expect_childless();
}

static void a_host_that_ignores_children_loses_nothing(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    sigaction(SIGCHLD, &ignore, &before);
    vecmill_pool *pool = open_pool(&o, 2);
    run_until_told(pool, kill_now_and_then, VECMILL_CAUSE_UNKNOWN);
    vecmill_pool_close(pool);
    sigaction(SIGCHLD, &before, NULL);
    assert_int_equal(told.n_died, told.causes[VECMILL_CAUSE_UNKNOWN]);
    assert_true(told.n_died > 0);
}

static void *submit_all(void *context)
{
    vecmill_pool *pool = context;
    char text[1024];
    vecmill_err err;
    for (uint32_t i = 0; i < N_DOCS;) {
        int accepted = 0;
        if (vecmill_pool_submit(pool, text_of(i, text, sizeof text), &accepted, &err) != VECMILL_OK)
            return context;
        if (accepted)
            i++;
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return NULL;
}

static void one_thread_submits_another_takes(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    vecmill_pool *pool = open_pool(&o, 2);
    pthread_t thread;
    float vector[DIM];
    vecmill_err err;
    assert_int_equal(pthread_create(&thread, NULL, submit_all, pool), 0);
    const uint64_t until_ns = clock_ns() + (uint64_t)WAIT * 1000000u;
    for (uint32_t done = 0; done < N_DOCS;) {
        int taken = 0;
        if (clock_ns() > until_ns) fail_msg("document %u did not come", done);
        assert_int_equal(vecmill_pool_take(pool, 10, vector, NULL, NULL, &taken, &err), VECMILL_OK);
        if (taken) expect_row(vector, done++);
    }
    void *failed;
    pthread_join(thread, &failed);
    assert_null(failed);
    vecmill_pool_close(pool);
}

/* ---- what a pool says ---- */

static void facts_are_a_sessions(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_session(&o);
    vecmill_pool *pool = open_pool(&o, 1);
    vecmill_facts a = {.struct_bytes = sizeof a}, b = a;
    vecmill_session_describe(s, &a);
    vecmill_pool_describe(pool, &b);
    assert_int_equal(a.dim, b.dim);
    assert_int_equal(a.max_length, b.max_length);
    assert_string_equal(a.isa, b.isa);
    assert_string_equal(a.pack_path, b.pack_path);
    assert_string_equal(a.identity, b.identity);
    assert_int_equal(strlen(a.identity), 32);
    vecmill_pool_close(pool);

    char identity[33], copied[IO_PATH_MAX];
    memcpy(identity, a.identity, sizeof identity);
    vecmill_session_close(s);
    /* What changes bits changes it; where the model lies, and how large batches are, does not. */
    shell("cp -r '%s/toy' '%s/copied'", folder, folder);
    in_folder(copied, "copied");
    for (int i = 0; i < 4; i++) {
        o = options_for(i == 3 ? "other" : "toy", "cache");
        if (i == 0) o.max_length = 20;
        if (i == 1) o.long_policy = VECMILL_LONG_ERROR;
        if (i == 2) {
            o.model_dir = copied;
            o.batch_tokens = 77;
        }
        s = open_session(&o);
        vecmill_session_describe(s, &a);
        assert_int_equal(strcmp(identity, a.identity) == 0, i == 2);
        vecmill_session_close(s);
    }
}

static void long_documents_fail_by_themselves(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache");
    o.long_policy = VECMILL_LONG_ERROR;
    o.max_length = 10;
    vecmill_pool_options p;
    vecmill_pool_options_init(&p);
    p.workers = 1;
    p.max_document = 100;
    vecmill_pool *pool;
    vecmill_err err, why;
    assert_int_equal(vecmill_pool_open(&o, &p, &pool, &err), VECMILL_OK);
    const char *const texts[] = {"a b", "a b c d e f g h i j k l m n", "c"};
    int accepted, taken;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            vecmill_pool_submit(pool, (vecmill_doc){.text = texts[i], .bytes = strlen(texts[i])},
                                &accepted, &err),
            VECMILL_OK);
        assert_int_equal(accepted, 1);
    }
    char large[101] = {0};
    assert_int_equal(
        vecmill_pool_submit(pool, (vecmill_doc){.text = large, .bytes = 101}, &accepted, &err),
        VECMILL_E_LIMIT);
    assert_non_null(strstr(err.message, "101"));
    for (size_t i = 0; i < 3; i++) {
        float vector[DIM];
        vecmill_result r;
        assert_int_equal(vecmill_pool_take(pool, WAIT, vector, &r, &why, &taken, &err), VECMILL_OK);
        assert_int_equal(taken, 1);
        assert_int_equal(r.status, i == 1 ? VECMILL_E_LIMIT : VECMILL_OK);
        if (i == 1) assert_non_null(strstr(why.message, "10"));
        if (i == 1) assert_true(vector[0] == 0.0f && vector[DIM - 1] == 0.0f);
    }
    taken = 7;
    float none[DIM];
    assert_int_equal(vecmill_pool_take(pool, WAIT, none, NULL, NULL, &taken, &err),
                     VECMILL_OK); /* empty: at once */
    assert_int_equal(taken, 0);
    vecmill_pool_close(pool);
}

/* Texts over VECMILL_TEXT_BYTES: one word at either end of white space, and a character across the cut. */
static void the_end_of_a_very_long_text_is_cut_off(void **state)
{
    (void)state;
    const size_t most = VECMILL_TEXT_BYTES, bytes = most + 1000;
    vecmill_options o = options_for("toy", "cache");
    char *texts[3];
    float rows[2][5][DIM];
    vecmill_result results[2][5];
    vecmill_err err;
    for (int i = 0; i < 3; i++) {
        texts[i] = malloc(bytes);
        assert_non_null(texts[i]);
        memset(texts[i], ' ', bytes);
    }
    texts[0][0] = 'b';
    texts[1][bytes - 1] = 'b';
    memcpy(texts[2] + most - 1, "\xc3\xa9", 2);
    const vecmill_doc docs[] = {
        {.text = texts[0], .bytes = bytes}, {.text = texts[1], .bytes = bytes},
        {.text = texts[2], .bytes = bytes}, {.text = "b", .bytes = 1},
        {.text = "", .bytes = 0},
    };
    for (int policy = VECMILL_LONG_TRUNCATE; policy <= VECMILL_LONG_ERROR; policy++) {
        o.long_policy = (vecmill_long)policy;
        vecmill_session *s = open_session(&o);
        vecmill_pool *pool = open_pool(&o, 1);
        assert_int_equal(vecmill_embed(s, docs, 5, rows[0][0], results[0], &err), VECMILL_OK);
        for (int i = 0; i < 5; i++) {
            int accepted = 0, taken = 0;
            assert_int_equal(vecmill_pool_submit(pool, docs[i], &accepted, &err), VECMILL_OK);
            assert_int_equal(
                vecmill_pool_take(pool, WAIT, rows[1][i], &results[1][i], NULL, &taken, &err),
                VECMILL_OK);
            assert_int_equal(taken, 1);
            const vecmill_result *r = &results[1][i];
            assert_int_equal(r->n_tokens, results[0][i].n_tokens);
            assert_int_equal(results[0][i].truncated, r->truncated);
            assert_int_equal(results[0][i].status, r->status);
            assert_memory_equal(rows[1][i], rows[0][i], sizeof rows[0][i]);
            assert_int_equal(r->replaced_bytes, 0);
            assert_int_equal(r->truncated, i < 3);
            assert_int_equal(r->status,
                             policy == VECMILL_LONG_ERROR && i < 3 ? VECMILL_E_LIMIT : VECMILL_OK);
        }
        if (policy == VECMILL_LONG_TRUNCATE) {
            assert_memory_equal(rows[0][0], rows[0][3], sizeof rows[0][0]);
            assert_memory_equal(rows[0][1], rows[0][4], sizeof rows[0][0]);
            assert_memory_equal(rows[0][2], rows[0][4], sizeof rows[0][0]);
        }
        vecmill_pool_close(pool);
        vecmill_session_close(s);
    }
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

/* ---- memory ---- */

static void a_plan_is_kept(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache");
    vecmill_pool_options p;
    vecmill_plan before = {.struct_bytes = sizeof before}, now = before, least = before;
    vecmill_pool *pool;
    vecmill_err err;
    vecmill_pool_options_init(&p);
    p.workers = 2;
    assert_int_equal(vecmill_pool_plan(&o, &p, &before, &err), VECMILL_OK);
    assert_true(before.fits && before.measured && before.workers == 2);
    assert_int_equal(vecmill_pool_open(&o, &p, &pool, &err), VECMILL_OK);
    run(pool, N_DOCS, NULL);
    vecmill_pool_planned(pool, &now);
    assert_int_equal(now.workers, 2);
    assert_int_equal(now.batch_tokens, before.batch_tokens);
    assert_int_equal(vecmill_pool_measure(pool, &now, &err), VECMILL_OK);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(pool, &facts);
    unsigned measured = 0;
    for (uint32_t i = 0; i < now.n_parts; i++) {
        const vecmill_plan_part *part = &now.parts[i];
#ifdef POOL_TEST_SANITIZED
        if (i == 0) print_message("not compared: sanitizers have memory of their own\n");
#else
        if (part->measured_bytes > part->bytes)
            fail_msg("%s, %s: %llu bytes, planned %llu", vecmill_owner_word(part->owner),
                     part->name, (unsigned long long)part->measured_bytes,
                     (unsigned long long)part->bytes);
#endif
        measured += part->measured_bytes > 0;
        if (strcmp(part->name, "duplicates") == 0)
            assert_int_equal(part->measured_bytes, part->bytes);
        if (strcmp(part->name, "arena") != 0) continue;
        assert_true(part->bytes >= facts.arena_bytes && part->bytes < facts.arena_bytes + 4096);
        assert_int_equal(part->measured_bytes, part->bytes); /* taken whole, at the start */
    }
    assert_true(measured >= 6);
    vecmill_pool_close(pool);

    /* Under its total and reserve it does not open, and nothing is started. */
    p.memory_bytes = before.total_bytes / 2;
    assert_int_equal(vecmill_pool_plan(&o, &p, &least, &err), VECMILL_OK);
    assert_false(least.fits);
    assert_string_equal(least.limit_source, "--memory");
    pool = NULL;
    o.batch_tokens = 960;
    assert_int_equal(vecmill_pool_open(&o, &p, &pool, &err), VECMILL_E_MEMORY);
    assert_null(pool);
    expect_childless();
}

static void a_held_pool_finishes_what_runs(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    vecmill_pool *pool = open_pool(&o, 2);
    char text[1024];
    float vector[DIM];
    vecmill_err err;
    int accepted = 1, taken = 1;
    uint32_t given = 0, done = 0;
    while (accepted && given < N_DOCS) {
        assert_int_equal(
            vecmill_pool_submit(pool, text_of(given, text, sizeof text), &accepted, &err),
            VECMILL_OK);
        given += (uint32_t)accepted;
    }
    vecmill_pool_hold(pool);
    while (taken) {
        assert_int_equal(vecmill_pool_take(pool, WAIT, vector, NULL, NULL, &taken, &err),
                         VECMILL_OK);
        if (taken) expect_row(vector, done++);
    }
    vecmill_pool_counts c = {.struct_bytes = sizeof c};
    vecmill_pool_count(pool, &c);
    assert_true(done <= given);
    assert_int_equal(c.accepted, given);
    assert_int_equal(c.accepted, c.returned + c.queued + c.in_flight);
    vecmill_pool_close(pool);
    expect_childless();
}

/* ---- failing ---- */

static void open_fails(const vecmill_options *o, uint32_t workers, vecmill_status status,
                       const char *part)
{
    vecmill_pool *pool = (vecmill_pool *)(uintptr_t)1;
    vecmill_err err;
    const vecmill_status got = try_open(o, workers, &pool, &err);
    if (got == VECMILL_OK) fail_msg("opened, wanted: %s", part);
    if (got != status || !strstr(err.message, part))
        fail_msg("status %d: %s (wanted %d, %s)", (int)got, err.message, (int)status, part);
    assert_true(pool == (vecmill_pool *)(uintptr_t)1);
    expect_childless();
}

static void what_cannot_open_says_why(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache"), bad = o;
    open_fails(&o, VECMILL_MAX_WORKERS + 1, VECMILL_E_USAGE, "VECMILL_MAX_WORKERS");
    bad.max_length = 65;
    open_fails(&bad, 1, VECMILL_E_USAGE, "outside 3 to 64");
    bad = o;
    bad.model_dir = "/nowhere";
    open_fails(&bad, 1, VECMILL_E_MODEL, "/nowhere");
    bad = o;
    bad.worker_path = "/bin/true"; /* ends at once, again and again */
    open_fails(&bad, 3, VECMILL_E_WORKERS, "keep dying");
    char text[IO_PATH_MAX];
    in_folder(text, "no-program");
    shell("echo no program >'%s'; chmod 755 '%s'", text, text);
    bad.worker_path = text;
    open_fails(&bad, 1, VECMILL_E_WORKERS, "no-program");
}

/* Kills workers while there is work, until one that comes later says that the model is not what it was. */
static void kill_until_changed(vecmill_pool *pool, vecmill_err *err)
{
    vecmill_status status = VECMILL_OK;
    err->message[0] = '\0';
    const uint64_t until_ns = clock_ns() + (uint64_t)WAIT * 1000000u;
    while (status == VECMILL_OK && clock_ns() < until_ns) {
        int accepted, taken;
        float vector[DIM];
        kill_all(SIGKILL);
        status = vecmill_pool_submit(pool, (vecmill_doc){.text = "a", .bytes = 1}, &accepted, err);
        if (status == VECMILL_OK)
            status = vecmill_pool_take(pool, 10, vector, NULL, NULL, &taken, err);
    }
    if (status != VECMILL_E_MODEL) fail_msg("status %d: %s", (int)status, err->message);
}

/* The pack is cut, or another's lies in its place, while workers use it: their successors say so. */
static void a_changed_pack_ends_the_pool(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const vecmill_options o = options_for("toy", "changing");
        vecmill_pool *pool = open_pool(&o, 2);
        vecmill_facts facts = {.struct_bytes = sizeof facts};
        vecmill_pool_describe(pool, &facts);
        if (i == 0)
            shell("truncate -s 100 '%s'", facts.pack_path);
        else
            shell("cp '%s' '%s.new' && printf x | dd of='%s.new' bs=1 seek=40 conv=notrunc "
                  "2>/dev/null && mv '%s.new' '%s'",
                  facts.pack_path, facts.pack_path, facts.pack_path, facts.pack_path,
                  facts.pack_path);
        vecmill_err err;
        kill_until_changed(pool, &err);
        vecmill_pool_close(pool);
        shell("rm -rf '%s/changing'", folder);
    }
}

/* A pack that holds the same text but other weights, as its key, is noticed by a worker that comes later. */
static void a_worker_finds_another_model(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "other");
    vecmill_pool *pool = open_pool(&o, 1);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(pool, &facts);
    shell("python3 - '%s' <<'END'\n"
          "import os, sys\n"
          "path = sys.argv[1]\n"
          "data = bytearray(open(path, 'rb').read())\n"
          "data[288 + 2 * 48 + 40] ^= 1\n" /* of the weights' checksum, in the table */
          "open(path + '.new', 'wb').write(data)\n"
          "END\n",
          facts.pack_path);
    /* The header's own checksum is made right again. */
    char path[IO_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.new", facts.pack_path);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char header[PACK_ALIGN];
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    memset(header + 24, 0, 8);
    const uint64_t sum = XXH3_64bits(header, sizeof header);
    assert_int_equal(pwrite(fd, &sum, 8, 24), 8);
    close(fd);
    assert_int_equal(rename(path, facts.pack_path), 0);
    vecmill_err err;
    kill_until_changed(pool, &err);
    if (!strstr(err.message, "changed while it was in use")) fail_msg("%s", err.message);
    vecmill_pool_close(pool);
}

/* A pack that is written to while it is in use is found damaged when it is asked for; the next pool
 * has a good one. */
static void a_pack_damaged_in_use(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "spoiled");
    for (int i = 0; i < 2; i++) {
        vecmill_pool *pool = open_pool(&o, 1);
        vecmill_facts facts = {.struct_bytes = sizeof facts};
        vecmill_err err = {.message = ""};
        vecmill_pool_describe(pool, &facts);
        assert_int_equal(strstr(facts.warning, "built anew") != NULL, i == 1);
        assert_int_equal(vecmill_pool_verify(pool, &err), VECMILL_OK);
        shell("touch '%s'", facts.pack_path); /* other times: read again, and as it was */
        assert_int_equal(vecmill_pool_verify(pool, &err), VECMILL_OK);
        if (i == 0) {
            shell(
                "printf 'spoiled' | dd of='%s' bs=1 seek=$(($(stat -c %%s '%s') / 2)) conv=notrunc "
                "2>/dev/null",
                facts.pack_path, facts.pack_path);
            assert_int_equal(vecmill_pool_verify(pool, &err), VECMILL_E_MODEL);
            assert_non_null(strstr(err.message, "damaged while it was in use"));
            assert_int_equal(vecmill_pool_verify(pool, &err), VECMILL_E_MODEL);
        }
        vecmill_pool_close(pool);
    }
}

/* ---- a host's thread with a small stack ---- */

#ifdef POOL_TEST_SANITIZED
#define SMALL_STACK ((size_t)512 << 10) /* frames are several times as large */
#else
#define SMALL_STACK ((size_t)32 << 10)
#endif

static const char *all_calls(const vecmill_options *o)
{
    static vecmill_plan plan;
    static char text[5000];
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_doc docs[2] = {{.text = "some words", .bytes = 10},
                           {.text = text, .bytes = sizeof text}};
    float vectors[2 * DIM], vector[DIM];
    int32_t ids[64];
    size_t n;
    vecmill_session *session;
    vecmill_pool *pool;
    vecmill_pool_options p;
    int accepted = 0, taken = 0;
    memset(text, 'w', sizeof text);
    plan.struct_bytes = sizeof plan;
    vecmill_pool_options_init(&p);
    p.workers = 1;
    if (vecmill_machine_describe(&machine, NULL) != VECMILL_OK) return "machine";
    if (vecmill_session_open(o, &session, NULL) != VECMILL_OK) return "open";
    if (vecmill_embed(session, docs, 2, vectors, NULL, NULL) != VECMILL_OK) return "embed";
    if (vecmill_tokenize(session, docs[1], ids, 64, &n, NULL, NULL) != VECMILL_OK)
        return "tokenize";
    vecmill_session_describe(session, &facts);
    vecmill_session_close(session);
    if (vecmill_pool_plan(o, &p, &plan, NULL) != VECMILL_OK) return "plan";
    if (vecmill_pool_open(o, &p, &pool, NULL) != VECMILL_OK) return "pool";
    if (vecmill_pool_submit(pool, docs[0], &accepted, NULL) != VECMILL_OK || !accepted)
        return "submit";
    if (vecmill_pool_take(pool, WAIT, vector, NULL, NULL, &taken, NULL) != VECMILL_OK || !taken)
        return "take";
    vecmill_pool_count(pool, &counts);
    vecmill_pool_describe(pool, &facts);
    if (vecmill_pool_measure(pool, &plan, NULL) != VECMILL_OK) return "measure";
    if (vecmill_pool_verify(pool, NULL) != VECMILL_OK) return "verify";
    vecmill_pool_close(pool);
    return memcmp(vector, vectors, sizeof vector) == 0 ? NULL : "vectors";
}

static void *on_small_stack(void *context)
{
    return (void *)(uintptr_t)all_calls(context);
}

static void a_small_stack_is_enough(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "small");
    pthread_attr_t attr;
    pthread_t thread;
    void *failed = NULL;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, SMALL_STACK), 0);
    for (int i = 0; i < 2; i++) { /* without a pack, and with one */
        assert_int_equal(pthread_create(&thread, &attr, on_small_stack, &o), 0);
        assert_int_equal(pthread_join(thread, &failed), 0);
        if (failed) fail_msg("%s", (const char *)failed);
    }
    pthread_attr_destroy(&attr);
}

/* ---- what is left ---- */

static void nothing_is_left(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    const int before = count_descriptors();
    for (uint32_t i = 0; i < 20; i++) {
        vecmill_pool *pool = open_pool(&o, 1 + i % 3);
        char text[1024];
        int accepted = 1;
        for (uint32_t k = 0; k < i * 50 && accepted; k++)
            assert_int_equal(
                vecmill_pool_submit(pool, text_of(k, text, sizeof text), &accepted, NULL),
                VECMILL_OK);
        if (i % 4 == 0) kill_all(i % 8 ? SIGSTOP : SIGKILL);
        vecmill_pool_close(pool);
        expect_childless();
    }
    vecmill_pool_close(NULL);
    assert_int_equal(count_descriptors(), before);
}

static void other_children_are_left_alone(void **state)
{
    (void)state;
    const vecmill_options o = options_for("toy", "cache");
    const pid_t child = fork();
    if (child == 0) _exit(77);
    vecmill_pool *pool = open_pool(&o, 2);
    run(pool, N_DOCS, kill_now_and_then);
    vecmill_pool_close(pool);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 77);
}

static int prepare(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/vecmill-pool-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    const char *shape = "--layers 2 --hidden 32 --heads 4 --intermediate 64 --vocab 160 "
                        "--positions 64";
    shell("python3 '%s' '%s/toy' %s >/dev/null", maker, folder, shape);
    shell("python3 '%s' '%s/other' %s --seed 9 >/dev/null", maker, folder, shape);
    const vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_session(&o);
    expected = calloc((size_t)N_DOCS * DIM, sizeof(float));
    for (uint32_t i = 0; i < N_DOCS; i++) {
        char text[1024];
        const vecmill_doc doc = text_of(i, text, sizeof text);
        assert_int_equal(vecmill_embed(s, &doc, 1, expected + (size_t)i * DIM, NULL, NULL),
                         VECMILL_OK);
    }
    vecmill_session_close(s);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    free(expected);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_a_sessions),
        cmocka_unit_test(kills_change_nothing),
        cmocka_unit_test(other_signals_change_nothing_either),
        cmocka_unit_test(a_host_that_ignores_children_loses_nothing),
        cmocka_unit_test(one_thread_submits_another_takes),
        cmocka_unit_test(facts_are_a_sessions),
        cmocka_unit_test(long_documents_fail_by_themselves),
        cmocka_unit_test(the_end_of_a_very_long_text_is_cut_off),
        cmocka_unit_test(a_plan_is_kept),
        cmocka_unit_test(a_held_pool_finishes_what_runs),
        cmocka_unit_test(what_cannot_open_says_why),
        cmocka_unit_test(a_changed_pack_ends_the_pool),
        cmocka_unit_test(a_worker_finds_another_model),
        cmocka_unit_test(a_pack_damaged_in_use),
        cmocka_unit_test(a_small_stack_is_enough),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(other_children_are_left_alone),
    };
    if (argc != 3) return 2;
    maker = argv[1];
    worker = argv[2];
    const int failed = cmocka_run_group_tests(tests, prepare, remove_folder);
    printf("engine-pool: %zu passed, %d failed\n", sizeof(tests) / sizeof(*tests) - (size_t)failed,
           failed);
    return failed;
}
