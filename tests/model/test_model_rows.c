/* Tiny models that make something of each token by itself, vectors and weights, against what other libraries
 * make of them (tests/data/rows: each file says its source). With shared data next to the checkout, its
 * folders too. The level is VECMILL_ISA's, the precision VECMILL_TEST_PRECISION's. */
#include "model_toy.h"

#include "model/tensor.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TREE "tests/data/rows"
enum { MODELS_MOST = 32, DOCS_MOST = 64, TOKENS_MOST = 8192, WORDS_MOST = 64 };
#define SPARSE (1u << MODEL_SPARSE)
#define MULTI  (1u << MODEL_MULTI)
#define DENSE  (1u << MODEL_DENSE)

/* fp32: the largest difference, as a part of the largest of all values; least cosines of rows in bf16 and
 * int8. Expected values of a shared folder may be halves, 4.9e-4. */
static const struct {
    double difference, least;
} bounds[KERN_PRECISIONS] = {
    [KERN_FP32] = {2e-5, 0.999999},
    [KERN_BF16] = {1, 0.995},
    [KERN_INT8] = {1, 0.9},
};
#define HALVES 6e-4

static const struct kern *kern;

/* ---- documents and what they must give ---- */

struct cases {
    uint32_t n, longest, width; /* of a row; 0: there are none */
    uint32_t starts[DOCS_MOST + 1], row_starts[DOCS_MOST + 1];
    int32_t ids[TOKENS_MOST];
    double *rows;    /* [row_starts[n], width] */
    double *weights; /* [n, vocab] */
    double bound;    /* of differences in fp32 */
    bool has_rows, has_weights;
    uint32_t vocab, n_no_weight, n_no_row;
    int32_t no_weight[WORDS_MOST], no_row[WORDS_MOST];
    bool has_attended;
    uint32_t attended[DOCS_MOST];
};

static void *take(size_t n, size_t each)
{
    void *memory = calloc(n + 1, each);
    assert_non_null(memory);
    return memory;
}

