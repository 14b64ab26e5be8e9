/* observe: finds out what happened to the workers: what they sent, that they ended, that they are late.
 * Private to crew. */
#ifndef CREW_OBSERVE_H
#define CREW_OBSERVE_H

#include "crew_state.h"

/* Between two looks at the counter of OOM kills: crew_wait sleeps no longer. */
#define OBSERVE_TICK_NS (500 * CREW_MS)

/* Moves deadlines by the time for which this process was stopped. */
void observe_pause(struct crew *crew, uint64_t now_ns);

/* What poll reported of a slot: sends what is left of a batch, reads, reaps. */
void observe_slot(struct crew *crew, struct slot *s);

void observe_deadlines(struct crew *crew, uint64_t now_ns);

/* What is due twice a second: the counter of OOM kills, children of others. */
void observe_tick(struct crew *crew, uint64_t now_ns);

#endif
