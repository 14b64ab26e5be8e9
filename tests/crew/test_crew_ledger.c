/* test_crew_ledger: crew's ledger: what is queued, in flight, done, condemned.
 *
 * Directed cases; then a random walk next to a model that keeps every item separately. */
#include "ledger_kit.h"

/* ---- directed cases ---- */

static void an_item_may_be_larger_than_the_queue(void **state)
{
    (void)state;
    struct ledger l;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 4,
                                                          .item_bytes_max = 1000,
                                                          .queue_bytes = 1,
                                                          .batch_items_max = 4,
                                                          .batch_bytes_max = 8,
                                                          .result_bytes = 3});
    for (int round = 0; round < 5; round++) {
        struct batch batch;
        assert_true(put_letters(&l, 'a', 1000, 1));
        assert_false(put_letters(&l, 'b', 0, 1)); /* the mark is passed */
        assert_true(ledger_next_batch(&l, 0, &batch));
        assert_int_equal(batch.range.n, 1);
        assert_int_equal(batch.payload_bytes, 1008);
        assert_int_equal(batch.piece_bytes[0], 1008);
        assert_int_equal(batch.piece_bytes[1], 0);
        ledger_commit(&l, &batch.range, 0);
        assert_false(put_letters(&l, 'b', 0, 1)); /* done, and not yet taken */
        ledger_drop(&l);
        assert_true(ledger_is_sound(&l));
    }
    mem_free(memory);
}

static void items_of_no_bytes_are_items(void **state)
{
    (void)state;
    struct ledger l;
    struct batch batch;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 8,
                                                          .item_bytes_max = 0,
                                                          .queue_bytes = 64,
                                                          .batch_items_max = 8,
                                                          .batch_bytes_max = 64,
                                                          .result_bytes = 1});
    assert_null(ledger_head(&l));
    assert_false(ledger_has_work(&l));
    assert_false(ledger_next_batch(&l, 1, &batch));
    for (int i = 0; i < 8; i++)
        assert_true(ledger_put(&l, NULL, 0, 0));
    assert_false(ledger_put(&l, NULL, 0, 0));
    assert_true(ledger_next_batch(&l, 1, &batch));
    assert_int_equal(batch.range.n, 8);
    assert_int_equal(batch.payload_bytes, 64);
    static const unsigned char zeros[64];
    assert_memory_equal(batch.pieces[0], zeros, 64);
    ledger_commit(&l, &batch.range, 0);
    for (int i = 0; i < 8; i++)
        ledger_drop(&l);
    assert_null(ledger_head(&l));
    mem_free(memory);
}

static void items_begin_with_the_prefix(void **state)
{
    (void)state;
    struct ledger l;
    struct batch batch;
    size_t bytes;
    /* 8 + 16 bytes each: 5 of the prefix, 9 of the item, 2 of padding */
    void *memory = open_ledger(&l, &(struct crew_options){.prefix = "head:",
                                                          .prefix_bytes = 5,
                                                          .items_max = 8,
                                                          .item_bytes_max = 14,
                                                          .queue_bytes = 48,
                                                          .batch_items_max = 8,
                                                          .batch_bytes_max = 64,
                                                          .result_bytes = 1});
    assert_true(put_letters(&l, 'a', 9, 1));
    assert_true(put_letters(&l, 'b', 9, 1));
    assert_false(put_letters(&l, 'c', 9, 1));
    assert_memory_equal(ledger_item(&l, 1, &bytes), "head:bbbbbbbbb", 14);
    assert_int_equal(bytes, 14);
    assert_true(ledger_next_batch(&l, 100, &batch));
    assert_int_equal(batch.range.n, 2);
    assert_int_equal(batch.payload_bytes, 48);
    assert_memory_equal(batch.pieces[0], "\16\0\0\0\0\0\0\0head:aaaaaaaaa\0\0\16", 25);
    ledger_commit(&l, &batch.range, 0);
    ledger_drop(&l);
    ledger_drop(&l);
    assert_true(ledger_put(&l, NULL, 0, 1));
    assert_memory_equal(ledger_item(&l, 2, &bytes), "head:", 5);
    assert_int_equal(bytes, 5);
    mem_free(memory);
}

