/* merge: joins the outputs of shards. Row i of the whole is the next row of shard i modulo their number,
 * and so are its id and its error.
 *
 * First the shards are compared: they must be all parts of one run. Then three passes, for output, ids
 * and errors, each over one open file of every shard. */
#include "job.h"

#include "shard.h"
#include "sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define REPORT_NS      50000000u
#define ROWS_PER_CHECK 256u /* rows between two checks of the clock and the stop flag */
#define NAMED_MAX      8u   /* missing shards that a message names */

/* Shard i of all. */
struct merge_shard {
    const char *output; /* borrowed from the options; NULL while it is missing */
    struct shard facts; /* of its OUTPUT.shard.json */
};

/* ---- reading one file of one shard ---- */

#define SHARD_READER_LEAST ((size_t)4096) /* bytes of a buffer */

/* From the front to the end, through a fixed buffer, with its checksum. */
struct shard_reader {
    const char *output; /* of the shard, borrowed */
    const char *ending; /* the file's name is output + ending; borrowed */
    int fd;             /* -1: not open */
    uint64_t left;      /* bytes that are still in the file */
    uint64_t digest;    /* as OUTPUT.shard.json has it */
    struct XXH3_state_s *hash;
    unsigned char *data; /* [capacity], the caller's */
    size_t capacity, pos, bytes;
};

/* A file of another size than its run wrote is refused here. E_INPUT, E_MEMORY. Pair:
 * shard_reader_close, also after a failure. */
static vecmill_status shard_reader_open(struct shard_reader *s, const char *output,
                                        const char *ending, const struct shard_file *file,
                                        vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct stat st;
    s->output = output;
    s->ending = ending;
    s->left = file->bytes;
    s->digest = file->digest;
    s->pos = s->bytes = 0;
    VM_TRY(paths_join(output, ending, path, err));
    s->hash = XXH3_createState();
    if (s->hash == NULL)
        return err_set(err, VECMILL_E_MEMORY, "there is no memory to read %s", path);
    XXH3_64bits_reset(s->hash);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", path);
    if (fstat(s->fd, &st) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be looked at", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, VECMILL_E_INPUT, "%s: is not a regular file", path);
    if ((uint64_t)st.st_size != file->bytes)
        return err_set(err, VECMILL_E_INPUT, "%s: holds %" PRIu64 " bytes, its run wrote %" PRIu64,
                       path, (uint64_t)st.st_size, file->bytes);
    return VECMILL_OK;
}

static void shard_reader_close(struct shard_reader *s)
{
    if (s->hash != NULL) XXH3_freeState(s->hash);
    if (s->fd >= 0) close(s->fd);
    s->hash = NULL;
    s->fd = -1;
}

/* The bytes cannot be those that the shard's run wrote. */
static vecmill_status refuse_bytes(const struct shard_reader *s, vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT, "%s%s: its bytes are not those that its run wrote",
                   s->output, s->ending);
}

/* What is unread: at least `least` bytes (up to SHARD_READER_LEAST), or all there are. Borrowed until
 * the next call. E_INPUT. */
static vecmill_status shard_reader_peek(struct shard_reader *s, size_t least,
                                        const unsigned char **data, size_t *bytes, vecmill_err *err)
{
    size_t unread = s->bytes - s->pos;
    if (unread < least && s->left > 0) {
        char path[IO_PATH_MAX];
        size_t got;
        VM_TRY(paths_join(s->output, s->ending, path, err));
        memmove(s->data, s->data + s->pos, unread);
        s->pos = 0;
        s->bytes = unread;
        const size_t room = s->capacity - unread;
        const size_t wanted = s->left < room ? (size_t)s->left : room;
        VM_TRY(io_read(s->fd, s->data + unread, wanted, &got, path, VECMILL_E_INPUT, err));
        if (got < wanted) return refuse_bytes(s, err); /* truncated while it is read */
        XXH3_64bits_update(s->hash, s->data + unread, got);
        s->left -= got;
        s->bytes = unread += got;
    }
    *data = s->data + s->pos;
    *bytes = unread;
    return VECMILL_OK;
}

