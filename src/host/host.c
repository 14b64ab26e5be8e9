/* host: gathers the facts. Every fact stands alone: one that cannot be read takes no other with it. */
#include "host.h"

#include "cgroup.h"
#include "tree.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#define CPUS_MAX 8192u /* Linux's own maximum on x86-64, CONFIG_NR_CPUS */

/* The processors of a list like "0-3,8,10-11"; 0 when it is none. */
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

/* Asked of the kernel, whatever the root is: no file tells it for certain. */
static uint32_t count_allowed(void)
{
    unsigned long set[CPUS_MAX / (8 * sizeof(unsigned long))] = {0};
    if (sched_getaffinity(0, sizeof(set), (cpu_set_t *)(void *)set) != 0) return 0;
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
        n += (uint32_t)__builtin_popcountl(set[i]);
    }
    return n;
}

/* `key` of /proc/meminfo, a line "Key:   123 kB", in bytes. */
static void take_meminfo(const char *line, const char *key, uint64_t *bytes)
{
    const size_t n = strlen(key);
    uint64_t kib;
    if (strncmp(line, key, n) != 0) return;
    const char *number = line + n + strspn(line + n, " ");
    if (!tree_number(number, &kib) || kib > UINT64_MAX / 1024) return;
    if (!strstr(number, " kB")) return;
    *bytes = kib * 1024;
}

vecmill_status host_describe(const char *root, struct host_facts *facts, vecmill_err *err)
{
    struct host_facts f = {.memory_total = HOST_UNKNOWN,
                           .memory_available = HOST_UNKNOWN,
                           .memory_limit = HOST_UNKNOWN,
                           .memory_limit_source = "none"};
    struct tree t;
    vecmill_status status = VECMILL_OK;
    tree_init(&t, root);

    errno = 0;
    if (tree_read(&t, "/proc/meminfo", "")) {
        char *rest = t.file.data, *line;
        while ((line = tree_next(&rest, '\n'))) {
            take_meminfo(line, "MemTotal:", &f.memory_total);
            take_meminfo(line, "MemAvailable:", &f.memory_available);
        }
    } else if (!tree_read(&t, "/proc/self/cgroup", "")) {
        status = err_sys(err, VECMILL_E_IO, errno, "%s/proc/meminfo: cannot be read", root);
        goto done;
    }
    if (tree_read(&t, "/sys/devices/system/cpu/online", "")) {
        f.cpus_online = count_list(t.file.data);
    }
    f.cpus_allowed = count_allowed();
    cgroup_describe(&t, &f);
    /* Where pressure is compiled in but switched off, the file is there and cannot be read. */
    f.psi = tree_read(&t, "/proc/pressure/memory", "") && strncmp(t.file.data, "some ", 5) == 0;
    f.transparent_huge_pages = tree_read(&t, "/sys/kernel/mm/transparent_hugepage/enabled", "") &&
                               strstr(t.file.data, "[always]") != NULL;
    *facts = f;
done:
    tree_done(&t);
    return status;
}
