/* What a run may do to the files and pipes around it: a reader that stalls, names that are its own
 * input, signals while it waits, and what a killed run left. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"

#include "../kit/test_chance.h"
#include "../kit/test_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM 3u /* floats a vector */

static atomic_int stop;
static int alarm_pipe[2]; /* a pipe that takes a byte at each alarm */

static void on_alarm(int number)
{
    (void)number;
}

static void on_alarm_tell(int number)
{
    const ssize_t n = write(alarm_pipe[1], "a", 1);
    (void)number, (void)n;
}

static void on_alarm_stop(int number)
{
    (void)number;
    atomic_store(&stop, 1);
}

/* Signals come again and again, so that none is lost to a race, and interrupt system calls. */
static void alarms(void (*handler)(int), unsigned us)
{
    const struct sigaction action = {.sa_handler = handler};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    ualarm(us, us);
}

static vecmill_status run(const struct job_options *options, vecmill_err *err)
{
    vecmill_pool pool = {.dim = DIM};
    const struct job_hooks hooks = {.stop = &stop};
    struct job_progress summary;
    err->message[0] = 0;
    return job_run(options, &pool, &hooks, &summary, err);
}

static void many_lines(const char *name, int n)
{
    FILE *file = fopen(kit_path(name), "w");
    assert_non_null(file);
    for (int i = 0; i < n; i++)
        fprintf(file, "document %d\n", i);
    fclose(file);
}

static void remove_all(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        unlink(kit_path(names[i]));
    assert_int_equal(kit_count(), 0);
}

/* A child's exit status; -1 when it hangs and had to be killed. */
static int ends_with_status(pid_t child)
{
    for (unsigned i = 0; i < TEST_HANG_MS / 10; i++) {
        int how;
        const pid_t ended = waitpid(child, &how, WNOHANG);
        if (ended == child) return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
        assert_true(ended == 0 || errno == EINTR);
        usleep(10000);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return -1;
}

/* Stopped when it waits for its reader the third time. */
static bool stop_at_wait(const struct pollfd *fds, nfds_t n, int ms)
{
    static unsigned n_waits;
    if (n == 1 && fds[0].events == POLLOUT && ms > 0 && test_is_quiet(fds) && ++n_waits == 3)
        atomic_store(&stop, 1);
    return false;
}

/* In a child: a run to the pipe, stopped while it waits for its reader unless `patient`. */
static pid_t run_to_pipe(const char *in, int fd, bool patient)
{
    const struct job_options options = {.input = kit_path(in), .output = "-"};
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    signal(SIGPIPE, SIG_IGN);
    dup2(fd, STDOUT_FILENO);
    atomic_store(&stop, 0);
    if (!patient) test_on_poll = stop_at_wait;
    alarms(on_alarm, 200000);
    vecmill_err err;
    const vecmill_status status = run(&options, &err);
    const bool told = status != VECMILL_E_STOPPED ||
                      strstr(err.message, "waiting for the reader of standard output") != NULL;
    _exit(told ? (int)status : 99);
}

static void a_stalled_reader(void **state)
{
    (void)state;
    static const int flags[] = {0, O_NONBLOCK};
    /* More than a pipe holds; and little, behind a pipe that is full already. */
    static const int lines[] = {5000, 2};
    for (size_t i = 0; i < 4; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        if (i / 2 == 1) {
            static const char some[4096];
            assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
            while (write(ends[1], some, sizeof some) > 0) {
            }
        }
        assert_int_equal(fcntl(ends[1], F_SETFL, flags[i % 2]), 0);
        many_lines("in.txt", lines[i / 2]);
        const pid_t child = run_to_pipe("in.txt", ends[1], false);
        assert_int_equal(ends_with_status(child), VECMILL_E_STOPPED);
        close(ends[0]);
        close(ends[1]);
    }
    remove_all((const char *const[]){"in.txt"}, 1);
}

/* Signals and a pipe that is often full change nothing of what arrives. */
static void a_slow_reader(void **state)
{
    (void)state;
    enum { N = 5000 };
    static const int flags[] = {0, O_NONBLOCK};
    for (size_t i = 0; i < 2; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(fcntl(ends[1], F_SETFL, flags[i]), 0);
        many_lines("in.txt", N);
        const pid_t child = run_to_pipe("in.txt", ends[1], true);
        close(ends[1]);
        usleep(300000);
        static char data[4 << 20];
        size_t bytes = 0;
        for (;;) {
            const ssize_t got = read(ends[0], data + bytes, 10000);
            assert_true(got >= 0);
            if (got == 0) break;
            bytes += (size_t)got;
            assert_true(bytes < sizeof data - 10000);
        }
        data[bytes] = 0;
        close(ends[0]);
        assert_int_equal(ends_with_status(child), VECMILL_OK);
        const char *line = data;
        for (int row = 0; row < N; row++) {
            char front[64];
            const int n = snprintf(front, sizeof front, "{\"id\":%d,\"embedding\":[", row);
            assert_memory_equal(line, front, (size_t)n);
            line = strchr(line, '\n');
            assert_non_null(line);
            line++;
        }
        assert_int_equal(*line, 0);
    }
    remove_all((const char *const[]){"in.txt"}, 1);
}

/* Reads one line of at most room - 1 bytes; false when none comes. */
static bool read_line(int fd, char *line, size_t room)
{
    size_t n = 0;
    while (n + 1 < room) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)TEST_HANG_MS) <= 0 || read(fd, line + n, 1) != 1) return false;
        if (line[n++] == '\n') break;
    }
    line[n] = 0;
    return true;
}

