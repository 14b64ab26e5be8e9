/* merge: shards put together: row i of the whole is the next row of shard i modulo their number, and so are
 * its id and its error.
 *
 * Three passes, for the output, the ids and the errors, each over one open file of every shard. */
#include "job.h"

#include "sink.h"
#include "strand.h"
#include "together.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define REPORT_NS   50000000u
#define ROWS_A_LOOK 256u /* rows between two looks at the clock and the stop flag */

struct merge {
    const struct job_merge_options *options;
    const struct job_hooks *hooks;
    struct job_progress *progress;
    uint64_t started_ns, reported_ns;
    uint32_t n;                    /* shards */
    uint64_t documents;            /* of all */
    struct together_shard *shards; /* [n] */
    struct strand *strands;        /* [n] */
    uint64_t *next_error;   /* [n], the index of a shard's next line of errors; UINT64_MAX: none */
    unsigned char *buffers; /* [n, capacity] */
    size_t capacity;
    struct paths paths;
    struct sink sink;
    void *sink_memory;
};

/* ---- what one row is, in each file ---- */

static vecmill_status copy_bytes(struct merge *m, struct strand *s, enum paths_which which,
                                 size_t bytes, vecmill_err *err)
{
    while (bytes > 0) {
        const unsigned char *data;
        size_t there;
        VM_TRY(strand_peek(s, 1, &data, &there, err));
        if (there == 0) return strand_refuse(s, err);
        const size_t n = num_min(bytes, there);
        VM_TRY(sink_copy(&m->sink, which, data, n, err));
        strand_consume(s, n);
        bytes -= n;
    }
    return VECMILL_OK;
}

static vecmill_status copy_line(struct merge *m, struct strand *s, enum paths_which which,
                                vecmill_err *err)
{
    for (;;) {
        const unsigned char *data;
        size_t there;
        VM_TRY(strand_peek(s, 1, &data, &there, err));
        if (there == 0) return strand_refuse(s, err);
        const unsigned char *end = memchr(data, '\n', there);
        const size_t n = end != NULL ? (size_t)(end - data) + 1 : there;
        VM_TRY(sink_copy(&m->sink, which, data, n, err));
        strand_consume(s, n);
        if (end != NULL) return VECMILL_OK;
    }
}

static vecmill_status copy_row(struct merge *m, uint64_t index, uint32_t i, vecmill_err *err)
{
    struct strand *s = &m->strands[i];
    (void)index;
    const struct sink_kind *kind = m->sink.kind;
    if (kind->row_bytes == NULL) return copy_line(m, s, PATHS_OUTPUT, err);
    return copy_bytes(m, s, PATHS_OUTPUT, kind->row_bytes(m->sink.dim), err);
}

/* A shard none of whose documents has an id has no file of them, as a whole run would have none. */
static vecmill_status copy_id(struct merge *m, uint64_t index, uint32_t i, vecmill_err *err)
{
    (void)index;
    if (m->shards[i].told.files[PATHS_IDS].is_there)
        return copy_line(m, &m->strands[i], PATHS_IDS, err);
    return sink_copy(&m->sink, PATHS_IDS, "null\n", 5, err);
}

/* The index that the next line of errors begins with: {"index":N, */
static vecmill_status read_next_error(struct merge *m, uint32_t i, vecmill_err *err)
{
    static const char front[] = "{\"index\":";
    const size_t front_bytes = sizeof front - 1;
    const uint64_t before = m->next_error[i];
    struct strand *s = &m->strands[i];
    const unsigned char *data;
    size_t there;
    char digits[24];
    VM_TRY(strand_peek(s, front_bytes + sizeof digits, &data, &there, err));
    m->next_error[i] = UINT64_MAX;
    if (there == 0) return VECMILL_OK;
    if (there < front_bytes || memcmp(data, front, front_bytes) != 0) return strand_refuse(s, err);
    size_t n = 0;
    while (n + 1 < sizeof digits && front_bytes + n < there && data[front_bytes + n] != ',') {
        digits[n] = (char)data[front_bytes + n];
        n++;
    }
    digits[n] = 0;
    uint64_t index;
    if (!num_parse(digits, UINT64_MAX, &index)) return strand_refuse(s, err);
    const bool is_later = before == UINT64_MAX || index > before;
    if (!is_later || index >= m->documents || index % m->n != i) return strand_refuse(s, err);
    m->next_error[i] = index;
    return VECMILL_OK;
}

