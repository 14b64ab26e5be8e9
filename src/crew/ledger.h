/* ledger: which items there are, who has each, and which of them end workers.
 *
 * Items are numbered (tag) in the order they are put. They are kept in a ring, from the oldest that
 * was not dropped to the newest. Each is queued, in flight, done or condemned. A batch is a run of
 * consecutive items. New batches are cut from the unsent items; those returned by a dead worker
 * wait in a list and go first, oldest first.
 *
 * The rule of blame. A batch whose worker died is given out again as it is. From its second death
 * on it is requeued in two halves, so that there is progress under any storm of kills. Only an item
 * alone in its batch can be blamed. CREW_FAULTS_MAX deaths by fault condemn it: an item that always
 * kills is found among n in at most ceil(log2(n)) + 4 deaths, one of the whole batch, one for each
 * halving, three alone. After LEDGER_ODD_MAX deaths, alone, that say nothing about the work (a
 * SIGKILL), it is a suspect: ledger_next_batch passes it over until the caller tries it (trial.h).
 * A death by lack of memory blames no item.
 *
 * No system calls, no clock: the caller says what happened. */
#ifndef CREW_LEDGER_H
#define CREW_LEDGER_H

#include "crew.h"
#include "tails.h"

/* A run of consecutive items. */
struct item_range {
    uint64_t first; /* tag */
    uint32_t n;
    uint32_t deaths; /* of workers that had it */
};

enum item_state { ITEM_QUEUED, ITEM_IN_FLIGHT, ITEM_DONE, ITEM_CONDEMNED };

/* Deaths of BLAME_ODD, alone in its batch, that make an item a suspect. */
#define LEDGER_ODD_MAX 2u

/* What a worker's death says about its batch. */
enum blame {
    BLAME_NONE, /* nothing: memory was short */
    BLAME_ODD,  /* nothing yet: it was killed or stopped, or its status is unknown */
    BLAME_FAULT /* it faulted */
};

struct item {
    size_t at;    /* where it is in the queue's bytes, in the form of a batch's payload (frame.h) */
    size_t bytes; /* without the item's head and padding */
    uint64_t cost_ns;
    /* Once it is done, and has a tail: the block that it begins in, and where in that; whether it is
     * the last of its chain. */
    uint32_t tail;
    uint16_t tail_at;
    bool tail_ends;
    unsigned char state; /* enum item_state */
    unsigned char n_faults;
    unsigned char n_odd; /* at LEDGER_ODD_MAX it is a suspect */
    /* of its faults; once it is condemned, of the deaths that did it */
    unsigned char causes[CREW_CAUSES_MAX];
};

/* A batch in the form it is sent: at most two pieces, since an item never wraps in the queue. */
struct batch {
    struct item_range range;
    uint64_t cost_ns;
    uint64_t payload_bytes;
    const unsigned char *pieces[2];
    size_t piece_bytes[2];
};

struct ledger {
    /* as in the crew's options */
    uint32_t items_max, batch_items_max, result_bytes;
    size_t batch_bytes_max;
    const void *prefix; /* of every item */
    size_t prefix_bytes;

    /* Tags: dropped <= unsent <= accepted. Item t is items[t % items_max]. */
    uint64_t dropped;  /* items below are gone */
    uint64_t unsent;   /* items below were given out at least once, items from here on never */
    uint64_t accepted; /* items below exist */

    uint64_t returned, condemned, in_flight;
    uint64_t unsent_cost_ns; /* of items unsent .. accepted */

    struct item *items; /* [items_max] */
    /* [items_max], ranges that were returned by dead workers, ascending */
    struct item_range *requeued;
    uint32_t n_requeued;
    uint32_t n_suspects; /* of those; each is a range of one item */

    /* The items' bytes. The next is written at put_at; from wrap_at on, at 0. So one large item may
     * extend beyond wrap_at, and only large items touch the memory there. */
    unsigned char *bytes; /* [bytes_capacity] */
    size_t put_at, wrap_at, bytes_capacity;

    unsigned char *results; /* [items_max, result_bytes] */
    struct tails tails;
};

/* Takes the ledger's memory from the arena; options are in range. */
void ledger_layout(struct ledger *l, const struct crew_options *options, struct arena *a);

/* False: no room. */
bool ledger_put(struct ledger *l, const struct crew_piece *pieces, uint32_t n, uint64_t cost_ns);

/* Whether anything but suspects is queued. */
bool ledger_has_work(const struct ledger *l);

/* The next batch: the oldest that was requeued, else unsent items of at most budget_ns, at least
 * one. They are in flight from then on. False: nothing but suspects is queued. */
bool ledger_next_batch(struct ledger *l, uint64_t budget_ns, struct batch *batch);
/* The oldest queued suspect, alone. False: there is none. */
bool ledger_next_suspect(struct ledger *l, struct batch *batch);
bool ledger_is_suspect(const struct ledger *l, uint64_t tag);

/* Where the results of a batch are: run `i` (0 or 1) of consecutive results; NULL: there is no such
 * run. */
unsigned char *ledger_results(const struct ledger *l, const struct item_range *range, unsigned i,
                              size_t *bytes);

/* The results of these items have arrived. chain: the first block of their tails, if they have any. */
void ledger_commit(struct ledger *l, const struct item_range *range, uint32_t chain);

/* These items were computed for nothing: they are queued again, and nobody is to blame. */
void ledger_return(struct ledger *l, const struct item_range *range);

/* The worker of these items died. Writes the ranges that are queued again to parts and returns
 * their number (0: the one item is condemned). */
unsigned ledger_requeue(struct ledger *l, const struct item_range *range, vecmill_cause cause,
                        enum blame blame, struct item_range parts[2]);

/* A queued suspect was found guilty. */
void ledger_condemn(struct ledger *l, uint64_t tag, const vecmill_cause *causes, unsigned n_causes);

/* The oldest item; NULL when all were dropped. */
const struct item *ledger_head(const struct ledger *l);
const unsigned char *ledger_result(const struct ledger *l, uint64_t tag);
/* What the item was thought to cost. */
uint64_t ledger_cost_ns(const struct ledger *l, uint64_t tag);
/* Copies the tail of an item that is done; returns its size. to NULL: copies nothing. */
size_t ledger_tail(const struct ledger *l, uint64_t tag, unsigned char *to);
/* The bytes of an item that was not dropped (asserted). */
const unsigned char *ledger_item(const struct ledger *l, uint64_t tag, size_t *bytes);
void ledger_drop(struct ledger *l);

/* Recounts everything; false when a counter disagrees. */
bool ledger_is_sound(const struct ledger *l);

#endif
