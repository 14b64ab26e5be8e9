/* weights: the tensors of a model folder, in one file or in shards, in either format (tensor.h).
 *
 * The first of these that exists is used, as in transformers (5.24,
 * _get_resolved_checkpoint_files): model.safetensors, model.safetensors.index.json,
 * pytorch_model.bin, pytorch_model.bin.index.json. An index has the file of each tensor
 * (save_pretrained with max_shard_size):
 *     { "metadata": { ... }, "weight_map": { "tensor": "model-00001-of-00002.safetensors", ... } }
 *
 * The bytes are not trusted: a shard is a file of the folder itself, every tensor is in the shard
 * that the index says, and no name occurs twice. Does not know what a tensor is for. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "tensor.h"

#define WEIGHTS_INDEX_MAX  (2u << 20) /* bytes: 4,096 tensors at 512 */
#define WEIGHTS_SHARDS_MAX 128u
#define WEIGHTS_NAME_MAX   128u /* bytes of a shard's name with the NUL */

/* The files that hold the weights: one, or the shards in the order in which the index first names
 * them. */
struct weights_list {
    const char *index; /* the index, itself one of the files; NULL: there is none. Static. */
    uint32_t n;
    char (*names)[WEIGHTS_NAME_MAX]; /* [n], within the folder */
    uint32_t n_tensors;              /* of the index */
    char *tensors;                   /* their names, a NUL after each */
    uint8_t *in;                     /* [n_tensors]: index of its file */
};

/* Finds the files; opens the index, no weights. E_MODEL: there are none; the message says what is
 * there instead. Pair: weights_list_done. */
vecmill_status weights_list(const char *dir, struct weights_list *list, vecmill_err *err);
void weights_list_done(struct weights_list *list);

struct weights {
    const char *shown; /* the one file, or the index; for messages */
    uint32_t n_files, n_tensors;
    struct tensor_file *files; /* [n_files] */
    char path[IO_PATH_MAX];    /* what `shown` points into */
};

/* Opens all files and checks their headers, and the index against them. E_MODEL. The caller
 * provides *w. Pair: weights_close, also after a failure. */
vecmill_status weights_open(const char *dir, struct weights *w, vecmill_err *err);
/* The same of one file, whatever its name. */
vecmill_status weights_open_file(const char *path, struct weights *w, vecmill_err *err);
void weights_close(struct weights *w);

/* The tensor of this name, or NULL. Checkpoints of before 2019 call LayerNorm's weight and bias
 * gamma and beta; these names are found as well, as in transformers. */
struct tensor *weights_find(const struct weights *w, const char *name);

/* The most memory that weights_open holds when it is done, *kept, and while it runs, *most. Reads
 * the index, and of each file what tensor_file_most does. E_MODEL as for weights_open. */
vecmill_status weights_most(const char *dir, size_t *kept, size_t *most, vecmill_err *err);
/* The same for weights_open_file. */
vecmill_status weights_file_most(const char *path, size_t *kept, size_t *most, vecmill_err *err);

#endif
