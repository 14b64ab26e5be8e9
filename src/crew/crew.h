/* crew: what happens when a worker dies?
 *
 * Sends items, (tag, bytes), to worker processes and returns (tag, status, bytes) in the order of
 * the tags. Knows neither what the bytes mean nor what a cgroup is: its opener passes functions
 * that read the counter of OOM kills and that say whether there is memory for one more worker. The
 * promises, the wire format and the table of failures are in README.md of this folder. In short:
 *
 * - An item is kept until its result has arrived. A worker that dies, by any signal, at any moment,
 *   costs nothing but time: its batch is given out again.
 * - No result is lost, doubled or mixed up: accepted == returned + queued + in flight, always.
 * - Every wait has a deadline. A worker that hangs is killed and its batch runs elsewhere. Time for
 *   which the supervisor itself was stopped does not count.
 * - A worker's bytes are not trusted. Nothing is allocated after crew_open, and nothing grows.
 * - An item that ends its workers is found by halving batches, and condemned; no other item is. One
 *   whose workers are killed from outside again and again is tried after all others are done, next
 *   to work that is known to be harmless.
 * - A shortage of memory is waited out, as long as the opener allows. It condemns nothing.
 *
 * Two sides: the supervisor's (crew_*), and the worker's (crew_worker_*), which the program started
 * as a worker calls. */
#ifndef CREW_H
#define CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

#define CREW_WORKERS_MAX     1024u
#define CREW_BATCH_ITEMS_MAX 4096u
#define CREW_RESULT_MAX      (64u << 10) /* bytes of one result, without its tail */
#define CREW_TAILS_MAX       (1u << 30)  /* bytes of the tails in one frame */
/* Deaths by its own fault that condemn an item, alone in its batch */
#define CREW_FAULTS_MAX 3u
/* Deaths by other causes that condemn it, while other work lives (trial.h) */
#define CREW_TRIAL_DEATHS 5u
#define CREW_CAUSES_MAX   5u /* the larger of both */
#define CREW_SOCKET       3  /* the worker's end of its socket */
/* This many deaths in a row, or four a worker if that is more, without an item returned, end the
 * crew. Deaths by the OOM killer are not counted (oom_patience_ns). */
#define CREW_DEATHS_MAX 20u
/* SO_SNDBUF of both ends: what one direction of a socket holds. The kernel takes twice as much, for
 * its own overhead (socket(7)). */
#define CREW_SOCKET_BYTES (64u << 10)

/* ---- the supervisor's side ---- */

enum crew_event_kind {
    CREW_READY, /* pid can work */
    CREW_DIED,  /* pid ended, by cause and code; n > 0: while it had the batch first .. first + n */
    CREW_LOST,  /* pid did not end by SIGKILL and is written off */
    CREW_BATCH_GIVEN, /* pid was given a batch */
    CREW_REQUEUED     /* a batch, or each half of one, waits for another worker */
};

struct crew_event {
    enum crew_event_kind kind;
    uint64_t time_ns; /* when it was seen */
    pid_t pid;
    vecmill_cause cause;
    int code;        /* signal or exit code */
    uint64_t first;  /* tag of the batch's first item */
    uint32_t n;      /* its items */
    uint32_t deaths; /* of workers that had this batch */
    bool shortage; /* of a death: by lack of memory, through the OOM killer or as the worker said */
    bool worked;   /* of a death: the worker had returned a batch before */
};

