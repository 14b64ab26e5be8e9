/* oom: the kernel's counter of OOM kills, found once and read often.
 *
 * Linux counts a kill for the group of the killed process before that process is gone, so a reader
 * that learns of the death finds it counted. Sources: Documentation/admin-guide/cgroup-v2.rst
 * ("memory.events"), cgroup-v1/memory.rst ("OOM Control"; oom_kill since Linux 4.13), and
 * __oom_kill_process in mm/oom_kill.c. */
#include "host.h"

#include "cgroup.h"
#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OOM_FILE_MAX                                                                               \
    16384u /* on the stack; /proc/vmstat of Linux 6.1 has 5 KB, the others 100 bytes */

static bool use(struct host_oom *oom, const char *root, const char *file)
{
    uint64_t kills;
    const int length = snprintf(oom->path, sizeof oom->path, "%s%s", root, file);
    return length > 0 && (size_t)length < sizeof oom->path && host_oom_kills(oom, &kills);
}

void host_oom_find(const char *root, struct host_oom *oom)
{
    char file[IO_PATH_MAX];
    struct tree t;
    tree_init(&t, root);
    const bool is_known = cgroup_find_oom(&t, file) && use(oom, root, file);
    if (!is_known && !use(oom, root, "/proc/vmstat")) oom->path[0] = '\0';
    tree_done(&t);
}

bool host_oom_kills(const struct host_oom *oom, uint64_t *kills)
{
    static const char key[] = "oom_kill ";
    char text[OOM_FILE_MAX];
    size_t got = 0;
    const int fd = open(oom->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const vecmill_status status =
        io_read(fd, text, sizeof text, &got, oom->path, VECMILL_E_IO, NULL);
    (void)close(fd);
    if (status != VECMILL_OK || got == sizeof text) return false;
    text[got] = '\0';
    char *rest = text, *line;
    while ((line = tree_next(&rest, '\n'))) {
        if (strncmp(line, key, sizeof key - 1) == 0)
            return tree_number(line + sizeof key - 1, kills);
    }
    return false;
}
