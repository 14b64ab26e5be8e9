/* Outputs that cannot be: places that are refused before anything is read, and disks that fail on the way. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static vecmill_status run(const struct job_options *options, vecmill_err *err)
{
    vecmill_pool pool = {.dim = 3};
    struct job_progress summary;
    err->message[0] = 0;
    return job_run(options, &pool, NULL, &summary, err);
}

static void clean(void)
{
    static const char *const names[] = {"in.jsonl", "in.txt", "out.npy", "out.npy.ids.jsonl",
                                        "out.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(kit_path(names[i]));
    assert_int_equal(kit_count(), 0);
}

/* Refused by job_check already, and by job_run if nobody asked it. */
static void assert_refused(const struct job_options *options, vecmill_status status,
                           const char *message)
{
    vecmill_err err = {.message = ""};
    assert_int_equal(job_check(options, NULL, &err), status);
    kit_assert_message(&err, message);
    assert_int_equal(run(options, &err), status);
    kit_assert_message(&err, message);
}

static void outputs_that_cannot_be(void **state)
{
    (void)state;
    kit_input("in.jsonl", "\"a\"\n");
    struct job_options options = {.input = kit_path("in.jsonl")};
    options.output = kit_path("out.csv");
    assert_refused(&options, VECMILL_E_USAGE, "out.csv: ends in neither .npy nor .jsonl");
    options.output = kit_path(".npy/");
    assert_refused(&options, VECMILL_E_USAGE, "ends in neither");
    options.output = kit_path("missing/out.npy");
    assert_refused(&options, VECMILL_E_OUTPUT, "missing/out.npy: its folder cannot be used");
    options.output = kit_path("in.jsonl/out.npy");
    assert_refused(&options, VECMILL_E_OUTPUT, "Not a directory");
    options.output = kit_path("in.jsonl");
    assert_refused(&options, VECMILL_E_OUTPUT, "in.jsonl: is the input of this run");
    assert_int_equal(symlink(kit_path("in.jsonl"), kit_path("out.npy")), 0);
    options.output = kit_path("out.npy");
    assert_refused(&options, VECMILL_E_OUTPUT, "out.npy: is the input of this run");
    unlink(kit_path("out.npy"));
    assert_int_equal(link(kit_path("in.jsonl"), kit_path("out.npy.ids.jsonl")), 0);
    assert_refused(&options, VECMILL_E_OUTPUT, "out.npy.ids.jsonl: is the input of this run");
    unlink(kit_path("out.npy.ids.jsonl"));
    assert_int_equal(mkdir(kit_path("out.npy"), 0777), 0);
    assert_refused(&options, VECMILL_E_OUTPUT, "out.npy: is a directory");
    rmdir(kit_path("out.npy"));
    assert_int_equal(mkfifo(kit_path("out.npy"), 0666), 0);
    assert_refused(&options, VECMILL_E_OUTPUT, "out.npy: exists and is not a regular file");
    unlink(kit_path("out.npy"));
    options.errors = kit_path("out.npy");
    assert_refused(&options, VECMILL_E_USAGE, "cannot be the file of errors too");
    options.errors = NULL;
    char path[IO_PATH_MAX + 64];
    memset(path, '/', sizeof path);
    snprintf(path + IO_PATH_MAX - 10, 20, "/out.npy");
    options.output = path;
    assert_refused(&options, VECMILL_E_OUTPUT, "leaves no room for .ids.jsonl");
    options.output = kit_path("out.npy");
    options.input = kit_path("missing.txt");
    assert_refused(&options, VECMILL_E_INPUT, "missing.txt: cannot be opened: No such file");
    options.input = kit_path("");
    options.input_format = "txt";
    assert_refused(&options, VECMILL_E_INPUT, "is a directory, not an input");
    assert_int_equal(kit_count(), 1);
    clean();
}

static void a_folder_without_permission(void **state)
{
    (void)state;
    kit_input("in.txt", "a\n");
    assert_int_equal(mkdir(kit_path("shut"), 0555), 0);
    char output[600];
    snprintf(output, sizeof output, "%s/out.npy", kit_path("shut"));
    const struct job_options options = {.input = kit_path("in.txt"), .output = output};
    chmod(kit_path("in.txt"), 0444);
    chmod(kit_path(""), 0755);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* Root may write anywhere. */
        if (getuid() == 0 && setuid(65534) != 0) _exit(99);
        vecmill_err err = {.message = ""};
        const bool named = job_check(&options, NULL, &err) == VECMILL_E_OUTPUT &&
                           strstr(err.message, "its folder cannot be written") != NULL;
        _exit(named ? 0 : 1);
    }
    int how;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    rmdir(kit_path("shut"));
    clean();
}

