/* pool: a crew of sessions behind vecmill.h.
 *
 * The pool's thread runs the crew: it waits without the lock and steps with it. Submitting and taking
 * only touch the crew's queue, under the same lock. Knows what an item is (a document) and what a
 * result is (engine_result and a vector); what happens when a worker dies is the crew's affair. */
#include "vecmill_bench.h"

#include "crew/crew.h"
#include "engine/api.h"
#include "engine/dedup.h"
#include "engine/item.h"
#include "engine/output.h"
#include "engine/plan.h"
#include "engine/pressure.h"
#include "engine/split.h"
#include "engine/worker_args.h"
#include "host/host.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

/* No worker at all by then: the pool does not open. */
#define OPEN_NS 60000000000u

/* Only proportions count (crew.h); near the truth, so that the first batch is of the right order. */
#define OPERATIONS_A_SECOND 5e10
#define BYTES_A_TOKEN       4.5 /* of English, blanks included */

/* Workers are ended by the OOM killer, and not one document is done in so long: the pool ends, and what
 * was done can be gone on from. Long enough for a neighbour's night job to come and go. */
#define OOM_PATIENCE_NS (UINT64_C(15) * 60 * 1000000000)

struct vecmill_pool {
    struct resolved resolved;
    struct output output;
    int pack_memory; /* of a pack in memory, which lives as long as this is open; else -1 */
    struct proof proof;
    uint64_t proven_faults; /* of workers, when it was made */
    uint64_t max_document;
    vecmill_pool_options options;
    vecmill_plan plan;
    struct host_oom oom;
    struct host_memory memory;
    struct pressure pressure; /* of the pool's thread */
    char worker[IO_PATH_MAX];
    struct worker_args args; /* its batch_tokens: of the worker that is started next */
    struct worker_argv argv;

    struct crew *crew;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of all below, and of the crew */
    pthread_cond_t stepped;
    uint32_t n_waiting; /* threads that wait for stepped */
    bool ending;
    struct dedup dedup; /* whose works are the crew's items */
    void *dedup_memory;
    size_t dedup_bytes;
    uint64_t n_copies_condemned;
    bool computes_duplicates; /* for measurements */
};

/* ---- the pool's thread ---- */

static void *run_crew(void *context)
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

/* Asked before each start. What is started then may be smaller: its number is in the arguments. */
static bool may_start(void *context, uint32_t n_alive)
{
    vecmill_pool *pool = context;
    struct pressure_view view = {0};
    view.room_known = host_memory_room(&pool->memory, &view.room_bytes);
    view.waiting_known = host_memory_pressure(&pool->memory, &view.waiting);
    struct crew_counts counts;
    crew_count(pool->crew, &counts);
    view.starting = n_alive - (uint32_t)num_min(counts.ready, n_alive);
    if (!pressure_may_start(&pool->pressure, clock_ns(), n_alive, &view)) return false;
    pool->args.batch_tokens = pool->pressure.batch_tokens;
    worker_args_encode(&pool->args, &pool->argv);
    return true;
}

static void on_crew(void *context, const struct crew_event *event)
{
    static const vecmill_event_kind kinds[] = {
        [CREW_READY] = VECMILL_WORKER_READY,      [CREW_DIED] = VECMILL_WORKER_DIED,
        [CREW_LOST] = VECMILL_WORKER_LOST,        [CREW_BATCH_GIVEN] = VECMILL_BATCH_STARTED,
        [CREW_REQUEUED] = VECMILL_BATCH_REQUEUED,
    };
    vecmill_pool *pool = context;
    if (event->kind == CREW_DIED && event->shortage) {
        struct crew_counts counts;
        crew_count(pool->crew, &counts);
        pressure_lack(&pool->pressure, event->time_ns, counts.alive, event->worked);
    }
    const vecmill_event e = {
        .struct_bytes = sizeof e,
        .kind = kinds[event->kind],
        .time_ns = event->time_ns,
        .pid = event->pid,
        .cause = event->cause,
        .code = event->code,
        .first = event->n > 0 ? dedup_document(&pool->dedup, event->first) : 0,
        .n_docs = event->n,
        .deaths = event->deaths,
    };
    if (pool->options.on_event) pool->options.on_event(pool->options.context, &e);
}

