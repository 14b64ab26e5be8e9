#include "apply.h"

#include "frame.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define EXIT_NS  (2000 * CREW_MS) /* from the end of a socket to that of its process */
#define LEAVE_NS (500 * CREW_MS)  /* from closing our half of the socket to the exit */
/* from SIGKILL to the end; longer only where the kernel holds the process */
#define KILLED_NS (3000 * CREW_MS)

/* Before anything was measured, estimates may be wrong by a factor (plain C, a sanitizer). */
#define UNMEASURED_NS     (30000 * CREW_MS)
#define UNMEASURED_FACTOR 20u

/* Delay before the next start, by failures in a row. */
static const uint64_t back_off_ns[] = {
    0, 10 * CREW_MS, 40 * CREW_MS, 160 * CREW_MS, 640 * CREW_MS, 1000 * CREW_MS};

/* ---- reports ---- */

static void report_event(struct crew *crew, struct crew_event event)
{
    event.time_ns = clock_ns();
    if (crew->options.on_event) crew->options.on_event(crew->options.context, &event);
}

static void fail_crew(struct crew *crew, const vecmill_err *err)
{
    if (crew->failure != VECMILL_OK) return;
    crew->failure = err->status;
    crew->failure_err = *err;
}

/* Workers can work: the next one that dies is replaced at once. */
static void end_back_off(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->options.workers; i++)
        crew->slots[i].failures = 0;
}

/* An item was returned: earlier failures are forgiven. */
static void note_progress(struct crew *crew)
{
    if (crew->deaths_in_row > 0 || crew->failed_starts_in_row > 0 || crew->ooms_in_row > 0)
        end_back_off(crew);
    crew->deaths_in_row = crew->failed_starts_in_row = crew->ooms_in_row = 0;
    crew->single_tried = crew->is_starved = false;
    shortage_end(&crew->shortage);
}

/* ---- actions ---- */

static void back_off(struct slot *s, uint64_t now_ns)
{
    const size_t most = sizeof back_off_ns / sizeof *back_off_ns - 1;
    s->due_ns = now_ns + back_off_ns[num_min(s->failures, most)];
    s->failures++;
}

static void await_hello(struct crew *crew, struct slot *s, uint64_t now_ns)
{
    s->since_ns = now_ns;
    s->checked_received = s->received;
    s->checked_faults = process_major_faults(&s->process);
    s->since_cpu_ns = 0;
    s->allowed_ns = crew->options.start_ns;
    s->due_ns = now_ns + crew->options.start_ns;
}

/* Sets where the results of what is left of a slot's batch are read to. */
static void expect_results(struct crew *crew, struct slot *s)
{
    s->expected.n_items = s->batch.range.n;
    s->expected.discards = s->is_probe; /* its tail, if there are any */
    for (unsigned i = 0; i < 2; i++) {
        s->expected.piece_bytes[i] = 0;
        s->expected.pieces[i] = s->is_probe ? NULL
                                            : ledger_results(&crew->ledger, &s->batch.range, i,
                                                             &s->expected.piece_bytes[i]);
    }
    if (!s->is_probe) return;
    s->expected.piece_bytes[0] = crew->options.result_bytes;
    s->expected.pieces[0] =
        crew->probe_results + (size_t)(s - crew->slots) * crew->options.result_bytes;
}

static void begin_batch(struct crew *crew, struct slot *s, uint64_t now_ns)
{
    const struct batch *batch = &s->batch;
    XXH3_64bits_reset(crew->hash);
    for (unsigned i = 0; i < 2; i++)
        if (batch->piece_bytes[i] > 0)
            XXH3_64bits_update(crew->hash, batch->pieces[i], batch->piece_bytes[i]);
    s->batch_number = ++crew->batch_numbers;
    const struct frame_head head = {
        .kind = FRAME_BATCH,
        .bytes = batch->payload_bytes,
        .batch = s->batch_number,
        .generation = s->generation,
        .n_items = batch->range.n,
        .hash = XXH3_64bits_digest(crew->hash),
    };
    frame_put(&head, s->head);
    s->sent = 0;
    s->expected.batch = s->batch_number;
    expect_results(crew, s);
    const bool measured = crew->estimate.cost_ns > 0;
    const uint64_t planned = estimate_time_ns(&crew->estimate, batch->cost_ns);
    const uint64_t due = num_max(crew->options.least_ns, 3 * planned);
    s->since_ns = now_ns;
    s->checked_received = s->received;
    s->checked_faults = process_major_faults(&s->process);
    s->since_cpu_ns = process_cpu_ns(&s->process);
    s->allowed_ns = measured ? due : UNMEASURED_NS + UNMEASURED_FACTOR * planned;
    s->due_ns = now_ns + due;
    if (batch->range.n == 1 && !s->is_probe) crew->single_tried = true;
    if (!s->is_probe)
        report_event(crew, (struct crew_event){.kind = CREW_BATCH_GIVEN,
                                               .pid = s->process.pid,
                                               .first = batch->range.first,
                                               .n = batch->range.n,
                                               .deaths = batch->range.deaths});
}

