/* read_csv: RFC 4180 with a header row.
 *
 * Promises: only the two wanted columns are kept. A newline inside quotes is part of the value. A
 * record whose number of columns is not the header's fails: one of its values was cut or joined. A
 * quote inside an unquoted value is an ordinary character. A byte order mark before a record is
 * skipped. A header that seems to use another delimiter is refused, and the error names that
 * delimiter. One walk reads both header and records: it splits the input into cells, and passes
 * each byte of a cell to keep_cell. */
#include "reader.h"

#include <stdio.h>
#include <string.h>

#define CSV_COLUMNS_MAX 4096u       /* of a header */
#define CSV_HEADER_MAX  (64u << 10) /* bytes of a header's names */
#define CSV_NONE        UINT32_MAX  /* no such column */

/* Delimiters other than a comma, and how they are written as an option. */
static const char others[] = ";\t|";
static const char *const other_words[] = {"';'", "tab", "'|'"};

static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};

enum cell_state {
    CELL_START, /* before the first byte of the value */
    CELL_PLAIN,
    CELL_QUOTED, /* inside quotes */
    CELL_CLOSING /* after a quote inside quotes: the first of two, or the end of the value */
};

/* What a walk over one record has found. */
struct csv_row {
    bool is_header;
    uint64_t line;   /* where the record begins */
    uint64_t bytes;  /* of the record, without its line ending */
    uint64_t column; /* being read, from 0; after the walk: the last */
    enum cell_state state;
    bool stray; /* there is text between a closing quote and the delimiter */
    uint64_t stray_column;
    uint64_t quote_line; /* of the opening quote, while inside quotes */
    bool carriage;       /* a carriage return is held back: it may begin the line ending */
    unsigned n_mark;     /* bytes held back that may be a byte order mark */
    /* Destination of kept bytes. */
    char *text;
    size_t text_bytes; /* of the whole text or header; at most text_most are kept */
    size_t text_most;
    size_t id_bytes; /* of the whole id; at most JOB_ID_BYTES_MAX are kept */
};

/* The state of a CSV reader. */
struct csv {
    char delimiter;
    bool is_delimiter_named; /* by an option, the file's name or a sep= line: no other is tried */
    uint32_t others[3];      /* occurrences in the header of each byte of `others` */
    uint32_t n_columns;
    uint32_t text_column, id_column; /* from 0; id_column may be CSV_NONE */
    char *header;                    /* [CSV_HEADER_MAX], names one after the other */
    uint32_t *ends;                  /* [CSV_COLUMNS_MAX], where each name ends in header */
    bool in_record;                  /* `row` is a record that has been read in part */
    struct csv_row row;
};

static void layout_csv(struct reader *r, struct arena *a)
{
    read_text_layout(r, a);
    struct csv *csv = arena_take(a, sizeof *csv, 64);
    char *header = arena_take(a, CSV_HEADER_MAX, 1);
    uint32_t *ends = arena_take_array(a, CSV_COLUMNS_MAX, sizeof *ends, 4);
    r->state = csv;
    if (csv != NULL) *csv = (struct csv){.header = header, .ends = ends};
}

/* Keeps bytes of the cell of row->column. Bytes over the maximum are counted, but not kept. */
static void keep_cell(struct reader *r, struct csv_row *row, const void *data, size_t n)
{
    struct csv *csv = r->state;
    if (row->is_header && row->state == CELL_PLAIN)
        for (size_t i = 0; i < n; i++) {
            const char *other = strchr(others, ((const char *)data)[i]);
            if (other != NULL && *other != 0) csv->others[other - others]++;
        }
    if (row->is_header || row->column == csv->text_column) {
        const size_t at = num_min(row->text_bytes, row->text_most);
        memcpy(row->text + at, data, num_min(n, row->text_most - at));
        row->text_bytes += n;
    }
    if (!row->is_header && row->column == csv->id_column) {
        const size_t at = num_min(row->id_bytes, JOB_ID_BYTES_MAX);
        memcpy(r->id_raw + at, data, num_min(n, JOB_ID_BYTES_MAX - at));
        row->id_bytes += n;
    }
}

