/* cause: what a worker died of, and whether its own work was at fault. No system calls. */
#ifndef CREW_CAUSE_H
#define CREW_CAUSE_H

#include "process.h"

/* A worker that is sent SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT by another process exits with this
 * plus the signal's number (crew_worker_enter): a fault of its own ends it by the signal itself. */
#define CAUSE_SENT 160

/* The counter of OOM kills as far as it is accounted for. A death by SIGKILL takes one kill off what
 * has not been. What nobody took (neighbours in the group are killed too) expires: `before` is the
 * counter as it was at the last tick but one, long enough for a dying worker to be seen. */
struct oom_count {
    bool known;
    uint64_t taken;  /* kills up to here are accounted for */
    uint64_t before; /* the counter at the last tick */
};

void oom_tick(struct oom_count *oom, uint64_t kills, bool known);
/* Takes one kill off; false: there is none that is not accounted for. */
bool oom_take(struct oom_count *oom, uint64_t kills, bool known);

struct death {
    vecmill_cause cause;
    int code;
    bool fault; /* its work may be to blame */
};

/* kill_cause: CAUSE_HANG or CAUSE_PROTOCOL when the supervisor killed it for that, else CAUSE_NONE;
 * kill_is_fault: whether that is to be blamed (a worker that somebody stopped hangs without fault).
 * oom: a kill by the OOM killer was there to be taken. */
struct death cause_of(const struct exit_status *status, vecmill_cause kill_cause,
                      bool kill_is_fault, bool oom);

#endif
