/* host_maps: what a process holds, in all and by mapping: made-up files, this process, and others. */
#include "host/host.h"
#include "host/host_process.h"
#include "made_tree.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB 1024u
#define MIB ((uint64_t)1 << 20)

/* --- sums --------------------------------------------------------------------------------------- */

#define STATUS                                                                                     \
    "Name:\tx\nVmSize:\t  9000 kB\nVmRSS:\t   700 kB\nRssAnon:\t   100 kB\nRssFile:\t   200 kB\n"  \
    "RssShmem:\t   400 kB\nVmData:\t   800 kB\nVmStk:\t   132 kB\nVmPTE:\t    76 kB\n"             \
    "VmSwap:\t     5 kB\n"
#define ROLLUP                                                                                     \
    "561fd0a75000-7fffaff1d000 ---p 00000000 00:00 0                          [rollup]\n"          \
    "Rss:                1768 kB\nPss_Anon:            77 kB\nAnonymous:           116 kB\n"       \
    "AnonHugePages:        64 kB\nSwap:                  9 kB\n"

static bool made_use(struct host_use *use)
{
    char folder[128];
    snprintf(folder, sizeof(folder), "%s/", root);
    return host_process_use(folder, use);
}

static void test_use(void **state)
{
    (void)state;
    struct host_use use = {.anonymous = 4711};
    assert_false(made_use(&use));
    assert_int_equal(use.anonymous, 4711);
    put("/status", STATUS);
    assert_true(made_use(&use));
    assert_false(use.exact);
    assert_int_equal(use.anonymous, 100 * KIB);
    assert_int_equal(use.huge, 0);
    assert_int_equal(use.file, 200 * KIB);
    assert_int_equal(use.shared, 400 * KIB);
    assert_int_equal(use.swapped, 5 * KIB);
    assert_int_equal(use.page_tables, 76 * KIB);
    assert_int_equal(use.stack, 132 * KIB);
    assert_int_equal(use.data, 800 * KIB);
    assert_int_equal(use.address_space, 9000 * KIB);
    put("/smaps_rollup", ROLLUP);
    assert_true(made_use(&use));
    assert_true(use.exact);
    assert_int_equal(use.anonymous, 116 * KIB);
    assert_int_equal(use.huge, 64 * KIB);
    assert_int_equal(use.shared, 400 * KIB);
    put("/smaps_rollup", "Anonymous: some kB\n");
    assert_true(made_use(&use));
    assert_false(use.exact);
    assert_int_equal(use.anonymous, 100 * KIB);
}

/* Each line of status is needed; without one of them nothing is said. */
static void test_use_cut_short(void **state)
{
    (void)state;
    static const char status[] = STATUS;
    char text[sizeof(status)];
    struct host_use use = {.anonymous = 4711};
    put("/smaps_rollup", ROLLUP);
    for (size_t n = 0; n + strlen("VmSwap:\t     5 kB\n") <= sizeof(status) - 1; n++) {
        put_bytes("/status", status, n);
        assert_false(made_use(&use));
    }
    assert_int_equal(use.anonymous, 4711);
    memcpy(text, status, sizeof(text));
    memcpy(strstr(text, "VmSwap:\t     5"), "VmSwap:\t   5x5", strlen("VmSwap:\t   5x5"));
    put("/status", text);
    assert_false(made_use(&use));
}

static void test_own_use(void **state)
{
    (void)state;
    struct host_use before, after;
    const size_t bytes = 16 * MIB;
    if (!host_process_memory(0, &before)) {
        print_message("skipped: /proc/self/status lacks figures here\n");
        skip();
    }
    char *private = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(private != MAP_FAILED && shared != MAP_FAILED);
    memset(private, 1, bytes);
    memset(shared, 1, bytes);
    assert_true(host_process_memory(getpid(), &after));
    assert_int_equal(munmap(private, bytes), 0);
    assert_int_equal(munmap(shared, bytes), 0);
    /* Shared pages are counted by counters that lag: 64 pages a processor, and there may be many. */
    assert_true(after.anonymous >= before.anonymous + bytes - (after.exact ? 0 : 4 * MIB));
    assert_true(after.anonymous <= before.anonymous + bytes + 4 * MIB);
    assert_true(after.shared >= before.shared + bytes - 4 * MIB);
    assert_true(after.shared <= before.shared + bytes + 4 * MIB);
    assert_true(after.address_space >= before.address_space + 2 * bytes);
    assert_true(after.data >= before.data + bytes);
    assert_true(after.page_tables > before.page_tables);
    assert_true(after.stack > 0);
}

/* --- mappings ----------------------------------------------------------------------------------- */

struct seen {
    struct host_map maps[64];
    unsigned n; /* may be more than fit */
    uint64_t anonymous, wanted;
    struct host_map at; /* the mapping that holds the address `wanted` */
};

static void on_map(void *context, const struct host_map *map)
{
    struct seen *seen = context;
    if (seen->n < 64) seen->maps[seen->n] = *map;
    if (seen->wanted >= map->start && seen->wanted < map->end) seen->at = *map;
    seen->anonymous += map->anonymous;
    seen->n++;
}