/* Length of the front of data that has no quote, delimiter or line ending. These bytes are ordinary
 * in every state except CELL_START and CELL_CLOSING. */
static size_t plain_run(const unsigned char *data, size_t n, unsigned char delimiter)
{
    static const bool special[256] = {['"'] = true, ['\r'] = true, ['\n'] = true};
    size_t run = 0;
    while (run < n && data[run] != delimiter && !special[data[run]])
        run++;
    return run;
}

static void end_cell(struct reader *r, struct csv_row *row)
{
    struct csv *csv = r->state;
    if (row->is_header && row->column < CSV_COLUMNS_MAX)
        csv->ends[row->column] = (uint32_t)num_min(row->text_bytes, CSV_HEADER_MAX);
    row->state = CELL_START;
}

/* Takes one byte that does not end the record. */
static void take_byte(struct reader *r, struct csv_row *row, char byte)
{
    const struct csv *csv = r->state;
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
            keep_cell(r, row, &byte, 1);
        return;
    case CELL_CLOSING:
        if (byte == '"') {
            row->state = CELL_QUOTED;
            keep_cell(r, row, &byte, 1);
            return;
        }
        if (byte != csv->delimiter) {
            if (!row->stray) row->stray_column = row->column;
            row->stray = true;
        }
        row->state = CELL_PLAIN;
        break;
    }
    if (byte == csv->delimiter) {
        end_cell(r, row);
        row->column++;
    } else {
        keep_cell(r, row, &byte, 1);
    }
}

/* Takes a byte that may be part of a byte order mark before a record. Returns whether it was held
 * back or skipped. If the bytes held back are no mark, they are taken as text. */
static bool take_mark(struct reader *r, struct csv_row *row, unsigned char byte)
{
    if (row->bytes > 0) return false;
    if (byte == mark[row->n_mark]) {
        row->n_mark = (row->n_mark + 1) % sizeof mark;
        return true;
    }
    for (unsigned i = 0; i < row->n_mark && i < sizeof mark; i++) {
        row->bytes++;
        take_byte(r, row, (char)mark[i]);
    }
    row->n_mark = 0;
    return false;
}

/* Walks one record. *end: there was none left. Empty lines are skipped. After INTAKE_AGAIN the next
 * call continues from the state in *row. */
static vecmill_status walk_record(struct reader *r, struct csv_row *row, bool *end,
                                  vecmill_err *err)
{
    const struct csv *csv = r->state;
    bool complete = false;
    while (!complete) {
        const unsigned char *data;
        size_t n, i = 0;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        if (n == 0) break;
        while (i < n && !complete) {
            if ((row->state == CELL_PLAIN || row->state == CELL_QUOTED) && !row->carriage) {
                const size_t run = plain_run(data + i, n - i, (unsigned char)csv->delimiter);
                keep_cell(r, row, data + i, run);
                row->bytes += run;
                i += run;
                if (i == n) break;
            }
            const char byte = (char)data[i++];
            if (!row->carriage && take_mark(r, row, (unsigned char)byte)) continue;
            const bool newline = byte == '\n';
            if (newline && row->state != CELL_QUOTED) {
                r->line++;
                complete = row->bytes > 0;
                row->carriage = false;
                if (!complete) row->line = r->line;
                continue;
            }
            if (row->carriage) {
                row->carriage = false;
                row->bytes++;
                take_byte(r, row, '\r');
            }
            if (byte == '\r' && row->state != CELL_QUOTED) {
                row->carriage = true;
                continue;
            }
            if (newline) r->line++;
            row->bytes++;
            take_byte(r, row, byte);
        }
        intake_consume(&r->intake, i);
    }
    if (!complete && row->n_mark > 0) (void)take_mark(r, row, 0);
    /* A carriage return at the very end of the file is dropped, as part of a line ending. */
    *end = row->bytes == 0;
    if (row->state == CELL_QUOTED)
        return err_set(err, VECMILL_E_INPUT,
                       "%s line %llu: the quote that opens column %llu is never closed", r->name,
                       (unsigned long long)row->quote_line, (unsigned long long)row->column + 1);
    end_cell(r, row);
    return VECMILL_OK;
}

