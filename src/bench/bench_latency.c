/* bench_latency: how long one short text takes, one at a time: by one thread, and by several together.
 *
 * Texts are made of the words that the corpus, or the built-in sentences, bring, one after another until
 * there are as many tokens as wanted; TEXTS of each length, in turn, that begin at other words. */
#include "bench.h"

#include "statistics.h"

#include <stdio.h>
#include <string.h>

#define CALLS       1000u /* for each line, times --repeat */
#define WARM_CALLS  20u
#define TEXTS       16u
#define WORDS_BYTES ((size_t)1 << 20) /* of the corpus that are looked at */
#define WORDS_DOCS  10000u
#define TEXT_BYTES  65536u /* of a text made of words */
#define N_LENGTHS   4u
#define N_SETTINGS  2u

static const uint32_t lengths[N_LENGTHS] = {4, 16, 64, 256}; /* in tokens, special ones included */

struct latency_line {
    uint32_t threads;
    uint32_t tokens;    /* wanted */
    double tokens_mean; /* had: a word may be more than one, and max_length fewer than wanted */
    double least_us, p50_us, p99_us, mean_us;
};

struct latency {
    const struct options *o;
    struct buf words; /* all texts with a blank between them */
    char texts[TEXTS][TEXT_BYTES];
    vecmill_doc docs[TEXTS];
    double tokens_mean;
    uint64_t n_calls;
    double *times_us; /* [n_calls] */
    float *vector;
    int32_t *ids;
    struct latency_line lines[N_SETTINGS * N_LENGTHS];
    uint32_t n_lines;
    char isa[16];
    vecmill_precision precision;
};

/* ---- texts ---- */

static vecmill_status add_words(struct latency *l, vecmill_doc doc, vecmill_err *err)
{
    const size_t bytes = num_min(doc.bytes, WORDS_BYTES - l->words.bytes);
    if (bytes > 0) VM_TRY(buf_add(&l->words, doc.text, bytes, err));
    return buf_add(&l->words, " ", 1, err);
}

