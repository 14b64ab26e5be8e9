/* lack: see lack.h. */
#include "lack.h"

void lack_held(struct lack *l, uint64_t now_ns)
{
    if (l->since_ns == 0) l->since_ns = now_ns;
}

void lack_death(struct lack *l, uint64_t now_ns)
{
    lack_held(l, now_ns);
    l->deaths++;
}

void lack_end(struct lack *l)
{
    *l = (struct lack){0};
}

void lack_pause(struct lack *l, uint64_t pause_ns, uint64_t now_ns)
{
    if (l->since_ns == 0 || l->pauses == LACK_PAUSES_MOST) return;
    /* It may have begun within the pause. */
    l->since_ns =
        pause_ns < now_ns - num_min(l->since_ns, now_ns) ? l->since_ns + pause_ns : now_ns;
    l->pauses++;
}

bool lack_is_over(const struct lack *l, uint64_t patience_ns, uint64_t now_ns, vecmill_err *err)
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