static const char *column_name(const struct csv *csv, uint32_t column, size_t *bytes)
{
    const uint32_t begin = column > 0 ? csv->ends[column - 1] : 0;
    *bytes = csv->ends[column] - begin;
    return csv->header + begin;
}

/* Writes the names of the columns, as "id, title, body". Ends with "..." when they do not fit.
 * Control characters become '?'. */
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

/* Writes the end of an error about the header: "; the header has ';' 2 times: --delimiter ';'". Empty
 * if the header has no other delimiter, or if the delimiter was named. */
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

/* Finds a column by its name, else by its number from 1. */
static vecmill_status find_column(const struct reader *r, const char *wanted, uint32_t *column,
                                  vecmill_err *err)
{
    const struct csv *csv = r->state;
    const size_t wanted_bytes = strlen(wanted);
    uint32_t found = CSV_NONE;
    for (uint32_t c = 0; c < csv->n_columns; c++) {
        size_t bytes;
        const char *name = column_name(csv, c, &bytes);
        if (bytes != wanted_bytes || memcmp(name, wanted, bytes) != 0) continue;
        if (found != CSV_NONE)
            return err_set(err, VECMILL_E_INPUT,
                           "%s: columns %u and %u are both named \"%s\"; choose by number", r->name,
                           found + 1, c + 1, wanted);
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
        return err_set(err, VECMILL_E_INPUT, "%s: no column \"%s\" among its %u: %s%s%s", r->name,
                       wanted, csv->n_columns, columns, other,
                       is_utf8 ? "" : "; the header is no UTF-8: --encoding names what it is");
    }
    *column = found;
    return VECMILL_OK;
}

/* Spreadsheets may write a line before the header that names the delimiter: "sep=;". */
static vecmill_status take_sep_line(struct reader *r, vecmill_err *err)
{
    struct csv *csv = r->state;
    const unsigned char *data;
    size_t n;
    VM_TRY(intake_peek(&r->intake, &data, &n, err));
    if (n < 6 || memcmp(data, "sep=", 4) != 0 || csv->is_delimiter_named) return VECMILL_OK;
    const size_t end = data[5] == '\r' && n > 6 ? 6 : 5;
    if (data[end] != '\n' || data[4] == '"') return VECMILL_OK;
    csv->delimiter = (char)data[4];
    csv->is_delimiter_named = true;
    r->line++;
    intake_consume(&r->intake, end + 1);
    return VECMILL_OK;
}

static vecmill_status open_csv(struct reader *r, const struct reader_choice *choice,
                               vecmill_err *err)
{
    VM_TRY(read_text_open(r, choice, err));
    struct csv *csv = r->state;
    csv->delimiter = choice->delimiter;
    csv->is_delimiter_named = choice->is_delimiter_named || choice->delimiter != ',';
    VM_TRY(take_sep_line(r, err));
    if (csv->delimiter != ',') r->hash_seed ^= (uint64_t)(unsigned char)csv->delimiter << 56;
    struct csv_row row = {
        .is_header = true, .line = r->line, .text = csv->header, .text_most = CSV_HEADER_MAX};
    bool end;
    VM_TRY(walk_record(r, &row, &end, err));
    if (end) return err_set(err, VECMILL_E_INPUT, "%s: is empty, a header row is needed", r->name);
    if (row.stray)
        return err_set(err, VECMILL_E_INPUT,
                       "%s line %llu: text behind the closing quote of column %llu", r->name,
                       (unsigned long long)row.line, (unsigned long long)row.stray_column + 1);
    if (row.column >= CSV_COLUMNS_MAX)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: the header has %llu columns, the maximum is %u (CSV_COLUMNS_MAX)",
                       r->name, (unsigned long long)row.column + 1, CSV_COLUMNS_MAX);
    if (row.text_bytes > CSV_HEADER_MAX)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: the header holds %zu bytes, the maximum is %u (CSV_HEADER_MAX)",
                       r->name, row.text_bytes, CSV_HEADER_MAX);
    csv->n_columns = (uint32_t)row.column + 1;
    char other[64];
    say_other(csv, other, sizeof other);
    if (csv->n_columns == 1 && other[0] != 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is one column when it is cut by commas%s (or --delimiter , as it is)",
                       r->name, other);
    VM_TRY(find_column(r, r->field, &csv->text_column, err));
    csv->id_column = CSV_NONE;
    vecmill_err none;
    const vecmill_status status =
        find_column(r, r->id_field, &csv->id_column, choice->is_id_named ? err : &none);
    return choice->is_id_named ? status : VECMILL_OK;
}

