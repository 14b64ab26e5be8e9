/* tokenizer: a tokenizer without its model (vecmill.h). */
#include "engine/api.h"
#include "engine/explain.h"
#include "model/model.h"
#include "text/text.h"

#include <string.h>

struct vecmill_tokenizer {
    struct buf section;
    struct text text;
    uint32_t max_length;
    void *scratch; /* of mem_map; scratch_bytes 0: none */
    size_t scratch_bytes;
    int32_t *ids;   /* [3 * max_length], as text_encode_pair needs them */
    uint8_t *types; /* [max_length] */
};

static vecmill_status settle_length(vecmill_tokenizer *t, uint32_t wanted, uint32_t said,
                                    vecmill_err *err)
{
    const uint32_t least = (uint32_t)num_max(t->text.n_specials, t->text.n_pair_specials) + 1;
    t->max_length = wanted ? wanted
                    : said ? (uint32_t)num_min(said, MODEL_LENGTH_MAX)
                           : VECMILL_TOKENIZER_LENGTH;
    if (t->max_length >= least && t->max_length <= MODEL_LENGTH_MAX) return VECMILL_OK;
    return err_set(err, VECMILL_E_USAGE, "a maximum length of %u tokens, outside %u to %u",
                   t->max_length, least, MODEL_LENGTH_MAX);
}

static vecmill_status open_tokenizer(const vecmill_options *o, vecmill_tokenizer *t,
                                     vecmill_err *err)
{
    char folder[IO_PATH_MAX];
    uint32_t said = 0;
    void *memory = NULL;
    VM_TRY(model_text_folder(o->model_dir, folder, &said, err));
    VM_TRY(text_compile(folder, &t->section, err));
    VM_TRY(text_open(t->section.data, t->section.bytes, &t->text, err));
    VM_TRY(settle_length(t, o->max_length, said, err));
    t->scratch_bytes = text_scratch_bytes(&t->text);
    if (t->scratch_bytes > 0)
        VM_TRY(mem_map(t->scratch_bytes, "a tokenizer's scratch", &t->scratch, err));
    VM_TRY(mem_new_array(t->max_length, 3 * sizeof *t->ids, "token ids", &memory, err));
    t->ids = memory;
    VM_TRY(mem_new(t->max_length, "token types", &memory, err));
    t->types = memory;
    return VECMILL_OK;
}

struct tokenizer_opening {
    vecmill_options options;
    vecmill_tokenizer **tokenizer;
};

static vecmill_status open_from_options(void *context, vecmill_err *err)
{
    const struct tokenizer_opening *o = context;
    void *memory = NULL;
    if (o->options.prompt || o->options.prompt_name || o->options.role != VECMILL_ROLE_DEFAULT)
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "a tokenizer without its model puts no prompt before a text");
    VM_TRY(mem_new(sizeof(vecmill_tokenizer), "a tokenizer", &memory, err));
    vecmill_tokenizer *t = memory;
    buf_init(&t->section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    const vecmill_status status = open_tokenizer(&o->options, t, err);
    if (status == VECMILL_OK)
        *o->tokenizer = t;
    else
        vecmill_tokenizer_close(t);
    return status;
}

vecmill_status vecmill_tokenizer_open(const vecmill_options *options, vecmill_tokenizer **tokenizer,
                                      vecmill_err *err)
{
    struct tokenizer_opening o = {.tokenizer = tokenizer};
    VM_TRY(api_take_options(options, &o.options, err));
    return api_call(open_from_options, &o, err);
}

void vecmill_tokenizer_close(vecmill_tokenizer *t)
{
    if (!t) return;
    if (t->scratch) mem_unmap(t->scratch, t->scratch_bytes);
    mem_free(t->types);
    mem_free(t->ids);
    buf_done(&t->section);
    mem_free(t);
}

uint32_t vecmill_tokenizer_max_length(const vecmill_tokenizer *tokenizer)
{
    return tokenizer->max_length;
}

vecmill_status vecmill_tokenizer_encode(vecmill_tokenizer *t, vecmill_doc doc, int32_t *ids,
                                        uint8_t *types, size_t *n_ids, vecmill_result *result,
                                        vecmill_err *err)
{
    struct text_result r;
    if (doc.kind == VECMILL_DOC_PAIR && t->text.takes_pairs) {
        const struct text_part parts[2] = {{doc.text, doc.bytes}, {doc.pair, doc.pair_bytes}};
        text_encode_pair(&t->text, t->scratch, parts, t->max_length, t->ids, t->types, &r);
    } else if (doc.kind == VECMILL_DOC_PAIR) {
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "the tokenizer has no template for pairs that is understood");
    } else {
        VM_TRY(api_check_doc(&doc, err));
        text_encode(&t->text, t->scratch, doc.text, doc.bytes, t->max_length, t->ids, &r);
        memset(t->types, 0, r.n_ids);
    }
    memcpy(ids, t->ids, r.n_ids * sizeof *ids);
    if (types) memcpy(types, t->types, r.n_ids);
    *n_ids = r.n_ids;
    if (result) {
        *result = (vecmill_result){.status = VECMILL_OK,
                                   .n_tokens = r.n_ids,
                                   .truncated = r.truncated,
                                   .replaced_bytes = r.replaced_bytes,
                                   .kind = VECMILL_KIND_IDS,
                                   .dtype = VECMILL_DTYPE_INT32,
                                   .count = r.n_ids,
                                   .bytes = r.n_ids * sizeof *ids};
    }
    return VECMILL_OK;
}

vecmill_status vecmill_tokenizer_explain(vecmill_tokenizer *t, vecmill_doc doc,
                                         void (*each)(void *context, const vecmill_made *made),
                                         void *context, vecmill_err *err)
{
    const struct explain explain = {.text = &t->text, .max_tokens = t->max_length};
    return explain_run(&explain, doc, each, context, err);
}

const char *vecmill_tokenizer_text(const vecmill_tokenizer *tokenizer, int32_t id, size_t *bytes)
{
    return text_token(&tokenizer->text, id, bytes);
}