/* E_INPUT unless all was consumed, and was what the shard's run wrote. */
static vecmill_status shard_reader_end(const struct shard_reader *s, vecmill_err *err)
{
    if (s->left > 0 || s->pos < s->bytes || XXH3_64bits_digest(s->hash) != s->digest)
        return refuse_bytes(s, err);
    return VECMILL_OK;
}

/* ---- whether the shards are the whole of one run ---- */

static bool has_journal(const char *output)
{
    char path[IO_PATH_MAX];
    return paths_join(output, PATHS_JOURNAL_ENDING, path, NULL) == VECMILL_OK && io_exists(path);
}

static vecmill_status read_shard(const char *output, struct shard *shard, vecmill_err *err)
{
    if (has_journal(output))
        return err_set(err, VECMILL_E_INPUT,
                       "%s: its run has not ended (embed --resume goes on with it)", output);
    vecmill_err why;
    const vecmill_status status = shard_read(output, shard, &why);
    if (status == VECMILL_E_NOTFOUND && !io_exists(output))
        return err_set(err, VECMILL_E_INPUT, "%s: is not there", output);
    if (status == VECMILL_E_NOTFOUND)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is no shard, as there is no %s beside it (embed --shard makes both)",
                       output, PATHS_SHARD_ENDING);
    if (status != VECMILL_OK && err != NULL) *err = why;
    return status;
}

/* The first thing that differs and must not, as text; NULL: a and b can be of one run. */
static const char *shard_compare(const struct shard *a, const struct shard *b, char *text,
                                 size_t room)
{
    const struct journal_run *x = &a->run, *y = &b->run;
    if (x->shards != y->shards)
        snprintf(text, room, "one of %u shards and one of %u", x->shards, y->shards);
    else if (a->input.bytes != b->input.bytes || a->input.record != b->input.record)
        snprintf(text, room,
                 "of other inputs, of %" PRIu64 " bytes with %" PRIu64 " documents and of %" PRIu64
                 " with %" PRIu64,
                 a->input.bytes, a->input.record, b->input.bytes, b->input.record);
    else if (a->input.digest != b->input.digest)
        snprintf(text, room, "of other inputs (XXH3 %016" PRIx64 " and %016" PRIx64 ")",
                 a->input.digest, b->input.digest);
    else if (strcmp(x->isa, y->isa) != 0)
        snprintf(text, room, "computed at %s and at %s, with other bits (see VECMILL_ISA)", x->isa,
                 y->isa);
    else if (x->dim != y->dim || strcmp(x->identity, y->identity) != 0)
        snprintf(text, room,
                 "of models %.8s of %u dimensions and %.8s of %u (model, prompt, precision, "
                 "--max-length, "
                 "--long or version differ)",
                 x->identity, x->dim, y->identity, y->dim);
    else if (x->output_format != y->output_format)
        snprintf(text, room, "in other formats");
    else if (x->dtype != y->dtype)
        snprintf(text, room, "of %s and of %s", quantize_word((enum quantize_dtype)x->dtype),
                 quantize_word((enum quantize_dtype)y->dtype));
    else if (x->ranges != y->ranges)
        snprintf(text, room, "of other --ranges (XXH3 %016" PRIx64 " and %016" PRIx64 ")",
                 x->ranges, y->ranges);
    else if (x->input_format != y->input_format)
        snprintf(text, room, "read with other --input-format");
    else if (x->field != y->field || x->id_field != y->id_field)
        snprintf(text, room, "read with other --field, --encoding, --delimiter or --id-field");
    else if (x->max_document != y->max_document)
        snprintf(text, room, "read with --max-document %" PRIu64 " and %" PRIu64, x->max_document,
                 y->max_document);
    else
        return NULL;
    return text;
}

/* The shard that most others match (Boyer and Moore, "MJRTY", 1981). So of many shards and one that is
 * foreign, the foreign one is named. */
static uint32_t find_majority(const struct merge_shard *shards, uint32_t n)
{
    char text[300];
    uint32_t candidate = 0, votes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (votes == 0) candidate = i;
        if (shard_compare(&shards[i].facts, &shards[candidate].facts, text, sizeof text) == NULL)
            votes++;
        else
            votes--;
    }
    return candidate;
}

