/* app_job: a job over a pool of workers, as embed and rerank run it. */
#include "app.h"
#include "report.h"

#include <stdio.h>

static void say_complete(struct report *report, const struct options *o,
                         const struct job_options *job)
{
    char sentence[APP_SENTENCE_MAX], errors[IO_PATH_MAX], failed[200] = "", newer[160] = "";
    (void)snprintf(errors, sizeof(errors), "%s.errors.jsonl", o->output);
    if (io_exists(errors))
        (void)snprintf(failed, sizeof(failed), " (documents that failed are in %.150s)", errors);
    if (job_input_is_newer(job))
        (void)snprintf(newer, sizeof(newer), ", but %.120s is newer", o->input);
    (void)snprintf(
        sentence, sizeof(sentence),
        "%s%.120s is there and complete%s, so nothing is done%s; --force computes it anew",
        newer[0] ? "warning: " : "", o->output, failed, newer);
    report_unneeded(report, sentence);
}

/* Whether the pool's results are of a kind that this command writes. */
static vecmill_status check_kind(const struct options *o, vecmill_pool *pool, vecmill_err *err)
{
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(pool, &facts);
    if (o->command == COMMAND_RERANK || (facts.kinds >> VECMILL_KIND_SCORE & 1) == 0)
        return VECMILL_OK;
    return err_set(err, VECMILL_E_USAGE,
                   "%.200s scores pairs of texts and makes no vectors; vecmill rerank takes it",
                   o->model);
}

vecmill_status app_job_run(const struct options *o, vecmill_err *err)
{
    struct job_options job = app_job_options(o);
    struct job_progress total = {0};
    struct report report;
    vecmill_pool *pool = NULL;
    vecmill_err why;
    bool is_finished = false;
    job.output = o->output;
    job.resume = o->resume;
    job.force = o->force;
    VM_TRY(job_check(&job, &is_finished, err));

    app_raise_descriptors();
    VM_TRY(report_open(&report, o, &job, err));
    if (is_finished) {
        say_complete(&report, o, &job);
        report_close(&report);
        return VECMILL_OK;
    }
    vecmill_status status = app_pool_open(o, &job, 0, report_pool, &report, &pool, &why);
    if (status == VECMILL_OK) {
        status = check_kind(o, pool, &why);
    }
    if (status == VECMILL_OK) {
        report_started(&report, o, pool);
        const struct job_hooks hooks = {
            .progress = report_progress,
            .failed = report_failed,
            .notice = report_notice,
            .context = &report,
            .stop = signals_defer(),
        };
        status = job_run(&job, pool, &hooks, &total, &why);
    }
    report_finished(&report, &total, pool, status, &why);
    if (status != VECMILL_OK && err) *err = why;
    vecmill_pool_close(pool);
    report_close(&report);
    return status;
}
