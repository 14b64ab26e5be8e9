/* Every border between two reads, at every byte of what a format escapes.
 *
 * A reader gets its text in chunks. Each file here holds one row again and again, for more than two of
 * the largest chunks there are, after a first row that is a byte longer from file to file. So the borders
 * of the chunks fall at each byte of the row once, wherever they are. */
#include "job_kit.h"

#include "job/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FILE_BYTES = 600000, ROW_MOST = 64 }; /* a chunk has 256 KiB */

struct row {
    const char *format, *before, *first_after; /* the first row: x, between these */
    const char *row;                           /* which ends with what ends or begins a row */
    const char *end;
    const char *text, *id; /* what the row is */
};

static const struct row rows[] = {
    {"txt", "", "\n", "ab \xC3\xA4\xF0\x9F\x98\x80\r\n", "", "ab \xC3\xA4\xF0\x9F\x98\x80", NULL},
    {"csv", "text,id\n", ",1\n", "\"a, \"\"b\"\"\r\nc\",\"\"\"d\"\"\"\r\n", "", "a, \"b\"\r\nc",
     "\"\\\"d\\\"\""},
    {"tsv", "text\tid\n", "\t1\n", "\"a\"\"\t\n\"\t5\n", "", "a\"\t\n", "\"5\""},
    {"jsonl", "{\"text\":\"", "\"}\n",
     "{\"text\":\"a\\\"\\\\\\ud83d\\ude00\xC3\xA4\",\"id\":\"e\\u00e9\"}\r\n", "",
     "a\"\\\xF0\x9F\x98\x80\xC3\xA4", "\"e\\u00e9\""},
    {"json", "[{\"text\":\"", "\"}", ",{\"text\":\"]}\\\"\\\\\",\"x\":[{\"\\\\\":1}]}", "]",
     "]}\"\\", NULL},
};

struct expected {
    const struct row *row;
    size_t first_bytes;
    uint64_t n;
};

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)err;
    struct expected *e = context;
    assert_int_equal(index, e->n);
    if (reason) print_error("%s, row %d: %s\n", e->row->format, (int)index, reason);
    assert_null(reason);
    e->n++;
    if (index == 0) {
        assert_int_equal(doc.bytes, e->first_bytes);
        return VECMILL_OK;
    }
    assert_int_equal(doc.bytes, strlen(e->row->text));
    assert_memory_equal(doc.text, e->row->text, doc.bytes);
    if (e->row->id) assert_string_equal(id, e->row->id);
    return VECMILL_OK;
}

static void rows_across_every_border(void **state)
{
    (void)state;
    static char data[FILE_BYTES + 4 * ROW_MOST];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        const size_t row_bytes = strlen(r->row);
        assert_true(row_bytes <= ROW_MOST);
        for (size_t first = 1; first <= row_bytes; first++) {
            uint64_t n = 1;
            size_t used = (size_t)snprintf(
                data, sizeof data, "%s%.*s%s", r->before, (int)first,
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", r->first_after);
            for (; used < FILE_BYTES; n++) {
                memcpy(data + used, r->row, row_bytes);
                used += row_bytes;
            }
            memcpy(data + used, r->end, strlen(r->end));
            used += strlen(r->end);
            const struct job_options o = {.input = kit_path("rows"), .input_format = r->format};
            struct expected e = {.row = r, .first_bytes = first};
            vecmill_err err = {.message = ""};
            kit_write(o.input, data, used);
            const vecmill_status status = job_each(&o, on_document, &e, &err);
            if (status != VECMILL_OK)
                printf("%s, first row %zu: %s\n", r->format, first, err.message);
            assert_int_equal(status, VECMILL_OK);
            assert_int_equal(e.n, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_across_every_border)};
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-borders: %d passed, %d failed\n", 1 - failed, failed);
    return failed;
}
