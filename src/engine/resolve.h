/* resolve: from a caller's options to a model's pack, and what the two settle: what a session, a worker and a
 * plan have in common. Each enters once, by resolve_session or resolve_plan. Private to engine. */
#ifndef ENGINE_RESOLVE_H
#define ENGINE_RESOLVE_H

#include "engine/build.h"
#include "engine/engine.h"
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
    /* False, of a plan: these are the folder's facts, and bounds where it has none. */
    bool has_pack;
    bool in_memory; /* the pack is, or will be, a file in memory */
    uint64_t pack_bytes;
    uint64_t build_bytes;     /* of the process that builds it, where there is none */
    struct baseline baseline; /* the pack's record, or bounds */
    uint32_t batch_tokens, max_length;
    uint32_t kinds; /* bits 1u << vecmill_kind: what is computed */
    uint32_t dim;   /* floats of a vector, of config.dim */
    char pooling[MODEL_POOLING_TEXT];
    /* Of pairs that a language model is asked about, else NULL: how, and the model that resolved_finish
     * asks, which a session sets. */
    const struct model_question *question;
    const struct model *model;
    bool is_raw;         /* scores are logits: the model's activation is left out */
    bool scales;         /* a vector is scaled to length 1 after the model's modules */
    uint32_t n_specials; /* tokens that are added to a document */
    size_t text_scratch; /* bytes: text_scratch_bytes of the tokenizer */
    uint64_t characters; /* most characters of a text, the rest is cut off; 0: no limit */
    /* Text before each document; "": none. A session of this process puts it there; documents come to a
     * worker with it. prompt_tokens: of it alone, 0 in a plan without a pack. */
    char prompt[MODEL_PROMPT_MAX];
    uint32_t prompt_bytes, prompt_tokens;
    bool prepends;
    /* Of a pass's input: ids, ascending, that have no weight, and whose tokens make no vector. */
    int32_t no_weight[MODEL_WORDS_MAX], no_row[MODEL_WORDS_MAX];
    uint32_t n_no_weight, n_no_row;
    /* Of late interaction: what texts are; the token after the first special ones, -1: none; and what
     * queries are expanded with, to so many tokens, 0: they are not. */
    vecmill_role role;
    int32_t marker, expansion;
    uint32_t expands_to;
    struct model_extent extent; /* of passes: see resolved_batch */
    vecmill_long long_policy;
    char identity[33]; /* of vecmill_facts */
    /* "", or sentences about the pack that a user should read. */
    char warning[RESOLVED_WARNING_BYTES];
};

/* For a session: checks the options, selects the level, maps the model's pack, opens the tokenizer
 * in it and settles all of *resolved. known NULL: the pack is found and proven, and built first
 * when there is none that fits or it is damaged. Else it is this one, a worker's, which must be
 * there as it was: E_MODEL. Errors as of vecmill_session_open. */
vecmill_status resolve_session(const vecmill_options *options, const struct model_ref *known,
                               struct resolved *resolved, struct pack *pack, struct text *text,
                               vecmill_err *err);

/* For a plan: the same of one thread, but the pack is only looked at, and what is missing is not built: then
 * facts are the folder's. known: NULL, or a pack that is used, or is to be built, as it is. */
vecmill_status resolve_plan(const vecmill_options *options, const struct model_ref *known,
                            struct resolved *resolved, vecmill_err *err);

/* Has the pack of resolved->ref built, by a process of its own. E_IO: it cannot be kept there. */
vecmill_status resolve_build(const vecmill_options *options, const struct resolved *resolved,
                             vecmill_err *err);

/* From here on the pack is in memory, as of model_ref_to_memory; why: it cannot be kept. E_IO says both. */
vecmill_status resolve_to_memory(struct resolved *resolved, const vecmill_err *why, int *fd,
                                 vecmill_err *err);

