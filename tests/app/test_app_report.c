/* What is told of a run, by two threads: lines of events stay whole and in order, rates count what this
 * run did, the summary tells of the dead. The library is played by the stand-ins below. */
#include "app/report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- stand-ins ---- */

const char *vecmill_version(void)
{
    return "test";
}

const char *vecmill_status_words(vecmill_status status)
{
    return status == VECMILL_E_WORKERS ? "workers keep dying" : "words";
}

int vecmill_status_exit(vecmill_status status)
{
    return status == VECMILL_OK ? 0 : 6;
}

void vecmill_pool_describe(const vecmill_pool *pool, vecmill_facts *facts)
{
    (void)pool;
    facts->isa = "ref";
    facts->dim = 8;
    facts->max_length = 16;
    facts->prompt = "query: ";
    facts->batch_tokens = 32;
}

void vecmill_pool_count(vecmill_pool *pool, vecmill_pool_counts *counts)
{
    (void)pool;
    counts->workers = 2;
    counts->batches = 40;
    counts->requeued = 3;
}

void vecmill_pool_planned(const vecmill_pool *pool, vecmill_plan *plan)
{
    (void)pool;
    plan->total_bytes = 1000;
    plan->limit_bytes = UINT64_MAX;
}

bool job_is_own_path(const struct job_options *options, const char *path)
{
    return strcmp(options->input, path) == 0;
}

/* ---- a run that tells into memory ---- */

static struct report report;
static struct options options;
static const struct job_options job = {.input = "in.txt", .output = "out.npy"};
static char path[64]; /* of the events */
static int told;      /* what goes to stderr else */
static char text[1 << 20];
static vecmill_pool *const pool = (vecmill_pool *)&told; /* only handed to the stand-ins */

