/* Passes through toy models: against vectors computed in double precision by tools/make_toy_model.py,
 * against themselves in other company, and with packs and passes that are wrong. The level is
 * VECMILL_ISA's, the precision VECMILL_TEST_PRECISION's. */
#include "model/layout.h"
#include "model_toy.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTION_BYTES (1u << 20) /* more than any section of a toy */

static const struct kern *kern;

/* ---- against double precision ---- */

/* Largest |difference| to the golden vectors, and the largest of their elements. */
static void compare_golden(struct toy_loaded *loaded, const char *golden, double *worst,
                           double *largest)
{
    struct json_value root, none, sequence, value;
    struct buf text;
    vecmill_err err = {0};
    buf_init(&text, 1 << 24, "16 MiB");
    if (io_read_file(golden, &text, VECMILL_E_IO, VECMILL_E_IO, &err) != VECMILL_OK ||
        json_check(text.data, text.bytes, golden, VECMILL_E_IO, &root, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    uint32_t h = model_describe(loaded->model)->dim;
    const struct json_value sequences = json_get(&root, "sequences");
    struct json_each all = json_begin(&sequences);
    *worst = *largest = 0;
    assert_true(json_count(&sequences) > 3);
    while (json_each(&all, &none, &sequence)) {
        const struct json_value ids = json_get(&sequence, "ids");
        const struct json_value want = json_get(&sequence, "vector");
        uint32_t n = (uint32_t)json_count(&ids), starts[2] = {0, n};
        int32_t *array = (int32_t *)malloc(n * sizeof(*array));
        float *vector = (float *)malloc(h * sizeof(*vector));
        assert_non_null(array);
        assert_non_null(vector);
        assert_int_equal(json_count(&want), h);
        struct json_each each = json_begin(&ids);
        for (uint32_t k = 0; json_each(&each, &none, &value); k++) {
            int64_t id;
            assert_true(json_i64(&value, &id));
            array[k] = (int32_t)id;
        }
        toy_forward(loaded, array, starts, 1, vector);
        each = json_begin(&want);
        for (uint32_t k = 0; json_each(&each, &none, &value); k++) {
            double number;
            assert_true(json_double(&value, &number));
            *worst = fmax(*worst, fabs((double)vector[k] - number));
            *largest = fmax(*largest, fabs(number));
        }
        free(array);
        free(vector);
    }
    buf_done(&text);
}

/* Of |difference|, of elements about 1. Float: 24 bits, some tens of roundings a sum, a few layers. bfloat16:
 * a rounding is off by up to 2^-9, both factors of a product are rounded, and a layer adds four products and
 * attention: sqrt(2 * 5 * 3) * 2^-9 / sqrt(3) is the deviation after three layers, and the worst of some
 * hundred elements is four of those. Bytes: a step is 1/127 of a row's largest, three deviations: twice
 * bfloat16's. */
static double tolerance(void)
{
    static const double most[KERN_PRECISIONS] = {
        [KERN_FP32] = 5e-6, [KERN_BF16] = 0.025, [KERN_INT8] = 0.05};
    return most[toy_precision()];
}

static void golden_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        enum model_pooling pooling;
        uint32_t normalize;
    } toys[] = {
        {"--seed 1", MODEL_POOL_MEAN, 1},
        {"--seed 2 --pooling cls --prefix --extras", MODEL_POOL_CLS, 1},
        {"--seed 3 --no-normalize --dtype F16", MODEL_POOL_MEAN, 0},
        {"--seed 4 --pooling cls --no-normalize --dtype BF16 --extras", MODEL_POOL_CLS, 0},
        {"--seed 5 --pooling none --layers 1 --heads 1 --hidden 48 --intermediate 40",
         MODEL_POOL_MEAN, 0},
        {"--seed 6 --layers 3 --heads 3 --hidden 33 --intermediate 7 --vocab 97 --positions 50",
         MODEL_POOL_MEAN, 1},
        {"--seed 8 --layers 1 --heads 1 --hidden 300 --intermediate 16 --positions 12",
         MODEL_POOL_MEAN, 1},
        {"--seed 9 --layers 1 --heads 20 --hidden 20 --intermediate 1 --positions 12",
         MODEL_POOL_MEAN, 1},
        {"--seed 7 --layers 1 --heads 2 --hidden 128 --intermediate 200 --positions 20",
         MODEL_POOL_MEAN, 1},
        /* the last layer for first rows only: hidden in whole panels; one layer, and one after
         * others */
        {"--seed 10 --pooling cls --layers 1 --heads 2 --hidden 64 --intermediate 40",
         MODEL_POOL_CLS, 1},
        {"--seed 11 --pooling cls --layers 3 --heads 4 --hidden 64 --intermediate 96 "
         "--no-normalize",
         MODEL_POOL_CLS, 0},
        {"--seed 12 --pooling cls --layers 3 --heads 1 --hidden 128 --intermediate 40 --positions "
         "12",
         MODEL_POOL_CLS, 1},
        {"--seed 13 --pooling cls --layers 1 --heads 6 --hidden 96 --intermediate 40",
         MODEL_POOL_CLS, 1},
        {"--seed 14 --pooling cls --layers 3 --heads 6 --hidden 96 --intermediate 40",
         MODEL_POOL_CLS, 1},
        /* folders as people have them */
        {"--seed 15 --old-names --prefix=0.auto_model. --extras", MODEL_POOL_MEAN, 1},
        {"--seed 16 --shards 3 --transformer 0_Transformer --pooling-path pool/mean",
         MODEL_POOL_MEAN, 1},
        {"--seed 17 --shards 1 --old-names --pad-vocab 8 --prefix", MODEL_POOL_MEAN, 1},
        {"--seed 18 --torch --extras", MODEL_POOL_MEAN, 1},
        /* what follows the body */
        {"--seed 20 --pooling lasttoken", MODEL_POOL_LAST, 1},
        {"--seed 21 --pooling cls+lasttoken --hidden 64 --layers 1 --after LayerNorm",
         MODEL_POOL_CLS, 0},
        {"--seed 22 --pooling weightedmean+max+mean_sqrt_len_tokens "
         "--after Dense:72:Tanh,LayerNorm,Dense:40:Identity,Normalize",
         MODEL_POOL_WEIGHTED_MEAN, 1},
        {"--seed 23 --pooling cls --hidden 64 --dtype BF16 --torch --after "
         "Dense:100:ReLU,Normalize",
         MODEL_POOL_CLS, 1},
        /* without the rows of a prompt */
        {"--seed 24 --skip 3", MODEL_POOL_MEAN, 1},
        {"--seed 25 --skip 2 --pooling cls --hidden 64", MODEL_POOL_CLS, 1},
        {"--seed 26 --skip 5 --pooling cls --layers 1", MODEL_POOL_CLS, 1},
        {"--seed 27 --skip 4 --pooling lasttoken --hidden 64", MODEL_POOL_LAST, 1},
        {"--seed 28 --skip 8 --pooling weightedmean+max+mean_sqrt_len_tokens+cls --after LayerNorm",
         MODEL_POOL_WEIGHTED_MEAN, 0},
        {"--seed 19 --torch --shards 3 --dtype BF16 --prefix", MODEL_POOL_MEAN, 1},
    };
    for (size_t i = 0; i < sizeof(toys) / sizeof(*toys); i++) {
        struct toy toy;
        struct toy_loaded loaded;
        char arguments[2 * TOY_PATH], golden[2 * TOY_PATH];
        vecmill_err err = {0};
        toy_open(&toy);
        snprintf(golden, sizeof(golden), "%s/golden.json", toy.root);
        /* The oracle is plain Python: only some are of 64 tokens. */
        const bool is_long = i % 7 == 0 || strstr(toys[i].arguments, "--positions");
        snprintf(arguments, sizeof(arguments), "%.256s%s --golden '%.500s'", toys[i].arguments,
                 is_long ? "" : " --positions 24", golden);
        toy_make(&toy, arguments);
        if (toy_compile(&toy, kern, &err) != VECMILL_OK) fail_msg("%s", err.message);
        toy_load(&toy, kern, &loaded);
        const char *skip = strstr(toys[i].arguments, "--skip ");
        if (skip) loaded.extent.skip = (uint32_t)strtoul(skip + 7, NULL, 10);
        assert_int_equal(model_describe(loaded.model)->ending.poolings[0], toys[i].pooling);
        assert_int_equal(model_normalizes(model_describe(loaded.model)), toys[i].normalize);
        double worst, largest;
        compare_golden(&loaded, golden, &worst, &largest);
        printf("toy %s: largest difference %.2e of %.2f\n", toys[i].arguments, worst, largest);
        if (!(worst <= tolerance() * fmax(1.0, largest)))
            fail_msg("%s: %g", toys[i].arguments, worst);
        toy_unload(&loaded);
        toy_remove(&toy);
    }
}

