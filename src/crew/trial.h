/* trial: whether an item whose workers are killed from outside is to blame for it.
 *
 * A worker that is ended by SIGKILL, by another process's signal or for an unknown reason says
 * nothing about its work: a storm of kills hits everything. So a suspect (ledger.h) is tried alone,
 * and each of its deaths is compared with other work. A death counts when, after it,
 * CREW_TRIAL_LIVES batches of other work are returned, which together live that many times as long
 * as the suspect did, and no other worker dies from the start of the suspect's batch until then.
 * CREW_TRIAL_DEATHS that count make it guilty.
 *
 * If deaths come by chance alone, and other work lives through as much as the suspect with
 * probability u, a death counts with probability (1 - u) u^8: at most 0.043, for any u. So a
 * harmless item is condemned with 0.05^5 = 3e-7 in the worst storm for it.
 *
 * No system calls, no clock: the caller says what happened and when. */
#ifndef CREW_TRIAL_H
#define CREW_TRIAL_H

#include "crew.h"

/* Batches of other work for each death, and how many times as long they live as the suspect did. */
#define CREW_TRIAL_LIVES 8u
/* The most that is asked of other work when a suspect ends only after a long time, as by a
 * watchdog; or its own time, where that is longer. */
#define CREW_TRIAL_LONG_NS UINT64_C(10000000000)

struct suspect_trial {
    uint64_t tag;      /* of the suspect */
    bool is_open;      /* there is a suspect */
    bool is_running;   /* it is with a worker, */
    uint64_t since_ns; /* since then, */
    bool other_died;   /* and another worker died since */

    bool is_pending; /* it died, which counts if other work lives */
    uint64_t owed_ns;
    uint32_t owed_batches;

    uint32_t n_deaths; /* deaths that count */
    vecmill_cause causes[CREW_TRIAL_DEATHS];
    vecmill_cause cause; /* of the pending one */
};

/* The suspect is given to a worker. A new trial, unless it is the last suspect again. */
void trial_begin(struct suspect_trial *t, uint64_t tag, uint64_t now_ns);
/* Its worker died. want: by lack of memory, which never counts. */
void trial_died(struct suspect_trial *t, vecmill_cause cause, bool want, uint64_t now_ns);
/* A batch of other work was returned after `ns`. */
void trial_other_returned(struct suspect_trial *t, uint64_t ns);
/* Another worker died, whatever its batch. */
void trial_other_died(struct suspect_trial *t);
/* The suspect was returned or condemned. */
void trial_end(struct suspect_trial *t);

/* Whether idle workers are to be given other work: while a suspect is with a worker, and after its
 * death. */
bool trial_wants_other_work(const struct suspect_trial *t);
bool trial_is_guilty(const struct suspect_trial *t);

#endif
