/* forward: a mapped model, and one pass through it (docs/MODEL.md, "Formulas").
 *
 * The pass's documents are stored end to end. A pass interprets its family's steps (arch.h). It has
 * phases; each is a number of items that a team's threads share, and the next begins when all are
 * done:
 *   embed       a document: its rows of x
 *   begin       a block of rows: the steps of the embedding, and of the first layer before attention
 *   attend      a document, or some heads of one: context
 *   transform   a block of rows: the rest of a layer, and the next layer's steps before attention, so
 *               that what a block writes is still in the cache when it is read; after the last
 *               layer the final steps
 *   pool        a document: its vector
 * A model pooled by its first or last token needs one row of each document from the last layer:
 * there, keys and values are computed for all rows, and everything else for that row only. */
#include "config.h"
#include "ending.h"
#include "layout.h"
#include "model.h"
#include "work.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct model {
    const struct kern *kern;
    const struct arch *arch;
    struct model_config config;
    struct layout layout;
    const char *weights; /* the pack's section, borrowed */
    struct ending ending;
};

/* ---- opening ---- */

static vecmill_status read_config(const struct pack *pack, const struct kern *kern,
                                  enum kern_precision precision, struct layout_config *head,
                                  vecmill_err *err)
{
    const void *data;
    size_t bytes;
    VM_TRY(pack_find(pack, LAYOUT_CONFIG_SECTION, &data, &bytes, err));
    if (bytes != sizeof *head) {
        return err_set(err, VECMILL_E_MODEL, "section \"%s\" has %zu bytes, %zu expected",
                       LAYOUT_CONFIG_SECTION, bytes, sizeof *head);
    }
    VM_TRY(pack_verify(pack, LAYOUT_CONFIG_SECTION, err));
    memcpy(head, data, sizeof *head);
    if (head->version != LAYOUT_CONFIG_VERSION || head->bytes != sizeof *head) {
        return err_set(
            err, VECMILL_E_MODEL, "section \"%s\" has version %u of %u bytes, %u of %zu expected",
            LAYOUT_CONFIG_SECTION, head->version, head->bytes, LAYOUT_CONFIG_VERSION, sizeof *head);
    }
    head->kern[sizeof head->kern - 1] = '\0';
    if (strncmp(head->kern, kern_signature(kern, precision), sizeof head->kern - 1) != 0) {
        return err_set(err, VECMILL_E_MODEL, "the pack was made for \"%s\", this is \"%s\"",
                       head->kern, kern_signature(kern, precision));
    }
    VM_TRY(config_check(&head->model, "section \"" LAYOUT_CONFIG_SECTION "\"", err));
    VM_TRY(ending_check(&head->model, "section \"" LAYOUT_CONFIG_SECTION "\"", err));
    if (head->model.precision != (uint32_t)precision) {
        return err_set(err, VECMILL_E_MODEL, "section \"%s\": precision %u, not %u",
                       LAYOUT_CONFIG_SECTION, head->model.precision, (unsigned)precision);
    }
    if (head->model.max_length < 3 || head->model.max_length > head->model.max_positions) {
        return err_set(err, VECMILL_E_MODEL, "section \"%s\": a length of %u with %u positions",
                       LAYOUT_CONFIG_SECTION, head->model.max_length, head->model.max_positions);
    }
    return VECMILL_OK;
}

vecmill_status model_read_config(const struct pack *pack, const struct kern *kern,
                                 enum kern_precision precision, struct model_config *config,
                                 vecmill_err *err)
{
    struct layout_config head;
    VM_TRY(read_config(pack, kern, precision, &head, err));
    *config = head.model;
    return VECMILL_OK;
}

