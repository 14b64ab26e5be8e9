/* needs: dep_host */
/* fuzz_host: the text files of /proc and /sys, as anyone may have written them.
 *
 * The first byte chooses: 's', the rest is an smaps, split a second time here the simple way, and must
 * give the same sums; 'u', it is both a status and a smaps_rollup; anything else, it is a tree: a line
 * "@x" begins the file that files[] has under x. Whatever a tree says, what is told of it must agree
 * with itself. The tree lies in a folder of its own that is removed at the end. */
#include "host/host.h"
#include "host/host_process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define OWN_V2 "/sys/fs/cgroup/unified/a/b/"
#define TOP_V2 "/sys/fs/cgroup/unified/a/"
#define OWN_V1 "/sys/fs/cgroup/memory/x/"
#define TOP_V1 "/sys/fs/cgroup/memory/"

static const char *const files[] = {
    "g/proc/self/cgroup",
    "i/proc/self/mountinfo",
    "m/proc/meminfo",
    "v/proc/vmstat",
    "p/proc/pressure/memory",
    "o/sys/devices/system/cpu/online",
    "h/sys/kernel/mm/transparent_hugepage/enabled",
    "A" OWN_V2 "memory.max",
    "B" OWN_V2 "memory.high",
    "C" OWN_V2 "memory.current",
    "D" OWN_V2 "memory.stat",
    "E" OWN_V2 "memory.pressure",
    "F" OWN_V2 "memory.events",
    "G" OWN_V2 "cpu.max",
    "H" TOP_V2 "memory.max",
    "I" TOP_V2 "memory.high",
    "J" TOP_V2 "memory.current",
    "K" TOP_V2 "memory.stat",
    "L" TOP_V2 "memory.oom.group",
    "M" OWN_V1 "memory.limit_in_bytes",
    "N" OWN_V1 "memory.usage_in_bytes",
    "O" OWN_V1 "memory.stat",
    "P" OWN_V1 "memory.oom_control",
    "Q" TOP_V1 "memory.limit_in_bytes",
    "R" TOP_V1 "memory.usage_in_bytes",
    "S" TOP_V1 "memory.stat",
    "T" TOP_V1 "memory.use_hierarchy",
};
enum { N_FILES = sizeof(files) / sizeof(files[0]) };

static char folder[32] = "/dev/shm/vecmill-fuzz-XXXXXX"; /* in memory: 1 s a replay, not 26 */

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

static void name_file(unsigned i, char path[256])
{
    snprintf(path, 256, "%s%s", folder, files[i] + 1);
}

/* Files first, then the folders above each, as far as they are empty. */
static void remove_tree(void)
{
    char path[256];
    for (unsigned i = 0; i < N_FILES; i++) {
        name_file(i, path);
        (void)unlink(path);
    }
    for (unsigned i = 0; i < N_FILES; i++) {
        char *slash;
        name_file(i, path);
        while ((slash = strrchr(path, '/')) && slash >= path + strlen(folder)) {
            *slash = '\0';
            if (rmdir(path) != 0) break;
        }
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    char path[256];
    if (!mkdtemp(folder)) {
        strcpy(folder, "/tmp/vecmill-fuzz-XXXXXX");
        must(mkdtemp(folder) != NULL);
    }
    for (unsigned i = 0; i < N_FILES; i++) {
        name_file(i, path);
        for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
            *slash = '\0';
            (void)mkdir(path, 0700);
            *slash = '/';
        }
    }
    must(atexit(remove_tree) == 0);
    return 0;
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    must(close(fd) == 0);
}

/* --- one process -------------------------------------------------------------------------------- */

struct sums {
    uint64_t n, anonymous, last_end;
};

static void on_map(void *context, const struct host_map *map)
{
    struct sums *sums = context;
    must(map->start < map->end && map->start >= sums->last_end);
    must(memchr(map->name, '\0', sizeof(map->name)) != NULL);
    must(map->kind <= HOST_MAP_KERNEL);
    sums->last_end = map->end;
    sums->anonymous += map->anonymous;
    sums->n++;
}

/* The same by lines: mappings are those that begin with no capital. A NUL is a space, and of a line
 * 8,192 bytes count. */
