/* host_facts: made-up /proc and /sys trees, and what host makes of them: facts, and OOM kills. */
#include "host/host.h"
#include "made_tree.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct host_facts facts;
static vecmill_err err;

static void describe(void)
{
    assert_int_equal(host_describe(root, &facts, &err), VECMILL_OK);
}

static void expect_limit(uint64_t bytes, const char *source, int version)
{
    assert_int_equal(facts.memory_limit, bytes);
    assert_string_equal(facts.memory_limit_source, source);
    assert_int_equal(facts.cgroup_version, version);
}

/* --- the machine -------------------------------------------------------------------------------- */

static void test_machine(void **state)
{
    (void)state;
    put_machine("", "");
    put("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    describe();
    assert_int_equal(facts.memory_total, 16303432ull * 1024);
    assert_int_equal(facts.memory_available, 8000000ull * 1024);
    assert_int_equal(facts.cpus_online, 5);
    assert_true(facts.psi);
    assert_true(facts.transparent_huge_pages);
    assert_false(facts.oom_group);
    assert_true(facts.cpus_quota == 0);
    expect_limit(HOST_UNKNOWN, "none", 0);
}

static void test_unknown_is_said(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: many kB\nMemAvailable: 18446744073709551615 kB\n");
    put("/sys/devices/system/cpu/online", "3-1\n");
    put("/proc/pressure/memory", "");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    describe();
    assert_int_equal(facts.memory_total, HOST_UNKNOWN);
    assert_int_equal(facts.memory_available, HOST_UNKNOWN);
    assert_int_equal(facts.cpus_online, 0);
    assert_false(facts.psi);
    assert_false(facts.transparent_huge_pages);
    expect_limit(HOST_UNKNOWN, "none", 0);
}

static void test_nothing_to_read(void **state)
{
    (void)state;
    struct host_facts before;
    memset(&facts, 0xA5, sizeof(facts));
    memcpy(&before, &facts, sizeof(facts));
    assert_int_equal(host_describe(root, &facts, &err), VECMILL_E_IO);
    assert_non_null(strstr(err.message, "/proc/meminfo"));
    assert_memory_equal(&before, &facts, sizeof(facts));
}

static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    put_machine("", "");
    describe();
    assert_int_equal(facts.cpus_allowed, CPU_COUNT(&before));
    int first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    describe();
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(facts.cpus_allowed, 1);
}

static void test_this_machine(void **state)
{
    (void)state;
    assert_int_equal(host_describe("", &facts, &err), VECMILL_OK);
    assert_in_range(facts.memory_available, 1, facts.memory_total);
    assert_in_range(facts.cpus_allowed, 1, facts.cpus_online);
    assert_in_range(facts.cgroup_version, 0, 2);
}

/* --- version 2 ---------------------------------------------------------------------------------- */

