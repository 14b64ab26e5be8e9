/* host: gathers the facts. Each is independent: one that cannot be read does not affect another. */
#include "host.h"

#include "cgroup.h"
#include "figures.h"
#include "tree.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define CPUS_MAX 8192u /* Linux's own maximum on x86-64, CONFIG_NR_CPUS */

/* The number of processors in a list like "0-3,8,10-11"; 0 when it is malformed. */
static uint32_t count_list(char *list)
{
    uint64_t total = 0;
    char *rest = list, *range;
    while ((range = tree_next(&rest, ','))) {
        uint64_t first, last;
        char *end = range;
        const char *from = tree_next(&end, '-');
        if (!tree_number(from, &first)) return 0;
        last = first;
        if (end && !tree_number(end, &last)) return 0;
        if (last < first || last >= CPUS_MAX) return 0;
        total += last - first + 1;
    }
    return total <= CPUS_MAX ? (uint32_t)total : 0;
}

/* From the kernel, whatever the root: no file has it reliably. */
static uint32_t count_allowed(void)
{
    unsigned long set[CPUS_MAX / (8 * sizeof(unsigned long))] = {0};
    if (sched_getaffinity(0, sizeof set, (cpu_set_t *)(void *)set) != 0) return 0;
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++) {
        n += (uint32_t)__builtin_popcountl(set[i]);
    }
    return n;
}

/* The soft limit of a resource, in bytes. */
static uint64_t resource_limit(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return HOST_UNKNOWN;
    return limit.rlim_cur;
}

const char *host_root(void)
{
    const char *root = secure_getenv("VECMILL_HOST_ROOT");
    return root ? root : "";
}

vecmill_status host_describe(const char *root, struct host_facts *facts, vecmill_err *err)
{
    struct host_facts f = {.memory_total = HOST_UNKNOWN,
                           .memory_available = HOST_UNKNOWN,
                           .memory_limit = HOST_UNKNOWN,
                           .memory_limit_source = "none",
                           .data_limit = resource_limit(RLIMIT_DATA),
                           .address_limit = resource_limit(RLIMIT_AS)};
    struct figure meminfo[] = {{.key = "MemTotal:"}, {.key = "MemAvailable:"}};
    char path[IO_PATH_MAX];
    struct tree t;
    vecmill_status status = VECMILL_OK;
    tree_init(&t, root);

    if (tree_path(path, root, "/proc/meminfo", "") && figures_read(path, meminfo, 2)) {
        if (meminfo[0].found) f.memory_total = meminfo[0].value;
        if (meminfo[1].found) f.memory_available = meminfo[1].value;
    } else {
        const int reason = errno;
        if (!tree_read(&t, "/proc/self/cgroup", "")) {
            status =
                err_sys(err, VECMILL_E_IO, reason, "%.100s/proc/meminfo: cannot be read", root);
            goto done;
        }
    }
    if (tree_read(&t, "/sys/devices/system/cpu/online", "")) {
        f.cpus_online = count_list(t.file.data);
    }
    f.cpus_allowed = count_allowed();
    cgroup_describe(&t, &f);
    /* Where pressure is compiled in but switched off, the file exists and cannot be read. */
    f.psi = tree_read(&t, "/proc/pressure/memory", "") && strncmp(t.file.data, "some ", 5) == 0;
    f.transparent_huge_pages = tree_read(&t, "/sys/kernel/mm/transparent_hugepage/enabled", "") &&
                               strstr(t.file.data, "[always]") != NULL;
    *facts = f;
done:
    tree_done(&t);
    return status;
}

static void take_smaller(struct host_limit *limit, uint64_t bytes, const char *source)
{
    if (bytes >= limit->bytes) return;
    limit->bytes = bytes;
    snprintf(limit->source, sizeof limit->source, "%s", source);
}

void host_limit(const struct host_facts *facts, uint64_t asked, struct host_limit *limit)
{
    *limit = (struct host_limit){.bytes = HOST_UNKNOWN, .source = "none"};
    if (asked > 0) take_smaller(limit, asked, "--memory");
    take_smaller(limit, facts->memory_limit, facts->memory_limit_source);
    take_smaller(limit, facts->memory_available, "MemAvailable");
    take_smaller(limit, facts->data_limit, "RLIMIT_DATA");
    take_smaller(limit, facts->address_limit, "RLIMIT_AS");
}

uint32_t host_cpus(const struct host_facts *facts)
{
    uint32_t n = facts->cpus_allowed;
    if (n == 0 && facts->cpus_quota > 0) n = CPUS_MAX; /* only the quota is known */
    if (n == 0) n = facts->cpus_online;
    if (facts->cpus_quota > 0 && facts->cpus_quota < n) {
        const uint32_t whole = (uint32_t)facts->cpus_quota;
        n = whole + (whole < facts->cpus_quota);
    }
    return n > 0 ? n : 1;
}
