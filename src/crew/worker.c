/* worker: the worker's side: reads a batch, has it computed, writes the results.
 *
 * One thread, blocking calls, memory taken beforehand. Input is checked as if it were hostile,
 * since the supervisor may be of another version. Ends when the socket does. */
#include "crew.h"

#include "frame.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

/* In builds for tests only: points where a fault can be injected. W2: about to wait for a batch.
 * W3: a batch's head is read. W4: about to compute; data is the batch's payload. W7: about to write
 * results; data is the frame. W9: they are written. */
#ifdef CREW_TEST_HOOKS
void crew_test_hook(const char *phase, const void *data, size_t bytes);
#define HOOK(phase, data, bytes) crew_test_hook(phase, data, bytes)
#else
#define HOOK(phase, data, bytes) ((void)0)
#endif

/* ---- the socket ---- */

/* False at the end of the stream, even inside a frame: the supervisor is gone. */
static bool read_all(void *data, size_t bytes)
{
    size_t got = 0;
    return io_read(CREW_SOCKET, data, bytes, &got, "the crew's socket", VECMILL_E_INTERNAL, NULL) ==
               VECMILL_OK &&
           got == bytes;
}

static bool write_all(const void *data, size_t bytes)
{
    return io_write(CREW_SOCKET, data, bytes, "the crew's socket", VECMILL_E_INTERNAL, NULL) ==
           VECMILL_OK;
}

/* The payload is in `frame` after FRAME_HEAD_BYTES already; the head is written in front of it. */
static bool send_frame(unsigned char *frame, struct frame_head head)
{
    head.hash = XXH3_64bits(frame + FRAME_HEAD_BYTES, (size_t)head.bytes);
    frame_put(&head, frame);
    const size_t bytes = FRAME_HEAD_BYTES + (size_t)head.bytes;
    if (head.kind == FRAME_RESULT) HOOK("W7", frame, bytes);
    if (!write_all(frame, bytes)) return false;
    if (head.kind == FRAME_RESULT) HOOK("W9", frame, bytes);
    return true;
}

void crew_worker_refuse(const vecmill_err *err, bool for_good)
{
    unsigned char frame[FRAME_HEAD_BYTES + FRAME_REFUSED_MAX];
    const uint32_t head[2] = {(uint32_t)err->status, for_good};
    const size_t bytes = strlen(err->message);
    memcpy(frame + FRAME_HEAD_BYTES, head, sizeof head);
    memcpy(frame + FRAME_HEAD_BYTES + sizeof head, err->message, bytes);
    (void)send_frame(frame,
                     (struct frame_head){.kind = FRAME_REFUSED, .bytes = sizeof head + bytes});
}

/* ---- batches ---- */

struct worker_memory {
    unsigned char *payload; /* [payload_bytes] */
    size_t payload_bytes;
    struct crew_item *items; /* [batch_items_max] */
    /* A frame's head, its results and their tails. Results begin at a multiple of 64, and so do tails
     * that are not sent yet. */
    unsigned char *frame;
};

/* Where the first result is in such a frame, and where tails are. */
#define RESULTS_AT 64u
_Static_assert(FRAME_HEAD_BYTES <= RESULTS_AT, "the head is before the results");

static size_t tails_at(const struct crew_work *work)
{
    return RESULTS_AT + num_up((size_t)work->batch_items_max * work->result_bytes, 64);
}

static void lay_out_worker(const struct crew_work *work, struct worker_memory *m, struct arena *a)
{
    m->payload_bytes = frame_item_bytes(work->batch_bytes_max);
    m->payload = arena_take(a, m->payload_bytes, 64);
    m->items = arena_take_array(a, work->batch_items_max, sizeof *m->items, 64);
    m->frame = arena_take(a, tails_at(work) + work->frame_tails, 64);
}

size_t crew_worker_bytes(const struct crew_work *work)
{
    struct arena a;
    struct worker_memory m;
    arena_count(&a);
    lay_out_worker(work, &m, &a);
    return arena_bytes(&a);
}

static bool say_ready(const struct crew_work *work)
{
    unsigned char frame[FRAME_HEAD_BYTES + sizeof(struct frame_hello)];
    const struct frame_hello hello = {
        .result_bytes = work->result_bytes,
        .batch_items_max = work->batch_items_max,
        .batch_bytes_max = work->batch_bytes_max,
        .tail_bytes = work->tail_bytes,
        .frame_tails = work->frame_tails,
    };
    memcpy(frame + FRAME_HEAD_BYTES, &hello, sizeof hello);
    return send_frame(frame, (struct frame_head){.kind = FRAME_HELLO, .bytes = sizeof hello});
}

