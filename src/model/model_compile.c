/* model_compile: a model folder into the pack's sections.
 *
 * Memory is the largest of four steps (N: bytes of a file's safetensors header,
 * or of torch's directory, eleven times its pickle, and 40 for each entry):
 *   configuration  one file at a time
 *   headers        one at a time: N; the lists of tensors so far; the index
 *   weights        the lists, and one product's matrix, plain and packed: every tensor is read,
 *                  checked, written and forgotten; a table goes through in chunks
 *   ending         the same of the modules after Pooling (ending_compile.c) */
#include "config.h"
#include "ending.h"
#include "layout.h"
#include "question.h"
#include "weights.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_FLOATS 65536u /* of a table that is streamed: 256 KiB */
#define PREFIX_BYTES 48u

struct compiler {
    const struct kern *kern;
    const struct arch *arch;
    struct pack_writer *out;
    struct weights weights;
    struct config config;
    struct layout layout;
    char prefix[PREFIX_BYTES]; /* in front of every tensor's name: "", "bert." or another */
    float *floats;             /* a product's matrix, or a chunk */
    size_t floats_n;
    void *packed; /* a product's matrix, packed, or rows of a table */
    size_t packed_bytes;
};

/* ---- finding tensors ---- */

/* Room for the prefix and "encoder.layer.63.attention.output.LayerNorm.weight". */
#define NAME_BYTES 160

/* A source's name in the checkpoint. Families write names as they are in the file, %u for the layer:
 * the one format that a table may hold. */
static void tensor_name(const struct compiler *c, const char *pattern, uint32_t layer,
                        char name[NAME_BYTES])
{
    const char *mark = strstr(pattern, "%u"), *prefix = pattern[0] == '/' ? "" : c->prefix;
    pattern += pattern[0] == '/';
    if (mark) {
        snprintf(name, NAME_BYTES, "%s%.*s%u%s", prefix, (int)(mark - pattern), pattern, layer,
                 mark + 2);
    } else {
        snprintf(name, NAME_BYTES, "%s%s", prefix, pattern);
    }
}

/* What a part's tensors may consist of. */
static enum tensor_take types_of(const struct compiler *c, const struct arch_weight *w)
{
    if (w->storage == STORE_INDEX) return TENSOR_INTEGERS;
    return c->arch->bag ? TENSOR_NUMBERS : TENSOR_FLOATS;
}

/* The tensor, which must have this shape (slabs == 0: of one matrix; columns == 0: a vector) and a
 * type of these. */
static vecmill_status find_tensor(struct compiler *c, const char *name, uint32_t slabs,
                                  uint32_t rows, uint32_t columns, enum tensor_take types,
                                  const struct tensor **tensor, vecmill_err *err)
{
    const uint64_t shape[3] = {slabs, rows, columns};
    const char *asks = c->arch->bag ? "its table of tokens" : "config.json";
    struct tensor *t = weights_find(&c->weights, name);
    if (!t) {
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" is missing (%u tensors, %u layers)",
                       c->weights.shown, name, c->weights.n_tensors, c->config.model.n_layers);
    }
    VM_TRY(tensor_take_shape(t, name, slabs ? shape : shape + 1, columns ? (slabs ? 3 : 2) : 1,
                             types, asks, err));
    *tensor = t;
    return VECMILL_OK;
}

