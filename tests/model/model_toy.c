/* model_toy: folders, files and passes, with the test failed where something that must work does not. */
#include "model_toy.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void toy_open(struct toy *toy)
{
    static const char shape[] = "/tmp/vecmill-test-XXXXXX";
    memcpy(toy->root, shape, sizeof(shape));
    if (!mkdtemp(toy->root)) fail_msg("%s cannot be made", toy->root);
    snprintf(toy->model, sizeof(toy->model), "%.400s/model", toy->root);
    snprintf(toy->pack, sizeof(toy->pack), "%.400s/model.pack", toy->root);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

void toy_remove(struct toy *toy)
{
    assert_int_equal(strncmp(toy->root, "/tmp/vecmill-test-", 18), 0);
    assert_int_equal(nftw(toy->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void toy_make(const struct toy *toy, const char *arguments)
{
    char command[2 * TOY_PATH + 1024];
    const char *source = getenv("VECMILL_SOURCE");
    snprintf(command, sizeof(command), "python3 '%s/tools/make_toy_model.py' '%s' %s",
             source ? source : ".", toy->model, arguments);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

char *toy_read(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(f);
    rewind(f);
    char *data = (char *)malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, f), *bytes);
    data[*bytes] = '\0';
    fclose(f);
    return data;
}

void toy_write(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("%s cannot be written", path);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

void toy_edit(const struct toy *toy, const char *file, const char *from, const char *to)
{
    char path[2 * TOY_PATH];
    size_t bytes, from_bytes = strlen(from), to_bytes = strlen(to);
    snprintf(path, sizeof(path), "%s/%s", toy->model, file);
    char *data = toy_read(path, &bytes);
    char *at = (char *)memmem(data, bytes, from, from_bytes);
    if (!at) fail_msg("%s does not hold %s", file, from);
    size_t before = (size_t)(at - data), after = bytes - before - from_bytes;
    char *next = (char *)malloc(bytes - from_bytes + to_bytes);
    assert_non_null(next);
    memcpy(next, data, before);
    memcpy(next + before, to, to_bytes);
    memcpy(next + before + to_bytes, at + from_bytes, after);
    if (strcmp(file, "model.safetensors") == 0) {
        uint64_t n;
        memcpy(&n, next, sizeof(n));
        n = n - from_bytes + to_bytes;
        memcpy(next, &n, sizeof(n));
    }
    toy_write(path, next, bytes - from_bytes + to_bytes);
    free(next);
    free(data);
}

vecmill_status toy_compile(const struct toy *toy, const struct kern *kern, vecmill_err *err)
{
    struct pack_writer *w = (struct pack_writer *)calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(pack_writer_open(toy->pack, "a toy", 0, w, err), VECMILL_OK);
    vecmill_status status = model_compile(toy->model, kern, toy_precision(), NULL, w, err);
    if (status == VECMILL_OK) {
        status = pack_commit(w, err);
    } else {
        pack_drop(w);
    }
    free(w);
    return status;
}

void toy_load(const struct toy *toy, const struct kern *kern, struct toy_loaded *loaded)
{
    vecmill_err err = {0};
    *loaded = (struct toy_loaded){.kern = kern};
    if (pack_open(toy->pack, &loaded->pack, &err) != VECMILL_OK ||
        model_open(&loaded->pack, kern, toy_precision(), &loaded->model, &err) != VECMILL_OK) {
        fail_msg("%s", err.message);
    }
    uint32_t most = model_describe(loaded->model)->max_positions;
    toy_plan(loaded, 4 * most, most);
}

void toy_plan(struct toy_loaded *loaded, uint32_t tokens, uint32_t longest)
{
    free(loaded->memory);
    loaded->extent = (struct model_extent){
        .tokens = tokens, .longest = longest, .threads = team_size(loaded->team)};
    loaded->memory_bytes =
        model_workspace_bytes(model_describe(loaded->model), loaded->kern, &loaded->extent);
    size_t whole = num_up(loaded->memory_bytes, 4096);
    loaded->memory = aligned_alloc(4096, whole);
    assert_non_null(loaded->memory);
    memset(loaded->memory, 0xff, whole); /* NaNs: a pass must not read what it did not write */
}

void toy_threads(struct toy_loaded *loaded, uint32_t n)
{
    vecmill_err err = {0};
    team_close(loaded->team);
    loaded->team = NULL;
    if (n > 1 && team_open(n, &loaded->team, &err) != VECMILL_OK) fail_msg("%s", err.message);
    toy_plan(loaded, loaded->extent.tokens, loaded->extent.longest);
}

void toy_forward(struct toy_loaded *loaded, const int32_t *ids, const uint32_t *starts,
                 uint32_t n_docs, float *vectors)
{
    toy_forward_types(loaded, ids, NULL, starts, n_docs, vectors);
}

void toy_forward_types(struct toy_loaded *loaded, const int32_t *ids, const uint8_t *types,
                       const uint32_t *starts, uint32_t n_docs, float *vectors)
{
    vecmill_err err = {0};
    const struct model_input input = {
        .ids = ids, .types = types, .starts = starts, .n_docs = n_docs};
    const struct model_output output = {.vectors = vectors};
    vecmill_status status = model_forward(loaded->model, loaded->memory, &loaded->extent,
                                          loaded->team, &input, &output, &err);
    if (status != VECMILL_OK) fail_msg("forward: %s", err.message);
}

void toy_unload(struct toy_loaded *loaded)
{
    team_close(loaded->team);
    model_close(loaded->model);
    pack_close(&loaded->pack);
    free(loaded->memory);
}

void toy_complete(struct model_config *config)
{
    strcpy(config->family, "bert");
    config->n_kv_heads = config->n_heads;
    config->head_dim = config->hidden / config->n_heads;
    config->divisor = sqrtf((float)config->head_dim);
    config->types = 2;
    config->kinds = 1u << MODEL_DENSE;
    config->has = MODEL_HAS_TYPES;
}

bool toy_level(void)
{
    const char *level = getenv("VECMILL_ISA");
    for (int i = 0; level && i < KERN_LEVELS; i++) {
        if (strcmp(level, kern_level_name((enum kern_level)i)) == 0) {
            return kern_table((enum kern_level)i) != NULL;
        }
    }
    return true;
}

enum kern_precision toy_precision(void)
{
    const char *name = getenv("VECMILL_TEST_PRECISION");
    if (!name) return KERN_FP32;
    for (int i = 0; i < KERN_PRECISIONS; i++) {
        const enum kern_precision precision = (enum kern_precision)i;
        if (strcmp(name, kern_precision_name(precision)) == 0) return precision;
    }
    fail_msg("VECMILL_TEST_PRECISION is %s", name);
    return KERN_FP32;
}

const struct kern *toy_kern(void)
{
    const struct kern *kern = NULL;
    vecmill_err err = {0};
    if (kern_select(NULL, &kern, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return kern;
}
