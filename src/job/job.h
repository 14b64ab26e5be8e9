/* job: a bulk run. Reads documents, has them embedded, and writes vectors in the order of the input.
 *
 * Promises: the input is streamed, and memory does not depend on its length. An output file appears under
 * its name only when it is complete. A document that cannot be embedded costs a row without a vector (zeros
 * in a .npy) and a line in OUTPUT.errors.jsonl, but not the run (unless asked to stop). A run that ends
 * early, by SIGKILL or a power cut too, leaves a journal, OUTPUT.journal, from which another run continues:
 * at most what was done since the last checkpoint is done again, and the output is byte for byte that of an
 * undisturbed run. An input may be split over runs that do not communicate, and their outputs joined.
 * Does not know how a vector is computed. */
#ifndef JOB_H
#define JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "vecmill.h"

#define JOB_MAX_DOCUMENT_DEFAULT (16u << 20) /* bytes of one input line or record */
#define JOB_MAX_DOCUMENT_MOST    (1u << 30)
#define JOB_ID_BYTES_MAX         4096u /* bytes of one id as JSON */
#define JOB_SHARDS_MAX           4096u /* that an input is split into */

/* A checkpoint is due after this time, or this many batches of the pool, whichever comes first. */
#define JOB_CHECKPOINT_NS      2000000000u
#define JOB_CHECKPOINT_BATCHES 64u

/* After a stop is requested, the batches that are being computed are waited for at most this long. */
#define JOB_GRACE_NS 5000000000u

struct job_options {
    /* A path, or "-". The ending chooses the reader: .txt .jsonl .ndjson .json .csv .tsv, each also .gz.
     * Standard input is read as .txt unless input_format is set. The first bytes decide on gzip. */
    const char *input;
    const char *input_format; /* NULL, or an ending without its point: "txt", "jsonl", "csv.gz" */
    const char *encoding;     /* NULL: UTF-8, or what a mark or the look of the first bytes says */
    const char *delimiter;    /* of CSV: one character, or "tab"; NULL: a comma, for .tsv a tab */
    /* A path ending in .npy or .jsonl, or "-" for JSONL on stdout. Results of several rows a document
     * come with OUTPUT.offsets.npy in .npy; sparse ones go to JSONL, or to .npz. */
    const char *output;
    /* Of what is written, dense vectors alone: FLOAT32 to UBINARY, by the rules of vecmill_quantize. */
    vecmill_dtype dtype;
    /* For INT8 and UINT8: a .npy of float32 [2, dim], least and greatest values. NULL: those of the run's
     * own vectors, which are kept as float32 in OUTPUT.stage.part till the last is known; of a whole input
     * into a .npy alone. A copy, or those, are written to OUTPUT.ranges.npy. */
    const char *ranges;
    const char *field; /* NULL: "text"; for CSV a column's name, or its number from 1 */
    /* NULL, or of pairs the key of the first text, the query; field is that of the second. JSON alone. */
    const char *query_field;
    /* NULL, or the first text of pairs whose second are the documents. Not with query_field. */
    const char *query;
    const char *id_field; /* NULL: "id" where it occurs */
    const char *errors;   /* NULL: output + ".errors.jsonl"; for "-" none, see job_hooks.failed */
    bool stop_on_error; /* --on-error stop: E_INPUT when a document fails, or had before a resume */
    uint64_t max_document; /* bytes; 0: JOB_MAX_DOCUMENT_DEFAULT */
    /* Continue from OUTPUT.journal if there is one. Not with standard input or output. */
    bool resume;
    bool force; /* start afresh, whatever journal is there */
    /* Only the documents whose index modulo `shards` is `shard` get rows. The output, a file, comes with
     * OUTPUT.shard.json, for job_merge. shards 0 or 1: all documents. At most JOB_SHARDS_MAX;
     * shard < shards. */
    uint32_t shard, shards;
    /* Of results, as far as it is known before the pool is open: default VECMILL_KIND_DENSE. */
    vecmill_kind kind;
};

