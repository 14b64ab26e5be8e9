/* vecmill_bench.h: what vecmill's own measuring programs need of the library, besides vecmill.h.
 *
 * Unstable: not installed, and any version may change it. libvecmill.so exports it all the same, so that
 * bench/bench_turns.c can compare builds. Clean C99 and C++11. */
#ifndef VECMILL_BENCH_H
#define VECMILL_BENCH_H

#include "vecmill.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Operations (a multiply-add counts two) that one document of n_tokens takes: products and attention as
 * they are executed; docs/MODEL.md has the sum. */
VECMILL_API double vecmill_session_flops(const vecmill_session *session, uint32_t n_tokens);

/* Measures this core's peak of multiply-adds at the session's level and in its precision for about
 * `seconds` (0.01 to 10), the best of many short slices; operations a second. The calling thread
 * computes, and several may do so at once, to see what the cores can do together. */
VECMILL_API double vecmill_session_peak(const vecmill_session *session, double seconds);

/* The plan in force next to what the processes hold at this moment: parts[].measured_bytes. E_IO when /proc
 * does not say. */
VECMILL_API vecmill_status vecmill_pool_measure(vecmill_pool *pool, vecmill_plan *plan,
                                                vecmill_err *err);

/* computed 1: from now on a document with the same bytes as one that is in the pool is computed all the
 * same; 0, as when the pool is opened: it gets a copy. By the thread that submits. */
VECMILL_API void vecmill_pool_duplicates(vecmill_pool *pool, int computed);

#ifdef __cplusplus
}
#endif
#endif
