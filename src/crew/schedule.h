/* schedule: which work goes to which worker, and when a worker is started. Private to crew. */
#ifndef CREW_SCHEDULE_H
#define CREW_SCHEDULE_H

#include "crew_state.h"

/* Gives batches to all workers that are idle. */
void schedule_batches(struct crew *crew);

/* How many more workers would be of use, whether or not there are vacant slots. */
uint32_t schedule_wanted(const struct crew *crew, uint64_t now_ns);

/* Starts workers in vacant slots, where they are wanted and their back-off is over. */
void schedule_starts(struct crew *crew, uint64_t now_ns);

/* Where the oldest item waits for a worker, and workers wait for room that only its end would make: it
 * is next, also when it is a suspect, and where no worker is left for it one of them gives up results. */
void schedule_room(struct crew *crew);

#endif