/* ---- the trial of a suspect (trial.h) ---- */

/* Whether the slot's batch is the suspect. */
static bool has_suspect(const struct crew *crew, const struct slot *s)
{
    return s->batch_number != 0 && !s->is_probe && crew->trial.is_running &&
           s->batch.range.first == crew->trial.tag;
}

/* A slot's batch was returned; the slot still has it. */
static void judge_by_return(struct crew *crew, const struct slot *s, uint64_t now_ns)
{
    struct suspect_trial *t = &crew->trial;
    if (has_suspect(crew, s)) {
        trial_end(t);
        return;
    }
    trial_other_returned(t, now_ns - s->since_ns);
    if (!trial_is_guilty(t)) return;
    ledger_condemn(&crew->ledger, t->tag, t->causes, t->n_deaths);
    trial_end(t);
    note_progress(crew);
}

/* A slot's worker died or was written off; the slot still has its batch. */
static void judge_by_death(struct crew *crew, const struct slot *s, vecmill_cause cause, bool want,
                           uint64_t now_ns)
{
    if (has_suspect(crew, s))
        trial_died(&crew->trial, cause, want, now_ns);
    else
        trial_other_died(&crew->trial);
}

/* Takes out of the batch's cost what its results, which were committed, say they did not take. */
static void measure(const struct crew *crew, struct slot *s, const struct item_range *done)
{
    bool (*const is_measure)(const void *result) = crew->options.is_measure;
    for (uint32_t i = 0; is_measure && i < done->n; i++)
        if (!is_measure(ledger_result(&crew->ledger, done->first + i)))
            s->batch.cost_ns -= ledger_cost_ns(&crew->ledger, done->first + i);
}

static void commit_batch(struct crew *crew, struct slot *s, uint64_t now_ns)
{
    judge_by_return(crew, s, now_ns);
    if (s->is_probe) {
        s->batch_number = s->expected.batch = 0;
        s->is_probe = false;
        end_back_off(crew);
        return;
    }
    const bool is_void = s->is_void;
    s->is_void = false;
    if (is_void)
        ledger_return(&crew->ledger, &s->batch.range);
    else
        ledger_commit(&crew->ledger, &s->batch.range, s->inbox.first_block);
    if (!is_void) measure(crew, s, &s->batch.range);
    if (s->pauses == 0 && s->batch.cost_ns > 0)
        estimate_add(&crew->estimate, s->batch.cost_ns, now_ns - s->since_ns,
                     crew->options.batch_ns);
    crew->counts.batches++;
    s->worked = true;
    s->batch_number = s->expected.batch = 0;
    if (!is_void) note_progress(crew);
}

/* The first results of a batch: what is left of it goes on, with its deadline. */
static void commit_part(struct crew *crew, struct slot *s)
{
    const struct item_range part = {s->batch.range.first, s->inbox.head.n_items,
                                    s->batch.range.deaths};
    if (s->is_void) {
        ledger_return(&crew->ledger, &part);
    } else {
        ledger_commit(&crew->ledger, &part, s->inbox.first_block);
        measure(crew, s, &part);
        s->worked = true;
        note_progress(crew);
    }
    s->is_void = false;
    s->batch.range.first += part.n;
    s->batch.range.n -= part.n;
    expect_results(crew, s);
}

