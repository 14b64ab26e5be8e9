/* bench_report: the figures of a job or a session, in words and as JSON. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

static int by_time(const void *a, const void *b)
{
    const struct bench_round *x = a, *y = b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

void bench_take_rounds(struct bench_figures *f, struct bench_round *rounds, uint64_t n)
{
    qsort(rounds, n, sizeof(*rounds), by_time);
    f->median = rounds[n / 2];
    f->best = rounds[0];
}

void bench_take_facts(struct bench_figures *f, const vecmill_facts *facts)
{
    (void)snprintf(f->isa, sizeof(f->isa), "%s", facts->isa);
    f->facts = *facts;
    f->facts.pooling = f->facts.isa = f->facts.pack_path = f->facts.identity = NULL;
}

void bench_take_corpus(struct bench_figures *f, const struct bench_corpus *c)
{
    f->documents = c->n;
    f->duplicates = c->n_duplicates;
    f->unreadable = c->n_unreadable;
    f->is_cut = c->is_cut;
}

/* ---- derived ---- */

static double peak_of(const struct bench_figures *f)
{
    return f->peak_before > f->peak_after ? f->peak_before : f->peak_after;
}

static double per_second(double n, uint64_t ns)
{
    return ns > 0 ? n * 1e9 / (double)ns : 0;
}

static double share_of_peak(const struct bench_figures *f, uint64_t ns)
{
    return peak_of(f) > 0 ? per_second(f->flops, ns) / peak_of(f) : 0;
}

/* The time that the cores would have needed if they had been there all the time. */
static uint64_t processor_ns(const struct bench_figures *f)
{
    return f->median.cpu_ns / f->cores;
}

/* ---- JSON ---- */

static void json_corpus(struct app_out *out, const struct bench_figures *f)
{
    app_json_key_u64(out, "documents", f->documents);
    app_json_key_u64(out, "duplicates", f->duplicates);
    app_json_key_u64(out, "unreadable", f->unreadable);
    app_json_key_bool(out, "corpus_cut", f->is_cut);
    app_json_key_bool(out, "corpus_copied", f->is_copy);
    app_json_key_u64(out, "truncated", f->truncated);
    app_json_key_u64(out, "replaced_bytes", f->replaced_bytes);
    app_json_key_u64(out, "tokens", f->tokens);
}

static void json_speed(struct app_out *out, const struct bench_figures *f)
{
    const uint64_t ns = f->median.ns;
    app_json_key_u64(out, "rounds", f->rounds);
    app_json_key_real(out, "seconds", (double)ns / 1e9, 4);
    app_json_key_real(out, "seconds_best", (double)f->best.ns / 1e9, 4);
    app_json_key_real(out, "seconds_processor", (double)f->median.cpu_ns / 1e9, 4);
    app_json_key_real(out, "documents_per_second", per_second((double)f->documents, ns), 2);
    app_json_key_real(out, "tokens_per_second", per_second((double)f->tokens, ns), 1);
    app_json_key_real(out, "flops", f->flops, 0);
    app_json_key_real(out, "flops_per_second", per_second(f->flops, ns), 0);
    app_json_key_u64(out, "cores", f->cores);
    app_json_key_real(out, "peak_before", f->peak_before, 0);
    app_json_key_real(out, "peak_after", f->peak_after, 0);
    app_json_key_real(out, "peak", peak_of(f), 0);
    app_json_key_real(out, "ratio", share_of_peak(f, ns), 4);
    app_json_key_real(out, "ratio_best", share_of_peak(f, f->best.ns), 4);
    app_json_key_real(out, "ratio_processor", share_of_peak(f, processor_ns(f)), 4);
}

static void json_memory(struct app_out *out, const struct bench_figures *f)
{
    app_json_key_u64(out, "peak_memory_bytes", f->memory_bytes);
    app_json_key_u64(out, "file_memory_bytes", f->file_bytes);
    app_json_bytes(out, "plan_bytes", f->plan_bytes > 0 ? f->plan_bytes : UINT64_MAX);
    app_json_key_u64(out, "pack_bytes", f->facts.pack_bytes);
    app_json_key_u64(out, "arena_bytes", f->facts.arena_bytes);
}

