/* npy: writes rows of numbers as a NumPy file, and reads such files and the ids of their rows.
 *
 * The dictionary in a header is read by a strict grammar: three known keys in any order, each exactly
 * once, each with a value of a fixed type. */
#include "npy.h"

#include "jline.h"
#include "job.h"
#include "sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NPY_MAGIC    "\x93NUMPY"
#define NPY_PREFIX   10u /* magic, version 1.0, u16 length */
#define NPY_GROWTH   21u /* digits that numpy reserves for the axis that grows */
#define NPY_AXES_MAX 32u /* numpy's NPY_MAXDIMS */
#define NPY_WORD_MAX 32u /* of a key or descr, with its NUL */
#define IDS_CHUNK    ((size_t)64 << 10)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are written as they are in memory");

/* There are 51 bytes before the shape, and at most 20 and 10 digits in it. numpy's padding makes up for
 * the digits of n, so the header always ends at the same multiple of 64. */
static void pad_header(const char *text, int bytes, char out[NPY_HEADER_BYTES])
{
    assert(bytes > 0 && (size_t)bytes + NPY_GROWTH < NPY_HEADER_BYTES - NPY_PREFIX);
    memset(out, ' ', NPY_HEADER_BYTES);
    memcpy(out, NPY_MAGIC "\x01\x00", 8);
    out[8] = (char)(NPY_HEADER_BYTES - NPY_PREFIX);
    out[9] = 0;
    memcpy(out + NPY_PREFIX, text, (size_t)bytes);
    out[NPY_HEADER_BYTES - 1] = '\n';
}

/* NumPy's names of the types, each with a dtype that a file of it is read as. */
static const struct {
    const char *descr;
    vecmill_dtype dtype;
} types[] = {{"<f4", VECMILL_DTYPE_FLOAT32},
             {"<f2", VECMILL_DTYPE_FLOAT16},
             {"|i1", VECMILL_DTYPE_INT8},
             {"|u1", VECMILL_DTYPE_UINT8}};
#define TYPES       (sizeof types / sizeof *types)
#define TYPES_NAMED "'<f4', '<f2', '|i1' or '|u1'"

static size_t row_bytes(uint32_t dim, vecmill_dtype dtype)
{
    return quantize_row_bytes((enum quantize_dtype)dtype, dim);
}

void npy_header(uint64_t n, uint32_t dim, vecmill_dtype dtype, char out[NPY_HEADER_BYTES])
{
    const bool is_bits = dtype == VECMILL_DTYPE_BINARY || dtype == VECMILL_DTYPE_UBINARY;
    const vecmill_dtype element = dtype == VECMILL_DTYPE_BINARY    ? VECMILL_DTYPE_INT8
                                  : dtype == VECMILL_DTYPE_UBINARY ? VECMILL_DTYPE_UINT8
                                                                   : dtype;
    const size_t columns = is_bits ? row_bytes(dim, dtype) : dim;
    const char *descr = types[0].descr;
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].dtype == element) descr = types[i].descr;
    char text[NPY_HEADER_BYTES - NPY_PREFIX + 1];
    const int bytes = snprintf(
        text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%" PRIu64 ", %zu), }",
        descr, n, columns);
    pad_header(text, bytes, out);
}

