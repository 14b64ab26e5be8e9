/* folder: which files a model has, and what distinguishes them from others. Compiles nothing, and
 * reads only as much of the weights as a start has time for. */
#include "config.h"
#include "head_files.h"
#include "late.h"
#include "model.h"
#include "weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the files are ---- */

/* Of the weights, which are read in full only when they are compiled: what tensor_file_spans
 * says, and pieces at even distances. Any training changes what is sampled. */
#define SAMPLE_PIECE  4096u
#define SAMPLE_PIECES 64u

#define CHUNK_BYTES ((size_t)64 << 10)

/* Distinguishes one file from another, by its stamp or by its contents. */
struct identity {
    XXH3_state_t *hash;
    unsigned char *chunk; /* [CHUNK_BYTES]; NULL: by stamp */
};

static void add_bytes(struct identity *id, const void *data, size_t bytes)
{
    XXH3_128bits_update(id->hash, data, bytes);
}

/* This many bytes from there on; fewer at the end of the file. */
static vecmill_status add_range(struct identity *id, int fd, uint64_t from, uint64_t bytes,
                                const char *path, vecmill_err *err)
{
    while (bytes > 0) {
        size_t got = 0;
        VM_TRY(io_read_at(fd, id->chunk, (size_t)num_min(bytes, CHUNK_BYTES), from, &got, path,
                          VECMILL_E_MODEL, err));
        if (got == 0) return VECMILL_OK;
        add_bytes(id, id->chunk, got);
        from += got;
        bytes -= got;
    }
    return VECMILL_OK;
}

struct weights_file {
    struct identity *id;
    int fd;
    const char *path;
};

static vecmill_status add_span(void *context, uint64_t from, uint64_t bytes, vecmill_err *err)
{
    const struct weights_file *file = context;
    return add_range(file->id, file->fd, from, bytes, file->path, err);
}

static vecmill_status add_weights(struct identity *id, int fd, uint64_t file_bytes,
                                  const char *path, vecmill_err *err)
{
    struct weights_file file = {.id = id, .fd = fd, .path = path};
    VM_TRY(tensor_file_spans(fd, file_bytes, path, add_span, &file, err));
    for (uint32_t i = 0; i < SAMPLE_PIECES; i++)
        VM_TRY(add_range(id, fd, file_bytes / SAMPLE_PIECES * i, SAMPLE_PIECE, path, err));
    return add_range(id, fd, file_bytes - num_min(file_bytes, SAMPLE_PIECE), SAMPLE_PIECE, path,
                     err);
}

static vecmill_status add_contents(struct identity *id, const char *path, const char *name,
                                   uint64_t bytes, vecmill_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be opened", model_path_shown(path));
    add_bytes(id, &bytes, sizeof bytes);
    const vecmill_status status = tensor_file_named(name) ? add_weights(id, fd, bytes, path, err)
                                                          : add_range(id, fd, 0, bytes, path, err);
    close(fd);
    return status;
}

static vecmill_status add_identity(const char *dir, const char *name, bool required,
                                   struct identity *id, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct stat s;
    struct io_stamp stamp = {0}; /* of an absent file */
    VM_TRY(io_join(dir, name, path, err));
    const bool present = stat(path, &s) == 0;
    if (!present && required)
        return err_set(err, VECMILL_E_MODEL, "%s is missing", model_path_shown(path));
    add_bytes(id, name, strlen(name) + 1);
    if (present && id->chunk && S_ISREG(s.st_mode))
        return add_contents(id, path, name, (uint64_t)s.st_size, err);
    if (present && !id->chunk) stamp = io_stamp(&s);
    add_bytes(id, &stamp, sizeof stamp);
    return VECMILL_OK;
}

/* The files of the weights in a folder. */
static vecmill_status add_folder_weights(const char *dir, struct identity *id, vecmill_err *err)
{
    struct weights_list list;
    VM_TRY(weights_list(dir, &list, err));
    vecmill_status status = VECMILL_OK;
    if (list.index) status = add_identity(dir, list.index, true, id, err);
    for (uint32_t i = 0; i < list.n && status == VECMILL_OK; i++)
        status = add_identity(dir, list.names[i], true, id, err);
    weights_list_done(&list);
    return status;
}

static vecmill_status add_identities(const char *dir, const char *const *names, size_t n_names,
                                     struct identity *id, vecmill_err *err)
{
    char folder[IO_PATH_MAX];
    struct config config;
    VM_TRY(config_read_modules(dir, &config, err));
    for (int file = 0; file < CONFIG_FILES; file++) {
        char name[CONFIG_NAME_BYTES];
        if (!config_has(&config, (enum config_file)file)) continue;
        config_name(&config, (enum config_file)file, name);
        const bool required = file == CONFIG_MODEL && config_needs(&config, (enum config_file)file);
        VM_TRY(add_identity(dir, name, required, id, err));
    }
    for (uint32_t i = 0; i < config.model.ending.n_steps; i++) {
        if (config.model.ending.steps[i].kind == MODEL_STEP_NORMALIZE) continue;
        VM_TRY(io_join(dir, config.steps[i], folder, err));
        VM_TRY(add_folder_weights(folder, id, err));
    }
    VM_TRY(config_folder(dir, &config, folder, err));
    VM_TRY(add_folder_weights(folder, id, err));
    for (size_t i = 0; head_file_names[i]; i++)
        VM_TRY(add_identity(folder, head_file_names[i], false, id, err));
    VM_TRY(add_identity(folder, LATE_METADATA, false, id, err));
    for (size_t i = 0; i < n_names; i++)
        VM_TRY(add_identity(folder, names[i], false, id, err));
    return VECMILL_OK;
}

vecmill_status model_folder(const char *dir, char *path, vecmill_err *err)
{
    struct config config;
    VM_TRY(config_read_modules(dir, &config, err));
    return config_folder(dir, &config, path, err);
}

static vecmill_status identify(const char *dir, const char *const *names, size_t n_names,
                               struct identity *id, char text[33], vecmill_err *err)
{
    id->hash = XXH3_createState();
    if (!id->hash) return err_set(err, VECMILL_E_MEMORY, "no memory for a checksum's state");
    XXH3_128bits_reset(id->hash);
    const vecmill_status status = add_identities(dir, names, n_names, id, err);
    if (status == VECMILL_OK) {
        const XXH128_hash_t hash = XXH3_128bits_digest(id->hash);
        snprintf(text, 33, "%016llx%016llx", (unsigned long long)hash.high64,
                 (unsigned long long)hash.low64);
    }
    XXH3_freeState(id->hash);
    return status;
}

vecmill_status model_stamp(const char *dir, const char *const *names, size_t n_names,
                           char stamp[33], vecmill_err *err)
{
    struct identity id = {0};
    return identify(dir, names, n_names, &id, stamp, err);
}

vecmill_status model_digest(const char *dir, const char *const *names, size_t n_names,
                            char digest[33], vecmill_err *err)
{
    struct identity id = {0};
    void *chunk = NULL;
    VM_TRY(mem_map(CHUNK_BYTES, "a chunk to digest", &chunk, err));
    id.chunk = chunk;
    const vecmill_status status = identify(dir, names, n_names, &id, digest, err);
    mem_unmap(chunk, CHUNK_BYTES);
    return status;
}