static void the_ring_wraps(void **state)
{
    (void)state;
    struct ledger l;
    struct batch batch;
    /* Each item takes 8 + 24 bytes; four end at the mark. */
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 100,
                                                          .item_bytes_max = 56,
                                                          .queue_bytes = 128,
                                                          .batch_items_max = 100,
                                                          .batch_bytes_max = 1000,
                                                          .result_bytes = 1});
    for (int i = 0; i < 4; i++)
        assert_true(put_letters(&l, (char)('a' + i), 24, 1));
    assert_false(put_letters(&l, 'e', 24, 1));     /* full to the mark */
    assert_true(ledger_next_batch(&l, 1, &batch)); /* a by itself: the budget */
    assert_int_equal(batch.range.n, 1);
    ledger_commit(&l, &batch.range, 0);
    ledger_drop(&l);
    assert_false(put_letters(&l, 'e', 32, 1)); /* 40 bytes do not fit into 32 */
    assert_true(put_letters(&l, 'e', 24, 1));  /* at 0, up to b to the byte */
    assert_false(put_letters(&l, 'f', 0, 1));
    assert_true(ledger_next_batch(&l, 100, &batch)); /* b c d, and e in a piece of its own */
    assert_int_equal(batch.range.n, 4);
    assert_int_equal(batch.piece_bytes[0], 96);
    assert_int_equal(batch.piece_bytes[1], 32);
    assert_int_equal(batch.pieces[0][8], 'b');
    assert_int_equal(batch.pieces[0][95], 'd');
    assert_int_equal(batch.pieces[1][8], 'e');
    assert_true(batch.pieces[1] < batch.pieces[0]);
    ledger_commit(&l, &batch.range, 0);
    for (int i = 0; i < 4; i++)
        ledger_drop(&l);
    /* Empty: it begins at 0 again, wherever it was. */
    assert_true(put_letters(&l, 'g', 1, 1));
    assert_int_equal(ledger_head(&l)->at, 0);
    assert_true(ledger_is_sound(&l));
    mem_free(memory);
}

static void a_full_queue_is_full_until_a_drop(void **state)
{
    (void)state;
    struct ledger l;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 3,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 1 << 20,
                                                          .batch_items_max = 1,
                                                          .batch_bytes_max = 0,
                                                          .result_bytes = 8});
    for (int i = 0; i < 3; i++)
        assert_true(put_letters(&l, 'x', 8, 1));
    for (int i = 0; i < 50; i++) {
        assert_false(put_letters(&l, 'x', 8, 1));
        const struct item_range range = take(&l);
        assert_int_equal(range.first, i);
        assert_false(put_letters(&l, 'x', 8, 1));
        ledger_commit(&l, &range, 0);
        assert_false(put_letters(&l, 'x', 8, 1));
        ledger_drop(&l);
        assert_true(put_letters(&l, 'x', 8, 1));
        assert_true(ledger_is_sound(&l));
    }
    mem_free(memory);
}

static void a_batch_keeps_to_its_maxima(void **state)
{
    (void)state;
    struct ledger l;
    struct batch batch;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 64,
                                                          .item_bytes_max = 4096,
                                                          .queue_bytes = 1 << 16,
                                                          .batch_items_max = 5,
                                                          .batch_bytes_max = 64,
                                                          .result_bytes = 1});
    /* By number: 16 bytes each would be four; 8 bytes each are eight. */
    for (int i = 0; i < 6; i++)
        assert_true(put_letters(&l, 'n', 0, 1));
    assert_true(ledger_next_batch(&l, 100, &batch));
    assert_int_equal(batch.range.n, 5);
    const struct item_range sixth = take(&l);
    assert_int_equal(sixth.n, 1);
    ledger_commit(&l, &sixth, 0);
    assert_int_equal(l.in_flight, 5);
    ledger_commit(&l, &batch.range, 0);
    for (int i = 0; i < 6; i++)
        ledger_drop(&l);
    /* By bytes, to the byte, heads and filling counted. */
    for (int i = 0; i < 5; i++)
        assert_true(put_letters(&l, 'b', i == 0 ? 1 : 8, 1));
    assert_true(ledger_next_batch(&l, 100, &batch));
    assert_int_equal(batch.range.n, 4);
    assert_int_equal(batch.payload_bytes, 64);
    /* One that is larger goes alone, and nothing goes with it. */
    assert_true(put_letters(&l, 'c', 57, 1));
    assert_true(put_letters(&l, 'c', 0, 1));
    assert_int_equal(take(&l).n, 1); /* the fifth */
    assert_int_equal(take(&l).n, 1); /* the large one: 72 bytes */
    assert_int_equal(take(&l).n, 1);
    assert_int_equal(l.in_flight, 7);
    assert_true(ledger_is_sound(&l));
    mem_free(memory);
    memory = open_ledger(&l, &(struct crew_options){.items_max = 64,
                                                    .item_bytes_max = 8,
                                                    .queue_bytes = 1 << 16,
                                                    .batch_items_max = 64,
                                                    .batch_bytes_max = 1 << 16,
                                                    .result_bytes = 1});
    /* By work: at least one item, and items of no cost follow as long as the budget lasts. */
    static const uint64_t costs[] = {50, 10, 10, 10, 0, 1, 0, 9, 100};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        assert_true(put_letters(&l, 'w', 1, costs[i]));
    assert_int_equal(l.unsent_cost_ns, 190);
    assert_int_equal((assert_true(ledger_next_batch(&l, 30, &batch)), batch.range.n), 1);
    assert_int_equal(batch.cost_ns, 50);
    assert_int_equal((assert_true(ledger_next_batch(&l, 30, &batch)), batch.range.n), 3);
    assert_int_equal(batch.cost_ns, 30);
    assert_int_equal((assert_true(ledger_next_batch(&l, 0, &batch)), batch.range.n), 1);
    assert_int_equal((assert_true(ledger_next_batch(&l, 1, &batch)), batch.range.n), 1);
    assert_int_equal((assert_true(ledger_next_batch(&l, UINT64_MAX, &batch)), batch.range.n), 3);
    assert_false(ledger_has_work(&l));
    assert_int_equal(l.unsent_cost_ns, 0);
    mem_free(memory);
}

