/* needs: dep_job */
/* fuzz_jsonl: lines of JSON. Each line is read alone, and all of them as an input, of lines and of
 * values over lines. The first byte chooses the most bytes of a line. */
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

/* The text as base's reader has it. */
static vecmill_status read_text(const char *text, size_t bytes, struct json_value *top)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, text, bytes, NULL, VECMILL_E_INPUT);
    r.is_lenient = true;
    VM_TRY(json_next(&r, &key, top, NULL));
    VM_TRY(json_pass(&r, top, NULL));
    return json_end(&r, NULL);
}

static void check_line(const char *text, size_t bytes)
{
    struct jline line;
    struct json_value top;
    vecmill_err err = {.message = ""};
    const bool is_line = jline_scan(text, bytes, "text", "query", "id", &line, &err) == VECMILL_OK;
    const bool is_text = read_text(text, bytes, &top) == VECMILL_OK;
    must(is_line == (is_text && strstr(err.message, "occurs twice") == NULL));
    must(is_line || (line.top.kind == JSON_KIND_ABSENT && line.field.kind == JSON_KIND_ABSENT));
    if (line.id.kind != JSON_KIND_ABSENT)
        must(line.id.raw > text && line.id.raw + line.id.bytes < text + bytes &&
             read_text(line.id.raw, line.id.bytes, &top) == VECMILL_OK);
    if (!is_line) return;
    const struct json_value field = json_get(&line.top, "text"), id = json_get(&line.top, "id");
    must(line.field.kind == field.kind && line.field.bytes == field.bytes);
    must(line.id.kind == id.kind && line.id.bytes == id.bytes && line.id.raw == id.raw);
    if (field.kind != JSON_KIND_STRING) return;
    char *out = malloc(field.bytes);
    uint64_t replaced = 0;
    must(out != NULL && json_decode(&line.field, out, &replaced) <= field.bytes - 2);
    free(out);
}

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)err;
    const struct job_options *options = context;
    must(doc.bytes <= options->max_document && (reason == NULL || doc.bytes == 0));
    must((doc.kind == VECMILL_DOC_PAIR) == (options->query_field != NULL));
    must(doc.pair_bytes <= options->max_document - doc.bytes);
    must(reason == NULL || doc.pair_bytes == 0);
    must(reason == NULL || reason[0] != '\0');
    if (id != NULL) {
        struct jline line;
        must(strlen(id) <= JOB_ID_BYTES_MAX && utf8_valid(id, strlen(id)));
        must(jline_scan(id, strlen(id), "", NULL, "", &line, NULL) == VECMILL_OK);
    }
    return VECMILL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const unsigned shift = data[0] % 16;
    const char *text = (const char *)data + 1;
    size--;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        const size_t bytes = newline != NULL ? (size_t)(newline - text) - at : size - at;
        check_line(text + at, bytes);
        at += bytes + 1;
    }
    const int fd = memfd_create("jsonl", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, text, size) == (ssize_t)size);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    struct job_options options = {
        .input = path, .input_format = "jsonl", .max_document = (uint64_t)1 << shift};
    vecmill_status status = job_each(&options, on_document, &options, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    options.query_field = "query";
    must(lseek(fd, 0, SEEK_SET) == 0);
    status = job_each(&options, on_document, &options, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    options.query_field = data[0] & 16 ? "query" : NULL;
    options.input_format = "json";
    must(lseek(fd, 0, SEEK_SET) == 0);
    status = job_each(&options, on_document, &options, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    close(fd);
    return 0;
}
