/* cause: why a worker ended, and whether its own work was at fault. No system calls. */
#ifndef CREW_CAUSE_H
#define CREW_CAUSE_H

#include "process.h"

/* A worker that another process sends SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT exits with this
 * plus the signal's number (crew_worker_enter). A fault of its own ends it by the signal itself. */
#define CAUSE_SENT 160

/* Which OOM kills are accounted for. A death by SIGKILL takes one kill that is not. Kills that no
 * death takes (neighbours in the group are killed too) expire after two ticks, long enough for a
 * dying worker to be seen. */
struct oom_count {
    bool known;
    uint64_t taken;  /* kills up to here are accounted for */
    uint64_t before; /* the counter at the last tick */
};

void oom_tick(struct oom_count *oom, uint64_t kills, bool known);
/* Takes one kill; false: all are accounted for. */
bool oom_take(struct oom_count *oom, uint64_t kills, bool known);

struct death {
    vecmill_cause cause;
    int code;
    bool fault; /* its work may be to blame */
};

/* kill_cause: VECMILL_CAUSE_HANG or _PROTOCOL when the supervisor killed it for that, else _NONE.
 * kill_is_fault: whether that blames the work (a worker that was stopped hangs without fault). oom:
 * oom_take found a kill for it. */
struct death cause_of(const struct exit_status *status, vecmill_cause kill_cause,
                      bool kill_is_fault, bool oom);

#endif
