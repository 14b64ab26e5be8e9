/* host_limits: which limit binds, on how many processors, and where the tree is read. */
#include "host/host.h"
#include "made_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static struct host_facts nothing(void)
{
    return (struct host_facts){.memory_total = HOST_UNKNOWN,
                               .memory_available = HOST_UNKNOWN,
                               .memory_limit = HOST_UNKNOWN,
                               .memory_limit_source = "none",
                               .data_limit = HOST_UNKNOWN,
                               .address_limit = HOST_UNKNOWN};
}

static void expect_limit(const struct host_facts *facts, uint64_t asked, uint64_t bytes,
                         const char *source)
{
    struct host_limit limit;
    memset(&limit, 0xA5, sizeof(limit));
    host_limit(facts, asked, &limit);
    assert_int_equal(limit.bytes, bytes);
    assert_string_equal(limit.source, source);
}

/* Each in turn is made the smallest. */
static void test_which_one_binds(void **state)
{
    (void)state;
    struct host_facts f = nothing();
    expect_limit(&f, 0, HOST_UNKNOWN, "none");
    expect_limit(&f, UINT64_MAX, HOST_UNKNOWN, "none");
    f.memory_total = 10; /* says nothing about what may be taken */
    expect_limit(&f, 0, HOST_UNKNOWN, "none");
    expect_limit(&f, 900 * MIB, 900 * MIB, "--memory");
    f.address_limit = 800 * MIB;
    expect_limit(&f, 900 * MIB, 800 * MIB, "RLIMIT_AS");
    f.data_limit = 700 * MIB;
    expect_limit(&f, 900 * MIB, 700 * MIB, "RLIMIT_DATA");
    f.memory_available = 600 * MIB;
    expect_limit(&f, 900 * MIB, 600 * MIB, "MemAvailable");
    f.memory_limit = 500 * MIB;
    strcpy(f.memory_limit_source, "cgroup v2 memory.max, 2 up");
    expect_limit(&f, 900 * MIB, 500 * MIB, "cgroup v2 memory.max, 2 up");
    expect_limit(&f, 400 * MIB, 400 * MIB, "--memory");
    expect_limit(&f, 500 * MIB, 500 * MIB, "--memory"); /* of equal ones the first */
    expect_limit(&f, 0, 500 * MIB, "cgroup v2 memory.max, 2 up");
    f.data_limit = 0;
    expect_limit(&f, 1, 0, "RLIMIT_DATA");
}

static void test_longest_source(void **state)
{
    (void)state;
    struct host_facts f = nothing();
    f.memory_limit = 1;
    memset(f.memory_limit_source, 's', sizeof(f.memory_limit_source) - 1);
    f.memory_limit_source[sizeof(f.memory_limit_source) - 1] = '\0';
    expect_limit(&f, 0, 1, f.memory_limit_source);
}

/* By way of files: an ancestor's memory.high is tighter than every memory.max. */
static void test_from_a_tree(void **state)
{
    (void)state;
    struct host_facts f;
    put_machine("0::/a/b\n", V2);
    put("/sys/fs/cgroup/a/b/memory.max", "900000000\n");
    put("/sys/fs/cgroup/a/memory.max", "800000000\n");
    put("/sys/fs/cgroup/a/memory.high", "700000000\n");
    assert_int_equal(host_describe(root, &f, NULL), VECMILL_OK);
    f.data_limit = f.address_limit = HOST_UNKNOWN; /* of the process that runs the tests */
    expect_limit(&f, 0, 700000000, "cgroup v2 memory.high, 1 up");
    put("/sys/fs/cgroup/a/memory.high", "max\r\n");
    put("/sys/fs/cgroup/a/memory.max", "600000000\r\n");
    assert_int_equal(host_describe(root, &f, NULL), VECMILL_OK);
    f.data_limit = f.address_limit = HOST_UNKNOWN;
    expect_limit(&f, 0, 600000000, "cgroup v2 memory.max, 1 up");
    put("/sys/fs/cgroup/a/memory.max", "9223372036854771712\n");
    put("/sys/fs/cgroup/a/b/memory.max", "18446744073709551615\n");
    assert_int_equal(host_describe(root, &f, NULL), VECMILL_OK);
    assert_int_equal(f.memory_limit, HOST_UNKNOWN);
    f.data_limit = f.address_limit = HOST_UNKNOWN;
    expect_limit(&f, 0, 8000000ull * 1024, "MemAvailable");
}

/* In a child, since a hard limit cannot be raised again. Large ones: a sanitizer maps terabytes. */
static int limited_child(void)
{
    const rlim_t most = (rlim_t)1 << 50;
    const struct rlimit data = {most, most}, address = {most - MIB, RLIM_INFINITY};
    struct host_facts f;
    struct host_limit limit;
    if (setrlimit(RLIMIT_DATA, &data) != 0) return 2;
    if (host_describe(root, &f, NULL) != VECMILL_OK || f.data_limit != most) return 3;
    f.memory_available = HOST_UNKNOWN;
    host_limit(&f, 0, &limit);
    if (limit.bytes != most || strcmp(limit.source, "RLIMIT_DATA") != 0) return 4;
    if (setrlimit(RLIMIT_AS, &address) != 0) return 5;
    if (host_describe(root, &f, NULL) != VECMILL_OK || f.address_limit != most - MIB) return 6;
    f.memory_available = HOST_UNKNOWN;
    host_limit(&f, 0, &limit);
    return limit.bytes == most - MIB && strcmp(limit.source, "RLIMIT_AS") == 0 ? 0 : 7;
}

