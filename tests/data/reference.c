/* reference.c: JSON lines and a .npy. What is there and damaged is an error: no other set takes its place. */
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE     "tests/data/reference"
#define LEAST    64  /* texts, in the tree: fewer prove too little */
#define NPY_HEAD 128 /* bytes in front of the vectors, as numpy writes it for two dimensions */

static vecmill_status read_row(struct reference *r, const char *line, size_t bytes,
                               const char *path, vecmill_err *err)
{
    struct json_value row, none, id;
    if (r->n == REFERENCE_MOST) {
        return err_set(err, VECMILL_E_INPUT, "%s: holds more than %d texts", path, REFERENCE_MOST);
    }
    VM_TRY(json_check(line, bytes, path, VECMILL_E_INPUT, &row, err));
    const struct json_value text = json_get(&row, "text"), ids = json_get(&row, "ids");
    const size_t n_ids = json_count(&ids);
    if (text.kind != JSON_KIND_STRING || n_ids == 0 || n_ids > REFERENCE_LENGTH) {
        return err_set(err, VECMILL_E_INPUT, "%s: line %zu: is no text with 1 to %d ids", path,
                       r->n + 1, REFERENCE_LENGTH);
    }
    struct reference_row *out = &r->rows[r->n++];
    out->text = malloc(text.bytes);
    out->ids = calloc(n_ids, sizeof *out->ids);
    if (!out->text || !out->ids) return err_set(err, VECMILL_E_MEMORY, "no memory for %s", path);
    uint64_t replaced = 0;
    out->bytes = json_decode(&text, out->text, &replaced);
    struct json_each each = json_begin(&ids);
    while (json_each(&each, &none, &id)) {
        int64_t n = -1;
        if (!json_i64(&id, &n))
            return err_set(err, VECMILL_E_INPUT, "%s: line %zu: an id is no integer", path, r->n);
        out->ids[out->n_ids++] = (int32_t)n;
    }
    return VECMILL_OK;
}

static vecmill_status read_rows(struct reference *r, const char *path, vecmill_err *err)
{
    struct buf b;
    buf_init(&b, 16 << 20, "16 MiB");
    vecmill_status status = io_read_file(path, &b, VECMILL_E_NOTFOUND, VECMILL_E_IO, err);
    for (size_t at = 0; status == VECMILL_OK && at < b.bytes;) {
        const char *end = memchr(b.data + at, '\n', b.bytes - at);
        const size_t bytes = end ? (size_t)(end - b.data) - at : b.bytes - at;
        status = read_row(r, b.data + at, bytes, path, err);
        at += bytes + 1;
    }
    buf_done(&b);
    return status;
}

static vecmill_status map_vectors(struct reference *r, const char *path, vecmill_err *err)
{
    char shape[40];
    const size_t want = NPY_HEAD + r->n * REFERENCE_DIM * sizeof(float);
    VM_TRY(io_map_file(path, &r->npy, VECMILL_E_NOTFOUND, VECMILL_E_IO, err));
    if (r->npy.bytes != want) {
        return err_set(err, VECMILL_E_INPUT, "%s: holds %zu bytes, %zu texts need %zu", path,
                       r->npy.bytes, r->n, want);
    }
    const int n = snprintf(shape, sizeof(shape), "(%zu, %d)", r->n, REFERENCE_DIM);
    if (!memmem(r->npy.data, NPY_HEAD, "'<f4'", 5) ||
        !memmem(r->npy.data, NPY_HEAD, shape, (size_t)n)) {
        return err_set(err, VECMILL_E_INPUT, "%s: is not float32 of shape %s", path, shape);
    }
    r->vectors = (const float *)(const void *)(r->npy.data + NPY_HEAD);
    return VECMILL_OK;
}

vecmill_status reference_open(struct reference *r, vecmill_err *err)
{
    const char *shared = getenv("VECMILL_SHARED");
    char folder[IO_PATH_MAX], texts[IO_PATH_MAX], vectors[IO_PATH_MAX];
    VM_TRY(io_join(shared && *shared ? shared : "../shared", "data/reference", folder, err));
    VM_TRY(io_join(folder, "texts.jsonl", texts, err));
    r->whole = io_exists(texts);
    if (!r->whole) {
        snprintf(folder, sizeof(folder), "%s", TREE);
        VM_TRY(io_join(folder, "texts.jsonl", texts, err));
    }
    VM_TRY(io_join(folder, "minilm-l6-v2.npy", vectors, err));
    VM_TRY(read_rows(r, texts, err));
    if (r->n < LEAST) {
        return err_set(err, VECMILL_E_INPUT, "%s: holds %zu texts, %d are the least", texts, r->n,
                       LEAST);
    }
    VM_TRY(map_vectors(r, vectors, err));
    printf("reference: %zu texts of %s\n", r->n, folder);
    return VECMILL_OK;
}

void reference_drop(struct reference_row *row)
{
    free(row->text);
    free(row->ids);
}

void reference_close(struct reference *r)
{
    while (r->n) {
        reference_drop(&r->rows[--r->n]);
    }
    io_unmap(&r->npy);
}
