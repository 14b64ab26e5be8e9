/* What is said of workers that die: the words, how often, in JSON; and the memory of those that live. */
#include "app/workers.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND 1000000000u

static struct workers w;
static char words[WORKERS_WORDS_MAX];

static int fresh(void **state)
{
    (void)state;
    w = (struct workers){0};
    return 0;
}

static vecmill_event death(vecmill_cause cause, int code, uint32_t n_docs, uint32_t deaths)
{
    return (vecmill_event){.kind = VECMILL_WORKER_DIED,
                           .time_ns = 1,
                           .pid = 1234,
                           .cause = cause,
                           .code = code,
                           .first = 7,
                           .n_docs = n_docs,
                           .deaths = deaths};
}

static void make_ready(int64_t pid)
{
    const vecmill_event event = {.kind = VECMILL_WORKER_READY, .pid = pid};
    assert_false(workers_note(&w, &event, words));
}

/* Of a worker that was ready. */
static void expect(vecmill_event event, const char *text)
{
    make_ready(event.pid);
    assert_true(workers_note(&w, &event, words));
    assert_string_equal(words, text);
}

static void a_line_for_a_death(void **state)
{
    (void)state;
    expect(death(VECMILL_CAUSE_OOM, SIGKILL, 34, 1),
           "worker 1234 died (oom) with a batch of 34 documents; they are computed again");
    expect(death(VECMILL_CAUSE_SEGV, SIGSEGV, 1, 2),
           "worker 1234 died (segv) with a batch of 1 document, as 1 before it");
    expect(death(VECMILL_CAUSE_SEGV, SIGSEGV, 1, 1),
           "worker 1234 died (segv) with a batch of 1 document");
    expect(death(VECMILL_CAUSE_EXIT, 0, 2, 1),
           "worker 1234 died (exit, code 0) with a batch of 2 documents; they are computed again");
    expect(death(VECMILL_CAUSE_SIGNAL, 10, 0, 0),
           "worker 1234 died (signal 10) between batches; another is started");
    expect(death(VECMILL_CAUSE_UNKNOWN, 0, 0, 0),
           "worker 1234 died (unknown) between batches; another is started");
    const vecmill_event early = death(VECMILL_CAUSE_EXIT, 127, 0, 0);
    assert_true(workers_note(&w, &early, words));
    assert_string_equal(words, "worker 1234 died (exit, code 127) before it was ready");
    const vecmill_event lost = {.kind = VECMILL_WORKER_LOST, .pid = 99};
    expect(lost, "worker 99 does not end by SIGKILL, it hangs in the kernel; written off");
    assert_int_equal(w.deaths[VECMILL_CAUSE_SEGV], 2);
    assert_int_equal(workers_sum(w.deaths), 7);
    assert_int_equal(w.n_live, 0);
}

static void other_events_have_no_line(void **state)
{
    (void)state;
    static const vecmill_event_kind kinds[] = {VECMILL_WORKER_READY, VECMILL_BATCH_STARTED,
                                               VECMILL_BATCH_REQUEUED};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const vecmill_event event = {.kind = kinds[i], .pid = 5, .n_docs = 3, .deaths = 1};
        assert_false(workers_note(&w, &event, words));
    }
    assert_int_equal(workers_sum(w.deaths), 0);
}

/* The first have a line each; then one a second tells of all since the one before. */
static void a_storm(void **state)
{
    (void)state;
    vecmill_event e = death(VECMILL_CAUSE_KILLED, SIGKILL, 3, 1);
    e.time_ns = SECOND;
    for (unsigned i = 0; i < WORKERS_LINES_FIRST; i++)
        expect(e, "worker 1234 died (killed) with a batch of 3 documents; they are computed again");
    for (unsigned i = 0; i < 36; i++) {
        e.time_ns += SECOND / 40;
        e.cause = i < 29 ? VECMILL_CAUSE_KILLED : VECMILL_CAUSE_SEGV;
        assert_false(workers_note(&w, &e, words));
    }
    e.time_ns = 2 * SECOND - 1;
    e.cause = VECMILL_CAUSE_KILLED;
    assert_false(workers_note(&w, &e, words));
    e.time_ns = 2 * SECOND;
    expect(e, "38 more workers died: killed 31, segv 7");
    e.time_ns++;
    assert_false(workers_note(&w, &e, words));
    e.time_ns = 4 * SECOND;
    expect(e, "2 more workers died: killed 2");

    /* One a second is no storm. */
    e.time_ns = 5 * SECOND;
    expect(e, "worker 1234 died (killed) with a batch of 3 documents; they are computed again");
    assert_int_equal(workers_sum(w.deaths), WORKERS_LINES_FIRST + 41);
}

