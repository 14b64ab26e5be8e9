#include "engine/words.h"

#include <stdio.h>
#include <string.h>

/* The ids of n tokens as the vocabulary has them, all in one pass; -1: it has none. Words are not
 * longer than MODEL_WORD_BYTES, 64, so the lengths that occur are bits. */
static void find_ids(const struct text *text, const char *const *words, uint32_t n, int32_t *ids)
{
    uint64_t lengths = 0;
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = -1;
        lengths |= (uint64_t)1 << strlen(words[i]);
    }
    for (uint32_t id = 0; n > 0 && id < text->vocab_size; id++) {
        size_t bytes = 0;
        const char *token = text_token(text, (int32_t)id, &bytes);
        if (!token || bytes >= MODEL_WORD_BYTES || (lengths >> bytes & 1) == 0) continue;
        for (uint32_t i = 0; i < n; i++)
            if (ids[i] < 0 && strlen(words[i]) == bytes && memcmp(words[i], token, bytes) == 0)
                ids[i] = (int32_t)id;
    }
}

/* Puts an id into its place of ascending ones, once. */
static void add_id(int32_t id, int32_t *ids, uint32_t *n)
{
    uint32_t at = *n;
    while (at > 0 && ids[at - 1] >= id)
        at--;
    if (at < *n && ids[at] == id) return;
    memmove(ids + at + 1, ids + at, (*n - at) * sizeof *ids);
    ids[at] = id;
    ++*n;
}

/* A token that must be there: id is that of the whole word. pylate's "[Q] " may be in the vocabulary
 * without its blank. */
static vecmill_status take_token(const struct text *text, const char *word, const char *what,
                                 const struct resolved *r, int32_t *id, vecmill_err *err)
{
    char less[MODEL_WORD_BYTES];
    const char *const words[] = {less};
    snprintf(less, sizeof less, "%s", word);
    for (size_t n = strlen(less); *id < 0 && n > 1 && less[n - 1] == ' '; n--) {
        less[n - 1] = '\0';
        find_ids(text, words, 1, id);
    }
    if (*id >= 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: the %s, \"%s\", is no token of the vocabulary",
                   r->ref.dir, what, word);
}

static vecmill_status take_word(const struct text *text, const struct model_word *word, int32_t id,
                                struct resolved *r, vecmill_err *err)
{
    const bool is_query = r->role == VECMILL_ROLE_QUERY;
    switch ((enum model_word_use)word->use) {
    case MODEL_WORD_NO_WEIGHT:
        if (id >= 0) add_id(id, r->no_weight, &r->n_no_weight);
        return VECMILL_OK;
    case MODEL_WORD_NO_ROW:
        if (id >= 0 && r->config.skip_roles & (is_query ? MODEL_ROLE_QUERY : MODEL_ROLE_DOCUMENT))
            add_id(id, r->no_row, &r->n_no_row);
        return VECMILL_OK;
    case MODEL_WORD_QUERY:
    case MODEL_WORD_DOCUMENT:
        if ((word->use == MODEL_WORD_QUERY) != is_query) return VECMILL_OK;
        r->marker = id;
        return take_token(text, word->text, "marker of these texts", r, &r->marker, err);
    case MODEL_WORD_EXPANSION:
        if (r->expands_to == 0) return VECMILL_OK;
        r->expansion = id;
        return take_token(text, word->text, "token of expansion", r, &r->expansion, err);
    case MODEL_WORD_USES:
        break;
    }
    return VECMILL_OK;
}

void words_begin(struct resolved *r)
{
    r->marker = r->expansion = -1;
    r->expands_to = r->role == VECMILL_ROLE_QUERY ? r->config.expands_to : 0;
}

vecmill_status words_settle(const struct pack *pack, const struct text *text, struct resolved *r,
                            vecmill_err *err)
{
    struct model_words words;
    const char *texts[MODEL_WORDS_MAX];
    int32_t ids[MODEL_WORDS_MAX];
    words_begin(r);
    VM_TRY(model_read_words(pack, &words, err));
    for (uint32_t i = 0; i < words.n; i++)
        texts[i] = words.at[i].text;
    find_ids(text, texts, words.n, ids);
    for (uint32_t i = 0; i < words.n; i++)
        VM_TRY(take_word(text, &words.at[i], ids[i], r, err));
    if (r->expands_to == 0 || r->expansion >= 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: queries are expanded, and with no token", r->ref.dir);
}
