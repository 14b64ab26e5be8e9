/* try: a plan put to the test before it is relied on. */
#ifndef APP_TRY_H
#define APP_TRY_H

#include "app.h"

/* Runs the worst there is through a pool of these options: the longest documents, in tokens and in bytes,
 * and batches filled with the shortest, a full queue at all times; in a folder under $TMPDIR, some
 * megabytes, that is removed whatever comes. *plan becomes the plan in force with what was measured, the
 * most of each line. Errors: what ended the run. */
vecmill_status try_plan(const struct options *o, vecmill_plan *plan, vecmill_err *err);

/* Whether a line of a measured plan is over; then which, E_INTERNAL, is in err. */
bool try_is_over(const vecmill_plan *plan, vecmill_err *err);

#endif
