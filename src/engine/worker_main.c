/* vecmill-worker: the program that works for a session or a pool and dies with it.
 *
 *     vecmill-worker pack PARENT ISA PRECISION MODEL_DIR PACK KEY
 *
 * builds a pack and answers on stdout: one byte of status, then the message when it failed.
 *
 *     vecmill-worker baseline PARENT
 *
 * measures what a worker holds before its arena, and answers likewise, the record behind the status.
 *
 *     vecmill-worker serve PARENT ISA PRECISION MODEL_DIR PACK KEY BATCH_TOKENS MAX_LENGTH LONG
 *         MAX_DOCUMENT DIMENSIONS NORMALIZE IDENTITY
 *
 * computes batches that come over a socket (src/crew). It is started by libvecmill; people have no use
 * for it. Prints nothing, leaves nothing behind. */
#include "engine/baseline.h"
#include "engine/engine.h"

#include "crew/crew.h"
#include "kern/kern.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* How long to wait for another process that builds the same pack. */
#define WAIT_MS (9u * 60u * 1000u)

#define PACK_ARGUMENTS     8
#define BASELINE_ARGUMENTS 3
#define SERVE_ARGUMENTS    15

/* True when our parent is still the one that started us: if it died before the signal was armed, no
 * signal would ever come (prctl(2), PR_SET_PDEATHSIG). */
static bool tied_to_parent(pid_t pid)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == pid;
}

/* data: what is answered when all is well. */
static void answer(vecmill_status status, const void *data, size_t bytes, const vecmill_err *err)
{
    char line[sizeof(err->message) + 1];
    line[0] = (char)status;
    size_t n = status == VECMILL_OK ? bytes : strlen(err->message);
    if (n) memcpy(line + 1, status == VECMILL_OK ? data : err->message, n);
    (void)io_write(STDOUT_FILENO, line, n + 1, "stdout", VECMILL_E_INTERNAL, NULL);
}

static bool read_source(char *const *argv, struct model_ref *ref)
{
    const int dir = snprintf(ref->dir, sizeof(ref->dir), "%s", argv[5]);
    const int path = snprintf(ref->path, sizeof(ref->path), "%s", argv[6]);
    const int key = snprintf(ref->key, sizeof(ref->key), "%s", argv[7]);
    ref->identity[0] = '\0';
    return dir < (int)sizeof(ref->dir) && path < (int)sizeof(ref->path) &&
           key < (int)sizeof(ref->key);
}

static bool read_identity(const char *text, struct model_ref *ref)
{
    return snprintf(ref->identity, sizeof ref->identity, "%s", text) ==
           (int)sizeof ref->identity - 1;
}

static bool read_precision(const char *name, vecmill_precision *precision)
{
    for (int i = 0; i < KERN_PRECISIONS; i++) {
        if (strcmp(name, kern_precision_name((enum kern_precision)i)) != 0) continue;
        *precision = (vecmill_precision)i;
        return true;
    }
    return false;
}

static vecmill_status build(const struct model_ref *ref, char *const *argv, pid_t parent)
{
    vecmill_err err = {0};
    vecmill_precision precision;
    if (!read_precision(argv[4], &precision)) return VECMILL_E_USAGE;
    if (!tied_to_parent(parent)) return VECMILL_E_STOPPED;
    const vecmill_status status = engine_compile(ref, argv[3], precision, WAIT_MS, &err);
    answer(status, NULL, 0, &err);
    return status;
}

static vecmill_status measure(pid_t parent)
{
    vecmill_err err = {0};
    struct baseline baseline;
    if (!tied_to_parent(parent)) return VECMILL_E_STOPPED;
    const vecmill_status status = baseline_measure(&baseline, &err);
    answer(status, &baseline, sizeof(baseline), &err);
    return status;
}

static vecmill_status serve(struct model_ref *ref, char *const *argv, pid_t parent)
{
    vecmill_options options;
    uint64_t batch_tokens, max_length, long_policy, max_document, dimensions, normalize;
    vecmill_options_init(&options);
    if (!num_parse(argv[8], VECMILL_MAX_BATCH_TOKENS, &batch_tokens) ||
        !num_parse(argv[9], UINT32_MAX, &max_length) ||
        !num_parse(argv[10], VECMILL_LONG_SPLIT, &long_policy) ||
        !num_parse(argv[11], VECMILL_MAX_DOCUMENT, &max_document) ||
        !num_parse(argv[12], UINT32_MAX, &dimensions) ||
        !num_parse(argv[13], VECMILL_NORMALIZE_NO, &normalize) || !read_identity(argv[14], ref) ||
        !read_precision(argv[4], &options.precision))
        return VECMILL_E_USAGE;
    if (!crew_worker_enter(parent, "vecmill-worker")) return VECMILL_E_STOPPED;
    mem_settle();
    options.model_dir = ref->dir;
    options.isa = argv[3];
    options.batch_tokens = (uint32_t)batch_tokens;
    options.max_length = (uint32_t)max_length;
    options.long_policy = (vecmill_long)long_policy;
    options.dimensions = (uint32_t)dimensions;
    options.normalize = (vecmill_normalize)normalize;
    return worker_session_serve(ref, &options, max_document);
}

int main(int argc, char **argv)
{
    struct model_ref ref;
    uint64_t parent;
    const bool builds = argc == PACK_ARGUMENTS && strcmp(argv[1], "pack") == 0;
    const bool measures = argc == BASELINE_ARGUMENTS && strcmp(argv[1], "baseline") == 0;
    const bool serves = argc == SERVE_ARGUMENTS && strcmp(argv[1], "serve") == 0;
    if (!builds && !measures && !serves) {
        fprintf(stderr, "vecmill-worker: started by vecmill, not by hand\n");
        return vecmill_status_exit(VECMILL_E_USAGE);
    }
    if (!num_parse(argv[2], INT32_MAX, &parent)) return vecmill_status_exit(VECMILL_E_USAGE);
    if (measures) return vecmill_status_exit(measure((pid_t)parent));
    if (!read_source(argv, &ref)) return vecmill_status_exit(VECMILL_E_USAGE);
    return vecmill_status_exit(builds ? build(&ref, argv, (pid_t)parent)
                                      : serve(&ref, argv, (pid_t)parent));
}
