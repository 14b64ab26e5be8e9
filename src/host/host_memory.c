/* host_memory: how much more memory there is, and whether tasks wait for it.
 *
 * Everything is read anew each time, limits too: they may be lowered while a job runs. A group's
 * usage is counted without its file cache and reclaimable slab, which the kernel drops before it
 * kills; what it can only swap or write back is counted. Sources: Linux
 * Documentation/admin-guide/cgroup-v2.rst ("Memory Interface Files"), cgroup-v1/memory.rst ("stat
 * file"), accounting/psi.rst. */
#include "host.h"

#include "cgroup.h"
#include "figures.h"
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The files that set a group's limits, by version. */
static const char *const limit_files[3][2] = {
    [1] = {"memory.limit_in_bytes", NULL}, [2] = {"memory.max", "memory.high"}};

/* ---- finding ---- */

/* The smallest limit of one group now. */
static uint64_t limit_now(struct tree *t, const char *folder, int version)
{
    uint64_t smallest = HOST_UNKNOWN, value;
    for (unsigned i = 0; i < 2 && limit_files[version][i]; i++) {
        if (tree_read_number(t, folder, limit_files[version][i], &value) && value < smallest)
            smallest = value;
    }
    return smallest;
}

static void find_groups(struct tree *t, const struct cgroup *group, struct host_groups *groups,
                        unsigned *n_left_out)
{
    char folder[IO_PATH_MAX];
    uint64_t limits[HOST_GROUPS_MAX] = {0};
    const size_t root_bytes = strlen(t->root);
    groups->n = 0;
    groups->folder[0] = '\0';
    if (!group->found || !cgroup_folder(group, 0, folder)) return;
    const bool fits = tree_path(groups->folder, t->root, folder, "");
    for (unsigned up = 0; cgroup_folder(group, up, folder); up++) {
        if (up > 0 && group->version == 1 && !cgroup_binds_below(t, folder)) break;
        const uint64_t limit = limit_now(t, folder, group->version);
        unsigned place_of = groups->n;
        if (!fits || groups->n == HOST_GROUPS_MAX) {
            (*n_left_out)++;
            place_of = 0; /* the farthest of those with the largest limit is replaced */
            for (unsigned i = 1; i < groups->n; i++) {
                if (limits[i] >= limits[place_of]) place_of = i;
            }
            if (!fits || limit >= limits[place_of]) continue;
        } else {
            groups->n++;
        }
        /* Sorted, nearest first, which the comparison above relies on. */
        for (; place_of + 1 < groups->n; place_of++) {
            limits[place_of] = limits[place_of + 1];
            groups->length[place_of] = groups->length[place_of + 1];
        }
        limits[place_of] = limit;
        groups->length[place_of] = (uint16_t)(root_bytes + strlen(folder));
    }
}

void host_memory_find(const char *root, struct host_memory *memory)
{
    struct tree t;
    struct cgroup group;
    char folder[IO_PATH_MAX];
    double percent;
    tree_init(&t, root);
    memory->n_left_out = 0;
    (void)tree_path(memory->meminfo, root, "/proc/meminfo", "");

    cgroup_find(&t, "memory", &group);
    find_groups(&t, &group, &memory->v1, &memory->n_left_out);
    cgroup_find(&t, NULL, &group);
    find_groups(&t, &group, &memory->v2, &memory->n_left_out);
    if (!group.found || !cgroup_folder(&group, 0, folder) ||
        !tree_path(memory->pressure, root, folder, "memory.pressure") ||
        !host_memory_pressure(memory, &percent)) {
        (void)tree_path(memory->pressure, root, "/proc/pressure/memory", "");
    }
    tree_done(&t);
}

/* ---- room ---- */

/* The first line of a file that should hold one number. */
enum said { SAID_NOTHING, SAID_MAX, SAID_NUMBER, SAID_RUBBISH };

static enum said read_number(const char *path, uint64_t *value)
{
    struct lines l;
    if (!lines_open(&l, path))
        return errno == ENOENT || errno == ENOTDIR ? SAID_NOTHING : SAID_RUBBISH;
    errno = 0;
    const char *line = lines_next(&l);
    enum said said = SAID_RUBBISH;
    if (!line && l.failed && errno == ENODEV) said = SAID_NOTHING; /* the group is being removed */
    if (line && !l.failed && tree_number(line, value)) said = SAID_NUMBER;
    if (line && strncmp(line, "max", 3) == 0 && strspn(line + 3, " \t\r") == strlen(line + 3))
        said = SAID_MAX;
    lines_close(&l);
    return said;
}

