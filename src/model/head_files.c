#include "head_files.h"

#include "arch.h"
#include "tensor.h"

#include <stdio.h>
#include <string.h>

const char *const head_file_names[] = {
    "colbert_linear.safetensors",
    "colbert_linear.pt",
    "sparse_linear.safetensors",
    "sparse_linear.pt",
    NULL,
};

_Static_assert(sizeof(((struct config *)0)->head_files) / sizeof(char *) == ENDINGS,
               "each ending may have a file");

/* The two names of an ending's file. */
static const char *const *names_of(enum ending_which which)
{
    return head_file_names + (which == ENDING_MULTI ? 0 : 2);
}

/* Rows of a head's matrix, and whether it has a bias. What else they must be is checked with their
 * ending (ending_check_files). */
static vecmill_status measure(const char *path, uint32_t most, uint32_t *rows, uint32_t *has_bias,
                              vecmill_err *err)
{
    struct tensor_file file;
    VM_TRY(tensor_file_open(path, &file, err));
    const struct tensor *weight = tensor_file_find(&file, "weight");
    vecmill_status status = VECMILL_OK;
    if (!weight)
        status = err_set(err, VECMILL_E_MODEL, "%s: tensor \"weight\" is missing", file.shown);
    else if (weight->rank != 2 || weight->shape[0] < 1 || weight->shape[0] > most)
        status = err_set(err, VECMILL_E_MODEL, "%s: tensor \"weight\" is no matrix of 1 to %u rows",
                         file.shown, most);
    else
        *rows = (uint32_t)weight->shape[0];
    *has_bias = tensor_file_find(&file, "bias") != NULL;
    tensor_file_close(&file);
    return status;
}

/* A Dense of each row, if there is a file. */
static vecmill_status find_head(const char *folder, enum ending_which which, uint32_t act,
                                struct config *config, struct model_ending *e, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    for (int i = 0; i < 2; i++) {
        VM_TRY(io_join(folder, names_of(which)[i], path, err));
        if (!io_exists(path)) continue;
        uint32_t rows = 0, has_bias = 0;
        VM_TRY(measure(path, which == ENDING_WEIGHT ? 1 : MODEL_DIM_MAX, &rows, &has_bias, err));
        config->head_files[which] = names_of(which)[i];
        e->n_steps = 1;
        e->steps[0] = (struct model_step){
            .kind = MODEL_STEP_DENSE, .width = rows, .act = act, .has_bias = has_bias};
        return VECMILL_OK;
    }
    return VECMILL_OK;
}

static vecmill_status add_words(struct config *config, vecmill_err *err)
{
    struct model_words *words = &config->words;
    if (config->long_special)
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer_config.json: a special token of more than %u bytes",
                       MODEL_WORD_BYTES - 1);
    for (size_t i = 0; i < CONFIG_MASK; i++) {
        if (config->specials[i][0] == '\0') continue;
        struct model_word *word = &words->at[words->n++];
        word->use = MODEL_WORD_NO_WEIGHT;
        memcpy(word->text, config->specials[i], sizeof word->text);
    }
    return VECMILL_OK;
}

vecmill_status head_files_read(const char *dir, struct config *config, vecmill_err *err)
{
    struct model_config *m = &config->model;
    char folder[IO_PATH_MAX];
    if (config->is_bag || config->is_multi || config->head || m->sparse) return VECMILL_OK;
    VM_TRY(config_folder(dir, config, folder, err));
    VM_TRY(find_head(folder, ENDING_MULTI, MODEL_ACT_IDENTITY, config, &m->multi, err));
    VM_TRY(find_head(folder, ENDING_WEIGHT, MODEL_ACT_RELU, config, &m->weight, err));
    if (m->multi.n_steps > 0) {
        m->multi.steps[m->multi.n_steps++] =
            (struct model_step){.kind = MODEL_STEP_NORMALIZE, .width = m->multi.steps[0].width};
        m->multi_skips = 1;
        m->kinds |= 1u << MODEL_MULTI;
    }
    if (m->weight.n_steps == 0) return VECMILL_OK;
    m->sparse = MODEL_SPARSE_OWN;
    m->kinds |= 1u << MODEL_SPARSE;
    return add_words(config, err);
}
