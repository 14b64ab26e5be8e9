/* seen: what was found out about a pack, kept next to it as PACK.seen, so that it need not be found
 * out again.
 *
 * Saves time and is never required: where it is missing, cannot be written, is damaged or
 * another's, all it says is found out anew. Private to engine. */
#ifndef ENGINE_SEEN_H
#define ENGINE_SEEN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/base.h"

#define SEEN_DIGITS ((size_t)32)

struct seen {
    char stamp[SEEN_DIGITS + 1];  /* model_stamp of the model's files; "": nothing is known */
    char digest[SEEN_DIGITS + 1]; /* model_digest of them then */
    char proven[SEEN_DIGITS +
                1]; /* seen_stamp of the pack when its checksums were compared; "": never */
};

/* io_stamp of a file, as digits. */
void seen_stamp(const struct stat *file, char stamp[SEEN_DIGITS + 1]);

/* What is kept next to the pack of this path; of what is not, nothing is known. trusted: whether that file's
 * owner is believed. */
void seen_read(const char *pack, bool (*trusted)(const void *context, const struct stat *file),
               const void *context, struct seen *seen);

/* Keeps it, if that can be. */
void seen_write(const char *pack, const struct seen *seen);

#endif
