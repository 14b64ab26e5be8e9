/* pool: a crew of sessions behind vecmill.h.
 *
 * The pool's thread runs the crew: it waits without the lock and steps with it. Submitting and taking
 * only touch the crew's queue, under the same lock. Knows what an item is (a document) and what a
 * result is (engine_result and a vector); what happens when a worker dies is the crew's affair. */
#include "vecmill.h"

#include "crew/crew.h"
#include "engine/setup.h"
#include "host/host.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Planned work of a lease: a pass or so, and a storm of several kills a second still lets it through. */
#define LEASE_NS 250000000u

/* A worker is ready in 10 to 50 ms where the pack is in the page cache; a cold disk may take seconds. */
#define START_NS 10000000000u
/* No worker at all by then: the pool does not open. */
#define OPEN_NS 60000000000u

#define HANG_LEAST_NS 2000000000u

/* Documents in the pool: enough that leases wait for every worker while the oldest is done again. */
#define QUEUE_DOCS(workers)  (ENGINE_LEASE_DOCS * ((workers) + 4))
#define QUEUE_BYTES(workers) (((size_t)1 << 20) + ((size_t)(workers) << 19))

/* Only proportions count (crew.h); near the truth, so that the first lease is of the right order. */
#define OPERATIONS_A_SECOND 5e10
#define BYTES_A_TOKEN       4.5 /* of English, blanks included */

#define N_ARGUMENTS 12

struct vecmill_pool {
    struct setup setup;
    uint64_t max_document;
    struct vecmill_pool_options options;
    struct host_oom oom;
    char worker[IO_PATH_MAX];
    char numbers[5][24]; /* arguments */
    char *arguments[N_ARGUMENTS];

    struct crew *crew;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of all below, and of the crew */
    pthread_cond_t stepped;
    uint32_t n_waiting; /* threads that wait for stepped */
    bool ending;
    uint32_t workers, capacity;
};

/* ---- the pool's thread ---- */

static void *run(void *context)
{
    vecmill_pool *pool = context;
    bool ending = false;
    while (!ending) {
        crew_wait(pool->crew);
        pthread_mutex_lock(&pool->lock);
        crew_step(pool->crew);
        ending = pool->ending;
        if (pool->n_waiting > 0) pthread_cond_broadcast(&pool->stepped);
        pthread_mutex_unlock(&pool->lock);
    }
    crew_close(pool->crew); /* here: the workers were started by this thread */
    return NULL;
}

/* Waits for a step of the crew, at most until at_ns; false when that has come. Holds the lock. */
static bool wait_step(vecmill_pool *pool, uint64_t at_ns)
{
    const struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000u),
                                .tv_nsec = (long)(at_ns % 1000000000u)};
    crew_hurry(pool->crew);
    pool->n_waiting++;
    const int e = pthread_cond_timedwait(&pool->stepped, &pool->lock, &at);
    pool->n_waiting--;
    return e != ETIMEDOUT;
}

static bool oom_kills(void *context, uint64_t *kills)
{
    const vecmill_pool *pool = context;
    return host_oom_kills(&pool->oom, kills);
}

static void on_crew(void *context, const struct crew_event *event)
{
    static const vecmill_event_kind kinds[] = {
        [CREW_READY] = VECMILL_WORKER_READY,      [CREW_DIED] = VECMILL_WORKER_DIED,
        [CREW_LOST] = VECMILL_WORKER_LOST,        [CREW_LEASED] = VECMILL_BATCH_STARTED,
        [CREW_REQUEUED] = VECMILL_BATCH_REQUEUED,
    };
    const vecmill_pool *pool = context;
    const vecmill_event e = {
        .kind = kinds[event->kind],
        .time_ns = event->time_ns,
        .pid = event->pid,
        .cause = event->cause,
        .code = event->code,
        .first = event->first,
        .n_docs = event->n,
        .deaths = event->deaths,
    };
    if (pool->options.on_event) pool->options.on_event(pool->options.context, &e);
}

/* ---- opening ---- */

void vecmill_pool_options_init(vecmill_pool_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_bytes = sizeof(*options);
}

