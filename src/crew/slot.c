#include "slot.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A worker that is starved or throttled is waited for this many times as long as it may compute. */
#define PATIENCE_FACTOR 10u

static uint64_t all_bytes(const struct slot *s)
{
    return FRAME_HEAD_BYTES + s->batch.payload_bytes;
}

bool slot_is_sent(const struct slot *s)
{
    return s->sent == all_bytes(s);
}

vecmill_status slot_start(struct slot *s, const char *program, char *const *argv, int null,
                          void *stack, uint32_t generation, vecmill_err *err)
{
    static const int buffer_bytes = CREW_SOCKET_BYTES;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return err_sys(err, VECMILL_E_WORKERS, errno, "no socket for a worker");
    const int ours = process_lift_fd(ends[0]), theirs = process_lift_fd(ends[1]);
    const bool made = ours >= 0 && theirs >= 0 &&
                      setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(int)) == 0 &&
                      setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(int)) == 0;
    vecmill_status status =
        made ? process_start(program, argv, theirs, null, stack, &s->process, err)
             : err_sys(err, VECMILL_E_WORKERS, errno, "no socket for a worker");
    if (theirs >= 0) close(theirs);
    if (status != VECMILL_OK) {
        if (ours >= 0) close(ours);
        return status;
    }
    s->socket = ours;
    s->pid = s->process.pid;
    s->generation = s->expected.generation = generation;
    return VECMILL_OK;
}

void slot_send(struct slot *s)
{
    while (!slot_is_sent(s)) {
        const void *parts[3] = {s->head, s->batch.pieces[0], s->batch.pieces[1]};
        const size_t bytes[3] = {FRAME_HEAD_BYTES, s->batch.piece_bytes[0],
                                 s->batch.piece_bytes[1]};
        struct iovec iov[3];
        struct msghdr message = {.msg_iov = iov};
        uint64_t skip = s->sent;
        for (unsigned i = 0; i < 3; i++) {
            if (skip >= bytes[i]) {
                skip -= bytes[i];
                continue;
            }
            iov[message.msg_iovlen++] =
                (struct iovec){.iov_base = (char *)parts[i] + skip, .iov_len = bytes[i] - skip};
            skip = 0;
        }
        const ssize_t n = sendmsg(s->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0)
            s->sent += (uint64_t)n;
        else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
            return;
        else if (errno != EINTR)
            s->sent = all_bytes(s);
    }
}

void slot_clear(struct slot *s, struct tails *tails)
{
    if (s->socket >= 0) close(s->socket);
    s->socket = -1;
    s->batch_number = 0;
    s->is_probe = false;
    s->expected.batch = 0;
    s->kill_cause = VECMILL_CAUSE_NONE;
    s->was_ready = s->worked = s->no_memory = s->stopped_reading = s->exit_seen = false;
    s->is_void = s->expected.discards = false;
    s->sent = s->no_room_ns = 0;
    s->batch = (struct batch){0};
    inbox_drop(&s->inbox, tails);
    inbox_init(&s->inbox);
}

enum slot_late slot_judge(const struct slot *s, uint64_t now_ns)
{
    const uint64_t waited_ns = now_ns - s->since_ns;
    const uint64_t cpu_ns = process_cpu_ns(&s->process);
    const bool answers = s->received != s->checked_received;
    /* It reads back pages that the kernel took from it, and spends its time on that. (State 'D' is
     * seen only while it waits for a page; having pages taken and read costs processor time as
     * well.) */
    const bool rereads = process_major_faults(&s->process) != s->checked_faults;
    switch (process_state(&s->process)) {
    case 'T': /* stopped by a signal */
    case 't': /* stopped by a debugger */
        return SLOT_STOPPED;
    case 'R':
    case 'D': /* reading pages back in, or held up by memory.high */
    case 'Z': /* zombie: observe.c will reap it and name the cause */
    case 'X':
    case 0:
        break;
    default: /* asleep: it should never be, except while we have not read its answer */
        if (!answers) return SLOT_LOOPS;
    }
    if (!rereads && cpu_ns - s->since_cpu_ns >= s->allowed_ns && cpu_ns > s->since_cpu_ns)
        return SLOT_LOOPS;
    return waited_ns / PATIENCE_FACTOR >= s->allowed_ns ? SLOT_STOPPED : SLOT_SLOW;
}
