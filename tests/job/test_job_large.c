/* Inputs of any length in bounded memory. Of the optimised build only: sanitizers change memory.
 *
 * Load cannot fail it: what is compared is the kernel's record of the peak of this process. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"

#include "../kit/test_clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GROWTH_MOST_KB 40960u

/* VmHWM of this process, in kB. */
static uint64_t peak_kb(void)
{
    char *status = NULL;
    size_t room = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    uint64_t kb = 0;
    while (getline(&status, &room, file) > 0)
        if (strncmp(status, "VmHWM:", 6) == 0) kb = strtoull(status + 6, NULL, 10);
    free(status);
    fclose(file);
    assert_true(kb > 0);
    return kb;
}

/* A child that writes front, `bytes` times 'a', and back; the path to read it by. */
static pid_t writer(char path[32], const char *front, uint64_t bytes, const char *back, int *fd)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static char block[1 << 16];
        memset(block, 'a', sizeof block);
        close(ends[0]);
        if (write(ends[1], front, strlen(front)) < 0) _exit(1);
        while (bytes > 0) {
            const size_t n = bytes < sizeof block ? (size_t)bytes : sizeof block;
            const ssize_t done = write(ends[1], block, n);
            if (done < 0) _exit(1);
            bytes -= (uint64_t)done;
        }
        _exit(write(ends[1], back, strlen(back)) < 0);
    }
    close(ends[1]);
    *fd = ends[0];
    snprintf(path, 32, "/dev/fd/%d", ends[0]);
    return child;
}

struct seen {
    uint64_t n, failed;
    size_t last_bytes;
    char reason[256];
};

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)id;
    (void)err;
    struct seen *seen = context;
    seen->n++;
    seen->last_bytes = doc.bytes;
    if (reason != NULL) {
        seen->failed++;
        snprintf(seen->reason, sizeof seen->reason, "%s", reason);
    }
    return VECMILL_OK;
}

static void a_line_of_a_gigabyte(void **state)
{
    (void)state;
    static const struct {
        const char *format, *front, *back, *reason;
    } kinds[] = {
        {"txt", "first\n", "\nshort\n",
         "the line holds 1073741824 bytes, the maximum (--max-document) is 16777216"},
        {"jsonl", "\"first\"\n{\"text\":\"", "\"}\n\"short\"\n",
         "the line holds 1073741835 bytes, the maximum (--max-document) is 16777216"},
        {"csv", "text\nfirst\n\"", "\"\nshort\n",
         "the record holds 1073741826 bytes, the maximum (--max-document) is 16777216"},
    };
    const uint64_t before = peak_kb();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[32];
        int fd;
        const pid_t child = writer(path, kinds[i].front, (uint64_t)1 << 30, kinds[i].back, &fd);
        const struct job_options options = {.input = path, .input_format = kinds[i].format};
        struct seen seen = {.n = 0};
        assert_int_equal(job_each(&options, on_document, &seen, NULL), VECMILL_OK);
        close(fd);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        assert_int_equal(seen.n, 3);
        assert_int_equal(seen.failed, 1);
        assert_int_equal(seen.last_bytes, 5);
        assert_string_equal(seen.reason, kinds[i].reason);
    }
    const uint64_t grown = peak_kb() - before;
    print_message("peak memory grew by %llu kB\n", (unsigned long long)grown);
    assert_true(grown < GROWTH_MOST_KB);
}

