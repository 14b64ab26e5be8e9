#include "shortage.h"

void shortage_no_room(struct shortage *l, uint64_t now_ns)
{
    if (l->since_ns == 0) l->since_ns = now_ns;
}

void shortage_death(struct shortage *l, uint64_t now_ns)
{
    shortage_no_room(l, now_ns);
    l->deaths++;
}

void shortage_end(struct shortage *l)
{
    *l = (struct shortage){0};
}

void shortage_pause(struct shortage *l, uint64_t pause_ns, uint64_t now_ns)
{
    if (l->since_ns == 0 || l->pauses == SHORTAGE_PAUSES_MOST) return;
    /* It may have begun during the pause. */
    l->since_ns =
        pause_ns < now_ns - num_min(l->since_ns, now_ns) ? l->since_ns + pause_ns : now_ns;
    l->pauses++;
}

bool shortage_is_over(const struct shortage *l, uint64_t patience_ns, uint64_t now_ns,
                      vecmill_err *err)
{
    if (l->since_ns == 0 || patience_ns == 0 || now_ns <= l->since_ns) return false;
    const uint64_t lasted_ns = now_ns - l->since_ns;
    if (lasted_ns < patience_ns) return false;
    const double s = (double)lasted_ns / 1e9;
    if (l->deaths == 0)
        (void)err_set(err, VECMILL_E_WORKERS,
                      "memory is short: no worker could be started for %.1f s", s);
    else
        (void)err_set(err, VECMILL_E_WORKERS,
                      "memory is short: %u workers were ended by the OOM killer within %.1f s, "
                      "without one item done",
                      l->deaths, s);
    return true;
}
