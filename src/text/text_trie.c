/* text_trie: building and checking the double array. */
#include "text_trie.h"

#include <assert.h>
#include <stdlib.h>

#define FAN           256u                           /* children a node can have */
#define STACK_MAX     (64u << 20)                    /* bytes of nodes waiting to be placed */
#define TRIE_ROOM_MAX (UINT32_MAX / TRIE_UNIT_BYTES) /* units that a section could hold */
#define CROWDED       0.95 /* share of used units above which a stretch is not searched again */

struct unit {
    uint32_t base, check, value;
};
_Static_assert(sizeof(struct unit) == TRIE_UNIT_BYTES, "units are written as they lie in memory");

/* The keys low .. high - 1 share their first `depth` bytes and lead to `node`. */
struct pending {
    uint32_t node, low, high, depth;
};

struct builder {
    const struct trie_key *keys;
    struct buf *out; /* units are written in their final place */
    size_t start;    /* of the first in out */
    struct buf stack;
    uint32_t search; /* first unit worth trying */
};

static int compare_keys(const void *a, const void *b)
{
    const struct trie_key *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

void trie_sort(struct trie_key *keys, size_t n)
{
    if (n) qsort(keys, n, sizeof *keys, compare_keys);
}

uint32_t trie_walk(const struct trie *t, const char *text, size_t bytes)
{
    if (!t->n_units) return TRIE_NONE;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < bytes && node != TRIE_NONE; i++)
        node = trie_step(t, node, (unsigned char)text[i]);
    return node;
}

static struct unit *unit_at(const struct builder *b, uint32_t i)
{
    return (struct unit *)(void *)(b->out->data + b->start) + i;
}

static uint32_t count_units(const struct builder *b)
{
    return (uint32_t)((b->out->bytes - b->start) / sizeof(struct unit));
}

/* Adds free units up to and including index `last`. */
static vecmill_status grow(struct builder *b, uint32_t last, vecmill_err *err)
{
    const struct unit empty = {.base = 0, .check = TRIE_NONE, .value = TRIE_NONE};
    while (count_units(b) <= last)
        VM_TRY(buf_add(b->out, &empty, sizeof empty, err));
    return VECMILL_OK;
}

static unsigned char byte_at(const struct builder *b, uint32_t key, uint32_t depth)
{
    return (unsigned char)b->keys[key].text[depth];
}

/* A base for which all n labels are free units; labels ascend. */
static vecmill_status find_base(struct builder *b, const unsigned char *labels, unsigned n,
                                uint32_t *base, vecmill_err *err)
{
    uint32_t used = 0, start = b->search;
    if (start <= labels[0]) start = labels[0] + 1u; /* a base is never 0: the root is not a child */
    for (uint32_t at = start;; at++) {
        VM_TRY(grow(b, at + FAN, err));
        if (unit_at(b, at)->check != TRIE_NONE) {
            used++;
            continue;
        }
        uint32_t candidate = at - labels[0];
        unsigned i = 1;
        while (i < n && unit_at(b, candidate + labels[i])->check == TRIE_NONE)
            i++;
        if (i < n) continue;
        if (used >= CROWDED * (double)(at - start + 1)) b->search = at;
        *base = candidate;
        return VECMILL_OK;
    }
}

/* Places the children of one node and puts them on the stack. */
static vecmill_status place(struct builder *b, const struct pending *p, vecmill_err *err)
{
    unsigned char labels[FAN];
    uint32_t first[FAN + 1];
    unsigned n = 0;
    uint32_t low = p->low;
    if (low < p->high && b->keys[low].bytes == p->depth) {
        unit_at(b, p->node)->value = b->keys[low].value;
        low++;
    }
    for (uint32_t i = low; i < p->high; i++) {
        unsigned char label = byte_at(b, i, p->depth);
        if (n && labels[n - 1] == label) continue;
        labels[n] = label;
        first[n] = i;
        n++;
    }
    if (n == 0) return VECMILL_OK;
    first[n] = p->high;

    uint32_t base;
    VM_TRY(find_base(b, labels, n, &base, err));
    unit_at(b, p->node)->base = base;
    for (unsigned i = 0; i < n; i++)
        unit_at(b, base + labels[i])->check = p->node;
    for (unsigned i = n; i-- > 0;) {
        const struct pending child = {base + labels[i], first[i], first[i + 1], p->depth + 1};
        VM_TRY(buf_add(&b->stack, &child, sizeof child, err));
    }
    return VECMILL_OK;
}

vecmill_status trie_build(const struct trie_key *keys, size_t n, struct buf *out, uint32_t *n_units,
                          vecmill_err *err)
{
    struct builder b = {.keys = keys, .out = out, .start = out->bytes, .search = 1};
    assert(b.start % sizeof(uint32_t) == 0);
    buf_init(&b.stack, STACK_MAX, "STACK_MAX");
    const struct pending root = {TRIE_ROOT, 0, (uint32_t)n, 0};
    vecmill_status status = grow(&b, FAN, err);
    if (status == VECMILL_OK) status = buf_add(&b.stack, &root, sizeof root, err);
    while (status == VECMILL_OK && b.stack.bytes) {
        struct pending next;
        b.stack.bytes -= sizeof next;
        memcpy(&next, b.stack.data + b.stack.bytes, sizeof next);
        status = place(&b, &next, err);
    }
    if (status == VECMILL_OK)
        *n_units = count_units(&b);
    else
        out->bytes = b.start;
    buf_done(&b.stack);
    return status;
}

bool trie_check(const struct trie *t, uint32_t n_values)
{
    if (t->n_units < FAN || t->n_units > TRIE_ROOM_MAX) return false;
    for (uint32_t i = 0; i < t->n_units; i++) {
        uint32_t value = trie_word(t, i, 2);
        if (trie_word(t, i, 0) > t->n_units - FAN) return false;
        if (value != TRIE_NONE && value >= n_values) return false;
    }
    return true;
}
