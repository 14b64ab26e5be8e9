/* Whole runs against a fake engine: bytes of the outputs, what stands beside them, and what is left
 * behind by every kind of failure. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"

#include "../kit/test_clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM 3u /* floats a vector */

/* What the hooks were told. */
struct told {
    uint64_t n_failed, n_progress;
    uint64_t index;
    char place[512], reason[256];
    struct job_progress last;
};

static void on_failed(void *context, uint64_t index, const char *place, const char *reason)
{
    struct told *told = context;
    told->n_failed++;
    told->index = index;
    snprintf(told->place, sizeof told->place, "%s", place);
    snprintf(told->reason, sizeof told->reason, "%s", reason);
}

static void on_progress(void *context, const struct job_progress *progress)
{
    struct told *told = context;
    assert_true(progress->documents >= told->last.documents);
    assert_true(progress->bytes_read >= told->last.bytes_read);
    told->n_progress++;
    told->last = *progress;
}

static vecmill_status run(const struct job_options *options, struct told *told,
                          struct job_progress *summary, vecmill_err *err)
{
    vecmill_pool pool = {.dim = DIM};
    struct told nobody = {.n_failed = 0};
    const struct job_hooks hooks = {
        .progress = on_progress, .failed = on_failed, .context = told != NULL ? told : &nobody};
    struct job_progress ignored;
    err->message[0] = 0;
    return job_run(options, &pool, &hooks, summary != NULL ? summary : &ignored, err);
}

static void clean(void)
{
    static const char *const names[] = {"in.jsonl",
                                        "in.txt",
                                        "out.npy",
                                        "out.npy.ids.jsonl",
                                        "out.npy.errors.jsonl",
                                        "out.jsonl",
                                        "out.jsonl.errors.jsonl",
                                        "errors.jsonl",
                                        "out.npy.part",
                                        "out.npy.ids.jsonl.part",
                                        "out.npy.errors.jsonl.part",
                                        "out.npy.journal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(kit_path(names[i]));
    assert_int_equal(kit_count(), 0);
}

static void what_was_copied_is_not_counted_as_computed(void **state)
{
    (void)state;
    kit_input("in.txt", "a\nTWIN\nb\nTWIN\nTWIN\n");
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, NULL, &summary, &err), VECMILL_OK);
    kit_assert_npy(kit_path("out.npy"), (const char *const[]){"a", "TWIN", "b", "TWIN", "TWIN"}, 5,
                   DIM);
    assert_int_equal(summary.documents, 5);
    assert_int_equal(summary.duplicates, 3);
    assert_int_equal(summary.tokens, 2 * 2);
    clean();
}

