/* inbox: a worker's frames, put together from whatever pieces arrive.
 *
 * Hostile bytes: a frame is taken only if it is one that is expected, its size exactly the expected
 * one, its hash right. Results are read to where they belong (their items are leased, nobody looks
 * there before the commit), so that nothing is kept twice. No system calls: the caller reads into the
 * room it is shown and says how much came. */
#ifndef CREW_INBOX_H
#define CREW_INBOX_H

#include "frame.h"

#include <xxhash.h>

/* What would be an answer now. */
struct inbox_expected {
    uint32_t result_bytes, batch_items_max;
    uint64_t batch_bytes_max;
    uint32_t generation;
    uint64_t batch;   /* number; 0: the worker has none */
    uint32_t n_items; /* of it */
    unsigned char *pieces[2];
    size_t piece_bytes[2];
};

enum inbox_found { INBOX_MORE, INBOX_HELLO, INBOX_RESULT, INBOX_REFUSED, INBOX_GARBAGE };

struct inbox {
    unsigned char head_bytes[FRAME_HEAD_BYTES];
    unsigned char small[FRAME_REFUSED_MAX]; /* payload of a hello or refused */
    struct frame_head head;
    bool in_payload;
    size_t got; /* of the head, or of the payload */
};

void inbox_init(struct inbox *in);

/* Where the next bytes go; at least one byte of room. */
unsigned char *inbox_room(struct inbox *in, const struct inbox_expected *expected, size_t *bytes);

/* `bytes` came. After a frame the inbox is ready for the next; after INBOX_GARBAGE it is of no use. */
enum inbox_found inbox_take(struct inbox *in, const struct inbox_expected *expected, size_t bytes,
                            XXH3_state_t *hash);

#endif
