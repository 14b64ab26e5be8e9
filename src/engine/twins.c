/* twins: see twins.h. Documents with one result are a list, from the work on; when one is taken, the slot
 * with the result goes to the next. */
#include "engine/twins.h"

#include <assert.h>
#include <string.h>

/* Two works a bucket where the window is all work: one in 4,000 then has more than eight (Poisson). */
#define WORKS_A_BUCKET 2u

static uint32_t buckets_for(uint32_t capacity)
{
    uint32_t n = 1;
    while (n < capacity / WORKS_A_BUCKET)
        n *= 2;
    return n;
}

void twins_layout(struct twins *t, struct arena *a)
{
    assert(t->capacity > 0 && t->kept_most <= TWINS_KEPT_MOST && t->kept_bytes % 8 == 0);
    t->n_buckets = buckets_for(t->capacity);
    t->documents = arena_take_array(a, t->capacity, sizeof *t->documents, 64);
    t->of_work = arena_take_array(a, t->capacity, sizeof *t->of_work, 64);
    t->kept = arena_take_array(a, t->capacity, sizeof *t->kept, 64);
    t->ways = arena_take_array(a, (size_t)t->n_buckets * TWINS_WAYS, sizeof *t->ways, 64);
    t->slots = arena_take_array(a, t->kept_most, t->kept_bytes, 64);
    t->free = arena_take_array(a, t->kept_most, sizeof *t->free, 64);
    if (!t->free) return; /* counting */
    for (t->n_free = 0; t->n_free < t->kept_most; t->n_free++)
        t->free[t->n_free] = t->n_free;
}

bool twins_is_full(const struct twins *t)
{
    return t->added - t->taken == t->capacity;
}

static struct twins_document *at(const struct twins *t, uint64_t document)
{
    return &t->documents[document % t->capacity];
}

static struct twins_way *bucket_of(const struct twins *t, uint64_t hash)
{
    return &t->ways[(size_t)(hash & (t->n_buckets - 1)) * TWINS_WAYS];
}

static uint32_t mark_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* Of a place in the ring that is in the window. */
static uint64_t document_at(const struct twins *t, uint32_t place)
{
    const uint32_t oldest = (uint32_t)(t->taken % t->capacity);
    return t->taken + (place >= oldest ? place - oldest : place + (t->capacity - oldest));
}

/* ---- adding ---- */

static struct twins_document *add(struct twins *t)
{
    assert(!twins_is_full(t));
    struct twins_document *document = at(t, t->added);
    *document = (struct twins_document){.last = t->added, .work = TWINS_NO_WORK};
    return document;
}

/* One result more is kept while each document behind `last` is taken, up to the one that is being added;
 * false, and nothing was changed: there would be too many. */
static bool reserve(struct twins *t, uint64_t last)
{
    const uint32_t to = (uint32_t)(t->added % t->capacity);
    const uint32_t from = (uint32_t)((last + 1) % t->capacity);
    const uint32_t ends[2][2] = {{from, from <= to ? to + 1 : t->capacity},
                                 {0, from <= to ? 0 : to + 1}};
    if (t->added - last > TWINS_REACH) return false;
    t->kept[to] = 0;
    uint16_t most = 0;
    for (int part = 0; part < 2; part++)
        for (uint32_t i = ends[part][0]; i < ends[part][1]; i++)
            most = t->kept[i] > most ? t->kept[i] : most;
    if (most >= t->kept_most) return false;
    for (int part = 0; part < 2; part++)
        for (uint32_t i = ends[part][0]; i < ends[part][1]; i++)
            t->kept[i]++;
    return true;
}

bool twins_add_copy(struct twins *t, uint64_t hash, twins_same_fn *same, const void *context)
{
    const struct twins_way *ways = bucket_of(t, hash);
    for (unsigned i = 0; i < TWINS_WAYS; i++) {
        if (ways[i].at == 0 || ways[i].mark != mark_of(hash)) continue;
        struct twins_document *work = &t->documents[ways[i].at - 1];
        if (work->hash != hash) continue;
        if (!same(context, work->work) || !reserve(t, work->last)) continue;
        (void)add(t);
        at(t, work->last)->next = t->added;
        work->last = t->added++;
        return true;
    }
    return false;
}

/* Where a work goes in its bucket: where nobody is, else where the oldest is, which leaves first anyway. */
static struct twins_way *choose_way(const struct twins *t, struct twins_way *ways)
{
    struct twins_way *oldest = NULL;
    uint64_t first = 0;
    for (unsigned i = 0; i < TWINS_WAYS; i++) {
        if (ways[i].at == 0) return &ways[i];
        const uint64_t document = document_at(t, ways[i].at - 1);
        if (oldest && document > first) continue;
        oldest = &ways[i];
        first = document;
    }
    return oldest;
}

void twins_add_work(struct twins *t, uint64_t hash)
{
    struct twins_document *document = add(t);
    struct twins_way *way = choose_way(t, bucket_of(t, hash));
    document->hash = hash;
    document->work = t->works_added;
    t->kept[t->added % t->capacity] = 0;
    t->of_work[t->works_added % t->capacity] = t->added;
    *way = (struct twins_way){mark_of(hash), (uint32_t)(t->added % t->capacity) + 1};
    t->works_added++;
    t->added++;
}

/* ---- taking ---- */

enum twins_head twins_head(const struct twins *t, const void **slot)
{
    if (t->taken == t->added) return TWINS_NONE;
    const struct twins_document *document = at(t, t->taken);
    if (document->work != TWINS_NO_WORK) return TWINS_WORK;
    *slot = t->slots + document->slot * t->kept_bytes;
    return TWINS_COPY;
}

/* From now on it is not found; another may have its way already. */
static void forget(struct twins *t, const struct twins_document *work)
{
    struct twins_way *ways = bucket_of(t, work->hash);
    const uint32_t place = (uint32_t)(work - t->documents) + 1;
    for (unsigned i = 0; i < TWINS_WAYS; i++)
        if (ways[i].at == place) ways[i] = (struct twins_way){0};
}

void *twins_take(struct twins *t)
{
    assert(t->taken < t->added);
    const struct twins_document *document = at(t, t->taken);
    const bool is_work = document->work != TWINS_NO_WORK, has_next = document->next != 0;
    if (is_work) forget(t, document);
    uint32_t slot = document->slot;
    if (is_work && has_next) {
        assert(t->n_free > 0); /* reserve() saw to it */
        slot = t->free[--t->n_free];
    }
    if (has_next) at(t, document->next)->slot = slot;
    if (!is_work && !has_next) t->free[t->n_free++] = slot;
    t->works_taken += is_work;
    t->taken++;
    return is_work && has_next ? t->slots + slot * t->kept_bytes : NULL;
}

uint64_t twins_document(const struct twins *t, uint64_t work)
{
    return t->of_work[work % t->capacity];
}
