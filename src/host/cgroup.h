/* cgroup: the limits that control groups set on this process, of version 1, 2, or both at once. */
#ifndef HOST_CGROUP_H
#define HOST_CGROUP_H

#include "host.h"
#include "tree.h"

/* v1 writes "no limit" as the largest multiple of a page below 2^63, and some systems write or show
 * that in v2's files (gVisor). No machine has half of it. */
#define CGROUP_NO_LIMIT ((uint64_t)1 << 62)

/* Where a hierarchy shows this process's group. */
struct cgroup {
    bool found;
    int version;
    char mount[IO_PATH_MAX]; /* the mount point, under the tree's root */
    char path[IO_PATH_MAX];  /* of the own group below it: "" or "/a/b" */
};

/* Finds the own group in a controller's v1 hierarchy ("memory"), or, controller NULL, that of v2. */
void cgroup_find(struct tree *t, const char *controller, struct cgroup *group);

/* The folder of the group `up` levels above our own (0: our own), ending with a slash, without the
 * tree's root. Each is a prefix of that of the level below. False above the mount point, or when
 * the path is too long. */
bool cgroup_folder(const struct cgroup *group, unsigned up, char folder[IO_PATH_MAX]);

/* v1: whether the limit of this folder's group also binds the groups below it. */
bool cgroup_binds_below(struct tree *t, const char *folder);

/* Fills the cgroup fields of *facts; what is not found stays unchanged. */
void cgroup_describe(struct tree *t, struct host_facts *facts);

/* The file that counts OOM kills of our own group, without the tree's root, into path[IO_PATH_MAX]:
 * memory.oom_control where the memory controller is in a v1 hierarchy, else memory.events of the
 * nearest group that has it (without the controller in our own group, its memory is charged to an
 * ancestor). Does not read it. */
bool cgroup_find_oom(struct tree *t, char *path);

#endif
