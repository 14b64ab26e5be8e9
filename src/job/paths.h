/* paths: the names in the file system that a run writes, renames or removes.
 *
 * Promises: a run that passed the check replaces no file of its own by another and never touches its
 * input. Final names appear in a fixed order, each durable before the next: errors, ids, offsets, ranges,
 * output. Then files of those names that an earlier run left are removed. Renaming can be repeated from
 * wherever it was interrupted, by a process that has only the checkpoint. Does not know what the files
 * hold. */
#ifndef JOB_PATHS_H
#define JOB_PATHS_H

#include "job.h"
#include "kinds.h"

#include "base/base.h"

/* How long to wait for a lock: another run's job_check holds it for a moment. */
#define PATHS_LOCK_WAIT_MS 100u

/* A file to be written, by each of the names it has until it is in place. */
struct paths_file {
    char given[IO_PATH_MAX]; /* as the user wrote it; "": there is no such file */
    char name[IO_PATH_MAX];  /* in its folder's real path; `given` where the folder is missing */
    char real[IO_PATH_MAX];  /* with a link at `name` followed */
    char part[IO_PATH_MAX];  /* while it is being written, see base/io.h */
};

/* The files of an output, in the order in which they are renamed. The stage, of which the output is made,
 * has only a part, which is removed in the end. The journal has room for these six; one more is another
 * version of it. */
enum paths_which {
    PATHS_ERRORS,
    PATHS_IDS,
    PATHS_OFFSETS,
    PATHS_RANGES,
    PATHS_STAGE,
    PATHS_OUTPUT,
    PATHS_FILES
};

/* What a finished part was. bytes 0: there was none, except for an output without rows. A renamed part
 * is recognized by its size and either its inode or its time. */
struct paths_stamp {
    uint64_t bytes, inode, mtime_ns; /* mtime since 1970 */
};

/* Appended to the output's name; for the journal, to its real name. */
extern const char *const paths_endings[PATHS_FILES];
#define PATHS_JOURNAL_ENDING ".journal"
#define PATHS_SHARD_ENDING   ".shard.json"

/* output + ending, for a file to be read. E_INPUT: it does not fit. */
vecmill_status paths_join(const char *output, const char *ending, char path[IO_PATH_MAX],
                          vecmill_err *err);

struct paths {
    enum sink_format format;
    bool standard; /* the output is standard output */
    struct paths_file files[PATHS_FILES];
    /* Next to the file that the output's name leads to, like its part. So whoever writes that file, by
     * whatever name, finds the journal. None for standard output. */
    struct paths_file journal;
    /* OUTPUT.shard.json: written by a shard; removed by every other run of that output. */
    struct paths_file shard;
    bool is_shard;
};

/* Derives the names, for results of this kind; checks only the output's ending. E_USAGE; E_OUTPUT for a
 * path too long. */
vecmill_status paths_find(const struct job_options *options, vecmill_kind result, struct paths *p,
                          vecmill_err *err);

/* The same, and checks that each file can be created and that none is the input or another of them.
 * Creates nothing. E_USAGE, E_OUTPUT. */
vecmill_status paths_check(const struct job_options *options, vecmill_kind result, struct paths *p,
                           vecmill_err *err);

/* Renames the parts that `stamps` describe into place, then removes an earlier run's files that this
 * run did not write. The caller has synced and locked the parts. *placed: the output is in place (for
 * standard output: all there is), and only what came after may have failed. When the output could not
 * be renamed, the other files are made parts again; older files that they replaced are lost.
 * E_OUTPUT. */
vecmill_status paths_rename(const struct paths *paths, const struct paths_stamp stamps[PATHS_FILES],
                            bool *placed, vecmill_err *err);

#endif
