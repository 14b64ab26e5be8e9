/* Inputs that are not what they are taken for: what is refused keeps the older output, and what is read all
 * the same is said. */
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM 3u /* floats a vector */

static void clean(void)
{
    static const char *const names[] = {
        "in.jsonl", "in.txt", "out.npy", "out.jsonl", "out.npy.errors.jsonl", "out.npy.shard.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(kit_path(names[i]));
    assert_int_equal(kit_count(), 0);
}

/* What the sentences for people were, one a line. */
static char notices[2048];

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    const size_t used = strlen(notices);
    snprintf(notices + used, sizeof notices - used, "%s\n", sentence);
}

static vecmill_status run(const struct job_options *options, vecmill_err *err)
{
    vecmill_pool pool = {.dim = DIM};
    const struct job_hooks hooks = {.notice = on_notice};
    struct job_progress ignored;
    notices[0] = err->message[0] = 0;
    return job_run(options, &pool, &hooks, &ignored, err);
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
        const vecmill_status status = run(options, &err);
        if (status == VECMILL_E_OUTPUT && strstr(err.message, "standard output") == NULL) _exit(99);
        _exit((int)status);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    return WEXITSTATUS(how);
}

/* An input that is not what it is taken for leaves what there was. */
static void no_document_no_output(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *words;
        vecmill_status status;
        uint64_t max_document;
    } cases[] = {
        {"in.jsonl", "plain words\nand more\n",
         "it seems to be plain text (--input-format txt); line 1: bad JSON at byte 1",
         VECMILL_E_INPUT, 0},
        {"in.jsonl", "id,text\n1,a\n",
         "it seems to be a table (--input-format csv); line 1: ", VECMILL_E_INPUT, 0},
        {"in.jsonl", "\n<html>\n<body>\n", "it seems to be HTML or XML; line 2: bad JSON at byte 1",
         VECMILL_E_INPUT, 0},
        {"in.jsonl", "{\"body\":\"a\"}\n{\"body\":\"b\"}\n",
         "could be read, of 2; line 1: the object has no \"text\"", VECMILL_E_INPUT, 0},
        {"in.jsonl", "[1]\n", "is a JSON array, not a document a line", VECMILL_E_INPUT, 0},
        {"in.txt", "more than four\n", "line 1: the line holds 14 bytes", VECMILL_E_INPUT, 4},
        /* It was read, and there is nothing in it. */
        {"in.jsonl", "\n\n", "", VECMILL_OK, 0},
        /* It was read, and could not be embedded. */
        {"in.jsonl", "\"TOO LONG\"\n", "1 of 1 documents", VECMILL_E_PARTIAL, 0},
        {"in.jsonl", "5\n\"TOO LARGE\"\n", "2 of 2 documents", VECMILL_E_PARTIAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job_options options = {.input = kit_path(cases[i].name),
                                      .output = kit_path("out.npy"),
                                      .max_document = cases[i].max_document};
        vecmill_err err;
        kit_input(cases[i].name, cases[i].text);
        kit_input("out.npy", "as it was");
        assert_int_equal(run(&options, &err), cases[i].status);
        kit_assert_message(&err, cases[i].words);
        if (cases[i].status == VECMILL_E_INPUT) {
            kit_assert_text(kit_path("out.npy"), "as it was");
            assert_int_equal(kit_count(), 2);
            options.output = "-";
            int fd = open(kit_path("out.jsonl"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
            assert_int_equal(run_standard(&options, fd), VECMILL_E_INPUT);
            close(fd);
        }
        clean();
    }
}

/* A shard is of a whole: what its own documents are says nothing of that. */
static void a_shard_of_what_fails_is_one(void **state)
{
    (void)state;
    kit_input("in.jsonl", "\"a\"\n5\n\"b\"\n6\n");
    struct job_options options = {
        .input = kit_path("in.jsonl"), .output = kit_path("out.npy"), .shard = 1, .shards = 2};
    vecmill_err err;
    assert_int_equal(run(&options, &err), VECMILL_E_PARTIAL);
    kit_assert_npy(kit_path("out.npy"), (const char *const[]){NULL, NULL}, 2, DIM);
    clean();
    kit_input("in.jsonl", "4\n5\n\n6\n");
    assert_int_equal(run(&options, &err), VECMILL_E_INPUT);
    kit_assert_message(&err, "no document of ");
    kit_assert_message(&err, " could be read, of 3; line 1: the line is a number");
    clean();
}

/* What exit 0 does not tell. */
static void warnings(void **state)
{
    (void)state;
    const struct job_options options = {.input = kit_path("in.txt"), .output = kit_path("out.npy")};
    vecmill_err err;
    kit_input("in.txt", "a\nb\xFC\xFC\nc\xFC\n");
    assert_int_equal(run(&options, &err), VECMILL_OK);
    assert_non_null(strstr(notices, "warning: "));
    assert_non_null(strstr(notices, "in.txt line 2: 2 bytes of the document mean nothing"));
    assert_null(strstr(notices, "line 3"));
    kit_write(kit_path("in.txt"), "a\0\n\0b\0", 6);
    assert_int_equal(run(&options, &err), VECMILL_OK);
    assert_non_null(strstr(notices, "in.txt has no byte order mark and is read as UTF-16LE"));
    kit_assert_npy(kit_path("out.npy"), (const char *const[]){"a", "b"}, 2, DIM);
    kit_write_gzip(kit_path("in.txt"), "a\nb\n", 4, 99);
    size_t bytes;
    char *gzip = kit_read(kit_path("in.txt"), &bytes);
    gzip = realloc(gzip, bytes + 5);
    assert_non_null(gzip);
    memcpy(gzip + bytes, "\0rest", 5);
    kit_write(kit_path("in.txt"), gzip, bytes + 5);
    free(gzip);
    assert_int_equal(run(&options, &err), VECMILL_OK);
    char offset[64];
    snprintf(offset, sizeof offset, "last gzip member, at offset %zu, that are none", bytes + 1);
    assert_non_null(strstr(notices, offset));
    kit_assert_npy(kit_path("out.npy"), (const char *const[]){"a", "b"}, 2, DIM);
    kit_write_gzip(kit_path("in.txt"), "a\n", 2, 99);
    assert_int_equal(run(&options, &err), VECMILL_OK);
    assert_string_equal(notices, "");
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_document_no_output),
        cmocka_unit_test(a_shard_of_what_fails_is_one),
        cmocka_unit_test(warnings),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-refuse: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