static void causes(void **state)
{
    (void)state;
    uint64_t counts[VECMILL_CAUSE_COUNT] = {0};
    char text[WORKERS_WORDS_MAX];
    assert_string_equal(workers_causes(counts, text), "");
    counts[VECMILL_CAUSE_KILLED] = 3;
    counts[VECMILL_CAUSE_OOM] = 1;
    assert_string_equal(workers_causes(counts, text), "oom 1, killed 3");
    for (size_t i = 0; i < VECMILL_CAUSE_COUNT; i++)
        counts[i] = UINT64_MAX;
    assert_true(strlen(workers_causes(counts, text)) < sizeof(text));
    assert_non_null(strstr(text, "unknown 18446744073709551615"));
}

static void expect_json(struct app_out *out, const char *text)
{
    assert_int_equal(buf_terminate(&out->buf, NULL), VECMILL_OK);
    assert_string_equal(out->buf.data, text);
    buf_clear(&out->buf);
    out->comma = false;
}

static void json(void **state)
{
    (void)state;
    struct app_out out;
    app_out_init(&out, -1, "nothing");
    vecmill_event e = death(VECMILL_CAUSE_OOM, SIGKILL, 34, 1);
    workers_json_event(&out, 5, &e);
    expect_json(&out, "{\"t_ms\":5,\"event\":\"worker_died\",\"pid\":1234,\"cause\":\"oom\","
                      "\"signal\":9,\"documents\":34,\"deaths\":1}");
    e = death(VECMILL_CAUSE_EXIT, 0, 0, 0);
    workers_json_event(&out, 6, &e);
    expect_json(&out, "{\"t_ms\":6,\"event\":\"worker_died\",\"pid\":1234,\"cause\":\"exit\","
                      "\"exit_code\":0,\"documents\":0,\"deaths\":0}");
    e = death(VECMILL_CAUSE_UNKNOWN, 0, 1, 2);
    workers_json_event(&out, 7, &e);
    expect_json(&out, "{\"t_ms\":7,\"event\":\"worker_died\",\"pid\":1234,\"cause\":\"unknown\","
                      "\"documents\":1,\"deaths\":2}");
    e.kind = VECMILL_WORKER_READY;
    workers_json_event(&out, 8, &e);
    expect_json(&out, "{\"t_ms\":8,\"event\":\"worker_ready\",\"pid\":1234}");
    e.kind = VECMILL_WORKER_LOST;
    workers_json_event(&out, 9, &e);
    expect_json(&out, "{\"t_ms\":9,\"event\":\"worker_lost\",\"pid\":1234}");
    e.kind = VECMILL_BATCH_REQUEUED;
    workers_json_event(&out, 10, &e);
    expect_json(&out, "{\"t_ms\":10,\"event\":\"batch_requeued\",\"first\":7,\"documents\":1,"
                      "\"deaths\":2}");
    workers_json_causes(&out, w.deaths);
    expect_json(&out, "{}");
    w.deaths[VECMILL_CAUSE_KILLED] = 3;
    w.deaths[VECMILL_CAUSE_OOM] = 1;
    workers_json_causes(&out, w.deaths);
    expect_json(&out, "{\"oom\":1,\"killed\":3}");
    app_out_done(&out);
}

/* A child that holds memory of its own counts with it, and no more once it is dead. */
static void memory(void **state)
{
    (void)state;
    enum { BYTES = 24 << 20 };
    int ready[2], hold[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(hold), 0);
    const uint64_t alone = workers_memory(&w);
    assert_true(alone > 0);
    const pid_t pid = fork();
    if (pid == 0) {
        void *own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (own != MAP_FAILED) memset(own, 1, BYTES);
        (void)!write(ready[1], "r", 1);
        (void)close(hold[1]);
        (void)!read(hold[0], own, 1); /* until it is killed, or this test is gone */
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    make_ready(pid);
    assert_true(workers_memory(&w) >= alone + BYTES);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_in_range(workers_memory(&w), 1, alone + BYTES / 2);
    vecmill_event e = death(VECMILL_CAUSE_KILLED, SIGKILL, 0, 0);
    e.pid = pid;
    assert_true(workers_note(&w, &e, words));
    assert_int_equal(w.n_live, 0);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(hold[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_for_a_death),
        TEST(other_events_have_no_line),
        TEST(a_storm),
        TEST(causes),
        TEST(json),
        TEST(memory),
    };
    const int failed = cmocka_run_group_tests_name("app-workers", tests, NULL, NULL);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("app-workers: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
