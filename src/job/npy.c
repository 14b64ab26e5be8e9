/* npy: rows of float32 as a NumPy file, and the headers of others' files. The dictionary in a header is
 * read by a grammar of its own: three known keys, in any order, each once, with values of the one kind
 * they have. */
#include "npy.h"

#include "sink.h"

#include "base/base.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NPY_MAGIC    "\x93NUMPY"
#define NPY_PREFIX   10u /* magic, version 1.0, u16 length */
#define NPY_GROWTH   21u /* digits that numpy leaves room for on the axis that grows */
#define NPY_AXES_MAX 32u /* numpy's NPY_MAXDIMS */
#define NPY_WORD_MAX 32u /* of a descr that can be shown */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are written as they are in memory");

void npy_header(uint64_t n, uint32_t dim, char out[NPY_HEADER_BYTES])
{
    char text[NPY_HEADER_BYTES - NPY_PREFIX + 1];
    const int bytes =
        snprintf(text, sizeof text,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %u), }", n, dim);
    /* 51 bytes before the shape, 20 and 10 digits at most: numpy's padding, which makes up for the
     * digits of n, always ends at the same multiple of 64. */
    assert(bytes > 0 && (size_t)bytes + NPY_GROWTH < sizeof text);
    memset(out, ' ', NPY_HEADER_BYTES);
    memcpy(out, NPY_MAGIC "\x01\x00", 8);
    out[8] = (char)(NPY_HEADER_BYTES - NPY_PREFIX);
    out[9] = 0;
    memcpy(out + NPY_PREFIX, text, (size_t)bytes);
    out[NPY_HEADER_BYTES - 1] = '\n';
}

static size_t put_header(uint64_t n, uint32_t dim, char *out)
{
    npy_header(n, dim, out);
    return NPY_HEADER_BYTES;
}

static size_t row_bytes(uint32_t dim)
{
    return dim * sizeof(float);
}

static vecmill_status put_npy_row(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    return sink_write(&s->files[PATHS_OUTPUT], row->vector, row_bytes(s->dim), err);
}

_Static_assert(NPY_HEADER_BYTES <= SINK_HEADER_MAX, "the header fits");

const struct sink_kind sink_kind_npy = {.word = "npy",
                                        .ending = ".npy",
                                        .has_ids_file = true,
                                        .header = put_header,
                                        .row_bytes = row_bytes,
                                        .put = put_npy_row};

struct dict {
    struct cur cur;
    const char *name; /* of the file */
    bool has_descr, has_order, has_shape;
    char descr[NPY_WORD_MAX];
    bool fortran;
    unsigned n_axes;
    uint64_t shape[NPY_AXES_MAX];
};

/* The next byte without taking it; 0 at the end, which no rule accepts. */
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

/* 'word' or "word", without escapes. */
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

/* (), (a,), (a, b), (a, b,) */
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
        return err_set(err, VECMILL_E_INPUT, "%s: holds records, '<f4' is needed", d->name);
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

/* What the dictionary says, against what is needed and what the file holds. */
static vecmill_status npy_check(const struct dict *d, size_t offset, size_t file_bytes,
                                struct npy *npy, vecmill_err *err)
{
    if (strcmp(d->descr, "<f4") != 0)
        return err_set(err, VECMILL_E_INPUT, "%s: holds numbers of type '%s', '<f4' is needed",
                       d->name, d->descr);
    if (d->fortran)
        return err_set(err, VECMILL_E_INPUT, "%s: is in Fortran order, C order is needed", d->name);
    if (d->n_axes != 2)
        return err_set(err, VECMILL_E_INPUT, "%s: has %u axes, 2 are needed", d->name, d->n_axes);
    const uint64_t n = d->shape[0], dim = d->shape[1];
    if (dim == 0 || dim > UINT32_MAX)
        return err_set(err, VECMILL_E_INPUT, "%s: has rows of %" PRIu64 " numbers, 1 to %u can be",
                       d->name, dim, UINT32_MAX);
    if (offset % 4 != 0)
        return err_set(err, VECMILL_E_INPUT, "%s: its rows begin at byte %zu, no multiple of 4",
                       d->name, offset);
    size_t bytes;
    const bool fits = num_mul((size_t)n, (size_t)dim, &bytes) && num_mul(bytes, 4, &bytes);
    if (!fits || bytes != file_bytes - offset)
        return err_set(
            err, VECMILL_E_INPUT,
            "%s: its shape (%" PRIu64 ", %" PRIu64 ") needs %s%zu bytes, the file has %zu", d->name,
            n, dim, fits ? "" : "more than ", fits ? bytes : SIZE_MAX, file_bytes - offset);
    *npy = (struct npy){.n = n, .dim = (uint32_t)dim, .offset = offset};
    return VECMILL_OK;
}

vecmill_status npy_read(const void *data, size_t bytes, const char *name, struct npy *npy,
                        vecmill_err *err)
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
    struct dict d = {.name = name};
    cur_init(&d.cur, text, header_bytes);
    VM_TRY(dict_read(&d, err));
    return npy_check(&d, c.pos, bytes, npy, err);
}
