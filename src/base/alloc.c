/* alloc: the only file that calls malloc. Promises zeroed, aligned memory or a named E_MEMORY. */
#include "alloc.h"

#include "num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEM_ALIGN 64 /* a cache line, and the widest vector register */

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

vecmill_status mem_map(size_t bytes, const char *what, void **memory, vecmill_err *err)
{
    void *m =
        mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        return err_sys(err, VECMILL_E_MEMORY, errno, "%s: no memory for %zu bytes", what, bytes);
    }
    /* A huge page would make more resident than was touched, and so more than was planned. A kernel
     * without huge pages says EINVAL, which is as good. */
    (void)madvise(m, bytes, MADV_NOHUGEPAGE);
    *memory = m;
    return VECMILL_OK;
}

void mem_unmap(void *memory, size_t bytes)
{
    if (memory) munmap(memory, bytes ? bytes : 1);
}

void *mem_regrow(void *memory, size_t bytes)
{
    return realloc(memory, bytes);
}
