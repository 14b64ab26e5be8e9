/* safetensors: the header is checked in this order: the frame (length, first byte, UTF-8), the
 * JSON, each tensor separately, then all of them against the data's size. */
#include "safetensors.h"

#include "model.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one tensor ---- */

/* A JSON integer of at least zero; offsets are of files, so 63 bits are enough. */
static bool natural(const struct json_value *value, uint64_t *out)
{
    return json_u64(value, out) && *out <= INT64_MAX;
}

static vecmill_status read_shape(const struct json_value *shape, const char *shown,
                                 struct tensor *t, vecmill_err *err)
{
    struct json_each each = json_begin(shape);
    struct json_value none, dimension;
    if (shape->kind != JSON_KIND_ARRAY) {
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\": \"shape\" is not an array",
                       shown, t->name);
    }
    const size_t rank = json_count(shape);
    if (rank > TENSOR_RANK_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\" has %zu dimensions, TENSOR_RANK_MAX is %u", shown,
                       t->name, rank, TENSOR_RANK_MAX);
    }
    t->rank = (uint32_t)rank;
    t->elements = 1;
    for (uint32_t i = 0; json_each(&each, &none, &dimension); i++) {
        if (!natural(&dimension, &t->shape[i])) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\": dimension %u is not an integer from 0", shown,
                           t->name, i);
        }
        if (__builtin_mul_overflow(t->elements, t->shape[i], &t->elements)) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\": the number of elements passes 64 bits", shown,
                           t->name);
        }
    }
    return VECMILL_OK;
}

static vecmill_status read_offsets(const struct json_value *offsets, const char *shown,
                                   struct tensor *t, vecmill_err *err)
{
    struct json_each each = json_begin(offsets);
    struct json_value none, begin, end;
    if (offsets->kind != JSON_KIND_ARRAY || json_count(offsets) != 2 ||
        !json_each(&each, &none, &begin) || !json_each(&each, &none, &end) ||
        !natural(&begin, &t->begin) || !natural(&end, &t->end)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\": \"data_offsets\" is not two integers from 0", shown,
                       t->name);
    }
    if (t->begin > t->end) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\" begins at %" PRIu64 " and ends before, at %" PRIu64,
                       shown, t->name, t->begin, t->end);
    }
    return VECMILL_OK;
}

static vecmill_status refuse_key(const struct json_reading *reading, const struct json_value *key,
                                 const struct json_value *value, vecmill_err *err)
{
    const struct tensor *t = reading->context;
    char text[33];
    (void)value;
    return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\": \"%s\" is not understood",
                   reading->name, t->name, json_show(key, text, sizeof text));
}

struct entry {
    struct json_value dtype, shape, offsets;
};

static vecmill_status read_tensor(const struct json_value *value, const char *shown,
                                  struct tensor *t, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("dtype", ANY, offsetof(struct entry, dtype)),
        JSON_MAY("shape", ANY, offsetof(struct entry, shape)),
        JSON_MAY("data_offsets", ANY, offsetof(struct entry, offsets)),
    };
    struct entry entry = {.dtype.kind = JSON_KIND_ABSENT};
    const struct json_reading reading = {.name = shown,
                                         .failure = VECMILL_E_MODEL,
                                         .target = &entry,
                                         .other = refuse_key,
                                         .context = t};
    if (value->kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\" is not an object", shown,
                       t->name);
    }
    VM_TRY(json_fields(value, fields, sizeof fields / sizeof *fields, &reading, err));
    if (entry.dtype.kind != JSON_KIND_STRING) {
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\": \"dtype\" is not a string",
                       shown, t->name);
    }
    int found = 0;
    while (found < TENSOR_DTYPES_COUNT &&
           !json_is(&entry.dtype, tensor_dtype_name((enum tensor_dtype)found)))
        found++;
    if (found == TENSOR_DTYPES_COUNT) {
        char text[17];
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\": dtype \"%s\" is not known",
                       shown, t->name, json_show(&entry.dtype, text, sizeof text));
    }
    t->dtype = (enum tensor_dtype)found;
    VM_TRY(read_shape(&entry.shape, shown, t, err));
    VM_TRY(read_offsets(&entry.offsets, shown, t, err));

    uint64_t bits;
    if (__builtin_mul_overflow(t->elements, (uint64_t)tensor_dtype_bits(t->dtype), &bits)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\": the number of bits passes 64 bits", shown, t->name);
    }
    if (bits % 8 != 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\" ends inside a byte: %" PRIu64 " bits", shown, t->name,
                       bits);
    }
    if (bits / 8 != t->end - t->begin) {
        char shape[TENSOR_SHAPE_TEXT];
        tensor_shape_text(t->shape, t->rank, shape);
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\": %s of shape %.60s is %" PRIu64
                       " bytes, data_offsets span %" PRIu64,
                       shown, t->name, tensor_dtype_name(t->dtype), shape, bits / 8,
                       t->end - t->begin);
    }
    return VECMILL_OK;
}

