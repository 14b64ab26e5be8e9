/* team: threads that share one caller's work, item by item.
 *
 * team_run returns when every item was done, once each; items are handed out in ascending order.
 * Nothing is allocated after team_open. Between runs the threads sleep. Which thread does an item
 * is not determined, so an item may depend on it only for scratch memory. Does not know what an
 * item is. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define TEAM_MOST 256u

/* Stack of each thread; kernels keep nothing large on it. */
#define TEAM_STACK_BYTES ((size_t)256 << 10)

struct team;

/* A team of n threads, 1 to TEAM_MOST: the caller's and n - 1 started here, with all signals
 * blocked. With one there is no thread and no lock. Pair: team_close, by the same process; a fork
 * does not copy the threads. E_MEMORY, E_INTERNAL. */
vecmill_status team_open(uint32_t n, struct team **team, vecmill_err *err);
void team_close(struct team *team);

uint32_t team_size(const struct team *team); /* 1 for NULL */

/* Calls do_item(context, item, thread) for each item < n_items. thread < team_size, and no two
 * items have the same thread at one time. The caller works too. One run at a time. NULL: the caller
 * does everything, as thread 0. */
void team_run(struct team *team, void (*do_item)(void *context, uint32_t item, uint32_t thread),
              void *context, uint32_t n_items);

#endif
