/* torch_file: a state dict as torch.save has written it since PyTorch 1.6.
 *
 * A zip archive (torch_zip.h) whose folder has
 *     data.pkl     a pickle: a dict of names to tensors, each a range of a storage (torch_pickle.h)
 *     data/KEY     the bytes of a storage
 *     byteorder    "little"; older versions do not write it
 * and files that change nothing (version, .format_version, .data/serialization_id).
 *
 * Tensors may share a storage, and lie in it in any order. The dict must be the state dict itself:
 * transformers passes what torch.load returns on as it is, and finds no tensor in a dict that has
 * it under "state_dict". Refused by name: the format of before 1.6, TorchScript, modules, strided
 * tensors, big-endian files. Nothing of a file is ever executed. */
#ifndef MODEL_TORCH_FILE_H
#define MODEL_TORCH_FILE_H

#include "tensor.h"

extern const struct tensor_format torch_format;

#endif
