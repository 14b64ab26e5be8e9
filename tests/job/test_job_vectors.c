/* Rows and ids read back: NPY headers that lie in every number, ids by row. */
#include "job_kit.h"

#include "job/job.h"
#include "job/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file in memory: magic, version, the length of the header as it is or as `length` lies, the header
 * with blanks up to a multiple of 4, rows. */
struct npy_case {
    const char *header;
    const char *message; /* NULL: it is accepted */
    size_t row_bytes;
    int major, minor; /* 0.0: 1.0 */
    long length;      /* 0: the header's */
    bool crooked;     /* one blank more than that */
};

#define DICT(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape ", }"

static const struct npy_case npy_cases[] = {
    {.header = DICT("(2, 3)") "   \n", .row_bytes = 24},
    {.header = DICT("(2, 3)") "   \n", .row_bytes = 24, .major = 2},
    {.header = DICT("(2, 3)") "   \n", .row_bytes = 24, .major = 3},
    {.header = "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<f4\"}   ", .row_bytes = 24},
    {.header = "{ 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 2 , 3 ) }  ",
     .row_bytes = 24},
    {.header = DICT("(0, 3)") "   \n", .row_bytes = 0},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 23,
     .message = "needs 24 bytes, the file has 23"},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 25,
     .message = "needs 24 bytes, the file has 25"},
    {.header = DICT("(2, 3)") "   \n", .row_bytes = 0, .message = "needs 24 bytes, the file has 0"},
    {.header = DICT("(2, 0)") "   \n", .message = "rows of 0 numbers, 1 to 4294967295 can be"},
    {.header = DICT("(0, 4294967296)") "  \n", .message = "rows of 4294967296 numbers"},
    {.header = DICT("(4611686018427387904, 4)") "\n", .message = "needs more than"},
    {.header = DICT("(18446744073709551615, 4294967295)") "  \n", .message = "needs more than"},
    {.header = DICT("(18446744073709551616, 1)") " \n", .message = "expected a number below 2^64"},
    {.header = DICT("(99999999999999999999999, 1)") "\n", .message = "expected a number below"},
    {.header = DICT("(-1, 3)") "\n", .message = "expected a number below"},
    {.header = DICT("(2L, 3)") "\n", .message = "expected a comma"},
    {.header = DICT("(0x2, 3)") "\n", .message = "expected a comma"},
    {.header = DICT("()") "\n", .message = "has 0 axes, 2 are needed"},
    {.header = DICT("(6,)") "\n", .row_bytes = 24, .message = "has 1 axes, 2 are needed"},
    {.header = DICT("(6)") "\n", .row_bytes = 24, .message = "expected a comma"},
    {.header = DICT("(1, 2, 3)") "\n", .row_bytes = 24, .message = "has 3 axes, 2 are needed"},
    {.header = DICT("(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)") "\n",
     .message = "expected 32 axes or fewer"},
    {.header = DICT("[2, 3]") "\n", .message = "expected a tuple"},
    {.header = DICT("(2, 3") "\n", .message = "expected a number"},
    {.header = DICT("(,)") "\n", .message = "expected a number"},
    {.header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
     .row_bytes = 48,
     .message = "holds numbers of type '<f8', '<f4', '<f2', '|i1' or '|u1' is needed"},
    {.header = "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }",
     .row_bytes = 24,
     .message = "holds numbers of type '>f4'"},
    {.header = "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }",
     .row_bytes = 24,
     .message = "holds numbers of type '|O'"},
    {.header = "{'descr': '', 'fortran_order': False, 'shape': (2, 3), }",
     .row_bytes = 24,
     .message = "holds numbers of type ''"},
    {.header = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }",
     .message = "holds records"},
    {.header = "{'descr': <f4, 'fortran_order': False, 'shape': (2, 3), }",
     .message = "expected a string in quotes"},
    {.header = "{'descr': '<f4\\x00', 'fortran_order': False, 'shape': (2, 3), }",
     .message = "expected a string of plain characters"},
    {.header = "{'descr': '<f4, 'fortran_order': False, 'shape': (2, 3), }",
     .message = "expected a comma or }"},
    {.header = "{'descr': 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}",
     .message = "expected the closing quote of a short string"},
    {.header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
     .row_bytes = 24,
     .message = "is in Fortran order, C order is needed"},
    {.header = "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }",
     .message = "expected True or False"},
    {.header = "{'descr': '<f4', 'shape': (2, 3), }", .message = "lacks 'fortran_order'"},
    {.header = "{'fortran_order': False, 'shape': (2, 3), }", .message = "lacks 'descr'"},
    {.header = "{'descr': '<f4', 'fortran_order': False}", .message = "lacks 'shape'"},
    {.header = "{}", .message = "lacks 'descr'"},
    {.header = "", .message = "expected a dictionary"},
    {.header = "[]", .message = "expected a dictionary"},
    {.header = "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
     .message = "key 'descr' occurs twice"},
    {.header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (9, 9)}",
     .message = "key 'shape' occurs twice"},
    {.header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}",
     .message = "unknown key 'more'"},
    {.header = DICT("(2, 3)") "x\n", .message = "expected nothing behind the dictionary"},
    {.header = DICT("(2, 3)") "{}\n", .message = "expected nothing behind the dictionary"},
    {.header = "{'descr' '<f4'}", .message = "expected a colon"},
    {.header = "{'descr': '<f4'; 'fortran_order': False}", .message = "expected a comma or }"},
    {.header = "{'descr': '<f4', ", .message = "expected a string in quotes"},
    {.header = DICT("(2, 3)") "\n",
     .row_bytes = 24,
     .crooked = true,
     .message = "rows begin at byte 73, no multiple of 4"},
    {.header = DICT("(2, 3)") "   \n", .row_bytes = 24, .major = 4, .message = "NPY version 4.0"},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 24,
     .major = 1,
     .minor = 1,
     .message = "NPY version 1.1, 1.0 to 3.0 are known"},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 24,
     .major = 255,
     .message = "NPY version 255.0"},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 24,
     .length = 65535,
     .message = "has 65535 bytes, the maximum is 10000 (NPY_HEADER_MAX)"},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 24,
     .length = 0xFFFFFFFF,
     .major = 2,
     .message = "has 4294967295 bytes, the maximum is 10000 (NPY_HEADER_MAX)"},
    {.header = DICT("(2, 3)") "   \n",
     .row_bytes = 24,
     .length = 10000,
     .message = "has 100 bytes and ends inside its NPY header"},
    {.header = DICT("(2, 3)") "   \n", .row_bytes = 24, .length = 10, .message = "expected"},
};

