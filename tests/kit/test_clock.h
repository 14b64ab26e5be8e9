/* test_clock: the time that a test's program sees. It passes while the program waits, in poll or nanosleep,
 * and by what the test says. However slow the machine is, and wherever it stops the program, no deadline
 * passes but one that was waited for.
 *
 * Linked with --wrap=clock_ns, --wrap=poll and --wrap=nanosleep. For programs with one thread. */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* What clock_ns says, in milliseconds. */
uint64_t test_clock_ms(void);

/* As if `ms` had passed: by a pause of this process, or by work. */
void test_clock_pass_ms(uint64_t ms);

/* From now on time passes `times` times slower than the program waits. */
void test_clock_slow(unsigned times);

/* From now on it is the machine's own: for a process that is really stopped. */
void test_clock_real(void);

/* Called before each poll; true: it fails, with errno. NULL: none. */
extern bool (*test_on_poll)(const struct pollfd *fds, nfds_t n, int ms);

/* Whether a poll of this one descriptor would wait. */
bool test_is_quiet(const struct pollfd *fd);

#endif
