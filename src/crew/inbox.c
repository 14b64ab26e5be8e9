#include "inbox.h"

#include <assert.h>
#include <string.h>

void inbox_init(struct inbox *in)
{
    in->in_payload = false;
    in->got = 0;
}

/* Piece i of the memory that the payload is read into. */
static unsigned char *payload_piece(struct inbox *in, const struct inbox_expected *e, unsigned i,
                                    size_t *bytes)
{
    if (in->head.kind == FRAME_RESULT) {
        *bytes = e->piece_bytes[i];
        return e->pieces[i];
    }
    *bytes = i == 0 ? (size_t)in->head.bytes : 0;
    return in->small;
}

unsigned char *inbox_room(struct inbox *in, const struct inbox_expected *e, size_t *bytes)
{
    if (!in->in_payload) {
        *bytes = FRAME_HEAD_BYTES - in->got;
        return in->head_bytes + in->got;
    }
    size_t first, second;
    unsigned char *a = payload_piece(in, e, 0, &first), *b = payload_piece(in, e, 1, &second);
    if (in->got < first) {
        *bytes = first - in->got;
        return a + in->got;
    }
    *bytes = second - (in->got - first);
    return b + (in->got - first);
}

static bool is_expected(const struct frame_head *h, const struct inbox_expected *e)
{
    switch (h->kind) {
    case FRAME_HELLO:
        return h->bytes == sizeof(struct frame_hello);
    case FRAME_REFUSED:
        return h->bytes >= FRAME_REFUSED_HEAD && h->bytes <= FRAME_REFUSED_MAX;
    case FRAME_RESULT:
        return e->batch != 0 && h->batch == e->batch && h->generation == e->generation &&
               h->n_items == e->n_items && h->bytes == e->piece_bytes[0] + e->piece_bytes[1];
    default:
        return false;
    }
}

static bool sizes_agree(const struct inbox *in, const struct inbox_expected *e)
{
    struct frame_hello hello;
    memcpy(&hello, in->small, sizeof hello);
    return hello.result_bytes == e->result_bytes && hello.batch_items_max == e->batch_items_max &&
           hello.batch_bytes_max == e->batch_bytes_max;
}

static enum inbox_found check_payload(struct inbox *in, const struct inbox_expected *e,
                                      XXH3_state_t *hash)
{
    XXH3_64bits_reset(hash);
    for (unsigned i = 0; i < 2; i++) {
        size_t bytes;
        const unsigned char *data = payload_piece(in, e, i, &bytes);
        if (bytes > 0) XXH3_64bits_update(hash, data, bytes);
    }
    inbox_init(in);
    if (XXH3_64bits_digest(hash) != in->head.hash) return INBOX_GARBAGE;
    if (in->head.kind == FRAME_HELLO) return sizes_agree(in, e) ? INBOX_HELLO : INBOX_GARBAGE;
    return in->head.kind == FRAME_RESULT ? INBOX_RESULT : INBOX_REFUSED;
}

enum inbox_found inbox_take(struct inbox *in, const struct inbox_expected *e, size_t bytes,
                            XXH3_state_t *hash)
{
    in->got += bytes;
    if (in->in_payload) {
        assert(in->got <= in->head.bytes);
        return in->got == in->head.bytes ? check_payload(in, e, hash) : INBOX_MORE;
    }
    assert(in->got <= FRAME_HEAD_BYTES);
    if (in->got < FRAME_HEAD_BYTES) return INBOX_MORE;
    if (!frame_get(in->head_bytes, &in->head) || !is_expected(&in->head, e)) return INBOX_GARBAGE;
    in->in_payload = true;
    in->got = 0;
    return INBOX_MORE; /* no expected payload is empty */
}
