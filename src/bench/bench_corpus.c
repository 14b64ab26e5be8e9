/* bench_corpus: a corpus in memory, distinct. A document that is there twice may be computed once, so
 * that a rate over it would say nothing of the arithmetic. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

vecmill_status bench_stopped(const atomic_int *stop, vecmill_err *err)
{
    if (!stop || !atomic_load(stop)) return VECMILL_OK;
    return err_set(err, VECMILL_E_STOPPED, "stopped by a signal during the measurement");
}

static uint64_t begin_of(const struct bench_corpus *c, uint64_t i)
{
    return i > 0 ? ((const uint64_t *)(const void *)c->ends.data)[i - 1] : 0;
}

/* Where the texts are; a corpus of empty ones has no memory for them. */
static const char *texts_of(const struct bench_corpus *c)
{
    return c->text.data ? c->text.data : "";
}

vecmill_doc bench_corpus_doc(const struct bench_corpus *c, uint64_t i)
{
    const uint64_t begin = begin_of(c, i), end = begin_of(c, i + 1);
    return (vecmill_doc){.text = texts_of(c) + begin, .bytes = (size_t)(end - begin)};
}

/* ---- reading ---- */

struct reading {
    struct bench_corpus *c;
    const atomic_int *stop;
};

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)id;
    const struct reading *r = context;
    struct bench_corpus *c = r->c;
    VM_TRY(bench_stopped(r->stop, err));
    if (reason) {
        c->n_unreadable++;
        return VECMILL_OK;
    }
    if (c->n == c->most_docs || doc.bytes > c->text.most - c->text.bytes) {
        c->is_cut = true;
        return err_set(err, VECMILL_E_LIMIT,
                       "the corpus is over BENCH_TEXT_MAX, %u bytes, or %llu documents",
                       BENCH_TEXT_MAX, (unsigned long long)c->most_docs);
    }
    VM_TRY(buf_add(&c->text, doc.text, doc.bytes, err));
    const uint64_t end = c->text.bytes;
    VM_TRY(buf_add(&c->ends, &end, sizeof(end), err));
    c->n++;
    return VECMILL_OK;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo): a spread over the table; equality is by the bytes. */
static uint64_t hash(vecmill_doc doc)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < doc.bytes; i++)
        h = (h ^ (unsigned char)doc.text[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static bool is_same(vecmill_doc a, vecmill_doc b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.text, b.text, a.bytes) == 0);
}

/* The first of equal documents stays; what stays moves together. */
static vecmill_status drop_duplicates(struct bench_corpus *c, vecmill_err *err)
{
    size_t n_slots = 16;
    while (n_slots < 2 * c->n)
        n_slots *= 2;
    void *memory;
    VM_TRY(mem_new_array(n_slots, sizeof(uint32_t), "a table of documents", &memory, err));
    uint32_t *slots = memory; /* 0: free, else a document that stays, from 1 */
    uint64_t *ends = (uint64_t *)(void *)c->ends.data, begin = 0, n = 0, bytes = 0;
    for (uint64_t i = 0; i < c->n; i++) {
        const uint64_t end = ends[i]; /* not below ends[n], which is written */
        const vecmill_doc doc = {.text = texts_of(c) + begin, .bytes = (size_t)(end - begin)};
        begin = end;
        size_t slot = hash(doc) & (n_slots - 1);
        while (slots[slot] != 0 && !is_same(doc, bench_corpus_doc(c, slots[slot] - 1)))
            slot = (slot + 1) & (n_slots - 1);
        if (slots[slot] != 0) continue;
        if (doc.bytes > 0) memmove(c->text.data + bytes, doc.text, doc.bytes);
        bytes += doc.bytes;
        ends[n++] = bytes;
        slots[slot] = (uint32_t)n;
    }
    c->n_duplicates = c->n - n;
    c->n = n;
    c->text.bytes = bytes;
    c->ends.bytes = n * sizeof(*ends);
    mem_free(memory);
    return VECMILL_OK;
}

vecmill_status bench_corpus_read(const struct options *o, uint64_t most_docs,
                                 const atomic_int *stop, struct bench_corpus *c, vecmill_err *err)
{
    const struct job_options job = app_job_options(o);
    struct reading r = {.c = c, .stop = stop};
    vecmill_err why;
    *c = (struct bench_corpus){.most_docs = num_min(most_docs, BENCH_DOCS_MAX)};
    buf_init(&c->text, BENCH_TEXT_MAX, "BENCH_TEXT_MAX");
    buf_init(&c->ends, BENCH_DOCS_MAX * sizeof(uint64_t), "BENCH_DOCS_MAX");
    vecmill_status status = job_each(&job, on_document, &r, &why);
    if (status == VECMILL_OK || c->is_cut) {
        status = VECMILL_OK;
        if (c->n > 0) status = drop_duplicates(c, &why);
        if (status == VECMILL_OK && c->n == 0)
            status = err_set(&why, VECMILL_E_INPUT,
                             "%s holds no document to measure with, %llu could not be read",
                             job.input, (unsigned long long)c->n_unreadable);
    }
    if (status == VECMILL_OK) return VECMILL_OK;
    bench_corpus_done(c);
    if (err) *err = why;
    return status;
}

void bench_corpus_done(struct bench_corpus *c)
{
    buf_done(&c->ends);
    buf_done(&c->text);
}

/* ---- writing ---- */

bool bench_corpus_is_file(const struct bench_corpus *c, const struct options *o)
{
    return strcmp(o->input, "-") != 0 && !c->is_cut && c->n_unreadable == 0 && c->n_duplicates == 0;
}

vecmill_status bench_corpus_write(const struct bench_corpus *c, uint64_t n_docs, const char *path,
                                  vecmill_err *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return err_sys(err, VECMILL_E_OUTPUT, errno, "%s cannot be written", path);
    struct app_out out;
    app_out_init(&out, fd, path);
    for (uint64_t i = 0; i < n_docs; i++) {
        const vecmill_doc doc = bench_corpus_doc(c, i);
        app_json_open(&out, '{');
        app_json_key(&out, "text");
        app_json_text(&out, doc.text ? doc.text : "", doc.bytes);
        app_json_close(&out, '}');
        app_json_line(&out);
    }
    vecmill_status status = app_out_flush(&out, err);
    app_out_done(&out);
    if (close(fd) != 0 && status == VECMILL_OK)
        status = err_sys(err, VECMILL_E_OUTPUT, errno, "%s cannot be written", path);
    return status;
}
