/* alloc: zeroed, aligned memory, or an E_MEMORY that names what it was for. */
#include "alloc.h"

#include "num.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEM_ALIGN     64         /* a cache line, and the widest vector register */
#define MEM_HEAP_STEP (64 << 10) /* half of glibc's own: on average half of a step is left over */

vecmill_status mem_new(size_t bytes, const char *what, void **memory, vecmill_err *err)
{
    size_t rounded;
    void *m = NULL;
    if (num_add(bytes ? bytes : 1, MEM_ALIGN - 1, &rounded)) {
        m = aligned_alloc(MEM_ALIGN, rounded / MEM_ALIGN * MEM_ALIGN);
    }
    if (!m) return err_set(err, VECMILL_E_MEMORY, "%s: no memory for %zu bytes", what, bytes);
    memset(m, 0, bytes);
    *memory = m;
    return VECMILL_OK;
}

vecmill_status mem_new_array(size_t n, size_t size, const char *what, void **memory,
                             vecmill_err *err)
{
    size_t bytes;
    if (!num_mul(n, size, &bytes)) {
        return err_set(err, VECMILL_E_MEMORY, "%s: %zu times %zu bytes is more than there can be",
                       what, n, size);
    }
    return mem_new(bytes, what, memory, err);
}

void mem_free(void *memory)
{
    free(memory);
}

vecmill_status mem_copy_string(const char *text, char **copy, vecmill_err *err)
{
    size_t bytes = strlen(text) + 1;
    void *m = NULL;
    VM_TRY(mem_new(bytes, "a string", &m, err));
    memcpy(m, text, bytes);
    *copy = m;
    return VECMILL_OK;
}

/* ---- regions ---- */

/* The kernel's page size, not a compile-time minimum. */
static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t mem_map_bytes(size_t bytes)
{
    const size_t page = page_bytes();
    size_t rounded;
    if (!num_add(bytes ? bytes : 1, page - 1, &rounded)) return SIZE_MAX;
    return rounded / page * page;
}

vecmill_status mem_map(size_t bytes, const char *what, void **memory, vecmill_err *err)
{
    const size_t page = page_bytes(), inner = mem_map_bytes(bytes);
    size_t all;
    if (inner == SIZE_MAX || !num_add(inner, 2 * page, &all))
        return err_set(err, VECMILL_E_MEMORY, "%s: no memory for %zu bytes", what, bytes);
    /* First inaccessible address space, then its middle is opened. So the guards are there from the
     * beginning, whatever fails. They cost nothing: what cannot be written counts neither as data
     * (RLIMIT_DATA) nor as committed. */
    char *m = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return err_sys(err, VECMILL_E_MEMORY, errno, "%s: no memory for %zu bytes", what, bytes);
    if (mprotect(m + page, inner, PROT_READ | PROT_WRITE) != 0) {
        const int error = errno;
        munmap(m, all);
        return err_sys(err, VECMILL_E_MEMORY, error, "%s: no memory for %zu bytes", what, bytes);
    }
    /* A huge page would make more resident than was touched, and so more than was planned. A kernel
     * without huge pages returns EINVAL, which is as good. */
    (void)madvise(m + page, inner, MADV_NOHUGEPAGE);
    *memory = m + page;
    return VECMILL_OK;
}

void mem_unmap(void *memory, size_t bytes)
{
    const size_t page = page_bytes();
    if (memory) munmap((char *)memory - page, mem_map_bytes(bytes) + 2 * page);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* linux/mman.h, since 5.14 */
#endif

vecmill_status mem_commit(void *memory, size_t bytes, const char *what, vecmill_err *err)
{
    const size_t page = page_bytes(), all = mem_map_bytes(bytes);
    volatile char *m = memory;
    if (madvise(memory, all, MADV_POPULATE_WRITE) == 0) return VECMILL_OK;
    /* EINVAL: older than 5.14. ENOSYS and EPERM: sandboxes return these for unknown calls. */
    if (errno != EINVAL && errno != ENOSYS && errno != EPERM)
        return err_sys(err, VECMILL_E_MEMORY, errno, "%s: no memory for %zu bytes", what, bytes);
    for (size_t i = 0; i < all; i += page)
        m[i] = m[i];
    return VECMILL_OK;
}

/* ---- a heap that keeps what it has ---- */

void mem_settle(void)
{
    /* One arena: a second one takes 64 MiB of address space, and gets memory from it by mprotect. */
    (void)mallopt(M_ARENA_MAX, 1);
    /* Freed memory stays: returned to the kernel, it would have to be asked for again, and could be
     * refused where it is needed. */
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    /* Large blocks are no mappings of their own: those would come and go with each use. 32 MiB is
     * the most that glibc accepts (HEAP_MAX_SIZE / 2). */
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    /* Setting any of these also stops glibc from adjusting the others by itself, which is wanted.
     * The heap grows in these steps: each is a system call, and up to one step is left over. */
    (void)mallopt(M_TOP_PAD, MEM_HEAP_STEP);
}

void mem_map_large(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
    (void)mallopt(M_ARENA_MAX, 1);
#endif
}

void *mem_regrow(void *memory, size_t bytes)
{
    return realloc(memory, bytes);
}