static size_t build(const struct npy_case *c, char *out)
{
    const int major = c->major != 0 ? c->major : 1;
    const size_t prefix = major == 1 ? 10 : 12;
    const size_t given = strlen(c->header);
    const size_t header_bytes = num_up(prefix + given, 4) - prefix + c->crooked;
    const size_t length = c->length != 0 ? (size_t)c->length : header_bytes;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (char)major;
    out[7] = (char)c->minor;
    for (size_t i = 8; i < prefix; i++)
        out[i] = (char)(length >> 8 * (i - 8));
    memset(out + prefix, ' ', header_bytes);
    memcpy(out + prefix, c->header, given);
    memset(out + prefix + header_bytes, 0, c->row_bytes);
    return prefix + header_bytes + c->row_bytes;
}

static void headers_case_by_case(void **state)
{
    (void)state;
    const size_t n = sizeof npy_cases / sizeof *npy_cases;
    for (size_t i = 0; i < n; i++) {
        const struct npy_case *c = &npy_cases[i];
        char file[1024];
        const size_t bytes = build(c, file);
        struct npy npy = {.n = 77};
        vecmill_err err = {.message = ""};
        /* On the heap and of this very size, so that a byte read too far is seen. */
        char *exact = malloc(bytes);
        memcpy(exact, file, bytes);
        const vecmill_status status = npy_read(exact, bytes, "x.npy", &npy, &err);
        free(exact);
        if (c->message == NULL
                ? status != VECMILL_OK
                : status != VECMILL_E_INPUT || strstr(err.message, c->message) == NULL ||
                      strncmp(err.message, "x.npy: ", 7) != 0)
            fail_msg("case %zu, %s: %d \"%s\", expected \"%s\"", i, c->header, (int)status,
                     err.message, c->message != NULL ? c->message : "no error");
        assert_int_equal(npy.n, c->message != NULL ? 77 : c->row_bytes / 12);
    }
    print_message("%zu cases\n", n);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    char file[1024];
    const size_t bytes = build(&npy_cases[0], file);
    for (size_t cut = 0; cut < bytes; cut++) {
        char *exact = malloc(cut + 1);
        memcpy(exact, file, cut);
        struct npy npy;
        assert_int_equal(npy_read(exact, cut, "x.npy", &npy, NULL), VECMILL_E_INPUT);
        free(exact);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const uint64_t counts[] = {0, 1, 9, 10, 123456789, UINT64_MAX / 4096};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char header[NPY_HEADER_BYTES];
        npy_header(counts[i], 384, VECMILL_DTYPE_FLOAT32, header);
        assert_int_equal(header[127], '\n');
        char text[32];
        snprintf(text, sizeof text, "(%llu, 384), }", (unsigned long long)counts[i]);
        char copy[NPY_HEADER_BYTES + 1];
        memcpy(copy, header, sizeof header);
        copy[sizeof header] = 0;
        assert_non_null(strstr(copy + 10, text));
    }
    npy_header(UINT64_MAX, UINT32_MAX, VECMILL_DTYPE_FLOAT16, (char[NPY_HEADER_BYTES]){0});
    float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
    char file[NPY_HEADER_BYTES + sizeof rows];
    npy_header(2, 3, VECMILL_DTYPE_FLOAT32, file);
    memcpy(file + NPY_HEADER_BYTES, rows, sizeof rows);
    kit_write(kit_path("v.npy"), file, sizeof file);
    struct job_vectors v;
    assert_int_equal(job_vectors_open(kit_path("v.npy"), &v, NULL), VECMILL_OK);
    assert_int_equal(v.n, 2);
    assert_int_equal(v.dim, 3);
    assert_memory_equal(v.rows, rows, sizeof rows);
    job_vectors_close(&v);
    job_vectors_close(&v);

    vecmill_err err;
    assert_int_equal(job_vectors_open(kit_path("missing.npy"), &v, &err), VECMILL_E_INPUT);
    assert_non_null(strstr(err.message, "missing.npy"));
    kit_write(kit_path("v.npy"), "", 0);
    assert_int_equal(job_vectors_open(kit_path("v.npy"), &v, &err), VECMILL_E_INPUT);
    assert_non_null(strstr(err.message, "v.npy: is no NPY file"));
    assert_int_equal(job_vectors_open(kit_path(""), &v, &err), VECMILL_E_INPUT);
}

