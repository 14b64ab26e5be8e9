/* alloc: the only door to the heap. alloc.c alone calls malloc and free.
 *
 * For set-up. After a session is ready our code allocates nothing. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

#include "err.h"

/* Zeroed memory, aligned to 64; E_MEMORY with `what` and the size when there is none. bytes == 0
 * gives a valid pointer. Pair: mem_free. */
vecmill_status mem_new(size_t bytes, const char *what, void **memory, vecmill_err *err);

/* n * size with the product checked. */
vecmill_status mem_new_array(size_t n, size_t size, const char *what, void **memory,
                             vecmill_err *err);

/* Gives memory back; NULL is accepted. */
void mem_free(void *memory);

/* A copy of a string on the heap. */
vecmill_status mem_copy_string(const char *text, char **copy, vecmill_err *err);

/* ---- regions: pages of their own, for arenas ---- */

/* Anonymous pages, zeroed, not counted against the heap. A page that cannot be touched lies on each side, so
 * that an overrun is a SIGSEGV where it happens and never a neighbour's data; and since no two regions
 * touch, the kernel keeps each as a mapping of its own: a test finds it in /proc/PID/smaps by its
 * size, mem_map_bytes. Nothing is resident yet. E_MEMORY. Pair: mem_unmap with the same bytes. */
vecmill_status mem_map(size_t bytes, const char *what, void **memory, vecmill_err *err);
void mem_unmap(void *memory, size_t bytes);

/* What a region of so many bytes takes, resident once it is committed: whole pages, at least one. The guards
 * take address space alone. SIZE_MAX when there is no such number. */
size_t mem_map_bytes(size_t bytes);

/* Makes a whole region of mem_map resident, now; contents stay. Who has done this cannot be ended in the
 * middle of its work for want of these pages: the kernel gives pages when they are touched, and by then
 * it has no way to say no but to kill. Here it can: E_MEMORY. (By MADV_POPULATE_WRITE, which tells of
 * ENOMEM, EFAULT and EHWPOISON; before Linux 5.14 by touching each page, where all but a full memory
 * cgroup is SIGBUS. In a full cgroup both may end in an OOM kill, at the start instead of later.) */
vecmill_status mem_commit(void *memory, size_t bytes, const char *what, vecmill_err *err);

/* ---- a heap that stays as it is: for a process that is ours ---- */

/* From now on glibc neither gives heap back nor maps chunks apart nor makes arenas, so that what the heap
 * has taken is there to be used again. Settings of the whole process, so never in a host's. First thing
 * in main. */
void mem_settle(void);

/* For a program that comes and goes, and whose memory is planned: from here on, blocks of 128 KiB and
 * more are mappings of their own, which are gone when they are freed and do not move when they grow, and
 * all threads share one heap. Otherwise glibc raises that size to that of the largest block freed, and
 * keeps what lies below the top of its heap. Does nothing under another C library. */
void mem_map_large(void);

/* realloc for buf.c, which alone grows memory, and malloc for jsonx.c; NULL when there is none. */
void *mem_regrow(void *memory, size_t bytes);

#endif
