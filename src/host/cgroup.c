/* cgroup: finds our own group in each hierarchy and takes the smallest limit from there upwards;
 * finds the file that counts OOM kills.
 *
 * A limit of any ancestor binds like our own, so the walk goes to the top of what is mounted. What
 * a namespace or a container hides cannot be seen (v1's hierarchical_memory_limit includes it all
 * the same). A group whose folder the mount does not show has no known limits: the top of a mount
 * is then some other group. Sources: Linux Documentation/admin-guide/cgroup-v2.rst ("Memory
 * Interface Files", "CPU Interface Files"), cgroup-v1/memory.rst, scheduler/sched-bwc.rst,
 * cgroups(7), proc(5). */
#include "cgroup.h"

#include "figures.h"

#include <stdio.h>
#include <string.h>

/* ---- finding our own group ---- */

/* Whether `list`, separated by commas, has `word`. */
static bool list_has(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',')) {
        if (*p == ',') p++;
        if (strncmp(p, word, n) == 0 && (p[n] == '\0' || p[n] == ',')) return true;
    }
    return false;
}

/* False, and nothing copied, when it does not fit. */
static bool copy_path(char to[IO_PATH_MAX], const char *path)
{
    const size_t bytes = strlen(path) + 1;
    if (bytes > IO_PATH_MAX) return false;
    memcpy(to, path, bytes);
    return true;
}

/* Our own group's path in the hierarchy of a controller (NULL: version 2), from /proc/self/cgroup,
 * whose lines are `number:controllers:path`. */
static bool own_path(struct tree *t, const char *controller, char path[IO_PATH_MAX])
{
    if (!tree_read(t, "/proc/self/cgroup", "")) return false;
    char *rest = t->file.data, *line;
    while ((line = tree_next(&rest, '\n'))) {
        char *fields = line;
        const char *number = tree_next(&fields, ':');
        const char *controllers = tree_next(&fields, ':');
        if (!controllers || !fields || fields[0] != '/') continue;
        const bool wanted = controller ? list_has(controllers, controller)
                                       : strcmp(number, "0") == 0 && !*controllers;
        if (wanted) return copy_path(path, fields);
    }
    return false;
}

/* mountinfo writes white space and backslashes as \ooo. In place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
            p[3] >= '0' && p[3] <= '7') {
            *to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
            p += 3;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
}

/* The rest of path below top ("/a/b" below "/a" is "/b"), or NULL when it is not below. */
static const char *below(const char *path, const char *top)
{
    const size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(path, top, n) != 0) return NULL;
    if (path[n] == '\0' || strcmp(path + n, "/") == 0) return "";
    return path[n] == '/' ? path + n : NULL;
}

/* Among the mounts, lines `id parent dev root mountpoint options [tags...] - fstype source
 * superoptions`. Where several show the group, the one with the shortest root shows the most
 * ancestors. */
void cgroup_find(struct tree *t, const char *controller, struct cgroup *group)
{
    char path[IO_PATH_MAX];
    size_t shortest = SIZE_MAX;
    *group = (struct cgroup){.version = controller ? 1 : 2};
    if (!own_path(t, controller, path) || strstr(path, "/..")) return;
    if (!tree_read(t, "/proc/self/mountinfo", "")) return;
    char *rest = t->file.data, *line;
    while ((line = tree_next(&rest, '\n'))) {
        char *tail = strstr(line, " - ");
        if (!tail) continue;
        *tail = '\0';
        tail += 3;
        const char *fstype = tree_next(&tail, ' ');
        tree_next(&tail, ' ');
        if (!tail) continue;
        if (strcmp(fstype, controller ? "cgroup" : "cgroup2") != 0) continue;
        if (controller && !list_has(tail, controller)) continue;

        char *fields = line;
        for (int i = 0; i < 3; i++)
            tree_next(&fields, ' ');
        char *top = tree_next(&fields, ' '), *mount = tree_next(&fields, ' ');
        if (!top || !mount) continue;
        unescape(top);
        unescape(mount);
        const char *path_below = below(path, top);
        if (!path_below || strlen(top) >= shortest || !copy_path(group->mount, mount)) continue;
        shortest = strlen(top);
        group->found = copy_path(group->path, path_below);
    }
}

/* ---- walking up ---- */

bool cgroup_folder(const struct cgroup *group, unsigned up, char folder[IO_PATH_MAX])
{
    size_t n = strlen(group->path);
    while (n > 0 && group->path[n - 1] == '/')
        n--;
    for (; up > 0; up--) {
        if (n == 0) return false;
        while (n > 0 && group->path[n - 1] != '/')
            n--;
        while (n > 0 && group->path[n - 1] == '/')
            n--;
    }
    const int length = snprintf(folder, IO_PATH_MAX, "%s%.*s/", group->mount, (int)n, group->path);
    return length > 0 && length < IO_PATH_MAX;
}

