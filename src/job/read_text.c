/* read_text: what all kinds over text have in common, and lines of plain text. */
#include "reader.h"

#include "sniff.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The byte order mark of UTF-8. */
#define MARK       "\xEF\xBB\xBF"
#define MARK_BYTES ((size_t)3)

/* ---- opening ---- */

vecmill_status read_text_check(const char *path, vecmill_err *err)
{
    unsigned char front[SNIFF_BYTES];
    size_t got = 0;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return VECMILL_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return VECMILL_OK; /* whoever reads it says why */
    const vecmill_status status =
        io_read(fd, front, sizeof front, &got, path, VECMILL_E_INPUT, err);
    close(fd);
    VM_TRY(status);
    const struct sniff_magic *magic = sniff_magic(front, got);
    if (magic == NULL || magic->kind != SNIFF_FOREIGN) return VECMILL_OK;
    return sniff_refuse(path, magic, "", err);
}

void read_text_layout(struct reader *r, struct arena *a)
{
    intake_layout(&r->intake, a);
}

vecmill_status read_text_open(struct reader *r, const struct reader_choice *choice,
                              vecmill_err *err)
{
    const struct intake_hints hints = {
        .path = choice->path, .encoding = choice->encoding, .is_gzip = choice->is_gzip};
    r->hash_seed = encoding_hash(choice->encoding);
    return intake_open(&r->intake, &hints, choice->stop, err);
}

void read_text_close(struct reader *r)
{
    intake_close(&r->intake);
}

/* ---- positions ---- */

void read_text_tell(const struct reader *r, struct reader_point *point)
{
    point->bytes = r->intake.consumed;
    point->digest = intake_digest(&r->intake);
}

static vecmill_status refuse_changed(const struct reader *r, const char *how, uint64_t bytes,
                                     vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT,
                   "the input has changed since the run that is resumed, %s its first %llu bytes "
                   "(--force starts afresh): %s",
                   how, (unsigned long long)bytes, r->name);
}

vecmill_status read_text_seek(struct reader *r, const struct reader_point *point, vecmill_err *err)
{
    struct intake *s = &r->intake;
    while (s->consumed < point->bytes) {
        const unsigned char *data;
        size_t n;
        VM_TRY(intake_peek(s, &data, &n, err));
        if (n == 0) return refuse_changed(r, "it ends within", point->bytes, err);
        const uint64_t left = point->bytes - s->consumed;
        intake_consume(s, left < n ? (size_t)left : n);
    }
    /* A CSV header that has become longer may end after the point. */
    if (s->consumed != point->bytes || intake_digest(s) != point->digest)
        return refuse_changed(r, "in", point->bytes, err);
    return VECMILL_OK;
}

vecmill_status read_text_seek_lines(struct reader *r, const struct reader_point *point,
                                    vecmill_err *err)
{
    VM_TRY(read_text_seek(r, point, err));
    if (r->intake.consumed == 0 || r->intake.last == '\n') return VECMILL_OK;
    const unsigned char *data;
    size_t n;
    VM_TRY(intake_peek(&r->intake, &data, &n, err));
    return n == 0 ? VECMILL_OK : refuse_changed(r, "there is more behind", point->bytes, err);
}

/* ---- lines ---- */

/* Keeps MARK_BYTES + 1 more than max_document: they may be a mark, which a file that was concatenated has
 * before any line, and a carriage return. Both are removed. */
vecmill_status read_text_line(struct reader *r, struct record_buf *buf, struct reader_line *line,
                              bool *end, vecmill_err *err)
{
    const size_t most = (size_t)r->max_document + MARK_BYTES + 1;
    struct reader_line *part = &r->part;
    char *out = buf->data + buf->used;
    bool complete = false;
    while (!complete) {
        const unsigned char *data;
        size_t n;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        if (n == 0) break;
        const unsigned char *newline = memchr(data, '\n', n);
        const size_t run = newline != NULL ? (size_t)(newline - data) : n;
        const size_t fits = num_min(run, most - part->kept);
        memcpy(out + part->kept, data, fits);
        part->kept += fits;
        part->bytes += run;
        if (run > 0) part->last = (char)data[run - 1];
        complete = newline != NULL;
        intake_consume(&r->intake, run + complete);
    }
    struct reader_line whole = *part;
    *part = (struct reader_line){0};
    *end = whole.bytes == 0 && !complete;
    if (*end) return VECMILL_OK;
    if (complete && whole.bytes > 0 && whole.last == '\r') whole.bytes--;
    if (whole.kept >= MARK_BYTES && whole.bytes >= MARK_BYTES &&
        memcmp(out, MARK, MARK_BYTES) == 0) {
        whole.bytes -= MARK_BYTES;
        whole.kept -= MARK_BYTES;
        memmove(out, out + MARK_BYTES, whole.kept);
    }
    if (whole.bytes < whole.kept) whole.kept = (size_t)whole.bytes;
    *line = whole;
    return VECMILL_OK;
}

bool read_text_fits(const struct reader *r, const struct reader_line *line, vecmill_err *why)
{
    if (line->bytes <= r->max_document) return true;
    err_set(why, VECMILL_E_LIMIT, "the %s holds %llu bytes, the maximum (--max-document) is %llu",
            r->kind->unit, (unsigned long long)line->bytes, (unsigned long long)r->max_document);
    return false;
}

static vecmill_status next_txt(struct reader *r, struct record_buf *buf,
                               struct reader_record *record, bool *end, vecmill_err *err)
{
    struct reader_line line;
    vecmill_err why;
    VM_TRY(read_text_line(r, buf, &line, end, err));
    if (*end) return VECMILL_OK;
    record->line = r->line++;
    if (!read_text_fits(r, &line, &why)) {
        reader_fail(buf, record, &why);
        return VECMILL_OK;
    }
    record->text = buf->data + buf->used;
    record->bytes = line.kept;
    buf->used += line.kept;
    return VECMILL_OK;
}

const struct reader_kind reader_kind_txt = {.word = "txt",
                                            .unit = "line",
                                            .endings = {{".txt", 0}},
                                            .index_is_id = true,
                                            .check = read_text_check,
                                            .layout = read_text_layout,
                                            .open = read_text_open,
                                            .next = next_txt,
                                            .tell = read_text_tell,
                                            .seek = read_text_seek_lines,
                                            .close = read_text_close};
