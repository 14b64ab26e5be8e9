/* hub_pull: a model made present, by the program vecmill-pull.
 *
 * Promises: the caller's process opens no connection and loads no library for it; the child is waited
 * for by its pid, and it gives a sign of life every second or is killed. The child's arguments are
 * listed in hub_fetch_main.c; its standard input brings the token, since arguments are public; its
 * standard output brings lines: "P bytes total file" progress, "D dir" done, "E status message" failed.
 * Does not know how a download works. */
#include "hub_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES (IO_PATH_MAX + 64)
#define POLL_MS        200
#define SILENCE_MS     300000 /* an fsync of a large file on a slow disk is the longest known silence */
#define TOKEN_MAX      1024 /* far below what a pipe takes without a reader, 4,096 */

extern char **environ;

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

/* The child and what it said so far. */
struct child {
    pid_t pid;
    int out; /* its standard output, read end, non-blocking */
    hub_progress progress;
    void *context;
    char line[LINE_MAX_BYTES];
    size_t n_line;
    bool done;   /* a "D" line came; dir is filled */
    bool failed; /* an "E" line came; why is filled */
    char dir[IO_PATH_MAX];
    vecmill_err why;
};

/* Beside the running program, else where it is installed; never by PATH. */
static vecmill_status find_program(const struct hub_env *env, char *path, vecmill_err *err)
{
    char self[IO_PATH_MAX];
    if (env->program) {
        snprintf(path, IO_PATH_MAX, "%s", env->program);
        return VECMILL_OK;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
        if (io_join(self, "vecmill-pull", path, NULL) == VECMILL_OK && access(path, X_OK) == 0) {
            return VECMILL_OK;
        }
    }
    snprintf(path, IO_PATH_MAX, "%s/vecmill-pull", VECMILL_LIBEXEC);
    if (access(path, X_OK) == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_NOTFOUND,
                   "the program vecmill-pull is neither beside this one nor in %s",
                   VECMILL_LIBEXEC);
}

/* Starts path with the two ends of pipes as its input and output. */
static int spawn(const char *path, char *const argv[], int in, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none; /* nothing blocked; what is ignored stays so, as after nohup */
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0) return ENOMEM;
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    int e = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (e == 0) e = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (e == 0) e = posix_spawn(pid, path, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static vecmill_status start(const char *cache, const struct hub_ref *ref, const struct hub_env *env,
                            struct child *c, vecmill_err *err)
{
    char path[IO_PATH_MAX], name[HUB_NAME_MAX + HUB_COMMIT_BYTES + 2], numbers[5][24];
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    vecmill_status status;
    size_t n_token = env->token ? strlen(env->token) : 0;
    if (n_token > TOKEN_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND, "HF_TOKEN has %zu bytes, at most %d are possible",
                       n_token, TOKEN_MAX);
    }
    VM_TRY(find_program(env, path, err));
    snprintf(name, sizeof name, "%s%s%s", ref->name, ref->commit[0] ? "@" : "", ref->commit);
    const unsigned values[5] = {env->connect_s, env->stall_s, env->attempts, env->backoff_ms,
                                (unsigned)getpid()};
    for (size_t i = 0; i < 5; i++)
        snprintf(numbers[i], sizeof numbers[i], "%u", values[i]);
    const char *const words[] = {path,       cache,       name,       env->endpoint,
                                 numbers[0], numbers[1],  numbers[2], numbers[3],
                                 numbers[4], env->python, NULL};
    char *argv[sizeof words / sizeof words[0]]; /* posix_spawn's type lacks a const */
    memcpy(argv, words, sizeof words);
    /* The parent's ends must not block; the child's are blocking, as a program expects. */
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
        fcntl(out[0], F_SETFL, O_NONBLOCK) != 0) {
        status = err_sys(err, VECMILL_E_NOTFOUND, errno, "no pipe for vecmill-pull");
        goto done;
    }
    /* Written before there is a reader, so that a child that dies at once cannot raise SIGPIPE here. */
    status = io_write(in[1], n_token ? env->token : "", n_token, "the pipe to vecmill-pull",
                      VECMILL_E_NOTFOUND, err);
    if (status != VECMILL_OK) goto done;
    int e = spawn(path, argv, in[0], out[1], &c->pid);
    if (e != 0) {
        status = err_sys(err, VECMILL_E_NOTFOUND, e, "%s: cannot be started", path);
        goto done;
    }
    c->out = out[0];
    out[0] = -1;
