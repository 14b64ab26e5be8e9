/* forward: a mapped model, and one pass through it (docs/MODEL.md, "Formulas").
 *
 * The pass's documents are stored end to end. A pass has phases. Each is a number of items that a
 * team's threads share, and the next begins when all are done:
 *   embed       a document: its rows of x, then blocks of rows: queries, keys and values of the
 *               first layer
 *   attend      a document, or some heads of one: context
 *   transform   a block of rows: the rest of a layer, and queries, keys and values of the next, so
 *               that what a block writes is still in the cache when it is read
 *   pool        a document: its vector
 * A model pooled by its first token needs one row of each document from the last layer: there, keys
 * and values are computed for all rows, and everything else for that row only. */
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
    VM_TRY(layout_make(&model->config, model->kern, &model->layout, err));
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

static const float *once(const struct model *m, enum layout_part part)
{
    return (const float *)(const void *)(m->weights + m->layout.at[part]);
}

static const float *of_layer(const struct model *m, uint32_t layer, enum layout_part part)
{
    const char *first = m->weights + m->layout.first_layer + layer * m->layout.layer_bytes;
    return (const float *)(const void *)(first + m->layout.at[part]);
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

/* Whether the last layer is computed for each document's first row only. Queries can be left out of
 * the product where they fill whole panels. */
static bool ends_in_first_rows(const struct model_config *c)
{
    return ending_rows(c) == ENDING_ROWS_FIRST && c->hidden % GEMM_PANEL == 0;
}

static bool is_first_rows(const struct pass *p, uint32_t layer)
{
    const struct model_config *c = &p->model->config;
    return layer + 1 == c->n_layers && ends_in_first_rows(c);
}

/* Outputs [first, first + columns) of act(x W + b), with a layer's weights. */
struct range {
    uint32_t first, columns;
};

static void product(const struct pass *p, uint32_t layer, enum layout_gemm gemm, struct range range,
                    const float *x, float *y, size_t ldy, uint32_t rows, uint32_t thread)
{
    static const struct {
        enum layout_part weight, bias;
    } parts[LAYOUT_GEMMS] = {
        [GEMM_QKV] = {PART_QKV_WEIGHT, PART_QKV_BIAS},
        [GEMM_OUT] = {PART_OUT_WEIGHT, PART_OUT_BIAS},
        [GEMM_UP] = {PART_UP_WEIGHT, PART_UP_BIAS},
        [GEMM_DOWN] = {PART_DOWN_WEIGHT, PART_DOWN_BIAS},
    };
    const struct model *m = p->model;
    const struct gemm_call call = {
        .shape = layout_gemm_shape(&m->config, gemm),
        .packed = of_layer(m, layer, parts[gemm].weight),
        .bias = of_layer(m, layer, parts[gemm].bias),
        .x = x,
        .y = y,
        .ldy = ldy,
        .first = range.first,
        .columns = range.columns,
        .rows = rows,
        .scratch = p->work.own[thread].gemm_scratch,
    };
    gemm_run(m->kern, &call);
}

/* All outputs, in dense rows. */
static void whole(const struct pass *p, uint32_t layer, enum layout_gemm gemm, const float *x,
                  float *y, uint32_t rows, uint32_t thread)
{
    const uint32_t n = layout_gemm_shape(&p->model->config, gemm).n;
    product(p, layer, gemm, (struct range){0, n}, x, y, n, rows, thread);
}

/* Queries, keys and values of a layer for a block of rows of x; without queries where only first
 * rows count. */
static void project(const struct pass *p, uint32_t layer, uint32_t first, uint32_t rows,
                    uint32_t thread)
{
    const uint32_t h = p->model->config.hidden;
    const struct range range =
        is_first_rows(p, layer) ? (struct range){h, 2 * h} : (struct range){0, 3 * h};
    product(p, layer, GEMM_QKV, range, p->work.x + (size_t)first * h,
            p->work.qkv + (size_t)first * 3 * h + range.first, 3 * (size_t)h, rows, thread);
}

/* x = norm(x + add); add may be NULL. */
static void normalise(const struct model *m, const float *gamma, const float *beta,
                      const float *add, float *x, uint32_t n)
{
    const struct norm_call call = {
        .kind = NORM_LAYER,
        .eps = m->config.eps,
        .gamma = gamma,
        .beta = beta,
        .x = x,
        .add = add,
        .out = x,
        .n = n,
        .h = m->config.hidden,
    };
    m->kern->norm(&call);
}

/* ---- phases: items ---- */

/* x[i] = (word[ids[i]] + type) + position[i], in this order. */
static void add_embeddings(const struct pass *p, const int32_t *ids, uint32_t n, float *x)
{
    const struct model *m = p->model;
    const size_t h = m->config.hidden;
    const enum kern_precision precision = (enum kern_precision)m->config.precision;
    const char *words = (const char *)(const void *)once(m, PART_WORD);
    const float *type = once(m, PART_TYPE), *position = once(m, PART_POSITION);
    for (uint32_t i = 0; i < n; i++, x += h, position += h) {
        table_read(precision, words + (size_t)ids[i] * table_row_bytes(precision, m->config.hidden),
                   m->config.hidden, x);
        for (size_t c = 0; c < h; c++)
            x[c] = x[c] + type[c] + position[c];
    }
}

/* x = word + position + type, normalised. */
static void embed(void *context, uint32_t d, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t begin = p->starts[d], n = p->starts[d + 1] - begin;
    float *x = p->work.x + (size_t)begin * c->hidden;
    (void)thread;
    add_embeddings(p, p->ids + begin, n, x);
    normalise(m, once(m, PART_EMBED_GAMMA), once(m, PART_EMBED_BETA), NULL, x, n);
}

static void project_block(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const uint32_t first = item * p->block;
    project(p, p->layer, first, (uint32_t)num_min(p->block, p->rows - first), thread);
}

/* The queries of first rows, for a block of documents. */
static void query_block(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const uint32_t h = p->model->config.hidden, first = item * p->block;
    const uint32_t n = (uint32_t)num_min(p->block, p->n_docs - first);
    float *x = p->work.own[thread].y, *q = p->work.own[thread].up;
    for (uint32_t i = 0; i < n; i++)
        memcpy(x + (size_t)i * h, p->work.x + (size_t)p->starts[first + i] * h, h * sizeof *x);
    product(p, p->layer, GEMM_QKV, (struct range){0, h}, x, q, h, n, thread);
    for (uint32_t i = 0; i < n; i++)
        memcpy(p->work.qkv + (size_t)p->starts[first + i] * 3 * h, q + (size_t)i * h,
               h * sizeof *q);
}

/* context = attention of a document, or of a part of its heads; of first rows in rows 0 .. n_docs. */
static void attend(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model_config *c = &p->model->config;
    const uint32_t d = item / p->head_parts, part = item % p->head_parts;
    const uint32_t begin = p->starts[d], len = p->starts[d + 1] - begin;
    const uint32_t first = c->n_heads * part / p->head_parts;
    const uint32_t end = c->n_heads * (part + 1) / p->head_parts;
    const bool one = is_first_rows(p, p->layer);
    const float *qkv = p->work.qkv + (size_t)begin * 3 * c->hidden;
    const struct attention_call call = {
        .shape = layout_attention_shape(c),
        .q = qkv,
        .k = qkv + c->hidden,
        .v = qkv + 2 * (size_t)c->hidden,
        .ld_q = 3 * (size_t)c->hidden,
        .ld_kv = 3 * (size_t)c->hidden,
        .ctx = p->work.context + (size_t)(one ? d : begin) * c->hidden,
        .ld_ctx = c->hidden,
        .len = len,
        .n_queries = one ? 1 : len,
        .first_head = first,
        .n_heads = end - first,
        .scratch = p->work.own[thread].attention_scratch,
    };
    attention_run(p->model->kern, (enum kern_precision)c->precision, &call);
}

/* x = norm(x + context Wout), then x = norm(x + gelu(x Wup) Wdown); and the next layer's projection. */
static void transform(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t layer = p->layer, first = item * p->block;
    const uint32_t rows = (uint32_t)num_min(p->block, p->rows - first);
    float *x = p->work.x + (size_t)first * c->hidden, *y = p->work.own[thread].y;
    float *up = p->work.own[thread].up;
    whole(p, layer, GEMM_OUT, p->work.context + (size_t)first * c->hidden, y, rows, thread);
    normalise(m, of_layer(m, layer, PART_NORM1_GAMMA), of_layer(m, layer, PART_NORM1_BETA), y, x,
              rows);
    whole(p, layer, GEMM_UP, x, up, rows, thread);
    whole(p, layer, GEMM_DOWN, up, y, rows, thread);
    normalise(m, of_layer(m, layer, PART_NORM2_GAMMA), of_layer(m, layer, PART_NORM2_BETA), y, x,
              rows);
    if (layer + 1 < c->n_layers) project(p, layer + 1, first, rows, thread);
}

static void pool(void *context, uint32_t d, uint32_t thread)
{
    const struct pass *p = context;
    const struct model_config *c = &p->model->config;
    const bool one = ends_in_first_rows(c);
    const uint32_t begin = one ? d : p->starts[d], n = one ? 1 : p->starts[d + 1] - begin;
    ending_run(&p->model->ending, p->work.x + (size_t)begin * c->hidden, n,
               p->work.own[thread].attention_scratch, p->vectors + (size_t)d * c->dim);
}

/* ---- phases: their order ---- */

static_assert(WORK_BLOCK_ROWS % GEMM_TILE_ROWS == 0, "a block in whole tiles would be over it");

/* Divides rows into blocks, as many for each thread and as equal as whole tiles of a product allow.
 * Small blocks cost only a little speed: products are at full speed from about 16 rows on. */
static void in_blocks(struct pass *p, uint32_t rows, void (*item)(void *, uint32_t, uint32_t))
{
    const size_t n_blocks =
        num_up((rows + WORK_BLOCK_ROWS - 1) / WORK_BLOCK_ROWS, team_size(p->team));
    const size_t share = (rows + n_blocks - 1) / n_blocks;
    p->rows = rows;
    p->block = (uint32_t)num_up(share, GEMM_TILE_ROWS);
    team_run(p->team, item, p, (rows + p->block - 1) / p->block);
}

/* The last layer goes on with each document's first row only: moves it to rows 0 .. n_docs of x. */
static void keep_first_rows(struct pass *p)
{
    const size_t h = p->model->config.hidden;
    for (uint32_t d = 1; d < p->n_docs; d++)
        memmove(p->work.x + d * h, p->work.x + p->starts[d] * h, h * sizeof *p->work.x);
}

static void encode(struct pass *p)
{
    const struct model_config *c = &p->model->config;
    const uint32_t tokens = p->starts[p->n_docs];
    const uint32_t n = team_size(p->team);
    /* With enough documents for all threads each is one item: its keys are packed by one thread. */
    p->head_parts = n == 1 || p->n_docs >= 4 * n ? 1 : (uint32_t)num_min(c->n_heads, (size_t)2 * n);
    team_run(p->team, embed, p, p->n_docs);
    in_blocks(p, tokens, project_block);
    for (p->layer = 0; p->layer < c->n_layers; p->layer++) {
        const bool first_rows = is_first_rows(p, p->layer);
        if (first_rows) in_blocks(p, p->n_docs, query_block);
        team_run(p->team, attend, p, p->n_docs * p->head_parts);
        if (first_rows) keep_first_rows(p);
        in_blocks(p, first_rows ? p->n_docs : tokens, transform);
    }
    team_run(p->team, pool, p, p->n_docs);
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
    work_layout(&p.work, &a, &model->config, model->kern, extent);
    if (!arena_ok(&a)) {
        return err_set(err, VECMILL_E_INTERNAL, "a pass of %u tokens does not fit its workspace",
                       extent->tokens);
    }
    encode(&p);
    return check_vectors(&p, err);
}

double model_flops(const struct model_config *config, uint32_t n)
{
    const double h = config->hidden, inter = config->intermediate, tokens = n;
    const double row = 2 * (h * h + 2 * h * inter); /* output, up, down */
    const double layer = tokens * (6 * h * h + row + 4 * tokens * h);
    if (!ends_in_first_rows(config)) return config->n_layers * layer + ending_flops(config);
    const double last = tokens * 4 * h * h + 2 * h * h + 4 * tokens * h + row;
    return (config->n_layers - 1) * layer + last + ending_flops(config);
}
