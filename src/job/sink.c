/* sink: see sink.h. */
#include "sink.h"

#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A reason is at most a vecmill_err's message; each byte of it may become three when repaired, and
 * each of those six when quoted. */
#define REASON_BYTES sizeof(((vecmill_err *)NULL)->message)

static bool is_standard(const struct job_options *options)
{
    return strcmp(options->output, "-") == 0;
}

static bool ends_with(const char *path, const char *ending)
{
    const size_t path_bytes = strlen(path), n = strlen(ending);
    return path_bytes > n && strcasecmp(path + path_bytes - n, ending) == 0;
}

static vecmill_status sink_format(const char *output, enum sink_format *format, vecmill_err *err)
{
    if (ends_with(output, ".npy"))
        *format = SINK_NPY;
    else if (ends_with(output, ".jsonl") || strcmp(output, "-") == 0)
        *format = SINK_JSONL;
    else
        return err_set(err, VECMILL_E_USAGE, "%s: ends in neither .npy nor .jsonl", output);
    return VECMILL_OK;
}

static vecmill_status side_name(const char *output, const char *ending, char path[IO_PATH_MAX],
                                vecmill_err *err)
{
    const int bytes = snprintf(path, IO_PATH_MAX, "%s%s", output, ending);
    if (bytes < 0 || bytes >= IO_PATH_MAX)
        return err_set(err, VECMILL_E_OUTPUT, "an output path of %zu bytes leaves no room for %s",
                       strlen(output), ending);
    return VECMILL_OK;
}

/* The three names of a run; "" for what it does not write. */
static vecmill_status sink_names(const struct job_options *options, enum sink_format format,
                                 char ids[IO_PATH_MAX], char errors[IO_PATH_MAX], vecmill_err *err)
{
    ids[0] = errors[0] = 0;
    if (format == SINK_NPY) VM_TRY(side_name(options->output, ".ids.jsonl", ids, err));
    if (options->errors != NULL) return side_name(options->errors, "", errors, err);
    return is_standard(options) ? VECMILL_OK
                                : side_name(options->output, ".errors.jsonl", errors, err);
}

/* Whether a file can come to be at path: an existing regular file, or a new name in a folder that
 * can be written. */
static vecmill_status check_place(const char *path, const struct stat *input, vecmill_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return err_set(err, VECMILL_E_OUTPUT, "%s: is a directory, not an output", path);
        if (!S_ISREG(st.st_mode))
            return err_set(err, VECMILL_E_OUTPUT, "%s: exists and is not a regular file", path);
        if (input != NULL && st.st_dev == input->st_dev && st.st_ino == input->st_ino)
            return err_set(err, VECMILL_E_OUTPUT, "%s: is the input of this run", path);
    } else if (errno != ENOENT) {
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be written", path);
    }
    char real[PATH_MAX];
    const char *name = realpath(path, real) != NULL ? real : path;
    const char *slash = strrchr(name, '/');
    char dir[IO_PATH_MAX] = ".";
    if (slash != NULL)
        snprintf(dir, sizeof dir, "%.*s", slash == name ? 1 : (int)(slash - name), name);
    if (stat(dir, &st) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: its folder cannot be used", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, VECMILL_E_OUTPUT, "%s: %s is not a folder", path, dir);
    if (access(dir, W_OK | X_OK) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: its folder cannot be written", path);
    return VECMILL_OK;
}

vecmill_status sink_check(const struct job_options *options, vecmill_err *err)
{
    enum sink_format format;
    char ids[IO_PATH_MAX], errors[IO_PATH_MAX];
    VM_TRY(sink_format(options->output, &format, err));
    VM_TRY(sink_names(options, format, ids, errors, err));
    struct stat st;
    const bool standard_input = strcmp(options->input, "-") == 0;
    const bool known = (standard_input ? fstat(STDIN_FILENO, &st) : stat(options->input, &st)) == 0;
    const struct stat *input = known && S_ISREG(st.st_mode) ? &st : NULL;
    if (!is_standard(options))
        VM_TRY(check_place(options->output, input, err));
    else if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "standard output cannot be written");
    if (errors[0] != 0 && (strcmp(errors, options->output) == 0 || strcmp(errors, ids) == 0))
        return err_set(err, VECMILL_E_USAGE, "%s: cannot be the file of errors too", errors);
    if (errors[0] != 0) VM_TRY(check_place(errors, input, err));
    return ids[0] != 0 ? check_place(ids, input, err) : VECMILL_OK;
}

