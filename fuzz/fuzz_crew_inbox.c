/* needs: dep_crew */
/* fuzz_crew_inbox: what a worker sends, put together from pieces.
 *
 * The input is a recipe: an expectation, then blocks, each raw bytes or a frame that is right but for
 * what its recipe says (so that frames with right hashes are reached). The stream of all blocks goes
 * through the inbox in arbitrary pieces, and through a parser of its own here that sees it whole: they
 * must find the same, and the results and their tails must lie where they belong and nowhere else. */
#include "crew/frame.h"
#include "crew/inbox.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_MOST  65536u
#define FOUND_MOST   4096u
#define TAIL_MOST    9000u
#define TAILS_MOST   10000u
#define PAYLOAD_MOST 12288u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

struct recipe {
    struct inbox_expected expected;
    bool goes_on; /* after a result there is a next batch */
    unsigned char stream[STREAM_MOST];
    size_t n;
    enum inbox_found found[FOUND_MOST];
    unsigned n_found;
    unsigned char *results; /* as the last frame had them; [piece_bytes[0] + piece_bytes[1]] */
    size_t n_results;       /* bytes of them */
    bool has_results;
    bool has_tails;
    unsigned char tails[TAILS_MOST]; /* those of the last frame, end to end */
    size_t n_tails;
};

/* ---- the stream ---- */

static void add(struct recipe *r, const void *bytes, size_t n)
{
    n = num_min(n, STREAM_MOST - r->n);
    if (n > 0) memcpy(r->stream + r->n, bytes, n);
    r->n += n;
}

/* kind | what differs << 3, by how much, bytes of the payload at least */
static void add_frame(struct recipe *r, struct cur *c, uint64_t batch)
{
    static const unsigned char zeros[256];
    const struct inbox_expected *e = &r->expected;
    const struct frame_hello hello = {e->result_bytes, e->batch_items_max, e->batch_bytes_max,
                                      e->tail_bytes, e->frame_tails};
    unsigned char raw[FRAME_HEAD_BYTES], payload[PAYLOAD_MOST] = {0};
    const unsigned how = cur_u8(c);
    const int by = (int8_t)cur_u8(c);
    struct frame_head head = {.kind = 1 + how % 4, .bytes = sizeof(struct frame_hello)};
    if (head.kind == FRAME_RESULT) {
        head.batch = batch;
        head.generation = e->generation;
        head.n_items = e->n_items;
        head.bytes = num_min(e->piece_bytes[0] + e->piece_bytes[1], sizeof payload);
        if (r->has_tails) { /* of some items, at most all */
            head.n_items = 1 + cur_u8(c) % (e->n_items ? e->n_items : 1);
            head.bytes = (uint64_t)head.n_items * e->result_bytes;
        }
    } else if (head.kind != FRAME_HELLO) {
        head.bytes = num_min(cur_u16(c), sizeof payload);
    }
    const size_t n = num_min((size_t)head.bytes, cur_left(c));
    if (head.kind == FRAME_HELLO)
        memcpy(payload, &hello, sizeof hello);
    else if (n > 0)
        memcpy(payload, cur_take(c, n), n);
    size_t bytes = (size_t)head.bytes;
    for (uint32_t i = 0; r->has_tails && head.kind == FRAME_RESULT && i < head.n_items; i++) {
        const uint32_t tail = cur_u16(c) % (TAIL_MOST / 4);
        memcpy(payload + (size_t)i * e->result_bytes, &tail, sizeof tail);
        bytes = num_min(bytes + tail, sizeof payload); /* the sum may be wrong then */
    }
    head.bytes = bytes;
    head.hash = XXH3_64bits(payload, bytes);
    switch (how >> 3 & 7) {
    case 1:
        head.batch += (uint64_t)(int64_t)by;
        break;
    case 2:
        head.generation += (uint32_t)by;
        break;
    case 3:
        head.n_items += (uint32_t)by;
        break;
    case 4:
        head.bytes += (uint64_t)(int64_t)by;
        break;
    case 5:
        head.hash += (uint64_t)(int64_t)by;
        break;
    case 6:
        payload[(unsigned char)by % (bytes ? bytes : 1)] ^= 1;
        break;
    default:
        break;
    }
    frame_put(&head, raw);
    if (how & 0x40) raw[(unsigned char)by % sizeof raw] ^= 0x10;
    add(r, raw, sizeof raw);
    add(r, payload, bytes);
    if (how & 0x80) add(r, zeros, (unsigned char)by);
}

static void cook(struct recipe *r, struct cur *c)
{
    uint64_t batch = r->expected.batch;
    while (!c->failed && cur_left(c) > 0 && r->n < STREAM_MOST) {
        const unsigned block = cur_u8(c);
        if (block & 1) {
            add_frame(r, c, batch);
            if (block & 2) batch++;
        } else {
            const size_t n = num_min(block >> 1, cur_left(c));
            if (n > 0) add(r, cur_take(c, n), n);
        }
    }
}