static void print_figures_json(struct app_out *out, const struct options *o,
                               const struct bench_figures *f)
{
    app_json_open(out, '{');
    app_json_key_string(out, "version", vecmill_version());
    app_json_key_string(out, "mode", f->mode);
    app_json_key_string(out, "model", o->model);
    app_json_key_string(out, "isa", f->isa);
    app_json_key_string(out, "precision", options_precision_word(f->facts.precision));
    app_json_key_u64(out, "workers", f->workers);
    app_json_key_u64(out, "threads", f->facts.threads);
    app_json_key_u64(out, "batch_tokens", f->facts.batch_tokens);
    app_json_key_u64(out, "max_length", f->facts.max_length);
    json_corpus(out, f);
    json_speed(out, f);
    json_memory(out, f);
    app_json_key_u64(out, "deaths", f->deaths);
    app_json_key_u64(out, "starts", f->start.n);
    app_json_key_real(out, "start_ms_least", (double)f->start.least_ns / 1e6, 2);
    app_json_key_real(out, "start_ms_median", (double)f->start.median_ns / 1e6, 2);
    app_json_close(out, '}');
    app_json_line(out);
}

/* ---- words ---- */

static void text_corpus(struct app_out *out, const struct options *o, const struct bench_figures *f)
{
    char a[APP_NUMBER_BYTES], b[APP_NUMBER_BYTES];
    app_print(out, "model       %s, %s, %s, ", o->model, f->isa,
              options_precision_word(f->facts.precision));
    if (f->workers > 0)
        app_print(out, "%u worker%s", f->workers, f->workers == 1 ? "" : "s");
    else
        app_print(out, "in this process, %u thread%s", f->facts.threads,
                  f->facts.threads == 1 ? "" : "s");
    app_print(out, ", batch-tokens %u, max-length %u\n", f->facts.batch_tokens,
              f->facts.max_length);
    app_print(out, "corpus      %s documents, %s tokens, %llu truncated%s%s\n",
              app_number(f->documents, a), app_number(f->tokens, b),
              (unsigned long long)f->truncated,
              f->is_cut ? "; cut at BENCH_TEXT_MAX or BENCH_DOCS_MAX" : "",
              f->is_copy ? "; read from a copy as JSON lines" : "");
    if (f->duplicates > 0)
        app_print(out, "            %s more were left out, since they stand there twice\n",
                  app_number(f->duplicates, a));
    if (f->unreadable > 0)
        app_print(out, "            %s more could not be read\n", app_number(f->unreadable, a));
}

static void text_speed(struct app_out *out, const struct bench_figures *f)
{
    char a[APP_NUMBER_BYTES];
    const uint64_t ns = f->median.ns;
    app_print(out,
              "time        %.3f s, the median of %llu (best %.3f s); processors' time %.3f s\n",
              (double)ns / 1e9, (unsigned long long)f->rounds, (double)f->best.ns / 1e9,
              (double)f->median.cpu_ns / 1e9);
    app_print(out, "speed       %.1f documents/s, %s tokens/s\n",
              per_second((double)f->documents, ns),
              app_number((uint64_t)per_second((double)f->tokens, ns), a));
    app_print(out, "arithmetic  %.2f GFLOP, %.1f GFLOP/s\n", f->flops / 1e9,
              per_second(f->flops, ns) / 1e9);
    app_print(out, "peak        %.1f GFLOP/s of %u core%s at once (%.1f before, %.1f after)\n",
              peak_of(f) / 1e9, f->cores, f->cores == 1 ? "" : "s", f->peak_before / 1e9,
              f->peak_after / 1e9);
    app_print(out, "ratio       %.3f of the peak (best %.3f; by the processors' time %.3f)\n",
              share_of_peak(f, ns), share_of_peak(f, f->best.ns),
              share_of_peak(f, processor_ns(f)));
}

static void text_memory(struct app_out *out, const struct bench_figures *f)
{
    char a[APP_NUMBER_BYTES], b[APP_NUMBER_BYTES];
    app_print(out, "memory      %s anonymous and shared", app_megabytes(f->memory_bytes, a));
    if (f->plan_bytes > 0) app_print(out, " (planned %s)", app_megabytes(f->plan_bytes, a));
    app_print(out, "; pack %s, arena %s\n", app_megabytes(f->facts.pack_bytes, a),
              app_megabytes(f->facts.arena_bytes, b));
}

static void print_figures_text(struct app_out *out, const struct options *o,
                               const struct bench_figures *f)
{
    text_corpus(out, o, f);
    text_speed(out, f);
    text_memory(out, f);
    if (f->deaths > 0)
        app_print(out, "deaths      %llu workers died meanwhile\n", (unsigned long long)f->deaths);
    app_print(out,
              "start       %.1f ms from process start to the first vector, the median of %u "
              "(least %.1f ms)\n",
              (double)f->start.median_ns / 1e6, f->start.n, (double)f->start.least_ns / 1e6);
}

void bench_report(struct app *app, const struct bench_figures *f)
{
    (app->options->json ? print_figures_json : print_figures_text)(&app->out, app->options, f);
}
