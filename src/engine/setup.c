/* setup: see setup.h. */
#include "engine/setup.h"

#include <stdio.h>
#include <string.h>

/* Smallest pass at full speed on MiniLM-L6 (docs/SPEED.md). */
#define BATCH_TOKENS_AUTO 960u

static vecmill_status check_options(const vecmill_options *o, vecmill_err *err)
{
    if (o->struct_bytes != sizeof(*o)) {
        return err_set(err, VECMILL_E_USAGE,
                       "vecmill_options has %zu bytes, this library's has %zu", o->struct_bytes,
                       sizeof(*o));
    }
    if (!o->model_dir) return err_set(err, VECMILL_E_USAGE, "no model folder was given");
    if (o->precision != VECMILL_FP32) {
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "a precision other than fp32 is not in version %s", VECMILL_VERSION);
    }
    if (o->long_policy != VECMILL_LONG_TRUNCATE && o->long_policy != VECMILL_LONG_ERROR) {
        return err_set(err, VECMILL_E_UNSUPPORTED, "splitting long documents is not in version %s",
                       VECMILL_VERSION);
    }
    if (o->batch_tokens > VECMILL_MAX_BATCH_TOKENS) {
        return err_set(err, VECMILL_E_USAGE,
                       "batch_tokens is %u, over VECMILL_MAX_BATCH_TOKENS, %u", o->batch_tokens,
                       VECMILL_MAX_BATCH_TOKENS);
    }
    return VECMILL_OK;
}

vecmill_status setup_pack(const vecmill_options *o, struct setup *s, struct pack *pack,
                          vecmill_err *err)
{
    char worker[IO_PATH_MAX];
    VM_TRY(check_options(o, err));
    VM_TRY(kern_select(o->isa, &s->kern, err));
    VM_TRY(source_describe(o->model_dir, o->cache_dir, s->kern, &s->source, err));
    if (source_open(&s->source, pack, NULL) == VECMILL_OK) return VECMILL_OK;
    VM_TRY(source_worker(o->worker_path, worker, err));
    VM_TRY(source_build(&s->source, worker, s->kern->name, err));
    if (source_open(&s->source, pack, NULL) == VECMILL_OK) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: is missing or of other files right after it was built", s->source.path);
}

vecmill_status setup_known_pack(const vecmill_options *o, struct setup *s, struct pack *pack,
                                vecmill_err *err)
{
    vecmill_err why;
    VM_TRY(check_options(o, err));
    VM_TRY(kern_select(o->isa, &s->kern, err));
    if (source_open(&s->source, pack, &why) == VECMILL_OK) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "the model's pack changed while it was in use: %s",
                   why.message);
}

/* A hash of what a row's bits depend on beside its text (vecmill.h, identity). The pack's sections
 * carry checksums of their contents, so a copy of a model elsewhere is the same model. */
static void identify(const struct pack *pack, struct setup *s)
{
    struct {
        char signature[64];
        struct pack_section sections[PACK_SECTIONS_MAX];
        uint32_t n_sections, precision, max_length, long_policy;
    } what;
    memset(&what, 0, sizeof what);
    snprintf(what.signature, sizeof what.signature, "%s", kern_signature(s->kern));
    what.n_sections = pack->n_sections;
    for (uint32_t i = 0; i < pack->n_sections; i++) {
        what.sections[i] = pack->sections[i];
        what.sections[i].offset = 0;
    }
    what.precision = VECMILL_FP32;
    what.max_length = s->max_length;
    what.long_policy = s->long_policy;
    const XXH128_hash_t hash = XXH3_128bits(&what, sizeof what);
    snprintf(s->identity, sizeof s->identity, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

vecmill_status setup_choose(const vecmill_options *o, const struct pack *pack, struct setup *s,
                            struct text *text, vecmill_err *err)
{
    const void *section;
    size_t bytes;
    VM_TRY(pack_find(pack, ENGINE_TEXT_SECTION, &section, &bytes, err));
    VM_TRY(text_open(section, bytes, text, err));
    VM_TRY(model_read_config(pack, s->kern, &s->config, err));
    if (text->n_specials == 0) {
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: the tokenizer adds no special token, so an empty document would have none",
            s->source.dir);
    }
    if (text->vocab_size != s->config.vocab) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the tokenizer has %u tokens, the word embeddings have %u rows",
                       s->source.dir, text->vocab_size, s->config.vocab);
    }
    s->long_policy = o->long_policy;
    s->batch_tokens = o->batch_tokens ? o->batch_tokens : BATCH_TOKENS_AUTO;
    s->max_length = o->max_length ? o->max_length : s->config.max_length;
    const uint32_t least = text->n_specials + 1;
    if (s->max_length < least || s->max_length > s->config.max_positions) {
        return err_set(err, VECMILL_E_USAGE, "a maximum length of %u tokens, outside %u to %u",
                       s->max_length, least, s->config.max_positions);
    }
    s->pass_tokens = s->batch_tokens > s->max_length ? s->batch_tokens : s->max_length;
    s->pack_bytes = pack->map.bytes;
    identify(pack, s);
    return VECMILL_OK;
}

void setup_describe(const struct setup *s, uint64_t arena_bytes, vecmill_facts *facts)
{
    const struct model_config *c = &s->config;
    vecmill_facts f = {
        .struct_bytes = facts->struct_bytes,
        .dim = c->hidden,
        .max_length = s->max_length,
        .most_length = c->max_positions,
        .batch_tokens = s->batch_tokens,
        .layers = c->n_layers,
        .heads = c->n_heads,
        .hidden = c->hidden,
        .intermediate = c->intermediate,
        .vocab = c->vocab,
        .precision = VECMILL_FP32,
        .normalized = c->normalize != 0,
        .pooling = c->pooling == MODEL_POOL_CLS ? "cls" : "mean",
        .isa = s->kern->name,
        .pack_path = s->source.path,
        .pack_bytes = s->pack_bytes,
        .arena_bytes = arena_bytes,
        .identity = s->identity,
    };
    memcpy(facts, &f, num_min(facts->struct_bytes, sizeof(f)));
}
