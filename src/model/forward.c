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
 *   vocab.h     a block of rows, then a slice of the vocabulary: weights of its tokens
 *   token_heads.h  a block of rows: each token's own results
 * A bag has one phase, whose items are documents.
 * A model pooled by its first or last token needs one row of each document from the last layer:
 * there, keys and values are computed for all rows, and everything else for that row only. */
#include "experts.h"
#include "pass.h"
#include "question.h"
#include "relative.h"
#include "token_heads.h"
#include "vocab.h"

#include <assert.h>
#include <math.h>
#include <string.h>

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
    const uint32_t least = arch_named(head->model.family)->bag ? 1 : 3;
    if (head->model.max_length < least || head->model.max_length > head->model.max_positions) {
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

static bool is_word(const struct model_word *word)
{
    return word->use < MODEL_WORD_USES && word->text[0] != '\0' &&
           memchr(word->text, '\0', sizeof word->text);
}

vecmill_status model_read_words(const struct pack *pack, struct model_words *words,
                                vecmill_err *err)
{
    const void *data;
    size_t bytes;
    *words = (struct model_words){0};
    bool has = false;
    for (uint32_t i = 0; i < pack->n_sections; i++)
        has = has || strcmp(pack->sections[i].name, LAYOUT_WORDS_SECTION) == 0;
    if (!has) return VECMILL_OK;
    VM_TRY(pack_find(pack, LAYOUT_WORDS_SECTION, &data, &bytes, err));
    if (bytes != sizeof *words)
        return err_set(err, VECMILL_E_MODEL, "section \"%s\" has %zu bytes, %zu expected",
                       LAYOUT_WORDS_SECTION, bytes, sizeof *words);
    VM_TRY(pack_verify(pack, LAYOUT_WORDS_SECTION, err));
    memcpy(words, data, sizeof *words);
    for (uint32_t i = 0; i < words->n; i++) {
        if (words->n <= MODEL_WORDS_MAX && is_word(&words->at[i])) continue;
        return err_set(err, VECMILL_E_MODEL, "section \"%s\": word %u of %u, at most %u, is none",
                       LAYOUT_WORDS_SECTION, i, words->n, MODEL_WORDS_MAX);
    }
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
    if (!arch_weight(model->arch, &model->config, 0, PART_VOCAB)) return VECMILL_OK;
    VM_TRY(gemm_packed_bytes(model->kern, arch_slice(model->arch, &model->config, PART_VOCAB, 0),
                             &model->slice_bytes, err));
    model->slice_bytes = num_up(model->slice_bytes, LAYOUT_ALIGN);
    return VECMILL_OK;
}

static vecmill_status open_endings(struct model *m, const struct pack *pack, vecmill_err *err)
{
    ending_view(&m->config, ENDING_MULTI, &m->views[0]);
    ending_view(&m->config, ENDING_WEIGHT, &m->views[1]);
    VM_TRY(ending_open(pack, m->kern, ENDING_VECTOR, &m->config, &m->ending, err));
    VM_TRY(ending_open(pack, m->kern, ENDING_MULTI, &m->views[0], &m->multi, err));
    return ending_open(pack, m->kern, ENDING_WEIGHT, &m->views[1], &m->weight, err);
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
    if (status == VECMILL_OK) status = open_endings(m, pack, err);
    if (status == VECMILL_OK) status = question_open(pack, &m->config, &m->question, err);
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

const void *model_part(const struct model *m, uint32_t layer, enum arch_part part)
{
    const uint32_t kind = part < PARTS_ONCE ? 0 : arch_kind(&m->config, layer);
    const size_t at = m->layout.at[kind][part];
    if (at == LAYOUT_ABSENT) return NULL;
    if (part < PARTS_ONCE) return m->weights + at;
    if (layer == 0 && arch_weight(m->arch, &m->config, kind, part)->not_first) return NULL;
    return m->weights + m->layout.layers[layer] + at;
}

/* Tokens that are no keys: of a model that was made for them. */
static vecmill_status check_attended(const struct model *m, const struct model_input *in,
                                     vecmill_err *err)
{
    const struct model_config *c = &m->config;
    if (!in->attended) return VECMILL_OK;
    if (c->expands_to == 0 || c->expands & MODEL_EXPAND_ATTENDED)
        return err_set(err, VECMILL_E_INTERNAL, "all tokens of this model are attended");
    for (uint32_t d = 0; d < in->n_docs; d++) {
        const uint32_t n = in->starts[d + 1] - in->starts[d], k = in->attended[d];
        if (k >= 1 && k <= n && (k == n || n <= c->expands_to)) continue;
        return err_set(err, VECMILL_E_INTERNAL,
                       "document %u of a pass has %u tokens, of which %u are attended", d, n, k);
    }
    return VECMILL_OK;
}

static vecmill_status check_pass(const struct model *m, const struct model_extent *extent,
                                 uint32_t kinds, const struct model_input *in,
                                 const struct model_output *out, vecmill_err *err)
{
    const uint32_t longest = extent->longest, *starts = in->starts;
    /* the vector that a pass makes may be of scores */
    const uint32_t made = m->config.kinds | (m->config.kinds >> MODEL_SCORE & 1) << MODEL_DENSE;
    if ((kinds & ~made) != 0)
        return err_set(err, VECMILL_E_INTERNAL, "kinds %#x of a pass, the model has %#x", kinds,
                       m->config.kinds);
    if (kinds >> MODEL_MULTI & 1 && kinds >> MODEL_TOKENS & 1)
        return err_set(err, VECMILL_E_INTERNAL, "a pass of two kinds of rows");
    if (kinds >> MODEL_SPARSE & 1 && !out->sparse)
        return err_set(err, VECMILL_E_INTERNAL, "a pass has nobody to give its sparse weights to");
    if (extent->task > m->config.n_tasks) {
        return err_set(err, VECMILL_E_INTERNAL, "task %u of a pass, the model has %u", extent->task,
                       m->config.n_tasks);
    }
    if (longest > m->config.max_positions) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "documents of %u tokens, the model has %u positions", longest,
                       m->config.max_positions);
    }
    VM_TRY(check_attended(m, in, err));
    const uint32_t least = m->arch->bag ? 0 : 1;
    uint32_t most = extent->tokens > longest ? extent->tokens : longest;
    for (uint32_t d = 0; d < in->n_docs; d++) {
        uint32_t begin = starts[d], end = starts[d + 1];
        if (begin > end || end > most || end - begin < least || end - begin > longest ||
            (d == 0 && begin != 0)) {
            return err_set(
                err, VECMILL_E_INTERNAL,
                "document %u of a pass takes tokens %u to %u of %u, at most %u are planned", d,
                begin, end, most, longest);
        }
    }
    for (uint32_t i = 0; in->n_docs > 0 && i < starts[in->n_docs]; i++) {
        if (in->ids[i] < 0 || (uint32_t)in->ids[i] >= m->config.vocab) {
            return err_set(err, VECMILL_E_INTERNAL,
                           "token %u of a pass is %d, the vocabulary has %u", i, in->ids[i],
                           m->config.vocab);
        }
        if (in->types && in->types[i] >= m->config.types) {
            return err_set(err, VECMILL_E_INTERNAL, "token %u of a pass has type %u, there are %u",
                           i, in->types[i], m->config.types);
        }
    }
    return VECMILL_OK;
}