/* Rows of a table: the weights decide, and config.json must agree. */
static vecmill_status check_rows(const struct compiler *c, enum arch_part part, const char *key,
                                 vecmill_err *err)
{
    const struct arch_weight *w = arch_weight(c->arch, &c->config.model, 0, part);
    char name[NAME_BYTES];
    if (!w) return VECMILL_OK;
    const struct arch_source *source = &w->sources[0];
    const uint32_t rows = arch_size(&c->config.model, 0, source->of ? source->of : source->rows);
    tensor_name(c, source->tensor, 0, name);
    const struct tensor *t = weights_find(&c->weights, name);
    if (!t || t->rank != 2 || t->shape[0] == rows) return VECMILL_OK; /* find_tensor reports it */
    return err_set(err, VECMILL_E_MODEL,
                   "%s: tensor \"%s\" has %llu rows, \"%s\" of config.json is %u", t->file->shown,
                   name, (unsigned long long)t->shape[0], key, rows);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Whether a tensor belongs to the encoder. No vector needs what else a checkpoint may hold (the
 * pooler, heads of pre-training or of a task, a second model), and sentence-transformers ignores it
 * too. */
static bool of_encoder(const struct compiler *c, const char *name)
{
    if (!begins(name, c->prefix)) return false;
    name += strlen(c->prefix);
    for (size_t i = 0; c->arch->ignored[i]; i++) {
        const char *ignored = c->arch->ignored[i];
        const size_t tail = strlen(ignored) - 1, bytes = strlen(name);
        if (ignored[0] == '*' ? bytes >= tail && strcmp(name + bytes - tail, ignored + 1) == 0
                              : strcmp(name, ignored) == 0)
            return false;
    }
    for (size_t i = 0; c->arch->roots[i]; i++)
        if (begins(name, c->arch->roots[i])) return true;
    return false;
}

/* A tensor of the encoder that is not understood would change what it computes. */
static vecmill_status check_all_used(const struct compiler *c, vecmill_err *err)
{
    for (uint32_t f = 0; f < c->weights.n_files; f++) {
        const struct tensor_file *st = &c->weights.files[f];
        for (uint32_t i = 0; i < st->n_tensors; i++) {
            if (st->tensors[i].taken || !of_encoder(c, st->tensors[i].name)) continue;
            if (c->arch->bag)
                return err_set(err, VECMILL_E_MODEL,
                               "%s: tensor \"%.64s\" is no part of a %s table", st->shown,
                               st->tensors[i].name, c->arch->title);
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\" is no part of a %s encoder of %u layers",
                           st->shown, st->tensors[i].name, c->arch->title,
                           c->config.model.n_layers);
        }
    }
    return VECMILL_OK;
}

/* "bert." where a head was trained on the encoder, "" where it was saved alone, another word where
 * it is part of something larger. Found by the word embeddings. */
static vecmill_status find_prefix(struct compiler *c, vecmill_err *err)
{
    const char *word = arch_weight(c->arch, &c->config.model, 0, PART_WORD)->sources[0].tensor;
    const size_t word_bytes = strlen(word);
    const char *found = NULL;
    for (uint32_t f = 0; f < c->weights.n_files; f++) {
        for (uint32_t i = 0; i < c->weights.files[f].n_tensors; i++) {
            const char *name = c->weights.files[f].tensors[i].name;
            const size_t bytes = strlen(name);
            if (bytes < word_bytes) continue;
            const size_t prefix = bytes - word_bytes;
            if (strcmp(name + prefix, word) != 0 || (prefix > 0 && name[prefix - 1] != '.'))
                continue;
            if (found) {
                return err_set(err, VECMILL_E_MODEL,
                               "%s: there are two encoders, with \"%.64s\" and with \"%.64s\"",
                               c->weights.shown, found, name);
            }
            if (prefix >= sizeof c->prefix) {
                return err_set(err, VECMILL_E_MODEL,
                               "%s: tensor \"%.64s\" has a prefix of %zu bytes, PREFIX_BYTES is %u",
                               c->weights.shown, name, prefix, PREFIX_BYTES);
            }
            memcpy(c->prefix, name, prefix);
            c->prefix[prefix] = '\0';
            found = name;
        }
    }
    if (found) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" is missing", c->weights.shown, word);
}

/* The kind that a part is of. */
static uint32_t kind_of(const struct model_config *m, uint32_t layer, int part)
{
    return part < PARTS_ONCE ? 0 : arch_kind(m, layer);
}

/* A source's tensor, with the shape that the configuration gives it. */
static vecmill_status find_source(struct compiler *c, const struct arch_weight *w,
                                  const struct arch_source *source, uint32_t layer,
                                  const struct tensor **tensor, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    const enum arch_size rows = source->of ? source->of : source->rows;
    const enum arch_size columns = source->columns ? source->columns : w->columns;
    const uint32_t kind = kind_of(m, layer, w->part);
    const uint32_t slabs = source->slabs ? arch_size(m, kind, source->slabs) : 0;
    char name[NAME_BYTES];
    tensor_name(c, source->tensor, layer, name);
    return find_tensor(c, name, slabs, arch_size(m, kind, rows), arch_size(m, kind, columns),
                       types_of(c, w), tensor, err);
}

