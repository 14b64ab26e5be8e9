/* reader: lines of text and of JSON. CSV is in csv.c, JSON over lines in reader_json.c. */
#include "reader.h"

#include "base/base.h"
#include "jline.h"
#include "reader_json.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* The byte order mark of UTF-8. */
#define MARK       "\xEF\xBB\xBF"
#define MARK_BYTES ((size_t)3)

static uint64_t max_document(const struct job_options *options)
{
    return options->max_document != 0 ? options->max_document : JOB_MAX_DOCUMENT_DEFAULT;
}

/* A line with its carriage return, a mark before it, an id and a reason. */
size_t reader_room(const struct job_options *options)
{
    return (size_t)max_document(options) + MARK_BYTES + 1 + JOB_ID_BYTES_MAX + 1 +
           sizeof(vecmill_err);
}

/* What the names say of an input. */
struct choice {
    enum reader_format format;
    enum unpack_packing packing;
    char delimiter;
    bool is_delimiter_named;
};

/* A format is the ending of a name, and its name for --input-format. */
static const struct {
    const char *ending;
    enum reader_format format;
    char delimiter;
} formats[] = {{".txt", READER_TXT, 0},   {".jsonl", READER_JSONL, 0}, {".ndjson", READER_JSONL, 0},
               {".json", READER_JSON, 0}, {".csv", READER_CSV, ','},   {".tsv", READER_CSV, '\t'}};

/* Takes `ending` off the end of name[*bytes], letters of any case. */
static bool strip(const char *name, size_t *bytes, const char *ending)
{
    const size_t n = strlen(ending);
    if (*bytes < n || strncasecmp(name + *bytes - n, ending, n) != 0) return false;
    *bytes -= n;
    return true;
}

/* Packings that the first bytes refuse by name, with a word about what to do. */
static bool strip_foreign(const char *name, size_t *bytes)
{
    static const char *const endings[] = {".bz2", ".xz",   ".zst", ".lz4",
                                          ".lz",  ".lzma", ".z",   ".zip"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strip(name, bytes, endings[i])) return true;
    return false;
}

/* The format by options->input_format, else by the ending. */
static vecmill_status choose_format(const struct job_options *options, struct choice *choice,
                                    vecmill_err *err)
{
    const bool is_named = options->input_format != NULL;
    const char *name = is_named                           ? options->input_format
                       : strcmp(options->input, "-") == 0 ? "txt"
                                                          : options->input;
    size_t bytes = strlen(name);
    const bool is_gzip = strip(name, &bytes, ".gz");
    if (!is_gzip && !is_named) (void)strip_foreign(name, &bytes);
    const bool is_word = is_named || name != options->input;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const char *word = formats[i].ending + 1;
        const bool matches = is_word ? strlen(word) == bytes && memcmp(name, word, bytes) == 0
                                     : strip(name, &bytes, formats[i].ending);
        if (!matches) continue;
        *choice = (struct choice){.format = formats[i].format,
                                  .packing = is_gzip ? UNPACK_GZIP : UNPACK_ANY,
                                  .delimiter = formats[i].delimiter};
        return VECMILL_OK;
    }
    if (is_named)
        return err_set(err, VECMILL_E_USAGE,
                       "input format \"%s\" is unknown; txt, jsonl, json, csv and tsv are known, "
                       "each also with .gz",
                       options->input_format);
    return err_set(err, VECMILL_E_USAGE,
                   "%s: ends in none of .txt .jsonl .ndjson .json .csv .tsv, with or without .gz; "
                   "--input-format names what it is",
                   options->input);
}

static vecmill_status choose_delimiter(const struct job_options *options, struct choice *choice,
                                       vecmill_err *err)
{
    const char *word = options->delimiter;
    if (word == NULL) return VECMILL_OK;
    const bool is_tab = strcmp(word, "tab") == 0 || strcmp(word, "\\t") == 0;
    const bool is_one = is_tab || strlen(word) == 1;
    char one = word[0];
    if (is_tab) one = '\t';
    if (!is_one || (unsigned char)one >= 0x80 || strchr("\"\r\n", one) != NULL)
        return err_set(err, VECMILL_E_USAGE,
                       "--delimiter %.32s is not one character of ASCII other than a quote or the "
                       "end of a line, nor the word tab",
                       word);
    if (choice->format != READER_CSV)
        return err_set(err, VECMILL_E_USAGE,
                       "--delimiter is for CSV, and the input is none by its name "
                       "(--input-format csv)");
    choice->delimiter = one;
    choice->is_delimiter_named = true;
    return VECMILL_OK;
}

