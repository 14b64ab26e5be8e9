/* build: has a pack built, or a baseline measured, by a child process, whose memory ends with it.
 *
 * Promises: base/child.h's; the child's bytes are judged as hostile: the answer comes through the
 * pipe, the wait status only names a death. */
#include "engine/model_ref.h"
#include "host/host.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A model of 1.3 GB from a disk of 10 MB/s takes two minutes. */
#define BUILD_DEADLINE_MS (10u * 60u * 1000u)

/* The answer by its first byte. */
static vecmill_status judge(const char *said, size_t n, char *answer, size_t room, size_t *got,
                            vecmill_err *err)
{
    const unsigned status = (unsigned char)said[0];
    if (status != VECMILL_OK) {
        return err_set(err,
                       status < VECMILL_STATUS_COUNT ? (vecmill_status)status : VECMILL_E_INTERNAL,
                       "%.*s", (int)(n - 1), said + 1);
    }
    *got = num_min(n - 1, room);
    if (*got) memcpy(answer, said + 1, *got);
    return VECMILL_OK;
}

vecmill_status worker_ask(const char *program, char *const argv[], const char *what, char *answer,
                          size_t room, size_t *got, vecmill_err *err)
{
    const struct child_options o = {.program = program, .argv = argv};
    char said[sizeof(((vecmill_err *)0)->message)];
    size_t n = 0;
    struct child_end end;
    struct host_oom oom;
    uint64_t kills_before = UINT64_MAX, kills = 0;
    assert(room < sizeof said);
    host_oom_find(host_root(), &oom);
    (void)host_oom_kills(&oom, &kills_before);
    VM_TRY(child_ask(&o, what, BUILD_DEADLINE_MS, said, sizeof said, &n, &end, VECMILL_E_INTERNAL,
                     err));
    if (n > 0) return judge(said, n, answer, room, got, err);
    if (end.sig == SIGKILL && host_oom_kills(&oom, &kills) && kills > kills_before)
        return err_set(err, VECMILL_E_MEMORY, "%s was ended by the OOM killer", what);
    if (end.sig)
        return err_set(err, VECMILL_E_INTERNAL, "%s was ended by signal %d (%s)", what, end.sig,
                       sigabbrev_np(end.sig));
    return err_set(err, VECMILL_E_INTERNAL, "%s: %s ended without an answer", what, program);
}

vecmill_status model_ref_build(const struct model_ref *ref, const char *worker, const char *isa,
                               enum kern_precision precision, vecmill_err *err)
{
    char parent[24], what[IO_PATH_MAX + 16];
    size_t got;
    if (!model_ref_in_memory(ref)) {
        snprintf(what, sizeof what, "%s", ref->path);
        *strrchr(what, '/') = '\0';
        VM_TRY(io_make_dirs(what, VECMILL_E_IO, err));
    }
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    snprintf(what, sizeof(what), "building %s", ref->path);
    char *const argv[] = {(char *)"vecmill-worker",
                          (char *)"pack",
                          parent,
                          (char *)isa,
                          (char *)kern_precision_name(precision),
                          (char *)ref->dir,
                          (char *)ref->path,
                          (char *)ref->key,
                          NULL};
    return worker_ask(worker, argv, what, NULL, 0, &got, err);
}
