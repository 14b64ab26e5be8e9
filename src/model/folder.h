/* folder: which files a model folder has, and what a pack's key says about them. */
#ifndef MODEL_FOLDER_H
#define MODEL_FOLDER_H

#include "base/base.h"

/* The path of the weights into path[IO_PATH_MAX]; E_MODEL when they are missing, with what is there in
 * their place (shards, another format). */
vecmill_status folder_weights(const char *dir, char *path, vecmill_err *err);

#endif