/* Whoever types a line gets its vector before the next one, also while one is half typed. */
static void a_line_gets_its_vector_at_once(void **state)
{
    (void)state;
    int in[2], out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        vecmill_pool pool = {.dim = DIM, .late = 5};
        const struct job_options options = {.input = "-", .output = "-"};
        struct job_progress summary;
        _exit((int)job_run(&options, &pool, NULL, &summary, NULL));
    }
    close(in[0]);
    close(out[1]);
    static const char *const typed[] = {"first\n", "second\nthi", "rd\n", "four\nfive\nsi", "x"};
    static const int n_lines[] = {1, 1, 1, 2, 0};
    int index = 0;
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        assert_true(write(in[1], typed[i], strlen(typed[i])) > 0);
        for (int k = 0; k < n_lines[i]; k++) {
            char line[256], front[64];
            if (!read_line(out[0], line, sizeof line)) fail_msg("no vector of line %d", index);
            snprintf(front, sizeof front, "{\"id\":%d,\"embedding\":[", index++);
            assert_memory_equal(line, front, strlen(front));
        }
    }
    close(in[1]);
    char line[256];
    assert_true(read_line(out[0], line, sizeof line));
    assert_memory_equal(line, "{\"id\":5,", 8);
    assert_int_equal(ends_with_status(child), VECMILL_OK);
    close(out[0]);
}

static void standard_output_is_the_input(void **state)
{
    (void)state;
    kit_input("in.txt", "a\nb\n");
    const struct job_options options = {.input = kit_path("in.txt"), .output = "-"};
    const int fd = open(kit_path("in.txt"), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fd, STDOUT_FILENO);
        vecmill_err err = {.message = ""};
        const bool refused = job_check(&options, NULL, &err) == VECMILL_E_OUTPUT &&
                             run(&options, &err) == VECMILL_E_OUTPUT &&
                             strstr(err.message, "standard output: is the input of this run") &&
                             strstr(err.message, "in.txt");
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(ends_with_status(child), 0);
    close(fd);
    char *data = kit_read(kit_path("in.txt"), NULL);
    assert_string_equal(data, "a\nb\n");
    free(data);
    remove_all((const char *const[]){"in.txt"}, 1);
}