/* ---- the parser that sees it whole ---- */

/* The bytes of tails that the results at `payload` tell of; UINT64_MAX: one is out of range. */
static uint64_t sum_tails(const struct frame_head *h, const struct inbox_expected *e,
                          const unsigned char *payload)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < h->n_items; i++) {
        uint32_t tail;
        memcpy(&tail, payload + (size_t)i * e->result_bytes, sizeof tail);
        if (tail > e->tail_bytes) return UINT64_MAX;
        sum += tail;
    }
    return sum;
}

static bool is_answer(const struct frame_head *h, const struct inbox_expected *e, uint64_t batch)
{
    if (h->kind == FRAME_HELLO) return h->bytes == sizeof(struct frame_hello);
    if (h->kind == FRAME_REFUSED) return h->bytes >= 8 && h->bytes <= 260;
    if (h->kind != FRAME_RESULT || batch == 0 || h->batch != batch ||
        h->generation != e->generation)
        return false;
    const uint64_t results = (uint64_t)h->n_items * e->result_bytes;
    if (e->tails)
        return h->n_items > 0 && h->n_items <= e->n_items && h->bytes >= results &&
               h->bytes <= results + e->frame_tails;
    return h->n_items == e->n_items && h->bytes == results;
}

static void parse_whole(struct recipe *r)
{
    const struct inbox_expected *e = &r->expected;
    const struct frame_hello hello = {e->result_bytes, e->batch_items_max, e->batch_bytes_max,
                                      e->tail_bytes, e->frame_tails};
    uint64_t batch = e->batch;
    size_t at = 0;
    while (r->n - at >= FRAME_HEAD_BYTES && r->n_found < FOUND_MOST) {
        struct frame_head h;
        const unsigned char *payload = r->stream + at + FRAME_HEAD_BYTES;
        enum inbox_found found = INBOX_GARBAGE;
        if (frame_get(r->stream + at, &h) && is_answer(&h, e, batch)) {
            const size_t left = r->n - at - FRAME_HEAD_BYTES;
            const bool has_tails = e->tails && h.kind == FRAME_RESULT;
            const size_t results = has_tails ? (size_t)h.n_items * e->result_bytes : 0;
            const uint64_t tails =
                has_tails && left >= results ? sum_tails(&h, e, payload) : UINT64_MAX;
            const bool lies = has_tails && left >= results && tails != h.bytes - results;
            const bool is_void = has_tails && e->discards && h.bytes > results;
            if (!lies && left < h.bytes) return;
            if (!lies && (is_void || XXH3_64bits(payload, (size_t)h.bytes) == h.hash))
                found = h.kind == FRAME_HELLO    ? INBOX_HELLO
                        : h.kind != FRAME_RESULT ? INBOX_REFUSED
                        : is_void                ? INBOX_VOID
                        : h.n_items < e->n_items ? INBOX_PART
                                                 : INBOX_RESULT;
            if (found == INBOX_HELLO && memcmp(payload, &hello, sizeof hello) != 0)
                found = INBOX_GARBAGE;
            at += FRAME_HEAD_BYTES + (size_t)h.bytes;
        }
        r->found[r->n_found++] = found;
        if (found == INBOX_GARBAGE) return;
        if (found == INBOX_RESULT) batch = r->goes_on ? batch + 1 : 0;
        if (found == INBOX_RESULT || found == INBOX_PART || found == INBOX_VOID) {
            r->n_results = (size_t)h.n_items * e->result_bytes;
            r->n_tails = found == INBOX_VOID ? 0 : (size_t)h.bytes - r->n_results;
            memcpy(r->results, payload, r->n_results);
            memcpy(r->tails, payload + r->n_results, r->n_tails);
            r->has_results = true;
        }
    }
}

/* ---- the inbox ---- */

/* The chain of the frame that was completed has these tails; it is given back. */
static void take_chain(struct inbox *inbox, struct tails *tails, const struct recipe *r,
                       enum inbox_found found, unsigned n_found)
{
    uint64_t n = inbox->head.bytes - (uint64_t)inbox->head.n_items * r->expected.result_bytes;
    if (!r->has_tails || (found != INBOX_RESULT && found != INBOX_PART) || n == 0) return;
    uint32_t block = inbox->first_block;
    for (size_t at = 0; n_found == r->n_found && at < r->n_tails; at += TAILS_BLOCK) {
        must(memcmp(tails->bytes + (size_t)block * TAILS_BLOCK, r->tails + at,
                    num_min(TAILS_BLOCK, r->n_tails - at)) == 0);
        block = tails->next[block];
    }
    (void)tails_give(tails, inbox->first_block, tails_blocks(n));
}

