/* reader: see reader.h. Lines of text and of JSON are read here, CSV in csv.c. */
#include "reader.h"

#include "base/base.h"
#include "jline.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t max_document(const struct job_options *options)
{
    return options->max_document != 0 ? options->max_document : JOB_MAX_DOCUMENT_DEFAULT;
}

/* A line with its carriage return, an id and a reason. */
size_t reader_room(const struct job_options *options)
{
    return (size_t)max_document(options) + 1 + JOB_ID_BYTES_MAX + 1 + sizeof(vecmill_err);
}

/* Takes `ending` off the end of name[*bytes], letters of any case. */
static bool strip(const char *name, size_t *bytes, const char *ending)
{
    const size_t n = strlen(ending);
    if (*bytes < n || strncasecmp(name + *bytes - n, ending, n) != 0) return false;
    *bytes -= n;
    return true;
}

/* The format by options->input_format, else by the ending. */
static vecmill_status choose_format(const struct job_options *options, enum reader_format *format,
                                    bool *gzip, vecmill_err *err)
{
    static const struct {
        const char *name, *ending;
        enum reader_format format;
    } known[] = {{"txt", ".txt", READER_TXT},
                 {"jsonl", ".jsonl", READER_JSONL},
                 {"csv", ".csv", READER_CSV}};
    const bool named = options->input_format != NULL;
    const bool standard = strcmp(options->input, "-") == 0;
    size_t path_bytes = strlen(options->input);
    bool packed = !standard && strip(options->input, &path_bytes, ".gz");
    size_t name_bytes = named ? strlen(options->input_format) : 0;
    if (named && strip(options->input_format, &name_bytes, ".gz")) packed = true;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const bool match = named ? strlen(known[i].name) == name_bytes &&
                                       memcmp(options->input_format, known[i].name, name_bytes) == 0
                           : standard ? known[i].format == READER_TXT
                                      : strip(options->input, &path_bytes, known[i].ending);
        if (!match) continue;
        *format = known[i].format;
        *gzip = packed;
        return VECMILL_OK;
    }
    if (named)
        return err_set(
            err, VECMILL_E_USAGE,
            "input format \"%s\" is unknown; txt, jsonl and csv are known, each also .gz",
            options->input_format);
    return err_set(err, VECMILL_E_USAGE,
                   "%s: ends in none of .txt .jsonl .csv .txt.gz .jsonl.gz .csv.gz",
                   options->input);
}

static vecmill_status check_options(const struct job_options *options, enum reader_format *format,
                                    bool *gzip, vecmill_err *err)
{
    VM_TRY(choose_format(options, format, gzip, err));
    if (options->max_document > JOB_MAX_DOCUMENT_MOST)
        return err_set(err, VECMILL_E_USAGE,
                       "--max-document is %llu bytes, the most is %u (JOB_MAX_DOCUMENT_MOST)",
                       (unsigned long long)options->max_document, JOB_MAX_DOCUMENT_MOST);
    return VECMILL_OK;
}

vecmill_status reader_check_names(const struct job_options *options, vecmill_err *err)
{
    enum reader_format format;
    bool gzip;
    return check_options(options, &format, &gzip, err);
}

