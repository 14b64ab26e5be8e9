/* act: does what the table says. */
#include "inner.h"

#include "frame.h"
#include "table.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define LINGER_NS (2000 * CREW_MS) /* from the end of a socket to that of its process */
#define LEAVE_NS  (500 * CREW_MS)  /* from being asked to end */
#define KILLED_NS (3000 * CREW_MS) /* from SIGKILL: longer only where the kernel holds it */

/* Before anything was measured, estimated costs may be wrong by a factor (plain C, a sanitizer). */
#define UNMEASURED_NS     (30000 * CREW_MS)
#define UNMEASURED_FACTOR 20u

/* Waits before the next start, by the number of failures in a row. */
static const uint64_t back_off_ns[] = {
    0, 10 * CREW_MS, 40 * CREW_MS, 160 * CREW_MS, 640 * CREW_MS, 1000 * CREW_MS};

/* ---- telling ---- */

static void tell(struct crew *crew, struct crew_event event)
{
    event.time_ns = clock_ns();
    if (crew->options.on_event) crew->options.on_event(crew->options.context, &event);
}

static void fail(struct crew *crew, const vecmill_err *err)
{
    if (crew->failure != VECMILL_OK) return;
    crew->failure = err->status;
    crew->failure_err = *err;
}

/* Workers can work: the next that dies is replaced at once. */
static void end_back_off(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->options.workers; i++)
        crew->places[i].fails = 0;
}

/* An item was returned: whatever went wrong before, there is progress. */
static void note_progress(struct crew *crew)
{
    if (crew->deaths_in_row > 0 || crew->failed_starts_in_row > 0 || crew->ooms_in_row > 0)
        end_back_off(crew);
    crew->deaths_in_row = crew->failed_starts_in_row = crew->ooms_in_row = 0;
    crew->lone_tried = false;
    lack_end(&crew->lack);
}

/* ---- what the table says ---- */

static void back_off(struct place *p, uint64_t now_ns)
{
    const size_t most = sizeof back_off_ns / sizeof *back_off_ns - 1;
    p->due_ns = now_ns + back_off_ns[num_min(p->fails, most)];
    p->fails++;
}

static void watch(struct crew *crew, struct place *p, uint64_t now_ns)
{
    p->leased_ns = now_ns;
    p->looked = p->received;
    p->looked_faults = process_major_faults(&p->process);
    p->leased_cpu_ns = 0;
    p->allowed_ns = crew->options.start_ns;
    p->due_ns = now_ns + crew->options.start_ns;
}

/* Estimated work in real time. */
static uint64_t planned_ns(const struct crew *crew, uint64_t cost_ns)
{
    if (crew->cost_ns == 0) return cost_ns;
    return crew_ns((double)cost_ns * (double)crew->took_ns / (double)crew->cost_ns);
}

/* Where the results of a place's lease go. */
static void expect_results(struct crew *crew, struct place *p)
{
    for (unsigned i = 0; i < 2; i++) {
        p->expected.piece_bytes[i] = 0;
        p->expected.pieces[i] = p->is_probe ? NULL
                                            : ledger_results(&crew->ledger, &p->lease.range, i,
                                                             &p->expected.piece_bytes[i]);
    }
    if (!p->is_probe) return;
    p->expected.piece_bytes[0] = crew->options.result_bytes;
    p->expected.pieces[0] =
        crew->probe_results + (size_t)(p - crew->places) * crew->options.result_bytes;
}

