/* bench: how fast is this machine on this corpus, and how near to what its processor can do?
 *
 * Embeds a corpus that was read into memory before (at most BENCH_TEXT_MAX bytes of it), tokenizing
 * included, call after call in this process, as one worker of `embed` does. Reports documents and
 * tokens a second, the floating-point operations the model's formulas need for these documents, the
 * core's measured peak of fused multiply-adds and the ratio, the peak of resident memory, and the time
 * from the start of a process to its first vector. Every figure is measured in this run. */
#include "app.h"
#include "start_time.h"

#include <stdlib.h>
#include <time.h>

#define BENCH_TEXT_MAX     (64u << 20) /* bytes of text held; the corpus is cut there, and it is said */
#define BENCH_DOCS_MAX     1000000u
#define BENCH_WINDOW_DOCS  1024u /* documents of one call */
#define BENCH_PEAK_SECONDS 0.5
#define BENCH_STARTS       11u

struct corpus {
    struct buf text;
    struct buf ends; /* uint64_t each: where document i ends in text */
    uint64_t n, n_unreadable;
    bool is_cut;
};

struct round {
    uint64_t ns;
    uint64_t cpu_ns; /* of this thread: smaller where others used the processor meanwhile */
    uint64_t tokens, truncated, replaced_bytes;
    double flops;
};

struct figures {
    struct round round; /* the median one */
    uint64_t best_ns;
    double peak_before, peak_after, peak;
    uint64_t peak_rss_bytes;
    struct start_time start;
};

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)id;
    struct corpus *c = context;
    if (reason) {
        c->n_unreadable++;
        return VECMILL_OK;
    }
    if (c->n == BENCH_DOCS_MAX || doc.bytes > c->text.most - c->text.bytes) {
        c->is_cut = true;
        return err_set(
            err, VECMILL_E_LIMIT,
            "the corpus is over BENCH_TEXT_MAX, %u bytes, or BENCH_DOCS_MAX, %u documents",
            BENCH_TEXT_MAX, BENCH_DOCS_MAX);
    }
    VM_TRY(buf_add(&c->text, doc.text, doc.bytes, err));
    const uint64_t end = c->text.bytes;
    VM_TRY(buf_add(&c->ends, &end, sizeof(end), err));
    c->n++;
    return VECMILL_OK;
}

static vecmill_status corpus_read(const struct options *o, struct corpus *c, vecmill_err *err)
{
    const struct job_options job = app_job_options(o);
    vecmill_err why;
    const vecmill_status status = job_each(&job, on_document, c, &why);
    if (status == VECMILL_OK || c->is_cut) {
        if (c->n > 0) return VECMILL_OK;
        return err_set(err, VECMILL_E_INPUT,
                       "%s holds no document to measure with, %llu could not be read", job.input,
                       (unsigned long long)c->n_unreadable);
    }
    if (err) *err = why;
    return status;
}

/* A window's documents, vectors and results: [BENCH_WINDOW_DOCS] of each. */
struct window {
    vecmill_doc *docs;
    float *vectors;
    vecmill_result *results;
};

