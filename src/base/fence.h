/* fence: from here on this process gets no more memory than it has.
 *
 * For a process that has taken all the memory it will ever use. Any more is a mistake in the plan,
 * and the fence turns it into an ENOMEM in our own code, which can be reported, instead of the OOM
 * killer's SIGKILL to the largest process. Not set earlier: what a libc reserves while it starts is
 * not ours to count. */
#ifndef BASE_FENCE_H
#define BASE_FENCE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* 1: a sanitizer maps shadow memory while the program runs. It would fail at the fence, so there is
 * none. */
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

/* Sets the soft RLIMIT_DATA to what counts against it now, VmData of /proc/self/status: private
 * writable mappings and the heap. Not counted, and so outside the fence: files mapped for reading,
 * shared memory, and the stack, which grows when it is touched (stack_commit). *bytes: the limit; 0
 * where there is no fence, because /proc cannot be read, a sandbox does not know the limit, or a
 * sanitizer maps memory at any time. E_INTERNAL when the limit cannot be set. */
vecmill_status fence_set(uint64_t *bytes, vecmill_err *err);

/* Makes this many bytes of stack below the caller resident by touching them; at most STACK_COMMIT_MOST. */
#define STACK_COMMIT_MOST ((size_t)64 << 10)
void stack_commit(size_t bytes);

#endif
