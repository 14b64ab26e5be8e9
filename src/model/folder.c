/* folder: which files a model folder has, and what a pack's key says about them. Of the files only
 * modules.json and the index of shards are opened; of the others stat is asked. */
#include "config.h"
#include "model.h"
#include "weights.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Everything that changes when a file is replaced or written to; an absent file counts as absent. */
struct file_identity {
    uint64_t present, device, inode, bytes;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};

static vecmill_status add_identity(const char *dir, const char *name, bool required, struct buf *b,
                                   vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct stat s;
    struct file_identity id = {0};
    VM_TRY(io_join(dir, name, path, err));
    if (stat(path, &s) == 0) {
        id = (struct file_identity){.present = 1,
                                    .device = s.st_dev,
                                    .inode = s.st_ino,
                                    .bytes = (uint64_t)s.st_size,
                                    .mtime_s = s.st_mtim.tv_sec,
                                    .mtime_ns = s.st_mtim.tv_nsec,
                                    .ctime_s = s.st_ctim.tv_sec,
                                    .ctime_ns = s.st_ctim.tv_nsec};
    } else if (required) {
        return err_set(err, VECMILL_E_MODEL, "%s is missing", model_path_shown(path));
    }
    VM_TRY(buf_add(b, name, strlen(name) + 1, err));
    return buf_add(b, &id, sizeof id, err);
}

/* The files of the transformer's folder: weights, and what the caller reads too. */
static vecmill_status add_transformer(const char *dir, const char *const *names, size_t n_names,
                                      struct buf *b, vecmill_err *err)
{
    struct weights_list list;
    VM_TRY(weights_list(dir, &list, err));
    vecmill_status status = VECMILL_OK;
    if (list.sharded) status = add_identity(dir, WEIGHTS_INDEX, true, b, err);
    for (uint32_t i = 0; i < list.n && status == VECMILL_OK; i++)
        status = add_identity(dir, list.names[i], true, b, err);
    weights_list_done(&list);
    for (size_t i = 0; i < n_names && status == VECMILL_OK; i++)
        status = add_identity(dir, names[i], false, b, err);
    return status;
}

static vecmill_status add_identities(const char *dir, const char *const *names, size_t n_names,
                                     struct buf *b, vecmill_err *err)
{
    char real[PATH_MAX], transformer[IO_PATH_MAX];
    struct config config;
    if (!realpath(dir, real)) {
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be opened", model_path_shown(dir));
    }
    VM_TRY(buf_add(b, real, strlen(real) + 1, err));
    VM_TRY(config_read_modules(dir, &config, err));
    for (int file = 0; file < CONFIG_FILES; file++) {
        char name[CONFIG_NAME_BYTES];
        if (file == CONFIG_POOLING && !config.has_pooling_file) continue;
        config_name(&config, (enum config_file)file, name);
        VM_TRY(add_identity(dir, name, file == CONFIG_MODEL, b, err));
    }
    VM_TRY(config_folder(dir, &config, transformer, err));
    return add_transformer(transformer, names, n_names, b, err);
}

vecmill_status model_folder(const char *dir, char *path, vecmill_err *err)
{
    struct config config;
    VM_TRY(config_read_modules(dir, &config, err));
    return config_folder(dir, &config, path, err);
}

#define IDENTITY_MAX (1u << 20) /* bytes that are hashed: a path and about 200 bytes a file */

vecmill_status model_identity(const char *dir, const char *const *names, size_t n_names,
                              char identity[33], vecmill_err *err)
{
    struct buf b;
    buf_init(&b, IDENTITY_MAX, "IDENTITY_MAX");
    vecmill_status status = add_identities(dir, names, n_names, &b, err);
    if (status == VECMILL_OK) {
        XXH128_hash_t hash = XXH3_128bits(b.data, b.bytes);
        snprintf(identity, 33, "%016llx%016llx", (unsigned long long)hash.high64,
                 (unsigned long long)hash.low64);
    }
    buf_done(&b);
    return status;
}
