/* crew: what happens when a worker dies?
 *
 * Moves items, (tag, bytes), to worker processes and brings (tag, status, bytes) back, in the order
 * of their tags. Knows nothing of what the bytes mean, and nothing of cgroups: its opener hands in
 * functions that read the counter of OOM kills and that say whether there is room for a worker more.
 * Promises, wire format and the table of failures: README.md beside this file. In short:
 *
 *  - An item is kept until its result is in. A worker that dies, by whatever signal, at whatever
 *    moment, costs nothing but time: what it had is leased again.
 *  - No result is lost, doubled or mixed up: accepted == returned + queued + in flight, always.
 *  - Every wait has a deadline. A worker that hangs is killed and its batch runs elsewhere; but a
 *    supervisor that was itself stopped kills nobody for it.
 *  - A worker's bytes are hostile. Nothing is allocated after crew_open, and nothing grows.
 *  - An item that kills its workers is found by halving, and condemned; no other is. Whose workers are killed
 *    from outside again and again is tried when all others are done, next to work that is known to do no
 *    harm.
 *  - Memory that is short is waited for, as long as the opener has patience: it condemns nothing.
 *
 * Two sides: the supervisor's (crew_*) and the worker's (crew_worker_*), which the program that is
 * started as a worker calls. */
#ifndef CREW_H
#define CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

#define CREW_WORKERS_MAX     1024u
#define CREW_BATCH_ITEMS_MAX 4096u
#define CREW_RESULT_MAX      (64u << 10) /* bytes of one result */
#define CREW_FAULTS_MAX      3u /* deaths by fault, alone in its batch, that condemn an item */
#define CREW_TRIAL_DEATHS    5u /* other deaths that do, while other work lives (trial.h) */
#define CREW_CAUSES_MAX      5u /* the larger of both */
#define CREW_SOCKET          3  /* the worker's end of its socket */
/* In a row, or four a worker, without an item returned: the end. Deaths by the OOM killer do not count
 * (oom_patience_ns). */
#define CREW_DEATHS_MAX 20u
/* SO_SNDBUF of both ends: what one direction of a socket holds. The kernel takes twice as much, for what
 * it needs beside the bytes (socket(7)). */
#define CREW_SOCKET_BYTES (64u << 10)

/* ---- the supervisor's side ---- */

enum crew_event_kind {
    CREW_READY, /* pid can work */
    CREW_DIED,  /* pid ended by cause and code; n > 0: while it had the batch first .. first + n */
    CREW_LOST,  /* pid does not end by SIGKILL, and is written off */
    CREW_BATCH_GIVEN, /* pid was given a batch */
    CREW_REQUEUED     /* a batch, or each half of it, waits for another worker */
};

struct crew_event {
    enum crew_event_kind kind;
    uint64_t time_ns; /* when it was seen */
    pid_t pid;
    vecmill_cause cause;
    int code;        /* signal or exit code */
    uint64_t first;  /* tag of the batch's first item */
    uint32_t n;      /* its items */
    uint32_t deaths; /* of workers that had it */
    bool
        shortage; /* of a death: for want of memory, by the OOM killer or as the worker said itself */
    bool worked; /* of a death: it had returned a batch before */
};

struct crew_options {
    const char
        *program; /* started as a worker; a path, never looked up. Borrowed until crew_close, as
                            is all that is pointed to here */
    char *const *argv;
    uint32_t workers;       /* 1 to CREW_WORKERS_MAX processes at most */
    uint32_t start_workers; /* that are started before there is work for them; else as many as can
                                use what is queued, one at least */
    uint32_t items_max;     /* items accepted and not yet taken */
    size_t item_bytes_max;  /* of one item */
    size_t queue_bytes;     /* of items accepted and not yet taken; one item may go beyond it */
    uint32_t batch_items_max;
    size_t batch_bytes_max; /* of a batch with more than one item */
    uint32_t result_bytes;  /* of each result: all are of one size, at most CREW_RESULT_MAX */
    uint64_t batch_ns;      /* planned work of a batch */
    uint64_t start_ns;      /* a worker that is not ready by then hangs */
    uint64_t least_ns;      /* a batch may always take so long, and three times its planned work */
    /* The counter of OOM kills in the own cgroup; false: unknown. NULL: unknown. */
    bool (*oom_kills)(void *context, uint64_t *kills);
    /* Asked right before each start of a worker, with the number of worker processes that there are:
     * those that start, that end and that were written off too. False: not now. It is asked again when
     * one of them has ended, else 100 ms later, and not at all while no start is wanted; workers that
     * live go on. Whatever died before was told to on_event before. NULL: always. */
    bool (*may_start)(void *context, uint32_t n_alive);
    /* Deaths by the OOM killer, and of workers that refuse to start with E_MEMORY, do not count towards
     * CREW_DEATHS_MAX. Instead the crew ends when no item was returned for so long, somebody waits, and
     * all deaths in that time were of this kind, or nobody lived and may_start said no. Found at such a
     * death or answer. Time in which this process was stopped does not count (five times). 0: for ever. */
    uint64_t oom_patience_ns;
    /* An item that does no harm, like the others and small: what lives while a suspect does not
     * (trial.h). It is copied; at most item_bytes_max. NULL: an item of no bytes. Its batches are told
     * of to nobody. */
    const void *probe;
    size_t probe_bytes;
    void (*on_event)(void *context, const struct crew_event *event); /* NULL: nobody listens */
    void *context;
    bool reap_strangers; /* this process is PID 1 and no library: orphans it is handed are reaped */
};

struct crew;

/* Bytes that crew_open takes, all that the crew has of its own; SIZE_MAX when an option is out of range.
 * The kernel's share (crew_kernel_bytes) and the workers' own memory are not in it. */