#define DENSE (1u << MODEL_DENSE)
/* What an ending makes of pooled rows. */
#define POOLED (DENSE | 1u << MODEL_SCORE)

/* The one row of a document that pooling needs of the last layer; all rows where it needs more, or
 * where queries cannot be left out of the product, since they do not fill whole panels. */
static enum ending_rows kept_rows(const struct model_config *c, uint32_t kinds)
{
    const enum ending_rows rows = (kinds & ~POOLED) == 0 ? ending_rows(c) : ENDING_ROWS_ALL;
    const bool is_one = rows == ENDING_ROWS_FIRST || rows == ENDING_ROWS_LAST;
    const uint32_t last = arch_kind(c, c->n_layers - 1);
    return is_one && arch_size(c, last, SIZE_QUERIES) % GEMM_PANEL == 0 ? rows : ENDING_ROWS_ALL;
}

static bool keeps_one(const struct pass *p, uint32_t layer)
{
    const struct model_config *c = &p->model->config;
    return layer + 1 == c->n_layers && kept_rows(c, p->kinds) != ENDING_ROWS_ALL;
}

/* Rows of document d that poolings leave out: the last one counts always. */
static uint32_t skipped(const struct pass *p, uint32_t d)
{
    return (uint32_t)num_min(p->skip, p->in.starts[d + 1] - p->in.starts[d] - 1);
}

