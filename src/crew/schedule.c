/* schedule: work for workers, and workers for work. */
#include "inner.h"

#include "frame.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Batches get smaller while workers die without a commit between: a storm of kills lets small ones
 * through. 250 ms shrink to 2 ms. */
#define SHRINK_MOST 7u

/* After a death a batch is at most a quarter of the time since then, and a sixteenth of a whole one at least:
 * what the next death costs is in proportion to the time between them. */
#define CALM_SHARE 4u
#define CALM_LEAST 16u

/* Near the end, what is left is shared out; below this, sharing costs more than it gains. */
#define SHARE_LEAST_NS (20 * CREW_MS)

/* A suspect waits until all others are done; while nothing is done, only so many deaths in a row: those of
 * its trial are to come before CREW_DEATHS_MAX. */
#define SUSPECT_WAITS_DEATHS (CREW_DEATHS_MAX / 2)

/* A worker that starts is counted on for queued work, so that one item does not start them all; but no
 * longer than this: it is ready in a tenth of that, where nothing is wrong. */
#define START_HOPE_NS (1000 * CREW_MS)

/* Nothing new is begun in a crew that is held, failed or closing. */
static bool begins_work(const struct crew *crew)
{
    return crew->failure == VECMILL_OK && !crew->held && !crew->closing;
}

bool crew_is_awaited(const struct crew *crew)
{
    return crew->ledger.accepted > crew->ledger.returned || !crew->was_ready;
}

/* Into how many batches what is queued will be cut, about; 0: nothing is queued. Large items make more of
 * it than their cost says: then one worker more is found wanting each time one is ready. */
static uint64_t queued_batches(const struct crew *crew)
{
    const struct ledger *l = &crew->ledger;
    const uint64_t n_unsent = l->accepted - l->unsent;
    const uint64_t by_cost = 1 + l->unsent_cost_ns / (crew->whole_batch_ns + 1);
    const uint64_t by_items = (n_unsent + l->batch_items_max - 1) / l->batch_items_max;
    return l->n_requeued - l->n_suspects + num_min(num_max(by_cost, by_items), n_unsent);
}

/* Nothing is done any more: a suspect is tried before others, which may be no better. */
static bool suspect_goes_first(const struct crew *crew)
{
    return crew->deaths_in_row >= SUSPECT_WAITS_DEATHS &&
           (crew->ledger.n_suspects > 0 || crew->trial.is_open);
}

/* Whether a suspect may be tried: nobody has another item, or nothing comes of it. */
static bool suspect_is_next(const struct crew *crew)
{
    return crew->ledger.n_suspects > 0 && (crew->ledger.in_flight == 0 || suspect_goes_first(crew));
}

/* Batches of a trial: the suspect's, and one at the same time. */
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

/* Descriptor `fd` as one above those that a worker's are put at, and above the standard ones, which a
 * host may have closed and still write to; closes fd. -1 and errno. */
int process_lift_fd(int fd)
{
    const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, CREW_SOCKET + 1);
    const int error = errno;
    close(fd);
    errno = error;
    return lifted;
}

static vecmill_status start(struct crew *crew, struct slot *s, vecmill_err *err)
{
    static const int buffer_bytes = CREW_SOCKET_BYTES;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return err_sys(err, VECMILL_E_WORKERS, errno, "no socket for a worker");
    const int ours = process_lift_fd(ends[0]), theirs = process_lift_fd(ends[1]);
    const bool made = ours >= 0 && theirs >= 0 &&
                      setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(int)) == 0 &&
                      setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(int)) == 0;
    vecmill_status status = made ? process_start(crew->options.program, crew->options.argv, theirs,
                                                 crew->null, crew->stack, &s->process, err)
                                 : err_sys(err, VECMILL_E_WORKERS, errno, "no socket for a worker");
    if (theirs >= 0) close(theirs);
    if (status != VECMILL_OK) {
        if (ours >= 0) close(ours);
        return status;
    }
    s->socket = ours;
    s->pid = s->process.pid;
    s->generation = s->expected.generation = ++crew->generations;
    return VECMILL_OK;
}

/* The opener's answer. False: it is asked again when there may be room. */
static bool may_start(struct crew *crew, uint64_t now_ns)
{
    const struct crew_options *o = &crew->options;
    if (!o->may_start) return true;
    if (now_ns < crew->ask_at_ns) return false;
    const bool may = o->may_start(o->context, o->workers - crew_n_at(crew, AT_VACANT));
    crew->ask_at_ns = may ? 0 : now_ns + CREW_ASK_NS;
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
        if (start(crew, s, &err) == VECMILL_OK) {
            apply_event(crew, s, ON_STARTED);
            wanted--;
        } else {
            crew->refusal = err;
            apply_event(crew, s, ON_NOT_STARTED);
            return; /* the next would fail as well: another round */
        }
    }
}

/* Real time as estimated work, what planned_ns undoes; at least 1. */
static uint64_t cost_in(const struct crew *crew, uint64_t real_ns)
{
    if (crew->cost_ns == 0) return real_ns;
    const double scale = (double)crew->cost_ns / (double)(crew->took_ns + 1);
    return 1 + crew_ns((double)real_ns * scale);
}

static void measure_batch(struct crew *crew)
{
    const uint64_t deaths = (uint64_t)crew->deaths_in_row + crew->ooms_in_row;
    const unsigned shrink = (unsigned)num_min(deaths, SHRINK_MOST);
    uint64_t real_ns = crew->options.batch_ns >> shrink;
    if (crew->lost_ns > 0) {
        const uint64_t calm_ns = (clock_ns() - crew->lost_ns) / CALM_SHARE;
        real_ns = num_min(real_ns, num_max(calm_ns, crew->options.batch_ns / CALM_LEAST));
    }
    if (crew->cost_ns == 0)
        real_ns /= 8; /* a first guess may be wrong: it shall not cost seconds */
    crew->whole_batch_ns = cost_in(crew, real_ns);
}

/* Estimated work of the next batch: a whole one, or near the end a share of what is left. */
static uint64_t batch_budget(const struct crew *crew)
{
    const uint64_t share_ns = crew->ledger.unsent_cost_ns / crew->options.workers;
    return num_min(crew->whole_batch_ns, num_max(share_ns, cost_in(crew, SHARE_LEAST_NS)));
}

/* What there is to do when all is done but suspects: one is tried alone, and whoever is free meanwhile, and
 * after it died, has the probe. */
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
    measure_batch(crew);
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