/* Returns a dead worker's batch to the ledger. */
static void return_batch(struct crew *crew, struct slot *s, vecmill_cause cause, enum blame blame)
{
    struct item_range parts[2];
    const bool is_probe = s->is_probe;
    s->batch_number = s->expected.batch = 0;
    s->is_probe = false;
    if (is_probe) return;
    crew->estimate.lost_ns = clock_ns();
    const unsigned n = ledger_requeue(&crew->ledger, &s->batch.range, cause, blame, parts);
    crew->counts.requeued++;
    if (n == 0) {
        trial_end(&crew->trial);
        note_progress(crew);
    }
    for (unsigned i = 0; i < n; i++)
        report_event(crew, (struct crew_event){.kind = CREW_REQUEUED,
                                               .cause = cause,
                                               .first = parts[i].first,
                                               .n = parts[i].n,
                                               .deaths = parts[i].deaths});
}

static void check_deaths_in_row(struct crew *crew)
{
    vecmill_err err;
    if (crew->closing) return;
    /* One event may end all workers, and end them again when they are back. */
    const uint32_t most = (uint32_t)num_max(CREW_DEATHS_MAX, 4 * (size_t)crew->options.workers);
    const bool no_start = crew->failed_starts_in_row >= most && crew_n_ready(crew) == 0;
    const bool no_work = crew->deaths_in_row >= most && crew->single_tried;
    if (!no_start && !no_work) return;
    const char *reason = crew->refusal.message;
    (void)err_set(&err, VECMILL_E_WORKERS, "workers keep dying: %u in a row %s%s%s",
                  no_start ? crew->failed_starts_in_row : crew->deaths_in_row,
                  no_start ? "before they were ready" : "without one item done",
                  reason[0] ? ": " : "", reason);
    fail_crew(crew, &err);
}

void apply_shortage(struct crew *crew, uint64_t now_ns)
{
    vecmill_err err;
    if (!crew->closing &&
        shortage_is_over(&crew->shortage, crew->options.oom_patience_ns, now_ns, &err))
        fail_crew(crew, &err);
}

/* Counts a death for the crew. The death of an idle worker says nothing about work. */
static void count_death(struct crew *crew, const struct slot *s, bool shortage, uint64_t now_ns)
{
    const bool counts = s->batch_number != 0 || !s->was_ready;
    if (counts && shortage) {
        crew->ooms_in_row++;
        shortage_death(&crew->shortage, now_ns);
    } else if (counts) {
        shortage_end(&crew->shortage);
        crew->deaths_in_row++;
        if (!s->was_ready) crew->failed_starts_in_row++;
    }
}

static void reap_worker(struct crew *crew, struct slot *s, uint64_t now_ns)
{
    uint64_t kills = 0;
    bool oom = false;
    const struct crew_options *o = &crew->options;
    if (s->exit.known && s->exit.signal && s->exit.code == SIGKILL &&
        s->kill_cause == VECMILL_CAUSE_NONE) {
        const bool known = o->oom_kills && o->oom_kills(o->context, &kills);
        oom = oom_take(&crew->oom, kills, known);
    }
    const struct death death = cause_of(&s->exit, s->kill_cause, s->kill_is_fault, oom);
    crew->counts.deaths[death.cause]++;
    const bool has_batch = s->batch_number != 0 && !s->is_probe;
    const bool shortage = death.cause == VECMILL_CAUSE_OOM || s->no_memory;
    count_death(crew, s, shortage, now_ns);
    report_event(crew, (struct crew_event){.kind = CREW_DIED,
                                           .pid = s->pid,
                                           .cause = death.cause,
                                           .code = death.code,
                                           .first = has_batch ? s->batch.range.first : 0,
                                           .n = has_batch ? s->batch.range.n : 0,
                                           .deaths = has_batch ? s->batch.range.deaths + 1 : 0,
                                           .shortage = shortage,
                                           .worked = s->worked});
    if (shortage && o->may_start)
        s->due_ns = now_ns; /* may_start knows whether there is room: waiting gains nothing */
    else
        back_off(s, now_ns);
    judge_by_death(crew, s, death.cause, shortage, now_ns);
    if (s->batch_number != 0)
        return_batch(crew, s, death.cause,
                     shortage      ? BLAME_NONE
                     : death.fault ? BLAME_FAULT
                                   : BLAME_ODD);
    slot_clear(s, &crew->ledger.tails);
    check_deaths_in_row(crew);
    if (shortage && crew_is_awaited(crew)) apply_shortage(crew, now_ns);
}