/* Adds to the warning that a pack is there and is not used, if status is E_MODEL. */
void resolved_warn_of_pack(struct resolved *resolved, vecmill_status status,
                           const vecmill_err *why);

/* Whether the tokenizer's special tokens are added to a document. Without them one may have no token. */
static inline bool resolved_encloses(const struct resolved *resolved)
{
    return (resolved->config.text & MODEL_TEXT_BARE) == 0;
}

/* Documents of a pass, at most. */
static inline uint32_t resolved_docs(const struct resolved *resolved)
{
    return resolved->extent.tokens / (resolved->n_specials ? resolved->n_specials : 1);
}

/* Takes the tokens out that the model leaves out; returns how many are left of n. */
uint32_t resolved_keep_known(const struct resolved *resolved, const struct text *text, int32_t *ids,
                             uint32_t n);

/* The arithmetic's word for a caller's. */
enum kern_precision resolve_precision(vecmill_precision precision);

/* Passes of this many tokens (0: chosen by speed alone) from here on. */
void resolved_batch(struct resolved *resolved, uint32_t batch_tokens);

/* Whether tokens that queries are expanded with are not attended. */
static inline bool resolved_leaves_keys(const struct resolved *resolved)
{
    return resolved->expands_to > 0 && (resolved->config.expands & MODEL_EXPAND_ATTENDED) == 0;
}

/* Whether documents are pairs, and results their scores. */
static inline bool resolved_scores(const struct resolved *resolved)
{
    return resolved->kinds == 1u << VECMILL_KIND_SCORE;
}

/* Bytes of the prompt that a document comes to a worker with. That of a pair is an instruction, which the
 * worker knows. */
static inline uint32_t resolved_prefix(const struct resolved *resolved)
{
    return resolved_scores(resolved) ? 0 : resolved->prompt_bytes;
}

/* Whether this model takes such a document. E_USAGE; else as api_check_doc. */
vecmill_status resolved_check_doc(const struct resolved *resolved, const vecmill_doc *doc,
                                  vecmill_err *err);

/* Whether the model's activation is applied to scores. */
static inline bool resolved_activates(const struct resolved *resolved)
{
    return resolved_scores(resolved) && !resolved->is_raw;
}

/* Whether a vector is not the model's as it is. */
static inline bool resolved_finishes(const struct resolved *resolved)
{
    return resolved->scales || resolved->dim < resolved->config.dim || resolved_activates(resolved);
}

/* The model's row [config.dim] as a vector [dim]; the two may be one. */
void resolved_finish(const struct resolved *resolved, const float *row, float *vector);

/* Of a document whose vector was computed: what it is. */
static inline void resolved_result_is_dense(const struct resolved *resolved, vecmill_result *result)
{
    result->kind = resolved_scores(resolved) ? VECMILL_KIND_SCORE : VECMILL_KIND_DENSE;
    result->dtype = VECMILL_DTYPE_FLOAT32;
    result->count = resolved->dim;
    result->bytes = resolved->dim * sizeof(float);
}

/* Where a session of this process puts a text after its prompt: bytes of that buffer, 0 where there is
 * nothing to do; and the document as it is there, as far as it is looked at without LONG_SPLIT. buffer
 * NULL: the document itself. */
size_t resolved_buffer_bytes(const struct resolved *resolved);
vecmill_doc resolved_prepend(const struct resolved *resolved, char *buffer, vecmill_doc doc);

/* Of a document with its prompt, takes off what is not looked at (VECMILL_TEXT_BYTES of the document, a
 * character not being cut in two, and `characters`); true when there was any. */
bool resolved_cut(const struct resolved *resolved, vecmill_doc *doc);

/* Working memory of a session: what vecmill_session_open takes. */
size_t resolved_session_bytes(const struct resolved *resolved);

/* Fills *facts as far as its struct_bytes reaches; strings live as long as *resolved. */
void resolved_describe(const struct resolved *resolved, uint64_t arena_bytes, vecmill_facts *facts);

#endif