void sink_layout(struct sink *s, struct arena *a)
{
    s->buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->ids.buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->errors.buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->scratch = arena_take(a, (3 + 18) * REASON_BYTES + 2, 1);
}

vecmill_status sink_open(struct sink *s, const struct job_options *options, uint32_t dim,
                         vecmill_err *err)
{
    VM_TRY(sink_check(options, err));
    s->dim = dim;
    s->n_rows = 0;
    s->standard = is_standard(options);
    s->out.fd = s->ids.out.fd = s->errors.out.fd = -1;
    VM_TRY(sink_format(options->output, &s->format, err));
    VM_TRY(sink_names(options, s->format, s->ids.path, s->errors.path, err));
    if (s->standard) {
        s->buf.fd = STDOUT_FILENO;
        s->buf.name = "standard output";
        return VECMILL_OK;
    }
    VM_TRY(io_out_open(options->output, 0, VECMILL_E_OUTPUT, &s->out, err));
    s->buf.fd = s->out.fd;
    s->buf.name = s->out.path;
    if (s->format != SINK_NPY) return VECMILL_OK;
    char header[NPY_HEADER_BYTES];
    npy_header(0, dim, header);
    const vecmill_status status = outbuf_put(&s->buf, header, sizeof header, err);
    if (status != VECMILL_OK) sink_drop(s);
    return status;
}

/* At its first line. */
static vecmill_status side_open(struct sink_side *side, vecmill_err *err)
{
    if (side->out.fd >= 0) return VECMILL_OK;
    VM_TRY(io_out_open(side->path, 0, VECMILL_E_OUTPUT, &side->out, err));
    side->buf.fd = side->out.fd;
    side->buf.name = side->out.path;
    return VECMILL_OK;
}

/* A line a row, null where there is no id; rows before the first id are made up for when it comes. */
static vecmill_status put_id(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_side *ids = &s->ids;
    if (ids->path[0] == 0) return VECMILL_OK;
    if (ids->out.fd < 0) {
        if (row->id == NULL) return VECMILL_OK;
        VM_TRY(side_open(ids, err));
        for (uint64_t i = 0; i < s->n_rows; i++)
            VM_TRY(outbuf_put(&ids->buf, "null\n", 5, err));
    }
    VM_TRY(outbuf_text(&ids->buf, row->id != NULL ? row->id : "null", err));
    return outbuf_put(&ids->buf, "\n", 1, err);
}

static vecmill_status put_error(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_side *errors = &s->errors;
    if (errors->path[0] == 0 || row->reason == NULL) return VECMILL_OK;
    VM_TRY(side_open(errors, err));
    uint64_t replaced;
    char *valid = s->scratch, *quoted = s->scratch + 3 * REASON_BYTES;
    const size_t bytes = utf8_repair(row->reason, strlen(row->reason), valid, &replaced);
    const size_t quoted_bytes = jsonx_quote(valid, bytes, quoted);
    struct outbuf *o = &errors->buf;
    VM_TRY(outbuf_text(o, "{\"index\":", err));
    VM_TRY(outbuf_u64(o, row->index, err));
    VM_TRY(outbuf_text(o, ",\"line\":", err));
    VM_TRY(outbuf_u64(o, row->line, err));
    VM_TRY(outbuf_text(o, ",\"id\":", err));
    VM_TRY(outbuf_text(o, row->id != NULL ? row->id : "null", err));
    VM_TRY(outbuf_text(o, ",\"reason\":", err));
    VM_TRY(outbuf_put(o, quoted, quoted_bytes, err));
    return outbuf_text(o, "}\n", err);
}

