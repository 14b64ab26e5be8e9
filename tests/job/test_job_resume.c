/* Runs that end early and are gone on with: the files are those of an undisturbed run, or the resumed run
 * is refused and everything is left as it was. Kills and failing system calls: job_faults.py. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"
#include "job/journal.h"

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

#define DIM    3u  /* floats a vector */
#define N_DOCS 120 /* documents of the inputs made here */

static char noticed[512]; /* the last notice */

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    if (strstr(sentence, "replaced by U+FFFD") != NULL)
        return; /* half pairs of surrogates, on purpose */
    snprintf(noticed, sizeof noticed, "%s", sentence);
}

/* One run with this pool; stop_at 0: to its end. */
/* Bytes: a run takes the memory of its longest document before it begins, and here are a thousand runs. */
#define MAX_DOCUMENT (64u << 10)

static vecmill_status run_pool(const struct job_options *options, vecmill_pool *pool,
                               uint64_t stop_at, struct job_progress *summary, vecmill_err *err)
{
    atomic_int stop = 0;
    const struct job_hooks hooks = {.notice = on_notice, .stop = &stop};
    pool->stop = &stop;
    pool->stop_at = stop_at;
    noticed[0] = err->message[0] = 0;
    return job_run(options, pool, &hooks, summary, err);
}

static vecmill_status run(const struct job_options *options, uint64_t stop_at,
                          struct job_progress *summary, vecmill_err *err)
{
    vecmill_pool pool = {.dim = DIM, .capacity = 16};
    return run_pool(options, &pool, stop_at, summary, err);
}

static void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("got \"%s\", expected \"%s\"", text, part);
}

/* Ids from document 30 on, some that fail, of both kinds. */
static size_t make_jsonl(char *out, size_t room)
{
    size_t n = 0;
    for (int i = 0; i < N_DOCS; i++) {
        if (i % 10 == 4)
            n += (size_t)snprintf(out + n, room - n, "{\"id\":%d}\n\n", i);
        else if (i % 10 == 7)
            n += (size_t)snprintf(out + n, room - n, "\"%s\"\n",
                                  i % 20 == 7 ? "TOO LONG" : "TRUNCATE ME");
        else if (i < 30)
            n += (size_t)snprintf(out + n, room - n, "\"document \\udead %d\"\r\n", i);
        else
            n += (size_t)snprintf(out + n, room - n, "{\"id\":\"%d\",\"text\":\"d\xFF %d\"}\n", i,
                                  i);
    }
    return n;
}

static void make_input(const char *name)
{
    static char text[1 << 16];
    size_t n = 0;
    if (strstr(name, ".jsonl") != NULL) {
        n = make_jsonl(text, sizeof text);
    } else if (strstr(name, ".json") != NULL) {
        for (int i = 0; i < N_DOCS; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"id\":%d,\n\"te%s\":\"d %d\"}%s",
                                  i % 50 == 0 ? "[ " : ",\n", i, i % 10 == 4 ? "" : "xt", i,
                                  i % 50 == 49 || i + 1 == N_DOCS ? "]" : "");
    } else if (strstr(name, ".csv") != NULL) {
        n = (size_t)snprintf(text, sizeof text, "\xEF\xBB\xBFid,text\n");
        for (int i = 0; i < N_DOCS; i++)
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  i % 10 == 4 ? "%d\n" : "%d,\"line %d\n\nof \"\"two\"\"\"\r\n", i,
                                  i);
    } else {
        for (int i = 0; i < N_DOCS; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, i + 1 < N_DOCS ? "%d\n" : "%d", i);
    }
    if (strstr(name, "16") != NULL) { /* UTF-16 of ASCII, with its mark */
        for (size_t i = n; i-- > 0;) {
            text[2 * i + 2] = text[i];
            text[2 * i + 3] = 0;
        }
        memcpy(text, "\xFF\xFE", 2);
        n = 2 * n + 2;
    }
    if (strstr(name, ".gz") != NULL)
        kit_write_gzip(kit_lasting("%s", name), text, n, 333);
    else
        kit_write(kit_lasting("%s", name), text, n);
}

