/* doctor: what this machine allows, and whether a run would start.
 *
 * Changes nothing: it makes no folder, fetches nothing and builds no pack. Ends with 1 when something
 * it saw would stop a run, or, with --verify, when a pack is damaged. */
#include "app.h"

#include "hub/hub.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKER, PULL, BENCH, N_PROGRAMS };
static const struct {
    const char *name, *key;
} programs[N_PROGRAMS] = {
    [WORKER] = {"vecmill-worker", "worker"}, /* computes, and builds packs */
    [PULL] = {"vecmill-pull", "pull"},       /* downloads models */
    [BENCH] = {"vecmill-bench", "bench"},    /* measures */
};

#define PROBLEMS_MAX 16u /* that are reported */

struct doctor_facts {
    vecmill_machine machine;
    bool is_machine_known;
    char cache[IO_PATH_MAX];
    bool is_cache_writable;
    char programs[N_PROGRAMS][IO_PATH_MAX]; /* "": not found */
    char model[IO_PATH_MAX];
    bool is_model_there, is_offline;
    char problems[PROBLEMS_MAX][512];
    unsigned n_problems;
};

static void add_problem(struct doctor_facts *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_problem(struct doctor_facts *f, const char *format, ...)
{
    va_list ap;
    if (f->n_problems == PROBLEMS_MAX) return;
    va_start(ap, format);
    (void)vsnprintf(f->problems[f->n_problems++], sizeof(f->problems[0]), format, ap);
    va_end(ap);
}

/* Can the folder be written, or made in the nearest one that exists? */
static bool is_writable(const char *dir)
{
    char path[IO_PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s", dir);
    while (!io_exists(path)) {
        char *slash = strrchr(path, '/');
        if (!slash) return access(".", W_OK | X_OK) == 0;
        if (slash == path) return access("/", W_OK | X_OK) == 0;
        *slash = 0;
    }
    return access(path, W_OK | X_OK) == 0;
}

static void gather_facts(struct doctor_facts *f)
{
    vecmill_err err;
    f->machine.struct_bytes = sizeof(f->machine);
    f->is_machine_known = vecmill_machine_describe(&f->machine, &err) == VECMILL_OK;
    if (!f->is_machine_known)
        add_problem(f, "%s", err.message);
    else if (!f->machine.isa[0])
        add_problem(f, "VECMILL_ISA names no instruction set that this machine has; the best is %s",
                    f->machine.isa_best);

    if (cache_dir(f->cache, &err) != VECMILL_OK) {
        f->cache[0] = 0;
        add_problem(f, "%s", err.message);
    } else {
        f->is_cache_writable = is_writable(f->cache);
        /* One that is there and read-only, as in an image, serves. */
        if (!f->is_cache_writable && !io_exists(f->cache))
            add_problem(f,
                        "the cache folder %.300s is not there and cannot be made: nothing can be "
                        "fetched, and each run builds its pack in memory",
                        f->cache);
    }
    for (size_t i = 0; i < N_PROGRAMS; i++)
        (void)child_find(programs[i].name, f->programs[i], VECMILL_E_NOTFOUND, NULL);
    if (!f->programs[WORKER][0])
        add_problem(
            f, "the program vecmill-worker is neither beside vecmill nor in its libexec folder, so "
               "neither can a pack be made nor embed start");

    struct hub_env env;
    hub_env_read(&env);
    f->is_offline = env.offline;
    f->is_model_there =
        f->cache[0] && hub_find(f->cache, OPTIONS_DEFAULT_MODEL, f->model, NULL) == VECMILL_OK;
    if (!f->is_model_there && f->is_offline)
        add_problem(f,
                    "the default model " OPTIONS_DEFAULT_MODEL " is not here, and %s forbids to "
                    "fetch it",
                    env.offline_by);
    else if (!f->is_model_there && !f->programs[PULL][0])
        add_problem(f, "the default model " OPTIONS_DEFAULT_MODEL
                       " is not here, and the program vecmill-pull"
                       " that fetches models is neither beside vecmill nor in its libexec folder");
}

/* ---- --verify ---- */

typedef void print_pack(struct app_out *out, const char *path, uint64_t bytes, const char *wrong);

static void print_json_pack(struct app_out *out, const char *path, uint64_t bytes,
                            const char *wrong)
{
    app_json_open(out, '{');
    app_json_key_string(out, "path", path);
    app_json_key_u64(out, "bytes", bytes);
    app_json_key_string(out, "wrong", wrong);
    app_json_close(out, '}');
}

static void print_text_pack(struct app_out *out, const char *path, uint64_t bytes,
                            const char *wrong)
{
    char text[APP_NUMBER_BYTES];
    const char *slash = strrchr(path, '/');
    app_print(out, "pack              %s, %s: %s\n", app_megabytes(bytes, text),
              wrong ? "damaged" : "as it was built", slash ? slash + 1 : path);
}

static int is_pack(const struct dirent *entry)
{
    static const char ending[] = ".pack";
    const size_t n = strlen(entry->d_name);
    return n > sizeof(ending) - 1 && strcmp(entry->d_name + n - (sizeof(ending) - 1), ending) == 0;
}

/* Reads a pack whole and compares its checksums. */
static void verify_pack(struct doctor_facts *f, struct app_out *out, print_pack *print,
                        const char *path)
{
    struct pack pack = {0};
    vecmill_err why;
    vecmill_status status = pack_open(path, &pack, &why);
    const uint64_t bytes = pack.map.bytes;
    if (status == VECMILL_OK) status = pack_verify_small(&pack, SIZE_MAX, &why);
    const char *wrong = status == VECMILL_OK ? NULL : why.message;
    print(out, path, bytes, wrong);
    if (wrong)
        add_problem(f, "the pack %.280s is damaged, the next run builds it anew: %.180s", path,
                    wrong);
    pack_close(&pack);
}

/* Every pack of the cache, by name. A cache that is not there has none. */
static void verify_all(struct doctor_facts *f, struct app_out *out, print_pack *print)
{
    char folder[IO_PATH_MAX], path[IO_PATH_MAX];
    struct dirent **names = NULL;
    vecmill_err err;
    if (!f->cache[0]) return;
    if (io_join(f->cache, "packs", folder, &err) != VECMILL_OK) {
        add_problem(f, "%s", err.message);
        return;
    }
    const int n = scandir(folder, &names, is_pack, alphasort);
    if (n < 0 && errno != ENOENT) add_problem(f, "%s: cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (io_join(folder, names[i]->d_name, path, &err) == VECMILL_OK)
            verify_pack(f, out, print, path);
        else
            add_problem(f, "%s", err.message);
        mem_free(names[i]);
    }
    mem_free(names);
}

static void print_doctor_json(struct app_out *out, struct doctor_facts *f, bool verify)
{
    const vecmill_machine *m = &f->machine;
    app_json_open(out, '{');
    app_json_key_string(out, "version", vecmill_version());
    if (f->is_machine_known) {
        app_json_key_string(out, "isa_best", m->isa_best);
        app_json_key_string(out, "isa", m->isa);
        app_json_key_u64(out, "cpus_online", m->cpus_online);
        app_json_key_u64(out, "cpus_allowed", m->cpus_allowed);
        app_json_key_real(out, "cpus_quota", m->cpus_quota > 0 ? m->cpus_quota : (double)NAN, 3);
        app_json_key_u64(out, "cpus", m->cpus);
        app_json_bytes(out, "memory_total", m->memory_total);
        app_json_bytes(out, "memory_available", m->memory_available);
        app_json_bytes(out, "memory_limit", m->memory_limit);
        app_json_key_string(out, "memory_limit_source", m->memory_limit_source);
        app_json_bytes(out, "data_limit", m->data_limit);
        app_json_bytes(out, "address_limit", m->address_limit);
        app_json_bytes(out, "limit", m->limit);
        app_json_key_string(out, "limit_source", m->limit_source);
        app_json_bytes(out, "memory_room", m->memory_room);
        app_json_key_u64(out, "groups_left_out", m->groups_left_out);
        app_json_key_real(out, "memory_pressure",
                          m->memory_pressure >= 0 ? m->memory_pressure : (double)NAN, 2);
        app_json_key_i64(out, "cgroup_version", m->cgroup_version);
        app_json_key_bool(out, "oom_group", m->oom_group != 0);
        app_json_key_bool(out, "psi", m->psi != 0);
        app_json_key_bool(out, "huge_pages_always", m->huge_pages_always != 0);
    }
    app_json_key_string(out, "cache", f->cache);
    app_json_key_bool(out, "cache_writable", f->is_cache_writable);
    for (size_t i = 0; i < N_PROGRAMS; i++)
        app_json_key_string(out, programs[i].key, f->programs[i][0] ? f->programs[i] : NULL);
    app_json_key_string(out, "default_model", f->is_model_there ? f->model : NULL);
    app_json_key_bool(out, "offline", f->is_offline);
    if (verify) {
        app_json_key(out, "packs");
        app_json_open(out, '[');
        verify_all(f, out, print_json_pack);
        app_json_close(out, ']');
    }
    app_json_key(out, "problems");
    app_json_open(out, '[');
    for (unsigned i = 0; i < f->n_problems; i++)
        app_json_string(out, f->problems[i]);
    app_json_close(out, ']');
    app_json_close(out, '}');
    app_json_line(out);
}

static const char *memory_text(uint64_t bytes, char *text)
{
    return bytes == UINT64_MAX ? "unknown" : app_megabytes(bytes, text);
}

static const char *limit_text(uint64_t bytes, char *text)
{
    return bytes == UINT64_MAX ? "unlimited" : app_megabytes(bytes, text);
}

static void print_machine(struct app_out *out, const vecmill_machine *m)
{
    char a[APP_NUMBER_BYTES], b[APP_NUMBER_BYTES];
    app_print(out, "instruction set   %s (the best here: %s)\n", m->isa[0] ? m->isa : "none",
              m->isa_best);
    app_print(out, "processors        %u online, %u allowed, ", m->cpus_online, m->cpus_allowed);
    if (m->cpus_quota > 0)
        app_print(out, "a quota of %.2f", m->cpus_quota);
    else
        app_print(out, "no quota");
    app_print(out, ": %u can be kept busy\n", m->cpus);
    app_print(out, "memory            %s, available %s\n", memory_text(m->memory_total, a),
              memory_text(m->memory_available, b));
    if (m->cgroup_version == 0)
        app_print(out, "cgroup            no memory controller is visible\n");
    else if (m->memory_limit == UINT64_MAX)
        app_print(out, "cgroup            version %d, without a memory limit\n", m->cgroup_version);
    else
        app_print(out, "cgroup            version %d, limit %s (%s)\n", m->cgroup_version,
                  app_megabytes(m->memory_limit, a), m->memory_limit_source);
    if (m->data_limit != UINT64_MAX || m->address_limit != UINT64_MAX)
        app_print(out, "resource limits   data %s, address space %s\n",
                  limit_text(m->data_limit, a), limit_text(m->address_limit, b));
    if (m->limit == UINT64_MAX)
        app_print(out, "memory limit      none is known\n");
    else
        app_print(out, "memory limit      %s (%s)\n", app_megabytes(m->limit, a), m->limit_source);
    app_print(out, "memory room       %s%s\n", memory_text(m->memory_room, a),
              m->memory_room == UINT64_MAX
                  ? ""
                  : " before more than plain file cache has to be reclaimed");
    if (m->groups_left_out > 0)
        app_print(out, "                  or less: %u cgroups are too deep to be asked\n",
                  m->groups_left_out);
    if (m->memory_pressure >= 0)
        app_print(
            out,
            "memory pressure   %.2f %% of the last 10 seconds a task waited for memory (PSI)\n",
            m->memory_pressure);
    else
        app_print(out, "memory pressure   not reported by the kernel (no PSI)\n");
    app_print(out, "oom group         %s\n",
              m->oom_group
                  ? "on: an out-of-memory kill takes every process of the group, this "
                    "program too; the same command with --resume goes on afterwards"
                  : "off: an out-of-memory kill takes one process, and a worker is replaced");
    app_print(out, "huge pages        %s\n",
              m->huge_pages_always ? "always: resident memory grows in steps of 2 MiB"
                                   : "only where asked for");
}

static void print_doctor_text(struct app_out *out, struct doctor_facts *f, bool verify)
{
    app_print(out, "vecmill           %s\n", vecmill_version());
    if (f->is_machine_known) print_machine(out, &f->machine);
    app_print(out, "cache             %s (%s)\n", f->cache[0] ? f->cache : "none",
              f->is_cache_writable ? "writable"
                                   : "not writable: packs that are not in it are built in memory");
    for (size_t i = 0; i < N_PROGRAMS; i++)
        app_print(out, "%s program%*s%s\n", programs[i].key, (int)(10 - strlen(programs[i].key)),
                  "", f->programs[i][0] ? f->programs[i] : "not found");
    app_print(out, "default model     %s\n",
              f->is_model_there ? f->model
              : f->is_offline   ? "not here"
                                : "not here; `vecmill pull " OPTIONS_DEFAULT_MODEL "` fetches it");
    if (verify) verify_all(f, out, print_text_pack);
    for (unsigned i = 0; i < f->n_problems; i++)
        app_print(out, "problem           %s\n", f->problems[i]);
}

vecmill_status cmd_doctor(struct app *app, vecmill_err *err)
{
    struct doctor_facts f = {0};
    gather_facts(&f);
    if (app->options->json)
        print_doctor_json(&app->out, &f, app->options->verify);
    else
        print_doctor_text(&app->out, &f, app->options->verify);
    if (f.n_problems == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_INTERNAL, "%u problem%s; the first: %.200s", f.n_problems,
                   f.n_problems == 1 ? "" : "s", f.problems[0]);
}