static vecmill_status put_json(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct outbuf *o = &s->buf;
    VM_TRY(outbuf_text(o, "{\"id\":", err));
    if (row->id != NULL)
        VM_TRY(outbuf_text(o, row->id, err));
    else
        VM_TRY(outbuf_u64(o, row->index, err));
    VM_TRY(outbuf_text(o, ",\"embedding\":[", err));
    for (uint32_t i = 0; i < s->dim; i++) {
        if (i > 0) VM_TRY(outbuf_put(o, ",", 1, err));
        VM_TRY(outbuf_float(o, row->vector[i], err));
    }
    return outbuf_text(o, "]}\n", err);
}

vecmill_status sink_put(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    VM_TRY(put_error(s, row, err));
    VM_TRY(put_id(s, row, err));
    if (s->format == SINK_NPY)
        VM_TRY(outbuf_put(&s->buf, row->vector, s->dim * sizeof(float), err));
    else
        VM_TRY(put_json(s, row, err));
    s->n_rows++;
    return VECMILL_OK;
}

vecmill_status sink_flush(struct sink *s, vecmill_err *err)
{
    return s->standard ? outbuf_flush(&s->buf, err) : VECMILL_OK;
}

/* All that can fail for want of space or of a working disk, before the first name is changed. */
static vecmill_status finish(struct sink *s, vecmill_err *err)
{
    VM_TRY(outbuf_flush(&s->buf, err));
    if (s->ids.out.fd >= 0) VM_TRY(outbuf_flush(&s->ids.buf, err));
    if (s->errors.out.fd >= 0) VM_TRY(outbuf_flush(&s->errors.buf, err));
    if (s->standard) return VECMILL_OK;
    if (s->format == SINK_NPY) {
        char header[NPY_HEADER_BYTES];
        npy_header(s->n_rows, s->dim, header);
        VM_TRY(io_out_write_at(&s->out, header, sizeof header, 0, err));
    }
    if (fsync(s->out.fd) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be synced", s->out.path);
    return VECMILL_OK;
}

/* Into place, or gone when this run had nothing for it. */
static vecmill_status side_place(struct sink_side *side, vecmill_err *err)
{
    if (side->path[0] == 0) return VECMILL_OK;
    if (side->out.fd >= 0) {
        side->placed = true;
        return io_out_commit(&side->out, err);
    }
    if (unlink(side->path) != 0 && errno != ENOENT)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: of an earlier run, cannot be removed",
                       side->path);
    return VECMILL_OK;
}

/* Whether the file of `mine` is the one at path. */
static bool is_at(const char *path, const struct stat *mine)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_dev == mine->st_dev && st.st_ino == mine->st_ino;
}

vecmill_status sink_commit(struct sink *s, vecmill_err *err)
{
    struct stat mine = {0};
    vecmill_status status = finish(s, err);
    if (status == VECMILL_OK && !s->standard && fstat(s->out.fd, &mine) != 0)
        status = err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be committed", s->out.path);
    if (status == VECMILL_OK) status = side_place(&s->errors, err);
    if (status == VECMILL_OK) status = side_place(&s->ids, err);
    if (status == VECMILL_OK && !s->standard) status = io_out_commit(&s->out, err);
    if (status == VECMILL_OK) return VECMILL_OK;
    /* An output that is in place and may only not be durable keeps what belongs to it; beside an
     * output of another run, or none, it would lie. */
    const bool in_place = !s->standard && is_at(s->out.path, &mine);
    if (s->errors.placed && !in_place) unlink(s->errors.out.path);
    if (s->ids.placed && !in_place) unlink(s->ids.out.path);
    sink_drop(s);
    return status;
}

void sink_drop(struct sink *s)
{
    if (s->standard) outbuf_flush(&s->buf, NULL); /* whole lines that were computed */
    io_out_drop(&s->out);
    io_out_drop(&s->ids.out);
    io_out_drop(&s->errors.out);
}