static void a_second_writer_is_refused(void **state)
{
    (void)state;
    kit_input("in.txt", "a\n");
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    struct io_out first;
    vecmill_err err;
    assert_int_equal(io_out_open(options.output, 0, VECMILL_E_OUTPUT, &first, &err), VECMILL_OK);
    assert_int_equal(run(&options, &err), VECMILL_E_OUTPUT);
    kit_assert_message(&err, "out.npy: is being written by another process");
    assert_int_equal(kit_count(), 2);
    io_out_drop(&first);
    assert_int_equal(run(&options, &err), VECMILL_OK);
    clean();
}

/* As many rows as fill a window of 1,024, so that files grow past any small limit. */
static void many_lines(const char *name, int n)
{
    FILE *file = fopen(kit_path(name), "w");
    assert_non_null(file);
    for (int i = 0; i < n; i++)
        fprintf(file, "{\"id\":%d,\"text\":\"t %d\"}\n", i, i);
    fclose(file);
}

static void a_limit_of_file_size(void **state)
{
    (void)state;
    many_lines("in.jsonl", 20000);
    static const char *const outputs[] = {"out.npy", "out.jsonl"};
    for (size_t i = 0; i < 2; i++) {
        const struct job_options options = {.input = kit_path("in.jsonl"),
                                            .output = kit_path(outputs[i])};
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            const struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
            setrlimit(RLIMIT_FSIZE, &limit);
            vecmill_err err;
            const vecmill_status status = run(&options, &err);
            _exit(status == VECMILL_E_OUTPUT && strstr(err.message, "File too large") != NULL &&
                          strstr(err.message, options.output) != NULL
                      ? 0
                      : 1);
        }
        int how;
        waitpid(child, &how, 0);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        assert_int_equal(kit_count(), 1);
    }
    clean();
}

/* It could not be replaced by rename, as would be seen when all is done. */
static void an_output_that_is_a_mount(void **state)
{
    (void)state;
    kit_input("in.txt", "a\n");
    kit_write(kit_path("out.npy"), "old", 3);
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    kit_input("in.jsonl", "mounted");
    if (mount(kit_path("in.jsonl"), options.output, NULL, MS_BIND, NULL) != 0) {
        clean();
        print_message("skipped: a file cannot be mounted here\n");
        skip();
    }
    vecmill_err err;
    const vecmill_status checked = job_check(&options, NULL, &err);
    umount(options.output);
    assert_int_equal(checked, VECMILL_E_OUTPUT);
    kit_assert_message(&err, "out.npy: is a mount of its own, which cannot be replaced");
    assert_int_equal(job_check(&options, NULL, &err), VECMILL_OK);
    clean();
}

static void a_full_disk(void **state)
{
    (void)state;
    char *disk = strdup(kit_path("disk"));
    assert_int_equal(mkdir(disk, 0777), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=128k") != 0) {
        rmdir(disk);
        free(disk);
        print_message("skipped: a small tmpfs cannot be mounted here\n");
        skip();
    }
    many_lines("in.jsonl", 40000);
    char output[600], beside[700];
    snprintf(output, sizeof output, "%s/out.npy", disk);
    struct job_options options = {.input = kit_path("in.jsonl"), .output = output};
    vecmill_err err;
    const vecmill_status full = run(&options, &err);
    const bool named = strstr(err.message, "out.npy") != NULL &&
                       strstr(err.message, "No space left on device") != NULL;
    /* What is beside the output may be what does not fit: 48 kB of rows, more of errors. */
    FILE *file = fopen(kit_path("in.jsonl"), "w");
    for (int i = 0; i < 4000; i++)
        fprintf(file, "not JSON\n");
    fclose(file);
    const vecmill_status beside_full = run(&options, &err);
    const bool beside_named = strstr(err.message, "out.npy.errors.jsonl") != NULL;
    snprintf(beside, sizeof beside, "%s.part", output);
    const bool left = kit_exists(output) || kit_exists(beside);
    snprintf(beside, sizeof beside, "%s.errors.jsonl", output);
    const bool errors_left = kit_exists(beside);
    snprintf(beside, sizeof beside, "%s.errors.jsonl.part", output);
    const bool errors_part_left = kit_exists(beside);
    umount(disk);
    rmdir(disk);
    free(disk);
    assert_int_equal(full, VECMILL_E_OUTPUT);
    assert_true(named);
    assert_int_equal(beside_full, VECMILL_E_OUTPUT);
    assert_true(beside_named);
    assert_false(left || errors_left || errors_part_left);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_that_cannot_be),     cmocka_unit_test(a_folder_without_permission),
        cmocka_unit_test(a_second_writer_is_refused), cmocka_unit_test(a_limit_of_file_size),
        cmocka_unit_test(an_output_that_is_a_mount),  cmocka_unit_test(a_full_disk),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-disk: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
