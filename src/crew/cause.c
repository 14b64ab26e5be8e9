#include "cause.h"

#include <signal.h>

void oom_tick(struct oom_count *oom, uint64_t kills, bool known)
{
    if (!known) return;
    if (!oom->known) *oom = (struct oom_count){.known = true, .taken = kills, .before = kills};
    if (oom->taken < oom->before) oom->taken = oom->before;
    oom->before = kills;
}

bool oom_take(struct oom_count *oom, uint64_t kills, bool known)
{
    if (!known || !oom->known || kills <= oom->taken) return false;
    oom->taken++;
    return true;
}

static vecmill_cause cause_of_signal(int signal, bool *fault)
{
    *fault = true;
    switch (signal) {
    case SIGSEGV:
        return VECMILL_CAUSE_SEGV;
    case SIGBUS:
        return VECMILL_CAUSE_BUS;
    case SIGILL:
        return VECMILL_CAUSE_ILL;
    case SIGFPE:
        return VECMILL_CAUSE_FPE;
    case SIGABRT:
        return VECMILL_CAUSE_ABORT;
    default: /* no instruction raises these: they were sent */
        *fault = false;
        return signal == SIGKILL ? VECMILL_CAUSE_KILLED : VECMILL_CAUSE_SIGNAL;
    }
}

struct death cause_of(const struct exit_status *status, vecmill_cause kill_cause,
                      bool kill_is_fault, bool oom)
{
    struct death d = {.code = status->code};
    if (!status->known) {
        d.cause = kill_cause != VECMILL_CAUSE_NONE ? kill_cause : VECMILL_CAUSE_UNKNOWN;
        d.fault = kill_cause != VECMILL_CAUSE_NONE && kill_is_fault;
        d.code = 0;
    } else if (status->signal && status->code == SIGKILL && kill_cause != VECMILL_CAUSE_NONE) {
        d.cause = kill_cause;
        d.fault = kill_is_fault;
    } else if (status->signal && status->code == SIGKILL && oom) {
        d.cause = VECMILL_CAUSE_OOM;
    } else if (status->signal) {
        d.cause = cause_of_signal(status->code, &d.fault);
    } else if (status->code > CAUSE_SENT && status->code <= CAUSE_SENT + 31) {
        d.code = status->code - CAUSE_SENT;
        d.cause = cause_of_signal(d.code, &d.fault);
        d.fault = false;
    } else {
        d.cause = VECMILL_CAUSE_EXIT;
        d.fault = true;
    }
    return d;
}
