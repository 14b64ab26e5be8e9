/* sink_npz: sparse weights as one CSR matrix, in the file that scipy.sparse.load_npz reads.
 *
 * A .npz is a ZIP of .npy files, here stored ones, with the sizes of ZIP64 whatever they are (APPNOTE
 * 6.3.10, 4.3 and 4.5.3), in the order of scipy's save_npz. A member holds one array of all documents, so
 * documents are put into the stage, each as its number of weights, their indices, and the weights, and the
 * members are made of it one after the other. A document that failed has no weights. The same rows give the
 * same bytes. */
#include "npy.h"
#include "sink.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define MEMBERS      5u
#define NAME_BYTES   12u   /* bytes of a member's name */
#define ZIP_VERSION  45u   /* of ZIP64 */
#define ZIP_DATE     0x21u /* 1980-01-01: no clock in a file that is to be the same */
#define ZIP_IN_EXTRA UINT32_MAX
#define CRC_AT       14u  /* in a local header */
#define ROWS_A_CHECK 256u /* documents between two looks at the stop flag */

struct member {
    const char *name;
    uint64_t at, bytes; /* of its local header; of its data */
    uint32_t crc;
};

/* The ZIP that is being written, and the piece of the stage that was read last. */
struct npz {
    struct sink *s;
    struct sink_file *out;
    struct member members[MEMBERS];
    uint32_t n;
    const unsigned char *piece;
    uint64_t piece_at;
    size_t piece_bytes;
    uint64_t n_weights; /* of all documents */
};

/* ---- the stage ---- */

static vecmill_status put_staged(struct sink *s, const struct sink_row *row, vecmill_err *err)
{
    struct sink_file *stage = &s->files[PATHS_STAGE];
    const uint32_t n = row->part != NULL ? (uint32_t)row->part->n : 0;
    VM_TRY(sink_write(stage, &n, sizeof n, err));
    return n > 0 ? sink_write(stage, row->part->data, (size_t)n * 8, err) : VECMILL_OK;
}

/* The stage from `at` on: at least `least` bytes. */
static vecmill_status look(struct npz *z, uint64_t at, size_t least, const unsigned char **data,
                           size_t *bytes, vecmill_err *err)
{
    const uint64_t total = z->s->files[PATHS_STAGE].total;
    if (at < z->piece_at || at + least > z->piece_at + z->piece_bytes) {
        const void *piece;
        const uint64_t left = at < total ? total - at : 0;
        const size_t n =
            left < SINK_BUFFER_BYTES ? num_max((size_t)left, least) : SINK_BUFFER_BYTES;
        VM_TRY(sink_read_stage(z->s, at, n, &piece, err));
        z->piece = piece;
        z->piece_at = at;
        z->piece_bytes = n;
    }
    *data = z->piece + (at - z->piece_at);
    *bytes = z->piece_bytes - (size_t)(at - z->piece_at);
    return VECMILL_OK;
}

/* Calls back with each document's weights: how many, and where their indices begin. */
typedef vecmill_status (*document_fn)(struct npz *z, uint64_t at, uint32_t n, vecmill_err *err);

static vecmill_status each_document(struct npz *z, document_fn call, vecmill_err *err)
{
    uint64_t at = 0;
    for (uint64_t d = 0; d < z->s->n_rows; d++) {
        const unsigned char *data;
        size_t bytes;
        uint32_t n;
        if (d % ROWS_A_CHECK == 0) VM_TRY(sink_stopped(z->s, err));
        VM_TRY(look(z, at, sizeof n, &data, &bytes, err));
        memcpy(&n, data, sizeof n);
        VM_TRY(call(z, at + sizeof n, n, err));
        at += sizeof n + (uint64_t)n * 8;
    }
    return VECMILL_OK;
}

/* ---- the ZIP ---- */

/* A record that is filled from its front. */
struct record {
    unsigned char bytes[128];
    size_t n;
};

static void put_u16(struct record *r, unsigned v)
{
    r->bytes[r->n++] = (unsigned char)v;
    r->bytes[r->n++] = (unsigned char)(v >> 8);
}

