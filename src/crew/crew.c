/* crew: the supervisor's round, and the door. One thread; only crew_wait waits. */
#define XXH_STATIC_LINKING_ONLY /* for the size of XXH3_state_t */
#include "crew_state.h"

#include "apply.h"
#include "frame.h"
#include "observe.h"
#include "schedule.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The most that an item costs. */
#define ITEM_COST_MOST_NS (3600000 * CREW_MS)

#define BLIND_NS (20 * CREW_MS) /* between two looks for a death, where there is no pidfd */

/* ---- memory ---- */

static bool options_in_range(const struct crew_options *o)
{
    return o->workers >= 1 && o->workers <= CREW_WORKERS_MAX && o->items_max >= 1 &&
           o->batch_items_max >= 1 && o->batch_items_max <= CREW_BATCH_ITEMS_MAX &&
           o->result_bytes >= 1 && o->result_bytes <= CREW_RESULT_MAX &&
           o->item_bytes_max <= SIZE_MAX / 4 && o->queue_bytes >= 1 &&
           o->queue_bytes <= SIZE_MAX / 4 && o->batch_bytes_max <= SIZE_MAX / 4 &&
           (o->tail_bytes == 0
                ? o->frame_tails == 0 && o->tails_bytes == 0
                : o->result_bytes >= sizeof(uint32_t) && o->tail_bytes <= o->frame_tails &&
                      o->frame_tails <= CREW_TAILS_MAX && o->tails_bytes >= o->frame_tails &&
                      o->tails_bytes <= CREW_WORKERS_MAX * (size_t)CREW_TAILS_MAX) &&
           o->probe_bytes <= o->item_bytes_max && o->prefix_bytes <= o->item_bytes_max &&
           o->batch_ns >= CREW_MS && o->start_ns >= CREW_MS && o->least_ns >= CREW_MS;
}

static void lay_out_crew(struct crew *crew, const struct crew_options *o, struct arena *a)
{
    ledger_layout(&crew->ledger, o, a);
    crew->slots = arena_take_array(a, o->workers, sizeof *crew->slots, 64);
    crew->polled = arena_take_array(a, 1 + 2 * (size_t)o->workers, sizeof *crew->polled, 64);
    crew->stack = arena_take(a, PROCESS_STACK_BYTES, 4096);
    crew->hash = arena_take(a, sizeof(XXH3_state_t), 64);
    crew->probe = arena_take(a, frame_item_bytes(o->probe_bytes), 64);
    crew->probe_results = arena_take_array(a, o->workers, o->result_bytes, 64);
    if (o->tail_bytes > 0) crew->nowhere = arena_take(a, TAILS_BLOCK, 64);
}

size_t crew_bytes(const struct crew_options *options)
{
    struct arena a;
    struct crew crew = {0};
    if (!options_in_range(options)) return SIZE_MAX;
    arena_count(&a);
    (void)arena_take(&a, sizeof crew, 64);
    lay_out_crew(&crew, options, &a);
    return arena_bytes(&a);
}

/* One direction of a socket. Linux refuses more bytes once twice SO_SNDBUF is in use
 * (sock_setsockopt doubles it); the last piece it accepts may exceed that by half
 * (unix_stream_sendmsg, net/unix), and 8 KiB are the rounding of that piece and the structures of
 * one end. Measured on 6.18 by memory.kmem.usage_in_bytes with all directions full: 132 to 169 KiB,
 * depending on the sizes written. */
#define SOCKET_KERNEL_BYTES ((size_t)3 * CREW_SOCKET_BYTES + (8u << 10))

/* A process: 16 KiB of stack (THREAD_SIZE of x86-64 and arm64), 64 of task, files, signals and
 * memory map, 48 of page tables of a program with a few libraries. Measured likewise: 47 to 60 KiB
 * without page tables, and 44 of page tables (VmPTE) for sleep(1). */
