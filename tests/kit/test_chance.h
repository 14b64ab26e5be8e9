/* test_chance: what a test leaves to chance, and what it inherits from the process that starts it.
 *
 * A seed decides everything that is random, and is printed. It is a constant, so that a run is like
 * the last one; in the long form (VECMILL_TEST_LONG is set, and not empty) it is new each time.
 * VECMILL_TEST_SEED takes precedence over both. */
#ifndef TEST_CHANCE_H
#define TEST_CHANCE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* A limit for what ends only where something hangs: no measure of how fast the machine is. */
#define TEST_HANG_MS 300000u

static inline bool test_is_long(void)
{
    const char *text = getenv("VECMILL_TEST_LONG");
    return text && *text;
}

/* Never 0. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("VECMILL_TEST_SEED");
    uint64_t seed = 20261130;
    if (text && *text)
        seed = strtoull(text, NULL, 10);
    else if (test_is_long() && getrandom(&seed, 4, 0) != 4)
        abort();
    if (seed == 0) seed = 1;
    printf("VECMILL_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

/* Signals as a program at a terminal has them: the process that starts a test may ignore SIGHUP
 * (nohup) or SIGCHLD, or block any. */
static inline void test_default_signals(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGCHLD};
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        (void)signal(signals[i], SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

#endif
