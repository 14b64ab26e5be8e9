/* bench_session: one session in this process, call after call over a corpus in memory, tokenizing
 * included: what a worker does, without the job around it. */
#include "bench.h"

#define WINDOW_DOCS 1024u /* documents of one call */

/* A window's documents, vectors and results: [WINDOW_DOCS] of each. */
struct bench_window {
    vecmill_doc *docs;
    float *vectors;
    vecmill_result *results;
};

/* Counts tokens and operations too, which are those of every round. */
static vecmill_status run_round(vecmill_session *session, const struct bench_corpus *c,
                                const struct bench_window *w, struct bench_tree *tree,
                                struct bench_figures *f, struct bench_round *round,
                                vecmill_err *err)
{
    *round = (struct bench_round){0};
    f->tokens = f->truncated = f->replaced_bytes = 0;
    f->flops = 0;
    for (uint64_t first = 0; first < c->n; first += WINDOW_DOCS) {
        const size_t n = num_min(WINDOW_DOCS, c->n - first);
        for (size_t i = 0; i < n; i++)
            w->docs[i] = bench_corpus_doc(c, first + i);
        const uint64_t begin = clock_ns(), begin_cpu = bench_tree_cpu_ns(tree);
        VM_TRY(vecmill_embed(session, w->docs, n, w->vectors, w->results, err));
        round->cpu_ns += bench_tree_cpu_ns(tree) - begin_cpu;
        round->ns += clock_ns() - begin;
        for (size_t i = 0; i < n; i++) {
            const vecmill_result *result = &w->results[i];
            f->tokens += result->n_tokens;
            f->truncated += result->truncated;
            f->replaced_bytes += result->replaced_bytes;
            f->flops += vecmill_session_flops(session, result->n_tokens);
        }
    }
    return VECMILL_OK;
}

static vecmill_status run_rounds(vecmill_session *session, const struct bench_corpus *c,
                                 struct bench_tree *tree, struct bench_figures *f,
                                 struct bench_round *rounds, vecmill_err *err)
{
    void *docs = NULL, *vectors = NULL, *results = NULL;
    vecmill_status status =
        mem_new_array(WINDOW_DOCS, sizeof(vecmill_doc), "documents", &docs, err);
    if (status == VECMILL_OK)
        status = mem_new_array(WINDOW_DOCS, f->facts.dim * sizeof(float), "vectors", &vectors, err);
    if (status == VECMILL_OK)
        status = mem_new_array(WINDOW_DOCS, sizeof(vecmill_result), "results", &results, err);
    const struct bench_window w = {.docs = docs, .vectors = vectors, .results = results};
    for (uint64_t i = 0; i < f->rounds && status == VECMILL_OK; i++)
        status = run_round(session, c, &w, tree, f, &rounds[i], err);
    mem_free(results);
    mem_free(vectors);
    mem_free(docs);
    return status;
}

static vecmill_status measure_session(const struct app *app, vecmill_session *session,
                                      const struct bench_corpus *c, struct bench_figures *f,
                                      vecmill_err *err)
{
    struct bench_tree tree;
    void *rounds = NULL;
    VM_TRY(mem_new_array(f->rounds, sizeof(struct bench_round), "rounds", &rounds, err));
    vecmill_status status = bench_peak(session, f->cores, BENCH_PEAK_SECONDS, &f->peak_before, err);
    if (status == VECMILL_OK) status = bench_tree_open(&tree, err);
    if (status == VECMILL_OK) {
        status = run_rounds(session, c, &tree, f, rounds, err);
        bench_tree_close(&tree);
        f->memory_bytes = tree.memory_bytes;
        f->file_bytes = tree.file_bytes;
    }
    if (status == VECMILL_OK) bench_take_rounds(f, rounds, f->rounds);
    mem_free(rounds);
    if (status == VECMILL_OK)
        status = bench_peak(session, f->cores, BENCH_PEAK_SECONDS, &f->peak_after, err);
    if (status == VECMILL_OK)
        status = start_time_measure(app->argv[0], app->options, BENCH_STARTS, NULL, &f->start, err);
    return status;
}

vecmill_status bench_session(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct bench_figures f = {.mode = "in-process", .rounds = o->repeat};
    struct bench_corpus c;
    vecmill_session *session = NULL;
    VM_TRY(bench_corpus_read(o, BENCH_DOCS_MAX, NULL, &c, err));
    vecmill_status status = app_session_open(o, &session, err);
    if (status == VECMILL_OK) {
        const vecmill_facts facts = app_facts(session);
        bench_take_facts(&f, &facts);
        f.cores = bench_cores(f.facts.threads);
        bench_take_corpus(&f, &c);
        status = measure_session(app, session, &c, &f, err);
    }
    if (status == VECMILL_OK) bench_report(app, &f);
    vecmill_session_close(session);
    bench_corpus_done(&c);
    return status;
}