/* The tensors that the rows of a STORE_PROJECTED part go through. */
struct projection {
    const struct tensor *norm, *norm_bias, *matrix, *bias;
};

static vecmill_status find_projection(struct compiler *c, const struct arch_weight *w,
                                      uint32_t layer, struct projection *found, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    const struct arch_projection *through = &w->through;
    const uint32_t queries = arch_size(m, kind_of(m, layer, w->part), SIZE_QUERIES);
    char name[NAME_BYTES];
    *found = (struct projection){0};
    if ((through->norm_needs & ~m->has) == 0) {
        tensor_name(c, through->norm, layer, name);
        VM_TRY(find_tensor(c, name, 0, m->hidden, 0, TENSOR_FLOATS, &found->norm, err));
        tensor_name(c, through->norm_bias, layer, name);
        VM_TRY(find_tensor(c, name, 0, m->hidden, 0, TENSOR_FLOATS, &found->norm_bias, err));
    }
    tensor_name(c, through->matrix, layer, name);
    VM_TRY(find_tensor(c, name, 0, queries, m->hidden, TENSOR_FLOATS, &found->matrix, err));
    tensor_name(c, through->bias, layer, name);
    return find_tensor(c, name, 0, queries, 0, TENSOR_FLOATS, &found->bias, err);
}

/* The tensor of a product's columns of all tasks. */
static vecmill_status find_task(struct compiler *c, const struct arch_weight *w, uint32_t layer,
                                const struct tensor **tensor, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    const struct gemm_shape shape = arch_product(c->arch, m, kind_of(m, layer, w->part), w->part);
    char name[NAME_BYTES];
    tensor_name(c, w->task_tensor, layer, name);
    return find_tensor(c, name, m->n_tasks, shape.n, m->task_rank, TENSOR_FLOATS, tensor, err);
}

static vecmill_status check_part(struct compiler *c, enum arch_part part, uint32_t layer,
                                 vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    const struct arch_weight *w = arch_weight(c->arch, m, kind_of(m, layer, part), part);
    if (!w || (w->not_first && layer == 0)) return VECMILL_OK;
    for (uint32_t i = 0; i < ARCH_SOURCES_MAX && w->sources[i].tensor; i++) {
        const struct tensor *t;
        VM_TRY(find_source(c, w, &w->sources[i], layer, &t, err));
    }
    struct projection through;
    const struct tensor *task;
    if (w->task && m->n_tasks > 0) VM_TRY(find_task(c, w, layer, &task, err));
    return w->storage == STORE_PROJECTED ? find_projection(c, w, layer, &through, err) : VECMILL_OK;
}

/* Checks, before anything is written, that every tensor is there with its shape and dtype, and
 * nothing else. */
static vecmill_status check_tensors(struct compiler *c, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    VM_TRY(find_prefix(c, err));
    VM_TRY(check_rows(c, PART_WORD, "vocab_size", err));
    VM_TRY(check_rows(c, PART_POSITION, "max_position_embeddings", err));
    VM_TRY(check_rows(c, PART_TYPE, "type_vocab_size", err));
    for (int part = 0; part < PARTS_ONCE; part++)
        VM_TRY(check_part(c, (enum arch_part)part, 0, err));
    for (uint32_t layer = 0; layer < m->n_layers; layer++) {
        for (int part = PARTS_ONCE; part < PARTS; part++)
            VM_TRY(check_part(c, (enum arch_part)part, layer, err));
    }
    return check_all_used(c, err);
}

/* ---- writing parts ---- */

/* Where a source's rows are in its tensor, and how many floats they are. */
struct piece {
    uint64_t first, n;
};

/* out[c * rows + r] = in[r * columns + c] */
static void transpose(const float *in, uint32_t rows, uint32_t columns, float *out)
{
    for (uint32_t c = 0; c < columns; c++) {
        for (uint32_t r = 0; r < rows; r++)
            out[(size_t)c * rows + r] = in[(size_t)r * columns + c];
    }
}

/* Puts the columns of tasks after those of the matrix [n, k] in `floats`, in a copy that follows the
 * two; returns the copy. */