static void npy_with_ids_and_errors(void **state)
{
    (void)state;
    kit_input("in.jsonl", "{\"text\":\"a\"}\n{\"id\":\"x\",\"text\":\"b\"}\n{\"id\":3,\"body\":1}\n"
                          "not JSON \"quoted\"\n\n\"TOO LONG\"\n\"TRUNCATE ME\"\n\"c\xFF\xFF\"\n"
                          "{\"id\":\"\\u00e4\",\"text\":\"\\ud800\"}\n");
    const struct job_options options = {.input = kit_path("in.jsonl"),
                                        .output = kit_path("out.npy")};
    struct told told = {.n_failed = 0};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(job_check(&options, NULL, &err), VECMILL_OK);
    assert_int_equal(kit_count(), 1);
    assert_int_equal(run(&options, &told, &summary, &err), VECMILL_E_PARTIAL);
    kit_assert_message(&err, "3 of 8 documents of /tmp/");
    kit_assert_message(&err, "out.npy.errors.jsonl");
    kit_assert_npy(kit_path("out.npy"),
                   (const char *const[]){"a", "b", NULL, NULL, NULL, "TRUNCATE ME", "c\xFF\xFF",
                                         "\xEF\xBF\xBD"},
                   8, DIM);
    kit_assert_text(kit_path("out.npy.ids.jsonl"),
                    "null\n\"x\"\n3\nnull\nnull\nnull\nnull\n\"\\u00e4\"\n");
    kit_assert_text(
        kit_path("out.npy.errors.jsonl"),
        "{\"index\":2,\"line\":3,\"id\":3,\"reason\":\"the object has no \\\"text\\\"\"}\n"
        "{\"index\":3,\"line\":4,\"id\":null,\"reason\":\"bad JSON at byte 2: expected true, false "
        "or "
        "null\"}\n"
        "{\"index\":4,\"line\":6,\"id\":null,\"reason\":\"the document has more tokens than the "
        "maximum (--max-length) of 256\"}\n");
    assert_int_equal(summary.documents, 8);
    assert_int_equal(summary.failed, 3);
    assert_int_equal(summary.tokens, 10);
    assert_int_equal(summary.truncated, 1);
    assert_int_equal(summary.replaced_bytes, 2 + 6);
    assert_int_equal(summary.bytes_read, summary.bytes_total);
    assert_memory_equal(&told.last, &summary, sizeof summary);
    assert_int_equal(told.n_failed, 3);
    assert_int_equal(told.index, 4);
    assert_non_null(strstr(told.place, "in.jsonl line 6"));
    assert_int_equal(kit_count(), 4);

    /* A later run that has neither ids nor errors takes the old ones away. */
    kit_input("in.jsonl", "\"a\"\n");
    assert_int_equal(run(&options, NULL, NULL, &err), VECMILL_OK);
    kit_assert_npy(kit_path("out.npy"), (const char *const[]){"a"}, 1, DIM);
    assert_int_equal(kit_count(), 2);
    clean();
}

static void nothing_in_nothing_out(void **state)
{
    (void)state;
    kit_input("in.txt", "");
    struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, NULL, &summary, &err), VECMILL_OK);
    assert_int_equal(summary.documents, 0);
    kit_assert_npy(kit_path("out.npy"), NULL, 0, DIM);
    options.output = kit_path("out.jsonl");
    assert_int_equal(run(&options, NULL, &summary, &err), VECMILL_OK);
    kit_assert_text(options.output, "");
    clean();
}

/* {"id":ID,"embedding":[...]} with numbers that read back as the floats of text; members behind the id's
 * value are part of it here. */
static const char *assert_json_line(const char *line, const char *id, const char *text)
{
    char front[128];
    snprintf(front, sizeof front, "{\"id\":%s,\"embedding\":[", id);
    assert_memory_equal(line, front, strlen(front));
    line += strlen(front);
    float row[DIM];
    fake_vector(text, strlen(text), DIM, row);
    for (unsigned i = 0; i < DIM; i++) {
        char *end;
        assert_true(strtof(line, &end) == row[i]);
        assert_int_equal(*end, i + 1 < DIM ? ',' : ']');
        line = end + 1;
    }
    assert_memory_equal(line, "}\n", 2);
    return line + 2;
}

static const char *assert_line(const char *line, const char *text)
{
    assert_true(strlen(line) >= strlen(text));
    assert_memory_equal(line, text, strlen(text));
    return line + strlen(text);
}

