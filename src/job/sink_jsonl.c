/* sink_jsonl: one JSON object a row, and floats as text. */
#include "sink.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Writes value with at least `least` digits; returns the bytes. */
static size_t put_digits(uint64_t value, size_t least, char *out)
{
    char reversed[20];
    size_t n = 0;
    while (value > 0 || n < least) {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    return n;
}

/* The distance within which a decimal reads back as x for certain: a little less than half the gap to
 * the nearer neighbour, so that the rounding of the double it is compared with cannot matter. */
static double nearness(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const double gap = ldexp(1.0, (int)(bits >> 23 & 0xFF) - 150);
    return (bits & 0x7FFFFF) == 0 ? 0.24 * gap : 0.49 * gap;
}

size_t sink_float_text(float value, char out[SINK_FLOAT_MAX])
{
    static const double power[] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5,  1e6,
                                   1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    if (!isfinite(value)) {
        memcpy(out, "null", 4);
        return 4;
    }
    const float size = fabsf(value);
    size_t used = 0;
    if (signbit(value)) out[used++] = '-';
    if (size == 0.0f) {
        out[used++] = '0';
        return used;
    }
    /* Components of normalized vectors are between; the few others may take longer. */
    if ((double)size < 1e-5 || (double)size >= 1e8)
        return (size_t)snprintf(out, SINK_FLOAT_MAX, "%.9g", (double)value);

    /* 10^(whole - 1) <= size < 10^whole, whole from -4 to 8. */
    int whole = 8;
    while (whole > 0 && (double)size < power[whole - 1])
        whole--;
    while (whole <= 0 && (double)size * power[1 - whole] < 1.0)
        whole--;
    const double near = nearness(size);
    uint64_t scaled = 0;
    int decimals = 0;
    for (int n = 7; n <= 9; n++) {
        decimals = n > whole ? n - whole : 0;
        scaled = (uint64_t)((double)size * power[decimals] + 0.5);
        if (fabs((double)scaled / power[decimals] - (double)size) < near) break;
    }
    while (decimals > 0 && scaled % 10 == 0) {
        scaled /= 10;
        decimals--;
    }
    const uint64_t unit = (uint64_t)power[decimals];
    used += put_digits(scaled / unit, 1, out + used);
    if (decimals == 0) return used;
    out[used++] = '.';
    return used + put_digits(scaled % unit, (size_t)decimals, out + used);
}

/* The index is never written as the id of a document that has none: it may be another document's id. */
static vecmill_status put_json_id(const struct sink *s, struct sink_file *f,
                                  const struct sink_row *row, vecmill_err *err)
{
    VM_TRY(sink_write_text(f, "{\"id\":", err));
    if (row->id == NULL && s->index_is_id) return sink_write_u64(f, row->index, err);
    if (row->id != NULL && strcmp(row->id, "null") != 0) return sink_write_text(f, row->id, err);
    VM_TRY(sink_write_text(f, "null,\"index\":", err));
    return sink_write_u64(f, row->index, err);
}

/* [v, v, ...] */
static vecmill_status put_floats(struct sink_file *f, const float *values, uint64_t n,
                                 vecmill_err *err)
{
    VM_TRY(sink_write_text(f, "[", err));
    for (uint64_t i = 0; i < n; i++) {
        char text[1 + SINK_FLOAT_MAX];
        text[0] = ',';
        const size_t bytes = 1 + sink_float_text(values[i], text + 1);
        VM_TRY(sink_write(f, text + (i == 0), bytes - (i == 0), err));
    }
    return sink_write_text(f, "]", err);
}

/* The components of a dense vector: of bits their bytes, of bytes as signed as they are. */
static vecmill_status put_elements(struct sink *s, struct sink_file *f, const vecmill_part *part,
                                   vecmill_err *err)
{
    const unsigned char *row = part->data;
    const enum quantize_dtype dtype = (enum quantize_dtype)part->dtype;
    const bool is_signed = dtype == QUANTIZE_INT8 || dtype == QUANTIZE_BINARY;
    const size_t element = dtype == QUANTIZE_FLOAT16 ? 2 : 1;
    if (dtype == QUANTIZE_FLOAT32) return put_floats(f, part->data, s->dim, err);
    VM_TRY(sink_write_text(f, "[", err));
    for (size_t at = 0; at < part->bytes; at += element) {
        char text[1 + SINK_FLOAT_MAX];
        size_t bytes = 1;
        text[0] = ',';
        if (dtype == QUANTIZE_FLOAT16) {
            float value;
            quantize_restore(row + at, 1, 1, dtype, NULL, &value);
            bytes += sink_float_text(value, text + 1);
        } else {
            const int value = is_signed && row[at] > 127 ? row[at] - 256 : row[at];
            bytes += (size_t)snprintf(text + 1, sizeof text - 1, "%d", value);
        }
        VM_TRY(sink_write(f, text + (at == 0), bytes - (at == 0), err));
    }
    return sink_write_text(f, "]", err);
}

/* The row up to the values of its first member; *ended: the document failed, and the row is whole. It has
 * null and not zeros, so that nobody stores zeros as its vector. */
static vecmill_status begin_row(struct sink *s, const struct sink_row *row, const char *member,
                                bool *ended, vecmill_err *err)
{
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    *ended = row->reason != NULL;
    VM_TRY(put_json_id(s, f, row, err));
    VM_TRY(sink_write_text(f, ",\"", err));
    VM_TRY(sink_write_text(f, member, err));
    VM_TRY(sink_write_text(f, "\":", err));
    if (!*ended) return VECMILL_OK;
    VM_TRY(sink_write_text(f, "null,\"error\":", err));
    VM_TRY(sink_write_reason(s, f, row->reason, err));
    return sink_write_text(f, "}\n", err);
}

static vecmill_status put_vector(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    bool ended;
    VM_TRY(begin_row(s, row, "embedding", &ended, err));
    if (ended) return VECMILL_OK;
    VM_TRY(put_elements(s, f, row->part, err));
    return sink_write_text(f, "}\n", err);
}

static vecmill_status put_vectors(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    bool ended;
    VM_TRY(begin_row(s, row, "embedding", &ended, err));
    if (ended) return VECMILL_OK;
    const float *values = row->part->data;
    for (uint64_t i = 0; i < row->part->n; i++) {
        VM_TRY(sink_write_text(f, i == 0 ? "[" : ",", err));
        VM_TRY(put_floats(f, values + i * row->part->dim, row->part->dim, err));
    }
    return sink_write_text(f, row->part->n == 0 ? "[]}\n" : "]}\n", err);
}

static vecmill_status put_weights(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    bool ended;
    VM_TRY(begin_row(s, row, "indices", &ended, err));
    if (ended) return VECMILL_OK;
    const uint32_t *indices = row->part->data;
    VM_TRY(sink_write_text(f, "[", err));
    for (uint64_t i = 0; i < row->part->n; i++) {
        if (i > 0) VM_TRY(sink_write_text(f, ",", err));
        VM_TRY(sink_write_u64(f, indices[i], err));
    }
    VM_TRY(sink_write_text(f, "],\"values\":", err));
    VM_TRY(put_floats(f, (const float *)(const void *)(indices + row->part->n), row->part->n, err));
    return sink_write_text(f, "}\n", err);
}

/* "score":s of one label; of several "scores":{"label":s,...}. */
static vecmill_status put_scores(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *f = &s->files[PATHS_OUTPUT];
    const bool is_one = s->dim == 1;
    bool ended;
    VM_TRY(begin_row(s, row, is_one ? "score" : "scores", &ended, err));
    if (ended) return VECMILL_OK;
    const float *scores = row->part->data;
    for (uint32_t i = 0; i < s->dim; i++) {
        char text[SINK_FLOAT_MAX], label[6 * VECMILL_LABEL_BYTES + 2];
        const char *name = s->labels + (size_t)i * VECMILL_LABEL_BYTES;
        if (!is_one) {
            VM_TRY(sink_write_text(f, i == 0 ? "{" : ",", err));
            VM_TRY(sink_write(f, label, json_quote(name, strlen(name), label), err));
            VM_TRY(sink_write_text(f, ":", err));
        }
        VM_TRY(sink_write(f, text, sink_float_text(scores[i], text), err));
    }
    return sink_write_text(f, is_one ? "}\n" : "}}\n", err);
}

const struct sink_kind sink_kind_scores_jsonl = {.word = "scores.jsonl",
                                                 .ending = ".jsonl",
                                                 .takes = 1u << VECMILL_KIND_SCORE,
                                                 .put = put_scores};

const struct sink_kind sink_kind_jsonl = {.word = "jsonl",
                                          .ending = ".jsonl",
                                          .takes = 1u << VECMILL_KIND_DENSE,
                                          .dtypes = SINK_ALL_DTYPES,
                                          .put = put_vector};

const struct sink_kind sink_kind_rows_jsonl = {.word = "rows.jsonl",
                                               .ending = ".jsonl",
                                               .takes = 1u << VECMILL_KIND_MULTI |
                                                        1u << VECMILL_KIND_TOKENS,
                                               .put = put_vectors};

const struct sink_kind sink_kind_sparse_jsonl = {.word = "sparse.jsonl",
                                                 .ending = ".jsonl",
                                                 .takes = 1u << VECMILL_KIND_SPARSE,
                                                 .put = put_weights};
