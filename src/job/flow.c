/* flow: documents on their way through a run: read one at a time, given to the pool, taken from it in the
 * same order, written.
 *
 * Promises: nothing is waited for while something else can be done: a full pool, or one that computes,
 * lets rows be written; an input that is slow lets them be written too, so that whoever types a line gets
 * its vector; what fails to be read keeps its place in the order. Allocates nothing. */
#include "run.h"

#include <stdio.h>

/* A wait for a vector, after which the stop flag is looked at again; while the input is waited for too, both
 * have to be looked at, and the pool is to be fed soon. */
#define WAIT_MS       100u
#define WAIT_INPUT_MS 10u

/* Rows are often ready one by one, and thousands a second: so often is progress told, and so often gets the
 * reader of standard output what there is, while there is more to come. */
#define REPORT_NS 50000000u
#define FLUSH_NS  100000000u

/* Documents of other shards that are read in one go. */
#define PASS_MOST 64u

static void say_place(const struct run *run, uint64_t line, char *out, size_t room)
{
    snprintf(out, room, "%s line %llu", run->reader.intake.name, (unsigned long long)line);
}

/* Why the pool gave no vector, into text. */
static const char *say_reason(const struct run *run, const vecmill_result *result,
                              const vecmill_err *why, char *text, size_t room)
{
    if (result->status == VECMILL_OK) return NULL;
    if (result->status == VECMILL_E_LIMIT)
        snprintf(text, room, "the document has more tokens than the maximum (--max-length) of %u",
                 run->facts.max_length);
    else
        snprintf(text, room, "%s",
                 why->message[0] != 0 ? why->message : vecmill_status_words(result->status));
    return text;
}

static vecmill_status fail_row(struct run *run, const struct sink_row *row, vecmill_err *err)
{
    char place[IO_PATH_MAX + 32];
    say_place(run, row->line, place, sizeof place);
    if (run->options->stop_on_error)
        return err_set(err, VECMILL_E_INPUT, "%s: %s", place, row->reason);
    run->progress.failed++;
    if (run->hooks->failed != NULL)
        run->hooks->failed(run->hooks->context, row->index, place, row->reason);
    return VECMILL_OK;
}

/* Of the first of such documents: a wrong encoding spoils many, and each a little. */
static void tell_replaced(const struct run *run, uint64_t line, uint64_t bytes)
{
    run_notice(
        run,
        "warning: %s line %llu: %llu byte%s of the document mean%s nothing and %s replaced by "
        "U+FFFD; it is the first (--encoding, as cp1252, names what the text is in)",
        run->reader.intake.name, (unsigned long long)line, (unsigned long long)bytes,
        bytes == 1 ? "" : "s", bytes == 1 ? "s" : "", bytes == 1 ? "was" : "were");
}

/* result is NULL for a row that the pool never had. */
static vecmill_status write_row(struct run *run, const struct pending_row *pending,
                                const vecmill_result *result, const vecmill_err *why,
                                vecmill_err *err)
{
    struct job_progress *p = &run->progress;
    char text[sizeof(vecmill_err)];
    struct sink_row row = {.index = pending->index,
                           .line = pending->line,
                           .id = pending->id,
                           .reason = pending->reason,
                           .vector = run->zeros};
    if (result != NULL) row.reason = say_reason(run, result, why, text, sizeof text);
    if (row.reason != NULL)
        VM_TRY(fail_row(run, &row, err));
    else
        row.vector = run->vector;
    VM_TRY(sink_put(&run->sink, &row, err));
    if (result != NULL) p->duplicates += result->duplicate != 0;
    if (row.reason == NULL) {
        p->tokens += result->duplicate != 0 ? 0 : result->n_tokens;
        p->truncated += result->truncated != 0;
    }
    const uint64_t replaced =
        pending->replaced_bytes + (result != NULL ? result->replaced_bytes : 0);
    if (p->replaced_bytes == 0 && replaced > 0) tell_replaced(run, pending->line, replaced);
    p->replaced_bytes += replaced;
    p->documents++;
    run->written = pending->after;
    return VECMILL_OK;
}

/* Writes the next row if it is ready within wait_ms. */
static vecmill_status take_row(struct run *run, uint32_t wait_ms, bool *taken, vecmill_err *err)
{
    const struct pending_row *row = pending_first(&run->pending);
    *taken = false;
    if (row == NULL) return VECMILL_OK;
    vecmill_result result = {.status = VECMILL_OK};
    vecmill_err why = {.message = ""};
    if (row->reason == NULL) {
        int is_there = 0;
        VM_TRY(vecmill_pool_take(run->pool, wait_ms, run->vector, &result, &why, &is_there, err));
        if (is_there == 0) return VECMILL_OK;
    }
    VM_TRY(write_row(run, row, row->reason == NULL ? &result : NULL, &why, err));
    pending_drop_first(&run->pending);
    *taken = true;
    return VECMILL_OK;
}

/* What follows rows: a checkpoint, whoever reads standard output, whoever watches. */
static vecmill_status settle(struct run *run, vecmill_err *err)
{
    VM_TRY(run_save_if_due(run, err));
    const uint64_t now = clock_ns();
    if (now - run->flushed_ns >= FLUSH_NS) {
        VM_TRY(sink_flush(&run->sink, err));
        run->flushed_ns = now;
    }
    if (now - run->reported_ns >= REPORT_NS) {
        run_report(run);
        run->reported_ns = now;
    }
    return VECMILL_OK;
}