static void jsonl_output(void **state)
{
    (void)state;
    kit_input("in.jsonl", "\"a\"\n{\"id\":\"x\",\"text\":\"b\"}\n5\n{\"id\":null,\"text\":\"c\"}\n"
                          "{\"id\":1,\"text\":\"TOO LONG\"}\n{\"id\":2,\"text\":\n");
    const struct job_options options = {.input = kit_path("in.jsonl"),
                                        .output = kit_path("out.jsonl"),
                                        .errors = kit_path("errors.jsonl")};
    vecmill_err err;
    assert_int_equal(run(&options, NULL, NULL, &err), VECMILL_E_PARTIAL);
    char *data = kit_read(kit_path("out.jsonl"), NULL);
    const char *line = assert_json_line(data, "null,\"index\":0", "a");
    line = assert_json_line(line, "\"x\"", "b");
    line =
        assert_line(line, "{\"id\":null,\"index\":2,\"embedding\":null,\"error\":\"the line is a "
                          "number, an object or a string is needed\"}\n");
    line = assert_json_line(line, "null,\"index\":3", "c");
    line =
        assert_line(line, "{\"id\":1,\"embedding\":null,\"error\":\"the document has more tokens "
                          "than the maximum (--max-length) of 256\"}\n");
    line = assert_line(line, "{\"id\":2,\"embedding\":null,\"error\":\"bad JSON: it ends after 15 "
                             "bytes, expected a value\"}\n");
    assert_int_equal(*line, 0);
    free(data);
    char *errors = kit_read(kit_path("errors.jsonl"), NULL);
    (void)assert_line(errors,
                      "{\"index\":2,\"line\":3,\"id\":null,\"reason\":\"the line is a number, an "
                      "object or a string is needed\"}\n{\"index\":4,\"line\":5,\"id\":1,");
    free(errors);
    assert_int_equal(kit_count(), 3);
    clean();
}

/* The index is a line of text's id, also where the line fails. */
static void jsonl_output_of_text(void **state)
{
    (void)state;
    kit_input("in.txt", "a\ntoo long a line\nb\n");
    const struct job_options options = {
        .input = kit_path("in.txt"), .output = kit_path("out.jsonl"), .max_document = 8};
    vecmill_err err;
    assert_int_equal(run(&options, NULL, NULL, &err), VECMILL_E_PARTIAL);
    char *data = kit_read(kit_path("out.jsonl"), NULL);
    const char *line = assert_json_line(data, "0", "a");
    line =
        assert_line(line, "{\"id\":1,\"embedding\":null,\"error\":\"the line holds 15 bytes, the "
                          "maximum (--max-document) is 8\"}\n");
    assert_int_equal(*assert_json_line(line, "2", "b"), 0);
    free(data);
    clean();
}

/* Runs with standard output led to fd, in a child; its status. */
static int run_standard(const struct job_options *options, int fd)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGPIPE, SIG_IGN);
        dup2(fd, STDOUT_FILENO);
        vecmill_err err;
        const vecmill_status status = run(options, NULL, NULL, &err);
        if (status == VECMILL_E_OUTPUT && strstr(err.message, "standard output") == NULL) _exit(99);
        _exit((int)status);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    return WEXITSTATUS(how);
}

