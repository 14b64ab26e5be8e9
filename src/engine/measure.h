/* measure: what a process holds of a plan's lines. Private to engine. */
#ifndef ENGINE_MEASURE_H
#define ENGINE_MEASURE_H

#include "engine/plan.h"

#include <sys/types.h>

/* Raises measured_bytes of the parts of `owner` (supervisor or worker) and of its page tables to what
 * process `pid` (0: this one) holds. E_IO: it has ended, or may not be looked at. */
vecmill_status measure_process(pid_t pid, vecmill_owner owner, vecmill_plan *plan,
                               vecmill_err *err);

#endif
