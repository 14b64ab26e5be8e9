/* build: how a pack is made, and what a worker holds before its arena, which is measured then. Private to
 * engine. */
#ifndef ENGINE_BUILD_H
#define ENGINE_BUILD_H

#include "engine/model_ref.h"

/* Runs one of our programs with this argv, waits for it, and reads what it answers on stdout: one byte of
 * status, then bytes of the answer, or, when the status is not OK, a message, which becomes the error.
 * *got bytes of at most `room` are in `answer`. `what` says in messages what it was run for. */
vecmill_status worker_ask(const char *program, char *const argv[], const char *what, char *answer,
                          size_t room, size_t *got, vecmill_err *err);

/* Has the pack of `ref` built by the program `worker`; makes the packs' folder. E_IO: the pack's place
 * cannot be written. */
vecmill_status build_ask(const struct model_ref *ref, const char *worker, const char *isa,
                         vecmill_precision precision, vecmill_err *err);

/* Compiles ref->dir into ref->path at the level `isa` and in this precision, in this process, which is
 * vecmill-worker. Does nothing when the pack is there already with this key (another builder was first);
 * waits up to wait_ms for another builder. */
vecmill_status build_run(const struct model_ref *ref, const char *isa, vecmill_precision precision,
                         unsigned wait_ms, vecmill_err *err);

/* Anonymous bytes that build_run for this folder, with the child that measures the baseline, holds
 * at one time at most. Reads config.json, sizes of files, and eight bytes of the weights. E_MODEL
 * as for text_compile and model_compile. */
vecmill_status build_bytes(const char *dir, size_t *bytes, vecmill_err *err);

/* ---- the baseline: the program with its libraries as loaded ---- */

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

/* The record of a pack; E_MODEL when it is missing or of another version. */
vecmill_status baseline_read(const struct pack *pack, struct baseline *baseline, vecmill_err *err);

/* For a folder without a pack: no record says more. */
void baseline_bound(struct baseline *baseline);

#endif
