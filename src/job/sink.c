/* sink: the files of an output. What is special to a format is in its struct sink_kind. */
#include "sink.h"

#include "npy.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* The stop flag is checked this often while a slow reader is waited for. */
#define WAIT_MS 100

/* A reason is at most a vecmill_err's message. Repair makes at most three bytes of one, quoting six. */
#define REASON_BYTES sizeof(((vecmill_err *)NULL)->message)

/* ---- the buffer of one file ---- */

/* The descriptor's O_NONBLOCK may belong to other processes, so it is left alone: a pipe that poll
 * calls ready takes PIPE_BUF bytes without blocking. Once stopped, the reader gets what it has room
 * for. */
static vecmill_status write_to_reader(struct sink_file *f, size_t bytes, vecmill_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        const bool stopped = f->stop != NULL && atomic_load(f->stop) != 0;
        struct pollfd p = {.fd = f->fd, .events = POLLOUT};
        const int ready = poll(&p, 1, stopped ? 0 : WAIT_MS);
        if (ready == 0 && stopped)
            return err_set(err, VECMILL_E_STOPPED, "stopped while waiting for the reader of %s",
                           f->name);
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        const ssize_t n = write(f->fd, f->data + done, num_min(bytes - done, PIPE_BUF));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be written", f->name);
    }
    return VECMILL_OK;
}

static vecmill_status write_out(struct sink_file *f, vecmill_err *err)
{
    const size_t bytes = f->used;
    f->used = 0;
    if (bytes == 0) return VECMILL_OK;
    if (f->waits) return write_to_reader(f, bytes, err);
    return io_write(f->fd, f->data, bytes, f->name, VECMILL_E_OUTPUT, err);
}

vecmill_status sink_write(struct sink_file *f, const void *data, size_t bytes, vecmill_err *err)
{
    const char *from = data;
    while (bytes > 0) {
        const size_t n = num_min(bytes, SINK_BUFFER_BYTES - f->used);
        memcpy(f->data + f->used, from, n);
        f->used += n;
        f->total += n;
        from += n;
        bytes -= n;
        if (f->used == SINK_BUFFER_BYTES) VM_TRY(write_out(f, err));
    }
    return VECMILL_OK;
}

vecmill_status sink_write_text(struct sink_file *f, const char *text, vecmill_err *err)
{
    return sink_write(f, text, strlen(text), err);
}

vecmill_status sink_write_u64(struct sink_file *f, uint64_t value, vecmill_err *err)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return sink_write_text(f, text, err);
}

vecmill_status sink_write_reason(struct sink *s, struct sink_file *f, const char *reason,
                                 vecmill_err *err)
{
    uint64_t replaced;
    char *valid = s->scratch, *quoted = s->scratch + 3 * REASON_BYTES;
    const size_t bytes = utf8_repair(reason, strlen(reason), valid, &replaced);
    return sink_write(f, quoted, json_quote(valid, bytes, quoted), err);
}

/* ---- opening ---- */

/* Offsets, stage and ranges share a buffer: no kind has both of the first two, and ranges are written when
 * a stage has been. */
void sink_layout(struct sink *s, uint32_t dim, vecmill_dtype dtype, struct arena *a)
{
    const enum quantize_dtype own = (enum quantize_dtype)dtype;
    const bool has_ranges = quantize_needs_ranges(own), is_narrow = own != QUANTIZE_FLOAT32;
    for (size_t i = 0; i < PATHS_FILES; i++)
        if (i != PATHS_STAGE && i != PATHS_RANGES)
            s->files[i].data = arena_take(a, SINK_BUFFER_BYTES, 64);
    s->files[PATHS_STAGE].data = s->files[PATHS_RANGES].data = s->files[PATHS_OFFSETS].data;
    s->scratch = arena_take(a, (3 + 18) * REASON_BYTES + 2, 1);
    s->floats = arena_take(a, has_ranges ? dim * sizeof(float) : 0, 64);
    s->ranges = arena_take(a, has_ranges ? 2 * sizeof(float) * dim : 0, 64);
    s->row = arena_take(a, is_narrow ? quantize_row_bytes(own, dim) : 0, 64);
}