static void clean(void)
{
    static const char *const stems[] = {"out.npy", "out.jsonl", "whole.npy", "whole.jsonl"};
    static const char *const ends[] = {
        "",        ".part", ".ids.jsonl", ".ids.jsonl.part", ".errors.jsonl", ".errors.jsonl.part",
        ".journal"};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s%s", stems[i], ends[k]);
            unlink(kit_lasting("%s", name));
        }
    }
    static const char *const inputs[] = {"in.txt",      "in.jsonl",   "in.csv",  "in.txt.gz",
                                         "in.jsonl.gz", "in.csv.gz",  "in.json", "in16.json.gz",
                                         "errors",      "errors.part"};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        unlink(kit_lasting("%s", inputs[i]));
    assert_int_equal(kit_count(), 0);
}

/* out.npy and what is beside it are those of the undisturbed whole.npy; nothing else is left. */
static void assert_whole(const char *ending)
{
    static const char *const sides[] = {"", ".ids.jsonl", ".errors.jsonl"};
    size_t n = 1; /* the input */
    for (size_t i = 0; i < 3; i++) {
        char out[64], whole[64];
        snprintf(out, sizeof out, "out%s%s", ending, sides[i]);
        snprintf(whole, sizeof whole, "whole%s%s", ending, sides[i]);
        kit_assert_same(kit_lasting("%s", out), kit_lasting("%s", whole));
        n += kit_exists(kit_lasting("%s", out)) ? 2 : 0;
    }
    assert_int_equal(kit_count(), n);
}

static void assert_same_counts(const struct job_progress *a, const struct job_progress *b)
{
    assert_true(a->documents == b->documents && a->failed == b->failed && a->tokens == b->tokens &&
                a->truncated == b->truncated && a->replaced_bytes == b->replaced_bytes);
}

/* Stopped once, or again and again, and gone on with. */
static void every_format(void **state)
{
    (void)state;
    static const char *const inputs[] = {"in.txt",    "in.jsonl",    "in.csv",    "in.json",
                                         "in.txt.gz", "in.jsonl.gz", "in.csv.gz", "in16.json.gz"};
    static const char *const endings[] = {".npy", ".jsonl"};
    for (size_t i = 0; i < 2 * sizeof inputs / sizeof *inputs; i++) {
        const char *name = inputs[i / 2], *ending = endings[i % 2];
        char out[16], whole[16];
        snprintf(out, sizeof out, "out%s", ending);
        snprintf(whole, sizeof whole, "whole%s", ending);
        make_input(name);
        struct job_options options = {.input = kit_lasting("%s", name),
                                      .output = kit_lasting("%s", whole),
                                      .max_document = MAX_DOCUMENT};
        struct job_progress undisturbed, summary;
        vecmill_err err;
        const vecmill_status status = run(&options, 0, &undisturbed, &err);
        assert_true(status == VECMILL_OK || status == VECMILL_E_PARTIAL);
        options.output = kit_lasting("%s", out);
        for (uint64_t step = 1; step < 100; step += 7) {
            uint64_t n_runs = 0, before = 0;
            vecmill_status now;
            options.resume = false;
            do {
                now = run(&options, n_runs < 20 ? step : 0, &summary, &err);
                n_runs++;
                assert_int_equal(summary.resumed, before);
                before = summary.documents;
                options.resume = true;
                if (now == VECMILL_E_STOPPED)
                    assert_says(err.message, "from which --resume goes on");
            } while (now == VECMILL_E_STOPPED);
            assert_int_equal(now, status);
            assert_same_counts(&summary, &undisturbed);
            assert_whole(ending);
            if (n_runs > 1) assert_says(noticed, "documents of /tmp/vecmill-job-");
            unlink(kit_lasting("%s", out));
        }
        clean();
    }
}

/* A journal of 20 documents or so, and what its run would have become. */
static struct job_options stopped_run(const char *input)
{
    make_input(input);
    struct job_options options = {.input = kit_lasting("%s", input),
                                  .output = kit_lasting("whole.npy"),
                                  .max_document = MAX_DOCUMENT};
    struct job_progress summary;
    vecmill_err err;
    run(&options, 0, &summary, &err);
    options.output = kit_lasting("out.npy");
    assert_int_equal(run(&options, 40, &summary, &err), VECMILL_E_STOPPED);
    assert_true(summary.documents >= 40);
    assert_true(kit_exists(kit_lasting("out.npy.journal")));
    options.resume = true;
    return options;
}

