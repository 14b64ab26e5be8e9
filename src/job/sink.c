/* sink: see sink.h. */
#include "sink.h"

#include "npy.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A reason is at most a vecmill_err's message; each byte of it may become three when repaired, and
 * each of those six when quoted. */
#define REASON_BYTES sizeof(((vecmill_err *)NULL)->message)

void sink_layout(struct sink *s, struct arena *a)
{
    for (size_t i = 0; i < PATHS_FILES; i++)
        s->files[i].buf.data = arena_take(a, OUTBUF_BYTES, 64);
    s->scratch = arena_take(a, (3 + 18) * REASON_BYTES + 2, 1);
}

vecmill_status sink_init(struct sink *s, const struct paths *paths, uint32_t dim,
                         const atomic_int *stop, vecmill_err *err)
{
    s->paths = paths;
    s->dim = dim;
    s->n_rows = 0;
    for (size_t i = 0; i < PATHS_FILES; i++)
        s->files[i].out.fd = -1;
    if (!paths->standard) return VECMILL_OK;
    struct stat st;
    struct outbuf *o = &s->files[PATHS_OUTPUT].buf;
    if (fstat(STDOUT_FILENO, &st) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "standard output cannot be written");
    o->fd = STDOUT_FILENO;
    o->name = "standard output";
    o->waits = !S_ISREG(st.st_mode); /* only a file is always ready for more */
    o->stop = stop;
    return VECMILL_OK;
}

/* A part that was opened, `bytes` of it written before. */
static void file_begin(struct sink_file *file, uint64_t bytes)
{
    file->buf.fd = file->out.fd;
    file->buf.name = file->out.path;
    file->buf.total = bytes;
    file->synced = UINT64_MAX;   /* a cut may not be on the medium either */
    file->out.named = bytes > 0; /* a checkpoint has told of it */
}

vecmill_status sink_lock(struct sink *s, vecmill_err *err)
{
    struct sink_file *file = &s->files[PATHS_OUTPUT];
    if (s->paths->standard) return VECMILL_OK;
    VM_TRY(io_out_reopen(s->paths->files[PATHS_OUTPUT].given, true, PATHS_LOCK_WAIT_MS,
                         VECMILL_E_OUTPUT, &file->out, err));
    file_begin(file, 0);
    return VECMILL_OK;
}

/* What a killed run left of a file that this one may have no use for; taken over, so that one that is
 * being written stays. What cannot be removed is told of when it is in the way. */
static void remove_stale(const struct place *place)
{
    struct io_out out;
    if (place->given[0] == 0 || !io_exists(place->part)) return;
    if (io_out_reopen(place->given, false, 0, VECMILL_E_OUTPUT, &out, NULL) == VECMILL_OK)
        io_out_drop(&out);
}

vecmill_status sink_start(struct sink *s, vecmill_err *err)
{
    struct sink_file *file = &s->files[PATHS_OUTPUT];
    if (!s->paths->standard) VM_TRY(io_out_cut(&file->out, 0, err));
    for (size_t i = 0; i < PATHS_OUTPUT; i++)
        remove_stale(&s->paths->files[i]);
    remove_stale(&s->paths->journal); /* nobody makes one but under the lock of the output's part */
    remove_stale(&s->paths->shard);   /* likewise */
    if (!s->paths->npy) return VECMILL_OK;
    char header[NPY_HEADER_BYTES];
    npy_header(0, s->dim, header);
    return outbuf_put(&file->buf, header, sizeof header, err);
}

vecmill_status sink_reopen(struct sink *s, const struct journal_point *point, vecmill_err *err)
{
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct place *place = &s->paths->files[i];
        const unsigned long long bytes = point->files[i].bytes;
        if (bytes == 0 && !(point->complete && i == PATHS_OUTPUT)) continue;
        if (place->given[0] == 0)
            return err_set(err, VECMILL_E_OUTPUT, "%s: the journal tells of more than one file",
                           s->paths->journal.given);
        if (!io_exists(place->part)) {
            if (point->complete) continue; /* placed, or finish.h says what is wrong */
            return err_set(err, VECMILL_E_OUTPUT,
                           "%s: is missing, it had %llu bytes when its journal was written "
                           "(--force starts afresh)",
                           place->part, bytes);
        }
        struct io_out *out = &s->files[i].out;
        struct stat st;
        VM_TRY(io_out_reopen(place->given, false, PATHS_LOCK_WAIT_MS, VECMILL_E_OUTPUT, out, err));
        if (fstat(out->fd, &st) != 0)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be looked at", out->part);
        if ((unsigned long long)st.st_size < bytes)
            return err_set(err, VECMILL_E_OUTPUT,
                           "%s: holds %llu bytes, it had %llu when its journal was written "
                           "(--force starts afresh)",
                           out->part, (unsigned long long)st.st_size, bytes);
    }
    return VECMILL_OK;
}

