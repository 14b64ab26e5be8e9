/* pressure: see pressure.h. */
#include "engine/pressure.h"

#include "base/base.h"

#define MS 1000000u

/* Before anybody is started again, and before a step is taken back: doubling with the level. A kill frees
 * its memory within milliseconds; who took the rest needs longer. */
#define HOLD_NS      (125u * (uint64_t)MS)
#define HOLD_MOST_NS (5000u * (uint64_t)MS)
#define GROW_NS      (1000u * (uint64_t)MS)
#define GROW_MOST_NS (30000u * (uint64_t)MS)
#define LEVEL_MOST   16u

/* With nobody alive and no room to be seen, one is tried so often: what is seen may be wrong. */
#define ALONE_NS (5000u * (uint64_t)MS)

/* Percent of waiting above which nothing grows: PSI says 10 where one task is held up for one second
 * in ten. */
#define WAITING_MOST 10.0

static uint64_t doubled(uint64_t ns, uint32_t times, uint64_t most_ns)
{
    return num_min(ns << num_min(times, LEVEL_MOST), most_ns);
}

void pressure_init(struct pressure *p, uint32_t workers, struct pressure_size whole,
                   struct pressure_size small)
{
    *p = (struct pressure){
        .workers_most = workers,
        .whole = whole,
        .small = small,
        .workers = workers,
        .batch_tokens = whole.batch_tokens,
    };
}

void pressure_lack(struct pressure *p, uint64_t now_ns, uint32_t alive)
{
    if (now_ns > p->grow_ns + GROW_MOST_NS) p->level = 0; /* another shortage than the last */
    p->held_ns = now_ns + doubled(HOLD_NS, p->level, HOLD_MOST_NS);
    p->grow_ns = now_ns + doubled(GROW_NS, p->level, GROW_MOST_NS);
    p->level = (uint32_t)num_min(p->level + 1, LEVEL_MOST);
    if (p->batch_tokens > p->small.batch_tokens)
        p->batch_tokens = (uint32_t)num_max(p->batch_tokens / 2, p->small.batch_tokens);
    else
        p->workers = (uint32_t)num_max(1, num_min(p->workers, alive));
}

/* Of a worker of p->batch_tokens: what an arena takes grows with its tokens. */
static uint64_t worker_bytes(const struct pressure *p)
{
    const uint32_t tokens = p->whole.batch_tokens - p->small.batch_tokens;
    if (tokens == 0) return p->whole.bytes;
    const double share = (double)(p->batch_tokens - p->small.batch_tokens) / tokens;
    return p->small.bytes + (uint64_t)(share * (double)(p->whole.bytes - p->small.bytes));
}

static bool is_narrowed(const struct pressure *p)
{
    return p->workers < p->workers_most || p->batch_tokens < p->whole.batch_tokens;
}

bool pressure_is_felt(const struct pressure *p)
{
    return is_narrowed(p) || p->alone_ns > 0;
}

static void take_back(struct pressure *p, uint64_t now_ns)
{
    if (p->workers < p->workers_most)
        p->workers++;
    else
        p->batch_tokens = (uint32_t)num_min(2 * (uint64_t)p->batch_tokens, p->whole.batch_tokens);
    if (p->level > 0) p->level--;
    p->grow_ns = now_ns + doubled(GROW_NS, p->level, GROW_MOST_NS);
}

bool pressure_may_start(struct pressure *p, uint64_t now_ns, uint32_t alive,
                        const struct pressure_view *view)
{
    const uint64_t needed = (view->starting + UINT64_C(1)) * worker_bytes(p);
    const bool room = !view->room_known || view->room_bytes >= needed;
    const bool calm = !view->waiting_known || view->waiting < WAITING_MOST;
    if (is_narrowed(p) && now_ns >= p->grow_ns && room && calm) take_back(p, now_ns);
    if (now_ns < p->held_ns || alive >= p->workers) return false;
    if (room) return true;
    if (alive > 0 || now_ns < p->alone_ns) return false;
    p->alone_ns = now_ns + ALONE_NS;
    return true;
}