static void send_lease(struct crew *crew, struct place *p, uint64_t now_ns)
{
    const struct lease *lease = &p->lease;
    XXH3_64bits_reset(crew->hash);
    for (unsigned i = 0; i < 2; i++)
        if (lease->piece_bytes[i] > 0)
            XXH3_64bits_update(crew->hash, lease->pieces[i], lease->piece_bytes[i]);
    p->lease_number = ++crew->lease_numbers;
    const struct frame_head head = {
        .kind = FRAME_LEASE,
        .bytes = lease->payload_bytes,
        .lease = p->lease_number,
        .generation = p->generation,
        .n_items = lease->range.n,
        .hash = XXH3_64bits_digest(crew->hash),
    };
    frame_put(&head, p->head);
    p->sent = 0;
    p->expected.lease = p->lease_number;
    p->expected.n_items = lease->range.n;
    expect_results(crew, p);
    const bool measured = crew->cost_ns > 0;
    const uint64_t planned = planned_ns(crew, lease->cost_ns);
    const uint64_t due = num_max(crew->options.least_ns, 3 * planned);
    p->leased_ns = now_ns;
    p->looked = p->received;
    p->looked_faults = process_major_faults(&p->process);
    p->leased_cpu_ns = process_cpu_ns(&p->process);
    p->allowed_ns = measured ? due : UNMEASURED_NS + UNMEASURED_FACTOR * planned;
    p->due_ns = now_ns + due;
    if (lease->range.n == 1 && !p->is_probe) crew->lone_tried = true;
    if (!p->is_probe)
        tell(crew, (struct crew_event){.kind = CREW_LEASED,
                                       .pid = p->process.pid,
                                       .first = lease->range.first,
                                       .n = lease->range.n,
                                       .deaths = lease->range.deaths});
    place_send(p);
}

/* ---- the trial of a suspect (trial.h) ---- */

/* Whether the place has it. */
static bool has_suspect(const struct crew *crew, const struct place *p)
{
    return p->lease_number != 0 && !p->is_probe && crew->trial.is_out &&
           p->lease.range.first == crew->trial.tag;
}

/* A lease of a place returned; the place still has it. */
static void try_by_life(struct crew *crew, const struct place *p, uint64_t now_ns)
{
    struct trial *t = &crew->trial;
    if (has_suspect(crew, p)) {
        trial_end(t);
        return;
    }
    trial_lived(t, now_ns - p->leased_ns);
    if (!trial_is_guilty(t)) return;
    ledger_condemn(&crew->ledger, t->tag, t->causes, t->n_deaths);
    trial_end(t);
    note_progress(crew);
}

/* The worker of a place died, or was written off; the place still has its lease. */
static void try_by_death(struct crew *crew, const struct place *p, vecmill_cause cause, bool want,
                         uint64_t now_ns)
{
    if (has_suspect(crew, p))
        trial_died(&crew->trial, cause, want, now_ns);
    else
        trial_struck(&crew->trial);
}

static void commit(struct crew *crew, struct place *p, uint64_t now_ns)
{
    try_by_life(crew, p, now_ns);
    if (p->is_probe) {
        p->lease_number = p->expected.lease = 0;
        p->is_probe = false;
        end_back_off(crew);
        return;
    }
    ledger_commit(&crew->ledger, &p->lease.range);
    /* The last dozen leases count, so that a machine that gets slower is followed. */
    if (p->pauses == 0) {
        crew->took_ns += now_ns - p->leased_ns;
        crew->cost_ns += p->lease.cost_ns;
    }
    if (crew->cost_ns > 12 * crew->options.lease_ns &&
        crew->took_ns > 12 * crew->options.lease_ns) {
        crew->cost_ns /= 2;
        crew->took_ns /= 2;
    }
    crew->counts.leases++;
    p->worked = true;
    p->lease_number = p->expected.lease = 0;
    note_progress(crew);
}

/* The lease of a worker that is no more. */
static void give_back(struct crew *crew, struct place *p, vecmill_cause cause, enum blame blame)
{
    struct range parts[2];
    const bool is_probe = p->is_probe;
    p->lease_number = p->expected.lease = 0;
    p->is_probe = false;
    if (is_probe) return;
    crew->lost_ns = clock_ns();
    const unsigned n = ledger_return(&crew->ledger, &p->lease.range, cause, blame, parts);
    crew->counts.requeued++;
    if (n == 0) {
        trial_end(&crew->trial);
        note_progress(crew);
    }
    for (unsigned i = 0; i < n; i++)
        tell(crew, (struct crew_event){.kind = CREW_REQUEUED,
                                       .cause = cause,
                                       .first = parts[i].first,
                                       .n = parts[i].n,
                                       .deaths = parts[i].deaths});
}