static void take_refusal(struct crew *crew, struct slot *s)
{
    vecmill_err err;
    char message[FRAME_REFUSED_MAX];
    uint32_t head[2];
    const size_t bytes = (size_t)s->inbox.head.bytes - FRAME_REFUSED_HEAD;
    memcpy(head, s->inbox.small, sizeof head);
    memcpy(message, s->inbox.small + FRAME_REFUSED_HEAD, bytes);
    message[bytes] = 0;
    const bool is_status = head[0] > VECMILL_OK && head[0] < VECMILL_STATUS_COUNT;
    (void)err_set(&err, is_status ? (vecmill_status)head[0] : VECMILL_E_INTERNAL, "%s", message);
    crew->refusal = err;
    s->no_memory = err.status == VECMILL_E_MEMORY;
    if (head[1]) fail_crew(crew, &err);
}

static void shut_down(struct slot *s, uint64_t now_ns)
{
    (void)shutdown(s->socket, SHUT_WR);
    s->due_ns = now_ns + LEAVE_NS;
}

static void write_off(struct crew *crew, struct slot *s, uint64_t now_ns)
{
    report_event(crew, (struct crew_event){.kind = CREW_LOST, .pid = s->pid});
    judge_by_death(crew, s, VECMILL_CAUSE_HANG, false, now_ns);
    if (s->batch_number != 0) return_batch(crew, s, VECMILL_CAUSE_HANG, BLAME_ODD);
    slot_clear(s, &crew->ledger.tails);
    s->due_ns = now_ns + CREW_LOST_NS;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        if (crew->slots[i].state != AT_LOST) return;
    vecmill_err err;
    (void)err_set(&err, VECMILL_E_WORKERS, "none of %u workers ends by SIGKILL",
                  crew->options.workers);
    fail_crew(crew, &err);
}

void apply_event(struct crew *crew, struct slot *s, enum crew_on event)
{
    const struct crew_cell cell = crew_table[s->state][event];
    const uint64_t now_ns = clock_ns();
    assert(cell.action != DO_BUG);
    if (cell.action == DO_BUG) return;
    const bool changes = cell.next != (unsigned char)s->state;
    if (changes) s->due_ns = 0;
    s->state = cell.next;
    switch ((enum crew_do)cell.action) {
    case DO_NOTHING:
        break;
    case DO_AWAIT_HELLO:
        await_hello(crew, s, now_ns);
        break;
    /* While others live, a lack of descriptors or processes does not end the crew */
    case DO_BACK_OFF:
        if (crew_n_alive(crew) == 0) crew->failed_starts_in_row++;
        back_off(s, now_ns);
        check_deaths_in_row(crew);
        break;
    case DO_READY:
        s->was_ready = crew->was_ready = true;
        crew->failed_starts_in_row = 0;
        report_event(crew, (struct crew_event){.kind = CREW_READY, .pid = s->pid});
        break;
    case DO_SEND:
        begin_batch(crew, s, now_ns);
        slot_send(s);
        break;
    case DO_COMMIT:
        commit_batch(crew, s, now_ns);
        break;
    case DO_COMMIT_PART:
        commit_part(crew, s);
        break;
    case DO_REFUSE:
        take_refusal(crew, s);
        s->due_ns = now_ns + EXIT_NS;
        break;
    case DO_AWAIT_EXIT:
        s->due_ns = now_ns + EXIT_NS;
        break;
    case DO_KILL:
        if (s->kill_cause == VECMILL_CAUSE_NONE && event != ON_LEAVE && event != ON_LATE) {
            s->kill_cause = VECMILL_CAUSE_PROTOCOL;
            s->kill_is_fault = true;
        }
        process_kill(&s->process);
        s->due_ns = now_ns + KILLED_NS;
        break;
    case DO_SHUT_DOWN:
        shut_down(s, now_ns);
        break;
    case DO_WRITE_OFF:
        write_off(crew, s, now_ns);
        break;
    case DO_REAP:
        if (crew->closing)
            slot_clear(s, &crew->ledger.tails);
        else
            reap_worker(crew, s, now_ns);
        break;
    case DO_FREE:
        slot_clear(s, &crew->ledger.tails);
        break;
    case DO_BUG:
    case CREW_N_ACTIONS:
        break;
    }
    if (!changes) return;
    s->pauses = 0;
    if (s->state == AT_VACANT) crew->ask_at_ns = 0; /* its memory is free: there may be room now */
}
