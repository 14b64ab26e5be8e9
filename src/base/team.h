/* team: some threads that share one caller's work, item by item.
 *
 * Promises: team_run returns when every item was done, once each; items are handed out in ascending order;
 * nothing is allocated after team_open; between runs the threads sleep. Which thread does an item is
 * chance: an item must not depend on it but for its scratch. Does not know what an item is. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define TEAM_MOST 256u

/* Stack of each thread; kernels keep nothing large on theirs. */
#define TEAM_STACK_BYTES ((size_t)256 << 10)

struct team;

/* A team of n threads, 1 to TEAM_MOST: the caller's and n - 1 started here, with all signals blocked. Of
 * one: no thread, no lock. Pair: team_close, by the same process; a fork does not take the threads along.
 * E_MEMORY, E_INTERNAL. */
vecmill_status team_open(uint32_t n, struct team **team, vecmill_err *err);
void team_close(struct team *team);

uint32_t team_size(const struct team *team); /* 1 for NULL */

/* do_item(context, item, thread) for each item < n_items; thread < team_size, and no two items at one time
 * have the same. The caller works too. One run at a time. NULL: the caller does it all, as thread 0. */
void team_run(struct team *team, void (*do_item)(void *context, uint32_t item, uint32_t thread),
              void *context, uint32_t n_items);

#endif