static vecmill_status add_tasks(struct compiler *c, const struct arch_weight *w, uint32_t layer,
                                struct gemm_shape shape, const float **matrix, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    const size_t n = shape.n, rank = m->task_rank, k = shape.k - m->n_tasks * rank;
    float *tasks = c->floats + n * k, *made = tasks + m->n_tasks * n * rank;
    const struct tensor *t = NULL;
    VM_TRY(find_task(c, w, layer, &t, err));
    VM_TRY(tensor_read(t, 0, m->n_tasks * n * rank, tasks, err));
    for (size_t row = 0; row < n; row++) {
        float *to = made + row * shape.k;
        memcpy(to, c->floats + row * k, k * sizeof *to);
        for (size_t i = 0; i < m->n_tasks * rank; i++)
            to[k + i] = tasks[(i / rank * n + row) * rank + i % rank] * m->task_scale;
    }
    *matrix = made;
    return VECMILL_OK;
}

/* A product of the matrix in `floats`, which has room for its transpose after it. */
static vecmill_status write_product(struct compiler *c, const struct arch_weight *w, uint32_t layer,
                                    vecmill_err *err)
{
    const uint32_t kind = kind_of(&c->config.model, layer, w->part);
    const struct model_config *m = &c->config.model;
    const struct gemm_shape shape = arch_product(c->arch, m, kind, w->part);
    const float *matrix = c->floats;
    if (w->transposed) {
        float *turned = c->floats + (size_t)shape.k * shape.n;
        transpose(c->floats, shape.k, shape.n, turned);
        matrix = turned;
    }
    if (w->task && m->n_tasks > 0) VM_TRY(add_tasks(c, w, layer, shape, &matrix, err));
    gemm_pack(c->kern, shape, matrix, c->packed);
    return pack_write(c->out, c->packed, c->layout.bytes[kind][w->part] / arch_each(m, kind, w),
                      err);
}

static struct piece piece_of(const struct model_config *m, uint32_t kind, uint32_t layer,
                             const struct arch_weight *w, const struct arch_source *source)
{
    const enum arch_size size = source->columns ? source->columns : w->columns;
    const uint64_t columns = size ? arch_size(m, kind, size) : 1;
    const bool is_one = !source->slabs || w->each; /* each product is of one slab */
    const uint64_t slabs = is_one ? 1 : arch_size(m, kind, source->slabs);
    const uint64_t n = slabs * arch_size(m, kind, source->rows) * columns;
    return (struct piece){
        arch_size(m, kind, source->skip) * columns + (w->by_layer ? layer * n : 0), n};
}

/* Floats become indexes in their own memory. */
static vecmill_status to_indexes(const struct compiler *c, const struct tensor *t, uint64_t first,
                                 size_t n, vecmill_err *err)
{
    const uint32_t rows = arch_size(&c->config.model, 0, SIZE_ROWS);
    for (size_t i = 0; i < n; i++) {
        if (!(c->floats[i] >= 0 && c->floats[i] < (float)rows))
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\": element %llu is %g, the table has %u rows",
                           t->file->shown, t->name, (unsigned long long)(first + i),
                           (double)c->floats[i], rows);
        const uint32_t index = (uint32_t)c->floats[i];
        memcpy(&c->floats[i], &index, sizeof index);
    }
    return VECMILL_OK;
}

static vecmill_status write_floats(struct compiler *c, const struct arch_weight *w,
                                   struct piece piece, const struct tensor *t, vecmill_err *err)
{
    for (uint64_t done = 0; done < piece.n;) {
        const size_t chunk = (size_t)num_min(piece.n - done, c->floats_n);
        VM_TRY(tensor_read_as(t, types_of(c, w), piece.first + done, chunk, c->floats, err));
        if (w->storage == STORE_INDEX) VM_TRY(to_indexes(c, t, piece.first + done, chunk, err));
        VM_TRY(pack_write(c->out, c->floats, chunk * sizeof(float), err));
        done += chunk;
    }
    return VECMILL_OK;
}

