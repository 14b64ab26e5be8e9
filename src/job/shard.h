/* shard: OUTPUT.shard.json, which identifies a shard's output: of which run it is which part, and what its
 * files hold.
 *
 * One object: what a journal's header has of the run, the size of the input, the counters, and of each file
 * its bytes and their XXH3. docs/FORMATS.md lists the members. Promises: appears whole, and before its
 * output does. Every number that is read is checked against the others. Does not know how shards are
 * joined. */
#ifndef JOB_SHARD_H
#define JOB_SHARD_H

#include "journal.h"
#include "paths.h"

#include <stdatomic.h>

#define SHARD_BYTES_MAX 4096u

struct shard_file {
    bool is_there; /* false: the run had nothing for it */
    uint64_t bytes, digest;
};

struct shard {
    struct journal_run run;
    struct reader_point
        input; /* behind its last document: .record is the number of all shards' documents */
    uint64_t rows, failed, tokens, truncated, replaced_bytes;
    struct shard_file files[PATHS_FILES];
};

/* How many of the documents are this shard's. */
uint64_t shard_rows(uint64_t documents, uint32_t shard, uint32_t shards);

/* Returns the bytes, at most SHARD_BYTES_MAX; terminated. */
size_t shard_encode(const struct shard *shard, char text[SHARD_BYTES_MAX + 1]);

/* E_INPUT: it is none, or its numbers contradict each other. `name` is for messages. */
vecmill_status shard_parse(const char *text, size_t bytes, const char *name, struct shard *shard,
                           vecmill_err *err);

/* Reads the one of an output. E_NOTFOUND: there is none. E_INPUT. */
vecmill_status shard_read(const char *output, struct shard *shard, vecmill_err *err);

/* Writes it for a run whose parts are final, as `point` describes them. buffer is for reading them; *stop
 * ends that (E_STOPPED). E_OUTPUT. */
vecmill_status shard_write(const struct paths *paths, const struct journal_run *run,
                           const struct journal_point *point, void *buffer, size_t buffer_bytes,
                           const atomic_int *stop, vecmill_err *err);

#endif
