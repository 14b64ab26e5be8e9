/* ledger: see ledger.h. */
#include "ledger.h"

#include "frame.h"

#include <assert.h>
#include <string.h>

void ledger_layout(struct ledger *l, const struct crew_options *options, struct arena *a)
{
    l->items_max = options->items_max;
    l->lease_items_max = options->lease_items_max;
    l->lease_bytes_max = options->lease_bytes_max;
    l->result_bytes = options->result_bytes;
    l->wrap_at = num_up(options->queue_bytes, 8);
    l->bytes_capacity = l->wrap_at + frame_item_bytes(options->item_bytes_max);
    l->items = arena_take_array(a, l->items_max, sizeof *l->items, 64);
    l->back = arena_take_array(a, l->items_max, sizeof *l->back, 64);
    l->bytes = arena_take(a, l->bytes_capacity, 64);
    l->results = arena_take_array(a, l->items_max, l->result_bytes, 64);
}

static struct item *item_of(const struct ledger *l, uint64_t tag)
{
    return &l->items[tag % l->items_max];
}

/* ---- putting ---- */

/* Where `need` bytes can lie; false when they cannot. */
static bool find_place(const struct ledger *l, size_t need, size_t *at)
{
    if (l->dropped == l->accepted) {
        *at = 0;
        return true;
    }
    const size_t oldest = item_of(l, l->dropped)->at;
    if (l->put_at <= oldest) { /* it has wrapped: there is room up to the oldest */
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

bool ledger_put(struct ledger *l, const void *data, size_t bytes, uint64_t cost_ns)
{
    const size_t need = frame_item_bytes(bytes);
    size_t at;
    assert(need <= l->bytes_capacity - l->wrap_at);
    if (l->accepted - l->dropped == l->items_max || !find_place(l, need, &at)) return false;
    frame_put_item(data, bytes, l->bytes + at);
    *item_of(l, l->accepted) =
        (struct item){.at = at, .bytes = bytes, .cost_ns = cost_ns, .state = ITEM_QUEUED};
    l->put_at = at + need;
    l->accepted++;
    l->fresh_cost_ns += cost_ns;
    return true;
}

/* ---- leasing ---- */

bool ledger_has_work(const struct ledger *l)
{
    return l->n_back > l->n_suspects || l->fresh < l->accepted;
}

bool ledger_is_suspect(const struct ledger *l, uint64_t tag)
{
    return item_of(l, tag)->n_odd == LEDGER_ODD_MAX;
}

/* The oldest range that came back, of suspects or of others; n_back: there is none. */
static uint32_t find_back(const struct ledger *l, bool suspects)
{
    uint32_t at = 0;
    while (at < l->n_back && ledger_is_suspect(l, l->back[at].first) != suspects)
        at++;
    return at;
}

static struct range take_back(struct ledger *l, uint32_t at)
{
    const struct range range = l->back[at];
    l->n_suspects -= ledger_is_suspect(l, range.first);
    l->n_back--;
    memmove(l->back + at, l->back + at + 1, (l->n_back - at) * sizeof *l->back);
    return range;
}

/* Fresh items up to the budget and the maxima of a lease. */
static struct range cut_fresh(struct ledger *l, uint64_t budget_ns)
{
    struct range range = {.first = l->fresh};
    uint64_t cost_ns = 0;
    size_t bytes = 0;
    while (l->fresh < l->accepted && range.n < l->lease_items_max) {
        const struct item *item = item_of(l, l->fresh);
        const size_t more = frame_item_bytes(item->bytes);
        const bool fits = more <= l->lease_bytes_max - num_min(bytes, l->lease_bytes_max) &&
                          cost_ns < budget_ns && item->cost_ns <= budget_ns - cost_ns;
        if (range.n > 0 && !fits) break;
        cost_ns += item->cost_ns;
        bytes += more;
        l->fresh_cost_ns -= item->cost_ns;
        l->fresh++;
        range.n++;
    }
    return range;
}

static void lease_out(struct ledger *l, struct range range, struct lease *lease)
{
    *lease = (struct lease){.range = range};
    unsigned piece = 0;
    for (uint64_t tag = range.first; tag < range.first + range.n; tag++) {
        struct item *item = item_of(l, tag);
        const size_t bytes = frame_item_bytes(item->bytes);
        assert(item->state == ITEM_QUEUED);
        item->state = ITEM_LEASED;
        const unsigned char *data = l->bytes + item->at;
        if (lease->piece_bytes[piece] > 0 &&
            data != lease->pieces[piece] + lease->piece_bytes[piece])
            piece++;
        assert(piece < 2);
        if (lease->piece_bytes[piece] == 0) lease->pieces[piece] = data;
        lease->piece_bytes[piece] += bytes;
        lease->payload_bytes += bytes;
        lease->cost_ns += item->cost_ns;
    }
    l->in_flight += range.n;
}

bool ledger_lease(struct ledger *l, uint64_t budget_ns, struct lease *lease)
{
    if (!ledger_has_work(l)) return false;
    const bool came_back = l->n_back > l->n_suspects;
    lease_out(l, came_back ? take_back(l, find_back(l, false)) : cut_fresh(l, budget_ns), lease);
    return true;
}

bool ledger_lease_suspect(struct ledger *l, struct lease *lease)
{
    if (l->n_suspects == 0) return false;
    lease_out(l, take_back(l, find_back(l, true)), lease);
    return true;
}

unsigned char *ledger_results(const struct ledger *l, const struct range *range, unsigned i,
                              size_t *bytes)
{
    const uint32_t from = (uint32_t)(range->first % l->items_max);
    const uint32_t n_first = range->n < l->items_max - from ? range->n : l->items_max - from;
    const uint32_t n = i == 0 ? n_first : range->n - n_first;
    if (i > 1 || n == 0) return NULL;
    *bytes = (size_t)n * l->result_bytes;
    return l->results + (i == 0 ? (size_t)from * l->result_bytes : 0);
}

void ledger_commit(struct ledger *l, const struct range *range)
{
    for (uint64_t tag = range->first; tag < range->first + range->n; tag++) {
        struct item *item = item_of(l, tag);
        assert(item->state == ITEM_LEASED);
        item->state = ITEM_DONE;
    }
    l->in_flight -= range->n;
    l->returned += range->n;
}

/* ---- deaths ---- */

/* Ranges do not overlap, so ascending by first is ascending altogether; there are never more than
 * items. */
static void put_back(struct ledger *l, const struct range *range)
{
    uint32_t at = l->n_back;
    assert(l->n_back < l->items_max);
    while (at > 0 && l->back[at - 1].first > range->first) {
        l->back[at] = l->back[at - 1];
        at--;
    }
    l->back[at] = *range;
    l->n_back++;
    l->n_suspects += ledger_is_suspect(l, range->first);
}

/* One more death of the item alone in its lease; true when that condemns it. */
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
    while (l->back[at].first != tag)
        at++;
    (void)take_back(l, at);
    for (unsigned i = 0; i < CREW_CAUSES_MAX; i++)
        item->causes[i] = (unsigned char)(i < n_causes ? causes[i] : VECMILL_CAUSE_NONE);
    condemn(l, item);
}

unsigned ledger_return(struct ledger *l, const struct range *range, vecmill_cause cause,
                       enum blame blame, struct range parts[2])
{
    struct range whole = *range;
    whole.deaths++;
    l->in_flight -= whole.n;
    for (uint64_t tag = whole.first; tag < whole.first + whole.n; tag++) {
        assert(item_of(l, tag)->state == ITEM_LEASED);
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
        parts[1] = (struct range){whole.first + parts[0].n, whole.n - parts[0].n, whole.deaths};
    }
    for (unsigned i = 0; i < n_parts; i++)
        put_back(l, &parts[i]);
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

const unsigned char *ledger_item(const struct ledger *l, uint64_t tag, size_t *bytes)
{
    assert(tag >= l->dropped && tag < l->accepted);
    const struct item *item = item_of(l, tag);
    *bytes = item->bytes;
    return l->bytes + item->at + FRAME_ITEM_HEAD;
}

void ledger_drop(struct ledger *l)
{
    assert(l->dropped < l->accepted && item_of(l, l->dropped)->state >= ITEM_DONE);
    l->dropped++;
}

bool ledger_is_sound(const struct ledger *l)
{
    uint64_t n[4] = {0}, back = 0, suspects = 0, fresh_cost_ns = 0, end = l->dropped;
    for (uint64_t tag = l->dropped; tag < l->accepted; tag++) {
        const struct item *item = item_of(l, tag);
        n[item->state]++;
        if (tag >= l->fresh) fresh_cost_ns += item->cost_ns;
        if (tag >= l->fresh && item->state != ITEM_QUEUED) return false;
    }
    for (uint32_t i = 0; i < l->n_back; i++) {
        const struct range *range = &l->back[i];
        if (range->first < end || range->n == 0 || range->first + range->n > l->fresh) return false;
        end = range->first + range->n;
        back += range->n;
        suspects += ledger_is_suspect(l, range->first);
        if (ledger_is_suspect(l, range->first) && range->n != 1) return false;
        for (uint64_t tag = range->first; tag < end; tag++)
            if (item_of(l, tag)->state != ITEM_QUEUED) return false;
    }
    return n[ITEM_QUEUED] == back + (l->accepted - l->fresh) && n[ITEM_LEASED] == l->in_flight &&
           l->dropped + n[ITEM_DONE] + n[ITEM_CONDEMNED] == l->returned &&
           fresh_cost_ns == l->fresh_cost_ns && suspects == l->n_suspects &&
           n[ITEM_CONDEMNED] <= l->condemned &&
           l->accepted == l->returned + n[ITEM_QUEUED] + l->in_flight;
}