/* A document that fails under LONG_ERROR, or because it cannot be cut, fails at once. By its pace the next
 * one, which is computed, would be late, and its worker ended as hanging. */
static bool is_computed(const void *result)
{
    struct engine_result head;
    memcpy(&head, result, sizeof head);
    return head.status == VECMILL_OK;
}

/* ---- opening ---- */

/* The plan's numbers, and those of the least batch: the longest document is a pass alone, whatever the
 * batch. */
static void init_pressure(vecmill_pool *pool, const struct plan_facts *facts)
{
    vecmill_plan least = {.struct_bytes = sizeof least};
    const uint32_t tokens = (uint32_t)num_min(pool->plan.batch_tokens, pool->resolved.max_length);
    plan_sum(facts, pool->plan.workers, tokens, &least);
    const struct pressure_size whole = {pool->plan.batch_tokens, plan_worker_bytes(&pool->plan)};
    const struct pressure_size small = {tokens, plan_worker_bytes(&least)};
    pressure_init(&pool->pressure, pool->plan.workers, whole, small);
}

/* Whether such a pool fits. */
static vecmill_status gather_plan(const vecmill_options *options, const vecmill_pool *pool,
                                  const struct model_ref *built, struct plan_facts *facts,
                                  vecmill_plan *plan, vecmill_err *err)
{
    VM_TRY(plan_gather(options, &pool->options, built, facts, err));
    plan_choose(facts, plan);
    return plan->fits ? VECMILL_OK : plan_refuse(plan, err);
}

/* The pool is of these facts. */
static void settle_pool(vecmill_pool *pool, const struct plan_facts *facts)
{
    pool->resolved = facts->resolved;
    resolved_batch(&pool->resolved, pool->plan.batch_tokens);
    output_of(&pool->resolved, &pool->output);
    pool->computes_duplicates = pool->output.n_tails > 0; /* no tail is kept for copies */
    pool->max_document = facts->max_document;
    init_pressure(pool, facts);
}

/* Builds the pack where it can be kept, else in memory, if it fits there. facts->resolved.ref is
 * its place then. */
static vecmill_status build_and_plan(const vecmill_options *options, vecmill_pool *pool,
                                     struct plan_facts *facts, vecmill_err *err)
{
    vecmill_err why;
    const vecmill_status status = resolve_build(options, &facts->resolved, &why);
    if (status != VECMILL_E_IO || pool->pack_memory >= 0)
        return status == VECMILL_OK ? status : err_set(err, status, "%s", why.message);
    VM_TRY(resolve_to_memory(&facts->resolved, &why, &pool->pack_memory, err));
    memcpy(pool->resolved.warning, facts->resolved.warning, sizeof pool->resolved.warning);
    pool->resolved.ref = facts->resolved.ref;
    VM_TRY(gather_plan(options, pool, &pool->resolved.ref, facts, &pool->plan, err));
    return resolve_build(options, &facts->resolved, err);
}

/* Has it built, and chooses by what it says. */
static vecmill_status rebuild(const vecmill_options *options, vecmill_pool *pool,
                              struct plan_facts *facts, vecmill_err *err)
{
    memcpy(pool->resolved.warning, facts->resolved.warning, sizeof pool->resolved.warning);
    VM_TRY(build_and_plan(options, pool, facts, err));
    pool->resolved.ref = facts->resolved.ref;
    VM_TRY(gather_plan(options, pool, &pool->resolved.ref, facts, &pool->plan, err));
    if (facts->builds)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: is missing or of other files right after it was built",
                       facts->resolved.ref.path);
    memcpy(facts->resolved.warning, pool->resolved.warning, sizeof pool->resolved.warning);
    settle_pool(pool, facts);
    return VECMILL_OK;
}

/* What fits, and then the pack, which is built where it is missing; a pack knows better what its workers
 * hold, so with it the choice is made again. */
static vecmill_status find_model(const vecmill_options *options, vecmill_pool *pool,
                                 struct plan_facts *facts, vecmill_err *err)
{
    VM_TRY(gather_plan(options, pool, NULL, facts, &pool->plan, err));
    if (facts->builds) return rebuild(options, pool, facts, err);
    settle_pool(pool, facts);
    return VECMILL_OK;
}

