/* journal: OUTPUT.journal, from which a run that ended early is recognized and continued.
 *
 * A header that identifies the run, and two slots that take turns. Each slot is a checkpoint: how far the
 * input was read, and how long each part of the output was when at least that was on the medium. Layout,
 * little-endian, each record at the start of its own page, so that a torn write damages only one:
 *
 *     0     header   8 magic, u32 version, u32 dim, u32 output (its place in SINK_KINDS),
 *                    u32 input (0 txt,
 *                    1 jsonl, 2 csv, 3 json), u64 max_document, u64 reader_hash, u64 XXH3 of the id
 *                    field's name, 32 identity, 16 instruction set, u32 shard, u32 of how many, u64 of
 *                    vecmill_dtype, u64 XXH3 of the ranges, u64 XXH3 of all before
 *     4096  slot     u64 sequence (odd), u64 flags (1: complete), u64 documents, failed, tokens,
 *                    truncated, replaced_bytes; of the input u64 bytes, digest, line, documents (of all
 *                    shards), of these those that could be read, and whether the next is in an array of
 *                    .json that is open; of errors, ids, offsets, ranges, stage and output u64 bytes,
 *                    inode, mtime in ns each; u64 XXH3 of all before, the header's as seed
 *     8192  slot     the same (sequence even)
 *
 * Promises: appears under its name whole, with a checkpoint of 0 documents. A torn or changed checkpoint is
 * detected, and the one before it counts. Locked while it is open. Does not know when a checkpoint is
 * due. */
#ifndef JOB_JOURNAL_H
#define JOB_JOURNAL_H

#include "paths.h"
#include "reader.h"

#define JOURNAL_VERSION      5u
#define JOURNAL_PAGE         4096u
#define JOURNAL_HEADER_BYTES 128u /* the checksum's eight included, as below */
#define JOURNAL_SLOT_BYTES   256u
#define JOURNAL_BYTES        (2 * JOURNAL_PAGE + JOURNAL_SLOT_BYTES)
#define JOURNAL_IDENTITY     32u /* characters of vecmill_facts.identity */
#define JOURNAL_ISA          16u
#define JOURNAL_CURSOR       18u /* u64 words that describe the output */

/* Identifies a run: all that the bytes of the output depend on, besides the input. */
struct journal_run {
    char identity[JOURNAL_IDENTITY + 1];
    char isa[JOURNAL_ISA + 1];
    uint32_t dim;
    enum sink_format output_format;
    enum reader_format input_format;
    uint64_t max_document;
    uint64_t field, id_field; /* reader_hash, and the hash of a name */
    uint32_t shard, shards;   /* as of job_options; of a whole input 0 and 1 */
    vecmill_dtype dtype;
    uint64_t ranges; /* XXH3 of those that were given; 0: none were */
};

/* A checkpoint. */
struct journal_point {
    uint64_t sequence; /* from 1 */
    bool complete;     /* the parts are final: only their names are to be changed */
    uint64_t documents, failed, tokens, truncated, replaced_bytes;
    struct reader_point input;
    union {
        struct paths_stamp files[PATHS_FILES]; /* the parts */
        /* For a sink without files: whatever it needs to continue. */
        uint64_t cursor[JOURNAL_CURSOR];
    };
};

/* Reads a whole journal. E_USAGE, with what to do, when it is no journal, of another version, or damaged
 * in its header or in both slots. `name` is for messages. */
vecmill_status journal_parse(const void *bytes, size_t size, const char *name,
                             struct journal_run *run, struct journal_point *point,
                             vecmill_err *err);

/* The bytes of a journal whose one checkpoint is `point`. */
void journal_encode(const struct journal_run *run, const struct journal_point *point,
                    unsigned char bytes[JOURNAL_BYTES]);

/* An open journal, locked. */
struct journal {
    int fd; /* -1: there is none */
    char path[IO_PATH_MAX];
    uint64_t seed;     /* of the slots' checksums */
    uint64_t sequence; /* of the last checkpoint */
};

/* Opens and locks the journal of an output; j->fd is -1 when there is none. E_OUTPUT, also when another
 * process has it. Pair: journal_close or journal_remove. */
vecmill_status journal_open(const struct paths *paths, struct journal *j, vecmill_err *err);

/* E_USAGE: there is a journal, and neither --resume nor --force. */
vecmill_status journal_refuse(const struct paths_file *file, const struct job_options *options,
                              vecmill_err *err);

/* Reads an open journal. E_USAGE as journal_parse; E_OUTPUT. */
vecmill_status journal_read(struct journal *j, struct journal_run *run, struct journal_point *point,
                            vecmill_err *err);

/* Creates one, durably, with a checkpoint of 0 documents. The caller holds the lock of the output's part. */
vecmill_status journal_create(const struct paths_file *file, const struct journal_run *run,
                              struct journal *j, vecmill_err *err);

/* Writes the next checkpoint, which is on the medium when this returns; sets point->sequence. The parts that
 * it records must be on the medium before. A failure is final. */
vecmill_status journal_write(struct journal *j, struct journal_point *point, vecmill_err *err);

/* Removes it, durably, and closes; closed in every case. */
vecmill_status journal_remove(struct journal *j, vecmill_err *err);
void journal_close(struct journal *j);

#endif
