/* csv: see csv.h. One walk over the bytes serves header and records: it cuts the input into cells
 * and hands each byte of a cell to whoever keeps it. */
#include "csv.h"

#include "base/base.h"
#include "reader.h"

#include <stdio.h>
#include <string.h>

/* What tables are cut by, other than commas; and how an option says it. */
static const char others[] = ";\t|";
static const char *const other_words[] = {"';'", "tab", "'|'"};

static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};

enum cell_state {
    CELL_START, /* nothing of the value read yet */
    CELL_PLAIN,
    CELL_QUOTED, /* inside quotes */
    CELL_CLOSING /* behind a quote inside quotes: doubled, or the value's end */
};

/* What a walk over one record found. */
struct row {
    uint64_t bytes;  /* of the record, without its end */
    uint64_t column; /* being read, from 0; at the end: the last */
    enum cell_state state;
    bool stray; /* something stood between a closing quote and the comma */
    uint64_t stray_column;
    uint64_t quote_line; /* where the quotes that are open were opened */
    bool carriage;       /* a carriage return is held back: perhaps half of the record's end */
    unsigned n_mark;     /* bytes of a mark before the record that are held back */
    /* where kept bytes go */
    char *text;
    size_t text_bytes;
    size_t text_most;
    size_t id_bytes; /* may exceed what was kept */
};

void csv_layout(struct csv *csv, struct arena *a)
{
    csv->header = arena_take(a, CSV_HEADER_MAX, 1);
    csv->ends = arena_take_array(a, CSV_COLUMNS_MAX, sizeof *csv->ends, 4);
}

/* Bytes of the value of row->column. Those that have no room are counted only. */
static void keep(struct reader *r, struct row *row, bool header, const void *data, size_t n)
{
    if (header && row->state == CELL_PLAIN)
        for (size_t i = 0; i < n; i++) {
            const char *other = strchr(others, ((const char *)data)[i]);
            if (other != NULL && *other != 0) r->csv.others[other - others]++;
        }
    if (header || row->column == r->csv.text_column) {
        const size_t at = num_min(row->text_bytes, row->text_most);
        memcpy(row->text + at, data, num_min(n, row->text_most - at));
        row->text_bytes += n;
    }
    if (!header && row->column == r->csv.id_column) {
        const size_t at = num_min(row->id_bytes, JOB_ID_BYTES_MAX);
        memcpy(r->id_raw + at, data, num_min(n, JOB_ID_BYTES_MAX - at));
        row->id_bytes += n;
    }
}

/* Bytes at the front of data that are no quote, delimiter or line end, and so mean themselves in every
 * state but the first of a value and the one behind a quote. */
static size_t plain_run(const unsigned char *data, size_t n, unsigned char delimiter)
{
    static const bool special[256] = {['"'] = true, ['\r'] = true, ['\n'] = true};
    size_t run = 0;
    while (run < n && data[run] != delimiter && !special[data[run]])
        run++;
    return run;
}

static void end_cell(struct reader *r, struct row *row, bool header)
{
    if (header && row->column < CSV_COLUMNS_MAX)
        r->csv.ends[row->column] = (uint32_t)num_min(row->text_bytes, CSV_HEADER_MAX);
    row->state = CELL_START;
}

/* One byte that is not the record's end. */
static void take_byte(struct reader *r, struct row *row, bool header, char byte)
{
    switch (row->state) {
    case CELL_START:
        if (byte == '"') {
            row->state = CELL_QUOTED;
            row->quote_line = r->line;
            return;
        }
        row->state = CELL_PLAIN;
        break;
    case CELL_PLAIN:
        break;
    case CELL_QUOTED:
        if (byte == '"')
            row->state = CELL_CLOSING;
        else
            keep(r, row, header, &byte, 1);
        return;
    case CELL_CLOSING:
        if (byte == '"') {
            row->state = CELL_QUOTED;
            keep(r, row, header, &byte, 1);
            return;
        }
        if (byte != r->csv.delimiter) {
            if (!row->stray) row->stray_column = row->column;
            row->stray = true;
        }
        row->state = CELL_PLAIN;
        break;
    }
    if (byte == r->csv.delimiter) {
        end_cell(r, row, header);
        row->column++;
    } else {
        keep(r, row, header, &byte, 1);
    }
}

/* A byte at the front of a record. True: it was, or may be, of a mark; bytes that were not are taken. */
static bool take_mark(struct reader *r, struct row *row, bool header, unsigned char byte)
{
    if (row->bytes > 0) return false;
    if (byte == mark[row->n_mark]) {
        row->n_mark = (row->n_mark + 1) % sizeof mark;
        return true;
    }
    for (unsigned i = 0; i < row->n_mark; i++) {
        row->bytes++;
        take_byte(r, row, header, (char)mark[i]);
    }
    row->n_mark = 0;
    return false;
}

