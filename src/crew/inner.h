/* inner: a crew from inside, and the parts its loop is made of. Private to crew.
 *
 * One round (crew.c) goes one way: find out what happened (observe.c), do what the table says about it
 * (apply.c), give work to who is free (schedule.c). */
#ifndef CREW_INNER_H
#define CREW_INNER_H

#include "crew.h"

#include "cause.h"
#include "ledger.h"
#include "shortage.h"
#include "slot.h"
#include "trial.h"

#include <poll.h>
#include <xxhash.h>

#define CREW_MS      UINT64_C(1000000)
#define CREW_HOUR_NS (3600000 * CREW_MS)

/* The longest sleep: the counter of OOM kills is looked at. */
#define CREW_TICK_NS (500 * CREW_MS)
/* Between two questions whether a worker may be started. */
#define CREW_ASK_NS (100 * CREW_MS)
/* Between two looks at a worker that was written off. */
#define CREW_LOST_NS (1000 * CREW_MS)

/* Nanoseconds that were reckoned from estimates, which may be anything; at most a day. */
static inline uint64_t crew_ns(double ns)
{
    const uint64_t day_ns = 24 * CREW_HOUR_NS;
    return ns < (double)day_ns ? (uint64_t)ns : day_ns;
}

struct crew {
    struct crew_options options;
    struct ledger ledger;
    struct slot *slots;    /* [workers] */
    struct pollfd *polled; /* [1 + 2 * workers]: wake, then socket and pidfd of those that live */
    uint32_t n_polled;
    unsigned char *stack; /* [PROCESS_STACK_BYTES] */
    XXH3_state_t *hash;
    int wake, null;
    uint64_t seen_ns;        /* all was well then: a pause is counted from here */
    uint64_t wake_at_ns;     /* what crew_wait waits for at most */
    bool wants_work;         /* a worker is idle, or could be started, for want of work */
    uint64_t seen_accepted;  /* items that the last round had to share out */
    uint64_t whole_batch_ns; /* estimated work of a batch, as things stand */
    bool held, closing;

    uint32_t generations;
    uint64_t batch_numbers;
    uint64_t cost_ns, took_ns; /* of recent batches: estimated, measured; 0: none yet */
    struct oom_count oom;
    uint64_t ticked_ns;
    uint64_t ask_at_ns; /* may_start said no, and is not asked again before; 0: it did not */
    bool was_ready;     /* some worker was, once */

    /* Since an item was last returned. Deaths by the OOM killer are counted apart from all others. */
    uint32_t deaths_in_row, failed_starts_in_row, ooms_in_row;
    bool single_tried; /* a batch of one item was given */
    uint64_t lost_ns;  /* when the last batch was lost; 0: none was */
    struct shortage shortage;
    struct suspect_trial trial;

    unsigned char *probe;         /* as it lies in a batch's payload */
    unsigned char *probe_results; /* [workers, result_bytes]: of nobody */

    struct crew_counts counts;
    vecmill_status failure;
    vecmill_err failure_err;
    vecmill_err refusal; /* the last that was not for good; message "" when there is none */
    void *memory;
    size_t memory_bytes;
};

uint32_t crew_n_ready(const struct crew *crew); /* alive and able to work */
uint32_t crew_n_alive(const struct crew *crew); /* neither vacant nor written off */
uint32_t crew_n_at(const struct crew *crew, enum crew_at state);

/* One event at one place: the only way in which a state changes. */
void apply_event(struct crew *crew, struct slot *s, enum crew_on event);

/* Time that this process was stopped for is nobody's lateness: deadlines move by it. */
void observe_pause(struct crew *crew, uint64_t now_ns);
/* What poll said of a place: sends what is left of a batch, reads, reaps. */
void observe_slot(struct crew *crew, struct slot *s);
void observe_deadlines(struct crew *crew, uint64_t now_ns);
/* What is due twice a second: the counter of OOM kills, strangers. */
void observe_tick(struct crew *crew, uint64_t now_ns);

/* Ends the crew when memory has been short for too long. */
void apply_shortage(struct crew *crew, uint64_t now_ns);

/* Whether somebody waits for what workers do: for an item, or for the first of them to be ready. */
bool crew_is_awaited(const struct crew *crew);
/* How many workers more would be of use, whether or not there are vacant places. */
uint32_t schedule_wanted(const struct crew *crew, uint64_t now_ns);
/* Batches to all who are free. */
void schedule_batches(struct crew *crew);
/* Starts workers in vacant places, where they are wanted and their back-off is over. */
void schedule_starts(struct crew *crew, uint64_t now_ns);
/* A copy of descriptor `fd` above those that a worker's are put at; closes fd. -1 and errno. */
int process_lift_fd(int fd);

#endif
