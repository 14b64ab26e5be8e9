/* source: from a model's folder to the place and key of its pack; private to engine. */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include "engine/engine.h"
#include "engine/seen.h"
#include "kern/kern.h"

/* Resolves the folder, takes the digest of its files, and names the pack:
 *   CACHE/packs/<folder's last two names>-<hash of its path>-<level>-<precision>.pack
 * One pack for each folder, level and precision: a changed model replaces its pack, so that the cache
 * does not grow with every change. Of a model in the cache it is the path from there on. Makes no folder. On
 * failure *source is unspecified. */
vecmill_status source_describe(const char *model_dir, const char *cache_or_null,
                               const struct kern *kern, enum kern_precision precision,
                               struct engine_source *source, vecmill_err *err);

/* What a pack of the folder's files, as they are now, is keyed by: reads them (model_digest). */
vecmill_status source_key(const char *dir, const struct kern *kern, enum kern_precision precision,
                          char key[PACK_KEY_BYTES], vecmill_err *err);

/* model_stamp of them. */
vecmill_status source_stamp(const char *dir, char stamp[SEEN_DIGITS + 1], vecmill_err *err);

/* What was seen of the source's pack. */
void source_seen(const struct engine_source *source, struct seen *seen);

/* Maps the source's pack if it is there, made of the same files, and undamaged as far as its small
 * sections go (the weights, a hundred times as large, are proof.h's). It wants building else:
 * E_NOTFOUND, there is none of these files; E_MODEL, it is damaged. E_MEMORY: it may be as good as
 * any. */
vecmill_status source_open(const struct engine_source *source, struct pack *pack, vecmill_err *err);

/* The same for a pack that this process has not seen built: E_MODEL, too, when it is another
 * user's, who is not believed. */
vecmill_status source_find(const struct engine_source *source, struct pack *pack, vecmill_err *err);

/* The program vecmill-worker: `given`, else by child_find. */
vecmill_status source_worker(const char *given, char path[IO_PATH_MAX], vecmill_err *err);

/* Runs one of our programs with this argv, waits for it, and reads what it answers on stdout: one byte of
 * status, then bytes of the answer, or, when the status is no OK, a message, which becomes the error.
 * *got bytes of at most `room` are in `answer`. `what` says in messages what it was run for. */
vecmill_status source_ask(const char *program, char *const argv[], const char *what, char *answer,
                          size_t room, size_t *got, vecmill_err *err);

/* The name of a pack in memory, as /proc shows it. */
#define SOURCE_MEMORY_NAME "vecmill-pack"

/* Whether a pack could be put there: by the rights to the nearest folder that there is. */
bool source_is_writable(const struct engine_source *source);

/* The pack's place becomes a file in memory, open in this process alone, whose descriptor is *fd:
 * others find it by /proc while that is open, and it is gone when no process has it open or mapped
 * any more. E_IO. */
vecmill_status source_to_memory(struct engine_source *source, int *fd, vecmill_err *err);
bool source_in_memory(const struct engine_source *source);

/* Runs `worker pack ...` for the source and waits for it; makes the packs' folder. E_IO: the pack's
 * place cannot be written. */
vecmill_status source_build(const struct engine_source *source, const char *worker, const char *isa,
                            enum kern_precision precision, vecmill_err *err);

#endif