#define PROCESS_KERNEL_BYTES (128u << 10)

size_t crew_kernel_bytes(uint32_t workers)
{
    return workers * (2 * SOCKET_KERNEL_BYTES + PROCESS_KERNEL_BYTES);
}

/* ---- rounds ---- */

/* Sets up what crew_wait waits for, and how long at most. */
static void prepare_wait(struct crew *crew, uint64_t now_ns)
{
    uint64_t at_ns = crew->ticked_ns + OBSERVE_TICK_NS;
    const bool starts = schedule_wanted(crew, now_ns) > 0;
    /* While may_start is waiting to be asked again, new work starts no worker any sooner. */
    const bool held = starts && now_ns < crew->ask_at_ns;
    crew->wants_work = crew->lacks_room = false;
    crew->seen_accepted = crew->ledger.accepted;
    crew->polled[0] = (struct pollfd){.fd = crew->wake, .events = POLLIN};
    /* Only slots with a socket: poll refuses more entries than RLIMIT_NOFILE, ignored ones
     * included. */
    crew->n_polled = 1;
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct slot *s = &crew->slots[i];
        const bool is_read = !s->stopped_reading && s->no_room_ns == 0;
        const bool blind = s->process.pid > 0 && (s->process.pidfd < 0 ? !is_read : s->exit_seen);
        const bool sends = s->state == AT_BUSY && !slot_is_sent(s);
        s->polled = s->socket >= 0 ? crew->n_polled : 0;
        if (s->polled > 0) {
            crew->polled[crew->n_polled++] = (struct pollfd){
                .fd = is_read ? s->socket : -1, .events = (short)(POLLIN | (sends ? POLLOUT : 0))};
            crew->polled[crew->n_polled++] =
                (struct pollfd){.fd = s->exit_seen ? -1 : s->process.pidfd, .events = POLLIN};
        }
        const uint64_t due_ns =
            s->state == AT_VACANT ? num_max(s->due_ns, crew->ask_at_ns) : s->due_ns;
        if (due_ns > 0 && (s->state != AT_VACANT || starts))
            at_ns = num_min(at_ns, num_max(due_ns, now_ns));
        if (s->state == AT_IDLE || (s->state == AT_VACANT && !held)) crew->wants_work = true;
        if (s->no_room_ns > 0) crew->lacks_room = true;
        if (blind && s->state != AT_LOST) at_ns = num_min(at_ns, now_ns + BLIND_NS);
    }
    crew->wake_at_ns = at_ns;
}

void crew_wait(struct crew *crew)
{
    const uint64_t now_ns = clock_ns();
    const int ms =
        now_ns >= crew->wake_at_ns ? 0 : (int)((crew->wake_at_ns - now_ns) / CREW_MS + 1);
    if (poll(crew->polled, crew->n_polled, ms) >= 0) return;
    /* Interrupted; or memory is short, or the limit of descriptors was lowered. In the latter cases
     * poll reports nothing any more, so everything is looked at from time to time. */
    const bool blind = errno != EINTR;
    if (blind) nanosleep(&(struct timespec){.tv_nsec = BLIND_NS}, NULL);
    for (uint32_t i = 0; i < crew->n_polled; i++)
        crew->polled[i].revents = blind ? POLLIN : 0;
}

void crew_step(struct crew *crew)
{
    uint64_t now_ns = clock_ns(), woken;
    if (crew->polled[0].revents) {
        const ssize_t n = read(crew->wake, &woken, sizeof woken);
        (void)n; /* empty is as good */
    }
    observe_pause(crew, now_ns); /* first, so that a pause is not taken for work */
    for (uint32_t i = 0; i < crew->options.workers; i++)
        observe_slot(crew, &crew->slots[i]);
    now_ns = clock_ns();
    observe_pause(crew, now_ns); /* on_event may have taken long */
    observe_deadlines(crew, now_ns);
    observe_tick(crew, now_ns);
    schedule_batches(crew); /* to those that live, before time is spent on starting others */
    schedule_starts(crew, now_ns);
    assert(ledger_is_sound(&crew->ledger));
    prepare_wait(crew, now_ns);
    schedule_room(crew);
}