/* Of document d, the token whose row is kept. */
static uint32_t kept_token(const struct pass *p, uint32_t d)
{
    const bool is_last = kept_rows(&p->model->config, p->kinds) == ENDING_ROWS_LAST;
    return is_last ? p->in.starts[d + 1] - 1 : p->in.starts[d] + skipped(p, d);
}

/* The steps of a layer from attention on. */
static const struct arch_step *after_attention(const struct arch *arch, uint32_t kind)
{
    const struct arch_step *step = arch_steps(arch, kind);
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
    const float *table = model_part(p->model, 0, PART_ROPE);
    if (n > c->rope_trained)
        arch_rope_row(c, c->rope_theta, c->head_dim, n, position, row);
    else
        memcpy(row, table + (size_t)position * c->head_dim, c->head_dim * sizeof *row);
}

/* x = x + what the pass's task adds to a word and to type 0. */
static void add_task(const struct pass *p, int32_t id, float *x)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const size_t task = p->task - 1, rank = c->task_rank, h = c->hidden;
    const float *words = model_part(m, 0, PART_WORD_TASKS);
    const float *out = model_part(m, 0, PART_WORD_TASKS_OUT);
    const float *types = model_part(m, 0, PART_TYPE_TASKS);
    for (size_t i = 0; words && out && i < rank; i++) {
        const float share = words[(task * c->vocab + (size_t)id) * rank + i] * c->task_scale;
        for (size_t k = 0; k < h; k++)
            x[k] += share * out[(task * rank + i) * h + k];
    }
    for (size_t k = 0; types && k < h; k++)
        x[k] += types[task * h + k];
}

/* x = (word * scale + type) + position, in this order. */
static void embed(void *context, uint32_t d, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const enum kern_precision precision = (enum kern_precision)c->precision;
    const uint32_t begin = p->in.starts[d], n = p->in.starts[d + 1] - begin;
    const char *words = model_part(m, 0, PART_WORD);
    const float *types = model_part(m, 0, PART_TYPE), *table = model_part(m, 0, PART_POSITION);
    const size_t row_bytes = table_row_bytes(precision, c->hidden);
    uint32_t n_positions = 0;
    (void)thread;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t id = p->in.ids[begin + i];
        float *x = p->work.x + (size_t)(begin + i) * c->hidden;
        table_read(precision, words + (size_t)id * row_bytes, c->hidden, x);
        for (uint32_t k = 0; c->embed_scale != 1 && k < c->hidden; k++)
            x[k] *= c->embed_scale;
        const float *type =
            types && p->in.types ? types + (size_t)p->in.types[begin + i] * c->hidden : types;
        for (uint32_t k = 0; type && k < c->hidden; k++)
            x[k] += type[k];
        if (p->task > 0) add_task(p, id, x);
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
    const uint32_t kind = arch_kind(c, p->layer);
    return (struct block){
        .at = {[ROWS_X] = p->work.x + (size_t)first * c->hidden,
               [ROWS_Y] = own->y,
               [ROWS_Z] = own->z,
               [ROWS_CONTEXT] = p->work.context + first * (size_t)arch_size(c, kind, SIZE_QUERIES),
               [ROWS_UP] = own->up,
               [ROWS_EMBEDDED] = p->work.embedded + (size_t)first * c->hidden,
               [ROWS_STATE] = p->work.states + (size_t)first * arch_size(c, 0, SIZE_STATE)},
        .positions = c->rope_theta > 0 ? p->work.positions + first : NULL,
        .n = (uint32_t)num_min(p->block, p->rows - first),
        .first = first,
        .layer = p->layer,
        .kind = kind,
        .keys = true,
        .thread = thread,
    };
}