/* ---- in other company ---- */

static struct toy toy;
static struct toy_loaded toy_model;

enum { DOCS = 60, LONGEST = 64 };

static struct {
    int32_t ids[DOCS][LONGEST];
    uint32_t n[DOCS];
    float *alone; /* [DOCS, hidden]: each document in a separate pass */
} docs;

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13; /* xorshift32 (Marsaglia 2003) */
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static int set_up(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    vecmill_err err = {0};
    kern = toy_kern();
    toy_open(&toy);
    toy_make(&toy, "--seed 9");
    if (toy_compile(&toy, kern, &err) != VECMILL_OK) fail_msg("%s", err.message);
    toy_load(&toy, kern, &toy_model);
    uint32_t h = model_describe(toy_model.model)->dim;
    docs.alone = (float *)malloc(DOCS * h * sizeof(float));
    assert_non_null(docs.alone);
    for (uint32_t d = 0; d < DOCS; d++) {
        docs.n[d] = d < 4 ? (uint32_t[]){1, LONGEST, 48, 47}[d] : 1 + next_random(&seed) % LONGEST;
        for (uint32_t i = 0; i < docs.n[d]; i++) {
            docs.ids[d][i] = (int32_t)(next_random(&seed) % 160);
        }
        const uint32_t starts[2] = {0, docs.n[d]};
        toy_forward(&toy_model, docs.ids[d], starts, 1, docs.alone + d * h);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(docs.alone);
    toy_unload(&toy_model);
    toy_remove(&toy);
    return 0;
}

/* Computes the documents in this order, in passes of at most `tokens`; every row must have the bits it
 * has alone. */
static void expect_same_bits(const uint32_t *order, uint32_t tokens)
{
    uint32_t h = model_describe(toy_model.model)->dim;
    static int32_t ids[DOCS * LONGEST];
    uint32_t starts[DOCS + 1] = {0};
    float *vectors = (float *)malloc(DOCS * h * sizeof(float));
    assert_non_null(vectors);
    toy_plan(&toy_model, tokens, LONGEST);
    for (uint32_t first = 0; first < DOCS;) {
        uint32_t n = 0;
        while (first + n < DOCS && (n == 0 || starts[n] + docs.n[order[first + n]] <= tokens)) {
            uint32_t d = order[first + n];
            memcpy(ids + starts[n], docs.ids[d], docs.n[d] * sizeof(*ids));
            starts[n + 1] = starts[n] + docs.n[d];
            n++;
        }
        toy_forward(&toy_model, ids, starts, n, vectors);
        for (uint32_t i = 0; i < n; i++) {
            const float *want = docs.alone + order[first + i] * h;
            if (memcmp(vectors + i * h, want, h * sizeof(float)) != 0) {
                fail_msg("document %u of %u tokens: other bits in passes of %u tokens, place %u",
                         order[first + i], docs.n[order[first + i]], tokens, i);
            }
        }
        first += n;
    }
    free(vectors);
}

static void same_bits_in_any_company(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 64, 65, 100, 239, 240, 241, 512, 777, 4096};
    uint32_t order[DOCS], seed = 99;
    for (uint32_t d = 0; d < DOCS; d++) {
        order[d] = d;
    }
    for (uint32_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            expect_same_bits(order, sizes[i]);
        }
        for (uint32_t d = DOCS - 1; d > 0; d--) {
            uint32_t other = next_random(&seed) % (d + 1), keep = order[d];
            order[d] = order[other];
            order[other] = keep;
        }
    }
    for (uint32_t d = 0; d < DOCS; d++) { /* one document, many times */
        order[d] = 2;
    }
    expect_same_bits(order, 4096);
    toy_plan(&toy_model, 256, LONGEST);
}