static struct seen seen;

static bool made_maps(const void *data, size_t bytes)
{
    char path[128];
    put_bytes("/smaps", data, bytes);
    memset(&seen, 0, sizeof(seen));
    snprintf(path, sizeof(path), "%s/smaps", root);
    return host_process_smaps(path, on_map, &seen);
}

static const struct {
    const char *head;
    unsigned rss, anonymous; /* KiB */
} mappings[] = {
    {"00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/a program", 80, 0},
    {"00e03000-00e24000 rw-p 00000000 00:00 0           [heap]", 90, 88},
    {"7f0000000000-7f0000100000 rw-p 00000000 00:00 0 ", 70, 70},
    {"7f0000100000-7f0000200000 rw-s 00000000 00:01 2048 /memfd:items (deleted)", 60, 0},
    {"7f0000200000-7f0000300000 ---p 00000000 00:00 0   [anon:libc_malloc]", 0, 0},
    {"7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0   [stack]", 16, 16},
    {"7ffd00100000-7ffd00101000 r-xp 00000000 00:00 0   [vdso]", 4, 0},
    {"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]", 0, 0},
};

/* All of them as smaps has them; returns the bytes. */
static size_t write_smaps(char text[4096])
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
        n += (size_t)snprintf(text + n, 4096 - n,
                              "%s\nSize: 100 kB\nRss:  %8u kB\nAnonymous: %8u kB\nSwapPss: 99 kB\n"
                              "Swap:  3 kB\nAnonHugePages: 2 kB\nVmFlags: rd wr mr mw me ac\n",
                              mappings[i].head, mappings[i].rss, mappings[i].anonymous);
    }
    assert_true(n < 4096);
    return n;
}

static void test_maps(void **state)
{
    (void)state;
    char text[4096];
    static const enum host_map_kind kinds[] = {
        HOST_MAP_FILE,      HOST_MAP_HEAP,  HOST_MAP_ANONYMOUS, HOST_MAP_FILE,
        HOST_MAP_ANONYMOUS, HOST_MAP_STACK, HOST_MAP_KERNEL,    HOST_MAP_KERNEL};
    assert_true(made_maps(text, write_smaps(text)));
    assert_int_equal(seen.n, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(seen.maps[i].kind, kinds[i]);
        assert_int_equal(seen.maps[i].swapped, 3 * KIB);
        assert_int_equal(seen.maps[i].huge, 2 * KIB);
        assert_int_equal(seen.maps[i].shared, i == 3);
        assert_int_equal(seen.maps[i].write, (i >= 1 && i <= 3) || i == 5);
        assert_int_equal(seen.maps[i].execute, i == 0 || i >= 6);
        assert_int_equal(seen.maps[i].read, i != 4 && i != 7);
    }
    assert_int_equal(seen.maps[0].start, 0x400000);
    assert_int_equal(seen.maps[0].end, 0x452000);
    assert_string_equal(seen.maps[0].name, "/usr/bin/a program");
    assert_string_equal(seen.maps[2].name, "");
    assert_int_equal(seen.maps[1].resident, 90 * KIB);
    assert_int_equal(seen.maps[1].anonymous, 88 * KIB);
    assert_true(seen.maps[7].end == 0xffffffffff601000);
    assert_int_equal(seen.anonymous, (88 + 70 + 16) * KIB);
}

/* Cut anywhere, it is reported as cut, unless that is just after a whole mapping and its
 * figures. */
static void test_maps_cut_short(void **state)
{
    (void)state;
    char text[4096];
    unsigned n_whole = 0;
    const size_t bytes = write_smaps(text);
    for (size_t n = 0; n < bytes; n++) {
        const bool is_line_end = n > 0 && text[n - 1] == '\n';
        const bool is_whole = made_maps(text, n);
        assert_true(seen.n <= 8);
        if (is_whole) assert_true(is_line_end);
        n_whole += is_whole;
    }
    assert_int_equal(n_whole, 8 * 5 - 1); /* after Anonymous and each line below it */
}

static void test_maps_garbage(void **state)
{
    (void)state;
    static const char *const garbage[] = {
        "",
        "\n",
        "Rss: 4 kB\nAnonymous: 0 kB\n",
        "00400000-00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\n",
        "00400000-00452000 r-xp 00000000 08:02 17 /a\nAnonymous: 4 kB\n",
        "00400000-00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: -4 kB\n",
        "00400000-00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous:\n",
        "00400000-00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\nNone\n",
        "004000-004500 r-xp 0 08:02 17 /a\nRss: 99999999999999999999 kB\nAnonymous: 0 kB\n",
        "00452000-00400000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00400000-00400000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00400000 00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00400000-00452000 rxwp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00400000-00452000 r-xq 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00400000-00452000 r-xp 00000000 0802 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00400000-00452000 r-xp 00000000 08:02 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
        "00000000000400000-00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\nAnonymous: 0 kB\n",
    };
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        assert_false(made_maps(garbage[i], strlen(garbage[i])));
        assert_int_equal(seen.n, 0);
    }
    /* What was whole before the trouble is handed out. */
    static const char whole[] = "00400000-00452000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\n"
                                "Anonymous: 0 kB\n";
    static const char *const second[] = {
        whole, "no head\n", "00453000-00454000 r-xp 00000000 08:02 17 /a\nRss: 4 kB\n"};
    for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s%s", whole, second[i]);
        assert_false(made_maps(text, strlen(text)));
        assert_int_equal(seen.n, 1);
    }
}

