/* serve: a session at work for a pool. Runs in vecmill-worker. */
#include "engine/engine.h"

#include "crew/crew.h"

#include <stdlib.h>
#include <string.h>

struct serving {
    vecmill_session *session;
    uint32_t dim;
    vecmill_doc *docs;       /* [ENGINE_LEASE_DOCS] */
    vecmill_result *results; /* [ENGINE_LEASE_DOCS] */
    float *vectors;          /* [ENGINE_LEASE_DOCS, dim] */
    void *crew;              /* what crew_worker_serve works in */
};

static void lay_out(struct serving *s, const struct crew_work *work, struct arena *a)
{
    s->docs = arena_take_array(a, ENGINE_LEASE_DOCS, sizeof *s->docs, 64);
    s->results = arena_take_array(a, ENGINE_LEASE_DOCS, sizeof *s->results, 64);
    s->vectors = arena_take_array(a, ENGINE_LEASE_DOCS, s->dim * sizeof(float), 64);
    s->crew = arena_take(a, crew_worker_bytes(work), 64);
}

static vecmill_status compute(void *context, const struct crew_piece *items, uint32_t n,
                              unsigned char *results, vecmill_err *err)
{
    struct serving *s = context;
    const size_t row_bytes = s->dim * sizeof(float);
    for (uint32_t i = 0; i < n; i++)
        s->docs[i] = (vecmill_doc){.text = items[i].data, .bytes = items[i].bytes};
    VM_TRY(vecmill_embed(s->session, s->docs, n, s->vectors, s->results, err));
    for (uint32_t i = 0; i < n; i++) {
        const vecmill_result *r = &s->results[i];
        const struct engine_result head = {
            .status = r->status,
            .n_tokens = r->n_tokens,
            .truncated = r->truncated,
            .replaced_bytes = r->replaced_bytes,
        };
        memcpy(results, &head, sizeof head);
        memcpy(results + sizeof head, s->vectors + (size_t)i * s->dim, row_bytes);
        results += sizeof head + row_bytes;
    }
    return VECMILL_OK;
}

/* Whether another worker would fail in the same way. Want of memory passes. */
static bool is_for_good(vecmill_status status)
{
    return status == VECMILL_E_MODEL || status == VECMILL_E_USAGE ||
           status == VECMILL_E_UNSUPPORTED || status == VECMILL_E_NOTFOUND;
}

vecmill_status engine_serve(const struct engine_source *source, const vecmill_options *options,
                            uint64_t max_document)
{
    vecmill_err err;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    struct serving s = {0};
    struct arena a;
    void *memory = NULL;
    size_t bytes = 0;
    vecmill_status status = engine_session_open(source, options, &s.session, &err);
    if (status != VECMILL_OK) goto refuse;
    vecmill_session_describe(s.session, &facts);
    s.dim = facts.dim;
    const struct crew_work work = {
        .result_bytes = (uint32_t)(sizeof(struct engine_result) + s.dim * sizeof(float)),
        .lease_items_max = ENGINE_LEASE_DOCS,
        .lease_bytes_max = num_max(ENGINE_LEASE_BYTES, max_document),
        .compute = compute,
        .context = &s,
    };
    arena_count(&a);
    lay_out(&s, &work, &a);
    bytes = arena_bytes(&a);
    status = mem_map(bytes, "a worker's leases", &memory, &err);
    if (status != VECMILL_OK) goto refuse;
    arena_init(&a, memory, bytes);
    lay_out(&s, &work, &a);
    status = crew_worker_serve(&work, s.crew, &err);
    goto done;
refuse:
    crew_worker_refuse(&err, is_for_good(status));
done:
    mem_unmap(memory, bytes);
    vecmill_session_close(s.session);
    return status;
}
