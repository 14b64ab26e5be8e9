/* test_clock: see test_clock.h. */
#include "test_clock.h"

#include "base/base.h"

#include <time.h>

#define MS_NS 1000000u

/* Not 0, which means "none" in some structs */
static uint64_t passed_ns = 3600000 * (uint64_t)MS_NS;
static unsigned times_slower = 1;
static bool is_real;

bool (*test_on_poll)(const struct pollfd *fds, nfds_t n, int ms);

uint64_t __real_clock_ns(void);
uint64_t __wrap_clock_ns(void);
uint64_t __wrap_clock_ns(void)
{
    return is_real ? __real_clock_ns() : passed_ns;
}

int __real_poll(struct pollfd *fds, nfds_t n, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
    if (test_on_poll && test_on_poll(fds, n, ms)) return -1;
    const uint64_t from_ns = __real_clock_ns();
    const int ready = __real_poll(fds, n, ms);
    const uint64_t waited_ns = __real_clock_ns() - from_ns, most_ns = (uint64_t)ms * MS_NS;
    /* Woken late, it has not waited longer than it asked to. */
    passed_ns += (ms >= 0 && waited_ns > most_ns ? most_ns : waited_ns) / times_slower;
    return ready;
}

int __real_nanosleep(const struct timespec *asked, struct timespec *left);
int __wrap_nanosleep(const struct timespec *asked, struct timespec *left);
int __wrap_nanosleep(const struct timespec *asked, struct timespec *left)
{
    passed_ns += (uint64_t)asked->tv_sec * 1000 * MS_NS + (uint64_t)asked->tv_nsec;
    return __real_nanosleep(asked, left);
}

uint64_t test_clock_ms(void)
{
    return __wrap_clock_ns() / MS_NS;
}

void test_clock_pass_ms(uint64_t ms)
{
    passed_ns += ms * MS_NS;
}

void test_clock_slow(unsigned times)
{
    times_slower = times;
}

void test_clock_real(void)
{
    is_real = true;
}

bool test_is_quiet(const struct pollfd *fd)
{
    struct pollfd copy = *fd;
    return __real_poll(&copy, 1, 0) == 0;
}
