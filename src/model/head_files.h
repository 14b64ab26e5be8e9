/* head_files: heads whose weights are files next to the transformer's, as FlagEmbedding saves those of
 * BGE-M3 (docs/MODEL.md, "Files of a model folder"):
 *
 *   colbert_linear.pt   a vector for each token: "weight" [n, hidden] and "bias" [n]
 *   sparse_linear.pt    a weight for each token: "weight" [1, hidden] and "bias" [1]
 *
 * or the same tensors in a file of that name that ends in .safetensors, which is preferred, as of the
 * weights. A bias may be missing. Of the files only the names and shapes of tensors are read here. */
#ifndef MODEL_HEAD_FILES_H
#define MODEL_HEAD_FILES_H

#include "config.h"
#include "ending.h"

/* Every name that is looked for; NULL after the last. */
extern const char *const head_file_names[];

/* Fills model.multi, model.weight, head_files and words of a configuration that is otherwise complete.
 * A bag, a model of scores and one of sparse weights have no such heads. E_MODEL: a file is damaged, or
 * its tensors are not of the body's width. */
vecmill_status head_files_read(const char *dir, struct config *config, vecmill_err *err);

#endif
