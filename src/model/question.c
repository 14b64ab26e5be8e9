#include "question.h"

#include "arch.h"
#include "pass.h"
#include "weights.h"

#include <string.h>

/* Its name ends in this. */
#define CAUSAL "ForCausalLM"

bool question_is(const struct json_value *transformer, const struct config *config)
{
    const struct arch *arch = arch_named(config->model.family);
    const struct json_value names = json_get(transformer, "architectures");
    struct json_each each = json_begin(&names);
    struct json_value none, first;
    char name[256];
    if (!arch || !arch->question || names.kind != JSON_KIND_ARRAY ||
        !json_each(&each, &none, &first) || !json_string_into(&first, name, sizeof name))
        return false;
    const size_t bytes = strlen(name), tail = sizeof CAUSAL - 1;
    return bytes >= tail && strcmp(name + bytes - tail, CAUSAL) == 0;
}

void question_take(struct model_config *m)
{
    const struct model_question *q = arch_named(m->family)->question;
    m->asks = m->n_labels = 1;
    m->kinds |= 1u << MODEL_SCORE;
    m->score_act = MODEL_ACT_SIGMOID;
    memset(m->labels, 0, sizeof m->labels);
    memcpy(m->labels[0], q->yes, num_min(strlen(q->yes), MODEL_LABEL_BYTES - 1));
}

void question_drop(struct model_config *m)
{
    if (!m->asks) return;
    m->asks = m->n_labels = m->score_act = 0;
    m->kinds &= ~(1u << MODEL_SCORE);
    memset(m->labels, 0, sizeof m->labels);
}

const struct model_question *model_question(const struct model_config *config)
{
    return config->asks ? arch_named(config->family)->question : NULL;
}

/* ---- compiling ---- */

/* The head, or the word table, which it is where there is none of its own. */
static vecmill_status find_head(const struct weights *w, const struct config *config,
                                struct tensor **head, vecmill_err *err)
{
    static const char *const names[] = {"lm_head.weight", "model.embed_tokens.weight",
                                        "embed_tokens.weight"};
    struct tensor *t = NULL;
    for (size_t i = 0; !t && i < ARCH_LENGTH(names); i++)
        t = weights_find(w, names[i]);
    if (!t)
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" is missing", w->shown, names[0]);
    VM_TRY(tensor_take(t, t->name, config->model.vocab, config->model.hidden, TENSOR_FLOATS,
                       "config.json", err));
    *head = t;
    return VECMILL_OK;
}

static vecmill_status read_rows(const char *folder, const struct config *config,
                                const int32_t words[2], float *rows, vecmill_err *err)
{
    const size_t hidden = config->model.hidden;
    struct weights w = {0};
    struct tensor *head = NULL;
    vecmill_status status = weights_open(folder, &w, err);
    if (status == VECMILL_OK) status = find_head(&w, config, &head, err);
    for (int i = 0; i < 2 && status == VECMILL_OK; i++) {
        if (words[i] >= 0 && (uint32_t)words[i] < config->model.vocab)
            status = tensor_read(head, (size_t)words[i] * hidden, hidden, rows + i * hidden, err);
        else
            status = err_set(err, VECMILL_E_MODEL, "%s: token %d of %u is asked for", w.shown,
                             (int)words[i], config->model.vocab);
    }
    weights_close(&w);
    return status;
}

vecmill_status question_write(const char *dir, const struct config *config, const int32_t words[2],
                              struct pack_writer *out, vecmill_err *err)
{
    const size_t hidden = config->model.hidden;
    char folder[IO_PATH_MAX];
    void *memory = NULL;
    VM_TRY(config_folder(dir, config, folder, err));
    VM_TRY(mem_new_array(2 * hidden, sizeof(float), "two rows of a head", &memory, err));
    float *rows = memory;
    vecmill_status status = read_rows(folder, config, words, rows, err);
    for (size_t i = 0; i < hidden; i++)
        rows[i] -= rows[hidden + i];
    if (status == VECMILL_OK) status = pack_begin(out, QUESTION_SECTION, err);
    if (status == VECMILL_OK) status = pack_write(out, rows, hidden * sizeof *rows, err);
    if (status == VECMILL_OK) status = pack_end(out, err);
    mem_free(memory);
    return status;
}

vecmill_status question_most(const char *dir, const struct config *config, size_t *bytes,
                             vecmill_err *err)
{
    char folder[IO_PATH_MAX];
    size_t kept = 0, opening = 0;
    *bytes = 0;
    if (!config->model.asks) return VECMILL_OK;
    VM_TRY(config_folder(dir, config, folder, err));
    VM_TRY(weights_most(folder, &kept, &opening, err));
    *bytes = num_max(opening, kept + 2 * sizeof(float) * config->model.hidden);
    return VECMILL_OK;
}

/* ---- using ---- */

vecmill_status question_open(const struct pack *pack, const struct model_config *config,
                             const float **difference, vecmill_err *err)
{
    const void *data;
    size_t bytes;
    *difference = NULL;
    if (!config->asks) return VECMILL_OK;
    VM_TRY(pack_find(pack, QUESTION_SECTION, &data, &bytes, err));
    if (bytes != config->hidden * sizeof(float))
        return err_set(err, VECMILL_E_MODEL, "section \"%s\" has %zu bytes, a row has %zu",
                       QUESTION_SECTION, bytes, config->hidden * sizeof(float));
    *difference = data;
    return VECMILL_OK;
}

float model_answer(const struct model *model, const float *row)
{
    double sum = 0;
    for (uint32_t i = 0; i < model->config.hidden; i++)
        sum += (double)model->question[i] * (double)row[i];
    return (float)sum;
}
