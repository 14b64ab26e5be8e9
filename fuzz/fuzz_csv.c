/* needs: dep_job */
/* fuzz_csv: CSV of any bytes. What is kept must fit where it is kept; ids must be JSON. The first byte
 * chooses the most bytes of a record, columns by name or by number, and the delimiter. */
#include "job/jline.h"
#include "job/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

struct seen {
    uint64_t n, most_bytes, all_bytes;
};

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)err;
    struct seen *seen = context;
    must(index == seen->n++);
    must(doc.bytes <= seen->most_bytes && (reason == NULL || doc.bytes == 0));
    must(reason == NULL || reason[0] != '\0');
    seen->all_bytes += doc.bytes;
    if (id != NULL) {
        struct jline line;
        must(strlen(id) <= JOB_ID_BYTES_MAX && utf8_valid(id, strlen(id)));
        must(jline_scan(id, strlen(id), "", NULL, "", &line, NULL) == VECMILL_OK);
        must(line.top.kind == JSON_KIND_STRING);
    }
    return VECMILL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const int fd = memfd_create("csv", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    const bool by_number = (data[0] & 16) != 0;
    const struct job_options options = {.input = path,
                                        .input_format = "csv",
                                        .field = by_number ? "2" : NULL,
                                        .id_field = by_number ? "1" : NULL,
                                        .encoding = (data[0] & 32) != 0 ? "utf-8" : NULL,
                                        .delimiter = (data[0] & 64) != 0 ? ";" : NULL,
                                        .max_document = (uint64_t)1 << data[0] % 16};
    struct seen seen = {.most_bytes = options.max_document};
    const vecmill_status status = job_each(&options, on_document, &seen, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    /* Packed, a little is much. */
    if (size > 1 && data[1] != 0x1F) must(seen.all_bytes < 2 * size && seen.n < size);
    close(fd);
    return 0;
}