void npy_array_header(const char *descr, const char *shape, char out[NPY_HEADER_BYTES])
{
    char text[NPY_HEADER_BYTES - NPY_PREFIX + 1];
    const int bytes = snprintf(
        text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    pad_header(text, bytes, out);
}

void npy_offsets_header(uint64_t n, char out[NPY_HEADER_BYTES])
{
    char shape[24];
    snprintf(shape, sizeof shape, "(%" PRIu64 ",)", n);
    npy_array_header("<i8", shape, out);
}

static size_t put_header(uint64_t n, uint32_t dim, vecmill_dtype dtype, char *out)
{
    npy_header(n, dim, dtype, out);
    return NPY_HEADER_BYTES;
}

/* Of one score a pair, an array of one axis. */
static size_t put_scores_header(uint64_t n, uint32_t dim, vecmill_dtype dtype, char *out)
{
    if (dim != 1) return put_header(n, dim, dtype, out);
    char shape[24];
    snprintf(shape, sizeof shape, "(%" PRIu64 ",)", n);
    npy_array_header("<f4", shape, out);
    return NPY_HEADER_BYTES;
}

/* Zeros where there is no vector. */
static vecmill_status put_npy_row(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    static const float zeros[256];
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    if (row->part != NULL) return sink_write(f, row->part->data, (size_t)row->part->bytes, err);
    for (size_t left = row_bytes(s->dim, s->dtype); left > 0;) {
        const size_t n = num_min(left, sizeof zeros);
        VM_TRY(sink_write(f, zeros, n, err));
        left -= n;
    }
    return VECMILL_OK;
}

/* NaN where there are no scores: zero is one like any other. */
static vecmill_status put_npy_scores(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    static const float none = NAN;
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    if (row->part != NULL) return sink_write(f, row->part->data, (size_t)row->part->bytes, err);
    for (uint32_t i = 0; i < s->dim; i++)
        VM_TRY(sink_write(f, &none, sizeof none, err));
    return VECMILL_OK;
}

static vecmill_status put_npy_rows(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    if (row->part == NULL) return VECMILL_OK;
    return sink_write(&s->files[PATHS_OUTPUT], row->part->data, (size_t)row->part->bytes, err);
}

_Static_assert(NPY_HEADER_BYTES <= SINK_HEADER_MAX, "the header fits");

const struct sink_kind sink_kind_npy = {.word = "npy",
                                        .ending = ".npy",
                                        .takes = 1u << VECMILL_KIND_DENSE,
                                        .dtypes = SINK_ALL_DTYPES,
                                        .has_ids_file = true,
                                        .header = put_header,
                                        .row_bytes = row_bytes,
                                        .put = put_npy_row};

const struct sink_kind sink_kind_scores_npy = {.word = "scores.npy",
                                               .ending = ".npy",
                                               .takes = 1u << VECMILL_KIND_SCORE,
                                               .has_ids_file = true,
                                               .header = put_scores_header,
                                               .row_bytes = row_bytes,
                                               .put = put_npy_scores};

const struct sink_kind sink_kind_rows_npy = {.word = "rows.npy",
                                             .ending = ".npy",
                                             .takes = 1u << VECMILL_KIND_MULTI |
                                                      1u << VECMILL_KIND_TOKENS,
                                             .has_offsets = true,
                                             .has_ids_file = true,
                                             .header = put_header,
                                             .row_bytes = row_bytes,
                                             .put = put_npy_rows};

struct dict {
    struct cur cur;
    const char *name; /* of the file */
    bool has_descr, has_order, has_shape;
    char descr[NPY_WORD_MAX];
    bool fortran;
    unsigned n_axes;
    uint64_t shape[NPY_AXES_MAX];
};

/* Returns the next byte without taking it, or 0 at the end. No rule accepts 0. */
static char dict_peek(const struct dict *d)
{
    if (cur_left(&d->cur) == 0) return 0;
    return (char)d->cur.data[d->cur.pos];
}

static void dict_space(struct dict *d)
{
    while (dict_peek(d) == ' ' || dict_peek(d) == '\t' || dict_peek(d) == '\n')
        cur_skip(&d->cur, 1);
}

static vecmill_status dict_fail(const struct dict *d, const char *expected, vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT, "%s: bad NPY header at byte %zu of %zu: expected %s",
                   d->name, d->cur.pos, d->cur.bytes, expected);
}

static bool dict_take(struct dict *d, char byte)
{
    dict_space(d);
    if (dict_peek(d) != byte) return false;
    cur_skip(&d->cur, 1);
    return true;
}