uint32_t crew_n_at(const struct crew *crew, enum crew_at state)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        n += crew->places[i].state == state;
    return n;
}

uint32_t crew_n_ready(const struct crew *crew)
{
    return crew_n_at(crew, AT_IDLE) + crew_n_at(crew, AT_BUSY);
}

uint32_t crew_n_alive(const struct crew *crew)
{
    return crew->options.workers - crew_n_at(crew, AT_VACANT) - crew_n_at(crew, AT_LOST);
}

static void check_row(struct crew *crew)
{
    vecmill_err err;
    if (crew->closing) return;
    /* One blow may take all workers, and take them again when they are back. */
    const uint32_t most = (uint32_t)num_max(CREW_DEATHS_MAX, 4 * (size_t)crew->options.workers);
    const bool no_start = crew->failed_starts_in_row >= most && crew_n_ready(crew) == 0;
    const bool no_work = crew->deaths_in_row >= most && crew->lone_tried;
    if (!no_start && !no_work) return;
    const char *reason = crew->refusal.message;
    (void)err_set(&err, VECMILL_E_WORKERS, "workers keep dying: %u in a row %s%s%s",
                  no_start ? crew->failed_starts_in_row : crew->deaths_in_row,
                  no_start ? "before they were ready" : "without one item done",
                  reason[0] ? ": " : "", reason);
    fail(crew, &err);
}

void act_on_lack(struct crew *crew, uint64_t now_ns)
{
    vecmill_err err;
    if (!crew->closing && lack_is_over(&crew->lack, crew->options.oom_patience_ns, now_ns, &err))
        fail(crew, &err);
}

/* What a death says about the crew; one of an idle worker says nothing about work. */
static void count_death(struct crew *crew, const struct place *p, bool lack, uint64_t now_ns)
{
    const bool counts = p->lease_number != 0 || !p->welcomed;
    if (counts && lack) {
        crew->ooms_in_row++;
        lack_death(&crew->lack, now_ns);
    } else if (counts) {
        lack_end(&crew->lack);
        crew->deaths_in_row++;
        if (!p->welcomed) crew->failed_starts_in_row++;
    }
}

static void bury(struct crew *crew, struct place *p, uint64_t now_ns)
{
    uint64_t kills = 0;
    bool oom = false;
    const struct crew_options *o = &crew->options;
    if (p->exit.known && p->exit.signal && p->exit.code == SIGKILL &&
        p->forced == VECMILL_CAUSE_NONE) {
        const bool known = o->oom_kills && o->oom_kills(o->context, &kills);
        oom = oom_take(&crew->oom, kills, known);
    }
    const struct death death = cause_of(&p->exit, p->forced, p->forced_fault, oom);
    crew->counts.deaths[death.cause]++;
    const bool has_lease = p->lease_number != 0 && !p->is_probe;
    const bool lack = death.cause == VECMILL_CAUSE_OOM || p->lacks;
    count_death(crew, p, lack, now_ns);
    tell(crew, (struct crew_event){.kind = CREW_DIED,
                                   .pid = p->pid,
                                   .cause = death.cause,
                                   .code = death.code,
                                   .first = has_lease ? p->lease.range.first : 0,
                                   .n = has_lease ? p->lease.range.n : 0,
                                   .deaths = has_lease ? p->lease.range.deaths + 1 : 0,
                                   .lack = lack,
                                   .worked = p->worked});
    if (lack && o->may_start)
        p->due_ns =
            now_ns; /* it knows how much room there is: nothing is to be gained by waiting */
    else
        back_off(p, now_ns);
    try_by_death(crew, p, death.cause, lack, now_ns);
    if (p->lease_number != 0)
        give_back(crew, p, death.cause, lack ? BLAME_NONE : death.fault ? BLAME_FAULT : BLAME_ODD);
    place_clear(p);
    check_row(crew);
    if (lack && supply_is_awaited(crew)) act_on_lack(crew, now_ns);
}

