/* job: a bulk run: read documents, have them embedded, write vectors in input order.
 *
 * Promises: input is streamed, memory does not depend on its length; a file of output appears under
 * its name only when complete; a document that cannot be embedded costs a zero row and a line in
 * OUTPUT.errors.jsonl, never the run (unless asked to stop). Does not know how a vector is made. */
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
#define JOB_WINDOW_DOCS          1024u      /* documents read before they are computed */
#define JOB_WINDOW_BYTES         (4u << 20) /* bytes of text of a window; one document may exceed it */
#define JOB_ID_BYTES_MAX         4096u      /* bytes of one id as JSON */

struct job_options {
    /* Path, or "-". The ending chooses the reader: .txt .jsonl .csv, each also .gz; standard input is
     * read as .txt unless input_format is set. */
    const char *input;
    const char *input_format; /* NULL, "txt", "jsonl", "csv", each also with ".gz" behind it */
    const char *output;       /* path ending in .npy or .jsonl, or "-" for JSONL on stdout */
    const char *field;        /* NULL: "text"; for CSV a column's name, or its number from 1 */
    const char *id_field;     /* NULL: "id" where it occurs */
    const char *errors;    /* NULL: output + ".errors.jsonl"; for "-" none, see job_hooks.failed */
    bool stop_on_error;    /* --on-error stop: E_INPUT at the first document that fails */
    uint64_t max_document; /* bytes; 0: JOB_MAX_DOCUMENT_DEFAULT */
};

/* Counters of a run, also while it runs (progress is called between windows). */
struct job_progress {
    uint64_t documents; /* done, failed ones included */
    uint64_t failed;
    uint64_t tokens;
    uint64_t truncated;      /* documents */
    uint64_t replaced_bytes; /* of invalid UTF-8 */
    uint64_t bytes_read;     /* of the input file, compressed bytes for .gz */
    uint64_t bytes_total;    /* of the input file; 0: unknown (stdin) */
    uint64_t elapsed_ns;
};

struct job_hooks {
    void (*progress)(void *context, const struct job_progress *progress);
    /* a document failed: its index from 0, its place ("file.jsonl line 7"), the reason */
    void (*failed)(void *context, uint64_t index, const char *place, const char *reason);
    void *context;
    /* NULL, or nonzero when the run is to end: after the window that is being computed, or at once
     * while input, or the reader of standard output, is waited for; the output is dropped and the
     * status is E_STOPPED. Standard output may then end inside a line. */
    const atomic_int *stop;
};

/* Checks what can be checked before a model is opened: endings, that the input is there and the output
 * can be written. E_USAGE, E_INPUT, E_OUTPUT. Creates nothing. */
vecmill_status job_check(const struct job_options *options, vecmill_err *err);

/* Whether `path` names one of the files that the run of options which job_check accepted reads, writes,
 * renames or removes, by name or by being the same file: the input and, also while they are missing,
 * the output, what stands beside it, and each of them + ".part". Devices are nobody's. */
bool job_is_own_path(const struct job_options *options, const char *path);

/* Runs. OK, or E_PARTIAL when documents failed (the output is complete all the same, *summary counts
 * them); E_INPUT, E_OUTPUT, E_STOPPED and the session's errors leave no output behind, but for an
 * E_OUTPUT that came after the output was renamed into place (a folder that cannot be synced, an
 * earlier run's file that cannot be removed). *summary is filled whatever the status: with what had
 * been done until then, zeros where nothing had. */
vecmill_status job_run(const struct job_options *options, vecmill_session *session,
                       const struct job_hooks *hooks, struct job_progress *summary,
                       vecmill_err *err);

/* A .npy file of float32 rows, mapped (NumPy's format 1.0 to 3.0, C order, '<f4', two axes).
 * E_INPUT names what does not fit. Pair: job_vectors_close. */
struct job_vectors {
    const float *rows; /* [n, dim], aligned to 4 */
    uint64_t n;
    uint32_t dim;
    struct io_map map;
};
vecmill_status job_vectors_open(const char *path, struct job_vectors *v, vecmill_err *err);
void job_vectors_close(struct job_vectors *v);

/* Line i (from 0) of `path` + ".ids.jsonl" for each of n wanted rows, streamed in one reading: out[k]
 * is a heap string (mem_free), one JSON scalar, or NULL where the file or the line is missing. E_INPUT
 * names a wanted line that is anything else. */
vecmill_status job_ids_find(const char *path, const uint64_t *rows, size_t n, char **out,
                            vecmill_err *err);

/* Runs one document at a time over an input as job_run would read it, for `tokenize` and `bench`:
 * returns not OK from the callback to stop. id is a JSON value (NUL-terminated) or NULL; reason is NULL
 * or why the document failed to be read. */
typedef vecmill_status (*job_each_fn)(void *context, uint64_t index, const char *id,
                                      vecmill_doc doc, const char *reason, vecmill_err *err);
vecmill_status job_each(const struct job_options *options, job_each_fn each, void *context,
                        vecmill_err *err);

#endif
