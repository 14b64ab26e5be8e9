/* save: checkpoints of a run. The order is the promise: rows out of the buffers, the parts onto the medium,
 * then the journal that tells of them; so a journal is never ahead of the data, whatever happens. */
#include "run.h"

static uint64_t batches_done(const struct run *run)
{
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_pool_count(run->pool, &counts);
    return counts.batches;
}

vecmill_status run_save(struct run *run, bool complete, vecmill_err *err)
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

vecmill_status run_save_if_due(struct run *run, vecmill_err *err)
{
    if (run->journal.fd < 0 || run->progress.documents == run->saved.documents) return VECMILL_OK;
    if (clock_ns() - run->saved_ns < JOB_CHECKPOINT_NS &&
        batches_done(run) - run->saved_batches < JOB_CHECKPOINT_BATCHES)
        return VECMILL_OK;
    return run_save(run, false, err);
}