/* Writes all rows that are ready; when there are none, waits for one. */
static vecmill_status drain(struct run *run, uint32_t wait_ms, vecmill_err *err)
{
    bool taken, any = false;
    do {
        VM_TRY(take_row(run, 0, &taken, err));
        any = any || taken;
    } while (taken);
    if (!any && wait_ms > 0) {
        VM_TRY(sink_flush(&run->sink, err));
        VM_TRY(take_row(run, wait_ms, &taken, err));
    }
    return settle(run, err);
}

/* While the input is waited for. */
static vecmill_status work_meanwhile(void *context, bool *busy, vecmill_err *err)
{
    struct run *run = context;
    vecmill_status status = drain(run, WAIT_INPUT_MS, err);
    if (status == VECMILL_OK) status = sink_flush(&run->sink, err);
    run->broken = status != VECMILL_OK;
    *busy = pending_first(&run->pending) != NULL;
    return status;
}

/* Nothing more is read; what was read before is still written, then the run ends with this. */
static void end_reading(struct run *run, const vecmill_err *why)
{
    run->ended = true;
    run->end = *why;
}

static bool is_ours(const struct run *run, uint64_t index)
{
    const struct job_options *o = run->options;
    return o->shards <= 1 || index % o->shards == o->shard;
}

static vecmill_status read_record(struct run *run, vecmill_err *err)
{
    vecmill_err why = {.status = VECMILL_OK, .message = ""};
    bool end = false;
    run->area.used = 0;
    const vecmill_status status = reader_next(&run->reader, &run->area, &run->record, &end, &why);
    vecmill_err *warning = &run->reader.intake.warning;
    if (warning->message[0] != 0) run_notice(run, "warning: %s", warning->message);
    warning->message[0] = 0;
    if (status == VECMILL_E_STOPPED && !run->broken) return VECMILL_OK; /* seen by the caller */
    if (run->broken && err != NULL) *err = why;
    if (run->broken) return status;
    if (status != VECMILL_OK || end) {
        end_reading(run, &why);
        return VECMILL_OK;
    }
    if (!is_ours(run, run->record.index)) return VECMILL_OK;
    reader_tell(&run->reader, &run->after);
    run->holds = true;
    return VECMILL_OK;
}

/* Another shard's documents are passed over, a bounded number of them before rows are looked at again. */
static vecmill_status read_ours(struct run *run, vecmill_err *err)
{
    for (unsigned i = 0; i < PASS_MOST && !run->ended && !run->holds && !run_is_stopped(run); i++)
        VM_TRY(read_record(run, err));
    return VECMILL_OK;
}

/* Gives the record that was read to the pool, or right into the queue of rows where it could not be read. It
 * is held until there is room. */
static vecmill_status pass_on(struct run *run, vecmill_err *err)
{
    struct record *record = &run->record;
    vecmill_err why = {.status = VECMILL_OK, .message = ""};
    if (!pending_fits(&run->pending, record)) return VECMILL_OK;
    if (record->reason == NULL) {
        const vecmill_doc doc = {.text = record->text, .bytes = record->bytes};
        int accepted = 0;
        const vecmill_status status = vecmill_pool_submit(run->pool, doc, &accepted, &why);
        if (status == VECMILL_E_LIMIT) {
            record->reason = why.message;
        } else if (status != VECMILL_OK) { /* comes again behind what can be taken */
            run->holds = false;
            end_reading(run, &why);
            return VECMILL_OK;
        } else if (accepted == 0) {
            if (pending_first(&run->pending) == NULL)
                return err_set(err, VECMILL_E_INTERNAL,
                               "the pool takes no document while it has none");
            return VECMILL_OK;
        }
    }
    if (record->reason != NULL && run->options->stop_on_error) {
        static const vecmill_err none = {.status = VECMILL_OK, .message = ""};
        end_reading(run, &none);
    }
    pending_put(&run->pending, record, &run->after);
    run->holds = false;
    return VECMILL_OK;
}

/* After a stop was asked for: what is being computed is worth a moment, the rest is not. Rows come in
 * order, so the first that will not come is the end; a held pool says so at once, instead of waiting. */
static vecmill_status finish_in_flight(struct run *run, vecmill_err *err)
{
    const uint64_t began_ns = clock_ns();
    uint64_t asked_ns = began_ns;
    bool comes = true;
    vecmill_pool_hold(run->pool);
    while (comes && pending_first(&run->pending) != NULL && asked_ns - began_ns < JOB_GRACE_NS) {
        bool taken;
        VM_TRY(take_row(run, WAIT_MS, &taken, err));
        const uint64_t now = clock_ns();
        comes = taken || now - asked_ns >= WAIT_MS * UINT64_C(1000000);
        asked_ns = now;
    }
    return VECMILL_OK;
}

static vecmill_status stop(struct run *run, vecmill_err *err)
{
    VM_TRY(finish_in_flight(run, err));
    return err_set(err, VECMILL_E_STOPPED, "stopped after %llu documents of %s",
                   (unsigned long long)run->progress.documents, run->reader.intake.name);
}

vecmill_status run_flow(struct run *run, vecmill_err *err)
{
    run->saved_ns = run->reported_ns = run->flushed_ns = clock_ns();
    run->reader.intake.idle = (struct intake_idle){.work = work_meanwhile, .context = run};
    for (;;) {
        if (run_is_stopped(run)) return stop(run, err);
        VM_TRY(read_ours(run, err));
        if (run->holds) VM_TRY(pass_on(run, err));
        if (run->ended && pending_first(&run->pending) == NULL) break;
        const bool waits = run->holds || run->ended;
        VM_TRY(drain(run, waits ? WAIT_MS : 0, err));
    }
    if (run->end.status != VECMILL_OK && err != NULL) *err = run->end;
    if (run->end.status == VECMILL_OK) reader_tell(&run->reader, &run->written);
    return run->end.status;
}