/* Counters of a run, also while it runs: progress is called after rows were written. */
struct job_progress {
    uint64_t documents; /* done, of this shard; failed ones and those of earlier runs included */
    uint64_t resumed;   /* of these, done by the runs that this one continues */
    uint64_t failed;
    uint64_t tokens;         /* computed: a duplicate's are not */
    uint64_t duplicates;     /* of this run's documents: given a copy (vecmill_result.duplicate) */
    uint64_t truncated;      /* documents */
    uint64_t replaced_bytes; /* of invalid UTF-8 */
    uint64_t bytes_read;     /* of the input file, compressed bytes for .gz */
    uint64_t bytes_total;    /* of the input file; 0: unknown (stdin) */
    uint64_t elapsed_ns;
};

struct job_hooks {
    void (*progress)(void *context, const struct job_progress *progress);
    /* A document failed: its index from 0, where it is ("file.jsonl line 7"), the reason. */
    void (*failed)(void *context, uint64_t index, const char *place, const char *reason);
    /* A sentence for people: where a resumed run continues, what is kept for a later one. */
    void (*notice)(void *context, const char *sentence);
    void *context;
    /* NULL, or nonzero to end the run: the batches that are being computed are finished within
     * JOB_GRACE_NS and written, a checkpoint is made, and the status is E_STOPPED. A wait for input, or
     * for the reader of standard output, ends at once; standard output may then end inside a line. */
    const atomic_int *stop;
};

/* Checks what can be checked before a model is opened: endings, that the input is there, that the output
 * can be written, that there is no journal of another run (unless resume or force is set). *finished: resume
 * is set and the output is there, with neither journal nor part, so there is nothing to do. Takes no lock;
 * job_run checks again, under locks. E_USAGE, E_INPUT, E_OUTPUT. Creates nothing. */
vecmill_status job_check(const struct job_options *options, bool *finished, vecmill_err *err);

/* The part of job_check that needs no file: the input's format, the endings of names, --max-document.
 * E_USAGE. */
vecmill_status job_check_names(const struct job_options *options, vecmill_err *err);

/* Whether the input was written after the output, so that a finished output may not be its vectors: for a
 * warning. False where either is no file. */
bool job_input_is_newer(const struct job_options *options);

/* Whether `path` is a file that a run of these options, which job_check accepted, reads, writes, renames or
 * removes, by name or by being the same file: the input; the output and the files that come with it, each
 * also with ".part", even while they are missing; the journal. False for devices. */
bool job_is_own_path(const struct job_options *options, const char *path);

/* Bytes of job_run's buffers for a pool of `capacity` documents with these facts (result_bytes). */
size_t job_bytes(const struct job_options *options, const vecmill_facts *facts, uint32_t capacity);

/* Runs. OK, or E_PARTIAL when documents failed: the output is complete all the same, and *summary counts
 * them.
 *
 * E_INPUT, E_OUTPUT, E_STOPPED and the pool's errors leave no new output, except for an E_OUTPUT after the
 * output was renamed into place (a folder that cannot be synced, an earlier run's file that cannot be
 * removed). What can be resumed is kept (OUTPUT.journal and the parts): after E_STOPPED whenever a document
 * was done, after other errors when a checkpoint with a document had been made. Nothing is kept of a run on
 * standard input, which has no journal, nor of an input none of whose documents could be read (E_INPUT).
 * When nothing is kept after E_STOPPED, E_OUTPUT or E_WORKERS and an earlier run's output is in place, an
 * empty part stays, so that job_check does not take that output for this run's.
 *
 * Refused, with everything left as it is: E_USAGE (another run's journal, and neither resume nor force; a
 * journal of other options; a pool whose results are of several kinds, or of one that the output's format
 * cannot hold), E_INPUT (resume: what was read of the input has changed, or stop_on_error and
 * documents had failed), E_MODEL (resume: another model, instruction set or version, so other bits). E_MODEL
 * also when the pack is found damaged at the end: then nothing of the run is kept.
 *
 * *summary is filled whatever the status: with what had been done until then. After E_STOPPED the pool is
 * held (vecmill_pool_hold). It is the caller's to close. */
