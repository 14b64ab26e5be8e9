/* torch_pickle: the tensors that the pickle of a state dict describes.
 *
 * A pickle is a program for a stack machine (CPython's module pickletools); torch.save writes it in
 * protocol 2. Here nothing is executed: REDUCE "calls" one of three names by taking note of its
 * arguments, and what a pickle of named tensors does not need is refused by its name:
 *
 *     globals  collections.OrderedDict, torch._utils._rebuild_tensor_v2, _rebuild_parameter, and
 *              torch.FloatStorage, HalfStorage, BFloat16Storage, DoubleStorage, LongStorage,
 *              IntStorage, ShortStorage, CharStorage, ByteStorage, BoolStorage, ComplexFloatStorage
 *     opcodes  PROTO 2, STOP, MARK, EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, BINPUT, LONG_BINPUT, BINGET,
 *              LONG_BINGET, BINUNICODE, BININT, BININT1, BININT2, LONG1, NONE, NEWTRUE, NEWFALSE,
 *              GLOBAL, BINPERSID, TUPLE, TUPLE1 to 3, SETITEM, SETITEMS, APPEND, APPENDS, REDUCE, and
 *              BUILD of a dict, whose state (_metadata) is passed over
 *
 * The result must be one dict of names to tensors (torch's modules _utils and serialization). A
 * value takes four bytes: its kind, and where the pickle has it. Memory is torch_pickle_most of the
 * pickle's size, whatever the pickle does; no loop is deeper than its text. Does not know where a
 * storage's bytes are. */
#ifndef MODEL_TORCH_PICKLE_H
#define MODEL_TORCH_PICKLE_H

#include "tensor.h"

#define TORCH_PICKLE_MAX (2u << 20) /* bytes: 4,096 tensors at 512 */
#define TORCH_KEY_MAX    20u        /* digits of a storage's key */

struct torch_pickle {
    const unsigned char *data; /* the pickle, borrowed */
    size_t bytes;
    const char *shown;
    uint32_t *words,
        *memo; /* one block: the records from the left, the stack from the right; memo */
    uint32_t n_words, n_records, n_stack, n_memo, n_dicts;
    uint32_t root; /* the dict that is the result */
};

/* A tensor as it is described. Strides and sizes are in elements of the storage. */
struct torch_tensor {
    const char *name; /* in the pickle, valid UTF-8 without NUL, not terminated */
    uint32_t name_bytes;
    enum tensor_dtype dtype;
    char key[TORCH_KEY_MAX + 1]; /* of its storage: the entry data/KEY */
    uint64_t storage;            /* elements of it */
    uint64_t offset;             /* of the tensor's first */
    uint32_t rank;
    uint64_t shape[TENSOR_RANK_MAX];
    uint64_t elements;
};

/* The most memory that torch_pickle_open takes for a pickle of this size. */
size_t torch_pickle_most(size_t bytes);

/* Runs the machine over a whole pickle of at most TORCH_PICKLE_MAX bytes, which must stay. E_MODEL.
 * The caller provides *p. Pair: torch_pickle_close, also after a failure. */
vecmill_status torch_pickle_open(const void *pickle, size_t bytes, const char *shown,
                                 struct torch_pickle *p, vecmill_err *err);
void torch_pickle_close(struct torch_pickle *p);

/* Entries of the result, one a call; *items is zero at first. *found: false after the last, else
 * *tensor is filled and checked: row-major without gaps, within its storage, every product without
 * wrapping. A name may come twice. E_MODEL: an entry is something else. */
struct torch_items {
    uint32_t at, left; /* in the records; of the items there */
};
vecmill_status torch_pickle_next(const struct torch_pickle *p, struct torch_items *items,
                                 bool *found, struct torch_tensor *tensor, vecmill_err *err);

#endif
