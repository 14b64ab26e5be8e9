/* plan: finds out what the sum depends on, adds it up, chooses what fits, and holds it against what processes
 * hold. Where a line's bytes come from is said next to the line; docs/MEMORY.md shows them. */
#include "engine/plan.h"

#include "engine/item.h"
#include "engine/output.h"

#include "engine/api.h"

#include <stdio.h>
#include <string.h>

/* ---- what it depends on: small files are read, nothing is opened or built ---- */

/* What this process has still to take besides the lines of the plan: the stacks of its main thread and of the
 * pool's, the heap of a report, libraries' data that was not touched yet. 128 to 270 KiB were seen. */
#define OWN_GROWTH_BYTES ((uint64_t)448 << 10)
/* Rounded up to such steps, so that a plan made by one process is, to the byte, that of another
 * which has touched some pages more: the program vecmill holds 220 (plan) to 336 KiB (embed) by
 * then, which with the growth is the middle of a step. */
#define OWN_STEP_BYTES ((uint64_t)1 << 20)

/* Address space of a worker besides its plan and the pack: programs and libraries. */
#define ADDRESSES_BESIDE ((uint64_t)128 << 20)

vecmill_status plan_check_options(const vecmill_pool_options *o, vecmill_err *err)
{
    if (o->workers > VECMILL_MAX_WORKERS)
        return err_set(err, VECMILL_E_USAGE, "%u workers, over VECMILL_MAX_WORKERS, %u", o->workers,
                       VECMILL_MAX_WORKERS);
    if (o->workers > crew_workers_most())
        return err_set(err, VECMILL_E_USAGE,
                       "%u workers need more descriptors than the limit (RLIMIT_NOFILE) allows, "
                       "which is for %u workers",
                       o->workers, crew_workers_most());
    if (o->max_document > VECMILL_MAX_DOCUMENT)
        return err_set(err, VECMILL_E_USAGE,
                       "max_document is %llu bytes, over VECMILL_MAX_DOCUMENT, %u",
                       (unsigned long long)o->max_document, VECMILL_MAX_DOCUMENT);
    return VECMILL_OK;
}

/* Facts about this process and its machine, as far as they can be had. */
static void gather_machine(const vecmill_pool_options *options, struct plan_facts *f)
{
    struct host_facts host;
    struct host_use use = {0};
    (void)host_process_memory(0, &use);
    const uint64_t held = use.anonymous + use.shared;
    f->own_bytes = num_up(held + OWN_GROWTH_BYTES, OWN_STEP_BYTES);
    f->own_tables = use.page_tables;
    f->limit = (struct host_limit){.bytes = HOST_UNKNOWN, .source = "none"};
    f->workers_most = 1;
    if (host_describe(host_root(), &host, NULL) == VECMILL_OK) {
        /* The plan counts what this process holds; what is available does not. */
        if (host.memory_available != HOST_UNKNOWN) host.memory_available += held;
        /* Address space is taken by what is mapped too, and that is no line of the plan. */
        const uint64_t mapped = f->pack_bytes + ADDRESSES_BESIDE;
        if (host.address_limit != HOST_UNKNOWN)
            host.address_limit -= num_min(host.address_limit, mapped);
        host_limit(&host, options->memory_bytes, &f->limit);
        f->oom_group = host.oom_group;
        f->workers_most =
            (uint32_t)num_min(host_cpus(&host), num_min(crew_workers_most(), VECMILL_MAX_WORKERS));
    } else if (options->memory_bytes > 0) {
        f->limit = (struct host_limit){.bytes = options->memory_bytes, .source = "--memory"};
    }
}

vecmill_status plan_gather(const vecmill_options *options, const vecmill_pool_options *pool_options,
                           const struct model_ref *known, struct plan_facts *facts,
                           vecmill_err *err)
{
    struct plan_facts *f = facts;
    const struct resolved *r = &f->resolved;
    memset(f, 0, sizeof *f);
    f->workers = pool_options->workers;
    f->batch_tokens = options->batch_tokens;
    f->max_document =
        pool_options->max_document ? pool_options->max_document : VECMILL_DEFAULT_DOCUMENT;
    f->caller_bytes = pool_options->caller_bytes;
    f->caller_bytes_of = pool_options->caller_bytes_of;
    f->caller_context = pool_options->caller_context;
    VM_TRY(resolve_plan(options, known, &f->resolved, err));
    f->measured = r->has_pack;
    f->builds = !r->has_pack;
    f->in_memory = r->in_memory;
    f->pack_bytes = r->pack_bytes;
    f->build_bytes = r->build_bytes;
    gather_machine(pool_options, f);
    return VECMILL_OK;
}