static void results_wrap_in_two_runs(void **state)
{
    (void)state;
    struct ledger l;
    struct batch batch;
    size_t bytes = 0;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 5,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 1 << 10,
                                                          .batch_items_max = 5,
                                                          .batch_bytes_max = 1 << 10,
                                                          .result_bytes = 7});
    for (int i = 0; i < 3; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    commit_and_drop(&l);
    for (int i = 0; i < 5; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    assert_true(ledger_next_batch(&l, 100, &batch)); /* tags 3 .. 7, slots 3 4 0 1 2 */
    assert_ptr_equal(ledger_results(&l, &batch.range, 0, &bytes), l.results + 21);
    assert_int_equal(bytes, 14);
    assert_ptr_equal(ledger_results(&l, &batch.range, 1, &bytes), l.results);
    assert_int_equal(bytes, 21);
    bytes = 99;
    const struct item_range one = {.first = 4, .n = 1};
    assert_ptr_equal(ledger_results(&l, &one, 0, &bytes), l.results + 28);
    assert_int_equal(bytes, 7);
    bytes = 99;
    assert_null(ledger_results(&l, &one, 1, &bytes));
    assert_null(ledger_results(&l, &one, 2, &bytes));
    assert_int_equal(bytes, 99);
    for (uint32_t i = 0; i < 35; i++)
        l.results[(21 + i) % 35] = (unsigned char)(i / 7);
    ledger_commit(&l, &batch.range, 0);
    for (unsigned char i = 0; i < 5; i++) {
        assert_int_equal(ledger_result(&l, l.dropped)[0], i);
        assert_int_equal(ledger_result(&l, l.dropped)[6], i);
        ledger_drop(&l);
    }
    mem_free(memory);
}

static void what_is_requeued_goes_first_oldest_first(void **state)
{
    (void)state;
    struct ledger l;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 40,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 1 << 10,
                                                          .batch_items_max = 5,
                                                          .batch_bytes_max = 1 << 10,
                                                          .result_bytes = 1});
    struct item_range out[4];
    for (int i = 0; i < 25; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    for (int i = 0; i < 4; i++)
        out[i] = take(&l);
    /* They die in the wrong order; each comes back whole. */
    static const int order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++)
        assert_int_equal(die(&l, &out[order[i]], VECMILL_CAUSE_KILLED, BLAME_ODD, 1).n, 5);
    for (int i = 0; i < 4; i++) {
        const struct item_range again = take(&l);
        assert_int_equal(again.first, out[i].first);
        assert_int_equal(again.n, 5);
        assert_int_equal(again.deaths, 1);
        out[i] = again;
    }
    assert_int_equal(take(&l).first, 20); /* then unsent ones */
    /* From the second death on in halves, in order between the others. */
    (void)die(&l, &out[3], VECMILL_CAUSE_SEGV, BLAME_FAULT, 2);
    (void)die(&l, &out[1], VECMILL_CAUSE_SEGV, BLAME_FAULT, 2);
    static const uint64_t firsts[] = {5, 7, 15, 17};
    static const uint32_t ns[] = {2, 3, 2, 3};
    for (int i = 0; i < 4; i++) {
        const struct item_range half = take(&l);
        assert_int_equal(half.first, firsts[i]);
        assert_int_equal(half.n, ns[i]);
        assert_int_equal(half.deaths, 2);
    }
    mem_free(memory);
}

