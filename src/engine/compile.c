/* compile: a model's folder into a pack: text's section beside model's, neither knowing the other.
 * Runs in the worker program. Promises that a builder who comes second uses the first one's pack, and that
 * the memory it takes is what build_plan.c tells: one thing after the other. */
#include "engine/baseline.h"
#include "engine/engine.h"
#include "engine/proof.h"
#include "engine/resolve.h"

#include "kern/kern.h"
#include "model/model.h"
#include "text/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Whole: whoever asks for a pack may have found this one damaged. */
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

/* The key was taken before the files were read, and the stamp too. Others now: somebody changed
 * them meanwhile, or the session that asked is of another version than this program. */
static vecmill_status check_unchanged(const struct model_ref *ref, const struct kern *kern,
                                      enum kern_precision precision, const char *before,
                                      vecmill_err *err)
{
    char key[PACK_KEY_BYTES], stamp[SEEN_DIGITS + 1];
    VM_TRY(model_ref_key(ref->dir, kern, precision, key, err));
    VM_TRY(model_ref_stamp(ref->dir, stamp, err));
    if (strcmp(key, ref->key) == 0 && strcmp(stamp, before) == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: changed while its pack was built, or vecmill-worker is of another version",
                   ref->dir);
}

static vecmill_status add_text(const struct model_ref *ref, struct pack_writer *w, vecmill_err *err)
{
    struct buf section;
    char folder[IO_PATH_MAX];
    VM_TRY(model_folder(ref->dir, folder, err));
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    vecmill_status status = text_compile(folder, &section, err);
    if (status == VECMILL_OK) status = pack_begin(w, ENGINE_TEXT_SECTION, err);
    if (status == VECMILL_OK) status = pack_write(w, section.data, section.bytes, err);
    if (status == VECMILL_OK) status = pack_end(w, err);
    buf_done(&section);
    return status;
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

vecmill_status engine_compile(const struct model_ref *ref, const char *isa, vecmill_precision asked,
                              unsigned wait_ms, vecmill_err *err)
{
    const enum kern_precision precision = resolve_precision(asked);
    const struct kern *kern;
    struct pack_writer w;
    char stamp[SEEN_DIGITS + 1];
    mem_map_large();
    jsonx_claim(SIZE_MAX);
    VM_TRY(kern_select(isa, &kern, err));
    VM_TRY(open_writer(ref, wait_ms, &w, err));
    if (is_there(ref)) {
        pack_drop(&w);
        return VECMILL_OK;
    }
    vecmill_status status = model_ref_stamp(ref->dir, stamp, err);
    if (status == VECMILL_OK) status = add_text(ref, &w, err);
    if (status == VECMILL_OK) status = model_compile(ref->dir, kern, precision, &w, err);
    if (status == VECMILL_OK) status = add_baseline(&w, err);
    if (status == VECMILL_OK) status = check_unchanged(ref, kern, precision, stamp, err);
    if (status == VECMILL_OK) {
        status = pack_commit(&w, err);
    } else {
        pack_drop(&w);
    }
    return status;
}
