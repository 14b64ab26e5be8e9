/* verify: the packs of the cache, read whole and held against their checksums. */
#ifndef APP_VERIFY_H
#define APP_VERIFY_H

#include "app.h"

/* Reads every pack below the cache folder and tells each in its order: `each` gets its path, its bytes, and
 * NULL or what is wrong with it. Changes nothing. E_IO: the folder cannot be read; one that is not there has
 * no packs. */
vecmill_status verify_packs(const char *cache,
                            void (*each)(void *context, const char *path, uint64_t bytes,
                                         const char *wrong),
                            void *context, vecmill_err *err);

#endif