/* Each name that a run makes, as its input: refused, and the input is untouched. */
static void the_input_is_in_the_way(void **state)
{
    (void)state;
    static const char *const names[] = {
        "out.npy", "out.npy.part", "out.npy.ids.jsonl", "out.npy.ids.jsonl.part",
        "e.jsonl", "e.jsonl.part", "out.npy.journal",   "out.npy.journal.part",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int linked = 0; linked < 2; linked++) {
            const char *in = kit_path(linked ? "in" : names[i]);
            kit_write(in, "\"a\"\n5\n", 6);
            if (linked) assert_int_equal(link(in, kit_path(names[i])), 0);
            const struct job_options options = {.input = in,
                                                .input_format = "jsonl",
                                                .output = kit_path("out.npy"),
                                                .errors = kit_path("e.jsonl")};
            vecmill_err err = {.message = ""};
            assert_int_equal(job_check(&options, NULL, &err), VECMILL_E_OUTPUT);
            kit_assert_message(&err, in);
            assert_int_equal(run(&options, &err), VECMILL_E_OUTPUT);
            char expected[64];
            snprintf(expected, sizeof expected, "/%s: is the input of this run, ", names[i]);
            kit_assert_message(&err, expected);
            char *data = kit_read(in, NULL);
            assert_string_equal(data, "\"a\"\n5\n");
            free(data);
            assert_int_equal(kit_count(), linked ? 2 : 1);
            unlink(in);
            unlink(kit_path(names[i]));
        }
    }
    /* The errors may not be what the output is while it is written, either. */
    kit_input("in.txt", "a\n");
    static const char *const errors[] = {"out.npy.part", "./out.npy", "out.npy.ids.jsonl.part"};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const struct job_options options = {.input = kit_path("in.txt"),
                                            .output = kit_path("out.npy"),
                                            .errors = kit_path(errors[i])};
        vecmill_err err = {.message = ""};
        assert_int_equal(job_check(&options, NULL, &err), VECMILL_E_USAGE);
        kit_assert_message(&err, "cannot be the file of errors too");
    }
    remove_all((const char *const[]){"in.txt"}, 1);
}

static void own_paths(void **state)
{
    (void)state;
    kit_input("in.txt", "a\n");
    kit_input("else", "");
    struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    static const char *const own[] = {
        "in.txt",
        "out.npy",
        "out.npy.part",
        "out.npy.ids.jsonl",
        "out.npy.ids.jsonl.part",
        "out.npy.errors.jsonl",
        "out.npy.errors.jsonl.part",
        "out.npy.journal",
        "out.npy.journal.part",
        "./out.npy",
        "./in.txt",
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!job_is_own_path(&options, kit_path(own[i]))) fail_msg("%s is its own", own[i]);
    assert_false(job_is_own_path(&options, kit_path("else")));
    assert_false(job_is_own_path(&options, kit_path("missing")));
    assert_false(job_is_own_path(&options, kit_path("missing/out.npy")));
    assert_false(job_is_own_path(&options, "out.npy"));
    assert_false(job_is_own_path(&options, "/dev/null"));

    /* By being the same file: a link to the input, to the output, to where the output leads. */
    assert_int_equal(link(kit_path("in.txt"), kit_path("link")), 0);
    assert_true(job_is_own_path(&options, kit_path("link")));
    unlink(kit_path("link"));
    assert_int_equal(symlink("in.txt", kit_path("link")), 0);
    assert_true(job_is_own_path(&options, kit_path("link")));
    unlink(kit_path("link"));
    assert_int_equal(symlink("else", kit_path("out.npy")), 0);
    assert_true(job_is_own_path(&options, kit_path("else")));
    assert_true(job_is_own_path(&options, kit_path("else.part")));
    assert_true(job_is_own_path(&options, kit_path("out.npy")));

    options.errors = kit_path("e");
    options.output = "-";
    assert_true(job_is_own_path(&options, kit_path("e.part")));
    assert_false(job_is_own_path(&options, kit_path("out.npy")));
    remove_all((const char *const[]){"in.txt", "else", "out.npy"}, 3);
}

