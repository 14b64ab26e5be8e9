/* Shards and their merging: put together they are, byte for byte, what one run over the whole input leaves;
 * whatever does not belong together is named, and no file is touched. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"
#include "job/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM         3u
#define SHARDS_MOST 9u

static const char *const sides[] = {"",         ".ids.jsonl", ".errors.jsonl", ".shard.json",
                                    ".journal", ".part"};
#define N_SIDES (sizeof sides / sizeof *sides)

/* Bytes: a run takes the memory of its longest document before it begins, and here are two thousand runs. */
#define MAX_DOCUMENT (64u << 10)

static vecmill_status run(struct job_options options, uint64_t stop_at, vecmill_pool pool,
                          vecmill_err *err)
{
    atomic_int stop = 0;
    const struct job_hooks hooks = {.stop = &stop};
    struct job_progress summary;
    if (options.max_document == 0) options.max_document = MAX_DOCUMENT;
    pool.dim = DIM;
    pool.capacity = 16;
    pool.stop = &stop;
    pool.stop_at = stop_at;
    err->message[0] = 0;
    return job_run(&options, &pool, &hooks, &summary, err);
}

static vecmill_status merge(const char *const *shards, uint32_t n, const char *output,
                            struct job_progress *summary, vecmill_err *err)
{
    struct job_progress spare;
    const struct job_merge_options options = {.shards = shards, .n_shards = n, .output = output};
    err->message[0] = 0;
    return job_merge(&options, NULL, summary != NULL ? summary : &spare, err);
}

/* n documents: some fail as they are read, some as they are computed; ids if asked for, from one on. */
static const char *make_input(const char *name, int n, int first_id)
{
    static char text[1 << 16];
    size_t used = 0;
    const bool lines = strstr(name, ".jsonl") != NULL;
    for (int i = 0; i < n; i++) {
        const char *what = i % 11 == 5 ? "TOO LONG" : i % 13 == 2 ? "TRUNCATE ME" : "document";
        char *at = text + used;
        const size_t room = sizeof text - used;
        if (!lines)
            used += (size_t)snprintf(at, room, "%s %d\n",
                                     strcmp(what, "document") != 0 ? "x" : what, i);
        else if (i % 17 == 3)
            used += (size_t)snprintf(at, room, "\n{\"id\":%d}\n", i);
        else if (i < first_id || strcmp(what, "document") != 0)
            used += (size_t)snprintf(at, room, "{\"text\":\"%s\"}\n", what);
        else
            used += (size_t)snprintf(at, room, "{\"id\":\"%d\",\"text\":\"d\xFF%d\"}\n", i, i);
    }
    kit_write(kit_lasting("%s", name), text, used);
    return kit_lasting("%s", name);
}

/* Runs the shards of an input into NAME0.END, NAME1.END, ...; their names into out. */
static void make_shards(const char *input, const char *name, const char *end, uint32_t n,
                        const char *out[SHARDS_MOST])
{
    vecmill_err err;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = kit_lasting("%s%u%s", name, i, end);
        const struct job_options options = {
            .input = input, .output = out[i], .shard = i, .shards = n, .force = true};
        const vecmill_status status = run(options, 0, (vecmill_pool){0}, &err);
        if (status != VECMILL_OK && status != VECMILL_E_PARTIAL) fail_msg("%s", err.message);
    }
}

static void assert_same(const char *a, const char *b)
{
    for (size_t k = 0; k < 3; k++) {
        char one[600], other[600];
        snprintf(one, sizeof one, "%s%s", a, sides[k]);
        snprintf(other, sizeof other, "%s%s", b, sides[k]);
        kit_assert_same(one, other);
    }
}

static void remove_output(const char *output)
{
    for (size_t k = 0; k < N_SIDES; k++) {
        char name[600];
        snprintf(name, sizeof name, "%s%s", output, sides[k]);
        unlink(name);
    }
}

static void remove_shards(const char *const *shards, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        remove_output(shards[i]);
}

