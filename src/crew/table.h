/* table: what a slot does next, for each state and each event.
 *
 * The whole behaviour of the supervisor towards one worker, small enough to read on one screen. No
 * system calls, no clock, no memory: apply.c carries out the actions. */
#ifndef CREW_TABLE_H
#define CREW_TABLE_H

#define CREW_STATES(X)                                                                             \
    X(VACANT)   /* no process */                                                                   \
    X(STARTING) /* a process that has not said ready; deadline */                                  \
    X(IDLE)     /* ready, without a batch */                                                       \
    X(BUSY)     /* with a batch; deadline */                                                       \
    X(CLOSED)   /* its socket has ended, its process has not; deadline */                          \
    X(KILLED)   /* sent SIGKILL; deadline */                                                       \
    X(LEAVING)  /* asked to end; deadline */                                                       \
    X(LOST)     /* did not end by SIGKILL in time: no longer waited for, but still looked at */

#define CREW_EVENTS(X)                                                                             \
    X(STARTED)     /* a process was started */                                                     \
    X(NOT_STARTED) /* it could not be started */                                                   \
    X(BATCH)       /* there is a batch for this worker */                                          \
    X(LEAVE)       /* the crew closes */                                                           \
    X(HELLO)       /* frame: it is ready */                                                        \
    X(REFUSED)     /* frame: it cannot work, and why */                                            \
    X(RESULT)      /* frame: the results of its batch, or of what was left of it */                \
    X(PART)        /* frame: the first results of its batch */                                     \
    X(GARBAGE)     /* any other bytes */                                                           \
    X(END)         /* its socket has ended */                                                      \
    X(LATE)        /* the deadline of this state passed */                                         \
    X(DEAD)        /* its process has ended, and what it sent was read */

#define CREW_ACTIONS(X)                                                                            \
    X(BUG) /* cannot occur: another file is wrong. The state stays */                              \
    X(NOTHING)                                                                                     \
    X(AWAIT_HELLO) /* set the deadline for ready */                                                \
    X(BACK_OFF)    /* count a start that failed, try again later */                                \
    X(READY)       /* it can be given batches */                                                   \
    X(SEND)        /* send the batch, set its deadline */                                          \
    X(COMMIT)      /* take the results; the batch is done */                                       \
    X(COMMIT_PART) /* take the results; the batch is what is left of it */                         \
    X(AWAIT_EXIT)  /* stop reading; set a short deadline for the exit */                           \
    X(KILL)        /* SIGKILL; keep the event as the cause; set a deadline for the death */        \
    X(REFUSE)      /* keep its reason, which may end the crew; then as AWAIT_EXIT */               \
    X(SHUT_DOWN)   /* close the sending half of its socket; set a deadline for the exit */         \
    X(WRITE_OFF) /* close the socket, requeue the batch; look at the process from time to time */  \
    X(REAP)      /* name the cause, requeue the batch, start another after a back-off */           \
    X(FREE)      /* free the slot; this death has no cause */

#define CREW_STATE_ENUM(name)  AT_##name,
#define CREW_EVENT_ENUM(name)  ON_##name,
#define CREW_ACTION_ENUM(name) DO_##name,
enum crew_at { CREW_STATES(CREW_STATE_ENUM) CREW_N_STATES };
enum crew_on { CREW_EVENTS(CREW_EVENT_ENUM) CREW_N_EVENTS };
enum crew_do { CREW_ACTIONS(CREW_ACTION_ENUM) CREW_N_ACTIONS };
#undef CREW_STATE_ENUM
#undef CREW_EVENT_ENUM
#undef CREW_ACTION_ENUM

struct crew_cell {
    unsigned char next;   /* enum crew_at */
    unsigned char action; /* enum crew_do */
};

extern const struct crew_cell crew_table[CREW_N_STATES][CREW_N_EVENTS];

#endif
