/* dedup: which documents of a pool have the same bytes, and which of them are computed.
 *
 * The window is the documents that were added and not yet taken. They are numbered from 0 and taken in this
 * order. A document is a work, which is computed (works have numbers of their own, from 0), or a copy of a
 * work that was in the window when the copy was added. A work is taken before its copies, so its result is
 * kept from then until the last of them is taken, in a slot that the caller fills.
 *
 * Promises:
 *  - The bytes of a copy were compared with those of its work. The hash only finds candidates, so texts
 *    that are made to collide cost a comparison and never a wrong result.
 *  - Memory is laid out once and nothing grows. Without room for a copy's result the document is a work,
 *    never a failure; whether a slot will be free is decided when the copy is added.
 *  - A look costs one cache line and at most DEDUP_ENTRIES comparisons, whatever the texts.
 *
 * Does not know the bytes (it asks), what a result is, or what computes. No system calls, no locks: all calls
 * on one struct exclude each other. Private to engine. */
#ifndef ENGINE_DEDUP_H
#define ENGINE_DEDUP_H

#include "base/base.h"

/* Works in one hash bucket, which is a cache line. A ninth takes the place of the oldest, which is no longer
 * found. */
#define DEDUP_ENTRIES 8u

/* A copy is at most this many documents after the one before it with these bytes, since all between them are
 * walked over to see how many results are kept there: 1 us. More than a pool of 60 workers holds. */
#define DEDUP_REACH 16384u

#define DEDUP_KEPT_MOST UINT16_MAX
#define DEDUP_NO_WORK   UINT64_MAX

/* A work in the table. */
struct dedup_entry {
    uint32_t mark; /* the upper half of its hash */
    uint32_t at;   /* 1 + its place in the ring of documents; 0: none */
};

struct dedup_document {
    uint64_t hash; /* of a work */
    uint64_t last; /* of a work: the newest document that has its result, itself included */
    uint64_t next; /* the next document with the same result; 0: none */
    uint64_t work; /* its number; DEDUP_NO_WORK: a copy */
    uint32_t slot; /* of a copy whose predecessor was taken: its result */
};

struct dedup {
    uint32_t capacity;  /* documents of the window at most */
    uint32_t kept_most; /* slots, up to DEDUP_KEPT_MOST */
    size_t kept_bytes;  /* of a slot; a multiple of 8 */

    uint64_t taken, added;             /* documents since the beginning */
    uint64_t works_taken, works_added; /* of them: works */

    struct dedup_document *documents; /* [capacity], a ring */
    uint64_t *of_work;                /* [capacity], a ring: the document of a work */
    uint16_t *kept;                   /* [capacity], a ring: results that are kept when this
                                         document is taken */
    struct dedup_entry *ways;         /* [n_buckets, DEDUP_ENTRIES] */
    uint32_t n_buckets;               /* a power of two */
    unsigned char *slots;             /* [kept_most, kept_bytes] */
    uint32_t *free;                   /* [kept_most]: slots that are not in use */
    uint32_t n_free;
};

/* Lays it out over zeroed memory, for t's capacity, kept_most and kept_bytes. */
void dedup_layout(struct dedup *t, struct arena *a);

bool dedup_is_full(const struct dedup *t);

/* Whether the bytes that are looked for are those of this work, which is in the window. */
typedef bool dedup_same_fn(const void *context, uint64_t work);

/* Adds a document as a copy; false: it is to be work. There is room in the window. */
bool dedup_add_copy(struct dedup *t, uint64_t hash, dedup_same_fn *same, const void *context);

/* Adds a document as work number t->works_added. There is room in the window. */
void dedup_add_work(struct dedup *t, uint64_t hash);

enum dedup_head {
    DEDUP_NONE, /* the window is empty */
    DEDUP_WORK, /* the oldest document is work number t->works_taken */
    DEDUP_COPY, /* its result is in a slot */
};

/* Looks at the oldest document. *slot: of a copy, borrowed until the next dedup_take but one. */
enum dedup_head dedup_head(const struct dedup *t, const void **slot);

/* Takes the oldest document. Of a work that has copies: the slot to be filled with its result, at once;
 * otherwise NULL. */
void *dedup_take(struct dedup *t);

/* The document of a work: of any that was taken less than `capacity` works ago or not at all. */
uint64_t dedup_document(const struct dedup *t, uint64_t work);

#endif
