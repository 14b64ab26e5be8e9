#include "ledger.h"

#include "frame.h"

#include <assert.h>
#include <string.h>

void ledger_layout(struct ledger *l, const struct crew_options *options, struct arena *a)
{
    l->items_max = options->items_max;
    l->batch_items_max = options->batch_items_max;
    l->batch_bytes_max = options->batch_bytes_max;
    l->result_bytes = options->result_bytes;
    l->prefix = options->prefix;
    l->prefix_bytes = options->prefix_bytes;
    l->wrap_at = num_up(options->queue_bytes, 8);
    l->bytes_capacity = l->wrap_at + frame_item_bytes(options->item_bytes_max);
    l->items = arena_take_array(a, l->items_max, sizeof *l->items, 64);
    l->requeued = arena_take_array(a, l->items_max, sizeof *l->requeued, 64);
    l->bytes = arena_take(a, l->bytes_capacity, 64);
    l->results = arena_take_array(a, l->items_max, l->result_bytes, 64);
    tails_layout(&l->tails, options, a);
}

static struct item *item_of(const struct ledger *l, uint64_t tag)
{
    return &l->items[tag % l->items_max];
}

/* ---- putting ---- */

/* Where `need` bytes fit; false: nowhere. */
static bool find_room(const struct ledger *l, size_t need, size_t *at)
{
    if (l->dropped == l->accepted) {
        *at = 0;
        return true;
    }
    const size_t oldest = item_of(l, l->dropped)->at;
    if (l->put_at <= oldest) { /* wrapped: there is room up to the oldest item */
        *at = l->put_at;
        return need <= oldest - l->put_at;
    }
    if (l->put_at < l->wrap_at) {
        *at = l->put_at;
        return true;
    }
    *at = 0;
    return need <= oldest;
}

bool ledger_put(struct ledger *l, const struct crew_piece *pieces, uint32_t n, uint64_t cost_ns)
{
    size_t whole = l->prefix_bytes, at;
    for (uint32_t i = 0; i < n; i++)
        whole += pieces[i].bytes;
    const size_t need = frame_item_bytes(whole);
    assert(need <= l->bytes_capacity - l->wrap_at);
    if (l->accepted - l->dropped == l->items_max || !find_room(l, need, &at)) return false;
    frame_put_item(l->prefix, l->prefix_bytes, pieces, n, l->bytes + at);
    *item_of(l, l->accepted) =
        (struct item){.at = at, .bytes = whole, .cost_ns = cost_ns, .state = ITEM_QUEUED};
    l->put_at = at + need;
    l->accepted++;
    l->unsent_cost_ns += cost_ns;
    return true;
}

/* ---- giving out ---- */

bool ledger_has_work(const struct ledger *l)
{
    return l->n_requeued > l->n_suspects || l->unsent < l->accepted;
}

bool ledger_is_suspect(const struct ledger *l, uint64_t tag)
{
    return item_of(l, tag)->n_odd == LEDGER_ODD_MAX;
}

/* The oldest requeued range, of suspects or of others; n_requeued: there is none. */
static uint32_t find_requeued(const struct ledger *l, bool suspects)
{
    uint32_t at = 0;
    while (at < l->n_requeued && ledger_is_suspect(l, l->requeued[at].first) != suspects)
        at++;
    return at;
}

static struct item_range take_requeued(struct ledger *l, uint32_t at)
{
    const struct item_range range = l->requeued[at];
    l->n_suspects -= ledger_is_suspect(l, range.first);
    l->n_requeued--;
    memmove(l->requeued + at, l->requeued + at + 1, (l->n_requeued - at) * sizeof *l->requeued);
    return range;
}

/* Takes unsent items, up to the budget and the maxima of a batch. */
static struct item_range cut_unsent(struct ledger *l, uint64_t budget_ns)
{
    struct item_range range = {.first = l->unsent};
    uint64_t cost_ns = 0;
    size_t bytes = 0;
    while (l->unsent < l->accepted && range.n < l->batch_items_max) {
        const struct item *item = item_of(l, l->unsent);
        const size_t more = frame_item_bytes(item->bytes);
        const bool fits = more <= l->batch_bytes_max - num_min(bytes, l->batch_bytes_max) &&
                          cost_ns < budget_ns && item->cost_ns <= budget_ns - cost_ns;
        if (range.n > 0 && !fits) break;
        cost_ns += item->cost_ns;
        bytes += more;
        l->unsent_cost_ns -= item->cost_ns;
        l->unsent++;
        range.n++;
    }
    return range;
}