struct crew_options {
    /* The path of the worker program; PATH is not searched. Borrowed until crew_close, as is
     * everything that is pointed to here. */
    const char *program;
    char *const *argv;
    uint32_t workers; /* at most this many processes, 1 to CREW_WORKERS_MAX */
    /* Workers started before there is work for them. Beyond these, as many are started as can use
     * what is queued, at least one. */
    uint32_t start_workers;
    uint32_t items_max;    /* items accepted and not yet taken */
    const void *prefix;    /* what every item that a worker is given begins with */
    size_t prefix_bytes;   /* at most item_bytes_max */
    size_t item_bytes_max; /* of one item, with the prefix */
    size_t queue_bytes;    /* of items accepted and not yet taken; one item may go beyond it */
    uint32_t batch_items_max;
    size_t batch_bytes_max; /* of a batch with more than one item */
    uint32_t result_bytes;  /* of each result, at most CREW_RESULT_MAX */
    /* A result may also have a tail, whose size is the u32 that the result begins with: at most
     * tail_bytes (0: there are no tails), and at most frame_tails of a frame. tails_bytes: of items
     * not yet dropped, and at least frame_tails. When that is full, workers wait with what they have
     * computed until items are dropped; but what has the oldest item always finds room. */
    uint32_t tail_bytes, frame_tails;
    size_t tails_bytes;
    uint64_t batch_ns; /* time that a batch is planned to take */
    uint64_t start_ns; /* a worker that is not ready by then is killed */
    /* A batch may always take this long, and three times its planned time */
    uint64_t least_ns;
    /* Reads the counter of OOM kills of the own cgroup. False: unknown. NULL: unknown. */
    bool (*oom_kills)(void *context, uint64_t *kills);
    /* Called right before each start of a worker. n_alive: worker processes that exist, including
     * those that are starting, ending, or written off. False: not now; then it is called again when
     * one of them has ended, else 100 ms later, and not at all while no start is wanted. Workers
     * that live go on. on_event has had every earlier death. NULL: always. */
    bool (*may_start)(void *context, uint32_t n_alive);
    /* Deaths by the OOM killer, and of workers that refuse to start with E_MEMORY, do not count
     * towards CREW_DEATHS_MAX. Instead the crew ends when for this long no item was returned
     * although one is awaited, and all deaths were of this kind, or no worker was alive and
     * may_start refused. Checked at such a death or refusal. Time for which this process was
     * stopped does not count (five times). 0: never. */
    uint64_t oom_patience_ns;
    /* A small item like the others that is known to be harmless. It is computed to see whether
     * other work lives while a suspect does not (trial.h). Copied; at most item_bytes_max. NULL: an
     * item of no bytes. There are no events for its batches. */
    const void *probe;
    size_t probe_bytes;
    /* Whether a result took the work that its item was thought to cost: one that does not (it failed
     * at once) is left out where the crew learns how long work takes. NULL: all do. */
    bool (*is_measure)(const void *result);
    void (*on_event)(void *context, const struct crew_event *event); /* may be NULL */
    void *context;
    bool reap_strangers; /* this process is PID 1: reap orphans that it is handed */
};

struct crew;

/* Bytes that crew_open takes, all of the crew's own memory; SIZE_MAX when an option is out of
 * range. Without the kernel's share (crew_kernel_bytes) and the workers' own memory. */
size_t crew_bytes(const struct crew_options *options);

/* Kernel memory of this many workers, at most: sockets full both ways, kernel stacks, the
 * structures of a process, and 48 KiB of page tables each. Page tables beyond that (VmPTE) depend
 * on what a worker maps, about 8 bytes for 4 KiB; the opener adds them. Sources: crew.c. */
size_t crew_kernel_bytes(uint32_t workers);

/* The most workers that this process's limit of descriptors (RLIMIT_NOFILE) allows. */
uint32_t crew_workers_most(void);

/* Opens a crew; starts no worker (crew_step does). E_USAGE (also for more workers than descriptors
 * allow), E_MEMORY, E_INTERNAL. */
vecmill_status crew_open(const struct crew_options *options, struct crew **crew, vecmill_err *err);

/* Ends all workers and releases everything, within a second unless one does not end by SIGKILL.
 * NULL is accepted. Called by the thread that calls crew_step. */
void crew_close(struct crew *crew);

/* The two halves of a round. crew_wait sleeps until something happened, a deadline came or
 * crew_wake was called; it touches nothing that other calls touch. crew_step does everything that
 * is due and never waits. One thread calls both and lives as long as the crew: workers are killed
 * when it ends (PDEATHSIG follows the thread, not the process). All calls but crew_wait and
 * crew_wake exclude each other; the caller ensures it. */
void crew_wait(struct crew *crew);
void crew_step(struct crew *crew);
void crew_wake(struct crew *crew); /* by any thread */

/* Bytes that are a part of an item. */
struct crew_piece {
    const void *data; /* NULL if bytes == 0 */
    size_t bytes;
};

/* Takes a copy of an item, whose pieces [n] are put one after the other after the prefix. Its tag is
 * the number of items accepted before. cost_ns: estimated work, at most an hour; only the proportions
 * between items matter, the crew measures the rest. False: no room, take results first; or the item is
 * over item_bytes_max and will never be accepted. An idle worker is given work at once when there is
 * enough for a whole batch; for less, crew_hurry. */
bool crew_submit(struct crew *crew, const struct crew_piece *pieces, uint32_t n, uint64_t cost_ns);

/* Results are awaited: gives out at once what is queued, however little. */
void crew_hurry(struct crew *crew);

enum crew_head {
    CREW_NONE,      /* every item accepted was dropped */
    CREW_WAITING,   /* queued, or with a worker */
    CREW_WITHHELD,  /* queued, and the crew is held or failed: there will be no result */
    CREW_DONE,      /* *result: result_bytes as the worker wrote them; its tail: crew_tail */
    CREW_CONDEMNED, /* it ended CREW_FAULTS_MAX or CREW_TRIAL_DEATHS workers: see causes */
};