static void ids_by_row(void **state)
{
    (void)state;
    kit_write(kit_path("v.npy.ids.jsonl"), "\"zero\"\n1\nnull\n-0.50\n\"four\"", 26);
    const uint64_t rows[] = {4, 0, 2, 0, 99, 1, 3};
    char *out[7];
    assert_int_equal(job_ids_find(kit_path("v.npy"), rows, 7, out, NULL), VECMILL_OK);
    assert_string_equal(out[0], "\"four\"");
    assert_string_equal(out[1], "\"zero\"");
    assert_string_equal(out[2], "null");
    assert_string_equal(out[3], "\"zero\"");
    assert_null(out[4]);
    assert_string_equal(out[5], "1");
    assert_string_equal(out[6], "-0.50");
    for (int i = 0; i < 7; i++)
        mem_free(out[i]);

    assert_int_equal(job_ids_find(kit_path("other.npy"), rows, 7, out, NULL), VECMILL_OK);
    for (int i = 0; i < 7; i++)
        assert_null(out[i]);
    assert_int_equal(job_ids_find(kit_path("v.npy"), rows, 0, out, NULL), VECMILL_OK);

    /* Across many chunks, and a line that is too long only where it is wanted. */
    enum { N = 100000, LONG = 5000 };
    FILE *file = fopen(kit_path("v.npy.ids.jsonl"), "w");
    assert_non_null(file);
    for (int i = 0; i < N; i++) {
        fprintf(file, "\"id %d", i);
        for (int k = 0; i == 1000 && k < LONG; k++)
            fputc('x', file);
        fputs("\"\n", file);
    }
    fclose(file);
    const uint64_t far[] = {N - 1, 50000, 999, 1001};
    assert_int_equal(job_ids_find(kit_path("v.npy"), far, 4, out, NULL), VECMILL_OK);
    for (int i = 0; i < 4; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "\"id %d\"", (int)far[i]);
        assert_string_equal(out[i], expected);
        mem_free(out[i]);
    }
    vecmill_err err;
    const uint64_t too_long[] = {5, 1000};
    out[0] = out[1] = NULL;
    assert_int_equal(job_ids_find(kit_path("v.npy"), too_long, 2, out, &err), VECMILL_E_INPUT);
    assert_non_null(strstr(err.message,
                           "v.npy.ids.jsonl: line 1001 holds 5009 bytes, the maximum is "
                           "4096 (JOB_ID_BYTES_MAX)"));
    assert_null(out[0]);
}

/* A line that is wanted is one scalar, or the file is refused with its number. */
static void ids_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"", "line 2 is no id: bad JSON: it ends after 0 bytes, expected a value"},
        {"x", "line 2 is no id: bad JSON at byte 1: expected a value"},
        {"\"open", "line 2 is no id: bad JSON: it ends after 5 bytes"},
        {"1,\"score\":9", "line 2 is no id: bad JSON at byte 2: expected nothing behind the value"},
        {"1 2", "line 2 is no id: bad JSON at byte 3"},
        {"[1]", "line 2 is no id: it is an array"},
        {"{\"id\":1}", "line 2 is no id: it is an object"},
        {" 7\r", "line 2 is no id: 2 of its 3 bytes are blanks around one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *file = fopen(kit_path("v.npy.ids.jsonl"), "w");
        assert_non_null(file);
        fprintf(file, "\"good\"\n%s\ntrue\n", cases[i].line);
        fclose(file);
        char *out[2] = {NULL, NULL};
        vecmill_err err;
        assert_int_equal(job_ids_find(kit_path("v.npy"), (const uint64_t[]){0, 1}, 2, out, &err),
                         VECMILL_E_INPUT);
        if (strstr(err.message, "v.npy.ids.jsonl: ") == NULL ||
            strstr(err.message, cases[i].message) == NULL)
            fail_msg("case %zu: %s", i, err.message);
        assert_null(out[0]);
        assert_int_equal(job_ids_find(kit_path("v.npy"), (const uint64_t[]){0, 2}, 2, out, &err),
                         VECMILL_OK);
        assert_string_equal(out[0], "\"good\"");
        assert_string_equal(out[1], "true");
        mem_free(out[0]);
        mem_free(out[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_case_by_case),    cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(ids_by_row),
        cmocka_unit_test(ids_that_are_none),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-vectors: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