/* A string: 'word' or "word", without escapes. */
static vecmill_status dict_string(struct dict *d, char out[NPY_WORD_MAX], vecmill_err *err)
{
    dict_space(d);
    const char quote = dict_peek(d);
    if (quote != '\'' && quote != '"') return dict_fail(d, "a string in quotes", err);
    cur_skip(&d->cur, 1);
    const char *text = (const char *)d->cur.data + d->cur.pos;
    const char *close = memchr(text, quote, cur_left(&d->cur));
    if (close == NULL || (size_t)(close - text) >= NPY_WORD_MAX)
        return dict_fail(d, "the closing quote of a short string", err);
    const size_t bytes = (size_t)(close - text);
    for (size_t i = 0; i < bytes; i++)
        if (text[i] < 0x20 || text[i] > 0x7E || text[i] == '\\')
            return dict_fail(d, "a string of plain characters", err);
    memcpy(out, text, bytes);
    out[bytes] = 0;
    cur_skip(&d->cur, bytes + 1);
    return VECMILL_OK;
}

static vecmill_status dict_word(struct dict *d, bool *value, vecmill_err *err)
{
    dict_space(d);
    const char *text = (const char *)d->cur.data + d->cur.pos;
    const size_t left = cur_left(&d->cur);
    if (left >= 4 && memcmp(text, "True", 4) == 0) {
        *value = true;
        cur_skip(&d->cur, 4);
    } else if (left >= 5 && memcmp(text, "False", 5) == 0) {
        *value = false;
        cur_skip(&d->cur, 5);
    } else {
        return dict_fail(d, "True or False", err);
    }
    return VECMILL_OK;
}

static vecmill_status dict_number(struct dict *d, uint64_t *value, vecmill_err *err)
{
    dict_space(d);
    char digits[21];
    size_t n = 0;
    while (n < sizeof digits - 1 && dict_peek(d) >= '0' && dict_peek(d) <= '9') {
        digits[n++] = dict_peek(d);
        cur_skip(&d->cur, 1);
    }
    digits[n] = 0;
    if (n == 0 || !num_parse(digits, UINT64_MAX, value))
        return dict_fail(d, "a number below 2^64", err);
    return VECMILL_OK;
}

/* A tuple: (), (a,), (a, b) or (a, b,). */
static vecmill_status dict_shape(struct dict *d, vecmill_err *err)
{
    if (!dict_take(d, '(')) return dict_fail(d, "a tuple", err);
    while (!dict_take(d, ')')) {
        if (d->n_axes == NPY_AXES_MAX) return dict_fail(d, "32 axes or fewer", err);
        VM_TRY(dict_number(d, &d->shape[d->n_axes], err));
        d->n_axes++;
        if (dict_take(d, ',')) continue;
        if (d->n_axes == 1 || !dict_take(d, ')')) return dict_fail(d, "a comma", err);
        break;
    }
    return VECMILL_OK;
}

static vecmill_status dict_member(struct dict *d, vecmill_err *err)
{
    char key[NPY_WORD_MAX];
    VM_TRY(dict_string(d, key, err));
    if (!dict_take(d, ':')) return dict_fail(d, "a colon", err);
    bool *seen = strcmp(key, "descr") == 0           ? &d->has_descr
                 : strcmp(key, "fortran_order") == 0 ? &d->has_order
                 : strcmp(key, "shape") == 0         ? &d->has_shape
                                                     : NULL;
    if (seen == NULL)
        return err_set(err, VECMILL_E_INPUT, "%s: unknown key '%s' in the NPY header", d->name,
                       key);
    if (*seen)
        return err_set(err, VECMILL_E_INPUT, "%s: key '%s' occurs twice in the NPY header", d->name,
                       key);
    *seen = true;
    if (seen == &d->has_order) return dict_word(d, &d->fortran, err);
    if (seen == &d->has_shape) return dict_shape(d, err);
    dict_space(d);
    if (dict_peek(d) == '[')
        return err_set(err, VECMILL_E_INPUT, "%s: holds records, " TYPES_NAMED " is needed",
                       d->name);
    return dict_string(d, d->descr, err);
}

