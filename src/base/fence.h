/* fence: from here on this process gets no more memory than it has.
 *
 * For a process that has taken all that it will ever use. Then more is a mistake in the plan, and the fence
 * makes it one that can be told: a call that says ENOMEM in our own code, instead of the OOM killer's
 * SIGKILL at whoever is the largest. Not before that point: what a libc reserves while it starts is not
 * ours to count. */
#ifndef BASE_FENCE_H
#define BASE_FENCE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* 1: a build with a sanitizer that maps shadow memory while the program runs: under the fence it would
 * end, so there is none. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FENCE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
#define FENCE_SANITIZED 1
#endif
#endif
#ifndef FENCE_SANITIZED
#define FENCE_SANITIZED 0
#endif

/* Sets the soft RLIMIT_DATA to what counts against it now, VmData of /proc/self/status: private writable
 * mappings and the heap. Not in it, and so outside the fence: files mapped to be read, shared memory,
 * and the stack, which grows by being touched (stack_commit). *bytes: where the fence is; 0 where there
 * is none, because /proc cannot be read, a sandbox knows no such limit, or in a build with a sanitizer
 * that maps memory whenever it likes. E_INTERNAL when the limit cannot be set. */
vecmill_status fence_set(uint64_t *bytes, vecmill_err *err);

/* Touches the stack below the caller, so that so much of it is there: bytes at most STACK_COMMIT_MOST. */
#define STACK_COMMIT_MOST ((size_t)64 << 10)
void stack_commit(size_t bytes);

#endif
