/* maxsim: the score of late interaction, vecmill_maxsim in vecmill.h.
 *
 * The query is the matrix of a product and the documents' rows are its input, in tiles that do not care where
 * a document ends: a row of products depends on its row alone. After each tile the greatest products of the
 * document that it lies in are raised; where a document ends they are summed, in double. */
#include "vecmill.h"

#include <math.h>

#include "engine/api.h"
#include "kern/kern.h"

#define TILE_BYTES     ((size_t)64 << 10) /* of products, where there is room for a tile of kern's */
#define TILE_ROWS_MOST 24u                /* whose next rows are fetched meanwhile */
#define SHARES         16u /* of documents, for each thread: one may have more rows than another */

struct maxsim {
    const struct kern *kern;
    struct gemm_shape shape; /* k: floats of a row; n: rows of the query */
    void *packed;            /* the query */
    const float *rows;
    const uint64_t *starts;
    uint64_t n_docs;
    float *scores;
    uint32_t n_shares;
    /* Of each thread, n_bytes of memory: products [tile, ld], the greatest ones [ld], the kernel's
     * scratch. */
    char *memory;
    size_t n_bytes, ld, scratch_bytes;
    uint32_t tile;
};

static void begin_document(const struct maxsim *m, float *most)
{
    for (uint32_t c = 0; c < m->shape.n; c++) {
        most[c] = -INFINITY;
    }
}

static void end_document(const struct maxsim *m, uint64_t doc, const float *most)
{
    double sum = 0;
    for (uint32_t c = 0; c < m->shape.n; c++) {
        sum += (double)most[c];
    }
    m->scores[doc] = (float)sum;
}

/* The next tile's rows, all lines in a row: a product reads 6 rows side by side, and waits for each line that
 * its processor did not foresee. */
static void fetch(const struct maxsim *m, uint64_t row, uint64_t last)
{
    if (row >= last) return;
    const char *from = (const char *)(m->rows + row * m->shape.k);
    const size_t bytes = num_min(m->tile, last - row) * m->shape.k * sizeof(float);
    for (size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(from + i, 0, 2);
    }
}

/* All documents of one share. */
static void do_share(void *context, uint32_t share, uint32_t thread)
{
    const struct maxsim *m = context;
    const uint64_t each = m->n_docs / m->n_shares, more = m->n_docs % m->n_shares;
    uint64_t doc = share * each + num_min(share, more);
    const uint64_t end = doc + each + (share < more);
    float *products = (float *)(void *)(m->memory + thread * m->n_bytes);
    float *most = products + m->tile * m->ld;
    struct gemm_call call = {
        .shape = m->shape,
        .packed = m->packed,
        .y = products,
        .ldy = m->ld,
        .columns = m->shape.n,
        .scratch = most + m->ld,
    };
    begin_document(m, most);
    for (uint64_t row = m->starts[doc], last = m->starts[end]; row < last; row += call.rows) {
        call.rows = (uint32_t)num_min(m->tile, last - row);
        call.x = m->rows + row * m->shape.k;
        fetch(m, row + m->tile, last);
        gemm_run(m->kern, &call);
        for (uint32_t at = 0; at < call.rows;) {
            for (; m->starts[doc + 1] <= row + at; doc++) { /* that one has ended */
                end_document(m, doc, most);
                begin_document(m, most);
            }
            const uint32_t n = (uint32_t)num_min(call.rows - at, m->starts[doc + 1] - row - at);
            m->kern->raise(products + at * m->ld, n, m->ld, m->shape.n, most);
            at += n;
        }
    }
    for (; doc < end; doc++) {
        end_document(m, doc, most);
        begin_document(m, most);
    }
}

