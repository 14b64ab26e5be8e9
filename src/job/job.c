/* job: a bulk run. Everything sizeable is one piece of memory, laid out before the first document is
 * read; then documents flow (flow.c), and what the run leaves behind is decided here. */
#include "run.h"

#include "shard.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- for the other files of a run ---- */

bool run_is_stopped(const struct run *run)
{
    return run->hooks->stop != NULL && atomic_load(run->hooks->stop) != 0;
}

void run_notice(const struct run *run, const char *format, ...)
{
    if (run->hooks->notice == NULL) return;
    vecmill_err text; /* its rules for cutting and for what a terminal would act on hold here too */
    va_list ap;
    va_start(ap, format);
    err_setv(&text, VECMILL_OK, format, ap);
    va_end(ap);
    run->hooks->notice(run->hooks->context, text.message);
}

void run_measure(struct run *run)
{
    run->progress.bytes_read = run->reader.intake.bytes_read;
    run->progress.bytes_total = run->reader.intake.bytes_total;
    run->progress.elapsed_ns = clock_ns() - run->started_ns;
}

void run_report(struct run *run)
{
    run_measure(run);
    if (run->hooks->progress != NULL) run->hooks->progress(run->hooks->context, &run->progress);
}

/* ---- memory ---- */

static void run_layout(struct run *run, struct arena *a)
{
    (void)arena_take(a, sizeof *run, 64);
    run->vector = arena_take_array(a, run->facts.dim, sizeof(float), 64);
    run->zeros = arena_take_array(a, run->facts.dim, sizeof(float), 64);
    run->area.capacity = reader_room(run->options);
    run->area.data = arena_take(a, run->area.capacity, 64);
    run->reader_memory = arena_take(a, reader_bytes(run->options), 64);
    pending_layout(&run->pending, a);
    sink_layout(&run->sink, a);
}

/* One more than the pool holds, so that a record that failed does not keep it from being full. */
static uint64_t rows_that_wait(uint32_t capacity)
{
    return num_min((size_t)capacity + 1, PENDING_ROWS_MOST);
}

static size_t layout_bytes(const struct job_options *options, uint32_t dim, uint32_t capacity)
{
    struct arena a;
    void *memory = NULL;
    /* Too large for the stacks that some start us with, and to stay in the heap. */
    if (mem_map(sizeof(struct run), "a run", &memory, NULL) != VECMILL_OK) return SIZE_MAX;
    struct run *run = memory;
    run->options = options;
    run->facts.dim = dim;
    run->pending.capacity = rows_that_wait(capacity);
    arena_count(&a);
    run_layout(run, &a);
    mem_unmap(run, sizeof *run);
    return arena_bytes(&a);
}

size_t job_bytes(const struct job_options *options, uint32_t dim, uint32_t capacity)
{
    const size_t bytes = layout_bytes(options, dim, capacity);
    return bytes == SIZE_MAX ? bytes : bytes + reader_heap_bytes(options);
}

/* Takes the memory of a run, which is its first piece. */
static vecmill_status run_memory(const struct job_options *options, vecmill_pool *pool,
                                 struct run **out, vecmill_err *err)
{
    static const char what[] = "a document and the rows that wait";
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    struct arena a;
    void *memory = NULL;
    vecmill_pool_count(pool, &counts);
    vecmill_pool_describe(pool, &facts);
    const size_t bytes = layout_bytes(options, facts.dim, counts.capacity);
    VM_TRY(mem_map(bytes, what, &memory, err));
    /* Now, not when a long document comes after hours: it is in the plan. */
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
    run->pending.capacity = rows_that_wait(counts.capacity);
    arena_init(&a, memory, bytes);
    run_layout(run, &a);
    assert(arena_ok(&a));
    *out = run;
    return VECMILL_OK;
}

/* ---- the ends ---- */

/* A shard's output is preceded by what tells of it: who finds the one finds the other. */
static vecmill_status tell_shard(struct run *run, vecmill_err *err)
{
    void *spare = run->sink.files[PATHS_OUTPUT].data; /* all of it is written */
    if (!run->paths.is_shard) return VECMILL_OK;
    return shard_write(&run->paths, &run->id, &run->saved, spare, SINK_BUFFER_BYTES,
                       run->hooks->stop, err);
}

