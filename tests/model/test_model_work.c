/* A workspace as it is planned and as it is carved, over random models, passes and threads: the
 * pieces follow one another, hold what a pass writes, and end where the plan ends. */
#include "model/layout.h"
#include "model/work.h"
#include "model_toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define SHAPES 12000

static uint64_t seed = 20;
static enum kern_precision precision = KERN_FP32; /* or what VECMILL_TEST_PRECISION names */

static uint32_t any(uint32_t least, uint32_t most)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return least + (uint32_t)(seed % (most - least + 1));
}

/* One piece: after the one before it, aligned, with less than the alignment between them. */
static void follows(const void *piece, size_t bytes, const char **end)
{
    const char *at = piece;
    assert_true(((uintptr_t)at & 63) == 0);
    assert_true(at >= *end && at - *end < 64);
    *end = at + bytes;
}

/* The most scratch that one of a layer's products asks for. */
static size_t products_bytes(const struct model_config *c, const struct kern *kern)
{
    size_t most = 0;
    static const enum arch_part products[] = {PART_QKV, PART_OUT, PART_UP, PART_DOWN};
    for (size_t i = 0; i < ARCH_LENGTH(products); i++) {
        const struct gemm_shape shape = arch_product(arch_named("bert"), c, 0, products[i]);
        most = num_max(most, gemm_scratch_bytes(kern, shape));
    }
    return most;
}

/* With a Dense, two vectors of the widest step and what its product takes; all in fp32. */
static size_t ending_bytes(const struct model_config *c, const struct kern *kern)
{
    if (c->ending.n_steps == 0) return 0;
    const uint32_t k = c->ending.n_poolings * c->hidden, n = c->ending.steps[0].width;
    const struct gemm_shape shape = {.k = k, .n = n, .precision = KERN_FP32};
    const size_t vector = num_up(num_max(k, n) * sizeof(float), 64);
    return 2 * vector + gemm_scratch_bytes(kern, shape);
}

/* What a pass shares, then what each thread has to itself; to the byte. Only the list of threads,
 * which is stored in the pieces, is touched. */
static void carve(char *memory, size_t bytes, const struct model_config *c, const struct kern *kern,
                  const struct model_extent *e)
{
    const size_t rows = num_max(e->tokens, e->longest), block = num_min(rows, WORK_BLOCK_ROWS);
    const size_t row = c->hidden * sizeof(float), products = products_bytes(c, kern);
    const struct arch *arch = arch_named("bert");
    const struct attention_shape shape = arch_attention(arch, c, 0);
    const size_t attention =
        num_max(attention_bytes(kern, (enum kern_precision)c->precision, &shape, e->longest),
                ending_bytes(c, kern));
    const char *end = memory;
    struct arena a;
    struct work w;
    arena_init(&a, memory, bytes);
    work_layout(&w, &a, arch, c, kern, e);
    assert_true(arena_ok(&a));
    follows(w.x, rows * row, &end);
    follows(w.qkv, 3 * rows * row, &end);
    follows(w.context, rows * row, &end);
    follows(w.positions, 0, &end);
    follows(w.rope, 0, &end);
    follows(w.own, e->threads * sizeof *w.own, &end);
    for (uint32_t i = 0; i < e->threads; i++) {
        follows(w.own[i].y, block * row, &end);
        follows(w.own[i].z, 0, &end);
        follows(w.own[i].up, block * num_max(c->intermediate, c->hidden) * sizeof(float), &end);
        follows(w.own[i].positions, 0, &end);
        follows(w.own[i].gemm_scratch, products, &end);
        follows(w.own[i].attention_scratch, attention, &end);
    }
    assert_true((size_t)(end - memory) == bytes);

    arena_init(&a, memory, bytes - 1);
    work_layout(&w, &a, arch, c, kern, e);
    assert_false(arena_ok(&a));
}

/* Address space for the largest of these workspaces, of which hardly a page is touched. */
#define RESERVED ((size_t)64 << 30)

static void plan_is_carved(void **state)
{
    (void)state;
    char *memory = mmap(NULL, RESERVED, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(memory != MAP_FAILED);
    unsigned levels = 0;
    for (int level = 0; level < KERN_LEVELS; level++) {
        const struct kern *kern = kern_table((enum kern_level)level);
        if (!kern) {
            print_message("[ SKIPPED  ] this machine has no %s\n",
                          kern_level_name((enum kern_level)level));
            continue;
        }
        levels++;
        for (int i = 0; i < SHAPES; i++) {
            const uint32_t d = 8 * any(1, 16), n_heads = any(1, 32);
            struct model_config c = {
                .n_layers = 1,
                .hidden = d * n_heads,
                .n_heads = n_heads,
                .intermediate = any(1, 4 * d * n_heads),
                .precision = precision,
            };
            if (i % 3 == 0) {
                c.ending = (struct model_ending){.n_poolings = any(1, 2), .n_steps = 1};
                c.ending.poolings[1] = MODEL_POOL_CLS;
                c.ending.steps[0] =
                    (struct model_step){.kind = MODEL_STEP_DENSE, .width = any(1, 9000)};
            }
            toy_complete(&c);
            const struct model_extent e = {
                .tokens = any(1, i % 10 == 0 ? 65536 : 2048),
                .longest = any(1, i % 10 == 5 ? 8192 : 512),
                .threads = any(1, i % 10 == 7 ? 256 : 8),
            };
            const size_t bytes = model_workspace_bytes(&c, kern, &e);
            assert_true(bytes <= RESERVED);
            carve(memory, bytes, &c, kern, &e);
        }
    }
    munmap(memory, RESERVED);
    print_message("%u shapes at each of %u levels\n", SHAPES, levels);
}

/* More than there can be is said, not wrapped around. */
static void overflow_is_said(void **state)
{
    (void)state;
    struct model_config c = {
        .n_layers = 1, .hidden = UINT32_MAX, .n_heads = 64, .intermediate = UINT32_MAX};
    toy_complete(&c);
    const struct model_extent e = {.tokens = UINT32_MAX, .longest = 1, .threads = 1};
    assert_true(model_workspace_bytes(&c, kern_table(KERN_REF), &e) == SIZE_MAX);
}

int main(void)
{
    const char *name = getenv("VECMILL_TEST_PRECISION");
    for (int i = 0; name && i < KERN_PRECISIONS; i++)
        if (strcmp(name, kern_precision_name((enum kern_precision)i)) == 0)
            precision = (enum kern_precision)i;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_is_carved),
        cmocka_unit_test(overflow_is_said),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