static void test_v2_own_group(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    put("/sys/fs/cgroup/a/b/memory.max", "536870912\n");
    put("/sys/fs/cgroup/a/b/memory.high", "max\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    describe();
    expect_limit(536870912, "cgroup v2 memory.max", 2);
    assert_true(facts.cpus_quota == 1.5);
}

static void test_v2_ancestors(void **state)
{
    (void)state;
    put_machine("0::/a/b/c\n", V2);
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/c/memory.high", "3000000\n");
    put("/sys/fs/cgroup/a/b/memory.max", "4000000\n");
    put("/sys/fs/cgroup/a/memory.high", "2000000\n");
    put("/sys/fs/cgroup/a/memory.oom.group", "1\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "80000 100000\n");
    describe();
    expect_limit(2000000, "cgroup v2 memory.high, 2 up", 2);
    assert_true(facts.oom_group);
    assert_true(facts.cpus_quota == 0.5);
}

/* In a container with its own namespace the group is "/", and its limit is at the mount point. */
static void test_v2_namespace(void **state)
{
    (void)state;
    put_machine("0::/\n", V2);
    put("/sys/fs/cgroup/memory.max", "268435456\n");
    put("/sys/fs/cgroup/memory.oom.group", "1\n");
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    describe();
    expect_limit(268435456, "cgroup v2 memory.max", 2);
    assert_true(facts.oom_group);
    assert_true(facts.cpus_quota == 2.0);
}

/* The true root group has no memory.max; the controller is there all the same. */
static void test_v2_root_group(void **state)
{
    (void)state;
    put_machine("0::/\n", V2);
    put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n");
    describe();
    expect_limit(HOST_UNKNOWN, "none", 2);
}

static void test_v2_zero_is_a_limit(void **state)
{
    (void)state;
    put_machine("0::/a\n", V2);
    put("/sys/fs/cgroup/a/memory.max", "0\n");
    describe();
    expect_limit(0, "cgroup v2 memory.max", 2);
}

/* Siblings and other groups do not bind. */
static void test_v2_siblings(void **state)
{
    (void)state;
    put_machine("0::/ab\n", V2);
    put("/sys/fs/cgroup/ab/memory.max", "2000000\n");
    put("/sys/fs/cgroup/a/memory.max", "1000\n");
    put("/sys/fs/cgroup/ab/child/memory.max", "1000\n");
    describe();
    expect_limit(2000000, "cgroup v2 memory.max", 2);
}

/* --- version 1 ---------------------------------------------------------------------------------- */

static void test_v1_limits(void **state)
{
    (void)state;
    put_machine("5:cpu,cpuacct:/x\n4:memory:/x/y\n", V1_MEMORY V1_CPU);
    put("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "25000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n");
    describe();
    expect_limit(1073741824, "cgroup v1 memory.limit_in_bytes, 1 up", 1);
    assert_true(facts.cpus_quota == 0.5);
}

/* A limit above what the mount shows comes through memory.stat. The mount's root is the container's
 * group, and /proc/self/cgroup has the path from outside. */
static void test_v1_hidden_ancestor(void **state)
{
    (void)state;
    put_machine(
        "4:memory:/docker/0123\n",
        "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro master:15 - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000000\n");
    put("/sys/fs/cgroup/memory/memory.stat", "cache 1\nrss 2\nhierarchical_memory_limit 700000000\n"
                                             "hierarchical_memsw_limit 9223372036854771712\n");
    describe();
    expect_limit(700000000, "cgroup v1 hierarchical_memory_limit", 1);
}

static void test_v1_without_hierarchy(void **state)
{
    (void)state;
    put_machine("4:memory:/x/y\n", V1_MEMORY);
    put("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9000000\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/x/memory.use_hierarchy", "0\n");
    describe();
    expect_limit(9000000, "cgroup v1 memory.limit_in_bytes", 1);
}

static void test_v1_no_limit(void **state)
{
    (void)state;
    put_machine("4:memory:/\n", V1_MEMORY);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854710272\n"); /* 64 KiB pages */
    put("/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 9223372036854710272\n");
    describe();
    expect_limit(HOST_UNKNOWN, "none", 1);
}

/* "cpuset" is not "cpu", and "memory_recursiveprot" is not "memory". */
static void test_names_are_whole_words(void **state)
{
    (void)state;
    put_machine("3:cpuset:/x\n2:memoryx:/x\n",
                "32 31 0:29 / /sys/fs/cgroup/s rw - cgroup cgroup rw,cpuset\n"
                "33 31 0:29 / /sys/fs/cgroup/m rw - cgroup cgroup rw,memoryx\n");
    put("/sys/fs/cgroup/s/x/cpu.cfs_quota_us", "25000\n");
    put("/sys/fs/cgroup/s/x/cpu.cfs_period_us", "50000\n");
    put("/sys/fs/cgroup/m/x/memory.limit_in_bytes", "1000\n");
    describe();
    expect_limit(HOST_UNKNOWN, "none", 0);
    assert_true(facts.cpus_quota == 0);
}

/* --- both, and odd ones ------------------------------------------------------------------------- */

static void test_hybrid(void **state)
{
    (void)state;
    put_machine("9:name=systemd:/\n4:memory:/job\n1:cpu,cpuacct:/\n0::/unified-job\n",
                V1_CPU V1_MEMORY V2_HYBRID);
    put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000000\n");
    put("/sys/fs/cgroup/unified/unified-job/cgroup.controllers", "\n");
    put("/sys/fs/cgroup/unified/unified-job/cpu.max", "300000 100000\n");
    describe();
    expect_limit(5000000, "cgroup v1 memory.limit_in_bytes", 1);
    assert_true(facts.cpus_quota == 3.0);
}

/* Where several mounts show the group, the one that shows most ancestors counts. */
static void test_several_mounts(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", "50 31 0:38 /a/b /mnt/narrow rw - cgroup2 cgroup2 rw\n"
                             "51 31 0:38 /other /mnt/other rw - cgroup2 cgroup2 rw\n"
                             "52 31 0:38 / /mnt/wi\\040de rw - cgroup2 cgroup2 rw\n");
    put("/mnt/narrow/memory.max", "8000\n");
    put("/mnt/other/memory.max", "1\n");
    put("/mnt/wi de/a/b/memory.max", "8000\n");
    put("/mnt/wi de/a/memory.max", "7000\n");
    describe();
    expect_limit(7000, "cgroup v2 memory.max, 1 up", 2);
}

/* A group that no mount shows has no known limit: the files at the mount point are another's. */
static void test_group_out_of_sight(void **state)
{
    (void)state;
    put_machine("0::/../elsewhere\n4:memory:/host/job\n", V2_HYBRID
                "35 31 0:32 /container /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
    put("/sys/fs/cgroup/unified/memory.max", "1000\n");
    put("/sys/fs/cgroup/elsewhere/memory.max", "1000\n");
    describe();
    expect_limit(HOST_UNKNOWN, "none", 0);
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const garbage[] = {
        "",     "\n",       "-1\n",    "max", "0x10\n",   "12abc\n",
        "::::", "0:::::\n", "max max", " - ", "\xff\xfe", "18446744073709551616\n"};
    static const char *const files[] = {"memory.max", "memory.high", "memory.oom.group", "cpu.max",
                                        "cgroup.controllers"};
    put_machine("0::/a\n", V2);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
            char path[128];
            snprintf(path, sizeof(path), "/sys/fs/cgroup/a/%s", files[k]);
            put(path, garbage[i]);
        }
        describe();
        expect_limit(HOST_UNKNOWN, "none", 2);
        assert_false(facts.oom_group);
        assert_true(facts.cpus_quota == 0);
    }
    put("/sys/fs/cgroup/a/cpu.max", "100000 0\n");
    describe();
    assert_true(facts.cpus_quota == 0);
}

/* Every file of a whole tree, spoiled in many ways: any answer will do, but within bounds. */
static void test_spoiled_trees(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text;
    } files[] = {
        {"/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\n"},
        {"/proc/self/cgroup", "4:memory:/x/y\n1:cpu,cpuacct:/\n0::/a/b\n"},
        {"/proc/self/mountinfo", V1_MEMORY V1_CPU V2},
        {"/sys/devices/system/cpu/online", "0-3,8\n"},
        {"/sys/fs/cgroup/a/b/memory.max", "1000\n"},
        {"/sys/fs/cgroup/a/b/cpu.max", "1000 1000\n"},
        {"/sys/fs/cgroup/memory/x/y/memory.stat", "cache 1\nhierarchical_memory_limit 700\n"},
    };
    enum { N = sizeof(files) / sizeof(files[0]) };
    uint64_t random = 88172645463325252ull;
    for (size_t i = 0; i < N; i++)
        put(files[i].path, files[i].text);
    for (unsigned round = 0; round < 700; round++) {
        char text[512];
        const size_t which = round % N;
        size_t n = strlen(files[which].text);
        memcpy(text, files[which].text, n);
        for (unsigned change = 0; change <= round % 4; change++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            const size_t at = (size_t)(random >> 8) % n;
            static const char telling[] = {'\0', ' ', '\n', ':', '/', '-', '\\', '9', ',', '\xff'};
            text[at] = telling[(random >> 40) % sizeof(telling)];
            if (random >> 60 == 0) n = at ? at : 1;
        }
        put_bytes(files[which].path, text, n);
        const vecmill_status status = host_describe(root, &facts, &err);
        assert_true(status == VECMILL_OK);
        assert_non_null(memchr(facts.memory_limit_source, '\0', sizeof(facts.memory_limit_source)));
        assert_true(facts.cpus_quota >= 0);
        put(files[which].path, files[which].text);
    }
}