vecmill_status sink_init(struct sink *s, const struct paths *paths, uint32_t dim,
                         vecmill_dtype dtype, const atomic_int *stop, vecmill_err *err)
{
    s->paths = paths;
    s->kind = sink_kinds[paths->format];
    s->dim = dim;
    s->dtype = dtype;
    s->has_ranges = false;
    s->stop = stop;
    s->n_rows = s->n_vectors = 0;
    for (size_t i = 0; i < PATHS_FILES; i++)
        s->files[i].out.fd = -1;
    if (!paths->standard) return VECMILL_OK;
    struct stat st;
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    if (fstat(STDOUT_FILENO, &st) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "standard output cannot be written");
    f->fd = STDOUT_FILENO;
    f->name = "standard output";
    f->waits = !S_ISREG(st.st_mode); /* only a file is always ready for more */
    f->stop = stop;
    return VECMILL_OK;
}

vecmill_status sink_read_ranges(struct sink *s, const char *path, uint64_t *digest,
                                vecmill_err *err)
{
    struct job_vectors v;
    VM_TRY(job_ranges_open(path, &v, err));
    vecmill_status status = VECMILL_OK;
    if (v.dim != s->dim)
        status = err_set(err, VECMILL_E_INPUT,
                         "%s: holds the ranges of %u components, the vectors have %u", path, v.dim,
                         s->dim);
    if (status == VECMILL_OK) {
        const size_t bytes = 2 * sizeof(float) * s->dim;
        const uint64_t sum = XXH3_64bits(v.rows, bytes);
        memcpy(s->ranges, v.rows, bytes);
        s->has_ranges = true;
        *digest = sum != 0 ? sum : 1;
    }
    job_vectors_close(&v);
    return status;
}

