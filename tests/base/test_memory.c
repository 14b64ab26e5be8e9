/* Base's memory: regions and their guards, committing them, a heap that stays, the fence.
 *
 * What ends or fences a process is done by a child. madvise and mprotect are the linker's (--wrap), so that
 * they can fail. */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE */

static int populate_error, protect_error;

int __real_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __real_mprotect(void *at, size_t bytes, int prot);
int __wrap_mprotect(void *at, size_t bytes, int prot);

int __wrap_madvise(void *at, size_t bytes, int advice)
{
    if (advice != POPULATE_WRITE || !populate_error) return __real_madvise(at, bytes, advice);
    errno = populate_error;
    return -1;
}

int __wrap_mprotect(void *at, size_t bytes, int prot)
{
    if (!protect_error) return __real_mprotect(at, bytes, prot);
    errno = protect_error;
    return -1;
}

/* ---- looking ---- */

struct mapping {
    size_t bytes, resident; /* 0, 0: there is none that begins there */
};

static struct mapping mapping_at(const void *at)
{
    struct mapping found = {0};
    char line[512];
    unsigned long begin, end, kib;
    bool is_it = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
            is_it = begin == (uintptr_t)at;
            if (is_it) found.bytes = end - begin;
        } else if (is_it && sscanf(line, "Rss: %lu kB", &kib) == 1) {
            found.resident = kib << 10;
        }
    }
    fclose(file);
    return found;
}

/* Of /proc/self/statm: 0: all mappings, 5: private writable ones and the stack. */
static unsigned long pages(unsigned which)
{
    unsigned long n[7] = {0};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(fscanf(file, "%lu", &n[i]), 1);
    fclose(file);
    return n[which];
}

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *map(size_t bytes)
{
    void *m = NULL;
    vecmill_err err;
    if (mem_map(bytes, "a region", &m, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return m;
}

/* ---- regions ---- */

/* The signal that ends a child that writes there; 0: none does. */
static int signal_of_touching(volatile char *at)
{
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const struct rlimit none = {1, 1};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSEGV, SIG_DFL); /* not a sanitizer's report */
        *at = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void an_overrun_is_a_fault(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, page() - 1, page(), page() + 1, 10 * page()};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *m = map(sizes[i]);
        const size_t bytes = mem_map_bytes(sizes[i]);
        assert_int_equal(signal_of_touching(m), 0);
        assert_int_equal(signal_of_touching(m + bytes - 1), 0);
        assert_int_equal(signal_of_touching(m - 1), SIGSEGV);
        assert_int_equal(signal_of_touching(m + bytes), SIGSEGV);
        mem_unmap(m, sizes[i]);
    }
}

static void a_region_is_a_mapping_of_its_size(void **state)
{
    (void)state;
    enum { N = 20 };
    char *regions[N];
    const unsigned long before = pages(0);
    for (size_t i = 0; i < N; i++)
        regions[i] = map(i * 5000);
    for (size_t i = 0; i < N; i++) {
        const struct mapping m = mapping_at(regions[i]);
        assert_int_equal(m.bytes, mem_map_bytes(i * 5000));
        assert_int_equal(m.resident, 0);
    }
    for (size_t i = 0; i < N; i++)
        mem_unmap(regions[i], i * 5000);
    assert_int_equal(pages(0), before);
}

static void a_size_is_whole_pages(void **state)
{
    (void)state;
    assert_int_equal(mem_map_bytes(0), page());
    assert_int_equal(mem_map_bytes(1), page());
    assert_int_equal(mem_map_bytes(page()), page());
    assert_int_equal(mem_map_bytes(page() + 1), 2 * page());
    assert_true(mem_map_bytes(SIZE_MAX) == SIZE_MAX);
    assert_true(mem_map_bytes(SIZE_MAX - page() + 1) == SIZE_MAX - page() + 1);
}

