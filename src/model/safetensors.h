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
 * whatever the header says. */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "tensor.h"

extern const struct tensor_format safetensors_format;

/* Checks a header: `head` has the file's first head_bytes bytes, at least 8 + N, of a file of
 * file_bytes. For fuzzing and tests; the tensors are in the order of their data. Pair:
 * tensor_file_close. */
vecmill_status safetensors_parse(const void *head, size_t head_bytes, uint64_t file_bytes,
                                 const char *path, struct tensor_file *st, vecmill_err *err);

#endif
