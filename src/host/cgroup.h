/* cgroup: the limits that control groups set on this process, of version 1, 2, or both at once. */
#ifndef HOST_CGROUP_H
#define HOST_CGROUP_H

#include "host.h"
#include "tree.h"

/* Fills the cgroup fields of *facts; what is not found stays as it is. */
void cgroup_describe(struct tree *t, struct host_facts *facts);

#endif
