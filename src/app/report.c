/* report: the lines of a run's events, and the lock over the two threads that report. */
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void lock(struct report *r)
{
    (void)pthread_mutex_lock(&r->lock);
}

static void unlock(struct report *r)
{
    (void)pthread_mutex_unlock(&r->lock);
}

vecmill_status report_open(struct report *r, const struct options *o, const struct job_options *job,
                           vecmill_err *err)
{
    *r = (struct report){.says_failures = strcmp(o->output, "-") == 0};
    VM_TRY(events_open(&r->events, o->events, job, err));
    progress_init(&r->progress, (enum progress_mode)o->progress, STDERR_FILENO);
    (void)pthread_mutex_init(&r->lock, NULL);
    return VECMILL_OK;
}

void report_close(struct report *r)
{
    vecmill_err err;
    progress_done(&r->progress);
    if (events_close(&r->events, &err) != VECMILL_OK) {
        char message[sizeof(err.message) + 64];
        (void)snprintf(message, sizeof(message), "warning: not all events were kept: %s",
                       err.message);
        app_complain(message);
    }
    (void)pthread_mutex_destroy(&r->lock);
}

/* ---- while it runs ---- */

void report_pool(void *context, const vecmill_event *event)
{
    struct report *r = context;
    if (event->kind == VECMILL_BATCH_STARTED) return; /* too many to show */
    lock(r);
    if (!r->is_over) {
        const uint64_t t_ms = events_ms(&r->events, event->time_ns);
        events_pool(&r->events, t_ms, event);
        progress_pool(&r->progress, t_ms, event);
    }
    unlock(r);
}

void report_progress(void *context, const struct job_progress *now)
{
    struct report *r = context;
    lock(r);
    progress_tell(&r->progress, now);
    unlock(r);
}

void report_failed(void *context, uint64_t index, const char *place, const char *reason)
{
    struct report *r = context;
    lock(r);
    if (events_begin(&r->events, "document_failed")) {
        struct app_out *out = &r->events.out;
        app_json_key_u64(out, "index", index);
        app_json_key_string(out, "place", place);
        app_json_key_string(out, "reason", reason);
        events_end(&r->events);
    }
    if (r->says_failures) {
        char message[APP_SENTENCE_MAX];
        (void)snprintf(message, sizeof(message), "%.200s: %.250s", place, reason);
        progress_complain(&r->progress, message);
    }
    unlock(r);
}

void report_notice(void *context, const char *sentence)
{
    struct report *r = context;
    lock(r);
    progress_notice(&r->progress, sentence);
    unlock(r);
}

/* ---- its ends ---- */

static vecmill_pool_counts count(vecmill_pool *pool)
{
    vecmill_pool_counts counts = {.struct_bytes = sizeof(counts)};
    if (pool) vecmill_pool_count(pool, &counts);
    return counts;
}

bool report_tight_cache(const vecmill_plan *plan, char sentence[APP_SENTENCE_MAX])
{
    if (!plan->fits || plan->limit_bytes == UINT64_MAX) return false;
    const uint64_t left = plan->limit_bytes - plan->total_bytes - plan->reserve_bytes;
    if (left >= plan->pack_bytes) return false;
    (void)snprintf(sentence, APP_SENTENCE_MAX,
                   "the limit leaves %.1f MiB for the %.1f MiB of the model's pack: where it "
                   "counts page cache, "
                   "the pack is read again and again, which is slow",
                   (double)left / (1 << 20), (double)plan->pack_bytes / (1 << 20));
    return true;
}

/* What of the plan a user should know without having asked. */
static void report_plan(struct report *r, const vecmill_plan *plan)
{
    char sentence[APP_SENTENCE_MAX];
    if (plan->shrunk) {
        (void)snprintf(sentence, sizeof(sentence),
                       "memory is short: %u worker%s with %u batch tokens fit under %.1f MiB (%s)",
                       plan->workers, plan->workers == 1 ? "" : "s", plan->batch_tokens,
                       (double)plan->limit_bytes / (1 << 20), plan->limit_source);
        report_notice(r, sentence);
    }
    if (report_tight_cache(plan, sentence)) report_notice(r, sentence);
    if (plan->oom_group)
        report_notice(r,
                      "memory.oom.group is set: an OOM kill would take the whole run at once, and "
                      "--resume goes on after one");
}