size_t crew_bytes(const struct crew_options *options);

/* Kernel memory that so many workers take at most: sockets full both ways, kernel stacks, and what a
 * process is made of, with 48 KiB of page tables. What a worker's page tables have beyond that (VmPTE) goes
 * by what it maps, about 8 bytes for 4 KiB, and is the opener's to reckon. Sources: crew.c. */
size_t crew_kernel_bytes(uint32_t workers);

/* The most workers that this process's limit of descriptors (RLIMIT_NOFILE) allows. */
uint32_t crew_workers_most(void);

/* Makes a crew; starts nobody (crew_step does). E_USAGE (also more workers than descriptors allow),
 * E_MEMORY, E_INTERNAL. */
vecmill_status crew_open(const struct crew_options *options, struct crew **crew, vecmill_err *err);

/* Ends all workers and gives everything back, within a second unless one does not end by SIGKILL.
 * NULL is accepted. By the thread that called crew_step. */
void crew_close(struct crew *crew);

/* The two halves of a round. crew_wait sleeps until something happened, a deadline came or crew_wake
 * was called; it touches nothing that other calls touch. crew_step does all that is due and never
 * waits. Both by one thread, which lives as long as the crew: the workers are told of its end
 * (PDEATHSIG follows the thread, not the process). All calls but crew_wait and crew_wake exclude each
 * other; that is the caller's to see to. */
void crew_wait(struct crew *crew);
void crew_step(struct crew *crew);
void crew_wake(struct crew *crew); /* by any thread */

/* Takes a copy of an item. Its tag is the number of items accepted before. cost_ns: estimated work (more
 * than an hour is an hour); only the proportions of items to each other matter, the crew measures the
 * rest. False: no room, take first; or it is over item_bytes_max, and will never be taken. A worker that
 * is idle is given work at once when a whole batch has come together; for less, somebody must hurry. */
bool crew_submit(struct crew *crew, const void *data, size_t bytes, uint64_t cost_ns);

/* Somebody waits for results: what there is of work is leased at once, however little. */
void crew_hurry(struct crew *crew);

enum crew_head {
    CREW_NONE,      /* every item accepted was dropped */
    CREW_WAITING,   /* queued or with a worker */
    CREW_WITHHELD,  /* queued, and the crew is held or failed: its result will not come */
    CREW_DONE,      /* *result: result_bytes as the worker wrote them */
    CREW_CONDEMNED, /* it ended CREW_FAULTS_MAX or CREW_TRIAL_DEATHS workers: causes */
};

/* Looks at the oldest item that was not dropped. result (borrowed until the drop) and causes
 * [CREW_CAUSES_MAX, those beyond their number VECMILL_CAUSE_NONE] are written as the state says. */
enum crew_head crew_head(const struct crew *crew, const void **result, vecmill_cause *causes);
/* The bytes of an item that was accepted and not dropped (asserted): borrowed until it is. */
const void *crew_item(const struct crew *crew, uint64_t tag, size_t *bytes);
/* Drops it; it is done or condemned (asserted). */
void crew_drop(struct crew *crew);

/* From now on no batch is given; those that run go on. */
void crew_hold(struct crew *crew);

/* OK, or what ended the crew: a worker that refused to work for good, E_WORKERS after CREW_DEATHS_MAX
 * deaths in a row or oom_patience_ns without room. What is done by then can be taken. */
vecmill_status crew_failure(const struct crew *crew, vecmill_err *err);

/* Process ids of the workers that could work, into pids[room]; how many. */
uint32_t crew_pids(const struct crew *crew, pid_t *pids, uint32_t room);

struct crew_counts {
    uint64_t accepted, returned, queued, in_flight; /* items; see the law above */
    uint64_t condemned;                             /* of returned */
    uint64_t batches;                               /* results of so many batches came in */
    uint64_t requeued;                              /* batches lost to a death */
    uint64_t deaths[VECMILL_CAUSE_COUNT];
    uint32_t ready; /* workers alive that could work, busy ones included */
    uint32_t alive; /* those that start or end as well, but for written-off ones */
};
void crew_count(const struct crew *crew, struct crew_counts *counts);

/* ---- the worker's side ---- */

struct crew_item {
    const void *data;
    size_t bytes;
};

struct crew_work {
    uint32_t result_bytes;
    uint32_t batch_items_max;
    size_t batch_bytes_max; /* the larger of the supervisor's batch_bytes_max and item_bytes_max */
    /* Computes n items into results [n, result_bytes], zeroed. Anything but OK ends the crew with this
     * status and message. */
    vecmill_status (*compute)(void *context, const struct crew_item *items, uint32_t n,
                              unsigned char *results, vecmill_err *err);
    void *context;
};

/* The first thing a worker program does. Ties it to its supervisor (it is killed when that thread
 * ends), ignores SIGINT, SIGTERM, SIGHUP and SIGPIPE, lets a fault signal of another process's be told
 * from a fault, names it `name`, and unblocks signals, which crew starts it with blocked (and with the
 * highest oom_score_adj, so that the kernel chooses it and not the supervisor when memory is short). False:
 * the supervisor, process `parent`, has ended already; exit. */
bool crew_worker_enter(pid_t parent, const char *name);

/* Memory that crew_worker_serve works in: taken before the worker is ready. */
size_t crew_worker_bytes(const struct crew_work *work);

/* Says ready, then works until the supervisor closes the socket: OK. memory: crew_worker_bytes, aligned
 * to 64. E_INTERNAL when the socket fails or what comes is no batch. */
vecmill_status crew_worker_serve(const struct crew_work *work, void *memory, vecmill_err *err);

/* Says that this worker cannot start. for_good: no other could either, so the crew ends with err. */
void crew_worker_refuse(const vecmill_err *err, bool for_good);

#endif
