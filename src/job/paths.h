/* paths: every name in the file system that a run writes, renames or removes.
 *
 * Promises: a run that passed the check replaces no file of its own by another and never touches its
 * input. Does not know what the files hold. */
#ifndef JOB_PATHS_H
#define JOB_PATHS_H

#include "job.h"

#include "base/base.h"

/* How long a lock is waited for: another run's job_check holds it for a moment. */
#define PATHS_LOCK_WAIT_MS 100u

/* One file to be written, by each of the names it has on the way. */
struct place {
    char given[IO_PATH_MAX]; /* as it was asked for; "": there is none */
    char name[IO_PATH_MAX];  /* in its folder's real path; given where the folder is missing */
    char real[IO_PATH_MAX];  /* with a link at name followed */
    char part[IO_PATH_MAX];  /* while it is being written, see base/io.h */
};

/* The files of a run, in the order in which they are placed. */
enum paths_file { PATHS_ERRORS, PATHS_IDS, PATHS_OUTPUT, PATHS_FILES };

/* What stands behind the output's name in theirs; of the journal behind its real one. */
extern const char *const paths_endings[PATHS_FILES];
#define PATHS_JOURNAL_ENDING ".journal"
#define PATHS_SHARD_ENDING   ".shard.json"

/* output + ending into path. E_INPUT: it does not fit, for files that are read. */
vecmill_status paths_beside(const char *output, const char *ending, char path[IO_PATH_MAX],
                            vecmill_err *err);

struct paths {
    bool npy;      /* OUTPUT.npy; else lines of JSON */
    bool standard; /* to standard output */
    struct place files[PATHS_FILES];
    /* Beside the file that the output's name leads to, as its part is: whoever writes that file, by
     * whatever name, meets the journal. None for standard output. */
    struct place journal;
    /* Of a shard, whose output comes with it; an earlier one's is in the way of every other output. */
    struct place shard;
    bool is_shard;
};

/* Creates and checks nothing but the endings. E_USAGE; E_OUTPUT for a path too long. */
vecmill_status paths_find(const struct job_options *options, struct paths *p, vecmill_err *err);

/* Finds them, and checks that files can come to be there and that none is the input or another's.
 * Creates nothing. E_USAGE, E_OUTPUT. */
vecmill_status paths_check(const struct job_options *options, struct paths *p, vecmill_err *err);

#endif
