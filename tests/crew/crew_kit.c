#include "crew_kit.h"

#include "crew_echo.h"

#include "../kit/test_chance.h"
#include "../kit/test_clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

const char *kit_dummy;
static bool in_child;

_Noreturn void kit_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    fflush(NULL);
    if (in_child) _exit(1);
    _fail(file, line);
    abort(); /* _fail does not return */
}

/* ---- small things ---- */

/* The machine's time, for what ends a hang. */
static uint64_t real_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / MS;
}

void kit_pause_ms(unsigned ms)
{
    usleep(ms * 1000);
    test_clock_pass_ms(ms);
}

static uint64_t seed;

uint64_t kit_random(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1Dull;
}

uint32_t kit_below(uint32_t n)
{
    return (uint32_t)((kit_random() >> 32) % n);
}

/* The first bytes of a file as text; false where it is not there. */
static bool read_text(const char *path, char *text, size_t bytes)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    text[fread(text, 1, bytes - 1, f)] = 0;
    fclose(f);
    return true;
}

size_t kit_children(pid_t pid, pid_t *children, size_t most)
{
    char path[64], text[8192];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (!read_text(path, text, sizeof text)) return 0;
    size_t n = 0;
    for (char *at = text, *end; n < most; at = end) {
        const long child = strtol(at, &end, 10);
        if (end == at) break;
        children[n++] = (pid_t)child;
    }
    return n;
}

char kit_state(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_text(path, text, sizeof text)) return 0;
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

pid_t kit_tracer(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (!read_text(path, text, sizeof text)) kit_fail(__FILE__, __LINE__, path);
    const char *line = strstr(text, "\nTracerPid:");
    if (!line) kit_fail(__FILE__, __LINE__, "no TracerPid among the first lines");
    return (pid_t)strtol(line + strlen("\nTracerPid:"), NULL, 10);
}

int kit_oom_score(pid_t pid)
{
    char path[40];
    int score;
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d", &score) != 1) kit_fail(__FILE__, __LINE__, path);
    fclose(f);
    return score;
}

int kit_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = -1; /* the folder's own */
    if (!dir) kit_fail(__FILE__, __LINE__, "/proc/self/fd");
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* ---- children that run a test ---- */

pid_t kit_fork(void (*body)(void))
{
    fflush(NULL);
    const pid_t child = fork();
    need(child >= 0);
    if (child > 0) return child;
    in_child = true;
    /* A test that was ended leaves no process */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) _exit(1);
    body();
    _exit(0);
}

void kit_wait(pid_t child)
{
    const uint64_t until = real_ms() + 4 * TEST_HANG_MS;
    int how = 0;
    for (pid_t done = 0; done <= 0; usleep(2000)) {
        done = waitpid(child, &how, WNOHANG);
        if (done < 0 && errno != EINTR) kit_fail(__FILE__, __LINE__, "the child can be waited for");
        if (real_ms() > until) {
            kill(child, SIGKILL);
            (void)waitpid(child, &how, 0);
            kit_fail(__FILE__, __LINE__, "the child ends");
        }
    }
    if (WIFSIGNALED(how)) fprintf(stderr, "the child ended by signal %d\n", WTERMSIG(how));
    need(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static char folder[100]; /* holds each host's marks */

/* All that is in a folder, folders of files included, and itself. */
static void remove_folder(const char *path, unsigned depth)
{
    char inner[512];
    DIR *dir = opendir(path);
    if (!dir) return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0 && depth > 0) remove_folder(inner, depth - 1);
    }
    closedir(dir);
    (void)rmdir(path);
}

static void run_one(void **state)
{
    const struct kit_test *test = *state;
    kit_wait(kit_fork(test->body));
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc <= 2;
}

#define TESTS_MOST 64u

