#include "tensor.h"

#include "safetensors.h"
#include "torch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_MAX 96 /* bytes of a path in a message of 251 */

static const struct {
    const char *name;
    uint32_t bits;
} dtypes[] = {
#define DTYPE_ROW(name, bits) {#name, bits},
    TENSOR_DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *tensor_dtype_name(enum tensor_dtype dtype)
{
    return dtypes[dtype].name;
}

uint32_t tensor_dtype_bits(enum tensor_dtype dtype)
{
    return dtypes[dtype].bits;
}

const char *model_path_shown(const char *path)
{
    size_t bytes = strlen(path);
    if (bytes <= SHOWN_MAX) return path;
    const char *slash = strchr(path + bytes - SHOWN_MAX, '/');
    return slash && slash[1] ? slash + 1 : path + bytes - SHOWN_MAX;
}

void tensor_shape_text(const uint64_t *shape, uint32_t rank, char *text)
{
    char *at = text;
    *at++ = '[';
    for (uint32_t i = 0; i < rank; i++) {
        at += sprintf(at, i ? ", %" PRIu64 : "%" PRIu64, shape[i]);
    }
    *at++ = ']';
    *at = '\0';
}

/* ---- types ---- */

#define BIT(dtype) (1u << TENSOR_##dtype)

static const struct {
    uint32_t dtypes; /* bits 1u << enum tensor_dtype */
    const char *words;
} takes[] = {
    [TENSOR_FLOATS] = {BIT(F32) | BIT(F16) | BIT(BF16), "weights are read as F32, F16 or BF16"},
    [TENSOR_NUMBERS] = {BIT(F32) | BIT(F16) | BIT(BF16) | BIT(F64) | BIT(I8),
                        "it is read as F32, F16, BF16, F64 or I8"},
    [TENSOR_INTEGERS] = {BIT(I64) | BIT(U64) | BIT(I32) | BIT(U32) | BIT(I16) | BIT(U16) | BIT(I8) |
                             BIT(U8),
                         "it is read as whole numbers of 8 to 64 bits"},
};

static vecmill_status check_dtype(const struct tensor *t, const char *name, enum tensor_take types,
                                  vecmill_err *err)
{
    if (takes[types].dtypes >> t->dtype & 1) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%.64s\" is %s; %s", t->file->shown, name,
                   tensor_dtype_name(t->dtype), takes[types].words);
}

vecmill_status tensor_take(struct tensor *t, const char *name, uint32_t rows, uint32_t columns,
                           enum tensor_take types, const char *asks, vecmill_err *err)
{
    const uint64_t shape[2] = {rows, columns};
    return tensor_take_shape(t, name, shape, columns ? 2 : 1, types, asks, err);
}

vecmill_status tensor_take_shape(struct tensor *t, const char *name, const uint64_t *want,
                                 uint32_t rank, enum tensor_take types, const char *asks,
                                 vecmill_err *err)
{
    if (t->rank != rank || memcmp(t->shape, want, rank * sizeof *want) != 0) {
        char is[TENSOR_SHAPE_TEXT], wanted[TENSOR_SHAPE_TEXT];
        tensor_shape_text(t->shape, t->rank, is);
        tensor_shape_text(want, rank, wanted);
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" has shape %.48s, %s asks for %s",
                       t->file->shown, name, is, asks, wanted);
    }
    VM_TRY(check_dtype(t, name, types, err));
    t->taken = true;
    return VECMILL_OK;
}

/* ---- formats ---- */

/* Of all other names: safetensors. */
static const struct tensor_format *const formats[] = {&safetensors_format, &torch_format, NULL};

static bool is_named(const struct tensor_format *format, const char *path)
{
    const size_t bytes = strlen(path);
    for (size_t i = 0; i < sizeof format->suffixes / sizeof(char *) && format->suffixes[i]; i++) {
        const size_t tail = strlen(format->suffixes[i]);
        if (bytes >= tail && strcmp(path + bytes - tail, format->suffixes[i]) == 0) return true;
    }
    return false;
}

static const struct tensor_format *format_of(const char *path)
{
    for (size_t i = 0; formats[i]; i++) {
        if (is_named(formats[i], path)) return formats[i];
    }
    return formats[0];
}

bool tensor_file_named(const char *path)
{
    return is_named(format_of(path), path);
}

/* ---- files ---- */

/* Opens for reading; a FIFO must not block. */
static vecmill_status open_file(const char *path, int *fd, uint64_t *file_bytes, vecmill_err *err)
{
    const char *shown = model_path_shown(path);
    struct stat file;
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f < 0) return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be opened", shown);
    vecmill_status status = VECMILL_OK;
    if (fstat(f, &file) != 0) {
        status = err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be looked at", shown);
    } else if (!S_ISREG(file.st_mode)) {
        status = err_set(err, VECMILL_E_MODEL, "%s: not a regular file", shown);
    }
    if (status != VECMILL_OK) {
        close(f);
        return status;
    }
    *fd = f;
    *file_bytes = (uint64_t)file.st_size;
    return VECMILL_OK;
}

vecmill_status tensor_file_open(const char *path, struct tensor_file *file, vecmill_err *err)
{
    uint64_t file_bytes = 0;
    int fd = -1;
    VM_TRY(open_file(path, &fd, &file_bytes, err));
    *file = (struct tensor_file){.fd = fd};
    snprintf(file->path, sizeof file->path, "%s", path);
    file->shown = model_path_shown(file->path);
    const vecmill_status status = format_of(path)->open(fd, file_bytes, file, err);
    if (status != VECMILL_OK) tensor_file_close(file);
    return status;
}

