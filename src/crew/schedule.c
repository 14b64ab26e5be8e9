#include "schedule.h"

#include "apply.h"
#include "frame.h"

/* Near the end the rest is shared out; below this, sharing costs more than it gains. */
#define SHARE_LEAST_NS (20 * CREW_MS)

/* A suspect waits until all other items are done; or, while nothing gets done, for this many deaths
 * in a row, so that those of its trial come before CREW_DEATHS_MAX. */
#define SUSPECT_WAITS_DEATHS (CREW_DEATHS_MAX / 2)

/* A starting worker is counted on for queued work, so that one item does not start all of them; but
 * no longer than this. A worker is normally ready in a tenth of it. */
#define START_HOPE_NS (1000 * CREW_MS)

/* Between two calls of may_start. */
#define ASK_NS (100 * CREW_MS)

/* Whether batches may be given out: not in a crew that is held, failed or closing. */
static bool begins_work(const struct crew *crew)
{
    return crew->failure == VECMILL_OK && !crew->held && !crew->closing;
}

/* About how many batches the queued items will make; 0: nothing is queued. Large items make more
 * than their cost says; then one more worker is wanted each time one gets ready. */
static uint64_t queued_batches(const struct crew *crew)
{
    const struct ledger *l = &crew->ledger;
    const uint64_t n_unsent = l->accepted - l->unsent;
    const uint64_t by_cost = 1 + l->unsent_cost_ns / (crew->whole_batch_ns + 1);
    const uint64_t by_items = (n_unsent + l->batch_items_max - 1) / l->batch_items_max;
    return l->n_requeued - l->n_suspects + num_min(num_max(by_cost, by_items), n_unsent);
}

/* Nothing gets done, or nothing that is done finds room: a suspect is tried before other items, which
 * may be no better. */
static bool suspect_goes_first(const struct crew *crew)
{
    return (crew->deaths_in_row >= SUSPECT_WAITS_DEATHS || crew->is_starved) &&
           (crew->ledger.n_suspects > 0 || crew->trial.is_open);
}

/* Whether a suspect may be tried: no other item is in flight, or nothing gets done. */
static bool suspect_is_next(const struct crew *crew)
{
    return crew->ledger.n_suspects > 0 && (crew->ledger.in_flight == 0 || suspect_goes_first(crew));
}

/* Batches that a trial needs: the suspect's, and one of other work at the same time. */
static uint64_t trial_batches(const struct crew *crew)
{
    if (crew->trial.is_running) return 1;
    return crew->trial.is_pending || suspect_is_next(crew) ? 2 : 0;
}

uint32_t schedule_wanted(const struct crew *crew, uint64_t now_ns)
{
    const uint32_t alive = crew_n_alive(crew), start = crew->options.start_workers;
    if (!begins_work(crew)) return 0;
    uint64_t batches = queued_batches(crew) + trial_batches(crew);
    for (uint32_t i = 0; i < crew->options.workers && batches > 0; i++) {
        const struct slot *s = &crew->slots[i];
        batches -= s->state == AT_IDLE ||
                   (s->state == AT_STARTING && now_ns < s->since_ns + START_HOPE_NS);
    }
    return (uint32_t)num_min(num_max(batches, start > alive ? start - alive : 0),
                             crew->options.workers);
}

/* Asks the opener. After a refusal it is not asked again for a while. */
static bool may_start(struct crew *crew, uint64_t now_ns)
{
    const struct crew_options *o = &crew->options;
    if (!o->may_start) return true;
    if (now_ns < crew->ask_at_ns) return false;
    const bool may = o->may_start(o->context, o->workers - crew_n_at(crew, AT_VACANT));
    crew->ask_at_ns = may ? 0 : now_ns + ASK_NS;
    return may;
}