int kit_main(const char *suite, const struct kit_test *tests, size_t n, int argc, char **argv)
{
    struct CMUnitTest units[TESTS_MOST];
    size_t n_units = 0;
    const char *tmp = getenv("TMPDIR");
    if (argc < 2 || n > TESTS_MOST) return 2;
    test_default_signals();
    seed = test_seed();
    kit_dummy = argv[1];
    snprintf(folder, sizeof folder, "%s/vecmill-crew-XXXXXX",
             tmp && strlen(tmp) < 64 ? tmp : "/tmp");
    if (!mkdtemp(folder)) return 2;
    for (size_t i = 0; i < n; i++)
        if (is_wanted(tests[i].name, argc, argv))
            units[n_units++] = (struct CMUnitTest){.name = tests[i].name,
                                                   .test_func = run_one,
                                                   .initial_state = (void *)(uintptr_t)&tests[i]};
    const int failed = _cmocka_run_group_tests(suite, units, n_units, NULL, NULL);
    remove_folder(folder, 1);
    printf("%s: %d passed, %d failed\n", suite, (int)n_units - failed, failed);
    return failed;
}

/* ---- items ---- */

/* The bytes of item `tag` into out[HOST_ITEM_MOST]; the same each time. */
static size_t make_item(const struct host *h, uint64_t tag, unsigned char *out)
{
    const char *command = tag < h->n_script ? h->script[tag] : h->all;
    uint64_t x = (tag + 1) * 0x9E3779B97F4A7C15u;
    size_t bytes = 16;
    if (command) return (size_t)snprintf((char *)out, ECHO_COMMAND_MOST, "!%s\n", command);
    if (h->item_most > 0) {
        x ^= x >> 29;
        bytes = x % 4 == 0 ? (x >> 8) % (h->item_most + 1) : (x >> 8) % 2000;
        if (x % 50 == 1) bytes = x % 100 == 1 ? 0 : h->item_most;
    }
    for (size_t i = 0; i < bytes; i += 8, x = x * 0x2545F4914F6CDD1Dull + tag)
        memcpy(out + i, &x, bytes - i < 8 ? bytes - i : 8);
    if (bytes > 0 && out[0] == '!') out[0] = '?';
    return bytes;
}

/* ---- the host ---- */

static void on_event(void *context, const struct crew_event *event)
{
    struct host *h = context;
    need(h->n_events < HOST_EVENTS_MOST);
    h->events[h->n_events++] = *event;
    need(event->time_ns > 0 && (event->pid > 0 || event->kind == CREW_REQUEUED));
    if (event->kind == CREW_DIED) {
        need(event->cause > VECMILL_CAUSE_NONE && event->cause < VECMILL_CAUSE_COUNT);
        h->n_deaths++;
    }
    if (event->kind == CREW_BATCH_GIVEN || event->kind == CREW_REQUEUED)
        need(event->n > 0 && event->first + event->n <= h->n_in && event->first >= h->n_out);
    if (h->on_event) h->on_event(h, event);
}

static bool oom_kills(void *context, uint64_t *kills)
{
    struct host *h = context;
    h->n_looks++;
    *kills = h->oom_kills;
    return h->oom_known;
}

void host_init(struct host *h, uint32_t workers)
{
    struct crew_event *events = h->events; /* tests that use a host twice */
    if (!events) events = calloc(HOST_EVENTS_MOST, sizeof *events);
    need(events != NULL);
    *h = (struct host){.events = events, .start = "work", .n_items = 1};
    h->options = (struct crew_options){
        .program = kit_dummy,
        .argv = h->argv,
        .workers = workers,
        .start_workers = 0,
        .items_max = 256,
        .item_bytes_max = HOST_ITEM_MOST,
        .queue_bytes = 4u << 20,
        .batch_items_max = 32,
        .batch_bytes_max = 1u << 20,
        .result_bytes = 48,
        .batch_ns = 20 * (uint64_t)MS,
        .start_ns = 60000 * (uint64_t)MS,
        .least_ns = 60000 * (uint64_t)MS,
        .oom_kills = oom_kills,
        .on_event = on_event,
        .context = h,
    };
    static unsigned n_hosts;
    snprintf(h->marks, sizeof h->marks, "%s/%d-%u", folder, (int)getpid(), n_hosts++);
    need(mkdir(h->marks, 0700) == 0);
}

