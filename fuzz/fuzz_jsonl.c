/* needs: dep_job */
/* fuzz_jsonl: lines of JSON. Each line is read alone beside jansson, the oracle, and all of them as an
 * input, of lines and of values over lines. The first byte chooses the most bytes of a line. */
#include "job/jline.h"
#include "job/job.h"

#include <jansson.h>
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

/* What jansson has no place for, and a line may hold. */
static bool only_jansson_refuses(const json_error_t *error)
{
    const enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_invalid_utf8 || strstr(error->text, "invalid Unicode") != NULL;
}

/* NaN, Infinity and -Infinity, which jansson does not know, made zeros and blanks. */
static json_t *oracle(const char *text, size_t bytes, json_error_t *error)
{
    static const char *const words[] = {"NaN", "Infinity"};
    char *copy = malloc(bytes + 1);
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (char *at = copy; (at = strstr(at, words[w])) != NULL;) {
            memset(at, ' ', strlen(words[w]));
            *at = '0';
        }
    json_t *value = json_loadb(copy, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
    free(copy);
    return value;
}

static bool has_word(const char *text, size_t bytes)
{
    return memmem(text, bytes, "NaN", 3) != NULL || memmem(text, bytes, "Infinity", 8) != NULL;
}

static void compare(const char *text, size_t bytes)
{
    struct jline line;
    vecmill_err err = {.status = VECMILL_OK};
    const bool mine = jline_scan(text, bytes, "text", "id", &line, &err) == VECMILL_OK;
    if (memchr(text, '\0', bytes) != NULL) {
        must(!mine); /* jansson passes over a NUL behind a number */
        return;
    }
    json_error_t error;
    json_t *value = oracle(text, bytes, &error);
    if (!mine) {
        /* "1NaN" is nothing to the one, and 10 to the other. */
        must(value == NULL || has_word(text, bytes) ||
             strstr(err.message, "JSON_DEPTH_MAX") != NULL ||
             strstr(err.message, "occurs twice") != NULL);
    } else if (value == NULL) {
        must(only_jansson_refuses(&error));
    } else {
        const struct json_value *string = line.top.kind == JSON_KIND_STRING ? &line.top : &line.field;
        const json_t *theirs = json_is_object(value) ? json_object_get(value, "text") : value;
        must((string->kind == JSON_KIND_STRING) == json_is_string(theirs));
        if (string->kind == JSON_KIND_STRING && !has_word(text, bytes)) {
            char *out = malloc(string->bytes);
            uint64_t replaced = 0;
            const size_t n = json_decode(string, out, &replaced);
            must(replaced == 0 && n == json_string_length(theirs) &&
                 memcmp(out, json_string_value(theirs), n) == 0);
            free(out);
        }
    }
    json_decref(value);
}

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)err;
    const struct job_options *options = context;
    must(doc.bytes <= options->max_document && (reason == NULL || doc.bytes == 0));
    must(reason == NULL || reason[0] != '\0');
    if (id != NULL) {
        struct jline line;
        must(strlen(id) <= JOB_ID_BYTES_MAX && utf8_valid(id, strlen(id)));
        must(jline_scan(id, strlen(id), "", "", &line, NULL) == VECMILL_OK);
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
        compare(text + at, bytes);
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
    options.input_format = "json";
    must(lseek(fd, 0, SEEK_SET) == 0);
    status = job_each(&options, on_document, &options, NULL);
    must(status == VECMILL_OK || status == VECMILL_E_INPUT);
    close(fd);
    return 0;
}