/* ---- the lines ---- */

#define PAGE 4096u

/* Left free besides the plan: what the kernel charges in batches of 64 pages a processor, and page cache
 * that it is just reading. */
#define RESERVE_BYTES          ((uint64_t)2 << 20)
#define RESERVE_BYTES_A_WORKER ((uint64_t)256 << 10)

/* Under memory.oom.group an OOM kill takes everything, so an automatic choice keeps a distance. */
#define GROUP_TENTHS 9u

/* Batches are tried in such steps: the row counts of products are multiples of it or near. */
#define BATCH_STEP 16u

/* A batch is planned work: a pass or so, and a storm of several kills a second still lets it through. */
#define BATCH_NS 250000000u
/* A worker is ready in 10 to 50 ms where the pack is in the page cache; a cold disk may take seconds. */
#define START_NS      10000000000u
#define HANG_LEAST_NS 2000000000u

/* Documents in the pool: enough that batches wait for every worker while the oldest is done again. */
#define QUEUE_DOCS(workers)  (ENGINE_BATCH_DOCS * ((workers) + 4))
#define QUEUE_BYTES(workers) (((size_t)1 << 20) + ((size_t)(workers) << 19))

/* Results that are kept for copies: as many as wait when each document comes twice, as far apart as chance
 * has it within the pool. Of neighbours one is enough. */
#define KEPT_RESULTS(documents) ((documents) / 4)

/* Page tables: one entry of 8 bytes for each page, and the tables above (program, libraries and
 * stack have a page of entries each): 112 kB of a process that holds nothing (VmPTE). */
#define TABLES_BYTES ((uint64_t)128 << 10)

/* Whole pages of this machine; SIZE_MAX, which is more than fits anywhere, stays what it is. */
static uint64_t pages(uint64_t bytes)
{
    return mem_map_bytes((size_t)bytes);
}

static uint64_t page_tables(uint64_t mapped)
{
    return TABLES_BYTES + pages(mapped / PAGE * 8);
}

/* Sums do not wrap around: a host's own numbers are among them. */
static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

_Static_assert(sizeof(struct engine_result) + MODEL_DIM_MAX * sizeof(float) <= CREW_RESULT_MAX,
               "a crew has results as wide as a vector can be");

/* Tails that wait to be taken: a frame of each worker, and where frames are small, one more. */
#define TAILS_BYTES(workers, frame) (((workers) + ((frame) <= (1u << 20))) * (frame))

void plan_crew(const struct resolved *resolved, uint32_t workers, uint64_t max_document,
               struct crew_options *options)
{
    struct output output;
    const struct crew_piece probe = item_probe(resolved, max_document);
    output_of(resolved, &output);
    *options = (struct crew_options){
        .workers = workers,
        .items_max = QUEUE_DOCS(workers),
        .prefix = resolved->prompt,
        .prefix_bytes = resolved_prefix(resolved),
        .item_bytes_max = item_most(resolved, max_document),
        .queue_bytes = QUEUE_BYTES(workers),
        .batch_items_max = ENGINE_BATCH_DOCS,
        .batch_bytes_max = ENGINE_BATCH_BYTES,
        .result_bytes = (uint32_t)(sizeof(struct engine_result) + output.dim * sizeof(float)),
        .tail_bytes = (uint32_t)output.tail_most,
        .frame_tails = (uint32_t)output.frame_tails,
        .tails_bytes = TAILS_BYTES(workers, (size_t)output.frame_tails),
        .batch_ns = BATCH_NS,
        .start_ns = START_NS,
        .least_ns = HANG_LEAST_NS,
        .probe = probe.data,
        .probe_bytes = probe.bytes,
    };
}

