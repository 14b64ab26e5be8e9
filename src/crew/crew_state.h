/* crew_state: what a crew consists of. Private to crew.
 *
 * The files of the supervisor's side share this struct. A round (crew.c) finds out what happened
 * (observe.h), and gives out work and starts workers (schedule.h); both change a slot's state through
 * apply.h alone, which calls neither. */
#ifndef CREW_STATE_H
#define CREW_STATE_H

#include "crew.h"

#include "cause.h"
#include "estimate.h"
#include "ledger.h"
#include "shortage.h"
#include "slot.h"
#include "trial.h"

#include <poll.h>
#include <xxhash.h>

#define CREW_MS UINT64_C(1000000)

/* Between two looks at a worker that was written off. */
#define CREW_LOST_NS (1000 * CREW_MS)

struct crew {
    struct crew_options options;
    struct ledger ledger;
    struct slot *slots;    /* [workers] */
    struct pollfd *polled; /* [1 + 2 * workers]: wake, then socket and pidfd of those that live */
    uint32_t n_polled;
    unsigned char *stack; /* [PROCESS_STACK_BYTES] */
    XXH3_state_t *hash;
    int wake, null;
    uint64_t seen_ns;        /* end of the last round: a pause is counted from here */
    uint64_t wake_at_ns;     /* when crew_wait returns at the latest */
    bool wants_work;         /* a worker is idle, or could be started, but nothing is queued */
    uint64_t seen_accepted;  /* items that the last round could give out */
    uint64_t whole_batch_ns; /* estimated work of a whole batch, now */
    bool held, closing;
    bool lacks_room; /* a worker waits with tails for items to be dropped */

    uint32_t generations;
    uint64_t batch_numbers;
    struct estimate estimate;
    struct oom_count oom;
    uint64_t ticked_ns;
    uint64_t ask_at_ns; /* may_start refused, and is not asked again before; 0: it did not */
    bool was_ready;     /* some worker was, once */

    /* Since an item was last returned. Deaths by the OOM killer are counted apart from all others. */
    uint32_t deaths_in_row, failed_starts_in_row, ooms_in_row;
    bool single_tried; /* a batch of one item was given out */
    bool is_starved;   /* there is no room for results that come after the oldest item, a suspect */
    struct shortage shortage;
    struct suspect_trial trial;

    unsigned char *probe;         /* in the form of a batch's payload */
    unsigned char *probe_results; /* [workers, result_bytes]; never read */
    unsigned char *nowhere;       /* [TAILS_BLOCK]; never read */

    struct crew_counts counts;
    vecmill_status failure;
    vecmill_err failure_err;
    vecmill_err refusal; /* the last that was not for good; message "" when there is none */
    void *memory;
    size_t memory_bytes;
};

uint32_t crew_n_at(const struct crew *crew, enum crew_at state);
uint32_t crew_n_ready(const struct crew *crew); /* alive and able to work */
uint32_t crew_n_alive(const struct crew *crew); /* neither vacant nor written off */

/* Whether anyone waits for the workers: for an item, or for the first of them to be ready. */
bool crew_is_awaited(const struct crew *crew);

#endif
