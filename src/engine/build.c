/* build: how a pack is made. The process that wants one starts vecmill-worker, which compiles the
 * model's folder and has the baseline of a worker measured by another vecmill-worker; the memory of
 * both ends with them.
 *
 * Promises: base/child.h's of each child; a child's bytes are judged as hostile: the answer comes
 * through the pipe, the wait status only names a death. A builder who comes second uses the first
 * one's pack. One thing is done after the other, so that the memory of it all is what build_bytes
 * says. */
#include "engine/build.h"

#include "engine/resolve.h"
#include "engine/worker_args.h"
#include "host/host.h"
#include "model/model.h"
#include "text/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- asking another process ---- */

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

vecmill_status build_ask(const struct model_ref *ref, const char *worker, const char *isa,
                         vecmill_precision precision, vecmill_err *err)
{
    const struct worker_args args = {
        .mode = WORKER_PACK, .parent = getpid(), .isa = isa, .precision = precision, .ref = ref};
    struct worker_argv argv;
    char what[IO_PATH_MAX + 16];
    size_t got;
    if (!model_ref_in_memory(ref)) {
        snprintf(what, sizeof what, "%s", ref->path);
        *strrchr(what, '/') = '\0';
        VM_TRY(io_make_dirs(what, VECMILL_E_IO, err));
    }
    snprintf(what, sizeof(what), "building %s", ref->path);
    worker_args_encode(&args, &argv);
    return worker_ask(worker, argv.words, what, NULL, 0, &got, err);
}

/* ---- the baseline of a worker ---- */

/* Of 40 measurements the most and the least are a page apart; room for what an environment puts on the stack
 * (up to 128 KiB of it, beyond what was there) and a libc's patch level. */
#define SLACK_BYTES ((uint64_t)128 << 10)

/* Measured with gcc 12 and glibc 2.36, the most of 40 runs of `vecmill-worker baseline`: 144 KiB
 * (tests/engine/test_build_memory.c repeats it); and as much again, for other builds of it and of libc. */
#define PROGRAM_BYTES ((uint64_t)288 << 10)

void baseline_bound(struct baseline *baseline)
{
    *baseline = (struct baseline){
        .version = BASELINE_VERSION,
        .bytes = sizeof *baseline,
        .program_bytes = PROGRAM_BYTES,
        .slack = SLACK_BYTES,
    };
}

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

vecmill_status baseline_measure(struct baseline *baseline, vecmill_err *err)
{
    uint64_t held = 0;
    bool known;
    mem_settle();
    VM_TRY(anonymous_bytes(&held, &known, err));
    baseline_bound(baseline);
    if (known) baseline->program_bytes = held;
    return VECMILL_OK;
}

static vecmill_status baseline_ask(struct baseline *baseline, vecmill_err *err)
{
    const struct worker_args args = {.mode = WORKER_BASELINE, .parent = getpid()};
    struct worker_argv argv;
    struct baseline b;
    size_t got = 0;
    worker_args_encode(&args, &argv);
    VM_TRY(worker_ask("/proc/self/exe", argv.words, "measuring a worker's baseline", (char *)&b,
                      sizeof b, &got, err));
    if (got != sizeof b || b.version != BASELINE_VERSION || b.bytes != sizeof b) {
        return err_set(err, VECMILL_E_INTERNAL,
                       "measuring a worker's baseline: %zu bytes were answered, a record has %zu",
                       got, sizeof b);
    }
    *baseline = b;
    return VECMILL_OK;
}

vecmill_status baseline_read(const struct pack *pack, struct baseline *baseline, vecmill_err *err)
{
    const void *data;
    size_t bytes;
    struct baseline f;
    VM_TRY(pack_find(pack, BASELINE_SECTION, &data, &bytes, err));
    if (bytes == sizeof f) memcpy(&f, data, sizeof f);
    if (bytes != sizeof f || f.version != BASELINE_VERSION || f.bytes != sizeof f) {
        return err_set(err, VECMILL_E_MODEL,
                       "the pack's section %s of %zu bytes is no record of version %u",
                       BASELINE_SECTION, bytes, BASELINE_VERSION);
    }
    *baseline = f;
    return VECMILL_OK;
}

/* ---- building, in vecmill-worker ---- */

/* All of it is checked: the process that asks may have found this pack damaged. */
static bool is_there(const struct model_ref *ref)
{
    struct pack pack;
    struct proof proof = {.fd = -1};
    if (model_ref_in_memory(ref) || model_ref_find(ref, &pack, NULL) != VECMILL_OK) return false;
    pack_close(&pack);
    vecmill_status status = proof_open(&proof, ref, NULL);
    if (status == VECMILL_OK && !proof.is_made) status = proof_make(&proof, NULL);
    proof_close(&proof);
    return status == VECMILL_OK;
}

