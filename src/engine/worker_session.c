/* worker_session: a session at work for a pool. Runs in vecmill-worker.
 *
 * Promises that a worker that is ready has all the memory that it will ever use: arenas committed, stack
 * touched, and then a fence (base/fence.h). So a worker that lives through its
 * start is not ended later for lack of memory of its own, and a mistake in the plan is a message, not
 * a kill. Outside the fence, because no limit can count them apart: the pages of the pack, which are the
 * kernel's to give and take. */
#include "engine/item.h"
#include "engine/output.h"
#include "engine/worker_args.h"

#include "crew/crew.h"

#include <stdlib.h>
#include <string.h>

/* In builds for tests only: more memory than was planned, asked for in the middle of a batch. */
#ifdef CREW_TEST_HOOKS
vecmill_status engine_test_hook(vecmill_err *err);
#else
static vecmill_status engine_test_hook(vecmill_err *err)
{
    (void)err;
    return VECMILL_OK;
}
#endif

struct worker_session {
    vecmill_session *session;
    struct output output;
    struct crew_results *all; /* of the batch that is computed, if its results have tails */
    unsigned char *result;    /* [result_bytes], likewise */
    vecmill_doc *docs;        /* [ENGINE_BATCH_DOCS] */
    vecmill_result *results;  /* [ENGINE_BATCH_DOCS] */
    void *crew;               /* what crew_worker_serve works in */
    uint64_t fence_bytes;
};

static void lay_out_batch(struct worker_session *s, const struct crew_work *work, struct arena *a)
{
    s->docs = arena_take_array(a, ENGINE_BATCH_DOCS, sizeof *s->docs, 64);
    s->results = arena_take_array(a, ENGINE_BATCH_DOCS, sizeof *s->results, 64);
    if (work->tail_bytes > 0) s->result = arena_take(a, work->result_bytes, 64);
    s->crew = arena_take(a, crew_worker_bytes(work), 64);
}

static struct crew_work work_of(const struct output *output, uint64_t max_document)
{
    return (struct crew_work){
        .result_bytes = (uint32_t)(sizeof(struct engine_result) + output->dim * sizeof(float)),
        .tail_bytes = (uint32_t)output->tail_most,
        .frame_tails = (uint32_t)output->frame_tails,
        .batch_items_max = ENGINE_BATCH_DOCS,
        .batch_bytes_max = num_max(ENGINE_BATCH_BYTES, max_document),
    };
}

size_t worker_session_bytes(const struct output *output, uint64_t max_document)
{
    const struct crew_work work = work_of(output, max_document);
    struct worker_session s = {.output = *output};
    struct arena a;
    arena_count(&a);
    lay_out_batch(&s, &work, &a);
    return arena_bytes(&a);
}

/* After the fence memory can be missing for one reason alone: more was needed than had been planned. */
static vecmill_status say_plan_was_wrong(const struct worker_session *s, vecmill_err *err)
{
    return err_set(
        err, VECMILL_E_MEMORY,
        "the plan was wrong: a worker needed more than the %llu bytes of data that it had "
        "when it was ready (%s); please report this",
        (unsigned long long)s->fence_bytes, err->message);
}

static struct engine_result head_of(const vecmill_result *r)
{
    return (struct engine_result){
        .status = r->status,
        .n_tokens = r->n_tokens,
        .truncated = r->truncated,
        .replaced_bytes = r->replaced_bytes,
    };
}

/* ---- results with tails ---- */

/* Parts are written to where they are sent from. Where other parts come before them, there is
 * room for these in front, and rows move down to their own as they are put. */
static void *room_for_parts(void *context, size_t bytes, size_t align)
{
    struct worker_session *s = context;
    const size_t before = (size_t)s->output.before_rows;
    unsigned char *room = crew_results_room(s->all, before + bytes, align);
    return room ? room + before : NULL;
}

static void put_parts(const struct output *o, const vecmill_part *parts, uint32_t n_parts,
                      unsigned char *to)
{
    uint64_t sizes[VECMILL_PARTS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_parts; i++)
        if (OUTPUT_TAIL_KINDS >> parts[i].kind & 1) sizes[n++] = parts[i].bytes;
    if (o->n_tails > 1) memcpy(to, sizes, n * sizeof *sizes);
    size_t at = o->n_tails > 1 ? n * sizeof *sizes : 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        if ((OUTPUT_TAIL_KINDS >> parts[i].kind & 1) == 0) continue;
        if (to + at != parts[i].data) memmove(to + at, parts[i].data, (size_t)parts[i].bytes);
        at += (size_t)parts[i].bytes;
    }
}

