/* An input that comes a byte at a time. After each byte the reader says READER_AGAIN, and in the end it has
 * read what it reads from a file: records, positions and digests. */
#include "job_kit.h"

#include "job/job.h"
#include "job/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEN_BYTES ((size_t)64 << 10)

struct seen {
    char text[SEEN_BYTES];
    size_t used;
};

/* Appends a record and the position after it. */
static void see(struct seen *s, const struct reader *r, const struct reader_record *record)
{
    struct reader_point p;
    reader_tell(r, &p);
    s->used += (size_t)snprintf(
        s->text + s->used, SEEN_BYTES - s->used,
        "%llu line %llu [%.*s] id %s reason %s; %llu bytes %llx, line %llu, array %d\n",
        (unsigned long long)record->index, (unsigned long long)record->line, (int)record->bytes,
        record->text != NULL ? record->text : "", record->id != NULL ? record->id : "none",
        record->reason != NULL ? record->reason : "none", (unsigned long long)p.bytes,
        (unsigned long long)p.digest, (unsigned long long)p.line, p.in_array);
    assert_true(s->used < SEEN_BYTES);
}

/* How the reading ended. */
static void see_end(struct seen *s, vecmill_status status, const vecmill_err *err)
{
    s->used += (size_t)snprintf(s->text + s->used, SEEN_BYTES - s->used, "%d %s\n", (int)status,
                                status != VECMILL_OK ? strchr(err->message, ':') : "");
}

static void read_file(const struct job_options *options, struct seen *s)
{
    struct reader r;
    struct record_buf buf = {.capacity = reader_room(options)};
    enum reader_got got = READER_RECORD;
    vecmill_err err = {.message = ""};
    vecmill_status status = reader_open(&r, options, NULL, NULL, &err);
    assert_int_equal(status, VECMILL_OK);
    buf.data = malloc(buf.capacity);
    while (status == VECMILL_OK && got == READER_RECORD) {
        struct reader_record record;
        buf.used = 0;
        status = reader_next(&r, INTAKE_FOREVER, &buf, &record, &got, &err);
        if (status == VECMILL_OK && got == READER_RECORD) see(s, &r, &record);
        assert_true(status != VECMILL_OK || got != READER_AGAIN);
    }
    see_end(s, status, &err);
    free(buf.data);
    reader_close(&r);
}

/* Returns how often the reader said that there is nothing. `front` bytes come before it is opened. */
static size_t read_slowly(struct job_options options, const char *data, size_t bytes, size_t front,
                          struct seen *s)
{
    struct reader r;
    struct record_buf buf = {.capacity = reader_room(&options)};
    enum reader_got got = READER_RECORD;
    vecmill_err err = {.message = ""};
    int ends[2];
    char path[32];
    size_t n_again = 0;
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    options.input = path;
    assert_int_equal(write(ends[1], data, front), (ssize_t)front);
    vecmill_status status = reader_open(&r, &options, NULL, NULL, &err);
    assert_int_equal(status, VECMILL_OK);
    buf.data = malloc(buf.capacity);
    while (status == VECMILL_OK && got != READER_END) {
        struct reader_record record;
        buf.used = 0;
        status = reader_next(&r, 0, &buf, &record, &got, &err);
        if (status == VECMILL_OK && got == READER_RECORD) see(s, &r, &record);
        if (status != VECMILL_OK || got != READER_AGAIN) continue;
        n_again++;
        assert_true(front <= bytes); /* nothing is awaited after the end */
        if (front < bytes) assert_int_equal(write(ends[1], data + front, 1), 1);
        if (front == bytes) assert_int_equal(close(ends[1]), 0);
        front++;
    }
    if (front <= bytes) close(ends[1]);
    see_end(s, status, &err);
    free(buf.data);
    reader_close(&r);
    close(ends[0]);
    return n_again;
}

static void check_bytes(const char *format, const char *encoding, const char *data, size_t bytes,
                        size_t front)
{
    static struct seen whole, slow;
    whole.used = slow.used = 0;
    kit_write(kit_path("in"), data, bytes);
    const struct job_options options = {
        .input = kit_path("in"), .input_format = format, .encoding = encoding, .max_document = 40};
    read_file(&options, &whole);
    const size_t n_again = read_slowly(options, data, bytes, front, &slow);
    assert_string_equal(slow.text, whole.text);
    /* One for each byte, and for the end; those after a fault that ends the reading are not read. */
    const bool is_read_whole = strstr(whole.text, "\n0 ") != NULL;
    if (is_read_whole) assert_int_equal(n_again, bytes - front + 1);
    unlink(kit_path("in"));
}

