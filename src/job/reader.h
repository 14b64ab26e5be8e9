/* reader: an input as records, whatever its format.
 *
 * Promises: one record at a time into memory of the caller's; a record that cannot be read costs
 * itself only and says why; nothing is allocated after opening, and nothing depends on how long the
 * input or a line of it is. Does not know what becomes of a record. */
#ifndef JOB_READER_H
#define JOB_READER_H

#include "csv.h"
#include "intake.h"
#include "job.h"

/* A piece of memory that is filled from the front and emptied at once. */
struct area {
    char *data;
    size_t capacity, used;
};

enum reader_format { READER_TXT, READER_JSONL, READER_CSV, READER_JSON };

struct record {
    uint64_t index; /* from 0 */
    uint64_t line;  /* from 1, where it begins */
    const char *text;
    size_t bytes;       /* 0 when it failed */
    const char *id;     /* JSON, terminated; NULL: none */
    const char *reason; /* NULL, or why it could not be read; terminated */
    uint64_t replaced_bytes;
};

/* A place between two records. */
struct reader_point {
    uint64_t bytes;  /* of the text before it, unpacked */
    uint64_t digest; /* XXH3 of these */
    uint64_t line;   /* of the next record */
    uint64_t record; /* index of the next record, from 0: so many are before it */
    uint64_t read;   /* of these, those that could be read */
    bool in_array;   /* of READER_JSON: the next record is of an array that is open */
};

struct reader {
    struct intake intake;
    enum reader_format format;
    const char *field, *id_field;
    uint64_t max_document;
    uint64_t line;            /* of the next record */
    uint64_t n_records, n_ok; /* so far; of these, those that could be read */
    vecmill_err first_fault;  /* why the first record of all failed; status OK: it did not */
    uint64_t first_line;
    const char *seems; /* what the input seems to be instead of its format; NULL: no guess */
    char *id_raw;      /* [JOB_ID_BYTES_MAX], a CSV id as it is in the file */
    char *id_valid;    /* [3 * JOB_ID_BYTES_MAX], the same as valid UTF-8 */
    char
        *id_json; /* [18 * JOB_ID_BYTES_MAX + 2], the same quoted; at most JOB_ID_BYTES_MAX count */
    size_t id_bytes; /* in id_json */
    struct csv csv;
    bool in_array; /* of READER_JSON, as of reader_point */
    void *memory;  /* its own; NULL: the caller's is used */
    size_t memory_bytes;
};

/* Bytes of area that must be free before each record. */
size_t reader_room(const struct job_options *options);

/* Bytes that reader_open takes; 0 where it would refuse the format. */
size_t reader_bytes(const struct job_options *options);

/* What it takes of the heap besides: a conversion of iconv's. */
size_t reader_heap_bytes(const struct job_options *options);

/* The same for the same --field, --encoding and --delimiter: what the text is of an input's bytes. */
uint64_t reader_hash(const struct reader *r);

/* Checks what no file is needed for. E_USAGE. */
vecmill_status reader_check_names(const struct job_options *options, vecmill_err *err);

/* Checks options and that the input is there to be read; reads nothing. E_USAGE, E_INPUT. */
vecmill_status reader_check(const struct job_options *options, vecmill_err *err);

/* Opens options->input, and for CSV reads its header. memory: reader_bytes, aligned to 64, or NULL: its
 * own. Strings of options are borrowed. E_USAGE, E_INPUT, E_STOPPED. */
vecmill_status reader_open(struct reader *r, const struct job_options *options, void *memory,
                           const atomic_int *stop, vecmill_err *err);
void reader_close(struct reader *r);

/* The next record, its pointers into area (whose used grows), or *end. A record with a reason is one
 * that failed; not OK only when nothing more can be read. */
vecmill_status reader_next(struct reader *r, struct area *area, struct record *record, bool *end,
                           vecmill_err *err);

/* Where the next record begins. */
void reader_tell(const struct reader *r, struct reader_point *point);

/* E_INPUT, if the whole input was read and it has records, but none that could be read: what the first of
 * them lacks, and what the input seems to be. */
vecmill_status reader_refuse(const struct reader *r, vecmill_err *err);

/* From the start to a place that an earlier run has told of: passes over the text before it. E_INPUT when
 * that is not what it was; E_STOPPED. */
vecmill_status reader_pass(struct reader *r, const struct reader_point *point, vecmill_err *err);

/* For reader.c, csv.c and reader_json.c. A line or value, from area->used on in the area; kept < bytes
 * when it was longer than the most. */
struct reader_line {
    uint64_t bytes; /* of the file's, without a line's end */
    size_t kept;
};
/* The value as a record, or as one that failed. */
void reader_take_json(struct reader *r, struct area *area, const struct reader_line *value,
                      struct record *record);
/* A reason into the area: err's message. */
void reader_fail(struct area *area, struct record *record, const vecmill_err *err);
/* id_raw[bytes] into id_json. E_LIMIT. */
vecmill_status reader_quote_id(struct reader *r, size_t bytes, struct record *record,
                               vecmill_err *err);
/* id_json into the area. */
void reader_keep_id(struct reader *r, struct area *area, struct record *record);

#endif
