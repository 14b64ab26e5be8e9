/* pending: see pending.h. Positions in both rings are counted from the beginning of the run and never go
 * back; a place in memory is the remainder. */
#include "pending.h"

#include <assert.h>
#include <string.h>

#define REASON_BYTES sizeof(((vecmill_err *)NULL)->message)

/* However the texts of a row lie, one gap at the ring's end included, a row by itself fits. */
_Static_assert(PENDING_TEXT_BYTES >= 4 * (JOB_ID_BYTES_MAX + 1 + REASON_BYTES), "one row fits");

void pending_layout(struct pending *p, struct arena *a)
{
    p->rows = arena_take_array(a, (size_t)p->capacity, sizeof *p->rows, 64);
    p->text = arena_take(a, PENDING_TEXT_BYTES, 64);
}

/* Where `bytes` in one piece begin, at `at` or behind the ring's end. */
static uint64_t text_begin(uint64_t at, size_t bytes)
{
    const uint64_t left = PENDING_TEXT_BYTES - at % PENDING_TEXT_BYTES;
    return bytes <= left ? at : at + left;
}

bool pending_fits(const struct pending *p, const struct record *record)
{
    if (p->next - p->first == p->capacity) return false;
    const size_t bytes = (record->id != NULL ? strlen(record->id) + 1 : 0) + REASON_BYTES;
    return text_begin(p->text_next, bytes) + bytes - p->text_first <= PENDING_TEXT_BYTES;
}

static const char *keep(struct pending *p, const char *text)
{
    if (text == NULL) return NULL;
    const size_t bytes = strlen(text) + 1;
    char *out = p->text + p->text_next % PENDING_TEXT_BYTES;
    memcpy(out, text, bytes);
    p->text_next += bytes;
    return out;
}

void pending_put(struct pending *p, const struct record *record, const struct reader_point *after)
{
    assert(pending_fits(p, record));
    struct pending_row *row = &p->rows[p->next % p->capacity];
    const size_t id_bytes = record->id != NULL ? strlen(record->id) + 1 : 0;
    if (id_bytes > 0 || record->reason != NULL)
        p->text_next = text_begin(p->text_next, id_bytes + REASON_BYTES);
    *row = (struct pending_row){.index = record->index,
                                .line = record->line,
                                .replaced_bytes = record->replaced_bytes,
                                .id = keep(p, record->id),
                                .reason = keep(p, record->reason),
                                .after = *after};
    row->text_end = p->text_next;
    p->next++;
}

const struct pending_row *pending_first(const struct pending *p)
{
    return p->first < p->next ? &p->rows[p->first % p->capacity] : NULL;
}

void pending_drop_first(struct pending *p)
{
    assert(p->first < p->next);
    p->text_first = p->rows[p->first % p->capacity].text_end;
    p->first++;
}
