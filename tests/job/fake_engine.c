/* fake_engine: see fake_engine.h. */
#include "fake_engine.h"

#include "base/base.h"

#include <assert.h>
#include <poll.h>
#include <string.h>

void fake_vector(const void *text, size_t bytes, uint32_t dim, float *vector)
{
    const unsigned char *p = text;
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 1099511628211u;
    for (uint32_t i = 0; i < dim; i++) {
        hash = (hash ^ (i + 1)) * 1099511628211u;
        vector[i] = (float)((double)(int64_t)hash / 9223372036854775808.0);
    }
}

const char *vecmill_status_words(vecmill_status status)
{
    return status == VECMILL_OK ? "success" : "a status of the fake";
}

static uint32_t capacity_of(const vecmill_pool *pool)
{
    return pool->capacity != 0 ? pool->capacity : 64;
}

void vecmill_pool_describe(const vecmill_pool *pool, vecmill_facts *facts)
{
    assert(facts->struct_bytes == sizeof *facts && pool->dim <= FAKE_DIM_MAX);
    facts->dim = pool->dim;
    facts->kinds = 1u << (pool->kind);
    facts->result_bytes = FAKE_ROWS_MAX * pool->dim * sizeof(float);
    facts->max_length = 256;
    facts->isa = pool->isa != NULL ? pool->isa : "avx2";
    facts->identity = pool->identity != NULL ? pool->identity : "0123456789abcdef0123456789abcdef";
}

static bool is(const vecmill_doc *doc, const char *text)
{
    return doc->bytes == strlen(text) && memcmp(doc->text, text, doc->bytes) == 0;
}

static void compute(const vecmill_doc *doc, uint32_t dim, struct fake_doc *out)
{
    *out = (struct fake_doc){.result = {.status = VECMILL_OK, .n_tokens = 2},
                             .bytes = doc->bytes,
                             .breaks = is(doc, "BREAK")};
    if (is(doc, "TOO LONG"))
        out->result = (vecmill_result){.status = VECMILL_E_LIMIT, .truncated = 1};
    if (is(doc, "CONDEMN ME")) out->result = (vecmill_result){.status = VECMILL_E_WORKERS};
    if (out->result.status != VECMILL_OK) return;
    out->result.duplicate = is(doc, "TWIN");
    out->result.truncated = is(doc, "TRUNCATE ME");
    for (size_t at = 0; at < doc->bytes;) {
        uint32_t cp;
        bool bad;
        const size_t took =
            utf8_next((const unsigned char *)doc->text + at, doc->bytes - at, &cp, &bad);
        if (bad) out->result.replaced_bytes += took;
        at += took;
    }
    fake_vector(doc->text, doc->bytes, dim, out->vector);
    if (is(doc, "HUGE")) out->vector[0] = 1e6f;
}

vecmill_status vecmill_pool_submit(vecmill_pool *pool, vecmill_doc doc, int *accepted,
                                   vecmill_err *err)
{
    const uint32_t capacity = capacity_of(pool);
    assert(capacity <= FAKE_CAPACITY_MAX && !pool->held);
    if (pool->fail_after != 0 && pool->n_taken >= pool->fail_after)
        return err_set(err, VECMILL_E_WORKERS, "the fake workers keep dying");
    if (is(&doc, "TOO LARGE"))
        return err_set(err, VECMILL_E_LIMIT, "the fake pool has no room for the document");
    *accepted = pool->n_submitted - pool->n_taken < capacity;
    pool->n_refused += *accepted == 0;
    if (*accepted == 0) return VECMILL_OK;
    compute(&doc, pool->dim, &pool->docs[pool->n_submitted % capacity]);
    pool->n_submitted++;
    if (pool->n_submitted - pool->n_taken > pool->most_held)
        pool->most_held = pool->n_submitted - pool->n_taken;
    if (pool->stop != NULL && pool->n_submitted == pool->stop_at) atomic_store(pool->stop, 1);
    return VECMILL_OK;
}

/* Of a document its vector; its vector as many times as it has bytes, up to FAKE_ROWS_MAX; or the vector's
 * components that are not negative, by their places. */