/* A table's rows in the precision, as many at a time as fit into floats and packed. */
static vecmill_status write_table(struct compiler *c, const struct arch_weight *w,
                                  const struct tensor *t, vecmill_err *err)
{
    const enum kern_precision precision = (enum kern_precision)c->config.model.precision;
    const uint32_t columns = arch_size(&c->config.model, 0, w->columns);
    const uint64_t rows = arch_size(&c->config.model, 0, w->sources[0].rows);
    const size_t row = table_row_bytes(precision, columns);
    const size_t most = num_min(c->floats_n / columns, c->packed_bytes / row);
    for (uint64_t first = 0; first < rows;) {
        const size_t n = (size_t)num_min(most, rows - first);
        VM_TRY(tensor_read_as(t, types_of(c, w), first * columns, n * columns, c->floats, err));
        for (size_t i = 0; i < n; i++)
            table_pack(precision, c->floats + i * columns, columns, (char *)c->packed + i * row);
        VM_TRY(pack_write(c->out, c->packed, n * row, err));
        first += n;
    }
    return VECMILL_OK;
}

/* What `compute` makes, as many rows at a time as the buffer of packed weights holds. */
static vecmill_status write_computed(struct compiler *c, uint32_t kind, const struct arch_weight *w,
                                     const float *tensor, vecmill_err *err)
{
    const uint32_t rows = arch_size(&c->config.model, kind, w->rows);
    const size_t row = arch_size(&c->config.model, kind, w->width) * sizeof(float);
    for (uint32_t first = 0; first < rows;) {
        const uint32_t n = (uint32_t)num_min(num_max(1, c->packed_bytes / row), rows - first);
        w->compute(&c->config.model, tensor, first, n, c->packed);
        VM_TRY(pack_write(c->out, c->packed, n * row, err));
        first += n;
    }
    return VECMILL_OK;
}

static vecmill_status write_zeros(struct compiler *c, size_t bytes, vecmill_err *err)
{
    static const char zeros[4096];
    for (size_t done = 0; done < bytes; done += sizeof zeros)
        VM_TRY(pack_write(c->out, zeros, num_min(sizeof zeros, bytes - done), err));
    return VECMILL_OK;
}

/* The i-th of the products of a part, or a part of another storage, which is one. */
static vecmill_status write_one(struct compiler *c, const struct arch_weight *w, uint32_t layer,
                                uint32_t i, vecmill_err *err)
{
    const uint32_t kind = kind_of(&c->config.model, layer, w->part);
    size_t at = 0; /* floats of the sources so far */
    for (uint32_t s = 0; s < ARCH_SOURCES_MAX && w->sources[s].tensor; s++) {
        const struct piece piece = piece_of(&c->config.model, kind, layer, w, &w->sources[s]);
        const struct tensor *t = NULL;
        VM_TRY(find_source(c, w, &w->sources[s], layer, &t, err));
        if (w->storage == STORE_TABLE) {
            VM_TRY(write_table(c, w, t, err));
        } else if (w->storage == STORE_FLOATS || w->storage == STORE_INDEX) {
            VM_TRY(write_floats(c, w, piece, t, err));
        } else {
            VM_TRY(tensor_read(t, piece.first + i * piece.n, (size_t)piece.n, c->floats + at, err));
            at += piece.n;
        }
    }
    if (w->storage == STORE_COMPUTED)
        VM_TRY(write_computed(c, kind, w, at ? c->floats : NULL, err));
    if (w->storage == STORE_PRODUCT) VM_TRY(write_product(c, w, layer, err));
    return VECMILL_OK;
}

/* The matrices of all heads of a STORE_PROJECTED part. The buffer of floats has the table, the norm's
 * two vectors, the matrix, its bias, what it makes of the table, and a head's columns of that. */