static vecmill_status refuse_unless_string(const struct json_reading *reading,
                                           const struct json_value *key,
                                           const struct json_value *value, vecmill_err *err)
{
    char text[65];
    if (value->kind == JSON_KIND_STRING) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: \"__metadata__\": \"%s\" is not a string",
                   reading->name, json_show(key, text, sizeof text));
}

static vecmill_status check_metadata(const struct json_value *metadata, const char *shown,
                                     vecmill_err *err)
{
    const struct json_reading reading = {
        .name = shown, .failure = VECMILL_E_MODEL, .other = refuse_unless_string};
    if (metadata->kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"__metadata__\" is not an object", shown);
    }
    return json_fields(metadata, NULL, 0, &reading, err);
}

/* ---- all tensors ---- */

/* By begin, then end, so that empty tensors come before the one that begins at the same offset. */
static int by_place(const void *a, const void *b)
{
    const struct tensor *x = (const struct tensor *)a, *y = (const struct tensor *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return 0;
}

/* Sorted by offset, each begins where the one before ends, and the last ends with the data. */
static vecmill_status check_cover(const struct tensor_file *st, uint64_t data_bytes,
                                  vecmill_err *err)
{
    uint64_t pos = 0;
    for (uint32_t i = 0; i < st->n_tensors; i++) {
        const struct tensor *t = &st->tensors[i];
        if (t->begin != pos) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\" begins at %" PRIu64
                           ", the data before it ends at %" PRIu64 " (%s)",
                           st->shown, t->name, t->begin, pos, t->begin > pos ? "hole" : "overlap");
        }
        pos = t->end;
    }
    if (pos != data_bytes) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the tensors take %" PRIu64 " bytes, the file holds %" PRIu64 " (%s)",
                       st->shown, pos, data_bytes,
                       pos > data_bytes ? "cut short" : "bytes left over");
    }
    return VECMILL_OK;
}

/* Tensors that a header of this many bytes can describe; a few more, so that those of a short one are
 * read and refused one by one. */
#define ENTRY_LEAST 50u /* "":{"dtype":"U8","shape":[],"data_offsets":[0,0]}, */
static size_t most_tensors(size_t length)
{
    return num_min(length / ENTRY_LEAST + 8, MODEL_TENSORS_MAX);
}

/* The number of tensors, and bytes for their names with a NUL each; metadata is checked. */
static vecmill_status count_tensors(const struct json_value *header, const char *shown, size_t *n,
                                    size_t *names, vecmill_err *err)
{
    struct json_each each = json_begin(header);
    struct json_value key, value;
    bool has_metadata = false;
    *n = *names = 0;
    while (json_each(&each, &key, &value)) {
        if (!json_is(&key, "__metadata__")) {
            *names += key.bytes; /* no meaning is longer than its text; two quotes for a NUL */
            ++*n;
            continue;
        }
        if (has_metadata) {
            return err_set(err, VECMILL_E_MODEL, "%s: duplicate key \"__metadata__\"", shown);
        }
        has_metadata = true;
        VM_TRY(check_metadata(&value, shown, err));
    }
    if (*n > MODEL_TENSORS_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu tensors, MODEL_TENSORS_MAX is %u", shown, *n,
                       MODEL_TENSORS_MAX);
    }
    /* Before there is a list of them: its memory is planned by the header's bytes. */
    if (*n > most_tensors(header->bytes)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %zu tensors in a header of %zu bytes, a tensor takes %u", shown, *n,
                       header->bytes, ENTRY_LEAST);
    }
    return VECMILL_OK;
}

