/* Whole folders: what is missing, what disagrees, what was cut; and the identity of a folder. */
#include "model_toy.h"

#include "model/tensor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WEIGHTS "model.safetensors"

static struct toy toy;
static const struct kern *kern;

/* The toy's files as they were made. */
static const char *const files[] = {"config.json",           WEIGHTS,
                                    "modules.json",          "1_Pooling/config.json",
                                    "tokenizer_config.json", "sentence_bert_config.json"};
enum { FILES = sizeof(files) / sizeof(*files) };
static char *pristine[FILES];
static size_t pristine_bytes[FILES];

static const char *path_of(const char *file)
{
    static char path[2 * TOY_PATH];
    snprintf(path, sizeof(path), "%s/%s", toy.model, file);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    kern = toy_kern();
    toy_open(&toy);
    toy_make(&toy, "--extras");
    for (int i = 0; i < FILES; i++) {
        pristine[i] = toy_read(path_of(files[i]), &pristine_bytes[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++) {
        free(pristine[i]);
    }
    toy_remove(&toy);
    return 0;
}

static void restore(void)
{
    for (int i = 0; i < FILES; i++) {
        toy_write(path_of(files[i]), pristine[i], pristine_bytes[i]);
    }
}

/* Before each test: one that failed half way must not fail the next. */
static int restore_all(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++) {
        remove(path_of(files[i])); /* whatever is there in its place */
    }
    restore();
    unlink(toy.pack);
    return 0;
}

/* Compiling must fail as E_MODEL, say each of the texts, and leave no pack. */
static void expect_refused(const char *name, const char *const *says, size_t n_says)
{
    vecmill_err err = {0};
    vecmill_status status = toy_compile(&toy, kern, &err);
    if (status != VECMILL_E_MODEL) fail_msg("%s: status %d: %s", name, (int)status, err.message);
    for (size_t i = 0; i < n_says && says[i]; i++) {
        if (!strstr(err.message, says[i])) {
            fail_msg("%s: the message does not say \"%s\": %s", name, says[i], err.message);
        }
    }
    assert_false(io_exists(toy.pack));
}

struct edit_case {
    const char *name, *file, *from, *to;
    const char *says[3];
};

static const struct edit_case edits[] = {
    /* weights against configuration */
    {"vocabulary one larger",
     "config.json",
     "\"vocab_size\": 160",
     "\"vocab_size\": 161",
     {WEIGHTS, "160 rows", "161"}},
    {"vocabulary one smaller",
     "config.json",
     "\"vocab_size\": 160",
     "\"vocab_size\": 159",
     {WEIGHTS, "160 rows", "159"}},
    {"positions one more",
     "config.json",
     "\"max_position_embeddings\": 64",
     "\"max_position_embeddings\": 65",
     {WEIGHTS, "64 rows", "65"}},
    {"positions one fewer",
     "config.json",
     "\"max_position_embeddings\": 64",
     "\"max_position_embeddings\": 63",
     {WEIGHTS, "64 rows", "63"}},
    {"types one fewer",
     "config.json",
     "\"type_vocab_size\": 2",
     "\"type_vocab_size\": 1",
     {WEIGHTS, "2 rows", "is 1"}},
    {"hidden size, pooling says otherwise",
     "config.json",
     "\"hidden_size\": 32",
     "\"hidden_size\": 36",
     {"1_Pooling/config.json", "is 32", "is 36"}},
    {"intermediate size",
     "config.json",
     "\"intermediate_size\": 64",
     "\"intermediate_size\": 60",
     {WEIGHTS, "[64, 32]", "[60, 32]"}},
    {"a layer more",
     "config.json",
     "\"num_hidden_layers\": 2",
     "\"num_hidden_layers\": 3",
     {WEIGHTS, "encoder.layer.2.", "3 layers"}},
    {"a layer fewer",
     "config.json",
     "\"num_hidden_layers\": 2",
     "\"num_hidden_layers\": 1",
     {WEIGHTS, "encoder.layer.1.", "1 layers"}},
    {"heads do not divide",
     "config.json",
     "\"num_attention_heads\": 4",
     "\"num_attention_heads\": 3",
     {"config.json", "32", "3"}},
    {"longer than the table",
     "sentence_bert_config.json",
     "64",
     "65",
     {"sentence_bert_config.json", "65", "64 rows"}},
    {"pooling dimension",
     "1_Pooling/config.json",
     "32",
     "33",
     {"1_Pooling/config.json", "33", "32"}},
    {"another architecture",
     "config.json",
     "BertModel",
     "MPNetModel",
     {"config.json", "MPNetModel"}},
    {"another module", "modules.json", "models.Normalize", "models.CNN", {"modules.json", "CNN"}},
    {"a Dense without a folder",
     "modules.json",
     "models.Normalize",
     "models.Dense",
     {"2_Normalize/config.json"}},

    /* tensors */
    {"a weight of I32",
     WEIGHTS,
     "\"embeddings.LayerNorm.bias\":{\"dtype\":\"F32\"",
     "\"embeddings.LayerNorm.bias\":{\"dtype\":\"I32\"",
     {WEIGHTS, "embeddings.LayerNorm.bias", "I32"}},
    {"a weight turned round",
     WEIGHTS,
     "intermediate.dense.weight\":{\"dtype\":\"F32\",\"shape\":[64,32]",
     "intermediate.dense.weight\":{\"dtype\":\"F32\",\"shape\":[32,64]",
     {WEIGHTS, "[32, 64]", "[64, 32]"}},
    {"a vector as a matrix",
     WEIGHTS,
     "\"embeddings.LayerNorm.weight\":{\"dtype\":\"F32\",\"shape\":[32]",
     "\"embeddings.LayerNorm.weight\":{\"dtype\":\"F32\",\"shape\":[32,1]",
     {WEIGHTS, "[32, 1]", "[32]"}},
    {"a matrix as a vector",
     WEIGHTS,
     "\"embeddings.token_type_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[2,32]",
     "\"embeddings.token_type_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[64]",
     {WEIGHTS, "[64]", "[2, 32]"}},
    {"a table of rank 3",
     WEIGHTS,
     "\"shape\":[160,32]",
     "\"shape\":[160,32,1]",
     {WEIGHTS, "[160, 32, 1]", "[160, 32]"}},
    {"a bias with another name",
     WEIGHTS,
     "encoder.layer.1.output.dense.bias",
     "encoder.layer.1.output.dense.bies",
     {WEIGHTS, "encoder.layer.1.output.dense.bias", "missing"}},
    {"a tensor in a layer that nobody knows",
     WEIGHTS,
     "pooler.dense.bias",
     "encoder.layer.0.adapter.bias",
     {WEIGHTS, "encoder.layer.0.adapter.bias"}},
    {"a tensor in the embeddings that nobody knows",
     WEIGHTS,
     "pooler.dense.bias",
     "embeddings.projection",
     {WEIGHTS, "embeddings.projection"}},
    {"LayerNorm by both its names",
     WEIGHTS,
     "pooler.dense.bias",
     "embeddings.LayerNorm.beta",
     {WEIGHTS, "embeddings.LayerNorm.beta"}},
    {"no word table",
     WEIGHTS,
     "embeddings.word_embeddings.weight",
     "embeddings.piece_embeddings",
     {WEIGHTS, "embeddings.word_embeddings.weight", "missing"}},
    {"a hole in the data", WEIGHTS, "\"data_offsets\":[0,", "\"data_offsets\":[1,", {WEIGHTS}},
    {"a dtype nobody knows", WEIGHTS, "\"I64\"", "\"Z64\"", {WEIGHTS, "Z64"}},
    {"JSON that ends early", WEIGHTS, "{\"__metadata__\"", "{\"__metadata__", {WEIGHTS, "JSON"}},
    {"JSON that ends early in the configuration", "config.json", "}", "", {"config.json", "line"}},
};

static void disagreements(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
        toy_edit(&toy, edits[i].file, edits[i].from, edits[i].to);
        expect_refused(edits[i].name, edits[i].says, 3);
        restore();
    }
}