/* ---- wrong passes ---- */

static void wrong_passes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t ids[4];
        uint32_t starts[4], n_docs, longest;
    } passes[] = {
        {"an id below zero", {0, -1, 2, 3}, {0, 4}, 1, 64},
        {"an id past the vocabulary", {0, 1, 2, 160}, {0, 4}, 1, 64},
        {"the largest id", {INT32_MAX, 1, 2, 3}, {0, 4}, 1, 64},
        {"the smallest id", {0, 1, 2, INT32_MIN}, {0, 4}, 1, 64},
        {"an empty document", {0, 1, 2, 3}, {0, 2, 2, 4}, 3, 64},
        {"starts that go back", {0, 1, 2, 3}, {0, 3, 2, 4}, 3, 64},
        {"a first start of one", {0, 1, 2, 3}, {1, 4}, 1, 64},
        {"more tokens than planned", {0, 1, 2, 3}, {0, 257}, 1, 64},
        {"a document longer than planned", {0, 1, 2, 3}, {0, 4}, 1, 3},
        {"documents longer than the table", {0, 1, 2, 3}, {0, 4}, 1, 65},
    };
    uint32_t h = model_describe(toy_model.model)->dim;
    float *vectors = (float *)calloc(3 * h, sizeof(float));
    assert_non_null(vectors);
    const struct model_output output = {.vectors = vectors};
    toy_plan(&toy_model, 256, LONGEST);
    for (size_t i = 0; i < sizeof(passes) / sizeof(*passes); i++) {
        vecmill_err err = {0};
        struct model_extent extent = toy_model.extent;
        extent.longest = passes[i].longest;
        const struct model_input input = {
            .ids = passes[i].ids, .starts = passes[i].starts, .n_docs = passes[i].n_docs};
        vecmill_status status =
            model_forward(toy_model.model, toy_model.memory, &extent, NULL, &input, &output, &err);
        if (status != VECMILL_E_INTERNAL || err.message[0] == '\0') {
            fail_msg("%s: status %d", passes[i].name, (int)status);
        }
        for (uint32_t k = 0; k < 3 * h; k++) {
            assert_true(vectors[k] == 0.0f);
        }
    }
    vecmill_err err = {0};
    const uint32_t none[1] = {0};
    const struct model_input nothing = {.ids = passes[0].ids, .starts = none};
    assert_int_equal(model_forward(toy_model.model, toy_model.memory, &toy_model.extent, NULL,
                                   &nothing, &output, &err),
                     VECMILL_OK);
    struct model_extent tasked = toy_model.extent;
    const uint32_t one[2] = {0, 4};
    const int32_t ids[4] = {0, 1, 2, 3};
    tasked.task = 1;
    const struct model_input document = {.ids = ids, .starts = one, .n_docs = 1};
    assert_int_equal(
        model_forward(toy_model.model, toy_model.memory, &tasked, NULL, &document, &output, &err),
        VECMILL_E_INTERNAL);
    assert_non_null(strstr(err.message, "task 1"));
    free(vectors);
}

