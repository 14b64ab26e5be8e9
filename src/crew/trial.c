/* trial: see trial.h. */
#include "trial.h"

void trial_leased(struct trial *t, uint64_t tag, uint64_t now_ns)
{
    if (!t->is_open || t->tag != tag) *t = (struct trial){.tag = tag, .is_open = true};
    t->is_out = true;
    t->is_struck = false;
    t->since_ns = now_ns;
}

void trial_died(struct trial *t, vecmill_cause cause, bool want, uint64_t now_ns)
{
    const uint64_t had_ns = now_ns - t->since_ns;
    const uint64_t many_ns = num_min(CREW_TRIAL_LIVES * had_ns, CREW_TRIAL_LONG_NS);
    t->is_out = false;
    t->is_pending = !want && !t->is_struck;
    t->owed_leases = CREW_TRIAL_LIVES;
    t->owed_ns = num_max(had_ns, many_ns);
    t->cause = cause;
}

void trial_lived(struct trial *t, uint64_t ns)
{
    if (!t->is_pending) return;
    t->owed_leases -= t->owed_leases > 0;
    t->owed_ns -= num_min(t->owed_ns, ns);
    if (t->owed_leases > 0 || t->owed_ns > 0) return;
    t->is_pending = false;
    t->causes[t->n_deaths++] = t->cause;
}

void trial_struck(struct trial *t)
{
    t->is_pending = false;
    t->is_struck = true;
}

void trial_end(struct trial *t)
{
    *t = (struct trial){0};
}

bool trial_wants_other_work(const struct trial *t)
{
    return t->is_out || t->is_pending;
}

bool trial_is_guilty(const struct trial *t)
{
    return t->n_deaths == CREW_TRIAL_DEATHS;
}