static vecmill_status open_weights(struct model *model, const struct pack *pack, uint64_t total,
                                   vecmill_err *err)
{
    const void *data;
    size_t bytes;
    VM_TRY(layout_make(model->arch, &model->config, model->kern, &model->layout, err));
    VM_TRY(pack_find(pack, LAYOUT_WEIGHTS_SECTION, &data, &bytes, err));
    if (bytes != model->layout.total || total != bytes) {
        return err_set(
            err, VECMILL_E_MODEL,
            "section \"%s\" has %zu bytes, its own count is %llu and the configuration's %zu",
            LAYOUT_WEIGHTS_SECTION, bytes, (unsigned long long)total, model->layout.total);
    }
    model->weights = (const char *)data;
    return VECMILL_OK;
}

vecmill_status model_open(const struct pack *pack, const struct kern *kern,
                          enum kern_precision precision, struct model **model, vecmill_err *err)
{
    struct layout_config head;
    struct model *m = NULL;
    VM_TRY(read_config(pack, kern, precision, &head, err));
    VM_TRY(mem_new(sizeof *m, "a model", (void **)&m, err));
    m->kern = kern;
    m->config = head.model;
    m->arch = arch_named(m->config.family);
    vecmill_status status = open_weights(m, pack, head.total, err);
    if (status == VECMILL_OK) status = ending_open(pack, kern, &m->config, &m->ending, err);
    if (status != VECMILL_OK) {
        model_close(m);
        return status;
    }
    *model = m;
    return VECMILL_OK;
}

void model_close(struct model *model)
{
    mem_free(model);
}

const struct model_config *model_describe(const struct model *model)
{
    return &model->config;
}

/* ---- one pass ---- */

struct pass {
    const struct model *model;
    struct work work;
    struct team *team;
    const int32_t *ids;
    const uint32_t *starts;
    uint32_t n_docs;
    float *vectors;

    /* of the phase */
    uint32_t layer;
    uint32_t rows; /* rows in blocks of `block` */
    uint32_t block;
    uint32_t head_parts; /* items that a document's heads are divided into */
};

/* A part that the model has; NULL: it has none, in this layer. */
static const void *find_part(const struct model *m, uint32_t layer, enum arch_part part)
{
    const size_t at = m->layout.at[part];
    if (at == LAYOUT_ABSENT) return NULL;
    if (part < PARTS_ONCE) return m->weights + at;
    if (layer == 0 && arch_weight(m->arch, &m->config, part)->not_first) return NULL;
    return m->weights + m->layout.first_layer + layer * m->layout.layer_bytes + at;
}

static vecmill_status check_pass(const struct model *m, const struct model_extent *extent,
                                 const int32_t *ids, const uint32_t *starts, uint32_t n_docs,
                                 vecmill_err *err)
{
    const uint32_t longest = extent->longest;
    if (longest > m->config.max_positions) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "documents of %u tokens, the model has %u positions", longest,
                       m->config.max_positions);
    }
    uint32_t most = extent->tokens > longest ? extent->tokens : longest;
    for (uint32_t d = 0; d < n_docs; d++) {
        uint32_t begin = starts[d], end = starts[d + 1];
        if (begin > end || end > most || end - begin < 1 || end - begin > longest ||
            (d == 0 && begin != 0)) {
            return err_set(
                err, VECMILL_E_INTERNAL,
                "document %u of a pass takes tokens %u to %u of %u, at most %u are planned", d,
                begin, end, most, longest);
        }
    }
    for (uint32_t i = 0; n_docs > 0 && i < starts[n_docs]; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= m->config.vocab) {
            return err_set(err, VECMILL_E_INTERNAL,
                           "token %u of a pass is %d, the vocabulary has %u", i, ids[i],
                           m->config.vocab);
        }
    }
    return VECMILL_OK;
}

/* The one row of a document that pooling needs of the last layer; all rows where it needs more, or
 * where queries cannot be left out of the product, since they do not fill whole panels. */