/* The command line of a worker. */
static void write_arguments(vecmill_pool *pool, vecmill_normalize normalize)
{
    struct resolved *r = &pool->resolved;
    memcpy(r->ref.identity, r->identity, sizeof r->ref.identity);
    pool->args = (struct worker_args){
        .mode = WORKER_SERVE,
        .parent = getpid(),
        .isa = r->kern->name,
        .precision = (vecmill_precision)r->precision,
        .ref = &r->ref,
        .batch_tokens = r->batch_tokens,
        .max_length = r->max_length,
        .dimensions = r->dim,
        .long_policy = r->long_policy,
        .normalize = normalize,
        .kinds = r->kinds,
        .max_document = item_most(r, pool->max_document),
        .raw_scores = r->is_raw,
        .role = r->role,
        .prompt = r->prompt,
        .task = r->extent.task > 0 ? r->config.tasks[r->extent.task - 1] : NULL,
    };
    worker_args_encode(&pool->args, &pool->argv);
}

static vecmill_status take_dedup(vecmill_pool *pool, const struct crew_options *options,
                                 vecmill_err *err)
{
    static const char what[] = "a pool's table of duplicates";
    struct arena a;
    const size_t bytes = plan_dedup_bytes(options);
    VM_TRY(mem_map(bytes, what, &pool->dedup_memory, err));
    pool->dedup_bytes = bytes;
    VM_TRY(mem_commit(pool->dedup_memory, bytes, what, err));
    plan_dedup(options, &pool->dedup);
    arena_init(&a, pool->dedup_memory, bytes);
    dedup_layout(&pool->dedup, &a);
    return VECMILL_OK;
}

static vecmill_status open_crew(vecmill_pool *pool, vecmill_err *err)
{
    const uint32_t workers = pool->plan.workers;
    struct crew_options options;
    plan_crew(&pool->resolved, workers, pool->max_document, &options);
    options.program = pool->worker;
    options.argv = pool->argv.words;
    /* A number that was asked for is started at once; else one, and the others when there is work. */
    options.start_workers = pool->options.workers ? workers : 1;
    options.oom_kills = oom_kills;
    options.oom_patience_ns = OOM_PATIENCE_NS;
    options.may_start = may_start;
    options.is_measure = is_computed;
    options.on_event = on_crew;
    options.context = pool;
    options.reap_strangers = pool->options.reap_strangers != 0;
    VM_TRY(take_dedup(pool, &options, err));
    return crew_open(&options, &pool->crew, err);
}