static vecmill_status refuse_foreign_shard(const struct merge_shard *shards, uint32_t n,
                                           vecmill_err *err)
{
    const struct merge_shard *majority = &shards[find_majority(shards, n)];
    for (uint32_t i = 0; i < n; i++) {
        char text[300];
        const char *how = shard_compare(&shards[i].facts, &majority->facts, text, sizeof text);
        if (how != NULL)
            return err_set(err, VECMILL_E_INPUT, "%s and %s do not belong together: they are %s",
                           shards[i].output, majority->output, how);
    }
    return VECMILL_OK;
}

/* Moves each to its number by swaps. A number that is taken by its own already occurs twice. */
static vecmill_status sort_shards(struct merge_shard *shards, uint32_t n, uint32_t all,
                                  vecmill_err *err)
{
    for (uint32_t i = 0; i < n; i++)
        while (shards[i].output != NULL && shards[i].facts.run.shard != i) {
            struct merge_shard *target = &shards[shards[i].facts.run.shard];
            if (target->output != NULL && target->facts.run.shard == shards[i].facts.run.shard)
                return err_set(err, VECMILL_E_INPUT, "%s and %s are both shard %u of %u",
                               target->output, shards[i].output, target->facts.run.shard, all);
            const struct merge_shard other = *target;
            *target = shards[i];
            shards[i] = other;
        }
    return VECMILL_OK;
}

static vecmill_status refuse_missing_shards(const struct merge_shard *shards, uint32_t all,
                                            vecmill_err *err)
{
    char names[NAMED_MAX * 12] = "";
    uint32_t missing = 0;
    size_t used = 0;
    for (uint32_t i = 0; i < all; i++) {
        if (shards[i].output != NULL) continue;
        if (missing++ < NAMED_MAX)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%u",
                                     used > 0 ? ", " : "", i);
    }
    if (missing == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT, "%u of %u shards %s missing, counted from 0: %s%s",
                   missing, all, missing == 1 ? "is" : "are", names,
                   missing > NAMED_MAX ? ", ..." : "");
}

/* Reads what is known of each output into shards[JOB_SHARDS_MAX], which is zeros, each at its number;
 * *n is how many there are. E_INPUT names what does not belong. */
static vecmill_status read_shards(const struct job_merge_options *options,
                                  struct merge_shard *shards, uint32_t *n, vecmill_err *err)
{
    const uint32_t given = options->n_shards;
    for (uint32_t i = 0; i < given; i++) {
        shards[i].output = options->shards[i];
        VM_TRY(read_shard(shards[i].output, &shards[i].facts, err));
    }
    VM_TRY(refuse_foreign_shard(shards, given, err));
    const uint32_t all = shards[0].facts.run.shards;
    VM_TRY(sort_shards(shards, given, all, err));
    *n = all;
    return refuse_missing_shards(shards, all, err);
}

/* ---- one row of each file ---- */

struct merge {
    const struct job_merge_options *options;
    const struct job_hooks *hooks;
    struct job_progress *progress;
    uint64_t started_ns, reported_ns;
    uint32_t n;                   /* shards */
    uint64_t documents;           /* of all */
    struct merge_shard *shards;   /* [n] */
    struct shard_reader *readers; /* [n] */
    uint64_t *next_error;   /* [n], the index in a shard's next line of errors; UINT64_MAX: none */
    unsigned char *buffers; /* [n, capacity] */
    size_t capacity;
    struct paths paths;
    struct sink sink;
    void *sink_memory;
};

/* Copies `bytes` bytes to file `which`, or up to the end of a line when they are 0. */
static vecmill_status copy_row(struct merge *m, struct shard_reader *s, enum paths_which which,
                               size_t bytes, vecmill_err *err)
{
    const bool is_line = bytes == 0;
    for (bool ended = false; !ended;) {
        const unsigned char *data;
        size_t n;
        VM_TRY(shard_reader_peek(s, 1, &data, &n, err));
        if (n == 0) return refuse_bytes(s, err);
        if (is_line) {
            const unsigned char *newline = memchr(data, '\n', n);
            ended = newline != NULL;
            if (ended) n = (size_t)(newline - data) + 1;
        } else {
            n = num_min(n, bytes);
            bytes -= n;
            ended = bytes == 0;
        }
        VM_TRY(sink_copy(&m->sink, which, data, n, err));
        s->pos += n;
    }
    return VECMILL_OK;
}