static vecmill_status read_tensors(struct tensor_file *st, const struct json_value *header,
                                   uint64_t data_bytes, vecmill_err *err)
{
    struct json_each each = json_begin(header);
    struct json_value key, value;
    size_t n, names;
    VM_TRY(count_tensors(header, st->shown, &n, &names, err));
    VM_TRY(
        mem_new_array(n, sizeof *st->tensors, "the list of tensors", (void **)&st->tensors, err));
    VM_TRY(mem_new(names, "the names of tensors", (void **)&st->names, err));
    char *end = st->names;
    while (json_each(&each, &key, &value)) {
        uint64_t replaced = 0;
        if (json_is(&key, "__metadata__")) continue;
        struct tensor *t = &st->tensors[st->n_tensors];
        *t = (struct tensor){.name = end, .file = st};
        end += json_decode(&key, end, &replaced);
        *end++ = '\0';
        VM_TRY(read_tensor(&value, st->shown, t, err));
        st->n_tensors++;
    }
    VM_TRY(tensor_file_sort(st, err));
    if (n > 1) qsort(st->tensors, n, sizeof *st->tensors, by_place);
    return check_cover(st, data_bytes, err);
}

/* N, checked against the file and the maximum. */
static vecmill_status header_bytes(const unsigned char *head, size_t head_bytes,
                                   uint64_t file_bytes, const char *shown, size_t *bytes,
                                   vecmill_err *err)
{
    VM_TRY(stray_check(head, head_bytes, shown, VECMILL_E_MODEL, err));
    struct cur c;
    cur_init(&c, head, head_bytes);
    uint64_t n = cur_u64(&c);
    if (c.failed || file_bytes < 8) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %" PRIu64 " bytes, a safetensors file has 8 or more", shown,
                       file_bytes);
    }
    /* Eight letters as a length: text of a server. */
    size_t letters = 0;
    while (letters < num_min(head_bytes, 40) && head[letters] >= ' ' && head[letters] <= '~')
        letters++;
    if (n > file_bytes - 8 && letters >= 8) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: is text in place of a safetensors file; it begins with \"%.*s\"", shown,
                       (int)letters, (const char *)head);
    }
    if (n > file_bytes - 8) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the header says %" PRIu64 " bytes, the file holds %" PRIu64
                       " after it begins (cut short)",
                       shown, n, file_bytes - 8);
    }
    if (n > MODEL_HEADER_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: a header of %" PRIu64 " bytes, MODEL_HEADER_MAX is %u", shown, n,
                       MODEL_HEADER_MAX);
    }
    *bytes = (size_t)n;
    return VECMILL_OK;
}

static vecmill_status parse(const void *head, size_t head_bytes, uint64_t file_bytes,
                            struct tensor_file *st, vecmill_err *err)
{
    size_t n = 0;
    VM_TRY(header_bytes((const unsigned char *)head, head_bytes, file_bytes, st->shown, &n, err));
    if (n > head_bytes - 8) {
        return err_set(err, VECMILL_E_MODEL, "%s: the header is %zu bytes, only %zu could be read",
                       st->shown, n, head_bytes - 8);
    }
    const unsigned char *json = (const unsigned char *)head + 8;
    st->data_at = 8 + n;
    if (n == 0 || json[0] != '{') {
        return err_set(err, VECMILL_E_MODEL, "%s: the header of %zu bytes does not begin with '{'",
                       st->shown, n);
    }
    if (!utf8_valid(json, n)) {
        return err_set(err, VECMILL_E_MODEL, "%s: the header of %zu bytes is not valid UTF-8",
                       st->shown, n);
    }
    struct json_value header;
    VM_TRY(json_check(json, n, st->shown, VECMILL_E_MODEL, &header, err));
    return read_tensors(st, &header, file_bytes - st->data_at, err);
}

vecmill_status safetensors_parse(const void *head, size_t head_bytes, uint64_t file_bytes,
                                 const char *path, struct tensor_file *st, vecmill_err *err)
{
    *st = (struct tensor_file){.fd = -1};
    snprintf(st->path, sizeof st->path, "%s", path);
    st->shown = model_path_shown(st->path);
    const vecmill_status status = parse(head, head_bytes, file_bytes, st, err);
    if (status != VECMILL_OK) tensor_file_close(st);
    return status;
}

