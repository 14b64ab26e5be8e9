/* Twins against a naive oracle: random documents, hashes that collide, windows that are full, slots that run
 * out. Every copy has the bytes of its work, gets what was kept of it, and no place is used twice. */
#include "engine/dedup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_STEPS 60000u
#define MOST    4096u
#define KEPT    16u
#define NOBODY  UINT64_MAX

/* What a text is, is one number here; it may have the hash of others. */
struct world {
    struct dedup t;
    void *memory;
    uint64_t (*hash)(uint64_t text);
    uint64_t *texts, *works;      /* [N_STEPS]: of each document; its work's document */
    uint64_t *of_work;            /* [N_STEPS]: the document of a work */
    uint64_t looked_for, matched; /* a text; the document that was last said to have it */
    uint64_t n_copies, n_compared;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t good_hash(uint64_t text)
{
    uint64_t state = text * UINT64_C(0x9e3779b97f4a7c15) + 1;
    (void)next_random(&state);
    return next_random(&state) * UINT64_C(0xd6e8feb86659fd93);
}

static uint64_t one_hash(uint64_t text)
{
    (void)text;
    return 42;
}

/* One bucket, and marks that tell texts apart; then marks that do not, and hashes that do. */
static uint64_t one_bucket(uint64_t text)
{
    return good_hash(text) << 32;
}

static uint64_t one_mark(uint64_t text)
{
    return good_hash(text) & UINT32_MAX;
}

static uint64_t few_hashes(uint64_t text)
{
    return good_hash(text % 5);
}

static void world_open(struct world *w, uint32_t capacity, uint32_t kept_most,
                       uint64_t (*hash)(uint64_t text))
{
    struct arena a;
    *w = (struct world){.hash = hash};
    w->t = (struct dedup){.capacity = capacity, .kept_most = kept_most, .kept_bytes = KEPT};
    arena_count(&a);
    dedup_layout(&w->t, &a);
    const size_t bytes = arena_bytes(&a);
    assert_int_equal(mem_new(bytes, "duplicates", &w->memory, NULL), VECMILL_OK);
    arena_init(&a, w->memory, bytes);
    dedup_layout(&w->t, &a);
    assert_true(arena_ok(&a));
    w->texts = calloc(3 * (size_t)N_STEPS, sizeof *w->texts);
    assert_non_null(w->texts);
    w->works = w->texts + N_STEPS;
    w->of_work = w->works + N_STEPS;
}

static void world_close(struct world *w)
{
    mem_free(w->memory);
    free(w->texts);
}

static bool same(const void *context, uint64_t work)
{
    struct world *w = (struct world *)(uintptr_t)context;
    assert_true(work >= w->t.works_taken && work < w->t.works_added); /* in the window */
    w->n_compared++;
    w->matched = w->of_work[work];
    return w->texts[w->matched] == w->looked_for;
}

/* Works behind `document` whose hash leads into the same bucket. */
static unsigned naive_crowd(const struct world *w, uint64_t document)
{
    const uint64_t mask = w->t.n_buckets - 1;
    unsigned n = 0;
    for (uint64_t d = document + 1; d < w->t.added; d++)
        n += w->works[d] == d && ((w->hash(w->texts[d]) ^ w->hash(w->texts[document])) & mask) == 0;
    return n;
}

/* Results that would be kept when document d is taken, were `added` (a copy of `work`) one of the window. */
static unsigned naive_kept(const struct world *w, uint64_t d, uint64_t added, uint64_t work)
{
    unsigned n = 0;
    for (uint64_t first = added > 2 * (uint64_t)w->t.capacity ? added - 2 * w->t.capacity : 0;
         first < d; first++) {
        bool waits = first == work && d <= added;
        for (uint64_t k = d; k < added && !waits; k++)
            waits = w->works[k] == first && k != first;
        n += w->works[first] == first && waits;
    }
    return n;
}

/* Whether no work in the window could have this copy: none has the text, was not pushed out of its bucket,
 * and has a result that can be kept so long. */
static bool naive_refuses(const struct world *w, uint64_t text)
{
    for (uint64_t work = w->t.taken; work < w->t.added; work++) {
        if (w->texts[work] != text || w->works[work] != work) continue;
        bool fits = naive_crowd(w, work) < DEDUP_ENTRIES;
        for (uint64_t d = w->t.taken; d <= w->t.added; d++)
            fits = fits && naive_kept(w, d, w->t.added, work) <= w->t.kept_most;
        if (fits) return false;
    }
    return true;
}

/* exact: what is refused is held against the oracle, which takes its time. */
static void add(struct world *w, uint64_t text, bool exact)
{
    struct dedup *t = &w->t;
    const uint64_t d = t->added, hash = w->hash(text), compared = w->n_compared;
    w->looked_for = text;
    if (dedup_add_copy(t, hash, same, w)) {
        assert_int_equal(w->texts[w->matched], text);
        assert_true(w->matched >= t->taken);
        w->works[d] = w->matched;
        w->n_copies++;
    } else {
        if (exact) assert_true(naive_refuses(w, text));
        w->of_work[t->works_added] = d;
        w->works[d] = d;
        dedup_add_work(t, hash);
        assert_int_equal(dedup_document(t, t->works_added - 1), d);
    }
    assert_true(w->n_compared - compared <= DEDUP_ENTRIES);
    w->texts[d] = text;
    assert_int_equal(t->added, d + 1);
}

/* A result is the text it was computed of, and its document. */
static void take(struct world *w)
{
    struct dedup *t = &w->t;
    const void *slot = NULL;
    uint64_t result[2];
    const uint64_t d = t->taken;
    const enum dedup_head head = dedup_head(t, &slot);
    assert_true(head != DEDUP_NONE);
    if (head == DEDUP_WORK) {
        assert_int_equal(w->works[d], d);
        assert_int_equal(w->of_work[t->works_taken], d);
        result[0] = w->texts[d];
        result[1] = d;
    } else {
        memcpy(result, slot, sizeof result);
        assert_true(w->works[d] != d);
    }
    assert_int_equal(result[0], w->texts[d]);
    assert_int_equal(result[1], w->works[d]);
    assert_true(result[1] <= d && d - result[1] < t->capacity);
    void *keep = dedup_take(t);
    if (keep) {
        assert_int_equal(head, DEDUP_WORK);
        memcpy(keep, result, sizeof result);
    }
    assert_int_equal(t->taken, d + 1);
}

/* n_texts texts come again and again; the window fills and empties as chance has it. */
static void run(struct world *w, uint64_t seed, uint64_t n_texts, unsigned n_steps, bool exact)
{
    uint64_t state = seed, rush = 0;
    const void *slot;
    while (w->t.added < n_steps) {
        if (next_random(&state) % 512 == 0) rush = next_random(&state) % 3;
        const bool adds = rush == 0 || (rush == 2 && next_random(&state) % 2 == 0);
        if (adds && !dedup_is_full(&w->t))
            add(w, next_random(&state) % n_texts, exact);
        else if (w->t.taken < w->t.added)
            take(w);
        else
            rush = 0;
    }
    while (w->t.taken < w->t.added)
        take(w);
    assert_int_equal(dedup_head(&w->t, &slot), DEDUP_NONE);
    assert_int_equal(w->t.n_free, w->t.kept_most); /* nothing is kept for nobody */
    for (size_t i = 0; i < (size_t)w->t.n_buckets * DEDUP_ENTRIES; i++)
        assert_int_equal(w->t.ways[i].at, 0);
    assert_int_equal(w->t.works_added + w->n_copies, w->t.added);
    assert_int_equal(w->t.works_taken, w->t.works_added);
}

static void every_twin_gets_its_works_result(void **state)
{
    (void)state;
    static const uint32_t capacities[] = {1, 2, 3, 7, 64, 100, 1000, MOST};
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        const uint32_t capacity = capacities[i];
        for (uint64_t n_texts = 1; n_texts <= 4 * (uint64_t)capacity; n_texts = 3 * n_texts + 1) {
            struct world w;
            world_open(&w, capacity, (capacity + 3) / 4, good_hash);
            run(&w, 77 + n_texts, n_texts, capacity < 1000 ? 4000 : N_STEPS / 4, false);
            assert_true(capacity < 7 || n_texts > 2 || w.n_copies > w.t.added / 2);
            world_close(&w);
        }
    }
}