/* A part was opened, and `bytes` of it were written before. */
static void file_begin(struct sink_file *file, uint64_t bytes)
{
    file->fd = file->out.fd;
    file->name = file->out.path;
    file->total = bytes;
    file->synced = UINT64_MAX;   /* a cut may not be on the medium either */
    file->out.named = bytes > 0; /* a checkpoint has recorded it */
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

/* Removes the part that a killed run left of a file that this run may not write. It is taken over
 * first, so that one which is being written stays. If it cannot be removed and is in the way, whoever
 * opens it reports that. */
static void remove_stale_part(const struct paths_file *file)
{
    struct io_out out;
    if (file->given[0] == 0 || !io_exists(file->part)) return;
    if (io_out_reopen(file->given, false, 0, VECMILL_E_OUTPUT, &out, NULL) == VECMILL_OK)
        io_out_drop(&out);
}

/* Errors and ids are created by their first line, offsets and the stage with the output. */
static vecmill_status open_side_file(struct sink *s, enum paths_which which, vecmill_err *err)
{
    struct sink_file *side = &s->files[which];
    if (side->out.fd >= 0) return VECMILL_OK;
    VM_TRY(io_out_open(s->paths->files[which].given, 0, VECMILL_E_OUTPUT, &side->out, err));
    file_begin(side, 0);
    return VECMILL_OK;
}

/* The first offset: where the first document's rows begin. */
static vecmill_status start_offsets(struct sink *s, vecmill_err *err)
{
    static const int64_t none = 0;
    char header[NPY_HEADER_BYTES];
    VM_TRY(open_side_file(s, PATHS_OFFSETS, err));
    npy_offsets_header(1, header);
    VM_TRY(sink_write(&s->files[PATHS_OFFSETS], header, sizeof header, err));
    return sink_write(&s->files[PATHS_OFFSETS], &none, sizeof none, err);
}

vecmill_status sink_start(struct sink *s, vecmill_err *err)
{
    struct sink_file *file = &s->files[PATHS_OUTPUT];
    if (!s->paths->standard) VM_TRY(io_out_cut(&file->out, 0, err));
    for (size_t i = 0; i < PATHS_OUTPUT; i++)
        remove_stale_part(&s->paths->files[i]);
    /* These two are made only under the lock of the output's part, which we hold. */
    remove_stale_part(&s->paths->journal);
    remove_stale_part(&s->paths->shard);
    if (s->kind->assemble != NULL) return open_side_file(s, PATHS_STAGE, err);
    if (s->kind->header == NULL) return VECMILL_OK;
    char header[SINK_HEADER_MAX];
    VM_TRY(sink_write(file, header, s->kind->header(0, s->dim, s->dtype, header), err));
    return s->kind->has_offsets ? start_offsets(s, err) : VECMILL_OK;
}

vecmill_status sink_reopen(struct sink *s, const struct journal_point *point, vecmill_err *err)
{
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct paths_file *file = &s->paths->files[i];
        const unsigned long long bytes = point->files[i].bytes;
        const bool is_made = i == PATHS_OUTPUT && s->kind->assemble != NULL && !point->complete;
        if (bytes == 0 && !(point->complete && i == PATHS_OUTPUT) && !is_made) continue;
        if (file->given[0] == 0)
            return err_set(err, VECMILL_E_OUTPUT, "%s: the journal records more than one file",
                           s->paths->journal.given);
        if (!io_exists(file->part) && !is_made) {
            if (point->complete) continue; /* renamed already, or paths_rename says what is wrong */
            return err_set(err, VECMILL_E_OUTPUT,
                           "%s: is missing, it had %llu bytes when its journal was written "
                           "(--force starts afresh)",
                           file->part, bytes);
        }
        struct io_out *out = &s->files[i].out;
        struct stat st;
        VM_TRY(io_out_reopen(file->given, is_made, PATHS_LOCK_WAIT_MS, VECMILL_E_OUTPUT, out, err));
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
            remove_stale_part(&s->paths->files[i]);
            continue;
        }
        VM_TRY(io_out_cut(&file->out, point->files[i].bytes, err));
        file_begin(file, point->files[i].bytes);
    }
    s->n_rows = point->documents;
    s->n_vectors = 0;
    if (s->kind->has_offsets) {
        char header[SINK_HEADER_MAX];
        const size_t front = s->kind->header(0, s->dim, s->dtype, header);
        s->n_vectors =
            (point->files[PATHS_OUTPUT].bytes - front) / s->kind->row_bytes(s->dim, s->dtype);
    }
    return VECMILL_OK;
}

/* ---- writing ---- */

/* One line a row, null where there is no id. The first id writes the lines of the rows before it. */
static vecmill_status put_id(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *ids = &s->files[PATHS_IDS];
    if (s->paths->files[PATHS_IDS].given[0] == 0) return VECMILL_OK;
    if (ids->out.fd < 0) {
        if (row->id == NULL) return VECMILL_OK;
        VM_TRY(open_side_file(s, PATHS_IDS, err));
        for (uint64_t i = 0; i < s->n_rows; i++)
            VM_TRY(sink_write(ids, "null\n", 5, err));
    }
    VM_TRY(sink_write_text(ids, row->id != NULL ? row->id : "null", err));
    return sink_write(ids, "\n", 1, err);
}

static vecmill_status put_error(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    if (s->paths->files[PATHS_ERRORS].given[0] == 0 || row->reason == NULL) return VECMILL_OK;
    VM_TRY(open_side_file(s, PATHS_ERRORS, err));
    struct sink_file *f = &s->files[PATHS_ERRORS];
    VM_TRY(sink_write_text(f, "{\"index\":", err));
    VM_TRY(sink_write_u64(f, row->index, err));
    VM_TRY(sink_write_text(f, ",\"line\":", err));
    VM_TRY(sink_write_u64(f, row->line, err));
    VM_TRY(sink_write_text(f, ",\"id\":", err));
    VM_TRY(sink_write_text(f, row->id != NULL ? row->id : "null", err));
    VM_TRY(sink_write_text(f, ",\"reason\":", err));
    VM_TRY(sink_write_reason(s, f, row->reason, err));
    return sink_write_text(f, "}\n", err);
}

