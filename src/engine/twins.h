/* twins: which documents of a pool have the same bytes, and which of them are computed.
 *
 * Looks at a window: the documents that were added and not yet taken, numbered from 0 on, and taken in this
 * order. A document is work (works are numbered by themselves, from 0 on), or a copy: of a work that was in
 * the window when the copy was added, and has the same bytes. A work is taken before its copies, so its
 * result is kept from then until the last of them is taken, in a slot that is the caller's to fill.
 *
 * Promises:
 *  - The bytes of a copy were compared with those of its work. A hash only finds whom to compare with, so
 *    texts that are made to collide cost a comparison and never a wrong result.
 *  - Memory is laid out once and nothing grows. What there is no room for is work again, never a failure: a
 *    slot that would be missing at any moment to come is refused when the copy is to be added.
 *  - A look costs one cache line and at most TWINS_WAYS comparisons, whatever the texts.
 *
 * Does not know the bytes (it asks), what a result is, or who computes. No system calls, no locks: all calls
 * on one struct exclude each other. Private to engine. */
#ifndef ENGINE_TWINS_H
#define ENGINE_TWINS_H

#include "base/base.h"

/* Works of a bucket of the table: its cache line. When there is one more, the oldest is found no longer. */
#define TWINS_WAYS 8u

/* A copy is at most so many documents behind the one before it with these bytes, since all between them are
 * walked over to see how many results are kept there: 1 us. More than a pool of 60 workers holds. */
#define TWINS_REACH 16384u

#define TWINS_KEPT_MOST UINT16_MAX
#define TWINS_NO_WORK   UINT64_MAX

/* A work in the table. */
struct twins_way {
    uint32_t mark; /* the upper half of its hash */
    uint32_t at;   /* 1 + its place in the ring of documents; 0: nobody */
};

struct twins_document {
    uint64_t hash; /* of a work */
    uint64_t last; /* of a work: the newest document that has its result, itself included */
    uint64_t next; /* the next document with the same result; 0: none */
    uint64_t work; /* its number; TWINS_NO_WORK: a copy */
    uint32_t slot; /* of a copy whose predecessor was taken: where its result lies */
};

struct twins {
    uint32_t capacity;  /* documents of the window at most */
    uint32_t kept_most; /* slots, up to TWINS_KEPT_MOST */
    size_t kept_bytes;  /* of a slot; a multiple of 8 */

    uint64_t taken, added;             /* documents since the beginning */
    uint64_t works_taken, works_added; /* of them: works */

    struct twins_document *documents; /* [capacity], a ring */
    uint64_t *of_work;                /* [capacity], a ring: the document of a work */
    uint16_t *kept;                   /* [capacity], a ring: results that are kept when this
                                         document is taken */
    struct twins_way *ways;           /* [n_buckets, TWINS_WAYS] */
    uint32_t n_buckets;               /* a power of two */
    unsigned char *slots;             /* [kept_most, kept_bytes] */
    uint32_t *free;                   /* [kept_most]: slots in nobody's use */
    uint32_t n_free;
};

/* Lays it out over zeroed memory, for t's capacity, kept_most and kept_bytes. */
void twins_layout(struct twins *t, struct arena *a);

bool twins_is_full(const struct twins *t);

/* Whether the bytes that are looked for are those of this work, which is in the window. */
typedef bool twins_same_fn(const void *context, uint64_t work);

/* Adds a document as a copy; false: it is to be work. There is room in the window. */
bool twins_add_copy(struct twins *t, uint64_t hash, twins_same_fn *same, const void *context);

/* Adds a document as work number t->works_added. There is room in the window. */
void twins_add_work(struct twins *t, uint64_t hash);

enum twins_head {
    TWINS_NONE, /* the window is empty */
    TWINS_WORK, /* the oldest document is work number t->works_taken */
    TWINS_COPY, /* its result lies in a slot */
};

/* Looks at the oldest document. *slot: of a copy, borrowed until the next twins_take but one. */
enum twins_head twins_head(const struct twins *t, const void **slot);

/* Takes the oldest document. Of a work that has copies: the slot to be filled with its result, at once;
 * otherwise NULL. */
void *twins_take(struct twins *t);

/* The document of a work: of any that was taken less than `capacity` works ago or not at all. */
uint64_t twins_document(const struct twins *t, uint64_t work);

#endif