/* A merge that ends so, and leaves the folder as it was. */
static void refused(const char *const *shards, uint32_t n, const char *output,
                    vecmill_status wanted, const char *words)
{
    vecmill_err err;
    const size_t before = kit_count();
    const vecmill_status status = merge(shards, n, output, NULL, &err);
    if (status != wanted || strstr(err.message, words) == NULL)
        fail_msg("got %d, \"%s\", expected %d, \"%s\"", status, err.message, wanted, words);
    assert_int_equal(kit_count(), before);
}

/* ---- right ones ---- */

static void put_together(const char *name, int n, int first_id, const char *end, uint32_t shards)
{
    const char *parts[SHARDS_MOST], *turned[SHARDS_MOST];
    const char *whole = kit_lasting("whole%s", end), *merged = kit_lasting("merged%s", end);
    vecmill_err err;
    struct job_progress summary;
    const char *input = make_input(name, n, first_id);
    const vecmill_status one =
        run((struct job_options){.input = input, .output = whole}, 0, (vecmill_pool){0}, &err);
    make_shards(input, "s", end, shards, parts);
    for (uint32_t i = 0; i < shards; i++)
        turned[i] = parts[shards - 1 - i];
    assert_int_equal(merge(turned, shards, merged, &summary, &err), one);
    assert_int_equal(summary.documents, n);
    assert_same(whole, merged);
    /* Over what is there, too. */
    assert_int_equal(merge(parts, shards, whole, NULL, &err), one);
    assert_same(whole, merged);
    remove_shards(parts, shards);
    remove_output(whole);
    remove_output(merged);
    unlink(input);
    assert_int_equal(kit_count(), 0);
}

static void shards_are_the_whole(void **state)
{
    (void)state;
    static const int sizes[] = {0, 1, 6, 7, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t shards = 2; shards <= SHARDS_MOST; shards += shards == 3 ? 4 : 1)
            for (int k = 0; k < 2; k++) {
                const char *end = k == 0 ? ".npy" : ".jsonl";
                put_together("in.jsonl", sizes[i], 0, end, shards);
                put_together("in.jsonl", sizes[i], 60, end, shards);
                put_together("in.jsonl", sizes[i], 1000, end, shards);
                put_together("in.txt", sizes[i], 0, end, shards);
            }
}

/* More than a test would write by hand; and more than may be open at once. */
static void many(void **state)
{
    (void)state;
    enum { N = 300 };
    static char names[N][512];
    const char *shards[N];
    vecmill_err err;
    const char *input = make_input("in.jsonl", 700, 0), *whole = kit_lasting("whole.npy");
    run((struct job_options){.input = input, .output = whole}, 0, (vecmill_pool){0}, &err);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "%s%u.npy", kit_lasting("s"), i);
        shards[i] = names[i];
        (void)run((struct job_options){.input = input, .output = names[i], .shard = i, .shards = N},
                  0, (vecmill_pool){0}, &err);
    }
    assert_int_equal(merge(shards, N, kit_lasting("m.npy"), NULL, &err), VECMILL_E_PARTIAL);
    assert_same(whole, kit_lasting("m.npy"));
    remove_output(kit_lasting("m.npy"));
    struct rlimit limit, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    refused(shards, N, kit_lasting("m.npy"), VECMILL_E_INPUT,
            "npy: cannot be read: Too many open files");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    remove_shards(shards, N);
    remove_output(whole);
    unlink(input);
    assert_int_equal(kit_count(), 0);
}

