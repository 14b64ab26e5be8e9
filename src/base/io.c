#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One transfer at most; Linux itself stops at 0x7ffff000. */
#define IO_CHUNK ((size_t)1 << 30)

vecmill_status io_join(const char *dir, const char *name, char *out, vecmill_err *err)
{
    size_t n_dir = strlen(dir), n_name = strlen(name);
    const char *slash = n_dir && dir[n_dir - 1] == '/' ? "" : "/";
    if (n_dir > IO_PATH_MAX - 2 || n_name > IO_PATH_MAX - 2 - n_dir) {
        return err_set(err, VECMILL_E_LIMIT,
                       "the path of %.60s is over the maximum IO_PATH_MAX, %d", name, IO_PATH_MAX);
    }
    snprintf(out, IO_PATH_MAX, "%s%s%s", dir, slash, name);
    return VECMILL_OK;
}

/* True for an interruption, and, after waiting for it to pass, for a descriptor that another
 * process made non-blocking (a pipe or terminal is shared together with its mode). */
static bool passing(int fd, short events, int reason)
{
    if (reason == EAGAIN) (void)poll(&(struct pollfd){.fd = fd, .events = events}, 1, -1);
    return reason == EINTR || reason == EAGAIN;
}

vecmill_status io_read(int fd, void *data, size_t bytes, size_t *got, const char *path,
                       vecmill_status failure, vecmill_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        size_t left = bytes - done;
        ssize_t n = read(fd, (char *)data + done, left < IO_CHUNK ? left : IO_CHUNK);
        if (n < 0 && passing(fd, POLLIN, errno)) continue;
        if (n < 0) return err_sys(err, failure, errno, "%s: cannot be read", path);
        if (n == 0) break;
        done += (size_t)n;
    }
    *got = done;
    return VECMILL_OK;
}

vecmill_status io_read_at(int fd, void *data, size_t bytes, uint64_t offset, size_t *got,
                          const char *path, vecmill_status failure, vecmill_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        const size_t left = bytes - done;
        const ssize_t n = pread(fd, (char *)data + done, left < IO_CHUNK ? left : IO_CHUNK,
                                (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_sys(err, failure, errno, "%s: cannot be read", path);
        if (n == 0) break;
        done += (size_t)n;
    }
    *got = done;
    return VECMILL_OK;
}

vecmill_status io_write(int fd, const void *data, size_t bytes, const char *path,
                        vecmill_status failure, vecmill_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        size_t left = bytes - done;
        ssize_t n = write(fd, (const char *)data + done, left < IO_CHUNK ? left : IO_CHUNK);
        if (n < 0 && passing(fd, POLLOUT, errno)) continue;
        if (n < 0) return err_sys(err, failure, errno, "%s: cannot be written", path);
        done += (size_t)n;
    }
    return VECMILL_OK;
}

vecmill_status io_write_at(int fd, const void *data, size_t bytes, uint64_t offset,
                           const char *path, vecmill_status failure, vecmill_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pwrite(fd, (const char *)data + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_sys(err, failure, errno, "%s: cannot be written", path);
        done += (size_t)n;
    }
    return VECMILL_OK;
}

/* Opens for reading and checks that it is a regular file. */
static vecmill_status open_regular(const char *path, int *fd, struct stat *stat_out,
                                   vecmill_status missing, vecmill_status failure, vecmill_err *err)
{
    /* O_NONBLOCK: opening a FIFO without a writer must not wait for ever. */
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f < 0) {
        vecmill_status s = errno == ENOENT || errno == ENOTDIR ? missing : failure;
        return err_sys(err, s, errno, "%s: cannot be opened", path);
    }
    if (fstat(f, stat_out) != 0) {
        int e = errno;
        close(f);
        return err_sys(err, failure, e, "%s: cannot be looked at", path);
    }
    if (!S_ISREG(stat_out->st_mode)) {
        close(f);
        return err_set(err, failure, "%s: is not a regular file", path);
    }
    *fd = f;
    return VECMILL_OK;
}