/* Reads the index that the next line of errors begins with: {"index":N, */
static vecmill_status read_next_error(struct merge *m, uint32_t i, vecmill_err *err)
{
    static const char front[] = "{\"index\":";
    const size_t front_bytes = sizeof front - 1;
    const uint64_t before = m->next_error[i];
    struct shard_reader *s = &m->readers[i];
    const unsigned char *data;
    size_t unread;
    char digits[24];
    VM_TRY(shard_reader_peek(s, front_bytes + sizeof digits, &data, &unread, err));
    m->next_error[i] = UINT64_MAX;
    if (unread == 0) return VECMILL_OK;
    if (unread < front_bytes || memcmp(data, front, front_bytes) != 0) return refuse_bytes(s, err);
    size_t n = 0;
    while (n + 1 < sizeof digits && front_bytes + n < unread && data[front_bytes + n] != ',') {
        digits[n] = (char)data[front_bytes + n];
        n++;
    }
    digits[n] = 0;
    uint64_t index;
    if (!num_parse(digits, UINT64_MAX, &index)) return refuse_bytes(s, err);
    const bool is_later = before == UINT64_MAX || index > before;
    if (!is_later || index >= m->documents || index % m->n != i) return refuse_bytes(s, err);
    m->next_error[i] = index;
    return VECMILL_OK;
}

/* What document `index`, of shard i, has in the file. */
static vecmill_status merge_row(struct merge *m, enum paths_which which, uint64_t index, uint32_t i,
                                vecmill_err *err)
{
    const struct sink_kind *kind = m->sink.kind;
    struct shard_reader *s = &m->readers[i];
    switch (which) {
    case PATHS_OUTPUT:
        m->progress->documents = index + 1;
        return copy_row(m, s, which,
                        kind->row_bytes != NULL ? kind->row_bytes(m->sink.dim, m->sink.dtype) : 0,
                        err);
    case PATHS_IDS: /* a shard without any id has no such file */
        if (!m->shards[i].facts.files[which].is_there)
            return sink_copy(&m->sink, which, "null\n", 5, err);
        return copy_row(m, s, which, 0, err);
    default:
        if (m->next_error[i] != index) return VECMILL_OK;
        VM_TRY(copy_row(m, s, which, 0, err));
        return read_next_error(m, i, err);
    }
}

/* ---- one file of all shards ---- */

/* The shard's header must be the one its run wrote; the sink has written the whole's. */
static vecmill_status skip_header(struct merge *m, uint32_t i, vecmill_err *err)
{
    const struct shard *facts = &m->shards[i].facts;
    char header[SINK_HEADER_MAX];
    const unsigned char *data;
    size_t unread;
    const size_t bytes =
        m->sink.kind->header(facts->rows, facts->run.dim, facts->run.dtype, header);
    VM_TRY(shard_reader_peek(&m->readers[i], bytes, &data, &unread, err));
    if (unread < bytes || memcmp(data, header, bytes) != 0)
        return refuse_bytes(&m->readers[i], err);
    m->readers[i].pos += bytes;
    return VECMILL_OK;
}

static vecmill_status open_readers(struct merge *m, enum paths_which which, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const struct shard_file *file = &m->shards[i].facts.files[which];
        struct shard_reader *s = &m->readers[i];
        s->data = m->buffers + i * m->capacity;
        s->capacity = m->capacity;
        m->next_error[i] = UINT64_MAX;
        if (!file->is_there) continue;
        VM_TRY(shard_reader_open(s, m->shards[i].output, paths_endings[which], file, err));
        if (which == PATHS_ERRORS) VM_TRY(read_next_error(m, i, err));
        if (which == PATHS_OUTPUT && m->sink.kind->header != NULL) VM_TRY(skip_header(m, i, err));
    }
    return VECMILL_OK;
}

