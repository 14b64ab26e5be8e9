/* The journal's bytes, and the file they lie in: torn, changed, of another version, held by another. */
#include "job_kit.h"

#include "job/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct journal_run some_run = {.identity = "0123456789abcdef0123456789abcdef",
                                            .isa = "avx512",
                                            .dim = 3,
                                            .output_format = SINK_NPY,
                                            .input_format = READER_CSV,
                                            .max_document = 1000,
                                            .field = 77,
                                            .id_field = UINT64_MAX,
                                            .shard = 2,
                                            .shards = 7,
                                            .dtype = VECMILL_DTYPE_FLOAT16,
                                            .ranges = 78};

/* With n documents. */
static struct journal_point point_of(uint64_t n)
{
    return (struct journal_point){.documents = n,
                                  .failed = n / 2,
                                  .tokens = 9 * n,
                                  .truncated = n / 3,
                                  .replaced_bytes = 1,
                                  .input = {.bytes = 100 * n,
                                            .digest = ~n,
                                            .line = n + 2,
                                            .record = 7 * n,
                                            .read = 6 * n,
                                            .in_array = n % 2 == 1},
                                  .files = {{.bytes = 5 * n, .inode = 1, .mtime_ns = 2},
                                            {.bytes = 6 * n, .inode = 3, .mtime_ns = 4},
                                            {.bytes = 7 * n, .inode = 7, .mtime_ns = 8},
                                            {.bytes = 9 * n, .inode = 9, .mtime_ns = 10},
                                            {.bytes = 11 * n, .inode = 11, .mtime_ns = 12},
                                            {.bytes = 128 + 6 * n, .inode = 5, .mtime_ns = 6}}};
}

static void assert_point(const struct journal_point *point, uint64_t n)
{
    struct journal_point expected = point_of(n);
    if (n == 0) expected = (struct journal_point){.sequence = 1};
    expected.sequence = point->sequence;
    expected.complete = point->complete;
    assert_memory_equal(point->files, expected.files, sizeof expected.files);
    assert_int_equal(point->documents, n);
    assert_true(
        point->failed == expected.failed && point->tokens == expected.tokens &&
        point->truncated == expected.truncated &&
        point->replaced_bytes == expected.replaced_bytes &&
        point->input.bytes == expected.input.bytes &&
        point->input.digest == expected.input.digest && point->input.line == expected.input.line &&
        point->input.record == expected.input.record && point->input.read == expected.input.read &&
        point->input.in_array == expected.input.in_array);
}

static struct paths paths; /* "out", "j" */

/* A journal with checkpoints of 0, 1, ... n documents, the last `complete`; closed. Its path. */
static const char *make(uint64_t n, bool complete)
{
    struct paths_file *file = &paths.journal;
    snprintf(paths.files[PATHS_OUTPUT].given, sizeof file->given, "%s", kit_path("out"));
    snprintf(file->given, sizeof file->given, "%s", kit_path("j"));
    memcpy(file->real, file->given, sizeof file->real);
    struct journal j;
    assert_int_equal(journal_create(file, &some_run, &j, NULL), VECMILL_OK);
    for (uint64_t i = 1; i <= n; i++) {
        struct journal_point point = point_of(i);
        point.complete = complete && i == n;
        assert_int_equal(journal_write(&j, &point, NULL), VECMILL_OK);
        assert_int_equal(point.sequence, i + 1);
    }
    journal_close(&j);
    return file->real;
}

static void written_and_read(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 6; n++) {
        make(n, n == 5);
        struct journal_run run;
        struct journal_point point;
        struct journal j;
        assert_int_equal(journal_open(&paths, &j, NULL), VECMILL_OK);
        assert_int_equal(journal_read(&j, &run, &point, NULL), VECMILL_OK);
        assert_string_equal(run.identity, some_run.identity);
        assert_string_equal(run.isa, some_run.isa);
        assert_true(run.dim == 3 && run.output_format == SINK_NPY &&
                    run.input_format == READER_CSV && run.max_document == 1000 && run.field == 77 &&
                    run.id_field == UINT64_MAX && run.shard == 2 && run.shards == 7 &&
                    run.dtype == VECMILL_DTYPE_FLOAT16 && run.ranges == 78);
        assert_point(&point, n);
        assert_int_equal(point.complete, n == 5);
        /* And on from there. */
        point = point_of(n + 10);
        assert_int_equal(journal_write(&j, &point, NULL), VECMILL_OK);
        assert_int_equal(point.sequence, n + 2);
        journal_close(&j);
        assert_int_equal(journal_open(&paths, &j, NULL), VECMILL_OK);
        assert_int_equal(journal_read(&j, &run, &point, NULL), VECMILL_OK);
        assert_point(&point, n + 10);
        assert_int_equal(journal_remove(&j, NULL), VECMILL_OK);
        assert_int_equal(kit_count(), 0);
        assert_int_equal(journal_open(&paths, &j, NULL), VECMILL_OK);
        assert_int_equal(j.fd, -1);
        assert_int_equal(journal_remove(&j, NULL), VECMILL_OK);
    }
}