static void assert_resumes(const struct job_options *options)
{
    struct job_progress summary;
    vecmill_err err;
    bool finished = true;
    assert_int_equal(job_check(options, &finished, &err), VECMILL_OK);
    assert_false(finished);
    const vecmill_status status = run(options, 0, &summary, &err);
    if (status != VECMILL_OK && status != VECMILL_E_PARTIAL) fail_msg("refused: %s", err.message);
    assert_int_equal(summary.documents, N_DOCS);
    assert_true(summary.resumed >= 40 && summary.resumed < N_DOCS);
    assert_whole(".npy");
}

/* A resumed run that fails at once, with everything left so that the right one goes on. */
static void assert_refused(const struct job_options *options, vecmill_status status,
                           const char *message)
{
    struct job_progress summary = {.documents = 77};
    vecmill_err err;
    const size_t n = kit_count();
    const vecmill_status got = run(options, 0, &summary, &err);
    if (got != status) fail_msg("got %d, \"%s\"; expected \"%s\"", got, err.message, message);
    assert_says(err.message, message);
    assert_int_equal(kit_count(), n);
    assert_int_equal(summary.documents, 0);
}

static void nobody_said_what_to_do(void **state)
{
    (void)state;
    struct job_options options = stopped_run("in.jsonl");
    vecmill_err err = {.message = ""};
    options.resume = false;
    assert_int_equal(job_check(&options, NULL, &err), VECMILL_E_USAGE);
    assert_says(err.message, "--resume goes on with it, --force starts afresh (");
    assert_refused(&options, VECMILL_E_USAGE, "--resume goes on with it, --force starts afresh (");
    assert_true(job_is_own_path(&options, kit_lasting("out.npy.journal")));
    assert_true(job_is_own_path(&options, kit_lasting("out.npy.journal.part")));

    /* Another process has it: that is another matter. */
    struct io_out held;
    assert_int_equal(io_out_reopen(options.output, false, 0, VECMILL_E_OUTPUT, &held, NULL),
                     VECMILL_OK);
    int fd = -1;
    assert_int_equal(io_lock(kit_lasting("out.npy.journal"), "x", 0, &fd, VECMILL_E_INPUT,
                             VECMILL_E_OUTPUT, NULL),
                     VECMILL_OK);
    for (int i = 0; i < 3; i++) {
        options.resume = i == 1;
        options.force = i == 2;
        assert_int_equal(job_check(&options, NULL, &err), VECMILL_E_OUTPUT);
        assert_says(err.message, "is being written by another process");
        assert_refused(&options, VECMILL_E_OUTPUT, "out.npy: is being written by another process");
    }
    close(fd);
    assert_refused(&options, VECMILL_E_OUTPUT, "out.npy: is being written by another process");
    io_out_leave(&held);

    options.force = true;
    struct job_progress summary;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_int_equal(summary.resumed, 0);
    assert_whole(".npy");
    clean();
}

static void what_resume_cannot_do(void **state)
{
    (void)state;
    make_input("in.txt");
    struct job_options options = {.input = kit_lasting("in.txt"), .output = "-", .resume = true};
    vecmill_err err;
    assert_int_equal(job_check(&options, NULL, &err), VECMILL_E_USAGE);
    assert_says(err.message, "--resume cannot go on with standard output");
    assert_refused(&options, VECMILL_E_USAGE, "--resume cannot go on with standard output");
    options.input = "-";
    options.output = kit_lasting("out.npy");
    assert_int_equal(job_check(&options, NULL, &err), VECMILL_E_USAGE);
    assert_says(err.message, "--resume cannot read standard input again");
    assert_refused(&options, VECMILL_E_USAGE, "--resume cannot read standard input again");
    clean();
}

static void nothing_to_resume(void **state)
{
    (void)state;
    make_input("in.txt");
    struct job_options options = {
        .input = kit_lasting("in.txt"), .output = kit_lasting("out.npy"), .resume = true};
    struct job_progress summary;
    vecmill_err err;
    bool finished = true;
    assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK);
    assert_false(finished);
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_OK);
    assert_says(noticed, "there is no journal to resume from");
    assert_int_equal(summary.documents, N_DOCS);
    assert_int_equal(summary.resumed, 0);
    /* Now it is finished. */
    assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK);
    assert_true(finished);
    assert_false(job_input_is_newer(&options));
    const struct timespec later[2] = {{.tv_sec = 4000000000}, {.tv_sec = 4000000000}};
    assert_int_equal(utimensat(AT_FDCWD, options.input, later, 0), 0);
    assert_true(job_input_is_newer(&options));
    options.force = true;
    assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK);
    assert_false(finished);
    options.force = false;
    /* A run that was killed as it began is not. */
    kit_write(kit_lasting("out.npy.part"), "", 0);
    assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK);
    assert_false(finished);
    clean();
}