/* Takes a memory limit that is smaller than the one known. */
static void take_limit(struct host_facts *facts, uint64_t limit, int version, const char *file,
                       unsigned up)
{
    if (limit >= facts->memory_limit) return;
    char where[24] = "";
    if (up > 0) snprintf(where, sizeof where, ", %u up", up);
    facts->memory_limit = limit;
    snprintf(facts->memory_limit_source, sizeof facts->memory_limit_source, "cgroup v%d %s%s",
             version, file, where);
}

static void walk_memory_v2(struct tree *t, const struct cgroup *group, struct host_facts *facts)
{
    static const char *const files[] = {"memory.max", "memory.high"};
    char folder[IO_PATH_MAX];
    uint64_t value;
    for (unsigned up = 0; cgroup_folder(group, up, folder); up++) {
        for (unsigned i = 0; i < 2; i++) {
            if (!tree_read(t, folder, files[i])) continue;
            facts->cgroup_version = 2;
            /* "max" is not a number, and means no limit */
            if (tree_number(t->file.data, &value) && value < CGROUP_NO_LIMIT)
                take_limit(facts, value, 2, files[i], up);
        }
        if (tree_read_number(t, folder, "memory.oom.group", &value) && value == 1) {
            facts->oom_group = true;
        }
        if (!tree_read(t, folder, "cgroup.controllers")) continue;
        char *rest = t->file.data, *name;
        while ((name = tree_next(&rest, ' '))) {
            if (strncmp(name, "memory", 6) == 0 && (name[6] == '\0' || name[6] == '\n')) {
                facts->cgroup_version = 2;
            }
        }
    }
}

/* Before Linux 5.11 a v1 group binds those below only if use_hierarchy is set. */
bool cgroup_binds_below(struct tree *t, const char *folder)
{
    uint64_t value;
    return !tree_read_number(t, folder, "memory.use_hierarchy", &value) || value != 0;
}

static void walk_memory_v1(struct tree *t, const struct cgroup *group, struct host_facts *facts)
{
    char folder[IO_PATH_MAX];
    uint64_t value;
    for (unsigned up = 0; cgroup_folder(group, up, folder); up++) {
        if (up > 0 && !cgroup_binds_below(t, folder)) break;
        if (tree_read_number(t, folder, "memory.limit_in_bytes", &value)) {
            facts->cgroup_version = 1;
            if (value < CGROUP_NO_LIMIT) take_limit(facts, value, 1, "memory.limit_in_bytes", up);
        }
        struct figure above = {.key = "hierarchical_memory_limit "};
        char path[IO_PATH_MAX];
        if (up == 0 && tree_path(path, t->root, folder, "memory.stat") &&
            figures_read(path, &above, 1) && above.found && above.value < CGROUP_NO_LIMIT)
            take_limit(facts, above.value, 1, "hierarchical_memory_limit", 0);
    }
}

/* quota microseconds in every `period`: this many cores at once. */
static void take_quota(struct host_facts *facts, uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0) return;
    const double cores = (double)quota / (double)period;
    if (facts->cpus_quota == 0 || cores < facts->cpus_quota) facts->cpus_quota = cores;
}

static void walk_cpu(struct tree *t, const struct cgroup *group, struct host_facts *facts)
{
    char folder[IO_PATH_MAX];
    uint64_t quota, period;
    for (unsigned up = 0; cgroup_folder(group, up, folder); up++) {
        if (group->version == 1) { /* a quota of -1 is not a number here, and means no limit */
            if (tree_read_number(t, folder, "cpu.cfs_quota_us", &quota) &&
                tree_read_number(t, folder, "cpu.cfs_period_us", &period)) {
                take_quota(facts, quota, period);
            }
        } else if (tree_read(t, folder, "cpu.max")) {
            char *rest = t->file.data;
            const char *first = tree_next(&rest, ' ');
            if (rest && tree_number(first, &quota) && tree_number(rest, &period)) {
                take_quota(facts, quota, period);
            }
        }
    }
}

void cgroup_describe(struct tree *t, struct host_facts *facts)
{
    struct cgroup group;
    cgroup_find(t, NULL, &group);
    if (group.found) {
        walk_memory_v2(t, &group, facts);
        walk_cpu(t, &group, facts);
    }
    cgroup_find(t, "memory", &group);
    if (group.found) walk_memory_v1(t, &group, facts);
    cgroup_find(t, "cpu", &group);
    if (group.found) walk_cpu(t, &group, facts);
}

/* ---- the counter of OOM kills ---- */

static bool join(const char *folder, const char *name, char path[IO_PATH_MAX])
{
    const int length = snprintf(path, IO_PATH_MAX, "%s%s", folder, name);
    return length > 0 && length < IO_PATH_MAX;
}

bool cgroup_find_oom(struct tree *t, char *path)
{
    struct cgroup group;
    char folder[IO_PATH_MAX];
    cgroup_find(t, "memory", &group);
    if (group.found)
        return cgroup_folder(&group, 0, folder) && join(folder, "memory.oom_control", path);

    cgroup_find(t, NULL, &group);
    for (unsigned up = 0; group.found && cgroup_folder(&group, up, folder); up++) {
        if (tree_read(t, folder, "memory.events")) return join(folder, "memory.events", path);
    }
    return false;
}
