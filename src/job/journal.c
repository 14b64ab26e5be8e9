/* journal: its bytes, then its file. */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define FLAG_COMPLETE 1u

static const unsigned char magic[8] = {'v', 'm', 'j', 'o', 'u', 'r', 'n', '\n'};

_Static_assert(READER_TXT == 0 && READER_JSONL == 1 && READER_CSV == 2 && READER_JSON == 3,
               "numbers of the format");
_Static_assert(SINK_JSONL == 0 && SINK_NPY == 1, "numbers of the format");
_Static_assert(sizeof(((struct journal_point *)NULL)->files) ==
                   sizeof(((struct journal_point *)NULL)->cursor),
               "both views of an output are the same words");

/* ---- the bytes ---- */

/* Where the next number is written. */
struct byte_writer {
    unsigned char *at;
};

static void put_u32(struct byte_writer *w, uint32_t v)
{
    cur_put_u32(w->at, v);
    w->at += 4;
}

static void put_u64(struct byte_writer *w, uint64_t v)
{
    cur_put_u64(w->at, v);
    w->at += 8;
}

static void put_text(struct byte_writer *w, const char *text, size_t bytes)
{
    memset(w->at, 0, bytes);
    memcpy(w->at, text, strnlen(text, bytes));
    w->at += bytes;
}

static uint64_t slot_at(uint64_t sequence)
{
    return sequence % 2 != 0 ? JOURNAL_PAGE : 2 * JOURNAL_PAGE;
}

/* Returns its checksum. */
static uint64_t encode_header(const struct journal_run *run, unsigned char *bytes)
{
    struct byte_writer w = {bytes};
    memcpy(w.at, magic, sizeof magic);
    w.at += sizeof magic;
    put_u32(&w, JOURNAL_VERSION);
    put_u32(&w, run->dim);
    put_u32(&w, (uint32_t)run->output_format);
    put_u32(&w, (uint32_t)run->input_format);
    put_u64(&w, run->max_document);
    put_u64(&w, run->field);
    put_u64(&w, run->id_field);
    put_text(&w, run->identity, JOURNAL_IDENTITY);
    put_text(&w, run->isa, JOURNAL_ISA);
    put_u32(&w, run->shard);
    put_u32(&w, run->shards);
    put_u64(&w, (uint64_t)run->dtype);
    put_u64(&w, run->ranges);
    const uint64_t sum = XXH3_64bits(bytes, (size_t)(w.at - bytes));
    put_u64(&w, sum);
    assert(w.at - bytes == JOURNAL_HEADER_BYTES);
    return sum;
}

static void encode_slot(const struct journal_point *point, uint64_t seed, unsigned char *bytes)
{
    struct byte_writer w = {bytes};
    put_u64(&w, point->sequence);
    put_u64(&w, point->complete ? FLAG_COMPLETE : 0);
    put_u64(&w, point->documents);
    put_u64(&w, point->failed);
    put_u64(&w, point->tokens);
    put_u64(&w, point->truncated);
    put_u64(&w, point->replaced_bytes);
    put_u64(&w, point->input.bytes);
    put_u64(&w, point->input.digest);
    put_u64(&w, point->input.line);
    put_u64(&w, point->input.record);
    put_u64(&w, point->input.read);
    put_u64(&w, point->input.in_array);
    for (size_t i = 0; i < JOURNAL_CURSOR; i++)
        put_u64(&w, point->cursor[i]);
    put_u64(&w, XXH3_64bits_withSeed(bytes, (size_t)(w.at - bytes), seed));
    assert(w.at - bytes == JOURNAL_SLOT_BYTES);
}

void journal_encode(const struct journal_run *run, const struct journal_point *point,
                    unsigned char bytes[JOURNAL_BYTES])
{
    memset(bytes, 0, JOURNAL_BYTES);
    const uint64_t seed = encode_header(run, bytes);
    encode_slot(point, seed, bytes + slot_at(point->sequence));
}

static vecmill_status refuse_journal(const char *name, const char *why, vecmill_err *err)
{
    return err_set(err, VECMILL_E_USAGE,
                   "the journal %s, so its run cannot be gone on with (--force starts afresh): %s",
                   why, name);
}

