#include "text_model.h"

const struct text_model *const TEXT_MODELS[] = {&text_model_wordpiece, &text_model_unigram,
                                                &text_model_bpe, NULL};

vecmill_status text_model_of(const struct spec *s, const struct json_value *model,
                             const struct text_model **kind, vecmill_err *err)
{
    static const char understood[] = "WordPiece, Unigram or BPE";
    const struct json_value type = json_get(model, "type");
    if (type.kind == JSON_KIND_STRING) {
        for (const struct text_model *const *k = TEXT_MODELS; *k; k++) {
            if (!json_is(&type, (*k)->type)) continue;
            *kind = *k;
            return VECMILL_OK;
        }
        return spec_refuse_value(s, "model.type", &type, understood, err);
    }
    if (json_get(model, "merges").kind != JSON_KIND_ABSENT)
        *kind = &text_model_bpe;
    else if (json_get(model, "max_input_chars_per_word").kind != JSON_KIND_ABSENT)
        *kind = &text_model_wordpiece;
    else if (json_get(model, "vocab").kind == JSON_KIND_ARRAY)
        *kind = &text_model_unigram;
    else
        return err_set(err, VECMILL_E_MODEL,
                       "%s: model has no type, and its members are not those of %s", s->file,
                       understood);
    return VECMILL_OK;
}

size_t text_model_description_most(size_t file_bytes)
{
    const size_t scores = sizeof(double) * spec_tokens_plan(true, file_bytes);
    const size_t merges = SPEC_MERGE_BYTES * (size_t)spec_merges_plan(file_bytes);
    return 256 + num_max(scores, merges); /* and the kind's own members */
}
