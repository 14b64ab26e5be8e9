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

/* Anonymous pages, zeroed, not counted against the heap: for arenas. Pair: mem_unmap. */
vecmill_status mem_map(size_t bytes, const char *what, void **memory, vecmill_err *err);
void mem_unmap(void *memory, size_t bytes);

/* realloc for buf.c, which alone grows memory; NULL when there is none. */
void *mem_regrow(void *memory, size_t bytes);

#endif