static vecmill_status report_or_stop(struct merge *m, vecmill_err *err)
{
    if (m->hooks->stop != NULL && atomic_load(m->hooks->stop) != 0)
        return err_set(err, VECMILL_E_STOPPED, "stopped, and nothing is kept: %s",
                       m->options->output);
    const uint64_t now = clock_ns();
    m->progress->elapsed_ns = now - m->started_ns;
    if (m->hooks->progress != NULL && now - m->reported_ns >= REPORT_NS) {
        m->hooks->progress(m->hooks->context, m->progress);
        m->reported_ns = now;
    }
    return VECMILL_OK;
}

/* All shards have the same, and all are read, so that it is known of all. */
static vecmill_status merge_ranges(struct merge *m, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        struct shard_reader *s = &m->readers[i];
        const uint64_t bytes = m->shards[i].facts.files[PATHS_RANGES].bytes;
        const unsigned char *data;
        size_t n;
        for (uint64_t done = 0; done < bytes; done += n, s->pos += n) {
            VM_TRY(shard_reader_peek(s, 1, &data, &n, err));
            if (n == 0) return refuse_bytes(s, err);
            if (i == 0) VM_TRY(sink_copy(&m->sink, PATHS_RANGES, data, n, err));
        }
    }
    return VECMILL_OK;
}

static vecmill_status merge_rows(struct merge *m, enum paths_which which, vecmill_err *err)
{
    VM_TRY(open_readers(m, which, err));
    if (which == PATHS_RANGES) return merge_ranges(m, err);
    for (uint64_t index = 0; index < m->documents; index++) {
        if (index % ROWS_PER_CHECK == 0) VM_TRY(report_or_stop(m, err));
        VM_TRY(merge_row(m, which, index, (uint32_t)(index % m->n), err));
    }
    return VECMILL_OK;
}

static vecmill_status merge_file(struct merge *m, enum paths_which which, vecmill_err *err)
{
    bool any = false;
    for (uint32_t i = 0; i < m->n; i++)
        any = any || m->shards[i].facts.files[which].is_there;
    if (!any) return VECMILL_OK;
    vecmill_status status = merge_rows(m, which, err);
    for (uint32_t i = 0; i < m->n; i++) {
        struct shard_reader *s = &m->readers[i];
        if (status == VECMILL_OK && s->fd >= 0) status = shard_reader_end(s, err);
        shard_reader_close(s);
    }
    return status;
}

/* ---- the whole ---- */

/* No file that is written may be one that is read. */
static vecmill_status check_merge_paths(struct merge *m, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->options->n_shards; i++)
        for (size_t which = 0; which < PATHS_FILES; which++) {
            char name[IO_PATH_MAX];
            VM_TRY(paths_join(m->options->shards[i], paths_endings[which], name, err));
            const struct job_options as_run = {.input = name, .output = m->options->output};
            VM_TRY(paths_check(&as_run, VECMILL_KIND_DENSE, &m->paths, err));
        }
    if (m->paths.standard)
        return err_set(
            err, VECMILL_E_USAGE,
            "shards are put together in a file, so that nothing is seen of it before all "
            "were found right; standard output is none");
    if (io_exists(m->paths.journal.real))
        return err_set(err, VECMILL_E_USAGE,
                       "a run of this output has ended early: embed --resume goes on with it, and "
                       "this goes into another output, or after that file is removed (%s)",
                       m->paths.journal.given);
    return VECMILL_OK;
}

static vecmill_status take_merge_memory(struct merge *m, vecmill_err *err)
{
    void *memory = NULL;
    assert(m->n > 0);
    VM_TRY(mem_new_array(m->n, sizeof *m->readers, "the shards' files", &memory, err));
    m->readers = memory;
    for (uint32_t i = 0; i < m->n; i++)
        m->readers[i].fd = -1;
    VM_TRY(mem_new_array(m->n, sizeof *m->next_error, "the shards' errors", &memory, err));
    m->next_error = memory;
    m->capacity = num_max(num_min(JOB_MERGE_BYTES / m->n, SINK_BUFFER_BYTES), SHARD_READER_LEAST);
    VM_TRY(mem_new_array(m->n, m->capacity, "the shards' buffers", &memory, err));
    m->buffers = memory;
    struct arena a;
    arena_count(&a);
    sink_layout(&m->sink, 0, VECMILL_DTYPE_FLOAT32, &a);
    const size_t bytes = arena_bytes(&a);
    VM_TRY(mem_new(bytes, "the output's buffers", &m->sink_memory, err));
    arena_init(&a, m->sink_memory, bytes);
    sink_layout(&m->sink, 0, VECMILL_DTYPE_FLOAT32, &a);
    assert(arena_ok(&a));
    return VECMILL_OK;
}

