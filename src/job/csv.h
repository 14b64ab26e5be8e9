/* csv: RFC 4180 with a header row.
 *
 * Promises: only the two columns that are wanted are kept; a newline inside quotes belongs to its
 * value; a record with another number of columns than the header fails, since in it a value was cut
 * or joined. A quote inside an unquoted value stands for itself. A byte order mark before a record is passed
 * over. A header that another delimiter seems to cut is refused, with that. */
#ifndef JOB_CSV_H
#define JOB_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define CSV_COLUMNS_MAX 4096u       /* of a header */
#define CSV_HEADER_MAX  (64u << 10) /* bytes of a header's names */
#define CSV_NONE        UINT32_MAX  /* no such column */

struct reader;
struct area;
struct record;

struct csv {
    char delimiter;
    bool is_delimiter_named; /* by an option, or the input's name: no other is looked for */
    uint32_t others[3];      /* so often has the header each of csv.c's other delimiters */
    uint32_t n_columns;
    uint32_t text_column, id_column; /* from 0; id_column may be CSV_NONE */
    char *header;                    /* [CSV_HEADER_MAX], names one behind the other */
    uint32_t *ends;                  /* [CSV_COLUMNS_MAX], where each name ends in header */
};

void csv_layout(struct csv *csv, struct arena *a);

/* Reads the header and finds the columns. E_INPUT with the columns there are. */
vecmill_status csv_open(struct reader *r, bool id_named, vecmill_err *err);

vecmill_status csv_next(struct reader *r, struct area *area, struct record *record, bool *end,
                        vecmill_err *err);

#endif