static void put_u32(struct record *r, uint32_t v)
{
    cur_put_u32(r->bytes + r->n, v);
    r->n += 4;
}

static void put_u64(struct record *r, uint64_t v)
{
    cur_put_u64(r->bytes + r->n, v);
    r->n += 8;
}

static void put_name(struct record *r, const char *name)
{
    const size_t bytes = strnlen(name, NAME_BYTES);
    memcpy(r->bytes + r->n, name, bytes);
    r->n += bytes;
}

/* What local and central header have in common: from the version that is needed to the extra's length. */
static void put_common(struct record *r, const struct member *m, unsigned extra_bytes)
{
    put_u16(r, ZIP_VERSION);
    put_u32(r, 0); /* no flags; stored */
    put_u16(r, 0);
    put_u16(r, ZIP_DATE);
    put_u32(r, m->crc);
    put_u32(r, ZIP_IN_EXTRA);
    put_u32(r, ZIP_IN_EXTRA);
    put_u16(r, (unsigned)strnlen(m->name, NAME_BYTES));
    put_u16(r, extra_bytes);
}

static void make_local(struct record *r, const struct member *m)
{
    r->n = 0;
    put_u32(r, 0x04034B50);
    put_common(r, m, 20);
    put_name(r, m->name);
    put_u16(r, 1);
    put_u16(r, 16);
    put_u64(r, m->bytes);
    put_u64(r, m->bytes);
}

/* Begins a member of which the data's size is known. */
static vecmill_status begin(struct npz *z, const char *name, uint64_t bytes, vecmill_err *err)
{
    struct record r;
    struct member *m = &z->members[z->n];
    *m = (struct member){.name = name, .at = z->out->total, .bytes = bytes};
    make_local(&r, m);
    return sink_write(z->out, r.bytes, r.n, err);
}

static vecmill_status put(struct npz *z, const void *data, size_t bytes, vecmill_err *err)
{
    struct member *m = &z->members[z->n];
    m->crc = (uint32_t)crc32_z(m->crc, data, bytes);
    return sink_write(z->out, data, bytes, err);
}

/* Ends it: its checksum goes into the header before it. */
static vecmill_status end(struct npz *z, vecmill_err *err)
{
    const struct member *m = &z->members[z->n++];
    unsigned char crc[4];
    cur_put_u32(crc, m->crc);
    return sink_write_over(z->out, crc, sizeof crc, m->at + CRC_AT, err);
}

static vecmill_status put_directory(struct npz *z, vecmill_err *err)
{
    const uint64_t from = z->out->total;
    struct record r;
    for (uint32_t i = 0; i < z->n; i++) {
        const struct member *m = &z->members[i];
        r.n = 0;
        put_u32(&r, 0x02014B50);
        put_u16(&r, 3u << 8 | ZIP_VERSION); /* made on Unix */
        put_common(&r, m, 28);
        put_u32(&r, 0); /* no comment; disk 0 */
        put_u16(&r, 0);
        put_u32(&r, 0600u << 16); /* as numpy.savez has it */
        put_u32(&r, ZIP_IN_EXTRA);
        put_name(&r, m->name);
        put_u16(&r, 1);
        put_u16(&r, 24);
        put_u64(&r, m->bytes);
        put_u64(&r, m->bytes);
        put_u64(&r, m->at);
        VM_TRY(sink_write(z->out, r.bytes, r.n, err));
    }
    const uint64_t to = z->out->total;
    r.n = 0;
    put_u32(&r, 0x06064B50); /* the end, of ZIP64 */
    put_u64(&r, 44);
    put_u16(&r, ZIP_VERSION);
    put_u16(&r, ZIP_VERSION);
    put_u64(&r, 0); /* disks */
    put_u64(&r, z->n);
    put_u64(&r, z->n);
    put_u64(&r, to - from);
    put_u64(&r, from);
    put_u32(&r, 0x07064B50); /* where that is */
    put_u32(&r, 0);
    put_u64(&r, to);
    put_u32(&r, 1);
    put_u32(&r, 0x06054B50); /* the end */
    put_u32(&r, 0);
    put_u16(&r, z->n);
    put_u16(&r, z->n);
    put_u32(&r, ZIP_IN_EXTRA);
    put_u32(&r, ZIP_IN_EXTRA);
    put_u16(&r, 0);
    return sink_write(z->out, r.bytes, r.n, err);
}