void host_open(struct host *h)
{
    const struct crew_options *o = &h->options;
    const size_t most =
        o->batch_bytes_max > o->item_bytes_max ? o->batch_bytes_max : o->item_bytes_max;
    vecmill_err err;
    snprintf(h->words[0], sizeof h->words[0], "%d", (int)getpid());
    snprintf(h->words[1], sizeof h->words[1], "%u", o->result_bytes);
    snprintf(h->words[2], sizeof h->words[2], "%u", o->batch_items_max);
    snprintf(h->words[3], sizeof h->words[3], "%zu", most);
    snprintf(h->words[4], sizeof h->words[4], "%s", h->start);
    snprintf(h->words[5], sizeof h->words[5], "%u", h->start_times);
    snprintf(h->words[6], sizeof h->words[6], "%u", o->tail_bytes);
    snprintf(h->words[7], sizeof h->words[7], "%u", o->frame_tails);
    char *const argv[11] = {(char *)(uintptr_t) "crew_dummy",
                            h->words[0],
                            h->words[1],
                            h->words[2],
                            h->words[3],
                            h->marks,
                            h->words[4],
                            h->words[5],
                            h->words[6],
                            h->words[7],
                            NULL};
    memcpy(h->argv, argv, sizeof argv);
    h->base_fds = kit_count_fds();
    need(crew_bytes(o) != SIZE_MAX);
    need(crew_open(o, &h->crew, &err) == VECMILL_OK);
}

static void compare_books(const struct host *h)
{
    struct crew_counts c;
    uint64_t deaths = 0;
    crew_count(h->crew, &c);
    need(c.accepted == h->n_in);
    need(c.accepted == c.returned + c.queued + c.in_flight);
    need(c.returned <= c.accepted && c.queued <= c.accepted && c.in_flight <= c.accepted);
    need(c.returned >= h->n_out && c.condemned >= h->n_condemned && c.condemned <= c.returned);
    need(c.ready <= h->options.workers);
    for (unsigned i = 0; i < VECMILL_CAUSE_COUNT; i++)
        deaths += c.deaths[i];
    need(deaths == h->n_deaths);
}

void host_step(struct host *h)
{
    crew_wait(h->crew);
    crew_step(h->crew);
    compare_books(h);
    if (h->each_step) h->each_step(h);
}

void host_fill(struct host *h)
{
    static unsigned char item[HOST_ITEM_MOST];
    while (h->n_in < h->n_items) {
        const size_t bytes = make_item(h, h->n_in, item);
        const uint64_t cost_ns = h->costs ? h->costs[h->n_in % h->n_costs] : MS / 2 + bytes;
        if (!crew_submit(h->crew, &(struct crew_piece){item, bytes}, 1, cost_ns)) break;
        h->n_in++;
    }
    crew_hurry(h->crew);
}

/* The tail of the oldest item, which begins the wanted result with its size. */
static void check_tail(const struct host *h, const unsigned char *item, size_t bytes,
                       unsigned char *want_result)
{
    static unsigned char tail[HOST_TAIL_MOST], want[HOST_TAIL_MOST];
    const uint32_t n = (uint32_t)echo_tail_bytes(item, bytes, h->options.tail_bytes);
    need(h->options.tail_bytes <= HOST_TAIL_MOST);
    memcpy(want_result, &n, sizeof n);
    need(crew_tail(h->crew, NULL) == n && crew_tail(h->crew, tail) == n);
    echo_result(item, bytes, want, n);
    need(memcmp(tail, want, n) == 0);
}

void host_drain(struct host *h)
{
    static unsigned char item[HOST_ITEM_MOST], want[CREW_RESULT_MAX];
    for (;;) {
        const void *result = NULL;
        vecmill_cause causes[CREW_CAUSES_MAX];
        const enum crew_head head = crew_head(h->crew, &result, causes);
        if (head == CREW_DONE) {
            const size_t bytes = make_item(h, h->n_out, item);
            echo_result(item, bytes, want, h->options.result_bytes);
            if (h->options.tail_bytes > 0) check_tail(h, item, bytes, want);
            need(memcmp(result, want, h->options.result_bytes) == 0);
        } else if (head == CREW_CONDEMNED) {
            need(h->n_condemned < HOST_CONDEMNED_MOST);
            memcpy(h->causes[h->n_condemned], causes, sizeof causes);
            h->condemned[h->n_condemned++] = h->n_out;
        } else {
            need((head == CREW_NONE) == (h->n_out == h->n_in));
            return;
        }
        crew_drop(h->crew);
        h->n_out++;
    }
}