/* A shard that was stopped, and gone on with; and what stands beside its output meanwhile. */
static void a_stopped_shard(void **state)
{
    (void)state;
    const char *parts[SHARDS_MOST];
    vecmill_err err;
    const char *input = make_input("in.jsonl", 100, 0);
    const char *whole = kit_lasting("whole.npy");
    run((struct job_options){.input = input, .output = whole}, 0, (vecmill_pool){0}, &err);
    make_shards(input, "s", ".npy", 3, parts);
    struct job_options second = {
        .input = input, .output = parts[1], .shard = 1, .shards = 3, .force = true};
    const vecmill_pool often = {.batches_a_doc = JOB_CHECKPOINT_BATCHES / 4};
    for (uint64_t stop_at = 1; stop_at < 30; stop_at += 7) {
        second.force = true;
        second.resume = false;
        assert_int_equal(run(second, stop_at, often, &err), VECMILL_E_STOPPED);
        assert_int_equal(merge(parts, 3, kit_lasting("m.npy"), NULL, &err), VECMILL_E_INPUT);
        assert_non_null(strstr(err.message, "s1.npy: its run has not ended"));
        second.force = false;
        second.resume = true;
        struct job_options other = second;
        other.shard = 2;
        assert_int_equal(run(other, 0, often, &err), VECMILL_E_USAGE);
        assert_non_null(strstr(err.message, "had another --shard"));
        other = second;
        other.shards = 0;
        assert_int_equal(run(other, 0, often, &err), VECMILL_E_USAGE);
        assert_int_equal(run(second, 0, often, &err), VECMILL_E_PARTIAL);
        assert_int_equal(merge(parts, 3, kit_lasting("m.npy"), NULL, &err), VECMILL_E_PARTIAL);
        assert_same(whole, kit_lasting("m.npy"));
        remove_output(kit_lasting("m.npy"));
    }
    remove_shards(parts, 3);
    remove_output(whole);
    unlink(input);
    assert_int_equal(kit_count(), 0);
}

/* A finished output is this run's only if it says so. */
static void finished(void **state)
{
    (void)state;
    const char *parts[SHARDS_MOST];
    vecmill_err err;
    bool done = false;
    const char *input = make_input("in.txt", 10, 0);
    make_shards(input, "s", ".npy", 3, parts);
    struct job_options o = {
        .input = input, .output = parts[1], .shard = 1, .shards = 3, .resume = true};
    assert_int_equal(job_check(&o, &done, &err), VECMILL_OK);
    assert_true(done);
    o.shard = 2;
    assert_int_equal(job_check(&o, &done, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "is there and is shard 1 of 3, not 2 of 3"));
    o.shards = 0;
    assert_int_equal(job_check(&o, &done, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "is shard 1 of 3, not the whole"));
    /* A whole run takes away what told of a shard. */
    o.resume = false;
    assert_int_equal(run(o, 0, (vecmill_pool){0}, &err), VECMILL_OK);
    assert_false(kit_exists(kit_lasting("s1.npy.shard.json")));
    o = (struct job_options){
        .input = input, .output = parts[1], .shard = 1, .shards = 3, .resume = true};
    assert_int_equal(job_check(&o, &done, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "with no .shard.json beside it"));
    o.output = "-";
    o.resume = false;
    assert_int_equal(job_check(&o, &done, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "a shard is written to a file"));
    remove_shards(parts, 3);
    unlink(input);
    assert_int_equal(kit_count(), 0);
}

/* ---- wrong ones ---- */

static const char *parts[SHARDS_MOST];

static void change(const char *path, size_t at, char by)
{
    size_t bytes;
    char *data = kit_read(path, &bytes);
    assert_non_null(data);
    assert_true(at < bytes);
    data[at] = (char)(data[at] ^ by);
    kit_write(path, data, bytes);
    free(data);
}

