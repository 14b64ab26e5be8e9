/* forward: a mapped model, and one pass through it (docs/MODEL.md, "Formulas").
 *
 * The pass's documents lie end to end; rows beyond the last token, up to the kernels' row step, are
 * zero where they enter and stay finite. Products and the row-wise operations between them run over
 * blocks of rows, so that what a block writes is still in the cache when it is read. */
#include "config.h"
#include "layout.h"
#include "model.h"
#include "work.h"

#include <math.h>
#include <string.h>

struct model {
    const struct kern *kern;
    struct model_config config;
    struct layout layout;
    const char *weights; /* the pack's section, borrowed */
    struct gemm *gemms[LAYOUT_GEMMS];
    uint32_t block; /* rows */
};

/* ---- opening ---- */

static vecmill_status read_config(const struct pack *pack, const struct kern *kern,
                                  struct layout_config *head, vecmill_err *err)
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
    if (strncmp(head->kern, kern_signature(kern), sizeof head->kern - 1) != 0) {
        return err_set(err, VECMILL_E_MODEL, "the pack was made for \"%s\", this is \"%s\"",
                       head->kern, kern_signature(kern));
    }
    VM_TRY(config_check(&head->model, "section \"" LAYOUT_CONFIG_SECTION "\"", err));
    if (head->model.max_length < 3 || head->model.max_length > head->model.max_positions) {
        return err_set(err, VECMILL_E_MODEL, "section \"%s\": a length of %u with %u positions",
                       LAYOUT_CONFIG_SECTION, head->model.max_length, head->model.max_positions);
    }
    return VECMILL_OK;
}

vecmill_status model_read_config(const struct pack *pack, const struct kern *kern,
                                 struct model_config *config, vecmill_err *err)
{
    struct layout_config head;
    VM_TRY(read_config(pack, kern, &head, err));
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

vecmill_status model_open(const struct pack *pack, const struct kern *kern, struct model **model,
                          vecmill_err *err)
{
    struct layout_config head;
    struct model *m = NULL;
    VM_TRY(read_config(pack, kern, &head, err));
    VM_TRY(mem_new(sizeof *m, "a model", (void **)&m, err));
    m->kern = kern;
    m->config = head.model;
    m->block = work_block_rows(kern);
    vecmill_status status = open_weights(m, pack, head.total, err);
    for (int i = 0; i < LAYOUT_GEMMS && status == VECMILL_OK; i++) {
        struct gemm_shape shape = layout_gemm_shape(&m->config, (enum layout_gemm)i);
        status = gemm_open(kern, shape, &m->gemms[i], err);
    }
    if (status != VECMILL_OK) {
        model_close(m);
        return status;
    }
    *model = m;
    return VECMILL_OK;
}

void model_close(struct model *model)
{
    if (!model) return;
    for (int i = 0; i < LAYOUT_GEMMS; i++) {
        gemm_close(model->gemms[i]);
    }
    mem_free(model);
}

const struct model_config *model_describe(const struct model *model)
{
    return &model->config;
}

/* ---- working memory ---- */

size_t model_gemm_scratch(const struct model *model)
{
    size_t scratch = 0;
    for (int i = 0; i < LAYOUT_GEMMS; i++)
        scratch = num_max(scratch, gemm_scratch_bytes(model->gemms[i]));
    return scratch;
}

/* ---- one pass ---- */

struct pass {
    struct model *model;
    struct work work;
    const int32_t *ids;
    const uint32_t *starts;
    uint32_t n_docs;
    uint32_t rows; /* tokens, rounded up to the row step */
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

/* y = act(x W + b) with the weights of a layer. */
static vecmill_status product(struct pass *p, uint32_t layer, enum layout_gemm gemm, const float *x,
                              float *y, uint32_t rows, vecmill_err *err)
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
    return gemm_run(m->gemms[gemm], of_layer(m, layer, parts[gemm].weight),
                    of_layer(m, layer, parts[gemm].bias), x, y, rows, p->work.gemm_scratch, err);
}

/* x = word + position + type, normalised; the rows that fill up are zero. */
static void embed(struct pass *p)
{
    const struct model *m = p->model;
    size_t h = m->config.hidden;
    for (uint32_t d = 0; d < p->n_docs; d++) {
        uint32_t begin = p->starts[d];
        m->kern->embed_norm(p->ids + begin, p->starts[d + 1] - begin, once(m, PART_WORD),
                            once(m, PART_POSITION), once(m, PART_TYPE), once(m, PART_EMBED_GAMMA),
                            once(m, PART_EMBED_BETA), m->config.eps, m->config.hidden,
                            p->work.x + begin * h);
    }
    size_t tokens = p->starts[p->n_docs], filler = (p->rows - tokens) * h * sizeof(float);
    memset(p->work.x + tokens * h, 0, filler);
    memset(p->work.context + tokens * h, 0, filler);
}

/* context = attention(x Wqkv) of every document. */
static vecmill_status attend(struct pass *p, uint32_t layer, vecmill_err *err)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    size_t h = c->hidden;
    VM_TRY(product(p, layer, GEMM_QKV, p->work.x, p->work.qkv, p->rows, err));
    for (uint32_t d = 0; d < p->n_docs; d++) {
        uint32_t begin = p->starts[d];
        m->kern->attention(p->work.qkv + 3 * h * begin, p->starts[d + 1] - begin, c->n_heads,
                           c->hidden / c->n_heads, p->work.context + begin * h,
                           p->work.attention_scratch);
    }
    return VECMILL_OK;
}

