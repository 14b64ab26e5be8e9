#include "estimate.h"

#include "base/base.h"

/* Batches that count: few enough that a machine that gets slower is followed. */
#define MEASURED_BATCHES 12u

/* Of a whole batch, while nothing was measured: a wrong guess must not cost seconds. */
#define GUESS_SHARE 8u

/* Halvings by deaths without an item returned: 250 ms shrink to 2 ms, which get through a storm of kills. */
#define HALVINGS_MOST 7u

/* Of the time since a batch was lost; and at least this share of a whole one. */
#define SINCE_LOSS_SHARE 4u
#define LEAST_SHARE      16u

/* Nanoseconds computed from estimates, which may be anything: at most a day. */
static uint64_t to_ns(double ns)
{
    const uint64_t day_ns = UINT64_C(24) * 3600 * 1000000000;
    return ns < (double)day_ns ? (uint64_t)ns : day_ns;
}

void estimate_add(struct estimate *e, uint64_t cost_ns, uint64_t took_ns, uint64_t batch_ns)
{
    e->took_ns += took_ns;
    e->cost_ns += cost_ns;
    if (e->cost_ns > MEASURED_BATCHES * batch_ns && e->took_ns > MEASURED_BATCHES * batch_ns) {
        e->cost_ns /= 2;
        e->took_ns /= 2;
    }
}

uint64_t estimate_time_ns(const struct estimate *e, uint64_t cost_ns)
{
    if (e->cost_ns == 0) return cost_ns;
    return to_ns((double)cost_ns * (double)e->took_ns / (double)e->cost_ns);
}

uint64_t estimate_cost_ns(const struct estimate *e, uint64_t time_ns)
{
    if (e->cost_ns == 0) return time_ns;
    const double scale = (double)e->cost_ns / (double)(e->took_ns + 1);
    return 1 + to_ns((double)time_ns * scale);
}

uint64_t estimate_batch_ns(const struct estimate *e, uint64_t batch_ns, uint64_t deaths,
                           uint64_t now_ns)
{
    uint64_t time_ns = batch_ns >> num_min(deaths, HALVINGS_MOST);
    if (e->lost_ns > 0) {
        const uint64_t most_ns = (now_ns - e->lost_ns) / SINCE_LOSS_SHARE;
        time_ns = num_min(time_ns, num_max(most_ns, batch_ns / LEAST_SHARE));
    }
    if (e->cost_ns == 0) time_ns /= GUESS_SHARE;
    return estimate_cost_ns(e, time_ns);
}
