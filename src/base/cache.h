/* cache: where vecmill keeps files that can be made again. */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include "err.h"
#include "io.h"

/* $VECMILL_CACHE, else $XDG_CACHE_HOME/vecmill, else ~/.cache/vecmill ($HOME, else the user's entry
 * in the password file), into out[IO_PATH_MAX]. Empty variables count as unset. A relative
 * XDG_CACHE_HOME is ignored, as its specification says. Creates nothing. */
vecmill_status cache_dir(char *out, vecmill_err *err);

#endif
