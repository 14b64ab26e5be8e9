/* baseline: what a worker holds before its arena: the program with its libraries as loaded. Measured once, by
 * a child process while the pack is built, and kept in the pack. Private to engine. */
#ifndef ENGINE_BASELINE_H
#define ENGINE_BASELINE_H

#include "engine/engine.h"

#define BASELINE_SECTION "engine.floor"
#define BASELINE_VERSION 2u

/* Fixed-width; stored as is in the section. Bytes are anonymous memory, rounded up to pages. */
struct baseline {
    uint32_t version;
    uint32_t bytes;         /* sizeof(struct baseline) */
    uint64_t program_bytes; /* when main begins: loaded libraries' data, stack, heap */
    uint64_t slack;         /* what may be added from one process to the next */
};

/* Measures this process, which has done nothing yet: mode `baseline` of vecmill-worker. Where the kernel
 * does not tell a process's memory, the answer is baseline_bound's. */
vecmill_status baseline_measure(struct baseline *baseline, vecmill_err *err);

/* Has it measured by `/proc/self/exe baseline PARENT`: in vecmill-worker. */
vecmill_status baseline_ask(struct baseline *baseline, vecmill_err *err);

/* The record of a pack; E_MODEL when it is missing or of another version. */
vecmill_status baseline_read(const struct pack *pack, struct baseline *baseline, vecmill_err *err);

/* For a folder without a pack: no record says more. */
void baseline_bound(struct baseline *baseline);

#endif
