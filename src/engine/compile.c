/* compile: a model's folder into a pack: text's section beside model's, neither knowing the other.
 * Runs in the worker program. Promises that a builder who comes second uses the first one's pack. */
#include "engine/engine.h"
#include "engine/source.h"

#include "kern/kern.h"
#include "model/model.h"
#include "text/text.h"

#include <string.h>

static bool is_there(const struct engine_source *source)
{
    struct pack pack;
    if (source_open(source, &pack, NULL) != VECMILL_OK) return false;
    pack_close(&pack);
    return true;
}

/* The key was taken before the files were read. Another key now: somebody changed them meanwhile, or
 * the session that asked is of another version than this program. */
static vecmill_status check_unchanged(const struct engine_source *source, const struct kern *kern,
                                      vecmill_err *err)
{
    char key[PACK_KEY_BYTES];
    VM_TRY(source_key(source->dir, kern, key, err));
    if (strcmp(key, source->key) == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: changed while its pack was built, or vecmill-worker is of another version",
                   source->dir);
}

vecmill_status engine_compile(const struct engine_source *source, const char *isa, unsigned wait_ms,
                              vecmill_err *err)
{
    const struct kern *kern;
    struct buf section;
    struct pack_writer w;
    VM_TRY(kern_select(isa, &kern, err));
    VM_TRY(pack_writer_open(source->path, source->key, wait_ms, &w, err));
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    vecmill_status status = VECMILL_OK;
    if (is_there(source)) {
        pack_drop(&w);
        goto done;
    }
    status = text_compile(source->dir, &section, err);
    if (status == VECMILL_OK) status = pack_begin(&w, ENGINE_TEXT_SECTION, err);
    if (status == VECMILL_OK) status = pack_write(&w, section.data, section.bytes, err);
    if (status == VECMILL_OK) status = pack_end(&w, err);
    if (status == VECMILL_OK) status = model_compile(source->dir, kern, &w, err);
    if (status == VECMILL_OK) status = check_unchanged(source, kern, err);
    if (status == VECMILL_OK) {
        status = pack_commit(&w, err);
    } else {
        pack_drop(&w);
    }
done:
    buf_done(&section);
    return status;
}
