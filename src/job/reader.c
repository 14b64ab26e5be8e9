/* reader: chooses the kind of an input by its names, opens it, and counts its records. */
#include "reader.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* What a line may have besides its document: a mark and a carriage return. */
#define LINE_EXTRA_BYTES 4u

static uint64_t max_document(const struct job_options *options)
{
    return options->max_document != 0 ? options->max_document : JOB_MAX_DOCUMENT_DEFAULT;
}

/* A line, an id and a reason. */
size_t reader_room(const struct job_options *options)
{
    return (size_t)max_document(options) + LINE_EXTRA_BYTES + JOB_ID_BYTES_MAX + 1 +
           sizeof(vecmill_err);
}

/* ---- the kind ---- */

/* Removes `ending` from the end of name[*bytes], in letters of any case. */
static bool strip_ending(const char *name, size_t *bytes, const char *ending)
{
    const size_t n = strlen(ending);
    if (*bytes < n || strncasecmp(name + *bytes - n, ending, n) != 0) return false;
    *bytes -= n;
    return true;
}

/* Packings that the first bytes refuse by name, and say what to do. */
static void strip_foreign_packing(const char *name, size_t *bytes)
{
    static const char *const endings[] = {".bz2", ".xz",   ".zst", ".lz4",
                                          ".lz",  ".lzma", ".z",   ".zip"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strip_ending(name, bytes, endings[i])) return;
}

