/* slot: one worker's position in a crew, with the state of the worker in it. Private to crew. */
#ifndef CREW_SLOT_H
#define CREW_SLOT_H

#include "cause.h"
#include "inbox.h"
#include "ledger.h"
#include "process.h"
#include "table.h"

struct slot {
    enum crew_at state;
    struct process process; /* pid 0: none, or reaped */
    pid_t pid;              /* the same, and kept when it was reaped */
    int socket;             /* -1: none */
    bool stopped_reading;   /* its socket has ended, or its bytes are not to be trusted */
    /* Its pidfd reports the end, but it cannot be reaped yet (it is traced) */
    bool exit_seen;
    /* Index of its socket, then its pidfd, in what crew_wait polls; 0: none */
    uint32_t polled;
    uint32_t generation; /* of the process; no other has it */
    uint64_t due_ns;     /* VACANT: the earliest next start; else the deadline; 0: none */

    bool was_ready;           /* it has said ready */
    bool no_memory;           /* it said that there is no memory for it to start */
    bool worked;              /* it has returned a batch */
    uint32_t failures;        /* deaths and failed starts since an item was last returned */
    vecmill_cause kill_cause; /* why it was sent SIGKILL; VECMILL_CAUSE_NONE: it was not */
    bool kill_is_fault;
    struct exit_status exit; /* for ON_DEAD */

    uint64_t batch_number; /* 0: no batch */
    struct batch batch;
    bool is_probe;         /* the batch is the crew's probe, none of its items */
    uint64_t since_ns;     /* when the batch was given, or the process started */
    uint64_t since_cpu_ns; /* the process's processor time then */
    uint64_t allowed_ns;   /* processor time after which it is taken to loop */
    unsigned char head[FRAME_HEAD_BYTES];
    uint64_t sent; /* bytes of head and payload that are sent */
    /* Since when it waits for room for the tails that it sends; 0: it does not. */
    uint64_t no_room_ns;
    bool is_void;      /* the results that just came were not kept */
    uint32_t pauses;   /* pauses of this process since the state changed that were forgiven */
    uint64_t received; /* bytes received from it */
    uint64_t checked_received; /* received, at the last check of its deadline */
    uint64_t checked_faults;   /* its major faults then */

    struct inbox inbox;
    struct inbox_expected expected;
};

/* Starts a worker in a vacant slot, with a socket of CREW_SOCKET_BYTES each way. stack:
 * PROCESS_STACK_BYTES. On failure, E_WORKERS, the slot is as it was. */
vecmill_status slot_start(struct slot *s, const char *program, char *const *argv, int null,
                          void *stack, uint32_t generation, vecmill_err *err);

/* Sends as much of the batch as the socket takes. When the other end is gone everything counts as
 * sent: reading will find the end. */
void slot_send(struct slot *s);
bool slot_is_sent(const struct slot *s);

/* Releases what belongs to the worker that was here. */
void slot_clear(struct slot *s, struct tails *tails);

/* Why a worker is late when its deadline has passed. */
enum slot_late {
    SLOT_SLOW,   /* without fault: the machine is busy, or its memory is throttled */
    SLOT_LOOPS,  /* it computes for too long, or sleeps where it never should */
    SLOT_STOPPED /* it was stopped, or got nowhere for very long: not its fault */
};
enum slot_late slot_judge(const struct slot *s, uint64_t now_ns);

#endif
