/* safetensors: named tensors in one file, read as untrusted bytes.
 *
 * Layout (huggingface/safetensors, README "Format"):
 *      0  u64 N, little-endian
 *      8  N bytes of JSON, beginning with '{', padded with spaces:
 *             { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }, ...,
 *               "__metadata__": { "text": "text", ... } }
 * 8 + N  the data; offsets count from here
 *
 * Nothing is handed out before the whole header was checked: sizes against the file, duplicate
 * names, offsets that are ordered, without hole or overlap, and cover the data exactly, lengths
 * equal to shape times width, every product without wrapping. The header's maximum bounds memory,
 * whatever the header says. The file is read, never mapped, so that truncation meanwhile is an
 * error and not a signal. The *st of an open file must not move: its tensors point to it. Does not
 * know what a tensor is for. */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define SAFETENSORS_RANK_MAX 8u

/* X(name, bits of an element) */
#define SAFETENSORS_DTYPES(X)                                                                      \
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

enum safetensors_dtype {
#define SAFETENSORS_ENUM(name, bits) SAFETENSORS_##name,
    SAFETENSORS_DTYPES(SAFETENSORS_ENUM)
#undef SAFETENSORS_ENUM
        SAFETENSORS_DTYPES_COUNT
};

/* "F32", ...; static storage. */
const char *safetensors_dtype_name(enum safetensors_dtype dtype);

struct safetensor {
    const char *name;               /* until safetensors_close, as long as the tensor itself */
    const struct safetensors *file; /* the file that has it */
    bool taken;                     /* false at first; a mark for the reader of the file */
    enum safetensors_dtype dtype;
    uint32_t rank; /* 0: a scalar */
    uint64_t shape[SAFETENSORS_RANK_MAX];
    uint64_t elements;
    uint64_t begin, end; /* bytes of the data, from its first */
};

struct safetensors {
    int fd; /* -1: only a header (safetensors_parse) */
    char path[IO_PATH_MAX];
    const char *shown;          /* the path's end, for messages; points into path */
    uint64_t data_at;           /* where in the file the data begins */
    char *names;                /* of the tensors, a NUL after each */
    struct safetensor *tensors; /* in the order of their data */
    uint32_t n_tensors;
};

/* Checks a header: `head` has the file's first head_bytes bytes, at least 8 + N, of a file of
 * file_bytes. For safetensors_open and for fuzzing. Pair: safetensors_close. */
vecmill_status safetensors_parse(const void *head, size_t head_bytes, uint64_t file_bytes,
                                 const char *path, struct safetensors *st, vecmill_err *err);

/* The length of the header according to the file, checked against the file's size and
 * MODEL_HEADER_MAX. Reads the first 256 bytes. */
vecmill_status safetensors_header_bytes(const char *path, size_t *bytes, vecmill_err *err);

/* The most bytes that an open file's list of tensors and their names takes, for a header of
 * `length`. */
size_t safetensors_kept_most(size_t length);

/* Opens a file and checks its header. The caller provides *st. Pair: safetensors_close. */
vecmill_status safetensors_open(const char *path, struct safetensors *st, vecmill_err *err);
void safetensors_close(struct safetensors *st);

/* The tensor of this name, or NULL. */
struct safetensor *safetensors_find(const struct safetensors *st, const char *name);

/* Elements first .. first + n of an F32, F16 or BF16 tensor as fp32 (exact) into out[n]. E_MODEL,
 * naming the tensor, for another dtype, a file that ends early, or a value that is not finite. */
vecmill_status safetensors_read(const struct safetensor *tensor, uint64_t first, size_t n,
                                float *out, vecmill_err *err);

/* Widens n values at data (dtype F32, F16 or BF16, little-endian) to out. data may be at the end of
 * out itself: &out[n] minus the values' bytes. */
void safetensors_widen(enum safetensors_dtype dtype, const void *data, size_t n, float *out);

/* Writes a tensor's shape as "[30522, 384]" to text. */
#define SAFETENSORS_SHAPE_TEXT (SAFETENSORS_RANK_MAX * 22 + 3)
void safetensors_shape_text(const uint64_t *shape, uint32_t rank, char *text);

/* The end of a path that fits a message: all of it up to 96 bytes, else its last whole parts. */
const char *model_path_shown(const char *path);

#endif
