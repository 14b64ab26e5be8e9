/* apply: does what the table says (table.h). Private to crew. */
#ifndef CREW_APPLY_H
#define CREW_APPLY_H

#include "crew_state.h"

/* One event at one slot: the only way in which a state changes. */
void apply_event(struct crew *crew, struct slot *s, enum crew_on event);

/* Ends the crew when memory has been short for too long. */
void apply_shortage(struct crew *crew, uint64_t now_ns);

#endif
