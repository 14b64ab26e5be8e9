/* io_out: a file that appears under its name only when it is whole.
 *
 * At most one writer (an exclusive flock on the part, which the kernel releases when a process
 * dies). After any kill at most one `.part`, which the next writer takes over. Data is synced
 * before the name is. The first failed fsync is final: the kernel may have dropped the pages it
 * failed on. */
#include "clock.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOCK_POLL_MS 10

_Static_assert(IO_PATH_MAX >= PATH_MAX, "realpath writes up to PATH_MAX bytes");

/* Follows symbolic links, so that the link stays and the file it leads to is replaced. */
static vecmill_status resolve(const char *path, char out[IO_PATH_MAX], vecmill_status failure,
                              vecmill_err *err)
{
    struct stat st;
    if (realpath(path, out)) {
        if (stat(out, &st) == 0 && !S_ISREG(st.st_mode)) {
            return err_set(err, failure, "%s: exists and is not a regular file", path);
        }
    } else if (errno != ENOENT) {
        return err_sys(err, failure, errno, "%s: cannot be written", path);
    } else if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        return err_set(err, failure, "%s: is a symbolic link to nothing", path);
    } else { /* it does not exist, or was made a moment ago */
        size_t n = strlen(path);
        if (n == 0 || n >= IO_PATH_MAX) {
            return err_set(err, failure, "a path of %zu bytes, outside 1 to %d", n,
                           IO_PATH_MAX - 1);
        }
        memcpy(out, path, n + 1);
    }
    return VECMILL_OK;
}

/* fcntl's kind of lock that belongs to the open file, as flock's does. */
static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

enum io_lock io_try_lock(int fd, int *refused)
{
    int r;
    *refused = 0;
    do {
        r = flock(fd, LOCK_EX | LOCK_NB);
    } while (r != 0 && errno == EINTR);
    if (r == 0) return IO_LOCKED;
    if (errno == EWOULDBLOCK) return IO_HELD;
    *refused = errno;
    struct flock lock = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return IO_LOCKED;
    return errno == EAGAIN || errno == EACCES ? IO_HELD : IO_UNLOCKED;
}

/* Opens `name` and locks it, as far as possible; messages say `shown`. The previous holder may have
 * renamed or removed it between our open and our lock, so the locked file must still be the one
 * under that name. */
static vecmill_status lock_file(const char *name, const char *shown, bool create, unsigned wait_ms,
                                struct io_out *out, vecmill_status missing, vecmill_status failure,
                                vecmill_err *err)
{
    const uint64_t deadline = clock_ns() + (uint64_t)wait_ms * 1000000u;
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
    for (;;) {
        int fd = open(name, flags, 0666);
        if (fd < 0) {
            return err_sys(err, errno == ENOENT ? missing : failure, errno, "%s: cannot be %s",
                           name, create ? "created" : "opened");
        }
        const enum io_lock lock = io_try_lock(fd, &out->refused);
        struct stat mine, named;
        if (lock != IO_HELD && fstat(fd, &mine) == 0 && stat(name, &named) == 0 &&
            mine.st_dev == named.st_dev && mine.st_ino == named.st_ino) {
            out->fd = fd;
            out->unlocked = lock == IO_UNLOCKED;
            return VECMILL_OK;
        }
        close(fd);
        if (lock == IO_HELD && clock_ns() >= deadline) {
            return err_set(err, failure, "%s: is being written by another process", shown);
        }
        if (lock == IO_HELD) {
            nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * 1000000L}, NULL);
        }
    }
}

vecmill_status io_lock(const char *path, const char *shown, unsigned wait_ms, int *fd,
                       vecmill_status missing, vecmill_status failure, vecmill_err *err)
{
    struct io_out locked = {.fd = -1};
    VM_TRY(lock_file(path, shown, false, wait_ms, &locked, missing, failure, err));
    *fd = locked.fd;
    return VECMILL_OK;
}

bool io_is_locked(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    bool locked = false;
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        struct flock lock = whole_file(F_RDLCK);
        locked =
            errno == EWOULDBLOCK || (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK);
    }
    close(fd);
    return locked;
}

vecmill_status io_out_reopen(const char *path, bool create, unsigned wait_ms,
                             vecmill_status failure, struct io_out *out, vecmill_err *err)
{
    struct io_out o = {.fd = -1, .failure = failure};
    VM_TRY(resolve(path, o.path, failure, err));
    size_t n = strlen(o.path);
    if (n > sizeof o.part - sizeof ".part") {
        return err_set(err, failure, "a path of %zu bytes leaves no room for .part, maximum %zu", n,
                       sizeof o.part - sizeof ".part");
    }
    memcpy(o.part, o.path, n);
    memcpy(o.part + n, ".part", sizeof ".part");
    VM_TRY(lock_file(o.part, o.path, create, wait_ms, &o, failure, failure, err));
    *out = o;
    return VECMILL_OK;
}

