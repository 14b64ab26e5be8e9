/* bench: the program vecmill-bench, which is the command `vecmill bench`. One file a part:
 *
 *   bench_corpus    the documents: read, made distinct, written down for a job
 *   bench_peak      what the cores can do, all at once
 *   bench_tree      memory and processor time of this process and its workers
 *   bench_job       the whole job over worker processes, as `embed` does it
 *   bench_session   one session in this process
 *   bench_report    the figures of these two, in words and as JSON
 *   bench_latency   one short text at a time
 *   bench_accuracy  precisions against fp32
 *
 * Every figure is measured in the run that reports it. */
#ifndef BENCH_H
#define BENCH_H

#include "app/app.h"
#include "start_time.h"
#include "vecmill_bench.h"

#include <pthread.h>

#define BENCH_TEXT_MAX     (64u << 20) /* bytes of text held; the corpus is cut there, and it is said */
#define BENCH_DOCS_MAX     1000000u
#define BENCH_PEAK_SECONDS 0.5
#define BENCH_STARTS       11u /* processes whose start is timed */

vecmill_status bench_job(struct app *app, vecmill_err *err);
vecmill_status bench_session(struct app *app, vecmill_err *err);
vecmill_status bench_latency(struct app *app, vecmill_err *err);
vecmill_status bench_accuracy(struct app *app, vecmill_err *err);

/* E_STOPPED when a signal was deferred and has come. stop: of signals_defer, or NULL. */
vecmill_status bench_stopped(const atomic_int *stop, vecmill_err *err);

/* ---- the corpus ---- */

struct bench_corpus {
    struct buf text;
    struct buf ends; /* uint64_t each: where document i ends in text */
    uint64_t n;
    uint64_t n_unreadable; /* left out */
    uint64_t n_duplicates; /* left out: the bytes of a document before them */
    bool is_cut;           /* the input holds more than BENCH_TEXT_MAX or most_docs */
    uint64_t most_docs;
};

/* Reads --input and leaves out what is unreadable and what is there twice; at most most_docs documents.
 * E_INPUT: nothing is left. Pair: bench_corpus_done, which accepts zeros. */
vecmill_status bench_corpus_read(const struct options *o, uint64_t most_docs,
                                 const atomic_int *stop, struct bench_corpus *c, vecmill_err *err);
void bench_corpus_done(struct bench_corpus *c);

/* Borrowed until bench_corpus_done. */
vecmill_doc bench_corpus_doc(const struct bench_corpus *c, uint64_t i);

/* Whether the input is a file that holds these documents and nothing else. */
bool bench_corpus_is_file(const struct bench_corpus *c, const struct options *o);

/* The first n_docs documents as JSON lines into a new file; bytes of invalid UTF-8 become U+FFFD. */
vecmill_status bench_corpus_write(const struct bench_corpus *c, uint64_t n_docs, const char *path,
                                  vecmill_err *err);

/* A few dozen English sentences, [*n]; static. */
const vecmill_doc *bench_texts(size_t *n);

/* ---- what the cores can do ---- */

/* Cores that `wanted` threads or workers can keep busy: no more than affinity and quota allow. */
uint32_t bench_cores(uint64_t wanted);

/* The peak of the session's multiply-adds over n_cores cores at once: a thread pinned to each of the first
 * allowed processors, in slices of BENCH_SLICE_S that begin together; operations a second, those of the
 * threads added up within each slice, the best slice of about `seconds`. The caller waits. */
vecmill_status bench_peak(const vecmill_session *session, uint32_t n_cores, double seconds,
                          double *peak, vecmill_err *err);

/* ---- this process and its workers ---- */

struct bench_tree {
    pthread_mutex_t lock;
    struct workers workers; /* under the lock */
    pthread_t sampler;
    atomic_bool is_over;
    /* The most that was seen of the sum, and of one process; after bench_tree_close. */
    uint64_t memory_bytes; /* anonymous and shared memory (RssAnon, RssShmem), all processes */
    uint64_t file_bytes; /* file-backed (RssFile), the largest of one process: pack and programs */
};

/* From now on memory is looked at every BENCH_SAMPLE_NS by a thread. Pair: bench_tree_close. */
vecmill_status bench_tree_open(struct bench_tree *t, vecmill_err *err);
void bench_tree_close(struct bench_tree *t);

/* vecmill_pool_options.on_event; context is the tree. */
void bench_tree_event(void *context, const vecmill_event *event);

/* Workers that have died so far. */
uint64_t bench_tree_deaths(struct bench_tree *t);

/* Processor time of this process and the live workers so far, in ns. */
uint64_t bench_tree_cpu_ns(struct bench_tree *t);

/* ---- the figures of a job or a session ---- */

struct bench_round {
    uint64_t ns;
    uint64_t
        cpu_ns; /* of all threads and processes: smaller than cores * ns where others had them */
};

struct bench_figures {
    const char *mode;    /* "job", "in-process" */
    vecmill_facts facts; /* without its strings, which are a session's */
    char isa[16];
    uint32_t workers; /* 0: in this process */
    uint32_t cores;   /* whose peak was measured */
    uint64_t documents, duplicates, unreadable, tokens, truncated, replaced_bytes;
    bool is_cut, is_copy; /* is_copy: the job read a copy in a temporary folder */
    double flops;         /* of one round */
    uint64_t rounds;
    struct bench_round median, best; /* by ns */
    double peak_before, peak_after;
    uint64_t memory_bytes, file_bytes; /* of bench_tree, the most of all rounds */
    uint64_t plan_bytes;               /* 0: in this process */
    uint64_t deaths;                   /* of workers */
    struct start_time start;
};

/* Sorts rounds[n] by time and takes the median and the best. */
void bench_take_rounds(struct bench_figures *f, struct bench_round *rounds, uint64_t n);

/* What the figures say of a session, a pool, the corpus. */
void bench_take_facts(struct bench_figures *f, const vecmill_facts *facts);
void bench_take_corpus(struct bench_figures *f, const struct bench_corpus *c);

void bench_report(struct app *app, const struct bench_figures *f);

#endif