static vecmill_status dict_read(struct dict *d, vecmill_err *err)
{
    if (!dict_take(d, '{')) return dict_fail(d, "a dictionary", err);
    while (!dict_take(d, '}')) {
        VM_TRY(dict_member(d, err));
        if (dict_take(d, ',')) continue;
        if (!dict_take(d, '}')) return dict_fail(d, "a comma or }", err);
        break;
    }
    dict_space(d);
    if (cur_left(&d->cur) > 0) return dict_fail(d, "nothing behind the dictionary", err);
    if (!d->has_descr || !d->has_order || !d->has_shape)
        return err_set(err, VECMILL_E_INPUT, "%s: the NPY header lacks '%s'", d->name,
                       !d->has_descr   ? "descr"
                       : !d->has_order ? "fortran_order"
                                       : "shape");
    return VECMILL_OK;
}

/* Checks the dictionary against what is needed, and against the size of the file. */
static vecmill_status npy_check(const struct dict *d, size_t offset, size_t file_bytes,
                                struct npy *npy, vecmill_err *err)
{
    size_t type = 0;
    while (type < TYPES && strcmp(d->descr, types[type].descr) != 0)
        type++;
    if (type == TYPES)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: holds numbers of type '%s', " TYPES_NAMED " is needed", d->name,
                       d->descr);
    const size_t element = row_bytes(1, types[type].dtype);
    if (d->fortran)
        return err_set(err, VECMILL_E_INPUT, "%s: is in Fortran order, C order is needed", d->name);
    if (d->n_axes != 2)
        return err_set(err, VECMILL_E_INPUT, "%s: has %u axes, 2 are needed", d->name, d->n_axes);
    const uint64_t n = d->shape[0], dim = d->shape[1];
    if (dim == 0 || dim > UINT32_MAX)
        return err_set(err, VECMILL_E_INPUT, "%s: has rows of %" PRIu64 " numbers, 1 to %u can be",
                       d->name, dim, UINT32_MAX);
    if (offset % element != 0)
        return err_set(err, VECMILL_E_INPUT, "%s: its rows begin at byte %zu, no multiple of %zu",
                       d->name, offset, element);
    size_t bytes;
    const bool fits = num_mul((size_t)n, (size_t)dim, &bytes) && num_mul(bytes, element, &bytes);
    if (!fits || bytes != file_bytes - offset)
        return err_set(
            err, VECMILL_E_INPUT,
            "%s: its shape (%" PRIu64 ", %" PRIu64 ") needs %s%zu bytes, the file has %zu", d->name,
            n, dim, fits ? "" : "more than ", fits ? bytes : SIZE_MAX, file_bytes - offset);
    *npy = (struct npy){.n = n, .dim = (uint32_t)dim, .dtype = types[type].dtype, .offset = offset};
    return VECMILL_OK;
}

/* The dictionary; *offset: where the data begins. */
static vecmill_status read_header(const void *data, size_t bytes, const char *name, struct dict *d,
                                  size_t *offset, vecmill_err *err)
{
    struct cur c;
    cur_init(&c, data, bytes);
    const void *magic = cur_take(&c, 6);
    if (magic == NULL || memcmp(magic, NPY_MAGIC, 6) != 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is no NPY file (its first bytes are not \\x93NUMPY)", name);
    const unsigned major = cur_u8(&c), minor = cur_u8(&c);
    if (!c.failed && (major < 1 || major > 3 || minor != 0))
        return err_set(err, VECMILL_E_INPUT, "%s: is NPY version %u.%u, 1.0 to 3.0 are known", name,
                       major, minor);
    const size_t header_bytes = major == 1 ? cur_u16(&c) : cur_u32(&c);
    if (header_bytes > NPY_HEADER_MAX)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: its NPY header has %zu bytes, the maximum is %u (NPY_HEADER_MAX)", name,
                       header_bytes, NPY_HEADER_MAX);
    const void *text = cur_take(&c, header_bytes);
    if (c.failed)
        return err_set(err, VECMILL_E_INPUT, "%s: has %zu bytes and ends inside its NPY header",
                       name, bytes);
    *d = (struct dict){.name = name};
    cur_init(&d->cur, text, header_bytes);
    VM_TRY(dict_read(d, err));
    *offset = c.pos;
    return VECMILL_OK;
}

