/* A workspace as it is planned and as it is carved, over random models and passes: the pieces lie one
 * behind the other, hold what a pass writes, and end where the plan ends. */
#include "model/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SHAPES 12000

static uint64_t seed = 20;

static uint32_t any(uint32_t least, uint32_t most)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return least + (uint32_t)(seed % (most - least + 1));
}

/* One piece: behind the one before it, aligned, and what lies between is less than the alignment. */
static void follows(const void *piece, size_t bytes, const char **end)
{
    const char *at = piece;
    assert_true(((uintptr_t)at & 63) == 0);
    assert_true(at >= *end && at - *end < 64);
    *end = at + bytes;
}

static void plan_is_carved(void **state)
{
    (void)state;
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
            const struct model_config c = {
                .n_layers = 1,
                .hidden = d * n_heads,
                .n_heads = n_heads,
                .intermediate = any(1, 4 * d * n_heads),
            };
            const struct model_extent e = {
                .tokens = any(1, i % 10 == 0 ? 65536 : 2048),
                .longest = any(1, i % 10 == 5 ? 8192 : 512),
                .gemm_scratch = any(0, 200000),
            };
            const size_t bytes = model_workspace_bytes(&c, kern, &e);
            const size_t rows = num_up(num_max(e.tokens, e.longest), kern->row_step);
            const size_t block = num_min(rows, work_block_rows(kern)),
                         row = c.hidden * sizeof(float);
            /* Never touched: an address is all that carving needs. */
            char *memory = (char *)(uintptr_t)4096;
            const char *end = memory;
            struct arena a;
            struct work w;
            arena_init(&a, memory, bytes);
            work_layout(&w, &a, &c, kern, &e);
            assert_true(arena_ok(&a));
            follows(w.x, rows * row, &end);
            follows(w.qkv, 3 * rows * row, &end);
            follows(w.context, rows * row, &end);
            follows(w.y, block * row, &end);
            follows(w.up, block * c.intermediate * sizeof(float), &end);
            follows(w.gemm_scratch, e.gemm_scratch, &end);
            follows(w.attention_scratch, kern->attention_bytes(e.longest, d), &end);
            assert_true((size_t)(end - memory) == bytes);

            arena_init(&a, memory, bytes - 1);
            work_layout(&w, &a, &c, kern, &e);
            assert_false(arena_ok(&a));
        }
    }
    print_message("%u shapes at each of %u levels\n", SHAPES, levels);
}

/* More than there can be is said, not wrapped around. */
static void overflow_is_said(void **state)
{
    (void)state;
    const struct model_config c = {
        .n_layers = 1, .hidden = 8192, .n_heads = 64, .intermediate = 65536};
    const struct model_extent e = {.tokens = 1, .longest = 1, .gemm_scratch = SIZE_MAX - 4096};
    assert_true(model_workspace_bytes(&c, kern_table(KERN_REF), &e) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_is_carved),
        cmocka_unit_test(overflow_is_said),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
