#include "trial.h"

void trial_begin(struct suspect_trial *t, uint64_t tag, uint64_t now_ns)
{
    if (!t->is_open || t->tag != tag) *t = (struct suspect_trial){.tag = tag, .is_open = true};
    t->is_running = true;
    t->other_died = false;
    t->since_ns = now_ns;
}

void trial_died(struct suspect_trial *t, vecmill_cause cause, bool want, uint64_t now_ns)
{
    const uint64_t had_ns = now_ns - t->since_ns;
    const uint64_t many_ns = num_min(CREW_TRIAL_LIVES * had_ns, CREW_TRIAL_LONG_NS);
    t->is_running = false;
    t->is_pending = !want && !t->other_died;
    t->owed_batches = CREW_TRIAL_LIVES;
    t->owed_ns = num_max(had_ns, many_ns);
    t->cause = cause;
}

void trial_other_returned(struct suspect_trial *t, uint64_t ns)
{
    if (!t->is_pending) return;
    t->owed_batches -= t->owed_batches > 0;
    t->owed_ns -= num_min(t->owed_ns, ns);
    if (t->owed_batches > 0 || t->owed_ns > 0) return;
    t->is_pending = false;
    t->causes[t->n_deaths++] = t->cause;
}

void trial_other_died(struct suspect_trial *t)
{
    t->is_pending = false;
    t->other_died = true;
}

void trial_end(struct suspect_trial *t)
{
    *t = (struct suspect_trial){0};
}

bool trial_wants_other_work(const struct suspect_trial *t)
{
    return t->is_running || t->is_pending;
}

bool trial_is_guilty(const struct suspect_trial *t)
{
    return t->n_deaths == CREW_TRIAL_DEATHS;
}
