/* tails: memory for the tails of results (crew.h), in blocks.
 *
 * The tails of a frame lie end to end in a chain of blocks. A chain is taken whole when the frame's
 * sizes are known, and its blocks are given back one after the other as items are dropped. Some
 * blocks are kept for the frame that has the oldest item, so that what is waited for can always
 * arrive, however much is done that comes after it. No system calls. Private to crew. */
#ifndef CREW_TAILS_H
#define CREW_TAILS_H

#include "crew.h"

#define TAILS_BLOCK 4096u

struct tails {
    unsigned char *bytes; /* [n, TAILS_BLOCK] */
    uint32_t *next;       /* [n]: of a block's chain, or of the free ones */
    uint32_t n, n_free, n_kept;
    uint32_t free; /* the first of the free ones */
};

/* Takes memory from the arena: nothing where results have no tails. */
void tails_layout(struct tails *t, const struct crew_options *options, struct arena *a);

/* The number of blocks that hold this many bytes. */
static inline uint64_t tails_blocks(uint64_t bytes)
{
    return (bytes + TAILS_BLOCK - 1) / TAILS_BLOCK;
}

/* Takes a chain of n blocks, n >= 1; *first: the first of them. is_oldest: of the frame that has the
 * oldest item. False: not now. */
bool tails_take(struct tails *t, uint64_t n, bool is_oldest, uint32_t *first);

/* Gives back n blocks of a chain from `first` on; returns the block after them. */
uint32_t tails_give(struct tails *t, uint32_t first, uint64_t n);

#endif
