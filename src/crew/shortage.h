/* shortage: how long memory has been short while no item was returned.
 *
 * Deaths by the OOM killer blame neither an item nor the crew, and no worker is started while there
 * is no room. Both are waited out, for as long as the opener allows. No system calls, no clock: the
 * caller says what happened and when. */
#ifndef CREW_SHORTAGE_H
#define CREW_SHORTAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* Pauses of this process that are forgiven in one shortage: a host that is late at every round must
 * come to an end as well. */
#define SHORTAGE_PAUSES_MOST 5u

struct shortage {
    uint64_t since_ns; /* 0: there is no shortage */
    uint32_t deaths;   /* by the OOM killer since then */
    uint32_t pauses;   /* of this process since then that were forgiven */
};

/* No worker is alive and may_start refuses. */
void shortage_no_room(struct shortage *l, uint64_t now_ns);
/* A worker died by lack of memory. */
void shortage_death(struct shortage *l, uint64_t now_ns);
/* An item was returned, or none is awaited. */
void shortage_end(struct shortage *l);
/* This process was stopped for pause_ns, until now_ns. */
void shortage_pause(struct shortage *l, uint64_t pause_ns, uint64_t now_ns);

/* Whether it has lasted for patience_ns (0: never enough). Then err has E_WORKERS and what
 * happened. */
bool shortage_is_over(const struct shortage *l, uint64_t patience_ns, uint64_t now_ns,
                      vecmill_err *err);

#endif
