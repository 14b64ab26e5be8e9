/* bench_accuracy: what a precision costs: the vectors of the same texts, by each precision and by fp32, and
 * how well they follow people's judgement of pairs of sentences.
 *
 * The reference is computed by a session of its own, so that fp32 against it says that a second
 * computation gives the same bits. A precision that this machine has no arithmetic for is named and left
 * out. */
#include "bench.h"

#include "pairs.h"
#include "statistics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ACCURACY_DOCS_MAX 10000u /* of the input; their vectors are held */
#define WINDOW_DOCS       256u   /* of one call */
#define N_PRECISIONS      3u

struct accuracy_line {
    vecmill_precision precision;
    bool is_there;
    char why[sizeof(((vecmill_err *)NULL)->message)]; /* when it is not */
    double cosine_min, cosine_mean;
    bool is_same_bits;
    double spearman; /* with pairs */
    char identity[40];
    uint64_t pack_bytes, arena_bytes;
};

struct accuracy {
    const struct options *o;
    struct bench_corpus corpus;
    struct pairs pairs;
    vecmill_doc *texts; /* [n_texts], then those of the pairs: [n_all] in all */
    size_t n_texts, n_all;
    uint32_t dim;
    char isa[16];
    float *reference, *vectors; /* [n_all, dim] */
    struct accuracy_line lines[N_PRECISIONS];
    uint32_t n_lines;
};

/* ---- texts ---- */

static vecmill_status gather_texts(struct accuracy *a, vecmill_err *err)
{
    size_t n_built_in;
    const vecmill_doc *built_in = bench_texts(&n_built_in);
    if (a->o->stsb) VM_TRY(pairs_open(a->o->stsb, &a->pairs, err));
    if (a->o->input) VM_TRY(bench_corpus_read(a->o, ACCURACY_DOCS_MAX, NULL, &a->corpus, err));
    a->n_texts = a->o->input ? (size_t)a->corpus.n : n_built_in;
    a->n_all = a->n_texts + 2 * a->pairs.n;
    void *texts;
    VM_TRY(mem_new_array(a->n_all, sizeof(vecmill_doc), "texts", &texts, err));
    a->texts = texts;
    for (size_t i = 0; i < a->n_texts; i++)
        a->texts[i] = a->o->input ? bench_corpus_doc(&a->corpus, i) : built_in[i];
    if (a->pairs.n > 0)
        memcpy(a->texts + a->n_texts, a->pairs.docs, 2 * a->pairs.n * sizeof(vecmill_doc));
    return VECMILL_OK;
}

/* ---- computing ---- */

static vecmill_status open_precision(const struct accuracy *a, vecmill_precision precision,
                                     vecmill_session **session, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    vecmill_options options;
    VM_TRY(app_library_options(a->o, dir, &options, err));
    options.precision = precision;
    return vecmill_session_open(&options, session, err);
}

static vecmill_status embed_texts(const struct accuracy *a, vecmill_session *session,
                                  float *vectors, vecmill_err *err)
{
    for (size_t first = 0; first < a->n_all; first += WINDOW_DOCS)
        VM_TRY(vecmill_embed(session, a->texts + first, num_min(WINDOW_DOCS, a->n_all - first),
                             vectors + first * a->dim, NULL, err));
    return VECMILL_OK;
}

static vecmill_status compute_reference(struct accuracy *a, vecmill_err *err)
{
    vecmill_session *session = NULL;
    void *reference = NULL, *vectors = NULL;
    VM_TRY(open_precision(a, VECMILL_FP32, &session, err));
    const vecmill_facts facts = app_facts(session);
    a->dim = facts.dim;
    (void)snprintf(a->isa, sizeof(a->isa), "%s", facts.isa);
    const size_t row = a->dim * sizeof(float);
    vecmill_status status = mem_new_array(a->n_all, row, "vectors", &reference, err);
    a->reference = reference;
    if (status == VECMILL_OK) status = mem_new_array(a->n_all, row, "vectors", &vectors, err);
    a->vectors = vectors;
    if (status == VECMILL_OK) status = embed_texts(a, session, a->reference, err);
    vecmill_session_close(session);
    return status;
}

static void compare_vectors(const struct accuracy *a, struct accuracy_line *line)
{
    line->cosine_min = 1;
    line->cosine_mean = 0;
    for (size_t i = 0; i < a->n_texts; i++) {
        const size_t at = i * a->dim;
        const double cosine = stat_cosine(a->vectors + at, a->reference + at, a->dim);
        if (cosine < line->cosine_min) line->cosine_min = cosine;
        line->cosine_mean += cosine / (double)a->n_texts;
    }
    line->is_same_bits = memcmp(a->vectors, a->reference, a->n_all * a->dim * sizeof(float)) == 0;
}

static vecmill_status correlate_pairs(const struct accuracy *a, double *spearman, vecmill_err *err)
{
    void *memory;
    VM_TRY(mem_new_array(a->pairs.n, sizeof(double), "cosines", &memory, err));
    double *cosines = memory;
    for (size_t i = 0; i < a->pairs.n; i++) {
        const float *first = a->vectors + (a->n_texts + 2 * i) * a->dim;
        cosines[i] = stat_cosine(first, first + a->dim, a->dim);
    }
    const vecmill_status status =
        stat_spearman(cosines, a->pairs.scores, a->pairs.n, spearman, err);
    mem_free(memory);
    return status;
}