static vecmill_status gather_words(struct latency *l, vecmill_err *err)
{
    buf_init(&l->words, 2 * WORDS_BYTES, "WORDS_BYTES");
    if (!l->o->input) {
        size_t n;
        const vecmill_doc *docs = bench_texts(&n);
        for (size_t i = 0; i < n; i++)
            VM_TRY(add_words(l, docs[i], err));
        return VECMILL_OK;
    }
    struct bench_corpus c;
    vecmill_status status = bench_corpus_read(l->o, WORDS_DOCS, NULL, &c, err);
    if (status != VECMILL_OK) return status;
    for (uint64_t i = 0; i < c.n && status == VECMILL_OK && l->words.bytes < WORDS_BYTES; i++)
        status = add_words(l, bench_corpus_doc(&c, i), err);
    bench_corpus_done(&c);
    return status;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* The next word from *at on, around the end; false: there is none at all. */
static bool next_word(const struct latency *l, size_t *at, const char **word, size_t *bytes)
{
    const char *text = l->words.data;
    const size_t n = l->words.bytes;
    size_t looked = 0;
    while (looked < n && is_blank(text[*at])) {
        *at = (*at + 1) % n;
        looked++;
    }
    if (looked == n) return false;
    const size_t begin = *at;
    while (*at < n && !is_blank(text[*at]))
        (*at)++;
    *word = text + begin;
    *bytes = *at - begin;
    *at %= n;
    return true;
}

/* One text of `wanted` tokens or a few more, from *at on; fewer where max_length or TEXT_BYTES ends it. */
static vecmill_status make_text(struct latency *l, vecmill_session *session, uint32_t wanted,
                                uint32_t max_length, size_t *at, uint32_t i_text, vecmill_err *err)
{
    char *text = l->texts[i_text];
    size_t bytes = 0, n_ids = 0, word_bytes;
    const char *word;
    while (next_word(l, at, &word, &word_bytes)) {
        if (word_bytes + 1 > TEXT_BYTES - bytes) break;
        if (bytes > 0) text[bytes++] = ' ';
        memcpy(text + bytes, word, word_bytes);
        bytes += word_bytes;
        vecmill_result result;
        VM_TRY(vecmill_tokenize(session, (vecmill_doc){.text = text, .bytes = bytes}, l->ids,
                                max_length, &n_ids, &result, err));
        if (n_ids >= wanted || result.truncated) break;
    }
    if (bytes == 0)
        return err_set(err, VECMILL_E_INPUT, "%s holds no word to make texts of", l->o->input);
    l->docs[i_text] = (vecmill_doc){.text = text, .bytes = bytes};
    l->tokens_mean += (double)n_ids / TEXTS;
    return VECMILL_OK;
}

static vecmill_status make_texts(struct latency *l, vecmill_session *session, uint32_t wanted,
                                 uint32_t max_length, vecmill_err *err)
{
    size_t at = 0;
    l->tokens_mean = 0;
    for (uint32_t i = 0; i < TEXTS; i++)
        VM_TRY(make_text(l, session, wanted, max_length, &at, i, err));
    return VECMILL_OK;
}

/* ---- measuring ---- */

static vecmill_status measure_line(struct latency *l, vecmill_session *session,
                                   struct latency_line *line, vecmill_err *err)
{
    double sum = 0;
    for (uint32_t i = 0; i < WARM_CALLS; i++)
        VM_TRY(vecmill_embed(session, &l->docs[i % TEXTS], 1, l->vector, NULL, err));
    for (uint64_t i = 0; i < l->n_calls; i++) {
        const uint64_t begin = clock_ns();
        VM_TRY(vecmill_embed(session, &l->docs[i % TEXTS], 1, l->vector, NULL, err));
        l->times_us[i] = (double)(clock_ns() - begin) / 1e3;
        sum += l->times_us[i];
    }
    stat_sort(l->times_us, l->n_calls);
    line->tokens_mean = l->tokens_mean;
    line->least_us = l->times_us[0];
    line->p50_us = stat_percentile(l->times_us, l->n_calls, 0.50);
    line->p99_us = stat_percentile(l->times_us, l->n_calls, 0.99);
    line->mean_us = sum / (double)l->n_calls;
    return VECMILL_OK;
}

static vecmill_status measure_lines(struct latency *l, vecmill_session *session,
                                    const vecmill_facts *facts, vecmill_err *err)
{
    (void)snprintf(l->isa, sizeof(l->isa), "%s", facts->isa);
    l->precision = facts->precision;
    for (uint32_t i = 0; i < N_LENGTHS; i++) {
        struct latency_line line = {.threads = facts->threads, .tokens = lengths[i]};
        VM_TRY(make_texts(l, session, lengths[i], facts->max_length, err));
        VM_TRY(measure_line(l, session, &line, err));
        l->lines[l->n_lines++] = line;
    }
    return VECMILL_OK;
}

static vecmill_status measure_threads(struct latency *l, uint32_t threads, vecmill_err *err)
{
    struct options with = *l->o;
    vecmill_session *session = NULL;
    void *vector = NULL, *ids = NULL;
    with.threads = threads;
    VM_TRY(app_session_open(&with, &session, err));
    const vecmill_facts facts = app_facts(session);
    vecmill_status status = mem_new_array(facts.dim, sizeof(float), "a vector", &vector, err);
    if (status == VECMILL_OK)
        status = mem_new_array(facts.max_length, sizeof(int32_t), "token ids", &ids, err);
    l->vector = vector;
    l->ids = ids;
    if (status == VECMILL_OK) status = measure_lines(l, session, &facts, err);
    mem_free(ids);
    mem_free(vector);
    vecmill_session_close(session);
    return status;
}

/* ---- printing ---- */

static void print_json_line(struct app_out *out, const struct latency *l,
                            const struct latency_line *line)
{
    app_json_open(out, '{');
    app_json_key_u64(out, "threads", line->threads);
    app_json_key_u64(out, "tokens", line->tokens);
    app_json_key_real(out, "tokens_mean", line->tokens_mean, 2);
    app_json_key_u64(out, "calls", l->n_calls);
    app_json_key_real(out, "least_us", line->least_us, 1);
    app_json_key_real(out, "p50_us", line->p50_us, 1);
    app_json_key_real(out, "p99_us", line->p99_us, 1);
    app_json_key_real(out, "mean_us", line->mean_us, 1);
    app_json_close(out, '}');
}

static void print_latency_json(struct app_out *out, const struct latency *l)
{
    app_json_open(out, '{');
    app_json_key_string(out, "version", vecmill_version());
    app_json_key_string(out, "mode", "latency");
    app_json_key_string(out, "model", l->o->model);
    app_json_key_string(out, "isa", l->isa);
    app_json_key_string(out, "precision", options_precision_word(l->precision));
    app_json_key_string(out, "words_of", l->o->input);
    app_json_key(out, "lines");
    app_json_open(out, '[');
    for (uint32_t i = 0; i < l->n_lines; i++)
        print_json_line(out, l, &l->lines[i]);
    app_json_close(out, ']');
    app_json_close(out, '}');
    app_json_line(out);
}

static void print_latency_text(struct app_out *out, const struct latency *l)
{
    app_print(out, "model   %s, %s, %s\n", l->o->model, l->isa,
              options_precision_word(l->precision));
    app_print(out,
              "texts   %u of each length, of the words of %s; %llu calls a line, one text each\n",
              TEXTS, l->o->input ? l->o->input : "the built-in sentences",
              (unsigned long long)l->n_calls);
    app_print(out, "\nthreads  tokens   p50 us   p99 us  mean us least us\n");
    for (uint32_t i = 0; i < l->n_lines; i++) {
        const struct latency_line *line = &l->lines[i];
        app_print(out, "%7u %7.1f %8.1f %8.1f %8.1f %8.1f\n", line->threads, line->tokens_mean,
                  line->p50_us, line->p99_us, line->mean_us, line->least_us);
    }
}

static vecmill_status measure_all(struct latency *l, vecmill_err *err)
{
    void *times;
    const uint32_t many = l->o->threads > 0 ? (uint32_t)l->o->threads : bench_cores(0);
    l->n_calls = CALLS * l->o->repeat;
    VM_TRY(gather_words(l, err));
    VM_TRY(mem_new_array(l->n_calls, sizeof(double), "times", &times, err));
    l->times_us = times;
    vecmill_status status = measure_threads(l, 1, err);
    if (status == VECMILL_OK && many > 1) status = measure_threads(l, many, err);
    mem_free(times);
    return status;
}

vecmill_status bench_latency(struct app *app, vecmill_err *err)
{
    void *memory;
    VM_TRY(mem_new(sizeof(struct latency), "texts", &memory, err));
    struct latency *l = memory;
    l->o = app->options;
    const vecmill_status status = measure_all(l, err);
    if (status == VECMILL_OK)
        (app->options->json ? print_latency_json : print_latency_text)(&app->out, l);
    buf_done(&l->words);
    mem_free(memory);
    return status;
}