static vecmill_status write_projected(struct compiler *c, const struct arch_weight *w,
                                      uint32_t layer, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    const uint32_t kind = kind_of(m, layer, w->part), d = arch_size(m, kind, SIZE_HEAD);
    const uint32_t n = arch_size(m, kind, w->sources[0].rows), h = m->hidden;
    const struct gemm_shape shape = {.k = h, .n = arch_size(m, kind, SIZE_QUERIES)};
    const struct gemm_shape of_head = arch_product(c->arch, m, kind, w->part);
    float *table = c->floats, *gamma = table + (size_t)n * h, *matrix = gamma + 2 * (size_t)h;
    float *bias = matrix + (size_t)shape.n * h, *made = bias + shape.n;
    float *columns = made + (size_t)n * shape.n;
    const struct tensor *t;
    struct projection through;
    VM_TRY(find_source(c, w, &w->sources[0], layer, &t, err));
    VM_TRY(find_projection(c, w, layer, &through, err));
    VM_TRY(tensor_read(t, 0, (size_t)n * h, table, err));
    VM_TRY(tensor_read(through.matrix, 0, (size_t)shape.n * h, matrix, err));
    VM_TRY(tensor_read(through.bias, 0, shape.n, bias, err));
    if (through.norm) {
        VM_TRY(tensor_read(through.norm, 0, h, gamma, err));
        VM_TRY(tensor_read(through.norm_bias, 0, h, gamma + h, err));
        const struct norm_call norm = {.kind = NORM_LAYER,
                                       .eps = m->eps,
                                       .gamma = gamma,
                                       .beta = gamma + h,
                                       .x = table,
                                       .out = table,
                                       .n = n,
                                       .h = h};
        c->kern->norm(&norm);
    }
    gemm_pack(c->kern, shape, matrix, c->packed);
    const struct gemm_call call = {.shape = shape,
                                   .packed = c->packed,
                                   .bias = bias,
                                   .x = table,
                                   .y = made,
                                   .ldy = shape.n,
                                   .columns = shape.n,
                                   .rows = n};
    assert(gemm_scratch_bytes(c->kern, shape) == 0); /* products in float take none */
    gemm_run(c->kern, &call);
    for (uint32_t head = 0; head < m->n_heads; head++) {
        for (uint32_t r = 0; r < n; r++)
            memcpy(columns + (size_t)r * d, made + (size_t)r * shape.n + (size_t)head * d,
                   d * sizeof *made);
        gemm_pack(c->kern, of_head, columns, c->packed);
        VM_TRY(pack_write(c->out, c->packed, c->layout.bytes[kind][w->part] / m->n_heads, err));
    }
    return VECMILL_OK;
}

/* Slice by slice, so that no more of the matrix is held. */
static vecmill_status write_sliced(struct compiler *c, const struct arch_weight *w,
                                   vecmill_err *err)
{
    const struct tensor *t = NULL;
    VM_TRY(find_source(c, w, &w->sources[0], 0, &t, err));
    for (uint32_t i = 0; i < arch_slices(c->arch, &c->config.model, w->part); i++) {
        const struct gemm_shape shape = arch_slice(c->arch, &c->config.model, w->part, i);
        size_t bytes;
        VM_TRY(gemm_packed_bytes(c->kern, shape, &bytes, err));
        VM_TRY(tensor_read(t, (uint64_t)i * ARCH_SLICE * shape.k, (size_t)shape.n * shape.k,
                           c->floats, err));
        gemm_pack(c->kern, shape, c->floats, c->packed);
        VM_TRY(pack_write(c->out, c->packed, bytes, err));
        VM_TRY(pack_pad(c->out, LAYOUT_ALIGN, err));
    }
    return VECMILL_OK;
}

static vecmill_status write_part(struct compiler *c, enum arch_part part, uint32_t layer,
                                 vecmill_err *err)
{
    const uint32_t kind = kind_of(&c->config.model, layer, part);
    const struct arch_weight *w = arch_weight(c->arch, &c->config.model, kind, part);
    if (!w) return VECMILL_OK;
    if (w->not_first && layer == 0) {
        VM_TRY(write_zeros(c, c->layout.bytes[kind][part], err));
    } else if (w->storage == STORE_PROJECTED) {
        VM_TRY(write_projected(c, w, layer, err));
    } else if (w->storage == STORE_SLICED) {
        VM_TRY(write_sliced(c, w, err));
    } else {
        for (uint32_t i = 0; i < arch_each(&c->config.model, kind, w); i++)
            VM_TRY(write_one(c, w, layer, i, err));
    }
    return pack_pad(c->out, LAYOUT_ALIGN, err);
}

static vecmill_status write_words(struct compiler *c, vecmill_err *err)
{
    if (c->config.words.n == 0) return VECMILL_OK;
    VM_TRY(pack_begin(c->out, LAYOUT_WORDS_SECTION, err));
    VM_TRY(pack_write(c->out, &c->config.words, sizeof c->config.words, err));
    return pack_end(c->out, err);
}

