/* hooks: faults on purpose, inside a worker. Linked only into tests/hooked/vecmill-worker, which is the
 * worker program with CREW_TEST_HOOKS (src/crew/worker.c says what the phases are). W0 is added here:
 * before main.
 *
 * $VECMILL_TEST_FAULTS is a plan: words `key=value` with semicolons between them.
 *
 *     seed=7;rate=0.05;kinds=kill*6,segv,half    at each phase, with this probability, one of these
 *     poison=MARKER:segv                         at W4, when the batch holds MARKER
 *     at=W7:3:kill:/path                         the third time W7 is reached, by the one process that
 *                                                can make the file /path
 *     log=/path                                  a line `pid phase kind items` before each fault
 *     guard=/path                                the guard's log (guard.h, which is always there)
 *
 * Kinds: kill, stop, exit0, exit77, segv, bus, ill, fpe, abort, half (n of m bytes of the results' frame,
 * then a kill), half-exit, garbage (what is no answer: random bytes, or a frame with a wrong hash,
 * generation, size or kind), double (the results twice), loop, sleep, kill-in-compute (a while after W4),
 * page (one more page of memory than was planned, asked for as our own code asks; only with `at`).
 *
 * What is drawn must not be able to condemn a document: a fault (all but kill, stop, half and
 * kill-in-compute) is drawn only where the batch is known and has more than one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/base.h"
#include "guard.h"

#include "crew/crew.h"

/* Written down again on purpose, as an independent reader of the wire format (src/crew/frame.h). */
#define HEAD_BYTES    48
#define AT_KIND       4
#define AT_BYTES      8
#define AT_GENERATION 24
#define AT_ITEMS      28
#define AT_HASH       32
#define AT_HEAD_HASH  40

#define KINDS_MAX 64

void crew_test_hook(const char *phase, const void *data, size_t bytes);
vecmill_status engine_test_hook(vecmill_err *err);

#if FENCE_SANITIZED
/* A fault on purpose is to end the process by its signal, as in a build without sanitizers. */
#define LEAVE_SIGNALS "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:handle_abort=0"

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return LEAVE_SIGNALS;
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return LEAVE_SIGNALS;
}
#endif

/* The plan and what this process has seen. One thread. */
static struct {
    char text[4096];
    uint64_t seed;
    double rate;
    const char *kinds[KINDS_MAX];
    unsigned n_kinds;
    const char *poison, *poison_kind;
    const char *at_phase, *at_kind;
    unsigned at_count, at_seen;
    int log;
    uint64_t n_drawn;
    uint32_t items; /* of the batch; 0: not known */
    char *beyond;   /* a page of a file that has none: made before the worker is ready */
    bool wants_page;
} plan = {.log = -1};

/* ---- chance ---- */

