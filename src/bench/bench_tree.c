/* bench_tree: what this process and its workers hold and use, read from /proc and from their clocks. A
 * worker counts from when it is ready until its end was seen. */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BENCH_SAMPLE_NS 20000000
#define STATUS_FILE_MAX 8192u /* bytes read of /proc/PID/status; it is below 2,000 */

/* False when the process is gone. */
static bool read_status(int64_t pid, char text[STATUS_FILE_MAX])
{
    char path[48];
    size_t got = 0;
    (void)snprintf(path, sizeof(path), "/proc/%lld/status", (long long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const vecmill_status status =
        io_read(fd, text, STATUS_FILE_MAX - 1, &got, path, VECMILL_E_IO, NULL);
    (void)close(fd);
    text[got] = 0;
    return status == VECMILL_OK;
}

/* "RssAnon" in bytes; 0 where there is no such line, as in a process that has ended. */
static uint64_t figure(const char *text, const char *name)
{
    const size_t name_bytes = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_bytes) == 0 && line[name_bytes] == ':')
            return strtoull(line + name_bytes + 1, NULL, 10) * 1024u;
    }
    return 0;
}

static void sample_memory(struct bench_tree *t)
{
    char text[STATUS_FILE_MAX];
    uint64_t sum = 0, most_file = 0;
    (void)pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; i <= t->workers.n_live; i++) {
        if (!read_status(i == 0 ? getpid() : t->workers.live[i - 1], text)) continue;
        sum += figure(text, "RssAnon") + figure(text, "RssShmem");
        const uint64_t file = figure(text, "RssFile");
        if (file > most_file) most_file = file;
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (sum > t->memory_bytes) t->memory_bytes = sum;
    if (most_file > t->file_bytes) t->file_bytes = most_file;
}

static void *run_sampler(void *context)
{
    struct bench_tree *t = context;
    while (!atomic_load(&t->is_over)) {
        sample_memory(t);
        const struct timespec pause = {.tv_nsec = BENCH_SAMPLE_NS};
        (void)nanosleep(&pause, NULL);
    }
    sample_memory(t);
    return NULL;
}

vecmill_status bench_tree_open(struct bench_tree *t, vecmill_err *err)
{
    *t = (struct bench_tree){.memory_bytes = 0};
    (void)pthread_mutex_init(&t->lock, NULL);
    const int e = pthread_create(&t->sampler, NULL, run_sampler, t);
    if (e == 0) return VECMILL_OK;
    (void)pthread_mutex_destroy(&t->lock);
    return err_sys(err, VECMILL_E_MEMORY, e, "a thread to watch memory cannot be started");
}

void bench_tree_close(struct bench_tree *t)
{
    atomic_store(&t->is_over, true);
    (void)pthread_join(t->sampler, NULL);
    (void)pthread_mutex_destroy(&t->lock);
}

void bench_tree_event(void *context, const vecmill_event *event)
{
    struct bench_tree *t = context;
    char words[WORKERS_WORDS_MAX]; /* the report says how many died */
    (void)pthread_mutex_lock(&t->lock);
    (void)workers_note(&t->workers, event, words);
    (void)pthread_mutex_unlock(&t->lock);
}

uint64_t bench_tree_deaths(struct bench_tree *t)
{
    (void)pthread_mutex_lock(&t->lock);
    const uint64_t n = workers_sum(t->workers.deaths);
    (void)pthread_mutex_unlock(&t->lock);
    return n;
}

static uint64_t clock_of(clockid_t clock)
{
    struct timespec now = {0};
    if (clock_gettime(clock, &now) != 0) return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_tree_cpu_ns(struct bench_tree *t)
{
    uint64_t sum = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    (void)pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; i < t->workers.n_live; i++) {
        clockid_t clock;
        if (clock_getcpuclockid((pid_t)t->workers.live[i], &clock) == 0) sum += clock_of(clock);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return sum;
}
