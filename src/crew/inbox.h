/* inbox: puts a worker's frames together from pieces of any size.
 *
 * The bytes are not trusted: a frame is taken only if it is an expected one, of exactly the
 * expected size, with the right hash. Results are read to their final place (the items are in
 * flight, and nothing reads it before the commit), so no copy is kept; their tails to blocks that
 * are taken when their sizes are known. No system calls: the caller reads into the room it is shown
 * and says how many bytes came. */
#ifndef CREW_INBOX_H
#define CREW_INBOX_H

#include "frame.h"
#include "tails.h"

#include <xxhash.h>

/* Which answers are valid now. */
struct inbox_expected {
    uint32_t result_bytes, batch_items_max;
    uint64_t batch_bytes_max;
    uint32_t generation;
    uint64_t batch;   /* its number; 0: the worker has none */
    uint32_t n_items; /* of the batch, that no result has come for */
    unsigned char *pieces[2];
    size_t piece_bytes[2];
    uint32_t tail_bytes, frame_tails; /* as in the crew's options */
    struct tails *tails;              /* where they go; NULL: there are none */
    bool is_oldest;                   /* the first item of the batch is the oldest of all */
    bool discards;                    /* tails are not kept; they are read to `nowhere` */
    unsigned char *nowhere;           /* [TAILS_BLOCK] */
};

/* INBOX_RESULT: of all items of the batch; INBOX_PART: of its first head.n_items; INBOX_VOID: of as
 * many, whose tails were not kept, so that the results are not there. */
enum inbox_found {
    INBOX_MORE,
    INBOX_HELLO,
    INBOX_RESULT,
    INBOX_PART,
    INBOX_VOID,
    INBOX_REFUSED,
    INBOX_GARBAGE
};

struct inbox {
    unsigned char head_bytes[FRAME_HEAD_BYTES];
    unsigned char small[FRAME_REFUSED_MAX]; /* payload of a hello or refused */
    struct frame_head head;
    bool in_payload;
    size_t got;   /* bytes of the head, or of the payload */
    bool is_void; /* tails of this frame are discarded */
    /* Blocks of this frame's tails, that block of them that is filled next, and the first. */
    uint32_t n_blocks, block, first_block;
};

void inbox_init(struct inbox *in);

/* Gives blocks of tails back that no frame was completed with. */
void inbox_drop(struct inbox *in, struct tails *tails);

/* Where the next bytes go, at least one. NULL: there is no room for the tails of this frame now. */
unsigned char *inbox_room(struct inbox *in, const struct inbox_expected *expected, size_t *bytes);

/* `bytes` came. After a whole frame the inbox is ready for the next; after INBOX_GARBAGE it is
 * useless. After INBOX_RESULT and INBOX_PART the chain of n_blocks from first_block is the caller's. */
enum inbox_found inbox_take(struct inbox *in, const struct inbox_expected *expected, size_t bytes,
                            XXH3_state_t *hash);

#endif