/* The same by the inbox, pieces of 1 + a byte of `cuts` each, in turn. */
static void parse_in_pieces(const struct recipe *r, const unsigned char *cuts, size_t n_cuts)
{
    struct inbox inbox;
    struct inbox_expected e = r->expected;
    XXH3_state_t *hash = XXH3_createState();
    unsigned char *memory[2];
    unsigned n_found = 0;
    bool torn = false; /* a result began to arrive behind the last whole one */
    size_t at = 0, turn = 0;
    must(hash != NULL);
    for (int i = 0; i < 2; i++) {
        memory[i] = malloc(e.piece_bytes[i] ? e.piece_bytes[i] : 1);
        must(memory[i] != NULL);
        e.pieces[i] = e.piece_bytes[i] ? memory[i] : NULL;
    }
    struct tails tails = {0};
    struct arena a;
    const struct crew_options options = {
        .tail_bytes = TAIL_MOST, .frame_tails = TAILS_MOST, .tails_bytes = TAILS_MOST};
    void *store = NULL;
    unsigned char *nowhere = malloc(TAILS_BLOCK);
    must(nowhere != NULL);
    if (r->has_tails) {
        arena_count(&a);
        tails_layout(&tails, &options, &a);
        const size_t bytes = arena_bytes(&a);
        must(posix_memalign(&store, 64, bytes) == 0);
        arena_init(&a, store, bytes);
        tails_layout(&tails, &options, &a);
        must(arena_ok(&a));
        e.tails = &tails;
        e.nowhere = nowhere;
        e.is_oldest = true;
    }
    inbox_init(&inbox);
    while (at < r->n && n_found < FOUND_MOST) {
        size_t room = 0;
        unsigned char *to = inbox_room(&inbox, &e, &room);
        must(to != NULL);
        const size_t piece = n_cuts ? 1 + (size_t)cuts[turn++ % n_cuts] : 1;
        const size_t n = num_min(num_min(room, piece), r->n - at);
        must(n > 0);
        memcpy(to, r->stream + at, n);
        at += n;
        const enum inbox_found found = inbox_take(&inbox, &e, n, hash);
        torn |= inbox.in_payload && inbox.head.kind == FRAME_RESULT;
        if (found == INBOX_MORE) continue;
        must(n_found < r->n_found && found == r->found[n_found]);
        n_found++;
        take_chain(&inbox, &tails, r, found, n_found);
        if (found == INBOX_GARBAGE) break;
        if (found == INBOX_RESULT) {
            e.batch = r->goes_on ? e.batch + 1 : 0;
            torn = false;
        }
    }
    must(n_found == r->n_found);
    if (r->has_results && !torn) {
        const size_t first = num_min(r->n_results, e.piece_bytes[0]);
        must(memcmp(memory[0], r->results, first) == 0);
        must(memcmp(memory[1], r->results + first, r->n_results - first) == 0);
    }
    inbox_drop(&inbox, &tails);
    must(tails.n_free == tails.n);
    free(store);
    free(nowhere);
    for (int i = 0; i < 2; i++)
        free(memory[i]);
    XXH3_freeState(hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cur c;
    cur_init(&c, data, size);
    const unsigned mode = cur_u8(&c);
    struct recipe *r = calloc(1, sizeof *r);
    must(r != NULL);
    const uint32_t result_bytes = 1 + (uint32_t)cur_u8(&c) % 64, n_first = cur_u8(&c) % 16u,
                   n_second = cur_u8(&c) % 16u;
    r->goes_on = mode & 1;
    r->expected = (struct inbox_expected){
        .result_bytes = result_bytes,
        .batch_items_max = 32,
        .batch_bytes_max = 1u << 20,
        .generation = cur_u8(&c),
        .batch = n_first > 0 ? cur_u8(&c) : 0,
        .n_items = n_first + (n_first ? n_second : 0),
        .piece_bytes = {(size_t)n_first * result_bytes,
                        n_first ? (size_t)n_second * result_bytes : 0},
    };
    r->has_tails = (mode & 2) != 0 && result_bytes >= 4;
    if (r->has_tails) {
        static struct tails any; /* not read by the parser that sees it whole */
        r->expected.tails = &any;
        r->expected.tail_bytes = TAIL_MOST;
        r->expected.frame_tails = TAILS_MOST;
        r->expected.discards = (mode & 4) != 0;
    }
    const size_t n_cuts = num_min(mode >> 4, cur_left(&c));
    const unsigned char *cuts = n_cuts ? cur_take(&c, n_cuts) : NULL;
    r->results = malloc(1 + r->expected.piece_bytes[0] + r->expected.piece_bytes[1]);
    must(r->results != NULL);
    cook(r, &c);
    parse_whole(r);
    parse_in_pieces(r, cuts, n_cuts);
    parse_in_pieces(r, NULL, 0);
    free(r->results);
    free(r);
    return 0;
}
