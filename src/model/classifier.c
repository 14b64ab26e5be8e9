#include "classifier.h"

#include "arch.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- which folders ---- */

bool classifier_is(const struct json_value *transformer)
{
    static const char tail[] = "ForSequenceClassification";
    const struct json_value names = json_get(transformer, "architectures");
    struct json_each each = json_begin(&names);
    struct json_value none, first;
    char name[256];
    if (names.kind != JSON_KIND_ARRAY || !json_each(&each, &none, &first) ||
        !json_string_into(&first, name, sizeof name))
        return false;
    const size_t bytes = strlen(name);
    return bytes >= sizeof tail - 1 && strcmp(name + bytes - (sizeof tail - 1), tail) == 0;
}

/* ---- keys ---- */

struct head_file {
    struct json_value labels; /* id2label */
    uint32_t n_labels;        /* num_labels; 0: not given */
    struct json_value module, function;
};

/* torch's class, by the last word, as sentence-transformers writes it: "torch.nn.modules.linear.
 * Identity". */
static vecmill_status read_score_act(const struct json_value *value, const char *key,
                                     const char *shown, uint32_t *act, vecmill_err *err)
{
    static const char *const words[MODEL_ACTS] = {
        [MODEL_ACT_IDENTITY] = "Identity", [MODEL_ACT_TANH] = "Tanh",
        [MODEL_ACT_RELU] = "ReLU",         [MODEL_ACT_GELU] = "GELU",
        [MODEL_ACT_SILU] = "SiLU",         [MODEL_ACT_SIGMOID] = "Sigmoid",
    };
    char text[128];
    const bool is_torch =
        json_string_into(value, text, sizeof text) && strncmp(text, "torch.nn.", 9) == 0;
    for (uint32_t i = 0; is_torch && i < MODEL_ACTS; i++) {
        if (strcmp(strrchr(text, '.') + 1, words[i]) != 0) continue;
        *act = i;
        return VECMILL_OK;
    }
    return config_refuse(shown, key, value,
                         "torch.nn's Identity, Tanh, ReLU, GELU, SiLU or Sigmoid", err);
}

/* An activation of transformers' ACT2FN, of a step of the head. */
static vecmill_status read_act(const struct json_value *value, const char *key, const char *shown,
                               uint32_t *act, vecmill_err *err)
{
    static const struct {
        const char *name;
        enum model_act act;
    } names[] = {{"gelu", MODEL_ACT_GELU},       {"gelu_python", MODEL_ACT_GELU},
                 {"silu", MODEL_ACT_SILU},       {"swish", MODEL_ACT_SILU},
                 {"relu", MODEL_ACT_RELU},       {"tanh", MODEL_ACT_TANH},
                 {"sigmoid", MODEL_ACT_SIGMOID}, {"linear", MODEL_ACT_IDENTITY}};
    for (size_t i = 0; i < ARCH_LENGTH(names); i++) {
        if (!json_is(value, names[i].name)) continue;
        *act = names[i].act;
        return VECMILL_OK;
    }
    return config_refuse(shown, key, value, "gelu, silu, relu, tanh, sigmoid or linear", err);
}

static vecmill_status read_flag(const struct json_value *value, const char *key, const char *shown,
                                bool *flag, vecmill_err *err)
{
    if (value->kind == JSON_KIND_ABSENT) return VECMILL_OK;
    if (value->kind != JSON_KIND_BOOLEAN)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is neither true nor false", shown, key);
    *flag = value->raw[0] == 't';
    return VECMILL_OK;
}

/* ---- labels ---- */

/* {"0": "NAME", ...}: every number below its size once. */
static vecmill_status take_labels(const struct json_value *labels, const char *shown,
                                  struct model_config *m, vecmill_err *err)
{
    char key[12], text[49];
    for (uint32_t i = 0; i < m->n_labels; i++) {
        snprintf(key, sizeof key, "%u", i);
        const struct json_value name = json_get(labels, key);
        if (name.kind == JSON_KIND_STRING &&
            json_string_into(&name, m->labels[i], MODEL_LABEL_BYTES))
            continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"id2label\" has \"%s\" for \"%s\", not a name of at most %u bytes",
                       shown, json_show(&name, text, sizeof text), key, MODEL_LABEL_BYTES - 1);
    }
    return VECMILL_OK;
}

/* As transformers counts them: by "id2label", unless "num_labels" says another number; else two. */
static vecmill_status count_labels(const struct head_file *file, const char *shown,
                                   struct model_config *m, vecmill_err *err)
{
    const bool has_names = file->labels.kind == JSON_KIND_OBJECT;
    const size_t n_names = has_names ? json_count(&file->labels) : 0;
    const size_t n = file->n_labels > 0 ? file->n_labels : has_names ? n_names : 2;
    if (file->labels.kind > JSON_KIND_NULL && !has_names)
        return err_set(err, VECMILL_E_MODEL, "%s: \"id2label\" is not an object", shown);
    if (n < 1 || n > MODEL_LABELS_MAX)
        return err_set(err, VECMILL_E_MODEL, "%s: %zu labels, outside 1 to MODEL_LABELS_MAX, %u",
                       shown, n, MODEL_LABELS_MAX);
    m->n_labels = (uint32_t)n;
    memset(m->labels, 0, sizeof m->labels);
    if (n_names == n) return take_labels(&file->labels, shown, m, err);
    for (uint32_t i = 0; i < m->n_labels; i++)
        snprintf(m->labels[i], MODEL_LABEL_BYTES, "LABEL_%u", i);
    return VECMILL_OK;
}

