/* arena: memory that is planned and carved by one and the same function.
 *
 * A function that lays out memory takes an arena and calls arena_take in a fixed order. Run over a
 * counting arena (arena_count) it counts bytes and touches nothing; run over real memory of that
 * size (arena_init) it hands out the pieces. So a plan and its carving cannot differ.
 *
 *     static void layout(struct arena *a, const struct shape *s, struct work *w) {
 *         w->x = arena_take(a, s->rows * s->hidden * sizeof(float), 64);
 *     }
 *
 * Overflow is a sticky failure: arena_bytes is then SIZE_MAX and arena_ok false. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena {
    char *memory;    /* NULL: counting */
    size_t capacity; /* SIZE_MAX when counting */
    size_t used;
    bool failed;
};

/* An arena that only counts. */
void arena_count(struct arena *a);

/* An arena over the caller's memory, aligned to at least 64. */
void arena_init(struct arena *a, void *memory, size_t bytes);

/* The next `bytes`, aligned to `align` (a power of two, at most 4096 and at most the memory's own
 * alignment). NULL when counting, when it does not fit, or after a failure. */
void *arena_take(struct arena *a, size_t bytes, size_t align);

/* As arena_take, n * size with the product checked. */
void *arena_take_array(struct arena *a, size_t n, size_t size, size_t align);

/* Bytes used so far; SIZE_MAX after a failure. */
size_t arena_bytes(const struct arena *a);

bool arena_ok(const struct arena *a);

#endif
