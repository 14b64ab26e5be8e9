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
#include "weights.h"

#include <stdio.h>
#include <string.h>

#define CHUNK_FLOATS 65536u /* of a table that is streamed: 256 KiB */
#define PREFIX_BYTES 48u

struct compiler {
    const struct kern *kern;
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
#define NAME_BYTES 128

static void tensor_name(const struct compiler *c, enum layout_part part, uint32_t layer,
                        const char *tail, char name[NAME_BYTES])
{
    if (part < PARTS_ONCE) {
        snprintf(name, NAME_BYTES, "%sembeddings.%s", c->prefix, tail);
    } else {
        snprintf(name, NAME_BYTES, "%sencoder.layer.%u.%s", c->prefix, layer, tail);
    }
}

/* The tensor, which must have this shape (columns == 0: a vector) and a readable dtype. */
static vecmill_status find_tensor(struct compiler *c, const char *name, uint32_t rows,
                                  uint32_t columns, const struct tensor **tensor, vecmill_err *err)
{
    struct tensor *t = weights_find(&c->weights, name);
    if (!t) {
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" is missing (%u tensors, %u layers)",
                       c->weights.shown, name, c->weights.n_tensors, c->config.model.n_layers);
    }
    const uint64_t want[2] = {rows, columns};
    uint32_t rank = columns ? 2 : 1;
    if (t->rank != rank || t->shape[0] != rows || (columns && t->shape[1] != columns)) {
        char is[TENSOR_SHAPE_TEXT], wanted[TENSOR_SHAPE_TEXT];
        tensor_shape_text(t->shape, t->rank, is);
        tensor_shape_text(want, rank, wanted);
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%s\" has shape %.48s, config.json asks for %s", t->file->shown,
                       name, is, wanted);
    }
    if (t->dtype > TENSOR_BF16) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%s\" is %s; weights are read as F32, F16 or BF16",
                       t->file->shown, name, tensor_dtype_name(t->dtype));
    }
    t->taken = true;
    *tensor = t;
    return VECMILL_OK;
}

