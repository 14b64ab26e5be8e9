/* intake: the bytes of an input, a chunk at a time.
 *
 * Promises: a file, a pipe or standard input, plain or gzip (several members too), read through two
 * fixed buffers; a UTF-8 byte order mark is dropped and a UTF-16 one refused; a wait for a slow
 * writer ends when the stop flag is set, and other work may be done meanwhile; of all that was consumed
 * a hash is kept, by which a later run knows the same bytes again. Does not know what a line is. */
#ifndef JOB_INTAKE_H
#define JOB_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/base.h"

/* Work for the time in which a slow writer is waited for, called again and again: returns soon. *busy:
 * there is more to be done. A status that is not OK ends the reading with that status. */
struct intake_idle {
    vecmill_status (*work)(void *context, bool *busy, vecmill_err *err); /* NULL: none */
    void *context;
};

struct intake {
    const char *name; /* for messages: the path, or "standard input" */
    int fd;
    bool owns_fd;
    bool waits; /* no regular file: a read may block */
    const atomic_int *stop;
    struct intake_idle idle;

    uint64_t consumed;         /* bytes, as the file means it, without its byte order mark */
    unsigned char last;        /* of these bytes */
    struct XXH3_state_s *hash; /* of these bytes */

    unsigned char *data; /* [INTAKE_CHUNK], as the file means it */
    size_t pos, bytes;
    bool started, ended;

    bool gzip, in_member, z_open;
    unsigned char *raw; /* [INTAKE_CHUNK], compressed */
    size_t raw_pos, raw_bytes;
    uint64_t raw_taken; /* compressed bytes decoded, for messages */
    z_stream z;
    struct arena z_arena; /* zlib's working memory */

    uint64_t bytes_read;  /* of the file, compressed ones for gzip */
    uint64_t bytes_total; /* 0: unknown */
};

/* Takes the buffers; the first half of opening, so that memory is counted and carved in one place. */
void intake_layout(struct intake *s, struct arena *a, bool gzip);

/* Opens `path`, or standard input for "-". Reads nothing yet. stop may be NULL. E_INPUT,
 * E_MEMORY, or E_STOPPED when a signal came with the stop flag set while a FIFO was waited for. */
vecmill_status intake_open(struct intake *s, const char *path, const atomic_int *stop,
                           vecmill_err *err);
void intake_close(struct intake *s);

/* What is unread, at least one byte except at the end; borrowed until the next peek. E_INPUT, or
 * E_STOPPED when the stop flag was set. */
vecmill_status intake_peek(struct intake *s, const unsigned char **data, size_t *bytes,
                           vecmill_err *err);
/* Passes over n bytes of the last peek. */
void intake_consume(struct intake *s, size_t n);

/* XXH3 of all that was consumed. */
uint64_t intake_digest(const struct intake *s);

#endif
