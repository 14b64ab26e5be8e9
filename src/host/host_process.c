/* host_process: /proc/PID/status, smaps_rollup and smaps.
 *
 * smaps_rollup walks the page tables, so it counts exactly. The Rss lines of status are counters of
 * which each processor keeps a part (they lag by 32 pages or so); they are all there is on a kernel
 * before 4.14, or one that does not let us look. Sources: Linux Documentation/filesystems/proc.rst,
 * fs/proc/task_mmu.c. */
#include "host_process.h"

#include "figures.h"

#include <stdio.h>
#include <string.h>

#define FOLDER_BYTES 32u /* "/proc/4294967295/" */

static void name_folder(pid_t pid, char folder[FOLDER_BYTES])
{
    if (pid == 0)
        snprintf(folder, FOLDER_BYTES, "/proc/self/");
    else
        snprintf(folder, FOLDER_BYTES, "/proc/%ld/", (long)pid);
}

/* ---- sums ---- */

bool host_process_use(const char *folder, struct host_use *use)
{
    enum { ANON, SHMEM, RSS_FILE, SWAP, PTE, STACK, DATA, SIZE, N };
    struct figure status[N] = {
        [ANON] = {.key = "RssAnon:"},     [SHMEM] = {.key = "RssShmem:"},
        [RSS_FILE] = {.key = "RssFile:"}, [SWAP] = {.key = "VmSwap:"},
        [PTE] = {.key = "VmPTE:"},        [STACK] = {.key = "VmStk:"},
        [DATA] = {.key = "VmData:"},      [SIZE] = {.key = "VmSize:"},
    };
    struct figure rollup[] = {{.key = "Anonymous:"}, {.key = "AnonHugePages:"}};
    char path[IO_PATH_MAX];
    if (snprintf(path, sizeof path, "%sstatus", folder) >= (int)sizeof path) return false;
    if (!figures_read(path, status, N)) return false;
    for (unsigned i = 0; i < N; i++) {
        if (!status[i].found) return false;
    }
    struct host_use u = {.anonymous = status[ANON].value,
                         .shared = status[SHMEM].value,
                         .file = status[RSS_FILE].value,
                         .swapped = status[SWAP].value,
                         .page_tables = status[PTE].value,
                         .stack = status[STACK].value,
                         .data = status[DATA].value,
                         .address_space = status[SIZE].value};
    if (snprintf(path, sizeof path, "%ssmaps_rollup", folder) < (int)sizeof path &&
        figures_read(path, rollup, 2) && rollup[0].found) {
        u.exact = true;
        u.anonymous = rollup[0].value;
        if (rollup[1].found) u.huge = rollup[1].value;
    }
    *use = u;
    return true;
}

bool host_process_memory(pid_t pid, struct host_use *use)
{
    char folder[FOLDER_BYTES];
    name_folder(pid, folder);
    return host_process_use(folder, use);
}

/* ---- mappings ---- */

/* A hexadecimal number in lower case, and the character after it. */
static bool take_hex(const char **text, char end, uint64_t *value)
{
    const char *p = *text;
    uint64_t number = 0;
    for (; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++) {
        if (p - *text == 16) return false;
        number = number << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }
    if (p == *text || *p != end) return false;
    *text = p + 1;
    *value = number;
    return true;
}

static enum host_map_kind kind_of(const char *name)
{
    if (*name == '\0' || strncmp(name, "[anon", 5) == 0) return HOST_MAP_ANONYMOUS;
    if (strcmp(name, "[heap]") == 0) return HOST_MAP_HEAP;
    if (strncmp(name, "[stack", 6) == 0) return HOST_MAP_STACK; /* "[stack:7]" before Linux 4.5 */
    return *name == '[' ? HOST_MAP_KERNEL : HOST_MAP_FILE;
}

/* A mapping's first line: `start-end rwxp offset major:minor inode   name`. */
static bool take_head(const char *line, struct host_map *map)
{
    static const char letters[] = "rwx";
    bool allowed[3];
    uint64_t ignored;
    *map = (struct host_map){0};
    if (!take_hex(&line, '-', &map->start) || !take_hex(&line, ' ', &map->end)) return false;
    for (unsigned i = 0; i < 3; i++, line++) {
        if (*line != letters[i] && *line != '-') return false;
        allowed[i] = *line == letters[i];
    }
    map->read = allowed[0];
    map->write = allowed[1];
    map->execute = allowed[2];
    map->shared = *line == 's';
    if (!(*line == 's' || *line == 'p') || line[1] != ' ') return false;
    line += 2;
    if (!take_hex(&line, ' ', &ignored) || !take_hex(&line, ':', &ignored) ||
        !take_hex(&line, ' ', &ignored))
        return false;
    const size_t inode = strspn(line, "0123456789");
    if (inode == 0 || (line[inode] != ' ' && line[inode] != '\0')) return false;
    line += inode;
    line += strspn(line, " ");
    map->kind = kind_of(line);
    snprintf(map->name, sizeof map->name, "%s", line);
    return map->start < map->end;
}

bool host_process_smaps(const char *path, void (*each)(void *context, const struct host_map *map),
                        void *context)
{
    enum { RSS, ANONYMOUS, HUGE_PAGES, SWAP, N };
    static const char *const keys[N] = {"Rss:", "Anonymous:", "AnonHugePages:", "Swap:"};
    struct lines l;
    struct host_map map = {0};
    uint64_t values[N], last_end = 0;
    /* One bit for each figure of the mapping */
    unsigned seen = 0;
    const unsigned needed = 1u << RSS | 1u << ANONYMOUS; /* old kernels lack the others */
    bool is_open = false, is_sound = true;
    if (!lines_open(&l, path)) return false;
    while (is_sound) {
        const char *line = lines_next(&l);
        if (!line || *line < 'A' || *line > 'Z') { /* the previous mapping ends here */
            if (l.failed || (!line && l.torn)) break;
            if (is_open) {
                is_sound = (seen & needed) == needed;
                if (!is_sound) break;
                map.resident = values[RSS];
                map.anonymous = values[ANONYMOUS];
                if (seen & 1u << HUGE_PAGES) map.huge = values[HUGE_PAGES];
                if (seen & 1u << SWAP) map.swapped = values[SWAP];
                each(context, &map);
                last_end = map.end;
            }
            if (!line) break;
            is_open = is_sound = take_head(line, &map) && map.start >= last_end;
            seen = 0;
            continue;
        }
        is_sound = is_open && strchr(line, ':') != NULL;
        for (unsigned i = 0; i < N && is_sound; i++) {
            const size_t key = strlen(keys[i]);
            if (strncmp(line, keys[i], key) != 0) continue;
            is_sound = figures_number(line + key, &values[i]);
            seen |= 1u << i;
        }
    }
    lines_close(&l);
    return is_sound && is_open && !l.failed && !l.torn;
}

bool host_process_maps(pid_t pid, void (*each)(void *context, const struct host_map *map),
                       void *context)
{
    char path[FOLDER_BYTES + sizeof "smaps"];
    name_folder(pid, path);
    memcpy(path + strlen(path), "smaps", sizeof "smaps");
    return host_process_smaps(path, each, context);
}
