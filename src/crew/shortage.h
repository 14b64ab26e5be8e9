/* shortage: how long memory has been short, while no item was returned.
 *
 * Deaths by the OOM killer are the fault of neither an item nor the crew, and starts are held back while
 * there is no room: both are waited out, for as long as the opener has patience. No system calls, no
 * time: the caller says what happened and when. */
#ifndef CREW_SHORTAGE_H
#define CREW_SHORTAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* So many stops of this process are forgiven in one shortage: a host that is late at every round comes to
 * an end as well. */
#define SHORTAGE_PAUSES_MOST 5u

struct shortage {
    uint64_t since_ns; /* 0: there is none */
    uint32_t deaths;   /* by the OOM killer since then */
    uint32_t pauses;   /* of this process since then, that were forgiven */
};

/* Nobody lives, and nobody may be started. */
void shortage_no_room(struct shortage *l, uint64_t now_ns);
/* A worker was ended by the OOM killer. */
void shortage_death(struct shortage *l, uint64_t now_ns);
/* An item was returned, or nobody waits for one. */
void shortage_end(struct shortage *l);
/* This process was stopped for pause_ns, up to now. */
void shortage_pause(struct shortage *l, uint64_t pause_ns, uint64_t now_ns);

/* Whether it has lasted for patience_ns (0: for ever). Then E_WORKERS and what happened are in err. */
bool shortage_is_over(const struct shortage *l, uint64_t patience_ns, uint64_t now_ns,
                      vecmill_err *err);

#endif
