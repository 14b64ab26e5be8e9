/* arch: the list of families, and what is derived from any of them. */
#include "arch.h"

#include <stdio.h>
#include <string.h>

extern const struct arch arch_bert, arch_roberta, arch_mpnet, arch_deberta, arch_distilbert,
    arch_nomic, arch_nomic_moe, arch_gte, arch_modernbert, arch_jina_bert, arch_jina_bert_qk_norm,
    arch_qwen3, arch_eurobert, arch_gemma3, arch_embeddinggemma2, arch_jina_v3, arch_xlmr_flash,
    arch_model2vec, arch_static_embedding;

/* In the order in which config.json is tried: a family with `matches` is before the one that it takes
 * a model type from. */
static const struct arch *const list[] = {
    &arch_jina_bert_qk_norm,
    &arch_jina_bert,
    &arch_jina_v3,
    &arch_xlmr_flash,
    &arch_bert,
    &arch_roberta,
    &arch_mpnet,
    &arch_deberta,
    &arch_distilbert,
    &arch_nomic_moe,
    &arch_nomic,
    &arch_gte,
    &arch_modernbert,
    &arch_qwen3,
    &arch_eurobert,
    &arch_gemma3,
    &arch_embeddinggemma2,
    &arch_model2vec,
    &arch_static_embedding,
    NULL,
};

const struct arch *arch_named(const char *name)
{
    for (size_t i = 0; list[i]; i++)
        if (strcmp(list[i]->name, name) == 0) return list[i];
    return NULL;
}

static bool is_of(const struct arch *arch, const struct json_value *config)
{
    const struct json_value type = json_get(config, "model_type");
    if (arch->matches && !arch->matches(config)) return false;
    for (size_t i = 0; arch->model_types[i]; i++)
        if (json_is(&type, arch->model_types[i])) return true;
    return false;
}

const struct arch *arch_of_config(const struct json_value *config)
{
    for (size_t i = 0; list[i]; i++)
        if (is_of(list[i], config)) return list[i];
    return NULL;
}

const struct arch *arch_of_module(const char *class)
{
    for (size_t i = 0; list[i]; i++)
        if (list[i]->module && strcmp(list[i]->module, class) == 0) return list[i];
    return NULL;
}

bool arch_model_types(char *out, size_t most)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; list[i]; i++) {
        for (size_t k = 0; !list[i]->matches && list[i]->model_types[k]; k++) {
            const int n =
                snprintf(out + at, most - at, "%s%s", at ? ", " : "", list[i]->model_types[k]);
            if (n < 0 || (size_t)n >= most - at) return false;
            at += (size_t)n;
        }
    }
    return true;
}

/* ---- sizes ---- */

uint32_t arch_kind(const struct model_config *c, uint32_t layer)
{
    return (c->local >> layer & 1 ? KIND_LOCAL : 0) |
           (c->expert_layers >> layer & 1 ? KIND_EXPERTS : 0);
}

static uint32_t head_dim(const struct model_config *c, uint32_t kind)
{
    return kind & KIND_LOCAL && c->local_head_dim > 0 ? c->local_head_dim : c->head_dim;
}

static uint32_t kv_heads(const struct model_config *c, uint32_t kind)
{
    return kind & KIND_LOCAL && c->local_kv_heads > 0 ? c->local_kv_heads : c->n_kv_heads;
}

uint32_t arch_size(const struct model_config *c, uint32_t kind, enum arch_size size)
{
    const uint32_t d = head_dim(c, kind), queries = c->n_heads * d, keys = kv_heads(c, kind) * d;
    switch (size) {
    case SIZE_NONE:
        return 0;
    case SIZE_ONE:
        return 1;
    case SIZE_HIDDEN:
        return c->hidden;
    case SIZE_INTER:
        return c->intermediate;
    case SIZE_TWO_INTER:
        return 2 * c->intermediate;
    case SIZE_QUERIES:
        return queries;
    case SIZE_KEYS:
        return keys;
    case SIZE_QKV:
        return queries + 2 * keys;
    case SIZE_HEAD:
        return d;
    case SIZE_HEADS:
        return c->n_heads;
    case SIZE_KEY_HEADS:
        return kv_heads(c, kind);
    case SIZE_LOCAL_HEAD:
        return head_dim(c, KIND_LOCAL);
    case SIZE_VOCAB:
        return c->vocab;
    case SIZE_ROWS:
        return c->rows;
    case SIZE_POSITIONS:
        return c->positions;
    case SIZE_LENGTHS:
        return c->max_positions;
    case SIZE_TYPES:
        return c->types;
    case SIZE_EXPERTS:
        return c->n_experts;
    case SIZE_EXPERTS_INTER:
        return c->n_experts * c->intermediate;
    case SIZE_INPUT:
        return c->input;
    case SIZE_INPUTS:
        return c->n_layers * c->input;
    case SIZE_STATE:
        return c->state > 0 ? c->state : c->hidden;
    case SIZE_TASKS:
        return c->n_tasks;
    case SIZE_RANK:
        return c->task_rank;
    case SIZE_DISTANCES:
        return c->distances;
    case SIZE_BUCKETS:
        return c->buckets;
    case SIZE_SPAN:
        return 2 * c->span + 1;
    }
    return 0;
}