/* A layer's steps before attention. Queries, keys and values of layers of another kind may have other
 * widths; nobody reads those of the layer before. */
static void begin_layer(const struct pass *p, uint32_t layer, struct block *b)
{
    const struct model_config *c = &p->model->config;
    b->layer = layer;
    b->kind = arch_kind(c, layer);
    b->queries = !keeps_one(p, layer);
    b->ld_qkv = arch_size(c, b->kind, SIZE_QKV);
    b->at[ROWS_QKV] = p->work.qkv + b->first * b->ld_qkv;
    steps_run(p, arch_steps(p->model->arch, b->kind), b);
}

static void begin(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    struct block b = block_of(p, item * p->block, thread);
    steps_run(p, p->model->arch->embed, &b);
    begin_layer(p, 0, &b);
}

/* The queries of kept rows, for a block of documents: their rows of x are gathered, and the queries
 * are written where all queries would be. */
static void query(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model_config *c = &p->model->config;
    const struct work_own *own = &p->work.own[thread];
    const uint32_t first = item * p->block;
    struct block b = block_of(p, first, thread);
    const size_t queries = arch_size(c, b.kind, SIZE_QUERIES), ld = arch_size(c, b.kind, SIZE_QKV);
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
    steps_run(p, arch_steps(p->model->arch, b.kind), &b);
    for (uint32_t i = 0; i < b.n; i++)
        memcpy(p->work.qkv + (size_t)kept_token(p, first + i) * ld, own->up + i * queries,
               queries * sizeof(float));
}

/* context = attention of a document, or of a part of its heads; of kept rows in rows 0 .. n_docs. */
/* The first n tokens alone are keys. The others are queries as if they stood among these: no score
 * depends on where a query is (late.h). */
static void attend_to_some(const struct model *m, uint32_t n, struct attention_call call)
{
    const uint32_t len = call.len;
    const float *q = call.q;
    float *ctx = call.ctx;
    call.len = n;
    for (uint32_t first = 0; first < len; first += n) {
        call.q = q + (size_t)first * call.ld_q;
        call.ctx = ctx + (size_t)first * call.ld_ctx;
        call.n_queries = (uint32_t)num_min(n, len - first);
        attention_run(m->kern, (enum kern_precision)m->config.precision, &call);
    }
}

static void attend(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t d = item / p->head_parts, part = item % p->head_parts;
    const uint32_t begin = p->in.starts[d], len = p->in.starts[d + 1] - begin;
    const struct attention_shape shape = arch_attention(m->arch, c, arch_kind(c, p->layer));
    const uint32_t group = shape.heads / shape.kv_heads;
    const uint32_t first = shape.kv_heads * part / p->head_parts * group;
    const uint32_t end = shape.kv_heads * (part + 1) / p->head_parts * group;
    const bool one = keeps_one(p, p->layer);
    const uint32_t token = one ? kept_token(p, d) : begin;
    const size_t queries = (size_t)shape.heads * shape.d;
    const size_t keys = (size_t)shape.kv_heads * shape.d, ld = queries + 2 * keys;
    const float *k = p->work.qkv + begin * ld + queries;
    const struct attention_call call = {
        .shape = shape,
        .q = p->work.qkv + token * ld,
        .k = k,
        .v = k + keys,
        .ld_q = ld,
        .ld_kv = ld,
        .bias = model_part(m, 0, PART_DISTANCE),
        .ctx = p->work.context + (one ? d : begin) * queries,
        .ld_ctx = queries,
        .len = len,
        .first_query = token - begin,
        .n_queries = one ? 1 : len,
        .first_head = first,
        .n_heads = end - first,
        .scratch = p->work.own[thread].attention_scratch,
    };
    if (shape.bias == ATTENTION_RELATIVE)
        relative_run(p, thread, &call);
    else if (p->in.attended && p->in.attended[d] < len)
        attend_to_some(m, p->in.attended[d], call);
    else
        attention_run(m->kern, (enum kern_precision)c->precision, &call);
}

