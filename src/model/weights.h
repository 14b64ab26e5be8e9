/* weights: the tensors of a model folder, in one safetensors file or in shards.
 *
 * model.safetensors is taken where it is there. Else model.safetensors.index.json says in which file each
 * tensor is (transformers, save_pretrained with max_shard_size):
 *     { "metadata": { ... }, "weight_map": { "tensor": "model-00001-of-00002.safetensors", ... } }
 *
 * Promises: hostile bytes; a shard is a file of the folder itself; what the index says is in a shard is
 * there; no name is there twice. Does not know what a tensor is for. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "safetensors.h"

#define WEIGHTS_FILE       "model.safetensors"
#define WEIGHTS_INDEX      "model.safetensors.index.json"
#define WEIGHTS_INDEX_MAX  (1u << 20) /* bytes: 4,096 tensors at 256 */
#define WEIGHTS_SHARDS_MAX 64u
#define WEIGHTS_NAME_MAX   128u /* bytes of a shard's name with the NUL */

/* The files that hold the weights: one, or the shards in the order in which the index names them first. */
struct weights_list {
    bool sharded; /* the index is a file of the weights too */
    uint32_t n;
    char (*names)[WEIGHTS_NAME_MAX]; /* [n], within the folder */
    uint32_t n_tensors;              /* of the index */
    char *tensors;                   /* their names, a NUL after each */
    uint8_t *in;                     /* [n_tensors]: which file has it */
};

/* Looks which files they are; opens the index, no weights. E_MODEL: there are none, with what is there in
 * their place. Pair: weights_list_done. */
vecmill_status weights_list(const char *dir, struct weights_list *list, vecmill_err *err);
void weights_list_done(struct weights_list *list);

struct weights {
    const char *shown; /* the one file, or the index; for messages */
    uint32_t n_files, n_tensors;
    struct safetensors *files; /* [n_files] */
    char path[IO_PATH_MAX];    /* what `shown` points into */
};

/* Opens all files and checks their headers, and the index against them. E_MODEL. *w is placed by the
 * caller. Pair: weights_close, also when this failed. */
vecmill_status weights_open(const char *dir, struct weights *w, vecmill_err *err);
void weights_close(struct weights *w);

/* The tensor of this name, or NULL. Checkpoints of before 2019 call LayerNorm's weight and bias gamma and
 * beta, and transformers takes these for those: so does this. */
struct safetensor *weights_find(const struct weights *w, const char *name);

/* The most memory that weights_open holds, when it is done and while it runs: *kept, *most. Reads the
 * index and eight bytes of each file. E_MODEL as for weights_open. */
vecmill_status weights_most(const char *dir, size_t *kept, size_t *most, vecmill_err *err);

#endif