static vecmill_status check_options(const vecmill_pool_options *o, vecmill_err *err)
{
    if (o->struct_bytes != sizeof(*o))
        return err_set(err, VECMILL_E_USAGE,
                       "vecmill_pool_options has %zu bytes, this library's has %zu",
                       o->struct_bytes, sizeof(*o));
    if (o->workers > VECMILL_MAX_WORKERS)
        return err_set(err, VECMILL_E_USAGE, "%u workers, over VECMILL_MAX_WORKERS, %u", o->workers,
                       VECMILL_MAX_WORKERS);
    if (o->max_document > VECMILL_MAX_DOCUMENT)
        return err_set(err, VECMILL_E_USAGE,
                       "max_document is %llu bytes, over VECMILL_MAX_DOCUMENT, %u",
                       (unsigned long long)o->max_document, VECMILL_MAX_DOCUMENT);
    return VECMILL_OK;
}

/* A worker for each processor that this process may use, by affinity and by quota; no more than it has
 * descriptors for. */
static uint32_t workers_auto(void)
{
    struct host_facts host;
    if (host_describe("", &host, NULL) != VECMILL_OK) return 1;
    uint32_t n = host.cpus_allowed > 0 ? host.cpus_allowed : host.cpus_online;
    if (host.cpus_quota > 0 && host.cpus_quota < n) n = (uint32_t)ceil(host.cpus_quota);
    n = (uint32_t)num_min(n, num_min(crew_workers_most(), VECMILL_MAX_WORKERS));
    return n < 1 ? 1 : n;
}

static vecmill_status find_model(const vecmill_options *options, vecmill_pool *pool,
                                 vecmill_err *err)
{
    struct pack pack;
    struct text text;
    VM_TRY(setup_pack(options, &pool->setup, &pack, err));
    const vecmill_status status = setup_choose(options, &pack, &pool->setup, &text, err);
    pack_close(&pack); /* the workers map it; who watches them does not */
    return status;
}

/* The command line of a worker (worker_main.c). */
static void write_arguments(vecmill_pool *pool)
{
    const struct setup *s = &pool->setup;
    snprintf(pool->numbers[0], sizeof pool->numbers[0], "%ld", (long)getpid());
    snprintf(pool->numbers[1], sizeof pool->numbers[1], "%u", s->batch_tokens);
    snprintf(pool->numbers[2], sizeof pool->numbers[2], "%u", s->max_length);
    snprintf(pool->numbers[3], sizeof pool->numbers[3], "%u", (unsigned)s->long_policy);
    snprintf(pool->numbers[4], sizeof pool->numbers[4], "%llu",
             (unsigned long long)pool->max_document);
    const char *const words[N_ARGUMENTS] = {"vecmill-worker", "serve",          pool->numbers[0],
                                            s->kern->name,    s->source.dir,    s->source.path,
                                            s->source.key,    pool->numbers[1], pool->numbers[2],
                                            pool->numbers[3], pool->numbers[4], NULL};
    for (size_t i = 0; i < N_ARGUMENTS; i++)
        pool->arguments[i] = (char *)(uintptr_t)words[i];
}

static vecmill_status open_crew(vecmill_pool *pool, vecmill_err *err)
{
    const uint32_t workers = pool->options.workers ? pool->options.workers : workers_auto();
    const struct crew_options options = {
        .program = pool->worker,
        .argv = pool->arguments,
        .workers = workers,
        /* Who asks for a number gets it at once; else one, and the others when there is work. */
        .start_workers = pool->options.workers ? workers : 1,
        .items_max = QUEUE_DOCS(workers),
        .item_bytes_max = pool->max_document,
        .queue_bytes = QUEUE_BYTES(workers),
        .lease_items_max = ENGINE_LEASE_DOCS,
        .lease_bytes_max = ENGINE_LEASE_BYTES,
        .result_bytes =
            (uint32_t)(sizeof(struct engine_result) + pool->setup.config.hidden * sizeof(float)),
        .lease_ns = LEASE_NS,
        .start_ns = START_NS,
        .least_ns = HANG_LEAST_NS,
        .oom_kills = oom_kills,
        .on_event = on_crew,
        .context = pool,
        .reap_strangers = pool->options.reap_strangers != 0,
    };
    pool->workers = workers;
    pool->capacity = options.items_max;
    return crew_open(&options, &pool->crew, err);
}