static void cased_against_lower(void **state)
{
    (void)state;
    toy_edit(&toy, "tokenizer_config.json", "\"do_lower_case\": true", "\"do_lower_case\": false");
    toy_edit(&toy, "sentence_bert_config.json", "\"do_lower_case\": false",
             "\"do_lower_case\": true");
    static const char *const says[] = {"sentence_bert_config.json", "tokenizer_config.json"};
    expect_refused("lower case of a cased tokenizer", says, 2);
    restore();
}

static void both_prefixes(void **state)
{
    (void)state;
    toy_edit(&toy, WEIGHTS, "pooler.dense.weight", "bert.embeddings.word_embeddings.weight");
    static const char *const says[] = {WEIGHTS, "two encoders"};
    expect_refused("tensors with and without a prefix", says, 2);
    restore();
}

/* Files that are not there, or are something else. */
static void missing_files(void **state)
{
    (void)state;
    static const char *const required[] = {"config.json", WEIGHTS, "1_Pooling/config.json"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(unlink(path_of(required[i])), 0);
        expect_refused(required[i], &required[i], 1);
        assert_int_equal(mkdir(path_of(required[i]), 0700), 0);
        expect_refused("a folder in its place", &required[i], 1);
        assert_int_equal(rmdir(path_of(required[i])), 0);
        assert_int_equal(mkfifo(path_of(required[i]), 0600), 0);
        expect_refused("a FIFO in its place", &required[i], 1);
        assert_int_equal(unlink(path_of(required[i])), 0);
        toy_write(path_of(required[i]), "", 0);
        expect_refused("an empty file", &required[i], 1);
        restore();
    }
    assert_int_equal(unlink(path_of("modules.json")), 0);
    assert_int_equal(symlink("nowhere", path_of("modules.json")), 0);
    static const char *const modules[] = {"modules.json"};
    expect_refused("a link that leads nowhere", modules, 1);
    assert_int_equal(unlink(path_of("modules.json")), 0);
    restore();
}