uint32_t arch_most(const struct model_config *c, enum arch_size size)
{
    uint32_t most = 0;
    for (uint32_t layer = 0; layer < c->n_layers && layer < MODEL_LAYERS_MAX; layer++)
        most = (uint32_t)num_max(most, arch_size(c, arch_kind(c, layer), size));
    return most;
}

/* ---- parts and steps ---- */

const struct arch_weight *arch_weight(const struct arch *arch, const struct model_config *config,
                                      uint32_t kind, enum arch_part part)
{
    for (size_t i = 0; i < arch->n_weights + arch->n_vocab; i++) {
        const struct arch_weight *w =
            i < arch->n_weights ? &arch->weights[i] : &arch->vocab[i - arch->n_weights];
        if (w->part != part) continue;
        const bool is_there = (w->needs & ~config->has) == 0 && (w->with & ~kind) == 0;
        if (is_there && (w->without & kind) == 0) return w;
    }
    return NULL;
}

const struct arch_step *arch_steps(const struct arch *arch, uint32_t kind)
{
    return kind & KIND_EXPERTS && arch->expert_layer ? arch->expert_layer : arch->layer;
}

uint32_t arch_each(const struct model_config *config, uint32_t kind, const struct arch_weight *w)
{
    if (w->storage == STORE_PROJECTED) return config->n_heads;
    return w->each ? arch_size(config, kind, w->each) : 1;
}

struct gemm_shape arch_product(const struct arch *arch, const struct model_config *config,
                               uint32_t kind, enum arch_part part)
{
    const struct arch_weight *w = arch_weight(arch, config, kind, part);
    const bool is_projected = w->storage == STORE_PROJECTED;
    const uint32_t columns = arch_size(config, kind, is_projected ? SIZE_HEAD : w->columns);
    uint32_t rows = 0;
    for (size_t i = 0; i < ARCH_SOURCES_MAX && w->sources[i].tensor; i++)
        rows += arch_size(config, kind, w->sources[i].rows);
    const bool is_active = part == PART_UP || part == PART_EXPERTS_UP || part == PART_INPUT_GATE ||
                           part == PART_VOCAB_DENSE;
    const bool is_gated = part == PART_UP && arch->gated;
    const enum gemm_act act =
        part == PART_VOCAB_DENSE && arch->vocab_act ? arch->vocab_act : (enum gemm_act)config->act;
    return (struct gemm_shape){
        .k = (w->transposed ? rows : columns) + (w->task ? config->n_tasks * config->task_rank : 0),
        .n = w->transposed ? columns
             : is_gated    ? rows / 2
                           : rows,
        .act = is_active ? act : GEMM_NONE,
        .gated = is_gated,
        .precision = w->exact ? KERN_FP32 : (enum kern_precision)config->precision,
    };
}

uint32_t arch_slices(const struct arch *arch, const struct model_config *config,
                     enum arch_part part)
{
    return (arch_product(arch, config, 0, part).n + ARCH_SLICE - 1) / ARCH_SLICE;
}

struct gemm_shape arch_slice(const struct arch *arch, const struct model_config *config,
                             enum arch_part part, uint32_t i)
{
    struct gemm_shape shape = arch_product(arch, config, 0, part);
    shape.n = (uint32_t)num_min(shape.n - i * ARCH_SLICE, ARCH_SLICE);
    return shape;
}

struct attention_shape arch_attention(const struct arch *arch, const struct model_config *config,
                                      uint32_t kind)
{
    return (struct attention_shape){
        .heads = config->n_heads,
        .kv_heads = kv_heads(config, kind),
        .d = head_dim(config, kind),
        .divisor = config->divisor,
        .window = kind & KIND_LOCAL ? config->window : ATTENTION_ALL,
        .causal = config->causal,
        .bias = arch->bias,
        .span = config->span,
    };
}

bool model_takes_logits(const struct model_config *config)
{
    return config->sparse == MODEL_SPARSE_MAX || config->sparse == MODEL_SPARSE_SUM;
}

bool model_is_bag(const struct model_config *config)
{
    const struct arch *arch = arch_named(config->family);
    return arch && arch->bag;
}

static bool steps_use(const struct arch_step *step, enum arch_rows rows)
{
    for (; step->op != OP_END; step++) {
        if (step->in == rows || step->add == rows || step->out == rows) return true;
    }
    return false;
}

bool arch_uses(const struct arch *arch, enum arch_rows rows)
{
    return steps_use(arch->embed, rows) || steps_use(arch->layer, rows) ||
           (arch->expert_layer && steps_use(arch->expert_layer, rows)) ||
           steps_use(arch->final, rows);
}