/* Refused is only what cannot be kept, and what eight later ones have pushed out. */
static void nothing_is_refused_without_need(void **state)
{
    (void)state;
    static uint64_t (*const hashes[])(uint64_t) = {good_hash, one_bucket, one_mark, few_hashes};
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        for (uint32_t kept_most = 0; kept_most <= 12; kept_most += 3) {
            struct world w;
            world_open(&w, 48, kept_most, hashes[i]);
            run(&w, 5 + i, 40, 4000, true);
            assert_true((w.n_copies > 0) == (kept_most > 0));
            world_close(&w);
        }
}

static void hashes_that_collide_mislead_nobody(void **state)
{
    (void)state;
    static uint64_t (*const hashes[])(uint64_t) = {one_hash, one_bucket, one_mark, few_hashes};
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        static const uint64_t n_texts[] = {1, 2, 9, 300, 5000};
        for (size_t k = 0; k < sizeof n_texts / sizeof *n_texts; k++) {
            struct world w;
            world_open(&w, 600, 150, hashes[i]);
            run(&w, 31 * (k + 1), n_texts[k], 20000, false);
            assert_true(n_texts[k] > 9 || w.n_copies > 1000);
            world_close(&w);
        }
    }
}

/* As many results are kept at once as there can be: a window of works, each of which comes again just before
 * it is taken. One slot less, and one document is work again. */
static void the_bound_is_exact(void **state)
{
    (void)state;
    enum { CAPACITY = 32 };
    for (uint32_t missing = 0; missing < 3; missing++) {
        struct world w;
        world_open(&w, CAPACITY, CAPACITY - 1 - missing, good_hash);
        for (uint64_t i = 0; i < CAPACITY - 1; i++)
            add(&w, i, true);
        for (uint64_t i = 0; i < CAPACITY - 1; i++) {
            add(&w, i, true);
            assert_true(dedup_is_full(&w.t));
            take(&w);
        }
        assert_int_equal(w.n_copies, CAPACITY - 1 - missing);
        assert_int_equal(w.t.n_free, 0);
        while (w.t.taken < w.t.added)
            take(&w);
        assert_int_equal(w.t.n_free, w.t.kept_most);
        world_close(&w);
    }
}

/* Neighbours that are the same need one slot, however many pairs are in the window. */
static void pairs_share_a_slot(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1000, 1, good_hash);
    for (uint64_t i = 0; i < 20000; i++) {
        if (dedup_is_full(&w.t)) take(&w);
        add(&w, i / 2, false);
    }
    assert_int_equal(w.n_copies, 10000);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_twin_gets_its_works_result),
        cmocka_unit_test(nothing_is_refused_without_need),
        cmocka_unit_test(hashes_that_collide_mislead_nobody),
        cmocka_unit_test(the_bound_is_exact),
        cmocka_unit_test(pairs_share_a_slot),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