static vecmill_status start_thread(vecmill_pool *pool, vecmill_err *err)
{
    const int e = api_thread_start(&pool->thread, run_crew, pool);
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
            status = err_set(err, VECMILL_E_WORKERS, "no worker was ready within %u s%s",
                             (unsigned)(OPEN_NS / 1000000000u),
                             pressure_is_felt(&pool->pressure) ? ": memory is short" : "");
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

static vecmill_status start_workers(const vecmill_options *options, vecmill_pool *pool,
                                    vecmill_err *err)
{
    VM_TRY(worker_find(options->worker_path, pool->worker, err));
    write_arguments(pool, options->normalize);
    VM_TRY(open_crew(pool, err));
    return start_thread(pool, err);
}

static void end_workers(vecmill_pool *pool)
{
    if (pool->has_thread) {
        pthread_mutex_lock(&pool->lock);
        pool->ending = true;
        crew_wake(pool->crew); /* under the lock: after it, the thread may have closed the crew */
        pthread_mutex_unlock(&pool->lock);
        pthread_join(pool->thread, NULL);
    } else {
        crew_close(pool->crew);
    }
    pool->crew = NULL;
    pool->has_thread = pool->ending = false;
    mem_unmap(pool->dedup_memory, pool->dedup_bytes);
    pool->dedup_memory = NULL;
}

/* The pack is read while the first workers start, by the thread that waits for them: it costs a run
 * time only where it takes longer than they do. If it is damaged, another is built, with other
 * workers. */
static vecmill_status prove_pack(const vecmill_options *options, vecmill_pool *pool,
                                 struct plan_facts *facts, vecmill_err *err)
{
    vecmill_err why;
    const vecmill_status status = proof_make(&pool->proof, &why);
    if (status == VECMILL_OK) return VECMILL_OK;
    end_workers(pool);
    proof_close(&pool->proof);
    resolved_warn_of_pack(&facts->resolved, status, &why);
    VM_TRY(rebuild(options, pool, facts, err));
    VM_TRY(proof_open(&pool->proof, &pool->resolved.ref, err));
    VM_TRY(proof_make(&pool->proof, err));
    return start_workers(options, pool, err);
}

struct pool_opening {
    vecmill_options options;
    vecmill_pool_options pool_options;
    vecmill_pool **pool;
};

static vecmill_status open_pool(void *context, vecmill_err *err)
{
    const vecmill_options *options = &((struct pool_opening *)context)->options;
    const vecmill_pool_options *pool_options = &((struct pool_opening *)context)->pool_options;
    vecmill_pool **out = ((struct pool_opening *)context)->pool;
    void *memory = NULL;
    pthread_condattr_t monotonic;
    VM_TRY(plan_check_options(pool_options, err));
    VM_TRY(mem_new(sizeof(vecmill_pool), "a pool", &memory, err));
    vecmill_pool *pool = memory;
    pool->options = *pool_options;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->stepped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    host_oom_find(host_root(), &pool->oom);
    host_memory_find(host_root(), &pool->memory);

    pool->pack_memory = pool->proof.fd = -1;

    void *planned = NULL;
    vecmill_status status = mem_new(sizeof(struct plan_facts), "a plan", &planned, err);
    struct plan_facts *facts = planned;
    if (status == VECMILL_OK) status = find_model(options, pool, facts, err);
    if (status == VECMILL_OK) status = proof_open(&pool->proof, &pool->resolved.ref, err);
    if (status == VECMILL_OK) status = start_workers(options, pool, err);
    if (status == VECMILL_OK && !pool->proof.is_made)
        status = prove_pack(options, pool, facts, err);
    if (status == VECMILL_OK) status = wait_ready(pool, err);
    mem_free(facts);
    if (status == VECMILL_OK)
        *out = pool;
    else
        vecmill_pool_close(pool);
    return status;
}

vecmill_status vecmill_pool_open(const vecmill_options *options,
                                 const vecmill_pool_options *pool_options, vecmill_pool **out,
                                 vecmill_err *err)
{
    struct pool_opening o = {.pool = out};
    VM_TRY(api_take_options(options, &o.options, err));
    VM_TRY(api_take_pool_options(pool_options, &o.pool_options, err));
    return api_call(open_pool, &o, err);
}

void vecmill_pool_close(vecmill_pool *pool)
{
    if (!pool) return;
    end_workers(pool);
    pthread_cond_destroy(&pool->stepped);
    pthread_mutex_destroy(&pool->lock);
    proof_close(&pool->proof);
    if (pool->pack_memory >= 0) close(pool->pack_memory);
    mem_free(pool);
}

/* Workers that a fault ended: what they computed with may be damaged, though the file says nothing of it. */
static uint64_t count_faults(vecmill_pool *pool)
{
    static const vecmill_cause faults[] = {VECMILL_CAUSE_SEGV, VECMILL_CAUSE_BUS, VECMILL_CAUSE_ILL,
                                           VECMILL_CAUSE_FPE, VECMILL_CAUSE_ABORT};
    struct crew_counts counts;
    uint64_t n = 0;
    pthread_mutex_lock(&pool->lock);
    crew_count(pool->crew, &counts);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        n += counts.deaths[faults[i]];
    return n;
}

vecmill_status vecmill_pool_verify(vecmill_pool *pool, vecmill_err *err)
{
    vecmill_err why;
    const uint64_t faults = count_faults(pool);
    if (faults == pool->proven_faults && proof_holds(&pool->proof)) return VECMILL_OK;
    if (proof_make(&pool->proof, &why) != VECMILL_OK)
        return err_set(err, VECMILL_E_MODEL,
                       "the model's pack was damaged while it was in use, so that vectors may be "
                       "wrong (%s)",
                       why.message);
    pool->proven_faults = faults;
    return VECMILL_OK;
}

void vecmill_pool_planned(const vecmill_pool *pool, vecmill_plan *plan)
{
    api_give(plan, &pool->plan, sizeof pool->plan);
}

struct pool_measuring {
    vecmill_pool *pool;
    vecmill_plan *plan;
};

static vecmill_status measure_pool(void *context, vecmill_err *err)
{
    vecmill_pool *pool = ((struct pool_measuring *)context)->pool;
    vecmill_plan *plan = ((struct pool_measuring *)context)->plan;
    vecmill_plan measured = pool->plan;
    pid_t pids[VECMILL_MAX_WORKERS];
    pthread_mutex_lock(&pool->lock);
    const uint32_t n = crew_pids(pool->crew, pids, VECMILL_MAX_WORKERS);
    pthread_mutex_unlock(&pool->lock);
    VM_TRY(plan_measure(0, VECMILL_OWNER_SUPERVISOR, &measured, err));
    for (uint32_t i = 0; i < n; i++) /* one that ends just now holds nothing */
        (void)plan_measure(pids[i], VECMILL_OWNER_WORKER, &measured, NULL);
    api_give(plan, &measured, sizeof measured);
    return VECMILL_OK;
}

vecmill_status vecmill_pool_measure(vecmill_pool *pool, vecmill_plan *plan, vecmill_err *err)
{
    struct pool_measuring m = {pool, plan};
    return api_call(measure_pool, &m, err);
}

void vecmill_pool_duplicates(vecmill_pool *pool, int computed)
{
    pthread_mutex_lock(&pool->lock);
    pool->computes_duplicates = computed != 0 || pool->output.n_tails > 0;
    pthread_mutex_unlock(&pool->lock);
}

void vecmill_pool_describe(const vecmill_pool *pool, vecmill_facts *facts)
{
    resolved_describe(&pool->resolved, resolved_session_bytes(&pool->resolved), facts);
}

/* ---- documents ---- */

/* Estimated work by the formulas of the model; the number of tokens is guessed. Of a document that is
 * cut the bytes tell enough. One that is split may take minutes, and is late after three times what it
 * should take by the pace of others (crew.h), so its characters are looked at. */
static uint64_t cost_ns(const vecmill_pool *pool, vecmill_doc doc)
{
    const struct resolved *s = &pool->resolved;
    const double bytes = (double)doc.bytes + (double)doc.pair_bytes;
    double tokens = 2 + (s->prompt_bytes + bytes) / BYTES_A_TOKEN, windows = 1;
    if (s->long_policy == VECMILL_LONG_SPLIT) {
        const struct split_shape shape = split_shape_of(s);
        const uint64_t n = split_guess_tokens(doc.text, doc.bytes);
        tokens = s->n_specials + s->prompt_tokens + (double)n;
        windows = (double)split_windows(&shape, n);
    }
    if (tokens > s->max_length) tokens = s->max_length;
    return (uint64_t)(windows * model_flops(&s->config, s->kinds, (uint32_t)tokens) /
                      OPERATIONS_A_SECOND * 1e9);
}

/* A document that is looked for among those that are in the pool. */
struct sought {
    const vecmill_pool *pool;
    const struct item *item;
};

static bool has_bytes(const void *context, uint64_t work)
{
    const struct sought *sought = context;
    const size_t prefix = resolved_prefix(&sought->pool->resolved);
    size_t bytes;
    const char *data = crew_item(sought->pool->crew, work, &bytes);
    return item_is(sought->item, data + prefix, bytes - prefix);
}

vecmill_status vecmill_pool_submit(vecmill_pool *pool, vecmill_doc doc, int *accepted,
                                   vecmill_err *err)
{
    VM_TRY(resolved_check_doc(&pool->resolved, &doc, err));
    if (!resolved_scores(&pool->resolved)) doc.pair_bytes = 0;
    if (doc.bytes > pool->max_document || doc.pair_bytes > pool->max_document - doc.bytes)
        return err_set(err, VECMILL_E_LIMIT,
                       "a document of %llu bytes is over the maximum (max_document) of %llu",
                       (unsigned long long)doc.bytes + doc.pair_bytes,
                       (unsigned long long)pool->max_document);
    const uint64_t cost = cost_ns(pool, doc);
    struct item item;
    item_of(&pool->resolved, &doc, &item);
    const uint64_t hash = item_hash(&item);
    const struct sought sought = {pool, &item};
    pthread_mutex_lock(&pool->lock);
    const vecmill_status status = crew_failure(pool->crew, err);
    if (status == VECMILL_OK) {
        const bool fits = !dedup_is_full(&pool->dedup);
        const bool is_copy = fits && !pool->computes_duplicates &&
                             dedup_add_copy(&pool->dedup, hash, has_bytes, &sought);
        const bool is_work =
            fits && !is_copy && crew_submit(pool->crew, item.pieces, item.n_pieces, cost);
        if (is_work) dedup_add_work(&pool->dedup, hash);
        *accepted = is_copy || is_work;
    }
    if (pool->n_waiting > 0) crew_hurry(pool->crew);
    pthread_mutex_unlock(&pool->lock);
    return status;
}

static void read_result(const vecmill_pool *pool, const unsigned char *result, float *vector,
                        vecmill_result *r, vecmill_err *why)
{
    struct engine_result head;
    const size_t row_bytes = pool->output.dim * sizeof(float);
    memcpy(&head, result, sizeof head);
    memcpy(vector, result + sizeof head, row_bytes);
    const vecmill_status status =
        head.status < VECMILL_STATUS_COUNT ? (vecmill_status)head.status : VECMILL_E_INTERNAL;
    *r = (vecmill_result){.status = status,
                          .n_tokens = head.n_tokens,
                          .truncated = head.truncated != 0,
                          .replaced_bytes = head.replaced_bytes};
    if (status == VECMILL_OK && pool->output.n_tails == 0)
        resolved_result_is_dense(&pool->resolved, r);
    if (status == VECMILL_E_LIMIT)
        (void)err_set(why, status, "the document has more tokens than the maximum of %u",
                      pool->resolved.max_length);
    else if (status != VECMILL_OK)
        (void)err_set(why, status, "%s", vecmill_status_words(status));
}

static void read_condemned(const vecmill_pool *pool, const vecmill_cause *causes, float *vector,
                           vecmill_result *r, vecmill_err *why)
{
    memset(vector, 0, pool->output.dim * sizeof(float));
    *r = (vecmill_result){.status = VECMILL_E_WORKERS};
    char words[CREW_CAUSES_MAX * 16] = "";
    size_t used = 0;
    unsigned n = 0;
    for (; n < CREW_CAUSES_MAX && causes[n] != VECMILL_CAUSE_NONE; n++)
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", n ? ", " : "",
                                 cause_word(causes[n]));
    (void)err_set(why, VECMILL_E_WORKERS,
                  "the document ended %u workers that had nothing else to do%s (%s)", n,
                  n == CREW_TRIAL_DEATHS ? ", while other work lived" : "", words);
}

