/* work: every piece of memory that a pass writes. */
#include "work.h"

#include "ending.h"
#include "token_heads.h"
#include "vocab.h"

static size_t gemm_scratch(const struct arch *arch, const struct model_config *c,
                           const struct kern *kern, uint32_t kind)
{
    size_t scratch = 0;
    for (int part = 0; part < PARTS; part++) {
        const struct arch_weight *w = arch_weight(arch, c, kind, (enum arch_part)part);
        if (!w) continue;
        if (w->storage == STORE_SLICED)
            scratch = num_max(
                scratch, gemm_scratch_bytes(kern, arch_slice(arch, c, (enum arch_part)part, 0)));
        if (w->storage != STORE_PRODUCT && w->storage != STORE_PROJECTED) continue;
        scratch = num_max(
            scratch, gemm_scratch_bytes(kern, arch_product(arch, c, kind, (enum arch_part)part)));
    }
    return scratch;
}

/* The most of any layer: the last one may have a window, and another may not. */
static void scratch_of_layers(const struct arch *arch, const struct model_config *c,
                              const struct kern *kern, uint32_t longest, size_t *products,
                              size_t *attention)
{
    bool seen[KINDS] = {false};
    *products = *attention = 0;
    for (uint32_t layer = 0; layer < num_min(c->n_layers, MODEL_LAYERS_MAX); layer++) {
        const uint32_t kind = arch_kind(c, layer);
        if (seen[kind]) continue;
        seen[kind] = true;
        const struct attention_shape shape = arch_attention(arch, c, kind);
        *products = num_max(*products, gemm_scratch(arch, c, kern, kind));
        *attention = num_max(
            *attention, attention_bytes(kern, (enum kern_precision)c->precision, &shape, longest));
    }
}

/* A document is one row, however long it is. */
static void lay_out_bag(struct work *w, struct arena *a, const struct model_config *c,
                        const struct kern *kern, const struct model_extent *e)
{
    w->own = arena_take_array(a, e->threads, sizeof *w->own, 64);
    for (uint32_t i = 0; i < e->threads; i++) {
        const struct work_own own = {
            .y = arena_take_array(a, c->hidden, sizeof(float), 64),
            .sum = arena_take_array(a, c->hidden, sizeof(double), 64),
            .attention_scratch = arena_take(a, ending_scratch_bytes(c, kern, 1), 64),
        };
        if (w->own) w->own[i] = own;
    }
}

/* The most inputs that a product has with those of tasks; 0: there are no tasks. */
static size_t inputs_with_tasks(const struct arch *arch, const struct model_config *c)
{
    size_t most = 0;
    for (int part = PARTS_ONCE; part < PARTS && c->n_tasks > 0; part++) {
        const struct arch_weight *w = arch_weight(arch, c, 0, (enum arch_part)part);
        if (w && w->task) most = num_max(most, arch_product(arch, c, 0, (enum arch_part)part).k);
    }
    return most;
}

static struct relative_work relative_layout(struct arena *a, const struct arch *arch,
                                            const struct model_config *c, uint32_t longest)
{
    const size_t n = arch->bias == ATTENTION_RELATIVE ? longest : 0;
    const size_t row = c->distances * sizeof(float);
    return (struct relative_work){
        .rows = arena_take_array(a, n, c->head_dim * sizeof(float), 64),
        .of_queries = arena_take_array(a, n, row, 64),
        .of_keys = arena_take_array(a, n, row, 64),
        .bucket = arena_take_array(a, n, 2 * sizeof(uint16_t), 64),
    };
}

