/* roomy: a call on a stack that is large enough.
 *
 * A host may call from a thread with a stack of a few pages. Opening and planning handle paths of 4 KiB
 * each, several at a time, so where the caller's stack is small they run on one of their own. What is
 * called while documents are computed needs less than 16 KiB. Private to engine. */
#ifndef ENGINE_ROOMY_H
#define ENGINE_ROOMY_H

#include <pthread.h>

#include "base/base.h"

/* Of the threads that are started here: roomy_call's and a pool's. */
#define ROOMY_STACK_BYTES ((size_t)256 << 10)

/* A thread with such a stack and all signals blocked: they are the host's affair. 0 or an errno. */
int roomy_start(pthread_t *thread, void *(*body)(void *context), void *context);

/* call(context, err), by this thread or, where its stack is smaller than ROOMY_STACK_BYTES, by one of
 * roomy_start's that lives as long as the call. Where no thread can be started, by this one. */
vecmill_status roomy_call(vecmill_status (*call)(void *context, vecmill_err *err), void *context,
                          vecmill_err *err);

#endif
