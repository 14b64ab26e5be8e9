/* crew_dummy: the worker program of crew's tests. Echoes items, and misbehaves where they say so
 * (crew_echo.h).
 *
 *     crew_dummy PARENT RESULT_BYTES BATCH_ITEMS BATCH_BYTES MARKS START TIMES
 *
 * START: work; or, the first TIMES times (0: always), instead of saying ready: refuse, refuse-good,
 * no-memory, mute, exit, kill, segv, sizes (says other sizes), garbage, close, early (exits before
 * crew_worker_enter). */
#include "crew_echo.h"

#include "crew/cause.h"
#include "crew/crew.h"
#include "crew/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

void crew_test_hook(const char *phase, const void *data, size_t bytes);

/* Sanitizers leave signals alone here: the cause of a worker's death is what is tested. Leaks are
 * not. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:"
           "detect_leaks=0:allocator_may_return_null=1";
}

static const char *marks;
static struct crew_work work;
static struct echo_command pending; /* for when the result is written; word "" when there is none */

/* ---- misbehaving ---- */

static _Noreturn void sleep_for_ever(void)
{
    for (;;)
        pause();
}

static void sleep_ms(long ms)
{
    usleep((useconds_t)ms * 1000);
}

static void spin_ms(long ms)
{
    const uint64_t until_ns = clock_ns() + (uint64_t)ms * 1000000u;
    while (clock_ns() < until_ns)
        continue;
}

static _Noreturn void die_by(int signal_number)
{
    kill(getpid(), signal_number);
    sleep_for_ever();
}

static void fault_segv(void)
{
    static volatile uintptr_t nowhere = 64;
    *(volatile int *)nowhere = 1;
}

static void fault_bus(void)
{
    const int fd = memfd_create("nothing", MFD_CLOEXEC);
    volatile char *behind_the_end = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (behind_the_end != MAP_FAILED) (void)*behind_the_end;
}

static void fault_ill(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    raise(SIGILL);
#endif
}

static void fault_fpe(void)
{
#if defined(__x86_64__)
    __asm__ volatile("xorl %%edx, %%edx\n\txorl %%ecx, %%ecx\n\tdivl %%ecx" ::
                         : "eax", "ecx", "edx", "cc");
#else
    raise(SIGFPE); /* on arm64 a division by zero does not fault */
#endif
}

static bool is(const struct echo_command *c, const char *word)
{
    return strcmp(c->word, word) == 0;
}

static void refuse(vecmill_status status, bool for_good)
{
    vecmill_err err;
    (void)err_set(&err, status, "crew_dummy does not want to");
    crew_worker_refuse(&err, for_good);
}

/* During a computation. False: the command is of another kind. */
static bool misbehave(const struct echo_command *c, vecmill_err *err, vecmill_status *status)
{
    if (is(c, "sleep"))
        sleep_ms(c->argument);
    else if (is(c, "spin"))
        spin_ms(c->argument);
    else if (is(c, "kill"))
        die_by((int)c->argument);
    else if (is(c, "segv"))
        fault_segv();
    else if (is(c, "bus"))
        fault_bus();
    else if (is(c, "ill"))
        fault_ill();
    else if (is(c, "fpe"))
        fault_fpe();
    else if (is(c, "abort"))
        abort();
    else if (is(c, "exit"))
        _exit((int)c->argument);
    else if (is(c, "buffer")) {
        int bytes = 0;
        socklen_t size = sizeof bytes;
        if (getsockopt(CREW_SOCKET, SOL_SOCKET, SO_SNDBUF, &bytes, &size) != 0 ||
            bytes != c->argument)
            _exit(8);
    } else if (is(c, "stop"))
        raise(SIGSTOP);
    else if (is(c, "loop"))
        spin_ms(1000000000);
    else if (is(c, "hang"))
        sleep_for_ever();
    else if (is(c, "close")) {
        close(CREW_SOCKET);
        sleep_for_ever();
    } else if (is(c, "refuse")) {
        refuse(VECMILL_E_MODEL, c->argument != 0);
        _exit(0);
    } else if (is(c, "fail"))
        *status = err_set(err, VECMILL_E_INPUT, "crew_dummy was told to fail");
    else
        return false;
    return true;
}

