/* build_plan: the memory that building a pack takes; private to engine. */
#ifndef ENGINE_BUILD_PLAN_H
#define ENGINE_BUILD_PLAN_H

#include "engine/engine.h"

/* Anonymous bytes that `vecmill-worker pack` for this folder, with the child that measures the baseline,
 * holds at one time at most. Reads config.json, sizes of files, and eight bytes of the weights. E_MODEL as
 * for text_compile and model_compile. */
vecmill_status engine_build_bytes(const char *dir, size_t *bytes, vecmill_err *err);

#endif