static vecmill_status write_sections(struct compiler *c, vecmill_err *err)
{
    struct layout_config head;
    memset(&head, 0,
           sizeof head); /* the padding between its members is part of the pack's checksum */
    head.version = LAYOUT_CONFIG_VERSION;
    head.bytes = sizeof head;
    head.total = c->layout.total;
    head.model = c->config.model;
    snprintf(head.kern, sizeof head.kern, "%s",
             kern_signature(c->kern, (enum kern_precision)c->config.model.precision));
    VM_TRY(pack_begin(c->out, LAYOUT_CONFIG_SECTION, err));
    VM_TRY(pack_write(c->out, &head, sizeof head, err));
    VM_TRY(pack_end(c->out, err));

    VM_TRY(write_words(c, err));
    VM_TRY(pack_begin(c->out, LAYOUT_WEIGHTS_SECTION, err));
    for (int part = 0; part < PARTS_ONCE; part++) {
        VM_TRY(write_part(c, (enum arch_part)part, 0, err));
    }
    for (uint32_t layer = 0; layer < c->config.model.n_layers; layer++) {
        for (int part = PARTS_ONCE; part < PARTS; part++) {
            VM_TRY(write_part(c, (enum arch_part)part, layer, err));
        }
    }
    return pack_end(c->out, err);
}

/* A row of any table: int8 has a scale more than bytes. */
#define ROW_BYTES(config) (((size_t)(config)->hidden + 1) * sizeof(float))

/* Of a part: floats of what is read whole; the most bytes that it takes packed, since no layout pads
 * inputs or outputs beyond multiples of 64, or a row of what is computed; and, where there is a layout
 * already, the bytes that it takes indeed. */
struct buffers {
    size_t floats_n, packed_most, packed_bytes;
};

static void buffers_of_part(const struct arch *arch, const struct model_config *m, uint32_t kind,
                            int part, const struct layout *layout, struct buffers *b)
{
    const struct arch_weight *w = arch_weight(arch, m, kind, (enum arch_part)part);
    if (!w) return;
    if (w->storage == STORE_PRODUCT) {
        const struct gemm_shape shape = arch_product(arch, m, kind, (enum arch_part)part);
        const size_t n = (size_t)shape.n * (shape.gated ? 2 : 1);
        b->floats_n = num_max(b->floats_n, (w->transposed || w->task ? 2 * n : n) * shape.k);
        b->packed_most =
            num_max(b->packed_most, num_up(shape.k, 64) * num_up(n, 64) * sizeof(float));
        if (layout)
            b->packed_bytes =
                num_max(b->packed_bytes, layout->bytes[kind][part] / arch_each(m, kind, w));
    } else if (w->storage == STORE_SLICED) {
        const struct gemm_shape shape = arch_slice(arch, m, (enum arch_part)part, 0);
        const size_t packed = num_up(shape.k, 64) * num_up(shape.n, 64) * sizeof(float);
        b->floats_n = num_max(b->floats_n, (size_t)shape.n * shape.k);
        b->packed_most = num_max(b->packed_most, packed);
        b->packed_bytes = num_max(b->packed_bytes, packed);
    } else if (w->storage == STORE_PROJECTED) {
        const size_t n = arch_size(m, kind, w->sources[0].rows), h = m->hidden;
        const size_t queries = arch_size(m, kind, SIZE_QUERIES), d = arch_size(m, kind, SIZE_HEAD);
        const size_t matrix = num_up(h, 64) * num_up(queries, 64) * sizeof(float);
        b->floats_n = num_max(b->floats_n, n * (h + queries + d) + 2 * h + (h + 1) * queries);
        b->packed_most =
            num_max(b->packed_most, num_max(matrix, num_up(d, 64) * num_up(n, 64) * sizeof(float)));
        b->packed_bytes = b->packed_most;
    } else if (w->storage == STORE_COMPUTED) {
        const size_t row = arch_size(m, kind, w->width) * sizeof(float);
        size_t floats = 0;
        for (uint32_t i = 0; i < ARCH_SOURCES_MAX && w->sources[i].tensor; i++)
            floats += piece_of(m, kind, 0, w, &w->sources[i]).n;
        b->floats_n = num_max(b->floats_n, floats);
        b->packed_most = num_max(b->packed_most, row);
        b->packed_bytes = num_max(b->packed_bytes, row);
    }
}

