#include "model_kit.h"

#include <stdlib.h>

static vecmill_status compile(struct model_kit *k, struct spec *s, const char *json, size_t bytes,
                              vecmill_err *err)
{
    struct json_value root, model;
    spec_init(s, "tokenizer.json", spec_tokens_plan(true, bytes));
    s->merges_plan = spec_merges_plan(bytes);
    VM_TRY(json_check(json, bytes, s->file, VECMILL_E_MODEL, &root, err));
    model = json_get(&root, "model");
    if (model.kind == JSON_KIND_ABSENT) model = root;
    if (model.kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: model is not an object", s->file);
    VM_TRY(text_model_of(s, &model, &k->kind, err));
    VM_TRY(k->kind->read(s, &model, err));
    for (size_t i = 0; i < s->n_tokens; i++)
        k->vocab = s->tokens[i].value >= k->vocab ? s->tokens[i].value + 1 : k->vocab;
    VM_TRY(k->kind->compile(s, &k->table, err));
    return k->kind->check((const unsigned char *)k->table.data, k->table.bytes, k->vocab, err);
}

vecmill_status model_kit_open(struct model_kit *k, const char *json, size_t bytes, vecmill_err *err)
{
    void *memory = NULL;
    *k = (struct model_kit){.kind = NULL};
    buf_init(&k->table, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    VM_TRY(mem_new(sizeof(struct spec), "a tokenizer's description", &memory, err));
    const vecmill_status status = compile(k, memory, json, bytes, err);
    spec_done(memory);
    mem_free(memory);
    if (status != VECMILL_OK) buf_done(&k->table);
    return status;
}

void model_kit_done(struct model_kit *k)
{
    buf_done(&k->table);
    free(k->scratch);
    k->scratch = NULL;
}

size_t model_kit_encode(struct model_kit *k, const char *word, size_t bytes,
                        const struct model_piece **pieces)
{
    if (bytes > k->scratch_for || k->scratch == NULL) {
        free(k->scratch);
        k->scratch = aligned_alloc(64, num_up(k->kind->scratch(bytes), 64));
        if (k->scratch == NULL) abort();
        k->scratch_for = bytes;
    }
    return k->kind->encode((const unsigned char *)k->table.data, (const unsigned char *)word, bytes,
                           k->scratch, pieces);
}
