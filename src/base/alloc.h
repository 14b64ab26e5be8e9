/* alloc: the only way to the heap: alloc.c alone calls malloc and free.
 *
 * For set-up. Once a session is ready our code allocates nothing. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

#include "err.h"

/* Zeroed memory, aligned to 64. E_MEMORY names `what` and the size. bytes == 0 gives a valid
 * pointer. Pair: mem_free. */
vecmill_status mem_new(size_t bytes, const char *what, void **memory, vecmill_err *err);

/* n * size with the product checked. */
vecmill_status mem_new_array(size_t n, size_t size, const char *what, void **memory,
                             vecmill_err *err);

/* Releases memory; NULL is accepted. */
void mem_free(void *memory);

/* A copy of a string on the heap. */
vecmill_status mem_copy_string(const char *text, char **copy, vecmill_err *err);

/* ---- regions: pages of their own, for arenas ---- */

/* Anonymous pages, zeroed, not counted against the heap. There is an inaccessible page on each
 * side, so an overrun is a SIGSEGV where it happens and never damages a neighbour. Since no two
 * regions touch, the kernel keeps each as its own mapping: a test finds it in /proc/PID/smaps by
 * its size, mem_map_bytes. Nothing is resident yet. E_MEMORY. Pair: mem_unmap with the same
 * bytes. */
vecmill_status mem_map(size_t bytes, const char *what, void **memory, vecmill_err *err);
void mem_unmap(void *memory, size_t bytes);

/* What a region of this many bytes takes once it is committed: whole pages, at least one. The
 * inaccessible pages take address space only. SIZE_MAX when there is no such number. */
size_t mem_map_bytes(size_t bytes);

/* Makes a whole region of mem_map resident now; contents stay. Afterwards a lack of these pages
 * cannot end the process in the middle of its work: the kernel otherwise gives pages when they are
 * first touched, and can then refuse only by killing. Here it can refuse: E_MEMORY. (By
 * MADV_POPULATE_WRITE, which reports ENOMEM, EFAULT and EHWPOISON; before Linux 5.14 by touching
 * each page, where everything but a full memory cgroup is SIGBUS. In a full cgroup both may end in
 * an OOM kill, at the start instead of later.) */
vecmill_status mem_commit(void *memory, size_t bytes, const char *what, vecmill_err *err);

/* ---- a heap that keeps what it has: for our own processes ---- */

/* From now on glibc neither returns heap to the kernel nor maps large chunks separately nor makes
 * arenas, so that memory the heap has taken can be used again. Settings of the whole process, so
 * never in a host's. The first call in main. */
void mem_settle(void);

/* For a short-lived program whose memory is planned. From now on, blocks of 128 KiB and more are
 * mappings of their own, which disappear when freed and do not move when they grow, and all threads
 * share one heap. Otherwise glibc raises that size to that of the largest block freed, and keeps
 * what is below the top of its heap. Does nothing with another C library. */
void mem_map_large(void);

/* realloc for buf.c, which alone grows memory; NULL when there is none. */
void *mem_regrow(void *memory, size_t bytes);

#endif
