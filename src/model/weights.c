/* weights: the index is read into two lists and its text freed before any header is read. */
#include "weights.h"

#include "model.h"

#include <stdio.h>
#include <string.h>

/* ---- which files ---- */

/* In the order in which they are looked for. */
static const struct {
    const char *file, *index, *stem, *ending; /* shards: STEM-00001-of-00002ENDING */
} kinds[] = {
    {"model.safetensors", "model.safetensors.index.json", "model", ".safetensors"},
    {"pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model", ".bin"},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* A shard's name: a file of the folder itself. */
static bool plain_name(const char *name)
{
    const size_t bytes = strlen(name);
    if (bytes == 0 || bytes >= WEIGHTS_NAME_MAX || name[0] == '.') return false;
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)name[i] < ' ' || name[i] == '/' || name[i] == '\\') return false;
    }
    return true;
}

/* The number of the shard of this name; a new one if there is none. */
static vecmill_status number_shard(struct weights_list *list, const char *name, const char *shown,
                                   uint8_t *number, vecmill_err *err)
{
    for (uint32_t i = 0; i < list->n; i++) {
        *number = (uint8_t)i;
        if (strcmp(list->names[i], name) == 0) return VECMILL_OK;
    }
    if (!plain_name(name)) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"%.64s\" is no name of a file in this folder",
                       shown, name);
    }
    if (list->n == WEIGHTS_SHARDS_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: names more files than WEIGHTS_SHARDS_MAX, %u",
                       shown, WEIGHTS_SHARDS_MAX);
    }
    *number = (uint8_t)list->n;
    snprintf(list->names[list->n++], WEIGHTS_NAME_MAX, "%s", name);
    return VECMILL_OK;
}

static vecmill_status read_map(const struct json_value *index, const char *shown,
                               struct weights_list *list, vecmill_err *err)
{
    const struct json_value map = json_get(index, "weight_map");
    struct json_each each = json_begin(&map);
    struct json_value key, file;
    const size_t n = json_count(&map);
    if (map.kind != JSON_KIND_OBJECT || n == 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"weight_map\" is missing, empty, or not an object", shown);
    }
    if (n > MODEL_TENSORS_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu tensors, MODEL_TENSORS_MAX is %u", shown, n,
                       MODEL_TENSORS_MAX);
    }
    /* A name takes no more bytes than its text, which has two quotes for the NUL. */
    VM_TRY(mem_new(map.bytes, "the names of an index", (void **)&list->tensors, err));
    VM_TRY(mem_new(n, "the files of an index", (void **)&list->in, err));
    char *end = list->tensors;
    while (json_each(&each, &key, &file)) {
        char name[WEIGHTS_NAME_MAX];
        uint64_t replaced = 0;
        const char *tensor = end;
        end += json_decode(&key, end, &replaced);
        *end++ = '\0';
        if (file.kind != JSON_KIND_STRING) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"weight_map\": \"%.64s\" is not a string",
                           shown, tensor);
        }
        if (!json_string_into(&file, name, sizeof name)) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: \"%.64s\" is no name of a file in this folder", shown,
                           json_show(&file, name, sizeof name));
        }
        VM_TRY(number_shard(list, name, shown, &list->in[list->n_tensors], err));
        list->n_tensors++;
    }
    return VECMILL_OK;
}

static vecmill_status read_index(const char *path, struct weights_list *list, vecmill_err *err)
{
    struct buf b;
    struct json_value index;
    const char *shown = model_path_shown(path);
    buf_init(&b, WEIGHTS_INDEX_MAX, "WEIGHTS_INDEX_MAX");
    vecmill_status status = io_read_file(path, &b, VECMILL_E_MODEL, VECMILL_E_MODEL, err);
    if (status == VECMILL_OK) status = stray_check(b.data, b.bytes, shown, VECMILL_E_MODEL, err);
    if (status == VECMILL_OK)
        status = json_check(b.data, b.bytes, shown, VECMILL_E_MODEL, &index, err);
    if (status == VECMILL_OK) status = read_map(&index, shown, list, err);
    buf_done(&b);
    return status;
}