/* The state of the oldest item that was not dropped. Depending on it, result (borrowed until
 * crew_drop) or causes [CREW_CAUSES_MAX] are set; unused causes are VECMILL_CAUSE_NONE. */
enum crew_head crew_head(const struct crew *crew, const void **result, vecmill_cause *causes);
/* Copies the tail of the oldest item, which is done (asserted), to `to`, NULL: nowhere; returns its
 * size. */
size_t crew_tail(const struct crew *crew, void *to);
/* The bytes of an item that was accepted and not dropped (asserted). Borrowed until crew_drop. */
const void *crew_item(const struct crew *crew, uint64_t tag, size_t *bytes);
/* Drops the oldest item, which is done or condemned (asserted). */
void crew_drop(struct crew *crew);

/* From now on no batch is given out; those with workers go on. */
void crew_hold(struct crew *crew);

/* OK, or why the crew ended: a worker refused to work for good, or E_WORKERS after CREW_DEATHS_MAX
 * deaths in a row or oom_patience_ns without memory. What is done by then can be taken. */
vecmill_status crew_failure(const struct crew *crew, vecmill_err *err);

/* Writes the process ids of workers that are ready into pids[room] and returns their number. */
uint32_t crew_pids(const struct crew *crew, pid_t *pids, uint32_t room);

struct crew_counts {
    uint64_t accepted, returned, queued, in_flight; /* items; the sum above holds */
    uint64_t condemned;                             /* of returned */
    uint64_t batches;                               /* returned with their results */
    uint64_t requeued;                              /* batches lost to a death */
    uint64_t deaths[VECMILL_CAUSE_COUNT];
    uint32_t ready; /* workers that are ready or busy */
    uint32_t alive; /* these, and those that start or end; without those written off */
};
void crew_count(const struct crew *crew, struct crew_counts *counts);

/* ---- the worker's side ---- */

struct crew_item {
    const void *data;
    size_t bytes;
};

struct crew_results;

struct crew_work {
    uint32_t result_bytes;
    uint32_t batch_items_max;
    size_t batch_bytes_max; /* the larger of the supervisor's batch_bytes_max and item_bytes_max */
    uint32_t tail_bytes, frame_tails; /* as the supervisor's */
    /* Computes n items. Any status but OK ends the crew with it and its message. */
    vecmill_status (*compute)(void *context, const struct crew_item *items, uint32_t n,
                              struct crew_results *results, vecmill_err *err);
    void *context;
};

/* Where `compute` puts results. Of those without tails, all n lie in one piece, [n, result_bytes],
 * zeroed before; they are taken when it returns. */
unsigned char *crew_results_all(struct crew_results *results);

/* Of those with tails, one is put after the other in the order of the items, and each may be sent
 * at once. First the room that tails are written to: `bytes`, at most frame_tails, aligned to
 * `align`, at most 64; NULL when the supervisor is gone: then compute returns, with any status. Then
 * each result: result_bytes, of which the first four are replaced by the size of its tail, which is
 * the next tail_bytes of the room. */
unsigned char *crew_results_room(struct crew_results *results, size_t bytes, size_t align);
void crew_results_put(struct crew_results *results, const void *result, uint32_t tail_bytes);
/* Where in the room the next tail begins. */
unsigned char *crew_results_next(struct crew_results *results);

/* The first call of a worker program. Ties the process to its supervisor (it is killed when that
 * thread ends), ignores SIGINT, SIGTERM, SIGHUP and SIGPIPE, marks fault signals that another
 * process sent (cause.h), sets the process's name, and unblocks signals, which are blocked when
 * crew starts it. The process has the highest oom_score_adj, so that the kernel chooses it and not
 * the supervisor when memory is short. False: the supervisor, process `parent`, has already ended;
 * exit. */
bool crew_worker_enter(pid_t parent, const char *name);

/* Memory that crew_worker_serve works in, taken before the worker is ready. */
size_t crew_worker_bytes(const struct crew_work *work);

/* Says ready, then works until the supervisor closes the socket: OK. memory: crew_worker_bytes,
 * aligned to 64. E_INTERNAL when the socket fails or something other than a batch arrives. */
vecmill_status crew_worker_serve(const struct crew_work *work, void *memory, vecmill_err *err);

/* Reports that this worker cannot work. for_good: neither could another, so the crew ends with
 * err. */
void crew_worker_refuse(const vecmill_err *err, bool for_good);

#endif