vecmill_status sink_cut(struct sink *s, const struct journal_point *point, vecmill_err *err)
{
    for (size_t i = 0; i < PATHS_FILES; i++) {
        struct sink_file *file = &s->files[i];
        if (file->out.fd < 0) {
            remove_stale(&s->paths->files[i]);
            continue;
        }
        VM_TRY(io_out_cut(&file->out, point->files[i].bytes, err));
        file_begin(file, point->files[i].bytes);
    }
    s->n_rows = point->documents;
    return VECMILL_OK;
}

/* At its first line. */
static vecmill_status side_open(struct sink *s, enum paths_file which, vecmill_err *err)
{
    struct sink_file *side = &s->files[which];
    if (side->out.fd >= 0) return VECMILL_OK;
    VM_TRY(io_out_open(s->paths->files[which].given, 0, VECMILL_E_OUTPUT, &side->out, err));
    file_begin(side, 0);
    return VECMILL_OK;
}

/* A line a row, null where there is no id; rows before the first id are made up for when it comes. */
static vecmill_status put_id(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *ids = &s->files[PATHS_IDS];
    if (s->paths->files[PATHS_IDS].given[0] == 0) return VECMILL_OK;
    if (ids->out.fd < 0) {
        if (row->id == NULL) return VECMILL_OK;
        VM_TRY(side_open(s, PATHS_IDS, err));
        for (uint64_t i = 0; i < s->n_rows; i++)
            VM_TRY(outbuf_put(&ids->buf, "null\n", 5, err));
    }
    VM_TRY(outbuf_text(&ids->buf, row->id != NULL ? row->id : "null", err));
    return outbuf_put(&ids->buf, "\n", 1, err);
}

/* A reason as JSON. */
static vecmill_status put_reason(struct sink *s, struct outbuf *o, const char *reason,
                                 vecmill_err *err)
{
    uint64_t replaced;
    char *valid = s->scratch, *quoted = s->scratch + 3 * REASON_BYTES;
    const size_t bytes = utf8_repair(reason, strlen(reason), valid, &replaced);
    return outbuf_put(o, quoted, jsonx_quote(valid, bytes, quoted), err);
}

static vecmill_status put_error(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    if (s->paths->files[PATHS_ERRORS].given[0] == 0 || row->reason == NULL) return VECMILL_OK;
    VM_TRY(side_open(s, PATHS_ERRORS, err));
    struct outbuf *o = &s->files[PATHS_ERRORS].buf;
    VM_TRY(outbuf_text(o, "{\"index\":", err));
    VM_TRY(outbuf_u64(o, row->index, err));
    VM_TRY(outbuf_text(o, ",\"line\":", err));
    VM_TRY(outbuf_u64(o, row->line, err));
    VM_TRY(outbuf_text(o, ",\"id\":", err));
    VM_TRY(outbuf_text(o, row->id != NULL ? row->id : "null", err));
    VM_TRY(outbuf_text(o, ",\"reason\":", err));
    VM_TRY(put_reason(s, o, row->reason, err));
    return outbuf_text(o, "}\n", err);
}

/* A number that is no document's own id must not stand where ids stand: it may be another's. */
static vecmill_status put_json_id(const struct sink *s, struct outbuf *o,
                                  const struct sink_row *row, vecmill_err *err)
{
    VM_TRY(outbuf_text(o, "{\"id\":", err));
    if (row->id == NULL && s->counts) return outbuf_u64(o, row->index, err);
    if (row->id != NULL && strcmp(row->id, "null") != 0) return outbuf_text(o, row->id, err);
    VM_TRY(outbuf_text(o, "null,\"index\":", err));
    return outbuf_u64(o, row->index, err);
}

