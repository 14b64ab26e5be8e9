/* reader: an input as records, whatever its format.
 *
 * Promises: one record at a time, into memory of the caller's. A record that cannot be read costs only
 * itself and has a reason. Nothing is allocated after opening, and nothing depends on the length of the input
 * or of a line. Does not know what becomes of a record. */
#ifndef JOB_READER_H
#define JOB_READER_H

#include "intake.h"
#include "job.h"
#include "kinds.h"

/* Memory of records: filled from the front, and reused as a whole. */
struct record_buf {
    char *data;
    size_t capacity, used;
};

struct reader_record {
    uint64_t index; /* from 0 */
    uint64_t line;  /* from 1, where it begins */
    const char *text;
    size_t bytes;      /* 0 when it failed */
    const char *query; /* of pairs */
    size_t query_bytes;
    const char *id;     /* JSON, terminated; NULL: none */
    const char *reason; /* NULL, or why it could not be read; terminated */
    uint64_t replaced_bytes;
};

/* A position between two records. bytes, digest and state are the kind's; of text they are as said here. */
struct reader_point {
    uint64_t bytes;  /* of the text before it, unpacked */
    uint64_t digest; /* XXH3 of these */
    uint64_t line;   /* of the next record */
    uint64_t record; /* index of the next record, from 0 */
    uint64_t read;   /* of the records before it, those that could be read */
    bool in_array;   /* of READER_JSON: the next record is in an array that is open */
};

/* What the names say of an input. */
struct reader_choice {
    enum reader_format format;
    bool is_gzip;
    char delimiter; /* 0: the format has none */
    bool is_delimiter_named;
    bool is_id_named;
    const char *path, *encoding;
    const atomic_int *stop;
};

/* A line or a value in a record_buf, from `used` on. */
struct reader_line {
    uint64_t bytes; /* in the file, without the line's end */
    size_t kept;    /* less than `bytes` when it was too long */
    char last;      /* of these bytes */
};

struct reader {
    const struct reader_kind *kind;
    enum reader_format format;
    const char *name;                           /* for messages */
    const char *field, *query_field, *id_field; /* query_field NULL: no pairs */
    uint64_t max_document;
    uint64_t hash_seed; /* of reader_hash: what the kind reads by, besides the field */
    uint64_t line;      /* of the next record */
    uint64_t n_records, n_ok;
    vecmill_err first_fault; /* why the first record failed; status OK: it did not */
    uint64_t first_line;
    const char *seems; /* what the input seems to be instead of its format; NULL: no guess */
    struct intake intake;
    struct reader_line part; /* of a kind over lines: what is read of the next one */
    void *state;             /* the kind's */
    char *id_raw;            /* [JOB_ID_BYTES_MAX], an id as it is in the file */
    char *id_valid;          /* [3 * JOB_ID_BYTES_MAX], the same as valid UTF-8 */
    /* [18 * JOB_ID_BYTES_MAX + 2], the same quoted, of which at most JOB_ID_BYTES_MAX count. */
    char *id_json;
    size_t id_bytes; /* in id_json */
    void *memory;    /* the reader's own; NULL: the caller's is used */
    size_t memory_bytes;
};

/* Bytes that must be free in the buffer before each record. */
size_t reader_room(const struct job_options *options);

/* Bytes that reader_open takes; 0 where it would refuse the format. */
size_t reader_bytes(const struct job_options *options);

/* What it takes of the heap besides: a conversion of iconv's. */
size_t reader_heap_bytes(const struct job_options *options);

/* The same for the same --field, --encoding and --delimiter. */
uint64_t reader_hash(const struct reader *r);

/* Checks what no file is needed for. E_USAGE. */
vecmill_status reader_check_names(const struct job_options *options, vecmill_err *err);

/* Checks options and that the input is there and can be of its kind. E_USAGE, E_INPUT. */
vecmill_status reader_check(const struct job_options *options, vecmill_err *err);

/* Opens options->input up to its first record: of CSV the header is read. memory: reader_bytes, aligned to
 * 64, or NULL: its own. Strings of options are borrowed. E_USAGE, E_INPUT, E_STOPPED. */
vecmill_status reader_open(struct reader *r, const struct job_options *options, void *memory,
                           const atomic_int *stop, vecmill_err *err);
void reader_close(struct reader *r);

enum reader_got {
    READER_RECORD,
    READER_END,
    /* The input is a stream and the record was not whole after wait_ms. Call again, with the same buffer
     * as it is. */
    READER_AGAIN
};

/* The next record, its pointers into buf (whose `used` grows). wait_ms: for a slow input, INTAKE_FOREVER
 * too. A record with a reason is one that failed; not OK only when nothing more can be read. */
vecmill_status reader_next(struct reader *r, uint32_t wait_ms, struct record_buf *buf,
                           struct reader_record *record, enum reader_got *got, vecmill_err *err);

/* A sentence about the input for people, once; NULL: none. */
const char *reader_take_warning(struct reader *r, vecmill_err *warning);

/* Where the next record begins. */
void reader_tell(const struct reader *r, struct reader_point *point);

/* From the start to a point that an earlier run was told. E_INPUT when what is before it has changed;
 * E_STOPPED. */
vecmill_status reader_seek(struct reader *r, const struct reader_point *point, vecmill_err *err);

/* E_INPUT, if the whole input was read and it has records, none of which could be read: why the first could
 * not, and what the input seems to be. */
vecmill_status reader_refuse(const struct reader *r, vecmill_err *err);

/* ---- for kinds ---- */

/* A reason into the buffer: err's message. */
void reader_fail(struct record_buf *buf, struct reader_record *record, const vecmill_err *err);
/* E_LIMIT: the id has too many bytes. */
vecmill_status reader_check_id(const struct reader *r, size_t bytes, vecmill_err *err);
/* id_json into the buffer. */
void reader_keep_id(struct reader *r, struct record_buf *buf, struct reader_record *record);

/* ---- for kinds over text (read_text.c) ---- */

vecmill_status read_text_check(const char *path, vecmill_err *err);
void read_text_layout(struct reader *r, struct arena *a);
vecmill_status read_text_open(struct reader *r, const struct reader_choice *choice,
                              vecmill_err *err);
void read_text_tell(const struct reader *r, struct reader_point *point);
/* Of lines: also refuses an input whose last line had no end and has grown. */
vecmill_status read_text_seek(struct reader *r, const struct reader_point *point, vecmill_err *err);
vecmill_status read_text_seek_lines(struct reader *r, const struct reader_point *point,
                                    vecmill_err *err);
void read_text_close(struct reader *r);

/* The next line, without its end and a mark before it. *end: there was none. INTAKE_AGAIN keeps what was
 * read of it in r->part. */
vecmill_status read_text_line(struct reader *r, struct record_buf *buf, struct reader_line *line,
                              bool *end, vecmill_err *err);
/* Whether a line or value is not too long to be a document; *why says that it is. */
bool read_text_fits(const struct reader *r, const struct reader_line *line, vecmill_err *why);

#endif