/* For a block of rows: x = norm(x + context Wout), then x = norm(x + gelu(x Wup) Wdown). */
static vecmill_status transform(struct pass *p, uint32_t layer, uint32_t first, uint32_t rows,
                                vecmill_err *err)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    float *x = p->work.x + (size_t)first * c->hidden, *y = p->work.y;
    const float *context = p->work.context + (size_t)first * c->hidden;
    VM_TRY(product(p, layer, GEMM_OUT, context, y, rows, err));
    m->kern->add_norm(x, y, of_layer(m, layer, PART_NORM1_GAMMA),
                      of_layer(m, layer, PART_NORM1_BETA), c->eps, rows, c->hidden);
    VM_TRY(product(p, layer, GEMM_UP, x, p->work.up, rows, err));
    VM_TRY(product(p, layer, GEMM_DOWN, p->work.up, y, rows, err));
    m->kern->add_norm(x, y, of_layer(m, layer, PART_NORM2_GAMMA),
                      of_layer(m, layer, PART_NORM2_BETA), c->eps, rows, c->hidden);
    return VECMILL_OK;
}

static vecmill_status pool(struct pass *p, float *vectors, vecmill_err *err)
{
    const struct model *m = p->model;
    uint32_t h = m->config.hidden;
    for (uint32_t d = 0; d < p->n_docs; d++) {
        uint32_t begin = p->starts[d];
        const float *x = p->work.x + (size_t)begin * h;
        float *v = vectors + (size_t)d * h;
        if (m->config.pooling == MODEL_POOL_CLS) {
            memcpy(v, x, h * sizeof(float));
        } else {
            m->kern->pool_mean(x, p->starts[d + 1] - begin, h, v);
        }
        if (m->config.normalize) m->kern->normalize(v, h);
        for (uint32_t i = 0; i < h; i++) {
            if (!isfinite(v[i])) {
                return err_set(err, VECMILL_E_MODEL,
                               "the weights overflow: element %u of a vector of %u is not finite",
                               i, h);
            }
        }
    }
    return VECMILL_OK;
}

static vecmill_status carve(struct model *m, void *memory, const struct model_extent *extent,
                            struct work *work, vecmill_err *err)
{
    const size_t asked = model_gemm_scratch(m);
    struct arena a;
    if (asked > extent->gemm_scratch) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "the products ask for %zu bytes of scratch, %zu were planned", asked,
                       extent->gemm_scratch);
    }
    arena_init(&a, memory, model_workspace_bytes(&m->config, m->kern, extent));
    work_layout(work, &a, &m->config, m->kern, extent);
    if (arena_ok(&a)) return VECMILL_OK;
    return err_set(err, VECMILL_E_INTERNAL, "a pass of %u tokens does not fit its workspace",
                   extent->tokens);
}

static vecmill_status encode(struct pass *p, uint32_t n_layers, vecmill_err *err)
{
    const struct model *m = p->model;
    embed(p);
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        VM_TRY(attend(p, layer, err));
        for (uint32_t first = 0; first < p->rows; first += m->block) {
            uint32_t rows = (uint32_t)num_min(m->block, p->rows - first);
            VM_TRY(transform(p, layer, first, rows, err));
        }
    }
    return VECMILL_OK;
}

vecmill_status model_forward(struct model *model, void *memory, const struct model_extent *extent,
                             const int32_t *ids, const uint32_t *starts, uint32_t n_docs,
                             float *vectors, vecmill_err *err)
{
    if (n_docs == 0) return VECMILL_OK;
    VM_TRY(check_pass(model, extent, ids, starts, n_docs, err));
    struct pass p = {.model = model,
                     .ids = ids,
                     .starts = starts,
                     .n_docs = n_docs,
                     .rows = (uint32_t)num_up(starts[n_docs], model->kern->row_step)};
    VM_TRY(carve(model, memory, extent, &p.work, err));
    VM_TRY(encode(&p, model->config.n_layers, err));
    return pool(&p, vectors, err);
}

/* Most rows of the smallest block at any level (gemm.h). */
#define WARM_TOKENS 16u
#define WARM_STEPS  5u

vecmill_status model_warm(struct model *model, void *memory, const struct model_extent *extent,
                          vecmill_err *err)
{
    static const int32_t ids[WARM_TOKENS] = {0};
    const uint32_t step = model->kern->row_step;
    const uint32_t n = (uint32_t)num_min(num_min(extent->longest, WARM_TOKENS), step);
    const uint32_t starts[2] = {0, n};
    struct pass p = {.model = model,
                     .ids = ids,
                     .starts = starts,
                     .n_docs = 1,
                     .rows = (uint32_t)num_up(n, step)};
    VM_TRY(carve(model, memory, extent, &p.work, err));
    VM_TRY(encode(&p, 1, err));
    (void)pool(&p, p.work.y, NULL); /* what it is of no text does not matter */
    /* Every row count, at the product that is the least work: a whole block is one of the largest, and five
     * steps are one of each other (gemm.h: 64 + 16, 48 + 12). */
    const uint32_t most = (uint32_t)num_up(num_max(extent->tokens, extent->longest), step);
    const uint32_t blocks[2] = {(uint32_t)num_min(model->block, most),
                                (uint32_t)num_min(WARM_STEPS * step, most)};
    for (int i = 0; i < 2; i++)
        VM_TRY(product(&p, 0, GEMM_OUT, p.work.context, p.work.y, blocks[i], err));
    return VECMILL_OK;
}

double model_flops(const struct model_config *config, uint32_t n)
{
    double h = config->hidden, inter = config->intermediate, tokens = n;
    double products = 2 * tokens * (3 * h * h + h * h + 2 * h * inter);
    double attention = 4 * tokens * tokens * h;
    return config->n_layers * (products + attention);
}
