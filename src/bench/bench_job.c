/* bench_job: the whole job, as `embed` does it: reading, tokenizing, computing in worker processes,
 * writing a .npy, its journal, and its place under its name.
 *
 * Each round has a pool of its own, as each run of `embed` has; its clock runs from when all workers are
 * ready to when the file is in place. What the documents take is counted before, outside of any round, by a
 * session that is closed again, so that this process holds in a round what `embed` holds. */
#include "bench.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WARM_DOCS_A_WORKER 32u          /* of the warm-up: some batches for each */
#define READY_WAIT_NS      10000000000u /* for workers after the first, for which the pool waits */

struct bench_job {
    const struct options *o;
    const char *program; /* vecmill */
    /* The same, with the plan's number of workers: a pool that is asked for a number starts all of them,
     * whether there is work for them or not. */
    struct options counted;
    const atomic_int *stop;
    struct temp_folder folder;
    struct bench_figures f;
    char copy[IO_PATH_MAX], warm[IO_PATH_MAX], output[IO_PATH_MAX];
};

/* What the corpus takes: tokens and operations, by the tokenizer of a session. */
static vecmill_status count_corpus(struct bench_job *b, vecmill_session *session,
                                   const struct bench_corpus *c, vecmill_err *err)
{
    const uint32_t most = app_facts(session).max_length;
    void *ids;
    VM_TRY(mem_new_array(most, sizeof(int32_t), "token ids", &ids, err));
    vecmill_status status = VECMILL_OK;
    for (uint64_t i = 0; i < c->n && status == VECMILL_OK; i++) {
        size_t n_ids;
        vecmill_result r = {.n_tokens = 0};
        status = vecmill_tokenize(session, bench_corpus_doc(c, i), ids, most, &n_ids, &r, err);
        if (status == VECMILL_OK) status = bench_stopped(b->stop, err);
        b->f.tokens += r.n_tokens;
        b->f.truncated += r.truncated;
        b->f.replaced_bytes += r.replaced_bytes;
        b->f.flops += vecmill_session_flops(session, r.n_tokens);
    }
    mem_free(ids);
    return status;
}

static vecmill_status measure_peak(struct bench_job *b, const struct bench_corpus *c, double *peak,
                                   vecmill_err *err)
{
    vecmill_session *session = NULL;
    VM_TRY(app_session_open(b->o, &session, err));
    vecmill_status status = VECMILL_OK;
    if (c) status = count_corpus(b, session, c, err);
    const vecmill_facts facts = app_facts(session);
    bench_take_facts(&b->f, &facts);
    if (status == VECMILL_OK)
        status = bench_peak(session, b->f.cores, BENCH_PEAK_SECONDS, peak, err);
    vecmill_session_close(session);
    return status == VECMILL_OK ? bench_stopped(b->stop, err) : status;
}

/* As many as there will be workers, which the plan knows. */
static vecmill_status choose_cores(struct bench_job *b, vecmill_err *err)
{
    struct job_options job = app_job_options(b->o);
    vecmill_plan plan;
    job.output = b->output;
    VM_TRY(app_pool_plan(b->o, &job, &plan, err));
    b->f.cores = bench_cores(plan.workers);
    b->counted = *b->o;
    b->counted.workers = plan.workers;
    return VECMILL_OK;
}

/* Reads the corpus, and writes down what the jobs read: where the input is no file, or not distinct, a
 * copy; and a piece of it to warm up with. Its memory is given back. */
static vecmill_status prepare_files(struct bench_job *b, vecmill_err *err)
{
    struct bench_corpus c;
    VM_TRY(io_join(b->folder.dir, "corpus.jsonl", b->copy, err));
    VM_TRY(io_join(b->folder.dir, "warm.jsonl", b->warm, err));
    VM_TRY(io_join(b->folder.dir, "vectors.npy", b->output, err));
    VM_TRY(bench_corpus_read(b->o, BENCH_DOCS_MAX, b->stop, &c, err));
    bench_take_corpus(&b->f, &c);
    b->f.is_copy = !bench_corpus_is_file(&c, b->o);
    vecmill_status status = choose_cores(b, err);
    const uint64_t n_warm = num_min(c.n, (uint64_t)WARM_DOCS_A_WORKER * b->f.cores);
    if (status == VECMILL_OK) status = bench_corpus_write(&c, n_warm, b->warm, err);
    if (status == VECMILL_OK && b->f.is_copy) status = bench_corpus_write(&c, c.n, b->copy, err);
    if (status == VECMILL_OK) status = measure_peak(b, &c, &b->f.peak_before, err);
    bench_corpus_done(&c);
    return status;
}

/* Waits until all workers are ready, so that none is started within a round. Where memory is short some
 * may not come for long: the round begins without them. */