static void other_formats(void **state)
{
    (void)state;
    static const char *const others[] = {"tf_model.h5", "adapter_model.safetensors"};
    assert_int_equal(unlink(path_of(WEIGHTS)), 0);
    for (size_t i = 0; i < 2; i++) {
        toy_write(path_of(others[i]), "{}", 2);
        const char *says[] = {WEIGHTS, others[i], "safetensors and torch's pytorch_model.bin only"};
        expect_refused(others[i], says, 3);
        assert_int_equal(unlink(path_of(others[i])), 0);
    }
    restore();
}

static void too_large(void **state)
{
    (void)state;
    char *spaces = (char *)malloc(MODEL_CONFIG_MAX + 1);
    assert_non_null(spaces);
    memset(spaces, ' ', MODEL_CONFIG_MAX + 1);
    toy_write(path_of("config.json"), spaces, MODEL_CONFIG_MAX + 1);
    free(spaces);
    vecmill_err err = {0};
    assert_int_not_equal(toy_compile(&toy, kern, &err), VECMILL_OK);
    assert_non_null(strstr(err.message, "config.json"));
    assert_non_null(strstr(err.message, "MODEL_CONFIG_MAX"));
    restore();
}

/* Where the data of a tensor begins in the file. */
static size_t tensor_at(const char *name, size_t *bytes)
{
    uint64_t n;
    memcpy(&n, pristine[1], sizeof(n));
    const char *entry = strstr(pristine[1] + 8, name);
    assert_non_null(entry);
    unsigned long begin = 0, end = 0;
    assert_int_equal(
        sscanf(strstr(entry, "data_offsets"), "data_offsets\":[%lu,%lu]", &begin, &end), 2);
    *bytes = end - begin;
    return 8 + n + begin;
}