/* Packed with `piece` bytes a member. */
static char *pack(const char *text, size_t bytes, size_t piece, size_t *packed_bytes)
{
    kit_write_gzip(kit_path("in.gz"), text, bytes, piece);
    char *packed = kit_read(kit_path("in.gz"), packed_bytes);
    unlink(kit_path("in.gz"));
    return packed;
}

/* The text plain, as one member of gzip, and as a member a byte. `front` bytes of text come first. */
static void check(const char *format, const char *text, size_t front)
{
    char gz[16];
    const size_t bytes = strlen(text);
    size_t packed_bytes, packed_front = 0;
    check_bytes(format, NULL, text, bytes, front);
    snprintf(gz, sizeof gz, "%s.gz", format);
    char *packed = pack(text, bytes, bytes, &packed_bytes);
    check_bytes(gz, NULL, packed, packed_bytes, front == 0 ? 0 : packed_bytes);
    free(packed);
    if (front > 0) free(pack(text, front, 1, &packed_front));
    packed = pack(text, bytes, 1, &packed_bytes);
    check_bytes(gz, NULL, packed, packed_bytes, packed_front);
    free(packed);
}

static void lines_of_text(void **state)
{
    (void)state;
    check("txt",
          "one\ntwo\r\n\n\xEF\xBB\xBF"
          "three, which is longer than a line may be here\nlast",
          0);
    check("txt",
          "\xEF\xBB\xBF"
          "old\rMacintosh\r\rlines\r",
          0);
    check("txt", "ends well\n", 0);
}

static void lines_of_json(void **state)
{
    (void)state;
    check("jsonl",
          "{\"text\": \"a\\u00e9\", \"id\": 1}\n \t\n\"b\"\nno JSON\n{\"id\": \"x\"}\r\n\n"
          "{\"id\": 7, \"text\": \"longer than a document may be, by far\"}\n{\"text\": \"c\"}",
          0);
    check("jsonl", "[\"an array\"]\n", 0);
}

static void json_over_lines(void **state)
{
    (void)state;
    check(
        "json",
        " [ {\"text\": \"a]\\\"}\",\n \"id\": [1]} , \"b\"\n,{}, 12, null ] \xEF\xBB\xBF [] \x1E\n"
        "{\"text\":\n\"c\"} \"d\" 1.5e3 true[\"e\"]\n",
        0);
    check("json", "[\"a\" \"b\"]", 0);
    check("json", "[\"a\",]", 0);
    check("json", "[\"never closed", 0);
    check("json", "12", 0);
}

static void records_of_csv(void **state)
{
    (void)state;
    const char *text = "id,text\n1,one\r\n\n2,\"t\"\"w,\r\no\"\n\xEF\xBB\xBF"
                       "3,\"x\"y\n4,a,b\n"
                       "5,\"longer than a document may be, by far\"\n6,\"\"\n7,seven\r";
    check("csv", text, strlen("id,text\n"));
    check("csv", "text\na\n\"never closed", strlen("text\n"));
    check("tsv", "text\tid\na b\t7\n\n", strlen("text\tid\n"));
}

static void other_encodings(void **state)
{
    (void)state;
    static const char utf16[] = "\xFF\xFE"
                                "a\0\n\0\xE9\0\x3D\xD8\x00\xDE\n\0\x00\xD8"
                                "b";
    check_bytes("txt", NULL, utf16, sizeof utf16, 0); /* its last character is cut off */
    check_bytes("txt", "utf-16le", utf16, sizeof utf16 - 1, 0);
    check_bytes("txt", "shift_jis", "\x83\x65\x83\x58\n\x83", 6, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_text),   cmocka_unit_test(lines_of_json),
        cmocka_unit_test(json_over_lines), cmocka_unit_test(records_of_csv),
        cmocka_unit_test(other_encodings),
    };
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job: %zu passed, %d failed\n", sizeof tests / sizeof *tests - (size_t)failed, failed);
    return failed != 0;
}