/* What is there when a run fails that never had a checkpoint. */
static void an_old_output_is_not_this_runs(void **state)
{
    (void)state;
    static const char *const names[] = {"out.npy", "out.npy.journal", "out.npy.part"};
    struct job_progress summary;
    vecmill_err err;
    for (int i = 0; i < 8; i++) {
        const bool is_old = i % 2 != 0, fails = i / 2 % 2 != 0, after_journal = i / 4 != 0;
        make_input("in.jsonl");
        struct job_options options = {.input = kit_lasting("in.jsonl"),
                                      .output = kit_lasting("out.npy")};
        if (is_old) kit_write(kit_lasting("out.npy"), "old", 3);
        if (is_old) kit_write(kit_lasting("out.npy.ids.jsonl"), "old", 3);
        if (after_journal) assert_int_equal(run(&options, 40, &summary, &err), VECMILL_E_STOPPED);
        options.force = after_journal;
        atomic_int stop = !fails;
        vecmill_pool pool = {.dim = DIM, .capacity = 16, .fail_after = fails ? 3 : 0};
        const struct job_hooks hooks = {.stop = &stop};
        assert_int_equal(job_run(&options, &pool, &hooks, &summary, &err),
                         fails ? VECMILL_E_WORKERS : VECMILL_E_STOPPED);
        options.force = false;
        for (int k = 0; k < 3; k++)
            assert_int_equal(kit_exists(kit_lasting("%s", names[k])), is_old && k != 1);
        assert_int_equal(kit_count(), is_old ? 4 : 1);
        bool finished = true;
        assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK); /* not in the way */
        options.resume = true;
        assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK);
        assert_false(finished);
        assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_PARTIAL);
        assert_says(noticed, "there is no journal to resume from");
        assert_int_equal(summary.documents, N_DOCS);
        assert_int_equal(kit_count(), 4);
        assert_int_equal(job_check(&options, &finished, &err), VECMILL_OK);
        assert_true(finished);
        clean();
    }
}

static void a_journal_of_no_documents(void **state)
{
    (void)state;
    make_input("in.txt");
    const struct journal_run other = {.identity = "of another run", .dim = 77, .shards = 1};
    unsigned char bytes[JOURNAL_BYTES];
    journal_encode(&other, &(struct journal_point){.sequence = 1}, bytes);
    kit_write(kit_lasting("out.npy.journal"), bytes, sizeof bytes);
    const struct job_options options = {
        .input = kit_lasting("in.txt"), .output = kit_lasting("out.npy"), .resume = true};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_OK);
    assert_says(noticed, "the journal tells of no document, the run starts at the beginning");
    assert_int_equal(kit_count(), 2);
    clean();
}

static void the_input_has_changed(void **state)
{
    (void)state;
    static const char *const inputs[] = {"in.txt", "in.csv", "in.jsonl"};
    for (size_t i = 0; i < 3; i++) {
        const struct job_options options = stopped_run(inputs[i]);
        size_t bytes;
        char *data = kit_read(options.input, &bytes);
        data[60] ^= 4; /* a letter or digit in a document that was read */
        kit_write(options.input, data, bytes);
        assert_refused(&options, VECMILL_E_INPUT,
                       "has changed since the run that is resumed, in its first");
        data[60] ^= 4;
        kit_write(options.input, data, 100);
        assert_refused(&options, VECMILL_E_INPUT, "it ends within its first");
        /* What was not read yet may change. */
        kit_write(options.input, data, bytes);
        assert_resumes(&options);
        free(data);
        clean();
    }
    /* The last line was read before it was whole. */
    kit_write(kit_lasting("in.txt"), "a\nb", 3);
    struct job_options options = {.input = kit_lasting("in.txt"), .output = kit_lasting("out.npy")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, 2, &summary, &err), VECMILL_E_STOPPED);
    options.resume = true;
    kit_write(kit_lasting("in.txt"), "a\nb and more\n", 13);
    assert_refused(&options, VECMILL_E_INPUT, "there is more behind its first 3 bytes");
    kit_write(kit_lasting("in.txt"), "a\nb", 3);
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_OK);
    assert_int_equal(summary.documents, 2);
    clean();
}