/* What was computed with a damaged pack is kept nowhere, also not to be gone on from. */
static vecmill_status run_verify(struct run *run, vecmill_err *err)
{
    const vecmill_status status = vecmill_pool_verify(run->pool, err);
    run->is_suspect = status != VECMILL_OK;
    return status;
}

/* A run whose documents are all done. *placed as of sink_place. */
static vecmill_status end_whole(struct run *run, bool whole, bool *placed, vecmill_err *err)
{
    if (!whole) {
        VM_TRY(run_verify(run, err));
        VM_TRY(run_save(run, true, err));
    }
    VM_TRY(tell_shard(run, err));
    const vecmill_status status = sink_place(&run->sink, &run->saved, placed, err);
    if (status != VECMILL_OK && !*placed && run->paths.is_shard) unlink(run->paths.shard.real);
    VM_TRY(status);
    sink_leave(&run->sink);
    return journal_remove(&run->journal, err);
}

/* Ends behind which the same command, run again with resume, is what one would do. */
static bool can_go_on(vecmill_status status)
{
    return status == VECMILL_E_STOPPED || status == VECMILL_E_OUTPUT || status == VECMILL_E_WORKERS;
}

/* A run that ends before. What a checkpoint with a document tells of is kept, all else goes. */
static vecmill_status end_early(struct run *run, bool placed, vecmill_status status,
                                vecmill_err *err)
{
    vecmill_err why;
    if (!run->is_suspect && run->progress.documents > 0 && run_verify(run, &why) != VECMILL_OK)
        status = err_set(err, why.status, "%s", why.message);
    const bool stopped = status == VECMILL_E_STOPPED && run->journal.fd >= 0 && !run->is_suspect;
    if (stopped && run->progress.documents > run->saved.documents)
        status = run_save(run, false, err) == VECMILL_OK ? status : VECMILL_E_OUTPUT;
    const bool has_kept = run->journal.fd >= 0 && !run->is_suspect && !run->is_refused;
    const unsigned long long kept = has_kept ? run->saved.documents : 0;
    if (kept > 0) {
        sink_leave(&run->sink);
        journal_close(&run->journal);
    } else {
        journal_remove(&run->journal, NULL); /* first: beside parts that are gone it would lie */
        if (placed)
            sink_leave(&run->sink);
        else
            sink_drop(&run->sink, can_go_on(status));
    }
    if (kept > 0 && status == VECMILL_E_STOPPED)
        return err_set(err, status, "stopped after %llu documents, from which --resume goes on: %s",
                       kept, run->reader.intake.name);
    if (kept > 0)
        run_notice(run, "%llu documents are kept beside the output, --resume goes on from there",
                   kept);
    return status;
}

static vecmill_status tell_failed(const struct run *run, vecmill_err *err)
{
    const char *errors = run->paths.files[PATHS_ERRORS].given;
    if (run->progress.failed == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_PARTIAL, "%llu of %llu documents of %s failed%s%s",
                   (unsigned long long)run->progress.failed,
                   (unsigned long long)run->progress.documents, run->reader.intake.name,
                   errors[0] != 0 ? ": see " : "", errors);
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
    VM_TRY(run_memory(options, pool, &run, err));
    run->hooks = hooks != NULL ? hooks : &none;
    run->started_ns = started_ns;
    run->reader.intake.fd = -1;
    vecmill_status status =
        reader_open(&run->reader, options, run->reader_memory, run->hooks->stop, err);
    if (status != VECMILL_OK) goto done;
    status = run_begin(run, &whole, err);
    if (status != VECMILL_OK) goto done;
    if (!whole) status = run_flow(run, err);
    /* Rows of which none has a vector are worth no older output. On standard output they are written. */
    if (status == VECMILL_OK && !whole) {
        status = reader_refuse(&run->reader, err);
        run->is_refused = status != VECMILL_OK;
    }
    if (status == VECMILL_OK) status = end_whole(run, whole, &placed, err);
    if (status == VECMILL_OK) {
        run_report(run);
        status = tell_failed(run, err);
    } else {
        status = end_early(run, placed, status, err);
    }
done:
    if (status == VECMILL_E_STOPPED) vecmill_pool_hold(pool);
    if (status != VECMILL_OK && status != VECMILL_E_PARTIAL) run_measure(run);
    *summary = run->progress;
    reader_close(&run->reader);
    mem_unmap(run, run->memory_bytes);
    return status;
}
