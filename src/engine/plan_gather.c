/* plan_gather: what a plan depends on, found out: the model's configuration (from its pack, else from its
 * folder), this machine's limits, and what this process holds already. Reads small files only. */
#include "engine/plan.h"

#include "engine/api.h"
#include "engine/roomy.h"

#include <string.h>

/* What this process will yet take beside the lines of the plan: the stacks of its main thread and of the
 * pool's, the heap of a report, libraries' data that was not touched yet. 128 to 270 KiB were seen. */
#define OWN_GROWTH_BYTES ((uint64_t)448 << 10)
/* Told in such steps, so that a plan made by one process is, to the byte, that of another which has touched
 * some pages more: the program vecmill holds 220 (plan) to 336 KiB (embed) by then, which with the growth
 * is the middle of a step. */
#define OWN_STEP_BYTES ((uint64_t)1 << 20)

/* Address space of a worker beside its plan and the pack: programs and libraries. */
#define ADDRESSES_BESIDE ((uint64_t)128 << 20)

/* Where there is no pack, the tokenizer has not been read: a BERT's tokens around a document. */
#define BERT_SPECIALS 2u

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

static vecmill_status gather_pack(const vecmill_options *options, const struct pack *pack,
                                  struct plan_facts *f, vecmill_err *err)
{
    struct text text;
    VM_TRY(resolve_choose(options, pack, &f->resolved, &text, err));
    f->measured = true;
    f->pack_bytes = f->resolved.pack_bytes;
    return VECMILL_OK;
}

static vecmill_status gather_folder(const vecmill_options *options, struct plan_facts *f,
                                    vecmill_err *err)
{
    struct resolved *s = &f->resolved;
    VM_TRY(model_config_of_folder(s->ref.dir, s->precision, &s->config, err));
    baseline_bound(&s->baseline);
    f->builds = true;
    f->pack_bytes = model_weight_bytes(&s->config, s->kern);
    if (f->in_memory) { /* then it counts: with the tokenizer, at most */
        size_t text;
        VM_TRY(text_compile_most(s->ref.dir, &text, err));
        f->pack_bytes += text;
    }
    VM_TRY(resolved_lengths(options, BERT_SPECIALS, s, err));
    VM_TRY(resolved_vector(options, s, err));
    return build_bytes(s->ref.dir, &f->build_bytes, err);
}

/* What is told of this process and its machine, as far as it is told. */
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
                           const struct model_ref *built, struct plan_facts *facts,
                           vecmill_err *err)
{
    struct pack pack;
    vecmill_err why;
    struct plan_facts *f = facts;
    memset(f, 0, sizeof *f);
    f->workers = pool_options->workers;
    f->batch_tokens = options->batch_tokens;
    f->max_document =
        pool_options->max_document ? pool_options->max_document : VECMILL_DEFAULT_DOCUMENT;
    f->beside = pool_options->beside;
    f->beside_context = pool_options->beside_context;
    VM_TRY(resolve_begin(options, &f->resolved, err));
    f->resolved.threads = 1; /* of each worker */
    struct model_ref *ref = &f->resolved.ref;
    if (built)
        *ref = *built;
    else
        VM_TRY(model_ref_describe(options->model_dir, options->cache_dir, f->resolved.kern,
                                  f->resolved.precision, ref, err));
    f->in_memory = model_ref_in_memory(ref);
    vecmill_status status =
        built ? model_ref_open(ref, &pack, &why) : model_ref_find(ref, &pack, &why);
    /* Want of memory says nothing about the pack: it is not to be built again for it. */
    if (status == VECMILL_E_MEMORY) return err_set(err, status, "%s", why.message);
    if (status == VECMILL_OK) {
        status = gather_pack(options, &pack, f, err);
        pack_close(&pack);
    } else {
        resolved_warn_of_pack(&f->resolved, status, &why);
        f->in_memory = f->in_memory || !model_ref_is_writable(ref);
        status = gather_folder(options, f, err);
    }
    if (status == VECMILL_OK) gather_machine(pool_options, f);
    return status;
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
    VM_TRY(roomy_call(make_plan, &p, err));
    api_give(plan, &p.plan, sizeof p.plan);
    return VECMILL_OK;
}
