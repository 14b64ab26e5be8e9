/* hub_shared: models in the caches of Hugging Face's own libraries, which vecmill reads and never writes.
 *
 * Layout (huggingface_hub, "Understand caching"):
 *     ROOT/models--<org>--<name>/refs/main             a commit, 40 hex digits
 *     ROOT/models--<org>--<name>/snapshots/<commit>/   the files, links to blobs
 *     ROOT/models--<org>--<name>/.no_exist/<commit>/   names that were asked for and are not there
 * A snapshot has the files that somebody asked for, so it is taken when all that vectors depend on are there.
 * Promises to open no connection. Does not know what is inside a file but the two that name others. */
#include "hub_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A variable of the environment, NULL when unset or empty. */
static const char *set(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* dir, with "~" for the home folder, and what comes below it. */
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

/* The rule of huggingface_hub, in its constants. */
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

/* What is looked into: one folder, and the first name that it lacks. */
struct shared_snapshot {
    char dir[IO_PATH_MAX], path[IO_PATH_MAX];
    char inner
        [HUB_FILE_MAX]; /* the folder of configuration, weights and tokenizer in it, with a slash, or "" */
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

/* The same of a name in the inner folder. */
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

static json_t *read_json(struct shared_snapshot *s, const char *name)
{
    json_t *json = NULL;
    if (!has_inner(s, name)) return NULL;
    (void)jsonx_read_file(s->path, HUB_SMALL_JSON_MAX, VECMILL_E_NOTFOUND, VECMILL_E_NOTFOUND,
                          &json, NULL);
    return json;
}

/* Weights in one file, or all that an index names. */
static bool has_weights(struct shared_snapshot *s)
{
    static const char one[] = "model.safetensors", index[] = "model.safetensors.index.json";
    if (has_inner(s, one)) return true;
    json_t *json = read_json(s, index);
    json_t *map = json_object_get(json, "weight_map"), *file;
    bool whole = json_object_size(map) > 0;
    const char *tensor;
    json_object_foreach(map, tensor, file)
    {
        const char *name = json_string_value(file);
        whole = whole && name && !strchr(name, '/') && needs_inner(s, name);
    }
    json_decref(json);
    if (!whole && s->missing[0] == '\0') snprintf(s->missing, sizeof s->missing, "%s", one);
    return whole;
}

/* A sentence-transformers model says how tokens become a vector in modules.json and the folders it
 * names; without that file another vector would be made of the same weights, so it must be known
 * that there is none. */
static bool has_modules(struct shared_snapshot *s, const char *none)
{
    static const char modules[] = "modules.json";
    struct stat st;
    if (!has(s, modules)) {
        if (io_join(none, modules, s->path, NULL) == VECMILL_OK && stat(s->path, &st) == 0)
            return true;
        return needs(s, modules);
    }
    json_t *json = read_json(s, modules);
    bool whole = json_is_array(json);
    s->inner[0] = '\0';
    for (size_t i = 0; whole && i < json_array_size(json); i++) {
        const json_t *module = json_array_get(json, i);
        const char *type = json_string_value(json_object_get(module, "type"));
        const char *path = json_string_value(json_object_get(module, "path"));
        char name[HUB_FILE_MAX];
        if (!type || !path || !path[0]) continue;
        const bool is_inside = path[0] != '/' && path[0] != '.' &&
                               snprintf(name, sizeof name, "%s/", path) < (int)sizeof name;
        if (strstr(type, "Transformer") && is_inside) memcpy(s->inner, name, strlen(name) + 1);
        if (!strstr(type, "Pooling")) continue;
        whole = is_inside &&
                snprintf(name, sizeof name, "%s/config.json", path) < (int)sizeof name &&
                needs(s, name);
    }
    json_decref(json);
    return whole;
}

static bool is_whole(struct shared_snapshot *s, const char *none)
{
    return has_modules(s, none) && needs_inner(s, "config.json") && has_weights(s) &&
           (has_inner(s, "vocab.txt") || needs_inner(s, "tokenizer.json"));
}

/* The commit that refs/main names. */
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
