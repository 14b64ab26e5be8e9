/* bench_pool: what a killed worker costs, and what supervision costs.
 *
 *     bench_pool recovery MODEL_DIR TEXTS WORKERS KILLS
 *
 * kills a worker that computes, by SIGKILL, again and again while the pool is kept full, and prints how
 * long it took until the pool knew, until the batch ran in another worker, and until all workers were
 * ready again.
 *
 *     bench_pool supervision MODEL_DIR TEXTS ROUNDS
 *
 * embeds the same texts in this process, in a pool of one worker and in a pool of two, in turn, and
 * prints documents a second and the ratios within each round. TEXTS: a document a line. */
#include "vecmill_bench.h"

#include "base/base.h"
#include "texts.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KILLS_MAX 100000u
#define DIM_MAX   8192u

#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != VECMILL_OK) {                                                                \
            fprintf(stderr, "bench_pool: %s\n", err.message);                                      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The worker program of the build that this program is in. */
static const char *worker_path(void)
{
    static char path[IO_PATH_MAX + 32];
    const ssize_t n = readlink("/proc/self/exe", path, IO_PATH_MAX);
    if (n <= 0) return NULL;
    path[n] = 0;
    char *slash = strrchr(path, '/');
    memcpy(slash, "/../vecmill-worker", sizeof "/../vecmill-worker");
    return path;
}

/* ---- recovery ---- */

enum { NOTICED, ELSEWHERE, WHOLE, FIGURES };

