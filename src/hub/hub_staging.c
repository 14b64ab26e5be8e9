/* hub_staging: the staging folder of a pull, and the one rename that makes a model appear.
 *
 * Promises: one pull of a model at a time; what is published was flushed to the disk first; whatever
 * moment the process is killed at, there is either no folder or a whole one, and what was fetched is
 * found again by the next pull. Does not know where files come from. */
#include "hub_fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_WAIT_S  3600 /* a pull of the largest model we know, 1.3 GB, at 400 kB/s */
#define LOCK_POLL_MS 100
#define LOCK_TRIES   100 /* others remove the lock's file, each after a pull that failed */
#define LOCK_FILE    ".lock"
#define TREE_FDS     8
#define TREE_DEPTH   4 /* what is counted below a folder: pip makes two levels */

static vecmill_status fail_path(vecmill_err *err, int errno_value, const char *path,
                                const char *what)
{
    return err_sys(err, VECMILL_E_NOTFOUND, errno_value, "%s: %s", path, what);
}

/* Flushes a file or folder to the disk. */
static vecmill_status flush_path(const char *path, int flags, vecmill_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) return fail_path(err, errno, path, "cannot be opened");
    int e = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return e == 0 ? VECMILL_OK : fail_path(err, e, path, "cannot be flushed to the disk");
}

/* Opens and locks path once; *lock stays -1 when another process has removed the folder meanwhile. */
static vecmill_status try_lock(struct hub_job *job, const char *path, uint64_t deadline, int *lock,
                               vecmill_err *err)
{
    struct stat ours, there;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 && errno == ENOENT) return VECMILL_OK;
    if (fd < 0) return fail_path(err, errno, path, "cannot be opened");
    vecmill_status status = VECMILL_OK;
    /* In a cache without locks two pulls at once may spoil each other's parts, which digests find. */
    int refused;
    while (status == VECMILL_OK && io_try_lock(fd, &refused) == IO_HELD) {
        if (clock_ns() > deadline) {
            status =
                err_set(err, VECMILL_E_NOTFOUND, "another process has been pulling %s for %d s",
                        job->ref.name, LOCK_WAIT_S);
        } else if (!hub_channel_wait(&job->channel, "(another process is pulling it)",
                                     LOCK_POLL_MS)) {
            status = err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
        }
    }
    if (status == VECMILL_OK && fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) {
        *lock = fd;
    } else {
        close(fd);
    }
    return status;
}

vecmill_status hub_staging_lock(struct hub_job *job, struct hub_staging *staging, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    uint64_t deadline = clock_ns() + (uint64_t)LOCK_WAIT_S * 1000000000u;
    *staging = (struct hub_staging){.lock = -1};
    VM_TRY(hub_home(job->cache, &job->ref, staging->home, err));
    VM_TRY(io_join(staging->home, LOCK_FILE, path, err));
    for (int i = 0; i < LOCK_TRIES && staging->lock < 0; i++) {
        VM_TRY(io_make_dirs(staging->home, VECMILL_E_NOTFOUND, err));
        VM_TRY(try_lock(job, path, deadline, &staging->lock, err));
    }
    if (staging->lock >= 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_NOTFOUND, "%s: was removed %d times while it was locked", path,
                   LOCK_TRIES);
}

static bool holds_only_the_lock(const char *home)
{
    DIR *d = opendir(home);
    if (!d) return false;
    bool only = true;
    for (const struct dirent *e; only && (e = readdir(d)) != NULL;) {
        only = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
               strcmp(e->d_name, LOCK_FILE) == 0;
    }
    closedir(d);
    return only;
}

/* Removes what a pull that brought nothing has made: only folders that are empty. The lock is ours, so
 * nobody else makes anything here; a waiting process sees that its file has gone. */
static void remove_empty(const struct hub_staging *staging)
{
    char path[IO_PATH_MAX];
    if (staging->dir[0]) {
        (void)rmdir(staging->files);
        (void)rmdir(staging->parts);
        (void)rmdir(staging->dir);
    }
    if (!holds_only_the_lock(staging->home)) return;
    if (io_join(staging->home, LOCK_FILE, path, NULL) != VECMILL_OK || unlink(path) != 0) return;
    (void)rmdir(staging->home);
}