static vecmill_status measure_precision(struct accuracy *a, vecmill_precision precision,
                                        vecmill_err *err)
{
    struct accuracy_line *line = &a->lines[a->n_lines++];
    vecmill_session *session = NULL;
    vecmill_err why;
    line->precision = precision;
    vecmill_status status = open_precision(a, precision, &session, &why);
    if (status == VECMILL_E_UNSUPPORTED && precision != VECMILL_FP32) {
        (void)snprintf(line->why, sizeof(line->why), "%s", why.message);
        return VECMILL_OK;
    }
    if (status != VECMILL_OK) {
        *err = why;
        return status;
    }
    const vecmill_facts facts = app_facts(session);
    line->is_there = true;
    line->pack_bytes = facts.pack_bytes;
    line->arena_bytes = facts.arena_bytes;
    (void)snprintf(line->identity, sizeof(line->identity), "%s", facts.identity);
    status = embed_texts(a, session, a->vectors, err);
    vecmill_session_close(session);
    if (status != VECMILL_OK) return status;
    compare_vectors(a, line);
    return a->pairs.n > 0 ? correlate_pairs(a, &line->spearman, err) : VECMILL_OK;
}

/* ---- printing ---- */

static void print_json_line(struct app_out *out, const struct accuracy *a,
                            const struct accuracy_line *line)
{
    app_json_open(out, '{');
    app_json_key_string(out, "precision", options_precision_word(line->precision));
    app_json_key_string(out, "unsupported", line->is_there ? NULL : line->why);
    if (line->is_there) {
        app_json_key_real(out, "cosine_min", line->cosine_min, 8);
        app_json_key_real(out, "cosine_mean", line->cosine_mean, 8);
        app_json_key_bool(out, "same_bits", line->is_same_bits);
        app_json_key_real(out, "spearman", a->pairs.n > 0 ? line->spearman : (double)NAN, 6);
        app_json_key_string(out, "identity", line->identity);
        app_json_key_u64(out, "pack_bytes", line->pack_bytes);
        app_json_key_u64(out, "arena_bytes", line->arena_bytes);
    }
    app_json_close(out, '}');
}

static void print_accuracy_json(struct app_out *out, const struct accuracy *a)
{
    app_json_open(out, '{');
    app_json_key_string(out, "version", vecmill_version());
    app_json_key_string(out, "mode", "accuracy");
    app_json_key_string(out, "model", a->o->model);
    app_json_key_string(out, "isa", a->isa);
    app_json_key_string(out, "input", a->o->input);
    app_json_key_u64(out, "texts", a->n_texts);
    app_json_key_bool(out, "corpus_cut", a->corpus.is_cut);
    app_json_key_u64(out, "pairs", a->pairs.n);
    app_json_key(out, "precisions");
    app_json_open(out, '[');
    for (uint32_t i = 0; i < a->n_lines; i++)
        print_json_line(out, a, &a->lines[i]);
    app_json_close(out, ']');
    app_json_close(out, '}');
    app_json_line(out);
}

static void print_text_line(struct app_out *out, const struct accuracy *a,
                            const struct accuracy_line *line)
{
    char pack[APP_NUMBER_BYTES], spearman[16] = "-";
    const char *word = options_precision_word(line->precision);
    if (!line->is_there) {
        app_print(out, "%-9s  left out: %s\n", word, line->why);
        return;
    }
    if (a->pairs.n > 0) (void)snprintf(spearman, sizeof(spearman), "%.6f", line->spearman);
    app_print(out, "%-9s  %10.8f  %11.8f  %9s  %8s  %9s  %s\n", word, line->cosine_min,
              line->cosine_mean, line->is_same_bits ? "yes" : "no", spearman,
              app_megabytes(line->pack_bytes, pack), line->identity);
}

static void print_accuracy_text(struct app_out *out, const struct accuracy *a)
{
    char n[APP_NUMBER_BYTES];
    app_print(out, "model      %s, %s\n", a->o->model, a->isa);
    app_print(out, "texts      %s of %s%s\n", app_number(a->n_texts, n),
              a->o->input ? a->o->input : "the built-in sentences",
              a->corpus.is_cut ? ", cut at ACCURACY_DOCS_MAX or BENCH_TEXT_MAX" : "");
    if (a->pairs.n > 0)
        app_print(out, "pairs      %s of %s\n", app_number(a->pairs.n, n), a->o->stsb);
    app_print(out,
              "\nprecision  cosine min  cosine mean  same bits  Spearman       pack  identity\n");
    for (uint32_t i = 0; i < a->n_lines; i++)
        print_text_line(out, a, &a->lines[i]);
}

static vecmill_status measure_all(struct accuracy *a, vecmill_err *err)
{
    const bool is_all = a->o->precision == PRECISION_AUTO;
    const vecmill_precision wanted = options_precision(a->o);
    VM_TRY(gather_texts(a, err));
    VM_TRY(compute_reference(a, err));
    VM_TRY(measure_precision(a, VECMILL_FP32, err));
    if (is_all || wanted == VECMILL_BF16) VM_TRY(measure_precision(a, VECMILL_BF16, err));
    if (is_all || wanted == VECMILL_INT8) VM_TRY(measure_precision(a, VECMILL_INT8, err));
    return VECMILL_OK;
}

vecmill_status bench_accuracy(struct app *app, vecmill_err *err)
{
    struct accuracy a = {.o = app->options};
    vecmill_err why;
    const vecmill_status status = measure_all(&a, &why);
    if (status == VECMILL_OK)
        (a.o->json ? print_accuracy_json : print_accuracy_text)(&app->out, &a);
    else if (err)
        *err = why;
    mem_free(a.vectors);
    mem_free(a.reference);
    mem_free(a.texts);
    bench_corpus_done(&a.corpus);
    pairs_close(&a.pairs);
    return status;
}