static void foreign(void **state)
{
    (void)state;
    const char *other[SHARDS_MOST], *mixed[SHARDS_MOST + 1];
    const char *m = kit_lasting("m.npy");
    const char *input = make_input("in.jsonl", 50, 0);
    make_shards(input, "s", ".npy", 5, parts);

    refused(parts, 4, m, VECMILL_E_INPUT, "1 of 5 shards is missing, counted from 0: 4");
    refused(parts, 1, m, VECMILL_E_INPUT, "4 of 5 shards are missing, counted from 0: 1, 2, 3, 4");
    memcpy(mixed, parts, sizeof parts);
    mixed[5] = parts[2];
    refused(mixed, 6, m, VECMILL_E_INPUT, "s2.npy and ");
    refused(mixed, 6, m, VECMILL_E_INPUT, "s2.npy are both shard 2 of 5");
    refused(parts, 0, m, VECMILL_E_USAGE, "0 shards are given; 1 to 4096");
    refused(parts, 5, kit_lasting("m.jsonl"), VECMILL_E_USAGE,
            "the shards are in the other format");
    refused(parts, 5, "-", VECMILL_E_USAGE, "standard output");
    refused(parts, 5, "m.txt", VECMILL_E_USAGE, "ends in neither");
    refused(parts, 5, parts[3], VECMILL_E_OUTPUT, "is the input of this run");
    refused(parts, 5, kit_lasting("nowhere/m.npy"), VECMILL_E_OUTPUT, "its folder cannot be used");
    kit_write(kit_lasting("m.npy.journal"), "", 0);
    refused(parts, 5, m, VECMILL_E_USAGE, "a run of this output has ended early");
    unlink(kit_lasting("m.npy.journal"));

    /* Of others, always the odd one is named first, wherever it stands. */
    for (uint32_t at = 0; at < 5; at += 4) {
        make_shards(input, "o", ".npy", 4, other);
        memcpy(mixed, parts, sizeof parts);
        mixed[at] = other[0];
        refused(mixed, 5, m, VECMILL_E_INPUT, "one of 4 shards and one of 5");
        remove_shards(other, 4);
        make_shards(make_input("other.jsonl", 49, 0), "o", ".npy", 5, other);
        mixed[at] = other[at];
        char words[64];
        snprintf(words, sizeof words, "o%u.npy and ", at);
        refused(mixed, 5, m, VECMILL_E_INPUT, words);
        refused(mixed, 5, m, VECMILL_E_INPUT, "with 49 documents and of");
        remove_shards(other, 5);
        char *text;
        size_t bytes;
        text = kit_read(input, &bytes);
        text[bytes - 4] ^= 1;
        kit_write(kit_lasting("other.jsonl"), text, bytes);
        free(text);
        make_shards(kit_lasting("other.jsonl"), "o", ".npy", 5, other);
        refused(mixed, 5, m, VECMILL_E_INPUT, "of other inputs (XXH3 ");
        remove_shards(other, 5);
        unlink(kit_lasting("other.jsonl"));
    }

    /* Of another model, instruction set, field, limit. */
    vecmill_err err;
    struct job_options o = {
        .input = input, .output = kit_lasting("o.npy"), .shard = 2, .shards = 5, .force = true};
    memcpy(mixed, parts, sizeof parts);
    mixed[2] = o.output;
    (void)run(o, 0, (vecmill_pool){.identity = "fedcba9876543210fedcba9876543210"}, &err);
    refused(mixed, 5, m, VECMILL_E_INPUT, "of models fedcba98 of 3 dimensions and ");
    (void)run(o, 0, (vecmill_pool){.isa = "other"}, &err);
    refused(mixed, 5, m, VECMILL_E_INPUT, "computed at other and at ");
    o.id_field = "key";
    (void)run(o, 0, (vecmill_pool){0}, &err);
    refused(mixed, 5, m, VECMILL_E_INPUT,
            "read with other --field, --encoding, --delimiter or --id-field");
    o.id_field = NULL;
    o.max_document = 1000;
    (void)run(o, 0, (vecmill_pool){0}, &err);
    refused(mixed, 5, m, VECMILL_E_INPUT, "read with --max-document 1000 and 65536");
    remove_output(o.output);
    remove_shards(parts, 5);
    unlink(input);
    assert_int_equal(kit_count(), 0);
}

/* Every file of a shard, cut and changed at several places. */
static void damaged(void **state)
{
    (void)state;
    const char *input = make_input("in.jsonl", 60, 0);
    for (int k = 0; k < 2; k++) {
        const char *end = k == 0 ? ".npy" : ".jsonl";
        const char *m = kit_lasting("m%s", end);
        for (size_t side = 0; side < 3; side++) {
            if (k == 1 && side == 1) continue; /* ids are in the lines */
            make_shards(input, "s", end, 3, parts);
            char name[600], words[64];
            snprintf(name, sizeof name, "%s%s", parts[1], sides[side]);
            size_t bytes;
            char *data = kit_read(name, &bytes);
            assert_non_null(data);
            snprintf(words, sizeof words, "s1%s%s: its bytes are not those", end, sides[side]);
            for (size_t at = 0; at < bytes; at += 1 + bytes / 40) {
                change(name, at, 1);
                refused(parts, 3, m, VECMILL_E_INPUT, words);
                change(name, at, 1);
            }
            snprintf(words, sizeof words, "s1%s%s: holds %zu bytes, its run wrote %zu", end,
                     sides[side], bytes - 1, bytes);
            kit_write(name, data, bytes - 1);
            refused(parts, 3, m, VECMILL_E_INPUT, words);
            unlink(name);
            refused(parts, 3, m, VECMILL_E_INPUT, side == 0 ? "s1" : "cannot be read");
            free(data);
        }
        make_shards(input, "s", end, 3, parts);
        unlink(kit_lasting("s2%s.shard.json", end));
        refused(parts, 3, m, VECMILL_E_INPUT, "is no shard, as there is no .shard.json beside it");
        unlink(parts[2]);
        refused(parts, 3, m, VECMILL_E_INPUT, ": is not there");
        remove_shards(parts, 3);
    }
    unlink(input);
    assert_int_equal(kit_count(), 0);
}