static void three_faults_alone_condemn(void **state)
{
    (void)state;
    struct ledger l;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 4,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 1 << 10,
                                                          .batch_items_max = 2,
                                                          .batch_bytes_max = 1 << 10,
                                                          .result_bytes = 1});
    for (int i = 0; i < 2; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    struct item_range range = take(&l);
    assert_int_equal(range.n, 2);
    /* With company it is not blamed, however often. */
    range = die(&l, &range, VECMILL_CAUSE_SEGV, BLAME_FAULT, 1);
    range = take(&l);
    (void)die(&l, &range, VECMILL_CAUSE_SEGV, BLAME_FAULT, 2);
    range = take(&l);
    assert_int_equal(range.n, 1);
    static const vecmill_cause causes[] = {VECMILL_CAUSE_BUS, VECMILL_CAUSE_OOM, VECMILL_CAUSE_HANG,
                                           VECMILL_CAUSE_OOM, VECMILL_CAUSE_EXIT};
    for (int i = 0; i < 4; i++) { /* two of the four are no faults */
        (void)die(&l, &range, causes[i], i % 2 == 0 ? BLAME_FAULT : BLAME_NONE, 1);
        assert_int_equal(l.condemned, 0);
        range = take(&l);
        assert_int_equal(range.first, 0);
    }
    (void)die(&l, &range, causes[4], BLAME_FAULT, 0);
    assert_int_equal(l.condemned, 1);
    assert_int_equal(l.returned, 1);
    const struct item *item = ledger_head(&l);
    assert_int_equal(item->state, ITEM_CONDEMNED);
    assert_int_equal(item->n_faults, 3);
    assert_int_equal(item->causes[0], VECMILL_CAUSE_BUS);
    assert_int_equal(item->causes[1], VECMILL_CAUSE_HANG);
    assert_int_equal(item->causes[2], VECMILL_CAUSE_EXIT);
    ledger_drop(&l);
    assert_true(ledger_is_sound(&l));
    /* A new item in the same slot of the ring has no history. */
    commit_and_drop(&l);
    for (int i = 0; i < 4; i++)
        assert_true(put_letters(&l, 'y', 1, 1));
    for (int i = 0; i < 4; i++)
        assert_int_equal(l.items[i].n_faults, 0);
    mem_free(memory);
}

/* Killed twice alone, it waits for all others, whatever was requeued or is put later, and is never
 * lost. */
