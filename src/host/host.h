/* host: what do this machine and this cgroup allow, and what do processes hold? Facts, no decisions.
 *
 * Reads /proc and /sys (or the same tree under another root, for tests). A fact that cannot be read
 * is said to be unknown, never guessed; what is no regular file is not there, so nothing waits. What
 * is asked often (OOM kills, room, pressure, a process's memory) allocates nothing and may be asked
 * by any thread. Does not know what anyone does with the facts. */
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
    double cpus_quota;         /* by cpu.max or cfs quota, the smallest there is; 0: none */
    uint64_t memory_total;     /* MemTotal, bytes; HOST_UNKNOWN where unreadable, as below */
    uint64_t memory_available; /* MemAvailable */
    /* The smallest of cgroup v2 memory.max and memory.high of the own group and its visible
     * ancestors, and v1's limits; HOST_UNKNOWN: none. The source is "cgroup v2 memory.max" and the
     * like, with ", 2 up" for an ancestor's, or "none". */
    uint64_t memory_limit;
    char memory_limit_source[64];
    uint64_t data_limit;         /* RLIMIT_DATA, soft, as of this process; HOST_UNKNOWN: infinite */
    uint64_t address_limit;      /* RLIMIT_AS, likewise */
    int cgroup_version;          /* of the memory controller; 0: none */
    bool oom_group;              /* memory.oom.group of the own group or an ancestor is 1 */
    bool psi;                    /* /proc/pressure/memory can be read */
    bool transparent_huge_pages; /* set to "always" */
};

/* Where to read: "" for the real machine, or what $VECMILL_HOST_ROOT says, a folder that holds proc/
 * and sys/. That is for tests; a set-uid program does not listen to it. Any text will do: a folder
 * that is not there, or a path too long, is a tree in which nothing can be read, and a relative one
 * starts at the current folder each time something is read. Valid until the environment changes. */
const char *host_root(void);

/* root: as host_root has it. Affinity and resource limits are asked of the kernel whatever the root
 * is. E_IO where neither meminfo nor the own cgroup can be read. */
vecmill_status host_describe(const char *root, struct host_facts *facts, vecmill_err *err);

/* How much memory there is to plan with, and what says so. */
struct host_limit {
    uint64_t bytes; /* HOST_UNKNOWN: nothing is known to bind */
    char source
        [64]; /* "--memory", a memory_limit_source, "MemAvailable", "RLIMIT_DATA", "none", ... */
};

/* The smallest of `asked` (0: nothing was), the cgroups' limit, MemAvailable, RLIMIT_DATA and
 * RLIMIT_AS; of equal ones the first in this order. The last two bind each process alone: as a limit of
 * all together they are cautious. */
void host_limit(const struct host_facts *facts, uint64_t asked, struct host_limit *limit);

/* The processors this process can keep busy: those its affinity allows, no more than its quota
 * rounded up; those that are online only where neither is known. At least 1. */
uint32_t host_cpus(const struct host_facts *facts);

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

/* A group and its ancestors that are asked for their room. Kubernetes nests 5 deep, systemd's user
 * sessions 6. */
#define HOST_GROUPS_MAX 64u

/* The groups of one hierarchy, as the folders at the beginning of one path. */
struct host_groups {
    char folder[IO_PATH_MAX]; /* of the own group, with a slash at its end */
    uint16_t length[HOST_GROUPS_MAX];
    unsigned n; /* 0: none is visible */
};

/* Where this process's memory is accounted. Caller's, to be copied and dropped at will. */
struct host_memory {
    struct host_groups v2, v1;
    char meminfo[IO_PATH_MAX];  /* "": the path is too long */
    char pressure[IO_PATH_MAX]; /* "": there is none */
    unsigned n_left_out;        /* visible groups beyond HOST_GROUPS_MAX */
};

/* Finds the own group and its visible ancestors. Of more than HOST_GROUPS_MAX in one hierarchy, those
 * with the smallest limits at this moment are kept (of equal ones, or where there is none, the nearest),
 * and the others counted: with n_left_out > 0 the room is an upper bound. A process that is moved to
 * another group finds anew. root: as above. */
void host_memory_find(const char *root, struct host_memory *memory);

/* The bytes that can still be taken before the kernel has to reclaim something that is not plain file
 * cache: the smallest of MemAvailable and, for each kept group with a limit (memory.max, memory.high,
 * v1's), limit - (usage - active_file - inactive_file - slab_reclaimable); 0 when it is over. What a
 * mount hides is known by v1's hierarchical_memory_limit alone, without its usage. Limits are read
 * anew each time. false, and *bytes untouched: unknown, since neither is to be had, or a limit is
 * there that cannot be understood or whose usage cannot be read. */
bool host_memory_room(const struct host_memory *memory, uint64_t *bytes);

/* The share of the last ten seconds, in percent, in which some task waited for memory: PSI's "some
 * avg10" of the own v2 group, else of the machine. false: unknown (a kernel without PSI, or gVisor). */
bool host_memory_pressure(const struct host_memory *memory, double *percent);

/* What a process holds, in bytes. */
struct host_use {
    bool exact;         /* anonymous is counted page by page; else a counter that may lag behind */
    uint64_t anonymous; /* private pages that were written: Anonymous of smaps_rollup */
    uint64_t huge;      /* of these in huge pages; 0 where not exact */
    uint64_t shared;    /* of memfd, tmpfs and shared mappings: RssShmem, since smaps_rollup has
                             * only a share of it */
    uint64_t file;      /* mapped pages of files, which the kernel can take back: RssFile */
    uint64_t swapped;   /* VmSwap */
    uint64_t page_tables;   /* VmPTE */
    uint64_t stack;         /* size of the main thread's stack, VmStk */
    uint64_t data;          /* what RLIMIT_DATA is held against: VmData */
    uint64_t address_space; /* what RLIMIT_AS is held against: VmSize */
};

/* pid 0: this process. false, and *use untouched: there is no such process, it has ended (a zombie
 * holds nothing that can be read), or it may not be looked at. */
bool host_process_memory(pid_t pid, struct host_use *use);

enum host_map_kind {
    HOST_MAP_ANONYMOUS, /* without a name, or named by prctl: [anon:...] */
    HOST_MAP_HEAP,
    HOST_MAP_STACK,
    HOST_MAP_FILE,  /* a file, memfd or shared memory: what begins with a slash */
    HOST_MAP_KERNEL /* [vdso], [vvar], [vsyscall] and the like */
};

/* One mapping of a process; sizes in bytes. */
struct host_map {
    uint64_t start, end;
    bool read, write, execute;
    bool shared; /* else copied on write */
    enum host_map_kind kind;
    uint64_t resident, anonymous, huge, swapped;
    char name[64]; /* as the kernel has it, the end of a long one cut off; "": none */
};

/* Calls `each` for every mapping in ascending order, once its figures are known. The process goes on
 * meanwhile: each mapping is as of its own moment. false: the process is not to be read (as above), or
 * the text broke off or is none; mappings seen before that have been handed out. */
bool host_process_maps(pid_t pid, void (*each)(void *context, const struct host_map *map),
                       void *context);

#endif