static vecmill_status check(const struct maxsim *m, uint32_t threads, vecmill_err *err)
{
    size_t bytes;
    if (m->shape.n == 0 || m->shape.n > VECMILL_MAXSIM_ROWS)
        return err_set(err, VECMILL_E_USAGE,
                       "the query has %u rows, 1 to %u (VECMILL_MAXSIM_ROWS) can be", m->shape.n,
                       VECMILL_MAXSIM_ROWS);
    if (m->shape.k == 0 || m->shape.k > VECMILL_MAXSIM_ROWS)
        return err_set(err, VECMILL_E_USAGE,
                       "rows have %u numbers, 1 to %u (VECMILL_MAXSIM_ROWS) can be", m->shape.k,
                       VECMILL_MAXSIM_ROWS);
    if (threads > VECMILL_MAX_THREADS)
        return err_set(err, VECMILL_E_USAGE, "threads is %u, over VECMILL_MAX_THREADS, %u", threads,
                       VECMILL_MAX_THREADS);
    for (uint64_t d = 0; d < m->n_docs; d++) {
        if (m->starts[d] > m->starts[d + 1])
            return err_set(err, VECMILL_E_USAGE,
                           "document %llu of %llu begins at row %llu and ends before row %llu",
                           (unsigned long long)d, (unsigned long long)m->n_docs,
                           (unsigned long long)m->starts[d], (unsigned long long)m->starts[d + 1]);
    }
    if (m->n_docs > 0 && (!num_mul(m->starts[m->n_docs], m->shape.k * sizeof(float), &bytes) ||
                          bytes > SIZE_MAX / 2))
        return err_set(err, VECMILL_E_USAGE,
                       "%llu rows of %u numbers are more than memory can hold",
                       (unsigned long long)m->starts[m->n_docs], m->shape.k);
    return VECMILL_OK;
}

static void lay_out(struct maxsim *m)
{
    m->ld = num_up(m->shape.n, 16);
    const size_t fit = TILE_BYTES / (m->ld * sizeof(float)) / GEMM_TILE_ROWS * GEMM_TILE_ROWS;
    m->tile = (uint32_t)num_min(TILE_ROWS_MOST, num_max(GEMM_TILE_ROWS, fit));
    m->scratch_bytes = gemm_scratch_bytes(m->kern, m->shape);
    m->n_bytes = num_up((m->tile + 1) * m->ld * sizeof(float) + m->scratch_bytes, 64);
}

vecmill_status vecmill_maxsim(const float *query, uint32_t n_query, uint32_t dim, const float *rows,
                              const uint64_t *row_starts, uint64_t n_docs, uint32_t threads,
                              float *scores, vecmill_err *err)
{
    struct maxsim m = {
        .shape = {.k = dim, .n = n_query, .act = GEMM_NONE, .precision = KERN_FP32},
        .rows = rows,
        .starts = row_starts,
        .n_docs = n_docs,
        .scores = scores,
    };
    struct team *team = NULL;
    void *memory = NULL;
    size_t packed_bytes = 0;
    VM_TRY(check(&m, threads, err));
    if (n_docs == 0) return VECMILL_OK;
    VM_TRY(kern_select(NULL, &m.kern, err));
    VM_TRY(gemm_packed_bytes(m.kern, m.shape, &packed_bytes, err));
    lay_out(&m);
    threads = (uint32_t)num_min(num_max(1, threads), n_docs);
    m.n_shares = threads == 1 ? 1 : (uint32_t)num_min((uint64_t)threads * SHARES, n_docs);

    vecmill_status status = mem_new(packed_bytes, "a query's vectors", &m.packed, err);
    if (status == VECMILL_OK)
        status = mem_new(threads * m.n_bytes, "products with a query", &memory, err);
    if (status == VECMILL_OK) status = team_open(threads, &team, err);
    if (status == VECMILL_OK) {
        m.memory = memory;
        gemm_pack(m.kern, m.shape, query, m.packed);
        team_run(team, do_share, &m, m.n_shares);
    }
    team_close(team);
    mem_free(memory);
    mem_free(m.packed);
    return status;
}