void plan_dedup(const struct crew_options *crew, struct dedup *dedup)
{
    *dedup = (struct dedup){
        .capacity = crew->items_max,
        .kept_most = (uint32_t)num_min(KEPT_RESULTS(crew->items_max), DEDUP_KEPT_MOST),
        .kept_bytes = num_up(sizeof(struct plan_kept) + crew->result_bytes, 8),
    };
}

size_t plan_dedup_bytes(const struct crew_options *crew)
{
    struct arena a;
    struct dedup dedup;
    plan_dedup(crew, &dedup);
    arena_count(&a);
    dedup_layout(&dedup, &a);
    return arena_bytes(&a);
}

/* ---- the sum ---- */

static void add_part(vecmill_plan *plan, vecmill_owner owner, const char *name, uint32_t n,
                     uint64_t bytes)
{
    vecmill_plan_part *part = &plan->parts[plan->n_parts++];
    *part = (vecmill_plan_part){.owner = owner, .n = n, .bytes = bytes};
    snprintf(part->name, sizeof part->name, "%s", name);
    for (uint32_t i = 0; i < n; i++)
        plan->total_bytes = sum_of(plan->total_bytes, bytes);
}

static void add_supervisor(const struct plan_facts *f, uint32_t workers, vecmill_plan *plan)
{
    struct crew_options crew;
    plan_crew(&f->resolved, workers, f->max_document, &crew);
    add_part(plan, VECMILL_OWNER_SUPERVISOR, PLAN_PROGRAM, 1, pages(f->own_bytes));
    add_part(plan, VECMILL_OWNER_SUPERVISOR, "queue", 1, pages(crew_bytes(&crew)));
    add_part(plan, VECMILL_OWNER_SUPERVISOR, "duplicates", 1, pages(plan_dedup_bytes(&crew)));
    add_part(plan, VECMILL_OWNER_SUPERVISOR, "checking the pack", 1, pages(proof_bytes()));
    if (f->in_memory) add_part(plan, VECMILL_OWNER_SUPERVISOR, PLAN_PACK, 1, pages(f->pack_bytes));
    uint64_t caller = 0;
    if (f->caller_bytes)
        caller =
            f->caller_bytes(f->caller_context, f->resolved.dim, crew.items_max, f->max_document);
    if (f->caller_bytes_of) {
        vecmill_facts facts = {.struct_bytes = sizeof facts};
        resolved_describe(&f->resolved, 0, &facts);
        caller = sum_of(
            caller, f->caller_bytes_of(f->caller_context, &facts, crew.items_max, f->max_document));
    }
    if (caller > 0)
        add_part(plan, VECMILL_OWNER_SUPERVISOR, "reading and writing", 1, pages(caller));
}

static void add_workers(const struct plan_facts *f, uint32_t workers, vecmill_plan *plan)
{
    const struct baseline *baseline = &f->resolved.baseline;
    add_part(plan, VECMILL_OWNER_WORKER, PLAN_PROGRAM, workers,
             pages(baseline->program_bytes + baseline->slack + ENGINE_STACK_BYTES));
    add_part(plan, VECMILL_OWNER_WORKER, "arena", workers,
             pages(resolved_session_bytes(&f->resolved)));
    struct output output;
    output_of(&f->resolved, &output);
    add_part(plan, VECMILL_OWNER_WORKER, "leases", workers,
             pages(worker_session_bytes(&output, item_most(&f->resolved, f->max_document))));
}

/* Two kernel stacks, the process, its descriptors. */
#define OWN_KERNEL_BYTES ((uint64_t)128 << 10)

static uint64_t bytes_of(const vecmill_plan *plan, vecmill_owner owner)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < plan->n_parts; i++)
        if (plan->parts[i].owner == owner) bytes = sum_of(bytes, plan->parts[i].bytes);
    return bytes;
}