static vecmill_status parse_header(const unsigned char *bytes, const char *name,
                                   struct journal_run *run, uint64_t *seed, vecmill_err *err)
{
    struct cur c;
    cur_init(&c, bytes, JOURNAL_HEADER_BYTES);
    if (memcmp(cur_take(&c, sizeof magic), magic, sizeof magic) != 0)
        return refuse_journal(name, "is none", err);
    const uint32_t version = cur_u32(&c);
    if (version != JOURNAL_VERSION) {
        char why[64];
        snprintf(why, sizeof why, "is of version %u, this program's are of %u", version,
                 JOURNAL_VERSION);
        return refuse_journal(name, why, err);
    }
    struct journal_run r = {.dim = cur_u32(&c)};
    const uint32_t output = cur_u32(&c), format = cur_u32(&c);
    r.output_format = (enum sink_format)output;
    r.input_format = (enum reader_format)format;
    r.max_document = cur_u64(&c);
    r.field = cur_u64(&c);
    r.id_field = cur_u64(&c);
    memcpy(r.identity, cur_take(&c, JOURNAL_IDENTITY), JOURNAL_IDENTITY);
    memcpy(r.isa, cur_take(&c, JOURNAL_ISA), JOURNAL_ISA);
    r.shard = cur_u32(&c);
    r.shards = cur_u32(&c);
    const uint64_t dtype = cur_u64(&c);
    r.dtype = (vecmill_dtype)dtype;
    r.ranges = cur_u64(&c);
    const uint64_t sum = XXH3_64bits(bytes, c.pos);
    if (cur_u64(&c) != sum || output >= SINK_FORMATS || format >= READER_FORMATS || r.dim == 0 ||
        r.shard >= r.shards || r.shards > JOB_SHARDS_MAX || dtype > VECMILL_DTYPE_UBINARY)
        return refuse_journal(name, "is damaged in its header", err);
    *run = r;
    *seed = sum;
    return VECMILL_OK;
}

/* Before the first checkpoint with a document nothing is promised of any part. */
static bool sizes_fit(const struct journal_run *run, const struct journal_point *p)
{
    if (p->documents == 0 && !p->complete) return true;
    if (!p->complete && sink_kinds[run->output_format]->assemble != NULL)
        return sink_kind_fits_stage(run->output_format, p->documents, run->dim,
                                    p->files[PATHS_STAGE].bytes);
    return sink_kind_fits(run->output_format, p->documents, run->dim, run->dtype,
                          p->files[PATHS_OUTPUT].bytes);
}

/* False when the slot is empty, torn or changed. */
static bool parse_slot(const unsigned char *bytes, uint64_t seed, const struct journal_run *run,
                       struct journal_point *point)
{
    struct cur c;
    cur_init(&c, bytes, JOURNAL_SLOT_BYTES);
    struct journal_point p = {.sequence = cur_u64(&c)};
    const uint64_t flags = cur_u64(&c);
    p.complete = flags == FLAG_COMPLETE;
    p.documents = cur_u64(&c);
    p.failed = cur_u64(&c);
    p.tokens = cur_u64(&c);
    p.truncated = cur_u64(&c);
    p.replaced_bytes = cur_u64(&c);
    p.input.bytes = cur_u64(&c);
    p.input.digest = cur_u64(&c);
    p.input.line = cur_u64(&c);
    p.input.record = cur_u64(&c);
    p.input.read = cur_u64(&c);
    const uint64_t in_array = cur_u64(&c);
    p.input.in_array = in_array != 0;
    for (size_t i = 0; i < JOURNAL_CURSOR; i++)
        p.cursor[i] = cur_u64(&c);
    const uint64_t sum = XXH3_64bits_withSeed(bytes, c.pos, seed);
    if (cur_u64(&c) != sum || p.sequence == 0 || p.sequence == UINT64_MAX) return false;
    if (flags > FLAG_COMPLETE || p.failed > p.documents || p.truncated > p.documents ||
        in_array > 1)
        return false;
    if (p.documents > p.input.record || p.input.read > p.input.record) return false;
    if (!sizes_fit(run, &p)) return false;
    *point = p;
    return true;
}

