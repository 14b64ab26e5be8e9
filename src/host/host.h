/* host: what do this machine and this cgroup allow, and what do processes hold? Facts, no
 * decisions.
 *
 * Reads /proc and /sys, or the same tree under another root, for tests. A fact that cannot be read
 * is reported as unknown, never guessed. Only regular files are read, so nothing waits. What is
 * read often (OOM kills, room, pressure, a process's memory) allocates nothing and may be called by
 * any thread. Does not know what the facts are used for. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

#define HOST_UNKNOWN UINT64_MAX

struct host_facts {
    uint32_t cpus_online;      /* 0: unknown */
    uint32_t cpus_allowed;     /* by affinity; 0: unknown */
    double cpus_quota;         /* by cpu.max or cfs quota, the smallest; 0: none */
    uint64_t memory_total;     /* MemTotal, bytes; HOST_UNKNOWN: unreadable, as below */
    uint64_t memory_available; /* MemAvailable */
    /* The smallest of cgroup v2 memory.max and memory.high of our own group and its visible
     * ancestors, and v1's limits; HOST_UNKNOWN: none. The source is "cgroup v2 memory.max" and the
     * like, with ", 2 up" for an ancestor's, or "none". */
    uint64_t memory_limit;
    char memory_limit_source[64];
    uint64_t data_limit;         /* RLIMIT_DATA of this process, soft; HOST_UNKNOWN: infinite */
    uint64_t address_limit;      /* RLIMIT_AS, likewise */
    int cgroup_version;          /* of the memory controller; 0: none */
    bool oom_group;              /* memory.oom.group of our own group or an ancestor is 1 */
    bool psi;                    /* /proc/pressure/memory can be read */
    bool transparent_huge_pages; /* set to "always" */
};

/* Where to read: "" for the real machine, or the value of $VECMILL_HOST_ROOT, a folder with proc/
 * and sys/. That is for tests; a set-uid program ignores it. A folder that does not exist, or a
 * path too long, is a tree in which nothing can be read. A relative path starts at the current
 * folder each time something is read. Valid until the environment changes. */
const char *host_root(void);

/* root: from host_root. Affinity and resource limits come from the kernel, whatever the root. E_IO
 * where neither meminfo nor our own cgroup can be read. */
vecmill_status host_describe(const char *root, struct host_facts *facts, vecmill_err *err);

/* How much memory there is to plan with, and which limit that is. */
struct host_limit {
    uint64_t bytes; /* HOST_UNKNOWN: no known limit */
    char source
        [64]; /* "--memory", a memory_limit_source, "MemAvailable", "RLIMIT_DATA", "none", ... */
};

/* The smallest of `asked` (0: nothing), the cgroups' limit, MemAvailable, RLIMIT_DATA and
 * RLIMIT_AS; of equal ones the first in this order. The last two bind each process separately, so
 * as a limit of all together they are cautious. */
void host_limit(const struct host_facts *facts, uint64_t asked, struct host_limit *limit);

/* The processors that this process can keep busy: those its affinity allows, at most its quota
 * rounded up; the online ones only where neither is known. At least 1. */
uint32_t host_cpus(const struct host_facts *facts);

/* Where this process's OOM kills are counted. */
struct host_oom {
    char path[IO_PATH_MAX]; /* "": no counter can be read */
};

/* Finds the nearest counter: oom_kill of our own cgroup (v2 memory.events, which includes the
 * groups below; v1 memory.oom_control), whichever OOM killer it was; else that of the whole
 * machine, /proc/vmstat. root: as above. */
void host_oom_find(const char *root, struct host_oom *oom);

/* The kills counted so far; false: unknown. Allocates nothing; any thread may call it. */
bool host_oom_kills(const struct host_oom *oom, uint64_t *kills);

/* Groups whose room is looked at: our own and its ancestors. Kubernetes nests 5 deep, systemd's
 * user sessions 6. */
#define HOST_GROUPS_MAX 64u