vecmill_status sink_narrow(struct sink *s, vecmill_part *part, vecmill_err *err)
{
    const enum quantize_dtype own = (enum quantize_dtype)s->dtype;
    if (own == QUANTIZE_FLOAT32 || s->kind->assemble != NULL) return VECMILL_OK;
    VM_TRY(quantize_rows(part->data, 1, s->dim, own, s->ranges, s->row, err));
    part->dtype = s->dtype;
    part->data = s->row;
    part->bytes = quantize_row_bytes(own, s->dim);
    return VECMILL_OK;
}

vecmill_status sink_put(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    VM_TRY(put_error(s, row, err));
    VM_TRY(put_id(s, row, err));
    VM_TRY(s->kind->put(s, row, err));
    if (s->kind->has_offsets) {
        s->n_vectors += row->part != NULL ? row->part->n : 0;
        const int64_t end = (int64_t)s->n_vectors;
        VM_TRY(sink_write(&s->files[PATHS_OFFSETS], &end, sizeof end, err));
    }
    s->n_rows++;
    return VECMILL_OK;
}

vecmill_status sink_copy(struct sink *s, enum paths_which which, const void *data, size_t bytes,
                         vecmill_err *err)
{
    if (which != PATHS_OUTPUT) VM_TRY(open_side_file(s, which, err));
    return sink_write(&s->files[which], data, bytes, err);
}

vecmill_status sink_flush(struct sink *s, vecmill_err *err)
{
    return s->paths->standard ? write_out(&s->files[PATHS_OUTPUT], err) : VECMILL_OK;
}

/* ---- checkpoints ---- */

vecmill_status sink_sync(struct sink *s, struct journal_point *point, vecmill_err *err)
{
    /* Write everything first, so that a full disk is met before anything is synced. */
    for (size_t i = 0; i < PATHS_FILES; i++)
        VM_TRY(write_out(&s->files[i], err));
    for (size_t i = 0; i < PATHS_FILES; i++) {
        struct sink_file *file = &s->files[i];
        if (file->out.fd < 0 || file->synced == file->total) continue;
        VM_TRY(io_out_sync(&file->out, err));
        file->synced = file->total;
    }
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct sink_file *file = &s->files[i];
        struct stat st;
        point->files[i] = (struct paths_stamp){.bytes = 0};
        if (file->out.fd < 0) continue;
        if (fstat(file->out.fd, &st) != 0)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be looked at", file->out.part);
        point->files[i] = (struct paths_stamp){
            .bytes = file->total, .inode = (uint64_t)st.st_ino, .mtime_ns = io_mtime_ns(&st)};
    }
    return VECMILL_OK;
}

vecmill_status sink_write_over(struct sink_file *f, const void *data, size_t bytes, uint64_t at,
                               vecmill_err *err)
{
    VM_TRY(write_out(f, err));
    VM_TRY(io_out_write_at(&f->out, data, bytes, at, err));
    f->synced = 0;
    return VECMILL_OK;
}

vecmill_status sink_stopped(const struct sink *s, vecmill_err *err)
{
    if (s->stop == NULL || atomic_load(s->stop) == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_STOPPED, "stopped while %s was made of its stage",
                   s->paths->files[PATHS_OUTPUT].given);
}

