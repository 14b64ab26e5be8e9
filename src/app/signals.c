/* signals: how the program is stopped. The two flags are the room's only mutable globals: a handler
 * has no other place to write to. */
#include "app.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

static atomic_int stop_wanted;
static atomic_int is_deferred;

static void on_stop(int number)
{
    (void)number;
    const int before = atomic_exchange(&stop_wanted, 1);
    if (!before && atomic_load(&is_deferred)) return;
    static const char words[] = "vecmill: stopped by a signal\n";
    struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT}; /* one that stalls misses it */
    const ssize_t unheard =
        poll(&reader, 1, 0) == 1 ? write(STDERR_FILENO, words, sizeof(words) - 1) : 0;
    (void)unheard;
    _exit(vecmill_status_exit(VECMILL_E_STOPPED));
}

void signals_init(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        struct sigaction old;
        /* nohup, and a shell's background job, have SIGHUP or SIGINT ignored: it stays so. */
        if (sigaction(stops[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        const struct sigaction action = {.sa_handler = on_stop};
        (void)sigaction(stops[i], &action, NULL);
    }
}

const atomic_int *signals_defer(void)
{
    atomic_store(&is_deferred, 1);
    return &stop_wanted;
}

bool signals_undefer(void)
{
    /* In this order: a signal before the store has set the flag, one after it ends the program. */
    atomic_store(&is_deferred, 0);
    return atomic_load(&stop_wanted) != 0;
}
