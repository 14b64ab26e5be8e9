/* trial: whether an item whose workers are killed from outside is to blame for it.
 *
 * A worker that is ended by SIGKILL, by another process's signal or by nobody knows what says nothing
 * about its work: a storm of kills hits everybody. So a suspect (ledger.h) is tried alone, and each of
 * its deaths is held against other work. A death counts when, after it, other batches have lived,
 * CREW_TRIAL_LIVES of them and that many times as long as the suspect had its worker, and nobody else has
 * died, from when the suspect was leased until then. CREW_TRIAL_DEATHS that count make it guilty.
 *
 * If deaths come by chance alone, and other work lives through as much as the suspect with probability
 * u, a death counts with (1 - u) u^8: at most 0.043, whatever u is. So an item that does no harm is
 * condemned with (0.05)^5, 3e-7, in the storm that is worst for it.
 *
 * No system calls, no time: the caller says what happened and when. */
#ifndef CREW_TRIAL_H
#define CREW_TRIAL_H

#include "crew.h"

/* Batches of other work for each death, and how much longer they live than the suspect did. */
#define CREW_TRIAL_LIVES 8u
/* A suspect that is ended after a long time, as by a watchdog, is held against so much at most, or against
 * as much as its own time where that is longer. */
#define CREW_TRIAL_LONG_NS UINT64_C(10000000000)

struct suspect_trial {
    uint64_t tag;      /* of the suspect */
    bool is_open;      /* there is one */
    bool is_running;   /* it is with a worker */
    uint64_t since_ns; /* so it is since then */
    bool other_died;   /* and since then somebody else died */

    bool is_pending; /* it died, and that counts if other work lives */
    uint64_t owed_ns;
    uint32_t owed_batches;

    uint32_t n_deaths; /* that count */
    vecmill_cause causes[CREW_TRIAL_DEATHS];
    vecmill_cause cause; /* of the one that is pending */
};

/* The suspect is given to a worker; a new trial if it is another one than the last. */
void trial_begin(struct suspect_trial *t, uint64_t tag, uint64_t now_ns);
/* Its worker died; want: for want of memory, which never counts. */
void trial_died(struct suspect_trial *t, vecmill_cause cause, bool want, uint64_t now_ns);
/* A batch of other work returned, after so long. */
void trial_other_returned(struct suspect_trial *t, uint64_t ns);
/* Another worker died, whatever it had. */
void trial_other_died(struct suspect_trial *t);
/* The suspect was returned or condemned. */
void trial_end(struct suspect_trial *t);

/* Whether other work is to be given to workers that are free: while a suspect is out, and after its death. */
bool trial_wants_other_work(const struct suspect_trial *t);
bool trial_is_guilty(const struct suspect_trial *t);

#endif
