/* What follows the body, against vectors of sentence-transformers: tests/data/ending/golden.json has
 * the modules and the vectors, made by tools/make_golden_ending.py. Rows and weights are of a formula
 * that both have. No encoder is computed. */
#include "model/ending.h"
#include "model_toy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN    "tests/data/ending/golden.json"
#define FLOATS    4096u /* of a case: rows, a tensor, a vector */
#define ROWS_SEED 1u

/* Of the largest component: fp32 has 6e-8, the longest sum here 24 products. */
#define TOLERANCE 1e-6

static struct toy toy;

/* n floats in [-1, 1), exact in fp32: the top 24 bits of SplitMix64 (Steele et al. 2014). */
static void fill(uint64_t seed, float *out, size_t n)
{
    uint64_t state = seed << 32;
    for (size_t i = 0; i < n; i++) {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        out[i] = (float)((double)(z >> 40) / (double)(1 << 23) - 1.0);
    }
}

/* ---- a folder from a case ---- */

static void make_folder(const char *path)
{
    if (mkdir(path, 0755) != 0) fail_msg("%s cannot be made", path);
}

static const char *path_of(const char *folder, const char *file)
{
    static char path[2 * TOY_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static uint64_t number(const struct json_value *o, const char *key)
{
    const struct json_value value = json_get(o, key);
    uint64_t n = 0;
    if (!json_u64(&value, &n)) fail_msg("%s: no number \"%s\"", GOLDEN, key);
    return n;
}

/* model.safetensors with a module's tensors, by the names, shapes and seeds of the case. */
static void write_weights(const char *folder, const struct json_value *tensors)
{
    static float data[FLOATS];
    static unsigned char file[FLOATS * sizeof(float) + 1024];
    char header[1024] = "{";
    struct json_each each = json_begin(tensors);
    struct json_value key, tensor;
    size_t used = 0;
    while (json_each(&each, &key, &tensor)) {
        const struct json_value shape = json_get(&tensor, "shape");
        struct json_each sizes = json_begin(&shape);
        struct json_value none, size;
        uint64_t n = 1, length = 0;
        while (json_each(&sizes, &none, &size) && json_u64(&size, &length))
            n *= length;
        assert_true(used + n <= FLOATS);
        fill(number(&tensor, "seed"), data + used, (size_t)n);
        const size_t at = strlen(header);
        snprintf(header + at, sizeof header - at,
                 "%s%.*s:{\"dtype\":\"F32\",\"shape\":%.*s,\"data_offsets\":[%zu,%zu]}",
                 used ? "," : "", (int)key.bytes, key.raw, (int)shape.bytes, shape.raw,
                 used * sizeof *data, (used + (size_t)n) * sizeof *data);
        used += (size_t)n;
    }
    const size_t at = strlen(header);
    snprintf(header + at, sizeof header - at, "}");
    const uint64_t bytes = strlen(header);
    memcpy(file, &bytes, sizeof bytes);
    memcpy(file + 8, header, bytes);
    memcpy(file + 8 + bytes, data, used * sizeof *data);
    toy_write(path_of(folder, "model.safetensors"), file, 8 + bytes + used * sizeof *data);
}

/* The folder of a case: config.json of the transformer, modules.json, and the modules'. */
static void write_case(const struct json_value *one)
{
    char text[4096];
    const struct json_value modules = json_get(one, "modules");
    struct json_each each = json_begin(&modules);
    struct json_value none, module;
    make_folder(toy.model);
    snprintf(text, sizeof text,
             "{\"model_type\":\"bert\",\"num_hidden_layers\":1,\"hidden_size\":%u,"
             "\"num_attention_heads\":1,\"intermediate_size\":8,\"vocab_size\":8,"
             "\"max_position_embeddings\":16}",
             (unsigned)number(one, "hidden"));
    toy_write(path_of(toy.model, "config.json"), text, strlen(text));
    size_t at =
        (size_t)snprintf(text, sizeof text,
                         "[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"}");
    for (unsigned i = 1; json_each(&each, &none, &module); i++) {
        const struct json_value type = json_get(&module, "type");
        const struct json_value config = json_get(&module, "config");
        const struct json_value tensors = json_get(&module, "tensors");
        char folder[TOY_PATH + 32];
        snprintf(folder, sizeof folder, "%s/%u_Module", toy.model, i);
        at += (size_t)snprintf(text + at, sizeof text - at,
                               ",{\"idx\":%u,\"path\":\"%u_Module\",\"type\":%.*s}", i, i,
                               (int)type.bytes, type.raw);
        make_folder(folder);
        if (config.kind == JSON_KIND_OBJECT)
            toy_write(path_of(folder, "config.json"), config.raw, config.bytes);
        if (tensors.kind == JSON_KIND_OBJECT) write_weights(folder, &tensors);
    }
    snprintf(text + at, sizeof text - at, "]");
    toy_write(path_of(toy.model, "modules.json"), text, strlen(text));
}

/* The section of the folder in a pack at toy.pack. */
static vecmill_status write_pack(const struct config *config, const struct kern *kern,
                                 vecmill_err *err)
{
    static struct pack_writer w;
    VM_TRY(pack_writer_open(toy.pack, "test", 1000, &w, err));
    const vecmill_status status = ending_write(toy.model, config, kern, &w, err);
    if (status == VECMILL_OK) return pack_commit(&w, err);
    pack_drop(&w);
    return status;
}

static void remove_all(void)
{
    toy_remove(&toy);
    toy_open(&toy);
}

/* ---- vectors ---- */

/* One case at one level: within the tolerance, and with the same bits in every precision. */
static double compare(const struct json_value *one, const struct config *read,
                      const struct kern *kern)
{
    static float rows[FLOATS], vectors[KERN_PRECISIONS][FLOATS];
    static double want[FLOATS];
    const uint32_t n = (uint32_t)number(one, "tokens"), dim = read->model.dim;
    const struct json_value vector = json_get(one, "vector");
    struct json_each each = json_begin(&vector);
    struct json_value none, element;
    struct pack pack;
    vecmill_err err;
    double largest = 0, worst = 0;
    assert_int_equal(json_count(&vector), dim);
    for (uint32_t c = 0; json_each(&each, &none, &element); c++) {
        assert_true(json_double(&element, &want[c]));
        largest = fmax(largest, fabs(want[c]));
    }
    fill(ROWS_SEED, rows, (size_t)n * read->model.hidden);
    for (int precision = 0; precision < KERN_PRECISIONS; precision++) {
        struct config config = *read;
        struct ending ending;
        config.model.precision = (uint32_t)precision;
        if (write_pack(&config, kern, &err) != VECMILL_OK ||
            pack_open(toy.pack, &pack, &err) != VECMILL_OK ||
            ending_open(&pack, kern, ENDING_VECTOR, &config.model, &ending, &err) != VECMILL_OK)
            fail_msg("%s", err.message);
        const size_t bytes = num_up(ending_scratch_bytes(&config.model, kern, 1) + 64, 64);
        unsigned char *scratch = aligned_alloc(64, bytes);
        assert_non_null(scratch);
        memset(scratch, 0xA5, bytes);
        ending_run(&ending, rows, n, 0, scratch, vectors[precision]);
        for (size_t i = bytes - 64; i < bytes; i++)
            assert_int_equal(scratch[i], 0xA5);
        free(scratch);
        pack_close(&pack);
        assert_memory_equal(vectors[precision], vectors[0], dim * sizeof(float));
    }
    for (uint32_t c = 0; c < dim; c++)
        worst = fmax(worst, fabs((double)vectors[0][c] - want[c]));
    return worst / largest;
}

static void golden_vectors(void **state)
{
    (void)state;
    struct buf text;
    struct json_value root, none, one;
    vecmill_err err;
    unsigned n_cases = 0, n_levels = 0;
    double worst = 0;
    buf_init(&text, 1 << 20, "");
    if (io_read_file(GOLDEN, &text, VECMILL_E_IO, VECMILL_E_IO, &err) != VECMILL_OK ||
        json_check(text.data, text.bytes, GOLDEN, VECMILL_E_IO, &root, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(number(&root, "rows_seed"), ROWS_SEED);
    const struct json_value cases = json_get(&root, "cases");
    struct json_each each = json_begin(&cases);
    while (json_each(&each, &none, &one)) {
        struct config config;
        write_case(&one);
        if (config_read(toy.model, &config, &err) != VECMILL_OK ||
            ending_check_files(toy.model, &config, &err) != VECMILL_OK)
            fail_msg("case %u: %s", n_cases, err.message);
        n_levels = 0;
        for (int level = 0; level < KERN_LEVELS; level++) {
            const struct kern *kern = kern_table((enum kern_level)level);
            if (!kern) continue;
            const double d = compare(&one, &config, kern);
            worst = fmax(worst, d);
            if (!(d <= TOLERANCE)) fail_msg("case %u, %s: %g off", n_cases, kern->name, d);
            n_levels++;
        }
        remove_all();
        n_cases++;
    }
    assert_true(n_cases >= 24);
    print_message("%u cases at %u levels, %.1e of the largest component at most\n", n_cases,
                  n_levels, worst);
    buf_done(&text);
}

/* What pooling reads of a document says what the last layer may leave out. */
static void rows_that_are_read(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, poolings[MODEL_POOLINGS];
        enum ending_rows rows;
    } cases[] = {
        {1, {MODEL_POOL_MEAN}, ENDING_ROWS_ALL},
        {1, {MODEL_POOL_MAX}, ENDING_ROWS_ALL},
        {1, {MODEL_POOL_MEAN_SQRT_LEN}, ENDING_ROWS_ALL},
        {1, {MODEL_POOL_WEIGHTED_MEAN}, ENDING_ROWS_ALL},
        {1, {MODEL_POOL_CLS}, ENDING_ROWS_FIRST},
        {1, {MODEL_POOL_LAST}, ENDING_ROWS_LAST},
        {2, {MODEL_POOL_CLS, MODEL_POOL_LAST}, ENDING_ROWS_BOTH},
        {2, {MODEL_POOL_LAST, MODEL_POOL_CLS}, ENDING_ROWS_BOTH},
        {3, {MODEL_POOL_LAST, MODEL_POOL_CLS, MODEL_POOL_MAX}, ENDING_ROWS_ALL},
    };
    enum { N = 9, H = 5 };
    float rows[N * H], few[2 * H], all_of[2 * H], few_of[2 * H];
    fill(7, rows, N * H);
    memcpy(few, rows, sizeof few / 2);
    memcpy(few + H, rows + (size_t)(N - 1) * H, sizeof few / 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config config = {.hidden = H, .ending = {.n_poolings = cases[i].n}};
        const struct ending ending = {.kern = kern_table(KERN_REF), .config = &config};
        memcpy(config.ending.poolings, cases[i].poolings, sizeof cases[i].poolings);
        config.dim = cases[i].n * H;
        assert_int_equal(ending_rows(&config), cases[i].rows);
        if (cases[i].rows == ENDING_ROWS_ALL) continue;
        /* only those rows, in their order, give the same */
        const bool first = cases[i].rows != ENDING_ROWS_LAST;
        ending_run(&ending, rows, N, 0, NULL, all_of);
        ending_run(&ending, first ? few : few + H, cases[i].rows == ENDING_ROWS_BOTH ? 2 : 1, 0,
                   NULL, few_of);
        assert_memory_equal(all_of, few_of, config.dim * sizeof(float));
    }
}

/* ---- what does not fit ---- */

static const char dense_case[] =
    "{\"hidden\":4,\"tokens\":2,\"modules\":["
    "{\"type\":\"sentence_transformers.models.Pooling\",\"config\":{\"embedding_dimension\":4}},"
    "{\"type\":\"sentence_transformers.models.Dense\",\"config\":{\"in_features\":4,"
    "\"out_features\":3,\"bias\":%s},\"tensors\":{%s}},"
    "{\"type\":\"sentence_transformers.models.LayerNorm\",\"config\":{\"dimension\":%d},"
    "\"tensors\":{%s}}]}";

#define WEIGHT "\"linear.weight\":{\"shape\":[3,4],\"seed\":2}"
#define BIAS   "\"linear.bias\":{\"shape\":[3],\"seed\":3}"
#define NORM   "\"norm.weight\":{\"shape\":[3],\"seed\":4},\"norm.bias\":{\"shape\":[3],\"seed\":5}"

static void write_dense_case(const char *has_bias, const char *dense, int width, const char *norm)
{
    char text[2048];
    struct json_value one;
    vecmill_err err;
    snprintf(text, sizeof text, dense_case, has_bias, dense, width, norm);
    if (json_check(text, strlen(text), "a case", VECMILL_E_IO, &one, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    write_case(&one);
}

static void weights_that_disagree(void **state)
{
    (void)state;
    static const struct {
        const char *has_bias, *dense;
        int width;
        const char *norm, *says;
    } cases[] = {
        {"true", WEIGHT "," BIAS, 3, NORM, NULL},
        {"false", WEIGHT, 3, NORM, NULL},
        {"true", WEIGHT, 3, NORM, "\"linear.bias\" is missing"},
        {"true", BIAS, 3, NORM, "\"linear.weight\" is missing"},
        {"false", WEIGHT "," BIAS, 3, NORM, "\"linear.bias\" is no part of the module"},
        {"false", "\"linear.weight\":{\"shape\":[4,3],\"seed\":2}", 3, NORM,
         "[4, 3], the module's config.json asks for [3, 4]"},
        {"false", "\"linear.weight\":{\"shape\":[12],\"seed\":2}", 3, NORM, "has shape [12]"},
        {"false", WEIGHT, 4, NORM, "\"dimension\" is 4, the module before it makes 3"},
        {"false", WEIGHT, 3, "\"norm.weight\":{\"shape\":[3],\"seed\":4}",
         "\"norm.bias\" is missing"},
        {"false", WEIGHT, 3,
         "\"norm.weight\":{\"shape\":[3],\"seed\":4},\"norm.bias\":{\"shape\":"
         "[4],\"seed\":5}",
         "has shape [4]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        vecmill_err err = {0};
        write_dense_case(cases[i].has_bias, cases[i].dense, cases[i].width, cases[i].norm);
        vecmill_status status = config_read(toy.model, &config, &err);
        if (status == VECMILL_OK) {
            status = ending_check_files(toy.model, &config, &err);
            /* the writer looks again, since files may have changed */
            assert_int_equal(write_pack(&config, kern_table(KERN_REF), &err), status);
        }
        if (!cases[i].says) {
            if (status != VECMILL_OK) fail_msg("case %zu: %s", i, err.message);
        } else if (status != VECMILL_E_MODEL || !strstr(err.message, cases[i].says)) {
            fail_msg("case %zu: status %d, \"%s\"", i, (int)status, err.message);
        }
        remove_all();
    }
}

static void files_that_are_missing(void **state)
{
    (void)state;
    static const char *const files[] = {"2_Module/config.json", "2_Module/model.safetensors",
                                        "3_Module/model.safetensors", "1_Module/config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct config config;
        vecmill_err err = {0};
        size_t bytes = 0;
        write_dense_case("true", WEIGHT "," BIAS, 3, NORM);
        assert_int_equal(unlink(path_of(toy.model, files[i])), 0);
        vecmill_status status = config_read(toy.model, &config, &err);
        if (status == VECMILL_OK) {
            assert_int_equal(ending_most(toy.model, &config, &bytes, &err), VECMILL_E_MODEL);
            status = ending_check_files(toy.model, &config, &err);
        }
        if (status != VECMILL_E_MODEL || !strstr(err.message, files[i]))
            fail_msg("%s: status %d, \"%s\"", files[i], (int)status, err.message);
        remove_all();
    }
}

/* A pack whose section is not what the configuration asks for. */
static void sections_that_disagree(void **state)
{
    (void)state;
    const struct kern *kern = kern_table(KERN_REF);
    struct config config;
    struct ending ending;
    struct pack pack;
    vecmill_err err = {0};
    write_dense_case("true", WEIGHT "," BIAS, 3, NORM);
    assert_int_equal(config_read(toy.model, &config, &err), VECMILL_OK);
    assert_int_equal(write_pack(&config, kern, &err), VECMILL_OK);
    assert_int_equal(pack_open(toy.pack, &pack, &err), VECMILL_OK);
    assert_int_equal(ending_open(&pack, kern, ENDING_VECTOR, &config.model, &ending, &err),
                     VECMILL_OK);
    struct model_config other = config.model;
    other.ending.steps[0].width = other.ending.steps[1].width = other.dim = 300;
    assert_int_equal(ending_open(&pack, kern, ENDING_VECTOR, &other, &ending, &err),
                     VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, ending_section(ENDING_VECTOR)));
    const struct kern *avx2 = kern_table(KERN_AVX2);
    if (avx2)
        assert_int_equal(ending_open(&pack, avx2, ENDING_VECTOR, &config.model, &ending, &err),
                         VECMILL_E_MODEL);
    pack_close(&pack);
    remove_all();
    /* without weights there is no section, and none is needed */
    struct model_config plain = {.hidden = 4, .dim = 4, .ending = {.n_poolings = 1}};
    const struct pack empty = {0};
    assert_int_equal(ending_open(&empty, kern, ENDING_VECTOR, &plain, &ending, &err), VECMILL_OK);
    assert_int_equal(ending_scratch_bytes(&plain, kern, 1), 0);
    assert_int_equal(ending_open(&empty, kern, ENDING_VECTOR, &config.model, &ending, &err),
                     VECMILL_E_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_vectors),         cmocka_unit_test(rows_that_are_read),
        cmocka_unit_test(weights_that_disagree),  cmocka_unit_test(files_that_are_missing),
        cmocka_unit_test(sections_that_disagree),
    };
    toy_open(&toy);
    const int failed = cmocka_run_group_tests_name("model-ending", tests, NULL, NULL);
    toy_remove(&toy);
    return failed;
}