static size_t result_bytes(const vecmill_pool *pool)
{
    return sizeof(struct engine_result) + pool->output.dim * sizeof(float);
}

/* The oldest document's result: of a copy, what was kept of its work's. As crew_head. */
static enum crew_head look_at_head(const vecmill_pool *pool, const void **result,
                                   vecmill_cause *causes)
{
    const void *slot;
    if (dedup_head(&pool->dedup, &slot) != DEDUP_COPY) return crew_head(pool->crew, result, causes);
    const struct plan_kept *kept = slot;
    *result = kept + 1;
    memcpy(causes, kept->causes, sizeof kept->causes);
    return kept->is_condemned ? CREW_CONDEMNED : CREW_DONE;
}

/* Ends with the oldest document, which is done or condemned; keeps its result for its copies. True: it was a
 * copy itself. */
static bool drop_head(vecmill_pool *pool, enum crew_head head, const void *result,
                      const vecmill_cause *causes)
{
    const void *slot;
    const bool is_copy = dedup_head(&pool->dedup, &slot) == DEDUP_COPY;
    struct plan_kept *kept = dedup_take(&pool->dedup);
    if (kept) {
        kept->is_condemned = head == CREW_CONDEMNED;
        if (kept->is_condemned)
            memcpy(kept->causes, causes, sizeof kept->causes);
        else
            memcpy(kept + 1, result, result_bytes(pool));
    }
    if (is_copy)
        pool->n_copies_condemned += head == CREW_CONDEMNED;
    else
        crew_drop(pool->crew);
    return is_copy;
}

