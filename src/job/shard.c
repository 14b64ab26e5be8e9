/* shard: see shard.h. */
#include "shard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT 1u

/* Members of each file, in the order of enum paths_file; and of formats, of enum reader_format. */
static const char *const file_keys[PATHS_FILES] = {"errors", "ids", "output"};
static const char *const format_words[] = {"txt", "jsonl", "csv", "json"};

uint64_t shard_rows(uint64_t documents, uint32_t shard, uint32_t shards)
{
    return documents / shards + (documents % shards > shard ? 1 : 0);
}

/* ---- writing ---- */

struct text {
    char *at;
    size_t left;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(t->at, t->left, format, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < t->left); /* every member is bounded */
    t->at += n;
    t->left -= (size_t)n;
}

size_t shard_encode(const struct shard *s, char text[SHARD_BYTES_MAX + 1])
{
    const struct journal_run *r = &s->run;
    struct text t = {text, SHARD_BYTES_MAX + 1};
    put(&t, "{\"vecmill_shard\":%u,\"shard\":%u,\"shards\":%u,", FORMAT, r->shard, r->shards);
    put(&t, "\"documents\":%" PRIu64 ",\"rows\":%" PRIu64 ",", s->input.record, s->rows);
    put(&t, "\"failed\":%" PRIu64 ",\"tokens\":%" PRIu64 ",", s->failed, s->tokens);
    put(&t, "\"truncated\":%" PRIu64 ",\"replaced_bytes\":%" PRIu64 ",", s->truncated,
        s->replaced_bytes);
    put(&t, "\"identity\":\"%s\",\"isa\":\"%s\",\"dim\":%u,", r->identity, r->isa, r->dim);
    put(&t, "\"output_format\":\"%s\",\"input_format\":\"%s\",", sink_kinds[r->output_format]->word,
        format_words[r->input_format]);
    put(&t, "\"field_xxh3\":\"%016" PRIx64 "\",\"id_field_xxh3\":\"%016" PRIx64 "\",", r->field,
        r->id_field);
    put(&t, "\"max_document\":%" PRIu64 ",", r->max_document);
    put(&t, "\"input_bytes\":%" PRIu64 ",\"input_xxh3\":\"%016" PRIx64 "\"", s->input.bytes,
        s->input.digest);
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct shard_file *f = &s->files[i];
        if (f->is_there)
            put(&t, ",\"%s\":{\"bytes\":%" PRIu64 ",\"xxh3\":\"%016" PRIx64 "\"}", file_keys[i],
                f->bytes, f->digest);
        else
            put(&t, ",\"%s\":null", file_keys[i]);
    }
    put(&t, "}\n");
    return SHARD_BYTES_MAX + 1 - t.left;
}

/* A part, or what it has become: paths_rename may have been interrupted between names. */
static vecmill_status digest_file(const struct paths_file *file, uint64_t bytes, void *buffer,
                                  size_t buffer_bytes, const atomic_int *stop, uint64_t *digest,
                                  vecmill_err *err)
{
    const char *path = io_exists(file->part) ? file->part : file->real;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be read again", path);
    XXH3_state_t *hash = XXH3_createState();
    vecmill_status status = VECMILL_OK;
    if (hash == NULL)
        status = err_set(err, VECMILL_E_MEMORY, "there is no memory to read %s again", path);
    else
        XXH3_64bits_reset(hash);
    uint64_t seen = 0;
    for (size_t got = 1; status == VECMILL_OK && got > 0; seen += got) {
        if (stop != NULL && atomic_load(stop) != 0)
            status = err_set(err, VECMILL_E_STOPPED, "stopped while %s was read again", path);
        else
            status = io_read(fd, buffer, buffer_bytes, &got, path, VECMILL_E_OUTPUT, err);
        if (status == VECMILL_OK) XXH3_64bits_update(hash, buffer, got);
    }
    if (status == VECMILL_OK && seen != bytes)
        status = err_set(err, VECMILL_E_OUTPUT,
                         "%s: holds %" PRIu64 " bytes, it had %" PRIu64
                         " when it was finished (--force starts afresh)",
                         path, seen, bytes);
    if (status == VECMILL_OK) *digest = XXH3_64bits_digest(hash);
    if (hash != NULL) XXH3_freeState(hash);
    close(fd);
    return status;
}