/* A FIFO without a writer, as the input. */
static void signals_while_opening(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(kit_path("in.txt"), 0666), 0);
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    vecmill_err err;
    alarms(on_alarm_stop, 100000);
    const vecmill_status stopped = run(&options, &err);
    ualarm(0, 0);
    assert_int_equal(stopped, VECMILL_E_STOPPED);
    kit_assert_message(&err, "stopped while opening /tmp/");
    assert_int_equal(kit_count(), 1);
    atomic_store(&stop, 0);

    /* A signal that stops nothing is no failure: the writer comes after the fourth. */
    assert_int_equal(pipe(alarm_pipe), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char some[4];
        for (size_t n = 0; n < sizeof some;) {
            const ssize_t got = read(alarm_pipe[0], some, sizeof some - n);
            if (got <= 0) _exit(2);
            n += (size_t)got;
        }
        const int fd = open(kit_path("in.txt"), O_WRONLY | O_CLOEXEC);
        _exit(fd >= 0 && write(fd, "a\n", 2) == 2 ? 0 : 1);
    }
    alarms(on_alarm_tell, 50000);
    const vecmill_status status = run(&options, &err);
    ualarm(0, 0);
    assert_int_equal(status, VECMILL_OK);
    assert_int_equal(ends_with_status(child), 0);
    close(alarm_pipe[0]);
    close(alarm_pipe[1]);
    remove_all((const char *const[]){"in.txt", "out.npy"}, 2);
}

static void what_a_killed_run_left(void **state)
{
    (void)state;
    static const char *const left[] = {"out.npy.ids.jsonl.part", "out.npy.errors.jsonl.part"};
    kit_input("in.txt", "a\n");
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    vecmill_err err;
    for (size_t i = 0; i < 2; i++)
        kit_input(left[i], "half");
    assert_int_equal(run(&options, &err), VECMILL_OK);
    assert_int_equal(kit_count(), 2);

    /* One that another process is writing is none of these. */
    kit_input(left[1], "half");
    const int fd = open(kit_path(left[1]), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(run(&options, &err), VECMILL_OK);
    assert_true(kit_exists(kit_path(left[1])));
    close(fd);
    remove_all((const char *const[]){"in.txt", "out.npy", left[1]}, 3);
}

/* The summary tells what had been done, also where that is nothing. */
static void a_summary_of_failures(void **state)
{
    (void)state;
    vecmill_pool pool = {.dim = DIM};
    const struct job_options missing = {.input = kit_path("missing.txt"),
                                        .output = kit_path("out.npy")};
    struct job_progress summary = {.documents = 77, .tokens = 77};
    assert_int_equal(job_run(&missing, &pool, NULL, &summary, NULL), VECMILL_E_INPUT);
    assert_true(summary.documents == 0 && summary.tokens == 0);

    kit_input("in.txt", "a\n");
    const struct job_options nowhere = {.input = kit_path("in.txt"),
                                        .output = kit_path("missing/out.npy")};
    summary.documents = 77;
    assert_int_equal(job_run(&nowhere, &pool, NULL, &summary, NULL), VECMILL_E_OUTPUT);
    assert_int_equal(summary.documents, 0);
    assert_int_equal(summary.bytes_total, 2);
    remove_all((const char *const[]){"in.txt"}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_reader),
        cmocka_unit_test(a_slow_reader),
        cmocka_unit_test(a_line_gets_its_vector_at_once),
        cmocka_unit_test(standard_output_is_the_input),
        cmocka_unit_test(the_input_is_in_the_way),
        cmocka_unit_test(own_paths),
        cmocka_unit_test(signals_while_opening),
        cmocka_unit_test(what_a_killed_run_left),
        cmocka_unit_test(a_summary_of_failures),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-out: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