vecmill_status reader_check(const struct job_options *options, vecmill_err *err)
{
    enum reader_format format;
    bool gzip;
    VM_TRY(check_options(options, &format, &gzip, err));
    const char *path = options->input;
    if (strcmp(path, "-") == 0) return VECMILL_OK;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", path);
    if (S_ISDIR(st.st_mode))
        return err_set(err, VECMILL_E_INPUT, "%s: is a directory, not an input", path);
    /* Opening a pipe to look would end it for its writer. */
    if (access(path, R_OK) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", path);
    return VECMILL_OK;
}

static void reader_layout(struct reader *r, struct arena *a, bool gzip)
{
    intake_layout(&r->intake, a, gzip);
    /* Repaired text may be three times as long, quoted text six times (utf8.h, jsonx.h). */
    r->id_raw = arena_take(a, JOB_ID_BYTES_MAX, 1);
    r->id_valid = arena_take(a, 3 * (size_t)JOB_ID_BYTES_MAX, 1);
    r->id_json = arena_take(a, 18 * (size_t)JOB_ID_BYTES_MAX + 2, 1);
    if (r->format == READER_CSV) csv_layout(&r->csv, a);
}

/* What a format reads with. */
static size_t layout_bytes(enum reader_format format, bool gzip)
{
    struct reader r = {.format = format};
    struct arena a;
    arena_count(&a);
    reader_layout(&r, &a, gzip);
    return arena_bytes(&a);
}

size_t reader_bytes(const struct job_options *options)
{
    enum reader_format format;
    bool gzip;
    if (choose_format(options, &format, &gzip, NULL) != VECMILL_OK) return 0;
    return layout_bytes(format, gzip);
}

vecmill_status reader_open(struct reader *r, const struct job_options *options, void *memory,
                           const atomic_int *stop, vecmill_err *err)
{
    enum reader_format format;
    bool gzip;
    VM_TRY(check_options(options, &format, &gzip, err));
    *r = (struct reader){.intake.fd = -1,
                         .format = format,
                         .field = options->field != NULL ? options->field : "text",
                         .id_field = options->id_field != NULL ? options->id_field : "id",
                         .max_document = max_document(options),
                         .line = 1};
    struct arena a;
    const size_t bytes = layout_bytes(format, gzip);
    vecmill_status status = VECMILL_OK;
    if (memory == NULL) {
        status = mem_map(bytes, "reading the input", &r->memory, err);
        if (status != VECMILL_OK) goto done;
        r->memory_bytes = bytes;
        memory = r->memory;
    }
    arena_init(&a, memory, bytes);
    reader_layout(r, &a, gzip);
    assert(arena_ok(&a));
    status = intake_open(&r->intake, options->input, stop, err);
    if (status != VECMILL_OK) goto done;
    if (format == READER_CSV) status = csv_open(r, options->id_field != NULL, err);
done:
    if (status != VECMILL_OK) reader_close(r);
    return status;
}

void reader_close(struct reader *r)
{
    intake_close(&r->intake);
    if (r->memory != NULL) mem_unmap(r->memory, r->memory_bytes);
    r->memory = NULL;
}

void reader_fail(struct area *area, struct record *record, const vecmill_err *err)
{
    char *reason = area->data + area->used;
    const size_t bytes = strlen(err->message) + 1;
    assert(bytes <= area->capacity - area->used);
    memcpy(reason, err->message, bytes);
    area->used += bytes;
    record->reason = reason;
    record->text = NULL;
    record->bytes = 0;
}

void reader_keep_id(struct reader *r, struct area *area, struct record *record)
{
    char *id = area->data + area->used;
    assert(r->id_bytes < area->capacity - area->used);
    memcpy(id, r->id_json, r->id_bytes);
    id[r->id_bytes] = 0;
    area->used += r->id_bytes + 1;
    record->id = id;
}

/* A line as it lies in the area from area->used on; kept < bytes when it was longer than the most. */
struct line {
    uint64_t bytes; /* of the file's line, without its end */
    size_t kept;
};

/* Reads the next line behind area->used, keeping max_document + 1 bytes at most: the one more may be
 * the carriage return that is taken off. *end: there was none. */
static vecmill_status read_line(struct reader *r, struct area *area, struct line *line, bool *end,
                                vecmill_err *err)
{
    const size_t most = (size_t)r->max_document + 1;
    char *out = area->data + area->used;
    size_t kept = 0;
    uint64_t bytes = 0;
    char last = 0;
    bool complete = false;
    while (!complete) {
        const unsigned char *data;
        size_t n;
        VM_TRY(intake_peek(&r->intake, &data, &n, err));
        if (n == 0) break;
        const unsigned char *newline = memchr(data, '\n', n);
        const size_t run = newline != NULL ? (size_t)(newline - data) : n;
        const size_t fits = num_min(run, most - kept);
        memcpy(out + kept, data, fits);
        kept += fits;
        bytes += run;
        if (run > 0) last = (char)data[run - 1];
        complete = newline != NULL;
        intake_consume(&r->intake, run + complete);
    }
    *end = bytes == 0 && !complete;
    if (*end) return VECMILL_OK;
    if (complete && bytes > 0 && last == '\r') bytes--;
    *line = (struct line){.bytes = bytes, .kept = bytes < kept ? (size_t)bytes : kept};
    return VECMILL_OK;
}

/* Whether the line may be a record; *why says that it is too long. */
static bool fits(const struct reader *r, const struct line *line, vecmill_err *why)
{
    if (line->bytes <= r->max_document) return true;
    err_set(why, VECMILL_E_LIMIT, "the line holds %llu bytes, the maximum (--max-document) is %llu",
            (unsigned long long)line->bytes, (unsigned long long)r->max_document);
    return false;
}

static bool blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
    return true;
}