vecmill_status shard_write(const struct paths *paths, const struct journal_run *run,
                           const struct journal_point *point, void *buffer, size_t buffer_bytes,
                           const atomic_int *stop, vecmill_err *err)
{
    struct shard shard = {.run = *run,
                          .input = point->input,
                          .rows = point->documents,
                          .failed = point->failed,
                          .tokens = point->tokens,
                          .truncated = point->truncated,
                          .replaced_bytes = point->replaced_bytes};
    for (size_t i = 0; i < PATHS_FILES; i++) {
        struct shard_file *file = &shard.files[i];
        file->is_there =
            paths->files[i].given[0] != 0 && (point->files[i].bytes > 0 || i == PATHS_OUTPUT);
        file->bytes = point->files[i].bytes;
        if (file->is_there)
            VM_TRY(digest_file(&paths->files[i], file->bytes, buffer, buffer_bytes, stop,
                               &file->digest, err));
    }
    char text[SHARD_BYTES_MAX + 1];
    const size_t bytes = shard_encode(&shard, text);
    struct io_out out;
    VM_TRY(io_out_open(paths->shard.given, PATHS_LOCK_WAIT_MS, VECMILL_E_OUTPUT, &out, err));
    const vecmill_status status = io_out_write(&out, text, bytes, err);
    if (status == VECMILL_OK) return io_out_commit(&out, err);
    io_out_drop(&out);
    return status;
}

/* ---- reading ---- */

struct object {
    const json_t *json;
    const char *name;
    vecmill_status status; /* the first failure sticks */
    vecmill_err *err;
};

static uint64_t get_u64(struct object *o, const char *key)
{
    uint64_t value = 0;
    if (o->status == VECMILL_OK)
        o->status =
            jsonx_u64(o->json, key, true, 0, INT64_MAX, o->name, VECMILL_E_INPUT, &value, o->err);
    return value;
}

static uint32_t get_u32(struct object *o, const char *key, uint32_t least, uint32_t most)
{
    uint32_t value = 0;
    if (o->status == VECMILL_OK)
        o->status =
            jsonx_u32(o->json, key, true, least, most, o->name, VECMILL_E_INPUT, &value, o->err);
    return value;
}

static const char *get_text(struct object *o, const char *key)
{
    const char *value = "";
    if (o->status == VECMILL_OK)
        o->status = jsonx_string(o->json, key, true, o->name, VECMILL_E_INPUT, &value, o->err);
    return value;
}

static void refuse(struct object *o, const char *key, const char *value)
{
    if (o->status == VECMILL_OK)
        o->status = err_set(o->err, VECMILL_E_INPUT, "%s: \"%s\" is %s, which no shard has",
                            o->name, key, value);
}

/* 16 hexadecimal digits, in small letters. */
static uint64_t get_digest(struct object *o, const char *key)
{
    const char *text = get_text(o, key);
    uint64_t value = 0;
    const size_t digits = strspn(text, "0123456789abcdef");
    if (digits != 16 || text[16] != 0) {
        refuse(o, key, text);
        return 0;
    }
    for (size_t i = 0; i < 16; i++)
        value = value << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
    return value;
}

static void get_word(struct object *o, const char *key, char *out, size_t room)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    const char *text = get_text(o, key);
    const size_t bytes = strspn(text, letters);
    if (bytes == 0 || bytes >= room || text[bytes] != 0)
        refuse(o, key, text);
    else
        memcpy(out, text, bytes + 1);
}

static uint32_t get_choice(struct object *o, const char *key, const char *const *words, uint32_t n)
{
    const char *text = get_text(o, key);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(text, words[i]) == 0) return i;
    refuse(o, key, text);
    return 0;
}

static enum sink_format get_output_format(struct object *o)
{
    const char *words[SINK_FORMATS];
    for (unsigned i = 0; i < SINK_FORMATS; i++)
        words[i] = sink_kinds[i]->word;
    return (enum sink_format)get_choice(o, "output_format", words, SINK_FORMATS);
}