static void give_part(const vecmill_pool *pool, const struct fake_doc *doc, void *memory,
                      vecmill_part *part)
{
    const size_t row = pool->dim * sizeof(float);
    *part = (vecmill_part){.kind = pool->kind, .n = 1, .dim = pool->dim, .data = memory};
    if (pool->kind == VECMILL_KIND_SPARSE) {
        uint32_t *indices = memory;
        part->n = part->dim = 0;
        for (uint32_t i = 0; i < pool->dim; i++)
            if (doc->vector[i] >= 0) indices[part->n++] = i;
        for (uint32_t i = 0; i < part->n; i++)
            memcpy(indices + part->n + i, &doc->vector[indices[i]], sizeof(float));
        part->bytes = part->n * 8;
        return;
    }
    if (pool->kind != VECMILL_KIND_DENSE) part->n = doc->bytes % (FAKE_ROWS_MAX + 1);
    for (uint64_t i = 0; i < part->n; i++)
        memcpy((char *)memory + i * row, doc->vector, row);
    part->bytes = part->n * row;
}

vecmill_status vecmill_pool_take_parts(vecmill_pool *pool, uint32_t wait_ms, void *memory,
                                       vecmill_part *parts, uint32_t *n_parts,
                                       vecmill_result *result, vecmill_err *why, int *taken,
                                       vecmill_err *err)
{
    const struct fake_doc *doc = &pool->docs[pool->n_taken % capacity_of(pool)];
    *taken = 0;
    if (pool->fail_after != 0 && pool->n_taken >= pool->fail_after)
        return err_set(err, VECMILL_E_WORKERS, "the fake workers keep dying");
    if (pool->n_taken == pool->n_submitted) return VECMILL_OK;
    if (pool->held && pool->n_taken >= pool->held_at) {
        pool->n_told++;
        return VECMILL_OK;
    }
    if (pool->waited < pool->late) {
        /* Only when it is held does the time that passes say anything. */
        if (pool->held) poll(NULL, 0, (int)wait_ms);
        pool->waited++;
        return VECMILL_OK;
    }
    if (doc->breaks) return err_set(err, VECMILL_E_MODEL, "the fake model broke");
    *result = doc->result;
    *n_parts = result->status == VECMILL_OK;
    if (result->status == VECMILL_OK) give_part(pool, doc, memory, &parts[0]);
    if (result->status == VECMILL_E_WORKERS)
        err_set(why, result->status, "3 workers ended with this document: segv");
    else if (result->status != VECMILL_OK)
        err_set(why, result->status, "what job says better");
    pool->waited = 0;
    pool->n_taken++;
    *taken = 1;
    return VECMILL_OK;
}

vecmill_status vecmill_pool_verify(vecmill_pool *pool, vecmill_err *err)
{
    if (!pool->is_damaged) return VECMILL_OK;
    *err = (vecmill_err){.status = VECMILL_E_MODEL, .message = "the pack is damaged"};
    return VECMILL_E_MODEL;
}

void vecmill_pool_hold(vecmill_pool *pool)
{
    pool->held = true;
    pool->held_at = pool->n_submitted;
    if (pool->flight != 0 && pool->n_taken + pool->flight < pool->n_submitted)
        pool->held_at = pool->n_taken + pool->flight;
    if (pool->behind != 0) pool->held_at = pool->n_taken;
}

void vecmill_pool_count(vecmill_pool *pool, vecmill_pool_counts *counts)
{
    assert(counts->struct_bytes == sizeof *counts);
    const uint64_t computed = pool->held ? pool->held_at : pool->n_submitted;
    *counts = (vecmill_pool_counts){.struct_bytes = sizeof *counts,
                                    .accepted = pool->n_submitted,
                                    .returned = pool->n_taken,
                                    .queued = pool->n_submitted - computed,
                                    .in_flight = computed - pool->n_taken + pool->behind,
                                    .batches = pool->n_taken * pool->batches_a_doc,
                                    .capacity = capacity_of(pool)};
}
