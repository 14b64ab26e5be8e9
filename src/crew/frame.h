/* frame: the messages on a worker's socket.
 *
 * A frame is a head of 48 bytes and a payload. Integers are little-endian. Both ends are on the
 * same machine; the order is fixed so that a captured stream can be read.
 *
 *      0  u32 magic, FRAME_MAGIC
 *      4  u32 kind
 *      8  u64 bytes of the payload
 *     16  u64 batch: its number, counted by the supervisor; 0 for hello and refused
 *     24  u32 generation of the process that the supervisor speaks to; 0 in a hello or refused
 *             before the first batch
 *     28  u32 items in the payload
 *     32  u64 XXH3-64 of the payload
 *     40  u64 XXH3-64 of the 40 bytes before
 *
 *     kind     from        payload
 *     BATCH    supervisor  items: { u64 bytes; the bytes; zeros to a multiple of 8 } each
 *     HELLO    worker      struct frame_hello: the sizes both must agree on
 *     RESULT   worker      result_bytes for each item of the batch, in their order. Where results
 *                          have tails: of one or more items, the first that had none yet, and then
 *                          their tails, end to end, whose sizes are the u32 each result begins with
 *     REFUSED  worker      u32 status, u32 for_good, then the message
 *
 * A socket carries nothing else. Reading is bounded by what the reader expects, never by what the
 * frame says. */
#ifndef CREW_FRAME_H
#define CREW_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC        0x31574356u /* "VCW1" */
#define FRAME_HEAD_BYTES   48u
#define FRAME_ITEM_HEAD    8u
#define FRAME_REFUSED_HEAD 8u
#define FRAME_REFUSED_MAX  (FRAME_REFUSED_HEAD + 252u)

enum frame_kind { FRAME_BATCH = 1, FRAME_HELLO, FRAME_RESULT, FRAME_REFUSED };

struct frame_head {
    uint32_t kind;
    uint64_t bytes;
    uint64_t batch;
    uint32_t generation;
    uint32_t n_items;
    uint64_t hash;
};

struct frame_hello {
    uint32_t result_bytes;
    uint32_t batch_items_max;
    uint64_t batch_bytes_max;
    uint32_t tail_bytes, frame_tails;
};

void frame_put(const struct frame_head *head, unsigned char out[FRAME_HEAD_BYTES]);

/* False: not the head of a frame (magic, kind or hash). */
bool frame_get(const unsigned char in[FRAME_HEAD_BYTES], struct frame_head *head);

/* Bytes that an item of `bytes` takes in a batch's payload. */
static inline size_t frame_item_bytes(size_t bytes)
{
    return FRAME_ITEM_HEAD + (bytes + 7) / 8 * 8;
}

struct crew_piece;

/* Writes an item in that form: its size, the prefix, its pieces [n], and zeros up to
 * frame_item_bytes of all. */
void frame_put_item(const void *prefix, size_t prefix_bytes, const struct crew_piece *pieces,
                    uint32_t n, unsigned char *out);

#endif
