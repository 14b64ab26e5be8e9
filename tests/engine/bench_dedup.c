/* bench_dedup: what looking for duplicates costs a document (src/engine/dedup.c): the hash of its bytes, and
 * adding it to and taking it from a full window.
 *
 * A window of a pool of 2 workers and of one of 64; texts of several sizes, which lie in 64 MB and so come
 * from memory, as documents do not: those were read a moment ago. None is the same (the cost where nothing
 * is won), or each comes twice, next to each other or half a window apart (half of those find no room to be
 * kept). Nanoseconds a document, the best of 9 rounds. */
#include "engine/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ROUNDS      9
#define TEXT_MEMORY ((size_t)64 << 20)
#define N_DOCS      200000u

static unsigned char *texts;
static size_t text_bytes;
static uint32_t *works; /* of each work: its text */

static const unsigned char *text_of(uint32_t text)
{
    return texts + (size_t)text * text_bytes % (TEXT_MEMORY - text_bytes);
}

static uint64_t hash_of(uint32_t text)
{
    return XXH3_64bits(text_of(text), text_bytes);
}

static bool same(const void *context, uint64_t work)
{
    const uint32_t sought = *(const uint32_t *)context;
    return memcmp(text_of(works[work]), text_of(sought), text_bytes) == 0;
}

/* Text of document i: each once, twice in a row, or twice and `apart` documents apart. */
static uint32_t choose(uint32_t i, uint32_t apart)
{
    if (apart == 0) return i;
    return i / (2 * apart) * apart + i % apart;
}

/* Nanoseconds a document of all there is to do, or of the hash alone. */
static double measure(uint32_t workers, uint32_t apart, bool hash_only, uint64_t *n_copies)
{
    struct crew_options crew;
    struct arena a;
    struct dedup t;
    struct resolved resolved = {.config = {.dim = 384}};
    vecmill_err err;
    void *memory = NULL;
    double best = 1e9;
    plan_crew(&resolved, workers, 1000, &crew);
    const size_t bytes = plan_dedup_bytes(&crew);
    for (int round = 0; round < ROUNDS; round++) {
        if (mem_map(bytes, "duplicates", &memory, &err) != VECMILL_OK ||
            mem_commit(memory, bytes, "duplicates", &err) != VECMILL_OK) {
            fprintf(stderr, "bench_dedup: %s\n", err.message);
            exit(1);
        }
        plan_dedup(&crew, &t);
        arena_init(&a, memory, bytes);
        dedup_layout(&t, &a);
        uint64_t sum = 0;
        const uint64_t began = clock_ns();
        for (uint32_t i = 0; i < N_DOCS; i++) {
            const uint32_t text = choose(i, apart);
            const uint64_t hash = hash_of(text);
            sum += hash;
            if (hash_only) continue;
            if (dedup_is_full(&t)) (void)dedup_take(&t);
            if (dedup_add_copy(&t, hash, same, &text)) continue;
            works[t.works_added] = text;
            dedup_add_work(&t, hash);
        }
        const double ns = (double)(clock_ns() - began) / N_DOCS;
        if (ns < best && sum != 1) best = ns;
        *n_copies = t.added - t.works_added;
        mem_unmap(memory, bytes);
    }
    return best;
}

int main(void)
{
    static const size_t sizes[] = {60, 200, 1400, 16000};
    static const uint32_t workers[] = {2, 64};
    texts = malloc(TEXT_MEMORY);
    works = malloc(N_DOCS * sizeof *works);
    if (!texts || !works) return 1;
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i + 8 <= TEXT_MEMORY; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(texts + i, &state, 8);
    }
    printf("workers  bytes   hash   none the same   pairs: neighbours   half a window apart\n");
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const uint32_t half = ENGINE_BATCH_DOCS * (workers[w] + 4) / 2;
            uint64_t none, near, far;
            text_bytes = sizes[i] / 4 * 4 + 3; /* odd, so that texts which wrap around differ */
            const double hash = measure(workers[w], 0, true, &none);
            const double all = measure(workers[w], 0, false, &none);
            const double pairs = measure(workers[w], 1, false, &near);
            const double apart = measure(workers[w], half, false, &far);
            printf("%7u %6zu %6.0f %15.0f %13.0f (%2.0f %%) %15.0f (%2.0f %%)\n", workers[w],
                   text_bytes, hash, all, pairs, 100.0 * (double)near / N_DOCS, apart,
                   100.0 * (double)far / N_DOCS);
        }
    free(texts);
    free(works);
    return 0;
}
