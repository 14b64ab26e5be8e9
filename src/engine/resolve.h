/* resolve: from a caller's options to a pack and the choices made from both; what a session and a pool
 * have in common. Private to engine. */
#ifndef ENGINE_RESOLVE_H
#define ENGINE_RESOLVE_H

#include "engine/build.h"
#include "engine/engine.h"
#include "engine/model_ref.h"
#include "kern/kern.h"
#include "model/model.h"
#include "text/text.h"

#define RESOLVED_WARNING_BYTES 512u

/* What is settled once options and pack are known. */
struct resolved {
    const struct kern *kern;
    enum kern_precision precision;
    uint32_t threads; /* that compute a session's passes */
    struct model_ref ref;
    struct model_config config;
    struct baseline baseline; /* the pack's record, or bounds where there is no pack */
    uint32_t batch_tokens, max_length;
    uint32_t dim;               /* floats of a vector, of config.hidden */
    bool scales;                /* a vector is scaled to length 1 after the model's modules */
    uint32_t n_specials;        /* tokens that the tokenizer adds to a document */
    struct model_extent extent; /* of passes: see resolved_batch */
    vecmill_long long_policy;
    uint64_t pack_bytes;
    char identity[33];
    char warning
        [RESOLVED_WARNING_BYTES]; /* "", or sentences about the pack that a user should read */
};

/* Selects the level and maps the model's pack, which is proven once, and built first when there is
 * none that fits or it is damaged. E_USAGE, E_UNSUPPORTED, E_MODEL, E_IO. */
vecmill_status resolve_pack(const vecmill_options *options, struct resolved *resolved,
                            struct pack *pack, vecmill_err *err);

/* Has the pack of resolved->ref built, by a process of its own. E_IO: it cannot be kept there. */
vecmill_status resolve_build(const vecmill_options *options, const struct resolved *resolved,
                             vecmill_err *err);

/* Adds a sentence to the warning. */
void resolved_warn(struct resolved *resolved, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Warns of a pack that is there and is not used: E_MODEL as of model_ref_open and proof_make. */
void resolved_warn_of_pack(struct resolved *resolved, vecmill_status status,
                           const vecmill_err *why);

/* From here on the pack is in memory, as of model_ref_to_memory; why: it cannot be kept. E_IO says both. */
vecmill_status resolve_to_memory(struct resolved *resolved, const vecmill_err *why, int *fd,
                                 vecmill_err *err);

/* The same for a pack that must be there, made of what resolved->ref.key says: a worker's. */
vecmill_status resolve_known_pack(const vecmill_options *options, struct resolved *resolved,
                                  struct pack *pack, vecmill_err *err);

/* Checks the options by themselves, and selects the level. E_USAGE, E_UNSUPPORTED. */
vecmill_status resolve_begin(const vecmill_options *options, struct resolved *resolved,
                             vecmill_err *err);

/* The arithmetic's word for a caller's. */
enum kern_precision resolve_precision(vecmill_precision precision);

/* Passes of so many tokens (0: chosen by speed alone) from here on. */
void resolved_batch(struct resolved *resolved, uint32_t batch_tokens);

/* Settles max_length and the like from options and resolved->config; `specials`: tokens that the
 * tokenizer adds. E_USAGE. */
vecmill_status resolved_lengths(const vecmill_options *options, uint32_t specials,
                                struct resolved *resolved, vecmill_err *err);

/* Settles dim and scales from options and resolved->config. E_USAGE: more dimensions than there are. */
vecmill_status resolved_vector(const vecmill_options *options, struct resolved *resolved,
                               vecmill_err *err);

/* Whether a vector is not the model's as it is. */
static inline bool resolved_finishes(const struct resolved *resolved)
{
    return resolved->scales || resolved->dim < resolved->config.hidden;
}

/* The model's row [config.hidden] as a vector [dim]; the two may be one. */
void resolved_finish(const struct resolved *resolved, const float *row, float *vector);

/* Of a document whose vector was computed: what it is. */
static inline void resolved_result_is_dense(const struct resolved *resolved, vecmill_result *result)
{
    result->kind = VECMILL_KIND_DENSE;
    result->dtype = VECMILL_DTYPE_FLOAT32;
    result->count = resolved->dim;
    result->bytes = resolved->dim * sizeof(float);
}

/* Bytes that a session must be given of a document of at most max_document: those that are looked at, and
 * one that tells of more. */
uint64_t resolved_text_bytes(const struct resolved *resolved, uint64_t max_document);

/* Takes off what is not looked at (VECMILL_TEXT_BYTES), a character not being cut in two; true when there
 * was any. */
bool resolved_cut(const struct resolved *resolved, vecmill_doc *doc);

/* Working memory of a session of this setup: what vecmill_session_open takes. */
size_t resolved_session_bytes(const struct resolved *resolved);

/* Opens the tokenizer in the pack, checks that it fits the model, and settles the rest of *resolved. */
vecmill_status resolve_choose(const vecmill_options *options, const struct pack *pack,
                              struct resolved *resolved, struct text *text, vecmill_err *err);

/* Fills *facts as far as its struct_bytes reaches; strings live as long as *resolved. */
void resolved_describe(const struct resolved *resolved, uint64_t arena_bytes, vecmill_facts *facts);

#endif