vecmill_status npy_read(const void *data, size_t bytes, const char *name, struct npy *npy,
                        vecmill_err *err)
{
    struct dict d;
    size_t offset = 0;
    VM_TRY(read_header(data, bytes, name, &d, &offset, err));
    return npy_check(&d, offset, bytes, npy, err);
}

vecmill_status npy_read_offsets(const void *data, size_t bytes, const char *name, uint64_t *n,
                                size_t *offset, vecmill_err *err)
{
    struct dict d;
    size_t at = 0, left;
    VM_TRY(read_header(data, bytes, name, &d, &at, err));
    if (strcmp(d.descr, "<i8") != 0)
        return err_set(err, VECMILL_E_INPUT, "%s: holds numbers of type '%s', '<i8' is needed",
                       name, d.descr);
    if (d.n_axes != 1)
        return err_set(err, VECMILL_E_INPUT, "%s: has %u axes, 1 is needed", name, d.n_axes);
    if (at % sizeof(uint64_t) != 0)
        return err_set(err, VECMILL_E_INPUT, "%s: its numbers begin at byte %zu, no multiple of 8",
                       name, at);
    left = (bytes - at) / sizeof(uint64_t);
    if ((bytes - at) % sizeof(uint64_t) != 0 || d.shape[0] != left)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: its shape is (%" PRIu64 ",), the file has %zu bytes after its header",
                       name, d.shape[0], bytes - at);
    *n = d.shape[0];
    *offset = at;
    return VECMILL_OK;
}

/* ---- reading files ---- */

vecmill_status job_vectors_open(const char *path, struct job_vectors *v, vecmill_err *err)
{
    struct io_map map;
    struct npy npy;
    VM_TRY(io_map_file(path, &map, VECMILL_E_INPUT, VECMILL_E_INPUT, err));
    const vecmill_status status = npy_read(map.data, map.bytes, path, &npy, err);
    if (status != VECMILL_OK) {
        io_unmap(&map);
        return status;
    }
    /* Aligned: a mapping starts at a page, and the offset is a multiple of an element's bytes. */
    *v = (struct job_vectors){
        .rows = map.data + npy.offset, .n = npy.n, .dim = npy.dim, .dtype = npy.dtype, .map = map};
    return VECMILL_OK;
}

vecmill_status job_ranges_open(const char *path, struct job_vectors *v, vecmill_err *err)
{
    struct job_vectors r;
    VM_TRY(job_vectors_open(path, &r, err));
    vecmill_status status = VECMILL_OK;
    if (r.dtype != VECMILL_DTYPE_FLOAT32 || r.n != 2)
        status =
            err_set(err, VECMILL_E_INPUT,
                    "%s: holds %" PRIu64 " rows of %s, ranges are 2 rows of float32, the least "
                    "and the greatest values",
                    path, r.n, quantize_word((enum quantize_dtype)r.dtype));
    else
        status = quantize_check_ranges(r.rows, r.dim, path, err);
    if (status == VECMILL_OK)
        *v = r;
    else
        job_vectors_close(&r);
    return status;
}

void job_vectors_close(struct job_vectors *v)
{
    if (v->map.data != NULL) io_unmap(&v->map);
    *v = (struct job_vectors){0};
}