/* All of what names say. */
static vecmill_status choose(const struct job_options *options, struct choice *choice,
                             vecmill_err *err)
{
    enum encoding_kind encoding;
    struct choice c;
    VM_TRY(choose_format(options, &c, err));
    VM_TRY(choose_delimiter(options, &c, err));
    VM_TRY(encoding_find(options->encoding, &encoding, err));
    if (options->max_document > JOB_MAX_DOCUMENT_MOST)
        return err_set(err, VECMILL_E_USAGE,
                       "--max-document is %llu bytes, the most is %u (JOB_MAX_DOCUMENT_MOST)",
                       (unsigned long long)options->max_document, JOB_MAX_DOCUMENT_MOST);
    *choice = c;
    return VECMILL_OK;
}

vecmill_status reader_check_names(const struct job_options *options, vecmill_err *err)
{
    struct choice choice = {.delimiter = 0};
    return choose(options, &choice, err);
}

/* A file that is known to be no text is refused before a model is opened, and whatever its ending. */
static vecmill_status refuse_foreign(const char *path, vecmill_err *err)
{
    unsigned char front[SNIFF_BYTES];
    size_t got = 0;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return VECMILL_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return VECMILL_OK; /* whoever reads it says why */
    const vecmill_status status =
        io_read(fd, front, sizeof front, &got, path, VECMILL_E_INPUT, err);
    close(fd);
    VM_TRY(status);
    const struct sniff_magic *magic = sniff_magic(front, got);
    if (magic == NULL || magic->kind != SNIFF_FOREIGN) return VECMILL_OK;
    return unpack_refuse(path, magic, "", err);
}

