/* arena: used bytes are the same in a counting run and in a real one, so alignment is relative to
 * the start of the arena. */
#include "arena.h"

#include "num.h"

#include <assert.h>
#include <stdint.h>

void arena_count(struct arena *a)
{
    *a = (struct arena){.memory = NULL, .capacity = SIZE_MAX};
}

void arena_init(struct arena *a, void *memory, size_t bytes)
{
    assert(memory);
    *a = (struct arena){.memory = memory, .capacity = bytes};
}

void *arena_take(struct arena *a, size_t bytes, size_t align)
{
    assert(align && (align & (align - 1)) == 0 && align <= 4096);
    assert(((uintptr_t)a->memory & (align - 1)) == 0);
    size_t start, end;
    if (a->failed || !num_add(a->used, align - 1, &start)) goto fail;
    start &= ~(align - 1);
    if (!num_add(start, bytes, &end) || end > a->capacity) goto fail;
    a->used = end;
    return a->memory ? a->memory + start : NULL;
fail:
    a->failed = true;
    return NULL;
}

void *arena_take_array(struct arena *a, size_t n, size_t size, size_t align)
{
    size_t bytes;
    if (!num_mul(n, size, &bytes)) {
        a->failed = true;
        return NULL;
    }
    return arena_take(a, bytes, align);
}

size_t arena_bytes(const struct arena *a)
{
    return a->failed ? SIZE_MAX : a->used;
}

bool arena_ok(const struct arena *a)
{
    return !a->failed;
}