/* A row without a vector has none, so that whoever stores rows by their ids cannot take zeros for one. */
static vecmill_status put_json(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct outbuf *o = &s->files[PATHS_OUTPUT].buf;
    VM_TRY(put_json_id(s, o, row, err));
    if (row->reason != NULL) {
        VM_TRY(outbuf_text(o, ",\"embedding\":null,\"error\":", err));
        VM_TRY(put_reason(s, o, row->reason, err));
        return outbuf_text(o, "}\n", err);
    }
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
    if (s->paths->npy)
        VM_TRY(outbuf_put(&s->files[PATHS_OUTPUT].buf, row->vector, s->dim * sizeof(float), err));
    else
        VM_TRY(put_json(s, row, err));
    s->n_rows++;
    return VECMILL_OK;
}

vecmill_status sink_copy(struct sink *s, enum paths_file which, const void *data, size_t bytes,
                         vecmill_err *err)
{
    if (which != PATHS_OUTPUT) VM_TRY(side_open(s, which, err));
    return outbuf_put(&s->files[which].buf, data, bytes, err);
}

vecmill_status sink_flush(struct sink *s, vecmill_err *err)
{
    return s->paths->standard ? outbuf_flush(&s->files[PATHS_OUTPUT].buf, err) : VECMILL_OK;
}

static vecmill_status sync_all(struct sink *s, vecmill_err *err)
{
    /* All that may want space first, so that a full disk is met before anything is synced. */
    for (size_t i = 0; i < PATHS_FILES; i++)
        VM_TRY(outbuf_flush(&s->files[i].buf, err));
    for (size_t i = 0; i < PATHS_FILES; i++) {
        struct sink_file *file = &s->files[i];
        if (file->out.fd < 0 || file->synced == file->buf.total) continue;
        VM_TRY(io_out_sync(&file->out, err));
        file->synced = file->buf.total;
    }
    return VECMILL_OK;
}

static vecmill_status describe(const struct sink *s, struct journal_point *point, vecmill_err *err)
{
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct sink_file *file = &s->files[i];
        struct stat st;
        point->files[i] = (struct journal_file){.bytes = 0};
        if (file->out.fd < 0) continue;
        if (fstat(file->out.fd, &st) != 0)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be looked at", file->out.part);
        point->files[i] = (struct journal_file){
            .bytes = file->buf.total, .inode = (uint64_t)st.st_ino, .mtime_ns = io_mtime_ns(&st)};
    }
    return VECMILL_OK;
}

vecmill_status sink_sync(struct sink *s, struct journal_point *point, vecmill_err *err)
{
    VM_TRY(sync_all(s, err));
    return describe(s, point, err);
}

vecmill_status sink_finish(struct sink *s, struct journal_point *point, vecmill_err *err)
{
    struct sink_file *output = &s->files[PATHS_OUTPUT];
    if (s->paths->npy) {
        char header[NPY_HEADER_BYTES];
        npy_header(s->n_rows, s->dim, header);
        VM_TRY(outbuf_flush(&output->buf, err));
        VM_TRY(io_out_write_at(&output->out, header, sizeof header, 0, err));
        output->synced = 0;
    }
    return sink_sync(s, point, err);
}

static bool has_output(const struct sink *s)
{
    return io_exists(s->paths->files[PATHS_OUTPUT].given);
}

void sink_unlock(struct sink *s)
{
    struct io_out *output = &s->files[PATHS_OUTPUT].out;
    struct stat st;
    const bool marks = has_output(s) && !io_exists(s->paths->journal.real);
    if (output->fd >= 0 && fstat(output->fd, &st) == 0 && st.st_size == 0 && !marks)
        io_out_drop(output);
    sink_leave(s);
}

void sink_leave(struct sink *s)
{
    for (size_t i = 0; i < PATHS_FILES; i++)
        io_out_leave(&s->files[i].out);
}

void sink_drop(struct sink *s, bool mark)
{
    struct io_out *output = &s->files[PATHS_OUTPUT].out;
    if (s->paths->standard) sink_flush(s, NULL); /* whole lines that were computed */
    if (mark && output->fd >= 0 && has_output(s)) {
        io_out_cut(output, 0, NULL);
        io_out_leave(output);
    }
    for (size_t i = 0; i < PATHS_FILES; i++)
        io_out_drop(&s->files[i].out);
}