void schedule_starts(struct crew *crew, uint64_t now_ns)
{
    uint32_t wanted = schedule_wanted(crew, now_ns);
    if (!crew_is_awaited(crew)) shortage_end(&crew->shortage);
    for (uint32_t i = 0; i < crew->options.workers && wanted > 0; i++) {
        struct slot *s = &crew->slots[i];
        if (s->state != AT_VACANT || now_ns < s->due_ns) continue;
        if (!may_start(crew, now_ns)) {
            if (crew_n_alive(crew) > 0 || !crew_is_awaited(crew)) return;
            shortage_no_room(&crew->shortage, now_ns);
            apply_shortage(crew, now_ns);
            return;
        }
        vecmill_err err;
        if (slot_start(s, crew->options.program, crew->options.argv, crew->null, crew->stack,
                       crew->generations + 1, &err) == VECMILL_OK) {
            crew->generations++;
            apply_event(crew, s, ON_STARTED);
            wanted--;
        } else {
            crew->refusal = err;
            apply_event(crew, s, ON_NOT_STARTED);
            return; /* the next would fail as well: try again in the next round */
        }
    }
}

/* Estimated work of the next batch: a whole one, or near the end a share of what is left. */
static uint64_t batch_budget(const struct crew *crew)
{
    const uint64_t share_ns = crew->ledger.unsent_cost_ns / crew->options.workers;
    return num_min(crew->whole_batch_ns,
                   num_max(share_ns, estimate_cost_ns(&crew->estimate, SHARE_LEAST_NS)));
}

/* Work when only suspects are left. One is tried alone; meanwhile, and after its death, idle
 * workers are given the probe. */
static bool next_trial(struct crew *crew, struct slot *s)
{
    const struct crew_options *o = &crew->options;
    if (trial_wants_other_work(&crew->trial)) {
        const size_t bytes = frame_item_bytes(o->probe_bytes);
        s->batch = (struct batch){.range.n = 1,
                                  .payload_bytes = bytes,
                                  .pieces[0] = crew->probe,
                                  .piece_bytes[0] = bytes};
        s->is_probe = true;
        return true;
    }
    if (!suspect_is_next(crew) || !ledger_next_suspect(&crew->ledger, &s->batch)) return false;
    trial_begin(&crew->trial, s->batch.range.first, clock_ns());
    return true;
}

static bool next_work(struct crew *crew, struct slot *s)
{
    return ledger_next_batch(&crew->ledger, batch_budget(crew), &s->batch);
}

void schedule_batches(struct crew *crew)
{
    const uint64_t deaths = (uint64_t)crew->deaths_in_row + crew->ooms_in_row;
    crew->whole_batch_ns =
        estimate_batch_ns(&crew->estimate, crew->options.batch_ns, deaths, clock_ns());
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct slot *s = &crew->slots[i];
        if (!begins_work(crew)) return;
        if (s->state != AT_IDLE) continue;
        const bool has_batch = suspect_goes_first(crew) ? next_trial(crew, s) || next_work(crew, s)
                                                        : next_work(crew, s) || next_trial(crew, s);
        if (!has_batch) return;
        apply_event(crew, s, ON_BATCH);
    }
}

void schedule_room(struct crew *crew)
{
    const struct ledger *l = &crew->ledger;
    const struct item *oldest = ledger_head(l);
    struct slot *last = NULL;
    if (!crew->lacks_room || !oldest || oldest->state != ITEM_QUEUED) return;
    /* also where a worker is idle: it waits for those in flight, which wait for this item */
    if (!crew->is_starved && ledger_is_suspect(l, l->dropped)) {
        crew->is_starved = true;
        crew->wake_at_ns = 0;
    }
    if (crew_n_alive(crew) > crew_n_at(crew, AT_BUSY)) return; /* one will be given it */
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct slot *s = &crew->slots[i];
        if (s->no_room_ns == 0 || s->state != AT_BUSY) continue;
        if (s->expected.discards) return;
        if (!last || s->batch.range.first > last->batch.range.first) last = s;
    }
    if (!last) return;
    last->expected.discards = true;
    crew->wake_at_ns = 0;
}