static struct json_value parse(const char *data, size_t bytes, const char *path)
{
    struct json_value root;
    vecmill_err err = {0};
    if (json_check(data, bytes, path, VECMILL_E_IO, &root, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    return root;
}

static int32_t number(const struct json_value *value)
{
    int64_t n = -1;
    assert_true(json_i64(value, &n) && n >= 0 && n < 1 << 20);
    return (int32_t)n;
}

static uint32_t numbers(const struct json_value *list, int32_t *to, uint32_t most)
{
    struct json_value none, one;
    struct json_each each = json_begin(list);
    uint32_t n = 0;
    while (json_each(&each, &none, &one)) {
        assert_true(n < most);
        to[n++] = number(&one);
    }
    return n;
}

static void add_ids(struct cases *c, const struct json_value *ids)
{
    const uint32_t at = c->starts[c->n];
    assert_true(c->n < DOCS_MOST);
    const uint32_t n = numbers(ids, c->ids + at, TOKENS_MOST - at);
    assert_true(n > 0);
    c->longest = n > c->longest ? n : c->longest;
    c->attended[c->n] = n;
    c->starts[++c->n] = at + n;
}

static void add_weights(struct cases *c, uint32_t doc, const struct json_value *one)
{
    const struct json_value indices = json_get(one, "indices"), values = json_get(one, "values");
    struct json_each index = json_begin(&indices), value = json_begin(&values);
    struct json_value none, i, v;
    assert_true(json_count(&indices) == json_count(&values));
    c->has_weights = c->has_weights || indices.kind == JSON_KIND_ARRAY;
    while (json_each(&index, &none, &i) && json_each(&value, &none, &v)) {
        const uint32_t id = (uint32_t)number(&i);
        assert_true(id < c->vocab);
        assert_true(json_double(&v, &c->weights[(size_t)doc * c->vocab + id]));
    }
}

static void add_rows(struct cases *c, uint32_t doc, const struct json_value *rows)
{
    struct json_each each = json_begin(rows);
    struct json_value none, row, v;
    uint32_t n = c->row_starts[doc];
    for (; json_each(&each, &none, &row); n++) {
        struct json_each value = json_begin(&row);
        assert_int_equal(json_count(&row), c->width);
        for (uint32_t k = 0; json_each(&value, &none, &v); k++)
            assert_true(json_double(&v, &c->rows[(size_t)n * c->width + k]));
    }
    c->row_starts[doc + 1] = n;
}

static void read_tree(const char *path, struct cases *c)
{
    struct json_value none, one;
    size_t bytes;
    char *text = toy_read(path, &bytes);
    const struct json_value root = parse(text, bytes, path), all = json_get(&root, "cases");
    const struct json_value no_weight = json_get(&root, "no_weight");
    struct json_each each = json_begin(&all);
    const struct json_value no_row = json_get(&root, "no_row");
    c->n_no_weight = numbers(&no_weight, c->no_weight, WORDS_MOST);
    c->n_no_row = numbers(&no_row, c->no_row, WORDS_MOST);
    assert_true(json_count(&all) >= 5);
    while (json_each(&each, &none, &one)) {
        const struct json_value ids = json_get(&one, "ids"), rows = json_get(&one, "rows");
        const struct json_value attended = json_get(&one, "attended");
        const uint32_t doc = c->n;
        add_ids(c, &ids);
        if (attended.kind != JSON_KIND_ABSENT) {
            c->has_attended = true;
            c->attended[doc] = (uint32_t)number(&attended);
        }
        add_weights(c, doc, &one);
        add_rows(c, doc, &rows);
        c->has_rows = c->has_rows || rows.kind == JSON_KIND_ARRAY;
    }
    c->bound = bounds[toy_precision()].difference;
    free(text);
}

/* ---- shared folders ---- */

static char *read_in(const char *folder, const char *file, size_t *bytes)
{
    char path[TOY_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return toy_read(path, bytes);
}

static void each_line(const char *folder, const char *file, struct cases *c,
                      void (*add)(struct cases *c, uint32_t doc, const struct json_value *line))
{
    size_t bytes;
    uint32_t doc = 0;
    char *text = read_in(folder, file, &bytes);
    for (char *at = text, *end; at < text + bytes; at = end + 1, doc++) {
        end = memchr(at, '\n', (size_t)(text + bytes - at));
        if (!end) end = text + bytes;
        const struct json_value root = parse(at, (size_t)(end - at), file);
        add(c, doc, &root);
    }
    assert_int_equal(doc, c->n);
    free(text);
}

static void add_line_ids(struct cases *c, uint32_t doc, const struct json_value *line)
{
    const struct json_value ids = json_get(line, "ids");
    (void)doc;
    add_ids(c, &ids);
}

static void add_line_count(struct cases *c, uint32_t doc, const struct json_value *line)
{
    const struct json_value rows = json_get(line, "rows");
    c->row_starts[doc + 1] = c->row_starts[doc] + (uint32_t)number(&rows);
}

/* An .npy of float32 or float16 in two dimensions. */
static void read_npy(const char *folder, const char *file, struct cases *c)
{
    size_t bytes;
    char *data = read_in(folder, file, &bytes);
    const size_t head = 10 + (size_t)(unsigned char)data[8] + 256u * (unsigned char)data[9];
    const bool half = strstr(data + 10, "<f2") != NULL;
    const size_t n = (size_t)c->row_starts[c->n] * c->width;
    assert_true(bytes == head + n * (half ? 2 : 4) && strstr(data + 10, half ? "<f2" : "<f4"));
    for (size_t i = 0; i < n; i++) {
        float value;
        tensor_widen(half ? TENSOR_F16 : TENSOR_F32, data + head + i * (half ? 2 : 4), 1, &value);
        c->rows[i] = (double)value;
    }
    c->bound = half ? fmax(HALVES, c->bound) : c->bound;
    free(data);
}

/* A word's id in a tokenizer.json; -1: it has none. */
static int32_t id_of(const struct json_value *tokenizer, const char *word)
{
    const struct json_value added = json_get(tokenizer, "added_tokens");
    const struct json_value model = json_get(tokenizer, "model");
    const struct json_value vocab = json_get(&model, "vocab");
    struct json_each each = json_begin(&added);
    struct json_value none, token;
    while (json_each(&each, &none, &token)) {
        const struct json_value content = json_get(&token, "content"), id = json_get(&token, "id");
        if (json_is(&content, word)) return number(&id);
    }
    if (vocab.kind != JSON_KIND_OBJECT) return -1;
    const struct json_value id = json_get(&vocab, word);
    return id.kind == JSON_KIND_ABSENT ? -1 : number(&id);
}

static int by_id(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Ids of a pack's words, in the folder's tokenizer; the token that queries are expanded with. */
static int32_t find_words(const char *folder, const struct toy *toy, bool of_query, struct cases *c)
{
    struct model_words words;
    struct pack pack;
    vecmill_err err;
    size_t bytes;
    int32_t expansion = -1;
    assert_int_equal(pack_open(toy->pack, &pack, &err), VECMILL_OK);
    if (model_read_words(&pack, &words, &err) != VECMILL_OK) fail_msg("%s", err.message);
    pack_close(&pack);
    char *text = read_in(folder, "tokenizer.json", &bytes);
    const struct json_value root = parse(text, bytes, folder);
    assert_true(words.n > 0);
    for (uint32_t i = 0; i < words.n; i++) {
        const int32_t id = id_of(&root, words.at[i].text);
        if (id < 0) continue;
        if (words.at[i].use == MODEL_WORD_NO_WEIGHT) c->no_weight[c->n_no_weight++] = id;
        if (words.at[i].use == MODEL_WORD_NO_ROW && !of_query) c->no_row[c->n_no_row++] = id;
        if (words.at[i].use == MODEL_WORD_EXPANSION) expansion = id;
    }
    qsort(c->no_weight, c->n_no_weight, sizeof *c->no_weight, by_id);
    qsort(c->no_row, c->n_no_row, sizeof *c->no_row, by_id);
    free(text);
    return expansion;
}

/* The texts of this role, of a folder of late interaction; NULL: BGE-M3's. */
static void read_shared(const char *folder, const struct toy *toy, const char *role,
                        struct cases *c)
{
    char ids[64] = "ids.jsonl", rows[64] = "rows_multi.jsonl", values[64] = "expected_multi.npy";
    const bool of_query = role && strcmp(role, "query") == 0;
    c->has_rows = true;
    c->has_weights = !role;
    c->bound = bounds[toy_precision()].difference;
    if (role) {
        snprintf(ids, sizeof ids, "ids_%s.jsonl", role);
        snprintf(rows, sizeof rows, "ids_%s.jsonl", role);
        snprintf(values, sizeof values, "expected_%s.npy", role);
    }
    const int32_t expansion = find_words(folder, toy, of_query, c);
    each_line(folder, ids, c, add_line_ids);
    if (!role) each_line(folder, "expected_sparse.jsonl", c, add_weights);
    each_line(folder, rows, c, add_line_count);
    read_npy(folder, values, c);
    c->has_attended = of_query && expansion >= 0;
    for (uint32_t d = 0; c->has_attended && d < c->n; d++)
        while (c->ids[c->starts[d] + c->attended[d] - 1] == expansion)
            c->attended[d]--;
}

/* ---- a model ---- */

/* Where all models of the tree are written, each once: to start Python takes longer than that. */
static struct toy all_written;

static void write_all(const char *root)
{
    char command[3 * TOY_PATH];
    const char *source = getenv("VECMILL_SOURCE");
    toy_open(&all_written);
    snprintf(command, sizeof command, "python3 '%.300s/tools/write_family.py' '%s' '%s'",
             source ? source : ".", root, all_written.model);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

/* A folder of its own; name: with or without .json. */
static void copy_model(const struct toy *toy, const char *name)
{
    char command[3 * TOY_PATH];
    snprintf(command, sizeof command, "cp -r '%s/%.*s' '%s'", all_written.model,
             (int)strcspn(name, "."), name, toy->model);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

/* What passes give, of some documents. */
struct made {
    uint32_t n, width, vocab, dim;
    uint32_t row_starts[DOCS_MOST + 1];
    float *rows, *weights, *vectors;
    uint32_t next; /* document that is given */
};

static struct made *new_made(const struct model_config *config)
{
    struct made *m = take(1, sizeof *m);
    m->width = model_row_floats(config, MODEL_MULTI);
    m->vocab = config->vocab;
    m->dim = config->dim;
    m->rows = take((size_t)TOKENS_MOST * m->width, sizeof(float));
    m->weights = take((size_t)DOCS_MOST * m->vocab, sizeof(float));
    m->vectors = take((size_t)DOCS_MOST * m->dim, sizeof(float));
    return m;
}

static void free_made(struct made *m)
{
    free(m->rows);
    free(m->weights);
    free(m->vectors);
    free(m);
}

static void take_document(void *context, uint32_t doc, const uint32_t *indices,
                          const float *weights, uint32_t n)
{
    struct made *m = context;
    assert_int_equal(m->n + doc, m->next++);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(indices[i] < m->vocab && weights[i] > 0 && isfinite(weights[i]));
        assert_true(i == 0 || indices[i] > indices[i - 1]);
        m->weights[(size_t)(m->n + doc) * m->vocab + indices[i]] = weights[i];
    }
}

/* Work memory of NaNs, with a canary after it. */
struct passes {
    struct toy_loaded toy;
    struct model_extent extent;
    char *memory;
    size_t bytes;
};

static void plan(struct passes *l, uint32_t tokens, uint32_t longest, uint32_t kinds)
{
    free(l->memory);
    l->extent = (struct model_extent){
        .tokens = tokens, .longest = longest, .threads = team_size(l->toy.team), .kinds = kinds};
    l->bytes = model_workspace_bytes(model_describe(l->toy.model), kern, &l->extent);
    const size_t whole = num_up(l->bytes + 64, 4096);
    l->memory = aligned_alloc(4096, whole);
    assert_non_null(l->memory);
    memset(l->memory, 0xff, whole);
}

/* Adds the documents of a pass to what was made. */
static void run(struct passes *l, const struct cases *c, const int32_t *ids, const uint32_t *starts,
                uint32_t n, struct made *m)
{
    const uint32_t *attended = c->has_attended ? c->attended + m->n : NULL;
    const uint32_t at = m->row_starts[m->n];
    uint32_t row_starts[DOCS_MOST + 1];
    const struct model_input input = {.ids = ids,
                                      .starts = starts,
                                      .n_docs = n,
                                      .no_weight = c->no_weight,
                                      .n_no_weight = c->n_no_weight,
                                      .no_row = c->no_row,
                                      .n_no_row = c->n_no_row,
                                      .attended = attended};
    const struct model_output output = {.vectors = m->vectors + (size_t)m->n * m->dim,
                                        .rows = m->rows + (size_t)at * m->width,
                                        .row_starts = row_starts,
                                        .sparse = take_document,
                                        .context = m};
    vecmill_err err = {0};
    m->next = m->n;
    if (model_forward(l->toy.model, l->memory, &l->extent, l->toy.team, &input, &output, &err) !=
        VECMILL_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal((unsigned char)l->memory[l->bytes + i], 0xff);
    for (uint32_t d = 0; d < n; d++)
        m->row_starts[m->n + d + 1] = l->extent.kinds & MULTI ? at + row_starts[d + 1] : at;
    assert_int_equal(m->next, m->n + (l->extent.kinds & SPARSE ? n : 0));
    m->n += n;
}

static void same(const struct made *a, const struct made *b, uint32_t kinds)
{
    assert_int_equal(a->n, b->n);
    if (kinds & MULTI) {
        assert_memory_equal(a->row_starts, b->row_starts, (a->n + 1) * sizeof *a->row_starts);
        assert_memory_equal(a->rows, b->rows,
                            (size_t)a->row_starts[a->n] * a->width * sizeof(float));
    }
    if (kinds & SPARSE)
        assert_memory_equal(a->weights, b->weights, (size_t)a->n * a->vocab * sizeof(float));
    if (kinds & DENSE)
        assert_memory_equal(a->vectors, b->vectors, (size_t)a->n * a->dim * sizeof(float));
}

/* Each document alone, then all in one pass, by one thread and by three, each kind by itself and all of
 * them: the same bits. */
static struct made *compute(struct passes *l, const struct cases *c, uint32_t kinds)
{
    const struct model_config *config = model_describe(l->toy.model);
    struct made *alone = new_made(config);
    plan(l, c->longest, c->longest, kinds);
    for (uint32_t i = 0; i < c->n; i++) {
        const uint32_t starts[] = {0, c->starts[i + 1] - c->starts[i]};
        run(l, c, c->ids + c->starts[i], starts, 1, alone);
    }
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        toy_threads(&l->toy, threads);
        for (uint32_t some = kinds; some > 0; some = (some - 1) & kinds) {
            struct made *together = new_made(config);
            plan(l, c->starts[c->n], c->longest, some);
            run(l, c, c->ids, c->starts, c->n, together);
            same(alone, together, some);
            free_made(together);
        }
    }
    return alone;
}

/* ---- what was made, against what must be ---- */

struct far {
    double worst, largest, least;
};

static void look(struct far *f, const float *is, const double *want, uint32_t n)
{
    double dot = 0, a = 0, b = 0;
    for (uint32_t i = 0; i < n; i++) {
        f->worst = fmax(f->worst, fabs((double)is[i] - want[i]));
        f->largest = fmax(f->largest, fabs(want[i]));
        dot += (double)is[i] * want[i];
        a += (double)is[i] * (double)is[i];
        b += want[i] * want[i];
    }
    if (b > 0) f->least = fmin(f->least, dot / sqrt(a * b));
}

static void compare(const char *name, const struct made *m, const struct cases *c)
{
    const enum kern_precision precision = toy_precision();
    struct far rows = {0, 0, 1}, weights = {0, 0, 1};
    if (c->has_rows) {
        assert_memory_equal(m->row_starts, c->row_starts, (c->n + 1) * sizeof *c->row_starts);
        for (uint32_t r = 0; r < c->row_starts[c->n]; r++)
            look(&rows, m->rows + (size_t)r * c->width, c->rows + (size_t)r * c->width, c->width);
        assert_true(rows.largest > 0);
        assert_true(rows.worst / rows.largest <= c->bound);
        assert_true(rows.least >= bounds[precision].least);
    }
    for (uint32_t d = 0; c->has_weights && d < c->n; d++) {
        const float *is = m->weights + (size_t)d * c->vocab;
        const double *want = c->weights + (size_t)d * c->vocab;
        look(&weights, is, want, c->vocab);
        for (uint32_t i = 0; precision == KERN_FP32 && i < c->vocab; i++) {
            if (fmax((double)is[i], want[i]) > 1e-5 && (is[i] > 0) != (want[i] > 0))
                fail_msg("%s: document %u, token %u: %g, not %g", name, d, i, (double)is[i],
                         want[i]);
        }
    }
    printf("%s: %u rows differ by %.1e, least cosine %.7f; weights by %.1e, %.7f\n", name,
           c->row_starts[c->n], rows.worst, rows.least, weights.worst, weights.least);
    if (!c->has_weights) return;
    assert_true(weights.largest > 0);
    assert_true(weights.worst / weights.largest <= bounds[precision].difference);
    assert_true(weights.least >= bounds[precision].least);
}

/* ---- the tests ---- */

/* role: of a shared folder's texts; NULL: it has no roles. */
static void of_role(const char *path, const struct toy *toy, struct passes *l, bool of_tree,
                    const char *role)
{
    struct cases *c = take(1, sizeof *c);
    const struct model_config *config = model_describe(l->toy.model);
    c->vocab = config->vocab;
    c->width = model_row_floats(config, MODEL_MULTI);
    c->rows = take((size_t)TOKENS_MOST * c->width, sizeof *c->rows);
    c->weights = take((size_t)DOCS_MOST * c->vocab, sizeof *c->weights);
    if (of_tree)
        read_tree(path, c);
    else
        read_shared(path, toy, role, c);
    const uint32_t dense = config->kinds & DENSE;
    const uint32_t kinds = dense | (c->has_rows ? MULTI : 0) | (c->has_weights ? SPARSE : 0);
    assert_int_equal(config->kinds, kinds | 1u << MODEL_TOKENS);
    struct made *made = compute(l, c, kinds);
    compare(strrchr(path, '/') + 1, made, c);
    free_made(made);
    free(c->rows);
    free(c->weights);
    free(c);
}

static void a_model(const char *path, bool of_tree)
{
    struct toy toy;
    struct passes l = {.extent = {0}};
    vecmill_err err = {0};
    toy_open(&toy);
    if (of_tree)
        copy_model(&toy, strrchr(path, '/') + 1);
    else
        snprintf(toy.model, sizeof toy.model, "%s", path);
    if (toy_compile(&toy, kern, &err) != VECMILL_OK) fail_msg("%s: %s", path, err.message);
    toy_load(&toy, kern, &l.toy);
    if (of_tree || model_describe(l.toy.model)->kinds & DENSE) {
        of_role(path, &toy, &l, of_tree, NULL);
    } else {
        of_role(path, &toy, &l, false, "document");
        of_role(path, &toy, &l, false, "query");
    }
    free(l.memory);
    toy_unload(&l.toy);
    toy_remove(&toy);
}

static void a_tree_file(void **state)
{
    a_model(*state, true);
}

static void a_shared_folder(void **state)
{
    a_model(*state, false);
}

/* Of a model of BGE-M3's shape, with documents of 8,192 tokens: what weights and vectors add to the work
 * memory of a pass, and to its operations. */
static void little_memory(void **state)
{
    struct model_config c = {.n_layers = 24, .hidden = 1024, .intermediate = 4096, .n_heads = 16};
    const struct model_step dense = {.kind = MODEL_STEP_DENSE, .width = 1024, .has_bias = 1};
    (void)state;
    c.vocab = 250002;
    c.positions = c.max_positions = c.max_length = 8192;
    c.eps = 1e-5f;
    c.ending.n_poolings = 1;
    c.dim = c.hidden;
    c.precision = (uint32_t)toy_precision();
    toy_complete(&c);
    struct model_extent e = {.tokens = 8192, .longest = 8192, .threads = 1, .kinds = DENSE};
    c.multi = (struct model_ending){.n_steps = 1, .steps = {dense}};
    c.multi_skips = 1;
    c.weight = c.multi;
    c.weight.steps[0].width = 1;
    c.sparse = MODEL_SPARSE_OWN;
    const size_t before = model_workspace_bytes(&c, kern, &e);
    e.kinds = DENSE | SPARSE | MULTI;
    const size_t more = model_workspace_bytes(&c, kern, &e) - before;
    printf("weights and vectors of 8,192 tokens take %zu bytes of work memory\n", more);
    assert_true(more >= 8192 * sizeof(float) && more <= 2u << 20);
    assert_true(model_flops(&c, 1u << MODEL_TOKENS | MULTI | SPARSE, 100) -
                    model_flops(&c, 1u << MODEL_TOKENS, 100) ==
                2.0 * 1024 * (99 * 1024 + 100));
}

static const struct {
    const char *model, *file, *from, *to;
    const char *says[4];
} refused[] = {
    {"m3-bert-multi",
     "colbert_linear.safetensors",
     "\"weight\"",
     "\"heavy\" ",
     {"colbert_linear.safetensors", "\"weight\"", "missing"}},
    {"m3-bert-multi",
     "colbert_linear.safetensors",
     "[33,20]",
     "[20,33]",
     {"colbert_linear.safetensors", "[20, 33]", "[20, 20]"}},
    {"m3-bert-multi",
     "colbert_linear.safetensors",
     "[33,20]",
     "[660]  ",
     {"colbert_linear.safetensors", "no matrix of 1 to 16000 rows"}},
    {"m3-bert-sparse",
     "sparse_linear.safetensors",
     "[1,33]",
     "[33,1]",
     {"sparse_linear.safetensors", "no matrix of 1 to 1 rows"}},
    {"m3-bert-sparse",
     "sparse_linear.safetensors",
     "\"bias\"",
     "\"bia2\"",
     {"sparse_linear.safetensors", "bia2", "no part"}},
    {"colbert-bert",
     "config_sentence_transformers.json",
     "\"query_length\": 24",
     "\"query_length\": 67",
     {"length of queries", "67", "66 tokens"}},
    {"colbert-bert",
     "config_sentence_transformers.json",
     "\"document_length\": 60",
     "\"document_length\": 99",
     {"document_length", "99", "66 tokens"}},
    {"colbert-bert",
     "config_sentence_transformers.json",
     "\"[Q] \"",
     "17",
     {"config_sentence_transformers.json", "query_prefix", "no token"}},
    {"colbert-bert",
     "config_sentence_transformers.json",
     "\"ColBERT\"",
     "\"CrossEncoder\"",
     {"config_sentence_transformers.json", "model_type", "CrossEncoder", "MultiVectorEncoder"}},
    {"colbert-bert", "tokenizer_config.json", "mask_token", "mast_token", {"mask_token"}},
    {"colbert-bert",
     "modules.json",
     "pylate.models.Dense.Dense",
     "sentence_transformers.models.Dense",
     {"modules.json", "module 1", "Dense where Pooling"}},
    {"colbert-bert",
     "1_Dense/config.json",
     "\"in_features\": 40",
     "\"in_features\": 41",
     {"41", "40"}},
    {"colbert-modernbert",
     "config_sentence_transformers.json",
     "\"query_length\": 20",
     "\"query_length\": 23",
     {"not attended", "ModernBERT"}},
};

static void folders_that_must_be_refused(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct toy toy;
        vecmill_err err = {0};
        toy_open(&toy);
        copy_model(&toy, refused[i].model);
        toy_edit(&toy, refused[i].file, refused[i].from, refused[i].to);
        const vecmill_status status = toy_compile(&toy, kern, &err);
        bool is_right = status == VECMILL_E_MODEL && !io_exists(toy.pack);
        for (size_t k = 0; k < 4 && refused[i].says[k]; k++)
            is_right = is_right && strstr(err.message, refused[i].says[k]);
        printf("%s %s with %s: status %d: %s\n", is_right ? "refused" : "NOT AS IT MUST BE",
               refused[i].model, refused[i].to, (int)status, err.message);
        wrong += !is_right;
        toy_remove(&toy);
    }
    assert_int_equal(wrong, 0);
}

/* ---- which there are ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(const char *root, const char *folder, const char *file)
{
    char path[TOY_PATH + 300];
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, file);
    return io_exists(path);
}

/* Paths of the tree's files, or of the folders that have rows; the caller frees each. */
static unsigned list(const char *root, bool of_tree, char *found[MODELS_MOST])
{
    unsigned n = 0;
    DIR *dir = opendir(root);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name, *ending = strrchr(name, '.');
        const bool counts = of_tree ? ending && strcmp(ending, ".json") == 0
                                    : has(root, name, "expected_multi.npy") ||
                                          (has(root, name, "expected_document.npy") &&
                                           has(root, name, "queries.jsonl"));
        if (!counts) continue;
        if (n == MODELS_MOST || asprintf(&found[n], "%s/%s", root, name) < 0) abort();
        n++;
    }
    if (dir) closedir(dir);
    qsort(found, n, sizeof *found, by_name);
    return n;
}

int main(void)
{
    const char *source = getenv("VECMILL_SOURCE"), *shared = getenv("VECMILL_SHARED");
    char root[TOY_PATH], *paths[2 * MODELS_MOST];
    struct CMUnitTest tests[2 * MODELS_MOST + 2];
    source = source ? source : ".";
    if (!toy_level()) {
        printf("skipped: this machine has no %s\n", getenv("VECMILL_ISA"));
        return 77;
    }
    kern = toy_kern();
    snprintf(root, sizeof root, "%.300s/" TREE, source);
    const unsigned n_tree = list(root, true, paths);
    write_all(root);
    if (shared && *shared)
        snprintf(root, sizeof root, "%.300s/data/families", shared);
    else
        snprintf(root, sizeof root, "%.300s/../shared/data/families", source);
    const unsigned n_others = list(root, false, paths + n_tree);
    size_t n = 0;
    for (; n < n_tree + n_others; n++) {
        tests[n] = (struct CMUnitTest){.name = strrchr(paths[n], '/') + 1,
                                       .test_func = n < n_tree ? a_tree_file : a_shared_folder,
                                       .initial_state = paths[n]};
    }
    if (!n_others) printf("left out: no models in %s\n", root);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(little_memory);
    if (toy_precision() == KERN_FP32)
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(folders_that_must_be_refused);
    printf("model-rows: %s, %s, %u models and %u shared folders\n", kern->name,
           kern_precision_name(toy_precision()), n_tree, n_others);
    const int failed = n_tree ? _cmocka_run_group_tests("model-rows", tests, n, NULL, NULL) : 1;
    for (unsigned i = 0; i < n_tree + n_others; i++)
        free(paths[i]);
    toy_remove(&all_written);
    printf("model-rows: %zu passed, %d failed\n", n - (size_t)failed, failed);
    return failed;
}
