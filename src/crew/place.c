/* place: see place.h. */
#include "place.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A worker that is starved or throttled is waited for so many times as long as it may compute. */
#define PATIENCE_FACTOR 10u

static uint64_t all_bytes(const struct place *p)
{
    return FRAME_HEAD_BYTES + p->lease.payload_bytes;
}

bool place_is_sent(const struct place *p)
{
    return p->sent == all_bytes(p);
}

void place_send(struct place *p)
{
    while (!place_is_sent(p)) {
        const void *parts[3] = {p->head, p->lease.pieces[0], p->lease.pieces[1]};
        const size_t bytes[3] = {FRAME_HEAD_BYTES, p->lease.piece_bytes[0],
                                 p->lease.piece_bytes[1]};
        struct iovec iov[3];
        struct msghdr message = {.msg_iov = iov};
        uint64_t skip = p->sent;
        for (unsigned i = 0; i < 3; i++) {
            if (skip >= bytes[i]) {
                skip -= bytes[i];
                continue;
            }
            iov[message.msg_iovlen++] =
                (struct iovec){.iov_base = (char *)parts[i] + skip, .iov_len = bytes[i] - skip};
            skip = 0;
        }
        const ssize_t n = sendmsg(p->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0)
            p->sent += (uint64_t)n;
        else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
            return;
        else if (errno != EINTR)
            p->sent = all_bytes(p);
    }
}

void place_clear(struct place *p)
{
    if (p->socket >= 0) close(p->socket);
    p->socket = -1;
    p->lease_number = 0;
    p->is_probe = false;
    p->expected.lease = 0;
    p->forced = VECMILL_CAUSE_NONE;
    p->welcomed = p->worked = p->lacks = p->silent = p->dead = false;
    p->sent = 0;
    p->lease = (struct lease){0};
    inbox_init(&p->inbox);
}

enum place_late place_judge(const struct place *p, uint64_t now_ns)
{
    const uint64_t waited_ns = now_ns - p->leased_ns;
    const uint64_t cpu_ns = process_cpu_ns(&p->process);
    const bool answers = p->received != p->looked;
    /* It reads in what the kernel has taken from it, and for that its time goes (state 'D' is only seen
     * while it waits for a page; to have it taken and read costs processor time as well). */
    const bool rereads = process_major_faults(&p->process) != p->looked_faults;
    switch (process_state(&p->process)) {
    case 'T': /* stopped by a signal */
    case 't': /* stopped by a debugger */
        return PLACE_STOPPED;
    case 'R':
    case 'D': /* reading its pages back in, or held up by memory.high */
    case 'Z': /* it has ended, and that is about to be seen: of what is not for us to say */
    case 'X':
    case 0:
        break;
    default: /* asleep: it waits for nobody, unless for us to read on */
        if (!answers) return PLACE_LOOPS;
    }
    if (!rereads && cpu_ns - p->leased_cpu_ns >= p->allowed_ns && cpu_ns > p->leased_cpu_ns)
        return PLACE_LOOPS;
    return waited_ns / PATIENCE_FACTOR >= p->allowed_ns ? PLACE_STOPPED : PLACE_PATIENCE;
}