static uint64_t cpu_ns(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static vecmill_status run_round(vecmill_session *session, const struct corpus *c,
                                const struct window *w, struct round *round, vecmill_err *err)
{
    struct round r = {0};
    const uint64_t *ends = (const uint64_t *)(const void *)c->ends.data;
    for (uint64_t first = 0; first < c->n; first += BENCH_WINDOW_DOCS) {
        const size_t n = num_min(BENCH_WINDOW_DOCS, c->n - first);
        for (size_t i = 0; i < n; i++) {
            const uint64_t begin = first + i > 0 ? ends[first + i - 1] : 0;
            const size_t bytes = (size_t)(ends[first + i] - begin);
            w->docs[i] =
                (vecmill_doc){.text = bytes > 0 ? c->text.data + begin : NULL, .bytes = bytes};
        }
        const uint64_t start_ns = clock_ns(), start_cpu_ns = cpu_ns();
        VM_TRY(vecmill_embed(session, w->docs, n, w->vectors, w->results, err));
        r.cpu_ns += cpu_ns() - start_cpu_ns;
        r.ns += clock_ns() - start_ns;
        for (size_t i = 0; i < n; i++) {
            const vecmill_result *result = &w->results[i];
            r.tokens += result->n_tokens;
            r.truncated += result->truncated;
            r.replaced_bytes += result->replaced_bytes;
            r.flops += vecmill_session_flops(session, result->n_tokens);
        }
    }
    *round = r;
    return VECMILL_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct round *x = a, *y = b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

static vecmill_status measure(const struct options *o, vecmill_session *session,
                              const struct corpus *c, struct figures *figures, vecmill_err *err)
{
    const uint32_t dim = app_facts(session).dim;
    void *docs = NULL, *vectors = NULL, *results = NULL, *memory = NULL;
    struct figures f = {0};
    vecmill_status status =
        mem_new_array(BENCH_WINDOW_DOCS, sizeof(vecmill_doc), "documents", &docs, err);
    if (status == VECMILL_OK)
        status = mem_new_array(BENCH_WINDOW_DOCS, dim * sizeof(float), "vectors", &vectors, err);
    if (status == VECMILL_OK)
        status = mem_new_array(BENCH_WINDOW_DOCS, sizeof(vecmill_result), "results", &results, err);
    if (status == VECMILL_OK)
        status = mem_new_array(o->repeat, sizeof(struct round), "rounds", &memory, err);
    if (status != VECMILL_OK) goto done;

    struct round *rounds = memory;
    const struct window w = {.docs = docs, .vectors = vectors, .results = results};
    f.peak_before = vecmill_session_peak(session, BENCH_PEAK_SECONDS);
    for (uint64_t i = 0; i < o->repeat; i++) {
        status = run_round(session, c, &w, &rounds[i], err);
        if (status != VECMILL_OK) goto done;
    }
    f.peak_after = vecmill_session_peak(session, BENCH_PEAK_SECONDS);
    f.peak = f.peak_before > f.peak_after ? f.peak_before : f.peak_after;
    qsort(rounds, o->repeat, sizeof(*rounds), by_time);
    f.round = rounds[o->repeat / 2];
    f.best_ns = rounds[0].ns;
    f.peak_rss_bytes = app_memory("VmHWM");
    *figures = f;

done:
    mem_free(memory);
    mem_free(results);
    mem_free(vectors);
    mem_free(docs);
    return status;
}

static double share_of_peak(const struct figures *f, uint64_t ns)
{
    return f->peak > 0 && ns > 0 ? f->round.flops * 1e9 / (double)ns / f->peak : 0;
}

static double per_second(uint64_t n, uint64_t ns)
{
    return ns > 0 ? (double)n * 1e9 / (double)ns : 0;
}

static void print_json(struct app_out *out, const struct options *o, const vecmill_facts *facts,
                       const struct corpus *c, const struct figures *f)
{
    const struct round *r = &f->round;
    app_json_open(out, '{');
    app_json_key(out, "version");
    app_json_string(out, vecmill_version());
    app_json_key(out, "model");
    app_json_string(out, o->model);
    app_json_key(out, "isa");
    app_json_string(out, facts->isa);
    app_json_key(out, "precision");
    app_json_string(out, "fp32");
    app_json_key(out, "batch_tokens");
    app_json_u64(out, facts->batch_tokens);
    app_json_key(out, "max_length");
    app_json_u64(out, facts->max_length);
    app_json_key(out, "documents");
    app_json_u64(out, c->n);
    app_json_key(out, "corpus_cut");
    app_json_bool(out, c->is_cut);
    app_json_key(out, "unreadable");
    app_json_u64(out, c->n_unreadable);
    app_json_key(out, "truncated");
    app_json_u64(out, r->truncated);
    app_json_key(out, "replaced_bytes");
    app_json_u64(out, r->replaced_bytes);
    app_json_key(out, "tokens");
    app_json_u64(out, r->tokens);
    app_json_key(out, "rounds");
    app_json_u64(out, o->repeat);
    app_json_key(out, "seconds");
    app_json_real(out, (double)r->ns / 1e9, 4);
    app_json_key(out, "seconds_best");
    app_json_real(out, (double)f->best_ns / 1e9, 4);
    app_json_key(out, "seconds_processor");
    app_json_real(out, (double)r->cpu_ns / 1e9, 4);
    app_json_key(out, "documents_per_second");
    app_json_real(out, per_second(c->n, r->ns), 2);
    app_json_key(out, "tokens_per_second");
    app_json_real(out, per_second(r->tokens, r->ns), 1);
    app_json_key(out, "flops");
    app_json_real(out, r->flops, 0);
    app_json_key(out, "flops_per_second");
    app_json_real(out, r->ns > 0 ? r->flops * 1e9 / (double)r->ns : 0, 0);
    app_json_key(out, "peak_before");
    app_json_real(out, f->peak_before, 0);
    app_json_key(out, "peak_after");
    app_json_real(out, f->peak_after, 0);
    app_json_key(out, "peak");
    app_json_real(out, f->peak, 0);
    app_json_key(out, "ratio");
    app_json_real(out, share_of_peak(f, r->ns), 4);
    app_json_key(out, "ratio_best");
    app_json_real(out, share_of_peak(f, f->best_ns), 4);
    app_json_key(out, "ratio_processor");
    app_json_real(out, share_of_peak(f, r->cpu_ns), 4);
    app_json_key(out, "peak_rss_bytes");
    app_json_u64(out, f->peak_rss_bytes);
    app_json_key(out, "pack_bytes");
    app_json_u64(out, facts->pack_bytes);
    app_json_key(out, "arena_bytes");
    app_json_u64(out, facts->arena_bytes);
    app_json_key(out, "starts");
    app_json_u64(out, f->start.n);
    app_json_key(out, "start_ms_least");
    app_json_real(out, (double)f->start.least_ns / 1e6, 2);
    app_json_key(out, "start_ms_median");
    app_json_real(out, (double)f->start.median_ns / 1e6, 2);
    app_json_close(out, '}');
    app_json_line(out);
}

static void print_text(struct app_out *out, const struct options *o, const vecmill_facts *facts,
                       const struct corpus *c, const struct figures *f)
{
    const struct round *r = &f->round;
    char a[APP_NUMBER_BYTES], b[APP_NUMBER_BYTES], d[APP_NUMBER_BYTES];
    app_print(out, "model       %s, %s, fp32, one process, batch-tokens %u, max-length %u\n",
              o->model, facts->isa, facts->batch_tokens, facts->max_length);
    app_print(out, "corpus      %s documents, %s tokens, %llu truncated%s\n", app_number(c->n, a),
              app_number(r->tokens, b), (unsigned long long)r->truncated,
              c->is_cut ? "; cut at BENCH_TEXT_MAX or BENCH_DOCS_MAX" : "");
    if (c->n_unreadable > 0)
        app_print(out, "            %s more could not be read\n", app_number(c->n_unreadable, a));
    app_print(
        out,
        "time        %.3f s, the median of %llu (best %.3f s); of it on the processor %.3f s\n",
        (double)r->ns / 1e9, (unsigned long long)o->repeat, (double)f->best_ns / 1e9,
        (double)r->cpu_ns / 1e9);
    app_print(out, "speed       %.1f documents/s, %s tokens/s\n", per_second(c->n, r->ns),
              app_number((uint64_t)per_second(r->tokens, r->ns), a));
    app_print(out, "arithmetic  %.2f GFLOP, %.1f GFLOP/s\n", r->flops / 1e9,
              r->ns > 0 ? r->flops / (double)r->ns : 0);
    app_print(out, "core's peak %.1f GFLOP/s (%.1f before, %.1f after)\n", f->peak / 1e9,
              f->peak_before / 1e9, f->peak_after / 1e9);
    app_print(out, "ratio       %.3f of the peak (best %.3f; by time on the processor %.3f)\n",
              share_of_peak(f, r->ns), share_of_peak(f, f->best_ns), share_of_peak(f, r->cpu_ns));
    app_print(out, "memory      %s peak resident, of it pack %s, arena %s\n",
              app_megabytes(f->peak_rss_bytes, a), app_megabytes(facts->pack_bytes, b),
              app_megabytes(facts->arena_bytes, d));
    app_print(out,
              "start       %.1f ms from process start to the first vector, the median of %u "
              "(least %.1f ms)\n",
              (double)f->start.median_ns / 1e6, f->start.n, (double)f->start.least_ns / 1e6);
}

vecmill_status cmd_bench(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    const struct job_options job = app_job_options(o);
    VM_TRY(app_input_check(&job, err));

    vecmill_session *session = NULL;
    struct corpus c = {0};
    struct figures f;
    buf_init(&c.text, BENCH_TEXT_MAX, "BENCH_TEXT_MAX");
    buf_init(&c.ends, BENCH_DOCS_MAX * sizeof(uint64_t), "BENCH_DOCS_MAX");
    vecmill_status status = app_session_open(o, &session, err);
    if (status == VECMILL_OK) status = corpus_read(o, &c, err);
    if (status == VECMILL_OK) status = measure(o, session, &c, &f, err);
    if (status == VECMILL_OK) status = start_time_measure(o, BENCH_STARTS, &f.start, err);
    if (status == VECMILL_OK) {
        const vecmill_facts facts = app_facts(session);
        (o->json ? print_json : print_text)(&app->out, o, &facts, &c, &f);
    }
    buf_done(&c.ends);
    buf_done(&c.text);
    vecmill_session_close(session);
    return status;
}