/* ---- what stands beside ---- */

static const struct shard some = {
    .run = {.identity = "0123456789abcdef0123456789abcdef",
            .isa = "avx512",
            .dim = 3,
            .output_format = SINK_NPY,
            .input_format = READER_CSV,
            .max_document = 1000,
            .field = 77,
            .id_field = UINT64_MAX,
            .shard = 1,
            .shards = 4},
    .input = {.bytes = 500, .digest = 1ull << 63, .record = 10},
    .rows = 3,
    .failed = 1,
    .tokens = 99,
    .truncated = 2,
    .replaced_bytes = 5,
    .files = {[PATHS_ERRORS] = {true, 70, 1}, [PATHS_OUTPUT] = {true, 128 + 36, 3}}};

static void told_and_read(void **state)
{
    (void)state;
    char text[SHARD_BYTES_MAX + 1];
    struct shard read;
    vecmill_err err;
    const size_t bytes = shard_encode(&some, text);
    assert_int_equal(shard_parse(text, bytes, "x", &read, &err), VECMILL_OK);
    for (size_t i = 0; i < PATHS_FILES; i++) {
        assert_int_equal(read.files[i].is_there, some.files[i].is_there);
        assert_int_equal(read.files[i].bytes, some.files[i].bytes);
        assert_int_equal(read.files[i].digest, some.files[i].digest);
    }
    assert_string_equal(read.run.identity, some.run.identity);
    assert_true(read.input.digest == some.input.digest && read.rows == 3 && read.tokens == 99 &&
                read.run.id_field == UINT64_MAX && read.run.input_format == READER_CSV);
    for (size_t cut = 0; cut < bytes - 1; cut++)
        assert_int_equal(shard_parse(text, cut, "x", &read, &err), VECMILL_E_INPUT);
    for (int i = 0; i < 8; i++) {
        struct shard lie = some;
        if (i == 0) lie.rows = 2;
        if (i == 1) lie.failed = 4;
        if (i == 2) lie.files[PATHS_ERRORS].is_there = false;
        if (i == 3) lie.files[PATHS_OUTPUT].is_there = false;
        if (i == 4) lie.files[PATHS_OUTPUT].bytes++;
        if (i == 5) lie.truncated = 4;
        if (i == 6) lie.run.output_format = SINK_JSONL, lie.files[PATHS_IDS].is_there = true;
        if (i == 7) lie.input.record = 9;
        const size_t n = shard_encode(&lie, text);
        assert_int_equal(shard_parse(text, n, "x", &read, &err), VECMILL_E_INPUT);
        assert_non_null(strstr(err.message, "its numbers contradict each other"));
    }
    assert_int_equal(shard_parse("{}", 2, "x.shard.json", &read, &err), VECMILL_E_INPUT);
    assert_non_null(strstr(err.message, "x.shard.json: \"vecmill_shard\" is missing"));
    for (uint64_t documents = 0; documents < 30; documents++)
        for (uint32_t n = 1; n < 10; n++) {
            uint64_t sum = 0;
            for (uint32_t i = 0; i < n; i++)
                sum += shard_rows(documents, i, n);
            assert_int_equal(sum, documents);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_the_whole),
        cmocka_unit_test(many),
        cmocka_unit_test(a_stopped_shard),
        cmocka_unit_test(finished),
        cmocka_unit_test(foreign),
        cmocka_unit_test(damaged),
        cmocka_unit_test(told_and_read),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-shard: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
