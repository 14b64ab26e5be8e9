/* tree: the small text files of /proc and /sys, or of a made-up tree under another root.
 *
 * A file that is missing, unreadable, irregular, or over HOST_FILE_MAX counts as absent. Contents
 * are text that anyone may have written, and are only read. */
#ifndef HOST_TREE_H
#define HOST_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define HOST_FILE_MAX ((size_t)4 << 20) /* /proc/self/mountinfo of a machine with 20,000 mounts */

struct tree {
    const char *root; /* "" for the real machine */
    struct buf file;  /* the file read last, NUL-terminated, NUL bytes turned to spaces */
};

/* In place; pair: tree_done. */
void tree_init(struct tree *t, const char *root);
void tree_done(struct tree *t);

/* Reads root + folder + name (name may be "") into t->file. False, with errno, when there is no
 * such text. */
bool tree_read(struct tree *t, const char *folder, const char *name);

/* root + folder + name into path. False, with path empty and errno ENAMETOOLONG, when it is too
 * long. */
bool tree_path(char path[IO_PATH_MAX], const char *root, const char *folder, const char *name);

/* Opens a regular file for reading; -1 and errno. Never waits. */
int tree_open(const char *path);

/* The next piece of *rest up to `end` or the end of the text, which it terminates; NULL after the
 * last. */
char *tree_next(char **rest, char end);

/* A decimal number at the start of text, followed by white space or the end; no sign. */
bool tree_number(const char *text, uint64_t *value);

/* tree_read, then tree_number: a file that holds one number. */
bool tree_read_number(struct tree *t, const char *folder, const char *name, uint64_t *value);

#endif
