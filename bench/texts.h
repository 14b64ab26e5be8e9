/* texts: what the benchmarks embed, a document a line. */
#ifndef BENCH_TEXTS_H
#define BENCH_TEXTS_H

#include <stddef.h>

#include "vecmill.h"

struct texts {
    vecmill_doc *docs; /* [n]; they live as long as the process */
    size_t n;
};

/* The lines of a file of at most 1 GiB; what follows the last line's end is left out. Ends the program, with
 * its name and a reason, when the file cannot be read or has no line. */
struct texts texts_read(const char *program, const char *path);

#endif
