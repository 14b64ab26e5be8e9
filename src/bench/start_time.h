/* start_time: from the start of a process to its first vector.
 *
 * Runs the program vecmill as `embed` of one line, several times one after another, and takes the time
 * from just before the spawn to the first byte of the vector on its standard output. */
#ifndef BENCH_START_TIME_H
#define BENCH_START_TIME_H

#include "app/app.h"

#define START_TIME_RUNS_MAX 64u
#define START_TIME_WAIT_MS  60000 /* a start that takes longer is killed, and is an error */

struct start_time {
    uint32_t n;
    uint64_t least_ns, median_ns;
};

/* n runs of `program`, at most START_TIME_RUNS_MAX, with the precision, workers, batch and length of these
 * options. The pack is warm already when a session was opened before. stop: NULL, or nonzero when there is
 * to be no further run: E_STOPPED. */
vecmill_status start_time_measure(const char *program, const struct options *o, uint32_t n,
                                  const atomic_int *stop, struct start_time *t, vecmill_err *err);

#endif