static vecmill_status copy_error(struct merge *m, uint64_t index, uint32_t i, vecmill_err *err)
{
    if (m->next_error[i] != index) return VECMILL_OK;
    VM_TRY(copy_line(m, &m->strands[i], PATHS_ERRORS, err));
    return read_next_error(m, i, err);
}

/* ---- a pass ---- */

static vecmill_status open_strands(struct merge *m, enum paths_which which, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const struct shard_file *file = &m->shards[i].told.files[which];
        struct strand *s = &m->strands[i];
        s->data = m->buffers + i * m->capacity;
        s->capacity = m->capacity;
        m->next_error[i] = UINT64_MAX;
        if (!file->is_there) continue;
        VM_TRY(strand_open(s, m->shards[i].output, paths_endings[which], file, err));
        if (which == PATHS_ERRORS) VM_TRY(read_next_error(m, i, err));
    }
    return VECMILL_OK;
}

/* What a shard begins with is known; what the whole begins with is the sink's. */
static vecmill_status pass_headers(struct merge *m, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const struct shard *told = &m->shards[i].told;
        char header[SINK_HEADER_MAX];
        const unsigned char *data;
        size_t there;
        const size_t bytes = m->sink.kind->header(told->rows, told->run.dim, header);
        VM_TRY(strand_peek(&m->strands[i], bytes, &data, &there, err));
        if (there < bytes || memcmp(data, header, bytes) != 0)
            return strand_refuse(&m->strands[i], err);
        strand_consume(&m->strands[i], bytes);
    }
    return VECMILL_OK;
}

static vecmill_status look(struct merge *m, vecmill_err *err)
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

static vecmill_status close_strands(struct merge *m, vecmill_status status, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        struct strand *s = &m->strands[i];
        if (status == VECMILL_OK && s->fd >= 0) status = strand_end(s, err);
        strand_close(s);
    }
    return status;
}

static vecmill_status pass_rows(struct merge *m, enum paths_which which, vecmill_err *err)
{
    static vecmill_status (*const copy[PATHS_FILES])(
        struct merge *, uint64_t, uint32_t, vecmill_err *) = {copy_error, copy_id, copy_row};
    VM_TRY(open_strands(m, which, err));
    if (which == PATHS_OUTPUT && m->sink.kind->header != NULL) VM_TRY(pass_headers(m, err));
    for (uint64_t index = 0; index < m->documents; index++) {
        if (index % ROWS_A_LOOK == 0) VM_TRY(look(m, err));
        VM_TRY(copy[which](m, index, (uint32_t)(index % m->n), err));
        if (which == PATHS_OUTPUT) m->progress->documents = index + 1;
    }
    return VECMILL_OK;
}

static bool any_has(const struct merge *m, enum paths_which which)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (m->shards[i].told.files[which].is_there) return true;
    return false;
}

static vecmill_status pass(struct merge *m, enum paths_which which, vecmill_err *err)
{
    if (!any_has(m, which)) return VECMILL_OK;
    const vecmill_status status = pass_rows(m, which, err);
    return close_strands(m, status, err);
}

/* ---- the whole ---- */

