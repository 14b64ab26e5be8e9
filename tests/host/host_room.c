/* host_room: how much more memory there is, and the pressure: made-up trees, and a real group of v1. */
#include "host/host.h"
#include "made_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AVAILABLE (8000000ull * 1024) /* put_machine's */
#define MIB       ((uint64_t)1 << 20)
#define A         "/sys/fs/cgroup/a/"
#define B         "/sys/fs/cgroup/a/b/"
#define X         "/sys/fs/cgroup/memory/x/"
#define Y         "/sys/fs/cgroup/memory/x/y/"

static struct host_memory memory;

static void expect_room(uint64_t bytes)
{
    uint64_t room = 1;
    assert_true(host_memory_room(&memory, &room));
    assert_int_equal(room, bytes);
}

static void expect_unknown(void)
{
    uint64_t room = 4711;
    assert_false(host_memory_room(&memory, &room));
    assert_int_equal(room, 4711);
}

/* --- room --------------------------------------------------------------------------------------- */

static void test_no_group(void **state)
{
    (void)state;
    put_machine("", "");
    host_memory_find(root, &memory);
    expect_room(AVAILABLE);
    put("/proc/meminfo", "MemTotal: 1 kB\nMemAvailable:   12 kB\n");
    expect_room(12 * 1024);
    static const char *const garbage[] = {"",
                                          "MemAvailable: -1 kB\n",
                                          "MemAvailable:\n",
                                          "MemAvailable: 18446744073709551615 kB\n",
                                          "XMemAvailable: 5 kB\n",
                                          "MemAvailable: many\n"};
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        put("/proc/meminfo", garbage[i]);
        expect_unknown();
    }
}

static void test_v2(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    put(B "memory.max", "100000\n");
    put(B "memory.high", "max\n");
    put(B "memory.current", "60000\n");
    put(B "memory.stat", "anon 20000\nfile 30000\ninactive_anon 9\nactive_file 7000\n"
                         "inactive_file 3000\nunevictable 5\nslab_reclaimable 500\n"
                         "slab_unreclaimable 77\nslab 577\n");
    host_memory_find(root, &memory);
    assert_int_equal(memory.v2.n, 3);
    assert_int_equal(memory.n_left_out, 0);
    expect_room(100000 - (60000 - 10500));
    put(B "memory.high", "80000\n"); /* set later, and tighter */
    expect_room(80000 - (60000 - 10500));
    put(B "memory.high", "30000\n"); /* over it already */
    expect_room(0);
    put(B "memory.high", "max\n");
    put(B "memory.max", "max\n");
    expect_room(AVAILABLE);
    put(B "memory.max", "99999999999\n"); /* more than the machine has */
    expect_room(AVAILABLE);
    put("/proc/meminfo", "MemTotal: 1 kB\n");
    expect_room(99999999999 - (60000 - 10500));
}

/* The tightest group is not that with the smallest limit, but that with the least left. */
static void test_v2_ancestors(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    put(B "memory.max", "100000\n");
    put(B "memory.current", "1000\n");
    put(A "memory.max", "max\n");
    put(A "memory.high", "500000\n");
    put(A "memory.current", "480000\n");
    put(A "memory.stat", "inactive_file 10000\n");
    put("/sys/fs/cgroup/memory.max", "900000\n"); /* a container's own namespace shows such a one */
    put("/sys/fs/cgroup/memory.current", "899000\n");
    host_memory_find(root, &memory);
    expect_room(1000);
    put("/sys/fs/cgroup/memory.current", "0\n");
    expect_room(30000);
    put(A "memory.current", "0\n");
    expect_room(99000);
}

/* The kernel brings usage and memory.stat up to date apart: more cache than usage is possible. */
static void test_v2_odd_figures(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    put(B "memory.max", "100000\n");
    put(B "memory.current", "5000\n");
    put(B "memory.stat", "active_file 6000\n");
    host_memory_find(root, &memory);
    expect_room(100000);
    put(B "memory.stat", "active_file 18446744073709551615\ninactive_file 18446744073709551615\n");
    expect_room(100000);
    put(B "memory.stat",
        "active_file -5\ninactive_file x\nslab_reclaimable 18446744073709551616\n");
    expect_room(95000);
    put(B "memory.stat", "inactive_file 100\r\nactive_file 1000"); /* CRLF; no end of line */
    put(B "memory.current", "5000\r\n");
    put(B "memory.max", "100000\r\n");
    put(B "memory.high", "max\r\n");
    expect_room(96100);
    put(B "memory.max", "0\n");
    expect_room(0);
}