static void a_suspect_waits_for_all_others(void **state)
{
    (void)state;
    struct ledger l;
    struct batch batch;
    void *memory = open_ledger(&l, &(struct crew_options){.items_max = 8,
                                                          .item_bytes_max = 8,
                                                          .queue_bytes = 1 << 10,
                                                          .batch_items_max = 1,
                                                          .batch_bytes_max = 1 << 10,
                                                          .result_bytes = 1});
    for (int i = 0; i < 4; i++)
        assert_true(put_letters(&l, 'x', 1, 1));
    assert_false(ledger_next_suspect(&l, &batch));
    for (uint64_t tag = 0; tag < 2; tag++) { /* the first two are */
        struct item_range range = take(&l);
        assert_int_equal(range.first, tag);
        (void)die(&l, &range, VECMILL_CAUSE_KILLED, BLAME_ODD, 1);
        range = take(&l); /* the first time it is given out again at once, as it is */
        assert_int_equal(range.first, tag);
        assert_false(ledger_is_suspect(&l, tag));
        (void)die(&l, &range, VECMILL_CAUSE_SIGNAL, BLAME_ODD, 1);
        assert_true(ledger_is_suspect(&l, tag));
    }
    struct item_range third = take(&l);
    assert_int_equal(third.first, 2);
    (void)die(&l, &third, VECMILL_CAUSE_OOM, BLAME_NONE, 1);
    assert_int_equal(take(&l).first, 2);
    assert_int_equal(take(&l).first, 3);
    assert_false(ledger_has_work(&l)); /* and yet two are queued */
    assert_false(ledger_next_batch(&l, 1, &batch));
    assert_int_equal(l.n_suspects, 2);
    assert_true(put_letters(&l, 'y', 1, 1));
    assert_int_equal(take(&l).first, 4);
    /* The oldest is tried, as often as it takes; when it lives it is an item like any other. */
    for (int i = 0; i < 9; i++) {
        assert_true(ledger_next_suspect(&l, &batch));
        assert_int_equal(batch.range.first, 0);
        assert_int_equal(batch.range.n, 1);
        (void)die(&l, &batch.range, VECMILL_CAUSE_KILLED, BLAME_ODD, 1);
    }
    assert_true(ledger_next_suspect(&l, &batch));
    ledger_commit(&l, &batch.range, 0);
    assert_int_equal(ledger_head(&l)->state, ITEM_DONE);
    ledger_drop(&l);
    /* The other is found guilty. */
    static const vecmill_cause causes[] = {VECMILL_CAUSE_KILLED, VECMILL_CAUSE_UNKNOWN};
    ledger_condemn(&l, 1, causes, 2);
    assert_true(ledger_is_sound(&l));
    assert_false(ledger_next_suspect(&l, &batch));
    assert_int_equal(l.condemned, 1);
    assert_int_equal(ledger_head(&l)->state, ITEM_CONDEMNED);
    assert_int_equal(ledger_head(&l)->causes[0], VECMILL_CAUSE_KILLED);
    assert_int_equal(ledger_head(&l)->causes[1], VECMILL_CAUSE_UNKNOWN);
    assert_int_equal(ledger_head(&l)->causes[2], VECMILL_CAUSE_NONE);
    ledger_drop(&l);
    mem_free(memory);
}

/* ---- a random walk next to a model ---- */

#define MODEL_ITEMS 64u
#define ITEM_MOST   300u

struct model_item {
    unsigned char data[ITEM_MOST];
    size_t bytes;
    uint64_t cost_ns;
    enum { QUEUED, OUT, DONE, CONDEMNED } state;
    unsigned n_faults, n_odd;
    vecmill_cause causes[CREW_CAUSES_MAX];
};

/* Everything separately: the live items in an array, oldest first; ranges as they were requeued. */
struct model {
    struct crew_options o;
    struct model_item items[MODEL_ITEMS];
    uint32_t n_items;
    uint64_t first_tag, unsent;
    struct item_range requeued[MODEL_ITEMS], out[MODEL_ITEMS];
    uint32_t n_requeued, n_out;
    uint64_t accepted, returned, condemned;
};

static struct model_item *find(struct model *m, uint64_t tag)
{
    assert_true(tag >= m->first_tag && tag < m->first_tag + m->n_items);
    return &m->items[tag - m->first_tag];
}

static size_t framed(size_t bytes)
{
    return 8 + (bytes + 7) / 8 * 8;
}

static void walk_put(struct model *m, struct ledger *l)
{
    struct model_item item = {.state = QUEUED};
    const uint32_t most = (uint32_t)m->o.item_bytes_max;
    item.bytes = below(4) == 0 ? most : below(4) == 0 ? 0 : below(most + 1);
    item.cost_ns = below(3) == 0 ? 0 : below(1000);
    for (size_t i = 0; i < item.bytes; i++)
        item.data[i] = (unsigned char)next_random();
    size_t live = 0;
    for (uint32_t i = 0; i < m->n_items; i++)
        live += framed(m->items[i].bytes);
    const size_t mark = (m->o.queue_bytes + 7) / 8 * 8;
    if (!ledger_put(l, &(struct crew_piece){item.data, item.bytes}, 1, item.cost_ns)) {
        /* Only for lack of room; what the ring wastes after the mark is not the user's. */
        assert_true(m->n_items == m->o.items_max || live + framed(item.bytes) > mark);
        return;
    }
    assert_true(m->n_items < m->o.items_max);
    assert_true(live + framed(item.bytes) <= mark + framed(m->o.item_bytes_max));
    m->items[m->n_items++] = item;
    m->accepted++;
}

