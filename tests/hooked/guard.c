/* guard: see guard.h. */
#include "guard.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD_EXIT 99 /* exit code of a worker that took memory */

#if defined(__x86_64__)
#define GUARD_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define GUARD_ARCH AUDIT_ARCH_AARCH64
#endif

struct figures {
    uint64_t live;       /* bytes of the heap in use */
    uint64_t pages;      /* of all mappings */
    uint64_t data_pages; /* of private writable ones, the stack's included */
};

static struct {
    volatile bool closed;
    bool left;
    int log;
    uint64_t waits;
    struct figures ready;
} guard = {.log = -1};

/* ---- the end ---- */

static _Noreturn void end(const char *what, uint64_t before, uint64_t after)
{
    char line[160];
    guard.closed = false;
    const int n = snprintf(
        line, sizeof line, "guard: %ld took memory after it was ready: %s (%llu, then %llu)\n",
        (long)getpid(), what, (unsigned long long)before, (unsigned long long)after);
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    if (guard.log >= 0) written = write(guard.log, line, (size_t)n);
    (void)written;
    _exit(GUARD_EXIT);
}

/* ---- our own objects ---- */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset);

void *__wrap_malloc(size_t bytes)
{
    if (guard.closed) end("malloc", 0, bytes);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    if (guard.closed) end("calloc", n, bytes);
    return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (guard.closed) end("realloc", 0, bytes);
    return __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    if (guard.closed) end("aligned_alloc", 0, bytes);
    return __real_aligned_alloc(align, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    if (guard.closed) end("mmap", 0, bytes);
    return __real_mmap(at, bytes, prot, flags, fd, offset);
}

/* What mmap is called where offsets have 64 bits (-D_FILE_OFFSET_BITS=64). */
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
    if (guard.closed) end("mmap", 0, bytes);
    return __real_mmap64(at, bytes, prot, flags, fd, offset);
}

/* ---- anyone ---- */

#if !FENCE_SANITIZED && defined(__GLIBC__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);

void *malloc(size_t bytes)
{
    if (guard.closed) end("malloc by a library", 0, bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    if (guard.closed) end("calloc by a library", n, bytes);
    return __libc_calloc(n, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    if (guard.closed) end("realloc by a library", 0, bytes);
    return __libc_realloc(memory, bytes);
}
#endif

static void on_call(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    switch (info->si_syscall) {
    case SYS_mmap:
        end("the system call mmap", 0, 0);
    case SYS_mremap:
        end("the system call mremap", 0, 0);
    case SYS_mprotect:
        end("the system call mprotect", 0, 0);
    default:
        end("the system call brk", 0, 0);
    }
}

/* False where the kernel, or its emulation, has no such filters (qemu's user mode). */
static bool forbid_calls(void)
{
#ifdef GUARD_ARCH
#define LOAD(field)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define TRAP_AT(number, distance) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, distance, 0)
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GUARD_ARCH, 0, 5),
        LOAD(nr),
        TRAP_AT(SYS_mmap, 4),
        TRAP_AT(SYS_mprotect, 3),
        TRAP_AT(SYS_mremap, 2),
        TRAP_AT(SYS_brk, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
    return false;
#endif
}

static struct figures measure(void)
{
    struct figures f = {.live = mallinfo2().uordblks};
    char text[128];
    unsigned long long numbers[6] = {0};
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (n <= 0) return f;
    text[n] = 0;
    char *at = text;
    for (size_t i = 0; i < 6; i++)
        numbers[i] = strtoull(at, &at, 10);
    f.pages = numbers[0];
    f.data_pages = numbers[5];
    return f;
}

/* ---- the door ---- */

void guard_leave(void)
{
    guard.left = true;
}

void guard_log(int fd)
{
    guard.log = fd;
}

void guard_check(void)
{
    if (guard.left) return;
    if (guard.waits++ == 0) {
        if (!FENCE_SANITIZED) {
            guard.ready = measure();
            (void)forbid_calls();
        }
        guard.closed = true;
    }
    if (FENCE_SANITIZED) return;
    const struct figures now = measure(), ready = guard.ready;
    if (now.live != ready.live) end("bytes of the heap in use", ready.live, now.live);
    if (now.pages != ready.pages) end("pages of all mappings", ready.pages, now.pages);
    if (now.data_pages != ready.data_pages)
        end("pages of data and stack", ready.data_pages, now.data_pages);
}

__attribute__((destructor)) static void say_figures(void)
{
    char line[160];
    if (guard.log < 0 || guard.waits == 0) return;
    const int n =
        snprintf(line, sizeof line, "%ld %llu %llu %llu %llu\n", (long)getpid(),
                 (unsigned long long)guard.waits - 1, (unsigned long long)guard.ready.live,
                 (unsigned long long)guard.ready.pages, (unsigned long long)guard.ready.data_pages);
    const ssize_t written = write(guard.log, line, (size_t)n);
    (void)written;
}