vecmill_status journal_parse(const void *bytes, size_t size, const char *name,
                             struct journal_run *run, struct journal_point *point, vecmill_err *err)
{
    const unsigned char *data = bytes;
    struct journal_run r;
    struct journal_point points[2];
    bool valid[2];
    uint64_t seed = 0;
    if (size != JOURNAL_BYTES) {
        char why[64];
        snprintf(why, sizeof why, "has %zu bytes, not %u", size, JOURNAL_BYTES);
        return refuse_journal(name, why, err);
    }
    VM_TRY(parse_header(data, name, &r, &seed, err));
    for (uint64_t i = 0; i < 2; i++)
        valid[i] = parse_slot(data + slot_at(i), seed, &r, &points[i]) &&
                   points[i].sequence % 2 == i; /* a slot at the other's offset is invalid */
    if (!valid[0] && !valid[1]) return refuse_journal(name, "is damaged in both checkpoints", err);
    const bool second = !valid[0] || (valid[1] && points[1].sequence > points[0].sequence);
    *run = r;
    *point = points[second ? 1 : 0];
    return VECMILL_OK;
}

/* ---- the file ---- */

vecmill_status journal_open(const struct paths *paths, struct journal *j, vecmill_err *err)
{
    const char *name = paths->journal.real, *output = paths->files[PATHS_OUTPUT].given;
    vecmill_err why;
    int fd = -1;
    const vecmill_status status =
        io_lock(name, output, PATHS_LOCK_WAIT_MS, &fd, VECMILL_E_NOTFOUND, VECMILL_E_OUTPUT, &why);
    if (status != VECMILL_OK && status != VECMILL_E_NOTFOUND) {
        if (err != NULL) *err = why;
        return status;
    }
    *j = (struct journal){.fd = fd};
    memcpy(j->path, name, sizeof j->path);
    return VECMILL_OK;
}

vecmill_status journal_refuse(const struct paths_file *file, const struct job_options *options,
                              vecmill_err *err)
{
    const bool again = strcmp(options->input, "-") != 0;
    return err_set(err, VECMILL_E_USAGE,
                   "a run of this output has ended early: %s--force starts afresh (%s)",
                   again ? "--resume goes on with it, " : "", file->given);
}

vecmill_status journal_read(struct journal *j, struct journal_run *run, struct journal_point *point,
                            vecmill_err *err)
{
    unsigned char bytes[JOURNAL_BYTES + 1]; /* one more, to detect a longer file */
    size_t size;
    VM_TRY(io_read(j->fd, bytes, sizeof bytes, &size, j->path, VECMILL_E_OUTPUT, err));
    VM_TRY(journal_parse(bytes, size, j->path, run, point, err));
    j->seed = encode_header(run, bytes);
    j->sequence = point->sequence;
    return VECMILL_OK;
}

vecmill_status journal_create(const struct paths_file *file, const struct journal_run *run,
                              struct journal *j, vecmill_err *err)
{
    unsigned char bytes[JOURNAL_BYTES];
    struct io_out out;
    struct journal made = {.fd = -1, .sequence = 1};
    journal_encode(run, &(struct journal_point){.sequence = made.sequence}, bytes);
    made.seed = encode_header(run, bytes);
    memcpy(made.path, file->real, sizeof made.path);
    VM_TRY(io_out_open(file->real, PATHS_LOCK_WAIT_MS, VECMILL_E_OUTPUT, &out, err));
    vecmill_status status = io_out_write(&out, bytes, sizeof bytes, err);
    if (status == VECMILL_OK) status = io_out_sync(&out, err);
    if (status == VECMILL_OK) status = io_out_place(&out, err);
    if (status != VECMILL_OK) {
        unlink(out.path); /* it may be in place; it is ours, since the output's part is locked */
        io_out_drop(&out);
        return status;
    }
    made.fd = out.fd;
    *j = made;
    return VECMILL_OK;
}

vecmill_status journal_write(struct journal *j, struct journal_point *point, vecmill_err *err)
{
    unsigned char bytes[JOURNAL_SLOT_BYTES];
    point->sequence = j->sequence + 1;
    encode_slot(point, j->seed, bytes);
    VM_TRY(io_write_at(j->fd, bytes, sizeof bytes, slot_at(point->sequence), j->path,
                       VECMILL_E_OUTPUT, err));
    if (fdatasync(j->fd) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be synced", j->path);
    j->sequence = point->sequence;
    return VECMILL_OK;
}

vecmill_status journal_remove(struct journal *j, vecmill_err *err)
{
    vecmill_status status = VECMILL_OK;
    if (j->fd < 0) return VECMILL_OK;
    if (unlink(j->path) != 0 && errno != ENOENT)
        status = err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be removed", j->path);
    else
        status = io_sync_folder(j->path, VECMILL_E_OUTPUT, err);
    journal_close(j);
    return status;
}

void journal_close(struct journal *j)
{
    if (j->fd >= 0) close(j->fd);
    j->fd = -1;
}
