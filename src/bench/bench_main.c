/* bench: how fast is this machine, how near to what its processors can do, and how good are the vectors?
 * Four measurements, one a run (bench.h). The program vecmill becomes this one for `vecmill bench`. */
#include "bench.h"

static vecmill_status run_bench(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    if (o->command != COMMAND_BENCH || o->help)
        return err_set(err, VECMILL_E_USAGE,
                       "vecmill-bench is a part of vecmill: use `vecmill bench`");
    if (o->input) {
        const struct job_options job = app_job_options(o);
        VM_TRY(app_input_check(&job, err));
    }
    mem_map_large(); /* what is given back is gone, and does not count as memory of the rounds */
    if (o->accuracy) return bench_accuracy(app, err);
    if (o->latency) return bench_latency(app, err);
    if (o->in_process) return bench_session(app, err);
    return bench_job(app, err);
}

int main(int argc, char **argv)
{
    struct app app;
    struct options options;
    vecmill_err err;
    vecmill_status status = app_begin(&app, argc, argv, &options, &err);
    if (status == VECMILL_OK) status = run_bench(&app, &err);
    return app_end(&app, status, &err);
}