void tensor_file_close(struct tensor_file *file)
{
    if (file->fd >= 0) close(file->fd);
    mem_free(file->tensors);
    mem_free(file->names);
    file->fd = -1;
    file->names = NULL;
    file->tensors = NULL;
    file->n_tensors = 0;
}

struct tensor *tensor_file_find(const struct tensor_file *file, const char *name)
{
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    }
    return NULL;
}

vecmill_status tensor_file_most(const char *path, size_t *kept, size_t *opening, vecmill_err *err)
{
    uint64_t file_bytes = 0;
    int fd = -1;
    VM_TRY(open_file(path, &fd, &file_bytes, err));
    const vecmill_status status = format_of(path)->most(fd, file_bytes, path, kept, opening, err);
    close(fd);
    return status;
}

vecmill_status tensor_file_spans(int fd, uint64_t file_bytes, const char *path, tensor_span *take,
                                 void *context, vecmill_err *err)
{
    return format_of(path)->spans(fd, file_bytes, path, take, context, err);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = (const struct tensor *)a, *y = (const struct tensor *)b;
    return strcmp(x->name, y->name);
}

vecmill_status tensor_file_sort(struct tensor_file *file, vecmill_err *err)
{
    if (file->n_tensors > 1) qsort(file->tensors, file->n_tensors, sizeof *file->tensors, by_name);
    for (uint32_t i = 1; i < file->n_tensors; i++) {
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) != 0) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: duplicate tensor \"%.64s\"", file->shown,
                       file->tensors[i].name);
    }
    return VECMILL_OK;
}

/* ---- values ---- */

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float widen_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h >> 15) << 31, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float subnormal = (float)fraction * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

void tensor_widen(enum tensor_dtype dtype, const void *data, size_t n, float *out)
{
    /* Value i is read before anything at or after it is overwritten: out[i] ends at byte 4i + 4,
     * and value i + 1 begins at 2n + 2i + 2 or later when data is the end of out. */
    const unsigned char *p = (const unsigned char *)data;
    for (size_t i = 0; i < n; i++) {
        if (dtype == TENSOR_F32) {
            uint32_t bits = (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 |
                            (uint32_t)p[4 * i + 2] << 16 | (uint32_t)p[4 * i + 3] << 24;
            out[i] = from_bits(bits);
        } else {
            uint16_t h = (uint16_t)(p[2 * i] | p[2 * i + 1] << 8);
            out[i] = dtype == TENSOR_F16 ? widen_f16(h) : from_bits((uint32_t)h << 16);
        }
    }
}

/* A value of F64 or an integer type: exact up to 2^24, else rounded. */
static float convert(enum tensor_dtype dtype, const unsigned char *value, size_t width)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < width; i++)
        bits |= (uint64_t)value[i] << (8 * i);
    if (dtype == TENSOR_F64) {
        double d;
        memcpy(&d, &bits, sizeof d);
        return (float)d;
    }
    const bool is_signed = (BIT(I64) | BIT(I32) | BIT(I16) | BIT(I8)) >> dtype & 1;
    const size_t unused = 64 - 8 * width;
    return is_signed ? (float)((int64_t)(bits << unused) >> unused) : (float)bits;
}

/* n elements' bytes into raw. */
static vecmill_status read_raw(const struct tensor *tensor, uint64_t first, size_t n, void *raw,
                               vecmill_err *err)
{
    const struct tensor_file *st = tensor->file;
    const size_t width = dtypes[tensor->dtype].bits / 8;
    const uint64_t at = st->data_at + tensor->begin + first * width;
    size_t got = 0;
    if (lseek(st->fd, (off_t)at, SEEK_SET) < 0) {
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot seek to %" PRIu64, st->shown, at);
    }
    VM_TRY(io_read(st->fd, raw, n * width, &got, st->path, VECMILL_E_MODEL, err));
    if (got == n * width) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: the file was cut while it was read: %zu bytes at %" PRIu64 ", %zu expected",
                   st->shown, got, at, n * width);
}

/* Types that tensor_widen does not know, some at a time. */
static vecmill_status read_others(const struct tensor *tensor, uint64_t first, size_t n, float *out,
                                  vecmill_err *err)
{
    unsigned char raw[4096];
    const size_t width = dtypes[tensor->dtype].bits / 8;
    for (size_t done = 0; done < n;) {
        const size_t some = num_min(n - done, sizeof raw / width);
        VM_TRY(read_raw(tensor, first + done, some, raw, err));
        for (size_t i = 0; i < some; i++)
            out[done + i] = convert(tensor->dtype, raw + i * width, width);
        done += some;
    }
    return VECMILL_OK;
}

vecmill_status tensor_read(const struct tensor *tensor, uint64_t first, size_t n, float *out,
                           vecmill_err *err)
{
    return tensor_read_as(tensor, TENSOR_FLOATS, first, n, out, err);
}

vecmill_status tensor_read_as(const struct tensor *tensor, enum tensor_take types, uint64_t first,
                              size_t n, float *out, vecmill_err *err)
{
    const struct tensor_file *st = tensor->file;
    VM_TRY(check_dtype(tensor, tensor->name, types, err));
    if (tensor->dtype <= TENSOR_BF16) {
        char *raw = (char *)(out + n) - n * (dtypes[tensor->dtype].bits / 8);
        VM_TRY(read_raw(tensor, first, n, raw, err));
        tensor_widen(tensor->dtype, raw, n, out);
    } else {
        VM_TRY(read_others(tensor, first, n, out, err));
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(out[i])) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\": element %" PRIu64 " of %" PRIu64
                           " is not a finite number",
                           st->shown, tensor->name, first + i, tensor->elements);
        }
    }
    return VECMILL_OK;
}
