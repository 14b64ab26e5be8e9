#include "inbox.h"

#include <assert.h>
#include <string.h>

void inbox_init(struct inbox *in)
{
    in->in_payload = false;
    in->is_void = false;
    in->got = 0;
    in->n_blocks = 0;
}

void inbox_drop(struct inbox *in, struct tails *tails)
{
    if (in->n_blocks > 0) (void)tails_give(tails, in->first_block, in->n_blocks);
    in->n_blocks = 0;
}

/* ---- a payload's parts: results, then tails ---- */

static size_t results_bytes(const struct inbox *in, const struct inbox_expected *e)
{
    if (in->head.kind != FRAME_RESULT) return (size_t)in->head.bytes;
    return (size_t)in->head.n_items * e->result_bytes;
}

/* Piece i of the memory that the results are read into. */
static unsigned char *results_piece(struct inbox *in, const struct inbox_expected *e, unsigned i,
                                    size_t *bytes)
{
    const size_t all = results_bytes(in, e);
    const bool is_result = in->head.kind == FRAME_RESULT;
    const size_t first = is_result ? num_min(all, e->piece_bytes[0]) : all;
    *bytes = i == 0 ? first : all - first;
    return is_result ? e->pieces[i] : in->small;
}

/* Whether the sizes of tails, which are all there, are in range and fill the rest of the payload. */
static bool tails_agree(struct inbox *in, const struct inbox_expected *e)
{
    uint64_t sum = 0;
    size_t first;
    const unsigned char *pieces[2] = {results_piece(in, e, 0, &first), e->pieces[1]};
    const uint32_t n_first = (uint32_t)(first / e->result_bytes);
    for (uint32_t i = 0; i < in->head.n_items; i++) {
        const uint32_t k = i < n_first ? i : i - n_first;
        uint32_t bytes;
        memcpy(&bytes, pieces[i >= n_first] + (size_t)k * e->result_bytes, sizeof bytes);
        if (bytes > e->tail_bytes) return false;
        sum += bytes;
    }
    return sum == in->head.bytes - results_bytes(in, e);
}

/* Where the next bytes of tails go. */
static unsigned char *tails_room(struct inbox *in, const struct inbox_expected *e, size_t *bytes)
{
    const size_t left = (size_t)in->head.bytes - in->got;
    const size_t at = (in->got - results_bytes(in, e)) % TAILS_BLOCK;
    const uint64_t n = tails_blocks(in->head.bytes - results_bytes(in, e));
    *bytes = num_min(left, TAILS_BLOCK - at);
    in->is_void = in->is_void || (e->discards && in->n_blocks == 0);
    if (in->is_void) return e->nowhere + at;
    if (in->n_blocks == 0) {
        if (!tails_take(e->tails, n, e->is_oldest, &in->first_block)) return NULL;
        in->n_blocks = (uint32_t)n;
        in->block = in->first_block;
    }
    return e->tails->bytes + (size_t)in->block * TAILS_BLOCK + at;
}

unsigned char *inbox_room(struct inbox *in, const struct inbox_expected *e, size_t *bytes)
{
    if (!in->in_payload) {
        *bytes = FRAME_HEAD_BYTES - in->got;
        return in->head_bytes + in->got;
    }
    size_t first, second;
    unsigned char *a = results_piece(in, e, 0, &first), *b = results_piece(in, e, 1, &second);
    if (in->got < first) {
        *bytes = first - in->got;
        return a + in->got;
    }
    if (in->got - first < second) {
        *bytes = second - (in->got - first);
        return b + (in->got - first);
    }
    return tails_room(in, e, bytes);
}

/* ---- a frame ---- */

static bool is_result_expected(const struct frame_head *h, const struct inbox_expected *e)
{
    const uint64_t bytes = (uint64_t)h->n_items * e->result_bytes;
    if (e->batch == 0 || h->batch != e->batch || h->generation != e->generation) return false;
    if (!e->tails) return h->n_items == e->n_items && h->bytes == bytes;
    return h->n_items >= 1 && h->n_items <= e->n_items && h->bytes >= bytes &&
           h->bytes - bytes <= e->frame_tails;
}