/* The groups of one hierarchy, as prefixes of one path. */
struct host_groups {
    char folder[IO_PATH_MAX]; /* of our own group, ending with a slash */
    uint16_t length[HOST_GROUPS_MAX];
    unsigned n; /* 0: none is visible */
};

/* Where this process's memory is accounted. The caller's struct; it may be copied, and needs no
 * release. */
struct host_memory {
    struct host_groups v2, v1;
    char meminfo[IO_PATH_MAX];  /* "": the path is too long */
    char pressure[IO_PATH_MAX]; /* "": there is none */
    unsigned n_left_out;        /* visible groups beyond HOST_GROUPS_MAX that are not looked at */
};

/* Finds our own group and its visible ancestors. Of more than HOST_GROUPS_MAX in one hierarchy,
 * those with the smallest limits at this moment are kept (of equal ones, or where there is none,
 * the nearest) and the others counted: with n_left_out > 0 the room is an upper bound. A process
 * that is moved to another group has to call this again. root: as above. */
void host_memory_find(const char *root, struct host_memory *memory);

/* The bytes that can still be taken before the kernel has to reclaim more than plain file cache:
 * the smallest of MemAvailable and, for each kept group with a limit (memory.max, memory.high,
 * v1's), limit - (usage - active_file - inactive_file - slab_reclaimable); 0 when it is over. Of
 * groups that a mount hides only v1's hierarchical_memory_limit is known, without their usage.
 * Limits are read anew each time. False, and *bytes untouched: unknown, because neither can be
 * read, or a limit cannot be understood or its usage cannot be read. */
bool host_memory_room(const struct host_memory *memory, uint64_t *bytes);

/* The share of the last ten seconds, in percent, in which a task waited for memory: PSI's "some
 * avg10" of our own v2 group, else of the machine. False: unknown (a kernel without PSI, or
 * gVisor). */
bool host_memory_pressure(const struct host_memory *memory, double *percent);

/* What a process holds, in bytes. */
struct host_use {
    bool exact;         /* anonymous is counted page by page; else by a counter that may lag */
    uint64_t anonymous; /* private pages that were written: Anonymous of smaps_rollup */
    uint64_t huge;      /* of these, in huge pages; 0 if not exact */
    /* Memfd, tmpfs and shared mappings: RssShmem, since smaps_rollup has only a share of it */
    uint64_t shared;
    uint64_t file;          /* mapped pages of files, which the kernel can reclaim: RssFile */
    uint64_t swapped;       /* VmSwap */
    uint64_t page_tables;   /* VmPTE */
    uint64_t stack;         /* size of the main thread's stack, VmStk */
    uint64_t data;          /* VmData, which RLIMIT_DATA limits */
    uint64_t address_space; /* VmSize, which RLIMIT_AS limits */
};

/* pid 0: this process. False, and *use untouched: there is no such process, it has ended (nothing
 * can be read of a zombie), or we may not look at it. */
bool host_process_memory(pid_t pid, struct host_use *use);

enum host_map_kind {
    HOST_MAP_ANONYMOUS, /* without a name, or named by prctl: [anon:...] */
    HOST_MAP_HEAP,
    HOST_MAP_STACK,
    HOST_MAP_FILE,  /* a file, memfd or shared memory: the name begins with a slash */
    HOST_MAP_KERNEL /* [vdso], [vvar], [vsyscall] and the like */
};

/* One mapping of a process; sizes in bytes. */
struct host_map {
    uint64_t start, end;
    bool read, write, execute;
    bool shared; /* else private, copied on write */
    enum host_map_kind kind;
    uint64_t resident, anonymous, huge, swapped;
    char name[64]; /* the kernel's name for it, the end of a long one cut off; "": none */
};

/* Calls `each` for every mapping in ascending order, once its figures are known. The process keeps
 * running, so each mapping is as of its own moment. False: the process cannot be read (as above),
 * or the text is malformed or broke off; `each` was called for the mappings before. */
bool host_process_maps(pid_t pid, void (*each)(void *context, const struct host_map *map),
                       void *context);

#endif
