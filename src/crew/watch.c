/* watch: finds out what happened to the workers: what they sent, that they ended, that they are late. */
#include "inner.h"

#include "inbox.h"
#include "table.h"

#include <errno.h>
#include <sys/socket.h>

#define LOOK_NS  (100 * CREW_MS)  /* between two looks at a worker that is late without fault */
#define PAUSE_NS (250 * CREW_MS)  /* woken so much later than asked for: this process was stopped */
#define GRACE_NS (1000 * CREW_MS) /* after that, for what waits for us or was stopped too */
/* So many are forgiven while nothing else changes: a host that is late at every round finds hangs too. */
#define PAUSES_MOST 5u

/* Reads what has come, as long as it makes sense. */
static void read_socket(struct crew *crew, struct place *p)
{
    while (!p->silent && p->socket >= 0) {
        size_t room;
        unsigned char *to = inbox_room(&p->inbox, &p->expected, &room);
        const ssize_t n = recv(p->socket, to, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { /* reset, as by a worker that died with a lease unread, is an end as well */
            p->silent = true;
            act_on(crew, p, ON_END);
            return;
        }
        p->received += (uint64_t)n;
        switch (inbox_take(&p->inbox, &p->expected, (size_t)n, crew->hash)) {
        case INBOX_MORE:
            break;
        case INBOX_HELLO:
            act_on(crew, p, ON_HELLO);
            break;
        case INBOX_RESULT:
            p->silent = !place_is_sent(p); /* an answer to what was not asked yet is none */
            act_on(crew, p, p->silent ? ON_GARBAGE : ON_RESULT);
            break;
        case INBOX_REFUSED:
            p->silent = true;
            act_on(crew, p, ON_REFUSED);
            break;
        case INBOX_GARBAGE:
            p->silent = true;
            act_on(crew, p, ON_GARBAGE);
            break;
        }
    }
}

/* Reaps the worker if it has ended. What it sent before lies in our end of the socket still: nobody
 * can add to it, so reading it decides, without doubt and without waiting, what was done. */
static void look_for_death(struct crew *crew, struct place *p)
{
    if (p->process.pid == 0 || !process_reap(&p->process, &p->exit)) return;
    read_socket(crew, p);
    act_on(crew, p, ON_DEAD);
}

void watch_place(struct crew *crew, struct place *p)
{
    bool ended = false;
    if (p->polled > 0) {
        const struct pollfd *socket = &crew->polled[p->polled], *pidfd = socket + 1;
        if (socket->revents & POLLOUT) place_send(p);
        if (socket->revents & ~POLLOUT) read_socket(crew, p);
        ended = pidfd->revents != 0;
    }
    if (ended || p->dead || p->process.pidfd < 0) look_for_death(crew, p);
    p->dead = ended && p->process.pid > 0;
}

/* This process was stopped, or the machine suspended, or the host took its time: nobody is late for
 * that. What it had been asked to do by when: wake_at_ns. */
void watch_pause(struct crew *crew, uint64_t now_ns)
{
    const uint64_t pause_ns = now_ns - crew->seen_ns;
    const bool paused = crew->wake_at_ns > 0 && now_ns > crew->wake_at_ns + PAUSE_NS;
    crew->seen_ns = crew->wake_at_ns = now_ns;
    if (paused) lack_pause(&crew->lack, pause_ns, now_ns);
    for (uint32_t i = 0; paused && i < crew->options.workers; i++) {
        struct place *p = &crew->places[i];
        if (p->state == AT_VACANT || p->due_ns == 0 || p->pauses == PAUSES_MOST) continue;
        p->due_ns = num_max(p->due_ns + pause_ns, now_ns + GRACE_NS);
        p->leased_ns += pause_ns;
        p->pauses++;
    }
}

/* A deadline passed in this state: is it the worker's doing? Sets forced for ON_LATE; false: it is
 * looked at again later, or spoke at last. */
static bool is_late(struct crew *crew, struct place *p, uint64_t now_ns)
{
    if (p->state != AT_STARTING && p->state != AT_BUSY) {
        p->forced = p->state == AT_CLOSED ? VECMILL_CAUSE_PROTOCOL : p->forced;
        p->forced_fault = p->state == AT_CLOSED || p->forced_fault;
        return true;
    }
    const uint64_t received = p->received;
    enum place_late late = place_judge(p, now_ns);
    /* It may sleep because it is done, since poll looked: what it sent by then is there to be read now. */
    if (late != PLACE_PATIENCE) read_socket(crew, p);
    if (p->state != AT_STARTING && p->state != AT_BUSY) return false;
    if (p->received != received) late = place_judge(p, now_ns);
    if (late == PLACE_PATIENCE) {
        p->looked = p->received;
        p->looked_faults = process_major_faults(&p->process);
        p->due_ns = now_ns + LOOK_NS;
        return false;
    }
    p->forced = VECMILL_CAUSE_HANG;
    p->forced_fault = late == PLACE_LOOPS;
    return true;
}

void watch_deadlines(struct crew *crew, uint64_t now_ns)
{
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct place *p = &crew->places[i];
        if (p->state == AT_VACANT || p->due_ns == 0 || now_ns < p->due_ns) continue;
        if (p->state == AT_LOST) {
            look_for_death(crew, p);
            if (p->state == AT_LOST) p->due_ns = now_ns + CREW_LOST_NS;
        } else if (is_late(crew, p, now_ns)) {
            act_on(crew, p, ON_LATE);
        }
    }
}

static bool is_ours(void *context, pid_t pid)
{
    const struct crew *crew = context;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        if (crew->places[i].process.pid == pid) return true;
    return false;
}

void watch_tick(struct crew *crew, uint64_t now_ns)
{
    const struct crew_options *o = &crew->options;
    if (now_ns - crew->ticked_ns < CREW_TICK_NS) return;
    crew->ticked_ns = now_ns;
    uint64_t kills = 0;
    if (o->oom_kills) {
        const bool known = o->oom_kills(o->context, &kills);
        oom_tick(&crew->oom, kills, known);
    }
    if (o->reap_strangers) process_reap_strangers(is_ours, crew);
}
