/* unpack: the bytes of a file, unpacked where its first bytes say that it is packed.
 *
 * Promises: gzip (RFC 1952, several members too) through a fixed buffer and memory of the caller's;
 * everything else passes through as it is, but what the table of sniff.h refuses by name. Does not know
 * what the bytes mean. */
#ifndef JOB_UNPACK_H
#define JOB_UNPACK_H

#include "sniff.h"

#include "base/base.h"

#include <zlib.h>

#define UNPACK_CHUNK ((size_t)64 << 10)

enum unpack_packing { UNPACK_ANY, UNPACK_GZIP };

struct unpack {
    const char *name; /* of the file, for messages; borrowed */
    /* One read of the file; *got == 0 at its end. */
    vecmill_status (*read)(void *source, void *out, size_t room, size_t *got, vecmill_err *err);
    void *source;
    enum unpack_packing says; /* what its name says; ANY: nothing */

    unsigned char *raw; /* [UNPACK_CHUNK], bytes of the file */
    size_t raw_pos, raw_bytes;
    bool raw_ended;
    uint64_t raw_taken; /* bytes unpacked, for messages */

    bool is_gzip, in_member, z_open, has_rest;
    z_stream z;
    struct arena z_arena; /* zlib's working memory */
};

/* Takes the buffers. */
void unpack_layout(struct unpack *u, struct arena *a);

/* Reads what has to be looked at, and decides how the rest is read. waits: the file is a stream, of which
 * more may be long in coming. E_INPUT: it is something else, by name. */
vecmill_status unpack_begin(struct unpack *u, bool waits, vecmill_err *err);
void unpack_close(struct unpack *u);

/* The next bytes; *got == 0 at the end. E_INPUT with the offset. u->has_rest is set at the end, when bytes
 * came after the last member of gzip which are none: they are left, as gzip(1) leaves them. */
vecmill_status unpack_read(struct unpack *u, void *out, size_t room, size_t *got, vecmill_err *err);

/* E_INPUT naming what the table says it is, `inside` something else. */
vecmill_status unpack_refuse(const char *name, const struct sniff_magic *magic, const char *inside,
                             vecmill_err *err);

#endif
