#include "prompts.h"

#include "arch.h"
#include "late.h"
#include "tensor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_BYTES  64u  /* of a prompt's name in a message, with the NUL */
#define NAMES_BYTES 160u /* of all of them */

/* These two are there in every model, and empty where the file does not have them. */
static const char *const always[] = {"query", "document"};

struct prompts_file {
    struct json_value name, prompts, type;
    uint32_t truncate_dim;
};

static bool is_late(const struct json_value *type)
{
    return json_is(type, "MultiVectorEncoder") || json_is(type, "ColBERT");
}

/* The class that loads the folder; its modules say what it makes. */
static vecmill_status read_model_type(const struct json_reading *reading,
                                      const struct json_field *field,
                                      const struct json_value *value, vecmill_err *err)
{
    struct prompts_file *file = reading->target;
    VM_TRY(json_field_string(reading, field, value, err));
    file->type = *value;
    if (json_is(value, "SentenceTransformer") || json_is(value, "SparseEncoder") || is_late(value))
        return VECMILL_OK;
    return config_refuse(reading->name, field->key, value,
                         "SentenceTransformer, SparseEncoder, MultiVectorEncoder or ColBERT", err);
}

static vecmill_status read_members(const struct json_value *o, const char *shown,
                                   struct prompts_file *file, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("truncate_dim", U32, offsetof(struct prompts_file, truncate_dim), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("default_prompt_name", STRING, offsetof(struct prompts_file, name)),
        JSON_MAY("prompts", ANY, offsetof(struct prompts_file, prompts)),
        JSON_MAY("model_type", OWN, 0, .own = read_model_type),
    };
    return config_fields(o, fields, ARCH_LENGTH(fields), NULL, shown, file, err);
}

static bool is_always(const char *name)
{
    for (size_t i = 0; i < ARCH_LENGTH(always); i++)
        if (strcmp(name, always[i]) == 0) return true;
    return false;
}

/* A prompt's text as a string; null is the empty one, as in sentence-transformers. */
static vecmill_status take_text(const struct json_value *value, const char *name, const char *shown,
                                char text[MODEL_PROMPT_MAX], vecmill_err *err)
{
    text[0] = '\0';
    if (value->kind <= JSON_KIND_NULL) return VECMILL_OK;
    if (value->kind != JSON_KIND_STRING)
        return err_set(err, VECMILL_E_MODEL, "%s: prompt \"%.63s\" is not a string", shown, name);
    if (json_string_into(value, text, MODEL_PROMPT_MAX)) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: prompt \"%.63s\" has a NUL, or more than MODEL_PROMPT_MAX, %u bytes", shown,
                   name, MODEL_PROMPT_MAX);
}

/* The default prompt's name and text; "" where there is none. */
static vecmill_status take_default(const struct prompts_file *file, const char *shown,
                                   char text[MODEL_PROMPT_MAX], vecmill_err *err)
{
    char name[NAME_BYTES];
    text[0] = '\0';
    if (file->name.kind == JSON_KIND_ABSENT) return VECMILL_OK;
    const struct json_value prompt = json_find(&file->prompts, &file->name);
    json_show(&file->name, name, sizeof name);
    if (prompt.kind == JSON_KIND_ABSENT && !is_always(name))
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is missing", shown, name);
    return take_text(&prompt, name, shown, text, err);
}

vecmill_status prompts_parse(const struct json_value *o, const char *shown, struct config *config,
                             vecmill_err *err)
{
    struct prompts_file file = {.truncate_dim = config->model.truncate_dim};
    char text[MODEL_PROMPT_MAX];
    VM_TRY(read_members(o, shown, &file, err));
    config->model.truncate_dim = file.truncate_dim;
    VM_TRY(late_parse_prompts(o, shown, config, err));
    if (is_late(&file.type) && !config->is_multi)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"model_type\" is of late interaction, and modules.json has neither a "
                       "MultiVectorMask nor a module of pylate's",
                       shown);
    return take_default(&file, shown, text, err);
}

/* ---- one prompt, when a model is opened ---- */

