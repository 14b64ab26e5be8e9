/* figures: lines of text, and the numbers in them, read through a fixed buffer.
 *
 * Promises: allocates nothing, never waits, keeps no more than LINES_BYTES of a line. For what is asked
 * often, or is longer than one would keep; tree.h reads whole files. */
#ifndef HOST_FIGURES_H
#define HOST_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_BYTES 8192u /* a mapping with a path of 4,096 bytes, some of them escaped */

struct lines {
    int fd;
    size_t at, end;
    bool over;   /* the file's end was seen, or a failure */
    bool failed; /* not all could be read */
    bool in_cut; /* the rest of a line over LINES_BYTES is to be passed over */
    bool torn;   /* the last line has no end */
    char data[LINES_BYTES + 1];
};

/* False, and errno says why, when there is no such regular file. Pair: lines_close. */
bool lines_open(struct lines *l, const char *path);

/* The next line without its end, terminated, NUL bytes in it turned to spaces (as tree_read does), valid
 * until the next call; NULL behind the last. */
char *lines_next(struct lines *l);

void lines_close(struct lines *l);

/* A line of a file that begins with `key`, its separator included ("active_file ", "VmPTE:"), and goes
 * on with white space and a decimal number; of several lines the first. */
struct figure {
    const char *key;
    uint64_t value; /* in bytes, where the number is followed by " kB" */
    bool found;
};

/* Fills in what is found; false, and errno says why, when the file is not to be read. */
bool figures_read(const char *path, struct figure *figures, unsigned n);

/* The number at the start of text, as a figure has it. */
bool figures_number(const char *text, uint64_t *value);

#endif