vecmill_status io_read_file(const char *path, struct buf *b, vecmill_status missing,
                            vecmill_status failure, vecmill_err *err)
{
    struct stat st;
    int fd = -1;
    VM_TRY(open_regular(path, &fd, &st, missing, failure, err));
    vecmill_status status = VECMILL_OK;
    buf_clear(b);
    if ((uint64_t)st.st_size > b->most) {
        status = err_set(err, failure, "%s: holds %lld bytes, over the maximum %s, %zu", path,
                         (long long)st.st_size, b->name, b->most);
        goto done;
    }
    status = buf_reserve(b, (size_t)st.st_size, err);
    if (status != VECMILL_OK) goto done;
    status = io_read(fd, b->data, (size_t)st.st_size, &b->bytes, path, failure, err);
    if (status == VECMILL_OK && b->bytes != (size_t)st.st_size) {
        status = err_set(err, failure, "%s: ended after %zu of %lld bytes while it was read", path,
                         b->bytes, (long long)st.st_size);
    }
done:
    close(fd);
    return status;
}

bool io_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

struct io_stamp io_stamp(const struct stat *st)
{
    return (struct io_stamp){.device = st->st_dev,
                             .inode = st->st_ino,
                             .bytes = (uint64_t)st->st_size,
                             .mtime_s = st->st_mtim.tv_sec,
                             .mtime_ns = st->st_mtim.tv_nsec,
                             .ctime_s = st->st_ctim.tv_sec,
                             .ctime_ns = st->st_ctim.tv_nsec};
}

uint64_t io_mtime_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

/* Makes each folder of p[0..n] in turn. 0, or an errno with p cut off after the folder that failed. */
static int make_each(char *p, size_t n)
{
    for (size_t i = 1; i <= n; i++) {
        if (p[i] != '/' && p[i] != '\0') continue;
        char kept = p[i];
        p[i] = '\0';
        if (mkdir(p, 0777) != 0 && errno != EEXIST) {
            /* A read-only parent that exists is not a failure. */
            int e = errno;
            struct stat st;
            if (stat(p, &st) != 0) return e;
        }
        p[i] = kept;
    }
    return 0;
}

vecmill_status io_make_dirs(const char *path, vecmill_status failure, vecmill_err *err)
{
    char p[IO_PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof p) {
        return err_set(err, failure, "a folder's path of %zu bytes, outside 1 to %d", n,
                       IO_PATH_MAX - 1);
    }
    /* ENOENT: another process has removed the empty folder that we just made or found. */
    int e = ENOENT;
    for (int i = 0; i < IO_MAKE_TRIES && e == ENOENT; i++) {
        memcpy(p, path, n + 1);
        e = make_each(p, n);
        struct stat st;
        if (e == 0 && stat(p, &st) != 0)
            e = errno;
        else if (e == 0 && !S_ISDIR(st.st_mode))
            return err_set(err, failure, "%s: is not a folder", p);
    }
    return e ? err_sys(err, failure, e, "%s: cannot be made", p) : VECMILL_OK;
}

vecmill_status io_map_file(const char *path, struct io_map *map, vecmill_status missing,
                           vecmill_status failure, vecmill_err *err)
{
    struct io_map m = {0};
    int fd = -1;
    VM_TRY(open_regular(path, &fd, &m.stat, missing, failure, err));
    vecmill_status status = VECMILL_OK;
    m.bytes = (size_t)m.stat.st_size;
    if (m.bytes) {
        void *data = mmap(NULL, m.bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            status = err_sys(err, errno == ENOMEM ? VECMILL_E_MEMORY : failure, errno,
                             "%s: %zu bytes cannot be mapped", path, m.bytes);
        }
        m.data = data;
    }
    close(fd);
    if (status == VECMILL_OK) *map = m;
    return status;
}

void io_unmap(struct io_map *map)
{
    if (map->data) munmap((void *)map->data, map->bytes);
    *map = (struct io_map){0};
}
