/* setup: from a caller's options to a pack and the choices made from both; what a session and a pool
 * have in common. Private to engine. */
#ifndef ENGINE_SETUP_H
#define ENGINE_SETUP_H

#include "engine/engine.h"
#include "engine/source.h"
#include "kern/kern.h"
#include "model/model.h"
#include "text/text.h"

/* What is settled once options and pack are known. */
struct setup {
    const struct kern *kern;
    struct engine_source source;
    struct model_config config;
    uint32_t batch_tokens, max_length;
    uint32_t pass_tokens; /* most tokens of a pass: the larger of the two */
    vecmill_long long_policy;
    uint64_t pack_bytes;
    char identity[33];
};

/* Selects the level and maps the model's pack, which is built first when there is none that fits.
 * E_USAGE, E_UNSUPPORTED, E_MODEL, E_IO. */
vecmill_status setup_pack(const vecmill_options *options, struct setup *setup, struct pack *pack,
                          vecmill_err *err);

/* The same for a pack that must be there, made of what setup->source.key says: a worker's. */
vecmill_status setup_known_pack(const vecmill_options *options, struct setup *setup,
                                struct pack *pack, vecmill_err *err);

/* Opens the tokenizer in the pack, checks that it fits the model, and settles the rest of *setup. */
vecmill_status setup_choose(const vecmill_options *options, const struct pack *pack,
                            struct setup *setup, struct text *text, vecmill_err *err);

/* Fills *facts as far as its struct_bytes reaches; strings live as long as *setup. */
void setup_describe(const struct setup *setup, uint64_t arena_bytes, vecmill_facts *facts);

#endif
