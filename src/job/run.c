/* run: one job, from its first document to the names of its output.
 *
 * Promises: all memory is one piece, taken before the first document is read. Nothing is waited for while
 * something else can be done: while the pool is full or computing, rows are written; so they are while
 * the input is slow, so that whoever types a line gets its vector. A document that cannot be read keeps its
 * place in the order. Whose output and whose journal it is, is decided under their locks, and nothing is
 * changed before the run's identity, the parts and the input have been checked. The journal is never ahead
 * of the output. */
#include "job.h"

#include "journal.h"
#include "paths.h"
#include "reader.h"
#include "reorder.h"
#include "shard.h"
#include "sink.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* How long to wait for a vector before the stop flag is checked again. While the input is waited for too,
 * both must be checked, and the pool is to be fed soon. */
#define WAIT_MS       100u
#define WAIT_INPUT_MS 10u

/* Rows may come one by one, thousands a second. Progress is reported this often, and the reader of standard
 * output gets what there is this often while there is more to come. */
#define REPORT_NS 50000000u
#define FLUSH_NS  100000000u

/* Documents of other shards that are read before rows are looked at again. */
#define SKIP_MAX 64u

struct run {
    const struct job_options *options;
    const struct job_hooks *hooks;
    vecmill_pool *pool;
    vecmill_facts facts;
    struct paths paths;
    struct reader reader;
    struct sink sink;
    struct job_progress progress;
    uint64_t started_ns, reported_ns, flushed_ns;

    struct journal_run id;
    struct journal journal;      /* fd -1: the run has none */
    struct journal_point saved;  /* the last checkpoint on the medium */
    struct reader_point written; /* the input after the last row written */
    uint64_t saved_ns, saved_batches;

    struct reorder rows;
    struct record_buf buf; /* memory of the record that is being read */
    bool holds;            /* `record` was read, and there was no room for it yet */
    struct reader_record record;
    struct reader_point after; /* where the record after it begins */
    bool ended;                /* nothing more will be read, because of `end` */
    vecmill_err end;           /* status OK: the end of the input */
    bool is_suspect;           /* the pack is damaged: nothing of this run is kept */
    bool is_refused;           /* the whole input was read, and there can be no output of it */
    vecmill_kind kind;         /* of results */
    void *result;              /* [facts.result_bytes] */
    void *reader_memory;
    size_t memory_bytes; /* of the piece that this struct is the front of */
};

static bool run_is_stopped(const struct run *run)
{
    return run->hooks->stop != NULL && atomic_load(run->hooks->stop) != 0;
}