/* The parts of the oldest document, whose fixed part is read, from its tail. A tail that a worker filled
 * with something else is its fault, and the document's end. */
static void read_parts(const vecmill_pool *pool, unsigned char *memory, vecmill_part *parts,
                       uint32_t *n_parts, vecmill_result *r, vecmill_err *why)
{
    const size_t vector_bytes = pool->output.dim * sizeof(float);
    unsigned char *tail = memory + vector_bytes;
    *n_parts = 0;
    if (r->status != VECMILL_OK) return;
    const size_t bytes = pool->output.n_tails > 0 ? crew_tail(pool->crew, tail) : 0;
    *n_parts = output_parts(&pool->output, (const float *)(const void *)memory, tail, bytes, parts);
    if (*n_parts > 0) {
        output_describe(parts, *n_parts, r);
        return;
    }
    *r = (vecmill_result){.status = VECMILL_E_INTERNAL};
    (void)err_set(why, r->status, "a worker's result of %zu bytes is none of %u parts", bytes,
                  pool->output.n_tails);
}

/* parts NULL: there is a vector alone. */
static vecmill_status take_result(vecmill_pool *pool, uint32_t wait_ms, void *memory,
                                  vecmill_part *parts, uint32_t *n_parts, vecmill_result *result,
                                  vecmill_err *why, int *taken, vecmill_err *err)
{
    float *vector = memory;
    const uint64_t at_ns = clock_ns() + (uint64_t)wait_ms * 1000000u;
    const void *bytes = NULL;
    vecmill_cause causes[CREW_CAUSES_MAX];
    vecmill_result r;
    vecmill_status status = VECMILL_OK;
    int got = 0;
    pthread_mutex_lock(&pool->lock);
    enum crew_head head = look_at_head(pool, &bytes, causes);
    while (head == CREW_WAITING && wait_ms > 0 && wait_step(pool, at_ns))
        head = look_at_head(pool, &bytes, causes);
    if (head == CREW_DONE || head == CREW_CONDEMNED) {
        if (parts) *n_parts = 0;
        if (head == CREW_DONE)
            read_result(pool, bytes, vector, &r, why);
        else
            read_condemned(pool, causes, vector, &r, why);
        if (parts && head == CREW_DONE) read_parts(pool, memory, parts, n_parts, &r, why);
        r.duplicate = drop_head(pool, head, bytes, causes);
        if (result) *result = r;
        got = 1;
    } else if (head != CREW_WAITING) {
        status = crew_failure(pool->crew, err);
    }
    pthread_mutex_unlock(&pool->lock);
    if (status == VECMILL_OK) *taken = got;
    return status;
}