static struct sums split(const uint8_t *data, size_t size)
{
    struct sums sums = {0};
    uint64_t anonymous = 0; /* the last figure of a mapping counts */
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        must(end != NULL);
        const size_t n = (size_t)(end - data);
        if (data[0] < 'A' || data[0] > 'Z') {
            sums.anonymous += anonymous;
            anonymous = 0;
            sums.n++;
        } else if (n > 10 && memcmp(data, "Anonymous:", 10) == 0) {
            char line[8193];
            const size_t kept = num_min(n, sizeof(line) - 1);
            for (size_t i = 10; i < kept; i++)
                line[i - 10] = data[i] ? (char)data[i] : ' ';
            line[kept - 10] = '\0';
            const char *number = line + strspn(line, " \t");
            char *unit;
            anonymous = strtoull(number, &unit, 10);
            if (strncmp(unit, " kB", 3) == 0) anonymous *= 1024;
        }
        data = end + 1;
        size -= n + 1;
    }
    sums.anonymous += anonymous;
    return sums;
}

static void run_smaps(const uint8_t *data, size_t size)
{
    char path[256];
    struct sums sums = {0};
    snprintf(path, sizeof(path), "%s/proc/smaps", folder);
    write_file(path, data, size);
    if (host_process_smaps(path, on_map, &sums)) {
        const struct sums wanted = split(data, size);
        must(sums.n > 0 && sums.n == wanted.n && sums.anonymous == wanted.anonymous);
    }
    must(unlink(path) == 0);
}

static void run_use(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"status", "smaps_rollup"};
    char path[256];
    struct host_use use, again;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/proc/%s", folder, names[i]);
        write_file(path, data, size);
    }
    snprintf(path, sizeof(path), "%s/proc/", folder);
    const bool is_known = host_process_use(path, &use);
    must(is_known == host_process_use(path, &again));
    if (is_known) {
        must(use.anonymous == again.anonymous && use.exact == again.exact);
        must(use.exact || use.huge == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/proc/%s", folder, names[i]);
        must(unlink(path) == 0);
    }
}

/* --- a tree ------------------------------------------------------------------------------------- */

static void ask(void)
{
    struct host_facts facts;
    struct host_limit limit;
    struct host_memory memory;
    struct host_oom oom;
    uint64_t room, kills;
    double percent;
    host_memory_find(folder, &memory);
    host_oom_find(folder, &oom);
    must(memory.v1.n <= HOST_GROUPS_MAX && memory.v2.n <= HOST_GROUPS_MAX);
    if (oom.path[0]) must(host_oom_kills(&oom, &kills));
    if (host_memory_pressure(&memory, &percent)) must(percent >= 0 && percent <= 100);
    const bool is_known = host_memory_room(&memory, &room);
    if (host_describe(folder, &facts, NULL) != VECMILL_OK) {
        must(!is_known);
        return;
    }
    must(facts.cpus_quota >= 0 && host_cpus(&facts) >= 1);
    must(memchr(facts.memory_limit_source, '\0', sizeof(facts.memory_limit_source)) != NULL);
    must((facts.memory_limit == HOST_UNKNOWN) == (strcmp(facts.memory_limit_source, "none") == 0));
    host_limit(&facts, 1u << 30, &limit);
    must(limit.bytes <= 1u << 30 && limit.bytes <= facts.memory_limit);
    must(limit.bytes <= facts.memory_available && limit.source[0] != '\0');
    if (!is_known) return;
    must(room <= facts.memory_available);
    must(memory.n_left_out > 0 || room <= facts.memory_limit);
}

static void run_tree(const uint8_t *data, size_t size)
{
    char path[256];
    const uint8_t *at = data, *const end = data + size;
    bool is_there[N_FILES] = {false};
    while (at < end) {
        /* to the next line that begins a file */
        const uint8_t *next = at;
        do {
            next = memchr(next, '\n', (size_t)(end - next));
            if (next) next++;
        } while (next && next < end && *next != '@');
        if (!next) next = end;
        const size_t n = (size_t)(next - at);
        for (unsigned i = 0; i < N_FILES && n >= 3; i++) {
            if (at[0] != '@' || at[1] != (uint8_t)files[i][0] || at[2] != '\n') continue;
            name_file(i, path);
            write_file(path, at + 3, n - 3);
            is_there[i] = true;
        }
        at = next;
    }
    ask();
    for (unsigned i = 0; i < N_FILES; i++) {
        name_file(i, path);
        if (is_there[i]) must(unlink(path) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (data[0] == 's')
        run_smaps(data + 1, size - 1);
    else if (data[0] == 'u')
        run_use(data + 1, size - 1);
    else
        run_tree(data, size);
    return 0;
}