static void a_small_file_that_unpacks_to_much(void **state)
{
    (void)state;
    const size_t bytes = (size_t)64 << 20;
    char *zeros = calloc(1, bytes);
    assert_non_null(zeros);
    kit_write_gzip(kit_path("bomb.txt.gz"), zeros, bytes, bytes);
    free(zeros);
    fflush(NULL);
    /* In a child, whose peak does not hold the zeros. */
    const pid_t child = fork();
    if (child == 0) {
        const struct job_options options = {
            .input = kit_path("bomb.txt.gz"), .encoding = "utf-8", .max_document = 1 << 20};
        struct seen seen = {.n = 0};
        if (job_each(&options, on_document, &seen, NULL) != VECMILL_OK) _exit(1);
        if (seen.n != 1 || strstr(seen.reason, "holds 67108864 bytes") == NULL) _exit(2);
        _exit(peak_kb() < 2 * GROWTH_MOST_KB ? 0 : 3);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    unlink(kit_path("bomb.txt.gz"));
}

static void a_million_empty_lines(void **state)
{
    (void)state;
    enum { N = 1000000 };
    char *lines = malloc(N);
    memset(lines, '\n', N);
    kit_write(kit_path("in.txt"), lines, N);
    free(lines);
    const uint64_t before = peak_kb();
    vecmill_pool pool = {.dim = 3};
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    struct job_progress summary;
    assert_int_equal(job_run(&options, &pool, NULL, &summary, NULL), VECMILL_OK);
    assert_int_equal(summary.documents, N);
    struct job_vectors v;
    assert_true(peak_kb() - before < GROWTH_MOST_KB);
    assert_int_equal(job_vectors_open(options.output, &v, NULL), VECMILL_OK);
    assert_int_equal(v.n, N);
    float row[3];
    const float *rows = v.rows;
    fake_vector("", 0, 3, row);
    for (uint64_t i = 0; i < v.n; i += 997)
        assert_memory_equal(rows + 3 * i, row, sizeof row);
    job_vectors_close(&v);
    unlink(options.output);

    /* And as JSON lines, where they are no documents, and CSV, where they are no records. */
    struct seen seen = {.n = 0};
    struct job_options blank = {.input = kit_path("in.txt"), .input_format = "jsonl"};
    assert_int_equal(job_each(&blank, on_document, &seen, NULL), VECMILL_OK);
    assert_int_equal(seen.n, 0);
    blank.input_format = "csv";
    assert_int_equal(job_each(&blank, on_document, &seen, NULL), VECMILL_E_INPUT);
    unlink(kit_path("in.txt"));
}

static void documents_of_the_most_bytes(void **state)
{
    (void)state;
    const uint64_t before = peak_kb();
    for (int i = 0; i < 3; i++) {
        char path[32];
        int fd;
        const pid_t child = writer(path, "", JOB_MAX_DOCUMENT_DEFAULT, "\n", &fd);
        vecmill_pool pool = {.dim = 3};
        const struct job_options options = {
            .input = path, .input_format = "txt", .output = kit_path("out.npy")};
        struct job_progress summary;
        assert_int_equal(job_run(&options, &pool, NULL, &summary, NULL), VECMILL_OK);
        assert_int_equal(summary.documents, 1);
        close(fd);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        unlink(options.output);
    }
    const uint64_t grown = peak_kb() - before;
    print_message("peak memory grew by %llu kB\n", (unsigned long long)grown);
    assert_true(grown < GROWTH_MOST_KB);
}

static atomic_int stop;

/* Stopped when it has waited for its reader for a while. */
static bool stop_at_wait(const struct pollfd *fds, nfds_t n, int ms)
{
    static unsigned n_waits;
    if (n == 1 && fds[0].events == POLLOUT && ms > 0 && test_is_quiet(fds) && ++n_waits == 7)
        atomic_store(&stop, 1);
    return false;
}

/* Nobody reads what is written, and there is always more to read. */
static void a_stalled_reader_of_much(void **state)
{
    (void)state;
    int lines[2], ends[2];
    assert_int_equal(pipe(lines), 0);
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t source = fork();
    assert_true(source >= 0);
    if (source == 0) {
        static const char line[] = "a line of which there is no end\n";
        while (write(lines[1], line, sizeof line - 1) > 0) {
        }
        _exit(0);
    }
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", lines[0]);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const uint64_t before = peak_kb();
        dup2(ends[1], STDOUT_FILENO);
        test_on_poll = stop_at_wait;
        vecmill_pool pool = {.dim = 8, .capacity = FAKE_CAPACITY_MAX};
        const struct job_hooks hooks = {.stop = &stop};
        const struct job_options options = {
            .input = path, .input_format = "txt", .output = "-", .max_document = 1 << 20};
        struct job_progress summary;
        if (job_run(&options, &pool, &hooks, &summary, NULL) != VECMILL_E_STOPPED) _exit(1);
        if (summary.documents < 100) _exit(3);
        _exit(peak_kb() - before < 8192 ? 0 : 2);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    for (int i = 0; i < 2; i++) {
        close(lines[i]);
        close(ends[i]);
    }
    kill(source, SIGKILL);
    waitpid(source, NULL, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* Address space that ends somewhere between nothing and enough: refused by name, or done. */
static void memory_that_is_not_there(void **state)
{
    (void)state;
    kit_write(kit_path("in.txt"), "a\nb\n", 4);
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    unsigned n_refused = 0, n_done = 0;
    for (size_t megabytes = 0; megabytes <= 40; megabytes++) {
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            unsigned long pages = 0;
            FILE *file = fopen("/proc/self/statm", "r");
            if (file == NULL || fscanf(file, "%lu", &pages) != 1) _exit(99);
            fclose(file);
            const size_t bytes = pages * (size_t)getpagesize() + (megabytes << 20);
            const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
            if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(99);
            vecmill_pool pool = {.dim = 3};
            struct job_progress summary;
            vecmill_err err;
            const vecmill_status status = job_run(&options, &pool, NULL, &summary, &err);
            const bool named = strstr(err.message, "bytes") != NULL;
            _exit(status == VECMILL_E_MEMORY && !named ? 98 : (int)status);
        }
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFEXITED(how));
        const int status = WEXITSTATUS(how);
        assert_true(status == VECMILL_OK || status == VECMILL_E_MEMORY);
        n_done += status == VECMILL_OK;
        n_refused += status == VECMILL_E_MEMORY;
        assert_int_equal(kit_count(), status == VECMILL_OK ? 2 : 1);
        unlink(options.output);
    }
    assert_true(n_refused > 0 && n_done > 0);
    unlink(kit_path("in.txt"));
}

int main(void)
{
#ifdef JOB_TEST_SANITIZED
    printf("job-large: skipped, memory is measured in the optimised build only\n");
    return 77;
#endif
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_a_gigabyte),
        cmocka_unit_test(a_million_empty_lines),
        cmocka_unit_test(documents_of_the_most_bytes),
        cmocka_unit_test(a_small_file_that_unpacks_to_much),
        cmocka_unit_test(a_stalled_reader_of_much),
        cmocka_unit_test(memory_that_is_not_there),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-large: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