vecmill_status vecmill_pool_take(vecmill_pool *pool, uint32_t wait_ms, float *vector,
                                 vecmill_result *result, vecmill_err *why, int *taken,
                                 vecmill_err *err)
{
    if (pool->output.n_tails > 0)
        return err_set(err, VECMILL_E_USAGE,
                       "results of this pool differ in size: vecmill_pool_take_parts takes them");
    return take_result(pool, wait_ms, vector, NULL, NULL, result, why, taken, err);
}

vecmill_status vecmill_pool_take_parts(vecmill_pool *pool, uint32_t wait_ms, void *memory,
                                       vecmill_part *parts, uint32_t *n_parts,
                                       vecmill_result *result, vecmill_err *why, int *taken,
                                       vecmill_err *err)
{
    return take_result(pool, wait_ms, memory, parts, n_parts, result, why, taken, err);
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
    const struct dedup t = pool->dedup;
    const uint64_t copies_condemned = pool->n_copies_condemned;
    pthread_mutex_unlock(&pool->lock);
    const uint64_t copies = t.added - t.works_added, copies_taken = t.taken - t.works_taken;
    vecmill_pool_counts out = {
        .accepted = c.accepted + copies,
        .returned = c.returned + copies_taken,
        .queued = c.queued + copies - copies_taken,
        .in_flight = c.in_flight,
        .condemned = c.condemned + copies_condemned,
        .batches = c.batches,
        .requeued = c.requeued,
        .workers = pool->plan.workers,
        .ready = c.ready,
        .capacity = t.capacity,
        .duplicates = copies,
    };
    memcpy(out.deaths, c.deaths, sizeof c.deaths);
    api_give(counts, &out, sizeof out);
}