static void another_run(void **state)
{
    (void)state;
    struct job_options options = stopped_run("in.jsonl");
    struct job_progress summary;
    vecmill_err err;
    vecmill_pool other = {.dim = DIM, .isa = "avx512"};
    assert_int_equal(run_pool(&options, &other, 0, &summary, &err), VECMILL_E_MODEL);
    assert_says(
        err.message,
        "begun at avx2, this one computes at avx512, with other bits: on a machine that has it "
        "set VECMILL_ISA=avx2, or start afresh with --force");
    other = (vecmill_pool){.dim = DIM, .identity = "fedcba98"};
    assert_int_equal(run_pool(&options, &other, 0, &summary, &err), VECMILL_E_MODEL);
    assert_says(err.message, "had model 01234567 of 3 dimensions, this one has fedcba98 of 3");
    other = (vecmill_pool){.dim = DIM + 1};
    assert_int_equal(run_pool(&options, &other, 0, &summary, &err), VECMILL_E_MODEL);
    assert_says(err.message, "of 3 dimensions, this one has 01234567 of 4");
    struct job_options changed = options;
    changed.field = "body";
    assert_refused(&changed, VECMILL_E_USAGE,
                   "had another --field, --query, --query-field, --encoding or --delimiter");
    changed = options;
    changed.encoding = "latin-1";
    assert_refused(&changed, VECMILL_E_USAGE,
                   "had another --field, --query, --query-field, --encoding or --delimiter");
    changed = options;
    changed.id_field = "no";
    assert_refused(&changed, VECMILL_E_USAGE, "had another --id-field");
    changed = options;
    changed.max_document = 4096;
    assert_refused(&changed, VECMILL_E_USAGE, "had another --max-document");
    changed = options;
    changed.input_format = "txt";
    assert_refused(&changed, VECMILL_E_USAGE, "had another format of the input");
    /* Names that say the default, and what decides on failures, change nothing. */
    changed = options;
    changed.field = "text";
    changed.id_field = "id";
    changed.input_format = "jsonl";
    assert_resumes(&changed);
    clean();
}

static void parts_that_are_gone(void **state)
{
    (void)state;
    static const char *const parts[] = {"out.npy.part", "out.npy.ids.jsonl.part",
                                        "out.npy.errors.jsonl.part"};
    const struct job_options options = stopped_run("in.jsonl");
    for (size_t i = 0; i < 3; i++) {
        size_t bytes;
        char *data = kit_read(kit_lasting("%s", parts[i]), &bytes);
        unlink(kit_lasting("%s", parts[i]));
        char expected[128];
        snprintf(expected, sizeof expected, "%s: is missing, it had %zu bytes when", parts[i],
                 bytes);
        assert_refused(&options, VECMILL_E_OUTPUT, expected);
        kit_write(kit_lasting("%s", parts[i]), data, bytes - 1);
        snprintf(expected, sizeof expected, "%s: holds %zu bytes, it had %zu when", parts[i],
                 bytes - 1, bytes);
        assert_refused(&options, VECMILL_E_OUTPUT, expected);
        kit_write(kit_lasting("%s", parts[i]), data, bytes);
        free(data);
    }
    /* What is behind the checkpoint is cut off. */
    for (size_t i = 0; i < 3; i++) {
        FILE *file = fopen(kit_lasting("%s", parts[i]), "a");
        assert_non_null(file);
        fputs("torn", file);
        fclose(file);
    }
    assert_resumes(&options);
    clean();
}

/* Sides that no checkpoint tells of are of nobody; they may come later. */
static void sides_that_come_later(void **state)
{
    (void)state;
    make_input("in.jsonl");
    struct job_options options = {.input = kit_lasting("in.jsonl"),
                                  .output = kit_lasting("whole.npy")};
    struct job_progress summary;
    vecmill_err err;
    run(&options, 0, &summary, &err);
    options.output = kit_lasting("out.npy");
    assert_int_equal(run(&options, 3, &summary, &err), VECMILL_E_STOPPED);
    assert_int_equal(summary.documents, 3);
    assert_false(kit_exists(kit_lasting("out.npy.ids.jsonl.part")));
    assert_false(kit_exists(kit_lasting("out.npy.errors.jsonl.part")));
    kit_write(kit_lasting("out.npy.ids.jsonl.part"), "of a killed run", 15);
    kit_write(kit_lasting("out.npy.errors.jsonl.part"), "of a killed run", 15);
    options.resume = true;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_whole(".npy");
    clean();
}

