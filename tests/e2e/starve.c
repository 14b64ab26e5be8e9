/* starve: the n-th allocation of one program fails. Preloaded by e2e_enomem.py.
 *
 * $VECMILL_TEST_STARVE is `PROGRAM N once|on FOLDER`: in PROGRAM (the last part of argv[0]), counted from the
 * beginning of its main, the N-th call of malloc, calloc, realloc and their like returns NULL: once, or it
 * and all that follow. 0: none does. The first process that can make FOLDER is the one; it leaves the
 * number of its calls in FOLDER/calls when it ends, and FOLDER/failed when one failed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

typedef int main_function(int argc, char **argv, char **environment);
int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

static struct {
    atomic_bool counts;
    atomic_ulong calls;
    unsigned long n;
    bool on;
    char folder[512];
    main_function *main;
} starve;

static void leave(const char *name, unsigned long number)
{
    char path[600], text[32];
    snprintf(path, sizeof path, "%s/%s", starve.folder, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    const ssize_t n = write(fd, text, (size_t)snprintf(text, sizeof text, "%lu\n", number));
    (void)n;
    close(fd);
}

static bool fails(void)
{
    if (!starve.counts) return false;
    const unsigned long call = ++starve.calls;
    if (starve.n == 0 || (starve.on ? call < starve.n : call != starve.n)) return false;
    if (call == starve.n) leave("failed", call);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(n, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    return fails() ? NULL : __libc_memalign(align, bytes);
}

void *memalign(size_t align, size_t bytes); /* malloc.h, which gives it another attribute */
void *memalign(size_t align, size_t bytes)
{
    return fails() ? NULL : __libc_memalign(align, bytes);
}

int posix_memalign(void **memory, size_t align, size_t bytes)
{
    void *m = fails() ? NULL : __libc_memalign(align, bytes);
    if (!m) return ENOMEM;
    *memory = m;
    return 0;
}

static void say_calls(void)
{
    starve.counts = false;
    leave("calls", starve.calls);
}

static void begin(const char *path)
{
    char program[64], mode[8];
    const char *plan = getenv("VECMILL_TEST_STARVE"), *slash = strrchr(path, '/');
    if (!plan || sscanf(plan, "%63s %lu %7s %511s", program, &starve.n, mode, starve.folder) != 4)
        return;
    if (strcmp(slash ? slash + 1 : path, program) != 0 || mkdir(starve.folder, 0700) != 0) return;
    starve.on = strcmp(mode, "on") == 0;
    if (atexit(say_calls) == 0) starve.counts = true;
}

static int counted_main(int argc, char **argv, char **environment)
{
    begin(argv[0]);
    return starve.main(argc, argv, environment);
}

int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
    __typeof__(__libc_start_main) *real;
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    starve.main = main;
    return real(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}
