/* ending_compile: the weights of the modules after Pooling into the pack's section.
 *
 * Memory: the list of one module's tensors, and its matrix, plain and packed. */
#include "arch.h"
#include "ending.h"
#include "layout.h"
#include "weights.h"

#include <stdio.h>
#include <string.h>

/* The two tensors of a module, in the order of the section. */
struct part {
    const char *name;
    uint32_t rows, columns; /* columns 0: a vector */
    bool is_there;          /* else it is all zeros */
};

static void parts_of(const struct config *config, uint32_t step, struct part parts[2])
{
    const struct model_step *s = &config->model.ending.steps[step];
    const bool is_dense = s->kind == MODEL_STEP_DENSE;
    const char *weight = is_dense ? "linear.weight" : "norm.weight";
    const char *bias = is_dense ? "linear.bias" : "norm.bias";
    if (config->head_files[ENDING_VECTOR]) {
        weight = "weight";
        bias = "bias";
    }
    if (config->head) weight = config->head->steps[step].weight;
    if (config->head) bias = config->head->steps[step].bias;
    parts[0] =
        (struct part){weight, s->width, is_dense ? ending_width(&config->model, step) : 0, true};
    parts[1] = (struct part){bias, s->width, 0, s->has_bias != 0};
}

static bool has_weights(const struct model_config *config, uint32_t step)
{
    return config->ending.steps[step].kind != MODEL_STEP_NORMALIZE;
}

/* A head's tensor may be under the encoder's prefix: "bert.pooler.dense.weight". */
static struct tensor *find_under_prefix(const struct weights *w, const char *name)
{
    const size_t bytes = strlen(name);
    for (uint32_t f = 0; f < w->n_files; f++) {
        for (uint32_t i = 0; i < w->files[f].n_tensors; i++) {
            struct tensor *t = &w->files[f].tensors[i];
            const size_t whole = strlen(t->name);
            if (whole > bytes && t->name[whole - bytes - 1] == '.' &&
                strcmp(t->name + whole - bytes, name) == 0)
                return t;
        }
    }
    return NULL;
}

static vecmill_status find_tensor(const struct weights *w, const struct part *part, bool of_head,
                                  const char *asks, struct tensor **tensor, vecmill_err *err)
{
    struct tensor *t = weights_find(w, part->name);
    if (!t && of_head) t = find_under_prefix(w, part->name);
    if (!t)
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" is missing", w->shown, part->name);
    VM_TRY(tensor_take(t, part->name, part->rows, part->columns, TENSOR_FLOATS, asks, err));
    *tensor = t;
    return VECMILL_OK;
}

/* The configuration of one ending, as if it were the only one. */
static void view_of(const struct config *config, enum ending_which which, struct config *view)
{
    *view = *config;
    ending_view(&config->model, which, &view->model);
    view->head_files[ENDING_VECTOR] = config->head_files[which];
    if (which != ENDING_VECTOR) view->head = NULL;
}

/* The file, or the folder, of a module's weights; those of a classifier's head are the
 * transformer's. */
static vecmill_status module_path(const char *dir, const struct config *config, uint32_t step,
                                  char *path, vecmill_err *err)
{
    char folder[IO_PATH_MAX];
    const char *file = config->head_files[ENDING_VECTOR];
    if (!file && !config->head && !config->is_inline)
        return io_join(dir, config->steps[step], path, err);
    VM_TRY(config_folder(dir, config, file ? folder : path, err));
    return file ? io_join(folder, file, path, err) : VECMILL_OK;
}

/* Opens a module's weights; finds its tensors, and no others. A missing part's tensor is NULL. Pair:
 * weights_close, also after a failure. */
static vecmill_status open_module(const char *dir, const struct config *config, uint32_t step,
                                  struct weights *w, struct tensor *tensors[2], vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct part parts[2];
    const bool is_inline = config->head != NULL || config->is_inline;
    const bool is_module = !is_inline && !config->head_files[ENDING_VECTOR];
    const char *asks = is_module ? "the module's config.json" : "config.json";
    *w = (struct weights){0};
    VM_TRY(module_path(dir, config, step, path, err));
    VM_TRY(config->head_files[ENDING_VECTOR] ? weights_open_file(path, w, err)
                                             : weights_open(path, w, err));
    parts_of(config, step, parts);
    for (int i = 0; i < 2; i++) {
        tensors[i] = NULL;
        if (parts[i].is_there) VM_TRY(find_tensor(w, &parts[i], is_inline, asks, &tensors[i], err));
    }
    if (is_inline) return VECMILL_OK; /* the others are the body's */
    for (uint32_t f = 0; f < w->n_files; f++) {
        for (uint32_t i = 0; i < w->files[f].n_tensors; i++) {
            const struct tensor *t = &w->files[f].tensors[i];
            if (t->taken) continue;
            return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\" is no part of the module",
                           t->file->shown, t->name);
        }
    }
    return VECMILL_OK;
}

static vecmill_status check_files(const char *dir, const struct config *config, vecmill_err *err)
{
    for (uint32_t i = 0; i < config->model.ending.n_steps; i++) {
        struct weights w;
        struct tensor *tensors[2];
        if (!has_weights(&config->model, i)) continue;
        const vecmill_status status = open_module(dir, config, i, &w, tensors, err);
        weights_close(&w);
        VM_TRY(status);
    }
    return VECMILL_OK;
}

vecmill_status ending_check_files(const char *dir, const struct config *config, vecmill_err *err)
{
    for (int which = 0; which < ENDINGS; which++) {
        struct config view;
        view_of(config, (enum ending_which)which, &view);
        VM_TRY(check_files(dir, &view, err));
    }
    return VECMILL_OK;
}