/* "query, document, passage" */
static void list_names(const struct json_value *prompts, char out[NAMES_BYTES])
{
    struct json_each each = json_begin(prompts);
    struct json_value name, none;
    size_t used = (size_t)snprintf(out, NAMES_BYTES, "%s, %s", always[0], always[1]);
    while (json_each(&each, &name, &none)) {
        char text[NAME_BYTES];
        json_show(&name, text, sizeof text);
        if (is_always(text)) continue;
        const int n = snprintf(out + used, NAMES_BYTES - used, ", %s", text);
        if (n < 0 || (size_t)n >= NAMES_BYTES - used) {
            memcpy(out + NAMES_BYTES - 4, "...", 4);
            return;
        }
        used += (size_t)n;
    }
}

static vecmill_status find_prompt(const struct prompts_file *file, const char *name,
                                  const char *shown, char text[MODEL_PROMPT_MAX], vecmill_err *err)
{
    char names[NAMES_BYTES];
    /* of late interaction a text is a document, unless it is called a query */
    if (!name && is_late(&file->type)) name = always[1];
    if (!name) return take_default(file, shown, text, err);
    const struct json_value prompt = json_get(&file->prompts, name);
    if (prompt.kind != JSON_KIND_ABSENT || is_always(name))
        return take_text(&prompt, name, shown, text, err);
    list_names(&file->prompts, names);
    return err_set(err, VECMILL_E_USAGE, "no prompt of the model is called %.40s; there are %s",
                   name, names);
}

/* One of the files of a model, as an object; without it an empty one. b has its bytes. */
static vecmill_status read_object(const char *path, const char *shown, struct buf *b,
                                  struct json_value *root, vecmill_err *err)
{
    static const char empty[] = "{}";
    struct stat link;
    const bool is_there = lstat(path, &link) == 0 || errno != ENOENT;
    if (is_there) VM_TRY(io_read_file(path, b, VECMILL_E_MODEL, VECMILL_E_MODEL, err));
    VM_TRY(json_check(is_there ? b->data : empty, is_there ? b->bytes : sizeof empty - 1, shown,
                      VECMILL_E_MODEL, root, err));
    if (root->kind == JSON_KIND_OBJECT) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: not a JSON object", shown);
}

vecmill_status model_prompt(const char *dir, const char *name, char text[MODEL_PROMPT_MAX],
                            vecmill_err *err)
{
    struct config config;
    struct prompts_file file = {0};
    struct json_value root;
    struct buf b;
    char path[IO_PATH_MAX], name_of_file[CONFIG_NAME_BYTES], found[MODEL_PROMPT_MAX];
    config_init(&config);
    config_name(&config, CONFIG_PROMPTS, name_of_file);
    VM_TRY(io_join(dir, name_of_file, path, err));
    const char *shown = model_path_shown(path);
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    vecmill_status status = read_object(path, shown, &b, &root, err);
    if (status == VECMILL_OK) status = read_members(&root, shown, &file, err);
    if (status == VECMILL_OK) status = find_prompt(&file, name, shown, found, err);
    buf_done(&b);
    if (status == VECMILL_OK) memcpy(text, found, sizeof found);
    return status;
}

vecmill_status model_task_prompt(const char *dir, const char *task, char text[MODEL_PROMPT_MAX],
                                 vecmill_err *err)
{
    struct json_value root;
    struct buf b;
    char folder[IO_PATH_MAX], path[IO_PATH_MAX], found[MODEL_PROMPT_MAX];
    VM_TRY(model_folder(dir, folder, err));
    VM_TRY(io_join(folder, "config.json", path, err));
    const char *shown = model_path_shown(path);
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    vecmill_status status = read_object(path, shown, &b, &root, err);
    if (status == VECMILL_OK) {
        const struct json_value all = json_get(&root, "task_instructions");
        const struct json_value one = json_get(&all, task);
        status = take_text(&one, task, shown, found, err);
    }
    buf_done(&b);
    if (status == VECMILL_OK) memcpy(text, found, sizeof found);
    return status;
}