static void give_out(struct ledger *l, struct item_range range, struct batch *batch)
{
    *batch = (struct batch){.range = range};
    unsigned piece = 0;
    for (uint64_t tag = range.first; tag < range.first + range.n; tag++) {
        struct item *item = item_of(l, tag);
        const size_t bytes = frame_item_bytes(item->bytes);
        assert(item->state == ITEM_QUEUED);
        item->state = ITEM_IN_FLIGHT;
        const unsigned char *data = l->bytes + item->at;
        if (batch->piece_bytes[piece] > 0 &&
            data != batch->pieces[piece] + batch->piece_bytes[piece])
            piece++;
        assert(piece < 2);
        if (batch->piece_bytes[piece] == 0) batch->pieces[piece] = data;
        batch->piece_bytes[piece] += bytes;
        batch->payload_bytes += bytes;
        batch->cost_ns += item->cost_ns;
    }
    l->in_flight += range.n;
}

bool ledger_next_batch(struct ledger *l, uint64_t budget_ns, struct batch *batch)
{
    if (!ledger_has_work(l)) return false;
    const bool came_back = l->n_requeued > l->n_suspects;
    give_out(l, came_back ? take_requeued(l, find_requeued(l, false)) : cut_unsent(l, budget_ns),
             batch);
    return true;
}

bool ledger_next_suspect(struct ledger *l, struct batch *batch)
{
    if (l->n_suspects == 0) return false;
    give_out(l, take_requeued(l, find_requeued(l, true)), batch);
    return true;
}

unsigned char *ledger_results(const struct ledger *l, const struct item_range *range, unsigned i,
                              size_t *bytes)
{
    const uint32_t from = (uint32_t)(range->first % l->items_max);
    const uint32_t n_first = range->n < l->items_max - from ? range->n : l->items_max - from;
    const uint32_t n = i == 0 ? n_first : range->n - n_first;
    if (i > 1 || n == 0) return NULL;
    *bytes = (size_t)n * l->result_bytes;
    return l->results + (i == 0 ? (size_t)from * l->result_bytes : 0);
}

/* Where the tails of these items are, which lie end to end from the beginning of a chain. */
static void place_tails(struct ledger *l, const struct item_range *range, uint32_t chain)
{
    size_t at = 0;
    for (uint32_t i = 0; i < range->n; i++) {
        struct item *item = item_of(l, range->first + i);
        item->tail = chain;
        item->tail_at = (uint16_t)at;
        item->tail_ends = i + 1 == range->n;
        for (at += ledger_tail(l, range->first + i, NULL); at >= TAILS_BLOCK; at -= TAILS_BLOCK)
            chain = l->tails.next[chain];
    }
}

void ledger_commit(struct ledger *l, const struct item_range *range, uint32_t chain)
{
    if (l->tails.n > 0) place_tails(l, range, chain);
    for (uint64_t tag = range->first; tag < range->first + range->n; tag++) {
        struct item *item = item_of(l, tag);
        assert(item->state == ITEM_IN_FLIGHT);
        item->state = ITEM_DONE;
    }
    l->in_flight -= range->n;
    l->returned += range->n;
}

/* ---- deaths ---- */

/* Ranges do not overlap, so those sorted by first are sorted altogether; there are never more than
 * items. */
static void requeue(struct ledger *l, const struct item_range *range)
{
    uint32_t at = l->n_requeued;
    assert(l->n_requeued < l->items_max);
    while (at > 0 && l->requeued[at - 1].first > range->first) {
        l->requeued[at] = l->requeued[at - 1];
        at--;
    }
    l->requeued[at] = *range;
    l->n_requeued++;
    l->n_suspects += ledger_is_suspect(l, range->first);
}

void ledger_return(struct ledger *l, const struct item_range *range)
{
    for (uint64_t tag = range->first; tag < range->first + range->n; tag++) {
        assert(item_of(l, tag)->state == ITEM_IN_FLIGHT);
        item_of(l, tag)->state = ITEM_QUEUED;
    }
    l->in_flight -= range->n;
    requeue(l, range);
}

/* One more death of an item alone in its batch; true: it condemns the item. */
static bool is_condemned_by(struct item *item, vecmill_cause cause, enum blame blame)
{
    if (blame == BLAME_ODD && item->n_odd < LEDGER_ODD_MAX) item->n_odd++;
    if (blame != BLAME_FAULT) return false;
    if (item->n_faults < CREW_FAULTS_MAX) item->causes[item->n_faults++] = (unsigned char)cause;
    return item->n_faults == CREW_FAULTS_MAX;
}

static void condemn(struct ledger *l, struct item *item)
{
    item->state = ITEM_CONDEMNED;
    l->condemned++;
    l->returned++;
}

void ledger_condemn(struct ledger *l, uint64_t tag, const vecmill_cause *causes, unsigned n_causes)
{
    struct item *item = item_of(l, tag);
    uint32_t at = 0;
    assert(ledger_is_suspect(l, tag) && item->state == ITEM_QUEUED);
    while (l->requeued[at].first != tag)
        at++;
    (void)take_requeued(l, at);
    for (unsigned i = 0; i < CREW_CAUSES_MAX; i++)
        item->causes[i] = (unsigned char)(i < n_causes ? causes[i] : VECMILL_CAUSE_NONE);
    condemn(l, item);
}

