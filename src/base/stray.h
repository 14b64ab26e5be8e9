/* stray: what is in the place of a file that was not fetched whole.
 *
 * Clones without Git LFS, failed downloads and renamed files leave something else under the right name. A
 * parser would say what it expected; the reader wants to know what the file is. */
#ifndef BASE_STRAY_H
#define BASE_STRAY_H

#include <stddef.h>

#include "err.h"

/* Looks at the first `head_bytes` bytes of a file (64 are enough to tell the kind, 256 for all there is to
 * say). OK when they are none of the kinds known here; else `failure`, and the message says after `shown`
 * what the file is and what to do. For files that are JSON, text or safetensors when they are right. */
vecmill_status stray_check(const void *head, size_t head_bytes, const char *shown,
                           vecmill_status failure, vecmill_err *err);

#endif