static void values_that_are_not_finite(void **state)
{
    (void)state;
    static const char *const names[] = {
        "embeddings.word_embeddings.weight", "embeddings.LayerNorm.bias",
        "encoder.layer.1.attention.self.value.weight", "encoder.layer.0.intermediate.dense.weight",
        "encoder.layer.1.output.dense.bias"};
    static const uint32_t bad[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        for (size_t k = 0; k < 4; k++) {
            size_t bytes, at = tensor_at(names[i], &bytes);
            size_t element = k % 2 ? bytes / 4 - 1 : 0;
            char *data = (char *)malloc(pristine_bytes[1]), place[32];
            assert_non_null(data);
            memcpy(data, pristine[1], pristine_bytes[1]);
            memcpy(data + at + 4 * element, &bad[k], 4);
            toy_write(path_of(WEIGHTS), data, pristine_bytes[1]);
            free(data);
            snprintf(place, sizeof(place), "element %zu of", element);
            const char *says[] = {WEIGHTS, names[i], place};
            expect_refused(names[i], says, 3);
        }
    }
    restore();
}

/* Cut at every boundary of the file, one byte before and one after, and lengthened by one. */
static void cut_weights(void **state)
{
    (void)state;
    uint64_t n;
    memcpy(&n, pristine[1], sizeof(n));
    static const char *const says[] = {WEIGHTS};
    size_t cuts = 0;
    const char *at = pristine[1] + 8;
    size_t places[512] = {0, 1, 7, 8, 9, 8 + n / 2, 8 + n - 1, 8 + n, 8 + n + 1};
    size_t n_places = 9;
    while ((at = strstr(at, "data_offsets\":[")) != NULL && n_places < 510) {
        unsigned long begin = 0, end = 0;
        at += sizeof("data_offsets\":[") - 1;
        assert_int_equal(sscanf(at, "%lu,%lu", &begin, &end), 2);
        places[n_places++] = 8 + n + end - 1;
        places[n_places++] = 8 + n + end;
        places[n_places++] = 8 + n + end + 1;
    }
    for (size_t i = 0; i < n_places; i++) {
        if (places[i] >= pristine_bytes[1]) continue;
        toy_write(path_of(WEIGHTS), pristine[1], places[i]);
        expect_refused("cut", says, 1);
        cuts++;
    }
    char *longer = (char *)calloc(1, pristine_bytes[1] + 1);
    assert_non_null(longer);
    memcpy(longer, pristine[1], pristine_bytes[1]);
    toy_write(path_of(WEIGHTS), longer, pristine_bytes[1] + 1);
    expect_refused("a byte more", says, 1);
    free(longer);
    restore();
    assert_true(cuts > 100);
}

/* ---- other content in a file's place ---- */

#define LFS                                                                                        \
    "version https://git-lfs.github.com/spec/v1\noid sha256:"                                      \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nsize 90868376\n"