static void add_kernel(const struct plan_facts *f, uint32_t workers, vecmill_plan *plan)
{
    const uint64_t worker = sum_of(bytes_of(plan, VECMILL_OWNER_WORKER), f->pack_bytes);
    /* A host may have mapped more than it has written; and a step of its own, as own_bytes has. */
    const uint64_t mapped = bytes_of(plan, VECMILL_OWNER_SUPERVISOR) - pages(f->own_bytes);
    const uint64_t own = num_max(TABLES_BYTES, num_up(f->own_tables, TABLES_BYTES)) +
                         pages(mapped / PAGE * 8) + TABLES_BYTES / 2;
    add_part(plan, VECMILL_OWNER_KERNEL, PLAN_TABLES_OWN, 1, own);
    add_part(plan, VECMILL_OWNER_KERNEL, PLAN_TABLES_WORKER, workers, page_tables(worker));
    add_part(plan, VECMILL_OWNER_KERNEL, "processes and sockets", workers,
             pages(crew_kernel_bytes(1)));
    add_part(plan, VECMILL_OWNER_KERNEL, "process, supervisor", 1, OWN_KERNEL_BYTES);
}

/* A process that builds the pack runs next to the supervisor, before any worker does, with a second one that
 * measures what a worker holds. */
static void add_builder(const struct plan_facts *f, vecmill_plan *plan)
{
    if (!f->builds) return;
    add_part(plan, VECMILL_OWNER_BUILDER, "building the pack", 0, pages(f->build_bytes));
    const uint64_t kept = f->in_memory ? pages(f->pack_bytes) : 0;
    const uint64_t held = sum_of(sum_of(pages(f->own_bytes), kept), pages(f->build_bytes));
    const uint64_t building =
        sum_of(held, 3 * page_tables(0) + page_tables(held) + pages(crew_kernel_bytes(3)));
    plan->total_bytes = num_max(plan->total_bytes, building);
}

static bool fits_under(const vecmill_plan *plan, uint64_t limit)
{
    return plan->total_bytes <= limit && plan->reserve_bytes <= limit - plan->total_bytes;
}

void plan_sum(const struct plan_facts *facts, uint32_t workers, uint32_t batch_tokens,
              vecmill_plan *plan)
{
    struct plan_facts f = *facts;
    resolved_batch(&f.resolved, batch_tokens);
    *plan = (vecmill_plan){
        .struct_bytes = plan->struct_bytes,
        .reserve_bytes = RESERVE_BYTES + workers * RESERVE_BYTES_A_WORKER,
        .pack_bytes = f.in_memory ? 0 : f.pack_bytes,
        .limit_bytes = f.limit.bytes,
        .workers = workers,
        .batch_tokens = f.resolved.batch_tokens,
        .max_length = f.resolved.max_length,
        .dim = f.resolved.dim,
        .max_document = f.max_document,
        .measured = f.measured,
        .oom_group = f.oom_group,
    };
    snprintf(plan->limit_source, sizeof plan->limit_source, "%s", f.limit.source);
    add_supervisor(&f, workers, plan);
    add_workers(&f, workers, plan);
    add_kernel(&f, workers, plan);
    add_builder(&f, plan);
    plan->fits = fits_under(plan, f.limit.bytes);
}

uint64_t plan_worker_bytes(const vecmill_plan *plan)
{
    uint64_t bytes = bytes_of(plan, VECMILL_OWNER_WORKER);
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        const vecmill_plan_part *part = &plan->parts[i];
        if (part->owner == VECMILL_OWNER_KERNEL && strcmp(part->name, PLAN_TABLES_OWN) != 0)
            bytes += part->bytes;
    }
    return bytes;
}

/* ---- the choice ---- */

/* The most tokens from least to most, in steps, that fit with this many workers; false: none does. */
static bool most_tokens(const struct plan_facts *f, uint32_t workers, uint32_t least, uint32_t most,
                        uint64_t limit, vecmill_plan *plan)
{
    plan_sum(f, workers, most, plan);
    if (fits_under(plan, limit)) return true;
    plan_sum(f, workers, least, plan);
    if (!fits_under(plan, limit)) return false;
    uint32_t low = 0, high = (most - least) / BATCH_STEP; /* steps: low fits, high + 1 does not */
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        plan_sum(f, workers, least + middle * BATCH_STEP, plan);
        if (fits_under(plan, limit))
            low = middle;
        else
            high = middle - 1;
    }
    plan_sum(f, workers, least + low * BATCH_STEP, plan);
    return true;
}