/* A workspace has the size that was counted: a full pass writes nothing after it. */
static void fills_its_workspace(uint32_t tokens, uint32_t longest, uint32_t threads)
{
    const uint32_t h = model_describe(toy_model.model)->dim;
    const uint32_t most = tokens > longest ? tokens : longest;
    const struct model_extent extent = {.tokens = tokens, .longest = longest, .threads = threads};
    size_t bytes = model_workspace_bytes(model_describe(toy_model.model), kern, &extent);
    unsigned char *memory = (unsigned char *)aligned_alloc(4096, num_up(bytes + 4096, 4096));
    int32_t *ids = (int32_t *)calloc(most, sizeof(*ids));
    uint32_t *starts = (uint32_t *)calloc(most + 1, sizeof(*starts)), n = 0;
    float *vectors = (float *)calloc((size_t)most * h, sizeof(*vectors));
    struct team *team = NULL;
    vecmill_err err = {0};
    assert_true(memory && ids && starts && vectors);
    assert_int_equal(team_open(threads, &team, &err), VECMILL_OK);
    while (starts[n] < most) {
        starts[n + 1] = starts[n] + (uint32_t)num_min(longest, most - starts[n]);
        n++;
    }
    memset(memory + bytes, 0x5a, 4096);
    const struct model_input input = {.ids = ids, .starts = starts, .n_docs = n};
    const struct model_output output = {.vectors = vectors};
    assert_int_equal(model_forward(toy_model.model, memory, &extent, team, &input, &output, &err),
                     VECMILL_OK);
    for (size_t k = 0; k < 4096; k++)
        assert_int_equal(memory[bytes + k], 0x5a);
    team_close(team);
    free(memory);
    free(ids);
    free(starts);
    free(vectors);
}

