/* model_ref: from a model's folder to the place and key of its pack, and what is known of that pack.
 *
 * What was found out about a pack is noted next to it, as PACK.seen: the digest of the model's files, and
 * that its checksums were compared. It saves time and is never required: where it is missing, cannot be
 * written, is damaged or another user's, all is found out again. Private to engine. */
#ifndef ENGINE_MODEL_REF_H
#define ENGINE_MODEL_REF_H

#include "base/base.h"
#include "kern/kern.h"
#include "vecmill.h"

#include <sys/stat.h>

#define MODEL_REF_DIGITS ((size_t)32) /* of a stamp or digest */

/* A model's folder, and the place and key of its pack. */
struct model_ref {
    char dir[IO_PATH_MAX];  /* the model's folder, resolved */
    char path[IO_PATH_MAX]; /* of the pack */
    char key[PACK_KEY_BYTES];
    char identity[33]; /* of a worker's: what the pack must come to (vecmill_facts); else "" */
};

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

/* model_stamp of them, as digits. */
vecmill_status model_ref_stamp(const char *dir, char stamp[MODEL_REF_DIGITS + 1], vecmill_err *err);

/* Maps the model's pack if it is there, made of the same files, and undamaged as far as its small
 * sections go (the weights, a hundred times as large, are proof_make's). Else it has to be built:
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

/* Whether the pack could be put in its place: by the rights to the nearest folder that there is. */
bool model_ref_is_writable(const struct model_ref *ref);

/* The pack's place becomes a file in memory, open in this process alone, whose descriptor is *fd:
 * others find it by /proc while that is open, and it is gone when no process has it open or mapped
 * any more. E_IO. */
vecmill_status model_ref_to_memory(struct model_ref *ref, int *fd, vecmill_err *err);
bool model_ref_in_memory(const struct model_ref *ref);

/* ---- proof: whether a pack still holds what was written into it ----
 *
 * The checksums of all its sections, the weights' too. Reading them takes 0.2 s a gigabyte, so it
 * is done once for each file, by device, inode, size and times, which is noted next to it
 * (PACK.seen); and again where there is reason to. Reads through a fixed buffer and maps nothing.
 * */

struct proof {
    const struct model_ref *ref; /* borrowed */
    int fd;                      /* of the pack; -1: not open */
    bool is_made;
    struct stat file; /* as it was then */
    struct pack_section sections[PACK_SECTIONS_MAX];
    uint32_t n_sections;
    void *buffer;
    XXH3_state_t *hash;
};

/* Memory that an open proof has. */
size_t proof_bytes(void);

/* Opens the model's pack. It is proven already where that was seen before. E_MODEL: it is none, or
 * of other files; E_MEMORY. Pair: proof_close, which accepts one that was never opened if its fd is
 * -1. */
vecmill_status proof_open(struct proof *proof, const struct model_ref *ref, vecmill_err *err);
void proof_close(struct proof *proof);

/* Whether the file is the one that was proven, and nobody has written to it since. */
bool proof_holds(const struct proof *proof);

/* Reads all of it and compares. E_MODEL: it is damaged, or cannot be read. */
vecmill_status proof_make(struct proof *proof, vecmill_err *err);

#endif
