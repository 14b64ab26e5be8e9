/* pressure: how many workers, and how large, while memory is short.
 *
 * The plan fitted when the run began; then a neighbour took the rest, or a limit was lowered, and the OOM
 * killer ended a worker. What is started next goes by what there is room for now, for it and for those that
 * are starting: a whole worker, or the largest of its halvings down to the least batch, or none. So a
 * neighbour that comes and goes costs the time in which it is there, and no more.
 *
 * What is seen may be wrong: others may take the room while a worker starts. A worker that ended in this way
 * before it had done anything makes the next one half as large, and none is started for a while that
 * doubles, unless the room went and came back, or is larger than that one was started with. A worker that had
 * done something takes that back. Where the room is not known, time and the number of live workers decide.
 *
 * After any such death there are at most PRESSURE_STARTS starts a second, and in a group that stays full at
 * most PRESSURE_STARTS_FULL in a minute.
 *
 * Pure: time and what the machine says are arguments. Private to engine; of the pool's thread. */
#ifndef ENGINE_PRESSURE_H
#define ENGINE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#define PRESSURE_STARTS      3u
#define PRESSURE_STARTS_FULL 12u

/* A worker's batch tokens, and the memory that it takes. */
struct pressure_size {
    uint32_t batch_tokens;
    uint64_t bytes;
};

struct pressure {
    uint32_t workers_most;
    struct pressure_size whole, small; /* the largest worker and the least */

    uint32_t workers;      /* may live, where the room is not known; 1 to workers_most */
    uint32_t tokens_most;  /* of those that are started; small to whole */
    uint32_t batch_tokens; /* of the one that may be started; small to tokens_most */
    uint32_t level;        /* deaths without anything done that were not taken back */
    uint64_t lack_ns;      /* the last death for lack of memory; 0: none */
    uint64_t held_ns;      /* none is started before, unless there is more room than before */
    uint64_t grow_ns;      /* no step is taken back before */
    uint64_t alone_ns;     /* no first worker is tried without room before */
    uint64_t seen_bytes;   /* of room, when a worker was started last */
    bool was_full;         /* since then there was no room */
    uint64_t starts_ns[PRESSURE_STARTS]; /* the last ones, a ring */
    uint32_t n_starts;
};

/* What the machine says now; what it does not say is unknown. */
struct pressure_view {
    bool room_known, waiting_known;
    uint64_t room_bytes; /* that can be taken without anything being reclaimed but file cache */
    double waiting;      /* percent of the last ten seconds in which a task waited for memory */
    uint32_t starting;   /* workers that live and have yet to take what they need */
};

void pressure_init(struct pressure *p, uint32_t workers, struct pressure_size whole,
                   struct pressure_size small);

/* A worker was ended by the OOM killer, or found no memory to start with; `alive` are left. worked: it had
 * done something. */
void pressure_lack(struct pressure *p, uint64_t now_ns, uint32_t alive, bool worked);

/* Whether one more worker may be started next to `alive`, of p->batch_tokens then: if so, it is. */
bool pressure_may_start(struct pressure *p, uint64_t now_ns, uint32_t alive,
                        const struct pressure_view *view);

/* Whether something was narrowed, or is held back. */
bool pressure_is_felt(const struct pressure *p);

#endif