/* The rest of a layer, and what follows it. */
static void transform(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct arch *arch = p->model->arch;
    struct block b = block_of(p, item * p->block, thread);
    steps_run(p, after_attention(arch, b.kind), &b);
    if (p->layer + 1 < p->model->config.n_layers)
        begin_layer(p, p->layer + 1, &b);
    else
        steps_run(p, arch->final, &b);
}

static void pool(void *context, uint32_t d, uint32_t thread)
{
    const struct pass *p = context;
    const struct model_config *c = &p->model->config;
    const bool one = kept_rows(c, p->kinds) != ENDING_ROWS_ALL;
    const uint32_t skip = one ? 0 : skipped(p, d), begin = one ? d : p->in.starts[d] + skip;
    const uint32_t n = one ? 1 : p->in.starts[d + 1] - begin;
    ending_run(&p->model->ending, p->work.states + (size_t)begin * arch_size(c, 0, SIZE_STATE), n,
               skip, p->work.own[thread].attention_scratch, p->out.vectors + (size_t)d * c->dim);
}

/* A document of a bag: the mean of its tokens' rows, and what follows it. Some rows are added as
 * floats, and these sums as doubles, so that a long document's mean is as exact as a short one's. */
static void add_up(void *context, uint32_t d, uint32_t thread)
{
    enum { ROWS = 16 };
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const enum kern_precision precision = (enum kern_precision)c->precision;
    const struct work_own *own = &p->work.own[thread];
    const uint32_t n = p->in.starts[d + 1] - p->in.starts[d];
    const int32_t *ids = p->in.ids + p->in.starts[d];
    const char *words = model_part(m, 0, PART_WORD);
    const uint32_t *row_of = model_part(m, 0, PART_ROW_OF);
    const float *factors = model_part(m, 0, PART_FACTOR);
    memset(own->sum, 0, c->hidden * sizeof *own->sum);
    for (uint32_t i = 0; i < n; i += ROWS) {
        const uint32_t n_rows = (uint32_t)num_min(ROWS, n - i);
        uint32_t rows[ROWS];
        float times[ROWS];
        for (uint32_t k = 0; k < n_rows; k++) {
            const uint32_t id = (uint32_t)ids[i + k];
            /* a damaged pack's row, too, is one of the table's */
            rows[k] = row_of ? (uint32_t)num_min(row_of[id], c->rows - 1) : id;
            times[k] = factors ? factors[id] : 1;
        }
        table_sum(precision, words, c->hidden, rows, factors ? times : NULL, n_rows, own->y);
        for (uint32_t k = 0; k < c->hidden; k++)
            own->sum[k] += (double)own->y[k];
    }
    for (uint32_t k = 0; k < c->hidden; k++)
        own->y[k] = n > 0 ? (float)(own->sum[k] / n) : 0;
    ending_run(&m->ending, own->y, 1, 0, own->attention_scratch,
               p->out.vectors + (size_t)d * c->dim);
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

/* The last layer goes on with one row of each document: moves it to rows 0 .. n_docs. */
static void keep_rows(const struct pass *p, float *rows)
{
    const size_t h = p->model->config.hidden;
    for (uint32_t d = 0; d < p->in.n_docs; d++)
        memmove(rows + d * h, rows + kept_token(p, d) * h, h * sizeof *rows);
}

static vecmill_status check_finite(const float *values, size_t n, uint32_t dim, vecmill_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            return err_set(err, VECMILL_E_MODEL,
                           "the weights overflow: element %u of a vector of %u is not finite",
                           (unsigned)(i % dim), dim);
    }
    return VECMILL_OK;
}

