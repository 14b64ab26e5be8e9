/* merge: the outputs of embed --shard put together. */
#include "app.h"
#include "progress.h"

#include <unistd.h>

static void on_progress(void *context, const struct job_progress *now)
{
    progress_tell(context, now);
}

vecmill_status cmd_merge(struct app *app, vecmill_err *err)
{
    static const vecmill_pool_counts no_workers = {0};
    const struct options *o = app->options;
    const struct job_merge_options merge = {
        .shards = o->operands, .n_shards = o->n_operands, .output = o->output};
    struct progress progress;
    struct job_progress total;
    app_raise_descriptors();
    progress_init(&progress, (enum progress_mode)o->progress, STDERR_FILENO);
    const struct job_hooks hooks = {
        .progress = on_progress, .context = &progress, .stop = signals_defer()};
    const vecmill_status status = job_merge(&merge, &hooks, &total, err);
    progress_summary(&progress, &total, &no_workers, status);
    progress_done(&progress);
    return status;
}