void hub_staging_close(struct hub_staging *staging)
{
    if (staging->lock < 0) return;
    remove_empty(staging);
    close(staging->lock);
    staging->lock = -1;
}

vecmill_status hub_staging_open(struct hub_staging *staging, const char *revision, vecmill_err *err)
{
    char name[HUB_COMMIT_BYTES + 16];
    snprintf(staging->revision, sizeof staging->revision, "%s", revision);
    snprintf(name, sizeof name, ".%s.part", staging->revision);
    VM_TRY(io_join(staging->home, name, staging->dir, err));
    VM_TRY(io_join(staging->dir, "files", staging->files, err));
    VM_TRY(io_join(staging->dir, "parts", staging->parts, err));
    VM_TRY(io_make_dirs(staging->files, VECMILL_E_NOTFOUND, err));
    return io_make_dirs(staging->parts, VECMILL_E_NOTFOUND, err);
}

vecmill_status hub_staging_room(const struct hub_staging *staging, uint64_t bytes, vecmill_err *err)
{
    struct statvfs fs;
    if (statvfs(staging->dir, &fs) != 0) return VECMILL_OK; /* then the write itself will fail */
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes <= left) return VECMILL_OK;
    return err_set(err, VECMILL_E_NOTFOUND, "%s: %llu bytes are needed and %llu are free",
                   staging->home, (unsigned long long)bytes, (unsigned long long)left);
}

vecmill_status hub_staging_paths(const struct hub_staging *staging, const char *file, char *whole,
                                 char *part, vecmill_err *err)
{
    char flat[HUB_FILE_MAX + 8], folder[IO_PATH_MAX];
    VM_TRY(io_join(staging->files, file, whole, err));
    if (strchr(file, '/')) {
        memcpy(folder, whole, strlen(whole) + 1);
        *strrchr(folder, '/') = '\0';
        VM_TRY(io_make_dirs(folder, VECMILL_E_NOTFOUND, err));
    }
    snprintf(flat, sizeof flat, "%s", file);
    for (char *c = flat; (c = strchr(c, '/')) != NULL;)
        *c = '+';
    return io_join(staging->parts, flat, part, err);
}

vecmill_status hub_staging_keep(const char *part, const char *whole, vecmill_err *err)
{
    VM_TRY(flush_path(part, 0, err));
    if (rename(part, whole) != 0) return fail_path(err, errno, whole, "cannot be put in place");
    return VECMILL_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

vecmill_status hub_remove_tree(const char *path, vecmill_err *err)
{
    if (nftw(path, remove_entry, TREE_FDS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return fail_path(err, errno, path, "cannot be removed");
    }
    return VECMILL_OK;
}

static uint64_t tree_bytes(const char *path, int depth)
{
    uint64_t bytes = 0;
    DIR *d = opendir(path);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char below[IO_PATH_MAX];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISREG(st.st_mode)) bytes += (uint64_t)st.st_size;
        if (!S_ISDIR(st.st_mode) || depth == TREE_DEPTH) continue;
        if (io_join(path, e->d_name, below, NULL) == VECMILL_OK) {
            bytes += tree_bytes(below, depth + 1);
        }
    }
    closedir(d);
    return bytes;
}

uint64_t hub_tree_bytes(const char *path)
{
    return tree_bytes(path, 0);
}

static vecmill_status put_string(struct buf *b, const char *key, const char *text,
                                 const char *after, vecmill_err *err)
{
    char quoted[6 * 1024 + 4];
    size_t n = json_quote(text, num_min(strlen(text), 1024), quoted);
    VM_TRY(buf_add_string(b, "\"", err));
    VM_TRY(buf_add_string(b, key, err));
    VM_TRY(buf_add_string(b, "\": ", err));
    VM_TRY(buf_add(b, quoted, n, err));
    return buf_add_string(b, after, err);
}