static void check_payload(struct model *m, const struct batch *batch)
{
    static const unsigned char zeros[8];
    const unsigned char *at = batch->pieces[0], *end = at + batch->piece_bytes[0];
    unsigned piece = 0;
    uint64_t bytes = 0, cost_ns = 0;
    for (uint64_t tag = batch->range.first; tag < batch->range.first + batch->range.n; tag++) {
        const struct model_item *item = find(m, tag);
        if (at == end && piece == 0) {
            piece = 1;
            at = batch->pieces[1];
            end = at + batch->piece_bytes[1];
        }
        uint64_t head;
        assert_true((size_t)(end - at) >= framed(item->bytes));
        memcpy(&head, at, 8);
        assert_int_equal(head, item->bytes);
        assert_memory_equal(at + 8, item->data, item->bytes);
        assert_memory_equal(at + 8 + item->bytes, zeros, framed(item->bytes) - 8 - item->bytes);
        at += framed(item->bytes);
        bytes += framed(item->bytes);
        cost_ns += item->cost_ns;
    }
    assert_ptr_equal(at, end);
    assert_int_equal(batch->payload_bytes, bytes);
    assert_int_equal(batch->piece_bytes[0] + batch->piece_bytes[1], bytes);
    assert_int_equal(batch->cost_ns, cost_ns);
}

static void check_unsent_batch(struct model *m, const struct item_range *range, uint64_t budget_ns)
{
    size_t bytes = 0;
    uint64_t cost_ns = 0;
    assert_int_equal(range->first, m->unsent);
    assert_int_equal(range->deaths, 0);
    assert_true(range->n >= 1 && range->n <= m->o.batch_items_max);
    for (uint32_t i = 0; i < range->n; i++) {
        bytes += framed(find(m, m->unsent + i)->bytes);
        cost_ns += find(m, m->unsent + i)->cost_ns;
    }
    if (range->n > 1) assert_true(bytes <= m->o.batch_bytes_max && cost_ns <= budget_ns);
    m->unsent += range->n;
    if (m->unsent == m->accepted || range->n == m->o.batch_items_max) return;
    /* And it is the longest that does. */
    const struct model_item *more = find(m, m->unsent);
    assert_true(bytes + framed(more->bytes) > m->o.batch_bytes_max ||
                cost_ns + more->cost_ns > budget_ns || cost_ns == budget_ns);
}

/* The oldest requeued range, of suspects or of others; n_requeued: none. */
static uint32_t find_requeued(struct model *m, bool suspects)
{
    uint32_t oldest = m->n_requeued;
    for (uint32_t i = 0; i < m->n_requeued; i++) {
        if ((find(m, m->requeued[i].first)->n_odd >= LEDGER_ODD_MAX) != suspects) continue;
        if (oldest == m->n_requeued || m->requeued[i].first < m->requeued[oldest].first) oldest = i;
    }
    return oldest;
}

static void walk_suspect(struct model *m, struct ledger *l)
{
    struct batch batch;
    const uint32_t oldest = find_requeued(m, true);
    if (oldest == m->n_requeued) {
        assert_false(ledger_next_suspect(l, &batch));
        return;
    }
    const struct item_range range = m->requeued[oldest];
    struct model_item *item = find(m, range.first);
    m->requeued[oldest] = m->requeued[--m->n_requeued];
    if (below(4) == 0) {
        const vecmill_cause causes[] = {VECMILL_CAUSE_KILLED};
        ledger_condemn(l, range.first, causes, 1);
        memset(item->causes, 0, sizeof item->causes);
        item->causes[0] = VECMILL_CAUSE_KILLED;
        item->state = CONDEMNED;
        m->condemned++;
        m->returned++;
        return;
    }
    assert_true(ledger_next_suspect(l, &batch));
    assert_int_equal(batch.range.first, range.first);
    assert_int_equal(batch.range.n, 1);
    assert_int_equal(batch.range.deaths, range.deaths);
    item->state = OUT;
    check_payload(m, &batch);
    m->out[m->n_out++] = batch.range;
}

static void walk_batch(struct model *m, struct ledger *l)
{
    struct batch batch;
    const uint64_t budget_ns = below(5) == 0 ? UINT64_MAX : 1 + below(3000);
    const uint32_t oldest = find_requeued(m, false);
    const bool has_work = oldest < m->n_requeued || m->unsent < m->accepted;
    assert_int_equal(ledger_has_work(l), has_work);
    assert_int_equal(ledger_next_batch(l, budget_ns, &batch), has_work);
    if (!has_work) return;
    if (oldest < m->n_requeued) {
        assert_int_equal(batch.range.first, m->requeued[oldest].first);
        assert_int_equal(batch.range.n, m->requeued[oldest].n);
        assert_int_equal(batch.range.deaths, m->requeued[oldest].deaths);
        m->requeued[oldest] = m->requeued[--m->n_requeued];
    } else {
        check_unsent_batch(m, &batch.range, budget_ns);
    }
    for (uint32_t i = 0; i < batch.range.n; i++) {
        assert_int_equal(find(m, batch.range.first + i)->state, QUEUED);
        find(m, batch.range.first + i)->state = OUT;
    }
    check_payload(m, &batch);
    m->out[m->n_out++] = batch.range;
}