/* sentence-transformers 6.2, CrossEncoder: its own key, the key of before version 4, else by the
 * number of labels. */
static vecmill_status settle_act(const struct head_file *file, const char *shown,
                                 struct model_config *m, vecmill_err *err)
{
    static const char key[] = "activation_fn", old[] = "sbert_ce_default_activation_function";
    const struct json_value given = json_get(&file->module, key);
    m->score_act = m->n_labels == 1 ? MODEL_ACT_SIGMOID : MODEL_ACT_IDENTITY;
    if (given.kind > JSON_KIND_NULL) return read_score_act(&given, key, shown, &m->score_act, err);
    if (file->function.kind > JSON_KIND_NULL)
        return read_score_act(&file->function, old, shown, &m->score_act, err);
    return VECMILL_OK;
}

/* ---- the head ---- */

static vecmill_status settle_pooling(const struct json_value *o, const struct arch_head *head,
                                     const char *shown, struct model_ending *e, vecmill_err *err)
{
    e->n_poolings = 1;
    e->poolings[0] = head->pooling;
    if (!head->pooling_key) return VECMILL_OK;
    const struct json_value value = json_get(o, head->pooling_key);
    if (value.kind == JSON_KIND_ABSENT || json_is(&value, "cls")) return VECMILL_OK;
    if (!json_is(&value, "mean"))
        return config_refuse(shown, head->pooling_key, &value, "cls or mean", err);
    e->poolings[0] = MODEL_POOL_MEAN;
    return VECMILL_OK;
}

static vecmill_status settle_step(const struct json_value *o, const struct arch_head_step *from,
                                  const char *shown, const struct model_config *m,
                                  struct model_step *step, vecmill_err *err)
{
    bool has_bias = from->bias != NULL && !from->without_bias;
    *step = (struct model_step){
        .kind = from->kind,
        .width = from->is_last ? m->n_labels : arch_size(m, 0, SIZE_STATE),
        .act = from->act,
        .eps = from->kind == MODEL_STEP_LAYER_NORM ? m->eps : 0,
    };
    if (from->act_key) {
        const struct json_value act = json_get(o, from->act_key);
        if (act.kind > JSON_KIND_NULL)
            VM_TRY(read_act(&act, from->act_key, shown, &step->act, err));
    }
    if (from->bias_key) {
        const struct json_value flag = json_get(o, from->bias_key);
        VM_TRY(read_flag(&flag, from->bias_key, shown, &has_bias, err));
    }
    step->has_bias = has_bias;
    return VECMILL_OK;
}

vecmill_status classifier_parse(const struct json_value *o, const char *shown,
                                struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("id2label", ANY, offsetof(struct head_file, labels)),
        JSON_MAY("num_labels", U32, offsetof(struct head_file, n_labels), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("sentence_transformers", ANY, offsetof(struct head_file, module)),
        JSON_MAY("sbert_ce_default_activation_function", ANY, offsetof(struct head_file, function)),
    };
    struct model_config *m = &config->model;
    const struct arch *arch = arch_named(m->family);
    struct head_file file = {0};
    if (!arch->head)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the head of a %s for classification is not computed here", shown,
                       arch->title);
    VM_TRY(config_fields(o, fields, ARCH_LENGTH(fields), NULL, shown, &file, err));
    VM_TRY(count_labels(&file, shown, m, err));
    VM_TRY(settle_act(&file, shown, m, err));
    config->head = arch->head;
    m->ending = (struct model_ending){0};
    VM_TRY(settle_pooling(o, arch->head, shown, &m->ending, err));
    for (uint32_t i = 0; i < ARCH_HEAD_STEPS && arch->head->steps[i].weight; i++)
        VM_TRY(settle_step(o, &arch->head->steps[i], shown, m,
                           &m->ending.steps[m->ending.n_steps++], err));
    return VECMILL_OK;
}

vecmill_status classifier_check(const struct model_config *m, const char *shown, vecmill_err *err)
{
    const bool scores = (m->kinds & 1u << MODEL_SCORE) != 0;
    if (m->n_labels > MODEL_LABELS_MAX || m->n_labels != (scores ? (m->asks ? 1 : m->dim) : 0) ||
        m->asks > 1 ||
        (m->asks && (!scores || !arch_named(m->family)->question || m->dim != m->hidden)) ||
        m->score_act >= MODEL_ACTS) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %u labels of %u scores with activation %u, at most %u labels", shown,
                       m->n_labels, scores ? m->dim : 0, m->score_act, MODEL_LABELS_MAX);
    }
    for (uint32_t i = 0; i < m->n_labels; i++) {
        if (memchr(m->labels[i], '\0', MODEL_LABEL_BYTES)) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: label %u has no end", shown, i);
    }
    return VECMILL_OK;
}