/* A sentence for people. */
static void notify(const struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void notify(const struct run *run, const char *format, ...)
{
    if (run->hooks->notice == NULL) return;
    vecmill_err text; /* for its rules: length, and control characters */
    va_list ap;
    va_start(ap, format);
    err_setv(&text, VECMILL_OK, format, ap);
    va_end(ap);
    run->hooks->notice(run->hooks->context, text.message);
}

static void measure_run(struct run *run)
{
    run->progress.bytes_read = run->reader.intake.bytes_read;
    run->progress.bytes_total = run->reader.intake.bytes_total;
    run->progress.elapsed_ns = clock_ns() - run->started_ns;
}

static void report_run(struct run *run)
{
    measure_run(run);
    if (run->hooks->progress != NULL) run->hooks->progress(run->hooks->context, &run->progress);
}

/* ---- memory ---- */

static void layout_run(struct run *run, struct arena *a)
{
    (void)arena_take(a, sizeof *run, 64);
    run->result = arena_take(a, (size_t)run->facts.result_bytes, 64);
    run->buf.capacity = reader_room(run->options);
    run->buf.data = arena_take(a, run->buf.capacity, 64);
    run->reader_memory = arena_take(a, reader_bytes(run->options), 64);
    reorder_layout(&run->rows, a);
    sink_layout(&run->sink, run->facts.dim, run->options->dtype, a);
}

/* One more than the pool holds, so that a record that failed does not keep the pool from being full. */
static uint64_t rows_capacity(uint32_t pool_capacity)
{
    return num_min((size_t)pool_capacity + 1, REORDER_ROWS_MAX);
}

static size_t run_bytes(const struct job_options *options, const vecmill_facts *facts,
                        uint32_t capacity)
{
    struct arena a;
    void *memory = NULL;
    /* Too large for a small stack, and mapped so that the heap does not keep it. */
    if (mem_map(sizeof(struct run), "a run", &memory, NULL) != VECMILL_OK) return SIZE_MAX;
    struct run *run = memory;
    run->options = options;
    run->facts = *facts;
    run->rows.capacity = rows_capacity(capacity);
    arena_count(&a);
    layout_run(run, &a);
    mem_unmap(run, sizeof *run);
    return arena_bytes(&a);
}

size_t job_bytes(const struct job_options *options, const vecmill_facts *facts, uint32_t capacity)
{
    const size_t bytes = run_bytes(options, facts, capacity);
    return bytes == SIZE_MAX ? bytes : bytes + reader_heap_bytes(options);
}

/* Takes the memory of a run; *out is its front. */
static vecmill_status take_run_memory(const struct job_options *options, vecmill_pool *pool,
                                      struct run **out, vecmill_err *err)
{
    static const char what[] = "a document and the rows that wait";
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    struct arena a;
    void *memory = NULL;
    vecmill_pool_count(pool, &counts);
    vecmill_pool_describe(pool, &facts);
    const size_t bytes = run_bytes(options, &facts, counts.capacity);
    VM_TRY(mem_map(bytes, what, &memory, err));
    /* All pages now, not when a long document comes after hours: they are in the plan. */
    const vecmill_status status = mem_commit(memory, bytes, what, err);
    if (status != VECMILL_OK) {
        mem_unmap(memory, bytes);
        return status;
    }
    struct run *run = memory;
    run->options = options;
    run->pool = pool;
    run->facts = facts;
    run->memory_bytes = bytes;
    run->rows.capacity = rows_capacity(counts.capacity);
    arena_init(&a, memory, bytes);
    layout_run(run, &a);
    assert(arena_ok(&a));
    *out = run;
    return VECMILL_OK;
}

/* ---- checkpoints ---- */

static uint64_t batches_done(const struct run *run)
{
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_pool_count(run->pool, &counts);
    return counts.batches;
}

/* A checkpoint after the last row written; complete: the parts are final. The order is the promise: rows out
 * of the buffers, the parts onto the medium, then the journal that records them. */
static vecmill_status save_run(struct run *run, bool complete, vecmill_err *err)
{
    const struct job_progress *p = &run->progress;
    struct journal_point point = {.complete = complete,
                                  .documents = p->documents,
                                  .failed = p->failed,
                                  .tokens = p->tokens,
                                  .truncated = p->truncated,
                                  .replaced_bytes = p->replaced_bytes,
                                  .input = run->written};
    VM_TRY(complete ? sink_finish(&run->sink, &point, err) : sink_sync(&run->sink, &point, err));
    if (run->journal.fd >= 0) VM_TRY(journal_write(&run->journal, &point, err));
    run->saved = point;
    run->saved_ns = clock_ns();
    run->saved_batches = batches_done(run);
    return VECMILL_OK;
}

static bool is_save_due(const struct run *run)
{
    if (run->journal.fd < 0 || run->progress.documents == run->saved.documents) return false;
    return clock_ns() - run->saved_ns >= JOB_CHECKPOINT_NS ||
           batches_done(run) - run->saved_batches >= JOB_CHECKPOINT_BATCHES;
}

/* ---- the beginning: from the start, or from a checkpoint ---- */

static void copy_word(char *out, size_t room, const char *text)
{
    const size_t bytes = text != NULL ? strnlen(text, room - 1) : 0;
    memset(out, 0, room);
    if (bytes > 0) memcpy(out, text, bytes);
}

static struct journal_run identify_run(const struct run *run)
{
    const struct reader *r = &run->reader;
    const char *query = run->options->query;
    const uint64_t field = reader_hash(r);
    struct journal_run id = {.dim = run->facts.dim,
                             .dtype = run->options->dtype,
                             .output_format = run->paths.format,
                             .input_format = r->format,
                             .max_document = r->max_document,
                             .field =
                                 query ? XXH3_64bits_withSeed(query, strlen(query), field) : field,
                             .id_field = XXH3_64bits(r->id_field, strlen(r->id_field)),
                             .shard = run->options->shards > 1 ? run->options->shard : 0,
                             .shards = run->options->shards > 1 ? run->options->shards : 1};
    copy_word(id.identity, sizeof id.identity, run->facts.identity);
    copy_word(id.isa, sizeof id.isa, run->facts.isa);
    return id;
}

/* Refuses to continue a run whose rows would have other bits (another model or instruction set) or be of
 * other documents or another form (another format, field, limit or dtype). */
static vecmill_status check_same_run(const struct run *run, const struct journal_run *then,
                                     vecmill_err *err)
{
    const struct journal_run now = run->id;
    const char *journal = run->journal.path;
    if (strcmp(then->isa, now.isa) != 0)
        return err_set(err, VECMILL_E_MODEL,
                       "the run to resume was begun at %s, this one computes at %s, with other "
                       "bits: on a machine that has it set VECMILL_ISA=%s, or start afresh with "
                       "--force: %s",
                       then->isa, now.isa, then->isa, journal);
    if (strcmp(then->identity, now.identity) != 0 || then->dim != now.dim)
        return err_set(
            err, VECMILL_E_MODEL,
            "the run to resume had model %.8s of %u dimensions, this one has %.8s of "
            "%u (model, prompt, precision, --max-length, --long, --dimensions, --normalize or "
            "version differ; --force starts afresh): %s",
            then->identity, then->dim, now.identity, now.dim, journal);
    const char *option = then->dtype != now.dtype                   ? "--dtype"
                         : then->ranges != now.ranges               ? "--ranges"
                         : then->output_format != now.output_format ? "format of the output"
                         : then->input_format != now.input_format   ? "format of the input"
                         : then->field != now.field
                             ? "--field, --query, --query-field, --encoding or --delimiter"
                         : then->id_field != now.id_field         ? "--id-field"
                         : then->max_document != now.max_document ? "--max-document"
                         : then->shard != now.shard               ? "--shard"
                         : then->shards != now.shards             ? "--shard"
                                                                  : NULL;
    if (option == NULL) return VECMILL_OK;
    return err_set(err, VECMILL_E_USAGE,
                   "the run to resume had another %s, and so another output (--force starts "
                   "afresh): %s",
                   option, journal);
}

/* `old` is the journal there was. It is removed first, durably: next to truncated parts it would be
 * wrong. */
static vecmill_status start_afresh(struct run *run, struct journal *old, vecmill_err *err)
{
    VM_TRY(sink_lock(&run->sink, err));
    vecmill_status status = VECMILL_OK;
    if (old->fd < 0 && run->paths.journal.given[0] != 0 && io_exists(run->paths.journal.real))
        status = err_set(err, VECMILL_E_OUTPUT, "%s: was written by another process just now",
                         run->paths.journal.given);
    if (status == VECMILL_OK) status = journal_remove(old, err);
    if (status != VECMILL_OK) {
        sink_unlock(&run->sink);
        return status;
    }
    status = sink_start(&run->sink, err);
    /* An input that has a name may be given again, a pipe too; its hash then says whether it is the same.
     * Standard input has no name. */
    const bool has_journal = !run->paths.standard && strcmp(run->options->input, "-") != 0;
    if (status == VECMILL_OK && has_journal) {
        status = journal_create(&run->paths.journal, &run->id, &run->journal, err);
        run->saved = (struct journal_point){.sequence = run->journal.sequence};
    }
    if (status != VECMILL_OK) sink_drop(&run->sink, status == VECMILL_E_OUTPUT);
    return status;
}

static vecmill_status resume_run(struct run *run, const struct journal_point *point, bool *whole,
                                 vecmill_err *err)
{
    if (run->options->stop_on_error && point->failed > 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%llu documents failed in the run it goes on from, and --on-error is stop "
                       "(skip goes on, --force starts afresh): %s",
                       (unsigned long long)point->failed, run->reader.name);
    VM_TRY(sink_reopen(&run->sink, point, err));
    if (!point->complete) {
        VM_TRY(reader_seek(&run->reader, &point->input, err));
        VM_TRY(sink_cut(&run->sink, point, err));
    }
    run->saved = *point;
    run->written = point->input;
    run->progress = (struct job_progress){.documents = point->documents,
                                          .resumed = point->documents,
                                          .failed = point->failed,
                                          .tokens = point->tokens,
                                          .truncated = point->truncated,
                                          .replaced_bytes = point->replaced_bytes};
    *whole = point->complete;
    notify(run,
           point->complete ? "all %llu documents of %s were done by an earlier run"
                           : "goes on behind the %llu documents of %s that an earlier run did",
           (unsigned long long)point->documents, run->reader.name);
    return VECMILL_OK;
}

static vecmill_status resume_or_start(struct run *run, bool *whole, vecmill_err *err)
{
    const struct job_options *options = run->options;
    struct journal *journal = &run->journal;
    if (run->paths.standard) return start_afresh(run, journal, err);
    VM_TRY(journal_open(&run->paths, journal, err));
    if (journal->fd < 0 && options->resume)
        notify(run, "there is no journal to resume from, the run starts at the beginning: %s",
               run->paths.journal.given);
    if (journal->fd >= 0 && options->resume && !options->force) {
        struct journal_run then;
        struct journal_point point;
        VM_TRY(journal_read(journal, &then, &point, err));
        /* A run that did nothing may have had any options. */
        if (point.documents > 0 || point.complete) {
            VM_TRY(check_same_run(run, &then, err));
            return resume_run(run, &point, whole, err);
        }
        notify(run, "the journal tells of no document, the run starts at the beginning: %s",
               run->paths.journal.given);
    } else if (journal->fd >= 0 && !options->force) {
        return journal_refuse(&run->paths.journal, options, err);
    }
    struct journal old = *journal;
    journal->fd = -1;
    const vecmill_status status = start_afresh(run, &old, err);
    journal_close(&old);
    return status;
}

static vecmill_status settle_kind(struct run *run, vecmill_err *err)
{
    const uint32_t kinds = run->facts.kinds;
    uint32_t kind = 0;
    while (kind < VECMILL_KIND_TOKENS && (kinds >> kind & 1) == 0)
        kind++;
    const bool scores = kind == VECMILL_KIND_SCORE;
    const bool is_pairs = run->options->query_field != NULL || run->options->query != NULL;
    run->kind = (vecmill_kind)kind;
    if (scores != is_pairs)
        return err_set(err, VECMILL_E_USAGE,
                       scores ? "the model scores pairs of texts, and the input is single texts "
                                "(vecmill rerank takes pairs)"
                              : "the input is pairs of texts, and the model makes no scores");
    if (kinds == 1u << kind) return VECMILL_OK;
    return err_set(err, VECMILL_E_USAGE,
                   "the pool computes several kinds of results (%#x), and a run writes one", kinds);
}

/* Opens the output, from the start or from a journal's checkpoint. *whole: all documents are done, and only
 * names are to be changed. On failure everything is as before, unless the run was one that starts afresh. */
static vecmill_status begin_run(struct run *run, bool *whole, vecmill_err *err)
{
    *whole = false;
    run->journal.fd = -1;
    reader_tell(&run->reader, &run->written);
    VM_TRY(settle_kind(run, err));
    VM_TRY(paths_check(run->options, run->kind, &run->paths, err));
    run->id = identify_run(run);
    VM_TRY(sink_init(&run->sink, &run->paths, run->facts.dim, run->options->dtype, run->hooks->stop,
                     err));
    if (run->options->ranges != NULL)
        VM_TRY(sink_read_ranges(&run->sink, run->options->ranges, &run->id.ranges, err));
    run->sink.index_is_id = run->reader.kind->index_is_id;
    run->sink.labels = run->facts.labels;
    const vecmill_status status = resume_or_start(run, whole, err);
    if (status != VECMILL_OK) {
        sink_leave(&run->sink);
        journal_close(&run->journal);
        return status;
    }
    const struct io_out *out = &run->sink.files[PATHS_OUTPUT].out;
    if (out->refused != 0)
        notify(run, "warning: flock is refused here (%s), so %s writes %.100s at the same time",
               strerrordesc_np(out->refused),
               out->unlocked ? "nothing notices when another run"
                             : "only runs that are refused it too notice when another",
               run->paths.files[PATHS_OUTPUT].given);
    return VECMILL_OK;
}

/* ---- rows out ---- */

/* Counts and reports a document without a vector. */
static vecmill_status fail_row(struct run *run, const struct sink_row *row, vecmill_err *err)
{
    char place[IO_PATH_MAX + 32];
    snprintf(place, sizeof place, "%s line %llu", run->reader.name, (unsigned long long)row->line);
    if (run->options->stop_on_error)
        return err_set(err, VECMILL_E_INPUT, "%s: %s", place, row->reason);
    run->progress.failed++;
    if (run->hooks->failed != NULL)
        run->hooks->failed(run->hooks->context, row->index, place, row->reason);
    return VECMILL_OK;
}

/* Only the first such document is reported: a wrong encoding spoils many, each a little. */
static void count_replaced(struct run *run, uint64_t line, uint64_t bytes)
{
    if (run->progress.replaced_bytes == 0 && bytes > 0)
        notify(run,
               "warning: %s line %llu: %llu byte%s of the document mean%s nothing and %s replaced "
               "by U+FFFD; it is the first (--encoding, as cp1252, names what the text is in)",
               run->reader.name, (unsigned long long)line, (unsigned long long)bytes,
               bytes == 1 ? "" : "s", bytes == 1 ? "s" : "", bytes == 1 ? "was" : "were");
    run->progress.replaced_bytes += bytes;
}

/* Writes the next row if it is ready within wait_ms; *written: it was. */
static vecmill_status write_row(struct run *run, uint32_t wait_ms, bool *written, vecmill_err *err)
{
    const struct reorder_row *row = reorder_first(&run->rows);
    struct job_progress *p = &run->progress;
    *written = false;
    if (row == NULL) return VECMILL_OK;
    struct sink_row out = {
        .index = row->index, .line = row->line, .id = row->id, .reason = row->reason};
    vecmill_result result = {.status = VECMILL_OK}; /* zeros for a row that the pool never had */
    vecmill_err why = {.message = ""};
    char text[sizeof(vecmill_err)];
    vecmill_part parts[VECMILL_PARTS_MAX];
    uint32_t n_parts = 0;
    if (row->reason == NULL) {
        int is_ready = 0;
        VM_TRY(vecmill_pool_take_parts(run->pool, wait_ms, run->result, parts, &n_parts, &result,
                                       &why, &is_ready, err));
        if (is_ready == 0) return VECMILL_OK;
        if (result.status == VECMILL_E_LIMIT && result.truncated == 0)
            snprintf(text, sizeof text,
                     "the document has no place where its tokenizer may cut it (TEXT_STRETCH_MAX)");
        else if (result.status == VECMILL_E_LIMIT)
            snprintf(text, sizeof text,
                     "the document has more tokens than the maximum (--max-length) of %u",
                     run->facts.max_length);
        else if (result.status != VECMILL_OK)
            snprintf(text, sizeof text, "%s",
                     why.message[0] != 0 ? why.message : vecmill_status_words(result.status));
        if (result.status != VECMILL_OK) out.reason = text;
        if (out.reason == NULL && sink_narrow(&run->sink, &parts[0], &why) != VECMILL_OK)
            out.reason = why.message;
    }
    out.part = out.reason == NULL ? &parts[0] : NULL;
    if (out.reason != NULL) VM_TRY(fail_row(run, &out, err));
    VM_TRY(sink_put(&run->sink, &out, err));
    p->documents++;
    p->duplicates += result.duplicate != 0;
    if (out.reason == NULL) {
        p->tokens += result.duplicate != 0 ? 0 : result.n_tokens;
        p->truncated += result.truncated != 0;
    }
    count_replaced(run, row->line, row->replaced_bytes + result.replaced_bytes);
    run->written = row->after;
    reorder_drop_first(&run->rows);
    *written = true;
    return VECMILL_OK;
}

/* Writes all rows that are ready, or waits for one if there is none; then a checkpoint, if one is due. */
static vecmill_status write_rows(struct run *run, uint32_t wait_ms, vecmill_err *err)
{
    bool written, any = false;
    do {
        VM_TRY(write_row(run, 0, &written, err));
        any = any || written;
    } while (written);
    if (!any && wait_ms > 0) {
        VM_TRY(sink_flush(&run->sink, err));
        VM_TRY(write_row(run, wait_ms, &written, err));
    }
    if (is_save_due(run)) VM_TRY(save_run(run, false, err));
    const uint64_t now = clock_ns();
    if (now - run->flushed_ns >= FLUSH_NS) {
        VM_TRY(sink_flush(&run->sink, err));
        run->flushed_ns = now;
    }
    if (now - run->reported_ns >= REPORT_NS) {
        report_run(run);
        run->reported_ns = now;
    }
    return VECMILL_OK;
}

/* ---- documents in ---- */

/* Nothing more is read. Rows before this are still written, then the run ends with it. */
static void end_reading(struct run *run, const vecmill_err *why)
{
    run->ended = true;
    run->end = *why;
}

/* Reads up to the next record of this shard, a bounded number of others before rows are looked at again.
 * Returns whether the input is slow: it has nothing yet. */
static bool read_record(struct run *run)
{
    const struct job_options *o = run->options;
    /* While rows can come this only looks: the loop waits for them. */
    const uint32_t wait_ms = reorder_first(&run->rows) != NULL ? 0 : WAIT_MS;
    for (unsigned i = 0; i < SKIP_MAX && !run->holds && !run_is_stopped(run); i++) {
        enum reader_got got = READER_END;
        vecmill_err why = {.status = VECMILL_OK, .message = ""}, warning;
        run->buf.used = 0;
        const vecmill_status status =
            reader_next(&run->reader, wait_ms, &run->buf, &run->record, &got, &why);
        if (reader_take_warning(&run->reader, &warning) != NULL)
            notify(run, "warning: %s", warning.message);
        if (status == VECMILL_E_STOPPED) return false; /* the loop sees the flag */
        if (status != VECMILL_OK || got == READER_END) {
            end_reading(run, &why);
            return false;
        }
        if (got == READER_AGAIN) return true;
        run->holds = o->shards <= 1 || run->record.index % o->shards == o->shard;
        if (run->holds) reader_tell(&run->reader, &run->after);
    }
    return false;
}

static vecmill_doc doc_of(const struct run *run, const struct reader_record *record)
{
    const struct job_options *o = run->options;
    if (run->kind != VECMILL_KIND_SCORE)
        return (vecmill_doc){.text = record->text, .bytes = record->bytes};
    return (vecmill_doc){.text = o->query ? o->query : record->query,
                         .bytes = o->query ? strlen(o->query) : record->query_bytes,
                         .kind = VECMILL_DOC_PAIR,
                         .pair = record->text,
                         .pair_bytes = record->bytes};
}

/* Gives the record to the pool, or straight to the queue of rows if it could not be read. Without room for
 * it, it is held. */
static vecmill_status submit_record(struct run *run, vecmill_err *err)
{
    struct reader_record *record = &run->record;
    vecmill_err why = {.status = VECMILL_OK, .message = ""};
    if (!reorder_fits(&run->rows, record)) return VECMILL_OK;
    if (record->reason == NULL) {
        const vecmill_doc doc = doc_of(run, record);
        int accepted = 0;
        const vecmill_status status = vecmill_pool_submit(run->pool, doc, &accepted, &why);
        if (status == VECMILL_E_LIMIT) {
            record->reason = why.message;
        } else if (status != VECMILL_OK) { /* the pool's end; rows before it can still be taken */
            run->holds = false;
            end_reading(run, &why);
            return VECMILL_OK;
        } else if (accepted == 0) {
            if (reorder_first(&run->rows) == NULL)
                return err_set(err, VECMILL_E_INTERNAL,
                               "the pool takes no document while it has none");
            return VECMILL_OK;
        }
    }
    if (record->reason != NULL && run->options->stop_on_error) {
        static const vecmill_err none = {.status = VECMILL_OK, .message = ""};
        end_reading(run, &none);
    }
    reorder_put(&run->rows, record, &run->after);
    run->holds = false;
    return VECMILL_OK;
}

/* ---- the loop ---- */

/* After a stop: batches that are being computed are waited for, for a moment. Rows come in order, so the
 * first that does not come is the end. A held pool says at once that it will not. */
static vecmill_status stop_loop(struct run *run, vecmill_err *err)
{
    const uint64_t began_ns = clock_ns();
    uint64_t asked_ns = began_ns;
    bool comes = true;
    vecmill_pool_hold(run->pool);
    while (comes && reorder_first(&run->rows) != NULL && asked_ns - began_ns < JOB_GRACE_NS) {
        bool written;
        VM_TRY(write_row(run, WAIT_MS, &written, err));
        const uint64_t now = clock_ns();
        comes = written || now - asked_ns >= WAIT_MS * UINT64_C(1000000);
        asked_ns = now;
    }
    return err_set(err, VECMILL_E_STOPPED, "stopped after %llu documents of %s",
                   (unsigned long long)run->progress.documents, run->reader.name);
}

/* Moves documents from the input to the output until one of them ends, or a stop is asked for (E_STOPPED:
 * what could be finished has been written). */
static vecmill_status move_documents(struct run *run, vecmill_err *err)
{
    run->saved_ns = run->reported_ns = run->flushed_ns = clock_ns();
    for (;;) {
        if (run_is_stopped(run)) return stop_loop(run, err);
        const bool is_slow = !run->ended && !run->holds && read_record(run);
        if (run->holds) VM_TRY(submit_record(run, err));
        if (run->ended && reorder_first(&run->rows) == NULL) break;
        const uint32_t wait_ms = run->holds || run->ended ? WAIT_MS : is_slow ? WAIT_INPUT_MS : 0;
        VM_TRY(write_rows(run, wait_ms, err));
        if (is_slow) VM_TRY(sink_flush(&run->sink, err));
    }
    if (run->end.status != VECMILL_OK && err != NULL) *err = run->end;
    if (run->end.status == VECMILL_OK) reader_tell(&run->reader, &run->written);
    return run->end.status;
}

/* ---- the ends ---- */

/* What a damaged pack computed is kept nowhere, not in a journal either. */
static vecmill_status verify_run(struct run *run, vecmill_err *err)
{
    const vecmill_status status = vecmill_pool_verify(run->pool, err);
    run->is_suspect = status != VECMILL_OK;
    return status;
}

/* All documents are done. *placed as of sink_place. */
static vecmill_status end_whole(struct run *run, bool whole, bool *placed, vecmill_err *err)
{
    if (!whole) {
        VM_TRY(verify_run(run, err));
        /* So that a kill while the output is made of its stage costs that alone. */
        if (run->sink.kind->assemble != NULL) VM_TRY(save_run(run, false, err));
        const vecmill_status saved = save_run(run, true, err);
        run->is_refused = saved == VECMILL_E_USAGE;
        VM_TRY(saved);
    }
    if (run->paths.is_shard) { /* before its output: whoever finds that finds this */
        void *spare = run->sink.files[PATHS_OUTPUT].data; /* all of it is written */
        VM_TRY(shard_write(&run->paths, &run->id, &run->saved, spare, SINK_BUFFER_BYTES,
                           run->hooks->stop, err));
    }
    const vecmill_status status = sink_place(&run->sink, &run->saved, placed, err);
    if (status != VECMILL_OK && !*placed && run->paths.is_shard) unlink(run->paths.shard.real);
    VM_TRY(status);
    sink_leave(&run->sink);
    return journal_remove(&run->journal, err);
}

/* After such an end the user may run the same command with --resume. */
static bool can_resume_after(vecmill_status status)
{
    return status == VECMILL_E_STOPPED || status == VECMILL_E_OUTPUT || status == VECMILL_E_WORKERS;
}

/* The run ends before its last document. What a checkpoint with a document records is kept, all else is
 * removed. */
static vecmill_status end_early(struct run *run, bool placed, vecmill_status status,
                                vecmill_err *err)
{
    vecmill_err why;
    if (!run->is_suspect && run->progress.documents > 0 && verify_run(run, &why) != VECMILL_OK)
        status = err_set(err, why.status, "%s", why.message);
    const bool stopped = status == VECMILL_E_STOPPED && run->journal.fd >= 0 && !run->is_suspect;
    if (stopped && run->progress.documents > run->saved.documents)
        status = save_run(run, false, err) == VECMILL_OK ? status : VECMILL_E_OUTPUT;
    const bool keeps = run->journal.fd >= 0 && !run->is_suspect && !run->is_refused;
    const unsigned long long kept = keeps ? run->saved.documents : 0;
    if (kept > 0) {
        sink_leave(&run->sink);
        journal_close(&run->journal);
    } else {
        journal_remove(&run->journal, NULL); /* first: without its parts it would be wrong */
        if (placed)
            sink_leave(&run->sink);
        else
            sink_drop(&run->sink, can_resume_after(status));
    }
    if (kept > 0 && status == VECMILL_E_STOPPED)
        return err_set(err, status, "stopped after %llu documents, from which --resume goes on: %s",
                       kept, run->reader.name);
    if (kept > 0)
        notify(run, "%llu documents are kept beside the output, --resume goes on from there", kept);
    return status;
}

vecmill_status job_run(const struct job_options *options, vecmill_pool *pool,
                       const struct job_hooks *hooks, struct job_progress *summary,
                       vecmill_err *err)
{
    static const struct job_hooks none = {0};
    const uint64_t started_ns = clock_ns();
    struct run *run = NULL;
    bool whole = false, placed = false;
    *summary = (struct job_progress){0};
    VM_TRY(take_run_memory(options, pool, &run, err));
    run->hooks = hooks != NULL ? hooks : &none;
    run->started_ns = started_ns;
    run->reader.intake.fd = -1;
    vecmill_status status =
        reader_open(&run->reader, options, run->reader_memory, run->hooks->stop, err);
    if (status != VECMILL_OK) goto done;
    status = begin_run(run, &whole, err);
    if (status != VECMILL_OK) goto done;
    if (!whole) status = move_documents(run, err);
    /* Rows without any vector do not replace an older output. Standard output has them by now. */
    if (status == VECMILL_OK && !whole) {
        status = reader_refuse(&run->reader, err);
        run->is_refused = status != VECMILL_OK;
    }
    if (status == VECMILL_OK) status = end_whole(run, whole, &placed, err);
    const struct job_progress *p = &run->progress;
    if (status != VECMILL_OK) {
        status = end_early(run, placed, status, err);
    } else {
        report_run(run);
        const char *errors = run->paths.files[PATHS_ERRORS].given;
        if (p->failed > 0)
            status = err_set(err, VECMILL_E_PARTIAL, "%llu of %llu documents of %s failed%s%s",
                             (unsigned long long)p->failed, (unsigned long long)p->documents,
                             run->reader.name, errors[0] != 0 ? ": see " : "", errors);
    }
done:
    if (status == VECMILL_E_STOPPED) vecmill_pool_hold(pool);
    if (status != VECMILL_OK && status != VECMILL_E_PARTIAL) measure_run(run);
    *summary = run->progress;
    reader_close(&run->reader);
    mem_unmap(run, run->memory_bytes);
    return status;
}
