/* text_trie: a set of byte strings with values, in flat bytes that are used in place.
 *
 * A double array (Aoe, "An Efficient Digital Search Algorithm by Using a Double-Array Structure",
 * 1989): the child of node s over byte b is unit base[s] + b, if that unit's check is s. A step
 * reads one unit and compares no strings; a longest match is one walk. Units are three
 * little-endian words { base, check, value }. trie_check proves once that no step leaves them. */
#ifndef TEXT_TRIE_H
#define TEXT_TRIE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

#define TRIE_NONE       UINT32_MAX /* no such node; no value here */
#define TRIE_ROOT       0u
#define TRIE_UNIT_BYTES 12u

struct trie {
    const unsigned char *units; /* borrowed; any alignment */
    uint32_t n_units;           /* 0: an empty set, in which nothing may be searched */
};

struct trie_key {
    const char *text;
    uint32_t bytes;
    uint32_t value;
};

static inline uint32_t trie_word(const struct trie *t, uint32_t node, uint32_t word)
{
    uint32_t value;
    memcpy(&value, t->units + (size_t)node * TRIE_UNIT_BYTES + (size_t)word * 4, sizeof value);
    return value;
}

/* The child of a node over a byte, or TRIE_NONE. */
static inline uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte)
{
    uint32_t child = trie_word(t, node, 0) + byte;
    return trie_word(t, child, 1) == node ? child : TRIE_NONE;
}

/* The value of the string that ends at a node, or TRIE_NONE. */
static inline uint32_t trie_value(const struct trie *t, uint32_t node)
{
    return trie_word(t, node, 2);
}

/* The longest string of the set that begins the text, read on from a node: its bytes in the text,
 * 0: none, and its value. */
static inline uint32_t trie_longest(const struct trie *t, uint32_t node, const unsigned char *text,
                                    uint32_t bytes, uint32_t *value)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        node = trie_step(t, node, text[i]);
        if (node == TRIE_NONE) break;
        const uint32_t here = trie_value(t, node);
        if (here == TRIE_NONE) continue;
        *value = here;
        longest = i + 1;
    }
    return longest;
}

/* The node that a string leads to, or TRIE_NONE. */
uint32_t trie_walk(const struct trie *t, const char *text, size_t bytes);

/* Sorts keys by their bytes; equal keys are then adjacent. */
void trie_sort(struct trie_key *keys, size_t n);

/* Appends the units of n keys, sorted, distinct and not empty, to `out`, whose length is a multiple
 * of 4. On failure out's content is as before. */
vecmill_status trie_build(const struct trie_key *keys, size_t n, struct buf *out, uint32_t *n_units,
                          vecmill_err *err);

/* Whether units are safe to walk and every value is below n_values. */
bool trie_check(const struct trie *t, uint32_t n_values);

#endif