/* Checks a record. E_LIMIT: it is too long. E_INPUT: it has text after a closing quote, or a wrong
 * number of columns. */
static vecmill_status check_row(const struct reader *r, const struct csv_row *row, vecmill_err *err)
{
    const struct csv *csv = r->state;
    if (row->bytes > r->max_document)
        return err_set(err, VECMILL_E_LIMIT,
                       "the record holds %llu bytes, the maximum (--max-document) is %llu",
                       (unsigned long long)row->bytes, (unsigned long long)r->max_document);
    if (row->stray)
        return err_set(err, VECMILL_E_INPUT, "text behind the closing quote of column %llu",
                       (unsigned long long)row->stray_column + 1);
    if (row->column + 1 != csv->n_columns)
        return err_set(err, VECMILL_E_INPUT, "the record has %llu columns, the header %u",
                       (unsigned long long)row->column + 1, csv->n_columns);
    return VECMILL_OK;
}

/* Whether the record has an id that is certain. If a value was cut or joined, all columns after it
 * have shifted, so only the first column is certain. */
static bool has_id(const struct reader *r, const struct csv_row *row)
{
    const struct csv *csv = r->state;
    if (row->column + 1 != csv->n_columns) return csv->id_column == 0;
    return csv->id_column != CSV_NONE;
}

/* Writes the id of the row as JSON into r->id_json. E_LIMIT: it is too long. */
static vecmill_status quote_id(struct reader *r, const struct csv_row *row,
                               struct reader_record *record, vecmill_err *err)
{
    uint64_t replaced = 0;
    VM_TRY(reader_check_id(r, row->id_bytes, err));
    const size_t valid = utf8_repair(r->id_raw, row->id_bytes, r->id_valid, &replaced);
    const size_t quoted = json_quote(r->id_valid, valid, r->id_json);
    VM_TRY(reader_check_id(r, quoted, err));
    record->replaced_bytes += replaced;
    r->id_bytes = quoted;
    return VECMILL_OK;
}

static vecmill_status next_csv(struct reader *r, struct record_buf *buf,
                               struct reader_record *record, bool *end, vecmill_err *err)
{
    struct csv *csv = r->state;
    struct csv_row *row = &csv->row;
    if (!csv->in_record)
        *row = (struct csv_row){
            .line = r->line, .text = buf->data + buf->used, .text_most = (size_t)r->max_document};
    csv->in_record = true;
    VM_TRY(walk_record(r, row, end, err));
    csv->in_record = false;
    if (*end) return VECMILL_OK;
    record->line = row->line;
    vecmill_err why;
    vecmill_status status = check_row(r, row, &why);
    if (status == VECMILL_OK) {
        record->text = row->text;
        record->bytes = row->text_bytes;
        buf->used += row->text_bytes;
    }
    if (has_id(r, row)) {
        vecmill_err bad_id;
        if (quote_id(r, row, record, &bad_id) == VECMILL_OK) {
            reader_keep_id(r, buf, record);
        } else if (status == VECMILL_OK) {
            status = bad_id.status;
            why = bad_id;
        }
    }
    if (status != VECMILL_OK) reader_fail(buf, record, &why);
    return VECMILL_OK;
}

const struct reader_kind reader_kind_csv = {.word = "csv",
                                            .unit = "record",
                                            .endings = {{".csv", ','}, {".tsv", '\t'}},
                                            .check = read_text_check,
                                            .layout = layout_csv,
                                            .open = open_csv,
                                            .next = next_csv,
                                            .tell = read_text_tell,
                                            .seek = read_text_seek_lines,
                                            .close = read_text_close};
