/* Lines of text and JSON: what bytes come out, and that a failed write is told once and for all. */
#include "app/app_out.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(struct app_out *out, const char *text)
{
    assert_int_equal(out->status, VECMILL_OK);
    vecmill_err err;
    assert_int_equal(buf_terminate(&out->buf, &err), VECMILL_OK);
    assert_string_equal(out->buf.data, text);
    buf_clear(&out->buf);
    out->comma = false;
}

static void commas(void **state)
{
    (void)state;
    struct app_out out;
    app_out_init(&out, -1, "nothing");
    app_json_open(&out, '{');
    app_json_key(&out, "a");
    app_json_open(&out, '[');
    app_json_close(&out, ']');
    app_json_key(&out, "b");
    app_json_open(&out, '[');
    app_json_u64(&out, UINT64_MAX);
    app_json_i64(&out, INT64_MIN);
    app_json_open(&out, '{');
    app_json_close(&out, '}');
    app_json_bool(&out, true);
    app_json_close(&out, ']');
    app_json_key(&out, "c");
    app_json_string(&out, NULL);
    app_json_close(&out, '}');
    app_json_line(&out);
    expect(&out,
           "{\"a\":[],\"b\":[18446744073709551615,-9223372036854775808,{},true],\"c\":null}\n");
    app_json_open(&out, '[');
    app_json_close(&out, ']');
    expect(&out, "[]");
    app_out_done(&out);
}

static void numbers(void **state)
{
    (void)state;
    struct app_out out;
    app_out_init(&out, -1, "nothing");
    app_json_open(&out, '[');
    app_json_real(&out, 0.125, 2);
    app_json_real(&out, -1234.5, 1);
    app_json_real(&out, (double)NAN, 1);
    app_json_real(&out, (double)INFINITY, 1);
    app_json_close(&out, ']');
    expect(&out, "[0.12,-1234.5,null,null]");
    app_out_done(&out);

    char text[APP_NUMBER_BYTES];
    assert_string_equal(app_number(0, text), "0");
    assert_string_equal(app_number(999, text), "999");
    assert_string_equal(app_number(1000, text), "1,000");
    assert_string_equal(app_number(1234567, text), "1,234,567");
    assert_string_equal(app_number(UINT64_MAX, text), "18,446,744,073,709,551,615");
    assert_string_equal(app_megabytes(21700000, text), "21.7 MB");
    assert_true(strlen(app_megabytes(UINT64_MAX, text)) < APP_NUMBER_BYTES);
}

static void texts(void **state)
{
    (void)state;
    struct app_out out;
    app_out_init(&out, -1, "nothing");
    app_json_text(&out, "", 0);
    expect(&out, "\"\"");
    app_json_text(&out, "a\"b\\c\n", 6);
    expect(&out, "\"a\\\"b\\\\c\\n\"");
    app_json_text(&out, "a\0b", 3);
    expect(&out, "\"a\\u0000b\"");
    app_json_text(&out, "\xc3\xa4", 2);
    expect(&out, "\"\xc3\xa4\"");
    app_json_text(&out, "x\xff\xfey", 4);
    expect(&out, "\"x\xef\xbf\xbd\xef\xbf\xbdy\"");
    app_json_text(&out, "cut \xe6\xbc", 6);
    expect(&out, "\"cut \xef\xbf\xbd\"");

    /* All bytes that need the most room, at a length where a wrong sum of sizes would show. */
    static char bad[5000], control[5000];
    memset(bad, 0xff, sizeof(bad));
    memset(control, 1, sizeof(control));
    app_json_text(&out, bad, sizeof(bad));
    assert_int_equal(out.buf.bytes, 3 * sizeof(bad) + 2);
    buf_clear(&out.buf);
    app_json_text(&out, control, sizeof(control));
    assert_int_equal(out.buf.bytes, 1 + 6 * sizeof(control) + 2); /* a comma before it */
    app_out_done(&out);
}

static void formatted_text_of_any_length(void **state)
{
    (void)state;
    struct app_out out;
    app_out_init(&out, -1, "nothing");
    app_print(&out, "%s", "");
    app_print(&out, "%*d|", 5000, 7);
    assert_int_equal(out.buf.bytes, 5001);
    assert_memory_equal(out.buf.data + 4998, " 7|", 3);
    app_out_done(&out);
}

static void a_failed_write_sticks(void **state)
{
    (void)state;
    struct app_out out;
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    app_out_init(&out, fd, "the full device");
    vecmill_err err;
    assert_int_equal(app_out_flush(&out, &err), VECMILL_OK); /* nothing to write */
    app_print(&out, "text");
    assert_int_equal(app_out_flush(&out, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "the full device"));
    app_print(&out, "more");
    assert_int_equal(out.buf.bytes, 0);
    err.message[0] = 0;
    assert_int_equal(app_out_flush(&out, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "the full device"));
    app_out_done(&out);
    (void)close(fd);
}

static void long_output_is_written_by_lines(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= 0);
    struct app_out out;
    app_out_init(&out, ends[1], "a pipe");
    for (unsigned i = 0; i < 10000; i++) {
        app_json_string(&out, "a line of the output");
        app_json_line(&out);
    }
    assert_true(out.buf.bytes < APP_OUT_FLUSH + 32);
    assert_int_equal(app_out_flush(&out, NULL), VECMILL_OK);
    app_out_done(&out);
    (void)close(ends[1]);
    size_t total = 0;
    char data[4096];
    for (ssize_t n; (n = read(ends[0], data, sizeof(data))) > 0;)
        total += (size_t)n;
    (void)close(ends[0]);
    assert_int_equal(total, 10000 * strlen("\"a line of the output\"\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas),
        cmocka_unit_test(numbers),
        cmocka_unit_test(texts),
        cmocka_unit_test(formatted_text_of_any_length),
        cmocka_unit_test(a_failed_write_sticks),
        cmocka_unit_test(long_output_is_written_by_lines),
    };
    const int failed = cmocka_run_group_tests_name("app-out", tests, NULL, NULL);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("app-out: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