static vecmill_status check_offsets(const char *path, const uint64_t *starts, uint64_t n,
                                    uint64_t n_rows, vecmill_err *err)
{
    if (n == 0 || starts[0] != 0)
        return err_set(err, VECMILL_E_INPUT, "%s: does not begin with 0", path);
    for (uint64_t i = 1; i < n; i++)
        if (starts[i] < starts[i - 1])
            return err_set(err, VECMILL_E_INPUT,
                           "%s: document %" PRIu64 " begins at row %" PRIu64
                           " and ends before row %" PRIu64,
                           path, i - 1, starts[i - 1], starts[i]);
    if (starts[n - 1] != n_rows)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: ends at row %" PRIu64 ", the vectors beside it are %" PRIu64, path,
                       starts[n - 1], n_rows);
    return VECMILL_OK;
}

vecmill_status job_offsets_open(const char *path, uint64_t n_rows, struct job_offsets *o,
                                vecmill_err *err)
{
    char name[IO_PATH_MAX];
    struct io_map map;
    uint64_t n = 0;
    size_t offset = 0;
    *o = (struct job_offsets){0};
    if ((size_t)snprintf(name, sizeof name, "%s.offsets.npy", path) >= sizeof name ||
        !io_exists(name))
        return VECMILL_OK;
    VM_TRY(io_map_file(name, &map, VECMILL_E_INPUT, VECMILL_E_INPUT, err));
    vecmill_status status = npy_read_offsets(map.data, map.bytes, name, &n, &offset, err);
    /* Aligned: a mapping starts at a page, and the offset is a multiple of 8. */
    const uint64_t *starts = (const uint64_t *)(const void *)(map.data + offset);
    if (status == VECMILL_OK) status = check_offsets(name, starts, n, n_rows, err);
    if (status != VECMILL_OK) {
        io_unmap(&map);
        return status;
    }
    *o = (struct job_offsets){.starts = starts, .n = n - 1, .map = map};
    return VECMILL_OK;
}

void job_offsets_close(struct job_offsets *o)
{
    if (o->map.data != NULL) io_unmap(&o->map);
    *o = (struct job_offsets){0};
}

/* ---- ids of rows ---- */

/* A row whose id is wanted. */
struct wanted_id {
    uint64_t row;
    size_t i; /* in the caller's array */
};

static int compare_wanted_ids(const void *left, const void *right)
{
    const struct wanted_id *a = left, *b = right;
    return (a->row > b->row) - (a->row < b->row);
}

/* The search through the lines of a file of ids. */
struct id_search {
    const char *name;
    struct wanted_id *wanted; /* [n], by row */
    char **found;             /* [n], in the caller's order */
    size_t n, next;           /* wanted[next] is the first not yet found */
    uint64_t row;             /* of the line being read */
    char line[JOB_ID_BYTES_MAX];
    size_t bytes; /* of the whole line; those that do not fit are not kept */
    char chunk[IDS_CHUNK];
};

static bool is_wanted_row(const struct id_search *ids)
{
    return ids->next < ids->n && ids->wanted[ids->next].row == ids->row;
}

/* Takes a part of the line of ids->row. */
static void take_id_bytes(struct id_search *ids, const char *data, size_t bytes)
{
    if (!is_wanted_row(ids)) return;
    const size_t room = sizeof ids->line - num_min(ids->bytes, sizeof ids->line);
    memcpy(ids->line + sizeof ids->line - room, data, num_min(bytes, room));
    ids->bytes += bytes;
}

/* The line is copied into JSON unchanged, so it must be exactly one value. */
static vecmill_status check_id_line(const struct id_search *ids, vecmill_err *err)
{
    struct jline line;
    vecmill_err why;
    if (jline_scan(ids->line, ids->bytes, "", NULL, "", &line, &why) != VECMILL_OK)
        return err_set(err, VECMILL_E_INPUT, "%s: line %llu is no id: %s", ids->name,
                       (unsigned long long)ids->row + 1, why.message);
    if (line.top.kind == JSON_KIND_ARRAY || line.top.kind == JSON_KIND_OBJECT ||
        line.top.kind == JSON_KIND_NONFINITE)
        return err_set(err, VECMILL_E_INPUT, "%s: line %llu is no id: it is %s", ids->name,
                       (unsigned long long)ids->row + 1, json_kind_words(line.top.kind));
    if (line.top.bytes != ids->bytes)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: line %llu is no id: %zu of its %zu bytes are blanks around one",
                       ids->name, (unsigned long long)ids->row + 1, ids->bytes - line.top.bytes,
                       ids->bytes);
    return VECMILL_OK;
}

