/* pressure: how many workers, and how large, while memory is short.
 *
 * The plan fitted when the run began; then a neighbour took the rest, or a limit was lowered, and the OOM
 * killer ended a worker. To start the same again would bring the same end. So each such death makes the
 * workers that are started smaller, down to the least batch, and then fewer; nobody is started for a
 * while that doubles; and a worker is started beside others only where there is room for it and for those
 * that are starting. When nothing has happened for a while, and nobody waits for memory (PSI), one step
 * is taken back, for those that are started from then on.
 *
 * Pure: time and what the machine says are arguments. Private to engine; of the pool's thread. */
#ifndef ENGINE_PRESSURE_H
#define ENGINE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

/* A worker of so many batch tokens, and what it takes. */
struct pressure_size {
    uint32_t batch_tokens;
    uint64_t bytes;
};

struct pressure {
    uint32_t workers_most;
    struct pressure_size whole, small; /* the largest worker and the least */

    uint32_t workers;      /* may live; 1 to workers_most */
    uint32_t batch_tokens; /* of those that are started; small to whole */
    uint32_t level;        /* deaths that were not taken back */
    uint64_t held_ns;      /* nobody is started before */
    uint64_t grow_ns;      /* no step is taken back before */
    uint64_t alone_ns;     /* no first worker is tried without room before */
};

/* What the machine says now; what it does not say is unknown. */
struct pressure_view {
    bool room_known, waiting_known;
    uint64_t room_bytes; /* that can be taken without anything being reclaimed but file cache */
    double waiting;      /* percent of the last ten seconds in which somebody waited for memory */
    uint32_t starting;   /* workers that live and have yet to take what they need */
};

void pressure_init(struct pressure *p, uint32_t workers, struct pressure_size whole,
                   struct pressure_size small);

/* A worker was ended by the OOM killer, or found no memory to start with; `alive` are left. */
void pressure_lack(struct pressure *p, uint64_t now_ns, uint32_t alive);

/* Whether a worker more may be started beside `alive`, of p->batch_tokens then. */
bool pressure_may_start(struct pressure *p, uint64_t now_ns, uint32_t alive,
                        const struct pressure_view *view);

/* Whether something was narrowed, or is held back. */
bool pressure_is_felt(const struct pressure *p);

#endif