/* A limit that cannot be understood, or whose usage is unknown, may be the one that binds. */
static void test_v2_unknown(void **state)
{
    (void)state;
    static const char *const garbage[] = {"",       "\n",     "-1\n",   "maximum\n",
                                          "0x10\n", "12ab\n", "\xff\n", "18446744073709551616\n"};
    put_machine("0::/a/b\n", V2);
    put(B "memory.max", "100000\n");
    host_memory_find(root, &memory);
    expect_unknown();
    put(B "memory.current", "1000\n");
    expect_room(99000);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        put(B "memory.current", garbage[i]);
        expect_unknown();
        put(B "memory.current", "1000\n");
        put(A "memory.high", garbage[i]);
        expect_unknown();
        put(A "memory.high", "max\n");
        expect_room(99000);
    }
    put(B "memory.max", "18446744073709551615\n"); /* a number, but no limit */
    expect_room(AVAILABLE);
    char path[128];
    snprintf(path, sizeof(path), "%s" B "memory.max", root);
    assert_int_equal(remove(path), 0); /* the controller was taken away */
    expect_room(AVAILABLE);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_unknown();
}

static void test_v1(void **state)
{
    (void)state;
    put_machine("4:memory:/x/y\n0::/a/b\n", V1_MEMORY V2_HYBRID);
    put(Y "memory.limit_in_bytes", "9223372036854771712\n");
    put(Y "memory.usage_in_bytes", "40000\n");
    put(Y "memory.stat",
        "active_file 1\ninactive_file 1\nhierarchical_memory_limit 9223372036854771712\n"
        "total_active_file 3000\ntotal_inactive_file 2000\n");
    put(X "memory.limit_in_bytes", "200000\n");
    put(X "memory.usage_in_bytes", "150000\n");
    put(X "memory.stat", "active_file 99\ntotal_active_file 8000\ntotal_inactive_file 0\n"
                         /* Of an ancestor: only that is known of it */
                         "hierarchical_memory_limit 5\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    host_memory_find(root, &memory);
    assert_int_equal(memory.v1.n, 3);
    expect_room(200000 - 142000);
    put(X "memory.limit_in_bytes", "9223372036854710272\n"); /* 64 KiB pages */
    expect_room(AVAILABLE);
    put(Y "memory.limit_in_bytes", "50000\n");
    expect_room(15000);
    /* Above what the mount shows, a limit is known without its usage. */
    put(Y "memory.stat", "hierarchical_memory_limit 45000\ntotal_active_file 3000\n");
    expect_room(45000 - 37000);
    put(X "memory.use_hierarchy", "0\n");
    host_memory_find(root, &memory);
    assert_int_equal(memory.v1.n, 1);
}

/* Each hierarchy may hold a limit, and both bind. */
static void test_both_versions(void **state)
{
    (void)state;
    put_machine("4:memory:/x/y\n0::/a/b\n", V1_MEMORY V2_HYBRID);
    put(Y "memory.limit_in_bytes", "50000\n");
    put(Y "memory.usage_in_bytes", "0\n");
    put("/sys/fs/cgroup/unified/a/b/memory.max", "60000\n");
    put("/sys/fs/cgroup/unified/a/b/memory.current", "0\n");
    host_memory_find(root, &memory);
    expect_room(50000);
    put("/sys/fs/cgroup/unified/a/b/memory.current", "20000\n");
    expect_room(40000);
}

/* More groups than are kept: those with the smallest limits, wherever they are. */
static void test_deep(void **state)
{
    (void)state;
    char path[1024] = "0::", folder[1024] = "/sys/fs/cgroup/", file[1100];
    enum { DEPTH = HOST_GROUPS_MAX + 20 };
    for (unsigned i = 0; i < DEPTH; i++)
        strcat(path, "/g");
    strcat(path, "\n");
    put_machine(path, V2);
    for (unsigned i = 1; i <= DEPTH; i++) {
        strcat(folder, "g/");
        const bool is_top = i <= 3; /* the tightest three are the last to be met */
        snprintf(file, sizeof(file), "%smemory.max", folder);
        snprintf(path, sizeof(path), "%u\n", is_top ? 1000 * i : 1000000 - i);
        put(file, path);
        snprintf(file, sizeof(file), "%smemory.current", folder);
        put(file, i == 2 ? "1500\n" : "0\n");
    }
    host_memory_find(root, &memory);
    assert_int_equal(memory.v2.n, HOST_GROUPS_MAX);
    assert_int_equal(memory.n_left_out, DEPTH + 1 - HOST_GROUPS_MAX);
    expect_room(500);
    /* The own one has the smallest limit of the others: it stays. */
    put(file, "999999\n");
    expect_room(0);
    for (unsigned i = 1; i < memory.v2.n; i++)
        assert_true(memory.v2.length[i] < memory.v2.length[i - 1]);
}

/* Where no group has a limit the nearest are kept, since a limit may be set later. */
static void test_deep_without_limits(void **state)
{
    (void)state;
    char path[1024] = "0::";
    for (unsigned i = 0; i < HOST_GROUPS_MAX + 20; i++)
        strcat(path, "/g");
    put_machine(path, V2);
    host_memory_find(root, &memory);
    assert_int_equal(memory.v2.n, HOST_GROUPS_MAX);
    assert_int_equal(memory.n_left_out, 21);
    for (unsigned i = 0; i < memory.v2.n; i++)
        assert_int_equal(memory.v2.length[i], strlen(memory.v2.folder) - 2 * (size_t)i);
    expect_room(AVAILABLE);

    /* A group that has a limit replaces the farthest without one. */
    put("/sys/fs/cgroup/g/memory.max", "1000\n");
    host_memory_find(root, &memory);
    for (unsigned i = 0; i + 1 < memory.v2.n; i++)
        assert_int_equal(memory.v2.length[i], strlen(memory.v2.folder) - 2 * (size_t)i);
    assert_int_equal(memory.v2.length[memory.v2.n - 1], strlen(root) + strlen("/sys/fs/cgroup/g/"));
    expect_unknown(); /* since its usage is unknown */
}

static void test_out_of_sight(void **state)
{
    (void)state;
    put_machine("0::/../elsewhere\n4:memory:/host/job\n", V2_HYBRID
                "35 31 0:32 /container /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
    host_memory_find(root, &memory);
    assert_int_equal(memory.v1.n + memory.v2.n, 0);
    expect_room(AVAILABLE);
}

/* --- pressure ----------------------------------------------------------------------------------- */

#define MACHINE "/proc/pressure/memory"
#define OWN     B "memory.pressure"

static void expect_pressure(double wanted)
{
    double percent = -1;
    assert_true(host_memory_pressure(&memory, &percent));
    assert_true(percent > wanted - 1e-9 && percent < wanted + 1e-9);
}

static void expect_no_pressure(void)
{
    double percent = -1;
    assert_false(host_memory_pressure(&memory, &percent));
    assert_true(percent == -1);
}

static void test_pressure(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    host_memory_find(root, &memory);
    expect_no_pressure();
    put(MACHINE, "some avg10=1.50 avg60=2.00 avg300=3.00 total=4\nfull avg10=9.00 avg60=0.00\n");
    host_memory_find(root, &memory);
    expect_pressure(1.5);
    put(OWN, "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\n");
    expect_pressure(1.5); /* as found */
    host_memory_find(root, &memory);
    expect_pressure(12.34);
    put(OWN, "some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n");
    expect_pressure(100);
    put(OWN, "some avg10=0.00\r\n");
    expect_pressure(0);
    put(OWN, "some avg10=7");
    expect_pressure(7);

    static const char *const garbage[] = {"",
                                          "\n",
                                          "full avg10=1.00\n",
                                          "some avg60=1.00\n",
                                          "some avg10",
                                          "some avg10=\n",
                                          "some avg10=-1.00\n",
                                          "some avg10=1,00\n",
                                          "some avg10=1.\n",
                                          "some avg10=.5\n",
                                          "some avg10=100.01\n",
                                          "some avg10=1000.00\n",
                                          "some avg10=nan\n",
                                          "some avg10=1.0x\n",
                                          "some avg10=99999999999999999999\n"};
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        put(OWN, garbage[i]);
        expect_no_pressure();
    }
    host_memory_find(root, &memory); /* our own cannot be read: the machine's */
    expect_pressure(1.5);
}

static void test_pressure_here(void **state)
{
    (void)state;
    double percent = -1;
    host_memory_find("", &memory);
    if (access(MACHINE, R_OK) != 0 || !host_memory_pressure(&memory, &percent)) {
        print_message("skipped: this kernel reports no pressure\n");
        skip();
    }
    assert_true(percent >= 0 && percent <= 100);
}

/* --- a real group ------------------------------------------------------------------------------- */

static void test_room_here(void **state)
{
    (void)state;
    struct host_facts facts;
    uint64_t room;
    host_memory_find("", &memory);
    assert_int_equal(host_describe("", &facts, NULL), VECMILL_OK);
    assert_true(host_memory_room(&memory, &room));
    assert_true(room <= facts.memory_total && room <= facts.memory_limit);
}

static bool write_file(const char *folder, const char *name, const char *text)
{
    char path[IO_PATH_MAX + 128];
    snprintf(path, sizeof(path), "%s%s", folder, name);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    return close(fd) == 0 && is_written;
}

#define GROUP_BYTES (192 * MIB)
#define TAKEN       (48 * MIB)
#define SLACK       (8 * MIB) /* charges go by 64 pages a processor, and a sanitizer takes its own */

/* Into *room, once it is `least`, or what it is after minutes: pages of a file that the kernel has taken off
 * its lists (compaction, reclaim) count as taken, until it has put them back. */
static bool wait_for_room(uint64_t least, uint64_t *room)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    for (int i = 0; i < 30000; i++) {
        if (!host_memory_room(&memory, room)) return false;
        if (*room >= least) break;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

/* In the group: 0, or what was not as it should. */
static int grouped_child(const char *folder, const char *file)
{
    struct host_facts f;
    uint64_t before, taken, cached, lowered;
    if (!write_file(folder, "cgroup.procs", "0")) return 2;
    if (host_describe("", &f, NULL) != VECMILL_OK || f.memory_limit != GROUP_BYTES) return 3;
    if (strcmp(f.memory_limit_source, "cgroup v1 memory.limit_in_bytes") != 0) return 4;
    host_memory_find("", &memory);
    if (!host_memory_room(&memory, &before) || before > GROUP_BYTES) return 5;

    char *data = mmap(NULL, TAKEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return 6;
    memset(data, 1, TAKEN);
    if (!host_memory_room(&memory, &taken)) return 7;
    if (taken > before - TAKEN + SLACK || taken < before - TAKEN - SLACK) return 8;

    /* File cache takes no room. */
    struct statfs fs;
    const int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fstatfs(fd, &fs) != 0) return 9;
    const bool is_memory = fs.f_type == 0x01021994; /* tmpfs */
    for (uint64_t at = 0; at < TAKEN; at += MIB) {
        if (write(fd, data, MIB) != (ssize_t)MIB) return 10;
    }
    if (fsync(fd) != 0 || !wait_for_room(is_memory ? 0 : taken - SLACK, &cached)) return 11;
    if (!is_memory && cached + SLACK < taken) return 12;
    if (is_memory && cached > taken - TAKEN + SLACK) return 13;
    close(fd);

    /* A limit that is lowered is seen. */
    if (!write_file(folder, "memory.limit_in_bytes", "134217728")) return 14;
    if (!host_memory_room(&memory, &lowered)) return 15;
    return lowered + 64 * MIB <= cached + SLACK ? 0 : 16;
}

static void test_real_group(void **state)
{
    (void)state;
    char folder[IO_PATH_MAX + 64], limit[32], file[128];
    host_memory_find("", &memory);
    snprintf(folder, sizeof(folder), "%svecmill-test-%ld/", memory.v1.folder, (long)getpid());
    if (memory.v1.n == 0 || mkdir(folder, 0755) != 0) {
        print_message("skipped: no group of cgroup v1's memory controller can be made here: %s\n",
                      memory.v1.n == 0 ? "it is not mounted" : strerror(errno));
        skip();
    }
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)GROUP_BYTES);
    snprintf(file, sizeof(file), "%s/cached", root);
    const bool is_set = write_file(folder, "memory.limit_in_bytes", limit);
    int how = -1;
    pid_t pid = is_set ? fork() : -1;
    if (pid == 0) _exit(grouped_child(folder, file));
    if (pid > 0) (void)waitpid(pid, &how, 0);
    const int removed = rmdir(folder);
    assert_true(is_set);
    assert_true(pid > 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    assert_int_equal(removed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_group),       TEST(test_v2),         TEST(test_v2_ancestors),
        TEST(test_v2_odd_figures), TEST(test_v2_unknown), TEST(test_v1),
        TEST(test_both_versions),  TEST(test_deep),       TEST(test_deep_without_limits),
        TEST(test_out_of_sight),   TEST(test_pressure),   TEST(test_pressure_here),
        TEST(test_room_here),      TEST(test_real_group),
    };
    const int failed = cmocka_run_group_tests_name("host-room", tests, NULL, NULL);
    printf("host-room: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
