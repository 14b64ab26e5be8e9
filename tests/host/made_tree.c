/* made_tree: a folder in /tmp, removed after each test. */
#include "made_tree.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char root[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int tree_new(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/vecmill-host-XXXXXX");
    assert_non_null(mkdtemp(root));
    return 0;
}

int tree_free(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void put_bytes(const char *path, const void *data, size_t bytes)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

void put(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

void put_machine(const char *cgroup, const char *mountinfo)
{
    put("/proc/meminfo", "MemTotal:       16303432 kB\nMemFree:         1 kB\n"
                         "MemAvailable:    8000000 kB\nBuffers:            0 kB\n");
    put("/sys/devices/system/cpu/online", "0-3,8\n");
    put("/proc/self/cgroup", cgroup);
    put("/proc/self/mountinfo", mountinfo);
}