/* A file over the maximum is not there; a path deeper than any folder does no harm. */
static void test_oversized(void **state)
{
    (void)state;
    char *big = malloc(5u << 20);
    assert_non_null(big);
    memset(big, '1', 5u << 20);
    put_machine("0::/a\n", V2);
    put_bytes("/sys/fs/cgroup/a/memory.max", big, 5u << 20);
    put("/sys/fs/cgroup/a/memory.high", "4096\n");
    memcpy(big, "0::", 3);
    for (size_t i = 3; i < 20000; i++)
        big[i] = i % 2 ? '/' : 'b';
    describe();
    expect_limit(4096, "cgroup v2 memory.high", 2);
    put_bytes("/proc/self/cgroup", big, 20000);
    describe();
    expect_limit(HOST_UNKNOWN, "none", 0);
    put_bytes("/proc/self/cgroup", big, 4000);
    describe();
    expect_limit(HOST_UNKNOWN, "none", 0);
    free(big);
}

/* --- the counter of OOM kills ------------------------------------------------------------------- */

#define VMSTAT   "nr_free_pages 9\noom_kill 500\noom_killed 7\n"
#define EVENTS   "/sys/fs/cgroup/a/b/memory.events"
#define KILLS(n) "low 0\nhigh 0\nmax 99\noom 98\noom_kill " #n "\noom_group_kill 97\n"