static enum ending_rows kept_rows(const struct model_config *c)
{
    const enum ending_rows rows = ending_rows(c);
    const bool is_one = rows == ENDING_ROWS_FIRST || rows == ENDING_ROWS_LAST;
    return is_one && arch_size(c, SIZE_QUERIES) % GEMM_PANEL == 0 ? rows : ENDING_ROWS_ALL;
}

static bool keeps_one(const struct pass *p, uint32_t layer)
{
    const struct model_config *c = &p->model->config;
    return layer + 1 == c->n_layers && kept_rows(c) != ENDING_ROWS_ALL;
}

/* Of document d, the token whose row is kept. */
static uint32_t kept_token(const struct pass *p, uint32_t d)
{
    return kept_rows(&p->model->config) == ENDING_ROWS_LAST ? p->starts[d + 1] - 1 : p->starts[d];
}

/* ---- steps ---- */

/* Rows that go through steps together. */
struct block {
    float *at[ROWS_KINDS];
    const uint32_t *positions; /* each row's row of its rotary table */
    uint32_t n, layer;
    bool queries, keys; /* which outputs of PART_QKV: both, or one of them in the last layer */
    size_t ld_qkv;      /* of ROWS_QKV */
    uint32_t thread;
};

static void product(const struct pass *p, const struct arch_step *step, const struct block *b)
{
    const struct model *m = p->model;
    const struct gemm_shape shape = arch_product(m->arch, &m->config, step->part);
    const uint32_t queries = m->config.n_heads * m->config.head_dim;
    uint32_t first = 0, end = shape.n;
    if (step->part == PART_QKV && !b->queries) first = queries;
    if (step->part == PART_QKV && !b->keys) end = queries;
    const struct gemm_call call = {
        .shape = shape,
        .packed = find_part(m, b->layer, step->part),
        .bias = find_part(m, b->layer, step->part + 1),
        .x = b->at[step->in],
        .y = b->at[step->out] + first,
        .ldy = step->part == PART_QKV ? b->ld_qkv : shape.n,
        .first = first,
        .columns = end - first,
        .rows = b->n,
        .scratch = p->work.own[b->thread].gemm_scratch,
    };
    gemm_run(m->kern, &call);
}

static void norm(const struct pass *p, const struct arch_step *step, const struct block *b)
{
    const struct model *m = p->model;
    const uint32_t h = m->config.hidden;
    const struct norm_call call = {
        .kind = m->arch->norm,
        .eps = m->config.eps,
        .gamma = find_part(m, b->layer, step->part),
        .beta = find_part(m, b->layer, step->part + 1),
        .x = b->at[step->in],
        .add = step->add ? b->at[step->add] : NULL,
        .out = b->at[step->out],
        .n = b->n,
        .h = h,
    };
    if (call.gamma)
        m->kern->norm(&call);
    else
        memcpy(call.out, call.x, (size_t)b->n * h * sizeof *call.x);
}

/* The norms of queries and keys: of a head each, or of all heads together. */
static void qk_norm(const struct pass *p, const struct block *b)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const size_t ld = b->ld_qkv, queries = (size_t)c->n_heads * c->head_dim;
    for (int k = 0; k < 2; k++) {
        const enum arch_part part = k == 0 ? PART_Q_NORM : PART_K_NORM;
        const uint32_t heads = k == 0 ? c->n_heads : c->n_kv_heads;
        const bool of_head = arch_weight(m->arch, c, part)->sources[0].rows == SIZE_HEAD;
        if (!(k == 0 ? b->queries : b->keys)) continue;
        struct norm_call call = {
            .kind = m->arch->norm,
            .eps = c->eps,
            .gamma = find_part(m, b->layer, part),
            .beta = find_part(m, b->layer, part + 1),
            .n = of_head ? heads : 1,
            .h = of_head ? c->head_dim : heads * c->head_dim,
        };
        for (uint32_t r = 0; r < b->n; r++) {
            call.x = call.out = b->at[ROWS_QKV] + r * ld + (k == 0 ? 0 : queries);
            m->kern->norm(&call);
        }
    }
}