static void what_there_is_no_memory_for_is_refused(void **state)
{
    (void)state;
    void *m = &m;
    vecmill_err err;
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - page(), SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(mem_map(sizes[i], "a queue", &m, &err), VECMILL_E_MEMORY);
        assert_non_null(strstr(err.message, "a queue: no memory for "));
    }
    const unsigned long before = pages(0);
    protect_error = ENOMEM;
    assert_int_equal(mem_map(100, "a queue", &m, &err), VECMILL_E_MEMORY);
    protect_error = 0;
    assert_string_equal(err.message, "a queue: no memory for 100 bytes: Cannot allocate memory");
    assert_int_equal(pages(0), before);
    assert_ptr_equal(m, &m);
}

/* ---- committing ---- */

static void a_committed_region_is_resident(void **state)
{
    (void)state;
    static const int errors[] = {0, EINVAL, ENOSYS, EPERM}; /* the last three: page by page */
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const size_t bytes = 37 * page() + 1;
        char *m = map(bytes);
        m[0] = 'a';
        m[bytes - 1] = 'z';
        populate_error = errors[i];
        assert_int_equal(mem_commit(m, bytes, "a region", NULL), VECMILL_OK);
        populate_error = 0;
        assert_int_equal(mapping_at(m).resident, mem_map_bytes(bytes));
        assert_int_equal(m[0], 'a');
        assert_int_equal(m[1], 0);
        assert_int_equal(m[bytes - 1], 'z');
        mem_unmap(m, bytes);
    }
}

static void what_cannot_be_committed_is_an_error(void **state)
{
    (void)state;
    static const int errors[] = {ENOMEM, EFAULT, EHWPOISON, EAGAIN};
    char *m = map(5000);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        vecmill_err err;
        populate_error = errors[i];
        assert_int_equal(mem_commit(m, 5000, "an arena", &err), VECMILL_E_MEMORY);
        populate_error = 0;
        assert_non_null(strstr(err.message, "an arena: no memory for 5000 bytes: "));
        assert_non_null(strstr(err.message, strerror(errors[i])));
        assert_int_equal(mapping_at(m).resident, 0);
    }
    mem_unmap(m, 5000);
}

/* ---- the heap, the fence ---- */

/* Runs a test in its own process, with its own heap and limits. */
static void in_child(void (*test)(void))
{
    int status;
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        test();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status)) fail_msg("a child ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status)) fail_msg("a child failed at line %d", WEXITSTATUS(status));
}

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) _exit((__LINE__ - FIRST_LINE) % 254 + 1);                                \
    } while (0)

static bool is_fenced(void)
{
    uint64_t bytes = 0;
    return fence_set(&bytes, NULL) == VECMILL_OK && bytes > 0;
}

enum { FIRST_LINE = __LINE__ - 1 };

/* Takes and gives back as libraries do: a few sizes, again and again; a part of `most` at once, since glibc
 * keeps up to seven of each size that was given back. */
static bool churn(size_t most)
{
    void *pieces[16] = {0};
    bool ok = true;
    for (unsigned i = 0; i < 20000; i++) {
        void **p = &pieces[i % 16];
        free(*p);
        *p = malloc((i * 7 % 16 + 1) * (most / 1024));
        ok = ok && *p;
    }
    for (unsigned i = 0; i < 16; i++)
        free(pieces[i]);
    void *one = malloc(most / 4);
    ok = ok && one;
    free(one);
    return ok;
}

/* Takes so much heap in one piece, writes it, and gives it back. */
static bool touch_heap(size_t bytes)
{
    void *volatile piece = malloc(bytes);
    if (piece) memset(piece, 1, bytes);
    free(piece);
    return piece != NULL;
}

static void child_keeps_its_heap(void)
{
    mem_settle();
    void *large = malloc(20 << 20); /* a separate mapping by glibc's own settings */
    MUST(large);
    free(large);
    MUST(touch_heap(100 << 10));
    const unsigned long data = pages(5), all = pages(0);
    MUST(churn(90 << 10));
    large = malloc(19 << 20);
    MUST(large);
    free(large);
    MUST(pages(5) == data && pages(0) == all);
}