static vecmill_status put_manifest(struct buf *b, const struct hub_staging *staging,
                                   const char *name, const char *source,
                                   const struct hub_file *files, size_t n_files, vecmill_err *err)
{
    VM_TRY(buf_add_string(b, "{\n  ", err));
    VM_TRY(put_string(b, "name", name, ",\n  ", err));
    VM_TRY(put_string(b, "source", source, ",\n  ", err));
    VM_TRY(put_string(b, "revision", staging->revision, ",\n  \"files\": [", err));
    for (size_t i = 0; i < n_files; i++) {
        char digest[96], bytes[48];
        snprintf(digest, sizeof digest, "%s:%s", files[i].kind == HUB_SHA256 ? "sha256" : "git",
                 files[i].digest);
        snprintf(bytes, sizeof bytes, "\"bytes\": %llu, ", (unsigned long long)files[i].bytes);
        VM_TRY(buf_add_string(b, i ? ",\n    {" : "\n    {", err));
        VM_TRY(put_string(b, "name", files[i].name, ", ", err));
        VM_TRY(buf_add_string(b, bytes, err));
        VM_TRY(put_string(b, "digest", digest, "}", err));
    }
    return buf_add_string(b, "\n  ]\n}\n", err);
}

/* A small file, whole or not at all. */
static vecmill_status write_file(const char *dir, const char *name, const void *data, size_t bytes,
                                 vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct io_out out;
    VM_TRY(io_join(dir, name, path, err));
    VM_TRY(io_out_open(path, 10000, VECMILL_E_NOTFOUND, &out, err));
    vecmill_status status = io_out_write(&out, data, bytes, err);
    if (status == VECMILL_OK) status = io_out_commit(&out, err);
    io_out_drop(&out);
    return status;
}

/* Folders below files/ (the pooling's), then files/ itself. */
static vecmill_status flush_folders(const struct hub_staging *staging, const struct hub_file *files,
                                    size_t n_files, vecmill_err *err)
{
    for (size_t i = 0; i < n_files; i++) {
        char path[IO_PATH_MAX];
        if (!strchr(files[i].name, '/')) continue;
        VM_TRY(io_join(staging->files, files[i].name, path, err));
        *strrchr(path, '/') = '\0';
        VM_TRY(flush_path(path, O_DIRECTORY, err));
    }
    return flush_path(staging->files, O_DIRECTORY, err);
}

/* Staging of other revisions is no use any more once one is whole. */
static void remove_stages(const char *home)
{
    DIR *d = opendir(home);
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[IO_PATH_MAX];
        size_t n = strlen(e->d_name);
        bool staging = n > 6 && e->d_name[0] == '.' && strcmp(e->d_name + n - 5, ".part") == 0;
        if (staging && io_join(home, e->d_name, path, NULL) == VECMILL_OK) {
            hub_remove_tree(path, NULL);
        }
    }
    closedir(d);
}

vecmill_status hub_staging_current(const struct hub_staging *staging, const char *revision,
                                   vecmill_err *err)
{
    char line[HUB_COMMIT_BYTES + 2];
    int n = snprintf(line, sizeof line, "%s\n", revision);
    /* In this order: until `current` says so, the next pull looks at it again and comes here. */
    remove_stages(staging->home);
    return write_file(staging->home, HUB_CURRENT, line, (size_t)n, err);
}

vecmill_status hub_staging_publish(struct hub_staging *staging, const char *name,
                                   const char *source, const struct hub_file *files, size_t n_files,
                                   char *dir, vecmill_err *err)
{
    char place[IO_PATH_MAX];
    struct buf b;
    buf_init(&b, HUB_MANIFEST_MAX, "HUB_MANIFEST_MAX");
    vecmill_status status = put_manifest(&b, staging, name, source, files, n_files, err);
    if (status == VECMILL_OK)
        status = write_file(staging->files, HUB_MANIFEST, b.data, b.bytes, err);
    buf_done(&b);
    if (status != VECMILL_OK) return status;

    VM_TRY(flush_folders(staging, files, n_files, err));
    VM_TRY(io_join(staging->home, staging->revision, place, err));
    /* What is there was looked at before, and is damaged: else there would have been no pull. */
    VM_TRY(hub_remove_tree(place, err));
    if (rename(staging->files, place) != 0) {
        return fail_path(err, errno, place, "cannot be put in place");
    }
    VM_TRY(flush_path(staging->home, O_DIRECTORY, err));
    VM_TRY(hub_staging_current(staging, staging->revision, err));
    memcpy(dir, place, strlen(place) + 1);
    return VECMILL_OK;
}