vecmill_status reader_check(const struct job_options *options, vecmill_err *err)
{
    struct choice choice = {.delimiter = 0};
    const char *path = options->input;
    const bool is_file = strcmp(path, "-") != 0;
    vecmill_err why = {.message = ""};
    const vecmill_status status = choose(options, &choice, &why);
    if (status != VECMILL_OK) {
        if (is_file && choose_format(options, &choice, NULL) != VECMILL_OK)
            VM_TRY(refuse_foreign(path, err));
        if (err != NULL) *err = why;
        return status;
    }
    if (!is_file) return VECMILL_OK;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", path);
    if (S_ISDIR(st.st_mode))
        return err_set(err, VECMILL_E_INPUT, "%s: is a directory, not an input", path);
    /* Opening a pipe to look would end it for its writer. */
    if (access(path, R_OK) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", path);
    return refuse_foreign(path, err);
}

static void reader_layout(struct reader *r, struct arena *a)
{
    intake_layout(&r->intake, a);
    /* Repaired text may be three times as long, quoted text six times (utf8.h, json.h). */
    r->id_raw = arena_take(a, JOB_ID_BYTES_MAX, 1);
    r->id_valid = arena_take(a, 3 * (size_t)JOB_ID_BYTES_MAX, 1);
    r->id_json = arena_take(a, 18 * (size_t)JOB_ID_BYTES_MAX + 2, 1);
    if (r->format == READER_CSV) csv_layout(&r->csv, a);
}

/* What a format reads with. */
static size_t layout_bytes(enum reader_format format)
{
    struct reader r = {.format = format};
    struct arena a;
    arena_count(&a);
    reader_layout(&r, &a);
    return arena_bytes(&a);
}

size_t reader_bytes(const struct job_options *options)
{
    struct choice choice = {.delimiter = 0};
    if (choose_format(options, &choice, NULL) != VECMILL_OK) return 0;
    return layout_bytes(choice.format);
}

size_t reader_heap_bytes(const struct job_options *options)
{
    return intake_heap_bytes(options->encoding);
}

vecmill_status reader_open(struct reader *r, const struct job_options *options, void *memory,
                           const atomic_int *stop, vecmill_err *err)
{
    struct choice choice = {.delimiter = 0};
    VM_TRY(choose(options, &choice, err));
    *r = (struct reader){.intake.fd = -1,
                         .format = choice.format,
                         .field = options->field != NULL ? options->field : "text",
                         .id_field = options->id_field != NULL ? options->id_field : "id",
                         .max_document = max_document(options),
                         .line = 1};
    struct arena a;
    const size_t bytes = layout_bytes(choice.format);
    vecmill_status status = VECMILL_OK;
    if (memory == NULL) {
        status = mem_map(bytes, "reading the input", &r->memory, err);
        if (status != VECMILL_OK) goto done;
        r->memory_bytes = bytes;
        memory = r->memory;
    }
    arena_init(&a, memory, bytes);
    reader_layout(r, &a);
    assert(arena_ok(&a));
    const struct intake_hints hints = {
        .path = options->input, .encoding = options->encoding, .packing = choice.packing};
    status = intake_open(&r->intake, &hints, stop, err);
    if (status != VECMILL_OK) goto done;
    if (choice.format == READER_CSV) {
        r->csv.delimiter = choice.delimiter;
        r->csv.is_delimiter_named = choice.is_delimiter_named || choice.delimiter != ',';
        status = csv_open(r, options->id_field != NULL, err);
    }
done:
    if (status != VECMILL_OK) reader_close(r);
    return status;
}

uint64_t reader_hash(const struct reader *r)
{
    uint64_t seed = encoding_hash(r->intake.encoding);
    if (r->format == READER_CSV && r->csv.delimiter != ',')
        seed ^= (uint64_t)(unsigned char)r->csv.delimiter << 56;
    return XXH3_64bits_withSeed(r->field, strlen(r->field), seed);
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

/* Reads the next line after area->used, keeping MARK_BYTES + 1 more than max_document at most: those may be
 * a byte order mark, as a file has that was concatenated, and a carriage return, which are taken off.
 * *end: there was none. */
static vecmill_status read_line(struct reader *r, struct area *area, struct reader_line *line,
                                bool *end, vecmill_err *err)
{
    const size_t most = (size_t)r->max_document + MARK_BYTES + 1;
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
    if (kept >= MARK_BYTES && bytes >= MARK_BYTES && memcmp(out, MARK, MARK_BYTES) == 0) {
        bytes -= MARK_BYTES;
        kept -= MARK_BYTES;
        memmove(out, out + MARK_BYTES, kept);
    }
    *line = (struct reader_line){.bytes = bytes, .kept = bytes < kept ? (size_t)bytes : kept};
    return VECMILL_OK;
}

static const char *unit(const struct reader *r)
{
    return r->format == READER_JSON ? "value" : "line";
}

/* Whether the line may be a record; *why says that it is too long. */
static bool fits(const struct reader *r, const struct reader_line *line, vecmill_err *why)
{
    if (line->bytes <= r->max_document) return true;
    err_set(why, VECMILL_E_LIMIT, "the %s holds %llu bytes, the maximum (--max-document) is %llu",
            unit(r), (unsigned long long)line->bytes, (unsigned long long)r->max_document);
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
    const size_t quoted = json_quote(r->id_valid, valid, r->id_json);
    VM_TRY(check_id(r, quoted, err));
    record->replaced_bytes += replaced;
    r->id_bytes = quoted;
    return VECMILL_OK;
}

/* Copies a JSON line's id aside, since decoding the text may write over it. */
static vecmill_status save_id(struct reader *r, const struct json_value *id, struct record *record,
                              vecmill_err *err)
{
    if (id->kind == JSON_KIND_ARRAY || id->kind == JSON_KIND_OBJECT ||
        id->kind == JSON_KIND_NONFINITE)
        return err_set(err, VECMILL_E_INPUT, "the id \"%s\" is %s, a string or number is needed",
                       r->id_field, json_kind_words(id->kind));
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
    if (json->id.kind != JSON_KIND_ABSENT && save_id(r, &json->id, record, NULL) == VECMILL_OK)
        reader_keep_id(r, area, record);
}

static vecmill_status json_record(struct reader *r, struct area *area,
                                  const struct reader_line *line, struct record *record,
                                  vecmill_err *err)
{
    struct jline json;
    char *out = area->data + area->used;
    const vecmill_status scanned = jline_scan(out, line->kept, r->field, r->id_field, &json, err);
    if (scanned != VECMILL_OK) {
        keep_id_of_failed(r, area, &json, record);
        return scanned;
    }
    const struct json_value *text = &json.field;
    if (json.top.kind == JSON_KIND_STRING) {
        text = &json.top;
    } else if (json.top.kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_INPUT, "the %s is %s, an object or a string is needed",
                       unit(r), json_kind_words(json.top.kind));
    }
    const bool has_id = json.id.kind != JSON_KIND_ABSENT;
    if (has_id) VM_TRY(save_id(r, &json.id, record, err));
    const bool is_text = text->kind == JSON_KIND_STRING;
    if (is_text) {
        record->bytes = json_decode(text, out, &record->replaced_bytes);
        record->text = out;
        area->used += record->bytes;
    }
    if (has_id) reader_keep_id(r, area, record);
    if (is_text) return VECMILL_OK;
    if (text->kind == JSON_KIND_ABSENT)
        return err_set(err, VECMILL_E_INPUT, "the object has no \"%s\"", r->field);
    return err_set(err, VECMILL_E_INPUT, "\"%s\" is %s, a string is needed", r->field,
                   json_kind_words(text->kind));
}

/* What a line that is no JSON seems to be of; NULL: no guess. */
static const char *guess(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && (text[at] == ' ' || text[at] == '\t'))
        at++;
    if (at == bytes || text[at] == '{' || text[at] == '"') return NULL;
    if (text[at] == '<') return "HTML or XML";
    if (memchr(text, ',', bytes) != NULL || memchr(text, ';', bytes) != NULL ||
        memchr(text, '\t', bytes) != NULL)
        return "a table (--input-format csv)";
    return "plain text (--input-format txt)";
}

