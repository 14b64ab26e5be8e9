/* io: files and descriptors, whole or not at all.
 *
 * Every call handles EINTR and short transfers; every descriptor is CLOEXEC; messages name the
 * path. The caller chooses the status, since the same failure means different things for a model,
 * an input and an output. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "buf.h"
#include "err.h"

#define IO_PATH_MAX 4096 /* bytes with the NUL; Linux's PATH_MAX */

/* dir + "/" + name into out[IO_PATH_MAX]; E_LIMIT when it does not fit. */
vecmill_status io_join(const char *dir, const char *name, char *out, vecmill_err *err);

/* Reads up to `bytes`, fewer only at the end of the file; *got is their number. */
vecmill_status io_read(int fd, void *data, size_t bytes, size_t *got, const char *path,
                       vecmill_status failure, vecmill_err *err);

/* The same from an offset, without moving the descriptor's own. */
vecmill_status io_read_at(int fd, void *data, size_t bytes, uint64_t offset, size_t *got,
                          const char *path, vecmill_status failure, vecmill_err *err);

/* Writes everything. EPIPE, ENOSPC, EFBIG and the rest are `failure` with the path. The caller
 * ignores SIGPIPE. */
vecmill_status io_write(int fd, const void *data, size_t bytes, const char *path,
                        vecmill_status failure, vecmill_err *err);

/* The same at an offset, without moving the descriptor's own. */
vecmill_status io_write_at(int fd, const void *data, size_t bytes, uint64_t offset,
                           const char *path, vecmill_status failure, vecmill_err *err);

/* A whole regular file into b (cleared first), up to b->most. A missing file is `missing`, anything
 * else `failure`. */
vecmill_status io_read_file(const char *path, struct buf *b, vecmill_status missing,
                            vecmill_status failure, vecmill_err *err);

bool io_exists(const char *path);

/* Changes when a file is replaced or written to: if it is equal, the file's content is taken as
 * unchanged. All members have eight bytes, so that it can be hashed as it is. */
struct io_stamp {
    uint64_t device, inode, bytes;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};
struct io_stamp io_stamp(const struct stat *st);

/* When the file was last written, in ns since 1970. */
uint64_t io_mtime_ns(const struct stat *st);

/* mkdir -p, mode 0777 less the umask. Other processes may remove empty folders of the path
 * meanwhile: they are made again, IO_MAKE_TRIES times in all. */
enum { IO_MAKE_TRIES = 100 };
vecmill_status io_make_dirs(const char *path, vecmill_status failure, vecmill_err *err);

/* A file mapped read-only, shared. Truncation by others while mapped is SIGBUS: map only files that
 * are replaced by rename. bytes == 0 maps nothing and data is NULL. Pair: io_unmap. */
struct io_map {
    const unsigned char *data;
    size_t bytes;
    struct stat stat; /* of the file, when it was opened */
};
vecmill_status io_map_file(const char *path, struct io_map *map, vecmill_status missing,
                           vecmill_status failure, vecmill_err *err);
void io_unmap(struct io_map *map);

/* Syncs the folder that holds `path`: until then a name that was made, changed or removed in it may
 * be as before after a power cut. */
vecmill_status io_sync_folder(const char *path, vecmill_status failure, vecmill_err *err);

/* Tries for an exclusive lock on an open file. It ends with the descriptor, and with the process
 * however that ends. IO_HELD: another process has it. Where flock is refused, as by some network
 * file systems and sandboxes, the lock is fcntl's on the open file description (*refused: errno of
 * flock, else 0); where that is refused too, IO_UNLOCKED. */
enum io_lock { IO_LOCKED, IO_HELD, IO_UNLOCKED };
enum io_lock io_try_lock(int fd, int *refused);

/* Opens an existing file for reading and writing, under an exclusive lock that ends with the
 * descriptor, and with the process however that ends. Held by another: `failure`, "`shown` is being
 * written by another process", after waiting up to wait_ms. No such file: `missing`. Where there
 * are no locks it is opened without one. */
vecmill_status io_lock(const char *path, const char *shown, unsigned wait_ms, int *fd,
                       vecmill_status missing, vecmill_status failure, vecmill_err *err);

/* Whether another process holds such a lock on `path`. Changes nothing; a lock that is asked for
 * during this call has to wait for it. */
bool io_is_locked(const char *path);

/* A file that appears under its name only when it is whole: written as `path` + ".part" in the same
 * folder under an exclusive lock, then fsync, rename, fsync of the folder. A killed process leaves
 * at most that one .part, which the next writer takes over. Symbolic links at `path` are resolved
 * first, so that the link stays a link. Where there are no locks at all, io_out_open writes `path`
 * + ".<process>-<time>.part", which no other process takes over. */
struct io_out {
    int fd; /* -1: not open */
    char path[IO_PATH_MAX];
    char part[IO_PATH_MAX];
    vecmill_status failure;
    bool named;    /* the part's name is synced */
    bool unlocked; /* IO_UNLOCKED: another process may write it too */
    int refused;   /* errno of flock; 0: not refused */
};

/* Creates the part, or takes it over and empties it. Held by another live process: `failure`, "is
 * being written by another process", after waiting up to wait_ms. */
vecmill_status io_out_open(const char *path, unsigned wait_ms, vecmill_status failure,
                           struct io_out *out, vecmill_err *err);

/* The same, but keeps what an earlier process left in the part, for io_out_cut to decide on. Where
 * there is no part one is created if `create`, else `failure`. */
vecmill_status io_out_reopen(const char *path, bool create, unsigned wait_ms,
                             vecmill_status failure, struct io_out *out, vecmill_err *err);

/* Cuts the part to its first `bytes`; writing goes on after them. */
vecmill_status io_out_cut(struct io_out *out, uint64_t bytes, vecmill_err *err);

vecmill_status io_out_write(struct io_out *out, const void *data, size_t bytes, vecmill_err *err);
/* Writes at an offset without moving the end; for headers finished last. */
vecmill_status io_out_write_at(struct io_out *out, const void *data, size_t bytes, uint64_t offset,
                               vecmill_err *err);

/* Syncs what was written, and the part's name. A failure is final: the kernel may have dropped what
 * it could not write, and would report success the next time. */
vecmill_status io_out_sync(struct io_out *out, vecmill_err *err);

/* Renames what was synced into place, then syncs the folder. Stays open and locked. On failure the
 * part is as it was, or, if only the folder's fsync failed, the file is in place. */
vecmill_status io_out_place(struct io_out *out, vecmill_err *err);

/* fsync, rename, fsync of the folder. On failure the part is removed; if only the folder's fsync
 * failed, the file is in place, whole but not yet durable. Closes in every case. */
vecmill_status io_out_commit(struct io_out *out, vecmill_err *err);
/* Closes, and leaves the part to a later process. Does nothing when closed. */
void io_out_leave(struct io_out *out);
/* Removes the part and closes. Does nothing when closed. */
void io_out_drop(struct io_out *out);

#endif
