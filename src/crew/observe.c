#include "observe.h"

#include "apply.h"
#include "inbox.h"

#include <errno.h>
#include <sys/socket.h>

#define LOOK_NS (100 * CREW_MS) /* between two looks at a worker that is late without fault */
/* woken this much later than asked for: this process was stopped */
#define PAUSE_NS (250 * CREW_MS)
#define GRACE_NS (1000 * CREW_MS) /* after a pause, for what waits for us or was stopped as well */
/* Pauses forgiven while a state lasts: a host that is late at every round must find hangs as
 * well. */
#define PAUSES_MOST 5u

/* Results came, of a batch or of its first items. */
static void take_results(struct crew *crew, struct slot *s, bool is_void)
{
    const bool is_part = s->inbox.head.n_items < s->expected.n_items;
    s->is_void = is_void;
    s->stopped_reading = !slot_is_sent(s); /* an answer to a batch that is not sent yet */
    if (s->stopped_reading)
        apply_event(crew, s, ON_GARBAGE);
    else
        apply_event(crew, s, is_part ? ON_PART : ON_RESULT);
}

/* Time in which the slot's worker waited for us is not its own. */
static void end_no_room(struct slot *s, uint64_t now_ns)
{
    if (s->no_room_ns > 0 && s->state == AT_BUSY) {
        s->since_ns += now_ns - s->no_room_ns;
        s->due_ns += now_ns - s->no_room_ns;
    }
    s->no_room_ns = 0;
}

/* Reads what has arrived, until it is exhausted or makes no sense, or there is no room for it. */
static void read_socket(struct crew *crew, struct slot *s)
{
    while (!s->stopped_reading && s->socket >= 0) {
        size_t room;
        s->expected.is_oldest =
            !s->is_probe && s->batch_number != 0 && s->batch.range.first == crew->ledger.dropped;
        unsigned char *to = inbox_room(&s->inbox, &s->expected, &room);
        if (to == NULL) {
            if (s->no_room_ns == 0) s->no_room_ns = clock_ns();
            return;
        }
        end_no_room(s, s->no_room_ns > 0 ? clock_ns() : 0);
        const ssize_t n = recv(s->socket, to, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { /* a reset, as after a death with a batch unread, is an end as well */
            s->stopped_reading = true;
            apply_event(crew, s, ON_END);
            return;
        }
        s->received += (uint64_t)n;
        switch (inbox_take(&s->inbox, &s->expected, (size_t)n, crew->hash)) {
        case INBOX_MORE:
            break;
        case INBOX_HELLO:
            apply_event(crew, s, ON_HELLO);
            break;
        case INBOX_RESULT:
        case INBOX_PART:
            take_results(crew, s, false);
            break;
        case INBOX_VOID:
            take_results(crew, s, true);
            break;
        case INBOX_REFUSED:
            s->stopped_reading = true;
            apply_event(crew, s, ON_REFUSED);
            break;
        case INBOX_GARBAGE:
            s->stopped_reading = true;
            apply_event(crew, s, ON_GARBAGE);
            break;
        }
    }
}

/* Reaps the worker if it has ended. What it sent before is still in our end of the socket. No
 * other process can add to it, so reading it decides, without doubt and without waiting, what
 * was done. */
static void look_for_death(struct crew *crew, struct slot *s)
{
    if (s->process.pid == 0 || !process_reap(&s->process, &s->exit)) return;
    read_socket(crew, s);
    apply_event(crew, s, ON_DEAD);
}

void observe_slot(struct crew *crew, struct slot *s)
{
    bool ended = false;
    if (s->polled > 0) {
        const struct pollfd *socket = &crew->polled[s->polled], *pidfd = socket + 1;
        if (socket->revents & POLLOUT) slot_send(s);
        if ((socket->revents & ~POLLOUT) || s->no_room_ns > 0) read_socket(crew, s);
        ended = pidfd->revents != 0;
    }
    if (ended || s->exit_seen || s->process.pidfd < 0) look_for_death(crew, s);
    s->exit_seen = ended && s->process.pid > 0;
}

/* This process was stopped, the machine suspended, or on_event took long. wake_at_ns is when this
 * round was due. */
void observe_pause(struct crew *crew, uint64_t now_ns)
{
    const uint64_t pause_ns = now_ns - crew->seen_ns;
    const bool paused = crew->wake_at_ns > 0 && now_ns > crew->wake_at_ns + PAUSE_NS;
    crew->seen_ns = crew->wake_at_ns = now_ns;
    if (paused) shortage_pause(&crew->shortage, pause_ns, now_ns);
    for (uint32_t i = 0; paused && i < crew->options.workers; i++) {
        struct slot *s = &crew->slots[i];
        if (s->state == AT_VACANT || s->due_ns == 0 || s->pauses == PAUSES_MOST) continue;
        s->due_ns = num_max(s->due_ns + pause_ns, now_ns + GRACE_NS);
        s->since_ns += pause_ns;
        s->pauses++;
    }
}

/* A deadline of this state passed. True: the worker is to blame; kill_cause is set for ON_LATE.
 * False: it is looked at again later, or has spoken meanwhile. */
static bool is_late(struct crew *crew, struct slot *s, uint64_t now_ns)
{
    if (s->no_room_ns > 0 && s->state == AT_BUSY) { /* it waits for us */
        s->due_ns = now_ns + LOOK_NS;
        return false;
    }
    if (s->state != AT_STARTING && s->state != AT_BUSY) {
        s->kill_cause = s->state == AT_CLOSED ? VECMILL_CAUSE_PROTOCOL : s->kill_cause;
        s->kill_is_fault = s->state == AT_CLOSED || s->kill_is_fault;
        return true;
    }
    const uint64_t received = s->received;
    enum slot_late late = slot_judge(s, now_ns);
    /* It may sleep because it has finished since poll looked: then its answer can be read now. */
    if (late != SLOT_SLOW) read_socket(crew, s);
    if (s->state != AT_STARTING && s->state != AT_BUSY) return false;
    if (s->received != received) late = slot_judge(s, now_ns);
    if (late == SLOT_SLOW) {
        s->checked_received = s->received;
        s->checked_faults = process_major_faults(&s->process);
        s->due_ns = now_ns + LOOK_NS;
        return false;
    }
    s->kill_cause = VECMILL_CAUSE_HANG;
    s->kill_is_fault = late == SLOT_LOOPS;
    return true;
}

void observe_deadlines(struct crew *crew, uint64_t now_ns)
{
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct slot *s = &crew->slots[i];
        if (s->state == AT_VACANT || s->due_ns == 0 || now_ns < s->due_ns) continue;
        if (s->state == AT_LOST) {
            look_for_death(crew, s);
            if (s->state == AT_LOST) s->due_ns = now_ns + CREW_LOST_NS;
        } else if (is_late(crew, s, now_ns)) {
            apply_event(crew, s, ON_LATE);
        }
    }
}

static bool is_ours(void *context, pid_t pid)
{
    const struct crew *crew = context;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        if (crew->slots[i].process.pid == pid) return true;
    return false;
}

void observe_tick(struct crew *crew, uint64_t now_ns)
{
    const struct crew_options *o = &crew->options;
    if (now_ns - crew->ticked_ns < OBSERVE_TICK_NS) return;
    crew->ticked_ns = now_ns;
    uint64_t kills = 0;
    if (o->oom_kills) {
        const bool known = o->oom_kills(o->context, &kills);
        oom_tick(&crew->oom, kills, known);
    }
    if (o->reap_strangers) process_reap_strangers(is_ours, crew);
}