/* ---- the file ---- */

/* For the length, or for recognising what the file is instead of safetensors */
#define FIRST_BYTES 256

/* Reads the file's first bytes and the length in them. */
static vecmill_status read_length(int fd, uint64_t file_bytes, const char *path,
                                  unsigned char first[static FIRST_BYTES], size_t *got, size_t *n,
                                  vecmill_err *err)
{
    VM_TRY(io_read_at(fd, first, FIRST_BYTES, 0, got, path, VECMILL_E_MODEL, err));
    return header_bytes(first, *got, file_bytes, model_path_shown(path), n, err);
}

/* Reads the file's first bytes, up to the end of the header, into b. */
static vecmill_status read_head(int fd, uint64_t file_bytes, const char *path, struct buf *b,
                                vecmill_err *err)
{
    unsigned char first[FIRST_BYTES];
    size_t got = 0, n = 0;
    VM_TRY(read_length(fd, file_bytes, path, first, &got, &n, err));
    VM_TRY(buf_reserve(b, 8 + n, err));
    VM_TRY(io_read_at(fd, b->data, 8 + n, 0, &got, path, VECMILL_E_MODEL, err));
    b->bytes = got;
    return VECMILL_OK;
}

static vecmill_status open_header(int fd, uint64_t file_bytes, struct tensor_file *file,
                                  vecmill_err *err)
{
    struct buf b;
    buf_init(&b, MODEL_HEADER_MAX + 8, "MODEL_HEADER_MAX");
    vecmill_status status = read_head(fd, file_bytes, file->path, &b, err);
    if (status == VECMILL_OK) status = parse(b.data, b.bytes, file_bytes, file, err);
    buf_done(&b);
    return status;
}

static vecmill_status most(int fd, uint64_t file_bytes, const char *path, size_t *kept,
                           size_t *opening, vecmill_err *err)
{
    unsigned char first[FIRST_BYTES];
    size_t got = 0;
    VM_TRY(read_length(fd, file_bytes, path, first, &got, opening, err));
    *kept = most_tensors(*opening) * sizeof(struct tensor) + *opening;
    return VECMILL_OK;
}

/* The header, and the start of each tensor that it names. Read as text, since the header is not
 * checked yet: what is found only says where to look. */
static vecmill_status header_spans(int fd, size_t header, uint64_t file_bytes, const char *path,
                                   tensor_span *take, void *context, vecmill_err *err)
{
    static const char key[] = "\"data_offsets\":";
    struct buf text;
    size_t got = 0;
    uint32_t n = 0;
    buf_init(&text, MODEL_HEADER_MAX + 1, "MODEL_HEADER_MAX");
    vecmill_status status = buf_reserve(&text, header + 1, err);
    if (status == VECMILL_OK) status = take(context, 0, 8 + header, err);
    if (status == VECMILL_OK)
        status = io_read_at(fd, text.data, header, 8, &got, path, VECMILL_E_MODEL, err);
    if (status == VECMILL_OK) text.data[got] = '\0';
    const char *at = text.data;
    while (status == VECMILL_OK && n++ < MODEL_TENSORS_MAX && (at = strstr(at, key)) != NULL) {
        at += sizeof key - 1;
        at += strspn(at, " [");
        const uint64_t begin = strtoull(at, NULL, 10);
        if (begin < file_bytes - header - 8)
            status = take(context, 8 + header + begin, TENSOR_SPAN, err);
    }
    buf_done(&text);
    return status;
}

static vecmill_status spans(int fd, uint64_t file_bytes, const char *path, tensor_span *take,
                            void *context, vecmill_err *err)
{
    unsigned char first[8];
    size_t got = 0;
    VM_TRY(io_read_at(fd, first, sizeof first, 0, &got, path, VECMILL_E_MODEL, err));
    struct cur c;
    cur_init(&c, first, got);
    const uint64_t header = cur_u64(&c);
    if (c.failed || header > MODEL_HEADER_MAX || header >= file_bytes - 8)
        return take(context, 0, TENSOR_SPAN_FIRST, err);
    return header_spans(fd, (size_t)header, file_bytes, path, take, context, err);
}

const struct tensor_format safetensors_format = {
    .suffixes = {".safetensors"}, .open = open_header, .most = most, .spans = spans};
