/* cgroup: the limits that control groups set on this process, of version 1, 2, or both at once. */
#ifndef HOST_CGROUP_H
#define HOST_CGROUP_H

#include "host.h"
#include "tree.h"

/* Fills the cgroup fields of *facts; what is not found stays as it is. */
void cgroup_describe(struct tree *t, struct host_facts *facts);

/* The file that counts the OOM kills of the own group, without the tree's root, into
 * path[IO_PATH_MAX]: memory.oom_control where the memory controller is in a v1 hierarchy, else
 * memory.events of the nearest group that has it (where the own one does without the controller, its
 * memory is charged to an ancestor). Does not look into it. */
bool cgroup_find_oom(struct tree *t, char *path);

#endif