static vecmill_status check_id(const struct reader *r, size_t bytes, vecmill_err *err)
{
    if (bytes <= JOB_ID_BYTES_MAX) return VECMILL_OK;
    return err_set(err, VECMILL_E_LIMIT,
                   "the id \"%s\" holds %zu bytes, the maximum is %u (JOB_ID_BYTES_MAX)",
                   r->id_field, bytes, JOB_ID_BYTES_MAX);
}

vecmill_status reader_quote_id(struct reader *r, size_t bytes, struct record *record,
                               vecmill_err *err)
{
    VM_TRY(check_id(r, bytes, err));
    uint64_t replaced = 0;
    const size_t valid = utf8_repair(r->id_raw, bytes, r->id_valid, &replaced);
    const size_t quoted = jsonx_quote(r->id_valid, valid, r->id_json);
    VM_TRY(check_id(r, quoted, err));
    record->replaced_bytes += replaced;
    r->id_bytes = quoted;
    return VECMILL_OK;
}

/* Copies a JSON line's id aside, since decoding the text may write over it. */
static vecmill_status save_id(struct reader *r, const struct jline_value *id, struct record *record,
                              vecmill_err *err)
{
    if (id->kind == JLINE_ARRAY || id->kind == JLINE_OBJECT || id->kind == JLINE_NONFINITE)
        return err_set(err, VECMILL_E_INPUT, "the id \"%s\" is %s, a string or number is needed",
                       r->id_field, jline_kind_words(id->kind));
    VM_TRY(check_id(r, id->bytes, err));
    uint64_t replaced = 0;
    const size_t valid = utf8_repair(id->raw, id->bytes, r->id_json, &replaced);
    VM_TRY(check_id(r, valid, err));
    record->replaced_bytes += replaced;
    r->id_bytes = valid;
    return VECMILL_OK;
}

/* Of a line that is no document the id, where it can be read: it says whose row has no vector. */
static void keep_id_of_failed(struct reader *r, struct area *area, const struct jline *json,
                              struct record *record)
{
    if (json->id.kind != JLINE_ABSENT && save_id(r, &json->id, record, NULL) == VECMILL_OK)
        reader_keep_id(r, area, record);
}

static vecmill_status jsonl_record(struct reader *r, struct area *area, const struct line *line,
                                   struct record *record, vecmill_err *err)
{
    struct jline json;
    char *out = area->data + area->used;
    const vecmill_status scanned = jline_scan(out, line->kept, r->field, r->id_field, &json, err);
    if (scanned != VECMILL_OK) {
        keep_id_of_failed(r, area, &json, record);
        return scanned;
    }
    const struct jline_value *text = &json.field;
    if (json.top.kind == JLINE_STRING) {
        text = &json.top;
    } else if (json.top.kind != JLINE_OBJECT) {
        return err_set(err, VECMILL_E_INPUT, "the line is %s, an object or a string is needed",
                       jline_kind_words(json.top.kind));
    }
    const bool has_id = json.id.kind != JLINE_ABSENT;
    if (has_id) VM_TRY(save_id(r, &json.id, record, err));
    const bool is_text = text->kind == JLINE_STRING;
    if (is_text) {
        record->bytes = jline_decode(text, out, &record->replaced_bytes);
        record->text = out;
        area->used += record->bytes;
    }
    if (has_id) reader_keep_id(r, area, record);
    if (is_text) return VECMILL_OK;
    if (text->kind == JLINE_ABSENT)
        return err_set(err, VECMILL_E_INPUT, "the object has no \"%s\"", r->field);
    return err_set(err, VECMILL_E_INPUT, "\"%s\" is %s, a string is needed", r->field,
                   jline_kind_words(text->kind));
}