/* Each byte of the journal that means anything, and some that do not. */
static void every_flip(void **state)
{
    (void)state;
    const struct job_options options = stopped_run("in.jsonl");
    static const char *const names[] = {"out.npy.part", "out.npy.ids.jsonl.part",
                                        "out.npy.errors.jsonl.part", "out.npy.journal"};
    char *data[4];
    size_t bytes[4];
    unsigned n_refused = 0, n_resumed = 0;
    for (size_t i = 0; i < 4; i++)
        data[i] = kit_read(kit_lasting("%s", names[i]), &bytes[i]);
    for (size_t at = 0; at < bytes[3]; at++) {
        if (at % 4096 >= 160 && at % 97 != 0) continue;
        for (size_t i = 0; i < 4; i++)
            kit_write(kit_lasting("%s", names[i]), data[i], bytes[i]);
        data[3][at] ^= 1;
        kit_write(kit_lasting("%s", names[3]), data[3], bytes[3]);
        data[3][at] ^= 1;
        struct job_progress summary;
        vecmill_err err;
        const vecmill_status status = run(&options, 0, &summary, &err);
        if (status == VECMILL_E_PARTIAL) {
            assert_whole(".npy");
            unlink(kit_lasting("out.npy"));
            unlink(kit_lasting("out.npy.ids.jsonl"));
            unlink(kit_lasting("out.npy.errors.jsonl"));
            n_resumed++;
        } else {
            assert_int_equal(status, VECMILL_E_USAGE);
            assert_says(err.message, "--force starts afresh");
            n_refused++;
        }
    }
    assert_true(n_refused >= 104 && n_resumed >= 200);
    for (size_t i = 0; i < 4; i++) {
        free(data[i]);
        unlink(kit_lasting("%s", names[i]));
    }
    clean();
}

static void what_is_no_journal(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "not a journal"};
    for (size_t i = 0; i < 2; i++) {
        make_input("in.txt");
        kit_write(kit_lasting("out.npy.journal"), texts[i], strlen(texts[i]));
        struct job_options options = {
            .input = kit_lasting("in.txt"), .output = kit_lasting("out.npy"), .resume = true};
        assert_refused(&options, VECMILL_E_USAGE, "cannot be gone on with (--force starts afresh)");
        options.resume = false;
        assert_refused(&options, VECMILL_E_USAGE, "--force starts afresh");
        options.force = true;
        struct job_progress summary;
        vecmill_err err;
        assert_int_equal(run(&options, 0, &summary, &err), VECMILL_OK);
        assert_int_equal(kit_count(), 2);
        clean();
    }
}

/* Ends that are nobody's wish: what a checkpoint tells of is kept, and said. */
static void failures(void **state)
{
    (void)state;
    make_input("in.jsonl");
    struct job_options options = {.input = kit_lasting("in.jsonl"),
                                  .output = kit_lasting("whole.npy")};
    struct job_progress summary;
    vecmill_err err;
    run(&options, 0, &summary, &err);
    options.output = kit_lasting("out.npy");
    vecmill_pool pool = {
        .dim = DIM, .batches_a_doc = JOB_CHECKPOINT_BATCHES / 16, .fail_after = 50};
    assert_int_equal(run_pool(&options, &pool, 0, &summary, &err), VECMILL_E_WORKERS);
    assert_says(noticed, "documents are kept beside the output, --resume goes on from there");
    assert_true(kit_exists(kit_lasting("out.npy.journal")));
    /* And again, without a checkpoint of its own. */
    options.resume = true;
    pool = (vecmill_pool){.dim = DIM, .fail_after = 5};
    assert_int_equal(run_pool(&options, &pool, 0, &summary, &err), VECMILL_E_WORKERS);
    assert_true(summary.resumed > 0 && summary.documents > summary.resumed);
    assert_says(noticed, "documents are kept");
    /* Failures end a run that is strict, whoever met them; one that is not goes on behind. */
    assert_true(summary.failed > 1);
    options.stop_on_error = true;
    assert_refused(&options, VECMILL_E_INPUT,
                   "documents failed in the run it goes on from, and --on-error is stop");
    options.stop_on_error = false;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_int_equal(summary.documents, N_DOCS);
    assert_whole(".npy");
    clean();
}

