/* finish: see finish.h. */
#include "finish.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_wanted(const struct paths *paths, const struct journal_point *point, size_t i)
{
    if (paths->files[i].given[0] == 0) return false;
    return i == PATHS_OUTPUT || point->files[i].bytes > 0;
}

/* Whether the file at its name is the part of old. A folder that was copied has other inodes, a file
 * system that makes them up may have others each time: then the time it was last written tells. */
static bool is_placed(const struct place *p, const struct journal_file *file)
{
    struct stat st;
    if (stat(p->real, &st) != 0 || (uint64_t)st.st_size != file->bytes) return false;
    return (uint64_t)st.st_ino == file->inode || io_mtime_ns(&st) == file->mtime_ns;
}

/* *moved: by this call. */
static vecmill_status place_one(const struct place *p, const struct journal_file *file, bool *moved,
                                vecmill_err *err)
{
    struct stat st;
    if (lstat(p->part, &st) != 0) {
        if (errno != ENOENT)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be looked at", p->part);
        if (is_placed(p, file)) return io_sync_folder(p->real, VECMILL_E_OUTPUT, err);
        return err_set(err, VECMILL_E_OUTPUT,
                       "%s: is missing, and no file of its %llu bytes is in place of it "
                       "(--force starts afresh)",
                       p->part, (unsigned long long)file->bytes);
    }
    if ((uint64_t)st.st_size != file->bytes)
        return err_set(err, VECMILL_E_OUTPUT,
                       "%s: holds %llu bytes, it had %llu when it was finished "
                       "(--force starts afresh)",
                       p->part, (unsigned long long)st.st_size, (unsigned long long)file->bytes);
    if (rename(p->part, p->real) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be renamed into place", p->given);
    *moved = true;
    return io_sync_folder(p->real, VECMILL_E_OUTPUT, err);
}

/* An earlier run's file, when this run had nothing for it. */
static vecmill_status remove_old(const struct place *p, vecmill_err *err)
{
    if (p->given[0] == 0) return VECMILL_OK;
    if (unlink(p->given) == 0) return io_sync_folder(p->given, VECMILL_E_OUTPUT, err);
    if (errno == ENOENT) return VECMILL_OK;
    return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: of an earlier run, cannot be removed",
                   p->given);
}

vecmill_status finish_place(const struct paths *paths, const struct journal_point *point,
                            bool *placed, vecmill_err *err)
{
    bool moved[PATHS_FILES] = {false};
    vecmill_status status = VECMILL_OK;
    for (size_t i = 0; i < PATHS_FILES && status == VECMILL_OK; i++)
        if (is_wanted(paths, point, i))
            status = place_one(&paths->files[i], &point->files[i], &moved[i], err);
    *placed = status == VECMILL_OK || moved[PATHS_OUTPUT];
    if (!*placed) {
        /* Beside an output of another run, or none, these would lie. What they replaced is gone. */
        for (size_t i = 0; i < PATHS_OUTPUT; i++)
            if (moved[i]) rename(paths->files[i].real, paths->files[i].part);
        return status;
    }
    /* So would another run's beside this one, durable or not. */
    for (size_t i = 0; i < PATHS_OUTPUT; i++) {
        if (is_wanted(paths, point, i)) continue;
        const vecmill_status removed =
            remove_old(&paths->files[i], status == VECMILL_OK ? err : NULL);
        if (status == VECMILL_OK) status = removed;
    }
    if (status == VECMILL_OK && !paths->is_shard) status = remove_old(&paths->shard, err);
    return status;
}