static vecmill_status jsonl_next(struct reader *r, struct area *area, struct record *record,
                                 bool *end, vecmill_err *err)
{
    struct line line;
    do {
        VM_TRY(read_line(r, area, &line, end, err));
        if (*end) return VECMILL_OK;
        record->line = r->line++;
    } while (line.bytes <= r->max_document && blank(area->data + area->used, line.kept));
    vecmill_err why;
    if (!fits(r, &line, &why)) {
        struct jline json;
        (void)jline_scan(area->data + area->used, line.kept, r->field, r->id_field, &json, NULL);
        keep_id_of_failed(r, area, &json, record);
        reader_fail(area, record, &why);
        return VECMILL_OK;
    }
    if (jsonl_record(r, area, &line, record, &why) != VECMILL_OK) reader_fail(area, record, &why);
    return VECMILL_OK;
}

static vecmill_status txt_next(struct reader *r, struct area *area, struct record *record,
                               bool *end, vecmill_err *err)
{
    struct line line;
    VM_TRY(read_line(r, area, &line, end, err));
    if (*end) return VECMILL_OK;
    record->line = r->line++;
    vecmill_err why;
    if (!fits(r, &line, &why)) {
        reader_fail(area, record, &why);
        return VECMILL_OK;
    }
    record->text = area->data + area->used;
    record->bytes = line.kept;
    area->used += line.kept;
    return VECMILL_OK;
}

vecmill_status reader_next(struct reader *r, struct area *area, struct record *record, bool *end,
                           vecmill_err *err)
{
    struct record next = {0};
    bool ended = false;
    r->id_bytes = 0;
    vecmill_status status = VECMILL_OK;
    switch (r->format) {
    case READER_TXT:
        status = txt_next(r, area, &next, &ended, err);
        break;
    case READER_JSONL:
        status = jsonl_next(r, area, &next, &ended, err);
        break;
    case READER_CSV:
        status = csv_next(r, area, &next, &ended, err);
        break;
    }
    if (status != VECMILL_OK) return status;
    *end = ended;
    if (ended) return VECMILL_OK;
    next.index = r->n_records++;
    *record = next;
    return VECMILL_OK;
}

void reader_tell(const struct reader *r, struct reader_point *point)
{
    *point = (struct reader_point){.bytes = r->intake.consumed,
                                   .digest = intake_digest(&r->intake),
                                   .line = r->line,
                                   .record = r->n_records};
}

static vecmill_status changed(const struct reader *r, const char *how, uint64_t bytes,
                              vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT,
                   "the input has changed since the run that is resumed, %s its first %llu bytes "
                   "(--force starts afresh): %s",
                   how, (unsigned long long)bytes, r->intake.name);
}

vecmill_status reader_pass(struct reader *r, const struct reader_point *point, vecmill_err *err)
{
    struct intake *s = &r->intake;
    const unsigned char *data;
    size_t n;
    while (s->consumed < point->bytes) {
        VM_TRY(intake_peek(s, &data, &n, err));
        if (n == 0) return changed(r, "it ends within", point->bytes, err);
        const uint64_t left = point->bytes - s->consumed;
        intake_consume(s, left < n ? (size_t)left : n);
    }
    /* A CSV header that has become longer may end behind the place. */
    if (s->consumed != point->bytes || intake_digest(s) != point->digest)
        return changed(r, "in", point->bytes, err);
    if (s->consumed > 0 && s->last != '\n') { /* the last record ended with the input */
        VM_TRY(intake_peek(s, &data, &n, err));
        if (n > 0) return changed(r, "there is more behind", point->bytes, err);
    }
    r->line = point->line;
    r->n_records = point->record;
    return VECMILL_OK;
}