static vecmill_status wait_for_workers(struct bench_job *b, vecmill_pool *pool, vecmill_err *err)
{
    const uint64_t begin = clock_ns();
    for (;;) {
        vecmill_pool_counts counts = {.struct_bytes = sizeof(counts)};
        vecmill_pool_count(pool, &counts);
        b->f.workers = counts.workers;
        if (counts.ready == counts.workers || clock_ns() - begin > READY_WAIT_NS) return VECMILL_OK;
        VM_TRY(bench_stopped(b->stop, err));
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

static vecmill_status run_pool(struct bench_job *b, const struct job_options *job,
                               struct bench_tree *tree, vecmill_pool *pool,
                               struct bench_round *round, struct job_progress *total,
                               vecmill_err *err)
{
    const struct job_hooks hooks = {.stop = b->stop};
    vecmill_plan plan = {.struct_bytes = sizeof(plan)};
    vecmill_pool_planned(pool, &plan);
    b->f.plan_bytes = plan.total_bytes;
    VM_TRY(wait_for_workers(b, pool, err));
    const uint64_t begin = clock_ns(), begin_cpu = bench_tree_cpu_ns(tree);
    VM_TRY(job_run(job, pool, &hooks, total, err));
    const uint64_t end_cpu = bench_tree_cpu_ns(tree);
    round->ns = clock_ns() - begin;
    /* A worker that died takes its time along, so that the sum may even have gone back. */
    round->cpu_ns = end_cpu > begin_cpu ? end_cpu - begin_cpu : 0;
    return VECMILL_OK;
}

/* One job over one pool. */
static vecmill_status run_round(struct bench_job *b, const struct job_options *job,
                                struct bench_round *round, struct job_progress *total,
                                vecmill_err *err)
{
    struct bench_tree tree;
    vecmill_pool *pool = NULL;
    VM_TRY(bench_tree_open(&tree, err));
    vecmill_status status = app_pool_open(&b->counted, job, 0, bench_tree_event, &tree, &pool, err);
    if (status == VECMILL_OK) status = run_pool(b, job, &tree, pool, round, total, err);
    b->f.deaths += bench_tree_deaths(&tree); /* what vecmill_pool_close ends is none */
    vecmill_pool_close(pool);
    bench_tree_close(&tree);
    if (tree.memory_bytes > b->f.memory_bytes) b->f.memory_bytes = tree.memory_bytes;
    if (tree.file_bytes > b->f.file_bytes) b->f.file_bytes = tree.file_bytes;
    return status;
}

/* That the job did what was counted. */
static vecmill_status check(const struct bench_job *b, const struct job_progress *total,
                            vecmill_err *err)
{
    if (total->documents == b->f.documents && total->tokens == b->f.tokens) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT,
                   "%s: %llu documents of %llu tokens were counted, the job computed %llu of %llu; "
                   "does somebody write it?",
                   b->o->input, (unsigned long long)b->f.documents, (unsigned long long)b->f.tokens,
                   (unsigned long long)total->documents, (unsigned long long)total->tokens);
}

static vecmill_status run_rounds(struct bench_job *b, struct bench_round *rounds, vecmill_err *err)
{
    struct job_progress total = {0};
    struct bench_round unused = {0};
    struct job_options job = app_job_options(b->o);
    job.output = b->output;
    job.force = true;
    if (b->f.is_copy) {
        job.input = b->copy;
        job.input_format = "jsonl";
        job.field = job.id_field = job.encoding = job.delimiter = NULL;
    }
    struct job_options warm = job;
    warm.input = b->warm;
    warm.input_format = "jsonl";
    warm.field = warm.id_field = warm.encoding = warm.delimiter = NULL;
    VM_TRY(run_round(b, &warm, &unused, &total, err));
    b->f.memory_bytes = b->f.file_bytes = b->f.deaths = 0;
    for (uint64_t i = 0; i < b->f.rounds; i++) {
        (void)unlink(b->output);
        VM_TRY(run_round(b, &job, &rounds[i], &total, err));
        VM_TRY(check(b, &total, err));
    }
    return VECMILL_OK;
}

static vecmill_status measure_job(struct bench_job *b, vecmill_err *err)
{
    void *rounds = NULL;
    VM_TRY(mem_new_array(b->f.rounds, sizeof(struct bench_round), "rounds", &rounds, err));
    vecmill_status status = prepare_files(b, err);
    if (status == VECMILL_OK) status = run_rounds(b, rounds, err);
    if (status == VECMILL_OK) bench_take_rounds(&b->f, rounds, b->f.rounds);
    mem_free(rounds);
    if (status == VECMILL_OK) status = measure_peak(b, NULL, &b->f.peak_after, err);
    if (status == VECMILL_OK)
        status = start_time_measure(b->program, b->o, BENCH_STARTS, b->stop, &b->f.start, err);
    return status;
}

vecmill_status bench_job(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct bench_job b = {
        .o = o, .program = app->argv[0], .f = {.mode = "job", .rounds = o->repeat}};
    app_raise_descriptors();
    b.stop = signals_defer(); /* the folder is removed, whatever comes */
    vecmill_status status = temp_folder_open(&b.folder, "bench", err);
    if (status == VECMILL_OK) status = measure_job(&b, err);
    temp_folder_close(&b.folder);
    if (signals_undefer() && status != VECMILL_E_STOPPED)
        status = err_set(err, VECMILL_E_STOPPED, "stopped by a signal during the measurement");
    if (status == VECMILL_OK) bench_report(app, &b.f);
    return status;
}