static void send_bytes(const void *data, size_t bytes)
{
    if (io_write(CREW_SOCKET, data, bytes, "socket", VECMILL_E_IO, NULL) != VECMILL_OK) _exit(3);
}

static void send_changed(const struct echo_command *c, const unsigned char *frame, size_t bytes)
{
    static unsigned char copy[FRAME_HEAD_BYTES + (4u << 20)];
    struct frame_head head;
    if (bytes > sizeof copy || !frame_get(frame, &head)) _exit(3);
    memcpy(copy, frame, bytes);
    if (is(c, "batch")) head.batch += (uint64_t)c->argument;
    if (is(c, "generation")) head.generation += (uint32_t)c->argument;
    if (is(c, "items")) head.n_items += (uint32_t)c->argument;
    if (is(c, "size")) head.bytes += (uint64_t)c->argument;
    if (is(c, "hash")) head.hash += (uint64_t)c->argument;
    if (is(c, "kind")) head.kind += (uint32_t)c->argument;
    if (is(c, "payload")) copy[FRAME_HEAD_BYTES + (size_t)c->argument] ^= 1;
    frame_put(&head, copy);
    send_bytes(copy, bytes);
    sleep_for_ever();
}

static void send_hello(void)
{
    unsigned char frame[FRAME_HEAD_BYTES + sizeof(struct frame_hello)];
    const struct frame_hello hello = {work.result_bytes, work.batch_items_max, work.batch_bytes_max,
                                      work.tail_bytes, work.frame_tails};
    const struct frame_head head = {
        .kind = FRAME_HELLO, .bytes = sizeof hello, .hash = XXH3_64bits(&hello, sizeof hello)};
    frame_put(&head, frame);
    memcpy(frame + FRAME_HEAD_BYTES, &hello, sizeof hello);
    send_bytes(frame, sizeof frame);
}

/* Instead of a result. Returns if the result is to be sent as well. */
static void misspeak(const struct echo_command *c, const unsigned char *frame, size_t bytes)
{
    static unsigned char noise[65536];
    size_t n = c->argument < 0 ? bytes - (size_t)-c->argument : (size_t)c->argument;
    memset(noise, 0x5A, sizeof noise);
    if (is(c, "garbage")) {
        send_bytes(noise, num_min(n, sizeof noise));
        sleep_for_ever();
    } else if (is(c, "half")) {
        send_bytes(frame, num_min(n, bytes));
        die_by(SIGKILL);
    } else if (is(c, "halt")) {
        send_bytes(frame, num_min(n, bytes));
        sleep_for_ever();
    } else if (is(c, "two")) {
        send_bytes(frame, bytes);
    } else if (is(c, "hello")) {
        send_hello();
    } else if (is(c, "flood")) {
        for (;;)
            send_bytes(noise, sizeof noise);
    } else if (is(c, "drip")) {
        for (size_t i = 0; i < 16; i++, sleep_ms(c->argument))
            send_bytes(frame + bytes * i / 16, bytes * (i + 1) / 16 - bytes * i / 16);
        _exit(0); /* the result is out; what would follow is another */
    } else if (is(c, "done") || is(c, "mark")) {
        return;
    } else {
        send_changed(c, frame, bytes);
    }
}

static bool make_file(const char *name, const char *end)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", marks, name, end);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* Called by worker.c (CREW_TEST_HOOKS). */
void crew_test_hook(const char *phase, const void *data, size_t bytes)
{
    if (!pending.word[0]) return;
    if (strcmp(phase, "W7") == 0) misspeak(&pending, data, bytes);
    if (strcmp(phase, "W9") != 0) return;
    if (is(&pending, "done")) die_by((int)pending.argument);
    if (is(&pending, "mark")) (void)make_file(pending.name, "done");
    pending.word[0] = 0;
}

/* ---- working ---- */

/* Whether it is one of the times that count. */
static bool is_due(const struct echo_command *c)
{
    char end[16];
    if (c->times == 0) return true;
    for (unsigned i = 0; i < c->times; i++) {
        snprintf(end, sizeof end, "%u", i);
        if (make_file(c->name, end)) return true;
    }
    return false;
}