/* The last events, to find out why a test failed. */
static void print_events(const struct host *h)
{
    static const char *const kinds[] = {"ready", "died", "lost", "given", "requeued"};
    for (uint32_t i = h->n_events > 60 ? h->n_events - 60 : 0; i < h->n_events; i++) {
        const struct crew_event *e = &h->events[i];
        fprintf(stderr, "%8.3f s %-8s pid %d, %s %d, items %llu + %u, deaths %u\n",
                (double)(e->time_ns - h->events[0].time_ns) / 1e9, kinds[e->kind], (int)e->pid,
                cause_word(e->cause), e->code, (unsigned long long)e->first, e->n, e->deaths);
    }
}

vecmill_status host_run(struct host *h, vecmill_err *err)
{
    uint64_t until = real_ms() + TEST_HANG_MS, seen = 0;
    while (h->n_out < h->n_items) {
        const void *result;
        vecmill_cause causes[CREW_CAUSES_MAX];
        host_fill(h);
        host_step(h);
        host_drain(h);
        const enum crew_head head = crew_head(h->crew, &result, causes);
        if (head == CREW_WITHHELD) break;
        if (head == CREW_NONE && crew_failure(h->crew, NULL) != VECMILL_OK) break;
        if (h->n_out + h->n_events != seen) until = real_ms() + TEST_HANG_MS;
        seen = h->n_out + h->n_events;
        if (real_ms() > until) {
            fprintf(stderr, "%llu of %llu items, and nothing happens any more\n",
                    (unsigned long long)h->n_out, (unsigned long long)h->n_items);
            print_events(h);
            kit_fail(__FILE__, __LINE__, "the items are returned");
        }
    }
    return crew_failure(h->crew, err);
}

void host_run_well(struct host *h)
{
    vecmill_err err;
    if (host_run(h, &err) != VECMILL_OK) {
        fprintf(stderr, "the crew failed: %s\n", err.message);
        print_events(h);
        kit_fail(__FILE__, __LINE__, "the crew does not fail");
    }
    need(h->n_out == h->n_items);
    struct crew_counts c;
    crew_count(h->crew, &c);
    need(c.returned == h->n_items && c.queued == 0 && c.in_flight == 0);
    need(c.condemned == h->n_condemned);
}

/* A worker that crew_close has written off: it was killed, and on a busy machine its end may take longer
 * than the crew waits for it. One that was not killed would be waited for until the test's own limit. */
static void await_killed(pid_t pid)
{
    int how = 0;
    need(waitpid(pid, &how, 0) == pid);
    need(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

void host_close(struct host *h)
{
    pid_t mine[64];
    const uint64_t from = test_clock_ms();
    crew_close(h->crew);
    h->crew = NULL;
    need(test_clock_ms() - from < 10000); /* a worker that cannot be ended is written off before */
    need(h->company || kit_count_fds() == h->base_fds);
    const size_t n = h->company ? 0 : kit_children(getpid(), mine, 64);
    for (size_t i = 0; i < n; i++) { /* others' are other programs */
        char path[64], name[64] = "";
        snprintf(path, sizeof path, "/proc/%d/comm", (int)mine[i]);
        FILE *f = fopen(path, "re");
        if (!f) continue;
        need(fgets(name, sizeof name, f) != NULL);
        fclose(f);
        if (strncmp(name, "crew", 4) == 0) await_killed(mine[i]);
    }
}

/* ---- what happened ---- */

uint32_t host_count(const struct host *h, enum crew_event_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->n_events; i++)
        n += h->events[i].kind == kind;
    return n;
}

const struct crew_event *host_event(const struct host *h, enum crew_event_kind kind, uint32_t i)
{
    for (uint32_t k = 0; k < h->n_events; k++)
        if (h->events[k].kind == kind && i-- == 0) return &h->events[k];
    kit_fail(__FILE__, __LINE__, "there are so many events");
}

uint64_t host_deaths(const struct host *h, vecmill_cause cause)
{
    struct crew_counts c;
    crew_count(h->crew, &c);
    return c.deaths[cause];
}

bool host_is_condemned(const struct host *h, uint64_t tag)
{
    for (uint32_t i = 0; i < h->n_condemned; i++)
        if (h->condemned[i] == tag) return true;
    return false;
}

bool host_mark(const struct host *h, const char *name, const char *end)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s.%s", h->marks, name, end);
    return access(path, F_OK) == 0;
}