static struct host_oom oom;

/* What the counter of the tree reads now, found anew; path: where it should be found. */
static void expect_kills(uint64_t wanted, const char *path)
{
    uint64_t kills = 0;
    host_oom_find(root, &oom);
    assert_string_equal(oom.path + strlen(root), path);
    assert_true(host_oom_kills(&oom, &kills));
    assert_int_equal(kills, wanted);
}

static void test_oom_v2(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    put("/proc/vmstat", VMSTAT);
    put(EVENTS, KILLS(3));
    put("/sys/fs/cgroup/a/memory.events", KILLS(40));
    expect_kills(3, EVENTS);
    put(EVENTS, KILLS(18446744073709551615));
    uint64_t kills;
    assert_true(host_oom_kills(&oom, &kills));
    assert_true(kills == UINT64_MAX);
    put(EVENTS, "oom_kill 0\n");
    expect_kills(0, EVENTS);
    put(EVENTS, "oom_kill 12"); /* no end of line */
    expect_kills(12, EVENTS);
}

/* Where the own group does without the memory controller, an ancestor is charged and counts. */
static void test_oom_v2_controller_above(void **state)
{
    (void)state;
    put_machine("0::/a/b\n", V2);
    put("/proc/vmstat", VMSTAT);
    put("/sys/fs/cgroup/a/b/cgroup.controllers", "cpu\n");
    put("/sys/fs/cgroup/a/memory.events", KILLS(40));
    expect_kills(40, "/sys/fs/cgroup/a/memory.events");
}

static void test_oom_v1(void **state)
{
    (void)state;
    static const char path[] = "/sys/fs/cgroup/memory/x/y/memory.oom_control";
    put_machine("4:memory:/x/y\n0::/a/b\n", V1_MEMORY V2_HYBRID);
    put("/proc/vmstat", VMSTAT);
    put("/sys/fs/cgroup/unified/a/b/cgroup.controllers", "\n");
    put("/sys/fs/cgroup/memory/x/memory.oom_control", "oom_kill 40\n");
    put(path, "oom_kill_disable 1\nunder_oom 0\noom_kill 6\n");
    expect_kills(6, path);
    put(path, "oom_kill_disable 1\nunder_oom 0\n"); /* before Linux 4.13 */
    expect_kills(500, "/proc/vmstat");
}