/* The first of: fewer tokens, then fewer workers. Below the longest document's, fewer tokens save nothing. */
static bool choose_fitting(const struct plan_facts *f, uint64_t limit, vecmill_plan *plan)
{
    struct resolved speed = f->resolved;
    resolved_batch(&speed, f->batch_tokens);
    const uint32_t most = speed.batch_tokens;
    const uint32_t least =
        f->batch_tokens ? most : (uint32_t)num_min(most, num_up(speed.max_length, BATCH_STEP));
    const uint32_t most_workers = f->workers ? f->workers : f->workers_most;
    for (uint32_t n = most_workers; n >= 1; n--) {
        if (most_tokens(f, n, least, most, limit, plan)) return true;
        if (f->workers) return false;
    }
    return false;
}

/* "12.3 MiB" */
#define MIB_BYTES 24
static const char *mib(uint64_t bytes, char text[MIB_BYTES])
{
    snprintf(text, MIB_BYTES, "%.1f MiB", (double)bytes / (1 << 20));
    return text;
}

/* Bytes of a document that many a corpus stays below. */
#define SHORT_DOCUMENT ((uint64_t)64 << 10)

/* What would fit, as options; false: nothing that is known here. */
static bool find_way(const struct plan_facts *facts, char *text, size_t room)
{
    struct plan_facts f = *facts;
    vecmill_plan way = {.struct_bytes = sizeof way};
    f.batch_tokens = 0;
    bool found = choose_fitting(&f, f.limit.bytes, &way);
    f.workers = 0;
    f.workers_most = facts->workers ? facts->workers : facts->workers_most;
    found = found || choose_fitting(&f, f.limit.bytes, &way);
    if (found) {
        snprintf(text, room, "--workers %u --batch-tokens %u would fit", way.workers,
                 way.batch_tokens);
        return true;
    }
    /* Shorter documents, in bytes and then in tokens as well. */
    f.workers_most = 1;
    f.max_document = num_min(f.max_document, SHORT_DOCUMENT);
    for (uint32_t length = f.resolved.max_length; length > f.resolved.n_specials; length /= 2) {
        f.resolved.max_length = length;
        if (!choose_fitting(&f, f.limit.bytes, &way)) continue;
        snprintf(text, room,
                 "--workers 1 --batch-tokens %u --max-length %u --max-document %llu would fit",
                 way.batch_tokens, length, (unsigned long long)f.max_document);
        return true;
    }
    return false;
}

static void write_advice(const struct plan_facts *f, vecmill_plan *plan)
{
    char needed[MIB_BYTES], reserve[MIB_BYTES], available[MIB_BYTES], way[112];
    vecmill_err sentence; /* its rules for cutting hold here too */
    if (!find_way(f, way, sizeof way))
        snprintf(way, sizeof way, "no choice of options would fit with this model");
    (void)err_set(&sentence, VECMILL_E_MEMORY,
                  "%u worker%s with %u batch tokens need %s and %s of reserve, %s are available "
                  "(%s); %s",
                  plan->workers, plan->workers == 1 ? "" : "s", plan->batch_tokens,
                  mib(plan->total_bytes, needed), mib(plan->reserve_bytes, reserve),
                  mib(plan->limit_bytes, available), plan->limit_source, way);
    _Static_assert(sizeof plan->advice >= sizeof sentence.message, "a sentence fits");
    memcpy(plan->advice, sentence.message, sizeof sentence.message);
}

void plan_choose(const struct plan_facts *f, vecmill_plan *plan)
{
    const bool automatic = f->workers == 0 || f->batch_tokens == 0;
    const uint64_t limit = f->limit.bytes;
    vecmill_plan wanted = {.struct_bytes = sizeof wanted};
    (void)choose_fitting(f, UINT64_MAX, &wanted);
    const bool keeps_away =
        f->oom_group && automatic && choose_fitting(f, limit / 10 * GROUP_TENTHS, plan);
    if (!keeps_away && !choose_fitting(f, limit, plan)) write_advice(f, plan);
    plan->shrunk = plan->workers < wanted.workers || plan->batch_tokens < wanted.batch_tokens;
}

vecmill_status plan_refuse(const vecmill_plan *plan, vecmill_err *err)
{
    return err_set(err, VECMILL_E_MEMORY, "%s", plan->advice);
}

