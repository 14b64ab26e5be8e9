/* estimate: how long work takes, and how much of it the next batch has.
 *
 * The costs of items are the opener's estimates; only their proportions count. What batches took turns
 * them into time. A batch is smaller than usual
 *  - as long as nothing was measured, since a first guess may be wrong: an eighth;
 *  - while workers die and nothing is returned: half as large after each death;
 *  - after a batch was lost: at most a quarter of the time since then, so that the next death costs in
 *    proportion to the time between two of them; but a sixteenth of a whole batch at least.
 *
 * No clock: the caller passes times in. */
#ifndef CREW_ESTIMATE_H
#define CREW_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

struct estimate {
    uint64_t cost_ns,
        took_ns;      /* of about the last dozen batches: estimated, measured; 0: none yet */
    uint64_t lost_ns; /* when a batch was last lost; 0: never */
};

/* A batch of estimated work cost_ns was returned after took_ns. batch_ns: the planned time of a batch. */
void estimate_add(struct estimate *e, uint64_t cost_ns, uint64_t took_ns, uint64_t batch_ns);

/* The time that estimated work takes. */
uint64_t estimate_time_ns(const struct estimate *e, uint64_t cost_ns);

/* The estimated work that takes this time, at least 1. */
uint64_t estimate_cost_ns(const struct estimate *e, uint64_t time_ns);

/* Estimated work of a whole batch at now_ns, which is planned to take batch_ns. deaths: of workers since
 * an item was last returned. */
uint64_t estimate_batch_ns(const struct estimate *e, uint64_t batch_ns, uint64_t deaths,
                           uint64_t now_ns);

#endif