static void rope(const struct pass *p, const struct block *b)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const bool is_local = c->local >> b->layer & 1;
    const float *table = is_local ? find_part(m, b->layer, PART_ROPE_LOCAL) : NULL;
    if (!table) table = find_part(m, b->layer, PART_ROPE);
    if (c->rope_trained > 0) table = p->work.rope;
    struct rope_call call = {
        .x = b->at[ROWS_QKV],
        .ld = b->ld_qkv,
        .n = b->n,
        .heads = c->n_heads,
        .d = c->head_dim,
        .rotary = c->head_dim,
        .table = table,
        .positions = b->positions,
    };
    if (b->queries) m->kern->rope(&call);
    call.x += (size_t)c->n_heads * c->head_dim;
    call.heads = c->n_kv_heads;
    if (b->keys) m->kern->rope(&call);
}

/* Runs steps to their end, or to attention; returns the step after it. */
static const struct arch_step *run_steps(const struct pass *p, const struct arch_step *step,
                                         const struct block *b)
{
    for (;; step++) {
        switch (step->op) {
        case OP_PRODUCT:
            product(p, step, b);
            break;
        case OP_NORM:
            norm(p, step, b);
            break;
        case OP_ADD:
            for (size_t i = 0; i < (size_t)b->n * p->model->config.hidden; i++)
                b->at[step->out][i] += b->at[step->in][i];
            break;
        case OP_QK_NORM:
            qk_norm(p, b);
            break;
        case OP_ROPE:
            rope(p, b);
            break;
        case OP_ATTEND:
        case OP_END:
            return step + 1;
        }
    }
}

/* The steps of a layer from attention on. */
static const struct arch_step *after_attention(const struct arch *arch)
{
    const struct arch_step *step = arch->layer;
    while (step->op != OP_ATTEND)
        step++;
    return step + 1;
}

/* ---- phases: items ---- */

/* The row of the position table that each token has; ids of padding have the one before the first. */
static const float *position_row(const struct pass *p, const float *table, int32_t id, uint32_t *n)
{
    const struct model_config *c = &p->model->config;
    const bool is_pad = c->first_position > 0 && (uint32_t)id == c->pad;
    const uint32_t row = is_pad ? c->first_position - 1 : c->first_position + (*n)++;
    return table + (size_t)row * c->hidden;
}

/* The rotary table's row of a document of n tokens, where its length counts. */
static void rope_row(const struct pass *p, uint32_t n, uint32_t position, float *row)
{
    const struct model_config *c = &p->model->config;
    const float *table = find_part(p->model, 0, PART_ROPE);
    if (n > c->rope_trained)
        arch_rope_row(c, c->rope_theta, n, position, row);
    else
        memcpy(row, table + (size_t)position * c->head_dim, c->head_dim * sizeof *row);
}

/* x = (word * scale + type) + position, in this order. */
static void embed(void *context, uint32_t d, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const enum kern_precision precision = (enum kern_precision)c->precision;
    const uint32_t begin = p->starts[d], n = p->starts[d + 1] - begin;
    const char *words = find_part(m, 0, PART_WORD);
    const float *types = find_part(m, 0, PART_TYPE), *table = find_part(m, 0, PART_POSITION);
    const size_t row_bytes = table_row_bytes(precision, c->hidden);
    uint32_t n_positions = 0;
    (void)thread;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t id = p->ids[begin + i];
        float *x = p->work.x + (size_t)(begin + i) * c->hidden;
        table_read(precision, words + (size_t)id * row_bytes, c->hidden, x);
        for (uint32_t k = 0; c->embed_scale != 1 && k < c->hidden; k++)
            x[k] *= c->embed_scale;
        for (uint32_t k = 0; types && k < c->hidden; k++)
            x[k] += types[k];
        const float *position = table ? position_row(p, table, id, &n_positions) : NULL;
        for (uint32_t k = 0; position && k < c->hidden; k++)
            x[k] += position[k];
        if (c->rope_theta > 0) p->work.positions[begin + i] = c->rope_trained > 0 ? begin + i : i;
        if (c->rope_trained > 0)
            rope_row(p, n, i, p->work.rope + (size_t)(begin + i) * c->head_dim);
    }
}