static void open_run(enum progress_mode mode, const char *output)
{
    vecmill_err err;
    options = (struct options){.model = "m",
                               .input = "in.txt",
                               .output = output,
                               .events = path,
                               .progress = (uint32_t)mode};
    told = memfd_create("told", MFD_CLOEXEC);
    assert_true(told >= 0);
    (void)snprintf(path, sizeof(path), "/tmp/vecmill-report-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(report_open(&report, &options, &job, &err), VECMILL_OK);
    progress_done(&report.progress);
    progress_init(&report.progress, mode, told);
}

static const char *read_all(int fd)
{
    size_t n = 0;
    for (ssize_t got; (got = pread(fd, text + n, sizeof(text) - 1 - n, (off_t)n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    return text;
}

static const char *read_pipe(int fd)
{
    size_t n = 0;
    for (ssize_t got; (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    return text;
}

static const char *read_events(void)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)read_all(fd);
    (void)close(fd);
    return text;
}

static void close_run(void)
{
    report_close(&report);
    (void)close(told);
    (void)unlink(path);
}

static void has(const char *all, const char *part)
{
    if (!strstr(all, part)) fail_msg("%s\nlacks: %s", all, part);
}

static vecmill_event death(uint32_t n_docs)
{
    return (vecmill_event){.kind = VECMILL_WORKER_DIED,
                           .time_ns = clock_ns(),
                           .pid = 77,
                           .cause = VECMILL_CAUSE_KILLED,
                           .code = 9,
                           .n_docs = n_docs,
                           .deaths = n_docs > 0};
}

/* ---- tests ---- */

static void events_of_a_run(void **state)
{
    (void)state;
    open_run(PROGRESS_NONE, "out.npy");
    vecmill_event e = {.kind = VECMILL_WORKER_READY, .time_ns = clock_ns(), .pid = 77};
    report_pool(&report, &e);
    report_started(&report, &options, pool);
    e.kind = VECMILL_BATCH_STARTED;
    report_pool(&report, &e);
    e = death(34);
    report_pool(&report, &e);
    report_failed(&report, 3, "in.txt line 4", "it is bad");
    report_notice(&report, "a sentence");
    const struct job_progress total = {.documents = 100, .resumed = 40, .elapsed_ns = 1000000000u};
    const vecmill_err why = {.message = "the reason"};
    report_finished(&report, &total, pool, VECMILL_E_WORKERS, &why);
    e = death(0); /* of the pool's closing: no news */
    report_pool(&report, &e);

    const char *all = read_events();
    has(all, "\"event\":\"worker_ready\",\"pid\":77}\n");
    has(all, "\"isa\":\"ref\",\"precision\":\"fp32\",\"dim\":8,\"max_length\":16,\"batch_tokens\":"
             "32,\"workers\":2,"
             "\"memory_bytes\":1000,\"memory_limit_bytes\":null,\"memory_limit_source\":\"\","
             "\"oom_group\":false,\"prompt\":\"query: \"}\n");
    has(all, "\"cause\":\"killed\",\"signal\":9,\"documents\":34,\"deaths\":1}\n");
    has(all, "\"event\":\"document_failed\",\"index\":3,\"place\":\"in.txt line 4\"");
    has(all, "\"exit\":6,\"reason\":\"the reason\",\"documents\":100,\"resumed\":40,");
    has(all, "\"batches\":40,\"batches_requeued\":3,\"deaths\":{\"killed\":1}}\n");
    assert_null(strstr(all, "batch_started"));
    assert_string_equal(strrchr(all, '}'), "}\n");
    assert_null(strstr(strstr(all, "run_finished"), "worker_died"));
    assert_string_equal(read_all(told), "");
    close_run();
}

static void events_are_no_file_of_the_run(void **state)
{
    (void)state;
    vecmill_err err;
    options = (struct options){.input = "in.txt", .output = "out.npy", .events = "in.txt"};
    assert_int_equal(report_open(&report, &options, &job, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "--events in.txt"));
}

/* What the pool saw before the last line, and tells after it, does not turn time back. */
static void time_never_goes_back(void **state)
{
    (void)state;
    struct events e = {.start_ns = 5000000000u};
    assert_int_equal(events_ms(&e, 5000000000u), 0);
    assert_int_equal(events_ms(&e, 5007999999u), 7);
    assert_int_equal(events_ms(&e, 5002000000u), 7);
    assert_int_equal(events_ms(&e, 4000000000u), 7);
    assert_int_equal(events_ms(&e, 5008000000u), 8);
}

static void rates_count_what_this_run_did(void **state)
{
    (void)state;
    open_run(PROGRESS_JSON, "out.npy");
    struct job_progress now = {.documents = 1000,
                               .resumed = 750,
                               .tokens = 8000,
                               .bytes_read = 500,
                               .bytes_total = 1000,
                               .elapsed_ns = 2000000000u};
    report_progress(&report, &now);
    const char *all = read_all(told);
    has(all, "{\"event\":\"progress\",\"documents\":1000,\"resumed\":750,");
    has(all, "\"documents_per_second\":125.0,\"tokens_per_second\":1000.0,");
    has(all, "\"seconds_left\":8.0,");
    assert_null(strstr(all, "\"rss_bytes\":0}"));

    report_progress(&report, &now); /* too soon to be told again */
    assert_int_equal(strlen(read_all(told)), strlen(all));

    now.resumed = now.documents; /* nothing done yet */
    report.progress.said_ns = 0;
    report_progress(&report, &now);
    has(read_all(told), "\"documents_per_second\":0.0,\"tokens_per_second\":0.0,");
    has(text, "\"seconds_left\":null,");
    close_run();
}

static void deaths_in_json(void **state)
{
    (void)state;
    open_run(PROGRESS_JSON, "out.npy");
    const vecmill_event with = death(2), between = death(0);
    report_pool(&report, &with);
    report_pool(&report, &between);
    report_notice(&report, "a \"sentence\"");
    const struct job_progress total = {.documents = 9};
    report_finished(&report, &total, pool, VECMILL_OK, NULL);
    const char *all = read_all(told);
    has(all, "\"event\":\"worker_died\",\"pid\":77,\"cause\":\"killed\",\"signal\":9,"
             "\"documents\":2,\"deaths\":1}\n");
    has(all, "{\"event\":\"notice\",\"sentence\":\"a \\\"sentence\\\"\"}\n");
    has(all, "\"deaths\":{\"killed\":2},\"batches_requeued\":3,\"outcome\":\"complete\",\"exit\":0,"
             "\"peak_rss_bytes\":");
    assert_null(strstr(all, "\"peak_rss_bytes\":0}"));
    close_run();
}

static void summary_for_people(void **state)
{
    (void)state;
    struct job_progress total = {
        .documents = 1234, .resumed = 1000, .tokens = 2000, .elapsed_ns = 2000000000u};
    const vecmill_err why = {.message = "the reason"};
    open_run(PROGRESS_AUTO, "out.npy");
    report_finished(&report, &total, pool, VECMILL_OK, NULL);
    assert_string_equal(read_all(told),
                        "complete: 1,234 documents (0 failed, 0 truncated, 0 bytes replaced; 1,000 "
                        "by earlier runs), 2,000 tokens in 2.00 s, 189 tokens/s\n");
    close_run();

    total.duplicates = 1001;
    open_run(PROGRESS_AUTO, "out.npy");
    report_finished(&report, &total, pool, VECMILL_OK, NULL);
    has(read_all(told), "by earlier runs; 1,001 duplicates computed once), 2,000 tokens");
    close_run();

    open_run(PROGRESS_AUTO, "out.npy");
    report_started(&report, &options, pool);
    report_finished(&report, &total, pool, VECMILL_OK, NULL);
    has(read_all(told), "189 tokens/s, fp32\n");
    has(read_events(), "\"precision\":\"fp32\"");
    close_run();

    /* Of a run that failed only the dead: why it failed is said elsewhere. */
    open_run(PROGRESS_AUTO, "out.npy");
    report.progress.workers.deaths[VECMILL_CAUSE_KILLED] = 3;
    report.progress.workers.deaths[VECMILL_CAUSE_OOM] = 1;
    report_finished(&report, &total, pool, VECMILL_E_WORKERS, &why);
    assert_string_equal(read_all(told), "4 workers died (oom 1, killed 3), 3 batches run again\n");
    close_run();
}

static void nothing_to_do(void **state)
{
    (void)state;
    open_run(PROGRESS_JSON, "out.npy");
    report_unneeded(&report, "out.npy is complete");
    has(read_all(told), "{\"event\":\"notice\",\"sentence\":\"out.npy is complete\"}\n"
                        "{\"event\":\"summary\",\"documents\":0,");
    has(text, "\"outcome\":\"complete\",\"exit\":0,");
    has(read_events(), "\"event\":\"run_finished\",\"exit\":0,\"reason\":null,\"documents\":0,");
    close_run();

    open_run(PROGRESS_AUTO, "out.npy");
    report_unneeded(&report, "out.npy is complete");
    assert_string_equal(read_all(told), "vecmill: out.npy is complete\n");
    close_run();
}

/* The longest lines, of what needs the most room, after a rest that was not taken. */
static void memory_is_taken_once(void **state)
{
    (void)state;
    static char longest[IO_PATH_MAX + 32];
    char sentence[APP_SENTENCE_MAX];
    open_run(PROGRESS_JSON, "out.npy");
    const size_t events = report.events.out.buf.capacity;
    const size_t progress = report.progress.out.buf.capacity;
    static const char worst[] = {'\xff', '\x01'};
    for (size_t i = 0; i < sizeof(worst); i++) {
        memset(longest, worst[i], sizeof(longest) - 1);
        memset(sentence, worst[i], sizeof(sentence));
        sentence[sizeof(sentence) - 1] = 0;
        report_failed(&report, 3, longest, sentence);
        report_notice(&report, sentence);
        longest[IO_PATH_MAX - 1] = 0;
        options.model = options.input = options.output = longest;
        report_started(&report, &options, pool);
        options = (struct options){.model = "m", .input = "in.txt", .output = "out.npy"};
    }
    assert_int_equal(report.events.out.status, VECMILL_OK);
    assert_int_equal(report.events.out.buf.capacity, events);
    assert_int_equal(report.progress.out.buf.capacity, progress);
    assert_true(strlen(read_events()) > (size_t)6 * 4 * IO_PATH_MAX);
    close_run();
}

enum { N_TOLD = 2000 };

static void *tell_of_workers(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < N_TOLD; i++) {
        const vecmill_event e = death(i % 3);
        report_pool(&report, &e);
    }
    return NULL;
}

static void two_threads(void **state)
{
    (void)state;
    open_run(PROGRESS_JSON, "out.npy");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tell_of_workers, NULL), 0);
    for (unsigned i = 0; i < N_TOLD; i++)
        report_failed(&report, i, "in.txt line 1", "it is bad");
    assert_int_equal(pthread_join(thread, NULL), 0);
    const struct job_progress total = {.documents = 9};
    report_finished(&report, &total, pool, VECMILL_OK, NULL);

    unsigned n_died = 0, n_failed = 0;
    unsigned long last_ms = 0;
    char *rest = (char *)(uintptr_t)read_events();
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        unsigned long ms;
        char event[32];
        assert_int_equal(sscanf(line, "{\"t_ms\":%lu,\"event\":\"%31[a-z_]\",", &ms, event), 2);
        assert_true(ms >= last_ms);
        assert_int_equal(line[strlen(line) - 1], '}');
        assert_null(strstr(line + 1, "t_ms\":{"));
        last_ms = ms;
        n_died += strcmp(event, "worker_died") == 0;
        n_failed += strcmp(event, "document_failed") == 0;
    }
    assert_int_equal(n_died, N_TOLD);
    assert_int_equal(n_failed, N_TOLD);
    assert_int_equal(workers_sum(report.progress.workers.deaths), N_TOLD);
    close_run();
}

