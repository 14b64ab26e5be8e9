/* needs: dep_crew */
/* fuzz_crew_inbox: what a worker sends, put together from pieces.
 *
 * The input is a recipe: an expectation, then blocks, each raw bytes or a frame that is right but for
 * what its recipe says (so that frames with right hashes are reached). The stream of all blocks goes
 * through the inbox in arbitrary pieces, and through a parser of its own here that sees it whole: they
 * must find the same, and the results must lie where they belong and nowhere else. */
#include "crew/frame.h"
#include "crew/inbox.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_MOST 65536u
#define FOUND_MOST  4096u

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
    bool has_results;
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
    const struct frame_hello hello = {e->result_bytes, e->batch_items_max, e->batch_bytes_max};
    unsigned char raw[FRAME_HEAD_BYTES], payload[4096] = {0};
    const unsigned how = cur_u8(c);
    const int by = (int8_t)cur_u8(c);
    struct frame_head head = {.kind = 1 + how % 4, .bytes = 16};
    if (head.kind == FRAME_RESULT) {
        head.batch = batch;
        head.generation = e->generation;
        head.n_items = e->n_items;
        head.bytes = num_min(e->piece_bytes[0] + e->piece_bytes[1], sizeof payload);
    } else if (head.kind != FRAME_HELLO) {
        head.bytes = num_min(cur_u16(c), sizeof payload);
    }
    const size_t n = num_min((size_t)head.bytes, cur_left(c));
    if (head.kind == FRAME_HELLO)
        memcpy(payload, &hello, sizeof hello);
    else if (n > 0)
        memcpy(payload, cur_take(c, n), n);
    size_t bytes = (size_t)head.bytes;
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

static bool is_answer(const struct frame_head *h, const struct inbox_expected *e, uint64_t batch)
{
    if (h->kind == FRAME_HELLO) return h->bytes == 16;
    if (h->kind == FRAME_REFUSED) return h->bytes >= 8 && h->bytes <= 260;
    return h->kind == FRAME_RESULT && batch != 0 && h->batch == batch &&
           h->generation == e->generation && h->n_items == e->n_items &&
           h->bytes == e->piece_bytes[0] + e->piece_bytes[1];
}

static void parse_whole(struct recipe *r)
{
    const struct inbox_expected *e = &r->expected;
    const struct frame_hello hello = {e->result_bytes, e->batch_items_max, e->batch_bytes_max};
    uint64_t batch = e->batch;
    size_t at = 0;
    while (r->n - at >= FRAME_HEAD_BYTES && r->n_found < FOUND_MOST) {
        struct frame_head h;
        const unsigned char *payload = r->stream + at + FRAME_HEAD_BYTES;
        enum inbox_found found = INBOX_GARBAGE;
        if (frame_get(r->stream + at, &h) && is_answer(&h, e, batch)) {
            if (r->n - at - FRAME_HEAD_BYTES < h.bytes) return;
            if (XXH3_64bits(payload, (size_t)h.bytes) == h.hash)
                found = h.kind == FRAME_HELLO    ? INBOX_HELLO
                        : h.kind == FRAME_RESULT ? INBOX_RESULT
                                                 : INBOX_REFUSED;
            if (found == INBOX_HELLO && memcmp(payload, &hello, sizeof hello) != 0)
                found = INBOX_GARBAGE;
            at += FRAME_HEAD_BYTES + (size_t)h.bytes;
        }
        r->found[r->n_found++] = found;
        if (found == INBOX_GARBAGE) return;
        if (found == INBOX_RESULT) {
            batch = r->goes_on ? batch + 1 : 0;
            memcpy(r->results, payload, (size_t)h.bytes);
            r->has_results = true;
        }
    }
}

/* ---- the inbox ---- */

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
    inbox_init(&inbox);
    while (at < r->n && n_found < FOUND_MOST) {
        size_t room = 0;
        unsigned char *to = inbox_room(&inbox, &e, &room);
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
        if (found == INBOX_GARBAGE) break;
        if (found == INBOX_RESULT) {
            e.batch = r->goes_on ? e.batch + 1 : 0;
            torn = false;
        }
    }
    must(n_found == r->n_found);
    if (r->has_results && !torn) {
        for (int i = 0; i < 2; i++)
            must(memcmp(memory[i], r->results + (i ? e.piece_bytes[0] : 0), e.piece_bytes[i]) == 0);
    }
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
