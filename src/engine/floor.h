/* floor: what a worker holds before its arena: the program with its libraries as loaded, and what the
 * matrix library takes for the products of one model's shape. Measured once, by a child process while the
 * pack is built, and kept in the pack, so that a plan is exact without running the library. Private to
 * engine. */
#ifndef ENGINE_FLOOR_H
#define ENGINE_FLOOR_H

#include "engine/engine.h"
#include "kern/kern.h"
#include "model/model.h"

#define ENGINE_FLOOR_SECTION "engine.floor"
#define ENGINE_FLOOR_VERSION 1u

/* Rows that products are run over at most while they are measured. */
#define ENGINE_FLOOR_ROWS 256u

/* Fixed-width; stored as is in the section. Bytes are anonymous memory, rounded up to pages. */
struct engine_floor {
    uint32_t version;
    uint32_t bytes;              /* sizeof(struct engine_floor) */
    uint64_t program_bytes;      /* when main begins: loaded libraries' data, stack, heap */
    uint64_t library_bytes;      /* what preparing and running the products added */
    uint64_t gemm_scratch_bytes; /* gemm_scratch_bytes of the one that wants most */
    uint64_t slack;              /* what may be added from one process to the next */
};

/* Measures in this process, which has done nothing yet: mode `floor` of vecmill-worker. Where the kernel
 * does not tell a process's memory, the answer is engine_floor_bound's. */
vecmill_status engine_floor_measure(const char *isa, const struct model_config *config,
                                    struct engine_floor *floor, vecmill_err *err);

/* Has it measured by `/proc/self/exe floor PARENT ISA HIDDEN HEADS INTERMEDIATE`: in vecmill-worker. */
vecmill_status engine_floor_ask(const struct kern *kern, const struct model_config *config,
                                struct engine_floor *floor, vecmill_err *err);

/* The record of a pack; E_MODEL when it is missing or of another version. */
vecmill_status engine_floor_read(const struct pack *pack, struct engine_floor *floor,
                                 vecmill_err *err);

/* For a folder without a pack: no record of this level says more, in any of its numbers. */
void engine_floor_bound(const struct kern *kern, struct engine_floor *floor);

#endif
