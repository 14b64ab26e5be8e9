/* eat: takes memory, as others in a memory group do.
 *
 *     eat MIB STEP_MIB HOLD_MS [EVENTS]
 *
 * Takes MIB MiB, STEP_MIB at a time with 10 ms between the steps, and touches every page. With EVENTS, a
 * memory.events of cgroup v2, it stops taking as soon as the kernel's OOM killer has struck there. Prints
 * the MiB taken, holds them for HOLD_MS, and ends. Exit 2: wrong usage, or no memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096u

static void wait_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* -1: cannot be read */
static long oom_kills(const char *events)
{
    char line[128];
    long kills = -1;
    FILE *file = fopen(events, "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "oom_kill ", 9) == 0) kills = strtol(line + 9, NULL, 10);
    fclose(file);
    return kills;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fputs("usage: eat MIB STEP_MIB HOLD_MS [EVENTS]\n", stderr);
        return 2;
    }
    const long most = strtol(argv[1], NULL, 10), step = strtol(argv[2], NULL, 10);
    const long hold_ms = strtol(argv[3], NULL, 10);
    const char *events = argc == 5 ? argv[4] : NULL;
    const long before = events ? oom_kills(events) : 0;
    long taken = 0;
    if (most < 0 || step < 1 || hold_ms < 0 || before < 0) return 2;
    while (taken < most && (!events || oom_kills(events) <= before)) {
        const size_t bytes = (size_t)(step < most - taken ? step : most - taken) << 20;
        volatile char *memory =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return 2;
        for (size_t at = 0; at < bytes; at += PAGE)
            memory[at] = 1;
        taken += (long)(bytes >> 20);
        wait_ms(10);
    }
    printf("%ld\n", taken);
    fflush(stdout);
    wait_ms(hold_ms);
    return 0;
}