static bool is_expected(const struct frame_head *h, const struct inbox_expected *e)
{
    switch (h->kind) {
    case FRAME_HELLO:
        return h->bytes == sizeof(struct frame_hello);
    case FRAME_REFUSED:
        return h->bytes >= FRAME_REFUSED_HEAD && h->bytes <= FRAME_REFUSED_MAX;
    case FRAME_RESULT:
        return is_result_expected(h, e);
    default:
        return false;
    }
}

static bool sizes_agree(const struct inbox *in, const struct inbox_expected *e)
{
    struct frame_hello hello;
    memcpy(&hello, in->small, sizeof hello);
    return hello.result_bytes == e->result_bytes && hello.batch_items_max == e->batch_items_max &&
           hello.batch_bytes_max == e->batch_bytes_max && hello.tail_bytes == e->tail_bytes &&
           hello.frame_tails == e->frame_tails;
}

static uint64_t hash_payload(struct inbox *in, const struct inbox_expected *e, XXH3_state_t *hash)
{
    size_t left = (size_t)in->head.bytes - results_bytes(in, e);
    XXH3_64bits_reset(hash);
    for (unsigned i = 0; i < 2; i++) {
        size_t bytes;
        const unsigned char *data = results_piece(in, e, i, &bytes);
        if (bytes > 0) XXH3_64bits_update(hash, data, bytes);
    }
    for (uint32_t i = 0, block = in->first_block; i < in->n_blocks; i++) {
        const size_t bytes = num_min(left, TAILS_BLOCK);
        XXH3_64bits_update(hash, e->tails->bytes + (size_t)block * TAILS_BLOCK, bytes);
        left -= bytes;
        block = e->tails->next[block];
    }
    return XXH3_64bits_digest(hash);
}

static enum inbox_found check_payload(struct inbox *in, const struct inbox_expected *e,
                                      XXH3_state_t *hash)
{
    const bool is_right = in->is_void || hash_payload(in, e, hash) == in->head.hash;
    const bool is_void = in->is_void;
    const uint32_t n_blocks = in->n_blocks;
    if (!is_right && n_blocks > 0) inbox_drop(in, e->tails);
    inbox_init(in);
    if (!is_right) return INBOX_GARBAGE;
    if (in->head.kind == FRAME_HELLO) return sizes_agree(in, e) ? INBOX_HELLO : INBOX_GARBAGE;
    if (in->head.kind == FRAME_REFUSED) return INBOX_REFUSED;
    if (is_void) return INBOX_VOID;
    return in->head.n_items == e->n_items ? INBOX_RESULT : INBOX_PART;
}

/* More of a payload came. */
static enum inbox_found take_payload(struct inbox *in, const struct inbox_expected *e,
                                     XXH3_state_t *hash)
{
    const size_t results = results_bytes(in, e);
    assert(in->got <= in->head.bytes);
    if (e->tails && in->head.kind == FRAME_RESULT && in->got == results && !tails_agree(in, e))
        return INBOX_GARBAGE;
    if (in->got == in->head.bytes) return check_payload(in, e, hash);
    if (in->n_blocks > 0 && (in->got - results) % TAILS_BLOCK == 0)
        in->block = e->tails->next[in->block];
    return INBOX_MORE;
}

enum inbox_found inbox_take(struct inbox *in, const struct inbox_expected *e, size_t bytes,
                            XXH3_state_t *hash)
{
    in->got += bytes;
    if (in->in_payload) return take_payload(in, e, hash);
    assert(in->got <= FRAME_HEAD_BYTES);
    if (in->got < FRAME_HEAD_BYTES) return INBOX_MORE;
    if (!frame_get(in->head_bytes, &in->head) || !is_expected(&in->head, e)) return INBOX_GARBAGE;
    in->in_payload = true;
    in->got = 0;
    return INBOX_MORE; /* no expected payload is empty */
}
