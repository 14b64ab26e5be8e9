/* shard: written as a sequence of members, read by a table of them. */
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

#define FORMAT       2u
#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* Members of each file, in the order of enum paths_which. */
static const char *const file_keys[PATHS_FILES] = {[PATHS_ERRORS] = "errors",
                                                   [PATHS_IDS] = "ids",
                                                   [PATHS_RANGES] = "ranges",
                                                   [PATHS_OUTPUT] = "output"};

uint64_t shard_rows(uint64_t documents, uint32_t shard, uint32_t shards)
{
    return documents / shards + (documents % shards > shard ? 1 : 0);
}

/* ---- writing ---- */

struct text_writer {
    char *at;
    size_t left;
};

static void put_text(struct text_writer *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_text(struct text_writer *t, const char *format, ...)
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
    struct text_writer t = {text, SHARD_BYTES_MAX + 1};
    put_text(&t, "{\"vecmill_shard\":%u,\"shard\":%u,\"shards\":%u,", FORMAT, r->shard, r->shards);
    put_text(&t, "\"documents\":%" PRIu64 ",\"rows\":%" PRIu64 ",", s->input.record, s->rows);
    put_text(&t, "\"failed\":%" PRIu64 ",\"tokens\":%" PRIu64 ",", s->failed, s->tokens);
    put_text(&t, "\"truncated\":%" PRIu64 ",\"replaced_bytes\":%" PRIu64 ",", s->truncated,
             s->replaced_bytes);
    put_text(&t, "\"identity\":\"%s\",\"isa\":\"%s\",\"dim\":%u,", r->identity, r->isa, r->dim);
    put_text(&t, "\"dtype\":\"%s\",\"ranges_xxh3\":\"%016" PRIx64 "\",",
             quantize_word((enum quantize_dtype)r->dtype), r->ranges);
    put_text(&t, "\"output_format\":\"%s\",\"input_format\":\"%s\",",
             sink_kinds[r->output_format]->word, reader_kinds[r->input_format]->word);
    put_text(&t, "\"field_xxh3\":\"%016" PRIx64 "\",\"id_field_xxh3\":\"%016" PRIx64 "\",",
             r->field, r->id_field);
    put_text(&t, "\"max_document\":%" PRIu64 ",", r->max_document);
    put_text(&t, "\"input_bytes\":%" PRIu64 ",\"input_xxh3\":\"%016" PRIx64 "\"", s->input.bytes,
             s->input.digest);
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct shard_file *f = &s->files[i];
        if (!file_keys[i]) continue; /* no shard has it */
        if (f->is_there)
            put_text(&t, ",\"%s\":{\"bytes\":%" PRIu64 ",\"xxh3\":\"%016" PRIx64 "\"}",
                     file_keys[i], f->bytes, f->digest);
        else
            put_text(&t, ",\"%s\":null", file_keys[i]);
    }
    put_text(&t, "}\n");
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

static vecmill_status refuse_member(const struct json_reading *reading,
                                    const struct json_field *field, const struct json_value *value,
                                    vecmill_err *err)
{
    char shown[64];
    return err_set(err, VECMILL_E_INPUT, "%s: \"%s\" is %s, which no shard has", reading->name,
                   field->key, json_show(value, shown, sizeof shown));
}

static void *member_target(const struct json_reading *reading, const struct json_field *field)
{
    return (char *)reading->target + field->at;
}

/* 16 hexadecimal digits, in small letters, into a uint64_t. */
static vecmill_status read_digest(const struct json_reading *reading,
                                  const struct json_field *field, const struct json_value *value,
                                  vecmill_err *err)
{
    char text[17];
    uint64_t digest = 0;
    if (!json_string_into(value, text, sizeof text) || strspn(text, "0123456789abcdef") != 16)
        return refuse_member(reading, field, value, err);
    for (size_t i = 0; i < 16; i++)
        digest = digest << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
    *(uint64_t *)member_target(reading, field) = digest;
    return VECMILL_OK;
}

/* Letters and digits, as many as fit into field->most bytes with a NUL. */
static vecmill_status read_shard_word(const struct json_reading *reading,
                                      const struct json_field *field,
                                      const struct json_value *value, vecmill_err *err)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char text[JOURNAL_IDENTITY + JOURNAL_ISA];
    if (!json_string_into(value, text, num_min(field->most, sizeof text)) || text[0] == '\0' ||
        text[strspn(text, letters)] != '\0')
        return refuse_member(reading, field, value, err);
    memcpy(member_target(reading, field), text, strlen(text) + 1);
    return VECMILL_OK;
}

static vecmill_status read_output_format(const struct json_reading *reading,
                                         const struct json_field *field,
                                         const struct json_value *value, vecmill_err *err)
{
    unsigned i = 0;
    while (i < SINK_FORMATS && !json_is(value, sink_kinds[i]->word))
        i++;
    if (i == SINK_FORMATS) return refuse_member(reading, field, value, err);
    *(enum sink_format *)member_target(reading, field) = (enum sink_format)i;
    return VECMILL_OK;
}

static vecmill_status read_dtype(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, vecmill_err *err)
{
    unsigned i = 0;
    while (i < QUANTIZE_DTYPES && !json_is(value, quantize_word((enum quantize_dtype)i)))
        i++;
    if (i == QUANTIZE_DTYPES) return refuse_member(reading, field, value, err);
    *(vecmill_dtype *)member_target(reading, field) = (vecmill_dtype)i;
    return VECMILL_OK;
}

