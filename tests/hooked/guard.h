/* guard: a worker that is ready takes no more memory; one that does ends here, and says so.
 *
 * Four nets, from the first wait for a batch on:
 *   - malloc, calloc, realloc, aligned_alloc, mmap called from our own objects
 *     (linked with --wrap);
 *   - malloc, calloc, realloc by anyone, libc's own functions included (this program's definitions
 *     precede libc's), even if it is given back within the same batch;
 *   - mmap, mremap, mprotect, brk by anyone (a seccomp filter);
 *   - before each wait for a batch: bytes in use in the heap, size of all mappings, and of data and
 *     stack as when it was ready.
 * A build with a sanitizer has only the first net: its run-time maps and takes what it likes. */
#ifndef HOOKED_GUARD_H
#define HOOKED_GUARD_H

/* Called before each wait for a batch; closes the nets at the first. */
void guard_check(void);

/* No nets in this process: it is to take memory on purpose. */
void guard_leave(void);

/* Where a line `pid batches live_bytes pages data_pages` is added when the process ends in peace. */
void guard_log(int fd);

#endif
