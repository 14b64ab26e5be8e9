/* api: what belongs to vecmill.h as a whole: its words and defaults, how its structs grow, the stack that a
 * call runs on, and the machine's facts. */
#include "engine/api.h"

#include "host/host.h"
#include "kern/kern.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *vecmill_version(void)
{
    return VECMILL_VERSION;
}

struct words {
    const char *words;
    int exit_code;
};

static const struct words statuses[VECMILL_STATUS_COUNT] = {
#define STATUS_ROW(name, code, text) [VECMILL_##name] = {text, code},
    VECMILL_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

const char *vecmill_status_words(vecmill_status status)
{
    return (unsigned)status < VECMILL_STATUS_COUNT ? statuses[status].words : "unknown status";
}

int vecmill_status_exit(vecmill_status status)
{
    return (unsigned)status < VECMILL_STATUS_COUNT ? statuses[status].exit_code : 1;
}

const char *vecmill_cause_word(vecmill_cause cause)
{
    return cause_word(cause);
}

const char *vecmill_owner_word(vecmill_owner owner)
{
    static const char *const words[VECMILL_OWNER_COUNT] = {
#define OWNER_ROW(name, word) [VECMILL_OWNER_##name] = (word),
        VECMILL_OWNER_LIST(OWNER_ROW)
#undef OWNER_ROW
    };
    return (unsigned)owner < VECMILL_OWNER_COUNT ? words[owner] : "unknown";
}

/* Every default is zero. The caller's struct may be shorter or longer than ours. */
void vecmill_options_init_sized(vecmill_options *options, size_t struct_bytes)
{
    memset(options, 0, struct_bytes);
    options->struct_bytes = struct_bytes;
}

void vecmill_pool_options_init_sized(vecmill_pool_options *options, size_t struct_bytes)
{
    memset(options, 0, struct_bytes);
    options->struct_bytes = struct_bytes;
}

/* ---- structs that grow ---- */

/* Over this a struct_bytes was never set, and reading that far could end the process. */
#define STRUCT_MOST ((size_t)64 << 10)

/* Ends of the first versions. A struct's size is a multiple of 8, and no member lies in the padding of an
 * earlier version, which a caller need not set. */
#define OPTIONS_FIRST      offsetof(vecmill_options, prompt)
#define POOL_OPTIONS_FIRST offsetof(vecmill_pool_options, caller_bytes_of)
_Static_assert(OPTIONS_FIRST == offsetof(vecmill_options, role) + sizeof(vecmill_role),
               "no padding at the first version's end");
/* A member that is added after padding would be read where a shorter struct has bytes of no meaning. */
#define ENDS_WITH(type, last)                                                                      \
    _Static_assert(offsetof(type, last) + sizeof((type *)0)->last == sizeof(type),                 \
                   #type " ends without padding")
ENDS_WITH(vecmill_options, raw_scores);
ENDS_WITH(vecmill_facts, labels);
ENDS_WITH(vecmill_pool_options, caller_bytes_of);
ENDS_WITH(vecmill_event, deaths);
ENDS_WITH(vecmill_plan, advice);
ENDS_WITH(vecmill_pool_counts, deaths);
ENDS_WITH(vecmill_machine, memory_pressure);
_Static_assert(VECMILL_CAUSE_COUNT <= VECMILL_CAUSES_MAX, "vecmill_pool_counts counts each cause");

static bool is_zero(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i]) return false;
    return true;
}

vecmill_status api_take(const char *name, const void *given, size_t first_bytes, void *own,
                        size_t own_bytes, vecmill_err *err)
{
    size_t bytes;
    memcpy(&bytes, given, sizeof bytes);
    if (bytes < first_bytes || bytes > STRUCT_MOST || bytes % sizeof(size_t) != 0)
        return err_set(err, VECMILL_E_USAGE, "%s has %zu bytes, this library's has %zu", name,
                       bytes, own_bytes);
    if (bytes > own_bytes && !is_zero((const unsigned char *)given + own_bytes, bytes - own_bytes))
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "%s has %zu bytes, this library's has %zu, and what it does not know is set",
                       name, bytes, own_bytes);
    memcpy(own, given, num_min(bytes, own_bytes));
    memcpy(own, &own_bytes, sizeof own_bytes);
    return VECMILL_OK;
}

void api_give(void *given, const void *own, size_t own_bytes)
{
    size_t bytes;
    memcpy(&bytes, given, sizeof bytes);
    const size_t n = num_min(bytes, own_bytes);
    if (n > sizeof bytes)
        memcpy((unsigned char *)given + sizeof bytes, (const unsigned char *)own + sizeof bytes,
               n - sizeof bytes);
}