/* The first failure ends a strict run; what was done before it is kept, for one that is not. */
static void strict_from_the_start(void **state)
{
    (void)state;
    make_input("in.jsonl");
    struct job_options options = {.input = kit_lasting("in.jsonl"),
                                  .output = kit_lasting("out.npy")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, 2, &summary, &err), VECMILL_E_STOPPED);
    options.resume = options.stop_on_error = true;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_INPUT);
    assert_says(err.message, "in.jsonl line 5: the object has no");
    assert_int_equal(summary.documents, 4);
    options.stop_on_error = false;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_int_equal(summary.documents, N_DOCS);
    assert_int_equal(kit_count(), 4);
    clean();
}

/* By another name of the same file the same journal is met. */
static void a_link_to_the_output(void **state)
{
    (void)state;
    make_input("in.txt");
    kit_write(kit_lasting("out.npy"), "old", 3);
    assert_int_equal(symlink("out.npy", kit_lasting("link.npy")), 0);
    struct job_options options = {.input = kit_lasting("in.txt"),
                                  .output = kit_lasting("link.npy")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, 40, &summary, &err), VECMILL_E_STOPPED);
    assert_true(kit_exists(kit_lasting("out.npy.journal")));
    options.output = kit_lasting("out.npy");
    assert_refused(&options, VECMILL_E_USAGE, "out.npy.journal");
    options.resume = true;
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_OK);
    assert_true(summary.resumed >= 40);
    assert_int_equal(kit_count(), 3);
    unlink(kit_lasting("link.npy"));
    clean();
}

static void errors_elsewhere(void **state)
{
    (void)state;
    make_input("in.jsonl");
    struct job_options options = {.input = kit_lasting("in.jsonl"),
                                  .output = kit_lasting("out.npy"),
                                  .errors = kit_lasting("errors")};
    struct job_progress summary;
    vecmill_err err;
    assert_int_equal(run(&options, 40, &summary, &err), VECMILL_E_STOPPED);
    options.resume = true;
    options.errors = NULL; /* the lines there are would be missed */
    assert_refused(&options, VECMILL_E_OUTPUT, "out.npy.errors.jsonl.part: is missing");
    options.errors = kit_lasting("errors");
    assert_int_equal(run(&options, 0, &summary, &err), VECMILL_E_PARTIAL);
    assert_int_equal(kit_count(), 4);
    options.errors = kit_lasting("out.npy.journal");
    options.resume = false;
    assert_refused(&options, VECMILL_E_USAGE, "cannot be the file of errors too");
    clean();
}

/* Standard input cannot be read again, so nothing is kept of a run on it. */
static void standard_input_has_no_journal(void **state)
{
    (void)state;
    make_input("in.txt");
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int fd = open(kit_lasting("in.txt"), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || dup2(fd, STDIN_FILENO) < 0) _exit(90);
        struct job_options options = {.input = "-", .output = kit_lasting("out.npy")};
        struct job_progress summary;
        vecmill_err err;
        if (run(&options, 40, &summary, &err) != VECMILL_E_STOPPED || kit_count() != 1) _exit(91);
        /* Another run's journal is in its way, and goes when it may. */
        kit_write(kit_lasting("out.npy.journal"), "x", 1);
        if (run(&options, 0, &summary, &err) != VECMILL_E_USAGE) _exit(92);
        if (strstr(err.message, "--resume") != NULL || kit_count() != 2) _exit(93);
        options.force = true;
        kit_write(kit_lasting("out.npy.journal.part"), "x", 1);
        if (run(&options, 0, &summary, &err) != VECMILL_OK || kit_count() != 2) _exit(94);
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(nobody_said_what_to_do),
        cmocka_unit_test(what_resume_cannot_do),
        cmocka_unit_test(nothing_to_resume),
        cmocka_unit_test(an_old_output_is_not_this_runs),
        cmocka_unit_test(a_journal_of_no_documents),
        cmocka_unit_test(the_input_has_changed),
        cmocka_unit_test(another_run),
        cmocka_unit_test(parts_that_are_gone),
        cmocka_unit_test(sides_that_come_later),
        cmocka_unit_test(every_flip),
        cmocka_unit_test(what_is_no_journal),
        cmocka_unit_test(failures),
        cmocka_unit_test(strict_from_the_start),
        cmocka_unit_test(a_link_to_the_output),
        cmocka_unit_test(errors_elsewhere),
        cmocka_unit_test(standard_input_has_no_journal),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-resume: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
