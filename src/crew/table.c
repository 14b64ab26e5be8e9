/* table: pairs that are not here cannot occur (DO_BUG): frames of a worker whose socket is no
 * longer read, deadlines that were not set. */
#include "table.h"

/* One line for each event, in columns. */
/* clang-format off */
const struct crew_cell crew_table[CREW_N_STATES][CREW_N_EVENTS] = {
    [AT_VACANT] = {
        [ON_STARTED]     = {AT_STARTING, DO_AWAIT_HELLO},
        [ON_NOT_STARTED] = {AT_VACANT,   DO_BACK_OFF},
        [ON_LEAVE]       = {AT_VACANT,   DO_NOTHING},
    },
    [AT_STARTING] = {
        [ON_LEAVE]       = {AT_KILLED,   DO_KILL},
        [ON_HELLO]       = {AT_IDLE,     DO_READY},
        [ON_REFUSED]     = {AT_CLOSED,   DO_REFUSE},
        [ON_RESULT]      = {AT_KILLED,   DO_KILL},
        [ON_PART]        = {AT_KILLED,   DO_KILL},
        [ON_GARBAGE]     = {AT_KILLED,   DO_KILL},
        [ON_END]         = {AT_CLOSED,   DO_AWAIT_EXIT},
        [ON_LATE]        = {AT_KILLED,   DO_KILL},
        [ON_DEAD]        = {AT_VACANT,   DO_REAP},
    },
    [AT_IDLE] = {
        [ON_BATCH]       = {AT_BUSY,     DO_SEND},
        [ON_LEAVE]       = {AT_LEAVING,  DO_SHUT_DOWN},
        [ON_HELLO]       = {AT_KILLED,   DO_KILL},
        [ON_REFUSED]     = {AT_KILLED,   DO_KILL},
        [ON_RESULT]      = {AT_KILLED,   DO_KILL},
        [ON_PART]        = {AT_KILLED,   DO_KILL},
        [ON_GARBAGE]     = {AT_KILLED,   DO_KILL},
        [ON_END]         = {AT_CLOSED,   DO_AWAIT_EXIT},
        [ON_DEAD]        = {AT_VACANT,   DO_REAP},
    },
    [AT_BUSY] = {
        [ON_LEAVE]       = {AT_KILLED,   DO_KILL},  /* it would not read before its batch is done */
        [ON_HELLO]       = {AT_KILLED,   DO_KILL},
        [ON_REFUSED]     = {AT_CLOSED,   DO_REFUSE},
        [ON_RESULT]      = {AT_IDLE,     DO_COMMIT},
        [ON_PART]        = {AT_BUSY,     DO_COMMIT_PART},
        [ON_GARBAGE]     = {AT_KILLED,   DO_KILL},
        [ON_END]         = {AT_CLOSED,   DO_AWAIT_EXIT},
        [ON_LATE]        = {AT_KILLED,   DO_KILL},
        [ON_DEAD]        = {AT_VACANT,   DO_REAP},
    },
    [AT_CLOSED] = {
        [ON_LEAVE]       = {AT_KILLED,   DO_KILL},
        [ON_LATE]        = {AT_KILLED,   DO_KILL},  /* it lives and does not speak */
        [ON_DEAD]        = {AT_VACANT,   DO_REAP},
    },
    [AT_KILLED] = {
        [ON_LEAVE]       = {AT_KILLED,   DO_NOTHING},
        [ON_HELLO]       = {AT_KILLED,   DO_NOTHING},
        [ON_REFUSED]     = {AT_KILLED,   DO_NOTHING},
        [ON_RESULT]      = {AT_KILLED,   DO_COMMIT},  /* sent before the signal arrived */
        [ON_PART]        = {AT_KILLED,   DO_COMMIT_PART},
        [ON_GARBAGE]     = {AT_KILLED,   DO_NOTHING},
        [ON_END]         = {AT_KILLED,   DO_NOTHING},
        [ON_LATE]        = {AT_LOST,     DO_WRITE_OFF},
        [ON_DEAD]        = {AT_VACANT,   DO_REAP},
    },
    [AT_LEAVING] = {
        [ON_LEAVE]       = {AT_LEAVING,  DO_NOTHING},
        [ON_HELLO]       = {AT_KILLED,   DO_KILL},
        [ON_REFUSED]     = {AT_KILLED,   DO_KILL},
        [ON_RESULT]      = {AT_KILLED,   DO_KILL},
        [ON_PART]        = {AT_KILLED,   DO_KILL},
        [ON_GARBAGE]     = {AT_KILLED,   DO_KILL},
        [ON_END]         = {AT_LEAVING,  DO_NOTHING},
        [ON_LATE]        = {AT_KILLED,   DO_KILL},
        [ON_DEAD]        = {AT_VACANT,   DO_FREE},
    },
    [AT_LOST] = {
        [ON_LEAVE]       = {AT_LOST,     DO_NOTHING},
        [ON_DEAD]        = {AT_VACANT,   DO_FREE}, /* it ended after all */
    },
};
/* clang-format on */