static struct {
    pthread_mutex_t lock;
    uint32_t workers;
    struct {
        int64_t pid;
        uint64_t first;
        bool busy;
    } slots[VECMILL_MAX_WORKERS];
    uint32_t n_ready;
    /* the kill that is being followed */
    int64_t pid;
    uint64_t first, killed_ns, at_ns[FIGURES];
    bool had_batch;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_event(void *context, const vecmill_event *e)
{
    (void)context;
    pthread_mutex_lock(&seen.lock);
    for (uint32_t i = 0; i < seen.workers; i++) {
        if (e->kind == VECMILL_WORKER_READY && seen.slots[i].pid == 0) {
            seen.slots[i].pid = e->pid;
            if (++seen.n_ready == seen.workers && seen.pid && !seen.at_ns[WHOLE] &&
                seen.at_ns[NOTICED])
                seen.at_ns[WHOLE] = e->time_ns;
            break;
        }
        if (seen.slots[i].pid != e->pid || e->pid == 0) continue;
        if (e->kind == VECMILL_BATCH_STARTED) {
            seen.slots[i].first = e->first;
            seen.slots[i].busy = true;
        }
        if (e->kind == VECMILL_WORKER_DIED) {
            seen.slots[i].pid = 0;
            seen.slots[i].busy = false;
            seen.n_ready--;
        }
    }
    if (e->kind == VECMILL_WORKER_DIED && e->pid == seen.pid) {
        seen.at_ns[NOTICED] = e->time_ns;
        seen.had_batch = e->n_docs > 0;
        seen.first = e->first;
    }
    if (e->kind == VECMILL_BATCH_STARTED && seen.at_ns[NOTICED] && !seen.at_ns[ELSEWHERE] &&
        e->deaths > 0 && e->first == seen.first)
        seen.at_ns[ELSEWHERE] = e->time_ns;
    pthread_mutex_unlock(&seen.lock);
}

static bool pool_running = true;
static struct texts feed;

static void *keep_full(void *context)
{
    vecmill_pool *pool = context;
    static float vector[DIM_MAX];
    vecmill_err err;
    for (size_t i = 0; __atomic_load_n(&pool_running, __ATOMIC_RELAXED);) {
        int accepted = 0, taken;
        CHECK(vecmill_pool_submit(pool, feed.docs[i % feed.n], &accepted, &err));
        i += (size_t)accepted;
        if (!accepted) CHECK(vecmill_pool_take(pool, 20, vector, NULL, NULL, &taken, &err));
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *name, double *ms, size_t n)
{
    qsort(ms, n, sizeof *ms, by_size);
    if (n == 0) return;
    printf("%-28s p50 %7.2f ms   p99 %7.2f ms   max %7.2f ms   of %zu\n", name, ms[n / 2],
           ms[n * 99 / 100], ms[n - 1], n);
}

static void sleep_us(unsigned us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static int recovery(const char *model, uint32_t workers, uint32_t kills)
{
    static double ms[FIGURES][KILLS_MAX];
    size_t n[FIGURES] = {0};
    vecmill_options options;
    vecmill_pool_options pool_options;
    vecmill_pool *pool;
    vecmill_err err;
    pthread_t thread;
    vecmill_options_init(&options);
    vecmill_pool_options_init(&pool_options);
    options.model_dir = model;
    options.worker_path = worker_path();
    pool_options.workers = seen.workers = workers;
    pool_options.on_event = on_event;
    CHECK(vecmill_pool_open(&options, &pool_options, &pool, &err));
    vecmill_pool_duplicates(pool, 1); /* the documents come again and again */
    if (pthread_create(&thread, NULL, keep_full, pool) != 0) return 1;
    sleep(1);
    srand(1);
    for (uint32_t k = 0; k < kills; k++) {
        sleep_us(50000 + (unsigned)rand() % 200000);
        pthread_mutex_lock(&seen.lock);
        const uint32_t i = (uint32_t)rand() % workers;
        memset(seen.at_ns, 0, sizeof seen.at_ns);
        seen.pid = seen.n_ready == workers && seen.slots[i].busy ? seen.slots[i].pid : 0;
        const int64_t pid = seen.pid;
        if (pid) seen.killed_ns = clock_ns();
        if (pid) kill((pid_t)pid, SIGKILL);
        pthread_mutex_unlock(&seen.lock);
        if (!pid) {
            k--;
            continue;
        }
        for (int wait = 0; wait < 5000; wait++) {
            sleep_us(1000);
            pthread_mutex_lock(&seen.lock);
            const bool done = seen.at_ns[NOTICED] && seen.at_ns[WHOLE] &&
                              (seen.at_ns[ELSEWHERE] || !seen.had_batch);
            pthread_mutex_unlock(&seen.lock);
            if (done) break;
        }
        for (int f = 0; f < FIGURES; f++)
            if (seen.at_ns[f]) ms[f][n[f]++] = (double)(seen.at_ns[f] - seen.killed_ns) / 1e6;
    }
    __atomic_store_n(&pool_running, false, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    vecmill_pool_close(pool);
    printf("%u workers, %u kills by SIGKILL under full load\n", workers, kills);
    print("kill to noticed", ms[NOTICED], n[NOTICED]);
    print("kill to running elsewhere", ms[ELSEWHERE], n[ELSEWHERE]);
    print("kill to full strength", ms[WHOLE], n[WHOLE]);
    return 0;
}

/* ---- supervision ---- */

static double seconds_since(uint64_t from_ns)
{
    return (double)(clock_ns() - from_ns) / 1e9;
}

static double in_process(vecmill_session *session, const struct texts *t)
{
    enum { WINDOW = 256 };
    static float vectors[WINDOW * DIM_MAX];
    vecmill_err err;
    const uint64_t from_ns = clock_ns();
    for (size_t i = 0; i < t->n; i += WINDOW)
        CHECK(vecmill_embed(session, t->docs + i, num_min(WINDOW, t->n - i), vectors, NULL, &err));
    return (double)t->n / seconds_since(from_ns);
}

static double in_pool(vecmill_pool *pool, const struct texts *t)
{
    static float vector[DIM_MAX];
    vecmill_err err;
    size_t given = 0, done = 0;
    const uint64_t from_ns = clock_ns();
    while (done < t->n) {
        int accepted = 0, taken = 0;
        if (given < t->n) CHECK(vecmill_pool_submit(pool, t->docs[given], &accepted, &err));
        given += (size_t)accepted;
        if (accepted) continue;
        CHECK(vecmill_pool_take(pool, 1000, vector, NULL, NULL, &taken, &err));
        done += (size_t)taken;
    }
    return (double)t->n / seconds_since(from_ns);
}

static int supervision(const char *model, unsigned rounds)
{
    vecmill_options options;
    vecmill_session *session;
    vecmill_pool *pools[2];
    vecmill_err err;
    double ratios[2][1000];
    vecmill_options_init(&options);
    options.model_dir = model;
    options.worker_path = worker_path();
    CHECK(vecmill_session_open(&options, &session, &err));
    for (uint32_t i = 0; i < 2; i++) {
        vecmill_pool_options pool_options;
        vecmill_pool_options_init(&pool_options);
        pool_options.workers = i + 1;
        CHECK(vecmill_pool_open(&options, &pool_options, &pools[i], &err));
    }
    printf("%zu documents; documents a second\n", feed.n);
    for (unsigned r = 0; r < rounds; r++) {
        const double alone = in_process(session, &feed);
        const double one = in_pool(pools[0], &feed), two = in_pool(pools[1], &feed);
        ratios[0][r] = one / alone;
        ratios[1][r] = two / one;
        printf("in this process %8.1f   1 worker %8.1f (%.3f)   2 workers %8.1f (%.3f of 1)\n",
               alone, one, one / alone, two, two / one);
    }
    for (int i = 0; i < 2; i++)
        qsort(ratios[i], rounds, sizeof(double), by_size);
    printf("median: 1 worker / this process %.3f, 2 workers / 1 worker %.3f\n",
           ratios[0][rounds / 2], ratios[1][rounds / 2]);
    vecmill_pool_close(pools[0]);
    vecmill_pool_close(pools[1]);
    vecmill_session_close(session);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t a = 0, b = 0;
    const bool wants_recovery = argc == 6 && strcmp(argv[1], "recovery") == 0 &&
                                num_parse(argv[4], 64, &a) && num_parse(argv[5], KILLS_MAX, &b);
    const bool wants_supervision =
        argc == 5 && strcmp(argv[1], "supervision") == 0 && num_parse(argv[4], 1000, &a);
    if (!wants_recovery && !wants_supervision) {
        fprintf(stderr, "usage: bench_pool recovery MODEL_DIR TEXTS WORKERS KILLS\n"
                        "       bench_pool supervision MODEL_DIR TEXTS ROUNDS\n");
        return 2;
    }
    feed = texts_read("bench_pool", argv[3]);
    return wants_recovery ? recovery(argv[2], (uint32_t)a, (uint32_t)b)
                          : supervision(argv[2], (unsigned)a);
}
