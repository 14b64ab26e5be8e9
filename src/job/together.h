/* together: whether some shards are the whole of one run.
 *
 * Promises: none is missing, none there twice, all are of the same input and the same options; what is not
 * so is named, with what it disagrees with. Opens no output. Does not know what the files of a shard hold. */
#ifndef JOB_TOGETHER_H
#define JOB_TOGETHER_H

#include "shard.h"

/* Shard i of all. */
struct together_shard {
    const char *output; /* borrowed from the options; NULL while it is missing */
    struct shard told;
};

/* Reads what stands beside each output, and puts it at its number. shards: [JOB_SHARDS_MAX] at most are used,
 * zeroed; *n is how many there are. E_INPUT. */
vecmill_status together_read(const struct job_merge_options *options, struct together_shard *shards,
                             uint32_t *n, vecmill_err *err);

#endif
