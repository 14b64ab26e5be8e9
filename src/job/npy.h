/* npy: NumPy's array file format, for rows of numbers.
 *
 * The format is numpy/lib/format.py's docstring: magic, version, length of the header, the header (a
 * Python dictionary), the data. Promises: what is written is byte for byte what numpy.save writes. Every
 * number that is read is checked against the file before a pointer is made of it. */
#ifndef JOB_NPY_H
#define JOB_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "vecmill.h"

#define NPY_HEADER_BYTES 128u   /* as written, for any number of rows */
#define NPY_HEADER_MAX   10000u /* of what is read; numpy's own limit (max_header_size) */

/* The header of n rows of dim elements of this type, in C order. Bits are eight to a byte, so that dim / 8,
 * rounded up, is the second axis of BINARY ('|i1') and UBINARY ('|u1'). Its size does not depend on n, so
 * rows are streamed after it, and it is written again when n is known. */
void npy_header(uint64_t n, uint32_t dim, vecmill_dtype dtype, char out[NPY_HEADER_BYTES]);

/* The header of [n] '<i8', likewise. */
void npy_offsets_header(uint64_t n, char out[NPY_HEADER_BYTES]);

/* Of any array: NumPy's word for the elements, and its shape as Python writes it, "(3,)"; 48 bytes in all. */
void npy_array_header(const char *descr, const char *shape, char out[NPY_HEADER_BYTES]);

struct npy {
    uint64_t n;
    uint32_t dim; /* the second axis */
    vecmill_dtype
        dtype;     /* FLOAT32, FLOAT16, INT8 or UINT8; whether bytes are bits it does not say */
    size_t offset; /* of the first row, a multiple of an element's bytes */
};

/* Reads the header at the front of a whole file in memory. `name` is for messages. E_INPUT. */
vecmill_status npy_read(const void *data, size_t bytes, const char *name, struct npy *npy,
                        vecmill_err *err);

/* The same of [n] '<i8': the first is *offset bytes into the file, a multiple of 8. */
vecmill_status npy_read_offsets(const void *data, size_t bytes, const char *name, uint64_t *n,
                                size_t *offset, vecmill_err *err);

#endif
