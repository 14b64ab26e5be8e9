/* Lines of text and JSON: what bytes come out, that a failed write is told once and for all, and that an
 * lossy output does not wait for its reader. */
#include "app/app_out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

/* ---- lossy outputs ---- */

#define N_TOLD 1000u /* waits for each of them would be past the test's timeout */

static char taken[1 << 20];

/* What lies ready at fd, terminated. */
static size_t take(int fd)
{
    size_t n = 0;
    assert_true(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    for (ssize_t got; (got = read(fd, taken + n, sizeof(taken) - 1 - n)) > 0;)
        n += (size_t)got;
    taken[n] = 0;
    return n;
}

/* Lines of 100 bytes, each flushed. Past what fits they are dropped, and counted; what is read is whole
 * lines in order; and once there is room again, lines are taken again. */
static void tell_one_who_stalls(int to, int from)
{
    struct app_out out;
    app_out_init(&out, to, "one who stalls");
    app_out_set_lossy(&out);
    assert_true(out.is_lossy);
    unsigned n_read = 0;
    for (unsigned i = 0; i < 2 * N_TOLD; i++) {
        if (i == N_TOLD) {
            assert_true(out.is_stalled);
            assert_true(out.n_dropped > 0);
            (void)take(from);
            for (char *rest = taken, *line; (line = strsep(&rest, "\n")) && rest; n_read++)
                assert_int_equal(strtoul(line, NULL, 10), n_read);
            if (out.is_begun) n_read++; /* its end is kept */
            assert_int_equal(n_read + out.n_dropped, N_TOLD);
        }
        app_print(&out, "%99u\n", i);
        assert_int_equal(app_out_flush(&out, NULL), VECMILL_OK);
        if (i == N_TOLD) assert_false(out.is_stalled);
    }
    (void)take(from);
    char expected[32];
    (void)snprintf(expected, sizeof(expected), " %u", N_TOLD);
    assert_non_null(strstr(taken, expected));
    assert_true(out.buf.bytes < 100);
    app_out_done(&out);
    assert_int_equal(fcntl(to, F_GETFL) & O_NONBLOCK, 0); /* others share it */
}

static void a_pipe_that_stalls(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    tell_one_who_stalls(ends[1], ends[0]);
    (void)close(ends[1]);
    (void)close(ends[0]);
}

/* Which cannot be opened anew, so that its writes would block. */
static void a_socket_that_stalls(void **state)
{
    (void)state;
    int ends[2];
    const int least = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    tell_one_who_stalls(ends[1], ends[0]);
    (void)close(ends[1]);
    (void)close(ends[0]);
}

/* As of a connection that is lost: it takes less than a line, and a write of a whole one would block. */
static void a_terminal_that_stalls(void **state)
{
    (void)state;
    const int from = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (from < 0 || grantpt(from) != 0 || unlockpt(from) != 0) skip(); /* none here */
    const int to = open(ptsname(from), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (to < 0) skip();
    tell_one_who_stalls(to, from);
    (void)close(to);
    (void)close(from);
}

/* The rest of a line that was begun goes first, whatever was dropped since. */
static void no_line_begins_inside_another(void **state)
{
    (void)state;
    static char line[3 * PIPE_BUF];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 2 * PIPE_BUF) >= 0);
    memset(line, 'a', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    struct app_out out;
    app_out_init(&out, ends[1], "a small pipe");
    app_out_set_lossy(&out);
    app_put(&out, line, sizeof(line));
    app_put(&out, "dropped\n", 8);
    (void)app_out_flush(&out, NULL);
    assert_int_equal(out.buf.bytes, PIPE_BUF);
    for (unsigned i = 0; i < N_TOLD; i++) {
        app_put(&out, "dropped\n", 8);
        (void)app_out_flush(&out, NULL);
    }
    assert_int_equal(out.buf.bytes, PIPE_BUF);
    assert_int_equal(out.n_dropped, 1 + N_TOLD);
    assert_int_equal(take(ends[0]), 2 * PIPE_BUF);
    app_put(&out, "next\n", 5);
    (void)app_out_flush(&out, NULL);
    assert_int_equal(take(ends[0]), PIPE_BUF + 5);
    assert_memory_equal(taken, line + 2 * PIPE_BUF, PIPE_BUF);
    assert_string_equal(taken + PIPE_BUF, "next\n");
    assert_int_equal(out.buf.bytes, 0);
    app_out_done(&out);
    (void)close(ends[1]);
    (void)close(ends[0]);
}

static void lossy_to_a_file(void **state)
{
    (void)state;
    struct app_out out;
    const int fd = memfd_create("aside", MFD_CLOEXEC);
    assert_int_equal(write(fd, "before ", 7), 7);
    app_out_init(&out, fd, "a file");
    app_out_set_lossy(&out);
    assert_false(out.is_lossy);
    app_print(&out, "behind");
    assert_int_equal(app_out_flush(&out, NULL), VECMILL_OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(take(fd), 13);
    assert_string_equal(taken, "before behind");
    app_out_done(&out);
    (void)close(fd);
}

static void a_lossy_output_that_nobody_reads(void **state)
{
    (void)state;
    int ends[2];
    vecmill_err err;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct app_out out;
    app_out_init(&out, ends[1], "a closed pipe");
    app_out_set_lossy(&out);
    (void)close(ends[0]);
    app_print(&out, "a line\n");
    assert_int_equal(app_out_flush(&out, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "a closed pipe"));
    assert_int_equal(out.n_dropped, 0);
    app_out_done(&out);
    (void)close(ends[1]);
}

/* The last sentence of a program, to a pipe that is full. */
static void a_complaint_does_not_hang(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], taken, PIPE_BUF) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    const int stderr_fd = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    app_complain("nobody reads this");
    (void)take(ends[0]);
    app_complain("what\nis \033 said");
    assert_true(dup2(stderr_fd, STDERR_FILENO) >= 0);
    (void)take(ends[0]);
    assert_string_equal(taken, "vecmill: what?is ? said\n");
    (void)close(stderr_fd);
    (void)close(ends[1]);
    (void)close(ends[0]);
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
        cmocka_unit_test(a_pipe_that_stalls),
        cmocka_unit_test(a_socket_that_stalls),
        cmocka_unit_test(a_terminal_that_stalls),
        cmocka_unit_test(no_line_begins_inside_another),
        cmocka_unit_test(lossy_to_a_file),
        cmocka_unit_test(a_lossy_output_that_nobody_reads),
        cmocka_unit_test(a_complaint_does_not_hang),
    };
    const int failed = cmocka_run_group_tests_name("app-out", tests, NULL, NULL);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("app-out: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
