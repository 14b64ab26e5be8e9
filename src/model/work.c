/* work: every piece of memory that a pass writes. */
#include "work.h"

#include "ending.h"
#include "layout.h"

static size_t gemm_scratch(const struct model_config *c, const struct kern *kern)
{
    size_t scratch = 0;
    for (int i = 0; i < LAYOUT_GEMMS; i++)
        scratch =
            num_max(scratch, gemm_scratch_bytes(kern, layout_gemm_shape(c, (enum layout_gemm)i)));
    return scratch;
}

void work_layout(struct work *w, struct arena *a, const struct model_config *c,
                 const struct kern *kern, const struct model_extent *e)
{
    const size_t rows = num_max(e->tokens, e->longest), block = num_min(rows, WORK_BLOCK_ROWS);
    const size_t row_bytes = c->hidden * sizeof(float);
    const size_t products = gemm_scratch(c, kern);
    const struct attention_shape shape = layout_attention_shape(c);
    /* of attention, and after the last layer of what follows it */
    const size_t attention =
        num_max(attention_bytes(kern, (enum kern_precision)c->precision, &shape, e->longest),
                ending_scratch_bytes(c, kern));
    w->x = arena_take_array(a, rows, row_bytes, 64);
    w->qkv = arena_take_array(a, rows, 3 * row_bytes, 64);
    w->context = arena_take_array(a, rows, row_bytes, 64);
    w->own = arena_take_array(a, e->threads, sizeof *w->own, 64);
    for (uint32_t i = 0; i < e->threads; i++) {
        const struct work_own own = {
            .y = arena_take_array(a, block, row_bytes, 64),
            .up =
                arena_take_array(a, block, num_max(c->intermediate, c->hidden) * sizeof(float), 64),
            .gemm_scratch = arena_take(a, products, 64),
            .attention_scratch = arena_take(a, attention, 64),
        };
        if (w->own) w->own[i] = own;
    }
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
