/* stage: an output of bytes whose ranges are those of its own vectors, in two passes.
 *
 * Rows are put as floats into OUTPUT.stage.part, which has checkpoints as any part has. After the last one
 * it is read twice: for the ranges, then for the rows. A document that failed has a row of NaN there, which
 * no vector is, so that its zeros count for no range. Does not know what becomes of the stage. */
#include "npy.h"
#include "sink.h"

#include <math.h>
#include <string.h>

static size_t stage_row_bytes(uint32_t dim)
{
    return dim * sizeof(float);
}

static vecmill_status put_staged(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    const void *floats = row->part != NULL ? row->part->data : s->floats;
    for (uint32_t c = 0; row->part == NULL && c < s->dim; c++)
        s->floats[c] = NAN;
    return sink_write(&s->files[PATHS_STAGE], floats, stage_row_bytes(s->dim), err);
}

/* Calls back with each row in turn; NULL: its document failed. */
typedef vecmill_status (*row_fn)(struct sink *s, const float *row, vecmill_err *err);

/* Row i is read with all that fit into the buffer behind it, one wider than that in pieces. */
static vecmill_status each_row(struct sink *s, row_fn call, vecmill_err *err)
{
    const size_t bytes = stage_row_bytes(s->dim);
    const size_t most = num_max(SINK_BUFFER_BYTES / bytes, 1);
    for (uint64_t first = 0; first < s->n_rows; first += most) {
        const size_t n = s->n_rows - first < most ? (size_t)(s->n_rows - first) : most;
        const void *data = NULL;
        VM_TRY(sink_stopped(s, err));
        if (bytes <= SINK_BUFFER_BYTES)
            VM_TRY(sink_read_stage(s, first * bytes, n * bytes, &data, err));
        for (size_t done = 0; bytes > SINK_BUFFER_BYTES && done < bytes;) {
            const size_t piece = num_min(bytes - done, SINK_BUFFER_BYTES);
            VM_TRY(sink_read_stage(s, first * bytes + done, piece, &data, err));
            memcpy((char *)s->floats + done, data, piece);
            done += piece;
        }
        const float *rows = bytes <= SINK_BUFFER_BYTES ? data : s->floats;
        for (size_t i = 0; i < n; i++, rows += s->dim)
            VM_TRY(call(s, isnan(rows[0]) ? NULL : rows, err));
    }
    return VECMILL_OK;
}

static vecmill_status widen(struct sink *s, const float *row, vecmill_err *err)
{
    if (row == NULL) return VECMILL_OK;
    VM_TRY(quantize_widen(row, 1, s->dim, s->n_vectors == 0, s->ranges, err));
    s->n_vectors++;
    return VECMILL_OK;
}

static vecmill_status put_bytes(struct sink *s, const float *row, vecmill_err *err)
{
    const enum quantize_dtype dtype = (enum quantize_dtype)s->dtype;
    const size_t bytes = quantize_row_bytes(dtype, s->dim);
    if (row != NULL)
        VM_TRY(quantize_rows(row, 1, s->dim, dtype, s->ranges, s->row, err));
    else
        memset(s->row, 0, bytes);
    return sink_write(&s->files[PATHS_OUTPUT], s->row, bytes, err);
}

static size_t put_header(uint64_t n, uint32_t dim, vecmill_dtype dtype, char *out)
{
    npy_header(n, dim, dtype, out);
    return NPY_HEADER_BYTES;
}

static size_t row_bytes(uint32_t dim, vecmill_dtype dtype)
{
    return quantize_row_bytes((enum quantize_dtype)dtype, dim);
}

static vecmill_status assemble_bytes(struct sink *s, vecmill_err *err)
{
    char header[NPY_HEADER_BYTES];
    s->n_vectors = 0;
    VM_TRY(each_row(s, widen, err));
    if (s->n_vectors == 1)
        return err_set(err, VECMILL_E_USAGE,
                       "%s of 1 vector needs --ranges FILE, 2 vectors are the least that have "
                       "ranges of their own: %s",
                       quantize_word((enum quantize_dtype)s->dtype),
                       s->paths->files[PATHS_OUTPUT].given);
    s->has_ranges = s->n_vectors > 0;
    VM_TRY(sink_write(&s->files[PATHS_OUTPUT], header,
                      put_header(s->n_rows, s->dim, s->dtype, header), err));
    return each_row(s, put_bytes, err);
}

const struct sink_kind sink_kind_ranged_npy = {.word = "ranged.npy",
                                               .ending = ".npy",
                                               .takes = 1u << VECMILL_KIND_DENSE,
                                               .dtypes = 1u << VECMILL_DTYPE_INT8 |
                                                         1u << VECMILL_DTYPE_UINT8,
                                               .has_own_ranges = true,
                                               .has_ids_file = true,
                                               .header = put_header,
                                               .row_bytes = row_bytes,
                                               .put = put_staged,
                                               .assemble = assemble_bytes,
                                               .stage_row_bytes = stage_row_bytes};