/* Finds the items in a payload. */
static bool find_items(const struct worker_memory *m, const struct frame_head *head)
{
    struct cur c;
    cur_init(&c, m->payload, (size_t)head->bytes);
    for (uint32_t i = 0; i < head->n_items; i++) {
        const uint64_t bytes = cur_u64(&c);
        if (c.failed || bytes > cur_left(&c)) return false;
        m->items[i] = (struct crew_item){cur_take(&c, (size_t)bytes), (size_t)bytes};
        cur_skip(&c, (8 - bytes % 8) % 8);
    }
    return !c.failed && cur_left(&c) == 0;
}

/* ---- results ---- */

struct crew_results {
    const struct crew_work *work;
    unsigned char *frame;
    struct frame_head head; /* of the batch */
    uint32_t n;             /* results that are not sent */
    size_t tails;           /* bytes of their tails */
    bool is_gone;           /* the supervisor is */
};

/* The results that are there, and their tails, which are moved to each other. */
static bool send_results(struct crew_results *r, uint32_t n)
{
    const size_t results = (size_t)n * r->work->result_bytes;
    const size_t at = r->work->tail_bytes > 0 ? tails_at(r->work) - results : RESULTS_AT;
    memmove(r->frame + at, r->frame + RESULTS_AT, results);
    r->head.kind = FRAME_RESULT;
    r->head.n_items = n;
    r->head.bytes = results + r->tails;
    r->n = 0;
    r->tails = 0;
    return send_frame(r->frame + at - FRAME_HEAD_BYTES, r->head);
}

unsigned char *crew_results_all(struct crew_results *r)
{
    return r->frame + RESULTS_AT;
}

unsigned char *crew_results_next(struct crew_results *r)
{
    return r->frame + tails_at(r->work) + r->tails;
}

unsigned char *crew_results_room(struct crew_results *r, size_t bytes, size_t align)
{
    assert(bytes <= r->work->frame_tails);
    const bool fits = bytes <= r->work->frame_tails - r->tails && r->tails % align == 0;
    r->is_gone = r->is_gone || (!fits && !send_results(r, r->n));
    return r->is_gone ? NULL : crew_results_next(r);
}

void crew_results_put(struct crew_results *r, const void *result, uint32_t tail_bytes)
{
    unsigned char *to = r->frame + RESULTS_AT + (size_t)r->n * r->work->result_bytes;
    assert(tail_bytes <= r->work->tail_bytes);
    memcpy(to, result, r->work->result_bytes);
    memcpy(to, &tail_bytes, sizeof tail_bytes);
    r->n++;
    r->tails += tail_bytes;
}

vecmill_status crew_worker_serve(const struct crew_work *work, void *memory, vecmill_err *err)
{
    struct arena a;
    struct worker_memory m;
    unsigned char head_bytes[FRAME_HEAD_BYTES];
    struct frame_head head;
    arena_init(&a, memory, crew_worker_bytes(work));
    lay_out_worker(work, &m, &a);
    assert(arena_ok(&a));
    if (!say_ready(work)) return VECMILL_OK;
    for (;;) {
        HOOK("W2", NULL, 0);
        if (!read_all(head_bytes, sizeof head_bytes)) return VECMILL_OK;
        if (!frame_get(head_bytes, &head) || head.kind != FRAME_BATCH ||
            head.bytes > m.payload_bytes || head.n_items == 0 ||
            head.n_items > work->batch_items_max)
            return err_set(err, VECMILL_E_INTERNAL, "what came from the supervisor is not a batch");
        HOOK("W3", NULL, 0);
        if (!read_all(m.payload, (size_t)head.bytes)) return VECMILL_OK;
        if (XXH3_64bits(m.payload, (size_t)head.bytes) != head.hash || !find_items(&m, &head))
            return err_set(err, VECMILL_E_INTERNAL, "batch %llu arrived damaged",
                           (unsigned long long)head.batch);
        struct crew_results results = {.work = work, .frame = m.frame, .head = head};
        memset(crew_results_all(&results), 0, (size_t)head.n_items * work->result_bytes);
        HOOK("W4", m.payload, (size_t)head.bytes);
        vecmill_err why;
        const vecmill_status status =
            work->compute(work->context, m.items, head.n_items, &results, &why);
        if (results.is_gone) return VECMILL_OK;
        if (status != VECMILL_OK) {
            crew_worker_refuse(&why, true);
            return err_set(err, why.status, "%s", why.message);
        }
        const uint32_t n = work->tail_bytes > 0 ? results.n : head.n_items;
        if (n > 0 && !send_results(&results, n)) return VECMILL_OK;
    }
}
