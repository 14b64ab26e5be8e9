/* floor: measuring it, and the bounds that hold before it was measured. Promises: floor.h. Does not know
 * what else a worker holds: the session's memory, the page cache, the kernel's own. */
#include "engine/floor.h"

#include "engine/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of 40 measurements of one shape each number had two values at most, a page apart; room for what an
 * environment puts on the stack (up to 128 KiB of it, beyond what was there) and a libc's patch level. */
#define SLACK_BYTES ((uint64_t)128 << 10)

void engine_floor_bound(const struct kern *kern, struct engine_floor *floor)
{
    /* Measured with gcc 12, glibc 2.36, oneDNN 2.6.3 on a Xeon with AVX-512, KiB, the most of 3 to 6 runs
     * of `vecmill-worker floor` (tests/engine/test_build_memory.c repeats it):
     *
     *   hidden x intermediate   32x64  128x512  312x1200  384x1536  768x3072  1000x3000  1024x4096  2048x8192
     *   program                   632      632       632       632       632        632        632        632
     *   libraries, ref              4        4         4         4         4          4          4          -
     *              avx2          2308     2332      2308      2308      2308       2304       2308       2344
     *              avx512         856      800      2240       800       812       2812        812        836
     *   scratch, avx512             4        4         4         4         4          4          4          4
     *
     * and the most of 13 further shapes, from 1x1 by 3001x5003 to 8192x32768: avx2 2348, avx512 3340, which
     * takes more where widths are no multiples of 64 and a product has kernels for its rest. */
    static const struct {
        uint32_t library, scratch;
    } bounds[KERN_LEVELS] = {
        [KERN_REF] = {64u << 10, 0},
        [KERN_AVX2] = {3u << 20, 64u << 10},
        [KERN_AVX512] = {4u << 20, 64u << 10},
    };
    *floor = (struct engine_floor){
        .version = ENGINE_FLOOR_VERSION,
        .bytes = sizeof *floor,
        .program_bytes = 768u << 10,
        .library_bytes = bounds[kern->level].library,
        .gemm_scratch_bytes = bounds[kern->level].scratch,
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

/* What products read and write. Inputs are never written, so they cost no memory. */
struct ground {
    void *packed, *x, *bias, *y, *scratch;
    size_t packed_bytes, x_bytes, bias_bytes, y_bytes, scratch_bytes;
};

static void ground_done(struct ground *g)
{
    mem_unmap(g->packed, g->packed_bytes);
    mem_unmap(g->x, g->x_bytes);
    mem_unmap(g->bias, g->bias_bytes);
    mem_unmap(g->y, g->y_bytes);
    mem_unmap(g->scratch, g->scratch_bytes);
}

static vecmill_status ground_init(struct ground *g, const struct kern *kern,
                                  struct gemm_shape shape, size_t scratch_bytes, size_t rows,
                                  vecmill_err *err)
{
    *g = (struct ground){
        .x_bytes = rows * shape.k * sizeof(float),
        .bias_bytes = shape.n * sizeof(float),
        .y_bytes = rows * shape.n * sizeof(float),
        .scratch_bytes = scratch_bytes,
    };
    VM_TRY(gemm_packed_bytes(kern, shape, &g->packed_bytes, err));
    vecmill_status status = mem_map(g->packed_bytes, "weights", &g->packed, err);
    if (status == VECMILL_OK) status = mem_map(g->x_bytes, "inputs", &g->x, err);
    if (status == VECMILL_OK) status = mem_map(g->bias_bytes, "a bias", &g->bias, err);
    if (status == VECMILL_OK) status = mem_map(g->y_bytes, "outputs", &g->y, err);
    if (status == VECMILL_OK) status = mem_map(g->scratch_bytes, "scratch", &g->scratch, err);
    if (status != VECMILL_OK) ground_done(g);
    return status;
}

/* Runs over every row count that the level's products are made of: one step, some, and a full block. */
static vecmill_status run(const struct kern *kern, struct gemm_shape shape, struct gemm *gemm,
                          vecmill_err *err)
{
    const uint32_t counts[] = {kern->row_step, 5 * kern->row_step,
                               (uint32_t)num_up(ENGINE_FLOOR_ROWS, kern->row_step)};
    struct ground g;
    vecmill_status status = ground_init(&g, kern, shape, gemm_scratch_bytes(gemm), counts[2], err);
    if (status != VECMILL_OK) return status;
    for (size_t i = 0; i < sizeof counts / sizeof *counts && status == VECMILL_OK; i++)
        status = gemm_run(gemm, g.packed, g.bias, g.x, g.y, counts[i], g.scratch, err);
    ground_done(&g);
    return status;
}

vecmill_status engine_floor_measure(const char *isa, const struct model_config *config,
                                    struct engine_floor *floor, vecmill_err *err)
{
    const struct kern *kern;
    struct gemm_shape shapes[MODEL_PRODUCTS];
    struct gemm *gemms[MODEL_PRODUCTS] = {NULL};
    uint64_t before = 0, after = 0;
    bool known;
    struct engine_floor f = {
        .version = ENGINE_FLOOR_VERSION, .bytes = sizeof f, .slack = SLACK_BYTES};
    mem_settle();
    vecmill_status status = anonymous_bytes(&before, &known, err);
    if (status == VECMILL_OK) status = kern_select(isa, &kern, err);
    if (status != VECMILL_OK) return status;
    if (!known) {
        engine_floor_bound(kern, floor);
        return VECMILL_OK;
    }
    model_products(config, shapes);
    /* As a session does it: all are prepared, then all run. */
    for (int i = 0; i < MODEL_PRODUCTS && status == VECMILL_OK; i++)
        status = gemm_open(kern, shapes[i], &gemms[i], err);
    for (int i = 0; i < MODEL_PRODUCTS && status == VECMILL_OK; i++) {
        f.gemm_scratch_bytes = num_max(f.gemm_scratch_bytes, gemm_scratch_bytes(gemms[i]));
        status = run(kern, shapes[i], gemms[i], err);
    }
    if (status == VECMILL_OK) status = anonymous_bytes(&after, &known, err);
    for (int i = 0; i < MODEL_PRODUCTS; i++)
        gemm_close(gemms[i]);
    if (status != VECMILL_OK) return status;
    f.program_bytes = before;
    f.library_bytes = after > before ? after - before : 0;
    *floor = f;
    return VECMILL_OK;
}

vecmill_status engine_floor_ask(const struct kern *kern, const struct model_config *config,
                                struct engine_floor *floor, vecmill_err *err)
{
    char parent[24], hidden[16], heads[16], intermediate[16];
    struct engine_floor f;
    size_t got = 0;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    snprintf(hidden, sizeof hidden, "%u", config->hidden);
    snprintf(heads, sizeof heads, "%u", config->n_heads);
    snprintf(intermediate, sizeof intermediate, "%u", config->intermediate);
    char *const argv[] = {(char *)"vecmill-worker",
                          (char *)"floor",
                          parent,
                          (char *)(uintptr_t)kern->name,
                          hidden,
                          heads,
                          intermediate,
                          NULL};
    VM_TRY(source_ask("/proc/self/exe", argv, "measuring a worker's floor", (char *)&f, sizeof f,
                      &got, err));
    if (got != sizeof f || f.version != ENGINE_FLOOR_VERSION || f.bytes != sizeof f) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "measuring a worker's floor: %zu bytes were answered, a record has %zu", got,
                       sizeof f);
    }
    *floor = f;
    return VECMILL_OK;
}

vecmill_status engine_floor_read(const struct pack *pack, struct engine_floor *floor,
                                 vecmill_err *err)
{
    const void *data;
    size_t bytes;
    struct engine_floor f;
    VM_TRY(pack_find(pack, ENGINE_FLOOR_SECTION, &data, &bytes, err));
    if (bytes == sizeof f) memcpy(&f, data, sizeof f);
    if (bytes != sizeof f || f.version != ENGINE_FLOOR_VERSION || f.bytes != sizeof f) {
        return err_set(err, VECMILL_E_MODEL,
                       "the pack's section %s of %zu bytes is no record of version %u",
                       ENGINE_FLOOR_SECTION, bytes, ENGINE_FLOOR_VERSION);
    }
    *floor = f;
    return VECMILL_OK;
}