static struct shard_file get_file(struct object *o, const char *key)
{
    const json_t *json = json_object_get(o->json, key);
    if (json_is_null(json) || o->status != VECMILL_OK) return (struct shard_file){0};
    struct object file = {json, o->name, VECMILL_OK, o->err};
    if (!json_is_object(json)) {
        refuse(o, key, "neither null nor an object");
        return (struct shard_file){0};
    }
    const struct shard_file got = {
        .is_there = true, .bytes = get_u64(&file, "bytes"), .digest = get_digest(&file, "xxh3")};
    o->status = file.status;
    return got;
}

static vecmill_status read_members(const json_t *json, const char *name, struct shard *s,
                                   vecmill_err *err)
{
    struct object o = {json, name, VECMILL_OK, err};
    struct journal_run *r = &s->run;
    (void)get_u32(&o, "vecmill_shard", FORMAT, FORMAT);
    r->shards = get_u32(&o, "shards", 2, JOB_SHARDS_MAX);
    if (o.status == VECMILL_OK) r->shard = get_u32(&o, "shard", 0, r->shards - 1);
    s->input.record = get_u64(&o, "documents");
    s->rows = get_u64(&o, "rows");
    s->failed = get_u64(&o, "failed");
    s->tokens = get_u64(&o, "tokens");
    s->truncated = get_u64(&o, "truncated");
    s->replaced_bytes = get_u64(&o, "replaced_bytes");
    get_word(&o, "identity", r->identity, sizeof r->identity);
    get_word(&o, "isa", r->isa, sizeof r->isa);
    r->dim = get_u32(&o, "dim", 1, UINT32_MAX);
    r->output_format = get_output_format(&o);
    r->input_format = (enum reader_format)get_choice(&o, "input_format", format_words, 4);
    r->field = get_digest(&o, "field_xxh3");
    r->id_field = get_digest(&o, "id_field_xxh3");
    r->max_document = get_u64(&o, "max_document");
    s->input.bytes = get_u64(&o, "input_bytes");
    s->input.digest = get_digest(&o, "input_xxh3");
    for (size_t i = 0; i < PATHS_FILES; i++)
        s->files[i] = get_file(&o, file_keys[i]);
    return o.status;
}

/* What the numbers say of each other. */
static bool holds_together(const struct shard *s)
{
    const struct shard_file *output = &s->files[PATHS_OUTPUT], *errors = &s->files[PATHS_ERRORS];
    if (s->rows != shard_rows(s->input.record, s->run.shard, s->run.shards)) return false;
    if (s->failed > s->rows || s->truncated > s->rows || !output->is_there) return false;
    if (errors->is_there != (s->failed > 0)) return false;
    if (s->files[PATHS_IDS].is_there && !sink_kinds[s->run.output_format]->has_ids_file)
        return false;
    return sink_kind_fits(s->run.output_format, s->rows, s->run.dim, output->bytes);
}

vecmill_status shard_parse(const char *text, size_t bytes, const char *name, struct shard *shard,
                           vecmill_err *err)
{
    json_t *json = NULL;
    struct shard s = {0};
    if (bytes > SHARD_BYTES_MAX)
        return err_set(err, VECMILL_E_INPUT, "%s: holds %zu bytes, the maximum is %u", name, bytes,
                       SHARD_BYTES_MAX);
    VM_TRY(jsonx_parse(text, bytes, name, VECMILL_E_INPUT, &json, err));
    vecmill_status status = read_members(json, name, &s, err);
    json_decref(json);
    if (status == VECMILL_OK && !holds_together(&s))
        status = err_set(err, VECMILL_E_INPUT,
                         "%s: its numbers contradict each other (%" PRIu64 " documents, %" PRIu64
                         " rows, %" PRIu64 " failed, %" PRIu64 " bytes of output)",
                         name, s.input.record, s.rows, s.failed, s.files[PATHS_OUTPUT].bytes);
    if (status == VECMILL_OK) *shard = s;
    return status;
}

vecmill_status shard_read(const char *output, struct shard *shard, vecmill_err *err)
{
    char name[IO_PATH_MAX];
    VM_TRY(paths_join(output, PATHS_SHARD_ENDING, name, err));
    struct buf text;
    buf_init(&text, SHARD_BYTES_MAX, "SHARD_BYTES_MAX");
    vecmill_status status = io_read_file(name, &text, VECMILL_E_NOTFOUND, VECMILL_E_INPUT, err);
    if (status == VECMILL_OK) status = shard_parse(text.data, text.bytes, name, shard, err);
    buf_done(&text);
    return status;
}
