#include "modules.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* ---- modules.json ---- */

/* A path within the folder: relative, no empty part, none of dots only, no control character.
 * Slashes at its end are dropped. */
static bool safe_path(const char *path, char out[CONFIG_PATH_BYTES])
{
    size_t bytes = strlen(path), part = 0;
    bool dots = true;
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    if (bytes >= CONFIG_PATH_BYTES) return false;
    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || path[i] == '/') {
            if (part == 0 || dots) return false;
            part = 0;
            dots = true;
            continue;
        }
        if ((unsigned char)path[i] < ' ' || path[i] == '\\') return false;
        dots = dots && path[i] == '.';
        part++;
    }
    memset(out, 0, CONFIG_PATH_BYTES);
    memcpy(out, path, bytes);
    return true;
}

struct module {
    struct json_value type, kwargs, path;
    uint32_t idx;
};

/* A module's class: the last word of a type of sentence-transformers. */
static vecmill_status check_class(const struct json_value *type, size_t place, const char *shown,
                                  vecmill_err *err)
{
    static const char *const order[] = {"Transformer", "Pooling", "Normalize"};
    char text[256];
    const bool is_whole = json_string_into(type, text, sizeof text);
    const char *dot = strrchr(text, '.');
    if (!is_whole || strncmp(text, "sentence_transformers.", 22) != 0 || !dot) {
        return config_refuse(shown, "type", type,
                             "sentence_transformers' Transformer, Pooling and Normalize", err);
    }
    size_t known = 0;
    while (known < LENGTH(order) && strcmp(dot + 1, order[known]) != 0)
        known++;
    if (known == LENGTH(order)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"type\" is \"%.48s\"; only Transformer, Pooling and Normalize is "
                       "computed here",
                       shown, dot + 1);
    }
    if (known != place) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is %s where %s is expected", shown,
                       place, dot + 1, order[place]);
    }
    return VECMILL_OK;
}

static vecmill_status parse_module(const struct json_value *value, size_t place, const char *shown,
                                   struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("type", STRING, offsetof(struct module, type)),
        JSON_MAY("idx", U32, offsetof(struct module, idx), .most = UINT32_MAX),
        JSON_MAY("kwargs", ANY, offsetof(struct module, kwargs)),
        JSON_MAY("path", STRING, offsetof(struct module, path)),
    };
    struct module module = {.idx = (uint32_t)place};
    if (value->kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is not an object", shown, place);
    }
    VM_TRY(config_fields(value, fields, LENGTH(fields), NULL, shown, &module, err));
    VM_TRY(check_class(&module.type, place, shown, err));
    if (module.idx != place) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu has \"idx\" %u", shown, place,
                       module.idx);
    }
    if (json_count(&module.kwargs) != 0) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"kwargs\" of module %zu are not understood",
                       shown, place);
    }
    char path[2 * CONFIG_PATH_BYTES] = "";
    const bool is_given = module.path.kind == JSON_KIND_STRING;
    const bool is_whole = !is_given || json_string_into(&module.path, path, sizeof path);
    /* The transformer may be the folder itself. Normalize has no file, so its folder is not read. */
    if (place == 0 && is_whole && path[0] == '\0') return VECMILL_OK;
    if (place <= 1 &&
        !(is_whole && safe_path(path, place == 0 ? config->transformer : config->pooling))) {
        char text[65];
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"path\" of module %zu is \"%s\", no folder within the model's", shown,
                       place, json_show(&module.path, text, sizeof text));
    }
    return VECMILL_OK;
}

vecmill_status modules_parse(const struct json_value *list, const char *shown,
                             struct config *config, vecmill_err *err)
{
    struct json_each each = json_begin(list);
    struct json_value none, module;
    if (list->kind != JSON_KIND_ARRAY) {
        return err_set(err, VECMILL_E_MODEL, "%s: not an array of modules", shown);
    }
    const size_t n = json_count(list);
    if (n < 2 || n > 3) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %zu modules, 2 or 3 are computed: Transformer, Pooling, Normalize",
                       shown, n);
    }
    for (size_t i = 0; json_each(&each, &none, &module); i++)
        VM_TRY(parse_module(&module, i, shown, config, err));
    config->has_pooling_file = true;
    config->model.normalize = n == 3;
    return VECMILL_OK;
}

