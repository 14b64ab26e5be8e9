#include "tails.h"

#include <assert.h>

void tails_layout(struct tails *t, const struct crew_options *options, struct arena *a)
{
    if (options->tail_bytes == 0) return;
    t->n_kept = (uint32_t)tails_blocks(options->frame_tails);
    t->n = t->n_free = (uint32_t)num_max(tails_blocks(options->tails_bytes), t->n_kept);
    t->bytes = arena_take_array(a, t->n, TAILS_BLOCK, 64);
    t->next = arena_take_array(a, t->n, sizeof *t->next, 64);
    for (uint32_t i = 0; t->next != NULL && i < t->n; i++)
        t->next[i] = i + 1;
}

bool tails_take(struct tails *t, uint64_t n, bool is_oldest, uint32_t *first)
{
    const uint32_t kept = is_oldest ? 0 : t->n_kept;
    assert(n > 0);
    if (t->n_free < kept || n > t->n_free - kept) return false;
    *first = t->free;
    for (uint64_t i = 0; i < n; i++)
        t->free = t->next[t->free]; /* they are chained already */
    t->n_free -= (uint32_t)n;
    return true;
}

uint32_t tails_give(struct tails *t, uint32_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t after = t->next[first];
        t->next[first] = t->free;
        t->free = first;
        first = after;
    }
    t->n_free += (uint32_t)n;
    return first;
}
