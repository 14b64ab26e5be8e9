/* hub_shared: models in the caches of Hugging Face's libraries, read only.
 *
 * Layout (huggingface_hub, "Understand caching"):
 *     ROOT/models--<org>--<name>/refs/main             a commit, 40 hex digits
 *     ROOT/models--<org>--<name>/snapshots/<commit>/   the files, links to blobs
 *     ROOT/models--<org>--<name>/.no_exist/<commit>/   names that were requested and do not exist
 * A snapshot has only the files that were requested. It is used if it has all files that vectors depend
 * on. Promises to open no connection. Of a snapshot it reads only the two files that name others:
 * modules.json and the index of the weights. */
#include "hub_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Returns an environment variable, or NULL if it is unset or empty. */
static const char *set(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* Joins dir and the part below it. A leading "~" is the home folder. False: there is no home folder,
 * or the path is too long. */
static bool put_root(const char *dir, const char *below, char *root)
{
    const char *home = "";
    if (dir[0] == '~' && (dir[1] == '/' || dir[1] == '\0')) {
        home = set("HOME");
        if (!home) return false;
        dir++;
    }
    const int n = snprintf(root, IO_PATH_MAX, "%s%s%s", home, dir, below);
    return n > 0 && n < IO_PATH_MAX;
}

/* The same order as in huggingface_hub (its module "constants"). */
static bool hub_root(char *root)
{
    const char *dir;
    if ((dir = set("HF_HUB_CACHE")) || (dir = set("HUGGINGFACE_HUB_CACHE")))
        return put_root(dir, "", root);
    if ((dir = set("HF_HOME"))) return put_root(dir, "/hub", root);
    if ((dir = set("XDG_CACHE_HOME"))) return put_root(dir, "/huggingface/hub", root);
    return put_root("~", "/.cache/huggingface/hub", root);
}

bool hub_shared_root(unsigned i, char *root)
{
    static const char *const others[] = {"TRANSFORMERS_CACHE", "SENTENCE_TRANSFORMERS_HOME"};
    root[0] = '\0';
    if (i == 0) return hub_root(root) || true;
    if (i > sizeof others / sizeof others[0]) return false;
    const char *dir = set(others[i - 1]);
    if (!dir || !put_root(dir, "", root)) root[0] = '\0';
    return true;
}

/* The folder that is checked, and the first file that it lacks. */
struct shared_snapshot {
    char dir[IO_PATH_MAX], path[IO_PATH_MAX];
    /* The folder in dir of configuration, weights and tokenizer, with a slash; "": dir. */
    char inner[HUB_FILE_MAX];
    char missing[2 * HUB_FILE_MAX];
};

static bool has(struct shared_snapshot *s, const char *name)
{
    struct stat st;
    return io_join(s->dir, name, s->path, NULL) == VECMILL_OK && stat(s->path, &st) == 0 &&
           S_ISREG(st.st_mode) && st.st_size > 0;
}

static bool needs(struct shared_snapshot *s, const char *name)
{
    if (has(s, name)) return true;
    hub_printable(name, strlen(name), s->missing, sizeof s->missing);
    return false;
}

/* The same for a file in the inner folder. */
static bool has_inner(struct shared_snapshot *s, const char *name)
{
    char inner[2 * HUB_FILE_MAX];
    return snprintf(inner, sizeof inner, "%s%s", s->inner, name) < (int)sizeof inner &&
           has(s, inner);
}

static bool needs_inner(struct shared_snapshot *s, const char *name)
{
    char inner[2 * HUB_FILE_MAX];
    return snprintf(inner, sizeof inner, "%s%s", s->inner, name) < (int)sizeof inner &&
           needs(s, inner);
}

/* Reads a JSON file of the inner folder. json->kind is JSON_KIND_ABSENT if it is missing or cannot be
 * read. Pair: buf_done, in either case. */
static void read_json(struct shared_snapshot *s, const char *name, struct buf *text,
                      struct json_value *json)
{
    json->kind = JSON_KIND_ABSENT;
    buf_init(text, HUB_SMALL_JSON_MAX, "HUB_SMALL_JSON_MAX");
    if (has_inner(s, name) && hub_read_json(s->path, text, json, NULL) != VECMILL_OK)
        json->kind = JSON_KIND_ABSENT;
}

/* All files that an index names. */
static bool has_shards(struct shared_snapshot *s, const char *index)
{
    struct json_value json, tensor, file;
    struct buf text;
    read_json(s, index, &text, &json);
    const struct json_value map = json_get(&json, "weight_map");
    struct json_each each = json_begin(&map);
    bool whole = map.kind == JSON_KIND_OBJECT && json_count(&map) > 0;
    while (whole && json_each(&each, &tensor, &file)) {
        char name[HUB_FILE_MAX];
        whole = json_string_into(&file, name, sizeof name) && !strchr(name, '/') &&
                needs_inner(s, name);
    }
    buf_done(&text);
    return whole;
}

/* The weights are one file, or all files that an index names. The first of these names that exists
 * decides, as it does when the model is read. */
static bool has_weights(struct shared_snapshot *s)
{
    bool whole = false, decided = false;
    for (unsigned i = 0; i < HUB_WEIGHTS_KINDS && !decided; i++) {
        whole = has_inner(s, hub_weights[i].file);
        decided = whole || has_inner(s, hub_weights[i].index);
        if (decided && !whole) whole = has_shards(s, hub_weights[i].index);
    }
    if (!whole && s->missing[0] == '\0') (void)needs_inner(s, hub_weights[0].file);
    return whole;
}

/* Configuration and weights of a module after the pooling, `folder` with its slash. */
static bool has_step(struct shared_snapshot *s, const char *folder)
{
    char inner[sizeof s->inner];
    memcpy(inner, s->inner, sizeof inner);
    memcpy(s->inner, folder, strlen(folder) + 1);
    const bool whole = needs_inner(s, "config.json") && has_weights(s);
    memcpy(s->inner, inner, sizeof inner);
    return whole;
}

/* Records the folder of the transformer. Checks that the files of the others are there. */
static bool has_module(struct shared_snapshot *s, const struct json_value *module)
{
    const struct json_value type_value = json_get(module, "type");
    const struct json_value path_value = json_get(module, "path");
    char type[HUB_FILE_MAX], path[HUB_FILE_MAX], name[2 * HUB_FILE_MAX];
    if (type_value.kind != JSON_KIND_STRING || path_value.kind != JSON_KIND_STRING) return true;
    json_show(&type_value, type, sizeof type);
    const bool fits = json_string_into(&path_value, path, sizeof path);
    if (fits && path[0] == '\0') return true;
    const bool is_inside = fits && path[0] != '/' && path[0] != '.' &&
                           snprintf(name, sizeof s->inner, "%s/", path) < (int)sizeof s->inner;
    if (strstr(type, "Transformer") && is_inside) memcpy(s->inner, name, strlen(name) + 1);
    if (strstr(type, "Dense") || strstr(type, "LayerNorm")) return is_inside && has_step(s, name);
    if (!strstr(type, "Pooling")) return true;
    return is_inside && snprintf(name, HUB_FILE_MAX, "%s/config.json", path) < HUB_FILE_MAX &&
           needs(s, name);
}

/* In a sentence-transformers model, modules.json and the folders it names define how tokens become a
 * vector. Without that file the same weights give another vector. So if it is missing here, `none`
 * must record that the model has no such file. */
static bool has_modules(struct shared_snapshot *s, const char *none)
{
    static const char modules[] = "modules.json";
    struct json_value json, key, module;
    struct buf text;
    struct stat st;
    if (!has(s, modules)) {
        if (io_join(none, modules, s->path, NULL) == VECMILL_OK && stat(s->path, &st) == 0)
            return true;
        return needs(s, modules);
    }
    read_json(s, modules, &text, &json);
    struct json_each each = json_begin(&json);
    bool whole = json.kind == JSON_KIND_ARRAY;
    s->inner[0] = '\0';
    while (whole && json_each(&each, &key, &module))
        whole = has_module(s, &module);
    buf_done(&text);
    return whole;
}

static bool is_whole(struct shared_snapshot *s, const char *none)
{
    return has_modules(s, none) && needs_inner(s, "config.json") && has_weights(s) &&
           (has_inner(s, "vocab.txt") || needs_inner(s, "tokenizer.json"));
}

/* Reads the commit that refs/main names. False: there is none, or it is no commit id. */
static bool read_main(const char *home, char commit[HUB_COMMIT_BYTES + 1])
{
    char path[IO_PATH_MAX];
    struct buf b;
    bool ok = false;
    buf_init(&b, HUB_COMMIT_BYTES + 2, "HUB_COMMIT_BYTES");
    if (io_join(home, "refs/main", path, NULL) == VECMILL_OK &&
        io_read_file(path, &b, VECMILL_E_NOTFOUND, VECMILL_E_NOTFOUND, NULL) == VECMILL_OK &&
        b.bytes >= HUB_COMMIT_BYTES) {
        memcpy(commit, b.data, HUB_COMMIT_BYTES);
        commit[HUB_COMMIT_BYTES] = '\0';
        ok = hub_is_hex(commit, HUB_COMMIT_BYTES);
    }
    buf_done(&b);
    return ok;
}

static bool look_in(const char *root, const struct hub_ref *ref, struct shared_snapshot *s)
{
    char home[IO_PATH_MAX], none[IO_PATH_MAX], commit[HUB_COMMIT_BYTES + 1];
    if (snprintf(home, sizeof home, "%s/models--%s", root, ref->folder) >= (int)sizeof home)
        return false;
    if (ref->commit[0])
        memcpy(commit, ref->commit, sizeof commit);
    else if (!read_main(home, commit))
        return false;
    struct stat st;
    if (snprintf(s->dir, sizeof s->dir, "%s/snapshots/%s", home, commit) >= (int)sizeof s->dir ||
        snprintf(none, sizeof none, "%s/.no_exist/%s", home, commit) >= (int)sizeof none)
        return false;
    return stat(s->dir, &st) == 0 && is_whole(s, none);
}

bool hub_shared_find(const struct hub_ref *ref, char *dir, char *looked, size_t size)
{
    void *memory = NULL;
    char root[IO_PATH_MAX];
    bool found = false;
    size_t used = 0;
    looked[0] = '\0';
    if (mem_new(sizeof(struct shared_snapshot), "a snapshot", &memory, NULL) != VECMILL_OK)
        return false;
    struct shared_snapshot *s = memory;
    for (unsigned i = 0; !found && hub_shared_root(i, root); i++) {
        if (!root[0]) continue;
        s->missing[0] = s->inner[0] = '\0';
        found = look_in(root, ref, s);
        if (found || used >= size - 1) continue;
        used += (size_t)snprintf(looked + used, size - used, ", %s%s%s%s", root,
                                 s->missing[0] ? " (which lacks " : "", s->missing,
                                 s->missing[0] ? ")" : "");
    }
    if (found) memcpy(dir, s->dir, strlen(s->dir) + 1);
    mem_free(s);
    return found;
}