static vecmill_status open_writer(const struct model_ref *ref, unsigned wait_ms,
                                  struct pack_writer *w, vecmill_err *err)
{
    if (!model_ref_in_memory(ref)) return pack_writer_open(ref->path, ref->key, wait_ms, w, err);
    const int fd = open(ref->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return err_sys(err, VECMILL_E_IO, errno, "%s: cannot be opened", ref->path);
    return pack_writer_onto(fd, ref->path, ref->key, w, err);
}

/* The key was taken before the files were read, and the stamp too. If they differ now, somebody changed
 * them meanwhile, or the session that asked is of another version than this program. */
static vecmill_status check_unchanged(const struct model_ref *ref, const struct kern *kern,
                                      enum kern_precision precision, const char *before,
                                      vecmill_err *err)
{
    char key[PACK_KEY_BYTES], stamp[MODEL_REF_DIGITS + 1];
    VM_TRY(model_ref_key(ref->dir, kern, precision, key, err));
    VM_TRY(model_ref_stamp(ref->dir, stamp, err));
    if (strcmp(key, ref->key) == 0 && strcmp(stamp, before) == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: changed while its pack was built, or vecmill-worker is of another version",
                   ref->dir);
}

/* The first tokens of both answers, each by itself; false: one has none. */
static bool find_words(const struct text *text, void *scratch, const struct model_question *q,
                       int32_t words[2])
{
    struct text_result yes, no;
    text_encode_bare(text, scratch, q->yes, strlen(q->yes), 1, &words[0], &yes);
    text_encode_bare(text, scratch, q->no, strlen(q->no), 1, &words[1], &no);
    return yes.n_ids == 1 && no.n_ids == 1;
}

static vecmill_status read_words(const struct buf *section, const struct model_question *q,
                                 int32_t words[2], bool *found, vecmill_err *err)
{
    struct text text;
    void *scratch = NULL;
    VM_TRY(text_open(section->data, section->bytes, &text, err));
    const size_t bytes = num_max(text_scratch_bytes(&text), 64);
    VM_TRY(mem_map(bytes, "a tokenizer's scratch", &scratch, err));
    *found = find_words(&text, scratch, q, words);
    mem_unmap(scratch, bytes);
    return VECMILL_OK;
}

/* q: of a model that is asked, else NULL. *found: whether words are the tokens of its answers. */
static vecmill_status add_text(const struct model_ref *ref, const struct model_question *q,
                               struct pack_writer *w, int32_t words[2], bool *found,
                               vecmill_err *err)
{
    struct buf section;
    char folder[IO_PATH_MAX];
    VM_TRY(model_folder(ref->dir, folder, err));
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    vecmill_status status = text_compile(folder, &section, err);
    if (status == VECMILL_OK) status = pack_begin(w, ENGINE_TEXT_SECTION, err);
    if (status == VECMILL_OK) status = pack_write(w, section.data, section.bytes, err);
    if (status == VECMILL_OK) status = pack_end(w, err);
    if (status == VECMILL_OK && q) status = read_words(&section, q, words, found, err);
    buf_done(&section);
    return status;
}

static vecmill_status add_model(const struct model_ref *ref, const struct kern *kern,
                                enum kern_precision precision, struct pack_writer *w,
                                vecmill_err *err)
{
    void *memory = NULL;
    int32_t words[2];
    bool found = false;
    VM_TRY(mem_new(sizeof(struct model_config), "a model's configuration", &memory, err));
    struct model_config *config = memory;
    vecmill_status status = model_config_of_folder(ref->dir, precision, config, err);
    const struct model_question *q = status == VECMILL_OK ? model_question(config) : NULL;
    mem_free(memory);
    if (status == VECMILL_OK) status = add_text(ref, q, w, words, &found, err);
    if (status != VECMILL_OK) return status;
    return model_compile(ref->dir, kern, precision, found ? words : NULL, w, err);
}

static vecmill_status add_baseline(struct pack_writer *w, vecmill_err *err)
{
    struct baseline baseline;
    if (access("/proc/self/exe", X_OK) == 0)
        VM_TRY(baseline_ask(&baseline, err));
    else
        baseline_bound(&baseline); /* no /proc: it could not be measured either */
    VM_TRY(pack_begin(w, BASELINE_SECTION, err));
    VM_TRY(pack_write(w, &baseline, sizeof baseline, err));
    return pack_end(w, err);
}

vecmill_status build_run(const struct model_ref *ref, const char *isa, vecmill_precision asked,
                         unsigned wait_ms, vecmill_err *err)
{
    const enum kern_precision precision = resolve_precision(asked);
    const struct kern *kern;
    struct pack_writer w;
    char stamp[MODEL_REF_DIGITS + 1];
    mem_map_large();
    VM_TRY(kern_select(isa, &kern, err));
    VM_TRY(open_writer(ref, wait_ms, &w, err));
    if (is_there(ref)) {
        pack_drop(&w);
        return VECMILL_OK;
    }
    vecmill_status status = model_ref_stamp(ref->dir, stamp, err);
    if (status == VECMILL_OK) status = add_model(ref, kern, precision, &w, err);
    if (status == VECMILL_OK) status = add_baseline(&w, err);
    if (status == VECMILL_OK) status = check_unchanged(ref, kern, precision, stamp, err);
    if (status == VECMILL_OK) {
        status = pack_commit(&w, err);
    } else {
        pack_drop(&w);
    }
    return status;
}

vecmill_status build_bytes(const char *dir, size_t *bytes, vecmill_err *err)
{
    struct baseline baseline;
    char folder[IO_PATH_MAX];
    size_t text, model;
    baseline_bound(&baseline);
    VM_TRY(model_folder(dir, folder, err));
    VM_TRY(text_compile_most(folder, &text, err));
    VM_TRY(model_compile_most(dir, &model, err));
    /* One after the other: the child that measures the baseline runs when the memory of both is free. */
    const size_t program = (size_t)(baseline.program_bytes + baseline.slack);
    *bytes = program + num_max(program, num_max(text, model));
    return VECMILL_OK;
}