static uint64_t draw(void)
{
    uint64_t z =
        plan.seed + ((uint64_t)getpid() << 32) + 0x9e3779b97f4a7c15u * (plan.n_drawn++ + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t draw_below(uint64_t n)
{
    return draw() % n;
}

/* ---- the faults ---- */

static void say(const char *phase, const char *kind)
{
    char line[128];
    if (plan.log < 0) return;
    const int n =
        snprintf(line, sizeof line, "%ld %s %s %u\n", (long)getpid(), phase, kind, plan.items);
    const ssize_t written = write(plan.log, line, (size_t)n); /* in one piece: O_APPEND */
    (void)written;
}

static void send_bytes(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(CREW_SOCKET, at, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return;
        at += n;
        bytes -= (size_t)n;
    }
}

/* A worker that sent nonsense is killed for it. */
static void wait_for_the_end(void)
{
    for (;;)
        pause();
}

static void put(unsigned char *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static void send_garbage(const unsigned char *frame, size_t bytes)
{
    unsigned char head[HEAD_BYTES], noise[4096];
    const uint64_t how = draw_below(7);
    if (how == 0 || bytes < HEAD_BYTES) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (unsigned char)draw();
        send_bytes(noise, sizeof noise);
        return;
    }
    memcpy(head, frame, sizeof head);
    switch (how) {
    case 1:
        put(head + AT_HASH, draw(), 8);
        break;
    case 2:
        put(head + AT_GENERATION, draw(), 4);
        break;
    case 3:
        put(head + AT_BYTES, UINT64_MAX - draw_below(100), 8);
        break;
    case 4:
        put(head + AT_BYTES, draw_below(100), 8);
        break;
    case 5:
        put(head + AT_ITEMS, draw(), 4);
        break;
    default:
        put(head + AT_KIND, draw_below(2) ? 1 : 99, 4); /* a batch, and no kind at all */
        break;
    }
    put(head + AT_HEAD_HASH, XXH3_64bits(head, AT_HEAD_HASH), 8);
    send_bytes(head, sizeof head);
    send_bytes(frame + HEAD_BYTES, bytes - HEAD_BYTES);
}

__attribute__((noinline, no_sanitize("address", "thread", "undefined"))) static void touch(
    volatile char *address)
{
    *address = 1;
}

static volatile char *volatile nowhere = (volatile char *)8;

static void prepare_bus_error(void)
{
    const int fd = memfd_create("vecmill-test", MFD_CLOEXEC);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); /* of an empty file */
    if (page != MAP_FAILED) plan.beyond = page;
    if (fd >= 0) close(fd);
}

static void kill_later(void)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    const struct itimerspec when = {.it_value = {.tv_nsec = 1 + (long)draw_below(30000000)}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        (void)timer_settime(timer, 0, &when, NULL);
}

static void commit_fault(const char *kind, const void *data, size_t bytes)
{
    if (strcmp(kind, "kill") == 0) (void)kill(getpid(), SIGKILL);
    if (strcmp(kind, "stop") == 0) (void)kill(getpid(), SIGSTOP);
    if (strcmp(kind, "exit0") == 0) _exit(0);
    if (strcmp(kind, "exit77") == 0) _exit(77);
    if (strcmp(kind, "segv") == 0) touch(nowhere);
    if (strcmp(kind, "bus") == 0 && plan.beyond) touch(plan.beyond);
    if (strcmp(kind, "ill") == 0) {
#if defined(__x86_64__)
        __asm__ volatile("ud2");
#elif defined(__aarch64__)
        __asm__ volatile(".inst 0");
#endif
        (void)raise(SIGILL);
    }
    if (strcmp(kind, "fpe") == 0) {
#if defined(__x86_64__)
        __asm__ volatile("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tdivl %%ecx" ::
                             : "eax", "ecx", "edx", "cc");
#endif
        (void)raise(SIGFPE); /* elsewhere a division by zero is none */
    }
    if (strcmp(kind, "abort") == 0) abort();
    if (strcmp(kind, "half") == 0 || strcmp(kind, "half-exit") == 0) {
        send_bytes(data, (size_t)draw_below(bytes + 1));
        if (strcmp(kind, "half-exit") == 0) _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    if (strcmp(kind, "garbage") == 0) {
        send_garbage(data, bytes);
        wait_for_the_end();
    }
    if (strcmp(kind, "double") == 0) {
        static unsigned char twice[1 << 20]; /* 256 results of 500 floats; none is taken by now */
        if (bytes > sizeof twice / 2) return;
        memcpy(twice, data, bytes);
        memcpy(twice + bytes, data, bytes);
        send_bytes(twice, 2 * bytes);
        wait_for_the_end();
    }
    if (strcmp(kind, "page") == 0) plan.wants_page = true;
    if (strcmp(kind, "loop") == 0)
        for (volatile uint64_t i = 0;; i++)
            ;
    if (strcmp(kind, "sleep") == 0) wait_for_the_end();
    if (strcmp(kind, "kill-in-compute") == 0) kill_later();
}

/* ---- the plan ---- */

static bool needs_frame(const char *kind)
{
    return strncmp(kind, "half", 4) == 0 || strcmp(kind, "garbage") == 0 ||
           strcmp(kind, "double") == 0;
}

/* Whether a fault of this kind may be drawn here. */
static bool is_allowed(const char *kind, const char *phase, size_t bytes)
{
    const bool before_main = strcmp(phase, "W0") == 0, at_compute = strcmp(phase, "W4") == 0,
               at_result = strcmp(phase, "W7") == 0;
    if (strcmp(kind, "kill") == 0) return true;
    if (strcmp(kind, "stop") == 0) return !before_main; /* a start may take ten seconds */
    if (strcmp(kind, "kill-in-compute") == 0) return at_compute;
    if (strcmp(kind, "half") == 0) return at_result;
    if (before_main) return strncmp(kind, "exit", 4) == 0;
    if ((!at_compute && !at_result) || plan.items < 2) return false;
    if (needs_frame(kind) && !at_result) return false;
    /* Both in one buffer of the socket: else the second could be taken for the next batch's answer. */
    if (strcmp(kind, "double") == 0) return bytes <= 8000;
    return true;
}

static void parse_kinds(char *list)
{
    char *save = NULL;
    for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        unsigned times = 1;
        char *star = strchr(word, '*');
        if (star) {
            *star = 0;
            times = (unsigned)strtoul(star + 1, NULL, 10);
        }
        for (; times > 0 && plan.n_kinds < KINDS_MAX; times--)
            plan.kinds[plan.n_kinds++] = word;
    }
}

static void parse_at(char *value)
{
    char *save = NULL;
    const char *phase = strtok_r(value, ":", &save), *count = strtok_r(NULL, ":", &save),
               *kind = strtok_r(NULL, ":", &save), *marker = strtok_r(NULL, "", &save);
    if (!marker) return;
    const int fd = open(marker, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return; /* another incarnation was first */
    close(fd);
    plan.at_phase = phase;
    plan.at_count = (unsigned)strtoul(count, NULL, 10);
    plan.at_kind = kind;
    if (strcmp(kind, "page") == 0) guard_leave();
}

/* Out of the worker's way. */
static int open_log(const char *path)
{
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fd;
    const int log = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    close(fd);
    return log;
}

static void parse_word(char *key, char *value)
{
    if (strcmp(key, "seed") == 0) plan.seed = strtoull(value, NULL, 10);
    if (strcmp(key, "rate") == 0) plan.rate = strtod(value, NULL);
    if (strcmp(key, "kinds") == 0) parse_kinds(value);
    if (strcmp(key, "at") == 0) parse_at(value);
    if (strcmp(key, "log") == 0) plan.log = open_log(value);
    if (strcmp(key, "guard") == 0) guard_log(open_log(value));
    if (strcmp(key, "poison") == 0) {
        char *colon = strrchr(value, ':');
        if (!colon) return;
        *colon = 0;
        plan.poison = value;
        plan.poison_kind = colon + 1;
    }
}

/* Before main, with the arguments of the program (glibc gives them). */
__attribute__((constructor)) static void begin(int argc, char **argv)
{
    const char *text = getenv("VECMILL_TEST_FAULTS");
    if (!text || argc < 2 || strcmp(argv[1], "serve") != 0 || strlen(text) >= sizeof plan.text)
        return;
    memcpy(plan.text, text, strlen(text) + 1);
    char *save = NULL;
    for (char *word = strtok_r(plan.text, ";", &save); word; word = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(word, '=');
        if (!equals) continue;
        *equals = 0;
        parse_word(word, equals + 1);
    }
    prepare_bus_error();
    crew_test_hook("W0", NULL, 0);
}

/* Items of a batch's payload: { u64 bytes; the bytes; zeros to a multiple of 8 } each. */
static uint32_t count_items(const unsigned char *data, size_t bytes)
{
    uint32_t n = 0;
    while (bytes >= 8) {
        uint64_t item;
        memcpy(&item, data, sizeof item);
        const size_t whole = 8 + ((size_t)item + 7) / 8 * 8;
        if (whole > bytes) break;
        data += whole;
        bytes -= whole;
        n++;
    }
    return n;
}

/* Called by the engine before it computes a batch. */
vecmill_status engine_test_hook(vecmill_err *err)
{
    void *memory = NULL;
    if (!plan.wants_page) return VECMILL_OK;
    return mem_map(1, "a page that nobody planned", &memory, err);
}

void crew_test_hook(const char *phase, const void *data, size_t bytes)
{
    if (strcmp(phase, "W2") == 0) guard_check();
    if (strcmp(phase, "W4") == 0) {
        plan.items = count_items(data, bytes);
        if (plan.poison && memmem(data, bytes, plan.poison, strlen(plan.poison))) {
            say(phase, plan.poison_kind);
            commit_fault(plan.poison_kind, data, bytes);
        }
    }
    if (strcmp(phase, "W2") == 0 || strcmp(phase, "W9") == 0) plan.items = 0;
    if (plan.at_phase && strcmp(phase, plan.at_phase) == 0 && ++plan.at_seen == plan.at_count) {
        say(phase, plan.at_kind);
        commit_fault(plan.at_kind, data, bytes);
    }
    if (plan.n_kinds == 0 || (double)(draw() >> 11) * 0x1p-53 >= plan.rate) return;
    const char *kind = plan.kinds[draw_below(plan.n_kinds)];
    if (!is_allowed(kind, phase, bytes)) return;
    say(phase, kind);
    commit_fault(kind, data, bytes);
}