static vecmill_status check_vectors(const struct pass *p, vecmill_err *err)
{
    const uint32_t dim = p->model->config.dim;
    if ((p->kinds & POOLED) == 0) return VECMILL_OK;
    return check_finite(p->out.vectors, (size_t)p->in.n_docs * dim, dim, err);
}

static vecmill_status check_rows(const struct pass *p, uint32_t width, vecmill_err *err)
{
    const uint32_t n = p->out.row_starts[p->in.n_docs];
    return check_finite(p->out.rows, (size_t)n * width, width, err);
}

/* The rows of the last hidden state as they are. */
static vecmill_status give_tokens(const struct pass *p, vecmill_err *err)
{
    const struct model_config *c = &p->model->config;
    const uint32_t width = model_row_floats(c, MODEL_TOKENS);
    const size_t n = p->in.starts[p->in.n_docs];
    memcpy(p->out.row_starts, p->in.starts, ((size_t)p->in.n_docs + 1) * sizeof(uint32_t));
    memcpy(p->out.rows, p->work.states, n * width * sizeof(float));
    return check_rows(p, width, err);
}

vecmill_status model_forward(const struct model *model, void *memory,
                             const struct model_extent *extent, struct team *team,
                             const struct model_input *input, const struct model_output *output,
                             vecmill_err *err)
{
    struct arena a;
    struct pass p = {
        .model = model,
        .team = team,
        .in = *input,
        .out = *output,
        .skip = extent->skip,
        .task = extent->task,
        .kinds = extent->kinds ? extent->kinds : DENSE,
    };
    const uint32_t n_docs = input->n_docs;
    if (n_docs == 0) return VECMILL_OK;
    assert(team_size(team) <= extent->threads);
    VM_TRY(check_pass(model, extent, p.kinds, input, output, err));
    arena_init(&a, memory, model_workspace_bytes(&model->config, model->kern, extent));
    work_layout(&p.work, &a, model->arch, &model->config, model->kern, extent);
    if (!arena_ok(&a)) {
        return err_set(err, VECMILL_E_INTERNAL, "a pass of %u tokens does not fit its workspace",
                       extent->tokens);
    }
    if (model->arch->bag) {
        team_run(team, add_up, &p, n_docs);
        return check_vectors(&p, err);
    }
    const uint32_t tokens = input->starts[n_docs], n_threads = team_size(team);
    const struct model_config *c = &model->config;
    /* With enough documents for all threads each is one item: its keys are packed by one thread. */
    const bool is_whole = n_threads == 1 || n_docs >= 4 * n_threads;
    team_run(team, embed, &p, n_docs);
    team_run(team, begin, &p, divide_rows(&p, tokens));
    for (p.layer = 0; p.layer < c->n_layers; p.layer++) {
        const bool keeps = keeps_one(&p, p.layer);
        const size_t key_heads = arch_size(c, arch_kind(c, p.layer), SIZE_KEY_HEADS);
        p.head_parts = is_whole ? 1 : (uint32_t)num_min(key_heads, (size_t)2 * n_threads);
        if (keeps) team_run(team, query, &p, divide_rows(&p, n_docs));
        team_run(team, attend, &p, n_docs * p.head_parts);
        if (keeps) keep_rows(&p, p.work.x);
        if (keeps && arch_uses(model->arch, ROWS_EMBEDDED)) keep_rows(&p, p.work.embedded);
        team_run(team, transform, &p, divide_rows(&p, keeps ? n_docs : tokens));
    }
    if (p.kinds & POOLED) team_run(team, pool, &p, n_docs);
    VM_TRY(check_vectors(&p, err));
    if (p.kinds >> MODEL_TOKENS & 1) VM_TRY(give_tokens(&p, err));
    if (p.kinds >> MODEL_MULTI & 1) {
        token_heads_multi(&p);
        VM_TRY(check_rows(&p, model_row_floats(c, MODEL_MULTI), err));
    }
    if ((p.kinds >> MODEL_SPARSE & 1) == 0) return VECMILL_OK;
    return c->sparse == MODEL_SPARSE_OWN ? token_heads_sparse(&p, err) : vocab_run(&p, err);
}

