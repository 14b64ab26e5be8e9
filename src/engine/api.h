/* api: what belongs to vecmill.h as a whole. Its structs across versions of the library: the rule is in
 * vecmill.h, "Growth"; here it is code, once for all structs. And the stack that a call runs on. Private to
 * engine. */
#ifndef ENGINE_API_H
#define ENGINE_API_H

#include <pthread.h>

#include "base/base.h"
#include "vecmill.h"

/* A caller's options as this library has them: copied, what they lack set to its default, struct_bytes this
 * library's. E_USAGE: shorter than the first version, or no size that a struct can have. E_UNSUPPORTED: more
 * is set than this library knows. */
vecmill_status api_take_options(const vecmill_options *given, vecmill_options *own,
                                vecmill_err *err);
vecmill_status api_take_pool_options(const vecmill_pool_options *given, vecmill_pool_options *own,
                                     vecmill_err *err);

/* What the two do, for a struct `name` whose first member is struct_bytes: `own` has own_bytes, defaults
 * already, and the first version had first_bytes. On failure *own is as it was. */
vecmill_status api_take(const char *name, const void *given, size_t first_bytes, void *own,
                        size_t own_bytes, vecmill_err *err);

/* Fills a caller's struct, whose struct_bytes is set, from ours: as far as both reach. */
void api_give(void *given, const void *own, size_t own_bytes);

/* Refuses options that vecmill.h has words for and this version does not obey. E_UNSUPPORTED; E_USAGE: a
 * value that vecmill.h has no word for. */
vecmill_status api_check_options(const vecmill_options *options, vecmill_err *err);

/* The same for a document. */
vecmill_status api_check_doc(const vecmill_doc *doc, vecmill_err *err);

/* ---- a stack that is large enough ----
 *
 * A host may call from a thread with a stack of a few pages. Opening and planning handle paths of 4 KiB
 * each, several at a time, so where the caller's stack is small they run on one of their own. What is
 * called while documents are computed needs less than 16 KiB. */

/* Of the threads that are started here: api_call's and a pool's. */
#define API_STACK_BYTES ((size_t)256 << 10)

/* A thread with such a stack and all signals blocked: they are the host's affair. 0 or an errno. */
int api_thread_start(pthread_t *thread, void *(*body)(void *context), void *context);

/* call(context, err), by this thread or, where its stack is smaller than API_STACK_BYTES, by one of
 * api_thread_start's that lives as long as the call. Where no thread can be started, by this one. */
vecmill_status api_call(vecmill_status (*call)(void *context, vecmill_err *err), void *context,
                        vecmill_err *err);

#endif
