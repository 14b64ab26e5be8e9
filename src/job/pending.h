/* pending: the rows between reading and writing, in order.
 *
 * Promises: a fixed number of rows and a fixed piece of memory for their ids and reasons; nothing is kept
 * of their texts. Does not know where the vectors are computed. */
#ifndef JOB_PENDING_H
#define JOB_PENDING_H

#include "reader.h"

#define PENDING_ROWS_MOST  65536u       /* whatever the pool would take */
#define PENDING_TEXT_BYTES (256u << 10) /* of ids and reasons; one row's always fit */

struct pending_row {
    uint64_t index, line, replaced_bytes;
    const char *id, *reason;   /* as of struct record; reason != NULL: the pool does not have it */
    struct reader_point after; /* where the next record begins */
    uint64_t text_end;         /* of its texts in the ring of bytes */
};

struct pending {
    uint64_t capacity;        /* rows */
    uint64_t first, next;     /* rows taken out, rows put in, since the beginning */
    struct pending_row *rows; /* [capacity], a ring */
    uint64_t text_first, text_next;
    char *text; /* [PENDING_TEXT_BYTES], a ring */
};

/* p->capacity is set. */
void pending_layout(struct pending *p, struct arena *a);

/* Whether there is room for the record, and for a reason in case that it gets one. */
bool pending_fits(const struct pending *p, const struct record *record);
/* Copies what is kept of it; it fits. */
void pending_put(struct pending *p, const struct record *record, const struct reader_point *after);

/* The first row, borrowed until it is dropped; NULL: there is none. */
const struct pending_row *pending_first(const struct pending *p);
void pending_drop_first(struct pending *p);

#endif