static vecmill_status end_id_line(struct id_search *ids, vecmill_err *err)
{
    if (is_wanted_row(ids) && ids->bytes > sizeof ids->line)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: line %llu holds %zu bytes, the maximum is %u (JOB_ID_BYTES_MAX)",
                       ids->name, (unsigned long long)ids->row + 1, ids->bytes, JOB_ID_BYTES_MAX);
    if (is_wanted_row(ids)) VM_TRY(check_id_line(ids, err));
    for (; is_wanted_row(ids); ids->next++) {
        void *copy;
        VM_TRY(mem_new(ids->bytes + 1, "an id", &copy, err));
        memcpy(copy, ids->line, ids->bytes);
        ids->found[ids->wanted[ids->next].i] = copy;
    }
    ids->bytes = 0;
    ids->row++;
    return VECMILL_OK;
}

static vecmill_status search_ids(struct id_search *ids, int fd, vecmill_err *err)
{
    bool open_line = false; /* the file's last line may lack its newline */
    while (ids->next < ids->n) {
        size_t got;
        VM_TRY(io_read(fd, ids->chunk, IDS_CHUNK, &got, ids->name, VECMILL_E_INPUT, err));
        if (got == 0) break;
        for (size_t i = 0; i < got;) {
            const char *newline = memchr(ids->chunk + i, '\n', got - i);
            const size_t run = newline != NULL ? (size_t)(newline - ids->chunk) - i : got - i;
            take_id_bytes(ids, ids->chunk + i, run);
            open_line = newline == NULL;
            if (newline != NULL) VM_TRY(end_id_line(ids, err));
            i += run + (newline != NULL);
        }
    }
    return open_line ? end_id_line(ids, err) : VECMILL_OK;
}

vecmill_status job_ids_find(const char *path, const uint64_t *rows, size_t n, char **out,
                            vecmill_err *err)
{
    char name[IO_PATH_MAX];
    const int name_bytes = snprintf(name, sizeof name, "%s.ids.jsonl", path);
    if (name_bytes < 0 || (size_t)name_bytes >= sizeof name)
        return err_set(err, VECMILL_E_INPUT, "a path of %zu bytes leaves no room for .ids.jsonl",
                       strlen(path));
    void *ids_memory = NULL, *wanted = NULL, *found = NULL;
    int fd = -1;
    struct id_search *ids = NULL;
    vecmill_status status = mem_new(sizeof *ids, "reading ids", &ids_memory, err);
    if (status == VECMILL_OK)
        status = mem_new_array(n, sizeof(struct wanted_id), "wanted ids", &wanted, err);
    if (status == VECMILL_OK) status = mem_new_array(n, sizeof(char *), "ids", &found, err);
    if (status != VECMILL_OK) goto done;
    ids = ids_memory;
    ids->name = name;
    ids->wanted = wanted;
    ids->found = found;
    ids->n = n;
    for (size_t i = 0; i < n; i++)
        ids->wanted[i] = (struct wanted_id){.row = rows[i], .i = i};
    qsort(ids->wanted, n, sizeof *ids->wanted, compare_wanted_ids);

    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        status = search_ids(ids, fd, err);
    else if (errno != ENOENT)
        status = err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", name);
    if (status != VECMILL_OK) goto done;
    memcpy(out, ids->found, n * sizeof *out);
    n = 0;
done:
    if (fd >= 0) close(fd);
    for (size_t i = 0; ids != NULL && i < n; i++)
        mem_free(ids->found[i]);
    mem_free(found);
    mem_free(wanted);
    mem_free(ids_memory);
    return status;
}