/* Walks one record; *end: there was none. Empty lines are passed over. */
static vecmill_status walk_record(struct reader *r, struct row *row, bool header, uint64_t *line,
                                  bool *end, vecmill_err *err)
{
    bool complete = false;
    *line = r->line;
    while (!complete) {
        const unsigned char *data;
        size_t n, i = 0;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        if (n == 0) break;
        while (i < n && !complete) {
            if ((row->state == CELL_PLAIN || row->state == CELL_QUOTED) && !row->carriage) {
                const size_t run = plain_run(data + i, n - i, (unsigned char)r->csv.delimiter);
                keep(r, row, header, data + i, run);
                row->bytes += run;
                i += run;
                if (i == n) break;
            }
            const char byte = (char)data[i++];
            if (!row->carriage && take_mark(r, row, header, (unsigned char)byte)) continue;
            const bool newline = byte == '\n';
            if (newline && row->state != CELL_QUOTED) {
                r->line++;
                complete = row->bytes > 0;
                row->carriage = false;
                if (!complete) *line = r->line;
                continue;
            }
            if (row->carriage) {
                row->carriage = false;
                row->bytes++;
                take_byte(r, row, header, '\r');
            }
            if (byte == '\r' && row->state != CELL_QUOTED) {
                row->carriage = true;
                continue;
            }
            if (newline) r->line++;
            row->bytes++;
            take_byte(r, row, header, byte);
        }
        intake_consume(&r->intake, i);
    }
    if (!complete && row->n_mark > 0) (void)take_mark(r, row, header, 0);
    /* A carriage return at the very end of the file is taken for half of a line's end. */
    *end = row->bytes == 0;
    if (row->state == CELL_QUOTED)
        return err_set(err, VECMILL_E_INPUT,
                       "%s line %llu: the quote that opens column %llu is never closed",
                       r->intake.name, (unsigned long long)row->quote_line,
                       (unsigned long long)row->column + 1);
    end_cell(r, row, header);
    return VECMILL_OK;
}

static const char *column_name(const struct csv *csv, uint32_t column, size_t *bytes)
{
    const uint32_t begin = column > 0 ? csv->ends[column - 1] : 0;
    *bytes = csv->ends[column] - begin;
    return csv->header + begin;
}

/* "id, title, body" as far as it fits, without control characters. */
static void list_columns(const struct csv *csv, char *out, size_t room)
{
    size_t used = 0;
    out[0] = 0;
    for (uint32_t c = 0; c < csv->n_columns; c++) {
        size_t bytes;
        const char *name = column_name(csv, c, &bytes);
        if (bytes + 6 > room - used) {
            memcpy(out + used, "...", 4);
            return;
        }
        if (c > 0) {
            memcpy(out + used, ", ", 2);
            used += 2;
        }
        for (size_t i = 0; i < bytes; i++)
            out[used++] = (char)(name[i] < ' ' && name[i] >= 0 ? '?' : name[i]);
        out[used] = 0;
    }
}

/* "; it has ';' 2 times, which --delimiter ';' reads": what a header without the column looks like. */
static void say_other(const struct csv *csv, char *out, size_t room)
{
    size_t best = 0;
    out[0] = 0;
    for (size_t i = 1; i < sizeof csv->others / sizeof *csv->others; i++)
        if (csv->others[i] > csv->others[best]) best = i;
    if (csv->others[best] == 0 || csv->is_delimiter_named) return;
    snprintf(out, room, "; the header has %s %u time%s: --delimiter %s", other_words[best],
             csv->others[best], csv->others[best] == 1 ? "" : "s", other_words[best]);
}

/* The column of that name, else of that number from 1. */
static vecmill_status find_column(const struct reader *r, const char *wanted, uint32_t *column,
                                  vecmill_err *err)
{
    const struct csv *csv = &r->csv;
    const size_t wanted_bytes = strlen(wanted);
    uint32_t found = CSV_NONE;
    for (uint32_t c = 0; c < csv->n_columns; c++) {
        size_t bytes;
        const char *name = column_name(csv, c, &bytes);
        if (bytes != wanted_bytes || memcmp(name, wanted, bytes) != 0) continue;
        if (found != CSV_NONE)
            return err_set(err, VECMILL_E_INPUT,
                           "%s: columns %u and %u are both named \"%s\"; choose by number",
                           r->intake.name, found + 1, c + 1, wanted);
        found = c;
    }
    uint64_t number;
    if (found == CSV_NONE && num_parse(wanted, csv->n_columns, &number) && number > 0)
        found = (uint32_t)number - 1;
    if (found == CSV_NONE) {
        char columns[128], other[64];
        list_columns(csv, columns, sizeof columns);
        say_other(csv, other, sizeof other);
        const bool is_utf8 = utf8_valid(csv->header, csv->ends[csv->n_columns - 1]);
        return err_set(err, VECMILL_E_INPUT, "%s: no column \"%s\" among its %u: %s%s%s",
                       r->intake.name, wanted, csv->n_columns, columns, other,
                       is_utf8 ? "" : "; the header is no UTF-8: --encoding names what it is");
    }
    *column = found;
    return VECMILL_OK;
}