vecmill_status api_take_options(const vecmill_options *given, vecmill_options *own,
                                vecmill_err *err)
{
    vecmill_options_init(own);
    return api_take("vecmill_options", given, OPTIONS_FIRST, own, sizeof *own, err);
}

vecmill_status api_take_pool_options(const vecmill_pool_options *given, vecmill_pool_options *own,
                                     vecmill_err *err)
{
    vecmill_pool_options_init(own);
    return api_take("vecmill_pool_options", given, POOL_OPTIONS_FIRST, own, sizeof *own, err);
}

/* ---- what this version does not compute ---- */

static vecmill_status refuse_uncomputed(const char *what, vecmill_err *err)
{
    return err_set(err, VECMILL_E_UNSUPPORTED, "%s, which vecmill %s does not compute", what,
                   VECMILL_VERSION);
}

vecmill_status api_check_options(const vecmill_options *o, vecmill_err *err)
{
    if ((unsigned)o->role > VECMILL_ROLE_QUERY)
        return err_set(err, VECMILL_E_USAGE, "role is %u, over VECMILL_ROLE_QUERY, %u",
                       (unsigned)o->role, (unsigned)VECMILL_ROLE_QUERY);
    if ((unsigned)o->dtype > VECMILL_DTYPE_INT32)
        return err_set(err, VECMILL_E_USAGE, "dtype is %u, over VECMILL_DTYPE_INT32, %u",
                       (unsigned)o->dtype, (unsigned)VECMILL_DTYPE_INT32);
    if (o->kinds >> VECMILL_KIND_IDS != 0)
        return err_set(err, VECMILL_E_USAGE,
                       "kinds is %#x, a bit of it over VECMILL_KIND_TOKENS, %u", (unsigned)o->kinds,
                       (unsigned)VECMILL_KIND_TOKENS);
    if (o->dtype != VECMILL_DTYPE_FLOAT32)
        return refuse_uncomputed("a dtype other than float32 is asked for", err);
    if (o->ranges) return refuse_uncomputed("ranges of components are given", err);
    return VECMILL_OK;
}

vecmill_status api_check_doc(const vecmill_doc *doc, vecmill_err *err)
{
    if (doc->kind == VECMILL_DOC_TEXT && doc->role == VECMILL_ROLE_DEFAULT) return VECMILL_OK;
    if ((unsigned)doc->kind > VECMILL_DOC_IDS)
        return err_set(err, VECMILL_E_USAGE, "a document's kind is %u, over VECMILL_DOC_IDS, %u",
                       (unsigned)doc->kind, (unsigned)VECMILL_DOC_IDS);
    if ((unsigned)doc->role > VECMILL_ROLE_QUERY)
        return err_set(err, VECMILL_E_USAGE, "a document's role is %u, over VECMILL_ROLE_QUERY, %u",
                       (unsigned)doc->role, (unsigned)VECMILL_ROLE_QUERY);
    if (doc->kind == VECMILL_DOC_PAIR)
        return refuse_uncomputed("a document is a pair of texts", err);
    if (doc->kind == VECMILL_DOC_IDS)
        return refuse_uncomputed("a document is given as token ids", err);
    return refuse_uncomputed("a document has a role of its own", err);
}

/* ---- a stack that is large enough ---- */

struct api_job {
    vecmill_status (*call)(void *context, vecmill_err *err);
    void *context;
    vecmill_err *err;
    vecmill_status status;
};

static void *run_job(void *context)
{
    struct api_job *job = context;
    job->status = job->call(job->context, job->err);
    return NULL;
}

/* The main thread's grows, and a program is started with what it needs. */
static bool is_small(void)
{
    pthread_attr_t attr;
    size_t bytes = SIZE_MAX;
    if (gettid() == getpid() || pthread_getattr_np(pthread_self(), &attr) != 0) return false;
    (void)pthread_attr_getstacksize(&attr, &bytes);
    pthread_attr_destroy(&attr);
    return bytes < API_STACK_BYTES;
}

int api_thread_start(pthread_t *thread, void *(*body)(void *context), void *context)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int e = pthread_attr_init(&attr);
    if (e) return e;
    (void)pthread_attr_setstacksize(&attr, API_STACK_BYTES);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(thread, &attr, body, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return e;
}

vecmill_status api_call(vecmill_status (*call)(void *context, vecmill_err *err), void *context,
                        vecmill_err *err)
{
    struct api_job job = {.call = call, .context = context, .err = err};
    pthread_t thread;
    if (!is_small() || api_thread_start(&thread, run_job, &job) != 0) return call(context, err);
    (void)pthread_join(thread, NULL);
    return job.status;
}

/* ---- the machine ---- */

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

static vecmill_status describe_machine(void *context, vecmill_err *err)
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
    return api_call(describe_machine, machine, err);
}
