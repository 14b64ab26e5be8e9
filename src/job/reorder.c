/* reorder: two rings, of rows and of their texts. */
#include "reorder.h"

#include <assert.h>
#include <string.h>

#define REASON_BYTES sizeof(((vecmill_err *)NULL)->message)

/* A row by itself always fits, even with a gap at the end of the ring. */
_Static_assert(REORDER_TEXT_BYTES >= 4 * (JOB_ID_BYTES_MAX + 1 + REASON_BYTES), "one row fits");

void reorder_layout(struct reorder *q, struct arena *a)
{
    q->rows = arena_take_array(a, (size_t)q->capacity, sizeof *q->rows, 64);
    q->text = arena_take(a, REORDER_TEXT_BYTES, 64);
}

/* Where a contiguous piece begins: at `at`, or at the start of the ring if it would cross its end. */
static uint64_t text_begin(uint64_t at, size_t bytes)
{
    const uint64_t left = REORDER_TEXT_BYTES - at % REORDER_TEXT_BYTES;
    return bytes <= left ? at : at + left;
}

bool reorder_fits(const struct reorder *q, const struct reader_record *record)
{
    if (q->next - q->first == q->capacity) return false;
    const size_t bytes = (record->id != NULL ? strlen(record->id) + 1 : 0) + REASON_BYTES;
    return text_begin(q->text_next, bytes) + bytes - q->text_first <= REORDER_TEXT_BYTES;
}

static const char *copy_text(struct reorder *q, const char *text)
{
    if (text == NULL) return NULL;
    const size_t bytes = strlen(text) + 1;
    char *out = q->text + q->text_next % REORDER_TEXT_BYTES;
    memcpy(out, text, bytes);
    q->text_next += bytes;
    return out;
}

void reorder_put(struct reorder *q, const struct reader_record *record,
                 const struct reader_point *after)
{
    assert(reorder_fits(q, record));
    struct reorder_row *row = &q->rows[q->next % q->capacity];
    const size_t id_bytes = record->id != NULL ? strlen(record->id) + 1 : 0;
    if (id_bytes > 0 || record->reason != NULL)
        q->text_next = text_begin(q->text_next, id_bytes + REASON_BYTES);
    *row = (struct reorder_row){.index = record->index,
                                .line = record->line,
                                .replaced_bytes = record->replaced_bytes,
                                .id = copy_text(q, record->id),
                                .reason = copy_text(q, record->reason),
                                .after = *after};
    row->text_end = q->text_next;
    q->next++;
}

const struct reorder_row *reorder_first(const struct reorder *q)
{
    return q->first < q->next ? &q->rows[q->first % q->capacity] : NULL;
}

void reorder_drop_first(struct reorder *q)
{
    assert(q->first < q->next);
    q->text_first = q->rows[q->first % q->capacity].text_end;
    q->first++;
}
