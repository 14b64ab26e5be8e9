/* job_sample [resume|force|stop=N|shard=I/N|dtype=N|ranges=FILE|sparse]... OUTPUT INPUT: one run with the
 * fake engine, for the tests in Python.
 *
 * Checkpoints are due every eight documents. stop=N asks for a stop when document N is submitted, stop=0 at
 * once. Ends with
 * the number of the status, and says why on standard error; what is told on the way goes there too. */
#include "fake_engine.h"

#include "job/job.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "notice: %s\n", sentence);
}

int main(int argc, char **argv)
{
    atomic_int stop = 0;
    vecmill_pool pool = {.dim = 5, .batches_a_doc = JOB_CHECKPOINT_BATCHES / 8, .stop = &stop};
    struct job_options options = {.input = NULL};
    for (; argc > 3; argc--, argv++) {
        if (strcmp(argv[1], "resume") == 0) options.resume = true;
        if (strcmp(argv[1], "force") == 0) options.force = true;
        if (strncmp(argv[1], "stop=", 5) == 0) pool.stop_at = strtoull(argv[1] + 5, NULL, 10);
        if (strcmp(argv[1], "stop=0") == 0) atomic_store(&stop, 1);
        if (strcmp(argv[1], "sparse") == 0) pool.kind = options.kind = VECMILL_KIND_SPARSE;
        if (strncmp(argv[1], "dtype=", 6) == 0) options.dtype = (vecmill_dtype)atoi(argv[1] + 6);
        if (strncmp(argv[1], "ranges=", 7) == 0) options.ranges = argv[1] + 7;
        if (strncmp(argv[1], "shard=", 6) == 0) {
            char *rest;
            options.shard = (uint32_t)strtoul(argv[1] + 6, &rest, 10);
            options.shards = (uint32_t)strtoul(rest + 1, NULL, 10);
        }
    }
    if (argc != 3) return 100;
    options.output = argv[1];
    options.input = argv[2];
    signal(SIGPIPE, SIG_IGN);

    const struct job_hooks hooks = {.notice = on_notice, .stop = &stop};
    struct job_progress summary;
    vecmill_err err = {.message = ""};
    bool finished = false;
    vecmill_status status = job_check(&options, &finished, &err);
    if (status == VECMILL_OK && !finished)
        status = job_run(&options, &pool, &hooks, &summary, &err);
    if (status != VECMILL_OK) fprintf(stderr, "%s\n", err.message);
    return (int)status;
}