/* Spreadsheets write the delimiter into a line of its own, sep=;, before the header. */
static vecmill_status take_sep_line(struct reader *r, vecmill_err *err)
{
    const unsigned char *data;
    size_t n;
    VM_TRY(intake_peek(&r->intake, &data, &n, err));
    if (n < 6 || memcmp(data, "sep=", 4) != 0 || r->csv.is_delimiter_named) return VECMILL_OK;
    const size_t end = data[5] == '\r' && n > 6 ? 6 : 5;
    if (data[end] != '\n' || data[4] == '"') return VECMILL_OK;
    r->csv.delimiter = (char)data[4];
    r->csv.is_delimiter_named = true;
    r->line++;
    intake_consume(&r->intake, end + 1);
    return VECMILL_OK;
}

vecmill_status csv_open(struct reader *r, bool id_named, vecmill_err *err)
{
    VM_TRY(take_sep_line(r, err));
    struct row row = {.text = r->csv.header, .text_most = CSV_HEADER_MAX};
    uint64_t line;
    bool end;
    VM_TRY(walk_record(r, &row, true, &line, &end, err));
    if (end)
        return err_set(err, VECMILL_E_INPUT, "%s: is empty, a header row is needed",
                       r->intake.name);
    if (row.stray)
        return err_set(err, VECMILL_E_INPUT,
                       "%s line %llu: text behind the closing quote of column %llu", r->intake.name,
                       (unsigned long long)line, (unsigned long long)row.stray_column + 1);
    if (row.column >= CSV_COLUMNS_MAX)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: the header has %llu columns, the maximum is %u (CSV_COLUMNS_MAX)",
                       r->intake.name, (unsigned long long)row.column + 1, CSV_COLUMNS_MAX);
    if (row.text_bytes > CSV_HEADER_MAX)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: the header holds %zu bytes, the maximum is %u (CSV_HEADER_MAX)",
                       r->intake.name, row.text_bytes, CSV_HEADER_MAX);
    r->csv.n_columns = (uint32_t)row.column + 1;
    char other[64];
    say_other(&r->csv, other, sizeof other);
    if (r->csv.n_columns == 1 && other[0] != 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is one column when it is cut by commas%s (or --delimiter , as it is)",
                       r->intake.name, other);
    VM_TRY(find_column(r, r->field, &r->csv.text_column, err));
    r->csv.id_column = CSV_NONE;
    vecmill_err none;
    const vecmill_status status =
        find_column(r, r->id_field, &r->csv.id_column, id_named ? err : &none);
    return id_named ? status : VECMILL_OK;
}

/* What is wrong with a record, if anything. */
static vecmill_status check_row(const struct reader *r, const struct row *row, vecmill_err *err)
{
    if (row->bytes > r->max_document)
        return err_set(err, VECMILL_E_LIMIT,
                       "the record holds %llu bytes, the maximum (--max-document) is %llu",
                       (unsigned long long)row->bytes, (unsigned long long)r->max_document);
    if (row->stray)
        return err_set(err, VECMILL_E_INPUT, "text behind the closing quote of column %llu",
                       (unsigned long long)row->stray_column + 1);
    if (row->column + 1 != r->csv.n_columns)
        return err_set(err, VECMILL_E_INPUT, "the record has %llu columns, the header %u",
                       (unsigned long long)row->column + 1, r->csv.n_columns);
    return VECMILL_OK;
}

/* Whether the id's value is the record's own. Where a value was cut or joined, all after it have moved. */
static bool has_id(const struct reader *r, const struct row *row)
{
    if (row->column + 1 != r->csv.n_columns) return r->csv.id_column == 0;
    return r->csv.id_column != CSV_NONE;
}

vecmill_status csv_next(struct reader *r, struct area *area, struct record *record, bool *end,
                        vecmill_err *err)
{
    struct row row = {.text = area->data + area->used, .text_most = (size_t)r->max_document};
    VM_TRY(walk_record(r, &row, false, &record->line, end, err));
    if (*end) return VECMILL_OK;
    vecmill_err why;
    vecmill_status status = check_row(r, &row, &why);
    if (status == VECMILL_OK) {
        record->text = row.text;
        record->bytes = row.text_bytes;
        area->used += row.text_bytes;
    }
    if (has_id(r, &row)) {
        vecmill_err bad_id;
        if (reader_quote_id(r, row.id_bytes, record, &bad_id) == VECMILL_OK) {
            reader_keep_id(r, area, record);
        } else if (status == VECMILL_OK) {
            status = bad_id.status;
            why = bad_id;
        }
    }
    if (status != VECMILL_OK) reader_fail(area, record, &why);
    return VECMILL_OK;
}
