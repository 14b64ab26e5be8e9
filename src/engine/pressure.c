#include "engine/pressure.h"

#include "base/base.h"

#define MS 1000000u

/* Before a worker is started again: a kill frees its memory within milliseconds, and others take it. */
#define SETTLE_NS (100u * (uint64_t)MS)

/* Before anybody is started again after a worker that did nothing, and before a step is taken back: doubling
 * with the level. The first are at 0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75 s, and then every ten: eleven in
 * the first minute. */
#define HOLD_NS      (250u * (uint64_t)MS)
#define HOLD_MOST_NS (10000u * (uint64_t)MS)
#define GROW_NS      (1000u * (uint64_t)MS)
#define GROW_MOST_NS (30000u * (uint64_t)MS)
#define LEVEL_MOST   16u

/* With no worker alive and no room to be seen, one is tried this often: what is seen may be wrong. */
#define ALONE_NS (6000u * (uint64_t)MS)

/* For this long after a death for lack of memory, starts are counted. */
#define PRESSED_NS (10000u * (uint64_t)MS)
#define SECOND_NS  (1000u * (uint64_t)MS)

/* Percent of waiting above which nothing grows, and a worker next to others needs room for two: PSI says 10
 * where one task is held up for one second in ten. */
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
        .tokens_most = whole.batch_tokens,
        .batch_tokens = whole.batch_tokens,
    };
}

static uint32_t half(const struct pressure *p, uint32_t tokens)
{
    return (uint32_t)num_max(tokens / 2, p->small.batch_tokens);
}

static uint32_t twice(const struct pressure *p, uint32_t tokens)
{
    return (uint32_t)num_min(2 * (uint64_t)tokens, p->whole.batch_tokens);
}

void pressure_lack(struct pressure *p, uint64_t now_ns, uint32_t alive, bool worked)
{
    if (now_ns > p->grow_ns + GROW_MOST_NS) p->level = 0; /* another shortage than the last */
    p->lack_ns = now_ns;
    p->alone_ns = now_ns + ALONE_NS;
    p->grow_ns = now_ns + doubled(GROW_NS, p->level, GROW_MOST_NS);
    if (worked) {
        p->level /= 2;
        p->held_ns = 0;
        p->tokens_most = twice(p, p->tokens_most);
        return;
    }
    p->held_ns = now_ns + doubled(HOLD_NS, p->level, HOLD_MOST_NS);
    p->level = (uint32_t)num_min(p->level + 1, LEVEL_MOST);
    if (p->tokens_most > p->small.batch_tokens)
        p->tokens_most = half(p, p->tokens_most);
    else
        p->workers = (uint32_t)num_max(1, num_min(p->workers, alive));
}

/* What a worker of that many tokens takes: an arena grows with its tokens. */
static uint64_t worker_bytes(const struct pressure *p, uint32_t batch_tokens)
{
    const uint32_t tokens = p->whole.batch_tokens - p->small.batch_tokens;
    if (tokens == 0) return p->whole.bytes;
    const double share = (double)(batch_tokens - p->small.batch_tokens) / tokens;
    return p->small.bytes + (uint64_t)(share * (double)(p->whole.bytes - p->small.bytes));
}

static bool is_narrowed(const struct pressure *p)
{
    return p->workers < p->workers_most || p->tokens_most < p->whole.batch_tokens;
}

bool pressure_is_felt(const struct pressure *p)
{
    return is_narrowed(p) || p->lack_ns > 0 || p->was_full;
}

static void take_back(struct pressure *p, uint64_t now_ns)
{
    p->workers = (uint32_t)num_min(p->workers + 1, p->workers_most);
    p->tokens_most = twice(p, p->tokens_most);
    if (p->level > 0) p->level--;
    p->grow_ns = now_ns + doubled(GROW_NS, p->level, GROW_MOST_NS);
}

/* Sets p->batch_tokens to the largest worker for which there is room with those that start; false: there is
 * none. `besides`: for that many more of them. */
static bool find_size(struct pressure *p, const struct pressure_view *view, uint32_t besides)
{
    const uint64_t n = UINT64_C(1) + view->starting + besides;
    for (uint32_t tokens = p->tokens_most;; tokens = half(p, tokens)) {
        p->batch_tokens = tokens;
        if (!view->room_known || view->room_bytes >= n * worker_bytes(p, tokens)) return true;
        if (tokens == p->small.batch_tokens) return false;
    }
}

/* As many as may be were started in the last second. */
static bool is_racing(const struct pressure *p, uint64_t now_ns)
{
    if (p->lack_ns == 0 || now_ns >= p->lack_ns + PRESSED_NS) return false;
    return p->n_starts >= PRESSURE_STARTS &&
           now_ns < p->starts_ns[p->n_starts % PRESSURE_STARTS] + SECOND_NS;
}

/* The room is another than that in which the last one was started. */
static bool is_freed(const struct pressure *p, const struct pressure_view *view)
{
    return view->room_known && (p->was_full || view->room_bytes >= p->seen_bytes + p->small.bytes);
}

/* Whether it is tried, by the room there is and by what happened before. */
static bool is_tried(struct pressure *p, uint64_t now_ns, uint32_t alive,
                     const struct pressure_view *view, bool calm)
{
    const bool room = find_size(p, view, alive > 0 && !calm ? 1 : 0);
    if (!room) { /* alone, one is tried now and then */
        p->was_full = true;
        if (alive > 0 || now_ns < p->alone_ns) return false;
        p->alone_ns = now_ns + ALONE_NS;
        return true;
    }
    if (now_ns < p->held_ns && !is_freed(p, view)) return false;
    return view->room_known || (alive < p->workers && (alive == 0 || calm));
}

bool pressure_may_start(struct pressure *p, uint64_t now_ns, uint32_t alive,
                        const struct pressure_view *view)
{
    const bool calm = !view->waiting_known || view->waiting < WAITING_MOST;
    const bool was_short = is_narrowed(p) || p->level > 0;
    if (was_short && now_ns >= p->grow_ns && calm && find_size(p, view, 0)) take_back(p, now_ns);
    if (alive >= p->workers_most || is_racing(p, now_ns)) return false;
    if (p->lack_ns > 0 && now_ns < p->lack_ns + SETTLE_NS) return false;
    if (!is_tried(p, now_ns, alive, view, calm)) return false;
    p->seen_bytes = view->room_bytes;
    p->was_full = false;
    p->starts_ns[p->n_starts++ % PRESSURE_STARTS] = now_ns;
    return true;
}
