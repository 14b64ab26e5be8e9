/* host: what do this machine and this cgroup allow? Facts, no decisions.
 *
 * Reads /proc and /sys (or the same tree under another root, for tests). A fact that cannot be read
 * is said to be unknown, never guessed. Does not know what anyone does with the facts. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define HOST_UNKNOWN UINT64_MAX

struct host_facts {
    uint32_t cpus_online;      /* 0: unknown */
    uint32_t cpus_allowed;     /* by affinity; 0: unknown */
    double cpus_quota;         /* by cpu.max or cfs quota, the smallest there is; 0: none */
    uint64_t memory_total;     /* MemTotal, bytes; HOST_UNKNOWN where unreadable, as below */
    uint64_t memory_available; /* MemAvailable */
    /* The smallest of cgroup v2 memory.max and memory.high of the own group and its visible
     * ancestors, and v1's limits; HOST_UNKNOWN: none. The source is "cgroup v2 memory.max" and the
     * like, with ", 2 up" for an ancestor's, or "none". */
    uint64_t memory_limit;
    char memory_limit_source[64];
    int cgroup_version;          /* of the memory controller; 0: none */
    bool oom_group;              /* memory.oom.group of the own group or an ancestor is 1 */
    bool psi;                    /* /proc/pressure/memory can be read */
    bool transparent_huge_pages; /* set to "always" */
};

/* root: "" for the real machine, or a folder that holds proc/ and sys/. */
vecmill_status host_describe(const char *root, struct host_facts *facts, vecmill_err *err);

/* Where this process's OOM kills are counted. */
struct host_oom {
    char path[IO_PATH_MAX]; /* "": nowhere that can be read */
};

/* Finds the counter that is nearest: oom_kill of the own cgroup (v2 memory.events, which counts the
 * groups below too; v1 memory.oom_control), whichever OOM killer it was; else that of the whole
 * machine, /proc/vmstat. root as above. */
void host_oom_find(const char *root, struct host_oom *oom);

/* The kills counted so far; false: unknown. Allocates nothing, and any thread may ask. */
bool host_oom_kills(const struct host_oom *oom, uint64_t *kills);

#endif
