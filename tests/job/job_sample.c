/* job_sample OUTPUT INPUT: one run with the fake engine, for job_npy.py and job_faults.py. Ends with the
 * number of the status. */
#include "fake_engine.h"

#include "job/job.h"

#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3) return 100;
    signal(SIGPIPE, SIG_IGN);
    vecmill_session session = {.dim = 5};
    const struct job_options options = {.input = argv[2], .output = argv[1]};
    struct job_progress summary;
    vecmill_err err = {.message = ""};
    const vecmill_status status = job_run(&options, &session, NULL, &summary, &err);
    if (status != VECMILL_OK) fprintf(stderr, "%s\n", err.message);
    return (int)status;
}