static vecmill_status put_result(void *context, size_t d, const vecmill_result *r,
                                 const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct worker_session *s = context;
    const struct output *o = &s->output;
    const struct engine_result head = head_of(r);
    uint64_t tail = n_parts > 0 && o->n_tails > 1 ? o->n_tails * sizeof(uint64_t) : 0;
    (void)d;
    memcpy(s->result, &head, sizeof head);
    memset(s->result + sizeof head, 0, o->dim * sizeof(float));
    for (uint32_t i = 0; i < n_parts; i++) {
        if (OUTPUT_TAIL_KINDS >> parts[i].kind & 1)
            tail += parts[i].bytes;
        else
            memcpy(s->result + sizeof head, parts[i].data, (size_t)parts[i].bytes);
    }
    unsigned char *to = o->rows > 0 ? crew_results_next(s->all)
                                    : crew_results_room(s->all, (size_t)tail, sizeof(float));
    if (!to) return err_set(err, VECMILL_E_STOPPED, "the supervisor is gone");
    put_parts(o, parts, n_parts, to);
    crew_results_put(s->all, s->result, (uint32_t)tail);
    return VECMILL_OK;
}

static vecmill_status compute_tails(struct worker_session *s, uint32_t n, vecmill_err *err)
{
    const struct output_sink sink = {room_for_parts, put_result, s};
    return engine_compute(s->session, s->docs, n, &sink, err);
}

/* ---- batches ---- */

/* Each of the n results is a head and a vector. The vectors are computed into the end of them all, then moved
 * to their places from the first to the last: a result ends at the latest where the next vector begins. */
static vecmill_status compute_vectors(struct worker_session *s, uint32_t n, unsigned char *results,
                                      vecmill_err *err)
{
    const size_t vector_bytes = s->output.dim * sizeof(float);
    unsigned char *vectors = results + n * sizeof(struct engine_result);
    VM_TRY(vecmill_embed(s->session, s->docs, n, (float *)(void *)vectors, s->results, err));
    for (uint32_t i = 0; i < n; i++) {
        const struct engine_result head = head_of(&s->results[i]);
        memmove(results + sizeof head, vectors + i * vector_bytes, vector_bytes);
        memcpy(results, &head, sizeof head);
        results += sizeof head + vector_bytes;
    }
    return VECMILL_OK;
}

static vecmill_status compute_batch(void *context, const struct crew_item *items, uint32_t n,
                                    struct crew_results *all, vecmill_err *err)
{
    struct worker_session *s = context;
    const bool is_pair = s->output.kinds == 1u << VECMILL_KIND_SCORE;
    for (uint32_t i = 0; i < n; i++)
        if (!item_doc(is_pair, items[i].data, items[i].bytes, &s->docs[i]))
            return err_set(err, VECMILL_E_INTERNAL, "an item of %zu bytes is no pair of texts",
                           items[i].bytes);
    s->all = all;
    vecmill_status status = engine_test_hook(err);
    if (status == VECMILL_OK)
        status = s->output.n_tails > 0 ? compute_tails(s, n, err)
                                       : compute_vectors(s, n, crew_results_all(all), err);
    return status == VECMILL_E_MEMORY ? say_plan_was_wrong(s, err) : status;
}

/* Whether another worker would fail in the same way. Lack of memory passes. */
static bool is_for_good(vecmill_status status)
{
    return status == VECMILL_E_MODEL || status == VECMILL_E_USAGE ||
           status == VECMILL_E_UNSUPPORTED || status == VECMILL_E_NOTFOUND;
}

vecmill_status worker_session_serve(const struct worker_args *args)
{
    vecmill_err err;
    vecmill_options options;
    struct worker_session s = {0};
    struct arena a;
    void *memory = NULL;
    size_t bytes = 0;
    if (!crew_worker_enter(args->parent, "vecmill-worker")) return VECMILL_E_STOPPED;
    mem_settle();
    vecmill_options_init(&options);
    options.model_dir = args->ref->dir;
    options.isa = args->isa;
    options.precision = args->precision;
    options.batch_tokens = args->batch_tokens;
    options.max_length = args->max_length;
    options.long_policy = args->long_policy;
    options.dimensions = args->dimensions;
    options.normalize = args->normalize;
    options.kinds = args->kinds;
    options.raw_scores = args->raw_scores;
    options.role = args->role;
    options.prompt = args->prompt;
    options.task = args->task;
    vecmill_status status = engine_session_open(args->ref, &options, &s.session, &err);
    if (status != VECMILL_OK) goto refuse;
    engine_session_output(s.session, &s.output);
    struct crew_work work = work_of(&s.output, args->max_document);
    work.compute = compute_batch;
    work.context = &s;
    bytes = worker_session_bytes(&s.output, args->max_document);
    status = mem_map(bytes, "a worker's leases", &memory, &err);
    if (status != VECMILL_OK) goto refuse;
    arena_init(&a, memory, bytes);
    lay_out_batch(&s, &work, &a);
    status = mem_commit(memory, bytes, "a worker's leases", &err);
    if (status == VECMILL_OK) status = engine_session_commit(s.session, &err);
    if (status == VECMILL_OK) status = fence_set(&s.fence_bytes, &err);
    if (status != VECMILL_OK) goto refuse;
    stack_commit(ENGINE_STACK_BYTES);
    status = crew_worker_serve(&work, s.crew, &err);
    goto done;
refuse:
    crew_worker_refuse(&err, is_for_good(status));
done:
    mem_unmap(memory, bytes);
    vecmill_session_close(s.session);
    return status;
}