/* A block of the rows of x from `first` on. In a layer that keeps one row they are the kept ones. */
static struct block block_of(const struct pass *p, uint32_t first, uint32_t thread)
{
    const struct model_config *c = &p->model->config;
    const struct work_own *own = &p->work.own[thread];
    const size_t queries = (size_t)c->n_heads * c->head_dim;
    return (struct block){
        .at = {[ROWS_X] = p->work.x + (size_t)first * c->hidden,
               [ROWS_Y] = own->y,
               [ROWS_Z] = own->z,
               [ROWS_QKV] = p->work.qkv + first * (size_t)arch_size(c, SIZE_QKV),
               [ROWS_CONTEXT] = p->work.context + first * queries,
               [ROWS_UP] = own->up},
        .positions = c->rope_theta > 0 ? p->work.positions + first : NULL,
        .n = (uint32_t)num_min(p->block, p->rows - first),
        .layer = p->layer,
        .keys = true,
        .ld_qkv = arch_size(c, SIZE_QKV),
        .thread = thread,
    };
}

/* A layer's steps before attention. */
static void begin_layer(const struct pass *p, uint32_t layer, struct block *b)
{
    b->layer = layer;
    b->queries = !keeps_one(p, layer);
    run_steps(p, p->model->arch->layer, b);
}

static void begin(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    struct block b = block_of(p, item * p->block, thread);
    run_steps(p, p->model->arch->embed, &b);
    begin_layer(p, 0, &b);
}

/* The queries of kept rows, for a block of documents: their rows of x are gathered, and the queries
 * are written where all queries would be. */
static void query(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model_config *c = &p->model->config;
    const struct work_own *own = &p->work.own[thread];
    const uint32_t first = item * p->block, ld = arch_size(c, SIZE_QKV);
    const size_t queries = (size_t)c->n_heads * c->head_dim;
    struct block b = block_of(p, first, thread);
    b.at[ROWS_X] = own->y;
    b.at[ROWS_QKV] = own->up;
    b.ld_qkv = queries;
    b.positions = own->positions;
    b.queries = true;
    b.keys = false;
    for (uint32_t i = 0; i < b.n; i++) {
        const uint32_t token = kept_token(p, first + i);
        memcpy(own->y + (size_t)i * c->hidden, p->work.x + (size_t)token * c->hidden,
               c->hidden * sizeof(float));
        if (c->rope_theta > 0) own->positions[i] = p->work.positions[token];
    }
    run_steps(p, p->model->arch->layer, &b);
    for (uint32_t i = 0; i < b.n; i++)
        memcpy(p->work.qkv + (size_t)kept_token(p, first + i) * ld, own->up + i * queries,
               queries * sizeof(float));
}

/* context = attention of a document, or of a part of its heads; of kept rows in rows 0 .. n_docs. */
static void attend(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t d = item / p->head_parts, part = item % p->head_parts;
    const uint32_t begin = p->starts[d], len = p->starts[d + 1] - begin;
    const uint32_t group = c->n_heads / c->n_kv_heads;
    const uint32_t first = c->n_kv_heads * part / p->head_parts * group;
    const uint32_t end = c->n_kv_heads * (part + 1) / p->head_parts * group;
    const bool one = keeps_one(p, p->layer);
    const uint32_t token = one ? kept_token(p, d) : begin;
    const size_t queries = (size_t)c->n_heads * c->head_dim, ld = arch_size(c, SIZE_QKV);
    const float *k = p->work.qkv + begin * ld + queries;
    const struct attention_call call = {
        .shape = arch_attention(m->arch, c, p->layer),
        .q = p->work.qkv + token * ld,
        .k = k,
        .v = k + (size_t)c->n_kv_heads * c->head_dim,
        .ld_q = ld,
        .ld_kv = ld,
        .bias = find_part(m, 0, PART_DISTANCE),
        .ctx = p->work.context + (one ? d : begin) * queries,
        .ld_ctx = queries,
        .len = len,
        .first_query = token - begin,
        .n_queries = one ? 1 : len,
        .first_head = first,
        .n_heads = end - first,
        .scratch = p->work.own[thread].attention_scratch,
    };
    attention_run(m->kern, (enum kern_precision)c->precision, &call);
}