static bool is_command(const struct crew_item *item, struct echo_command *c)
{
    char text[ECHO_COMMAND_MOST + 1];
    const size_t n = num_min(item->bytes, ECHO_COMMAND_MOST);
    if (n == 0 || ((const char *)item->data)[0] != '!') return false;
    memcpy(text, item->data, n);
    text[n] = 0;
    return sscanf(text, "!%15s %ld %31s %u\n", c->word, &c->argument, c->name, &c->times) == 4;
}

static vecmill_status compute(void *context, const struct crew_item *items, uint32_t n,
                              struct crew_results *all, vecmill_err *err)
{
    const uint32_t result_bytes = *(const uint32_t *)context;
    static unsigned char one[CREW_RESULT_MAX];
    unsigned char *results = crew_results_all(all);
    vecmill_status status = VECMILL_OK;
    for (uint32_t i = 0; i < n && status == VECMILL_OK; i++) {
        struct echo_command c;
        const size_t tail = echo_tail_bytes(items[i].data, items[i].bytes, work.tail_bytes);
        unsigned char *const result =
            work.tail_bytes > 0 ? one : results + (size_t)i * result_bytes;
        echo_result(items[i].data, items[i].bytes, result, result_bytes);
        if (work.tail_bytes > 0) {
            unsigned char *room = crew_results_room(all, tail, tail % 3 ? 1 : 64);
            if (!room) return VECMILL_E_STOPPED;
            echo_result(items[i].data, items[i].bytes, room, tail);
            crew_results_put(all, one, (uint32_t)tail);
        }
        if (is_command(&items[i], &c) && is_due(&c) && !misbehave(&c, err, &status)) pending = c;
    }
    return status;
}

static _Noreturn void misstart(const char *start)
{
    if (strcmp(start, "refuse") == 0 || strcmp(start, "refuse-good") == 0) {
        refuse(VECMILL_E_MODEL, start[6] != 0);
        _exit(1);
    }
    if (strcmp(start, "no-memory") == 0) {
        refuse(VECMILL_E_MEMORY, false);
        _exit(5);
    }
    if (strcmp(start, "exit") == 0) _exit(9);
    if (strcmp(start, "kill") == 0) die_by(SIGKILL);
    if (strcmp(start, "segv") == 0) fault_segv();
    if (strcmp(start, "close") == 0) close(CREW_SOCKET);
    if (strcmp(start, "garbage") == 0)
        send_bytes("this is no hello, whatever it may be ........", 45);
    if (strcmp(start, "sizes") == 0) {
        work.result_bytes++;
        send_hello();
    }
    if (strcmp(start, "late") == 0) spin_ms(3600000);
    sleep_for_ever(); /* mute */
}

int main(int argc, char **argv)
{
    vecmill_err err = {0};
    uint64_t numbers[7];
    void *memory = NULL;
    if (argc != 10) return 2;
    static const int at[7] = {1, 2, 3, 4, 7, 8, 9};
    for (int i = 0; i < 7; i++)
        if (!num_parse(argv[at[i]], UINT32_MAX, &numbers[i])) return 2;
    marks = argv[5];
    const struct echo_command start = {.name = "start", .times = (unsigned)numbers[4]};
    const bool misstarts = strcmp(argv[6], "work") != 0 && is_due(&start);
    if (misstarts && strcmp(argv[6], "early") == 0) return 7;
    if (!crew_worker_enter((pid_t)numbers[0], "crew-dummy")) return 4;
    uint32_t result_bytes = (uint32_t)numbers[1];
    work = (struct crew_work){.result_bytes = result_bytes,
                              .batch_items_max = (uint32_t)numbers[2],
                              .batch_bytes_max = (size_t)numbers[3],
                              .tail_bytes = (uint32_t)numbers[5],
                              .frame_tails = (uint32_t)numbers[6],
                              .compute = compute,
                              .context = &result_bytes};
    if (misstarts) misstart(argv[6]);
    if (mem_map(crew_worker_bytes(&work), "the dummy's memory", &memory, &err) != VECMILL_OK)
        return 5;
    return crew_worker_serve(&work, memory, &err) == VECMILL_OK ? 0 : 6;
}
