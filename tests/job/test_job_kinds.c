/* test_job_kinds: outputs of results that are no single vector: rows with offsets, and sparse weights. What
 * is written is compared with what the fake pool gave, made anew here; a run that stops and goes on writes
 * the same bytes. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM    3u
#define N_DOCS 400u

static atomic_int stop;

/* A text, or what fails. */
static const char *text_of(uint32_t i, char text[64])
{
    if (i % 50 == 7) return "TOO LONG";
    if (i % 50 == 8) return "CONDEMN ME";
    (void)snprintf(text, 64, "%.*s%u", (int)(i % 23), "abcdefghijklmnopqrstuvw", i);
    return text;
}

static bool fails(uint32_t i)
{
    return i % 50 == 7 || i % 50 == 8;
}

static void make_input(void)
{
    FILE *f = fopen(kit_path("in.txt"), "wb");
    assert_non_null(f);
    for (uint32_t i = 0; i < N_DOCS; i++) {
        char text[64];
        fprintf(f, "%s\n", text_of(i, text));
    }
    assert_int_equal(fclose(f), 0);
}

static vecmill_status run(const struct job_options *options, vecmill_kind kind, uint64_t stop_at,
                          struct job_progress *summary, vecmill_err *err)
{
    vecmill_pool pool = {.dim = DIM,
                         .kind = kind,
                         .capacity = 16,
                         .batches_a_doc = JOB_CHECKPOINT_BATCHES / 16,
                         .stop = &stop,
                         .stop_at = stop_at};
    const struct job_hooks hooks = {.stop = &stop};
    err->message[0] = 0;
    atomic_store(&stop, 0);
    return job_run(options, &pool, &hooks, summary, err);
}

/* Rows of document i; 0: it failed. */
static uint32_t rows_of(uint32_t i, float vector[DIM])
{
    char text[64];
    const char *t = text_of(i, text);
    if (fails(i)) return 0;
    fake_vector(t, strlen(t), DIM, vector);
    return (uint32_t)(strlen(t) % (FAKE_ROWS_MAX + 1));
}

static void check_npy(void)
{
    size_t bytes, offsets_bytes;
    char *data = kit_read(kit_path("out.npy"), &bytes);
    char *offsets = kit_read(kit_path("out.npy.offsets.npy"), &offsets_bytes);
    uint64_t n = 0;
    assert_int_equal(offsets_bytes, 128 + (N_DOCS + 1) * sizeof(int64_t));
    assert_non_null(
        strstr(offsets + 10, "{'descr': '<i8', 'fortran_order': False, 'shape': (401,), }"));
    for (uint32_t i = 0; i <= N_DOCS; i++) {
        int64_t at;
        float vector[DIM];
        memcpy(&at, offsets + 128 + i * sizeof at, sizeof at);
        assert_int_equal(at, n);
        const uint32_t rows = i < N_DOCS ? rows_of(i, vector) : 0;
        assert_true(128 + (n + rows) * sizeof vector <= bytes);
        for (uint32_t r = 0; r < rows; r++)
            assert_memory_equal(data + 128 + (n + r) * sizeof vector, vector, sizeof vector);
        n += rows;
    }
    char shape[96];
    (void)snprintf(shape, sizeof shape, "'<f4', 'fortran_order': False, 'shape': (%llu, 3), }",
                   (unsigned long long)n);
    assert_non_null(strstr(data + 10, shape));
    assert_int_equal(bytes, 128 + n * DIM * sizeof(float));
    free(data);
    free(offsets);
}