vecmill_status job_run(const struct job_options *options, vecmill_pool *pool,
                       const struct job_hooks *hooks, struct job_progress *summary,
                       vecmill_err *err);

/* The outputs of the runs of all shards, in any order. */
struct job_merge_options {
    const char *const *shards; /* [n_shards], at most JOB_SHARDS_MAX */
    uint32_t n_shards;
    const char *output; /* a path with the same ending */
};

/* Bytes of the buffers of all shards. */
#define JOB_MERGE_BYTES (64u << 20)

/* Joins shards: output, ids and errors are byte for byte those of one run over the whole input, and so is
 * the status, OK or E_PARTIAL. All files are read whole, and their checksums compared, before a name is
 * changed. E_INPUT names what is missing, occurs twice, has not ended, is of another input or other options,
 * is shorter or has changed. E_USAGE, E_OUTPUT and E_STOPPED as of job_run. After an error the output is
 * as it was, and there is no part. There is no journal: a merge that was killed is done again. One file is
 * open for each shard. Of the hooks, progress and stop are used. */
vecmill_status job_merge(const struct job_merge_options *options, const struct job_hooks *hooks,
                         struct job_progress *summary, vecmill_err *err);

/* A .npy file of rows, mapped (NumPy's format 1.0 to 3.0, C order, '<f4', '<f2', '|i1' or '|u1', two
 * axes). E_INPUT names what does not fit. Pair: job_vectors_close. */
struct job_vectors {
    const void *rows; /* [n, dim], aligned as its elements are */
    uint64_t n;
    uint32_t dim; /* elements of a row; of bits its bytes */
    vecmill_dtype
        dtype; /* FLOAT32, FLOAT16, or INT8 and UINT8, of which BINARY and UBINARY are files too */
    struct io_map map;
};
vecmill_status job_vectors_open(const char *path, struct job_vectors *v, vecmill_err *err);

/* The same of a file of ranges: two rows of float32, each least value finite and not over the greatest. */
vecmill_status job_ranges_open(const char *path, struct job_vectors *v, vecmill_err *err);
void job_vectors_close(struct job_vectors *v);

/* `path` + ".offsets.npy" of a file of n_rows rows, mapped: document d has the rows from starts[d] to before
 * starts[d + 1]. Where there is no such file, a document has one row, and starts is NULL. E_INPUT names what
 * does not fit. Pair: job_offsets_close. */
struct job_offsets {
    const uint64_t *starts; /* [n + 1], ascending from 0 to n_rows */
    uint64_t n;
    struct io_map map;
};
vecmill_status job_offsets_open(const char *path, uint64_t n_rows, struct job_offsets *o,
                                vecmill_err *err);
void job_offsets_close(struct job_offsets *o);

/* Line i (from 0) of `path` + ".ids.jsonl" for each of n wanted rows, streamed in one reading: out[k]
 * is a heap string (mem_free), one JSON scalar, or NULL where the file or the line is missing. E_INPUT
 * names a wanted line that is anything else. */
vecmill_status job_ids_find(const char *path, const uint64_t *rows, size_t n, char **out,
                            vecmill_err *err);

/* Calls back with each document of an input, as job_run would read it; with query_field it is a pair
 * (VECMILL_DOC_PAIR), its query the first text; options.query is not looked at. A status other than OK
 * stops, and is returned. id is a JSON value (NUL-terminated) or NULL; reason is NULL or why the document
 * could not be read. */
typedef vecmill_status (*job_each_fn)(void *context, uint64_t index, const char *id,
                                      vecmill_doc doc, const char *reason, vecmill_err *err);
vecmill_status job_each(const struct job_options *options, job_each_fn each, void *context,
                        vecmill_err *err);

#endif
