/* model_ref: from a model's folder to the place and key of its pack; private to engine. */
#ifndef ENGINE_MODEL_REF_H
#define ENGINE_MODEL_REF_H

#include "engine/engine.h"
#include "engine/seen.h"
#include "kern/kern.h"

/* Resolves the folder, takes the digest of its files, and names the pack:
 *   CACHE/packs/<folder's last two names>-<hash of its path>-<level>-<precision>.pack
 * One pack for each folder, level and precision: a changed model replaces its pack, so that the cache
 * does not grow with every change. Of a model in the cache it is the path from there on. Makes no folder. On
 * failure *ref is unspecified. */
vecmill_status model_ref_describe(const char *model_dir, const char *cache_or_null,
                                  const struct kern *kern, enum kern_precision precision,
                                  struct model_ref *ref, vecmill_err *err);

/* What a pack of the folder's files, as they are now, is keyed by: reads them (model_digest). */
vecmill_status model_ref_key(const char *dir, const struct kern *kern,
                             enum kern_precision precision, char key[PACK_KEY_BYTES],
                             vecmill_err *err);

/* model_stamp of them. */
vecmill_status model_ref_stamp(const char *dir, char stamp[SEEN_DIGITS + 1], vecmill_err *err);

/* What was seen of the model's pack. */
void model_ref_seen(const struct model_ref *ref, struct seen *seen);

/* Maps the model's pack if it is there, made of the same files, and undamaged as far as its small
 * sections go (the weights, a hundred times as large, are proof.h's). It wants building else:
 * E_NOTFOUND, there is none of these files; E_MODEL, it is damaged. E_MEMORY: it may be as good as
 * any. */
vecmill_status model_ref_open(const struct model_ref *ref, struct pack *pack, vecmill_err *err);

/* The same for a pack that this process has not seen built: E_MODEL, too, when it is another
 * user's, who is not believed. */
vecmill_status model_ref_find(const struct model_ref *ref, struct pack *pack, vecmill_err *err);

/* The program vecmill-worker: `given`, else by child_find. */
vecmill_status worker_find(const char *given, char path[IO_PATH_MAX], vecmill_err *err);

/* The name of a pack in memory, as /proc shows it. */
#define MODEL_REF_MEMORY_NAME "vecmill-pack"

/* Whether a pack could be put there: by the rights to the nearest folder that there is. */
bool model_ref_is_writable(const struct model_ref *ref);

/* The pack's place becomes a file in memory, open in this process alone, whose descriptor is *fd:
 * others find it by /proc while that is open, and it is gone when no process has it open or mapped
 * any more. E_IO. */
vecmill_status model_ref_to_memory(struct model_ref *ref, int *fd, vecmill_err *err);
bool model_ref_in_memory(const struct model_ref *ref);

#endif