static void test_resource_limits(void **state)
{
    (void)state;
    struct rlimit data, address;
    int how;
    put_machine("", "");
    assert_int_equal(getrlimit(RLIMIT_DATA, &data), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &address), 0);
    if (data.rlim_cur != RLIM_INFINITY || address.rlim_cur != RLIM_INFINITY) {
        print_message("skipped: whoever runs the tests has set RLIMIT_DATA or RLIMIT_AS\n");
        skip();
    }
    const pid_t pid = fork();
    if (pid == 0) _exit(limited_child());
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void test_cpus(void **state)
{
    (void)state;
    static const struct {
        uint32_t online, allowed;
        double quota;
        uint32_t cpus;
    } cases[] = {
        {64, 4, 0, 4},   {64, 4, 2.0, 2},     {64, 4, 2.01, 3},  {64, 4, 0.1, 1},   {64, 4, 100, 4},
        {64, 0, 1.5, 2}, {2, 0, 3.5, 4},      {64, 0, 0, 64},    {0, 0, 0, 1},      {0, 3, 0, 3},
        {1, 3, 0, 3},    {0, 0, 1e300, 8192}, {0, 0, 0.0001, 1}, {64, 4, 3.999, 4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct host_facts f = nothing();
        f.cpus_online = cases[i].online;
        f.cpus_allowed = cases[i].allowed;
        f.cpus_quota = cases[i].quota;
        assert_int_equal(host_cpus(&f), cases[i].cpus);
    }
}

/* A tree that is not there, or is none, is refused in one sentence. */
static void expect_refused(const char *path, int reason)
{
    struct host_facts f;
    struct host_memory memory;
    struct host_oom oom;
    vecmill_err err;
    uint64_t bytes = 7;
    double percent = 7;
    assert_int_equal(host_describe(path, &f, &err), VECMILL_E_IO);
    assert_non_null(strstr(err.message, "/proc/meminfo: cannot be read"));
    assert_non_null(strstr(err.message, strerror(reason)));
    host_oom_find(path, &oom);
    assert_string_equal(oom.path, "");
    host_memory_find(path, &memory);
    assert_int_equal(memory.v1.n + memory.v2.n + memory.n_left_out, 0);
    assert_false(host_memory_room(&memory, &bytes));
    assert_false(host_memory_pressure(&memory, &percent));
    assert_true(bytes == 7 && percent == 7);
}

static void test_root(void **state)
{
    (void)state;
    struct host_facts f;
    static char long_path[3 * IO_PATH_MAX];
    unsetenv("VECMILL_HOST_ROOT");
    assert_string_equal(host_root(), "");
    setenv("VECMILL_HOST_ROOT", root, 1);
    assert_string_equal(host_root(), root);
    unsetenv("VECMILL_HOST_ROOT");

    expect_refused("/nowhere/at/all", ENOENT);
    expect_refused("nowhere", ENOENT);
    expect_refused("/dev/null", ENOTDIR);
    memset(long_path, '/', sizeof(long_path) - 1);
    expect_refused(long_path, ENAMETOOLONG);
    expect_refused(long_path + 2 * IO_PATH_MAX, ENAMETOOLONG);

    /* A relative one starts at the current folder. */
    char before[IO_PATH_MAX];
    assert_non_null(getcwd(before, sizeof(before)));
    put_machine("0::/a\n", V2);
    put("/sys/fs/cgroup/a/memory.max", "4096\n");
    assert_int_equal(chdir("/tmp"), 0);
    const vecmill_status status = host_describe(root + strlen("/tmp/"), &f, NULL);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status, VECMILL_OK);
    assert_int_equal(f.memory_limit, 4096);
}

/* Only regular files are read, without waiting: this pipe is open, and has no end. */
static void test_irregular(void **state)
{
    (void)state;
    struct host_facts f;
    char path[128];
    put_machine("0::/a\n", V2);
    put("/sys/fs/cgroup/a/memory.high", "4096\n");
    snprintf(path, sizeof(path), "%s/sys/fs/cgroup/a/memory.max", root);
    assert_int_equal(mkfifo(path, 0600), 0);
    const int pipe_end = open(path, O_RDWR | O_CLOEXEC);
    assert_true(pipe_end >= 0);
    assert_int_equal(write(pipe_end, "1000\n", 5), 5);
    alarm(300); /* ends a wait */
    assert_int_equal(host_describe(root, &f, NULL), VECMILL_OK);
    alarm(0);
    assert_int_equal(f.memory_limit, 4096);
    assert_int_equal(close(pipe_end), 0);
    assert_int_equal(remove(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(host_describe(root, &f, NULL), VECMILL_OK);
    assert_int_equal(f.memory_limit, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_which_one_binds), TEST(test_longest_source), TEST(test_from_a_tree),
        TEST(test_resource_limits), TEST(test_cpus),           TEST(test_root),
        TEST(test_irregular),
    };
    const int failed = cmocka_run_group_tests_name("host-limits", tests, NULL, NULL);
    printf("host-limits: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