static vecmill_status merge_files(struct merge *m, bool *placed, vecmill_err *err)
{
    VM_TRY(sink_start(&m->sink, err));
    for (unsigned which = PATHS_FILES; which-- > 0;)
        VM_TRY(merge_file(m, (enum paths_which)which, err));
    m->sink.n_rows = m->documents;
    struct journal_point point = {.complete = true};
    VM_TRY(sink_finish(&m->sink, &point, err));
    return sink_place(&m->sink, &point, placed, err);
}

static vecmill_status merge_shards(struct merge *m, vecmill_err *err)
{
    void *memory = NULL;
    VM_TRY(check_merge_paths(m, err));
    VM_TRY(
        mem_new_array(JOB_SHARDS_MAX, sizeof *m->shards, "the facts of the shards", &memory, err));
    m->shards = memory;
    VM_TRY(read_shards(m->options, m->shards, &m->n, err));
    const struct shard *first = &m->shards[0].facts;
    /* Formats of one ending have files of the same names. */
    const struct sink_wanted wanted = {
        .kind = (vecmill_kind)__builtin_ctz(sink_kinds[first->run.output_format]->takes),
        .dtype = first->run.dtype};
    VM_TRY(sink_kind_choose(m->options->output, &wanted, &m->paths.format, err));
    if (first->run.output_format != m->paths.format)
        return err_set(err, VECMILL_E_USAGE, "%s: the shards are in the other format, that of %s",
                       m->options->output, m->shards[0].output);
    m->documents = first->input.record;
    VM_TRY(take_merge_memory(m, err));
    VM_TRY(sink_init(&m->sink, &m->paths, first->run.dim, first->run.dtype, NULL, err));
    VM_TRY(sink_lock(&m->sink, err));
    bool placed = false;
    const vecmill_status status = merge_files(m, &placed, err);
    if (placed)
        sink_leave(&m->sink);
    else
        sink_drop(&m->sink, false);
    if (status != VECMILL_OK) return status;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct shard *facts = &m->shards[i].facts;
        m->progress->failed += facts->failed;
        m->progress->tokens += facts->tokens;
        m->progress->truncated += facts->truncated;
        m->progress->replaced_bytes += facts->replaced_bytes;
    }
    return VECMILL_OK;
}

vecmill_status job_merge(const struct job_merge_options *options, const struct job_hooks *hooks,
                         struct job_progress *summary, vecmill_err *err)
{
    static const struct job_hooks none = {0};
    *summary = (struct job_progress){0};
    if (options->n_shards == 0 || options->n_shards > JOB_SHARDS_MAX)
        return err_set(err, VECMILL_E_USAGE, "%u shards are given; 1 to %u can be put together",
                       options->n_shards, JOB_SHARDS_MAX);
    void *memory = NULL;
    VM_TRY(mem_new(sizeof(struct merge), "a merge", &memory, err));
    struct merge *m = memory;
    m->options = options;
    m->hooks = hooks != NULL ? hooks : &none;
    m->progress = summary;
    m->started_ns = clock_ns();
    vecmill_status status = merge_shards(m, err);
    summary->elapsed_ns = clock_ns() - m->started_ns;
    if (status == VECMILL_OK && m->hooks->progress != NULL)
        m->hooks->progress(m->hooks->context, summary);
    mem_free(m->sink_memory);
    mem_free(m->buffers);
    mem_free(m->next_error);
    mem_free(m->readers);
    mem_free(m->shards);
    if (status == VECMILL_OK && summary->failed > 0)
        status =
            err_set(err, VECMILL_E_PARTIAL, "%" PRIu64 " of %" PRIu64 " documents failed: see %s",
                    summary->failed, summary->documents, m->paths.files[PATHS_ERRORS].given);
    mem_free(m);
    return status;
}
