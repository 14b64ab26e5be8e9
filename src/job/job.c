/* job: a bulk run. Everything sizeable is one piece of memory, laid out before the first document is
 * read; then window after window: read, compute, write. */
#include "job.h"

#include "reader.h"
#include "sink.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A window that took longer than the upper bound is followed by one of half as many documents, one
 * that took less than the lower by one of twice as many: long enough that the last, partly filled
 * pass of a window does not count, short enough that progress is seen and a stop is soon obeyed. No
 * row's bits depend on it. */
#define WINDOW_NS_LEAST   1000000000u
#define WINDOW_NS_MOST    2000000000u
#define WINDOW_DOCS_FIRST 32u

struct run {
    const struct job_options *options;
    const struct job_hooks *hooks;
    vecmill_session *session;
    uint32_t dim, max_length;
    struct reader reader;
    struct sink sink;
    struct job_progress progress;
    uint64_t started_ns;
    size_t window_docs; /* most documents of the next window */

    size_t n_records;
    struct record *records;  /* [JOB_WINDOW_DOCS] */
    vecmill_doc *docs;       /* [JOB_WINDOW_DOCS], of the records that could be read */
    vecmill_result *results; /* [JOB_WINDOW_DOCS], of docs */
    float *vectors;          /* [JOB_WINDOW_DOCS, dim], of docs */
    float *zeros;            /* [dim] */
    struct area area;
    void *memory;
    size_t memory_bytes;
};

static void run_layout(struct run *run, struct arena *a)
{
    run->records = arena_take_array(a, JOB_WINDOW_DOCS, sizeof *run->records, 64);
    run->docs = arena_take_array(a, JOB_WINDOW_DOCS, sizeof *run->docs, 64);
    run->results = arena_take_array(a, JOB_WINDOW_DOCS, sizeof *run->results, 64);
    run->vectors = arena_take_array(a, JOB_WINDOW_DOCS, run->dim * sizeof(float), 64);
    run->zeros = arena_take_array(a, run->dim, sizeof(float), 64);
    run->area.capacity = JOB_WINDOW_BYTES + reader_room(run->options);
    run->area.data = arena_take(a, run->area.capacity, 64);
    sink_layout(&run->sink, a);
}

static vecmill_status run_memory(struct run *run, vecmill_err *err)
{
    struct arena a;
    arena_count(&a);
    run_layout(run, &a);
    run->memory_bytes = arena_bytes(&a);
    VM_TRY(mem_map(run->memory_bytes, "a window of documents", &run->memory, err));
    arena_init(&a, run->memory, run->memory_bytes);
    run_layout(run, &a);
    assert(arena_ok(&a));
    return VECMILL_OK;
}

static void run_place(const struct run *run, const struct record *record, char *out, size_t room)
{
    snprintf(out, room, "%s line %llu", run->reader.intake.name, (unsigned long long)record->line);
}

/* Reads the next window. Under stop_on_error it ends with the first record that cannot be read. */
static vecmill_status run_read(struct run *run, vecmill_err *err)
{
    bool end = false;
    run->n_records = 0;
    run->area.used = 0;
    while (run->n_records < run->window_docs && run->area.used < JOB_WINDOW_BYTES) {
        struct record *record = &run->records[run->n_records];
        VM_TRY(reader_next(&run->reader, &run->area, record, &end, err));
        if (end) break;
        run->n_records++;
        if (record->reason != NULL && run->options->stop_on_error) break;
    }
    return VECMILL_OK;
}

static vecmill_status run_embed(struct run *run, vecmill_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < run->n_records; i++) {
        const struct record *record = &run->records[i];
        if (record->reason == NULL)
            run->docs[n++] = (vecmill_doc){.text = record->text, .bytes = record->bytes};
    }
    if (n == 0) return VECMILL_OK;
    return vecmill_embed(run->session, run->docs, n, run->vectors, run->results, err);
}

/* Why the engine gave no vector, into text. */
static const char *run_reason(const struct run *run, const vecmill_result *result, char *text,
                              size_t room)
{
    if (result->status == VECMILL_OK) return NULL;
    if (result->status != VECMILL_E_LIMIT) return vecmill_status_words(result->status);
    snprintf(text, room, "the document has more tokens than the maximum (--max-length) of %u",
             run->max_length);
    return text;
}

static vecmill_status run_failed(struct run *run, const struct record *record, const char *reason,
                                 vecmill_err *err)
{
    char place[IO_PATH_MAX + 32];
    run_place(run, record, place, sizeof place);
    if (run->options->stop_on_error) return err_set(err, VECMILL_E_INPUT, "%s: %s", place, reason);
    run->progress.failed++;
    if (run->hooks->failed != NULL)
        run->hooks->failed(run->hooks->context, run->progress.documents, place, reason);
    return VECMILL_OK;
}