/* The groups are mixed, and only the hierarchy with the memory controller counts. */
static void test_oom_hybrid(void **state)
{
    (void)state;
    put_machine("4:cpu,cpuacct:/x\n0::/a/b\n", V1_CPU V2);
    put("/proc/vmstat", VMSTAT);
    put("/sys/fs/cgroup/cpu,cpuacct/x/memory.oom_control", "oom_kill 1\n");
    put(EVENTS, KILLS(3));
    expect_kills(3, EVENTS);
}

/* The true root group of v2 has no events: all there is to go by is the machine. */
static void test_oom_machine(void **state)
{
    (void)state;
    put_machine("0::/\n", V2);
    put("/proc/vmstat", VMSTAT);
    expect_kills(500, "/proc/vmstat");
    put("/proc/self/cgroup", "");
    expect_kills(500, "/proc/vmstat");
}

static void test_oom_unknown(void **state)
{
    (void)state;
    static const char *const garbage[] = {
        "",
        "\n",
        "oom_kill\n",
        "oom_kill \n",
        "oom_kill -1\n",
        "oom_kill many\n",
        "oom_kill 3x\n",
        "oom_kill 18446744073709551616\n",
        " oom_kill 3\n",
        "oom_kill_disable 0\nunder_oom 0\n",
        "xoom_kill 3\n",
    };
    uint64_t kills = 77;
    put_machine("0::/a/b\n", V2);
    host_oom_find(root, &oom);
    assert_string_equal(oom.path, "");
    assert_false(host_oom_kills(&oom, &kills));
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        put(EVENTS, garbage[i]);
        put("/proc/vmstat", garbage[i]);
        host_oom_find(root, &oom);
        assert_string_equal(oom.path, "");
    }
    put("/proc/vmstat", VMSTAT);
    expect_kills(500, "/proc/vmstat");

    /* Found, and then spoiled, over the maximum, removed, or unreadable. */
    put(EVENTS, KILLS(3));
    expect_kills(3, EVENTS);
    put(EVENTS, "oom_kill ?\n");
    assert_false(host_oom_kills(&oom, &kills));
    static char big[20000];
    memset(big, '\n', sizeof(big));
    memcpy(big, "oom_kill 3", 10);
    put_bytes(EVENTS, big, sizeof(big));
    assert_false(host_oom_kills(&oom, &kills));
    assert_int_equal(remove(oom.path), 0);
    assert_false(host_oom_kills(&oom, &kills));
    assert_int_equal(mkdir(oom.path, 0777), 0);
    assert_false(host_oom_kills(&oom, &kills));
    expect_kills(500, "/proc/vmstat");
    assert_int_equal(kills, 77);
}

static void test_oom_this_machine(void **state)
{
    (void)state;
    uint64_t before, after;
    host_oom_find("", &oom);
    if (oom.path[0] == '\0') skip(); /* neither a cgroup nor Linux 4.13 */
    assert_true(host_oom_kills(&oom, &before));
    assert_true(host_oom_kills(&oom, &after));
    assert_true(after >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_machine),
        TEST(test_unknown_is_said),
        TEST(test_nothing_to_read),
        TEST(test_affinity),
        TEST(test_this_machine),
        TEST(test_v2_own_group),
        TEST(test_v2_ancestors),
        TEST(test_v2_namespace),
        TEST(test_v2_root_group),
        TEST(test_v2_zero_is_a_limit),
        TEST(test_v2_siblings),
        TEST(test_v1_limits),
        TEST(test_v1_hidden_ancestor),
        TEST(test_v1_without_hierarchy),
        TEST(test_v1_no_limit),
        TEST(test_names_are_whole_words),
        TEST(test_hybrid),
        TEST(test_several_mounts),
        TEST(test_group_out_of_sight),
        TEST(test_garbage),
        TEST(test_spoiled_trees),
        TEST(test_oversized),
        TEST(test_oom_v2),
        TEST(test_oom_v2_controller_above),
        TEST(test_oom_v1),
        TEST(test_oom_hybrid),
        TEST(test_oom_machine),
        TEST(test_oom_unknown),
        TEST(test_oom_this_machine),
    };
    const int failed = cmocka_run_group_tests_name("host-facts", tests, NULL, NULL);
    printf("host-facts: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