/* No file and no index exists: reports what does. */
static vecmill_status say_what_is_there(const char *dir, char *other, vecmill_err *err)
{
    static const char *const others[] = {
        "tf_model.h5", "flax_model.msgpack",        "model.onnx",        "onnx/model.onnx",
        "model.gguf",  "adapter_model.safetensors", "adapter_model.bin", "openvino_model.bin"};
    char weights[IO_PATH_MAX];
    VM_TRY(io_join(dir, kinds[0].file, weights, err));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        VM_TRY(io_join(dir, others[i], other, err));
        if (!io_exists(other)) continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s is missing; there is %s, but weights are read from safetensors and "
                       "torch's %s only",
                       model_path_shown(weights), others[i], kinds[1].file);
    }
    for (size_t i = 0; i < KINDS; i++) {
        for (unsigned n = 1; n <= WEIGHTS_SHARDS_MAX; n++) {
            char shard[48];
            snprintf(shard, sizeof shard, "%s-00001-of-%05u%s", kinds[i].stem, n, kinds[i].ending);
            VM_TRY(io_join(dir, shard, other, err));
            if (!io_exists(other)) continue;
            return err_set(err, VECMILL_E_MODEL, "%s is missing; there is %s, but no %s",
                           model_path_shown(weights), shard, kinds[i].index);
        }
    }
    return err_set(err, VECMILL_E_MODEL, "%s is missing, and so is %s", model_path_shown(weights),
                   kinds[1].file);
}

/* The first file or index that exists, its path into `path`. */
static vecmill_status find_kind(const char *dir, char *path, const char **file, const char **index,
                                vecmill_err *err)
{
    for (size_t i = 0; i < KINDS; i++) {
        *file = kinds[i].file;
        *index = NULL;
        VM_TRY(io_join(dir, *file, path, err));
        if (io_exists(path)) return VECMILL_OK;
        *index = kinds[i].index;
        VM_TRY(io_join(dir, *index, path, err));
        if (io_exists(path)) return VECMILL_OK;
    }
    return say_what_is_there(dir, path, err);
}

vecmill_status weights_list(const char *dir, struct weights_list *list, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    const char *file;
    *list = (struct weights_list){0};
    VM_TRY(find_kind(dir, path, &file, &list->index, err));
    VM_TRY(mem_new_array(list->index ? WEIGHTS_SHARDS_MAX : 1, sizeof *list->names,
                         "the list of weights", (void **)&list->names, err));
    if (!list->index) {
        snprintf(list->names[list->n++], WEIGHTS_NAME_MAX, "%s", file);
        return VECMILL_OK;
    }
    const vecmill_status status = read_index(path, list, err);
    if (status != VECMILL_OK) weights_list_done(list);
    return status;
}

void weights_list_done(struct weights_list *list)
{
    mem_free(list->in);
    mem_free(list->tensors);
    mem_free(list->names);
    *list = (struct weights_list){0};
}

/* ---- their tensors ---- */

/* Every tensor of the index is in the file that it says. */
static vecmill_status check_map(const struct weights *w, const struct weights_list *list,
                                vecmill_err *err)
{
    const char *tensor = list->tensors;
    for (uint32_t i = 0; i < list->n_tensors; i++, tensor += strlen(tensor) + 1) {
        if (tensor_file_find(&w->files[list->in[i]], tensor)) continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\" is not in %.48s, where %s has it", w->shown, tensor,
                       list->names[list->in[i]], list->index);
    }
    return VECMILL_OK;
}

/* No tensor is in two files. */
static vecmill_status check_once(const struct weights *w, const struct weights_list *list,
                                 vecmill_err *err)
{
    for (uint32_t i = 1; i < w->n_files; i++) {
        for (uint32_t k = 0; k < w->files[i].n_tensors; k++) {
            const char *name = w->files[i].tensors[k].name;
            for (uint32_t earlier = 0; earlier < i; earlier++) {
                if (!tensor_file_find(&w->files[earlier], name)) continue;
                return err_set(err, VECMILL_E_MODEL,
                               "%s: tensor \"%.64s\" is in %.40s and in %.40s", w->shown, name,
                               list->names[earlier], list->names[i]);
            }
        }
    }
    return VECMILL_OK;
}