/* The largest of all parts, or of a chunk and a row of any table. */
static struct buffers buffers_of(const struct arch *arch, const struct model_config *m,
                                 const struct layout *layout)
{
    const size_t row = ROW_BYTES(m);
    struct buffers b = {CHUNK_FLOATS, row, row};
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        for (int part = kind == 0 ? 0 : PARTS_ONCE; part < PARTS; part++)
            buffers_of_part(arch, m, kind, part, layout, &b);
    }
    return b;
}

static vecmill_status take_buffers(struct compiler *c, vecmill_err *err)
{
    const struct buffers b = buffers_of(c->arch, &c->config.model, &c->layout);
    const size_t packed_most = b.packed_most;
    c->floats_n = b.floats_n;
    c->packed_bytes = b.packed_bytes;
    if (c->packed_bytes > packed_most) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "a packed weight matrix of %zu bytes, the plan has %zu", c->packed_bytes,
                       packed_most);
    }
    VM_TRY(mem_new_array(c->floats_n, sizeof(float), "a weight matrix", (void **)&c->floats, err));
    return mem_new(c->packed_bytes, "a packed weight matrix", &c->packed, err);
}

/* ---- the folder ---- */

/* Reads configuration and header, and checks each against the other. Pair: close_folder, also after
 * a failure. */
static vecmill_status open_folder(const char *dir, enum kern_precision precision,
                                  struct compiler *c, vecmill_err *err)
{
    struct model_config *m = &c->config.model;
    char transformer[IO_PATH_MAX];
    VM_TRY(config_read(dir, &c->config, err));
    c->arch = arch_named(m->family);
    m->precision = precision;
    VM_TRY(ending_check_files(dir, &c->config, err));
    VM_TRY(config_folder(dir, &c->config, transformer, err));
    VM_TRY(weights_open(transformer, &c->weights, err));
    VM_TRY(check_tensors(c, err));
    return config_max_length(&c->config, m->max_positions, &m->max_length, err);
}

vecmill_status model_compile(const char *dir, const struct kern *kern,
                             enum kern_precision precision, const int32_t *words,
                             struct pack_writer *w, vecmill_err *err)
{
    struct compiler c = {.kern = kern, .out = w};
    vecmill_status status = open_folder(dir, precision, &c, err);
    if (!words) question_drop(&c.config.model);
    if (status == VECMILL_OK) status = layout_make(c.arch, &c.config.model, kern, &c.layout, err);
    if (status == VECMILL_OK) status = take_buffers(&c, err);
    if (status == VECMILL_OK) status = write_sections(&c, err);
    mem_free(c.packed);
    mem_free(c.floats);
    weights_close(&c.weights);
    if (status == VECMILL_OK) status = ending_write(dir, &c.config, kern, w, err);
    if (status == VECMILL_OK && c.config.model.asks)
        status = question_write(dir, &c.config, words, w, err);
    return status;
}

vecmill_status model_config_of_folder(const char *dir, enum kern_precision precision,
                                      struct model_config *config, vecmill_err *err)
{
    void *memory = NULL; /* large for a small stack */
    VM_TRY(mem_new(sizeof(struct compiler), "a model's configuration", &memory, err));
    struct compiler *c = memory;
    const vecmill_status status = open_folder(dir, precision, c, err);
    if (status == VECMILL_OK) *config = c->config.model;
    weights_close(&c->weights);
    mem_free(memory);
    return status;
}

/* What small blocks leave unused at each step. */
#define BESIDE_BYTES (128u << 10)

vecmill_status model_compile_most(const char *dir, size_t *bytes, vecmill_err *err)
{
    struct config config;
    char transformer[IO_PATH_MAX];
    size_t reading, kept, opening, ending, question;
    VM_TRY(config_read(dir, &config, err));
    VM_TRY(config_read_most(dir, &config, &reading, err));
    VM_TRY(config_folder(dir, &config, transformer, err));
    VM_TRY(weights_most(transformer, &kept, &opening, err));
    VM_TRY(ending_most(dir, &config, &ending, err));
    VM_TRY(question_most(dir, &config, &question, err));
    ending = num_max(ending, question);
    const struct buffers b = buffers_of(arch_named(config.model.family), &config.model, NULL);
    const size_t buffers = b.floats_n * sizeof(float) + b.packed_most;
    *bytes = BESIDE_BYTES + num_max(num_max(reading, ending), num_max(opening, kept + buffers));
    return VECMILL_OK;
}