done:
    close_end(&in[0]);
    close_end(&in[1]);
    close_end(&out[0]);
    close_end(&out[1]);
    return status;
}

/* One line of the child's, terminated. */
static void take_line(struct child *c)
{
    char *rest = c->line + 2;
    if (c->n_line < 2 || c->line[1] != ' ') return;
    if (c->line[0] == 'P') {
        uint64_t bytes = strtoull(rest, &rest, 10);
        uint64_t total = strtoull(rest, &rest, 10);
        if (*rest == ' ' && c->progress) c->progress(c->context, rest + 1, bytes, total);
    } else if (c->line[0] == 'D') {
        snprintf(c->dir, sizeof c->dir, "%s", rest);
        c->done = true;
    } else if (c->line[0] == 'E') {
        unsigned long status = strtoul(rest, &rest, 10);
        bool known = status > VECMILL_OK && status < VECMILL_STATUS_COUNT && *rest == ' ';
        err_set(&c->why, known ? (vecmill_status)status : VECMILL_E_INTERNAL, "%s",
                known ? rest + 1 : "vecmill-pull failed without saying why");
        c->failed = true;
    }
}

/* Reads what is there. False at the end of the stream. An overlong line is cut, not kept. */
static bool take_bytes(struct child *c)
{
    char data[4096];
    ssize_t n = read(c->out, data, sizeof data);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    for (ssize_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            c->line[c->n_line] = '\0';
            take_line(c);
            c->n_line = 0;
        } else if (c->n_line < sizeof c->line - 1) {
            c->line[c->n_line++] = data[i];
        }
    }
    return n > 0;
}

/* Listens until the child closes its output. *stopped: it was asked to end; *silent: it was killed. */
static void listen_to(struct child *c, const struct hub_env *env, bool *stopped, bool *silent)
{
    uint64_t heard = clock_ns();
    for (;;) {
        struct pollfd p = {.fd = c->out, .events = POLLIN};
        int ready = poll(&p, 1, POLL_MS);
        if (ready > 0) {
            if (!take_bytes(c)) return;
            heard = clock_ns();
        }
        if (!*stopped && env->stop && atomic_load(env->stop)) {
            *stopped = true;
            kill(c->pid, SIGTERM);
        }
        if (!*silent && clock_ns() - heard > (uint64_t)SILENCE_MS * 1000000u) {
            *silent = true;
            kill(c->pid, SIGKILL);
        }
    }
}

static vecmill_status run(const char *cache, const struct hub_ref *ref, const struct hub_env *env,
                          struct child *c, vecmill_err *err)
{
    bool stopped = false, silent = false;
    int wait_status = 0;
    VM_TRY(start(cache, ref, env, c, err));
    listen_to(c, env, &stopped, &silent);
    close(c->out);
    pid_t got;
    do {
        got = waitpid(c->pid, &wait_status, 0);
    } while (got < 0 && errno == EINTR);
    /* got < 0: the host ignores SIGCHLD and the kernel has reaped it; the lines tell all that counts. */
    int sig = got == c->pid && WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;

    if (c->done) return VECMILL_OK;
    if (stopped || sig == SIGINT || sig == SIGTERM) {
        return err_set(err, VECMILL_E_STOPPED,
                       "the pull of %s was stopped; the next one continues it", ref->name);
    }
    if (silent) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the pull of %s gave no sign of life for %d s and was ended", ref->name,
                       SILENCE_MS / 1000);
    }
    if (c->failed) return err_set(err, c->why.status, "%s", c->why.message);
    return err_set(err, VECMILL_E_NOTFOUND,
                   "vecmill-pull ended with %s %d before %s was there; the next pull continues it",
                   sig ? "signal" : "code", sig ? sig : WEXITSTATUS(wait_status), ref->name);
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
    VM_TRY(mem_new(sizeof(struct child), "the state of a pull", &memory, err));
    struct child *c = memory;
    c->out = -1;
    c->progress = progress;
    c->context = context;
    vecmill_status status = run(cache, &ref, env, c, err);
    if (status == VECMILL_OK) memcpy(dir, c->dir, strlen(c->dir) + 1);
    mem_free(c);
    return status;
}