static void standard_output(void **state)
{
    (void)state;
    kit_input("in.txt", "a\nb\n");
    struct job_options options = {.input = kit_path("in.txt"), .output = "-"};
    int fd = open(kit_path("out.jsonl"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(run_standard(&options, fd), VECMILL_OK);
    close(fd);
    char *data = kit_read(kit_path("out.jsonl"), NULL);
    assert_int_equal(*assert_json_line(assert_json_line(data, "0", "a"), "1", "b"), 0);
    free(data);

    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(run_standard(&options, fd), VECMILL_E_OUTPUT);
    close(fd);

    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(run_standard(&options, ends[1]), VECMILL_E_OUTPUT);
    close(ends[1]);

    /* Rows in front of the one that stops the run were written, whole. */
    kit_input("in.jsonl", "\"a\"\n\"b\"\n5\n\"c\"\n");
    options =
        (struct job_options){.input = kit_path("in.jsonl"), .output = "-", .stop_on_error = true};
    fd = open(kit_path("out.jsonl"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_int_equal(run_standard(&options, fd), VECMILL_E_INPUT);
    close(fd);
    data = kit_read(kit_path("out.jsonl"), NULL);
    assert_int_equal(
        *assert_json_line(assert_json_line(data, "null,\"index\":0", "a"), "null,\"index\":1", "b"),
        0);
    free(data);
    clean();
}

static void the_first_failure_stops(void **state)
{
    (void)state;
    struct job_options options = {
        .input = kit_path("in.jsonl"), .output = kit_path("out.npy"), .stop_on_error = true};
    struct told told = {.n_failed = 0};
    struct job_progress summary = {.failed = 77};
    vecmill_err err;
    kit_input("in.jsonl", "\"a\"\n5\n\"TOO LONG\"\n");
    assert_int_equal(run(&options, &told, &summary, &err), VECMILL_E_INPUT);
    kit_assert_message(&err, "in.jsonl line 2: the line is a number");
    assert_int_equal(summary.documents, 1);
    assert_int_equal(summary.failed, 0);
    assert_int_equal(summary.bytes_read, summary.bytes_total);
    /* A failure of the engine that comes first is the one that is told. */
    kit_input("in.jsonl", "\"a\"\n\"TOO LONG\"\n5\n");
    assert_int_equal(run(&options, &told, &summary, &err), VECMILL_E_INPUT);
    kit_assert_message(&err, "in.jsonl line 2: the document has more tokens");
    assert_int_equal(told.n_failed, 0);
    assert_int_equal(kit_count(), 1);
    kit_input("in.jsonl", "\"a\"\n");
    assert_int_equal(run(&options, &told, &summary, &err), VECMILL_OK);
    clean();
}

/* Every other record cannot be read; the others are embedded. */
static void half_of_it_fails(const char *name, int n)
{
    FILE *file = fopen(kit_path(name), "w");
    assert_non_null(file);
    for (int i = 0; i < n; i++)
        fprintf(file, "{\"id\":%d,\"text\":\"t %d\"}\n%d\n", i, i, i);
    fclose(file);
}

static void order(void **state)
{
    (void)state;
    enum { N = 5000 };
    static const struct {
        uint32_t capacity, late;
    } pools[] = {{1, 0}, {1, 3}, {7, 2}, {256, 0}, {256, 5}};
    FILE *file = fopen(kit_path("in.txt"), "w");
    assert_non_null(file);
    for (int i = 0; i < N; i++)
        fprintf(file, "document %d\n", i);
    fclose(file);
    for (size_t k = 0; k < sizeof pools / sizeof *pools; k++) {
        vecmill_pool pool = {.dim = DIM, .capacity = pools[k].capacity, .late = pools[k].late};
        struct told told = {.n_failed = 0};
        const struct job_hooks hooks = {.progress = on_progress, .context = &told};
        const struct job_options options = {.input = kit_path("in.txt"),
                                            .output = kit_path("out.npy")};
        struct job_progress summary;
        assert_int_equal(job_run(&options, &pool, &hooks, &summary, NULL), VECMILL_OK);
        assert_int_equal(summary.documents, N);
        assert_int_equal(pool.n_taken, N);
        assert_true(pool.most_held <= pools[k].capacity);
        if (pools[k].late > 0) assert_int_equal(pool.most_held, pools[k].capacity);
        assert_true(told.n_progress > 0);
        assert_memory_equal(&told.last, &summary, sizeof summary);
        size_t bytes;
        char *data = kit_read(kit_path("out.npy"), &bytes);
        for (int i = 0; i < N; i++) {
            char text[32];
            float row[DIM];
            const int n = snprintf(text, sizeof text, "document %d", i);
            fake_vector(text, (size_t)n, DIM, row);
            assert_memory_equal(data + 128 + (size_t)i * sizeof row, row, sizeof row);
        }
        free(data);
    }
    /* Without hooks, too. */
    vecmill_pool pool = {.dim = DIM};
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    struct job_progress summary;
    assert_int_equal(job_run(&options, &pool, NULL, &summary, NULL), VECMILL_OK);
    clean();
}

/* More bytes of ids than rows that wait have room for, in front of vectors that come late. */
static void long_ids_wait(void **state)
{
    (void)state;
    enum { N = 3000 };
    char *id = malloc(4096);
    assert_non_null(id);
    memset(id, 'i', 4096);
    FILE *file = fopen(kit_path("in.jsonl"), "w");
    FILE *expected = fopen(kit_path("in.txt"), "w");
    assert_non_null(file);
    assert_non_null(expected);
    for (int i = 0; i < N; i++) {
        const int n = i * 7919 % 4000;
        fprintf(file, "{\"id\":\"%d%.*s\",\"text\":\"t\"}\n%s", i, n, id, i % 3 ? "" : "1\n");
        fprintf(expected, "\"%d%.*s\"\n%s", i, n, id, i % 3 ? "" : "null\n");
    }
    fclose(file);
    fclose(expected);
    free(id);
    vecmill_pool pool = {.dim = DIM, .capacity = 256, .late = 2};
    const struct job_options options = {.input = kit_path("in.jsonl"),
                                        .output = kit_path("out.npy")};
    struct job_progress summary;
    assert_int_equal(job_run(&options, &pool, NULL, &summary, NULL), VECMILL_E_PARTIAL);
    assert_int_equal(summary.documents, N + N / 3);
    assert_int_equal(summary.failed, N / 3);
    size_t bytes, expected_bytes;
    char *ids = kit_read(kit_path("out.npy.ids.jsonl"), &bytes);
    char *wanted = kit_read(kit_path("in.txt"), &expected_bytes);
    assert_int_equal(bytes, expected_bytes);
    assert_memory_equal(ids, wanted, bytes);
    free(ids);
    free(wanted);
    clean();
}

static void documents_the_pool_gives_up(void **state)
{
    (void)state;
    kit_input("in.jsonl", "\"a\"\n\"CONDEMN ME\"\n{\"id\":7,\"text\":\"TOO LARGE\"}\n\"b\"\n");
    struct job_options options = {.input = kit_path("in.jsonl"), .output = kit_path("out.npy")};
    struct told told = {.n_failed = 0};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, &told, &summary, &err), VECMILL_E_PARTIAL);
    kit_assert_npy(kit_path("out.npy"), (const char *const[]){"a", NULL, NULL, "b"}, 4, DIM);
    kit_assert_text(
        kit_path("out.npy.errors.jsonl"),
        "{\"index\":1,\"line\":2,\"id\":null,\"reason\":\"3 workers ended with this "
        "document: segv\"}\n{\"index\":2,\"line\":3,\"id\":7,\"reason\":\"the fake pool "
        "has no room for the document\"}\n");
    assert_int_equal(told.n_failed, 2);
    assert_int_equal(summary.failed, 2);
    assert_int_equal(summary.tokens, 4);
    options.stop_on_error = true;
    assert_int_equal(run(&options, NULL, &summary, &err), VECMILL_E_INPUT);
    kit_assert_message(&err, "in.jsonl line 2: 3 workers ended with this document: segv");
    clean();
}

static void a_stop_finishes_what_runs(void **state)
{
    (void)state;
    half_of_it_fails("in.jsonl", 500);
    static const struct {
        uint32_t late, flight;
        uint64_t stop_at, documents;
    } stops[] = {{0, 0, 32, 63}, {1, 0, 8, 15}, {1, 10, 32, 19}};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        atomic_int stop = 0;
        vecmill_pool pool = {.dim = DIM,
                             .capacity = 256,
                             .stop = &stop,
                             .stop_at = stops[i].stop_at,
                             .late = stops[i].late,
                             .flight = stops[i].flight};
        const struct job_hooks hooks = {.stop = &stop};
        const struct job_options options = {
            .input = kit_path("in.jsonl"), .output = kit_path("out.npy"), .force = true};
        struct job_progress summary = {.documents = 77};
        vecmill_err err;
        kit_write(kit_path("out.npy"), "old", 3);
        assert_int_equal(job_run(&options, &pool, &hooks, &summary, &err), VECMILL_E_STOPPED);
        char expected[64];
        snprintf(expected, sizeof expected, "stopped after %u documents, from which --resume",
                 (unsigned)summary.documents);
        kit_assert_message(&err, expected);
        /* Not before the vectors that come late were waited for, and not the one behind. */
        assert_true(summary.documents >= stops[i].documents &&
                    (stops[i].flight != 0 || summary.documents <= stops[i].documents + 1));
        assert_true(summary.failed == summary.documents / 2 && summary.bytes_read > 0);
        assert_true(pool.held);
        kit_assert_text(kit_path("out.npy"), "old");
        assert_int_equal(kit_count(), 6); /* input, old output, parts of three files, journal */
    }
    clean();
}

/* Rows come in order: behind one that will not come nothing is worth a wait. */
static void a_stop_waits_for_no_row_behind(void **state)
{
    (void)state;
    half_of_it_fails("in.jsonl", 200);
    atomic_int stop = 0;
    vecmill_pool pool = {.dim = DIM, .stop = &stop, .stop_at = 32, .late = 1, .behind = 8};
    const struct job_hooks hooks = {.stop = &stop};
    const struct job_options options = {.input = kit_path("in.jsonl"),
                                        .output = kit_path("out.npy")};
    struct job_progress summary;
    assert_int_equal(job_run(&options, &pool, &hooks, &summary, NULL), VECMILL_E_STOPPED);
    assert_int_equal(pool.n_told, 1);
    clean();
}

/* Before a document was read, too. */
static void a_stop_holds_the_pool(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    atomic_int stop = 1;
    const struct job_hooks hooks = {.stop = &stop};
    const struct job_options options = {
        .input = path, .input_format = "csv", .output = kit_path("out.npy")};
    struct job_progress summary;
    vecmill_pool pool = {.dim = DIM};
    assert_int_equal(job_run(&options, &pool, &hooks, &summary, NULL), VECMILL_E_STOPPED);
    assert_true(pool.held);
    close(ends[0]);
    close(ends[1]);
    clean();
}

static void a_stop_before_a_row_leaves_nothing(void **state)
{
    (void)state;
    kit_input("in.txt", "a\nb\n");
    atomic_int stop = 1;
    vecmill_pool pool = {.dim = DIM};
    const struct job_hooks hooks = {.stop = &stop};
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(job_run(&options, &pool, &hooks, &summary, &err), VECMILL_E_STOPPED);
    assert_int_equal(kit_count(), 1);
    clean();
}

static void the_workers_keep_dying(void **state)
{
    (void)state;
    half_of_it_fails("in.jsonl", 100);
    const struct job_options options = {.input = kit_path("in.jsonl"),
                                        .output = kit_path("out.npy")};
    vecmill_pool pool = {.dim = DIM, .capacity = 16, .late = 1, .fail_after = 20};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(job_run(&options, &pool, NULL, &summary, &err), VECMILL_E_WORKERS);
    assert_string_equal(err.message, "the fake workers keep dying");
    /* What was finished before it was written; no checkpoint was due, so nothing is kept. */
    assert_int_equal(summary.documents, 40);
    assert_int_equal(kit_count(), 1);
    clean();
}

static atomic_int stop_of_wait;

/* Nothing more comes, and what there was is done. */
static bool stop_at_wait(const struct pollfd *fds, nfds_t n, int ms)
{
    if (n == 1 && fds[0].events == POLLIN && ms > 0 && test_is_quiet(fds))
        atomic_store(&stop_of_wait, 1);
    return false;
}

/* A pipe whose writer says nothing: the stop flag is obeyed all the same. */
static void a_stop_ends_waiting(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a\nb", 3), 3);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    const struct job_hooks hooks = {.stop = &stop_of_wait};
    const struct job_options options = {
        .input = path, .input_format = "txt", .output = kit_path("out.npy")};
    struct job_progress summary;
    vecmill_pool pool = {.dim = DIM};
    vecmill_err err;
    test_on_poll = stop_at_wait;
    const vecmill_status status = job_run(&options, &pool, &hooks, &summary, &err);
    test_on_poll = NULL;
    assert_int_equal(status, VECMILL_E_STOPPED);
    /* The line that was whole was embedded meanwhile, and is kept. */
    kit_assert_message(&err, "stopped after 1 documents, from which --resume goes on: /dev/fd/");
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(kit_count(), 2);
    clean();
}

static void the_engine_breaks(void **state)
{
    (void)state;
    kit_input("in.jsonl", "{\"id\":1,\"text\":\"a\"}\n5\n\"BREAK\"\n");
    const struct job_options options = {.input = kit_path("in.jsonl"),
                                        .output = kit_path("out.npy")};
    vecmill_err err;
    assert_int_equal(run(&options, NULL, NULL, &err), VECMILL_E_MODEL);
    assert_string_equal(err.message, "the fake model broke");
    assert_int_equal(kit_count(), 1);
    clean();
}

/* Computed with a damaged pack: neither published nor kept, and an earlier output stays. */
static void a_damaged_pack_publishes_nothing(void **state)
{
    (void)state;
    static const struct job_hooks hooks = {0};
    struct job_progress summary;
    vecmill_err err = {.message = ""};
    atomic_int stop = 0;
    kit_input("in.txt", "one\ntwo\nthree\n");
    kit_write(kit_path("out.jsonl"), "before", 6);
    const struct job_options options = {.input = kit_path("in.txt"),
                                        .output = kit_path("out.jsonl")};
    /* At its end; with a checkpoint behind it; as its workers die; as it is stopped. */
    for (int i = 0; i < 4; i++) {
        vecmill_pool pool = {.dim = DIM, .is_damaged = true, .batches_a_doc = i > 0 ? 100 : 0};
        struct job_hooks with = hooks;
        if (i == 2) pool.fail_after = 2;
        if (i == 3) {
            with.stop = pool.stop = &stop;
            pool.stop_at = 3;
        }
        assert_int_equal(job_run(&options, &pool, &with, &summary, &err), VECMILL_E_MODEL);
        kit_assert_message(&err, "damaged");
        kit_assert_text(kit_path("out.jsonl"), "before");
        assert_false(io_exists(kit_path("out.jsonl.journal")));
        assert_false(io_exists(kit_path("out.jsonl.part")));
        stop = 0;
    }
    unlink(kit_path("out.jsonl"));
    unlink(kit_path("in.txt"));
}

static void bad_input_leaves_nothing(void **state)
{
    (void)state;
    kit_write_gzip(kit_path("in.txt"), "some words to be cut off\n", 25, 100);
    size_t bytes;
    char *gzip = kit_read(kit_path("in.txt"), &bytes);
    kit_write(kit_path("in.txt"), gzip, bytes - 4);
    free(gzip);
    const struct job_options options = {
        .input = kit_path("in.txt"), .input_format = "txt.gz", .output = kit_path("out.npy")};
    vecmill_err err;
    assert_int_equal(run(&options, NULL, NULL, &err), VECMILL_E_INPUT);
    kit_assert_message(&err, "in.txt: is cut off, it ends at byte");
    assert_int_equal(kit_count(), 1);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_copied_is_not_counted_as_computed),
        cmocka_unit_test(npy_with_ids_and_errors),
        cmocka_unit_test(nothing_in_nothing_out),
        cmocka_unit_test(jsonl_output),
        cmocka_unit_test(jsonl_output_of_text),
        cmocka_unit_test(standard_output),
        cmocka_unit_test(the_first_failure_stops),
        cmocka_unit_test(order),
        cmocka_unit_test(long_ids_wait),
        cmocka_unit_test(documents_the_pool_gives_up),
        cmocka_unit_test(a_stop_finishes_what_runs),
        cmocka_unit_test(a_stop_waits_for_no_row_behind),
        cmocka_unit_test(a_stop_holds_the_pool),
        cmocka_unit_test(a_stop_before_a_row_leaves_nothing),
        cmocka_unit_test(the_workers_keep_dying),
        cmocka_unit_test(a_stop_ends_waiting),
        cmocka_unit_test(the_engine_breaks),
        cmocka_unit_test(a_damaged_pack_publishes_nothing),
        cmocka_unit_test(bad_input_leaves_nothing),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-run: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
