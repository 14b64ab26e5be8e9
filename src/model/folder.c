/* folder: stat calls alone; nothing is opened. */
#include "folder.h"

#include "config.h"
#include "model.h"
#include "safetensors.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WEIGHTS_FILE "model.safetensors"

vecmill_status folder_weights(const char *dir, char *path, vecmill_err *err)
{
    static const char *const others[] = {"model.safetensors.index.json", "pytorch_model.bin",
                                         "pytorch_model.bin.index.json", "tf_model.h5"};
    char weights[IO_PATH_MAX], other[IO_PATH_MAX];
    VM_TRY(io_join(dir, WEIGHTS_FILE, weights, err));
    if (io_exists(weights)) {
        memcpy(path, weights, strlen(weights) + 1);
        return VECMILL_OK;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        VM_TRY(io_join(dir, others[i], other, err));
        if (!io_exists(other)) continue;
        return err_set(
            err, VECMILL_E_MODEL,
            "%s is missing; there is %s, but weights are read from one safetensors file only",
            model_path_shown(weights), others[i]);
    }
    return err_set(err, VECMILL_E_MODEL, "%s is missing", model_path_shown(weights));
}

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

static vecmill_status add_identities(const char *dir, const char *const *names, size_t n_names,
                                     struct buf *b, vecmill_err *err)
{
    char real[PATH_MAX], path[IO_PATH_MAX];
    if (!realpath(dir, real)) {
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be opened", model_path_shown(dir));
    }
    VM_TRY(buf_add(b, real, strlen(real) + 1, err));
    VM_TRY(add_identity(dir, config_file_name(CONFIG_MODEL), true, b, err));
    VM_TRY(folder_weights(dir, path, err));
    VM_TRY(add_identity(dir, WEIGHTS_FILE, true, b, err));
    for (int file = CONFIG_MODEL + 1; file < CONFIG_FILES; file++) {
        if (file == CONFIG_POOLING) continue;
        VM_TRY(add_identity(dir, config_file_name((enum config_file)file), false, b, err));
    }
    for (uint32_t n = 0; n < CONFIG_POOLING_DIRS; n++) {
        char pooling[CONFIG_POOLING_NAME];
        config_pooling_name(n, pooling);
        VM_TRY(add_identity(dir, pooling, false, b, err));
    }
    for (size_t i = 0; i < n_names; i++) {
        VM_TRY(add_identity(dir, names[i], false, b, err));
    }
    return VECMILL_OK;
}

#define IDENTITY_MAX (1u << 20) /* bytes that are hashed: a path and about 90 bytes a file */

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
