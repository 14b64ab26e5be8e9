/* shard: OUTPUT.shard.json, by which a shard's output is known: of which run it is which part, and what its
 * files hold.
 *
 * One object: what a journal's header says of the run, how much of the input there was, what was counted, and
 * of each file its bytes and their XXH3. docs/FORMATS.md lists the members. Promises: appears whole, and
 * before its output does; what is read is checked in every number against the others. Does not know how
 * shards are put together. */
#ifndef JOB_SHARD_H
#define JOB_SHARD_H

#include "journal.h"
#include "paths.h"

#include <stdatomic.h>

#define SHARD_BYTES_MAX 4096u

struct shard_file {
    bool is_there; /* false: its run had nothing for it */
    uint64_t bytes, digest;
};

struct shard {
    struct journal_run run;
    struct reader_point
        input; /* behind its last document: .record is the number of all shards' documents */
    uint64_t rows, failed, tokens, truncated, replaced_bytes;
    struct shard_file files[PATHS_FILES];
};

/* Documents of an input of so many that are this shard's. */
uint64_t shard_rows(uint64_t documents, uint32_t shard, uint32_t shards);

/* Returns the bytes, at most SHARD_BYTES_MAX; terminated. */
size_t shard_encode(const struct shard *shard, char text[SHARD_BYTES_MAX + 1]);

/* E_INPUT: it is none, or says what cannot be; `name` is said in messages. */
vecmill_status shard_parse(const char *text, size_t bytes, const char *name, struct shard *shard,
                           vecmill_err *err);

/* Reads that of an output. E_NOTFOUND: there is none. E_INPUT. */
vecmill_status shard_read(const char *output, struct shard *shard, vecmill_err *err);

/* Makes it of a run whose parts are final, as `point` tells of them; buffer is for reading them. *stop ends
 * that (E_STOPPED). E_OUTPUT. */
vecmill_status shard_write(const struct paths *paths, const struct journal_run *run,
                           const struct journal_point *point, void *buffer, size_t buffer_bytes,
                           const atomic_int *stop, vecmill_err *err);

#endif