void crew_wake(struct crew *crew)
{
    static const uint64_t one = 1;
    const ssize_t n = write(crew->wake, &one, sizeof one);
    (void)n; /* fails only when full, and then it wakes anyway */
}

/* ---- the door ---- */

/* A worker takes a socket and a pidfd. The rest: the standard three, ours, and the host's. */
#define DESCRIPTORS_BESIDES 32u

uint32_t crew_workers_most(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return CREW_WORKERS_MAX;
    if (limit.rlim_cur < DESCRIPTORS_BESIDES + 2) return 1;
    return (uint32_t)num_min((limit.rlim_cur - DESCRIPTORS_BESIDES) / 2, CREW_WORKERS_MAX);
}

vecmill_status crew_open(const struct crew_options *options, struct crew **out, vecmill_err *err)
{
    struct arena a;
    void *memory = NULL;
    const size_t bytes = crew_bytes(options);
    if (bytes == SIZE_MAX)
        return err_set(err, VECMILL_E_USAGE,
                       "a crew of %u workers, results of %u bytes: out of range", options->workers,
                       options->result_bytes);
    if (options->workers > crew_workers_most())
        return err_set(
            err, VECMILL_E_USAGE,
            "%u workers need %u descriptors; the limit (RLIMIT_NOFILE) allows %u workers",
            options->workers, 2 * options->workers + DESCRIPTORS_BESIDES, crew_workers_most());
    VM_TRY(mem_map(bytes, "the queue of a pool", &memory, err));
    const vecmill_status committed = mem_commit(memory, bytes, "the queue of a pool", err);
    if (committed != VECMILL_OK) {
        mem_unmap(memory, bytes);
        return committed;
    }
    arena_init(&a, memory, bytes);
    struct crew *crew = arena_take(&a, sizeof *crew, 64);
    crew->options = *options;
    crew->memory = memory;
    crew->memory_bytes = bytes;
    lay_out_crew(crew, options, &a);
    assert(arena_ok(&a));
    frame_put_item(NULL, 0, &(struct crew_piece){options->probe, options->probe_bytes}, 1,
                   crew->probe);
    for (uint32_t i = 0; i < options->workers; i++) {
        struct slot *s = &crew->slots[i];
        s->socket = s->process.pidfd = -1;
        s->expected.result_bytes = options->result_bytes;
        s->expected.batch_items_max = options->batch_items_max;
        s->expected.batch_bytes_max = num_max(options->batch_bytes_max, options->item_bytes_max);
        s->expected.tail_bytes = options->tail_bytes;
        s->expected.frame_tails = options->frame_tails;
        s->expected.tails = options->tail_bytes > 0 ? &crew->ledger.tails : NULL;
        s->expected.nowhere = crew->nowhere;
    }
    crew->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (crew->null >= 0) crew->null = process_lift_fd(crew->null);
    crew->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int error = errno;
    if (crew->null < 0 || crew->wake < 0) {
        crew_close(crew);
        return err_sys(err, VECMILL_E_INTERNAL, error, "a pool cannot be opened");
    }
    crew->ticked_ns = clock_ns() - OBSERVE_TICK_NS;
    observe_tick(crew, clock_ns());
    prepare_wait(crew, clock_ns());
    crew->wake_at_ns = 0; /* the first round is due at once */
    *out = crew;
    return VECMILL_OK;
}