/* All signals are blocked in the pool's thread: they are the host's affair. */
static vecmill_status start_thread(vecmill_pool *pool, vecmill_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int e = pthread_create(&pool->thread, NULL, run, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->has_thread = e == 0;
    return e ? err_sys(err, VECMILL_E_INTERNAL, e, "a pool's thread cannot be started")
             : VECMILL_OK;
}

static vecmill_status wait_ready(vecmill_pool *pool, vecmill_err *err)
{
    const uint64_t at_ns = clock_ns() + OPEN_NS;
    struct crew_counts counts;
    vecmill_status status = VECMILL_OK;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        status = crew_failure(pool->crew, err);
        crew_count(pool->crew, &counts);
        if (status != VECMILL_OK || counts.ready > 0) break;
        if (!wait_step(pool, at_ns)) {
            status = err_set(err, VECMILL_E_WORKERS, "no worker was ready within %u s",
                             (unsigned)(OPEN_NS / 1000000000u));
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

vecmill_status vecmill_pool_open(const vecmill_options *options,
                                 const vecmill_pool_options *pool_options, vecmill_pool **out,
                                 vecmill_err *err)
{
    void *memory = NULL;
    pthread_condattr_t monotonic;
    VM_TRY(check_options(pool_options, err));
    VM_TRY(mem_new(sizeof(vecmill_pool), "a pool", &memory, err));
    vecmill_pool *pool = memory;
    pool->options = *pool_options;
    pool->max_document =
        pool_options->max_document ? pool_options->max_document : VECMILL_DEFAULT_DOCUMENT;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->stepped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    host_oom_find("", &pool->oom);

    vecmill_status status = find_model(options, pool, err);
    if (status == VECMILL_OK) status = source_worker(options->worker_path, pool->worker, err);
    if (status == VECMILL_OK) {
        write_arguments(pool);
        status = open_crew(pool, err);
    }
    if (status == VECMILL_OK) status = start_thread(pool, err);
    if (status == VECMILL_OK) status = wait_ready(pool, err);
    if (status == VECMILL_OK)
        *out = pool;
    else
        vecmill_pool_close(pool);
    return status;
}

void vecmill_pool_close(vecmill_pool *pool)
{
    if (!pool) return;
    if (pool->has_thread) {
        pthread_mutex_lock(&pool->lock);
        pool->ending = true;
        crew_wake(pool->crew); /* under the lock: behind it, the thread may have closed the crew */
        pthread_mutex_unlock(&pool->lock);
        pthread_join(pool->thread, NULL);
    } else {
        crew_close(pool->crew);
    }
    pthread_cond_destroy(&pool->stepped);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

void vecmill_pool_describe(const vecmill_pool *pool, vecmill_facts *facts)
{
    setup_describe(&pool->setup, 0, facts);
}

/* ---- documents ---- */

/* Estimated work by the formulas of the model; the number of tokens is guessed from the bytes. */
static uint64_t cost_ns(const vecmill_pool *pool, size_t bytes)
{
    double tokens = 2 + (double)bytes / BYTES_A_TOKEN;
    if (tokens > pool->setup.max_length) tokens = pool->setup.max_length;
    return (uint64_t)(model_flops(&pool->setup.config, (uint32_t)tokens) / OPERATIONS_A_SECOND *
                      1e9);
}

vecmill_status vecmill_pool_submit(vecmill_pool *pool, vecmill_doc doc, int *accepted,
                                   vecmill_err *err)
{
    if (doc.bytes > pool->max_document)
        return err_set(err, VECMILL_E_LIMIT,
                       "a document of %zu bytes is over the maximum (max_document) of %llu",
                       doc.bytes, (unsigned long long)pool->max_document);
    pthread_mutex_lock(&pool->lock);
    const vecmill_status status = crew_failure(pool->crew, err);
    if (status == VECMILL_OK)
        *accepted = crew_submit(pool->crew, doc.text, doc.bytes, cost_ns(pool, doc.bytes));
    if (pool->n_waiting > 0) crew_hurry(pool->crew);
    pthread_mutex_unlock(&pool->lock);
    return status;
}

static void read_result(const vecmill_pool *pool, const unsigned char *result, float *vector,
                        vecmill_result *r, vecmill_err *why)
{
    struct engine_result head;
    const size_t row_bytes = pool->setup.config.hidden * sizeof(float);
    memcpy(&head, result, sizeof head);
    memcpy(vector, result + sizeof head, row_bytes);
    const vecmill_status status =
        head.status < VECMILL_STATUS_COUNT ? (vecmill_status)head.status : VECMILL_E_INTERNAL;
    *r = (vecmill_result){.status = status,
                          .n_tokens = head.n_tokens,
                          .truncated = head.truncated != 0,
                          .replaced_bytes = head.replaced_bytes};
    if (status == VECMILL_E_LIMIT)
        (void)err_set(why, status, "the document has more tokens than the maximum of %u",
                      pool->setup.max_length);
    else if (status != VECMILL_OK)
        (void)err_set(why, status, "%s", vecmill_status_words(status));
}

static void read_condemned(const vecmill_pool *pool, const vecmill_cause *causes, float *vector,
                           vecmill_result *r, vecmill_err *why)
{
    memset(vector, 0, pool->setup.config.hidden * sizeof(float));
    *r = (vecmill_result){.status = VECMILL_E_WORKERS};
    (void)err_set(why, VECMILL_E_WORKERS,
                  "the document ended %u workers that had nothing else to do (%s, %s, %s)",
                  CREW_FAULTS_MAX, cause_word(causes[0]), cause_word(causes[1]),
                  cause_word(causes[2]));
}

vecmill_status vecmill_pool_take(vecmill_pool *pool, uint32_t wait_ms, float *vector,
                                 vecmill_result *result, vecmill_err *why, int *taken,
                                 vecmill_err *err)
{
    const uint64_t at_ns = clock_ns() + (uint64_t)wait_ms * 1000000u;
    const void *bytes = NULL;
    vecmill_cause causes[CREW_FAULTS_MAX];
    vecmill_result r;
    vecmill_status status = VECMILL_OK;
    int got = 0;
    pthread_mutex_lock(&pool->lock);
    enum crew_head head = crew_head(pool->crew, &bytes, causes);
    while (head == CREW_WAITING && wait_ms > 0 && wait_step(pool, at_ns))
        head = crew_head(pool->crew, &bytes, causes);
    if (head == CREW_DONE || head == CREW_CONDEMNED) {
        if (head == CREW_DONE)
            read_result(pool, bytes, vector, &r, why);
        else
            read_condemned(pool, causes, vector, &r, why);
        crew_drop(pool->crew);
        if (result) *result = r;
        got = 1;
    } else if (head != CREW_WAITING) {
        status = crew_failure(pool->crew, err);
    }
    pthread_mutex_unlock(&pool->lock);
    if (status == VECMILL_OK) *taken = got;
    return status;
}

void vecmill_pool_hold(vecmill_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    crew_hold(pool->crew);
    pthread_mutex_unlock(&pool->lock);
}

void vecmill_pool_count(vecmill_pool *pool, vecmill_pool_counts *counts)
{
    struct crew_counts c;
    pthread_mutex_lock(&pool->lock);
    crew_count(pool->crew, &c);
    pthread_mutex_unlock(&pool->lock);
    vecmill_pool_counts out = {
        .struct_bytes = counts->struct_bytes,
        .accepted = c.accepted,
        .returned = c.returned,
        .queued = c.queued,
        .in_flight = c.in_flight,
        .condemned = c.condemned,
        .batches = c.leases,
        .requeued = c.requeued,
        .workers = pool->workers,
        .ready = c.ready,
        .capacity = pool->capacity,
    };
    memcpy(out.deaths, c.deaths, sizeof out.deaths);
    memcpy(counts, &out, num_min(counts->struct_bytes, sizeof out));
}