static vecmill_status read_input_format(const struct json_reading *reading,
                                        const struct json_field *field,
                                        const struct json_value *value, vecmill_err *err)
{
    unsigned i = 0;
    while (i < READER_FORMATS && !json_is(value, reader_kinds[i]->word))
        i++;
    if (i == READER_FORMATS) return refuse_member(reading, field, value, err);
    *(enum reader_format *)member_target(reading, field) = (enum reader_format)i;
    return VECMILL_OK;
}

/* null, or an object. */
static vecmill_status read_shard_file(const struct json_reading *reading,
                                      const struct json_field *field,
                                      const struct json_value *value, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("bytes", U64, offsetof(struct shard_file, bytes), .most = INT64_MAX),
        JSON_MUST("xxh3", OWN, offsetof(struct shard_file, digest), .own = read_digest)};
    struct shard_file file = {.is_there = true};
    const struct json_reading inner = {
        .name = reading->name, .failure = VECMILL_E_INPUT, .target = &file};
    if (value->kind == JSON_KIND_NULL) return VECMILL_OK;
    if (value->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: \"%s\" is neither null nor an object, which no shard has",
                       reading->name, field->key);
    VM_TRY(json_fields(value, fields, LENGTH(fields), &inner, err));
    *(struct shard_file *)member_target(reading, field) = file;
    return VECMILL_OK;
}

/* What is in the text. */
struct members {
    struct shard shard;
    uint32_t format;
};

#define AT(member) offsetof(struct members, shard.member)

static vecmill_status read_members(const struct json_value *json, const char *name, struct shard *s,
                                   vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("vecmill_shard", U32, offsetof(struct members, format), .least = FORMAT,
                  .most = FORMAT),
        JSON_MUST("shards", U32, AT(run.shards), .least = 2, .most = JOB_SHARDS_MAX),
        JSON_MUST("shard", U32, AT(run.shard), .most = JOB_SHARDS_MAX - 1),
        JSON_MUST("documents", U64, AT(input.record), .most = INT64_MAX),
        JSON_MUST("rows", U64, AT(rows), .most = INT64_MAX),
        JSON_MUST("failed", U64, AT(failed), .most = INT64_MAX),
        JSON_MUST("tokens", U64, AT(tokens), .most = INT64_MAX),
        JSON_MUST("truncated", U64, AT(truncated), .most = INT64_MAX),
        JSON_MUST("replaced_bytes", U64, AT(replaced_bytes), .most = INT64_MAX),
        JSON_MUST("identity", OWN, AT(run.identity), .own = read_shard_word,
                  .most = JOURNAL_IDENTITY + 1),
        JSON_MUST("isa", OWN, AT(run.isa), .own = read_shard_word, .most = JOURNAL_ISA + 1),
        JSON_MUST("dim", U32, AT(run.dim), .least = 1, .most = UINT32_MAX),
        JSON_MUST("dtype", OWN, AT(run.dtype), .own = read_dtype),
        JSON_MUST("ranges_xxh3", OWN, AT(run.ranges), .own = read_digest),
        JSON_MUST("output_format", OWN, AT(run.output_format), .own = read_output_format),
        JSON_MUST("input_format", OWN, AT(run.input_format), .own = read_input_format),
        JSON_MUST("field_xxh3", OWN, AT(run.field), .own = read_digest),
        JSON_MUST("id_field_xxh3", OWN, AT(run.id_field), .own = read_digest),
        JSON_MUST("max_document", U64, AT(run.max_document), .most = INT64_MAX),
        JSON_MUST("input_bytes", U64, AT(input.bytes), .most = INT64_MAX),
        JSON_MUST("input_xxh3", OWN, AT(input.digest), .own = read_digest),
        JSON_MUST("errors", OWN, AT(files[PATHS_ERRORS]), .own = read_shard_file,
                  .takes_null = true),
        JSON_MUST("ids", OWN, AT(files[PATHS_IDS]), .own = read_shard_file, .takes_null = true),
        JSON_MUST("ranges", OWN, AT(files[PATHS_RANGES]), .own = read_shard_file,
                  .takes_null = true),
        JSON_MUST("output", OWN, AT(files[PATHS_OUTPUT]), .own = read_shard_file,
                  .takes_null = true),
    };
    struct members m = {.format = 0};
    const struct json_reading reading = {.name = name, .failure = VECMILL_E_INPUT, .target = &m};
    VM_TRY(json_fields(json, fields, LENGTH(fields), &reading, err));
    const struct journal_run *r = &m.shard.run;
    if (r->shard >= r->shards)
        return err_set(err, VECMILL_E_INPUT, "%s: \"shard\" is %u, outside 0 to %u", name, r->shard,
                       r->shards - 1);
    *s = m.shard;
    return VECMILL_OK;
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
    if (s->files[PATHS_RANGES].is_there != (s->run.ranges != 0)) return false;
    return sink_kind_fits(s->run.output_format, s->rows, s->run.dim, s->run.dtype, output->bytes);
}

vecmill_status shard_parse(const char *text, size_t bytes, const char *name, struct shard *shard,
                           vecmill_err *err)
{
    struct json_value json;
    struct shard s;
    if (bytes > SHARD_BYTES_MAX)
        return err_set(err, VECMILL_E_INPUT, "%s: holds %zu bytes, the maximum is %u", name, bytes,
                       SHARD_BYTES_MAX);
    VM_TRY(json_check(text, bytes, name, VECMILL_E_INPUT, &json, err));
    VM_TRY(read_members(&json, name, &s, err));
    if (!holds_together(&s))
        return err_set(err, VECMILL_E_INPUT,
                       "%s: its numbers contradict each other (%" PRIu64 " documents, %" PRIu64
                       " rows, %" PRIu64 " failed, %" PRIu64 " bytes of output)",
                       name, s.input.record, s.rows, s.failed, s.files[PATHS_OUTPUT].bytes);
    *shard = s;
    return VECMILL_OK;
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