void crew_close(struct crew *crew)
{
    if (!crew) return;
    crew->closing = true;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        apply_event(crew, &crew->slots[i], ON_LEAVE);
    /* Every worker has a deadline now, after which it is dead or written off. */
    prepare_wait(crew, clock_ns());
    while (crew_n_alive(crew) > 0) {
        crew_wait(crew);
        crew_step(crew);
    }
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct slot *s = &crew->slots[i];
        if (s->process.pidfd >= 0) close(s->process.pidfd); /* one that was written off */
    }
    if (crew->wake >= 0) close(crew->wake);
    if (crew->null >= 0) close(crew->null);
    mem_unmap(crew->memory, crew->memory_bytes);
}

bool crew_submit(struct crew *crew, const struct crew_piece *pieces, uint32_t n, uint64_t cost_ns)
{
    const struct ledger *l = &crew->ledger;
    size_t left = crew->options.item_bytes_max - crew->options.prefix_bytes;
    for (uint32_t i = 0; i < n; i++) {
        if (pieces[i].bytes > left) return false;
        left -= pieces[i].bytes;
    }
    if (!ledger_put(&crew->ledger, pieces, n, num_min(cost_ns, ITEM_COST_MOST_NS))) return false;
    if (l->accepted - l->unsent >= l->batch_items_max || l->unsent_cost_ns >= crew->whole_batch_ns)
        crew_hurry(crew);
    return true;
}

void crew_hurry(struct crew *crew)
{
    /* The last round has done all that could be done with what was there. */
    if (crew->wants_work && crew->ledger.accepted > crew->seen_accepted) {
        crew->wants_work = false;
        crew_wake(crew);
    }
}

enum crew_head crew_head(const struct crew *crew, const void **result, vecmill_cause *causes)
{
    const struct item *item = ledger_head(&crew->ledger);
    if (!item) return CREW_NONE;
    switch ((enum item_state)item->state) {
    case ITEM_DONE:
        *result = ledger_result(&crew->ledger, crew->ledger.dropped);
        return CREW_DONE;
    case ITEM_CONDEMNED:
        for (unsigned i = 0; i < CREW_CAUSES_MAX; i++)
            causes[i] = (vecmill_cause)item->causes[i];
        return CREW_CONDEMNED;
    case ITEM_QUEUED:
        return crew->held || crew->failure != VECMILL_OK ? CREW_WITHHELD : CREW_WAITING;
    case ITEM_IN_FLIGHT:
        break;
    }
    return CREW_WAITING;
}

const void *crew_item(const struct crew *crew, uint64_t tag, size_t *bytes)
{
    return ledger_item(&crew->ledger, tag, bytes);
}

size_t crew_tail(const struct crew *crew, void *to)
{
    assert(ledger_head(&crew->ledger)->state == ITEM_DONE);
    return ledger_tail(&crew->ledger, crew->ledger.dropped, to);
}

void crew_drop(struct crew *crew)
{
    ledger_drop(&crew->ledger);
    if (crew->lacks_room) {
        crew->lacks_room = false;
        crew_wake(crew);
    }
}

void crew_hold(struct crew *crew)
{
    crew->held = true;
}

vecmill_status crew_failure(const struct crew *crew, vecmill_err *err)
{
    if (crew->failure == VECMILL_OK) return VECMILL_OK;
    return err_set(err, crew->failure, "%s", crew->failure_err.message);
}

void crew_count(const struct crew *crew, struct crew_counts *counts)
{
    const struct ledger *l = &crew->ledger;
    *counts = crew->counts;
    counts->accepted = l->accepted;
    counts->returned = l->returned;
    counts->in_flight = l->in_flight;
    counts->queued = l->accepted - l->returned - l->in_flight;
    counts->condemned = l->condemned;
    counts->ready = crew_n_ready(crew);
    counts->alive = crew_n_alive(crew);
}

uint32_t crew_pids(const struct crew *crew, pid_t *pids, uint32_t room)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < crew->options.workers && n < room; i++) {
        const struct slot *s = &crew->slots[i];
        if (s->state == AT_IDLE || s->state == AT_BUSY) pids[n++] = s->pid;
    }
    return n;
}