static void report_warning(struct report *r, const char *warning)
{
    char sentence[APP_SENTENCE_MAX];
    if (!warning || !warning[0]) return;
    (void)snprintf(sentence, sizeof(sentence), "warning: %.450s", warning);
    report_notice(r, sentence);
}

void report_started(struct report *r, const struct options *o, vecmill_pool *pool)
{
    vecmill_facts facts = {.struct_bytes = sizeof(facts)};
    vecmill_pool_describe(pool, &facts);
    const vecmill_pool_counts counts = count(pool);
    vecmill_plan plan = {.struct_bytes = sizeof(plan)};
    vecmill_pool_planned(pool, &plan);
    report_plan(r, &plan);
    report_warning(r, facts.warning);
    char sentence[APP_SENTENCE_MAX];
    if (options_default_prompt(o, facts.prompt, sentence, sizeof sentence))
        report_notice(r, sentence);
    lock(r);
    r->progress.precision = options_precision_word(facts.precision);
    if (events_begin(&r->events, "run_started")) {
        struct app_out *out = &r->events.out;
        app_json_key_i64(out, "pid", getpid());
        app_json_key_string(out, "version", vecmill_version());
        app_json_key_string(out, "model", o->model);
        app_json_key_string(out, "input", o->input);
        app_json_key_string(out, "output", o->output);
        app_json_key_u64(out, "shard", o->shard.index);
        app_json_key_u64(out, "shards", o->shard.of > 0 ? o->shard.of : 1);
        app_json_key_string(out, "isa", facts.isa);
        app_json_key_string(out, "precision", options_precision_word(facts.precision));
        app_json_key_u64(out, "dim", facts.dim);
        app_json_key_u64(out, "max_length", facts.max_length);
        app_json_key_u64(out, "batch_tokens", facts.batch_tokens);
        app_json_key_u64(out, "workers", counts.workers);
        app_json_key_u64(out, "memory_bytes", plan.total_bytes);
        app_json_bytes(out, "memory_limit_bytes", plan.limit_bytes);
        app_json_key_string(out, "memory_limit_source", plan.limit_source);
        app_json_key_bool(out, "oom_group", plan.oom_group != 0);
        app_json_key_string(out, "prompt", facts.prompt);
        events_end(&r->events);
    }
    unlock(r);
}

static void put_finished(struct report *r, const struct job_progress *total,
                         const vecmill_pool_counts *counts, vecmill_status status,
                         const vecmill_err *why)
{
    if (!events_begin(&r->events, "run_finished")) return;
    struct app_out *out = &r->events.out;
    app_json_key_i64(out, "exit", vecmill_status_exit(status));
    app_json_key_string(out, "reason", status == VECMILL_OK ? NULL : why->message);
    app_json_key_u64(out, "documents", total->documents);
    app_json_key_u64(out, "resumed", total->resumed);
    app_json_key_u64(out, "failed", total->failed);
    app_json_key_u64(out, "truncated", total->truncated);
    app_json_key_u64(out, "replaced_bytes", total->replaced_bytes);
    app_json_key_u64(out, "tokens", total->tokens);
    app_json_key_u64(out, "duplicates", total->duplicates);
    app_json_key_real(out, "seconds", (double)total->elapsed_ns / 1e9, 3);
    app_json_key_u64(out, "batches", counts->batches);
    app_json_key_u64(out, "batches_requeued", counts->requeued);
    app_json_key(out, "deaths");
    workers_json_causes(out, r->progress.workers.deaths);
    events_end(&r->events);
}

/* The last words are worth another wait. */
static void lock_at_end(struct report *r)
{
    lock(r);
    r->progress.out.is_stalled = false;
    r->events.out.is_stalled = false;
}

void report_finished(struct report *r, const struct job_progress *total, vecmill_pool *pool,
                     vecmill_status status, const vecmill_err *why)
{
    const vecmill_pool_counts counts = count(pool);
    lock_at_end(r);
    progress_summary(&r->progress, total, &counts, status);
    put_finished(r, total, &counts, status, why);
    r->is_over = true;
    unlock(r);
}

void report_unneeded(struct report *r, const char *sentence)
{
    const struct job_progress none = {0};
    const vecmill_pool_counts counts = {0};
    lock_at_end(r);
    progress_notice(&r->progress, sentence);
    if (r->progress.mode == PROGRESS_JSON)
        progress_summary(&r->progress, &none, &counts, VECMILL_OK);
    put_finished(r, &none, &counts, VECMILL_OK, NULL);
    r->is_over = true;
    unlock(r);
}
