/* supply: work for workers, and workers for work. */
#include "inner.h"

#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Leases get smaller while workers die without a commit between: a storm of kills lets small ones
 * through. 250 ms shrink to 2 ms. */
#define SHRINK_MOST 7u

/* Near the end, what is left is shared out; below this, sharing costs more than it gains. */
#define SHARE_LEAST_NS (20u * CREW_MS)

/* Nothing new is begun in a crew that is held, failed or closing. */
static bool begins_work(const struct crew *crew)
{
    return crew->failure == VECMILL_OK && !crew->held && !crew->closing;
}

bool supply_wants_worker(const struct crew *crew, uint32_t n_alive)
{
    return begins_work(crew) &&
           (n_alive < crew->options.start_workers || ledger_has_work(&crew->ledger));
}

/* Descriptor `fd` as one above those that a worker's are put at, and above the standard ones, which a
 * host may have closed and still write to; closes fd. -1 and errno. */
int supply_lift(int fd)
{
    const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, CREW_SOCKET + 1);
    const int error = errno;
    close(fd);
    errno = error;
    return lifted;
}

static vecmill_status start(struct crew *crew, struct place *p, vecmill_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return err_sys(err, VECMILL_E_WORKERS, errno, "no socket for a worker");
    const int ours = supply_lift(ends[0]), theirs = supply_lift(ends[1]);
    vecmill_status status = ours < 0 || theirs < 0
                                ? err_sys(err, VECMILL_E_WORKERS, errno, "no socket for a worker")
                                : process_start(crew->options.program, crew->options.argv, theirs,
                                                crew->null, crew->stack, &p->process, err);
    if (theirs >= 0) close(theirs);
    if (status != VECMILL_OK) {
        if (ours >= 0) close(ours);
        return status;
    }
    p->socket = ours;
    p->pid = p->process.pid;
    p->generation = p->expected.generation = ++crew->generations;
    return VECMILL_OK;
}

void supply_workers(struct crew *crew, uint64_t now_ns)
{
    uint32_t alive = crew_n_alive(crew);
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct place *p = &crew->places[i];
        if (!supply_wants_worker(crew, alive)) return;
        if (p->state != AT_VACANT || now_ns < p->due_ns) continue;
        vecmill_err err;
        if (start(crew, p, &err) == VECMILL_OK) {
            act_on(crew, p, ON_STARTED);
            alive++;
        } else {
            crew->refusal = err;
            act_on(crew, p, ON_NOT_STARTED);
            return; /* the next would fail as well: another round */
        }
    }
}

/* Real time as estimated work, what planned_ns undoes; at least 1. */
static uint64_t cost_in(const struct crew *crew, uint64_t real_ns)
{
    if (crew->cost_ns == 0) return real_ns;
    const double scale = (double)crew->cost_ns / (double)(crew->took_ns + 1);
    return 1 + crew_ns((double)real_ns * scale);
}

static void measure_lease(struct crew *crew)
{
    const unsigned shrink = (unsigned)num_min(crew->deaths_in_row, SHRINK_MOST);
    uint64_t real_ns = crew->options.lease_ns >> shrink;
    if (crew->cost_ns == 0)
        real_ns /= 8; /* a first guess may be wrong: it shall not cost seconds */
    crew->whole_lease_ns = cost_in(crew, real_ns);
}

/* Estimated work of the next lease: a whole one, or near the end a share of what is left. */
static uint64_t lease_budget(const struct crew *crew)
{
    const uint64_t share_ns = crew->ledger.fresh_cost_ns / crew->options.workers;
    return num_min(crew->whole_lease_ns, num_max(share_ns, cost_in(crew, SHARE_LEAST_NS)));
}

void supply_leases(struct crew *crew)
{
    measure_lease(crew);
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        struct place *p = &crew->places[i];
        if (!begins_work(crew)) return;
        if (p->state != AT_IDLE) continue;
        if (!ledger_lease(&crew->ledger, lease_budget(crew), &p->lease)) return;
        act_on(crew, p, ON_LEASE);
    }
}