vecmill_status sink_read_stage(struct sink *s, uint64_t at, size_t bytes, const void **data,
                               vecmill_err *err)
{
    struct sink_file *stage = &s->files[PATHS_STAGE];
    size_t got;
    VM_TRY(io_read_at(stage->fd, stage->data, bytes, at, &got, stage->name, VECMILL_E_OUTPUT, err));
    if (got < bytes)
        return err_set(err, VECMILL_E_OUTPUT, "%s: ends at byte %llu, it had %llu", stage->name,
                       (unsigned long long)(at + got), (unsigned long long)stage->total);
    *data = stage->data;
    return VECMILL_OK;
}

/* The output, of which a run that was killed here may have left something. */
static vecmill_status assemble(struct sink *s, vecmill_err *err)
{
    struct sink_file *output = &s->files[PATHS_OUTPUT];
    VM_TRY(write_out(&s->files[PATHS_STAGE], err));
    VM_TRY(io_out_cut(&output->out, 0, err));
    file_begin(output, 0);
    return s->kind->assemble(s, err);
}

/* OUTPUT.ranges.npy, whole. */
static vecmill_status write_ranges(struct sink *s, vecmill_err *err)
{
    struct sink_file *f = &s->files[PATHS_RANGES];
    char header[NPY_HEADER_BYTES];
    if (!s->has_ranges || s->paths->files[PATHS_RANGES].given[0] == 0) return VECMILL_OK;
    VM_TRY(open_side_file(s, PATHS_RANGES, err));
    npy_header(2, s->dim, VECMILL_DTYPE_FLOAT32, header);
    VM_TRY(sink_write(f, header, sizeof header, err));
    VM_TRY(sink_write(f, s->ranges, 2 * sizeof(float) * s->dim, err));
    return write_out(f, err);
}

vecmill_status sink_finish(struct sink *s, struct journal_point *point, vecmill_err *err)
{
    struct sink_file *output = &s->files[PATHS_OUTPUT];
    if (s->kind->assemble != NULL) VM_TRY(assemble(s, err));
    VM_TRY(write_ranges(s, err));
    if (s->kind->header != NULL) {
        char header[SINK_HEADER_MAX];
        const bool has_offsets = s->kind->has_offsets;
        const size_t bytes =
            s->kind->header(has_offsets ? s->n_vectors : s->n_rows, s->dim, s->dtype, header);
        /* Over the one that was written first, now that the number of rows is known. */
        VM_TRY(sink_write_over(output, header, bytes, 0, err));
        if (has_offsets) {
            npy_offsets_header(s->n_rows + 1, header);
            VM_TRY(sink_write_over(&s->files[PATHS_OFFSETS], header, NPY_HEADER_BYTES, 0, err));
        }
    }
    return sink_sync(s, point, err);
}

/* ---- the ends ---- */

vecmill_status sink_place(struct sink *s, const struct journal_point *point, bool *placed,
                          vecmill_err *err)
{
    return paths_rename(s->paths, point->files, placed, err);
}

void sink_leave(struct sink *s)
{
    for (size_t i = 0; i < PATHS_FILES; i++)
        io_out_leave(&s->files[i].out);
}

static bool has_older_output(const struct sink *s)
{
    return io_exists(s->paths->files[PATHS_OUTPUT].given);
}

void sink_unlock(struct sink *s)
{
    struct io_out *output = &s->files[PATHS_OUTPUT].out;
    struct stat st;
    const bool is_mark = has_older_output(s) && !io_exists(s->paths->journal.real);
    if (output->fd >= 0 && fstat(output->fd, &st) == 0 && st.st_size == 0 && !is_mark)
        io_out_drop(output);
    sink_leave(s);
}

void sink_drop(struct sink *s, bool mark)
{
    struct io_out *output = &s->files[PATHS_OUTPUT].out;
    if (s->paths->standard) sink_flush(s, NULL); /* whole lines that were computed */
    if (mark && output->fd >= 0 && has_older_output(s)) {
        io_out_cut(output, 0, NULL);
        io_out_leave(output);
    }
    for (size_t i = 0; i < PATHS_FILES; i++)
        io_out_drop(&s->files[i].out);
}