struct planning {
    vecmill_options options;
    vecmill_pool_options pool_options;
    vecmill_plan plan;
};

static vecmill_status make_plan(void *context, vecmill_err *err)
{
    struct planning *p = context;
    struct plan_facts facts;
    VM_TRY(plan_check_options(&p->pool_options, err));
    VM_TRY(plan_gather(&p->options, &p->pool_options, NULL, &facts, err));
    plan_choose(&facts, &p->plan);
    return VECMILL_OK;
}

vecmill_status vecmill_pool_plan(const vecmill_options *options,
                                 const vecmill_pool_options *pool_options, vecmill_plan *plan,
                                 vecmill_err *err)
{
    struct planning p = {.plan = {.n_parts = 0}};
    VM_TRY(api_take_options(options, &p.options, err));
    VM_TRY(api_take_pool_options(pool_options, &p.pool_options, err));
    VM_TRY(api_call(make_plan, &p, err));
    api_give(plan, &p.plan, sizeof p.plan);
    return VECMILL_OK;
}

/* ---- against what the processes hold ----
 *
 * Pieces that were taken in one go are found among a process's mappings by their size (mem_map
 * keeps them apart from their neighbours); what is in no such piece is the process's program and
 * libraries. */

#define PIECES_MAX 8u

/* The parts of one process that are pieces of their own. */
struct held {
    uint64_t sizes[PIECES_MAX], held[PIECES_MAX];
    unsigned n_pieces;
    uint64_t rest;
    uint64_t pack; /* of one in memory: shared by all that map it */
};

static void add_mapping(void *context, const struct host_map *map)
{
    struct held *l = context;
    if (map->kind == HOST_MAP_FILE && strstr(map->name, MODEL_REF_MEMORY_NAME))
        l->pack += map->resident;
    for (unsigned i = 0; i < l->n_pieces; i++) {
        if (map->kind != HOST_MAP_ANONYMOUS || map->end - map->start != l->sizes[i]) continue;
        l->held[i] = num_max(l->held[i], map->anonymous);
        return;
    }
    l->rest += map->anonymous;
}

static vecmill_plan_part *find_part(vecmill_plan *plan, vecmill_owner owner, const char *name)
{
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        vecmill_plan_part *part = &plan->parts[i];
        if (part->owner == owner && strcmp(part->name, name) == 0) return part;
    }
    return NULL;
}

static void raise_measured(vecmill_plan_part *part, uint64_t bytes)
{
    if (part) part->measured_bytes = num_max(part->measured_bytes, bytes);
}

vecmill_status plan_measure(pid_t pid, vecmill_owner owner, vecmill_plan *plan, vecmill_err *err)
{
    struct held l = {0};
    struct host_use use;
    vecmill_plan_part *pieces[PIECES_MAX] = {0};
    const bool own = owner == VECMILL_OWNER_SUPERVISOR;
    vecmill_plan_part *program = find_part(plan, owner, PLAN_PROGRAM);
    for (uint32_t i = 0; i < plan->n_parts && l.n_pieces < PIECES_MAX; i++) {
        vecmill_plan_part *part = &plan->parts[i];
        if (part->owner != owner || part == program) continue;
        if (strcmp(part->name, PLAN_PACK) == 0) continue;
        l.sizes[l.n_pieces] = part->bytes;
        pieces[l.n_pieces++] = part;
    }
    /* In this order: of a pack in memory more may be mapped by the time that its mapping is looked at. */
    if (!host_process_memory(pid, &use) || !host_process_maps(pid, add_mapping, &l))
        return err_set(err, VECMILL_E_IO, "process %d: what it holds cannot be read in /proc",
                       (int)pid);
    for (unsigned i = 0; i < l.n_pieces; i++)
        raise_measured(pieces[i], l.held[i]);
    raise_measured(program, l.rest + use.shared - num_min(use.shared, l.pack));
    raise_measured(find_part(plan, VECMILL_OWNER_SUPERVISOR, PLAN_PACK), l.pack);
    raise_measured(
        find_part(plan, VECMILL_OWNER_KERNEL, own ? PLAN_TABLES_OWN : PLAN_TABLES_WORKER),
        use.page_tables);
    return VECMILL_OK;
}
