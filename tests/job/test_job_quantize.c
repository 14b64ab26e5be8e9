/* Outputs of narrower numbers: each row is the quantized one of its vector, by ranges that are given or are
 * those of the run's own vectors, wherever the run was stopped in between. The rules: base-quantize. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"
#include "job/sink.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM    7u
#define N_DOCS 40u
#define ROW    (DIM * sizeof(float))

static const vecmill_dtype dtypes[] = {VECMILL_DTYPE_FLOAT32, VECMILL_DTYPE_FLOAT16,
                                       VECMILL_DTYPE_INT8,    VECMILL_DTYPE_UINT8,
                                       VECMILL_DTYPE_BINARY,  VECMILL_DTYPE_UBINARY};
static const char *const descrs[] = {"<f4", "<f2", "|i1", "|u1", "|i1", "|u1"};

static void make_input(void)
{
    char text[4096];
    size_t n = 0;
    for (unsigned i = 0; i < N_DOCS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i % 10 == 4 ? "TOO LONG\n" : "%u\n", i);
    kit_input("in.txt", text);
}

/* The vector of document i; false: it fails. */
static bool vector_of(unsigned i, float *vector)
{
    char text[16];
    if (i % 10 == 4) return false;
    snprintf(text, sizeof text, "%u", i);
    fake_vector(text, strlen(text), DIM, vector);
    return true;
}

static void own_ranges(float ranges[2 * DIM])
{
    bool first = true;
    for (unsigned i = 0; i < N_DOCS; i++) {
        float vector[DIM];
        if (!vector_of(i, vector)) continue;
        for (unsigned c = 0; c < DIM; c++) {
            if (first || vector[c] < ranges[c]) ranges[c] = vector[c];
            if (first || vector[c] > ranges[DIM + c]) ranges[DIM + c] = vector[c];
        }
        first = false;
    }
}

static void write_ranges(const char *name, const float *ranges, unsigned rows, unsigned dim)
{
    char file[4096], header[128];
    const int head =
        snprintf(header, sizeof header,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%u, %u), }", rows, dim);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    memset(file + 10, ' ', 118);
    memcpy(file + 10, header, (size_t)head);
    file[127] = '\n';
    const size_t bytes = rows * dim * sizeof(float);
    memcpy(file + 128, ranges, bytes);
    kit_write(kit_path(name), file, 128 + bytes);
}

static const char *given_file(float ranges[2 * DIM])
{
    for (unsigned c = 0; c < DIM; c++) {
        ranges[c] = -0.25f - 0.01f * (float)c;
        ranges[DIM + c] = 0.5f;
    }
    write_ranges("given.npy", ranges, 2, DIM);
    return kit_path("given.npy");
}

static struct job_options options_of(const char *output, vecmill_dtype dtype, const char *ranges)
{
    return (struct job_options){.input = kit_path("in.txt"),
                                .output = kit_path(output),
                                .dtype = dtype,
                                .ranges = ranges,
                                .max_document =
                                    64 << 10}; /* memory that a run takes, and here are many */
}

static vecmill_status run(const struct job_options *options, uint64_t stop_at, vecmill_err *err)
{
    atomic_int stop = 0;
    vecmill_pool pool = {.dim = DIM, .capacity = 8, .stop = &stop, .stop_at = stop_at};
    const struct job_hooks hooks = {.stop = &stop};
    struct job_progress summary;
    bool finished = false;
    err->message[0] = 0;
    vecmill_status status = job_check(options, &finished, err);
    if (status == VECMILL_OK && !finished) status = job_run(options, &pool, &hooks, &summary, err);
    return status;
}

/* The .npy of all rows as numpy would have saved it. */
static void assert_rows(const char *name, size_t d, const float *ranges)
{
    const enum quantize_dtype dtype = (enum quantize_dtype)dtypes[d];
    const size_t row_bytes = quantize_row_bytes(dtype, DIM);
    size_t bytes;
    char *data = kit_read(kit_path(name), &bytes), header[129];
    assert_non_null(data);
    const int head = snprintf(header, sizeof header,
                              "{'descr': '%s', 'fortran_order': False, 'shape': (%u, %zu), }",
                              descrs[d], N_DOCS, d >= 4 ? row_bytes : DIM);
    assert_memory_equal(data + 10, header, (size_t)head);
    assert_int_equal(bytes, 128 + N_DOCS * row_bytes);
    for (unsigned i = 0; i < N_DOCS; i++) {
        unsigned char row[ROW] = {0};
        float vector[DIM];
        if (vector_of(i, vector))
            assert_int_equal(quantize_rows(vector, 1, DIM, dtype, ranges, row, NULL), VECMILL_OK);
        assert_memory_equal(data + 128 + i * row_bytes, row, row_bytes);
    }
    free(data);
}

