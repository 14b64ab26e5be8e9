#include "explain.h"

#include "api.h"

#include <string.h>

struct explaining {
    const struct explain *explain;
    void (*each)(void *context, const vecmill_made *made);
    void *context;
    bool encloses; /* special tokens are put around */
    uint32_t room; /* tokens of the text that are kept yet */
};

static void tell(const struct explaining *e, vecmill_made made)
{
    made.struct_bytes = sizeof made;
    e->each(e->context, &made);
}

static void tell_normalized(void *context, const char *made, size_t bytes)
{
    tell(context,
         (vecmill_made){.step = VECMILL_STEP_NORMALIZED, .text = made, .bytes = bytes, .id = -1});
}

static void tell_word(void *context, const char *made, size_t bytes, uint32_t start, uint32_t end)
{
    tell(context, (vecmill_made){.step = VECMILL_STEP_PIECE,
                                 .text = made,
                                 .bytes = bytes,
                                 .id = -1,
                                 .start = start,
                                 .end = end});
}

static void tell_token(const struct explaining *e, int32_t id, vecmill_made made)
{
    made.step = VECMILL_STEP_TOKEN;
    made.id = id;
    made.text = text_token(e->explain->text, id, &made.bytes);
    tell(e, made);
}

static void tell_piece(void *context, const struct text_piece *piece)
{
    struct explaining *e = context;
    const struct explain *x = e->explain;
    int32_t id = piece->id;
    if (e->room == 0) return;
    e->room--;
    if (x->resolved && resolved_keep_known(x->resolved, x->text, &id, 1) == 0) return;
    tell_token(e, id, (vecmill_made){.start = piece->start, .end = piece->end});
}

/* Special tokens [from, until) of those that are put around the text. */
static void tell_specials(const struct explaining *e, uint32_t from, uint32_t until)
{
    int32_t around[TEXT_SPECIALS_MAX];
    (void)text_enclose(e->explain->text, around, 0);
    for (uint32_t i = from; e->encloses && i < until; i++)
        tell_token(e, around[i], (vecmill_made){.is_special = 1});
}

static vecmill_status run(struct explaining *e, vecmill_doc doc, vecmill_err *err)
{
    const struct text *text = e->explain->text;
    const struct text_watch watch = {
        .normalized = tell_normalized, .word = tell_word, .token = tell_piece, .context = e};
    void *memory = NULL;
    VM_TRY(mem_new(text_explain_bytes(text, doc.bytes), "what a tokenizer makes", &memory, err));
    tell_specials(e, 0, text->n_before);
    const vecmill_status status = text_explain(memory, text, doc.text, doc.bytes, &watch, err);
    if (status == VECMILL_OK) tell_specials(e, text->n_before, text->n_specials);
    mem_free(memory);
    return status;
}

/* The text as the model reads it: after its prompt, as far as it is looked at. */
static vecmill_status run_read(struct explaining *e, vecmill_doc doc, vecmill_err *err)
{
    const struct resolved *r = e->explain->resolved;
    const size_t bytes = r ? r->prompt_bytes : 0;
    void *joined = NULL;
    if (bytes > 0) {
        VM_TRY(mem_new(bytes + doc.bytes, "a text and its prompt", &joined, err));
        memcpy(joined, r->prompt, bytes);
        if (doc.bytes > 0) memcpy((char *)joined + bytes, doc.text, doc.bytes);
        doc = (vecmill_doc){.text = joined, .bytes = bytes + doc.bytes};
    }
    if (r) (void)resolved_cut(r, &doc);
    const vecmill_status status = run(e, doc, err);
    mem_free(joined);
    return status;
}

vecmill_status explain_run(const struct explain *x, vecmill_doc doc,
                           void (*each)(void *context, const vecmill_made *made), void *context,
                           vecmill_err *err)
{
    struct explaining e = {.explain = x,
                           .each = each,
                           .context = context,
                           .encloses = !x->resolved || resolved_encloses(x->resolved),
                           .room = x->max_tokens};
    VM_TRY(api_check_doc(&doc, err));
    if (doc.bytes > VECMILL_MAX_DOCUMENT) {
        return err_set(err, VECMILL_E_LIMIT, "a text of %zu bytes, over VECMILL_MAX_DOCUMENT, %u",
                       doc.bytes, VECMILL_MAX_DOCUMENT);
    }
    if (e.encloses) e.room -= x->text->n_specials;
    return run_read(&e, doc, err);
}
