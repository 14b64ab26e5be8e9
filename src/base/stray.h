/* stray: recognises what is in the place of a file that was not fetched properly.
 *
 * Clones without Git LFS, failed downloads and renamed files leave other content under the right
 * name. A parser would report what it expected; the user wants to know what the file is. */
#ifndef BASE_STRAY_H
#define BASE_STRAY_H

#include <stddef.h>

#include "err.h"

/* Looks at the first `head_bytes` bytes of a file (64 are enough to recognise the kind, 256 for a
 * full message). OK when they are none of the known kinds; else `failure`, and the message says
 * after `shown` what the file is and what to do. For files that should be JSON, text or
 * safetensors. */
vecmill_status stray_check(const void *head, size_t head_bytes, const char *shown,
                           vecmill_status failure, vecmill_err *err);

#endif