/* Rows of a table: the weights decide, and config.json must agree. */
static vecmill_status check_rows(const struct compiler *c, const char *tail, const char *key,
                                 uint32_t rows, vecmill_err *err)
{
    char name[NAME_BYTES];
    tensor_name(c, PART_WORD, 0, tail, name);
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
 * too. position_ids is a constant 0, 1, 2... that old versions stored. */
static bool of_encoder(const struct compiler *c, const char *name)
{
    if (!begins(name, c->prefix)) return false;
    name += strlen(c->prefix);
    return (begins(name, "embeddings.") || begins(name, "encoder.")) &&
           strcmp(name, "embeddings.position_ids") != 0;
}

/* A tensor of the encoder that is not understood would change what it computes. */
static vecmill_status check_all_used(const struct compiler *c, vecmill_err *err)
{
    for (uint32_t f = 0; f < c->weights.n_files; f++) {
        const struct tensor_file *st = &c->weights.files[f];
        for (uint32_t i = 0; i < st->n_tensors; i++) {
            if (st->tensors[i].taken || !of_encoder(c, st->tensors[i].name)) continue;
            return err_set(err, VECMILL_E_MODEL,
                           "%s: tensor \"%.64s\" is no part of a BERT encoder of %u layers",
                           st->shown, st->tensors[i].name, c->config.model.n_layers);
        }
    }
    return VECMILL_OK;
}

/* "bert." where a head was trained on the encoder, "" where it was saved alone, another word where
 * it is part of something larger. Found by the word embeddings. */
static vecmill_status find_prefix(struct compiler *c, vecmill_err *err)
{
    static const char word[] = "embeddings.word_embeddings.weight";
    const char *found = NULL;
    for (uint32_t f = 0; f < c->weights.n_files; f++) {
        for (uint32_t i = 0; i < c->weights.files[f].n_tensors; i++) {
            const char *name = c->weights.files[f].tensors[i].name;
            const size_t bytes = strlen(name);
            if (bytes < sizeof word - 1) continue;
            const size_t prefix = bytes - (sizeof word - 1);
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

/* Checks, before anything is written, that every tensor is there with its shape and dtype, and
 * nothing else. */
static vecmill_status check_tensors(struct compiler *c, vecmill_err *err)
{
    const struct model_config *m = &c->config.model;
    VM_TRY(find_prefix(c, err));
    VM_TRY(check_rows(c, "word_embeddings.weight", "vocab_size", m->vocab, err));
    VM_TRY(check_rows(c, "position_embeddings.weight", "max_position_embeddings", m->max_positions,
                      err));
    VM_TRY(check_rows(c, "token_type_embeddings.weight", "type_vocab_size", c->config.types, err));
    for (uint32_t layer = 0; layer < m->n_layers; layer++) {
        int first = layer == 0 ? 0 : PARTS_ONCE;
        for (int part = first; part < PARTS; part++) {
            struct layout_source s = layout_source(m, c->config.types, (enum layout_part)part);
            for (uint32_t i = 0; i < LAYOUT_SOURCES_MAX && s.tensors[i]; i++) {
                char name[NAME_BYTES];
                const struct tensor *t;
                tensor_name(c, (enum layout_part)part, layer, s.tensors[i], name);
                VM_TRY(find_tensor(c, name, s.tensor_rows, s.columns, &t, err));
            }
        }
    }
    return check_all_used(c, err);
}

/* ---- writing parts ---- */

static vecmill_status write_plain(struct compiler *c, const struct layout_source *s,
                                  const struct tensor *t, vecmill_err *err)
{
    uint64_t n = (uint64_t)s->rows * (s->columns ? s->columns : 1);
    for (uint64_t first = 0; first < n;) {
        size_t chunk = (size_t)(n - first < c->floats_n ? n - first : c->floats_n);
        VM_TRY(tensor_read(t, first, chunk, c->floats, err));
        VM_TRY(pack_write(c->out, c->floats, chunk * sizeof(float), err));
        first += chunk;
    }
    return VECMILL_OK;
}

/* A table's rows in the precision, as many at a time as fit into floats and packed. */
static vecmill_status write_table(struct compiler *c, const struct layout_source *s,
                                  const struct tensor *t, vecmill_err *err)
{
    const enum kern_precision precision = (enum kern_precision)c->config.model.precision;
    const size_t row = table_row_bytes(precision, s->columns);
    const size_t most = num_min(c->floats_n / s->columns, c->packed_bytes / row);
    for (uint64_t first = 0; first < s->rows;) {
        const size_t n = (size_t)num_min(most, s->rows - first);
        VM_TRY(tensor_read(t, first * s->columns, n * s->columns, c->floats, err));
        for (size_t i = 0; i < n; i++)
            table_pack(precision, c->floats + i * s->columns, s->columns,
                       (char *)c->packed + i * row);
        VM_TRY(pack_write(c->out, c->packed, n * row, err));
        first += n;
    }
    return VECMILL_OK;
}

static vecmill_status write_part(struct compiler *c, enum layout_part part, uint32_t layer,
                                 vecmill_err *err)
{
    struct layout_source s = layout_source(&c->config.model, c->config.types, part);
    size_t matrix = (size_t)s.rows * s.columns;
    for (uint32_t i = 0; i < LAYOUT_SOURCES_MAX && s.tensors[i]; i++) {
        char name[NAME_BYTES];
        const struct tensor *t;
        tensor_name(c, part, layer, s.tensors[i], name);
        VM_TRY(find_tensor(c, name, s.tensor_rows, s.columns, &t, err));
        if (part == PART_WORD) {
            VM_TRY(write_table(c, &s, t, err));
        } else if (s.gemm == LAYOUT_PLAIN) {
            VM_TRY(write_plain(c, &s, t, err));
        } else {
            VM_TRY(tensor_read(t, 0, matrix, c->floats + i * matrix, err));
        }
    }
    if (s.gemm != LAYOUT_PLAIN) {
        struct gemm_shape shape = layout_gemm_shape(&c->config.model, s.gemm);
        gemm_pack(c->kern, shape, c->floats, c->packed);
        VM_TRY(pack_write(c->out, c->packed, c->layout.bytes[part], err));
    }
    return pack_pad(c->out, LAYOUT_ALIGN, err);
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

    VM_TRY(pack_begin(c->out, LAYOUT_WEIGHTS_SECTION, err));
    for (int part = 0; part < PARTS_ONCE; part++) {
        VM_TRY(write_part(c, (enum layout_part)part, 0, err));
    }
    for (uint32_t layer = 0; layer < c->config.model.n_layers; layer++) {
        for (int part = PARTS_ONCE; part < PARTS; part++) {
            VM_TRY(write_part(c, (enum layout_part)part, layer, err));
        }
    }
    return pack_end(c->out, err);
}

/* Floats of the largest product's matrix, or of a chunk; and the most bytes that it takes packed:
 * no layout pads inputs or outputs beyond multiples of 64. */
static void buffer_sizes(const struct model_config *m, size_t *floats_n, size_t *packed_most)
{
    *floats_n = CHUNK_FLOATS;
    *packed_most = 0;
    for (int i = 0; i < LAYOUT_GEMMS; i++) {
        struct gemm_shape shape = layout_gemm_shape(m, (enum layout_gemm)i);
        *floats_n = num_max(*floats_n, (size_t)shape.k * shape.n);
        *packed_most =
            num_max(*packed_most, num_up(shape.k, 64) * num_up(shape.n, 64) * sizeof(float));
    }
}

static vecmill_status take_buffers(struct compiler *c, vecmill_err *err)
{
    size_t packed = 0, packed_most;
    buffer_sizes(&c->config.model, &c->floats_n, &packed_most);
    for (int part = PARTS_ONCE; part < PARTS; part++) {
        struct layout_source s =
            layout_source(&c->config.model, c->config.types, (enum layout_part)part);
        if (s.gemm != LAYOUT_PLAIN) packed = num_max(packed, c->layout.bytes[part]);
    }
    if (packed > packed_most) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "a packed weight matrix of %zu bytes, the plan has %zu", packed,
                       packed_most);
    }
    VM_TRY(mem_new_array(c->floats_n, sizeof(float), "a weight matrix", (void **)&c->floats, err));
    /* a row of any table, at least */
    c->packed_bytes = num_max(packed, c->config.model.hidden * sizeof(float));
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
    m->precision = precision;
    VM_TRY(ending_check_files(dir, &c->config, err));
    VM_TRY(config_folder(dir, &c->config, transformer, err));
    VM_TRY(weights_open(transformer, &c->weights, err));
    VM_TRY(check_tensors(c, err));
    return config_max_length(&c->config, m->max_positions, &m->max_length, err);
}

vecmill_status model_compile(const char *dir, const struct kern *kern,
                             enum kern_precision precision, struct pack_writer *w, vecmill_err *err)
{
    struct compiler c = {.kern = kern, .out = w};
    vecmill_status status = open_folder(dir, precision, &c, err);
    if (status == VECMILL_OK) status = layout_make(&c.config.model, kern, &c.layout, err);
    if (status == VECMILL_OK) status = take_buffers(&c, err);
    if (status == VECMILL_OK) status = write_sections(&c, err);
    mem_free(c.packed);
    mem_free(c.floats);
    weights_close(&c.weights);
    if (status == VECMILL_OK) status = ending_write(dir, &c.config, kern, w, err);
    return status;
}

vecmill_status model_config_of_folder(const char *dir, enum kern_precision precision,
                                      struct model_config *config, vecmill_err *err)
{
    struct compiler c = {0};
    vecmill_status status = open_folder(dir, precision, &c, err);
    if (status == VECMILL_OK) *config = c.config.model;
    weights_close(&c.weights);
    return status;
}

/* What small blocks leave unused at each step. */
#define BESIDE_BYTES (128u << 10)

vecmill_status model_compile_most(const char *dir, size_t *bytes, vecmill_err *err)
{
    struct config config;
    char transformer[IO_PATH_MAX];
    size_t reading, kept, opening, floats_n, packed, ending;
    VM_TRY(config_read(dir, &config, err));
    VM_TRY(config_read_most(dir, &config, &reading, err));
    VM_TRY(config_folder(dir, &config, transformer, err));
    VM_TRY(weights_most(transformer, &kept, &opening, err));
    VM_TRY(ending_most(dir, &config, &ending, err));
    buffer_sizes(&config.model, &floats_n, &packed);
    const size_t buffers = floats_n * sizeof(float) + packed;
    *bytes = BESIDE_BYTES + num_max(num_max(reading, ending), num_max(opening, kept + buffers));
    return VECMILL_OK;
}
