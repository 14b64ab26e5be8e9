/* app_model: from the name on the command line to a folder, and from there to a session or a pool. */
#include "app.h"

#include "hub/hub.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The one kind of these; dense if the model is to say. */
static vecmill_kind kind_of(uint32_t kinds)
{
    uint32_t kind = 0;
    while (kind < VECMILL_KIND_TOKENS && kinds != 0 && (kinds >> kind & 1) == 0)
        kind++;
    return (vecmill_kind)kind;
}

struct job_options app_job_options(const struct options *o)
{
    const bool is_rerank = o->command == COMMAND_RERANK;
    const char *const query_field = o->query_field ? o->query_field : "query";
    return (struct job_options){
        .input = o->input ? o->input : "-",
        .output = "-",
        .input_format = options_input_format(o->input_format),
        .encoding = o->encoding,
        .delimiter = o->delimiter,
        .field = o->field,
        .id_field = o->id_field,
        .stop_on_error = o->on_error == ON_ERROR_STOP,
        .max_document = o->max_document,
        .shard = o->shard.index,
        .shards = o->shard.of,
        .kind = kind_of(options_kinds(o)),
        .query = is_rerank ? o->queries[0] : NULL,
        .query_field = is_rerank && o->n_queries == 0 ? query_field : o->query_field,
        .dtype = (vecmill_dtype)o->dtype,
        .ranges = o->ranges,
    };
}

vecmill_status app_input_check(const struct job_options *job, vecmill_err *err)
{
    bool is_finished; /* only of what is resumed */
    return job_check(job, &is_finished, err);
}

static vecmill_status fetch_missing(const struct options *o, char *dir, vecmill_err *err)
{
    struct hub_env env;
    hub_env_read(&env);
    if (o->progress == PROGRESS_AUTO && !env.offline) {
        char note[APP_SENTENCE_MAX];
        (void)snprintf(note, sizeof(note), "fetching the model %.300s, which is not here yet",
                       o->model);
        app_complain(note);
    }
    return app_model_pull(o, o->model, dir, err);
}

vecmill_status app_library_options(const struct options *o, char *dir, vecmill_options *options,
                                   vecmill_err *err)
{
    char cache[IO_PATH_MAX];
    vecmill_err missing;
    VM_TRY(cache_dir(cache, err));
    const vecmill_status status = hub_find(cache, o->model, dir, &missing);
    if (status == VECMILL_E_NOTFOUND && hub_is_fetchable(o->model)) {
        VM_TRY(fetch_missing(o, dir, err));
    } else if (status != VECMILL_OK) {
        if (err) *err = missing;
        return status;
    }
    vecmill_options_init(options);
    options->model_dir = dir;
    options->precision = options_precision(o);
    options->long_policy = (vecmill_long)o->long_policy;
    options->batch_tokens = (uint32_t)o->batch_tokens;
    options->max_length = (uint32_t)o->max_length;
    options->dimensions = (uint32_t)o->dimensions;
    options->normalize = (vecmill_normalize)o->normalize;
    options->role = (vecmill_role)o->role;
    options->prompt = o->prompt;
    options->prompt_name = o->prompt_name;
    options->task = o->task;
    options->kinds = options_kinds(o);
    options->raw_scores = o->raw_scores;
    options->threads = (uint32_t)o->threads;
    return VECMILL_OK;
}

static void app_warn(const char *warning)
{
    char sentence[APP_SENTENCE_MAX];
    if (!warning[0]) return;
    (void)snprintf(sentence, sizeof(sentence), "warning: %.450s", warning);
    app_complain(sentence);
}

vecmill_status app_session_open(const struct options *o, vecmill_session **session,
                                vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    vecmill_options options;
    VM_TRY(app_library_options(o, dir, &options, err));
    VM_TRY(vecmill_session_open(&options, session, err));
    const vecmill_facts facts = app_facts(*session);
    char sentence[APP_SENTENCE_MAX];
    app_warn(facts.warning);
    if (o->progress != PROGRESS_NONE &&
        options_default_prompt(o, facts.prompt, sentence, sizeof sentence))
        app_complain(sentence);
    return VECMILL_OK;
}

/* Each worker costs this process descriptors, and a thousand workers are allowed. The soft limit, 1,024
 * on most systems, is so low for the sake of programs that use select(), which this one does not. */
void app_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* where it does not rise, opening the pool says so */
}

/* What a command takes besides the pool. */
struct beside {
    const struct job_options *job;
    size_t bytes_a_doc;
};

static uint64_t bytes_beside(void *context, const vecmill_facts *facts, uint32_t capacity,
                             uint64_t max_document)
{
    const struct beside *b = context;
    struct job_options job = *b->job;
    job.max_document = max_document;
    const size_t bytes = job_bytes(&job, facts, capacity);
    return bytes == SIZE_MAX ? bytes : bytes + capacity * b->bytes_a_doc;
}

static vecmill_pool_options pool_options(const struct options *o, struct beside *beside)
{
    vecmill_pool_options options;
    vecmill_pool_options_init(&options);
    options.workers = (uint32_t)o->workers;
    options.max_document = o->max_document;
    options.memory_bytes = o->memory_bytes;
    options.caller_bytes_of = bytes_beside;
    options.caller_context = beside;
    options.reap_strangers = getpid() == 1; /* the entry point of a container */
    return options;
}

vecmill_status app_pool_plan(const struct options *o, const struct job_options *job,
                             vecmill_plan *plan, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    vecmill_options options;
    VM_TRY(app_library_options(o, dir, &options, err));
    struct beside beside = {job, 0};
    const vecmill_pool_options pool = pool_options(o, &beside);
    *plan = (vecmill_plan){.struct_bytes = sizeof(*plan)};
    return vecmill_pool_plan(&options, &pool, plan, err);
}

vecmill_status app_pool_open(const struct options *o, const struct job_options *job,
                             size_t bytes_a_doc,
                             void (*on_event)(void *context, const vecmill_event *event),
                             void *context, vecmill_pool **pool, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    vecmill_options options;
    VM_TRY(app_library_options(o, dir, &options, err));
    struct beside beside = {job, bytes_a_doc}; /* asked for while the pool opens */
    vecmill_pool_options with = pool_options(o, &beside);
    with.on_event = on_event;
    with.context = context;
    return vecmill_pool_open(&options, &with, pool, err);
}

vecmill_facts app_facts(const vecmill_session *session)
{
    vecmill_facts facts = {.struct_bytes = sizeof(facts)};
    vecmill_session_describe(session, &facts);
    return facts;
}