/* Files of many times a buffer's size, with a name longer than one: every line is met, wherever the
 * buffer ends in it. */
static void test_maps_long(void **state)
{
    (void)state;
    enum { N = 300, NAME = 20000 };
    char *text = malloc(N * 400 + NAME);
    assert_non_null(text);
    for (unsigned shift = 0; shift < 40; shift++) {
        size_t n = 0;
        for (unsigned i = 0; i < N; i++) {
            n += (size_t)sprintf(text + n, "%x000-%x000 rw-p 00000000 00:00 7 /", 16 + 2 * i,
                                 17 + 2 * i);
            const unsigned pad = i == 150 ? NAME : i == 0 ? shift : 0;
            memset(text + n, 'n', pad);
            n += pad;
            n += (size_t)sprintf(text + n, "\nRss: 5 kB\nAnonymous: %u kB\n", i);
        }
        assert_true(made_maps(text, n));
        assert_int_equal(seen.n, N);
        assert_int_equal(seen.anonymous, (uint64_t)N * (N - 1) / 2 * KIB);
    }
    free(text);
}

static void test_own_maps(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 64 * page;
    char *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(data != MAP_FAILED);
    /* A separate mapping, whatever its neighbours. */
    assert_int_equal(mprotect(data, page, PROT_NONE), 0);
    assert_int_equal(mprotect(data + bytes - page, page, PROT_NONE), 0);
    madvise(data, bytes, MADV_NOHUGEPAGE);
    memset(data + page, 1, 10 * page);
    memset(&seen, 0, sizeof(seen));
    seen.wanted = (uint64_t)(uintptr_t)data + page;
    assert_true(host_process_maps(0, on_map, &seen));
    assert_true(seen.n > 5);
    assert_true(seen.at.start == seen.wanted && seen.at.end == seen.wanted + bytes - 2 * page);
    assert_int_equal(seen.at.anonymous, 10 * page);
    assert_int_equal(seen.at.resident, 10 * page);
    assert_int_equal(seen.at.kind, HOST_MAP_ANONYMOUS);
    assert_true(seen.at.read && seen.at.write && !seen.at.execute && !seen.at.shared);

    memset(&seen, 0, sizeof(seen));
    seen.wanted = (uint64_t)(uintptr_t)&page;
    assert_true(host_process_maps(getpid(), on_map, &seen));
    assert_int_equal(seen.at.kind, HOST_MAP_STACK);
    assert_true(seen.at.anonymous > 0);

    memset(&seen, 0, sizeof(seen));
    seen.wanted = (uint64_t)(uintptr_t)&test_own_maps;
    assert_true(host_process_maps(0, on_map, &seen));
    assert_int_equal(seen.at.kind, HOST_MAP_FILE);
    assert_int_equal(seen.at.name[0], '/');
    assert_true(seen.at.execute);
    assert_int_equal(munmap(data, bytes), 0);
}

/* Another process while it lives, and nothing of it once it has ended. */
static void test_another(void **state)
{
    (void)state;
    struct host_use use, before = {.anonymous = 4711};
    int how, gate[2];
    char byte;
    assert_int_equal(pipe(gate), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *data =
            mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) _exit(1);
        memset(data, 1, 8 * MIB);
        if (write(gate[1], "", 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(gate[0], &byte, 1), 1);
    close(gate[0]);
    close(gate[1]);
    memset(&seen, 0, sizeof(seen));
    const bool is_used = host_process_memory(pid, &use);
    const bool is_mapped = host_process_maps(pid, on_map, &seen);
    assert_int_equal(kill(pid, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    const bool is_zombie_used = host_process_memory(pid, &before);
    const unsigned n = seen.n;
    const bool is_zombie_mapped = host_process_maps(pid, on_map, &seen);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(is_used && is_mapped);
    assert_true(use.anonymous >= 8 * MIB);
    assert_true(seen.anonymous >= 8 * MIB);
    if (use.exact) assert_int_equal(use.anonymous, seen.anonymous);
    assert_false(is_zombie_used || is_zombie_mapped);
    assert_int_equal(before.anonymous, 4711);
    assert_int_equal(seen.n, n);
    assert_false(host_process_memory(pid, &before));
    assert_false(host_process_maps(pid, on_map, &seen));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_use),       TEST(test_use_cut_short),  TEST(test_own_use),
        TEST(test_maps),      TEST(test_maps_cut_short), TEST(test_maps_garbage),
        TEST(test_maps_long), TEST(test_own_maps),       TEST(test_another),
    };
    const int failed = cmocka_run_group_tests_name("host-maps", tests, NULL, NULL);
    printf("host-maps: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
