/* strand: one file of one shard, read from its front to its end.
 *
 * Promises: a fixed buffer of the caller's; a file of another size than its run wrote is refused as it is
 * opened, one of other bytes at its end at the latest; messages name the file. Does not know what the bytes
 * mean. */
#ifndef JOB_STRAND_H
#define JOB_STRAND_H

#include "shard.h"

struct strand {
    const char *output; /* of the shard, borrowed */
    const char *ending; /* behind it, the file's name; borrowed */
    int fd;             /* -1: not open */
    uint64_t left;      /* bytes that are still in the file */
    uint64_t digest;    /* as its run told it */
    struct XXH3_state_s *hash;
    unsigned char *data; /* [capacity], the caller's */
    size_t capacity, pos, bytes;
};

#define STRAND_LEAST ((size_t)4096) /* of a buffer */

/* E_INPUT, E_MEMORY. Pair: strand_close, which accepts what was not opened (fd -1, hash NULL). */
vecmill_status strand_open(struct strand *s, const char *output, const char *ending,
                           const struct shard_file *file, vecmill_err *err);
void strand_close(struct strand *s);

/* What is unread: at least `least` bytes (up to STRAND_LEAST), or all that there are. Borrowed until the next
 * call. E_INPUT. */
vecmill_status strand_peek(struct strand *s, size_t least, const unsigned char **data,
                           size_t *bytes, vecmill_err *err);
void strand_consume(struct strand *s, size_t bytes);

/* E_INPUT unless all was consumed, and was what its run wrote. */
vecmill_status strand_end(const struct strand *s, vecmill_err *err);

/* E_INPUT: its bytes cannot be those that its run wrote. */
vecmill_status strand_refuse(const struct strand *s, vecmill_err *err);

#endif
