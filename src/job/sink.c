/* sink: see sink.h. */
#include "sink.h"

#include "npy.h"
#include "paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A reason is at most a vecmill_err's message; each byte of it may become three when repaired, and
 * each of those six when quoted. */
#define REASON_BYTES sizeof(((vecmill_err *)NULL)->message)

void sink_layout(struct sink *s, struct arena *a)
{
    s->buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->ids.buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->errors.buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->scratch = arena_take(a, (3 + 18) * REASON_BYTES + 2, 1);
}

/* What a killed run left of a file that this one may have no use for; taken over, so that one that is
 * being written stays. What cannot be removed is told of when it is in the way. */
static void remove_stale(const struct place *place)
{
    struct io_out out;
    if (place->given[0] == 0 || !io_exists(place->part)) return;
    if (io_out_open(place->given, 0, VECMILL_E_OUTPUT, &out, NULL) == VECMILL_OK) io_out_drop(&out);
}

/* Standard output: only a file is always ready for more. */
static vecmill_status open_standard(struct sink *s, const atomic_int *stop, vecmill_err *err)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "standard output cannot be written");
    s->buf.fd = STDOUT_FILENO;
    s->buf.name = "standard output";
    s->buf.waits = !S_ISREG(st.st_mode);
    s->buf.stop = stop;
    return VECMILL_OK;
}

vecmill_status sink_open(struct sink *s, const struct job_options *options, uint32_t dim,
                         const atomic_int *stop, vecmill_err *err)
{
    struct paths paths;
    VM_TRY(paths_check(options, &paths, err));
    s->dim = dim;
    s->n_rows = 0;
    s->npy = paths.npy;
    s->standard = paths.standard;
    s->out.fd = s->ids.out.fd = s->errors.out.fd = -1;
    memcpy(s->ids.path, paths.ids.given, sizeof s->ids.path);
    memcpy(s->errors.path, paths.errors.given, sizeof s->errors.path);
    if (s->standard) {
        VM_TRY(open_standard(s, stop, err));
    } else {
        VM_TRY(io_out_open(options->output, 0, VECMILL_E_OUTPUT, &s->out, err));
        s->buf.fd = s->out.fd;
        s->buf.name = s->out.path;
    }
    remove_stale(&paths.ids);
    remove_stale(&paths.errors);
    if (!s->npy) return VECMILL_OK;
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
    if (s->npy)
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

static vecmill_status sync_out(const struct io_out *out, vecmill_err *err)
{
    if (out->fd < 0 || fsync(out->fd) == 0) return VECMILL_OK;
    return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be synced", out->path);
}

/* All that can fail for want of space or of a working disk, before the first name is changed. */
static vecmill_status finish(struct sink *s, vecmill_err *err)
{
    VM_TRY(outbuf_flush(&s->buf, err));
    if (s->ids.out.fd >= 0) VM_TRY(outbuf_flush(&s->ids.buf, err));
    if (s->errors.out.fd >= 0) VM_TRY(outbuf_flush(&s->errors.buf, err));
    if (s->npy) {
        char header[NPY_HEADER_BYTES];
        npy_header(s->n_rows, s->dim, header);
        VM_TRY(io_out_write_at(&s->out, header, sizeof header, 0, err));
    }
    VM_TRY(sync_out(&s->ids.out, err));
    VM_TRY(sync_out(&s->errors.out, err));
    return sync_out(&s->out, err);
}

/* Commits what is open. *placed tells whether the name was changed: a commit can fail behind that,
 * when the folder cannot be synced. */
static vecmill_status commit(struct io_out *out, bool *placed, vecmill_err *err)
{
    if (out->fd < 0) return VECMILL_OK;
    struct stat mine, there;
    if (fstat(out->fd, &mine) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be committed", out->path);
    const vecmill_status status = io_out_commit(out, err);
    *placed = status == VECMILL_OK || (stat(out->path, &there) == 0 &&
                                       there.st_dev == mine.st_dev && there.st_ino == mine.st_ino);
    return status;
}

/* An earlier run's file, when this run had nothing for it. */
static vecmill_status remove_old(const struct sink_side *side, vecmill_err *err)
{
    if (side->path[0] == 0 || side->placed) return VECMILL_OK;
    if (unlink(side->path) != 0 && errno != ENOENT)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: of an earlier run, cannot be removed",
                       side->path);
    return VECMILL_OK;
}

vecmill_status sink_commit(struct sink *s, vecmill_err *err)
{
    bool in_place = false; /* the output */
    vecmill_status status = finish(s, err);
    if (status == VECMILL_OK) status = commit(&s->errors.out, &s->errors.placed, err);
    if (status == VECMILL_OK) status = commit(&s->ids.out, &s->ids.placed, err);
    if (status == VECMILL_OK) status = commit(&s->out, &in_place, err);
    /* An output that is in place and may only not be durable keeps what belongs to it; beside an
     * output of another run, or none, it would lie. So would another run's beside it. */
    if (in_place || status == VECMILL_OK) {
        for (size_t i = 0; i < 2; i++) {
            const struct sink_side *side = i == 0 ? &s->errors : &s->ids;
            const vecmill_status removed = remove_old(side, status == VECMILL_OK ? err : NULL);
            if (status == VECMILL_OK) status = removed;
        }
        return status;
    }
    if (s->errors.placed) unlink(s->errors.out.path);
    if (s->ids.placed) unlink(s->ids.out.path);
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