static void workspace_is_kept(void **state)
{
    (void)state;
    static const uint32_t plans[][2] = {{1, 1},   {1, 64},   {47, 3},   {64, 64},
                                        {95, 64}, {96, 64},  {97, 64},  {500, 64},
                                        {959, 7}, {960, 64}, {1024, 10}};
    for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
        for (uint32_t threads = 1; threads <= 4; threads += 3)
            fills_its_workspace(plans[i][0], plans[i][1], threads);
    }
    struct model_extent less = {.tokens = 1, .longest = 64, .threads = 1}, more = less;
    more.tokens = 2;
    for (; more.tokens < 1000; less.tokens++, more.tokens++) {
        assert_true(model_workspace_bytes(model_describe(toy_model.model), kern, &less) <=
                    model_workspace_bytes(model_describe(toy_model.model), kern, &more));
    }
}

/* Finite weights whose vectors are not. */
static void weights_that_overflow(void **state)
{
    (void)state;
    struct toy large;
    struct toy_loaded loaded;
    vecmill_err err = {0};
    char path[2 * TOY_PATH];
    size_t bytes;
    uint64_t n;
    unsigned long begin = 0;
    toy_open(&large);
    toy_make(&large, "");
    snprintf(path, sizeof(path), "%s/model.safetensors", large.model);
    char *data = toy_read(path, &bytes);
    memcpy(&n, data, sizeof(n));
    const char *entry = strstr(data + 8, "encoder.layer.1.output.LayerNorm.weight");
    assert_non_null(entry);
    assert_int_equal(sscanf(strstr(entry, "data_offsets"), "data_offsets\":[%lu", &begin), 1);
    for (int i = 0; i < 32; i++) {
        const float huge = 3e38f;
        memcpy(data + 8 + n + begin + 4 * i, &huge, 4);
    }
    toy_write(path, data, bytes);
    free(data);
    assert_int_equal(toy_compile(&large, kern, &err), VECMILL_OK);
    toy_load(&large, kern, &loaded);
    const int32_t ids[3] = {2, 40, 3};
    const uint32_t starts[2] = {0, 3};
    float vector[32];
    const struct model_input input = {.ids = ids, .starts = starts, .n_docs = 1};
    const struct model_output output = {.vectors = vector};
    assert_int_equal(
        model_forward(loaded.model, loaded.memory, &loaded.extent, NULL, &input, &output, &err),
        VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "not finite"));
    toy_unload(&loaded);
    toy_remove(&large);
}

/* ---- wrong packs ---- */

static vecmill_status open_pack(const char *path, vecmill_err *err)
{
    struct pack pack;
    struct model *model = NULL;
    VM_TRY(pack_open(path, &pack, err));
    vecmill_status status = model_open(&pack, kern, toy_precision(), &model, err);
    if (status != VECMILL_OK) assert_null(model);
    model_close(model);
    pack_close(&pack);
    return status;
}

