/* finish: the names of a run that is whole.
 *
 * Promises: errors, ids and output are placed in that order, each name durable before the next is
 * changed; then files of those names from an earlier run that do not belong to this one are removed. Can
 * be done again from wherever it was interrupted, by a process that knows the checkpoint alone. A
 * failure before the output is in place makes parts again of what was placed; files of an earlier run that
 * these had replaced are gone then, beside its output. Does not know what the files hold. */
#ifndef JOB_FINISH_H
#define JOB_FINISH_H

#include "journal.h"
#include "paths.h"

/* Places what `point` tells of; the parts are synced, and locked by the caller. *placed: the output (or what
 * there is beside standard output) is in place, and only what came then has failed, if anything. E_OUTPUT. */
vecmill_status finish_place(const struct paths *paths, const struct journal_point *point,
                            bool *placed, vecmill_err *err);

#endif