/* a + b, or UINT64_MAX. */
static uint64_t add_most(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* Lowers *room to that of the group of this folder; false: unknown. */
static bool take_group(const char *folder, size_t bytes, int version, bool is_own, uint64_t *room)
{
    char path[IO_PATH_MAX + 32]; /* no file of a group has a longer name */
    uint64_t limit = UINT64_MAX, value, usage;
    struct figure stat[] = {{.key = version == 1 ? "total_active_file " : "active_file "},
                            {.key = version == 1 ? "total_inactive_file " : "inactive_file "},
                            {.key = "slab_reclaimable "},
                            {.key = "hierarchical_memory_limit "}};
    memcpy(path, folder, bytes);
    char *name = path + bytes;
    const size_t name_bytes = sizeof path - bytes;
    for (unsigned i = 0; i < 2 && limit_files[version][i]; i++) {
        snprintf(name, name_bytes, "%s", limit_files[version][i]);
        const enum said said = read_number(path, &value);
        if (said == SAID_RUBBISH) return false;
        if (said == SAID_NUMBER && value < CGROUP_NO_LIMIT && value < limit) limit = value;
    }
    const bool tells_of_hidden = version == 1 && is_own;
    if (limit == UINT64_MAX && !tells_of_hidden) return true;

    snprintf(name, name_bytes, "memory.stat");
    /* Without it nothing counts as cache */
    (void)figures_read(path, stat, sizeof stat / sizeof stat[0]);
    if (tells_of_hidden && stat[3].found && stat[3].value < CGROUP_NO_LIMIT &&
        stat[3].value < limit)
        limit = stat[3].value;
    if (limit == UINT64_MAX) return true;

    snprintf(name, name_bytes, "%s", version == 1 ? "memory.usage_in_bytes" : "memory.current");
    if (read_number(path, &usage) != SAID_NUMBER) return false;
    uint64_t cache = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (stat[i].found) cache = add_most(cache, stat[i].value);
    }
    const uint64_t used = usage > cache ? usage - cache : 0;
    const uint64_t left = limit > used ? limit - used : 0;
    if (left < *room) *room = left;
    return true;
}

static bool take_groups(const struct host_groups *groups, int version, uint64_t *room)
{
    const size_t own = strlen(groups->folder);
    for (unsigned i = 0; i < groups->n; i++) {
        const size_t bytes = groups->length[i];
        if (!take_group(groups->folder, bytes, version, bytes == own, room)) return false;
    }
    return true;
}

bool host_memory_room(const struct host_memory *memory, uint64_t *bytes)
{
    struct figure available = {.key = "MemAvailable:"};
    uint64_t room = UINT64_MAX;
    if (figures_read(memory->meminfo, &available, 1) && available.found) room = available.value;
    if (!take_groups(&memory->v2, 2, &room) || !take_groups(&memory->v1, 1, &room)) return false;
    if (room == UINT64_MAX) return false;
    *bytes = room;
    return true;
}

/* ---- pressure ---- */

/* "12.34", in any locale; at most 100. */
static bool take_percent(const char *text, double *percent)
{
    const size_t whole = strspn(text, "0123456789");
    if (whole == 0 || whole > 3) return false;
    double value = 0;
    for (size_t i = 0; i < whole; i++)
        value = value * 10 + (text[i] - '0');
    text += whole;
    if (*text == '.') {
        double part = 0.1;
        if (strspn(text + 1, "0123456789") == 0) return false;
        for (text++; *text >= '0' && *text <= '9'; text++) {
            value += part * (*text - '0');
            part /= 10;
        }
    }
    if ((*text != '\0' && !strchr(" \t\r", *text)) || value > 100) return false;
    *percent = value;
    return true;
}

bool host_memory_pressure(const struct host_memory *memory, double *percent)
{
    static const char key[] = "some avg10=";
    struct lines l;
    if (!lines_open(&l, memory->pressure)) return false;
    const char *line = lines_next(&l);
    const bool is_known = line && !l.failed && strncmp(line, key, sizeof key - 1) == 0 &&
                          take_percent(line + sizeof key - 1, percent);
    lines_close(&l);
    return is_known;
}
