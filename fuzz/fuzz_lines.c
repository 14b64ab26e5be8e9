/* needs: dep_job */
/* fuzz_lines: lines of text, plain or gzip. Plain ones are split a second time here, the simple way,
 * and must be the same. The first byte chooses gzip and the most bytes of a line. */
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

/* The text that is still to come; NULL: not known. */
struct rest {
    const char *text;
    size_t bytes;
    uint64_t most_bytes;
};

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)err;
    struct rest *rest = context;
    must(id == NULL && doc.bytes <= rest->most_bytes);
    if (rest->text == NULL) return VECMILL_OK;
    must(rest->bytes > 0);
    const char *newline = memchr(rest->text, '\n', rest->bytes);
    const size_t taken = newline != NULL ? (size_t)(newline - rest->text) + 1 : rest->bytes;
    size_t bytes = newline != NULL ? taken - 1 : taken;
    if (newline != NULL && bytes > 0 && newline[-1] == '\r') bytes--;
    must((reason != NULL) == (bytes > rest->most_bytes));
    must(reason != NULL || (doc.bytes == bytes && memcmp(doc.text, rest->text, bytes) == 0));
    rest->text += taken;
    rest->bytes -= taken;
    return VECMILL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const bool gzip = (data[0] & 16) != 0;
    const char *text = (const char *)data + 1;
    const size_t bytes = size - 1;
    const int fd = memfd_create("lines", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    const struct job_options options = {.input = path,
                                        .input_format = gzip ? "txt.gz" : "txt",
                                        .max_document = (uint64_t)1 << data[0] % 16};
    const bool marked = bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;
    struct rest rest = {.text = gzip ? NULL : text + (marked ? 3 : 0),
                        .bytes = bytes - (marked ? 3 : 0),
                        .most_bytes = options.max_document};
    const vecmill_status status = job_each(&options, on_document, &rest, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    const bool wide =
        bytes >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0);
    if (!gzip) must(wide ? status == VECMILL_E_INPUT : status == VECMILL_OK && rest.bytes == 0);
    close(fd);
    return 0;
}
