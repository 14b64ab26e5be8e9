/* needs: dep_job */
/* fuzz_lines: lines of text in any encoding, packed or not, with or without marks. What is named UTF-8 is
 * split a second time here, the simple way, and must be the same. The first byte chooses the most bytes of a
 * line, the second the encoding. */
#include "job/job.h"
#include "job/sniff.h"

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

static bool has_mark(const char *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;
}

/* The text that is still to come; NULL: not known. */
struct rest {
    const char *text;
    size_t bytes;
    uint64_t most_bytes;
    char end; /* of its lines */
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
    const char *newline = memchr(rest->text, rest->end, rest->bytes);
    const size_t taken = newline != NULL ? (size_t)(newline - rest->text) + 1 : rest->bytes;
    const char *text = rest->text;
    size_t bytes = newline != NULL ? taken - 1 : taken;
    if (newline != NULL && bytes > 0 && rest->end == '\n' && newline[-1] == '\r') bytes--;
    if (has_mark(text, bytes)) {
        text += 3;
        bytes -= 3;
    }
    must((reason != NULL) == (bytes > rest->most_bytes));
    must(reason != NULL || (doc.bytes == bytes && memcmp(doc.text, text, bytes) == 0));
    rest->text += taken;
    rest->bytes -= taken;
    return VECMILL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const encodings[] = {
        "utf-8",  "utf-8",   NULL,        NULL,          "utf-16", "utf-16be", "utf-32", "utf-32le",
        "cp1252", "latin-1", "shift_jis", "iso-2022-jp", "cp1258", "gb18030",  "utf-7",  "euc-kr"};
    if (size < 2) return 0;
    const char *text = (const char *)data + 2, *encoding = encodings[data[1] % 16];
    const size_t bytes = size - 2;
    const int fd = memfd_create("lines", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    const struct job_options options = {.input = path,
                                        .input_format = (data[0] & 16) != 0 ? "txt.gz" : "txt",
                                        .encoding = encoding,
                                        .max_document = (uint64_t)1 << data[0] % 16};
    const unsigned char *front = data + 2;
    const enum encoding_kind mark = sniff_mark(front, bytes);
    const bool is_plain = encoding != NULL && strcmp(encoding, "utf-8") == 0 &&
                          (data[0] & 16) == 0 && sniff_magic(front, bytes) == NULL &&
                          (mark == ENCODING_ANY || mark == ENCODING_UTF8) &&
                          !(bytes == 2 && memcmp(front, "\x1F\x8B", 2) == 0);
    const size_t skipped = has_mark(text, bytes) ? 3 : 0;
    const bool is_lf = memchr(text, '\n', bytes) != NULL;
    struct rest rest = {.text = is_plain ? text + skipped : NULL,
                        .bytes = bytes - skipped,
                        .most_bytes = options.max_document,
                        .end = is_lf || memchr(text, '\r', bytes) == NULL ? '\n' : '\r'};
    const vecmill_status status = job_each(&options, on_document, &rest, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    if (is_plain) must(status == VECMILL_OK && rest.bytes == 0);
    close(fd);
    return 0;
}
