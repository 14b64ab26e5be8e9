/* machine: vecmill_machine_describe, host's and kern's facts in one struct. */
#include "engine/api.h"
#include "engine/roomy.h"
#include "host/host.h"
#include "kern/kern.h"
#include "vecmill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The level a session would get; "" when $VECMILL_ISA names none that this machine has. */
static const char *level_in_use(void)
{
    const enum kern_level best = kern_machine_level();
    const char *cap = getenv("VECMILL_ISA");
    if (!cap || !*cap) return kern_level_name(best);
    for (int level = 0; level <= (int)best; level++) {
        if (strcmp(cap, kern_level_name((enum kern_level)level)) == 0) {
            return kern_level_name((enum kern_level)level);
        }
    }
    return "";
}

static vecmill_status describe(void *context, vecmill_err *err)
{
    vecmill_machine *machine = context;
    struct host_facts h;
    struct host_limit limit;
    struct host_memory memory;
    const char *root = host_root();
    VM_TRY(host_describe(root, &h, err));
    host_limit(&h, 0, &limit);
    host_memory_find(root, &memory);
    vecmill_machine m = {
        .cpus_online = h.cpus_online,
        .cpus_allowed = h.cpus_allowed,
        .cpus_quota = h.cpus_quota,
        .memory_total = h.memory_total,
        .memory_available = h.memory_available,
        .memory_limit = h.memory_limit,
        .cgroup_version = h.cgroup_version,
        .oom_group = h.oom_group,
        .psi = h.psi,
        .huge_pages_always = h.transparent_huge_pages,
        .cpus = host_cpus(&h),
        .groups_left_out = memory.n_left_out,
        .data_limit = h.data_limit,
        .address_limit = h.address_limit,
        .limit = limit.bytes,
        .memory_room = UINT64_MAX,
        .memory_pressure = -1,
    };
    (void)host_memory_room(&memory, &m.memory_room); /* unknown ones leave what is there */
    (void)host_memory_pressure(&memory, &m.memory_pressure);
    snprintf(m.memory_limit_source, sizeof(m.memory_limit_source), "%s", h.memory_limit_source);
    snprintf(m.limit_source, sizeof(m.limit_source), "%s", limit.source);
    snprintf(m.isa_best, sizeof(m.isa_best), "%s", kern_level_name(kern_machine_level()));
    snprintf(m.isa, sizeof(m.isa), "%s", level_in_use());
    api_give(machine, &m, sizeof m);
    return VECMILL_OK;
}

vecmill_status vecmill_machine_describe(vecmill_machine *machine, vecmill_err *err)
{
    return roomy_call(describe, machine, err);
}
