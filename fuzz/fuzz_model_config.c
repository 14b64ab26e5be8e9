/* needs: dep_model */
/* Any bytes as one of a model folder's small JSON files: the first byte, '0' to ';', says which (enum
 * config_file; '6' to '8' are of a Dense, a LayerNorm and a Normalize after Pooling, '9' is of
 * SpladePooling, ':' of a MultiVectorMask, ';' is config_sentence_transformers.json of late interaction).
 * Checks that a refusal leaves the configuration as it was, and that an accepted one keeps the ranges that
 * config.h states. */
#include "model/arch.h"
#include "model/config.h"
#include "model/ending.h"
#include "model/late.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool promise)
{
    if (!promise) abort();
}

/* A module's path leads nowhere but into the folder. */
static bool stays_inside(const char *path)
{
    char framed[CONFIG_PATH_BYTES + 2];
    if (path[0] == '/' || !memchr(path, 0, CONFIG_PATH_BYTES)) return false;
    snprintf(framed, sizeof framed, "/%s/", path);
    return !strstr(framed, "/../") && !strchr(framed, '\\');
}

static const struct model_ending three_steps = {
    .n_poolings = 1,
    .poolings = {MODEL_POOL_MEAN},
    .n_steps = 3,
    .steps = {{.kind = MODEL_STEP_DENSE, .width = 32},
              {.kind = MODEL_STEP_LAYER_NORM, .width = 32, .eps = 1e-5f},
              {.kind = MODEL_STEP_NORMALIZE, .width = 32}},
};

/* All that one file says about what follows the body: after modules.json widths and poolings are
 * still to come. */
static bool check_ending(const struct config *config, enum config_file file)
{
    const struct model_ending *e = &config->model.ending;
    if (e->n_steps > MODEL_STEPS_MAX || e->n_poolings > MODEL_POOLINGS) return false;
    for (uint32_t i = 0; i < MODEL_STEPS_MAX; i++) {
        if (config->steps[i][0] && (i >= e->n_steps || !stays_inside(config->steps[i])))
            return false;
    }
    if (file == CONFIG_MODULES || file == CONFIG_MODEL) return true;
    struct model_config model = config->model;
    for (uint32_t i = 1; i < e->n_steps && file == CONFIG_STEPS; i++)
        model.ending.steps[i].width = e->steps[0].width; /* theirs follow the Dense's */
    model.dim = ending_width(&model, e->n_steps);
    model.kinds = model.sparse ? 1u << MODEL_SPARSE : 1u << MODEL_DENSE;
    return ending_check(&model, "fuzz", NULL) == VECMILL_OK;
}

/* What is derived from an accepted config.json: sizes that are more than there can be are said. */
static void check_family(const struct model_config *config)
{
    const struct model_extent extent = {.tokens = 512, .longest = 512, .threads = 2};
    check(config_check(config, "fuzz", NULL) == VECMILL_OK);
    for (int precision = 0; precision < KERN_PRECISIONS; precision++) {
        struct model_config model = *config;
        model.precision = (uint32_t)precision;
        model.ending = (struct model_ending){.n_poolings = 1};
        model.dim = model.hidden;
        check(model_workspace_bytes(&model, kern_table(KERN_REF), &extent) > 0);
        check(model_weight_bytes(&model, kern_table(KERN_REF)) > 0);
        check(model_flops(&model, 1u << MODEL_DENSE, 3) > 0 &&
              isfinite(model_flops(&model, 1u << MODEL_DENSE, model.max_positions)));
    }
}

static void check_words(const struct model_words *words)
{
    check(words->n <= MODEL_WORDS_MAX);
    for (uint32_t i = 0; i < words->n; i++)
        check(words->at[i].use < MODEL_WORD_USES && words->at[i].text[0] != '\0' &&
              memchr(words->at[i].text, 0, MODEL_WORD_BYTES));
}

/* What is settled of a file's keys has the ranges of a pack. */
static void check_late(struct config *config)
{
    struct model_config *m = &config->model;
    snprintf(m->family, sizeof m->family, "bert");
    m->n_layers = m->n_heads = m->n_kv_heads = 1;
    m->head_dim = 32;
    m->divisor = 1;
    m->max_positions = 512;
    if (late_settle(config, "fuzz", NULL) != VECMILL_OK) return;
    check(late_check(m, "fuzz", NULL) == VECMILL_OK && m->multi.n_steps > 0);
    check(m->expands_to <= 512 && m->query_length <= 512 && m->document_length <= 512);
    check_words(&config->words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    struct config config, before;
    vecmill_err err;
    uint32_t length = 0;
    config_init(&config);
    config.model.hidden = 32;
    enum config_file file = (enum config_file)((unsigned)(data[0] - '0') % (CONFIG_STEPS + 6));
    const bool is_late = file >= CONFIG_STEPS + 4;
    if (is_late) {
        file = file == CONFIG_STEPS + 4 ? CONFIG_POOLING : CONFIG_PROMPTS;
        config.is_multi = true;
        memcpy(config.specials[CONFIG_MASK], "[MASK]", 6);
    }
    if (file == CONFIG_STEPS + 3) {
        file = CONFIG_POOLING;
        config.model.sparse = MODEL_SPARSE_MAX;
        config.model.sparse_logs = 1;
        config.model.vocab = 64;
        config.model.ending.n_poolings = 1;
    }
    if (file >= CONFIG_STEPS) config.model.ending = three_steps;
    before = config;
    vecmill_status status = config_parse(file, data + 1, bytes - 1, "fuzz", &config, &err);
    if (status != VECMILL_OK) {
        check(status == VECMILL_E_MODEL && memcmp(&config, &before, sizeof(config)) == 0);
        check(memchr(err.message, 0, sizeof(err.message)) != NULL && err.message[0] != 0);
        return 0;
    }
    const bool is_bag = file == CONFIG_MODEL && arch_named(config.model.family)->bag;
    if (is_bag) config.model.rows = config.model.vocab = 100; /* the tensors say it */
    if (file == CONFIG_MODEL) check_family(&config.model);
    check(stays_inside(config.transformer) && stays_inside(config.pooling));
    check(is_late || check_ending(&config, file));
    check_words(&config.words);
    if (is_late) check_late(&config);
    for (size_t i = 0; i < CONFIG_SPECIALS; i++)
        check(memchr(config.specials[i], 0, MODEL_WORD_BYTES) != NULL);
    const uint32_t most = is_bag ? config.model.max_positions : 512;
    status = config_max_length(&config, most, &length, &err);
    check(status == VECMILL_OK ? length >= (is_bag ? 1 : 3) && length <= most
                               : config.max_seq_length > most);
    return 0;
}
