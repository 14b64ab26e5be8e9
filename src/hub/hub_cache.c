/* hub_cache: where models are on this machine, and whether one is whole.
 *
 * Promises to write nothing, and that a folder it hands out has every file its manifest lists, with
 * the size stated. Does not know the network. */
#include "hub_inner.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

vecmill_status hub_home(const char *cache, const struct hub_ref *ref, char *home, vecmill_err *err)
{
    char models[IO_PATH_MAX];
    VM_TRY(io_join(cache, "models", models, err));
    return io_join(models, ref->folder, home, err);
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

vecmill_status hub_read_json(const char *path, struct buf *text, struct json_value *root,
                             vecmill_err *err)
{
    VM_TRY(io_read_file(path, text, VECMILL_E_NOTFOUND, VECMILL_E_NOTFOUND, err));
    return json_check(text->data, text->bytes, path, VECMILL_E_NOTFOUND, root, err);
}

struct entry {
    struct json_value name, bytes;
};

/* One entry of the manifest's "files" against the file itself. */
static vecmill_status check_file(const char *dir, const char *manifest,
                                 const struct json_value *value, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("name", STRING, offsetof(struct entry, name)),
        JSON_MAY("bytes", ANY, offsetof(struct entry, bytes))};
    struct entry entry = {.name.kind = JSON_KIND_ABSENT};
    const struct json_reading reading = {
        .name = manifest, .failure = VECMILL_E_NOTFOUND, .target = &entry};
    char name[HUB_FILE_MAX], path[IO_PATH_MAX];
    int64_t bytes;
    uint64_t most;
    if (value->kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: an entry of \"files\" is not an object",
                       manifest);
    }
    VM_TRY(json_fields(value, fields, 2, &reading, err));
    if (!json_string_into(&entry.name, name, sizeof name) ||
        !hub_file_wanted(name, strlen(name), &most) || !json_i64(&entry.bytes, &bytes)) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: an entry of \"files\" is not one of ours",
                       manifest);
    }
    struct stat st;
    VM_TRY(io_join(dir, name, path, err));
    if (stat(path, &st) != 0) {
        return err_sys(err, VECMILL_E_NOTFOUND, errno, "%s: listed in %s, but", path, HUB_MANIFEST);
    }
    if (!S_ISREG(st.st_mode) || st.st_size != bytes) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s has %lld bytes, %s states %lld: %s", name,
                       (long long)st.st_size, HUB_MANIFEST, (long long)bytes, path);
    }
    return VECMILL_OK;
}

static vecmill_status check_files(const char *dir, const char *path,
                                  const struct json_value *manifest, vecmill_err *err)
{
    const struct json_value files = json_get(manifest, "files");
    struct json_each each = json_begin(&files);
    struct json_value none, entry;
    const size_t n = files.kind == JSON_KIND_ARRAY ? json_count(&files) : 0;
    if (n == 0 || n > HUB_FILES_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: \"files\" lists %zu files, not 1 to %d", path,
                       n, HUB_FILES_MAX);
    }
    while (json_each(&each, &none, &entry))
        VM_TRY(check_file(dir, path, &entry, err));
    return VECMILL_OK;
}

vecmill_status hub_check_folder(const char *dir, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct json_value manifest;
    struct buf text;
    VM_TRY(io_join(dir, HUB_MANIFEST, path, err));
    buf_init(&text, HUB_MANIFEST_MAX, "HUB_MANIFEST_MAX");
    vecmill_status status = hub_read_json(path, &text, &manifest, err);
    if (status == VECMILL_OK) status = check_files(dir, path, &manifest, err);
    buf_done(&text);
    return status;
}

/* The revision that `current` names, into revision[NAME_MAX + 1]; false when it does not say. */
static bool read_current(const char *home, char *revision)
{
    char path[IO_PATH_MAX];
    struct buf b;
    bool ok = false;
    buf_init(&b, NAME_MAX, "NAME_MAX");
    if (io_join(home, HUB_CURRENT, path, NULL) == VECMILL_OK &&
        io_read_file(path, &b, VECMILL_E_NOTFOUND, VECMILL_E_NOTFOUND, NULL) == VECMILL_OK) {
        size_t n = b.bytes && b.data[b.bytes - 1] == '\n' ? b.bytes - 1 : b.bytes;
        ok = n > 0 && b.data[0] != '.' && !memchr(b.data, '/', n) && !memchr(b.data, '\0', n);
        if (ok) {
            memcpy(revision, b.data, n);
            revision[n] = '\0';
        }
    }
    buf_done(&b);
    return ok;
}

bool hub_is_current(const char *dir)
{
    char home[IO_PATH_MAX], revision[NAME_MAX + 1];
    const char *name = strrchr(dir, '/');
    if (!name) return false;
    snprintf(home, sizeof home, "%.*s", (int)(name - dir), dir);
    return read_current(home, revision) && strcmp(revision, name + 1) == 0;
}

