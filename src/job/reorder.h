/* reorder: the rows between reading and writing, in the order of the input.
 *
 * Promises: a fixed number of rows and a fixed piece of memory for their ids and reasons. Texts are not
 * kept. Does not know where the vectors are computed. */
#ifndef JOB_REORDER_H
#define JOB_REORDER_H

#include "reader.h"

#define REORDER_ROWS_MAX   65536u       /* whatever the pool would take */
#define REORDER_TEXT_BYTES (256u << 10) /* of ids and reasons; one row's always fit */

struct reorder_row {
    uint64_t index, line, replaced_bytes;
    const char *id,
        *reason; /* as in struct reader_record; reason != NULL: the pool does not have it */
    struct reader_point after; /* where the next record begins */
    uint64_t text_end;         /* of its texts in the ring of bytes */
};

/* Positions count from the beginning of the run and never go back; the remainder is the index in memory. */
struct reorder {
    uint64_t capacity;        /* rows */
    uint64_t first, next;     /* rows taken out, rows put in */
    struct reorder_row *rows; /* [capacity], a ring */
    uint64_t text_first, text_next;
    char *text; /* [REORDER_TEXT_BYTES], a ring */
};

/* q->capacity is set. */
void reorder_layout(struct reorder *q, struct arena *a);

/* Whether there is room for the record, and for a reason if it gets one. */
bool reorder_fits(const struct reorder *q, const struct reader_record *record);
/* Copies what is kept of a record that fits. */
void reorder_put(struct reorder *q, const struct reader_record *record,
                 const struct reader_point *after);

/* The first row, borrowed until it is dropped; NULL: there is none. */
const struct reorder_row *reorder_first(const struct reorder *q);
void reorder_drop_first(struct reorder *q);

#endif
