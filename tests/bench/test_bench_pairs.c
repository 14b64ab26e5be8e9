/* A CSV of sentence, sentence, score: quotes, ends of lines, and what is refused. */
#include "bench/pairs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test-bench-pairs-XXXXXX";

static int begin(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int end(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void is(vecmill_doc doc, const char *text)
{
    assert_int_equal(doc.bytes, strlen(text));
    if (doc.bytes > 0) assert_memory_equal(doc.text, text, doc.bytes);
}

static void read_as_written(void **state)
{
    (void)state;
    struct pairs p;
    vecmill_err err;
    write_file("A girl.,A boy.,2.5\n"
               "\"One, two \"\"three\"\"\",\"\",0\r\n"
               "\"two\nlines\",\"\"\"\",5.0");
    assert_int_equal(pairs_open(path, &p, &err), VECMILL_OK);
    assert_int_equal(p.n, 3);
    is(p.docs[0], "A girl.");
    is(p.docs[1], "A boy.");
    is(p.docs[2], "One, two \"three\"");
    is(p.docs[3], "");
    is(p.docs[4], "two\nlines");
    is(p.docs[5], "\"");
    assert_true(p.scores[0] == 2.5 && p.scores[1] == 0 && p.scores[2] == 5);
    pairs_close(&p);
}

static void refused(const char *text, const char *words)
{
    struct pairs p = {.n = 77};
    vecmill_err err;
    write_file(text);
    const vecmill_status status = pairs_open(path, &p, &err);
    if (status != VECMILL_E_INPUT) fail_msg("%s: status %d", text, status);
    if (!strstr(err.message, words)) fail_msg("%s: %s\nlacks: %s", text, err.message, words);
    assert_int_equal(p.n, 77);
}

static void refused_by_line(void **state)
{
    (void)state;
    refused("", "holds 0 pairs");
    refused("a,b,1\n", "holds 1 pairs");
    refused("sentence1,sentence2,score\na,b,1\n", "line 1: is not sentence,sentence,score");
    refused("a,b,1\na,b\n", "line 2: is not");
    refused("a,b,1\na,b,1,2\n", "line 2: is not");
    refused("\"a\nb\",c,1\n\na,b,1\n", "line 3: is not");
    refused("a,b,1\na,b,nan\n", "line 2: is not");
    refused("a,b,1\na,b,1x\n", "line 2: is not");
    refused("a,b,1\na,b,\n", "line 2: is not");
    refused("a,b,1\na,\"b,1\n", "line 2: is not");
    refused("a,b,1\na,\"b\"c,1\n", "line 2: is not");
    refused("a,b,1\na,b,11111111111111111111111111111111111111\n", "line 2: is not");
    struct pairs p;
    vecmill_err err;
    assert_int_equal(pairs_open("/nowhere/pairs.csv", &p, &err), VECMILL_E_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_as_written),
        cmocka_unit_test(refused_by_line),
    };
    const int failed = cmocka_run_group_tests_name("bench-pairs", tests, begin, end);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("bench-pairs: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