static void files_that_were_not_fetched(void **state)
{
    (void)state;
    static const char zeros[4096] = {0};
    static const struct {
        const char *data;
        size_t bytes;
        const char *says[2];
    } strays[] = {
        {LFS, sizeof LFS - 1, {"Git LFS pointer", "90868376 bytes"}},
        {"version https://git-lfs.github.com/spec/v1\n", 43, {"Git LFS pointer", NULL}},
        {"\n<!DOCTYPE html><html>", 22, {"HTML page", NULL}},
        {"\xEF\xBB\xBF<HTML lang=en>", 17, {"HTML page", NULL}},
        {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", 52, {"XML", NULL}},
        {"PK\3\4\0\0\10\10\0\0archive/data.pkl", 26, {"zip archive", "PyTorch"}},
        {"\x1f\x8b\10\0\0\0\0\0\0\3\0\0", 12, {"gzip", NULL}},
        {"", 0, {"is empty", NULL}},
        {zeros, sizeof zeros, {"bytes of zero", NULL}},
    };
    static const char entry[] = "Entry not found";
    toy_write(path_of(WEIGHTS), entry, sizeof entry - 1);
    static const char *const text[] = {WEIGHTS, "is text in place", "\"Entry not found\""};
    expect_refused("a server's words", text, 3);
    restore();
    static const char *const places[] = {"config.json", WEIGHTS, "modules.json",
                                         "1_Pooling/config.json", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof strays / sizeof *strays; i++) {
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            toy_write(path_of(places[k]), strays[i].data, strays[i].bytes);
            const char *says[] = {places[k], strays[i].says[0], strays[i].says[1]};
            expect_refused(strays[i].says[0], says, 3);
            restore();
        }
    }
}

/* As editors write it. */
static void a_byte_order_mark(void **state)
{
    (void)state;
    vecmill_err err = {0};
    toy_edit(&toy, "config.json", "{", "\xEF\xBB\xBF{");
    if (toy_compile(&toy, kern, &err) != VECMILL_OK) fail_msg("%s", err.message);
}

static void an_adapter(void **state)
{
    (void)state;
    static const char *const says[] = {"adapter_config.json", "merge"};
    toy_write(path_of("adapter_config.json"), "{}", 2);
    expect_refused("an adapter next to the weights", says, 2);
    assert_int_equal(unlink(path_of("adapter_config.json")), 0);
}

/* ---- shards ---- */

#define INDEX  "model.safetensors.index.json"
#define SECOND "model-00002-of-00003.safetensors"

static void shards(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to;
        const char *says[3];
    } cases[] = {
        {"a shard that is missing",
         SECOND,
         "model-00007-of-00003.safetensors",
         {INDEX, "model-00007-of-00003", "missing"}},
        {"a tensor elsewhere",
         "model-00001-of-00003.safetensors",
         SECOND,
         {INDEX, SECOND, "is not in"}},
        {"a shard upwards",
         SECOND,
         "../00002-of-00003.safetensors",
         {INDEX, "../00002", "no name of a file"}},
        {"a shard of no name", SECOND, "", {INDEX, "no name of a file"}},
        {"a map of numbers", "\"model-00001-of-00003.safetensors\"", "1", {INDEX, "not a string"}},
        {"no map", "weight_map", "weight_mab", {INDEX, "weight_map"}},
        {"cut short", "}", "", {INDEX, "cut short"}},
    };
    struct toy sharded = toy;
    snprintf(sharded.model, sizeof sharded.model, "%.480s/sharded", toy.root);
    toy_make(&sharded, "--shards 3");
    char path[2 * TOY_PATH];
    snprintf(path, sizeof path, "%s/%s", sharded.model, INDEX);
    size_t bytes;
    char *index = toy_read(path, &bytes);
    vecmill_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        toy_edit(&sharded, INDEX, cases[i].from, cases[i].to);
        assert_int_equal(toy_compile(&sharded, kern, &err), VECMILL_E_MODEL);
        for (size_t k = 0; k < 3 && cases[i].says[k]; k++) {
            if (!strstr(err.message, cases[i].says[k])) {
                fail_msg("%s: the message does not say \"%s\": %s", cases[i].name, cases[i].says[k],
                         err.message);
            }
        }
        toy_write(path, index, bytes);
    }
    /* a shard's damage is reported by the shard's name */
    snprintf(path, sizeof path, "%s/%s", sharded.model, SECOND);
    size_t shard_bytes;
    char *shard = toy_read(path, &shard_bytes);
    toy_write(path, shard, shard_bytes - 1);
    assert_int_equal(toy_compile(&sharded, kern, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, SECOND));
    assert_non_null(strstr(err.message, "cut short"));
    toy_write(path, LFS, sizeof LFS - 1);
    assert_int_equal(toy_compile(&sharded, kern, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, SECOND));
    assert_non_null(strstr(err.message, "Git LFS pointer"));
    /* shards without their index */
    snprintf(path, sizeof path, "%s/%s", sharded.model, INDEX);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(toy_compile(&sharded, kern, &err), VECMILL_E_MODEL);
    assert_non_null(
        strstr(err.message, "there is model-00001-of-00003.safetensors, but no " INDEX));
    /* a tensor in two shards */
    static const char twice[] = "{\"weight_map\":{\"embeddings.LayerNorm.bias\":\"x.safetensors\","
                                "\"embeddings.LayerNorm.weight\":\"y.safetensors\"}}";
    static const char *const both[] = {"x.safetensors", "y.safetensors", INDEX};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", sharded.model, both[i]);
        toy_write(path, i < 2 ? pristine[1] : twice, i < 2 ? pristine_bytes[1] : sizeof twice - 1);
    }
    assert_int_equal(toy_compile(&sharded, kern, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "is in x.safetensors and in y.safetensors"));
    free(shard);
    free(index);
}

