/* rerank: pairs of texts and their scores. With --output a job, as of embed; else the best documents for
 * one query, which a pool scores. */
#include "hits.h"

#include <stdio.h>
#include <string.h>

/* What is kept of a document in the pool, at most. */
#define KEPT_BYTES (sizeof(struct hit) + JOB_ID_BYTES_MAX + HITS_TEXT_MAX)

/* Between two looks at a signal. */
#define WAIT_MS 100u

struct ranking {
    struct app *app;
    vecmill_pool *pool;
    const atomic_int *stop;
    vecmill_doc query;
    struct hit *waiting; /* [capacity], a ring: documents in the pool */
    uint64_t given, taken;
    uint32_t capacity;
    uint64_t n_failed;
    struct hits hits;
};

static void say_failed(struct ranking *r, uint64_t row, const char *reason)
{
    char sentence[APP_SENTENCE_MAX];
    r->n_failed++;
    (void)snprintf(sentence, sizeof sentence, "document %llu of %.160s: %.280s",
                   (unsigned long long)row, r->app->options->input, reason);
    app_complain(sentence);
}

/* Waits for the oldest document in the pool, and keeps it if it is among the best. */
static vecmill_status take_one(struct ranking *r, vecmill_err *err)
{
    struct hit *slot = &r->waiting[r->taken % r->capacity], hit = *slot;
    vecmill_result result;
    vecmill_err why = {.message = ""};
    float score = 0;
    for (int taken = 0; !taken;) {
        if (atomic_load(r->stop)) return err_set(err, VECMILL_E_STOPPED, "stopped");
        VM_TRY(vecmill_pool_take(r->pool, WAIT_MS, &score, &result, &why, &taken, err));
    }
    memset(slot, 0, sizeof *slot);
    r->taken++;
    if (result.status == VECMILL_OK) {
        hit.score = (double)score;
        hits_keep(&r->hits, hit);
        return VECMILL_OK;
    }
    say_failed(r, hit.row, why.message);
    mem_free(hit.id);
    mem_free(hit.text);
    return VECMILL_OK;
}

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    struct ranking *r = context;
    vecmill_err why = {.message = ""};
    void *copy = NULL;
    if (reason) {
        say_failed(r, index, reason);
        return VECMILL_OK;
    }
    const vecmill_doc pair = {.text = r->query.text,
                              .bytes = r->query.bytes,
                              .kind = VECMILL_DOC_PAIR,
                              .pair = doc.text,
                              .pair_bytes = doc.bytes};
    for (int accepted = 0; !accepted;) {
        if (r->given - r->taken == r->capacity) VM_TRY(take_one(r, err));
        const vecmill_status status = vecmill_pool_submit(r->pool, pair, &accepted, &why);
        if (status == VECMILL_E_LIMIT) {
            say_failed(r, index, why.message);
            return VECMILL_OK;
        }
        if (status != VECMILL_OK) return err_set(err, status, "%s", why.message);
        if (!accepted) VM_TRY(take_one(r, err));
    }
    struct hit *hit = &r->waiting[r->given++ % r->capacity];
    *hit = (struct hit){.row = index};
    if (id) {
        const size_t bytes = strlen(id) + 1;
        VM_TRY(mem_new(bytes, "an id to show", &copy, err));
        memcpy(copy, id, bytes);
        hit->id = copy;
    }
    return hits_copy_text(doc.text, doc.bytes, hit, err);
}

/* Scores all documents and prints the best. */
static vecmill_status rank(struct ranking *r, const struct job_options *job, vecmill_err *err)
{
    const struct options *o = r->app->options;
    VM_TRY(job_each(job, on_document, r, err));
    while (r->taken < r->given)
        VM_TRY(take_one(r, err));
    VM_TRY(vecmill_pool_verify(r->pool, err));
    hits_sort(&r->hits);
    if (o->json)
        hits_print_json(&r->hits, &r->app->out, r->query, true);
    else
        hits_print(&r->hits, &r->app->out, r->query, true);
    VM_TRY(app_out_flush(&r->app->out, err));
    if (r->n_failed == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_PARTIAL, "%llu documents of %s failed",
                   (unsigned long long)r->n_failed, job->input);
}

/* A pool of one score a pair, and what is kept of the documents in it. */
static vecmill_status open_ranking(struct ranking *r, const struct job_options *job,
                                   vecmill_err *err)
{
    const struct options *o = r->app->options;
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    void *memory = NULL;
    VM_TRY(app_pool_open(o, job, KEPT_BYTES, NULL, NULL, &r->pool, err));
    vecmill_pool_describe(r->pool, &facts);
    if (facts.dim != 1)
        return err_set(err, VECMILL_E_USAGE,
                       "%.200s has %u scores for a pair, which are no order; --output writes all",
                       o->model, facts.dim);
    vecmill_pool_count(r->pool, &counts);
    r->capacity = counts.capacity;
    VM_TRY(mem_new_array(r->capacity, sizeof *r->waiting, "documents that wait", &memory, err));
    r->waiting = memory;
    VM_TRY(mem_new_array(r->hits.top, sizeof *r->hits.at, "the best documents", &memory, err));
    r->hits.at = memory;
    return VECMILL_OK;
}

static vecmill_status show_best(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct job_options job = app_job_options(o);
    struct ranking r = {.app = app,
                        .query = {.text = o->queries[0], .bytes = strlen(o->queries[0])},
                        .hits.top = o->top};
    VM_TRY(app_input_check(&job, err));
    app_raise_descriptors();
    r.stop = signals_defer();
    vecmill_status status = open_ranking(&r, &job, err);
    if (status == VECMILL_OK) status = rank(&r, &job, err);
    vecmill_pool_close(r.pool);
    for (; r.taken < r.given; r.taken++) {
        mem_free(r.waiting[r.taken % r.capacity].id);
        mem_free(r.waiting[r.taken % r.capacity].text);
    }
    hits_clear(&r.hits);
    mem_free(r.hits.at);
    mem_free(r.waiting);
    return status;
}

vecmill_status cmd_rerank(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    if (o->n_queries > 1)
        return err_set(err, VECMILL_E_USAGE, "rerank takes one query, and %u are given (--query)",
                       o->n_queries);
    if (o->n_queries == 0 && !o->output)
        return err_set(
            err, VECMILL_E_USAGE,
            "rerank needs --query TEXT (-q), to show the best documents, or --output FILE "
            "(-o), to score pairs");
    if (o->output) return app_job_run(o, err);
    return show_best(app, err);
}