/* The only whole revision, when there is exactly one: a pull that was killed between making the
 * revision and writing `current` leaves this. Where none is whole, the only one there is, for what
 * is wrong with it to be said. */
static bool find_only(const char *home, char *revision)
{
    DIR *d = opendir(home);
    size_t n = 0, n_whole = 0;
    if (!d) return false;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char dir[IO_PATH_MAX];
        if (e->d_name[0] == '.' || io_join(home, e->d_name, dir, NULL) != VECMILL_OK) continue;
        if (!is_dir(dir)) continue;
        const bool whole = hub_check_folder(dir, NULL) == VECMILL_OK;
        if (n++ == 0 || (whole && n_whole == 0)) snprintf(revision, NAME_MAX + 1, "%s", e->d_name);
        n_whole += whole;
    }
    closedir(d);
    return n_whole == 1 || (n_whole == 0 && n == 1);
}

vecmill_status hub_find_ref(const char *cache, const struct hub_ref *ref, char *dir,
                            vecmill_err *err)
{
    char home[IO_PATH_MAX], path[IO_PATH_MAX], revision[NAME_MAX + 1];
    VM_TRY(hub_home(cache, ref, home, err));
    bool known = ref->commit[0] != '\0';
    if (known) {
        memcpy(revision, ref->commit, sizeof ref->commit);
    } else {
        known = read_current(home, revision) || find_only(home, revision);
    }
    if (known) VM_TRY(io_join(home, revision, path, err));
    if (!known || !is_dir(path)) return err_set(err, VECMILL_E_NOTFOUND, "%s", "");
    VM_TRY(hub_check_folder(path, err));
    memcpy(dir, path, strlen(path) + 1);
    return VECMILL_OK;
}

/* A folder by its path: *found says whether name is one. Something that looks like a path and is no
 * folder is an error, since it cannot be anything else. */
static vecmill_status find_folder(const char *name, bool *found, vecmill_err *err)
{
    static const char *const marks[] = {"config.json", "modules.json"};
    char path[IO_PATH_MAX];
    char shown[128];
    hub_printable(name, strlen(name), shown, sizeof shown);
    bool path_like = name[0] == '/' || name[0] == '.' || name[0] == '~';
    if (strlen(name) >= IO_PATH_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND, "the path '%s...' has %zu bytes, IO_PATH_MAX is %d",
                       shown, strlen(name), IO_PATH_MAX);
    }
    *found = is_dir(name) && strchr(name, '/');
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && !*found; i++)
        *found = io_join(name, marks[i], path, NULL) == VECMILL_OK && io_exists(path);
    if (!*found && path_like) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: there is no such folder with a model", shown);
    }
    return VECMILL_OK;
}

/* Why a model is not here, and what can be done. forbids: a variable that forbids to fetch it, or NULL. */
static vecmill_status say_missing(const char *cache, const struct hub_ref *ref, const char *forbids,
                                  const char *damage, const char *looked, vecmill_err *err)
{
    char what[HUB_NAME_MAX + HUB_COMMIT_BYTES + 64];
    const char *at = ref->commit[0] ? "@" : "", *again = damage[0] ? " again" : "";
    if (forbids)
        snprintf(what, sizeof what, "and %s forbids to fetch it%s", forbids, again);
    else
        snprintf(what, sizeof what, "`vecmill pull %s%s%s` fetches it%s",
                 ref->model ? ref->model->alias : ref->name, at, ref->commit, again);
    if (damage[0])
        return err_set(err, VECMILL_E_NOTFOUND, "%s%s%s is damaged, %s: %s", ref->name, at,
                       ref->commit, what, damage);
    return err_set(err, VECMILL_E_NOTFOUND,
                   "%s%s%s is not on this machine%s %s (looked in %s/models%s)", ref->name, at,
                   ref->commit, forbids ? "," : ";", what, cache, looked);
}

vecmill_status hub_find_or_say(const char *cache, const char *name, const char *forbids, char *dir,
                               vecmill_err *err)
{
    bool found = false;
    struct hub_ref ref;
    vecmill_err damage;
    char looked[256];
    VM_TRY(find_folder(name, &found, err));
    if (found) {
        memcpy(dir, name, strlen(name) + 1);
        return VECMILL_OK;
    }
    VM_TRY(hub_ref_parse(name, &ref, err));
    if (hub_find_ref(cache, &ref, dir, &damage) == VECMILL_OK) return VECMILL_OK;
    if (hub_shared_find(&ref, dir, looked, sizeof looked)) return VECMILL_OK;
    return say_missing(cache, &ref, forbids, damage.message, looked, err);
}

vecmill_status hub_find(const char *cache, const char *name, char *dir, vecmill_err *err)
{
    return hub_find_or_say(cache, name, NULL, dir, err);
}
