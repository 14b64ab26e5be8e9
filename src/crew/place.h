/* place: one position of a crew, with the worker that is in it. Private to crew. */
#ifndef CREW_PLACE_H
#define CREW_PLACE_H

#include "cause.h"
#include "inbox.h"
#include "ledger.h"
#include "process.h"
#include "table.h"

struct place {
    enum crew_at state;
    struct process process; /* none (pid 0) once it was reaped */
    pid_t pid;              /* the same, and still so when it was */
    int socket;             /* -1: none */
    bool silent;         /* nothing more is read from it: it ended, or it is not to be believed */
    bool dead;           /* its pidfd says so, and it cannot be reaped yet (somebody traces it) */
    uint32_t polled;     /* where crew_wait has its socket, then its pidfd; 0: nowhere */
    uint32_t generation; /* of the process; none has had it before */
    uint64_t due_ns;     /* VACANT: not started again before; else the deadline; 0: none */

    bool welcomed;        /* it has said ready */
    bool lacks;           /* it has said that there is no memory for it to start */
    bool worked;          /* it has returned a lease */
    uint32_t fails;       /* deaths and failed starts since an item was last returned */
    vecmill_cause forced; /* why it was sent SIGKILL; CAUSE_NONE: it was not */
    bool forced_fault;
    struct exit_status exit; /* for ON_DEAD */

    uint64_t lease_number; /* 0: no lease */
    struct lease lease;
    bool is_probe;          /* the lease is the crew's probe: of none of its items */
    uint64_t leased_ns;     /* when */
    uint64_t leased_cpu_ns; /* the process's processor time then */
    uint64_t allowed_ns;    /* so much processor time, then it loops */
    unsigned char head[FRAME_HEAD_BYTES];
    uint64_t sent;     /* bytes of head and payload */
    uint32_t pauses;   /* of this process since the state changed: how long that lasts is unknown */
    uint64_t received; /* bytes that came from it */
    uint64_t looked;   /* so many at the last look at its deadline */
    uint64_t looked_faults; /* its major faults then */

    struct inbox inbox;
    struct inbox_expected expected;
};

/* Sends what the socket takes of the lease. When the other end is gone all counts as sent: its end is
 * found by reading. */
void place_send(struct place *p);
bool place_is_sent(const struct place *p);

/* Closes what belongs to the worker that was here. */
void place_clear(struct place *p);

/* What the deadline of a place means when it has passed. */
enum place_late {
    PLACE_PATIENCE, /* it is slow without fault (the machine is busy, its memory is throttled) */
    PLACE_LOOPS,    /* it works, and for too long, or sleeps where it never should */
    PLACE_STOPPED   /* somebody stopped it, or it did not get anywhere for very long: no fault */
};
enum place_late place_judge(const struct place *p, uint64_t now_ns);

#endif