static struct item_range pick_out(struct model *m)
{
    const uint32_t i = below(m->n_out);
    const struct item_range range = m->out[i];
    m->out[i] = m->out[--m->n_out];
    return range;
}

static unsigned char result_byte(uint64_t tag, size_t i)
{
    return (unsigned char)(tag * 37 + i * 11 + 5);
}

/* Writes the results of a batch where they belong; only some of them, or wrong ones, if `whole` is
 * false, as by a worker that dies while it writes. */
static void write_results(const struct model *m, const struct ledger *l,
                          const struct item_range *range, bool whole)
{
    size_t written = 0;
    const size_t all = (size_t)range->n * m->o.result_bytes;
    for (unsigned piece = 0; piece < 2; piece++) {
        size_t bytes;
        unsigned char *to = ledger_results(l, range, piece, &bytes);
        if (!to) break;
        assert_true(to >= l->results);
        assert_true(to + bytes <= l->results + (size_t)m->o.items_max * m->o.result_bytes);
        for (size_t i = 0; i < bytes; i++, written++) {
            if (!whole && below(64) == 0) return;
            const unsigned char right = result_byte(range->first + written / m->o.result_bytes,
                                                    written % m->o.result_bytes);
            to[i] = whole ? right : (unsigned char)~right;
        }
    }
    assert_int_equal(written, all);
}

static void walk_commit(struct model *m, struct ledger *l)
{
    const struct item_range range = pick_out(m);
    write_results(m, l, &range, true);
    ledger_commit(l, &range, 0);
    for (uint32_t i = 0; i < range.n; i++)
        find(m, range.first + i)->state = DONE;
    m->returned += range.n;
}

static void walk_die(struct model *m, struct ledger *l)
{
    struct item_range parts[2];
    const struct item_range range = pick_out(m);
    const vecmill_cause cause = (vecmill_cause)(1 + below(VECMILL_CAUSE_COUNT - 1));
    const enum blame blame = (enum blame)below(3);
    write_results(m, l, &range, false);
    const unsigned n = ledger_requeue(l, &range, cause, blame, parts);
    struct model_item *lone = find(m, range.first);
    if (range.n == 1) lone->n_odd += blame == BLAME_ODD;
    if (range.n == 1 && blame == BLAME_FAULT) lone->causes[lone->n_faults++] = cause;
    if (range.n == 1 && lone->n_faults == CREW_FAULTS_MAX) {
        assert_int_equal(n, 0);
        lone->state = CONDEMNED;
        m->condemned++;
        m->returned++;
        return;
    }
    assert_int_equal(n, range.n > 1 && range.deaths >= 1 ? 2 : 1);
    uint64_t next = range.first;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(parts[i].first, next);
        assert_int_equal(parts[i].deaths, range.deaths + 1);
        assert_true(parts[i].n >= 1);
        next += parts[i].n;
        m->requeued[m->n_requeued++] = parts[i];
    }
    assert_int_equal(next, range.first + range.n);
    if (n == 2) assert_true(parts[1].n - parts[0].n <= 1);
    for (uint32_t i = 0; i < range.n; i++)
        find(m, range.first + i)->state = QUEUED;
}

static void walk_drop(struct model *m, struct ledger *l)
{
    const struct item *head = ledger_head(l);
    assert_int_equal(head == NULL, m->n_items == 0);
    if (!head) return;
    struct model_item *item = &m->items[0];
    assert_int_equal(head->bytes, item->bytes);
    assert_int_equal(head->state, item->state);
    static const enum item_state same[] = {ITEM_QUEUED, ITEM_IN_FLIGHT, ITEM_DONE, ITEM_CONDEMNED};
    assert_int_equal(head->state, same[item->state]);
    if (item->state == QUEUED || item->state == OUT) return;
    if (item->state == DONE) {
        const unsigned char *result = ledger_result(l, m->first_tag);
        for (size_t i = 0; i < m->o.result_bytes; i++)
            assert_int_equal(result[i], result_byte(m->first_tag, i));
    } else {
        for (unsigned i = 0; i < CREW_CAUSES_MAX; i++)
            assert_int_equal(head->causes[i], item->causes[i]);
    }
    ledger_drop(l);
    m->n_items--;
    memmove(m->items, m->items + 1, m->n_items * sizeof *m->items);
    m->first_tag++;
}