/* The rest of a layer, and what follows it. */
static void transform(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct arch *arch = p->model->arch;
    struct block b = block_of(p, item * p->block, thread);
    run_steps(p, after_attention(arch), &b);
    if (p->layer + 1 < p->model->config.n_layers)
        begin_layer(p, p->layer + 1, &b);
    else
        run_steps(p, arch->final, &b);
}

static void pool(void *context, uint32_t d, uint32_t thread)
{
    const struct pass *p = context;
    const struct model_config *c = &p->model->config;
    const bool one = kept_rows(c) != ENDING_ROWS_ALL;
    const uint32_t begin = one ? d : p->starts[d], n = one ? 1 : p->starts[d + 1] - begin;
    ending_run(&p->model->ending, p->work.x + (size_t)begin * c->hidden, n,
               p->work.own[thread].attention_scratch, p->vectors + (size_t)d * c->dim);
}

/* ---- phases: their order ---- */

static_assert(WORK_BLOCK_ROWS % GEMM_TILE_ROWS == 0, "a block in whole tiles would be over it");

/* Divides rows into blocks, as many for each thread and as equal as whole tiles of a product allow;
 * returns their number. Small blocks cost only a little speed: products are at full speed from about
 * 16 rows on. */
static uint32_t divide_rows(struct pass *p, uint32_t rows)
{
    const size_t n_blocks =
        num_up((rows + WORK_BLOCK_ROWS - 1) / WORK_BLOCK_ROWS, team_size(p->team));
    const size_t share = (rows + n_blocks - 1) / n_blocks;
    p->rows = rows;
    p->block = (uint32_t)num_up(share, GEMM_TILE_ROWS);
    return (rows + p->block - 1) / p->block;
}

/* The last layer goes on with one row of each document: moves it to rows 0 .. n_docs of x. */
static void keep_rows(struct pass *p)
{
    const size_t h = p->model->config.hidden;
    for (uint32_t d = 0; d < p->n_docs; d++)
        memmove(p->work.x + d * h, p->work.x + kept_token(p, d) * h, h * sizeof *p->work.x);
}

static vecmill_status check_vectors(const struct pass *p, vecmill_err *err)
{
    const uint32_t dim = p->model->config.dim;
    for (size_t i = 0; i < (size_t)p->n_docs * dim; i++) {
        if (!isfinite(p->vectors[i])) {
            return err_set(err, VECMILL_E_MODEL,
                           "the weights overflow: element %u of a vector of %u is not finite",
                           (unsigned)(i % dim), dim);
        }
    }
    return VECMILL_OK;
}