void work_layout(struct work *w, struct arena *a, const struct arch *arch,
                 const struct model_config *c, const struct kern *kern,
                 const struct model_extent *e)
{
    if (arch->bag) {
        lay_out_bag(w, a, c, kern, e);
        return;
    }
    const size_t rows = num_max(e->tokens, e->longest), block = num_min(rows, WORK_BLOCK_ROWS);
    const size_t row_bytes = c->hidden * sizeof(float);
    const size_t queries = arch_most(c, SIZE_QUERIES), qkv = arch_most(c, SIZE_QKV);
    const size_t up = num_max(num_max(c->intermediate, c->hidden), num_max(queries, c->input));
    size_t products, attention;
    scratch_of_layers(arch, c, kern, e->longest, &products, &attention);
    /* of attention, and after the last layer of what follows it */
    attention = num_max(attention, ending_scratch_bytes(c, kern, 1));
    attention = num_max(attention, token_heads_scratch(c, kern, e->kinds, block));
    const size_t position = c->rope_theta > 0 ? sizeof(uint32_t) : 0;
    const size_t z_bytes =
        arch_uses(arch, ROWS_Z) ? num_max(c->hidden, c->input) * sizeof(float) : 0;
    const bool has_states = arch_uses(arch, ROWS_STATE);
    const bool makes_sparse = e->kinds >> MODEL_SPARSE & 1;
    const bool is_own = makes_sparse && c->sparse == MODEL_SPARSE_OWN;
    const bool is_sparse = makes_sparse && !is_own; /* of the vocabulary */
    const size_t n_own = is_own ? num_max(e->longest, 1) : 0;
    w->vocab_docs = vocab_documents(c, (uint32_t)num_min(rows, UINT32_MAX));
    w->x = arena_take_array(a, rows, row_bytes, 64);
    w->qkv = arena_take_array(a, rows, num_max(qkv, is_sparse ? c->hidden : 0) * sizeof(float), 64);
    w->vocab_rows = w->qkv;
    w->vocab_best =
        arena_take_array(a, is_sparse ? w->vocab_docs : 0, c->vocab * sizeof(float), 64);
    w->vocab_found = arena_take_array(a, is_sparse ? c->vocab : 0, sizeof(uint32_t), 64);
    w->taken = arena_take_array(a, e->kinds >> MODEL_MULTI & 1 ? rows : 0, sizeof(uint32_t), 64);
    w->weights = arena_take_array(a, is_own ? rows : 0, sizeof(float), 64);
    w->pairs = arena_take_array(a, n_own, sizeof(uint64_t), 64);
    w->found = arena_take_array(a, n_own, sizeof(uint32_t), 64);
    w->best = arena_take_array(a, n_own, sizeof(float), 64);
    w->context = arena_take_array(a, rows, queries * sizeof(float), 64);
    w->positions = arena_take_array(a, rows, position, 64);
    w->rope = arena_take_array(a, c->rope_trained > 0 ? rows : 0, c->head_dim * sizeof(float), 64);
    w->embedded = arena_take_array(a, arch_uses(arch, ROWS_EMBEDDED) ? rows : 0, row_bytes, 64);
    w->states =
        arena_take_array(a, has_states ? rows : 0, arch_size(c, 0, SIZE_STATE) * sizeof(float), 64);
    if (!has_states) w->states = w->x;
    w->own = arena_take_array(a, e->threads, sizeof *w->own, 64);
    for (uint32_t i = 0; i < e->threads; i++) {
        const struct work_own own = {
            .y = arena_take_array(a, block, row_bytes, 64),
            .z = arena_take_array(a, block, z_bytes, 64),
            .up = arena_take_array(a, block, up * sizeof(float), 64),
            .inputs = arena_take_array(a, block, inputs_with_tasks(arch, c) * sizeof(float), 64),
            .chosen = arena_take_array(a, c->n_experts > 0 ? block : 0, row_bytes, 64),
            .shares = arena_take_array(a, block, c->n_experts * sizeof(float), 64),
            .positions = arena_take_array(a, block, position, 64),
            .gemm_scratch = arena_take(a, products, 64),
            .attention_scratch = arena_take(a, attention, 64),
            .logits = arena_take_array(a, is_sparse ? block : 0, ARCH_SLICE * sizeof(float), 64),
            .relative = relative_layout(a, arch, c, e->longest),
        };
        if (w->own) w->own[i] = own;
    }
}

size_t model_workspace_bytes(const struct model_config *config, const struct kern *kern,
                             const struct model_extent *extent)
{
    const struct arch *arch = arch_named(config->family);
    struct arena a;
    struct work w;
    if (!arch) return SIZE_MAX;
    arena_count(&a);
    work_layout(&w, &a, arch, config, kern, extent);
    return arena_bytes(&a);
}
