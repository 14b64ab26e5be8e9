/* Documents with one result are a list that begins with the work; when one is taken, the slot with the
 * result goes to the next. */
#include "engine/dedup.h"

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

void dedup_layout(struct dedup *t, struct arena *a)
{
    assert(t->capacity > 0 && t->kept_most <= DEDUP_KEPT_MOST && t->kept_bytes % 8 == 0);
    t->n_buckets = buckets_for(t->capacity);
    t->documents = arena_take_array(a, t->capacity, sizeof *t->documents, 64);
    t->of_work = arena_take_array(a, t->capacity, sizeof *t->of_work, 64);
    t->kept = arena_take_array(a, t->capacity, sizeof *t->kept, 64);
    t->ways = arena_take_array(a, (size_t)t->n_buckets * DEDUP_ENTRIES, sizeof *t->ways, 64);
    t->slots = arena_take_array(a, t->kept_most, t->kept_bytes, 64);
    t->free = arena_take_array(a, t->kept_most, sizeof *t->free, 64);
    if (!t->free) return; /* counting */
    for (t->n_free = 0; t->n_free < t->kept_most; t->n_free++)
        t->free[t->n_free] = t->n_free;
}

bool dedup_is_full(const struct dedup *t)
{
    return t->added - t->taken == t->capacity;
}

static struct dedup_document *at(const struct dedup *t, uint64_t document)
{
    return &t->documents[document % t->capacity];
}

static struct dedup_entry *bucket_of(const struct dedup *t, uint64_t hash)
{
    return &t->ways[(size_t)(hash & (t->n_buckets - 1)) * DEDUP_ENTRIES];
}

static uint32_t mark_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* Of a place in the ring that is in the window. */
static uint64_t document_at(const struct dedup *t, uint32_t place)
{
    const uint32_t oldest = (uint32_t)(t->taken % t->capacity);
    return t->taken + (place >= oldest ? place - oldest : place + (t->capacity - oldest));
}

/* ---- adding ---- */

static struct dedup_document *add_document(struct dedup *t)
{
    assert(!dedup_is_full(t));
    struct dedup_document *document = at(t, t->added);
    *document = (struct dedup_document){.last = t->added, .work = DEDUP_NO_WORK};
    return document;
}

/* One result more is kept while each document after `last` is taken, up to the one that is being added;
 * false, and nothing was changed: there would be too many. */
static bool reserve_slot(struct dedup *t, uint64_t last)
{
    const uint32_t to = (uint32_t)(t->added % t->capacity);
    const uint32_t from = (uint32_t)((last + 1) % t->capacity);
    const uint32_t ends[2][2] = {{from, from <= to ? to + 1 : t->capacity},
                                 {0, from <= to ? 0 : to + 1}};
    if (t->added - last > DEDUP_REACH) return false;
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

bool dedup_add_copy(struct dedup *t, uint64_t hash, dedup_same_fn *same, const void *context)
{
    const struct dedup_entry *ways = bucket_of(t, hash);
    for (unsigned i = 0; i < DEDUP_ENTRIES; i++) {
        if (ways[i].at == 0 || ways[i].mark != mark_of(hash)) continue;
        struct dedup_document *work = &t->documents[ways[i].at - 1];
        if (work->hash != hash) continue;
        if (!same(context, work->work) || !reserve_slot(t, work->last)) continue;
        (void)add_document(t);
        at(t, work->last)->next = t->added;
        work->last = t->added++;
        return true;
    }
    return false;
}

/* Where a work goes in its bucket: an empty entry, else that of the oldest, which leaves first anyway. */
static struct dedup_entry *choose_way(const struct dedup *t, struct dedup_entry *ways)
{
    struct dedup_entry *oldest = NULL;
    uint64_t first = 0;
    for (unsigned i = 0; i < DEDUP_ENTRIES; i++) {
        if (ways[i].at == 0) return &ways[i];
        const uint64_t document = document_at(t, ways[i].at - 1);
        if (oldest && document > first) continue;
        oldest = &ways[i];
        first = document;
    }
    return oldest;
}

void dedup_add_work(struct dedup *t, uint64_t hash)
{
    struct dedup_document *document = add_document(t);
    struct dedup_entry *way = choose_way(t, bucket_of(t, hash));
    document->hash = hash;
    document->work = t->works_added;
    t->kept[t->added % t->capacity] = 0;
    t->of_work[t->works_added % t->capacity] = t->added;
    *way = (struct dedup_entry){mark_of(hash), (uint32_t)(t->added % t->capacity) + 1};
    t->works_added++;
    t->added++;
}

/* ---- taking ---- */

enum dedup_head dedup_head(const struct dedup *t, const void **slot)
{
    if (t->taken == t->added) return DEDUP_NONE;
    const struct dedup_document *document = at(t, t->taken);
    if (document->work != DEDUP_NO_WORK) return DEDUP_WORK;
    *slot = t->slots + document->slot * t->kept_bytes;
    return DEDUP_COPY;
}

/* From now on it is not found; another may have its way already. */
static void forget_work(struct dedup *t, const struct dedup_document *work)
{
    struct dedup_entry *ways = bucket_of(t, work->hash);
    const uint32_t place = (uint32_t)(work - t->documents) + 1;
    for (unsigned i = 0; i < DEDUP_ENTRIES; i++)
        if (ways[i].at == place) ways[i] = (struct dedup_entry){0};
}

void *dedup_take(struct dedup *t)
{
    assert(t->taken < t->added);
    const struct dedup_document *document = at(t, t->taken);
    const bool is_work = document->work != DEDUP_NO_WORK, has_next = document->next != 0;
    if (is_work) forget_work(t, document);
    uint32_t slot = document->slot;
    if (is_work && has_next) {
        assert(t->n_free > 0); /* reserve_slot() saw to it */
        slot = t->free[--t->n_free];
    }
    if (has_next) at(t, document->next)->slot = slot;
    if (!is_work && !has_next) t->free[t->n_free++] = slot;
    t->works_taken += is_work;
    t->taken++;
    return is_work && has_next ? t->slots + slot * t->kept_bytes : NULL;
}

uint64_t dedup_document(const struct dedup *t, uint64_t work)
{
    return t->of_work[work % t->capacity];
}
