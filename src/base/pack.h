/* pack: one file of named sections, mapped read-only.
 *
 * Layout, little-endian:
 *      0  magic "vecmill\x01"
 *      8  u32 format version (PACK_VERSION)
 *     12  u32 number of sections, at most PACK_SECTIONS_MAX
 *     16  u64 bytes of the whole file
 *     24  u64 XXH3-64 of these 4,096 bytes, this field as zero
 *     32  key, 256 bytes: what the pack was made of, NUL-padded text, compared by the opener
 *    288  sections: { char name[24]; u64 offset; u64 bytes; u64 XXH3-64 }, 48 bytes each
 *   4096  the sections, each from a multiple of 4,096, zeros between
 *
 * A pack is written through io_out, so it is whole or absent. A reader checks every number against
 * the file before it hands out a pointer. Does not know what a section holds. */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "err.h"
#include "io.h"

#define PACK_VERSION      1u
#define PACK_SECTIONS_MAX 64u
#define PACK_KEY_BYTES    256u
#define PACK_NAME_BYTES   24u
#define PACK_ALIGN        4096u

struct pack_section {
    char name[PACK_NAME_BYTES];
    uint64_t offset, bytes, hash;
};

/* Writing: open, then for each section begin, write (as often as needed), end; commit or drop. */
struct pack_writer {
    struct io_out out;
    uint32_t n_sections;
    uint64_t pos; /* next byte in the file */
    XXH3_state_t *hash;
    struct pack_section sections[PACK_SECTIONS_MAX];
    char key[PACK_KEY_BYTES];
};
vecmill_status pack_writer_open(const char *path, const char *key, unsigned wait_ms,
                                struct pack_writer *w, vecmill_err *err);
/* The same into an open, empty file: a pack in memory. It has no name to get, and any process that
 * has it open sees it before it is whole. fd is taken. */
vecmill_status pack_writer_onto(int fd, const char *shown, const char *key, struct pack_writer *w,
                                vecmill_err *err);
vecmill_status pack_begin(struct pack_writer *w, const char *name, vecmill_err *err);
vecmill_status pack_write(struct pack_writer *w, const void *data, size_t bytes, vecmill_err *err);
/* Zeros up to the next multiple of `align` within the section. */
vecmill_status pack_pad(struct pack_writer *w, size_t align, vecmill_err *err);
vecmill_status pack_end(struct pack_writer *w, vecmill_err *err);
vecmill_status pack_commit(struct pack_writer *w, vecmill_err *err);
void pack_drop(struct pack_writer *w);

/* Reading. */
struct pack {
    struct io_map map;
    char key[PACK_KEY_BYTES];
    uint32_t n_sections;
    struct pack_section sections[PACK_SECTIONS_MAX];
};
/* Maps the file and checks header and table. E_NOTFOUND when there is no file, E_MODEL when it is
 * not a pack. */
vecmill_status pack_open(const char *path, struct pack *pack, vecmill_err *err);
/* Checks the same rules on bytes in memory (for fuzzing and pack_open). */
vecmill_status pack_check(const void *data, size_t bytes, struct pack *pack, vecmill_err *err);
/* A section's bytes, borrowed until pack_close; E_MODEL when it is missing. */
vecmill_status pack_find(const struct pack *pack, const char *name, const void **data,
                         size_t *bytes, vecmill_err *err);
/* Hashes a section, reading all of it, and compares. */
vecmill_status pack_verify(const struct pack *pack, const char *name, vecmill_err *err);
/* The same for every section of at most `most` bytes. */
vecmill_status pack_verify_small(const struct pack *pack, size_t most, vecmill_err *err);
void pack_close(struct pack *pack);

#endif