/* ---- identity ---- */

static const char *const further[] = {"tokenizer.json", "vocab.txt"};

static void stamp(char text[33])
{
    vecmill_err err = {0};
    vecmill_status status = model_stamp(toy.model, further, 2, text, &err);
    if (status != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(strlen(text), 32);
}

static void digest(char text[33])
{
    vecmill_err err = {0};
    vecmill_status status = model_digest(toy.model, further, 2, text, &err);
    if (status != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(strlen(text), 32);
}

/* Flips a bit of a file. */
static void flip(const char *file, size_t at)
{
    size_t bytes;
    char *data = toy_read(path_of(file), &bytes);
    assert_true(at < bytes);
    data[at] ^= 1;
    toy_write(path_of(file), data, bytes);
    free(data);
}

static const char *const files_read[] = {"config.json",           WEIGHTS,
                                         "modules.json",          "1_Pooling/config.json",
                                         "tokenizer_config.json", "sentence_bert_config.json",
                                         "tokenizer.json",        "vocab.txt"};
enum { FILES_READ = sizeof(files_read) / sizeof(*files_read) };

/* The stamp is another whenever a file was written to or came or went. */
static void stamp_of_a_folder(void **state)
{
    (void)state;
    char first[33], again[33];
    stamp(first);
    stamp(again);
    assert_string_equal(first, again);
    for (size_t i = 0; i < FILES_READ; i++) {
        const struct timespec then[2] = {{.tv_sec = 1000 + (time_t)i},
                                         {.tv_sec = 1000 + (time_t)i}};
        stamp(first);
        assert_int_equal(utimensat(AT_FDCWD, path_of(files_read[i]), then, 0), 0);
        stamp(again);
        assert_string_not_equal(first, again);
    }
    stamp(first);
    toy_write(path_of("README.md"), "words", 5);
    stamp(again);
    assert_string_equal(first, again);
}

/* The digest is the contents' alone: the same of a copy elsewhere with other times, another when a bit is. */
static void digest_of_a_folder(void **state)
{
    (void)state;
    char first[33], again[33], copy[2 * TOY_PATH], command[6 * TOY_PATH];
    vecmill_err err = {0};
    restore();
    digest(first);
    snprintf(copy, sizeof(copy), "%s/copy", toy.root);
    snprintf(command, sizeof(command), "cp -r '%s' '%s' && find '%s' -exec touch -d @1000 {} +",
             toy.model, copy, copy);
    assert_int_equal(system(command), 0);
    assert_int_equal(model_digest(copy, further, 2, again, &err), VECMILL_OK);
    assert_string_equal(first, again);
    for (size_t i = 0; i < FILES_READ; i++) {
        flip(files_read[i], 9);
        digest(again);
        assert_string_not_equal(first, again);
        flip(files_read[i], 9);
    }
    digest(again);
    assert_string_equal(first, again);
    toy_write(path_of("config_sentence_transformers.json"), "{}", 2);
    digest(again);
    assert_string_not_equal(first, again);
    assert_int_equal(unlink(path_of("config_sentence_transformers.json")), 0);
    toy_write(path_of("README.md"), "other words", 11);
    digest(again);
    assert_string_equal(first, again);
}

/* Of the weights the start of every tensor counts, however small it is and wherever it is: training
 * that changes only the biases makes another model. */
static void digest_of_weights(void **state)
{
    (void)state;
    static const char key[] = "\"data_offsets\":[";
    char first[33], again[33];
    size_t bytes, header;
    uint64_t length;
    restore();
    digest(first);
    char *data = toy_read(path_of(WEIGHTS), &bytes);
    memcpy(&length, data, sizeof(length));
    header = 8 + (size_t)length;
    uint32_t n = 0;
    for (const char *at = data;
         (at = memmem(at, header - (size_t)(at - data), key, sizeof(key) - 1)) != NULL; n++) {
        at += sizeof(key) - 1;
        flip(WEIGHTS, header + strtoull(at, NULL, 10) + 3);
        digest(again);
        assert_string_not_equal(first, again);
        restore();
    }
    assert_true(n > 30);
    flip(WEIGHTS, bytes - 1);
    digest(again);
    assert_string_not_equal(first, again);
    free(data);
    restore();
    /* Any content has a digest; that it is not a model is reported by the compiler. */
    static const char *const others[] = {
        "", "x", "version https://git-lfs.github.com/spec/v1\n",
        "\xff\xff\xff\xff\xff\xff\xff\xff{",
        "\x40\0\0\0\0\0\0\0{\"a\":{\"data_offsets\":[99999999999999999999,"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        toy_write(path_of(WEIGHTS), others[i], i == 4 ? 49 : strlen(others[i]));
        digest(again);
        assert_string_not_equal(first, again);
    }
    restore();
}

/* The same of torch's format. */
static void digest_of_torch_weights(void **state)
{
    (void)state;
    static const char bin[] = "pytorch_model.bin";
    struct toy other = toy;
    char path[2 * TOY_PATH], first[33], again[33];
    vecmill_err err = {0};
    struct tensor_file file;
    size_t bytes;
    snprintf(other.model, sizeof other.model, "%.480s/torch", toy.root);
    toy_make(&other, "--torch --extras");
    snprintf(path, sizeof path, "%s/%s", other.model, bin);
    assert_int_equal(model_digest(other.model, further, 2, first, &err), VECMILL_OK);
    assert_int_equal(tensor_file_open(path, &file, &err), VECMILL_OK);
    char *data = toy_read(path, &bytes);
    assert_true(file.n_tensors > 30);
    /* the first byte of each tensor, of the archive, a letter of the pickle, the end record */
    for (uint32_t i = 0; i < file.n_tensors + 3; i++) {
        const size_t at = i < file.n_tensors        ? (size_t)file.tensors[i].begin
                          : i == file.n_tensors     ? 0
                          : i == file.n_tensors + 1 ? 400
                                                    : bytes - 3;
        data[at] ^= 4;
        toy_write(path, data, bytes);
        assert_int_equal(model_digest(other.model, further, 2, again, &err), VECMILL_OK);
        assert_string_not_equal(first, again);
        data[at] ^= 4;
    }
    toy_write(path, data, bytes);
    assert_int_equal(model_digest(other.model, further, 2, again, &err), VECMILL_OK);
    assert_string_equal(first, again);
    tensor_file_close(&file);
    free(data);
}

/* safetensors before torch's format, one file before an index. */
static void order_of_formats(void **state)
{
    (void)state;
    static const char *const names[] = {"pytorch_model.bin.index.json", "pytorch_model.bin",
                                        "model.safetensors.index.json", "model.safetensors"};
    struct toy none = toy;
    char path[2 * TOY_PATH];
    vecmill_err err = {0};
    snprintf(none.model, sizeof none.model, "%.480s/order", toy.root);
    toy_make(&none, "");
    snprintf(path, sizeof path, "%s/%s", none.model, WEIGHTS);
    assert_int_equal(unlink(path), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", none.model, names[i]);
        toy_write(path, "[]", 2);
        assert_int_equal(toy_compile(&none, kern, &err), VECMILL_E_MODEL);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "/%s: ", names[i]);
        assert_non_null(strstr(err.message, wanted));
    }
}

static void identity_of_nothing(void **state)
{
    (void)state;
    char text[33] = "untouched";
    vecmill_err err = {0};
    static const char *const required[] = {"config.json", WEIGHTS};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(unlink(path_of(required[i])), 0);
        assert_int_equal(model_stamp(toy.model, NULL, 0, text, &err), VECMILL_E_MODEL);
        assert_non_null(strstr(err.message, required[i]));
        assert_int_equal(model_digest(toy.model, NULL, 0, text, &err), VECMILL_E_MODEL);
        assert_non_null(strstr(err.message, required[i]));
        restore();
    }
    assert_int_equal(model_digest("/nowhere/at/all", NULL, 0, text, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    assert_string_equal(text, "untouched");
}

/* A path longer than a message still names the file. */
static void a_long_path(void **state)
{
    (void)state;
    struct toy deep = toy;
    size_t used = strlen(deep.root);
    for (int i = 0; i < 4; i++) {
        used += (size_t)snprintf(deep.root + used, 62, "/%060d", i);
        assert_int_equal(mkdir(deep.root, 0700), 0);
    }
    memcpy(deep.model, deep.root, used + 1);
    vecmill_err err = {0};
    assert_int_equal(toy_compile(&deep, kern, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "config.json"));
    char copy[TOY_PATH + 64];
    snprintf(copy, sizeof(copy), "%s/config.json", deep.model);
    toy_write(copy, pristine[0], pristine_bytes[0]);
    assert_int_equal(toy_compile(&deep, kern, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, WEIGHTS));
    snprintf(copy, sizeof(copy), "%s/%s", deep.model, WEIGHTS);
    toy_write(copy, pristine[1], pristine_bytes[1] - 1);
    assert_int_equal(toy_compile(&deep, kern, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, WEIGHTS));
    assert_non_null(strstr(err.message, "cut short"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(disagreements, restore_all),
        cmocka_unit_test_setup(cased_against_lower, restore_all),
        cmocka_unit_test_setup(both_prefixes, restore_all),
        cmocka_unit_test_setup(missing_files, restore_all),
        cmocka_unit_test_setup(other_formats, restore_all),
        cmocka_unit_test_setup(too_large, restore_all),
        cmocka_unit_test_setup(values_that_are_not_finite, restore_all),
        cmocka_unit_test_setup(cut_weights, restore_all),
        cmocka_unit_test_setup(files_that_were_not_fetched, restore_all),
        cmocka_unit_test_setup(a_byte_order_mark, restore_all),
        cmocka_unit_test_setup(an_adapter, restore_all),
        cmocka_unit_test_setup(shards, restore_all),
        cmocka_unit_test_setup(stamp_of_a_folder, restore_all),
        cmocka_unit_test_setup(digest_of_a_folder, restore_all),
        cmocka_unit_test_setup(digest_of_weights, restore_all),
        cmocka_unit_test(digest_of_torch_weights),
        cmocka_unit_test(order_of_formats),
        cmocka_unit_test_setup(identity_of_nothing, restore_all),
        cmocka_unit_test_setup(a_long_path, restore_all),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("model-folder: %d named edits\n", (int)(sizeof(edits) / sizeof(*edits)));
    printf("model-folder: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(*tests)) - failed,
           failed);
    return failed;
}