/* The format by options->input_format, else by the ending. */
static vecmill_status choose_format(const struct job_options *options, struct reader_choice *choice,
                                    vecmill_err *err)
{
    const bool is_named = options->input_format != NULL;
    const char *name = is_named                           ? options->input_format
                       : strcmp(options->input, "-") == 0 ? "txt"
                                                          : options->input;
    size_t bytes = strlen(name);
    const bool is_gzip = strip_ending(name, &bytes, ".gz");
    if (!is_gzip && !is_named) strip_foreign_packing(name, &bytes);
    const bool is_word = is_named || name != options->input;
    for (unsigned i = 0; i < READER_FORMATS * READER_ENDINGS; i++) {
        const enum reader_format format = (enum reader_format)(i / READER_ENDINGS);
        const char *ending = reader_kinds[format]->endings[i % READER_ENDINGS].ending;
        if (ending == NULL) continue;
        const bool matches =
            is_word ? strlen(ending + 1) == bytes && memcmp(name, ending + 1, bytes) == 0
                    : strip_ending(name, &bytes, ending);
        if (!matches) continue;
        choice->format = format;
        choice->is_gzip = is_gzip;
        choice->delimiter = reader_kinds[format]->endings[i % READER_ENDINGS].delimiter;
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

static vecmill_status choose_delimiter(const struct job_options *options,
                                       struct reader_choice *choice, vecmill_err *err)
{
    const char *word = options->delimiter;
    if (word == NULL) return VECMILL_OK;
    const bool is_tab = strcmp(word, "tab") == 0 || strcmp(word, "\\t") == 0;
    char one = word[0];
    if (is_tab) one = '\t';
    if ((!is_tab && strlen(word) != 1) || (unsigned char)one >= 0x80 ||
        strchr("\"\r\n", one) != NULL)
        return err_set(err, VECMILL_E_USAGE,
                       "--delimiter %.32s is not one character of ASCII other than a quote or the "
                       "end of a line, nor the word tab",
                       word);
    if (choice->delimiter == 0)
        return err_set(err, VECMILL_E_USAGE,
                       "--delimiter is for CSV, and the input is none by its name "
                       "(--input-format csv)");
    choice->delimiter = one;
    choice->is_delimiter_named = true;
    return VECMILL_OK;
}

static const char *field_of(const struct job_options *options)
{
    return options->field != NULL ? options->field : "text";
}

static vecmill_status check_pairs(const struct job_options *options, const struct reader_kind *kind,
                                  vecmill_err *err)
{
    if (options->query_field == NULL) return VECMILL_OK;
    if (options->query != NULL)
        return err_set(err, VECMILL_E_USAGE,
                       "a query is given, and the key of queries (--query-field): one of the two");
    if (!kind->takes_pairs)
        return err_set(err, VECMILL_E_USAGE,
                       "pairs are read from JSON, and the input is %s by its name "
                       "(--input-format jsonl)",
                       kind->word);
    if (strcmp(options->query_field, field_of(options)) != 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_USAGE, "both texts of a pair are to be of the key \"%s\"",
                   options->query_field);
}

/* All that names and options say, without a look at the input. */
static vecmill_status choose_reader(const struct job_options *options, struct reader_choice *choice,
                                    vecmill_err *err)
{
    enum encoding_kind encoding;
    struct reader_choice c = {.path = options->input,
                              .encoding = options->encoding,
                              .is_id_named = options->id_field != NULL};
    VM_TRY(choose_format(options, &c, err));
    VM_TRY(choose_delimiter(options, &c, err));
    VM_TRY(encoding_find(options->encoding, &encoding, err));
    if (options->max_document > JOB_MAX_DOCUMENT_MOST)
        return err_set(err, VECMILL_E_USAGE,
                       "--max-document is %llu bytes, the most is %u (JOB_MAX_DOCUMENT_MOST)",
                       (unsigned long long)options->max_document, JOB_MAX_DOCUMENT_MOST);
    VM_TRY(check_pairs(options, reader_kinds[c.format], err));
    *choice = c;
    return VECMILL_OK;
}

vecmill_status reader_check_names(const struct job_options *options, vecmill_err *err)
{
    struct reader_choice choice;
    return choose_reader(options, &choice, err);
}

vecmill_status reader_check(const struct job_options *options, vecmill_err *err)
{
    struct reader_choice choice;
    const char *path = options->input;
    const bool is_file = strcmp(path, "-") != 0;
    vecmill_err why = {.message = ""};
    const vecmill_status status = choose_reader(options, &choice, &why);
    if (status != VECMILL_OK) {
        /* What is known to be no text is called by its name, whatever its ending. */
        if (is_file && choose_format(options, &choice, NULL) != VECMILL_OK)
            VM_TRY(reader_kinds[READER_TXT]->check(path, err));
        if (err != NULL) *err = why;
        return status;
    }
    if (!is_file) return VECMILL_OK;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", path);
    if (S_ISDIR(st.st_mode))
        return err_set(err, VECMILL_E_INPUT, "%s: is a directory, not an input", path);
    /* Not by opening: a pipe that is opened and closed is ended for its writer. */
    if (access(path, R_OK) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", path);
    return reader_kinds[choice.format]->check(path, err);
}

/* ---- opening ---- */

static void layout_reader(struct reader *r, struct arena *a)
{
    r->kind->layout(r, a);
    /* Repaired text may be three times as long, quoted text six times. */
    r->id_raw = arena_take(a, JOB_ID_BYTES_MAX, 1);
    r->id_valid = arena_take(a, 3 * (size_t)JOB_ID_BYTES_MAX, 1);
    r->id_json = arena_take(a, 18 * (size_t)JOB_ID_BYTES_MAX + 2, 1);
}

static size_t layout_bytes(enum reader_format format)
{
    struct reader r = {.kind = reader_kinds[format]};
    struct arena a;
    arena_count(&a);
    layout_reader(&r, &a);
    return arena_bytes(&a);
}

size_t reader_bytes(const struct job_options *options)
{
    struct reader_choice choice;
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
    struct reader_choice choice;
    VM_TRY(choose_reader(options, &choice, err));
    choice.stop = stop;
    const bool is_file = strcmp(options->input, "-") != 0;
    *r = (struct reader){.kind = reader_kinds[choice.format],
                         .format = choice.format,
                         .name = is_file ? options->input : "standard input",
                         .intake.fd = -1,
                         .field = field_of(options),
                         .query_field = options->query_field,
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
    layout_reader(r, &a);
    assert(arena_ok(&a));
    status = r->kind->open(r, &choice, err);
done:
    if (status != VECMILL_OK) reader_close(r);
    return status;
}

uint64_t reader_hash(const struct reader *r)
{
    const uint64_t hash = XXH3_64bits_withSeed(r->field, strlen(r->field), r->hash_seed);
    if (r->query_field == NULL) return hash;
    return XXH3_64bits_withSeed(r->query_field, strlen(r->query_field), hash);
}

void reader_close(struct reader *r)
{
    if (r->kind != NULL) r->kind->close(r);
    if (r->memory != NULL) mem_unmap(r->memory, r->memory_bytes);
    r->memory = NULL;
}

/* ---- records ---- */

vecmill_status reader_next(struct reader *r, uint32_t wait_ms, struct record_buf *buf,
                           struct reader_record *record, enum reader_got *got, vecmill_err *err)
{
    struct reader_record next = {0};
    bool end = false;
    r->id_bytes = 0;
    r->intake.wait_ms = wait_ms;
    const vecmill_status status = r->kind->next(r, buf, &next, &end, err);
    if (status == INTAKE_AGAIN) *got = READER_AGAIN;
    if (status == INTAKE_AGAIN) return VECMILL_OK;
    VM_TRY(status);
    *got = end ? READER_END : READER_RECORD;
    if (end) return VECMILL_OK;
    next.index = r->n_records++;
    r->n_ok += next.reason == NULL;
    if (next.reason != NULL && next.index == 0) {
        err_set(&r->first_fault, VECMILL_E_INPUT, "%s", next.reason);
        r->first_line = next.line;
    }
    *record = next;
    return VECMILL_OK;
}

const char *reader_take_warning(struct reader *r, vecmill_err *warning)
{
    if (r->intake.warning.message[0] == 0) return NULL;
    *warning = r->intake.warning;
    r->intake.warning.message[0] = 0;
    return warning->message;
}

void reader_fail(struct record_buf *buf, struct reader_record *record, const vecmill_err *err)
{
    char *reason = buf->data + buf->used;
    const size_t bytes = strlen(err->message) + 1;
    assert(bytes <= buf->capacity - buf->used);
    memcpy(reason, err->message, bytes);
    buf->used += bytes;
    record->reason = reason;
    record->text = NULL;
    record->bytes = 0;
}

vecmill_status reader_check_id(const struct reader *r, size_t bytes, vecmill_err *err)
{
    if (bytes <= JOB_ID_BYTES_MAX) return VECMILL_OK;
    return err_set(err, VECMILL_E_LIMIT,
                   "the id \"%s\" holds %zu bytes, the maximum is %u (JOB_ID_BYTES_MAX)",
                   r->id_field, bytes, JOB_ID_BYTES_MAX);
}

void reader_keep_id(struct reader *r, struct record_buf *buf, struct reader_record *record)
{
    char *id = buf->data + buf->used;
    assert(r->id_bytes < buf->capacity - buf->used);
    memcpy(id, r->id_json, r->id_bytes);
    id[r->id_bytes] = 0;
    buf->used += r->id_bytes + 1;
    record->id = id;
}

/* ---- positions ---- */

void reader_tell(const struct reader *r, struct reader_point *point)
{
    *point = (struct reader_point){.line = r->line, .record = r->n_records, .read = r->n_ok};
    r->kind->tell(r, point);
}

vecmill_status reader_seek(struct reader *r, const struct reader_point *point, vecmill_err *err)
{
    VM_TRY(r->kind->seek(r, point, err));
    r->line = point->line;
    r->n_records = point->record;
    r->n_ok = point->read;
    return VECMILL_OK;
}

vecmill_status reader_refuse(const struct reader *r, vecmill_err *err)
{
    const unsigned long long n = r->n_records, line = r->first_line;
    if (n == 0 || r->n_ok > 0) return VECMILL_OK;
    if (r->first_fault.status == VECMILL_OK) /* it was in an earlier run */
        return err_set(err, VECMILL_E_INPUT, "no document of %s could be read, of %llu", r->name,
                       n);
    return err_set(err, VECMILL_E_INPUT,
                   "no document of %s could be read, of %llu%s%s; line %llu: %s", r->name, n,
                   r->seems != NULL ? ": it seems to be " : "", r->seems != NULL ? r->seems : "",
                   line, r->first_fault.message);
}