vecmill_status model_forward(const struct model *model, void *memory,
                             const struct model_extent *extent, struct team *team,
                             const int32_t *ids, const uint32_t *starts, uint32_t n_docs,
                             float *vectors, vecmill_err *err)
{
    struct arena a;
    struct pass p = {
        .model = model,
        .team = team,
        .ids = ids,
        .starts = starts,
        .n_docs = n_docs,
        .vectors = vectors,
    };
    if (n_docs == 0) return VECMILL_OK;
    assert(team_size(team) <= extent->threads);
    VM_TRY(check_pass(model, extent, ids, starts, n_docs, err));
    arena_init(&a, memory, model_workspace_bytes(&model->config, model->kern, extent));
    work_layout(&p.work, &a, model->arch, &model->config, model->kern, extent);
    if (!arena_ok(&a)) {
        return err_set(err, VECMILL_E_INTERNAL, "a pass of %u tokens does not fit its workspace",
                       extent->tokens);
    }
    const uint32_t tokens = starts[n_docs], n_threads = team_size(team);
    const uint32_t n_layers = model->config.n_layers, n_kv_heads = model->config.n_kv_heads;
    /* With enough documents for all threads each is one item: its keys are packed by one thread. */
    p.head_parts = n_threads == 1 || n_docs >= 4 * n_threads
                       ? 1
                       : (uint32_t)num_min(n_kv_heads, (size_t)2 * n_threads);
    team_run(team, embed, &p, n_docs);
    team_run(team, begin, &p, divide_rows(&p, tokens));
    for (p.layer = 0; p.layer < n_layers; p.layer++) {
        const bool keeps = keeps_one(&p, p.layer);
        if (keeps) team_run(team, query, &p, divide_rows(&p, n_docs));
        team_run(team, attend, &p, n_docs * p.head_parts);
        if (keeps) keep_rows(&p);
        team_run(team, transform, &p, divide_rows(&p, keeps ? n_docs : tokens));
    }
    team_run(team, pool, &p, n_docs);
    return check_vectors(&p, err);
}

/* Pairs of a query and a key that it sees, of n tokens. */
static double seen_pairs(const struct attention_shape *shape, double n)
{
    const double w = shape->window < n ? shape->window : n - 1;
    return shape->causal ? n * (w + 1) - w * (w + 1) / 2 : n * (2 * w + 1) - w * (w + 1);
}

/* Keys that the query at `row` sees, of n tokens. */
static double seen_keys(const struct attention_shape *shape, uint32_t n, uint32_t row)
{
    const size_t after = shape->causal ? 0 : num_min(n - 1 - row, shape->window);
    return (double)(num_min(row, shape->window) + 1 + after);
}

/* Operations of a row in a layer's products; of PART_QKV in outputs of it. */
struct row_flops {
    double queries, keys, rest;
};

static struct row_flops flops_of_row(const struct arch *arch, const struct model_config *c)
{
    struct row_flops row = {0};
    for (const struct arch_step *step = arch->layer; step->op != OP_END; step++) {
        if (step->op != OP_PRODUCT) continue;
        const struct gemm_shape shape = arch_product(arch, c, step->part);
        const double one = 2.0 * shape.k, queries = (double)c->n_heads * c->head_dim;
        if (step->part == PART_QKV) {
            row.queries = one * queries;
            row.keys = one * (shape.n - queries);
        } else {
            row.rest += one * shape.n * (shape.gated ? 2 : 1);
        }
    }
    return row;
}

double model_flops(const struct model_config *config, uint32_t n)
{
    const struct arch *arch = arch_named(config->family);
    if (!arch || n == 0) return 0;
    const struct row_flops row = flops_of_row(arch, config);
    const double pair = 4.0 * config->n_heads * config->head_dim;
    const enum ending_rows kept = kept_rows(config);
    double flops = ending_flops(config);
    for (uint32_t layer = 0; layer < config->n_layers; layer++) {
        const struct attention_shape shape = arch_attention(arch, config, layer);
        const bool one = layer + 1 == config->n_layers && kept != ENDING_ROWS_ALL;
        const double rows = one ? 1 : n;
        const double pairs = one ? seen_keys(&shape, n, kept == ENDING_ROWS_LAST ? n - 1 : 0)
                                 : seen_pairs(&shape, n);
        flops += n * row.keys + rows * (row.queries + row.rest) + pair * pairs;
    }
    return flops;
}
