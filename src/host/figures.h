/* figures: lines of text, and the numbers in them, read through a fixed buffer.
 *
 * Allocates nothing, never waits, keeps at most LINES_BYTES of a line. For files that are read
 * often or are too long to keep; tree.h reads whole files. */
#ifndef HOST_FIGURES_H
#define HOST_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_BYTES 8192u /* a mapping with a path of 4,096 bytes, some of them escaped */

struct lines {
    int fd;
    size_t at, end;
    bool over;   /* the end of the file, or a failure, was seen */
    bool failed; /* part of the file could not be read */
    bool in_cut; /* the rest of a line over LINES_BYTES is to be skipped */
    bool torn;   /* the last line has no newline */
    char data[LINES_BYTES + 1];
};

/* False, with errno, when there is no such regular file. Pair: lines_close. */
bool lines_open(struct lines *l, const char *path);

/* The next line without its newline, terminated, with NUL bytes turned to spaces (as tree_read
 * does). Valid until the next call; NULL after the last. */
char *lines_next(struct lines *l);

void lines_close(struct lines *l);

/* A line of a file that begins with `key`, including its separator ("active_file ", "VmPTE:"),
 * followed by white space and a decimal number. The first such line counts. */
struct figure {
    const char *key;
    uint64_t value; /* in bytes, where the number is followed by " kB" */
    bool found;
};

/* Fills in what is found. False, with errno, when the file cannot be read. */
bool figures_read(const char *path, struct figure *figures, unsigned n);

/* The number at the start of text, in the form that a figure has. */
bool figures_number(const char *text, uint64_t *value);

#endif
