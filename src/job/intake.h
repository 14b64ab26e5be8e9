/* intake: the text of an input, a chunk at a time: read, unpacked, decoded (encoding.h).
 *
 * Promises: reads a file, a pipe or standard input through fixed buffers. What comes out is UTF-8, except
 * for bytes that mean nothing; the mark at its front is removed; lines end in LF or CR LF (where CR alone
 * ends them, it becomes LF). gzip (RFC 1952, several members too) is unpacked; what sniff.h knows to be no
 * text is refused by name. A wait for a slow writer is bounded, and ends when the stop flag is set. A hash
 * of all consumed text is kept, by which a later run recognizes it. Does not know what a line is. */
#ifndef JOB_INTAKE_H
#define JOB_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#include "encoding.h"

#include <zlib.h>

/* Returned by intake_peek for a stream that has nothing yet: no failure, and err is untouched. Everything
 * stays as it is, so the same call can be made again. reader_next turns it into READER_AGAIN. */
#define INTAKE_AGAIN ((vecmill_status)-1)

#define INTAKE_FOREVER UINT32_MAX

/* What is known of an input before it is read. */
struct intake_hints {
    const char *path;     /* "-": standard input */
    const char *encoding; /* NULL: UTF-8, or what the first bytes say */
    bool is_gzip;         /* by its name; it must be gzip then. false: the first bytes decide */
};

struct intake {
    const char *name; /* for messages: the path, or "standard input" */
    int fd;
    bool owns_fd;
    bool waits; /* not a regular file: a read may block */
    /* How long a peek waits for a slow writer before it returns INTAKE_AGAIN. Set by the caller at any time;
     * intake_open sets INTAKE_FOREVER. */
    uint32_t wait_ms;
    const atomic_int *stop;
    struct intake_hints hints;
    vecmill_err warning; /* a sentence for people; no message: none */

    /* Bytes of the file. */
    unsigned char *raw;
    size_t raw_pos, raw_bytes;
    bool raw_ended;
    uint64_t raw_taken; /* bytes unpacked, for messages */
    uint64_t bytes_read;
    uint64_t bytes_total; /* 0: unknown */

    /* gzip */
    bool is_gzip, in_member, z_open, has_rest;
    z_stream z;
    struct arena z_arena; /* zlib's working memory */

    /* Unpacked and not yet decoded. */
    unsigned char *packed_text;
    size_t mid_pos, mid_bytes;
    bool mid_ended;
    struct decoder decoder;

    /* Text that is to be consumed. */
    unsigned char *data;
    size_t pos, bytes, searched; /* searched: for the first LF */
    bool knows_packing, knows_encoding, knows_line_ends, ended;
    bool cr_ends, after_cr; /* CR alone ends lines; the last byte was one */

    uint64_t consumed;         /* bytes of text, without the mark at the front */
    unsigned char last;        /* of these bytes */
    struct XXH3_state_s *hash; /* of these bytes */
};

/* Takes the buffers; the first half of opening, so that memory is counted and carved by the same code. */
void intake_layout(struct intake *s, struct arena *a);

/* What opening takes of the heap besides. */
size_t intake_heap_bytes(const char *encoding);

/* Opens the input; strings of hints are borrowed. Reads nothing yet. stop may be NULL. E_USAGE, E_INPUT,
 * E_MEMORY, or E_STOPPED when a signal came with the stop flag set while a FIFO was waited for. */
vecmill_status intake_open(struct intake *s, const struct intake_hints *hints,
                           const atomic_int *stop, vecmill_err *err);
void intake_close(struct intake *s);

/* What is unread, at least one byte except at the end; borrowed until the next peek. E_INPUT, INTAKE_AGAIN,
 * or E_STOPPED when the stop flag was set. */
vecmill_status intake_peek(struct intake *s, const unsigned char **data, size_t *bytes,
                           vecmill_err *err);
/* Passes over n bytes of the last peek. */
void intake_consume(struct intake *s, size_t n);

/* XXH3 of all that was consumed. */
uint64_t intake_digest(const struct intake *s);

#endif
