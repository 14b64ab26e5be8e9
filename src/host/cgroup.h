/* cgroup: the limits that control groups set on this process, of version 1, 2, or both at once. */
#ifndef HOST_CGROUP_H
#define HOST_CGROUP_H

#include "host.h"
#include "tree.h"

/* v1 writes "no limit" as the largest multiple of a page below 2^63, and some write that into v2's files
 * or show it there (gVisor); nobody has half of it. */
#define CGROUP_NO_LIMIT ((uint64_t)1 << 62)

/* Where a hierarchy shows the own group. */
struct cgroup {
    bool found;
    int version;
    char mount[IO_PATH_MAX]; /* the mount point, under the tree's root */
    char path[IO_PATH_MAX];  /* of the own group below it: "" or "/a/b" */
};

/* Finds the own group in a controller's v1 hierarchy ("memory"), or, controller NULL, that of v2. */
void cgroup_find(struct tree *t, const char *controller, struct cgroup *group);

/* The folder of the group `up` levels above the own one (0: the own), with the slash a file's name
 * follows, without the tree's root; each is how that of the level below it begins. false above the mount
 * point, or when the path is too long. */
bool cgroup_folder(const struct cgroup *group, unsigned up, char folder[IO_PATH_MAX]);

/* v1: whether the limit of the group of this folder holds for the groups below it too. */
bool cgroup_binds_below(struct tree *t, const char *folder);

/* Fills the cgroup fields of *facts; what is not found stays as it is. */
void cgroup_describe(struct tree *t, struct host_facts *facts);

/* The file that counts the OOM kills of the own group, without the tree's root, into
 * path[IO_PATH_MAX]: memory.oom_control where the memory controller is in a v1 hierarchy, else
 * memory.events of the nearest group that has it (where the own one does without the controller, its
 * memory is charged to an ancestor). Does not look into it. */
bool cgroup_find_oom(struct tree *t, char *path);

#endif
