/* hub_api: the hub's answer about one revision of a model.
 *
 * Promises to take hostile bytes: every type, size and digest is checked, and of the names in it only
 * those of our own list are ever used. Does not know how the answer came here. */
#include "hub_inner.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A name in a repository: relative, no empty, "." or ".." part, no control character or backslash. A
 * hub that lists another is not one to take anything from. */
static bool safe_name(const char *name, size_t bytes)
{
    size_t part = 0; /* bytes of the part so far */
    bool dots = true;
    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || name[i] == '/') {
            if (part == 0 || (dots && part <= 2)) return false;
            part = 0;
            dots = true;
            continue;
        }
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '\\') return false;
        dots = dots && name[i] == '.';
        part++;
    }
    return true;
}

/* The members of an object that a table names; others are passed over. */
static vecmill_status read_members(const struct json_value *object, const struct json_field *fields,
                                   size_t n, void *target, vecmill_err *err)
{
    const struct json_reading reading = {
        .name = "the hub's answer", .failure = VECMILL_E_NOTFOUND, .target = target};
    return json_fields(object, fields, n, &reading, err);
}

struct sibling {
    struct json_value name, size, blob, lfs;
};

/* What states a file's bytes: its size and digest. */
struct stated {
    struct json_value size, sha256;
};

static vecmill_status read_size(const struct json_value *size, const char *name, const char *file,
                                uint64_t most, uint64_t *out, vecmill_err *err)
{
    uint64_t n;
    if (!json_u64(size, &n)) {
        return err_set(err, VECMILL_E_NOTFOUND, "the hub's answer about %s: %s has no \"size\"",
                       name, file);
    }
    if (n > most) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the hub's answer about %s: %s has %llu bytes, %s is %llu", name, file,
                       (unsigned long long)n,
                       most == HUB_WEIGHTS_MAX ? "HUB_WEIGHTS_MAX" : "HUB_SMALL_MAX",
                       (unsigned long long)most);
    }
    *out = n;
    return VECMILL_OK;
}

/* A file with "lfs" is stated by its SHA-256, any other by its git blob id. */
static vecmill_status read_file(const struct sibling *sibling, const char *name, const char *file,
                                uint64_t most, struct hub_file *out, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("size", ANY, offsetof(struct stated, size)),
        JSON_MAY("sha256", ANY, offsetof(struct stated, sha256))};
    const bool is_lfs = sibling->lfs.kind == JSON_KIND_OBJECT;
    const size_t n_hex = is_lfs ? 64 : 40;
    struct hub_file f = {.kind = is_lfs ? HUB_SHA256 : HUB_GIT};
    struct stated stated = {.size = is_lfs ? (struct json_value){0} : sibling->size};
    if (is_lfs) VM_TRY(read_members(&sibling->lfs, fields, 2, &stated, err));
    VM_TRY(read_size(&stated.size, name, file, most, &f.bytes, err));
    if (!json_string_into(is_lfs ? &stated.sha256 : &sibling->blob, f.digest, n_hex + 1) ||
        strlen(f.digest) != n_hex || !hub_is_hex(f.digest, n_hex)) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the hub's answer about %s: %s has no %s of %zu hex digits", name, file,
                       is_lfs ? "\"lfs\" \"sha256\"" : "\"blobId\"", n_hex);
    }
    memcpy(f.name, file, strlen(file) + 1);
    *out = f;
    return VECMILL_OK;
}

static const struct hub_file *find_file(const struct hub_listing *l, const char *file)
{
    for (size_t i = 0; i < l->n_files; i++) {
        if (strcmp(l->files[i].name, file) == 0) return &l->files[i];
    }
    return NULL;
}

/* One entry of "siblings" */
static vecmill_status read_sibling(const struct json_value *value, const char *name,
                                   struct hub_listing *l, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("rfilename", ANY, offsetof(struct sibling, name)),
        JSON_MAY("size", ANY, offsetof(struct sibling, size)),
        JSON_MAY("blobId", ANY, offsetof(struct sibling, blob)),
        JSON_MAY("lfs", ANY, offsetof(struct sibling, lfs))};
    struct sibling sibling = {.name.kind = JSON_KIND_ABSENT};
    char file[IO_PATH_MAX];
    uint64_t most;
    VM_TRY(read_members(value, fields, 4, &sibling, err));
    if (sibling.name.kind != JSON_KIND_STRING) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the hub's answer about %s: a sibling has no \"rfilename\"", name);
    }
    if (!json_string_into(&sibling.name, file, sizeof file) || !safe_name(file, strlen(file))) {
        char begin[48], shown[48];
        json_show(&sibling.name, begin, sizeof begin);
        hub_printable(begin, strlen(begin), shown, sizeof shown);
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the hub's answer about %s: '%s' is no name of a file inside it", name,
                       shown);
    }
    const size_t n = strlen(file);
    if (!hub_file_wanted(file, n, &most)) return VECMILL_OK;
    if (find_file(l, file)) {
        return err_set(err, VECMILL_E_NOTFOUND, "the hub's answer about %s lists %s twice", name,
                       file);
    }
    if (l->n_files == HUB_FILES_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the hub's answer about %s lists more than HUB_FILES_MAX, %d, files of ours",
                       name, HUB_FILES_MAX);
    }
    VM_TRY(read_file(&sibling, name, file, most, &l->files[l->n_files], err));
    l->n_files++;
    return VECMILL_OK;
}

