/* tensor: named tensors in a file of weights, whatever its format.
 *
 * A format is a row of a table (struct tensor_format), chosen by the end of the file's name:
 * ".bin", ".pt" and ".pth" are torch's (torch_file.h), all others safetensors (safetensors.h). The
 * file is read, never mapped, so that truncation meanwhile is an error and not a signal, and by
 * ranges, so that no tensor has to fit into memory. Its bytes are not trusted: nothing is handed out
 * before all that says where tensors are was checked. Does not know what a tensor is for. */
#ifndef MODEL_TENSOR_H
#define MODEL_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define TENSOR_RANK_MAX 8u

/* X(name, bits of an element) */
#define TENSOR_DTYPES(X)                                                                           \
    X(F32, 32)                                                                                     \
    X(F16, 16)                                                                                     \
    X(BF16, 16)                                                                                    \
    X(F64, 64)                                                                                     \
    X(C64, 64)                                                                                     \
    X(I64, 64)                                                                                     \
    X(U64, 64)                                                                                     \
    X(I32, 32)                                                                                     \
    X(U32, 32)                                                                                     \
    X(I16, 16)                                                                                     \
    X(U16, 16)                                                                                     \
    X(I8, 8)                                                                                       \
    X(U8, 8)                                                                                       \
    X(BOOL, 8)                                                                                     \
    X(F8_E4M3, 8)                                                                                  \
    X(F8_E5M2, 8)                                                                                  \
    X(F8_E8M0, 8)                                                                                  \
    X(F6_E2M3, 6)                                                                                  \
    X(F6_E3M2, 6)                                                                                  \
    X(F4, 4)

enum tensor_dtype {
#define TENSOR_ENUM(name, bits) TENSOR_##name,
    TENSOR_DTYPES(TENSOR_ENUM)
#undef TENSOR_ENUM
        TENSOR_DTYPES_COUNT
};

/* "F32", ...; static storage. */
const char *tensor_dtype_name(enum tensor_dtype dtype);
uint32_t tensor_dtype_bits(enum tensor_dtype dtype);

/* Row-major and without gaps: element i is at begin + i * bits / 8. */
struct tensor {
    const char *name;               /* until tensor_file_close, as long as the tensor itself */
    const struct tensor_file *file; /* the file that has it */
    bool taken;                     /* false at first; a mark for the reader of the file */
    enum tensor_dtype dtype;
    uint32_t rank; /* 0: a scalar */
    uint64_t shape[TENSOR_RANK_MAX];
    uint64_t elements;
    uint64_t begin, end; /* bytes from the file's data_at */
};

/* An open file must not move: its tensors point to it. */
struct tensor_file {
    int fd; /* -1: only what says where tensors are (safetensors_parse) */
    char path[IO_PATH_MAX];
    const char *shown; /* the path's end, for messages; points into path */
    uint64_t data_at;  /* where in the file the tensors' bytes begin */
    char *names;       /* of the tensors, a NUL after each */
    struct tensor *tensors;
    uint32_t n_tensors;
};

/* Takes a range of a file. */
typedef vecmill_status tensor_span(void *context, uint64_t from, uint64_t bytes, vecmill_err *err);

/* ---- formats: fd is an open regular file of file_bytes ---- */

struct tensor_format {
    const char *suffixes[3]; /* of files' names; NULL: no more */

    /* Fills names, tensors, n_tensors and data_at of a file that has its path already. On failure
     * the caller closes it. */
    vecmill_status (*open)(int fd, uint64_t file_bytes, struct tensor_file *file, vecmill_err *err);

    /* As tensor_file_most. */
    vecmill_status (*most)(int fd, uint64_t file_bytes, const char *path, size_t *kept,
                           size_t *opening, vecmill_err *err);

    /* As tensor_file_spans. */
    vecmill_status (*spans)(int fd, uint64_t file_bytes, const char *path, tensor_span *take,
                            void *context, vecmill_err *err);
};

/* ---- files ---- */

/* Whether a name ends as those of a format do. */
bool tensor_file_named(const char *path);

/* Opens a file and checks it. E_MODEL. The caller provides *file. Pair: tensor_file_close. */
vecmill_status tensor_file_open(const char *path, struct tensor_file *file, vecmill_err *err);
void tensor_file_close(struct tensor_file *file);

/* The tensor of this name, or NULL. */
struct tensor *tensor_file_find(const struct tensor_file *file, const char *name);

/* The most heap that tensor_file_open holds when it is done, *kept, and besides that while it runs,
 * *opening. Reads the file's sizes (of torch's archives the directory). E_MODEL. */
vecmill_status tensor_file_most(const char *path, size_t *kept, size_t *opening, vecmill_err *err);

/* The ranges that distinguish a file from others: all that says where tensors are, and the first
 * TENSOR_SPAN bytes of each. Checks nothing: of a damaged file its beginning. Ranges may pass the
 * file's end. */
#define TENSOR_SPAN       256u
#define TENSOR_SPAN_FIRST (64u << 10) /* of a damaged file */
vecmill_status tensor_file_spans(int fd, uint64_t file_bytes, const char *path, tensor_span *take,
                                 void *context, vecmill_err *err);

/* For formats. Sorts the tensors by name. E_MODEL: two have the same. */
vecmill_status tensor_file_sort(struct tensor_file *file, vecmill_err *err);

/* ---- values ---- */

/* Types of a tensor's elements that a reader takes. */
enum tensor_take {
    TENSOR_FLOATS,  /* F32, F16, BF16: exact in fp32 */
    TENSOR_NUMBERS, /* these, I8, and F64, which is rounded */
    TENSOR_INTEGERS /* of 8 to 64 bits; exact up to 2^24 */
};

/* Elements first .. first + n of an F32, F16 or BF16 tensor as fp32 (exact) into out[n]. E_MODEL,
 * naming the tensor, for another dtype, a file that ends early, or a value that is not finite. */
vecmill_status tensor_read(const struct tensor *tensor, uint64_t first, size_t n, float *out,
                           vecmill_err *err);

/* The same of these types. */
vecmill_status tensor_read_as(const struct tensor *tensor, enum tensor_take types, uint64_t first,
                              size_t n, float *out, vecmill_err *err);

/* Widens n values at data (dtype F32, F16 or BF16, little-endian) to out. data may be at the end of
 * out itself: &out[n] minus the values' bytes. */
void tensor_widen(enum tensor_dtype dtype, const void *data, size_t n, float *out);

/* Writes a tensor's shape as "[30522, 384]" to text. */
#define TENSOR_SHAPE_TEXT (TENSOR_RANK_MAX * 22 + 3)
void tensor_shape_text(const uint64_t *shape, uint32_t rank, char *text);

/* Takes a tensor, which must have this shape (columns 0: a vector) and elements of these types. For
 * messages, name is the one that was asked for, asks what gives the shape. E_MODEL. */
vecmill_status tensor_take(struct tensor *t, const char *name, uint32_t rows, uint32_t columns,
                           enum tensor_take types, const char *asks, vecmill_err *err);
/* The same of any shape [rank]. */
vecmill_status tensor_take_shape(struct tensor *t, const char *name, const uint64_t *shape,
                                 uint32_t rank, enum tensor_take types, const char *asks,
                                 vecmill_err *err);

/* The end of a path that fits a message: all of it up to 96 bytes, else its last whole parts. */
const char *model_path_shown(const char *path);

#endif