void reader_take_json(struct reader *r, struct area *area, const struct reader_line *value,
                      struct record *record)
{
    vecmill_err why;
    const char *text = area->data + area->used;
    if (fits(r, value, &why)) {
        if (json_record(r, area, value, record, &why) == VECMILL_OK) return;
    } else {
        struct jline json;
        (void)jline_scan(text, value->kept, r->field, r->id_field, &json, NULL);
        keep_id_of_failed(r, area, &json, record);
    }
    reader_fail(area, record, &why);
}

/* Of a first line that is none of JSON Lines, what the whole is. */
static vecmill_status check_first(struct reader *r, const char *text, size_t bytes,
                                  vecmill_err *err)
{
    struct jline json;
    if (jline_scan(text, bytes, r->field, r->id_field, &json, NULL) != VECMILL_OK)
        r->seems = guess(text, bytes);
    const char *what = reader_json_over_lines(text, bytes);
    if (what == NULL) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT,
                   "%s: is %s, not a document a line; --input-format json reads it", r->intake.name,
                   what);
}

static vecmill_status jsonl_next(struct reader *r, struct area *area, struct record *record,
                                 bool *end, vecmill_err *err)
{
    struct reader_line line;
    const char *text = area->data + area->used;
    do {
        VM_TRY(read_line(r, area, &line, end, err));
        if (*end) return VECMILL_OK;
        record->line = r->line++;
    } while (line.bytes <= r->max_document && blank(text, line.kept));
    if (r->n_records == 0) VM_TRY(check_first(r, text, line.kept, err));
    reader_take_json(r, area, &line, record);
    return VECMILL_OK;
}

static vecmill_status txt_next(struct reader *r, struct area *area, struct record *record,
                               bool *end, vecmill_err *err)
{
    struct reader_line line;
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
    case READER_JSON:
        status = reader_json_next(r, area, &next, &ended, err);
        break;
    }
    if (status != VECMILL_OK) return status;
    *end = ended;
    if (ended) return VECMILL_OK;
    next.index = r->n_records++;
    r->n_ok += next.reason == NULL;
    if (next.reason != NULL && next.index == 0) {
        err_set(&r->first_fault, VECMILL_E_INPUT, "%s", next.reason);
        r->first_line = next.line;
    }
    *record = next;
    return VECMILL_OK;
}

vecmill_status reader_refuse(const struct reader *r, vecmill_err *err)
{
    const char *name = r->intake.name;
    const unsigned long long n = r->n_records, line = r->first_line;
    if (n == 0 || r->n_ok > 0) return VECMILL_OK;
    if (r->first_fault.status == VECMILL_OK) /* it was in an earlier run */
        return err_set(err, VECMILL_E_INPUT, "no document of %s could be read, of %llu", name, n);
    return err_set(err, VECMILL_E_INPUT,
                   "no document of %s could be read, of %llu%s%s; line %llu: %s", name, n,
                   r->seems != NULL ? ": it seems to be " : "", r->seems != NULL ? r->seems : "",
                   line, r->first_fault.message);
}

void reader_tell(const struct reader *r, struct reader_point *point)
{
    *point = (struct reader_point){.bytes = r->intake.consumed,
                                   .digest = intake_digest(&r->intake),
                                   .line = r->line,
                                   .record = r->n_records,
                                   .read = r->n_ok,
                                   .in_array = r->in_array};
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
    if (r->format != READER_JSON && s->consumed > 0 &&
        s->last != '\n') { /* the last record ended with the input */
        VM_TRY(intake_peek(s, &data, &n, err));
        if (n > 0) return changed(r, "there is more behind", point->bytes, err);
    }
    r->line = point->line;
    r->n_records = point->record;
    r->n_ok = point->read;
    r->in_array = point->in_array;
    return VECMILL_OK;
}
