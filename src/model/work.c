/* work: see work.h. Everything that a pass writes is one of these pieces. */
#include "work.h"

#include <assert.h>

/* The largest count that the products of a level are issued with (gemm_dnnl.c), so that no block is cut in
 * two. Smaller blocks are slower; larger ones were not faster beyond the noise of a shared machine, and
 * take more memory (docs/MODEL.md, "A pass"). */
uint32_t work_block_rows(const struct kern *kern)
{
    uint32_t rows = kern->level == KERN_AVX2 ? 240 : 256;
    assert(rows % kern->row_step == 0);
    return rows;
}

void work_layout(struct work *w, struct arena *a, const struct model_config *c,
                 const struct kern *kern, const struct model_extent *e)
{
    size_t rows = num_up(num_max(e->tokens, e->longest), kern->row_step);
    size_t block = num_min(rows, work_block_rows(kern));
    size_t row_bytes = c->hidden * sizeof(float);
    w->x = arena_take_array(a, rows, row_bytes, 64);
    w->qkv = arena_take_array(a, rows, 3 * row_bytes, 64);
    w->context = arena_take_array(a, rows, row_bytes, 64);
    w->y = arena_take_array(a, block, row_bytes, 64);
    w->up = arena_take_array(a, block, c->intermediate * sizeof(float), 64);
    w->gemm_scratch = arena_take(a, e->gemm_scratch, 64);
    w->attention_scratch =
        arena_take(a, kern->attention_bytes(e->longest, c->hidden / c->n_heads), 64);
}

size_t model_workspace_bytes(const struct model_config *config, const struct kern *kern,
                             const struct model_extent *extent)
{
    struct arena a;
    struct work w;
    arena_count(&a);
    work_layout(&w, &a, config, kern, extent);
    return arena_bytes(&a);
}
