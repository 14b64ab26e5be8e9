/* plan: the memory of a run, before it starts; with --try, put to the test.
 *
 * Reads no input and writes no output. Ends with E_MEMORY when the run would not fit; the sum is printed
 * either way. */
#include "app.h"
#include "report.h"
#include "try.h"

#include <stdio.h>
#include <string.h>

static void json_part(struct app_out *out, const vecmill_plan_part *part, bool is_measured)
{
    app_json_open(out, '{');
    app_json_key_string(out, "owner", vecmill_owner_word(part->owner));
    app_json_key_string(out, "name", part->name);
    app_json_key_u64(out, "bytes", part->bytes);
    app_json_key_u64(out, "count", part->n);
    if (is_measured) {
        app_json_key_u64(out, "measured_bytes", part->measured_bytes);
    }
    app_json_close(out, '}');
}

static void print_plan_json(struct app_out *out, const char *precision, const vecmill_plan *plan,
                            bool is_measured)
{
    app_json_open(out, '{');
    app_json_key_string(out, "precision", precision);
    app_json_key_u64(out, "total_bytes", plan->total_bytes);
    app_json_key_u64(out, "reserve_bytes", plan->reserve_bytes);
    app_json_key_u64(out, "pack_bytes", plan->pack_bytes);
    app_json_bytes(out, "limit_bytes", plan->limit_bytes);
    app_json_key_string(out, "limit_source", plan->limit_source);
    app_json_key_bool(out, "oom_group", plan->oom_group != 0);
    app_json_key_u64(out, "workers", plan->workers);
    app_json_key_u64(out, "batch_tokens", plan->batch_tokens);
    app_json_key_u64(out, "max_length", plan->max_length);
    app_json_key_u64(out, "dim", plan->dim);
    app_json_key_u64(out, "max_document", plan->max_document);
    app_json_key_bool(out, "floors_measured", plan->measured != 0);
    app_json_key_bool(out, "fits", plan->fits != 0);
    app_json_key_string(out, "advice", plan->advice[0] ? plan->advice : NULL);
    app_json_key(out, "parts");
    app_json_open(out, '[');
    for (uint32_t i = 0; i < plan->n_parts; i++)
        json_part(out, &plan->parts[i], is_measured);
    app_json_close(out, ']');
    app_json_close(out, '}');
    app_json_line(out);
}

/* Mebibytes with two decimals, right-aligned. */
static void print_line(struct app_out *out, const char *owner, const char *name, double bytes,
                       uint32_t n, const char *after)
{
    char times[16] = "";
    if (n > 1) (void)snprintf(times, sizeof(times), " x %u", n);
    app_print(out, "%-11s %-26s %9.2f MiB%-6s%s\n", owner, name, bytes / (1 << 20), times, after);
}

static void print_plan_text(struct app_out *out, const char *precision, const vecmill_plan *plan,
                            bool is_measured)
{
    vecmill_owner owner = VECMILL_OWNER_COUNT;
    char after[64];
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        const vecmill_plan_part *part = &plan->parts[i];
        after[0] = 0;
        if (is_measured && part->n > 0 && part->measured_bytes == 0)
            (void)snprintf(after, sizeof(after), "  not measured");
        else if (is_measured && part->n > 0)
            (void)snprintf(after, sizeof(after), "  measured %9.2f MiB%s",
                           (double)part->measured_bytes / (1 << 20),
                           part->measured_bytes > part->bytes ? "  OVER" : "");
        else if (part->n == 0)
            (void)snprintf(after, sizeof(after), "  before the workers start");
        print_line(out, owner == part->owner ? "" : vecmill_owner_word(part->owner), part->name,
                   (double)part->bytes, part->n, after);
        owner = part->owner;
    }
    print_line(out, "total", "", (double)plan->total_bytes, 1, "");
    print_line(out, "reserve", "", (double)plan->reserve_bytes, 1, "");
    if (plan->limit_bytes == UINT64_MAX)
        app_print(out, "%-11s none is known\n", "limit");
    else
        print_line(out, "limit", plan->limit_source, (double)plan->limit_bytes, 1, "");
    app_print(out,
              "\n%u worker%s, %s, passes of %u tokens, documents of %u tokens, vectors of %u "
              "floats: %s\n",
              plan->workers, plan->workers == 1 ? "" : "s", precision, plan->batch_tokens,
              plan->max_length, plan->dim, plan->fits ? "fits" : "does not fit");
    if (plan->pack_bytes > 0)
        app_print(out,
                  "The pack, %.1f MiB, is file-backed and shared: not in the total, and the kernel "
                  "can take it back.\n",
                  (double)plan->pack_bytes / (1 << 20));
    else
        app_print(out, "The pack is built in memory for each run, since the cache folder cannot be "
                       "written (VECMILL_CACHE names another).\n");
    char sentence[APP_SENTENCE_MAX];
    if (report_tight_cache(plan, sentence)) app_print(out, "Note: %s.\n", sentence);
    if (!plan->measured)
        app_print(out, "The model has no pack yet: what workers hold beside their arenas is an "
                       "upper bound, not measured.\n");
    if (plan->oom_group)
        app_print(out, "memory.oom.group is set: an OOM kill would take the whole run; embed "
                       "--resume goes on after one.\n");
}

vecmill_status cmd_plan(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct job_options job = app_job_options(o);
    vecmill_plan plan;
    if (o->output) job.output = o->output;
    VM_TRY(job_check_names(&job, err));
    app_raise_descriptors();
    VM_TRY(app_pool_plan(o, &job, &plan, err));
    const bool is_measured = o->try_out && plan.fits;
    if (is_measured) VM_TRY(try_plan(o, &plan, err));
    const char *precision = options_precision_word(options_precision(o));
    (o->json ? print_plan_json : print_plan_text)(&app->out, precision, &plan, is_measured);
    if (!plan.fits) return err_set(err, VECMILL_E_MEMORY, "%s", plan.advice);
    return is_measured && try_is_over(&plan, err) ? VECMILL_E_INTERNAL : VECMILL_OK;
}