static void one_holder(void **state)
{
    (void)state;
    const char *path = make(1, false);
    struct journal j, second;
    vecmill_err err;
    assert_false(io_is_locked(path));
    assert_int_equal(journal_open(&paths, &j, NULL), VECMILL_OK);
    assert_true(io_is_locked(path));
    assert_int_equal(journal_open(&paths, &second, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "out: is being written by another process"));
    assert_int_equal(journal_remove(&j, NULL), VECMILL_OK);
    assert_false(io_is_locked(path));
}

static vecmill_status parse(const void *bytes, size_t size, struct journal_point *point,
                            const char *message)
{
    struct journal_run run;
    vecmill_err err = {.message = ""};
    const vecmill_status status = journal_parse(bytes, size, "x.journal", &run, point, &err);
    if (status == VECMILL_OK) {
        assert_memory_equal(&run.identity, &some_run.identity, sizeof run.identity);
    } else {
        assert_int_equal(status, VECMILL_E_USAGE);
        if (strstr(err.message, message) == NULL || strstr(err.message, "--force") == NULL)
            fail_msg("got \"%s\", expected \"%s\"", err.message, message);
    }
    return status;
}

/* Every byte, every bit: the header's are fatal, a slot's make the other count, the rest means nothing. */
static void every_flip_is_seen(void **state)
{
    (void)state;
    const char *path = make(4, false); /* sequence 5 in the first slot, 4 in the second */
    size_t size;
    char *bytes = kit_read(path, &size);
    assert_int_equal(size, JOURNAL_BYTES);
    struct journal_point point;
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
            const size_t at = i % JOURNAL_PAGE;
            const bool header = i < JOURNAL_HEADER_BYTES;
            const bool newest = i / JOURNAL_PAGE == 1 && at < JOURNAL_SLOT_BYTES;
            const vecmill_status status = parse(bytes, size, &point, "the journal");
            assert_int_equal(status, header ? VECMILL_E_USAGE : VECMILL_OK);
            if (!header) assert_point(&point, newest ? 3 : 4);
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
        }
    }
    /* Torn at any byte: what is behind it is of the write before. */
    char *torn = malloc(size);
    for (size_t cut = 0; cut < JOURNAL_SLOT_BYTES; cut++) {
        memcpy(torn, bytes, size);
        memset(torn + JOURNAL_PAGE + cut, 0, JOURNAL_SLOT_BYTES - cut);
        assert_int_equal(parse(torn, size, &point, ""), VECMILL_OK);
        assert_int_equal(point.documents, 3);
    }
    free(torn);
    free(bytes);
    unlink(path);
}

static void what_is_none(void **state)
{
    (void)state;
    const char *path = make(4, false);
    size_t size;
    char *bytes = kit_read(path, &size);
    struct journal_point point;
    for (size_t n = 0; n < size; n += n < 200 ? 1 : 97)
        assert_int_equal(parse(bytes, n, &point, "bytes, not 8448"), VECMILL_E_USAGE);
    assert_int_equal(parse(bytes, size + 1, &point, "has 8449 bytes, not 8448"), VECMILL_E_USAGE);
    bytes[8] = 2;
    assert_int_equal(parse(bytes, size, &point, "is of version 2, this program's are of 5"),
                     VECMILL_E_USAGE);
    bytes[8] = 5;
    bytes[0] = 'V';
    assert_int_equal(parse(bytes, size, &point, "is none"), VECMILL_E_USAGE);
    bytes[0] = 'v';
    /* A slot in the other's place. */
    memcpy(bytes + 2 * (size_t)JOURNAL_PAGE, bytes + JOURNAL_PAGE, JOURNAL_SLOT_BYTES);
    memset(bytes + JOURNAL_PAGE, 0, JOURNAL_SLOT_BYTES);
    assert_int_equal(parse(bytes, size, &point, "damaged in both"), VECMILL_E_USAGE);
    free(bytes);
    unlink(path);
}

/* Numbers that no run writes, however right their checksum is. */
static void lies(void **state)
{
    (void)state;
    unsigned char bytes[JOURNAL_BYTES];
    for (int i = 0; i < 12; i++) {
        struct journal_run run = some_run;
        struct journal_point point = point_of(4), found;
        point.sequence = 7;
        if (i == 1) point.failed = 5;
        if (i == 2) point.truncated = 5;
        if (i == 3) point.files[PATHS_OUTPUT].bytes++;
        if (i == 4) point.documents = UINT64_MAX / 6 + 5; /* rows * 6 wraps */
        if (i == 5) run.dim = 0;
        if (i == 6) run.shard = run.shards;
        if (i == 7) run.shards = JOB_SHARDS_MAX + 1;
        if (i == 8) point.input.record = 3;
        if (i == 9) run.dtype = VECMILL_DTYPE_INT32;
        if (i >= 10) { /* of a stage its own size is known, and the output's not yet */
            run.output_format = SINK_RANGED_NPY;
            point.files[PATHS_OUTPUT].bytes = 0;
            point.files[PATHS_STAGE].bytes = 4 * 3 * sizeof(float);
        }
        if (i == 11) point.files[PATHS_STAGE].bytes--;
        journal_encode(&run, &point, bytes);
        assert_int_equal(parse(bytes, sizeof bytes, &found, "is damaged"),
                         i == 0 || i == 10 ? VECMILL_OK : VECMILL_E_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read),
        cmocka_unit_test(one_holder),
        cmocka_unit_test(every_flip_is_seen),
        cmocka_unit_test(what_is_none),
        cmocka_unit_test(lies),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-journal: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