static void assert_ranges(const char *name, const float *ranges)
{
    struct job_vectors v;
    assert_int_equal(job_ranges_open(kit_path(name), &v, NULL), VECMILL_OK);
    assert_int_equal(v.dim, DIM);
    assert_memory_equal(v.rows, ranges, 2 * ROW);
    job_vectors_close(&v);
}

static void empty_folder(void)
{
    static const char *const names[] = {"out.npy",
                                        "out.npy.ranges.npy",
                                        "out.npy.errors.jsonl",
                                        "out.npy.ids.jsonl",
                                        "out.npy.stage.part",
                                        "out.npy.part",
                                        "out.npy.journal",
                                        "out.jsonl",
                                        "out.jsonl.ranges.npy",
                                        "out.jsonl.errors.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(kit_path(names[i]));
}

static void every_dtype_into_npy(void **state)
{
    (void)state;
    float given[2 * DIM], own[2 * DIM];
    vecmill_err err;
    make_input();
    const char *file = given_file(given);
    own_ranges(own);
    for (size_t d = 0; d < 6; d++) {
        const bool needs = quantize_needs_ranges((enum quantize_dtype)dtypes[d]);
        for (unsigned with = 0; with <= (needs ? 1u : 0u); with++) {
            const struct job_options o = options_of("out.npy", dtypes[d], with != 0 ? file : NULL);
            assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
            assert_rows("out.npy", d, with != 0 ? given : own);
            assert_int_equal(kit_exists(kit_path("out.npy.ranges.npy")), needs);
            if (needs) assert_ranges("out.npy.ranges.npy", with != 0 ? given : own);
            /* in.txt, given.npy, the output, its errors, its ranges */
            assert_int_equal(kit_count(), needs ? 5 : 4);
        }
    }
    empty_folder();
}

/* Numbers of one line of JSON behind "embedding":. */
static void assert_line(char **line, unsigned i, size_t d, const float *ranges)
{
    const enum quantize_dtype dtype = (enum quantize_dtype)dtypes[d];
    unsigned char row[ROW];
    float vector[DIM], back[DIM];
    char *at = strstr(*line, "\"embedding\":");
    assert_non_null(at);
    at += strlen("\"embedding\":");
    if (!vector_of(i, vector)) {
        assert_memory_equal(at, "null,\"error\"", 12);
        *line = strchr(at, '\n') + 1;
        return;
    }
    assert_int_equal(quantize_rows(vector, 1, DIM, dtype, ranges, row, NULL), VECMILL_OK);
    quantize_restore(row, 1, DIM, dtype, ranges, back);
    const size_t n = d < 4 ? DIM : quantize_row_bytes(dtype, DIM);
    for (size_t c = 0; c < n; c++) {
        assert_int_equal(*at, c == 0 ? '[' : ',');
        const float value = strtof(at + 1, &at);
        const bool is_signed = dtypes[d] == VECMILL_DTYPE_INT8 || dtypes[d] == VECMILL_DTYPE_BINARY;
        if (d < 2)
            assert_true(value == back[c]);
        else
            assert_true(value == (float)(is_signed ? (int)(signed char)row[c] : (int)row[c]));
    }
    assert_memory_equal(at, "]}\n", 3);
    *line = at + 3;
}

static void every_dtype_into_jsonl(void **state)
{
    (void)state;
    float given[2 * DIM];
    vecmill_err err;
    make_input();
    const char *file = given_file(given);
    for (size_t d = 0; d < 6; d++) {
        const bool needs = quantize_needs_ranges((enum quantize_dtype)dtypes[d]);
        const struct job_options o = options_of("out.jsonl", dtypes[d], needs ? file : NULL);
        assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
        char *data = kit_read(kit_path("out.jsonl"), NULL), *line = data;
        for (unsigned i = 0; i < N_DOCS; i++)
            assert_line(&line, i, d, given);
        assert_int_equal(*line, 0);
        free(data);
        if (needs) assert_ranges("out.jsonl.ranges.npy", given);
    }
    empty_folder();
}

/* A run that is stopped at any document, once or twice, and goes on. Kills: job-kill. */
static void stopped_anywhere_it_goes_on(void **state)
{
    (void)state;
    float own[2 * DIM];
    vecmill_err err;
    make_input();
    own_ranges(own);
    for (uint64_t stop = 1; stop <= N_DOCS; stop++) {
        struct job_options o = options_of("out.npy", VECMILL_DTYPE_INT8, NULL);
        const vecmill_status first = run(&o, stop, &err);
        if (first == VECMILL_E_STOPPED && kit_exists(kit_path("out.npy.journal"))) {
            /* Other options are refused, and what is there stays. */
            struct job_options other = o;
            other.resume = true;
            other.dtype = VECMILL_DTYPE_UINT8;
            assert_int_equal(run(&other, 0, &err), VECMILL_E_USAGE);
            kit_assert_message(&err,
                               "the run to resume had another --dtype, and so another output");
            float given[2 * DIM];
            other.dtype = VECMILL_DTYPE_INT8;
            other.ranges = given_file(given);
            assert_int_equal(run(&other, 0, &err), VECMILL_E_USAGE);
            kit_assert_message(&err, "the run to resume had another --ranges");
            assert_true(kit_exists(kit_path("out.npy.stage.part")));
        }
        o.resume = true;
        if (first == VECMILL_E_STOPPED) run(&o, 7, &err);
        const vecmill_status last = run(&o, 0, &err);
        assert_true(last == VECMILL_E_PARTIAL || last == VECMILL_OK);
        assert_rows("out.npy", 2, own);
        assert_ranges("out.npy.ranges.npy", own);
        assert_false(kit_exists(kit_path("out.npy.stage.part")));
        assert_false(kit_exists(kit_path("out.npy.journal")));
        empty_folder();
    }
}

static void assert_refused(const struct job_options *o, vecmill_status status, const char *part)
{
    vecmill_err err;
    const size_t before = kit_count();
    assert_int_equal(run(o, 0, &err), status);
    kit_assert_message(&err, part);
    assert_int_equal(kit_count(), before);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    float ranges[2 * DIM];
    struct job_options o;
    make_input();
    const char *file = given_file(ranges);
    o = options_of("out.jsonl", VECMILL_DTYPE_INT8, NULL);
    assert_refused(&o, VECMILL_E_USAGE, "int8 here needs --ranges FILE");
    o = options_of("out.npy", VECMILL_DTYPE_UINT8, NULL);
    o.shards = 2;
    assert_refused(&o, VECMILL_E_USAGE, "shards need --ranges FILE");
    o = options_of("out.npy", VECMILL_DTYPE_BINARY, file);
    assert_refused(&o, VECMILL_E_USAGE, "--ranges says nothing of binary");
    o = options_of("out.npy", VECMILL_DTYPE_FLOAT16, NULL);
    o.kind = VECMILL_KIND_TOKENS;
    assert_refused(&o, VECMILL_E_USAGE, "written as float32, not as float16");
    o = options_of("given.npy", VECMILL_DTYPE_INT8, file);
    assert_refused(&o, VECMILL_E_USAGE, "given.npy: cannot be the file of ranges too");

    o = options_of("out.npy", VECMILL_DTYPE_INT8, kit_path("none.npy"));
    assert_refused(&o, VECMILL_E_INPUT, "none.npy");
    o.ranges = kit_path("in.txt");
    assert_refused(&o, VECMILL_E_INPUT, "in.txt: is no NPY file");
    o.ranges = kit_path("given.npy");
    write_ranges("given.npy", ranges, 1, DIM);
    assert_refused(&o, VECMILL_E_INPUT, "holds 1 rows of float32, ranges are 2 rows");
    write_ranges("given.npy", (const float[2 * (DIM - 1)]){0}, 2, DIM - 1);
    assert_refused(&o, VECMILL_E_INPUT, "holds the ranges of 6 components, the vectors have 7");
    ranges[DIM + 2] = -9;
    write_ranges("given.npy", ranges, 2, DIM);
    assert_refused(&o, VECMILL_E_INPUT, "component 2 ranges from -0.27 to -9");

    /* One vector, beside a document that failed: that nothing can be made of it shows at the end. */
    kit_input("in.txt", "TOO LONG\nalone\n");
    o = options_of("out.npy", VECMILL_DTYPE_INT8, NULL);
    assert_refused(&o, VECMILL_E_USAGE, "int8 of 1 vector needs --ranges FILE, 2 vectors are");
    /* None at all has no ranges, and needs none. */
    vecmill_err err;
    kit_input("in.txt", "");
    assert_int_equal(run(&o, 0, &err), VECMILL_OK);
    assert_true(kit_exists(kit_path("out.npy")));
    assert_false(kit_exists(kit_path("out.npy.ranges.npy")));
    empty_folder();
}

/* The copy of a run's ranges may be the next run's, into the same output. */
static void ranges_from_where_they_go(void **state)
{
    (void)state;
    float own[2 * DIM];
    vecmill_err err;
    make_input();
    own_ranges(own);
    struct job_options o = options_of("out.npy", VECMILL_DTYPE_UINT8, NULL);
    assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
    o.ranges = kit_path("out.npy.ranges.npy");
    o.dtype = VECMILL_DTYPE_INT8;
    assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
    assert_rows("out.npy", 2, own);
    assert_ranges("out.npy.ranges.npy", own);
    assert_true(job_is_own_path(&o, kit_path("out.npy.ranges.npy")));
    assert_true(job_is_own_path(&o, kit_path("out.npy.stage.part")));
    empty_folder();
}

static void shards_are_put_together(void **state)
{
    (void)state;
    float given[2 * DIM];
    vecmill_err err;
    const char *shards[3], *file = given_file(given);
    make_input();
    for (uint32_t i = 0; i < 3; i++) {
        shards[i] = kit_lasting("s%u.npy", i);
        struct job_options o = options_of("", VECMILL_DTYPE_INT8, file);
        o.output = shards[i];
        o.shard = i;
        o.shards = 3;
        assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
    }
    struct job_merge_options merge = {shards, 3, kit_path("out.npy")};
    struct job_progress summary;
    assert_int_equal(job_merge(&merge, NULL, &summary, &err), VECMILL_E_PARTIAL);
    assert_rows("out.npy", 2, given);
    assert_ranges("out.npy.ranges.npy", given);

    /* One of other ranges, then one of another dtype. */
    for (unsigned k = 0; k < 2; k++) {
        struct job_options o =
            options_of("", k == 0 ? VECMILL_DTYPE_INT8 : VECMILL_DTYPE_UINT8, file);
        given[0] -= 1;
        if (k == 0) write_ranges("given.npy", given, 2, DIM);
        o.output = shards[1];
        o.shard = 1;
        o.shards = 3;
        o.force = true;
        assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
        assert_int_equal(job_merge(&merge, NULL, &summary, &err), VECMILL_E_INPUT);
        kit_assert_message(&err, k == 0 ? "of other --ranges" : "of uint8 and of int8");
    }
    empty_folder();
}

/* A document whose vector has no place in the dtype fails alone. */
static void what_does_not_fit_fails_alone(void **state)
{
    (void)state;
    vecmill_err err;
    make_input();
    struct job_options o = options_of("out.npy", VECMILL_DTYPE_FLOAT16, NULL);
    kit_input("in.txt", "one\nHUGE\ntwo\n");
    assert_int_equal(run(&o, 0, &err), VECMILL_E_PARTIAL);
    char *data = kit_read(kit_path("out.npy.errors.jsonl"), NULL);
    assert_non_null(strstr(data, "component 0 of row 0 is 1e+06, the greatest float16 is 65504"));
    free(data);
    size_t bytes;
    data = kit_read(kit_path("out.npy"), &bytes);
    assert_int_equal(bytes, 128 + 3 * 2 * DIM);
    for (size_t i = 0; i < (size_t)2 * DIM; i++)
        assert_int_equal(data[128 + 2 * DIM + i], 0);
    free(data);
    empty_folder();
}

/* The plan has the memory for a row and its ranges, and no more. */
static void memory_is_planned(void **state)
{
    (void)state;
    make_input();
    const vecmill_facts facts = {.struct_bytes = sizeof facts, .dim = 1024, .result_bytes = 4096};
    struct job_options o = options_of("out.npy", VECMILL_DTYPE_FLOAT32, NULL);
    const size_t plain = job_bytes(&o, &facts, 64);
    o.dtype = VECMILL_DTYPE_UBINARY;
    assert_in_range(job_bytes(&o, &facts, 64) - plain, 128, 1024);
    o.dtype = VECMILL_DTYPE_INT8;
    assert_in_range(job_bytes(&o, &facts, 64) - plain, 13 * 1024, 14 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_into_npy),
        cmocka_unit_test(every_dtype_into_jsonl),
        cmocka_unit_test(stopped_anywhere_it_goes_on),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(ranges_from_where_they_go),
        cmocka_unit_test(shards_are_put_together),
        cmocka_unit_test(what_does_not_fit_fails_alone),
        cmocka_unit_test(memory_is_planned),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-quantize: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
