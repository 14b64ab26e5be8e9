/* clock: time that never goes back. No decision depends on the wall clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

/* Nanoseconds since the kernel started this process, from /proc, to 10 ms; 0: unknown. */
uint64_t clock_process_age_ns(void);

#endif
