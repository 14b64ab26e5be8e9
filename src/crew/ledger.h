/* ledger: which items there are, who has them, and which of them kill.
 *
 * Items are numbered (tag) in the order they are put; they are held in a ring, from the oldest that
 * was not dropped to the newest. Each is queued, leased, done or condemned. Batches are runs of
 * consecutive items: unsent ones are cut from the front of what nobody had yet, those that come back
 * from a dead worker wait in a list and go first, oldest first.
 *
 * The rule of blame. A batch whose worker died is leased again as it is; from its second death on it
 * comes back in two halves, so that there is progress under any storm of kills. Only an item alone in
 * its batch can be blamed. CREW_FAULTS_MAX deaths by fault condemn it: an item that kills every worker
 * so is found among n in at most ceil(log2(n)) + 4 deaths, one of the whole batch, one for each halving,
 * three of itself alone. After LEDGER_ODD_MAX deaths that say nothing about the work (a SIGKILL), alone, it
 * is a suspect: it waits, ledger_next_batch passes it over, until the caller tries it (trial.h). A death for
 * lack of memory blames no item.
 *
 * No system calls, no time: the caller says what happened. */
#ifndef CREW_LEDGER_H
#define CREW_LEDGER_H

#include "crew.h"

/* A run of consecutive items. */
struct item_range {
    uint64_t first; /* tag */
    uint32_t n;
    uint32_t deaths; /* of workers that had it */
};

enum item_state { ITEM_QUEUED, ITEM_IN_FLIGHT, ITEM_DONE, ITEM_CONDEMNED };

/* Deaths of BLAME_ODD, alone in its batch, that make an item a suspect. */
#define LEDGER_ODD_MAX 2u

/* What a worker's death says about what it had. */
enum blame {
    BLAME_NONE, /* nothing: memory was short */
    BLAME_ODD,  /* nothing yet: it was killed, or stopped, or nobody knows */
    BLAME_FAULT /* a fault of its own */
};

struct item {
    size_t at;    /* in the queue's bytes: as it lies in a batch's payload (frame.h) */
    size_t bytes; /* without head and filling */
    uint64_t cost_ns;
    unsigned char state; /* enum item_state */
    unsigned char n_faults;
    unsigned char n_odd; /* at most LEDGER_ODD_MAX: then it is a suspect */
    unsigned char
        causes[CREW_CAUSES_MAX]; /* of its faults, and once it is condemned of what did that */
};

/* A batch as its worker is sent it: at most two pieces, since an item never wraps in the queue. */
struct batch {
    struct item_range range;
    uint64_t cost_ns;
    uint64_t payload_bytes;
    const unsigned char *pieces[2];
    size_t piece_bytes[2];
};

struct ledger {
    /* as the crew's options have them */
    uint32_t items_max, batch_items_max, result_bytes;
    size_t batch_bytes_max;

    /* Tags: dropped <= unsent <= accepted. Item t is items[t % items_max]. */
    uint64_t dropped;  /* items below are gone */
    uint64_t unsent;   /* items below have been leased once, items from here on never */
    uint64_t accepted; /* items below exist */

    uint64_t returned, condemned, in_flight;
    uint64_t unsent_cost_ns; /* of items unsent .. accepted */

    struct item *items;          /* [items_max] */
    struct item_range *requeued; /* [items_max], ranges that came back, ascending */
    uint32_t n_requeued;
    uint32_t n_suspects; /* of those: each a range of its own */

    /* The items' bytes. The next goes to put_at; from wrap_at on it goes to 0, so that one large item
     * lies behind the mark and the memory there is touched by large items only. */
    unsigned char *bytes; /* [bytes_capacity] */
    size_t put_at, wrap_at, bytes_capacity;

    unsigned char *results; /* [items_max, result_bytes] */
};

/* Lays out the ledger's memory; the sizes stand in the options, which are in range. */
void ledger_layout(struct ledger *l, const struct crew_options *options, struct arena *a);

/* False: no room. */
bool ledger_put(struct ledger *l, const void *data, size_t bytes, uint64_t cost_ns);

/* Whether something is queued that is no suspect. */
bool ledger_has_work(const struct ledger *l);

/* The next batch: what came back first, else unsent items of at most budget_ns (one at least). The
 * items are leased from then on. False: nothing is queued but suspects. */
bool ledger_next_batch(struct ledger *l, uint64_t budget_ns, struct batch *batch);
/* The oldest suspect that is queued, alone. False: there is none. */
bool ledger_next_suspect(struct ledger *l, struct batch *batch);
bool ledger_is_suspect(const struct ledger *l, uint64_t tag);

/* Where the results of a batch's items lie: run `i` (0 or 1) of consecutive results; NULL: no such. */
unsigned char *ledger_results(const struct ledger *l, const struct item_range *range, unsigned i,
                              size_t *bytes);

/* The results are in. */
void ledger_commit(struct ledger *l, const struct item_range *range);

/* Their worker died. Writes what came back to parts[2] and how many (0: the one item is condemned). */
unsigned ledger_requeue(struct ledger *l, const struct item_range *range, vecmill_cause cause,
                        enum blame blame, struct item_range parts[2]);

/* A suspect that is queued was found guilty. */
void ledger_condemn(struct ledger *l, uint64_t tag, const vecmill_cause *causes, unsigned n_causes);

/* The oldest item; NULL when all were dropped. */
const struct item *ledger_head(const struct ledger *l);
const unsigned char *ledger_result(const struct ledger *l, uint64_t tag);
/* What was put; of an item that is there. */
const unsigned char *ledger_item(const struct ledger *l, uint64_t tag, size_t *bytes);
void ledger_drop(struct ledger *l);

/* Counts everything again; false when it disagrees with the counters. */
bool ledger_is_sound(const struct ledger *l);

#endif