static void compare(struct model *m, const struct ledger *l)
{
    uint64_t in_flight = 0, unsent_cost_ns = 0;
    for (uint32_t i = 0; i < m->n_items; i++) {
        in_flight += m->items[i].state == OUT;
        if (m->first_tag + i >= m->unsent) unsent_cost_ns += m->items[i].cost_ns;
    }
    if (m->n_items > 0) { /* whatever became of it, its bytes are there */
        const uint32_t i = below(m->n_items);
        size_t bytes;
        const unsigned char *data = ledger_item(l, m->first_tag + i, &bytes);
        assert_int_equal(bytes, m->items[i].bytes);
        assert_memory_equal(data, m->items[i].data, bytes);
    }
    assert_true(ledger_is_sound(l));
    assert_int_equal(l->accepted, m->accepted);
    assert_int_equal(l->returned, m->returned);
    assert_int_equal(l->condemned, m->condemned);
    assert_int_equal(l->in_flight, in_flight);
    assert_int_equal(l->unsent_cost_ns, unsent_cost_ns);
    assert_int_equal(l->dropped, m->first_tag);
}

static void a_random_walk(void **state)
{
    (void)state;
    static struct model m; /* too large for a stack */
    uint64_t n_condemned = 0, n_refused = 0, operations = 0;
    for (uint32_t walk = 0; walk < 1000; walk++) {
        struct ledger l;
        seed = 0x2545F4914F6CDD1Dull * (walk + 1); /* so that a walk that fails can be run alone */
        memset(&m, 0, sizeof m);
        m.o = (struct crew_options){.items_max = 1 + below(MODEL_ITEMS),
                                    .item_bytes_max = below(ITEM_MOST + 1),
                                    .queue_bytes = 1 + below(below(2) ? 4000 : 300),
                                    .batch_items_max = 1 + below(20),
                                    .batch_bytes_max = below(2000),
                                    .result_bytes = 1 + below(24)};
        const uint32_t deaths = below(60), drops = 5 + below(30); /* how likely */
        void *memory = open_ledger(&l, &m.o);
        for (uint32_t i = 0; i < 1000; i++, operations++) {
            const uint32_t what = below(100);
            if (what < drops)
                walk_drop(&m, &l);
            else if (m.n_out > 0 && what < drops + (100 - drops) / 3)
                (below(100) < deaths ? walk_die : walk_commit)(&m, &l);
            else if (what < drops + (100 - drops) * 2 / 3)
                (below(4) == 0 ? walk_suspect : walk_batch)(&m, &l);
            else
                walk_put(&m, &l);
            n_refused += m.n_items == m.o.items_max;
            compare(&m, &l);
        }
        /* To the end: everything accepted is returned. */
        while (m.n_items > 0) {
            if (m.n_out > 0)
                walk_commit(&m, &l);
            else if (ledger_has_work(&l))
                walk_batch(&m, &l);
            else if (m.n_requeued > 0)
                walk_suspect(&m, &l);
            walk_drop(&m, &l);
            compare(&m, &l);
            operations++;
        }
        assert_int_equal(l.accepted, l.returned);
        n_condemned += m.condemned;
        mem_free(memory);
    }
    assert_true(operations >= 1000000);
    assert_true(n_condemned > 100 && n_refused > 100); /* these cases occurred */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_may_be_larger_than_the_queue),
        cmocka_unit_test(items_of_no_bytes_are_items),
        cmocka_unit_test(items_begin_with_the_prefix),
        cmocka_unit_test(the_ring_wraps),
        cmocka_unit_test(a_full_queue_is_full_until_a_drop),
        cmocka_unit_test(a_batch_keeps_to_its_maxima),
        cmocka_unit_test(results_wrap_in_two_runs),
        cmocka_unit_test(what_is_requeued_goes_first_oldest_first),
        cmocka_unit_test(three_faults_alone_condemn),
        cmocka_unit_test(a_suspect_waits_for_all_others),
        cmocka_unit_test(a_random_walk),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("crew-ledger: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
