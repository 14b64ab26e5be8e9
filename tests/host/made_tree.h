/* made_tree: /proc and /sys as a test wants them, in a separate folder. */
#ifndef TEST_MADE_TREE_H
#define TEST_MADE_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Lines of mountinfo. */
#define V1_MEMORY "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
#define V1_CPU    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define V2        "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V2_HYBRID "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"

extern char root[64]; /* where the tree of the running test is */

int tree_new(void **state);
int tree_free(void **state);

/* Writes a file of the tree, and makes its folders. */
void put_bytes(const char *path, const void *data, size_t bytes);
void put(const char *path, const char *text);

/* The files that every machine has: 16,303,432 KiB of memory, 8,000,000 of them available. */
void put_machine(const char *cgroup, const char *mountinfo);

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_new, tree_free)

#endif
