/* baseline: measuring it, and the bounds that hold before it was measured. Does not know
 * what else a worker holds: the session's memory, the page cache, the kernel's own. */
#include "engine/baseline.h"

#include "engine/model_ref.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of 40 measurements the most and the least are a page apart; room for what an environment puts on the stack
 * (up to 128 KiB of it, beyond what was there) and a libc's patch level. */
#define SLACK_BYTES ((uint64_t)128 << 10)

/* Measured with gcc 12 and glibc 2.36, the most of 40 runs of `vecmill-worker baseline`: 144 KiB
 * (tests/engine/test_build_memory.c repeats it); and as much again, for other builds of it and of libc. */
#define PROGRAM_BYTES ((uint64_t)288 << 10)

void baseline_bound(struct baseline *baseline)
{
    *baseline = (struct baseline){
        .version = BASELINE_VERSION,
        .bytes = sizeof *baseline,
        .program_bytes = PROGRAM_BYTES,
        .slack = SLACK_BYTES,
    };
}

/* ---- measuring ---- */

/* Anonymous memory of this process. Takes none itself. *known false where the kernel does not tell. */
static vecmill_status anonymous_bytes(uint64_t *bytes, bool *known, vecmill_err *err)
{
    static const char path[] = "/proc/self/smaps_rollup";
    static const char key[] = "\nAnonymous:";
    char text[2048];
    size_t got = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    *known = fd >= 0;
    if (fd < 0 && (errno == ENOENT || errno == EACCES)) return VECMILL_OK;
    if (fd < 0) return err_sys(err, VECMILL_E_INTERNAL, errno, "%s: cannot be opened", path);
    const vecmill_status status =
        io_read(fd, text, sizeof(text) - 1, &got, path, VECMILL_E_INTERNAL, err);
    close(fd);
    VM_TRY(status);
    text[got] = '\0';
    const char *line = strstr(text, key);
    char *end;
    const unsigned long long kib = line ? strtoull(line + strlen(key), &end, 10) : 0;
    if (!line || strncmp(end, " kB", 3) != 0)
        return err_set(err, VECMILL_E_INTERNAL, "%s: has no line \"Anonymous\" in kB", path);
    *bytes = kib << 10;
    return VECMILL_OK;
}

vecmill_status baseline_measure(struct baseline *baseline, vecmill_err *err)
{
    uint64_t held = 0;
    bool known;
    mem_settle();
    VM_TRY(anonymous_bytes(&held, &known, err));
    baseline_bound(baseline);
    if (known) baseline->program_bytes = held;
    return VECMILL_OK;
}

vecmill_status baseline_ask(struct baseline *baseline, vecmill_err *err)
{
    char parent[24];
    struct baseline f;
    size_t got = 0;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    char *const argv[] = {(char *)"vecmill-worker", (char *)"baseline", parent, NULL};
    VM_TRY(worker_ask("/proc/self/exe", argv, "measuring a worker's baseline", (char *)&f, sizeof f,
                      &got, err));
    if (got != sizeof f || f.version != BASELINE_VERSION || f.bytes != sizeof f) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "measuring a worker's baseline: %zu bytes were answered, a record has %zu",
                       got, sizeof f);
    }
    *baseline = f;
    return VECMILL_OK;
}

vecmill_status baseline_read(const struct pack *pack, struct baseline *baseline, vecmill_err *err)
{
    const void *data;
    size_t bytes;
    struct baseline f;
    VM_TRY(pack_find(pack, BASELINE_SECTION, &data, &bytes, err));
    if (bytes == sizeof f) memcpy(&f, data, sizeof f);
    if (bytes != sizeof f || f.version != BASELINE_VERSION || f.bytes != sizeof f) {
        return err_set(err, VECMILL_E_MODEL,
                       "the pack's section %s of %zu bytes is no record of version %u",
                       BASELINE_SECTION, bytes, BASELINE_VERSION);
    }
    *baseline = f;
    return VECMILL_OK;
}