/* ---- N_Pooling/config.json ---- */

/* One flag for each mode; if several were set, their results would be concatenated. */
static const char *const pooling_flags[] = {
    "pooling_mode_mean_tokens",         "pooling_mode_cls_token",
    "pooling_mode_max_tokens",          "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"};

static const char pooling_only[] = "mean or cls pooling";

struct pooling_file {
    uint32_t dims[2]; /* 0: not given */
    struct json_value mode;
    bool flags[LENGTH(pooling_flags)];
};

static vecmill_status check_dimension(const struct pooling_file *file, const char *shown,
                                      const struct config *config, vecmill_err *err)
{
    static const char *const keys[] = {"word_embedding_dimension", "embedding_dimension"};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (file->dims[i] == 0 || file->dims[i] == config->model.hidden) continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%s\" is %u, \"hidden_size\" of config.json is %u", shown, keys[i],
                       file->dims[i], config->model.hidden);
    }
    if (file->dims[0] == 0 && file->dims[1] == 0)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is missing", shown, keys[0]);
    return VECMILL_OK;
}

static vecmill_status check_flags(const struct pooling_file *file, const char *shown,
                                  struct config *config, vecmill_err *err)
{
    const char *set = NULL;
    for (size_t i = 0; i < LENGTH(pooling_flags); i++) {
        if (!file->flags[i]) continue;
        if (i > 1) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is true; only %s is computed here",
                           shown, pooling_flags[i], pooling_only);
        }
        if (set) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: \"%s\" and \"%s\" are both true; one is computed", shown, set,
                           pooling_flags[i]);
        }
        set = pooling_flags[i];
        config->model.pooling = i == 0 ? MODEL_POOL_MEAN : MODEL_POOL_CLS;
    }
    if (!set) return err_set(err, VECMILL_E_MODEL, "%s: no pooling mode is true", shown);
    return VECMILL_OK;
}

vecmill_status modules_parse_pooling(const struct json_value *o, const char *shown,
                                     struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("word_embedding_dimension", U32, offsetof(struct pooling_file, dims[0]),
                 .least = 1, .most = UINT32_MAX),
        JSON_MAY("embedding_dimension", U32, offsetof(struct pooling_file, dims[1]), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("pooling_mode", STRING, offsetof(struct pooling_file, mode)),
        JSON_MAY("pooling_mode_mean_tokens", BOOL, offsetof(struct pooling_file, flags[0])),
        JSON_MAY("pooling_mode_cls_token", BOOL, offsetof(struct pooling_file, flags[1])),
        JSON_MAY("pooling_mode_max_tokens", BOOL, offsetof(struct pooling_file, flags[2])),
        JSON_MAY("pooling_mode_mean_sqrt_len_tokens", BOOL,
                 offsetof(struct pooling_file, flags[3])),
        JSON_MAY("pooling_mode_weightedmean_tokens", BOOL, offsetof(struct pooling_file, flags[4])),
        JSON_MAY("pooling_mode_lasttoken", BOOL, offsetof(struct pooling_file, flags[5])),
        JSON_MAY("include_prompt", UNREAD, 0),
    };
    /* Mean is on unless it is set to false (sentence-transformers, Pooling.__init__). */
    struct pooling_file file = {.flags = {true}};
    VM_TRY(config_fields(o, fields, LENGTH(fields), config_refuse_key, shown, &file, err));
    VM_TRY(check_dimension(&file, shown, config, err));
    if (file.mode.kind == JSON_KIND_ABSENT) return check_flags(&file, shown, config, err);
    const bool is_cls = json_is(&file.mode, "cls");
    if (!is_cls && !json_is(&file.mode, "mean"))
        return config_refuse(shown, "pooling_mode", &file.mode, pooling_only, err);
    config->model.pooling = is_cls ? MODEL_POOL_CLS : MODEL_POOL_MEAN;
    return VECMILL_OK;
}