static vecmill_status run_write(struct run *run, vecmill_err *err)
{
    size_t i_doc = 0;
    for (size_t i = 0; i < run->n_records; i++) {
        const struct record *record = &run->records[i];
        struct job_progress *p = &run->progress;
        struct sink_row row = {.index = p->documents,
                               .line = record->line,
                               .id = record->id,
                               .reason = record->reason,
                               .vector = run->zeros};
        char text[sizeof(vecmill_err)];
        if (record->reason == NULL) {
            const vecmill_result *result = &run->results[i_doc];
            row.reason = run_reason(run, result, text, sizeof text);
            if (row.reason == NULL) {
                row.vector = run->vectors + i_doc * run->dim;
                p->tokens += result->n_tokens;
                p->truncated += result->truncated != 0;
            }
            p->replaced_bytes += result->replaced_bytes;
            i_doc++;
        }
        if (row.reason != NULL) VM_TRY(run_failed(run, record, row.reason, err));
        VM_TRY(sink_put(&run->sink, &row, err));
        p->replaced_bytes += record->replaced_bytes;
        p->documents++;
    }
    return sink_flush(&run->sink, err);
}

static void run_measure(struct run *run)
{
    run->progress.bytes_read = run->reader.intake.bytes_read;
    run->progress.bytes_total = run->reader.intake.bytes_total;
    run->progress.elapsed_ns = clock_ns() - run->started_ns;
}

static void run_report(struct run *run)
{
    run_measure(run);
    if (run->hooks->progress != NULL) run->hooks->progress(run->hooks->context, &run->progress);
}

static void run_pace(struct run *run, uint64_t took_ns)
{
    if (took_ns < WINDOW_NS_LEAST)
        run->window_docs = num_min(run->window_docs * 2, JOB_WINDOW_DOCS);
    else if (took_ns > WINDOW_NS_MOST)
        run->window_docs = num_max(run->window_docs / 2, 1);
}

static vecmill_status run_stopped(const struct run *run, vecmill_err *err)
{
    if (run->hooks->stop == NULL || atomic_load(run->hooks->stop) == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_STOPPED, "stopped after %llu documents of %s",
                   (unsigned long long)run->progress.documents, run->reader.intake.name);
}

static vecmill_status run_windows(struct run *run, vecmill_err *err)
{
    for (;;) {
        VM_TRY(run_stopped(run, err));
        VM_TRY(run_read(run, err));
        if (run->n_records == 0) return VECMILL_OK;
        const uint64_t begin_ns = clock_ns();
        VM_TRY(run_embed(run, err));
        VM_TRY(run_write(run, err));
        run_pace(run, clock_ns() - begin_ns);
        run_report(run);
    }
}

vecmill_status job_run(const struct job_options *options, vecmill_session *session,
                       const struct job_hooks *hooks, struct job_progress *summary,
                       vecmill_err *err)
{
    static const struct job_hooks none = {0};
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(session, &facts);
    struct run run = {.options = options,
                      .hooks = hooks != NULL ? hooks : &none,
                      .session = session,
                      .dim = facts.dim,
                      .max_length = facts.max_length,
                      .started_ns = clock_ns(),
                      .window_docs = WINDOW_DOCS_FIRST};
    bool open = false;
    vecmill_status status = reader_open(&run.reader, options, run.hooks->stop, err);
    if (status != VECMILL_OK) goto done;
    status = run_memory(&run, err);
    if (status != VECMILL_OK) goto done;
    status = sink_open(&run.sink, options, run.dim, run.hooks->stop, err);
    if (status != VECMILL_OK) goto done;
    open = true;
    status = run_windows(&run, err);
    if (status != VECMILL_OK) goto done;
    open = false;
    status = sink_commit(&run.sink, err);
    if (status != VECMILL_OK) goto done;
    run_report(&run);
    if (run.progress.failed > 0)
        status = err_set(err, VECMILL_E_PARTIAL, "%llu of %llu documents of %s failed%s%s",
                         (unsigned long long)run.progress.failed,
                         (unsigned long long)run.progress.documents, run.reader.intake.name,
                         run.sink.errors.path[0] != 0 ? ": see " : "", run.sink.errors.path);
done:
    if (status != VECMILL_OK && status != VECMILL_E_PARTIAL) run_measure(&run);
    *summary = run.progress;
    if (open) sink_drop(&run.sink);
    if (run.memory != NULL) mem_unmap(run.memory, run.memory_bytes);
    reader_close(&run.reader);
    return status;
}
