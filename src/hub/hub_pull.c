/* hub_pull: a model made present, by the program vecmill-pull.
 *
 * Promises: base/child.h's; the caller's process opens no connection and loads no library for it; a
 * child that gives no sign of life for SILENCE_MS is killed. What the two say to each other is in
 * hub_channel.h. Does not know how a download works. */
#include "hub_channel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LINE_MAX_BYTES (IO_PATH_MAX + 64)
#define POLL_MS        200
#define SILENCE_MS     300000 /* an fsync of a large file on a slow disk is the longest known silence */
#define END_MS         60000 /* after its last line: to remove what is staged */

_Static_assert(HUB_TOKEN_MAX <= CHILD_INPUT_MAX, "the token is the whole input");

void hub_env_read(struct hub_env *env)
{
    const char *endpoint = getenv("HF_ENDPOINT");
    const char *token = getenv("HF_TOKEN");
    static const char *const switches[] = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"};
    const char *python = getenv("VECMILL_PYTHON");
    static const char *const yes[] = {"1", "true", "yes", "on"};
    *env = (struct hub_env){
        .endpoint = endpoint && endpoint[0] ? endpoint : "https://huggingface.co",
        .token = token && token[0] ? token : NULL,
        .connect_s = 15,
        .stall_s = 30,
        .attempts = 5,
        .backoff_ms = 500,
        .python = python && python[0] ? python : "python3",
    };
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        const char *offline = getenv(switches[i]);
        for (size_t j = 0; offline && j < sizeof yes / sizeof yes[0] && !env->offline_by; j++)
            if (strcasecmp(offline, yes[j]) == 0) env->offline_by = switches[i];
    }
    env->offline = env->offline_by != NULL;
}

/* vecmill-pull and what it said so far. */
struct pull {
    struct child child;
    hub_progress progress;
    void *context;
    char line[LINE_MAX_BYTES];
    size_t n_line;
    bool done;   /* dir is filled */
    bool failed; /* why is filled */
    char dir[IO_PATH_MAX];
    vecmill_err why;
};

static vecmill_status start_pull(const char *cache, const struct hub_ref *ref,
                                 const struct hub_env *env, struct pull *p, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct hub_arguments arguments;
    const size_t n_token = env->token ? strlen(env->token) : 0;
    if (n_token > HUB_TOKEN_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND, "HF_TOKEN has %zu bytes, at most %d are possible",
                       n_token, HUB_TOKEN_MAX);
    }
    if (!env->program) VM_TRY(child_find("vecmill-pull", path, VECMILL_E_NOTFOUND, err));
    hub_arguments_encode(env->program ? env->program : path, cache, ref, env, &arguments);
    const struct child_options options = {.program = arguments.argv[0],
                                          .argv = arguments.argv,
                                          .input = env->token,
                                          .input_bytes = n_token};
    return child_start(&options, &p->child, VECMILL_E_NOTFOUND, err);
}

static void take_line(struct pull *p)
{
    struct hub_line line;
    if (!hub_line_read(p->line, &line)) return;
    if (line.kind == HUB_LINE_PROGRESS) {
        if (p->progress) p->progress(p->context, line.text, line.bytes, line.total);
    } else if (line.kind == HUB_LINE_DONE) {
        snprintf(p->dir, sizeof p->dir, "%s", line.text);
        p->done = true;
    } else {
        err_set(&p->why, line.status, "%s", line.text);
        p->failed = true;
    }
}

/* An overlong line is cut, not kept. */
static void take_bytes(struct pull *p, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            p->line[p->n_line] = '\0';
            take_line(p);
            p->n_line = 0;
        } else if (p->n_line < sizeof p->line - 1) {
            p->line[p->n_line++] = data[i];
        }
    }
}

/* Listens until the child closes its output. *stopped: it was asked to end; *silent: it was killed. */
static void listen_to(struct pull *p, const struct hub_env *env, bool *stopped, bool *silent)
{
    uint64_t heard_ns = clock_ns();
    for (;;) {
        char data[4096];
        size_t n = 0;
        const enum child_heard heard = child_read(&p->child, data, sizeof data, POLL_MS, &n);
        if (heard == CHILD_CLOSED) return;
        if (heard == CHILD_SAID) {
            take_bytes(p, data, n);
            heard_ns = clock_ns();
        }
        if (!*stopped && env->stop && atomic_load(env->stop)) {
            *stopped = true;
            child_signal(&p->child, SIGTERM);
        }
        if (clock_ns() - heard_ns > (uint64_t)SILENCE_MS * 1000000u) {
            *silent = true;
            return;
        }
    }
}

static vecmill_status run_pull(const char *cache, const struct hub_ref *ref,
                               const struct hub_env *env, struct pull *p, vecmill_err *err)
{
    bool stopped = false, silent = false;
    struct child_end end;
    VM_TRY(start_pull(cache, ref, env, p, err));
    listen_to(p, env, &stopped, &silent);
    child_close(&p->child, silent ? 0 : END_MS, &end);

    if (p->done) return VECMILL_OK;
    if (stopped || end.sig == SIGINT || end.sig == SIGTERM) {
        return err_set(err, VECMILL_E_STOPPED,
                       "the pull of %s was stopped; the next one continues it", ref->name);
    }
    if (silent) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the pull of %s gave no sign of life for %d s and was ended", ref->name,
                       SILENCE_MS / 1000);
    }
    if (p->failed) return err_set(err, p->why.status, "%s", p->why.message);
    return err_set(err, VECMILL_E_NOTFOUND,
                   "vecmill-pull ended with %s %d before %s was there; the next pull continues it",
                   end.sig ? "signal" : "code", end.sig ? end.sig : end.code, ref->name);
}

/* Not a folder by its path, nor one that other libraries keep. */
static bool is_ours(const char *cache, const char *dir)
{
    const size_t n = strlen(cache);
    return strncmp(dir, cache, n) == 0 && dir[n] == '/';
}

vecmill_status hub_pull(const char *cache, const char *name, const struct hub_env *env,
                        hub_progress progress, void *context, char *dir, vecmill_err *err)
{
    vecmill_err first;
    struct hub_ref ref;
    void *memory = NULL;
    char here[IO_PATH_MAX];
    const char *forbids = !env->offline     ? NULL
                          : env->offline_by ? env->offline_by
                                            : "HF_HUB_OFFLINE";
    vecmill_status found = hub_find_or_say(cache, name, forbids, here, &first);
    if (found != VECMILL_OK && found != VECMILL_E_NOTFOUND) {
        return err_set(err, found, "%s", first.message);
    }
    /* Found, but not as the current revision: asked for by its commit, or left so by a pull that was
     * killed at its end. Putting that right is the child's work, too. */
    if (found == VECMILL_OK && (!is_ours(cache, here) || hub_is_current(here))) {
        memcpy(dir, here, strlen(here) + 1);
        return VECMILL_OK;
    }
    VM_TRY(hub_ref_parse(name, &ref, err));
    if (forbids && found != VECMILL_OK) return err_set(err, found, "%s", first.message);
    VM_TRY(mem_new(sizeof(struct pull), "the state of a pull", &memory, err));
    struct pull *p = memory;
    p->progress = progress;
    p->context = context;
    vecmill_status status = run_pull(cache, &ref, env, p, err);
    if (status == VECMILL_OK) memcpy(dir, p->dir, strlen(p->dir) + 1);
    mem_free(p);
    return status;
}
