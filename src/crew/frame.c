#include "frame.h"

#include "crew.h"

#include "base/base.h"

#include <string.h>
#include <xxhash.h>

void frame_put(const struct frame_head *head, unsigned char out[FRAME_HEAD_BYTES])
{
    cur_put_u32(out, FRAME_MAGIC);
    cur_put_u32(out + 4, head->kind);
    cur_put_u64(out + 8, head->bytes);
    cur_put_u64(out + 16, head->batch);
    cur_put_u32(out + 24, head->generation);
    cur_put_u32(out + 28, head->n_items);
    cur_put_u64(out + 32, head->hash);
    cur_put_u64(out + 40, XXH3_64bits(out, 40));
}

void frame_put_item(const void *prefix, size_t prefix_bytes, const struct crew_piece *pieces,
                    uint32_t n, unsigned char *out)
{
    size_t whole = prefix_bytes;
    if (prefix_bytes > 0) memcpy(out + FRAME_ITEM_HEAD, prefix, prefix_bytes);
    for (uint32_t i = 0; i < n; i++) {
        if (pieces[i].bytes > 0)
            memcpy(out + FRAME_ITEM_HEAD + whole, pieces[i].data, pieces[i].bytes);
        whole += pieces[i].bytes;
    }
    const uint64_t head = whole;
    memcpy(out, &head, sizeof head);
    memset(out + FRAME_ITEM_HEAD + whole, 0, frame_item_bytes(whole) - FRAME_ITEM_HEAD - whole);
}

bool frame_get(const unsigned char in[FRAME_HEAD_BYTES], struct frame_head *head)
{
    struct cur c;
    cur_init(&c, in, FRAME_HEAD_BYTES);
    const uint32_t magic = cur_u32(&c);
    struct frame_head h;
    h.kind = cur_u32(&c);
    h.bytes = cur_u64(&c);
    h.batch = cur_u64(&c);
    h.generation = cur_u32(&c);
    h.n_items = cur_u32(&c);
    h.hash = cur_u64(&c);
    if (magic != FRAME_MAGIC || cur_u64(&c) != XXH3_64bits(in, 40)) return false;
    if (h.kind < FRAME_BATCH || h.kind > FRAME_REFUSED) return false;
    *head = h;
    return true;
}