/* No name that is written may be one that is read. */
static vecmill_status check_paths(struct merge *m, vecmill_err *err)
{
    for (uint32_t i = 0; i < m->options->n_shards; i++)
        for (size_t which = 0; which < PATHS_FILES; which++) {
            char name[IO_PATH_MAX];
            VM_TRY(paths_join(m->options->shards[i], paths_endings[which], name, err));
            const struct job_options as_run = {.input = name, .output = m->options->output};
            VM_TRY(paths_check(&as_run, &m->paths, err));
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

static void count(struct merge *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const struct shard *told = &m->shards[i].told;
        m->progress->failed += told->failed;
        m->progress->tokens += told->tokens;
        m->progress->truncated += told->truncated;
        m->progress->replaced_bytes += told->replaced_bytes;
    }
}

static vecmill_status read_shards(struct merge *m, vecmill_err *err)
{
    void *memory = NULL;
    VM_TRY(mem_new_array(JOB_SHARDS_MAX, sizeof *m->shards, "what is told of the shards", &memory,
                         err));
    m->shards = memory;
    VM_TRY(together_read(m->options, m->shards, &m->n, err));
    const struct shard *first = &m->shards[0].told;
    if (first->run.output_format != m->paths.format)
        return err_set(err, VECMILL_E_USAGE, "%s: the shards are in the other format, that of %s",
                       m->options->output, m->shards[0].output);
    m->documents = first->input.record;
    return VECMILL_OK;
}

static vecmill_status take_memory(struct merge *m, vecmill_err *err)
{
    void *memory = NULL;
    assert(m->n > 0);
    VM_TRY(mem_new_array(m->n, sizeof *m->strands, "the shards' files", &memory, err));
    m->strands = memory;
    for (uint32_t i = 0; i < m->n; i++)
        m->strands[i].fd = -1;
    VM_TRY(mem_new_array(m->n, sizeof *m->next_error, "the shards' errors", &memory, err));
    m->next_error = memory;
    m->capacity = num_max(num_min(JOB_MERGE_BYTES / m->n, SINK_BUFFER_BYTES), STRAND_LEAST);
    VM_TRY(mem_new_array(m->n, m->capacity, "the shards' buffers", &memory, err));
    m->buffers = memory;
    struct arena a;
    arena_count(&a);
    sink_layout(&m->sink, &a);
    const size_t bytes = arena_bytes(&a);
    VM_TRY(mem_new(bytes, "the output's buffers", &m->sink_memory, err));
    arena_init(&a, m->sink_memory, bytes);
    sink_layout(&m->sink, &a);
    assert(arena_ok(&a));
    return VECMILL_OK;
}

static vecmill_status weave(struct merge *m, bool *placed, vecmill_err *err)
{
    VM_TRY(sink_start(&m->sink, err));
    for (unsigned which = PATHS_FILES; which-- > 0;)
        VM_TRY(pass(m, (enum paths_which)which, err));
    m->sink.n_rows = m->documents;
    struct journal_point point = {.complete = true};
    VM_TRY(sink_finish(&m->sink, &point, err));
    return sink_place(&m->sink, &point, placed, err);
}

static vecmill_status merge(struct merge *m, vecmill_err *err)
{
    VM_TRY(check_paths(m, err));
    VM_TRY(read_shards(m, err));
    VM_TRY(take_memory(m, err));
    VM_TRY(sink_init(&m->sink, &m->paths, m->shards[0].told.run.dim, NULL, err));
    VM_TRY(sink_lock(&m->sink, err));
    bool placed = false;
    const vecmill_status status = weave(m, &placed, err);
    if (placed)
        sink_leave(&m->sink);
    else
        sink_drop(&m->sink, false);
    return status;
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
    vecmill_status status = merge(m, err);
    summary->elapsed_ns = clock_ns() - m->started_ns;
    if (status == VECMILL_OK) count(m);
    if (status == VECMILL_OK && m->hooks->progress != NULL)
        m->hooks->progress(m->hooks->context, summary);
    mem_free(m->sink_memory);
    mem_free(m->buffers);
    mem_free(m->next_error);
    mem_free(m->strands);
    mem_free(m->shards);
    if (status == VECMILL_OK && summary->failed > 0)
        status =
            err_set(err, VECMILL_E_PARTIAL, "%" PRIu64 " of %" PRIu64 " documents failed: see %s",
                    summary->failed, summary->documents, m->paths.files[PATHS_ERRORS].given);
    mem_free(m);
    return status;
}