static void refuse(struct crew *crew, struct place *p)
{
    vecmill_err err;
    char message[FRAME_REFUSED_MAX];
    uint32_t head[2];
    const size_t bytes = (size_t)p->inbox.head.bytes - FRAME_REFUSED_HEAD;
    memcpy(head, p->inbox.small, sizeof head);
    memcpy(message, p->inbox.small + FRAME_REFUSED_HEAD, bytes);
    message[bytes] = 0;
    const bool is_status = head[0] > VECMILL_OK && head[0] < VECMILL_STATUS_COUNT;
    (void)err_set(&err, is_status ? (vecmill_status)head[0] : VECMILL_E_INTERNAL, "%s", message);
    crew->refusal = err;
    p->lacks = err.status == VECMILL_E_MEMORY;
    if (head[1]) fail(crew, &err);
}

static void dismiss(struct place *p, uint64_t now_ns)
{
    (void)shutdown(p->socket, SHUT_WR);
    p->due_ns = now_ns + LEAVE_NS;
}

static void write_off(struct crew *crew, struct place *p, uint64_t now_ns)
{
    tell(crew, (struct crew_event){.kind = CREW_LOST, .pid = p->pid});
    try_by_death(crew, p, VECMILL_CAUSE_HANG, false, now_ns);
    if (p->lease_number != 0) give_back(crew, p, VECMILL_CAUSE_HANG, BLAME_ODD);
    place_clear(p);
    p->due_ns = now_ns + CREW_LOST_NS;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        if (crew->places[i].state != AT_LOST) return;
    vecmill_err err;
    (void)err_set(&err, VECMILL_E_WORKERS, "none of %u workers ends by SIGKILL",
                  crew->options.workers);
    fail(crew, &err);
}

/* One event at one place: the only way a state changes. */
void act_on(struct crew *crew, struct place *p, enum crew_on event)
{
    const struct crew_cell cell = crew_table[p->state][event];
    const uint64_t now_ns = clock_ns();
    assert(cell.action != DO_BUG);
    if (cell.action == DO_BUG) return;
    const bool changes = cell.next != (unsigned char)p->state;
    if (changes) p->due_ns = 0;
    p->state = cell.next;
    switch ((enum crew_do)cell.action) {
    case DO_NOTHING:
        break;
    case DO_WATCH:
        watch(crew, p, now_ns);
        break;
    case DO_BACK_OFF: /* while others live, want of descriptors or processes is no end */
        if (crew_n_alive(crew) == 0) crew->failed_starts_in_row++;
        back_off(p, now_ns);
        check_row(crew);
        break;
    case DO_WELCOME:
        p->welcomed = crew->was_ready = true;
        crew->failed_starts_in_row = 0;
        tell(crew, (struct crew_event){.kind = CREW_READY, .pid = p->pid});
        break;
    case DO_SEND:
        send_lease(crew, p, now_ns);
        break;
    case DO_COMMIT:
        commit(crew, p, now_ns);
        break;
    case DO_REFUSE:
        refuse(crew, p);
        p->due_ns = now_ns + LINGER_NS;
        break;
    case DO_LINGER:
        p->due_ns = now_ns + LINGER_NS;
        break;
    case DO_KILL:
        if (p->forced == VECMILL_CAUSE_NONE && event != ON_LEAVE && event != ON_LATE) {
            p->forced = VECMILL_CAUSE_PROTOCOL;
            p->forced_fault = true;
        }
        process_kill(&p->process);
        p->due_ns = now_ns + KILLED_NS;
        break;
    case DO_DISMISS:
        dismiss(p, now_ns);
        break;
    case DO_WRITE_OFF:
        write_off(crew, p, now_ns);
        break;
    case DO_BURY:
        if (crew->closing)
            place_clear(p);
        else
            bury(crew, p, now_ns);
        break;
    case DO_FAREWELL:
        place_clear(p);
        break;
    case DO_BUG:
    case CREW_N_ACTIONS:
        break;
    }
    if (!changes) return;
    p->pauses = 0;
    if (p->state == AT_VACANT) crew->ask_at_ns = 0; /* what it had is free: there may be room now */
}