/* Every byte of header, table and configuration, changed in two ways. */
static void flipped_bytes(void **state)
{
    (void)state;
    vecmill_err err = {0};
    struct pack pack;
    assert_int_equal(pack_open(toy.pack, &pack, &err), VECMILL_OK);
    size_t config_at = 0;
    for (uint32_t i = 0; i < pack.n_sections; i++) {
        if (strcmp(pack.sections[i].name, LAYOUT_CONFIG_SECTION) == 0) {
            config_at = pack.sections[i].offset;
        }
    }
    pack_close(&pack);
    assert_true(config_at >= 4096);
    int fd = open(toy.pack, O_RDWR);
    assert_true(fd >= 0);
    for (size_t i = 0; i < 4096 + sizeof(struct layout_config); i++) {
        off_t at = (off_t)(i < 4096 ? i : config_at + i - 4096);
        unsigned char was, now;
        assert_int_equal(pread(fd, &was, 1, at), 1);
        for (int k = 0; k < 2; k++) {
            now = k ? (unsigned char)~was : was ^ 1;
            assert_int_equal(pwrite(fd, &now, 1, at), 1);
            if (open_pack(toy.pack, &err) != VECMILL_E_MODEL)
                fail_msg("byte %ld was not missed", (long)at);
        }
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
    close(fd);
    assert_int_equal(open_pack(toy.pack, &err), VECMILL_OK);
}

/* Writes a pack of these sections; bytes == 0 leaves one out. */
static vecmill_status try_sections(const void *config, size_t config_bytes, const void *weights,
                                   size_t weights_bytes, vecmill_err *err)
{
    char path[2 * TOY_PATH];
    struct pack_writer *w = (struct pack_writer *)calloc(1, sizeof(*w));
    assert_non_null(w);
    snprintf(path, sizeof(path), "%s/other.pack", toy.root);
    assert_int_equal(pack_writer_open(path, "a toy", 0, w, err), VECMILL_OK);
    if (config_bytes) {
        assert_int_equal(pack_begin(w, LAYOUT_CONFIG_SECTION, err), VECMILL_OK);
        assert_int_equal(pack_write(w, config, config_bytes, err), VECMILL_OK);
        assert_int_equal(pack_end(w, err), VECMILL_OK);
    }
    if (weights_bytes) {
        assert_int_equal(pack_begin(w, LAYOUT_WEIGHTS_SECTION, err), VECMILL_OK);
        assert_int_equal(pack_write(w, weights, weights_bytes, err), VECMILL_OK);
        assert_int_equal(pack_end(w, err), VECMILL_OK);
    }
    assert_int_equal(pack_commit(w, err), VECMILL_OK);
    free(w);
    vecmill_status status = open_pack(path, err);
    assert_int_equal(unlink(path), 0);
    return status;
}

/* clang-format off */
#define U32_FIELDS(X) \
    X(model.family[0], 'B') X(model.n_kv_heads, 0) X(model.n_kv_heads, 3) X(model.n_kv_heads, 8) \
    X(model.head_dim, 0) X(model.head_dim, 7) X(model.head_dim, CONFIG_HEAD_MAX + 1) \
    X(model.positions, 0) X(model.positions, 63) X(model.positions, UINT32_MAX) \
    X(model.first_position, 1) X(model.first_position, UINT32_MAX) X(model.types, UINT32_MAX) \
    X(model.has, 0) X(model.act, 99) X(model.act, GEMM_NONE) \
    X(model.rope_trained, 1) X(model.rope_theta, 1e4f) X(model.causal, 2) X(model.buckets, UINT32_MAX) \
    X(model.span, UINT32_MAX) X(model.divisor, 0) X(model.embed_scale, 0) \
    X(model.rope_theta, -1) X(model.rope_local_theta, -1) \
    X(version, 0) X(version, 1) X(bytes, 0) X(model.n_layers, 0) X(model.n_layers, 1) X(model.n_layers, 3) \
    X(model.n_layers, UINT32_MAX) X(model.hidden, 0) X(model.hidden, 64) \
    X(model.dim, 0) X(model.dim, 31) X(model.dim, 33) \
    X(model.hidden, MODEL_HIDDEN_MAX + 1) X(model.n_heads, 0) X(model.n_heads, 5) \
    X(model.n_heads, 33) X(model.intermediate, 0) X(model.intermediate, 1000) \
    X(model.vocab, 0) X(model.vocab, 161) X(model.vocab, UINT32_MAX) X(model.max_positions, 0) \
    X(model.max_positions, 63) X(model.max_positions, MODEL_LENGTH_MAX + 1) \
    X(model.max_length, 0) X(model.max_length, 65) \
    X(model.ending.n_poolings, 0) X(model.ending.n_poolings, 2) X(model.ending.n_poolings, 7) \
    X(model.ending.poolings[0], MODEL_POOLINGS) X(model.ending.n_steps, 2) \
    X(model.ending.n_steps, MODEL_STEPS_MAX + 1) X(model.ending.steps[0].kind, MODEL_STEP_KINDS) \
    X(model.ending.steps[0].kind, MODEL_STEP_DENSE) \
    X(model.ending.steps[0].width, 0) X(model.ending.steps[0].width, 31) \
    X(model.ending.steps[0].act, 1) X(model.ending.steps[0].has_bias, 1) \
    X(model.local_kv_heads, 5) X(model.local_kv_heads, 3) X(model.local_head_dim, CONFIG_HEAD_MAX + 1) \
    X(model.expert_layers, 1) X(model.n_experts, MODEL_EXPERTS_MAX + 1) X(model.n_chosen, 1) \
    X(model.input, MODEL_HIDDEN_MAX + 1) X(model.state, MODEL_HIDDEN_MAX + 1) X(model.state, 31) \
    X(model.distances, CONFIG_DISTANCES_MAX + 1) X(model.distance_buckets, 8) X(model.distance_buckets, 1) \
    X(model.distance_most, MODEL_LENGTH_MAX + 1) \
    X(model.n_tasks, 1) X(model.task_rank, MODEL_RANK_MAX + 1) \
    X(model.eps, 0) X(model.eps, 2) X(model.precision, 3) X(total, 0) X(kern[0], 'x')
/* clang-format on */

static void sections_that_disagree(void **state)
{
    (void)state;
    vecmill_err err = {0};
    struct pack pack;
    const void *config, *weights;
    size_t config_bytes, weights_bytes;
    assert_int_equal(pack_open(toy.pack, &pack, &err), VECMILL_OK);
    assert_int_equal(pack_find(&pack, LAYOUT_CONFIG_SECTION, &config, &config_bytes, &err),
                     VECMILL_OK);
    assert_int_equal(pack_find(&pack, LAYOUT_WEIGHTS_SECTION, &weights, &weights_bytes, &err),
                     VECMILL_OK);
    assert_int_equal(config_bytes, sizeof(struct layout_config));
    assert_true(weights_bytes < SECTION_BYTES);
    struct layout_config good, bad;
    memcpy(&good, config, sizeof(good));
    assert_int_equal(try_sections(&good, sizeof(good), weights, weights_bytes, &err), VECMILL_OK);

#define TRY_FIELD(field, value)                                                                    \
    bad = good;                                                                                    \
    bad.field = value;                                                                             \
    if (try_sections(&bad, sizeof(bad), weights, weights_bytes, &err) != VECMILL_E_MODEL) {        \
        fail_msg("%s = %s was accepted", #field, #value);                                          \
    }
    U32_FIELDS(TRY_FIELD)
#undef TRY_FIELD

    assert_int_equal(try_sections(&good, sizeof(good) - 1, weights, weights_bytes, &err),
                     VECMILL_E_MODEL);
    assert_int_equal(try_sections(&good, sizeof(good), weights, weights_bytes - 64, &err),
                     VECMILL_E_MODEL);
    assert_int_equal(try_sections(&good, 0, weights, weights_bytes, &err), VECMILL_E_MODEL);
    assert_int_equal(try_sections(&good, sizeof(good), weights, 0, &err), VECMILL_E_MODEL);
    pack_close(&pack);
}

/* Compiling twice gives the same bytes. */
static void same_pack_twice(void **state)
{
    (void)state;
    size_t first_bytes, second_bytes;
    vecmill_err err = {0};
    char *first = toy_read(toy.pack, &first_bytes);
    assert_int_equal(toy_compile(&toy, kern, &err), VECMILL_OK);
    char *second = toy_read(toy.pack, &second_bytes);
    assert_int_equal(first_bytes, second_bytes);
    assert_memory_equal(first, second, first_bytes);
    free(first);
    free(second);
}

/* The sum of docs/MODEL.md, "Operations", for all-MiniLM-L6-v2. */
static void operations(void **state)
{
    (void)state;
    struct model_config minilm = {
        .n_layers = 6, .hidden = 384, .n_heads = 12, .intermediate = 1536};
    toy_complete(&minilm);
    assert_true(model_flops(&minilm, 1u << MODEL_DENSE, 1) == 21233664.0 + 9216.0);
    assert_true(model_flops(&minilm, 1u << MODEL_DENSE, 512) ==
                512 * 21233664.0 + 512.0 * 512.0 * 9216.0);

    /* Pooled by the first token, of 64 units and 100 between, 2 layers of 10 tokens. A layer whole: queries,
     * keys, values 10 * 2 * 64 * 192 = 245760; attention 2 * 10 * 10 * 2 * 64 = 25600; output
     * 10 * 2 * 64 * 64 = 81920; up and down 10 * 2 * 2 * 64 * 100 = 256000. The last: keys and values
     * 10 * 2 * 64 * 128 = 163840; one query 8192; its attention 2560; output 8192; up and down 25600. */
    struct model_config cls = {.n_layers = 2,
                               .hidden = 64,
                               .n_heads = 4,
                               .intermediate = 100,
                               .ending = {.n_poolings = 1, .poolings = {MODEL_POOL_CLS}}};
    toy_complete(&cls);
    const double whole = 245760.0 + 25600.0 + 81920.0 + 256000.0;
    const double last = 163840.0 + 8192.0 + 2560.0 + 8192.0 + 25600.0;
    assert_true(model_flops(&cls, 1u << MODEL_DENSE, 10) == whole + last);
    cls.n_layers = 1;
    assert_true(model_flops(&cls, 1u << MODEL_DENSE, 10) == last);
    /* where the last layer is computed whole, it counts whole: 96 units, 1 layer of 10 tokens */
    cls.hidden = 96;
    toy_complete(&cls);
    assert_true(model_flops(&cls, 1u << MODEL_DENSE, 10) ==
                552960.0 + 38400.0 + 184320.0 + 384000.0);

    /* The second of 2 layers takes 2 of 4 experts, pooled by the mean: attention's products 10 * 2 * 64 *
     * 256 = 327680 and 25600 in each; up and down 256000; of experts the router 10 * 2 * 64 * 4 = 5120
     * and twice up and down. */
    struct model_config experts = {.n_layers = 2,
                                   .hidden = 64,
                                   .n_heads = 4,
                                   .intermediate = 100,
                                   .expert_layers = 2,
                                   .n_experts = 4,
                                   .n_chosen = 2,
                                   .ending = {.n_poolings = 1, .poolings = {MODEL_POOL_MEAN}}};
    toy_complete(&experts);
    strcpy(experts.family, "nomic_bert_moe");
    assert_true(model_flops(&experts, 1u << MODEL_DENSE, 10) ==
                2 * (327680.0 + 25600.0) + 256000.0 + 5120.0 + 2 * 256000.0);
}

int main(void)
{
    if (!toy_level()) {
        printf("skipped: this machine has no %s\n", getenv("VECMILL_ISA"));
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_vectors),  cmocka_unit_test(same_bits_in_any_company),
        cmocka_unit_test(wrong_passes),    cmocka_unit_test(workspace_is_kept),
        cmocka_unit_test(flipped_bytes),   cmocka_unit_test(sections_that_disagree),
        cmocka_unit_test(same_pack_twice), cmocka_unit_test(weights_that_overflow),
        cmocka_unit_test(operations),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("model-forward: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(*tests)) - failed,
           failed);
    return failed;
}