/* ---- writing ---- */

/* Floats of a module's largest tensor. */
static size_t floats_of(const struct model_config *config, uint32_t step)
{
    const size_t width = ending_width(config, step + 1);
    const bool is_dense = config->ending.steps[step].kind == MODEL_STEP_DENSE;
    return is_dense ? width * ending_width(config, step) : width;
}

/* The most that a matrix takes packed: no layout pads inputs or outputs beyond multiples of 64. */
static size_t packed_most(const struct model_config *config, uint32_t step)
{
    const bool is_dense = config->ending.steps[step].kind == MODEL_STEP_DENSE;
    return is_dense ? num_up(ending_width(config, step), 64) *
                          num_up(ending_width(config, step + 1), 64) * sizeof(float)
                    : 0;
}

struct writer {
    const struct config *config;
    const struct kern *kern;
    struct pack_writer *out;
    struct ending_layout layout;
    float *floats;
    void *packed;
};

static vecmill_status write_tensors(const struct writer *w, uint32_t step,
                                    struct tensor *const tensors[2], vecmill_err *err)
{
    const struct model_config *config = &w->config->model;
    struct part parts[2];
    parts_of(w->config, step, parts);
    for (int i = 0; i < 2; i++) {
        const size_t n = (size_t)parts[i].rows * (parts[i].columns ? parts[i].columns : 1);
        if (tensors[i])
            VM_TRY(tensor_read(tensors[i], 0, n, w->floats, err));
        else
            memset(w->floats, 0, n * sizeof *w->floats);
        if (parts[i].columns) {
            gemm_pack(w->kern, ending_shape(config, step), w->floats, w->packed);
            VM_TRY(pack_write(w->out, w->packed, w->layout.packed[step], err));
        } else {
            VM_TRY(pack_write(w->out, w->floats, n * sizeof *w->floats, err));
        }
        VM_TRY(pack_pad(w->out, LAYOUT_ALIGN, err));
    }
    return VECMILL_OK;
}

static vecmill_status take_buffers(struct writer *w, uint32_t step, vecmill_err *err)
{
    const struct model_config *config = &w->config->model;
    const size_t packed = w->layout.packed[step];
    if (packed > packed_most(config, step)) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "a packed matrix of %zu bytes after Pooling, the plan has %zu", packed,
                       packed_most(config, step));
    }
    VM_TRY(mem_new_array(floats_of(config, step), sizeof(float), "a module's weights",
                         (void **)&w->floats, err));
    return packed ? mem_new(packed, "a module's packed matrix", &w->packed, err) : VECMILL_OK;
}

static vecmill_status write_module(const char *dir, struct writer *w, uint32_t step,
                                   vecmill_err *err)
{
    struct weights weights;
    struct tensor *tensors[2];
    w->floats = NULL;
    w->packed = NULL;
    vecmill_status status = open_module(dir, w->config, step, &weights, tensors, err);
    if (status == VECMILL_OK) status = take_buffers(w, step, err);
    if (status == VECMILL_OK) status = write_tensors(w, step, tensors, err);
    mem_free(w->packed);
    mem_free(w->floats);
    weights_close(&weights);
    return status;
}

static vecmill_status write_ending(const char *dir, enum ending_which which,
                                   const struct config *config, const struct kern *kern,
                                   struct pack_writer *out, vecmill_err *err)
{
    struct writer w = {.config = config, .kern = kern, .out = out};
    struct ending_head head = {.zero = 0};
    VM_TRY(ending_layout(&config->model, kern, &w.layout, err));
    if (w.layout.total == 0) return VECMILL_OK;
    head.total = w.layout.total;
    snprintf(head.kern, sizeof head.kern, "%s", kern_signature(kern, KERN_FP32));
    VM_TRY(pack_begin(out, ending_section(which), err));
    VM_TRY(pack_write(out, &head, sizeof head, err));
    for (uint32_t i = 0; i < config->model.ending.n_steps; i++) {
        if (has_weights(&config->model, i)) VM_TRY(write_module(dir, &w, i, err));
    }
    return pack_end(out, err);
}

vecmill_status ending_write(const char *dir, const struct config *config, const struct kern *kern,
                            struct pack_writer *out, vecmill_err *err)
{
    for (int which = 0; which < ENDINGS; which++) {
        struct config view;
        view_of(config, (enum ending_which)which, &view);
        VM_TRY(write_ending(dir, (enum ending_which)which, &view, kern, out, err));
    }
    return VECMILL_OK;
}

static vecmill_status most_of(const char *dir, const struct config *config, size_t *most,
                              vecmill_err *err)
{
    for (uint32_t i = 0; i < config->model.ending.n_steps; i++) {
        char path[IO_PATH_MAX];
        size_t kept = 0, opening = 0;
        if (!has_weights(&config->model, i)) continue;
        VM_TRY(module_path(dir, config, i, path, err));
        VM_TRY(config->head_files[ENDING_VECTOR] ? weights_file_most(path, &kept, &opening, err)
                                                 : weights_most(path, &kept, &opening, err));
        const size_t buffers =
            floats_of(&config->model, i) * sizeof(float) + packed_most(&config->model, i);
        *most = num_max(*most, num_max(opening, kept + buffers));
    }
    return VECMILL_OK;
}

vecmill_status ending_most(const char *dir, const struct config *config, size_t *bytes,
                           vecmill_err *err)
{
    *bytes = 0;
    for (int which = 0; which < ENDINGS; which++) {
        struct config view;
        view_of(config, (enum ending_which)which, &view);
        VM_TRY(most_of(dir, &view, bytes, err));
    }
    return VECMILL_OK;
}