static void child_is_fenced(void)
{
    void *m = NULL;
    vecmill_err err;
    uint64_t bytes = 0;
    mem_settle();
    void *before = map(10 * page());
    MUST(touch_heap(100 << 10));
    MUST(fence_set(&bytes, &err) == VECMILL_OK);
    MUST(bytes >= 10 * page() + (100 << 10) && bytes < (uint64_t)pages(0) * page());
    MUST(churn(90 << 10));
    MUST(mem_map(1, "more", &m, &err) == VECMILL_E_MEMORY);
    MUST(strcmp(err.message, "more: no memory for 1 bytes: Cannot allocate memory") == 0);
    MUST(mem_new(1 << 20, "more", &m, &err) == VECMILL_E_MEMORY);
    MUST(mem_commit(before, 10 * page(), "what is there", &err) == VECMILL_OK);
    mem_unmap(before, 10 * page());
    MUST(mem_map(10 * page(), "what was there", &m, &err) == VECMILL_OK);
    MUST(mem_map(1, "more", &before, &err) == VECMILL_E_MEMORY);
    stack_commit(STACK_COMMIT_MOST);
    MUST(churn(90 << 10));
    /* A tighter limit that is already set stays. */
    struct rlimit limit = {0};
    MUST(getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur == bytes);
    limit.rlim_cur = page();
    MUST(setrlimit(RLIMIT_DATA, &limit) == 0);
    MUST(fence_set(&bytes, &err) == VECMILL_OK);
    MUST(getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur == page());
}

static void child_has_a_stack(void)
{
    char *here = (char *)__builtin_frame_address(0);
    const size_t bytes = STACK_COMMIT_MOST - 4 * page();
    stack_commit(STACK_COMMIT_MOST);
    /* Every page of it is resident: mincore reports the mapped ones, and fails for holes. */
    unsigned char resident[STACK_COMMIT_MOST / 4096];
    char *from = (char *)(((uintptr_t)here - bytes) & ~(uintptr_t)(page() - 1));
    MUST(mincore(from, bytes, resident) == 0);
    for (size_t i = 0; i < bytes / page(); i++)
        MUST(resident[i] & 1);
}

static void a_settled_heap_stays(void **state)
{
    (void)state;
    in_child(child_keeps_its_heap);
}

static void beyond_the_fence_is_no_memory(void **state)
{
    (void)state;
    in_child(child_is_fenced);
}

static void a_stack_is_there(void **state)
{
    (void)state;
    in_child(child_has_a_stack);
}

/* Whether there is a fence in this build; found out by a child, since it would be ours as well. */
static bool has_fence(void)
{
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(is_fenced() ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
    const struct CMUnitTest regions[] = {
        cmocka_unit_test(an_overrun_is_a_fault),
        cmocka_unit_test(a_region_is_a_mapping_of_its_size),
        cmocka_unit_test(a_size_is_whole_pages),
        cmocka_unit_test(what_there_is_no_memory_for_is_refused),
        cmocka_unit_test(a_committed_region_is_resident),
        cmocka_unit_test(what_cannot_be_committed_is_an_error),
        cmocka_unit_test(a_stack_is_there),
    };
    const struct CMUnitTest fences[] = {
        cmocka_unit_test(a_settled_heap_stays),
        cmocka_unit_test(beyond_the_fence_is_no_memory),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    int failed = cmocka_run_group_tests_name("regions", regions, NULL, NULL);
    int n = sizeof regions / sizeof *regions;
    if (has_fence()) {
        failed += cmocka_run_group_tests_name("fences", fences, NULL, NULL);
        n += sizeof fences / sizeof *fences;
    } else {
        printf("skipped: heap and fence: a sanitizer maps memory whenever it likes\n");
    }
    printf("base-memory: %d passed, %d failed\n", n - failed, failed);
    return failed != 0;
}