/* Neither of two full pipes is waited for again and again; both threads get on. */
static void readers_that_stall(void **state)
{
    (void)state;
    int ends[2];
    vecmill_err err;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    open_run(PROGRESS_JSON, "out.npy");
    progress_done(&report.progress);
    progress_init(&report.progress, PROGRESS_JSON, ends[1]);
    assert_int_equal(events_close(&report.events, &err), VECMILL_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    const int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(events_open(&report.events, path, &job, &err), VECMILL_OK);

    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tell_of_workers, NULL), 0);
    for (unsigned i = 0; i < N_TOLD; i++)
        report_failed(&report, i, "in.txt line 1", "it is bad");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(workers_sum(report.progress.workers.deaths), N_TOLD);
    uint64_t n_read = 0;
    for (const char *line = read_pipe(reader); (line = strchr(line, '\n')); line++)
        n_read++;
    assert_int_equal(text[strlen(text) - 1] != '\n', report.events.out.is_begun);
    assert_int_equal(n_read + report.events.out.is_begun + report.events.out.n_dropped, 2 * N_TOLD);

    /* It has taken something, so it gets the last word. */
    const struct job_progress total = {.documents = 9};
    report_finished(&report, &total, pool, VECMILL_OK, NULL);
    has(read_pipe(reader), "\"event\":\"run_finished\"");
    assert_int_equal(events_close(&report.events, &err), VECMILL_E_OUTPUT);
    has(err.message, path);
    has(err.message, "were dropped");
    (void)close(reader);
    (void)close(ends[0]);
    close_run();
    (void)close(ends[1]);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_a_run),      cmocka_unit_test(events_are_no_file_of_the_run),
        cmocka_unit_test(time_never_goes_back), cmocka_unit_test(rates_count_what_this_run_did),
        cmocka_unit_test(deaths_in_json),       cmocka_unit_test(summary_for_people),
        cmocka_unit_test(nothing_to_do),        cmocka_unit_test(two_threads),
        cmocka_unit_test(memory_is_taken_once), cmocka_unit_test(readers_that_stall),
    };
    const int failed = cmocka_run_group_tests_name("app-report", tests, NULL, NULL);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("app-report: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
