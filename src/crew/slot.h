/* slot: one position of a crew, with the worker that is in it. Private to crew. */
#ifndef CREW_SLOT_H
#define CREW_SLOT_H

#include "cause.h"
#include "inbox.h"
#include "ledger.h"
#include "process.h"
#include "table.h"

struct slot {
    enum crew_at state;
    struct process process; /* none (pid 0) once it was reaped */
    pid_t pid;              /* the same, and still so when it was */
    int socket;             /* -1: none */
    bool stopped_reading; /* nothing more is read from it: it ended, or it is not to be believed */
    bool exit_seen;       /* its pidfd says so, and it cannot be reaped yet (somebody traces it) */
    uint32_t polled;      /* where crew_wait has its socket, then its pidfd; 0: nowhere */
    uint32_t generation;  /* of the process; none has had it before */
    uint64_t due_ns;      /* VACANT: not started again before; else the deadline; 0: none */

    bool was_ready;           /* it has said ready */
    bool no_memory;           /* it has said that there is no memory for it to start */
    bool worked;              /* it has returned a batch */
    uint32_t failures;        /* deaths and failed starts since an item was last returned */
    vecmill_cause kill_cause; /* why it was sent SIGKILL; CAUSE_NONE: it was not */
    bool kill_is_fault;
    struct exit_status exit; /* for ON_DEAD */

    uint64_t batch_number; /* 0: no batch */
    struct batch batch;
    bool is_probe;         /* the batch is the crew's probe: of none of its items */
    uint64_t since_ns;     /* when */
    uint64_t since_cpu_ns; /* the process's processor time then */
    uint64_t allowed_ns;   /* so much processor time, then it loops */
    unsigned char head[FRAME_HEAD_BYTES];
    uint64_t sent;     /* bytes of head and payload */
    uint32_t pauses;   /* of this process since the state changed: how long that lasts is unknown */
    uint64_t received; /* bytes that came from it */
    uint64_t checked_received; /* so many at the last look at its deadline */
    uint64_t checked_faults;   /* its major faults then */

    struct inbox inbox;
    struct inbox_expected expected;
};

/* Starts a worker in a vacant slot, with a socket of CREW_SOCKET_BYTES each way. stack: PROCESS_STACK_BYTES.
 * On failure the slot is as it was: E_WORKERS. */
vecmill_status slot_start(struct slot *s, const char *program, char *const *argv, int null,
                          void *stack, uint32_t generation, vecmill_err *err);

/* Sends what the socket takes of the batch. When the other end is gone all counts as sent: its end is
 * found by reading. */
void slot_send(struct slot *s);
bool slot_is_sent(const struct slot *s);

/* Closes what belongs to the worker that was here. */
void slot_clear(struct slot *s);

/* What the deadline of a place means when it has passed. */
enum slot_late {
    SLOT_SLOW,   /* it is slow without fault (the machine is busy, its memory is throttled) */
    SLOT_LOOPS,  /* it works, and for too long, or sleeps where it never should */
    SLOT_STOPPED /* somebody stopped it, or it did not get anywhere for very long: no fault */
};
enum slot_late slot_judge(const struct slot *s, uint64_t now_ns);

#endif
