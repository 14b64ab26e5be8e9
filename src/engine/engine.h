/* engine: sessions over one model; implements vecmill.h.
 *
 * Joins text and model, which do not know each other: it puts both into one pack, checks that the
 * tokenizer's ids fit the word table, and splits documents into passes. Does not know: argv, files of
 * documents or results. This door is for vecmill-worker; everyone else uses vecmill.h. */
#ifndef ENGINE_H
#define ENGINE_H

#include "base/base.h"
#include "vecmill.h"

#define ENGINE_TEXT_SECTION "text"

/* What a pack is made of and where it lies. */
struct engine_source {
    char dir[IO_PATH_MAX];  /* the model's folder, resolved */
    char path[IO_PATH_MAX]; /* of the pack */
    char key[PACK_KEY_BYTES];
};

/* Compiles source->dir into source->path at the level `isa`, in this process. Does nothing when the
 * pack is there already with this key (another builder was first); waits up to wait_ms for another
 * builder. Runs in vecmill-worker, so that the memory it takes ends with that process. */
vecmill_status engine_compile(const struct engine_source *source, const char *isa, unsigned wait_ms,
                              vecmill_err *err);

#endif