/* ---- the arrays ---- */

/* Begins a member that is an array of n elements. */
static vecmill_status begin_array(struct npz *z, const char *name, const char *descr, uint64_t n,
                                  size_t element, vecmill_err *err)
{
    char header[NPY_HEADER_BYTES], shape[32];
    snprintf(shape, sizeof shape, "(%llu,)", (unsigned long long)n);
    npy_array_header(descr, shape, header);
    VM_TRY(begin(z, name, NPY_HEADER_BYTES + n * element, err));
    return put(z, header, sizeof header, err);
}

static vecmill_status copy(struct npz *z, uint64_t at, uint64_t bytes, vecmill_err *err)
{
    while (bytes > 0) {
        const unsigned char *data;
        size_t n;
        VM_TRY(look(z, at, 1, &data, &n, err));
        if (n > bytes) n = (size_t)bytes;
        VM_TRY(put(z, data, n, err));
        at += n;
        bytes -= n;
    }
    return VECMILL_OK;
}

static vecmill_status count(struct npz *z, uint64_t at, uint32_t n, vecmill_err *err)
{
    (void)at;
    (void)err;
    z->n_weights += n;
    return VECMILL_OK;
}

static vecmill_status put_indices(struct npz *z, uint64_t at, uint32_t n, vecmill_err *err)
{
    return copy(z, at, (uint64_t)n * 4, err);
}

static vecmill_status put_weights(struct npz *z, uint64_t at, uint32_t n, vecmill_err *err)
{
    return copy(z, at + (uint64_t)n * 4, (uint64_t)n * 4, err);
}

static vecmill_status put_end(struct npz *z, uint64_t at, uint32_t n, vecmill_err *err)
{
    VM_TRY(count(z, at, n, err));
    return put(z, &z->n_weights, sizeof z->n_weights, err);
}

/* format: b'csr', and shape: documents and indices that there can be. */
static vecmill_status put_small(struct npz *z, vecmill_err *err)
{
    char header[NPY_HEADER_BYTES];
    const int64_t shape[2] = {(int64_t)z->s->n_rows, z->s->dim};
    npy_array_header("|S3", "()", header);
    VM_TRY(begin(z, "format.npy", NPY_HEADER_BYTES + 3, err));
    VM_TRY(put(z, header, sizeof header, err));
    VM_TRY(put(z, "csr", 3, err));
    VM_TRY(end(z, err));
    VM_TRY(begin_array(z, "shape.npy", "<i8", 2, sizeof shape[0], err));
    VM_TRY(put(z, shape, sizeof shape, err));
    return end(z, err);
}

static vecmill_status assemble_npz(struct sink *s, vecmill_err *err)
{
    struct npz z = {.s = s, .out = &s->files[PATHS_OUTPUT]};
    const uint64_t n_rows = s->n_rows;
    VM_TRY(each_document(&z, count, err));
    const uint64_t n_weights = z.n_weights;
    VM_TRY(begin_array(&z, "indices.npy", "<i4", n_weights, 4, err));
    VM_TRY(each_document(&z, put_indices, err));
    VM_TRY(end(&z, err));
    z.n_weights = 0;
    VM_TRY(begin_array(&z, "indptr.npy", "<i8", n_rows + 1, 8, err));
    VM_TRY(put(&z, &z.n_weights, sizeof z.n_weights, err));
    VM_TRY(each_document(&z, put_end, err));
    VM_TRY(end(&z, err));
    VM_TRY(put_small(&z, err));
    VM_TRY(begin_array(&z, "data.npy", "<f4", n_weights, 4, err));
    VM_TRY(each_document(&z, put_weights, err));
    VM_TRY(end(&z, err));
    return put_directory(&z, err);
}

const struct sink_kind sink_kind_sparse_npz = {.word = "sparse.npz",
                                               .ending = ".npz",
                                               .takes = 1u << VECMILL_KIND_SPARSE,
                                               .has_ids_file = true,
                                               .put = put_staged,
                                               .assemble = assemble_npz};