uint32_t model_row_floats(const struct model_config *config, enum model_kind kind)
{
    const struct model_ending *e = &config->multi;
    if (kind == MODEL_MULTI && e->n_steps > 0) return e->steps[e->n_steps - 1].width;
    return arch_size(config, 0, SIZE_STATE);
}

uint32_t model_task(const struct model_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->n_tasks; i++)
        if (strcmp(config->tasks[i], name) == 0) return i + 1;
    return 0;
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

static struct row_flops flops_of_row(const struct arch *arch, const struct model_config *c,
                                     uint32_t kind)
{
    struct row_flops row = {0};
    for (const struct arch_step *step = arch_steps(arch, kind); step->op != OP_END; step++) {
        if (step->op == OP_EXPERTS) row.rest += experts_flops(arch, c, kind);
        if (step->op != OP_PRODUCT) continue;
        const struct gemm_shape shape = arch_product(arch, c, kind, step->part);
        const double one = 2.0 * shape.k, queries = arch_size(c, kind, SIZE_QUERIES);
        if (step->part == PART_QKV) {
            row.queries = one * queries;
            row.keys = one * (shape.n - queries);
        } else {
            row.rest += one * shape.n * (shape.gated ? 2 : 1);
        }
    }
    return row;
}

/* Of a row after the last layer. */
static double final_flops_of_row(const struct arch *arch, const struct model_config *c)
{
    double flops = 0;
    for (const struct arch_step *step = arch->final; step->op != OP_END; step++) {
        if (step->op != OP_PRODUCT) continue;
        const struct gemm_shape shape = arch_product(arch, c, 0, step->part);
        flops += 2.0 * shape.k * shape.n;
    }
    return flops;
}

double model_flops(const struct model_config *config, uint32_t kinds, uint32_t n)
{
    const struct arch *arch = arch_named(config->family);
    struct row_flops rows_of[KINDS];
    bool known[KINDS] = {false};
    if (!arch || n == 0) return 0;
    if (arch->bag) return 2.0 * n * config->hidden + ending_flops(config);
    const enum ending_rows kept = kept_rows(config, kinds);
    double flops = (kinds & POOLED ? ending_flops(config) : 0) +
                   (kept == ENDING_ROWS_ALL ? n : 1) * final_flops_of_row(arch, config);
    if (kinds >> MODEL_SPARSE & 1 && config->sparse != MODEL_SPARSE_OWN)
        flops += vocab_flops(arch, config, n);
    flops += token_heads_flops(config, kinds, n);
    for (uint32_t layer = 0; layer < config->n_layers; layer++) {
        const uint32_t kind = arch_kind(config, layer);
        const struct attention_shape shape = arch_attention(arch, config, kind);
        const double pair = 4.0 * shape.heads * shape.d;
        const bool one = layer + 1 == config->n_layers && kept != ENDING_ROWS_ALL;
        const double rows = one ? 1 : n;
        const double pairs = one ? seen_keys(&shape, n, kept == ENDING_ROWS_LAST ? n - 1 : 0)
                                 : seen_pairs(&shape, n);
        if (!known[kind]) rows_of[kind] = flops_of_row(arch, config, kind);
        known[kind] = true;
        const struct row_flops *row = &rows_of[kind];
        flops += n * row->keys + rows * (row->queries + row->rest) + pair * pairs;
        if (shape.bias == ATTENTION_RELATIVE)
            flops += relative_flops(arch, config, kind, n, one ? 1 : n);
    }
    return flops;
}
