#include "fence.h"

#include "io.h"
#include "num.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STATUS_MOST ((size_t)8 << 10) /* /proc/self/status of Linux 6.18 has 1.5 kB */

/* VmData in bytes; 0: unknown. */
static uint64_t data_bytes(void)
{
    static const char path[] = "/proc/self/status", key[] = "\nVmData:";
    char text[STATUS_MOST];
    size_t got = 0;
    uint64_t kib;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const vecmill_status status =
        io_read(fd, text, sizeof text - 1, &got, path, VECMILL_E_IO, NULL);
    (void)close(fd);
    if (status != VECMILL_OK) return 0;
    text[got] = 0;
    char *number = strstr(text, key);
    if (!number) return 0;
    number += sizeof key - 1;
    number += strspn(number, " \t");
    number[strspn(number, "0123456789")] = 0;
    return num_parse(number, UINT64_MAX >> 10, &kib) ? kib << 10 : 0;
}

vecmill_status fence_set(uint64_t *bytes, vecmill_err *err)
{
    struct rlimit limit;
    const uint64_t data = FENCE_SANITIZED ? 0 : data_bytes();
    if (data > 0) {
        /* Some sandboxes do not know the limit. Then there is no fence, as without /proc. */
        const bool known = getrlimit(RLIMIT_DATA, &limit) == 0;
        if (!known && (errno == ENOSYS || errno == EPERM)) {
            *bytes = 0;
            return VECMILL_OK;
        }
        if (!known) return err_sys(err, VECMILL_E_INTERNAL, errno, "RLIMIT_DATA cannot be read");
        limit.rlim_cur = (rlim_t)num_min(limit.rlim_cur, data);
        if (setrlimit(RLIMIT_DATA, &limit) != 0)
            return err_sys(err, VECMILL_E_INTERNAL, errno, "RLIMIT_DATA cannot be set to %llu",
                           (unsigned long long)data);
    }
    *bytes = data;
    return VECMILL_OK;
}

__attribute__((noinline)) void stack_commit(size_t bytes)
{
    volatile char room[STACK_COMMIT_MOST];
    assert(bytes <= sizeof room);
    /* From the near end downwards, as calls would; no page is smaller than the step. */
    for (size_t i = 0; i < bytes; i += 4096)
        room[sizeof room - 1 - i] = 0;
}
