/* measure: a plan held against what the processes hold. Pieces that were taken in one go are found among a
 * process's mappings by their size (mem_map keeps them apart from their neighbours); what is in no such
 * piece is the process's program and libraries. */
#include "engine/measure.h"

#include "host/host.h"

#include <string.h>

#define PIECES_MAX 8u

/* The parts of one process that are pieces of their own. */
struct look {
    uint64_t sizes[PIECES_MAX], held[PIECES_MAX];
    unsigned n_pieces;
    uint64_t rest;
    uint64_t pack; /* of one in memory: shared by all that map it */
};

static void look_at(void *context, const struct host_map *map)
{
    struct look *l = context;
    if (map->kind == HOST_MAP_FILE && strstr(map->name, MODEL_REF_MEMORY_NAME))
        l->pack += map->resident;
    for (unsigned i = 0; i < l->n_pieces; i++) {
        if (map->kind != HOST_MAP_ANONYMOUS || map->end - map->start != l->sizes[i]) continue;
        l->held[i] = num_max(l->held[i], map->anonymous);
        return;
    }
    l->rest += map->anonymous;
}

static vecmill_plan_part *find(vecmill_plan *plan, vecmill_owner owner, const char *name)
{
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        vecmill_plan_part *part = &plan->parts[i];
        if (part->owner == owner && strcmp(part->name, name) == 0) return part;
    }
    return NULL;
}

static void note(vecmill_plan_part *part, uint64_t bytes)
{
    if (part) part->measured_bytes = num_max(part->measured_bytes, bytes);
}

vecmill_status measure_process(pid_t pid, vecmill_owner owner, vecmill_plan *plan, vecmill_err *err)
{
    struct look l = {0};
    struct host_use use;
    vecmill_plan_part *pieces[PIECES_MAX] = {0};
    const bool own = owner == VECMILL_OWNER_SUPERVISOR;
    vecmill_plan_part *program = find(plan, owner, PLAN_PROGRAM);
    for (uint32_t i = 0; i < plan->n_parts && l.n_pieces < PIECES_MAX; i++) {
        vecmill_plan_part *part = &plan->parts[i];
        if (part->owner != owner || part == program) continue;
        if (strcmp(part->name, PLAN_PACK) == 0) continue;
        l.sizes[l.n_pieces] = part->bytes;
        pieces[l.n_pieces++] = part;
    }
    /* In this order: of a pack in memory more may be mapped by the time that its mapping is looked at. */
    if (!host_process_memory(pid, &use) || !host_process_maps(pid, look_at, &l))
        return err_set(err, VECMILL_E_IO, "process %d: what it holds cannot be read in /proc",
                       (int)pid);
    for (unsigned i = 0; i < l.n_pieces; i++)
        note(pieces[i], l.held[i]);
    note(program, l.rest + use.shared - num_min(use.shared, l.pack));
    note(find(plan, VECMILL_OWNER_SUPERVISOR, PLAN_PACK), l.pack);
    note(find(plan, VECMILL_OWNER_KERNEL, own ? PLAN_TABLES_OWN : PLAN_TABLES_WORKER),
         use.page_tables);
    return VECMILL_OK;
}
