/* kinds: the formats of inputs and outputs, each a row of a table.
 *
 * To add one: write a file that defines its struct reader_kind or struct sink_kind, and add a line to
 * READER_KINDS or SINK_KINDS. No other file asks which format it is. */
#ifndef JOB_KINDS_H
#define JOB_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "vecmill.h"

struct reader;
struct reader_choice;
struct reader_point;
struct reader_record;
struct record_buf;
struct sink;
struct sink_row;

/* In both lists X(NAME, name). The position is the number in OUTPUT.journal: add at the end, never
 * reorder. */
#define READER_KINDS(X)                                                                            \
    X(TXT, txt)     /* read_text.c */                                                              \
    X(JSONL, jsonl) /* read_json.c */                                                              \
    X(CSV, csv)     /* read_csv.c */                                                               \
    X(JSON, json)   /* read_json.c */

enum reader_format {
#define READER_FORMAT(NAME, name) READER_##NAME,
    READER_KINDS(READER_FORMAT)
#undef READER_FORMAT
        READER_FORMATS
};

#define READER_ENDINGS 3u

/* An input format. What is common to all text is in reader.h, "for kinds over text": bytes, lines,
 * encodings, and a position that is a number of bytes. A kind that is no text (a table of a database, whose
 * position is a row's id) has its own check, open, tell and seek. */
struct reader_kind {
    const char *word; /* in OUTPUT.shard.json */
    const char *unit; /* what --max-document limits: "line" */
    /* Of names; without the point, of --input-format. delimiter: 0 for formats without one. */
    struct {
        const char *ending;
        char delimiter;
    } endings[READER_ENDINGS];
    bool index_is_id; /* a document has no id but its index */
    bool takes_pairs; /* with options.query_field a record has two texts */
    /* Looks at a file before a model is opened. E_INPUT: it cannot be of this kind. */
    vecmill_status (*check)(const char *path, vecmill_err *err);
    /* Takes memory, r->state too. */
    void (*layout)(struct reader *r, struct arena *a);
    /* Opens the input up to its first record. */
    vecmill_status (*open)(struct reader *r, const struct reader_choice *choice, vecmill_err *err);
    /* As reader_next, but counts nothing. INTAKE_AGAIN: the record is not whole yet. */
    vecmill_status (*next)(struct reader *r, struct record_buf *buf, struct reader_record *record,
                           bool *end, vecmill_err *err);
    /* Fills the kind's part of a point; reads on from there. E_INPUT: the input has changed. */
    void (*tell)(const struct reader *r, struct reader_point *point);
    vecmill_status (*seek)(struct reader *r, const struct reader_point *point, vecmill_err *err);
    void (*close)(struct reader *r); /* also after a failure of open */
};

extern const struct reader_kind *const reader_kinds[READER_FORMATS];

#define SINK_KINDS(X)                                                                              \
    X(JSONL, jsonl)               /* sink_jsonl.c, as those of its ending */                       \
    X(NPY, npy)                   /* npy.c, likewise */                                            \
    X(ROWS_JSONL, rows_jsonl)     /* of several vectors a document */                              \
    X(ROWS_NPY, rows_npy)         /* with OUTPUT.offsets.npy */                                    \
    X(SPARSE_JSONL, sparse_jsonl) /* of indices and weights */                                     \
    X(SCORES_JSONL, scores_jsonl) /* of pairs */                                                   \
    X(SCORES_NPY, scores_npy)     /* [n] of one label, else [n, labels] */                         \
    X(RANGED_NPY, ranged_npy)     /* stage.c: bytes by the ranges of the run's own vectors */      \
    X(SPARSE_NPZ, sparse_npz)     /* sink_npz.c: a CSR matrix */

enum sink_format {
#define SINK_FORMAT(NAME, name) SINK_##NAME,
    SINK_KINDS(SINK_FORMAT)
#undef SINK_FORMAT
        SINK_FORMATS
};

#define SINK_HEADER_MAX 128u

#define SINK_ALL_DTYPES ((2u << VECMILL_DTYPE_UBINARY) - 1)

/* What an output is asked to hold. */
struct sink_wanted {
    vecmill_kind kind; /* of results */
    vecmill_dtype dtype;
    bool own_ranges; /* the dtype needs ranges, and they are to be those of the run's own vectors */
};

/* An output format: a header of fixed size, then rows. */
struct sink_kind {
    const char *word;    /* in OUTPUT.shard.json */
    const char *ending;  /* of the output's name */
    uint32_t takes;      /* bits 1u << vecmill_kind of the results it can hold */
    uint32_t dtypes;     /* bits 1u << vecmill_dtype of their elements; 0: float32 alone */
    bool has_offsets;    /* a document has any number of rows: OUTPUT.offsets.npy says which */
    bool has_ids_file;   /* ids go into OUTPUT.ids.jsonl, not into the rows */
    bool has_own_ranges; /* wanted.own_ranges is what it is for */
    /* The header of a file of n rows into out[SINK_HEADER_MAX]; returns its bytes, the same number for
     * any n. NULL: there is none. */
    size_t (*header)(uint64_t n, uint32_t dim, vecmill_dtype dtype, char *out);
    /* Bytes of each row. NULL: a row is a line of text. */
    size_t (*row_bytes)(uint32_t dim, vecmill_dtype dtype);
    /* Writes one row to s->files[PATHS_OUTPUT], or, of a kind that assembles, PATHS_STAGE. */
    vecmill_status (*put)(struct sink *s, const struct sink_row *row, vecmill_err *err);
    /* NULL, or: rows cannot be written before the last is known. They are put into PATHS_STAGE, and this
     * writes PATHS_OUTPUT, which is empty, whole, from what is there; begun again after a kill. E_OUTPUT,
     * E_STOPPED, E_USAGE. */
    vecmill_status (*assemble)(struct sink *s, vecmill_err *err);
    /* Of such a kind, the bytes of a row in the stage. NULL: rows differ. */
    size_t (*stage_row_bytes)(uint32_t dim);
};

extern const struct sink_kind *const sink_kinds[SINK_FORMATS];

/* The format that an output's name asks for, of such results; "-" is JSON lines. E_USAGE. */
vecmill_status sink_kind_choose(const char *output, const struct sink_wanted *wanted,
                                enum sink_format *format, vecmill_err *err);

/* Whether the output of `rows` documents can have this many bytes. */
bool sink_kind_fits(enum sink_format format, uint64_t rows, uint32_t dim, vecmill_dtype dtype,
                    uint64_t bytes);
/* Whether its stage can, when all rows are there. */
bool sink_kind_fits_stage(enum sink_format format, uint64_t rows, uint32_t dim, uint64_t bytes);

#endif
