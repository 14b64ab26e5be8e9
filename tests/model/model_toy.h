/* model_toy: tiny model folders for tests, made by tools/make_toy_model.py in a folder of their own. */
#ifndef TESTS_MODEL_TOY_H
#define TESTS_MODEL_TOY_H

#include "model/model.h"

#include <stddef.h>

#define TOY_PATH 512

/* A new folder /tmp/vecmill-test-XXXXXX; pair: toy_remove. */
struct toy {
    char root[TOY_PATH];  /* removed at the end */
    char model[TOY_PATH]; /* root/model */
    char pack[TOY_PATH];  /* root/model.pack, once it was compiled */
};
void toy_open(struct toy *toy);
void toy_remove(struct toy *toy);

/* Runs the tool with these arguments into toy->model; fails the test when it cannot. */
void toy_make(const struct toy *toy, const char *arguments);

/* A whole file on the heap (free), NUL after it; fails the test when it cannot be read. */
char *toy_read(const char *path, size_t *bytes);
void toy_write(const char *path, const void *data, size_t bytes);

/* Replaces the first `from` in a file of the model folder by `to`, anywhere in it; in
 * model.safetensors within the header, whose length follows. Fails the test when it is not there. */
void toy_edit(const struct toy *toy, const char *file, const char *from, const char *to);

/* Compiles toy->model into toy->pack. */
vecmill_status toy_compile(const struct toy *toy, const struct kern *kern, vecmill_err *err);

/* A compiled model, mapped, computed by one thread at first; fails the test when it does not open. Pair:
 * toy_unload. */
struct toy_loaded {
    struct pack pack;
    const struct kern *kern;
    struct model *model;
    struct team *team; /* NULL: one thread */
    void *memory;
    size_t memory_bytes;
    struct model_extent extent;
};
void toy_load(const struct toy *toy, const struct kern *kern, struct toy_loaded *loaded);
void toy_unload(struct toy_loaded *loaded);

/* Working memory for passes of `tokens`; instead of what was there. */
void toy_plan(struct toy_loaded *loaded, uint32_t tokens, uint32_t longest);

/* From here on passes are computed by this many threads. */
void toy_threads(struct toy_loaded *loaded, uint32_t n);

/* One pass over documents end to end; fails the test when it fails. */
void toy_forward(struct toy_loaded *loaded, const int32_t *ids, const uint32_t *starts,
                 uint32_t n_docs, float *vectors);
/* The same with token types; NULL: all 0. */
void toy_forward_types(struct toy_loaded *loaded, const int32_t *ids, const uint8_t *types,
                       const uint32_t *starts, uint32_t n_docs, float *vectors);

/* Of a BERT whose sizes are set, what follows from them. */
void toy_complete(struct model_config *config);

/* False when $VECMILL_ISA names a level that this machine lacks. */
bool toy_level(void);

/* The precision of all packs here: $VECMILL_TEST_PRECISION, "fp32" where it is not set. Fails the test for an
 * unknown name. */
enum kern_precision toy_precision(void);

/* The kernels of $VECMILL_ISA, or the best; fails the test when there are none. */
const struct kern *toy_kern(void);

#endif