unsigned ledger_requeue(struct ledger *l, const struct item_range *range, vecmill_cause cause,
                        enum blame blame, struct item_range parts[2])
{
    struct item_range whole = *range;
    whole.deaths++;
    l->in_flight -= whole.n;
    for (uint64_t tag = whole.first; tag < whole.first + whole.n; tag++) {
        assert(item_of(l, tag)->state == ITEM_IN_FLIGHT);
        item_of(l, tag)->state = ITEM_QUEUED;
    }
    if (whole.n == 1 && is_condemned_by(item_of(l, whole.first), cause, blame)) {
        condemn(l, item_of(l, whole.first));
        return 0;
    }
    unsigned n_parts = 1;
    parts[0] = whole;
    if (whole.n > 1 && whole.deaths > 1) {
        n_parts = 2;
        parts[0].n = whole.n / 2;
        parts[1] =
            (struct item_range){whole.first + parts[0].n, whole.n - parts[0].n, whole.deaths};
    }
    for (unsigned i = 0; i < n_parts; i++)
        requeue(l, &parts[i]);
    return n_parts;
}

/* ---- taking ---- */

const struct item *ledger_head(const struct ledger *l)
{
    return l->dropped == l->accepted ? NULL : item_of(l, l->dropped);
}

const unsigned char *ledger_result(const struct ledger *l, uint64_t tag)
{
    return l->results + (size_t)(tag % l->items_max) * l->result_bytes;
}

uint64_t ledger_cost_ns(const struct ledger *l, uint64_t tag)
{
    return item_of(l, tag)->cost_ns;
}

size_t ledger_tail(const struct ledger *l, uint64_t tag, unsigned char *to)
{
    const struct item *item = item_of(l, tag);
    uint32_t bytes = 0, block = item->tail;
    size_t at = item->tail_at, copied = 0;
    if (l->tails.n > 0) memcpy(&bytes, ledger_result(l, tag), sizeof bytes);
    while (to && copied < bytes) {
        const size_t n = num_min(bytes - copied, TAILS_BLOCK - at);
        memcpy(to + copied, l->tails.bytes + (size_t)block * TAILS_BLOCK + at, n);
        copied += n;
        at = 0;
        block = l->tails.next[block];
    }
    return bytes;
}

const unsigned char *ledger_item(const struct ledger *l, uint64_t tag, size_t *bytes)
{
    assert(tag >= l->dropped && tag < l->accepted);
    const struct item *item = item_of(l, tag);
    *bytes = item->bytes;
    return l->bytes + item->at + FRAME_ITEM_HEAD;
}

void ledger_drop(struct ledger *l)
{
    const struct item *item = item_of(l, l->dropped);
    assert(l->dropped < l->accepted && item->state >= ITEM_DONE);
    if (l->tails.n > 0 && item->state == ITEM_DONE) {
        /* the block that the next tail begins in stays */
        const size_t end = item->tail_at + ledger_tail(l, l->dropped, NULL);
        const uint64_t n = item->tail_ends ? tails_blocks(end) : end / TAILS_BLOCK;
        (void)tails_give(&l->tails, item->tail, n);
    }
    l->dropped++;
}

bool ledger_is_sound(const struct ledger *l)
{
    uint64_t n[4] = {0}, back = 0, suspects = 0, unsent_cost_ns = 0, end = l->dropped;
    for (uint64_t tag = l->dropped; tag < l->accepted; tag++) {
        const struct item *item = item_of(l, tag);
        n[item->state]++;
        if (tag >= l->unsent) unsent_cost_ns += item->cost_ns;
        if (tag >= l->unsent && item->state != ITEM_QUEUED) return false;
    }
    for (uint32_t i = 0; i < l->n_requeued; i++) {
        const struct item_range *range = &l->requeued[i];
        if (range->first < end || range->n == 0 || range->first + range->n > l->unsent)
            return false;
        end = range->first + range->n;
        back += range->n;
        suspects += ledger_is_suspect(l, range->first);
        if (ledger_is_suspect(l, range->first) && range->n != 1) return false;
        for (uint64_t tag = range->first; tag < end; tag++)
            if (item_of(l, tag)->state != ITEM_QUEUED) return false;
    }
    return n[ITEM_QUEUED] == back + (l->accepted - l->unsent) &&
           n[ITEM_IN_FLIGHT] == l->in_flight &&
           l->dropped + n[ITEM_DONE] + n[ITEM_CONDEMNED] == l->returned &&
           unsent_cost_ns == l->unsent_cost_ns && suspects == l->n_suspects &&
           n[ITEM_CONDEMNED] <= l->condemned &&
           l->accepted == l->returned + n[ITEM_QUEUED] + l->in_flight;
}