static vecmill_status open_files(const char *dir, const struct weights_list *list,
                                 struct weights *w, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    VM_TRY(io_join(dir, list->index ? list->index : list->names[0], w->path, err));
    w->shown = model_path_shown(w->path);
    VM_TRY(
        mem_new_array(list->n, sizeof *w->files, "the files of weights", (void **)&w->files, err));
    for (uint32_t i = 0; i < list->n; i++) {
        VM_TRY(io_join(dir, list->names[i], path, err));
        if (list->index && !io_exists(path)) {
            return err_set(err, VECMILL_E_MODEL, "%s: names %.64s, which is missing", w->shown,
                           list->names[i]);
        }
        VM_TRY(tensor_file_open(path, &w->files[i], err));
        w->n_files++;
        w->n_tensors += w->files[i].n_tensors;
        if (w->n_tensors > MODEL_TENSORS_MAX) {
            return err_set(err, VECMILL_E_MODEL, "%s: %u tensors, MODEL_TENSORS_MAX is %u",
                           w->shown, w->n_tensors, MODEL_TENSORS_MAX);
        }
    }
    if (!list->index) return VECMILL_OK;
    VM_TRY(check_map(w, list, err));
    return check_once(w, list, err);
}

vecmill_status weights_open(const char *dir, struct weights *w, vecmill_err *err)
{
    struct weights_list list;
    w->shown = "";
    w->n_files = w->n_tensors = 0;
    w->files = NULL;
    VM_TRY(weights_list(dir, &list, err));
    const vecmill_status status = open_files(dir, &list, w, err);
    weights_list_done(&list);
    return status;
}

vecmill_status weights_open_file(const char *path, struct weights *w, vecmill_err *err)
{
    *w = (struct weights){.shown = ""};
    VM_TRY(mem_new(sizeof *w->files, "the files of weights", (void **)&w->files, err));
    VM_TRY(tensor_file_open(path, &w->files[0], err));
    w->shown = w->files[0].shown;
    w->n_files = 1;
    w->n_tensors = w->files[0].n_tensors;
    return VECMILL_OK;
}

void weights_close(struct weights *w)
{
    for (uint32_t i = 0; i < w->n_files; i++)
        tensor_file_close(&w->files[i]);
    mem_free(w->files);
    w->files = NULL;
    w->n_files = w->n_tensors = 0;
}

static struct tensor *find(const struct weights *w, const char *name)
{
    for (uint32_t i = 0; i < w->n_files; i++) {
        struct tensor *t = tensor_file_find(&w->files[i], name);
        if (t) return t;
    }
    return NULL;
}

struct tensor *weights_find(const struct weights *w, const char *name)
{
    static const struct {
        const char *now, *before;
    } tails[] = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}};
    struct tensor *t = find(w, name);
    const size_t bytes = strlen(name);
    for (size_t i = 0; !t && i < sizeof tails / sizeof *tails; i++) {
        char before[160];
        const size_t tail = strlen(tails[i].now);
        if (bytes < tail || strcmp(name + bytes - tail, tails[i].now) != 0) continue;
        snprintf(before, sizeof before, "%.*s%s", (int)(bytes - tail), name, tails[i].before);
        t = find(w, before);
    }
    return t;
}

/* ---- the plan ---- */

vecmill_status weights_most(const char *dir, size_t *kept, size_t *most, vecmill_err *err)
{
    struct weights_list list;
    char path[IO_PATH_MAX];
    size_t index = 0, opening = 0;
    *kept = 0;
    VM_TRY(weights_list(dir, &list, err));
    vecmill_status status = VECMILL_OK;
    if (list.index) {
        struct stat file;
        status = io_join(dir, list.index, path, err);
        const bool is_there = status == VECMILL_OK && stat(path, &file) == 0;
        const size_t bytes = is_there ? num_min((size_t)file.st_size, WEIGHTS_INDEX_MAX) : 0;
        index = 2 * bytes + MODEL_TENSORS_MAX + sizeof *list.names * WEIGHTS_SHARDS_MAX;
    }
    for (uint32_t i = 0; i < list.n && status == VECMILL_OK; i++) {
        size_t file = 0, more = 0;
        status = io_join(dir, list.names[i], path, err);
        if (status == VECMILL_OK) status = tensor_file_most(path, &file, &more, err);
        *kept += sizeof(struct tensor_file) + file;
        opening = num_max(opening, more);
    }
    weights_list_done(&list);
    *most = *kept + index + opening;
    return status;
}

vecmill_status weights_file_most(const char *path, size_t *kept, size_t *most, vecmill_err *err)
{
    size_t opening = 0;
    VM_TRY(tensor_file_most(path, kept, &opening, err));
    *kept += sizeof(struct tensor_file);
    *most = *kept + opening;
    return VECMILL_OK;
}