static void clean(void)
{
    static const char *const names[] = {"in.txt",
                                        "out.npy",
                                        "out.npy.offsets.npy",
                                        "out.npy.errors.jsonl",
                                        "out.jsonl",
                                        "out.jsonl.errors.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)remove(kit_path(names[i]));
    assert_int_equal(kit_count(), 0);
}

static void rows_come_with_offsets(void **state)
{
    (void)state;
    struct job_progress summary;
    vecmill_err err;
    make_input();
    const struct job_options options = {.input = kit_lasting("in.txt"),
                                        .output = kit_lasting("out.npy"),
                                        .kind = VECMILL_KIND_MULTI};
    assert_int_equal(run(&options, VECMILL_KIND_MULTI, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_int_equal(summary.documents, N_DOCS);
    assert_int_equal(summary.failed, 16);
    check_npy();
    clean();
}

/* After a stop anywhere; what was written is gone on from, whatever the offsets' part has beyond it. */
static void a_run_goes_on(void **state)
{
    (void)state;
    struct job_progress summary;
    vecmill_err err;
    for (uint64_t at = 20; at < N_DOCS; at += 61) {
        make_input();
        struct job_options options = {.input = kit_lasting("in.txt"),
                                      .output = kit_lasting("out.npy"),
                                      .kind = VECMILL_KIND_TOKENS};
        assert_int_equal(run(&options, VECMILL_KIND_TOKENS, at, &summary, &err), VECMILL_E_STOPPED);
        assert_true(kit_exists(kit_path("out.npy.journal")));
        assert_false(kit_exists(kit_path("out.npy")));
        options.resume = true;
        assert_int_equal(run(&options, VECMILL_KIND_TOKENS, 0, &summary, &err), VECMILL_E_PARTIAL);
        assert_true(summary.resumed > 0);
        assert_int_equal(summary.documents, N_DOCS);
        check_npy();
        clean();
    }
}

/* Vectors that replace rows take their offsets away. */
static void old_offsets_are_removed(void **state)
{
    (void)state;
    struct job_progress summary;
    vecmill_err err;
    make_input();
    struct job_options options = {.input = kit_lasting("in.txt"), .output = kit_lasting("out.npy")};
    assert_int_equal(run(&options, VECMILL_KIND_MULTI, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_true(kit_exists(kit_path("out.npy.offsets.npy")));
    assert_int_equal(run(&options, VECMILL_KIND_DENSE, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_false(kit_exists(kit_path("out.npy.offsets.npy")));
    clean();
}

/* The text of an output, made by hand. */
static void check_jsonl(vecmill_kind kind)
{
    size_t bytes;
    char *data = kit_read(kit_path("out.jsonl"), &bytes), *at = data;
    for (uint32_t i = 0; i < N_DOCS; i++) {
        char *end = strchr(at, '\n'), line[64];
        float vector[DIM];
        assert_non_null(end);
        *end = '\0';
        (void)snprintf(line, sizeof line, "{\"id\":%u,\"%s\":", i,
                       kind == VECMILL_KIND_SPARSE ? "indices" : "embedding");
        assert_int_equal(strncmp(at, line, strlen(line)), 0);
        at += strlen(line);
        const uint32_t rows = rows_of(i, vector);
        if (fails(i)) {
            assert_int_equal(strncmp(at, "null,\"error\":\"", 14), 0);
        } else if (kind == VECMILL_KIND_SPARSE) {
            bool first = true;
            assert_int_equal(*at++, '[');
            for (uint32_t k = 0; k < DIM; k++) {
                if (vector[k] < 0) continue;
                if (!first) assert_int_equal(*at++, ',');
                assert_int_equal(strtoul(at, &at, 10), k);
                first = false;
            }
            assert_int_equal(strncmp(at, "],\"values\":[", 12), 0);
            at += 11;
            for (uint32_t k = 0; k < DIM; k++)
                if (vector[k] >= 0) assert_true(strtof(at + 1, &at) == vector[k]);
            assert_string_equal(first ? at + 1 : at, "]}");
        } else {
            assert_int_equal(*at++, '[');
            for (uint32_t r = 0; r < rows; r++) {
                if (r > 0) assert_int_equal(*at++, ',');
                assert_int_equal(*at, '[');
                for (uint32_t k = 0; k < DIM; k++)
                    assert_true(strtof(at + 1, &at) == vector[k]);
                assert_int_equal(*at++, ']');
            }
            assert_string_equal(at, "]}");
        }
        at = end + 1;
    }
    assert_int_equal(at - data, bytes);
    free(data);
}

static void json_lines_of_each(void **state)
{
    (void)state;
    static const vecmill_kind kinds[] = {VECMILL_KIND_MULTI, VECMILL_KIND_SPARSE,
                                         VECMILL_KIND_TOKENS};
    struct job_progress summary;
    vecmill_err err;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make_input();
        struct job_options options = {.input = kit_lasting("in.txt"),
                                      .output = kit_lasting("out.jsonl")};
        assert_int_equal(run(&options, kinds[i], 100, &summary, &err), VECMILL_E_STOPPED);
        options.resume = true;
        assert_int_equal(run(&options, kinds[i], 0, &summary, &err), VECMILL_E_PARTIAL);
        check_jsonl(kinds[i]);
        clean();
    }
}

static void what_a_format_cannot_hold_is_refused(void **state)
{
    (void)state;
    struct job_progress summary;
    vecmill_err err;
    make_input();
    struct job_options options = {.input = kit_lasting("in.txt"), .output = kit_lasting("out.npy")};
    assert_int_equal(run(&options, VECMILL_KIND_SPARSE, 0, &summary, &err), VECMILL_E_USAGE);
    kit_assert_message(&err, "results of this model are not written to .npy");
    options.kind = VECMILL_KIND_SPARSE;
    assert_int_equal(job_check_names(&options, &err), VECMILL_E_USAGE);
    options.kind = VECMILL_KIND_MULTI;
    assert_int_equal(job_check_names(&options, &err), VECMILL_OK);
    options.shards = 2;
    assert_int_equal(job_check_names(&options, &err), VECMILL_E_USAGE);
    kit_assert_message(&err, "only dense vectors and scores are written in shards");
    options.output = kit_lasting("out.jsonl");
    assert_int_equal(job_check_names(&options, &err), VECMILL_E_USAGE);
    options.kind = VECMILL_KIND_DENSE;
    assert_int_equal(job_check_names(&options, &err), VECMILL_OK);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_with_offsets),
        cmocka_unit_test(a_run_goes_on),
        cmocka_unit_test(old_offsets_are_removed),
        cmocka_unit_test(json_lines_of_each),
        cmocka_unit_test(what_a_format_cannot_hold_is_refused),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-kinds: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
