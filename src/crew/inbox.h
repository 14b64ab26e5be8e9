/* inbox: puts a worker's frames together from pieces of any size.
 *
 * The bytes are not trusted: a frame is taken only if it is an expected one, of exactly the
 * expected size, with the right hash. Results are read to their final place (the items are in
 * flight, and nothing reads it before the commit), so no copy is kept. No system calls: the caller
 * reads into the room it is shown and says how many bytes came. */
#ifndef CREW_INBOX_H
#define CREW_INBOX_H

#include "frame.h"

#include <xxhash.h>

/* Which answers are valid now. */
struct inbox_expected {
    uint32_t result_bytes, batch_items_max;
    uint64_t batch_bytes_max;
    uint32_t generation;
    uint64_t batch;   /* its number; 0: the worker has none */
    uint32_t n_items; /* of the batch */
    unsigned char *pieces[2];
    size_t piece_bytes[2];
};

enum inbox_found { INBOX_MORE, INBOX_HELLO, INBOX_RESULT, INBOX_REFUSED, INBOX_GARBAGE };

struct inbox {
    unsigned char head_bytes[FRAME_HEAD_BYTES];
    unsigned char small[FRAME_REFUSED_MAX]; /* payload of a hello or refused */
    struct frame_head head;
    bool in_payload;
    size_t got; /* bytes of the head, or of the payload */
};

void inbox_init(struct inbox *in);

/* Where the next bytes go, at least one. */
unsigned char *inbox_room(struct inbox *in, const struct inbox_expected *expected, size_t *bytes);

/* `bytes` came. After a whole frame the inbox is ready for the next; after INBOX_GARBAGE it is
 * useless. */
enum inbox_found inbox_take(struct inbox *in, const struct inbox_expected *expected, size_t bytes,
                            XXH3_state_t *hash);

#endif