/* A file by which weights are found; shards are not. */
static bool is_start(const struct hub_file *f)
{
    const char *name = f->name + hub_folder_bytes(f->name);
    for (unsigned i = 0; i < HUB_WEIGHTS_KINDS; i++) {
        if (strcmp(name, hub_weights[i].file) == 0 || strcmp(name, hub_weights[i].index) == 0)
            return true;
    }
    return false;
}

/* Of two files, whether the first makes the second one needless: weights of the same folder that
 * are preferred. */
static bool replaces(const struct hub_file *a, const struct hub_file *b)
{
    const size_t folder = hub_folder_bytes(a->name);
    return folder == hub_folder_bytes(b->name) && memcmp(a->name, b->name, folder) == 0 &&
           hub_weights_rank(a->name) < hub_weights_rank(b->name) &&
           hub_weights_rank(b->name) != HUB_NO_WEIGHTS;
}

/* One kind of weights in each folder, as transformers takes them: model.safetensors alone where it
 * is there, no index, no shards, nothing of torch's. */
static void drop_needless(struct hub_listing *l)
{
    bool needless[HUB_FILES_MAX] = {false};
    size_t kept = 0;
    for (size_t i = 0; i < l->n_files; i++) {
        for (size_t k = 0; k < l->n_files && !needless[i]; k++)
            needless[i] = is_start(&l->files[k]) && replaces(&l->files[k], &l->files[i]);
    }
    for (size_t i = 0; i < l->n_files; i++) {
        if (!needless[i]) l->files[kept++] = l->files[i];
    }
    l->n_files = kept;
}

/* Weights, one file or an index and shards, with configuration and tokenizer in the same folder: the
 * model's own, or that of its first module. */
static vecmill_status check_complete(struct hub_listing *l, const char *name, vecmill_err *err)
{
    static const char *const folders[] = {"", "0_Transformer/"};
    const char *found = NULL;
    char file[HUB_FILE_MAX];
    drop_needless(l);
    for (unsigned rank = 0; rank < HUB_NO_WEIGHTS && !found; rank++) {
        const struct hub_weights *kind = &hub_weights[rank / 2];
        for (size_t i = 0; i < 2 && !found; i++) {
            snprintf(file, sizeof file, "%s%s", folders[i], rank % 2 ? kind->index : kind->file);
            const struct hub_file *f = find_file(l, file);
            if (f) found = f->name;
        }
    }
    if (!found) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s has no %s and no %s", name, hub_weights[0].file,
                       hub_weights[1].file);
    }
    const int folder = (int)hub_folder_bytes(found);
    snprintf(file, sizeof file, "%.*sconfig.json", folder, found);
    if (!find_file(l, file)) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s has no %s", name, file);
    }
    static const char *const tokenizers[] = {"tokenizer.json", "vocab.txt"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%.*s%s", folder, found, tokenizers[i]);
        if (find_file(l, file)) return VECMILL_OK;
    }
    return err_set(err, VECMILL_E_NOTFOUND, "%s has neither tokenizer.json nor vocab.txt", name);
}

struct answer {
    struct json_value sha, siblings;
};

static vecmill_status read_answer(const struct json_value *value, const char *name,
                                  struct hub_listing *l, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("sha", ANY, offsetof(struct answer, sha)),
        JSON_MAY("siblings", ANY, offsetof(struct answer, siblings))};
    struct answer answer = {.sha.kind = JSON_KIND_ABSENT};
    VM_TRY(read_members(value, fields, 2, &answer, err));
    if (!json_string_into(&answer.sha, l->commit, sizeof l->commit) ||
        strlen(l->commit) != HUB_COMMIT_BYTES || !hub_is_hex(l->commit, HUB_COMMIT_BYTES)) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the hub's answer about %s: no \"sha\" of %d hex digits", name,
                       HUB_COMMIT_BYTES);
    }
    if (answer.siblings.kind != JSON_KIND_ARRAY) {
        return err_set(err, VECMILL_E_NOTFOUND, "the hub's answer about %s: no list \"siblings\"",
                       name);
    }
    struct json_each each = json_begin(&answer.siblings);
    struct json_value none, sibling;
    while (json_each(&each, &none, &sibling))
        VM_TRY(read_sibling(&sibling, name, l, err));
    return check_complete(l, name, err);
}

vecmill_status hub_api_parse(const void *data, size_t bytes, const char *name,
                             struct hub_listing *listing, vecmill_err *err)
{
    struct json_value answer;
    struct hub_listing l = {.n_files = 0};
    VM_TRY(json_check(data, bytes, "the hub's answer", VECMILL_E_NOTFOUND, &answer, err));
    VM_TRY(read_answer(&answer, name, &l, err));
    *listing = l;
    return VECMILL_OK;
}
