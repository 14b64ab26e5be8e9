/* intake: the text of an input, a chunk at a time: read (here), unpacked (unpack.h), decoded (encoding.h).
 *
 * Promises: a file, a pipe or standard input, whatever its name, through fixed buffers; what comes out is
 * UTF-8 but for bytes that mean nothing, without the mark at its front, and with lines that end in LF or
 * CR LF (where CR alone ends them, it has become LF); a wait for a slow writer ends when the stop flag is
 * set, and other work may be done meanwhile; of all that was consumed a hash is kept, by which a later run
 * knows the same text again. Does not know what a line is. */
#ifndef JOB_INTAKE_H
#define JOB_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#include "encoding.h"
#include "unpack.h"

/* Work for the time in which a slow writer is waited for, called again and again: returns soon. *busy:
 * there is more to be done. A status that is not OK ends the reading with that status. */
struct intake_idle {
    vecmill_status (*work)(void *context, bool *busy, vecmill_err *err); /* NULL: none */
    void *context;
};

/* What is known of an input before it is read. */
struct intake_hints {
    const char *path;     /* "-": standard input */
    const char *encoding; /* NULL: UTF-8, or what the first bytes say */
    enum unpack_packing packing;
};

struct intake {
    const char *name; /* for messages: the path, or "standard input" */
    int fd;
    bool owns_fd;
    bool waits; /* no regular file: a read may block */
    const atomic_int *stop;
    struct intake_idle idle;
    const char *encoding; /* as of the hints */
    vecmill_err
        warning; /* a sentence for whoever watches; the message is empty where there is none */

    uint64_t consumed;         /* bytes of text, without the mark at its front */
    unsigned char last;        /* of these bytes */
    struct XXH3_state_s *hash; /* of these bytes */

    unsigned char *data; /* [INTAKE_CHUNK], text */
    size_t pos, bytes;
    bool started, ended;
    bool cr_ends, after_cr; /* CR alone ends lines; the last byte was one */

    unsigned char *packed_text; /* [UNPACK_CHUNK], unpacked and not yet decoded */
    size_t mid_pos, mid_bytes;
    bool mid_ended;
    struct unpack unpack;
    struct decoder decoder;

    uint64_t bytes_read;  /* of the file, packed ones where it is packed */
    uint64_t bytes_total; /* 0: unknown */
};

/* Takes the buffers; the first half of opening, so that memory is counted and carved in one place. */
void intake_layout(struct intake *s, struct arena *a);

/* What opening takes of the heap besides. */
size_t intake_heap_bytes(const char *encoding);

/* Opens the input; strings of hints are borrowed. Reads nothing yet. stop may be NULL. E_USAGE, E_INPUT,
 * E_MEMORY, or E_STOPPED when a signal came with the stop flag set while a FIFO was waited for. */
vecmill_status intake_open(struct intake *s, const struct intake_hints *hints,
                           const atomic_int *stop, vecmill_err *err);
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
