/* needs: dep_bench */
/* fuzz_pairs: a CSV of pairs, of any bytes. Texts must lie in the file, in order and apart from each other,
 * and scores be numbers. */
#include "bench/pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

static void check(const struct pairs *p, size_t size)
{
    const char *end = p->file.data;
    must(p->n >= 2 && p->file.bytes == size);
    for (size_t i = 0; i < 2 * p->n; i++) {
        const vecmill_doc doc = p->docs[i];
        must((doc.text == NULL) == (doc.bytes == 0));
        if (doc.bytes == 0) continue;
        must(doc.text >= end && doc.bytes <= (size_t)(p->file.data + size - doc.text));
        end = doc.text + doc.bytes;
    }
    for (size_t i = 0; i < p->n; i++)
        must(isfinite(p->scores[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = memfd_create("pairs", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    struct pairs p;
    const vecmill_status status = pairs_open(path, &p, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    if (status == VECMILL_OK) {
        check(&p, size);
        pairs_close(&p);
    }
    close(fd);
    return 0;
}