vecmill_status io_out_cut(struct io_out *out, uint64_t bytes, vecmill_err *err)
{
    if (ftruncate(out->fd, (off_t)bytes) != 0) {
        return err_sys(err, out->failure, errno, "%s: cannot be cut to %llu bytes", out->part,
                       (unsigned long long)bytes);
    }
    if (lseek(out->fd, (off_t)bytes, SEEK_SET) < 0) {
        return err_sys(err, out->failure, errno, "%s: cannot be written from byte %llu on",
                       out->part, (unsigned long long)bytes);
    }
    return VECMILL_OK;
}

/* A part that no other process writes to, instead of the common one. */
static vecmill_status open_own(struct io_out *o, vecmill_err *err)
{
    struct stat st;
    const bool fresh = fstat(o->fd, &st) == 0 && st.st_size == 0;
    if (fresh) unlink(o->part); /* or another's that has not begun: it does not notice */
    close(o->fd);
    o->fd = -1;
    if (snprintf(o->part, sizeof o->part, "%s.%ld-%llx.part", o->path, (long)getpid(),
                 (unsigned long long)clock_ns()) >= (int)sizeof o->part)
        return err_set(err, o->failure, "%s: leaves no room for .part", o->path);
    o->fd = open(o->part, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT | O_EXCL, 0666);
    if (o->fd >= 0) return VECMILL_OK;
    return err_sys(err, o->failure, errno, "%s: cannot be created", o->part);
}

vecmill_status io_out_open(const char *path, unsigned wait_ms, vecmill_status failure,
                           struct io_out *out, vecmill_err *err)
{
    struct io_out o;
    VM_TRY(io_out_reopen(path, true, wait_ms, failure, &o, err));
    if (o.unlocked) VM_TRY(open_own(&o, err));
    vecmill_status status = io_out_cut(&o, 0, err);
    if (status != VECMILL_OK) io_out_drop(&o);
    *out = o;
    return status;
}

vecmill_status io_out_write(struct io_out *out, const void *data, size_t bytes, vecmill_err *err)
{
    return io_write(out->fd, data, bytes, out->path, out->failure, err);
}

vecmill_status io_out_write_at(struct io_out *out, const void *data, size_t bytes, uint64_t offset,
                               vecmill_err *err)
{
    return io_write_at(out->fd, data, bytes, offset, out->path, out->failure, err);
}

vecmill_status io_sync_folder(const char *path, vecmill_status failure, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (!slash) {
        memcpy(dir, ".", 2);
    } else if (n == 0) {
        memcpy(dir, "/", 2);
    } else {
        memcpy(dir, path, n);
        dir[n] = '\0';
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_sys(err, failure, errno, "%s: cannot be opened", dir);
    /* EINVAL: a file system whose folders cannot be synced, and need not be. */
    int e = fsync(fd) != 0 && errno != EINVAL ? errno : 0;
    close(fd);
    return e ? err_sys(err, failure, e, "%s: cannot be synced", dir) : VECMILL_OK;
}

vecmill_status io_out_sync(struct io_out *out, vecmill_err *err)
{
    if (fdatasync(out->fd) != 0) { /* a file's new size is data to it */
        return err_sys(err, out->failure, errno, "%s: cannot be synced", out->path);
    }
    if (!out->named) VM_TRY(io_sync_folder(out->part, out->failure, err));
    out->named = true;
    return VECMILL_OK;
}

static vecmill_status rename_part(const struct io_out *out, vecmill_err *err)
{
    if (rename(out->part, out->path) == 0) return VECMILL_OK;
    return err_sys(err, out->failure, errno, "%s: cannot be renamed into place", out->path);
}

vecmill_status io_out_place(struct io_out *out, vecmill_err *err)
{
    VM_TRY(rename_part(out, err));
    return io_sync_folder(out->path, out->failure, err);
}

vecmill_status io_out_commit(struct io_out *out, vecmill_err *err)
{
    vecmill_status status = VECMILL_OK;
    if (fsync(out->fd) != 0) {
        status = err_sys(err, out->failure, errno, "%s: cannot be synced", out->path);
    } else {
        status = rename_part(out, err);
    }
    if (status != VECMILL_OK) {
        io_out_drop(out);
        return status;
    }
    io_out_leave(out);
    return io_sync_folder(out->path, out->failure, err);
}

void io_out_leave(struct io_out *out)
{
    if (out->fd >= 0) close(out->fd);
    out->fd = -1;
}

void io_out_drop(struct io_out *out)
{
    if (out->fd < 0) return;
    /* While still locked: a process that waits sees that the name is gone and opens anew */
    unlink(out->part);
    close(out->fd);
    out->fd = -1;
}
