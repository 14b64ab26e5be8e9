/* plan: the memory of a pool as one sum, and the choice of workers and batch that fits a limit.
 *
 * Arithmetic over what plan_gather found out; the functions that lay out a piece are those that say its
 * bytes, so that plan and piece cannot differ. Private to engine. */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "crew/crew.h"
#include "engine/dedup.h"
#include "engine/resolve.h"
#include "host/host.h"

#include <sys/types.h>

/* Names of lines that are found again. */
#define PLAN_PACK          "pack, in memory"
#define PLAN_PROGRAM       "program and libraries"
#define PLAN_TABLES_OWN    "page tables, supervisor"
#define PLAN_TABLES_WORKER "page tables, worker"

/* What the sum depends on. */
struct plan_facts {
    struct resolved resolved; /* its batch_tokens are what the sum or the choice sets */
    bool measured;            /* resolved.baseline is a pack's record */
    bool builds;              /* there is no pack */
    bool in_memory;           /* it is, or is to be, a pack in memory */
    uint64_t pack_bytes;      /* where it is missing: about */
    uint64_t build_bytes;     /* of the process that builds it, where it is missing */
    uint64_t own_tables;      /* page tables of this process as it is */
    uint64_t own_bytes; /* this process as it is, and what its stacks and heap have still to take */
    uint64_t max_document;
    uint32_t workers_most;          /* where the choice is ours */
    uint32_t workers, batch_tokens; /* asked for; 0: ours to choose */
    uint64_t (*caller_bytes)(void *context, uint32_t dim, uint32_t capacity,
                             uint64_t max_document); /* or NULL */
    uint64_t (*caller_bytes_of)(void *context, const vecmill_facts *facts, uint32_t capacity,
                                uint64_t max_document); /* or NULL */
    void *caller_context;
    struct host_limit limit;
    bool oom_group;
};

/* A pool's options by themselves. E_USAGE. */
vecmill_status plan_check_options(const vecmill_pool_options *options, vecmill_err *err);

/* From checked options to facts: level, model, pack, machine. known: NULL, or a pack that is used,
 * or is to be built, as it is. Errors as of vecmill_pool_plan. */
vecmill_status plan_gather(const vecmill_options *options, const vecmill_pool_options *pool_options,
                           const struct model_ref *known, struct plan_facts *facts,
                           vecmill_err *err);

/* Numbers of a crew for this; program, callbacks and their context are the caller's to add. */
void plan_crew(const struct resolved *resolved, uint32_t workers, uint64_t max_document,
               struct crew_options *options);

/* What is kept of a work for its copies (dedup.h), followed by the result as the crew has it. */
struct plan_kept {
    bool is_condemned;
    vecmill_cause causes[CREW_CAUSES_MAX];
};

/* Numbers of the table of duplicates next to this crew. */
void plan_dedup(const struct crew_options *crew, struct dedup *dedup);

/* Bytes of what dedup_layout lays out. */
size_t plan_dedup_bytes(const struct crew_options *crew);

/* The sum for this many workers and tokens. Everything of *plan but struct_bytes and advice is set. */
void plan_sum(const struct plan_facts *facts, uint32_t workers, uint32_t batch_tokens,
              vecmill_plan *plan);

/* The sum for what was asked; what was left open is chosen so that it fits (vecmill_pool_plan).
 * plan->advice is set when it does not fit. */
void plan_choose(const struct plan_facts *facts, vecmill_plan *plan);

/* plan->advice as an error, E_MEMORY. */
vecmill_status plan_refuse(const vecmill_plan *plan, vecmill_err *err);

/* Bytes of one worker: all lines whose owner it is, and its share of the kernel's. */
uint64_t plan_worker_bytes(const vecmill_plan *plan);

/* Raises measured_bytes of the parts of `owner` (supervisor or worker) and of its page tables to what
 * process `pid` (0: this one) holds. E_IO: it has ended, or may not be looked at. */
vecmill_status plan_measure(pid_t pid, vecmill_owner owner, vecmill_plan *plan, vecmill_err *err);

#endif
