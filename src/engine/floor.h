/* floor: what a worker holds before its arena: the program with its libraries as loaded. Measured once, by a
 * child process while the pack is built, and kept in the pack. Private to engine. */
#ifndef ENGINE_FLOOR_H
#define ENGINE_FLOOR_H

#include "engine/engine.h"

#define ENGINE_FLOOR_SECTION "engine.floor"
#define ENGINE_FLOOR_VERSION 2u

/* Fixed-width; stored as is in the section. Bytes are anonymous memory, rounded up to pages. */
struct engine_floor {
    uint32_t version;
    uint32_t bytes;         /* sizeof(struct engine_floor) */
    uint64_t program_bytes; /* when main begins: loaded libraries' data, stack, heap */
    uint64_t slack;         /* what may be added from one process to the next */
};

/* Measures this process, which has done nothing yet: mode `floor` of vecmill-worker. Where the kernel
 * does not tell a process's memory, the answer is engine_floor_bound's. */
vecmill_status engine_floor_measure(struct engine_floor *floor, vecmill_err *err);

/* Has it measured by `/proc/self/exe floor PARENT`: in vecmill-worker. */
vecmill_status engine_floor_ask(struct engine_floor *floor, vecmill_err *err);

/* The record of a pack; E_MODEL when it is missing or of another version. */
vecmill_status engine_floor_read(const struct pack *pack, struct engine_floor *floor,
                                 vecmill_err *err);

/* For a folder without a pack: no record says more. */
void engine_floor_bound(struct engine_floor *floor);

#endif
