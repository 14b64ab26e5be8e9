#include "engine/resolve.h"

#include "engine/api.h"
#include "engine/asking.h"
#include "engine/output.h"
#include "engine/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Smallest pass at full speed on MiniLM-L6 (docs/SPEED.md). */
#define BATCH_TOKENS_AUTO 480u

/* Where there is no pack, the tokenizer has not been read: one special token on either side of a
 * document. */
#define SPECIALS_ASSUMED 2u

static vecmill_status check_options(const vecmill_options *o, vecmill_err *err)
{
    if (!o->model_dir) return err_set(err, VECMILL_E_USAGE, "no model folder was given");
    if ((unsigned)o->precision > VECMILL_INT8) {
        return err_set(err, VECMILL_E_USAGE, "precision is %u, over VECMILL_INT8, %u",
                       (unsigned)o->precision, (unsigned)VECMILL_INT8);
    }
    if (o->threads > VECMILL_MAX_THREADS) {
        return err_set(err, VECMILL_E_USAGE, "threads is %u, over VECMILL_MAX_THREADS, %u",
                       o->threads, VECMILL_MAX_THREADS);
    }
    if ((unsigned)o->long_policy > VECMILL_LONG_SPLIT) {
        return err_set(err, VECMILL_E_USAGE, "long_policy is %u, over VECMILL_LONG_SPLIT, %u",
                       (unsigned)o->long_policy, (unsigned)VECMILL_LONG_SPLIT);
    }
    if (o->prompt && o->prompt_name)
        return err_set(err, VECMILL_E_USAGE, "a prompt and the name of a prompt are given");
    if ((unsigned)o->normalize > VECMILL_NORMALIZE_NO) {
        return err_set(err, VECMILL_E_USAGE, "normalize is %u, over VECMILL_NORMALIZE_NO, %u",
                       (unsigned)o->normalize, (unsigned)VECMILL_NORMALIZE_NO);
    }
    if (o->batch_tokens > VECMILL_MAX_BATCH_TOKENS) {
        return err_set(err, VECMILL_E_USAGE,
                       "batch_tokens is %u, over VECMILL_MAX_BATCH_TOKENS, %u", o->batch_tokens,
                       VECMILL_MAX_BATCH_TOKENS);
    }
    return api_check_options(o, err);
}

_Static_assert(VECMILL_MAX_THREADS <= TEAM_MOST, "a session's threads are a team");

enum kern_precision resolve_precision(vecmill_precision precision)
{
    static const enum kern_precision words[] = {
        [VECMILL_FP32] = KERN_FP32, [VECMILL_BF16] = KERN_BF16, [VECMILL_INT8] = KERN_INT8};
    return words[precision];
}

/* Checks the options by themselves, and selects the level. */
static vecmill_status begin_resolve(const vecmill_options *o, struct resolved *r, vecmill_err *err)
{
    VM_TRY(check_options(o, err));
    memset(r, 0, sizeof *r);
    r->precision = resolve_precision(o->precision);
    r->threads = o->threads ? o->threads : 1;
    r->role = o->role;
    return kern_select(o->isa, &r->kern, err);
}

static vecmill_status describe_ref(const vecmill_options *o, struct resolved *r, vecmill_err *err)
{
    return model_ref_describe(o->model_dir, o->cache_dir, r->kern, r->precision, &r->ref, err);
}

vecmill_status resolve_build(const vecmill_options *o, const struct resolved *s, vecmill_err *err)
{
    char worker[IO_PATH_MAX];
    VM_TRY(worker_find(o->worker_path, worker, err));
    return build_ask(&s->ref, worker, s->kern->name, (vecmill_precision)s->precision, err);
}

/* The options' text, else the model's of the options' name or role, else its default. A worker is given
 * the text, so that it reads no file. */
static vecmill_status find_prompt(const vecmill_options *o, struct resolved *r, vecmill_err *err)
{
    static const char *const roles[] = {
        [VECMILL_ROLE_DEFAULT] = NULL,
        [VECMILL_ROLE_DOCUMENT] = "document",
        [VECMILL_ROLE_QUERY] = "query",
    };
    const char *name = o->prompt_name ? o->prompt_name : roles[o->role];
    if (!o->prompt) {
        if (o->task && !name)
            VM_TRY(model_task_prompt(r->ref.dir, o->task, r->prompt, err));
        else
            VM_TRY(model_prompt(r->ref.dir, name, r->prompt, err));
        r->prompt_bytes = (uint32_t)strlen(r->prompt);
        return VECMILL_OK;
    }
    const size_t bytes = strlen(o->prompt);
    if (bytes >= MODEL_PROMPT_MAX)
        return err_set(err, VECMILL_E_USAGE,
                       "a prompt of %zu bytes; with a NUL, MODEL_PROMPT_MAX is %u", bytes,
                       MODEL_PROMPT_MAX);
    if (!utf8_valid(o->prompt, bytes))
        return err_set(err, VECMILL_E_USAGE, "the prompt is not valid UTF-8");
    memcpy(r->prompt, o->prompt, bytes + 1);
    r->prompt_bytes = (uint32_t)bytes;
    return VECMILL_OK;
}

__attribute__((format(printf, 2, 3))) static void add_warning(struct resolved *s,
                                                              const char *format, ...)
{
    va_list ap;
    size_t used = strlen(s->warning);
    if (used > 0 && used < sizeof s->warning - 2)
        used += (size_t)snprintf(s->warning + used, 3, "; ");
    va_start(ap, format);
    (void)vsnprintf(s->warning + used, sizeof s->warning - used, format, ap);
    va_end(ap);
}

void resolved_warn_of_pack(struct resolved *s, vecmill_status status, const vecmill_err *why)
{
    if (status == VECMILL_E_MODEL)
        add_warning(s, "the pack is not used but built anew: %s", why->message);
}

vecmill_status resolve_to_memory(struct resolved *s, const vecmill_err *why, int *fd,
                                 vecmill_err *err)
{
    vecmill_err second;
    const vecmill_status status = model_ref_to_memory(&s->ref, fd, &second);
    if (status != VECMILL_OK)
        return err_set(err, status, "no pack can be kept (%s), %s", why->message, second.message);
    add_warning(s, "the pack is built in memory, for this run alone, since it cannot be kept: %s",
                why->message);
    return VECMILL_OK;
}

/* As model_ref_find, and proven. */
static vecmill_status open_proven(const struct model_ref *ref, struct pack *pack, vecmill_err *err)
{
    struct proof proof = {.fd = -1};
    VM_TRY(model_ref_find(ref, pack, err));
    vecmill_status status = proof_open(&proof, ref, err);
    if (status == VECMILL_OK && !proof.is_made) status = proof_make(&proof, err);
    proof_close(&proof);
    if (status != VECMILL_OK) pack_close(pack);
    return status;
}

/* Builds it where it can be kept, else in memory, and maps it. */
static vecmill_status build_pack(const vecmill_options *o, struct resolved *s, struct pack *pack,
                                 vecmill_err *err)
{
    vecmill_err why;
    int memory = -1;
    vecmill_status status = resolve_build(o, s, &why);
    if (status == VECMILL_E_IO) {
        VM_TRY(resolve_to_memory(s, &why, &memory, err));
        status = resolve_build(o, s, &why);
    }
    if (status == VECMILL_OK) {
        status = model_ref_open(&s->ref, pack, &why);
        if (status == VECMILL_E_NOTFOUND)
            status =
                err_set(&why, VECMILL_E_MODEL,
                        "%s: is missing or of other files right after it was built", s->ref.path);
    }
    if (memory >= 0) close(memory); /* it is mapped */
    return status == VECMILL_OK ? status : err_set(err, status, "%s", why.message);
}

/* A hash of what a row's bits depend on besides its text (vecmill.h, identity). The pack's sections
 * carry checksums of their contents, so a copy of a model elsewhere is the same model. The measured baseline
 * is left out: no bit depends on it, and it differs from one build to the next. */
static void identify(const struct pack *pack, struct resolved *s)
{
    struct {
        char signature[64];
        struct pack_section sections[PACK_SECTIONS_MAX];
        uint32_t n_sections, precision, max_length, long_policy, dim, scales, task, kinds, is_raw;
        int32_t marker, expansion, no_row[MODEL_WORDS_MAX];
        uint32_t expands_to;
        uint64_t prompt;
    } what;
    memset(&what, 0, sizeof what);
    snprintf(what.signature, sizeof what.signature, "%s", kern_signature(s->kern, s->precision));
    for (uint32_t i = 0; i < pack->n_sections; i++) {
        if (strcmp(pack->sections[i].name, BASELINE_SECTION) == 0) continue;
        struct pack_section *section = &what.sections[what.n_sections++];
        *section = pack->sections[i];
        section->offset = 0;
    }
    what.precision = s->precision;
    what.max_length = s->max_length;
    what.long_policy = s->long_policy;
    what.dim = s->dim;
    what.scales = s->scales;
    what.task = s->extent.task;
    what.kinds = s->kinds;
    what.is_raw = s->is_raw;
    what.marker = s->marker;
    what.expansion = s->expansion;
    what.expands_to = s->expands_to;
    memcpy(what.no_row, s->no_row, sizeof what.no_row);
    what.prompt = XXH3_64bits(s->prompt, s->prompt_bytes);
    const XXH128_hash_t hash = XXH3_128bits(&what, sizeof what);
    snprintf(s->identity, sizeof s->identity, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

void resolved_batch(struct resolved *s, uint32_t batch_tokens)
{
    s->batch_tokens = batch_tokens ? batch_tokens : BATCH_TOKENS_AUTO;
    const bool takes_rows = !model_is_bag(&s->config);
    s->extent = (struct model_extent){
        .tokens = takes_rows ? (uint32_t)num_max(s->batch_tokens, s->max_length) : s->batch_tokens,
        .longest = s->max_length,
        .threads = s->threads,
        .skip = s->extent.skip,
        .task = s->extent.task,
        .kinds = s->question ? 1u << MODEL_DENSE : s->kinds};
}

static vecmill_status settle_task(const vecmill_options *o, struct resolved *s, vecmill_err *err)
{
    const struct model_config *c = &s->config;
    char names[MODEL_TASKS_MAX * (MODEL_TASK_BYTES + 2)] = "";
    if (!o->task) return VECMILL_OK;
    s->extent.task = model_task(c, o->task);
    if (s->extent.task > 0) return VECMILL_OK;
    if (c->n_tasks == 0)
        return err_set(err, VECMILL_E_USAGE, "a task, %.40s, and the model has none", o->task);
    for (uint32_t i = 0; i < c->n_tasks; i++) {
        if (i > 0) strcat(names, ", ");
        strcat(names, c->tasks[i]);
    }
    return err_set(err, VECMILL_E_USAGE, "no task of the model is called %.40s; there are %s",
                   o->task, names);
}

static void list_kinds(uint32_t kinds, char *out, size_t room)
{
    static const char *const words[MODEL_KINDS] = {
        [MODEL_DENSE] = "dense", [MODEL_SCORE] = "score",   [MODEL_SPARSE] = "sparse",
        [MODEL_MULTI] = "multi", [MODEL_TOKENS] = "tokens",
    };
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < MODEL_KINDS; i++)
        if (kinds >> i & 1 && used < room)
            used += (size_t)snprintf(out + used, room - used, "%s%s", used ? ", " : "", words[i]);
}

_Static_assert((int)MODEL_DENSE == (int)VECMILL_KIND_DENSE &&
                   (int)MODEL_TOKENS == (int)VECMILL_KIND_TOKENS,
               "kinds have one number");

/* Windows of a document are averaged, which only dense vectors can be. */
static vecmill_status settle_policy(const vecmill_options *o, const struct resolved *s,
                                    vecmill_err *err)
{
    const uint32_t dense = 1u << MODEL_DENSE;
    char asked[64];
    if (o->long_policy != VECMILL_LONG_SPLIT || s->kinds == dense) return VECMILL_OK;
    list_kinds(s->kinds & ~dense, asked, sizeof asked);
    return err_set(err, VECMILL_E_USAGE,
                   "long documents are to be split, and results are %s: only dense vectors of "
                   "windows can be averaged",
                   asked);
}

/* What a model makes, but not in one pass: rows of two kinds; and with weights of a whole vocabulary
 * anything else, since a document's may be as many as the vocabulary has tokens. */
static vecmill_status check_together(const struct resolved *s, vecmill_err *err)
{
    const uint32_t sparse = 1u << MODEL_SPARSE, rows = 1u << MODEL_MULTI | 1u << MODEL_TOKENS;
    if ((s->kinds & rows) == rows)
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "multi and tokens are asked for together, which are both rows of tokens: "
                       "vecmill %s computes one of them in a pass",
                       VECMILL_VERSION);
    if ((s->kinds & sparse) == 0 || s->kinds == sparse || !model_takes_logits(&s->config))
        return VECMILL_OK;
    return err_set(err, VECMILL_E_UNSUPPORTED,
                   "sparse weights of a vocabulary are asked for together with others, which "
                   "vecmill %s does not compute in one pass",
                   VECMILL_VERSION);
}

/* Queries of a model with a table of its own for them would be given the weights of documents. */
static vecmill_status check_queries(const vecmill_options *o, const struct resolved *s,
                                    vecmill_err *err)
{
    char path[IO_PATH_MAX];
    if (o->role != VECMILL_ROLE_QUERY || (s->kinds >> MODEL_SPARSE & 1) == 0) return VECMILL_OK;
    VM_TRY(io_join(s->ref.dir, "idf.json", path, err));
    if (!io_exists(path)) return VECMILL_OK;
    return err_set(
        err, VECMILL_E_UNSUPPORTED,
        "%s has a table of weights for queries (idf.json), which vecmill %s does not read",
        s->ref.dir, VECMILL_VERSION);
}

/* Of a model that makes several kinds of results and is asked for none: dense, if that is one. */
static vecmill_status settle_kinds(const vecmill_options *o, struct resolved *s, vecmill_err *err)
{
    const uint32_t has = s->config.kinds, dense = 1u << MODEL_DENSE;
    char asked[64], made[64];
    s->kinds = o->kinds ? o->kinds : has & dense ? dense : has & ~(1u << MODEL_TOKENS);
    if ((s->kinds & ~has) == 0) VM_TRY(check_together(s, err));
    if (resolved_scores(s)) s->question = model_question(&s->config);
    VM_TRY(check_queries(o, s, err));
    if ((s->kinds & ~has) == 0) return settle_policy(o, s, err);
    list_kinds(s->kinds & ~has, asked, sizeof asked);
    list_kinds(has, made, sizeof made);
    return err_set(err, VECMILL_E_USAGE, "%s is asked for, and %s makes %s", asked, s->ref.dir,
                   made);
}

/* Tokens of a text at most, where the caller does not say. */
static uint32_t default_length(const struct resolved *r)
{
    const struct model_config *c = &r->config;
    const uint32_t whole = c->max_length;
    if (r->question) return (uint32_t)num_min(r->question->max_length, c->max_positions);
    if (r->role != VECMILL_ROLE_QUERY) return c->document_length ? c->document_length : whole;
    if (c->expands_to == 0) return c->query_length ? c->query_length : whole;
    if ((c->expands & MODEL_EXPAND_LONGER) == 0) return c->expands_to;
    return (uint32_t)num_max(c->query_length ? c->query_length : whole, c->expands_to);
}

static vecmill_status settle_lengths(const vecmill_options *o, uint32_t specials,
                                     struct resolved *s, vecmill_err *err)
{
    const uint32_t least = specials + 1;
    s->n_specials = specials;
    s->long_policy = o->long_policy;
    s->max_length = o->max_length ? o->max_length : default_length(s);
    s->expands_to = (uint32_t)num_min(s->expands_to, s->max_length);
    if (s->max_length < least || s->max_length > s->config.max_positions) {
        return err_set(err, VECMILL_E_USAGE, "a maximum length of %u tokens, outside %u to %u",
                       s->max_length, least, s->config.max_positions);
    }
    resolved_batch(s, o->batch_tokens);
    return VECMILL_OK;
}

/* A whole vector of length 1 is not scaled once more, which could change its last bits for nothing. */
static vecmill_status settle_vector(const vecmill_options *o, struct resolved *s, vecmill_err *err)
{
    const struct model_config *c = &s->config;
    const uint32_t given = c->truncate_dim && c->truncate_dim < c->dim ? c->truncate_dim : c->dim;
    if (o->dimensions > c->dim) {
        return err_set(err, VECMILL_E_USAGE, "%u dimensions, and the vectors of %s have %u",
                       o->dimensions, s->ref.dir, c->dim);
    }
    if (resolved_scores(s) &&
        ((o->dimensions && o->dimensions < c->n_labels) || o->normalize == VECMILL_NORMALIZE_YES))
        return err_set(err, VECMILL_E_USAGE, "scores of pairs are neither cut nor normalised");
    if (resolved_scores(s) && s->prompt_bytes > 0 && !s->question)
        return err_set(err, VECMILL_E_USAGE, "there is a prompt, and %s scores pairs without one",
                       s->ref.dir);
    if (o->raw_scores && !resolved_scores(s))
        return err_set(err, VECMILL_E_USAGE, "raw scores are asked for, and %s makes none",
                       s->ref.dir);
    s->is_raw = o->raw_scores != 0;
    model_pooling_text(c, s->pooling);
    s->dim = s->question ? c->n_labels : o->dimensions ? o->dimensions : given;
    const bool cut = s->dim < c->dim && !s->question;
    s->scales = (o->normalize == VECMILL_NORMALIZE_AUTO && cut) ||
                (o->normalize == VECMILL_NORMALIZE_YES && (cut || !model_normalizes(c)));
    return VECMILL_OK;
}

void resolved_finish(const struct resolved *s, const float *row, float *vector)
{
    if (s->question)
        vector[0] = model_answer(s->model, row);
    else if (vector != row)
        memcpy(vector, row, s->dim * sizeof(*row));
    if (resolved_activates(s)) model_activate(&s->config, vector, s->dim);
    if (s->scales) s->kern->normalize(vector, s->dim);
}

/* ---- the ways in ---- */

/* Characters of the vocabulary's tokens: the median, of an even number the mean of the two in the
 * middle, rounded down (model2vec: int(numpy.median)). */
static uint32_t median_characters(const struct text *text)
{
    uint32_t counts[TEXT_TOKEN_BYTES_MAX + 1] = {0}, n = 0;
    for (uint32_t id = 0; id < text->vocab_size; id++) {
        size_t bytes = 0, characters = 0;
        const char *token = text_token(text, (int32_t)id, &bytes);
        if (!token) continue;
        for (size_t i = 0; i < bytes; i++)
            characters += ((unsigned char)token[i] & 0xC0) != 0x80;
        counts[num_min(characters, TEXT_TOKEN_BYTES_MAX)]++;
        n++;
    }
    uint32_t seen = 0, low = 0, high = 0; /* of the values in the middle */
    for (uint32_t length = 0; length <= TEXT_TOKEN_BYTES_MAX; length++) {
        seen += counts[length];
        if (2 * seen < n) low = length + 1;
        if (2 * seen <= n) high = length + 1;
    }
    return (low + high) / 2;
}

static void count_piece(void *context, const struct text_piece *piece)
{
    (void)piece;
    ++*(size_t *)context;
}

/* How many tokens the prompt has. Where poolings leave it out, so are the special tokens before the text;
 * of several after it all but one are counted with it (sentence-transformers, _get_prompt_length). */
static vecmill_status settle_prompt(const struct text *text, struct resolved *r, vecmill_err *err)
{
    void *memory = NULL;
    if (r->prompt_bytes == 0) return VECMILL_OK;
    size_t n = 0;
    VM_TRY(mem_new(text_pieces_bytes(text, r->prompt_bytes), "a prompt's tokens", &memory, err));
    const vecmill_status status =
        text_pieces(memory, text, r->prompt, r->prompt_bytes, count_piece, &n, err);
    mem_free(memory);
    VM_TRY(status);
    if (n + r->n_specials >= r->max_length)
        return err_set(err, VECMILL_E_USAGE,
                       "a prompt of %zu tokens and %u special ones leaves no room for a text in a "
                       "maximum length of %u",
                       n, r->n_specials, r->max_length);
    r->prompt_tokens = (uint32_t)n;
    if (r->config.skips_prompt)
        r->extent.skip =
            r->prompt_tokens + (r->n_specials > text->n_before ? r->n_specials - 1 : r->n_specials);
    return VECMILL_OK;
}

/* Tokens around a pair that the model is asked about. */
static vecmill_status count_asking(const struct text *text, const struct model_question *q,
                                   uint32_t *n, vecmill_err *err)
{
    struct asking asking;
    void *scratch = NULL;
    const size_t bytes = num_max(text_scratch_bytes(text), 64);
    VM_TRY(mem_map(bytes, "a tokenizer's scratch", &scratch, err));
    asking_open(text, scratch, q, &asking);
    mem_unmap(scratch, bytes);
    *n = asking.n_head + asking.n_tail;
    return VECMILL_OK;
}

/* Settles all that pack and options say. */
static vecmill_status settle_pack(const vecmill_options *o, const struct pack *pack,
                                  struct resolved *r, struct text *text, vecmill_err *err)
{
    const void *section;
    size_t bytes;
    VM_TRY(pack_find(pack, ENGINE_TEXT_SECTION, &section, &bytes, err));
    VM_TRY(text_open(section, bytes, text, err));
    VM_TRY(model_read_config(pack, r->kern, r->precision, &r->config, err));
    const bool encloses = resolved_encloses(r);
    /* Rows beyond the tokens fill a table up to a round number: no id leads there. */
    if (text->vocab_size > r->config.vocab) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the tokenizer has %u tokens, the word embeddings have %u rows",
                       r->ref.dir, text->vocab_size, r->config.vocab);
    }
    VM_TRY(baseline_read(pack, &r->baseline, err));
    VM_TRY(words_settle(pack, text, r, err));
    VM_TRY(settle_task(o, r, err));
    VM_TRY(settle_kinds(o, r, err));
    if (encloses && !r->question && text->n_specials == 0) {
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: the tokenizer adds no special token, so an empty document would have none",
            r->ref.dir);
    }
    if (resolved_scores(r) && !r->question && !text->takes_pairs)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the tokenizer has no template for pairs that is understood",
                       r->ref.dir);
    uint32_t specials =
        (resolved_scores(r) ? text->n_pair_specials : text->n_specials) + (r->marker >= 0 ? 1 : 0);
    if (r->question) VM_TRY(count_asking(text, r->question, &specials, err));
    VM_TRY(settle_lengths(o, encloses ? specials : 0, r, err));
    if (r->config.text & MODEL_TEXT_CHARACTERS)
        r->characters = num_max(1, (uint64_t)r->max_length * median_characters(text));
    VM_TRY(settle_prompt(text, r, err));
    VM_TRY(settle_vector(o, r, err));
    r->text_scratch = text_scratch_bytes(text);
    r->has_pack = true;
    r->in_memory = model_ref_in_memory(&r->ref);
    r->pack_bytes = pack->map.bytes;
    identify(pack, r);
    return VECMILL_OK;
}

/* The same of a folder without a pack: its configuration, and bounds. */
static vecmill_status settle_folder(const vecmill_options *o, struct resolved *r, vecmill_err *err)
{
    size_t bytes;
    char folder[IO_PATH_MAX];
    VM_TRY(model_config_of_folder(r->ref.dir, r->precision, &r->config, err));
    VM_TRY(model_folder(r->ref.dir, folder, err));
    VM_TRY(text_scratch_of(folder, &r->text_scratch, err));
    baseline_bound(&r->baseline);
    r->in_memory = model_ref_in_memory(&r->ref) || !model_ref_is_writable(&r->ref);
    r->pack_bytes = model_weight_bytes(&r->config, r->kern);
    if (r->in_memory) { /* then it counts: with the tokenizer, at most */
        VM_TRY(text_compile_most(folder, &bytes, err));
        r->pack_bytes += bytes;
    }
    VM_TRY(settle_task(o, r, err));
    VM_TRY(settle_kinds(o, r, err));
    words_begin(r);
    VM_TRY(settle_lengths(o, resolved_encloses(r) ? SPECIALS_ASSUMED : 0, r, err));
    VM_TRY(settle_vector(o, r, err));
    VM_TRY(build_bytes(r->ref.dir, &bytes, err));
    r->build_bytes = bytes;
    return VECMILL_OK;
}

/* Maps the pack of r->ref, which is found, or is built. */
static vecmill_status find_pack(const vecmill_options *o, struct resolved *r, struct pack *pack,
                                vecmill_err *err)
{
    vecmill_err why;
    VM_TRY(describe_ref(o, r, err));
    const vecmill_status status = open_proven(&r->ref, pack, &why);
    if (status == VECMILL_OK) return VECMILL_OK;
    /* No memory says nothing about the pack: it is not to be built again for that. */
    if (status == VECMILL_E_MEMORY) return err_set(err, status, "%s", why.message);
    resolved_warn_of_pack(r, status, &why);
    return build_pack(o, r, pack, err);
}

/* Maps the pack of r->ref, which is in use by others. */
static vecmill_status open_known(const struct resolved *r, struct pack *pack, vecmill_err *err)
{
    vecmill_err why;
    const vecmill_status status = model_ref_open(&r->ref, pack, &why);
    if (status == VECMILL_OK) return VECMILL_OK;
    if (status == VECMILL_E_MEMORY) return err_set(err, status, "%s", why.message);
    return err_set(err, VECMILL_E_MODEL, "the model's pack changed while it was in use: %s",
                   why.message);
}

vecmill_status resolved_check_doc(const struct resolved *s, const vecmill_doc *doc,
                                  vecmill_err *err)
{
    const bool is_pair = doc->kind == VECMILL_DOC_PAIR, scores = resolved_scores(s);
    if (is_pair && !scores)
        return err_set(err, VECMILL_E_USAGE,
                       "a document is a pair of texts, and %s takes single texts", s->ref.dir);
    if (doc->kind == VECMILL_DOC_TEXT && scores)
        return err_set(err, VECMILL_E_USAGE,
                       "a document is a single text, and %s scores pairs of texts", s->ref.dir);
    return is_pair && doc->role == VECMILL_ROLE_DEFAULT ? VECMILL_OK : api_check_doc(doc, err);
}

vecmill_status resolve_session(const vecmill_options *o, const struct model_ref *known,
                               struct resolved *r, struct pack *pack, struct text *text,
                               vecmill_err *err)
{
    VM_TRY(begin_resolve(o, r, err));
    if (known) r->ref = *known;
    VM_TRY(known ? open_known(r, pack, err) : find_pack(o, r, pack, err));
    r->prepends = !known;
    vecmill_status status = find_prompt(o, r, err);
    if (status == VECMILL_OK) status = settle_pack(o, pack, r, text, err);
    if (status == VECMILL_OK && known && strcmp(r->identity, known->identity) != 0)
        status = err_set(err, VECMILL_E_MODEL,
                         "the model's pack changed while it was in use: it holds another model");
    if (status != VECMILL_OK) pack_close(pack);
    return status;
}

vecmill_status resolve_plan(const vecmill_options *o, const struct model_ref *known,
                            struct resolved *r, vecmill_err *err)
{
    struct pack pack;
    struct text text;
    vecmill_err why;
    VM_TRY(begin_resolve(o, r, err));
    r->threads = 1; /* of each worker */
    if (known) r->ref = *known;
    if (!known) VM_TRY(describe_ref(o, r, err));
    VM_TRY(find_prompt(o, r, err));
    vecmill_status status =
        known ? model_ref_open(&r->ref, &pack, &why) : model_ref_find(&r->ref, &pack, &why);
    /* No memory says nothing about the pack: it is not to be built again for that. */
    if (status == VECMILL_E_MEMORY) return err_set(err, status, "%s", why.message);
    if (status != VECMILL_OK) {
        resolved_warn_of_pack(r, status, &why);
        return settle_folder(o, r, err);
    }
    status = settle_pack(o, &pack, r, &text, err);
    pack_close(&pack);
    return status;
}

/* ---- what follows from it ---- */

size_t resolved_buffer_bytes(const struct resolved *s)
{
    if (s->question) return asking_bytes(s, s->question);
    return s->prepends && s->prompt_bytes > 0 ? s->prompt_bytes + VECMILL_TEXT_BYTES + 1 : 0;
}

vecmill_doc resolved_prepend(const struct resolved *s, char *buffer, vecmill_doc doc)
{
    if (!buffer) return doc;
    doc.bytes = num_min(doc.bytes, VECMILL_TEXT_BYTES + 1);
    memcpy(buffer, s->prompt, s->prompt_bytes);
    if (doc.bytes > 0) memcpy(buffer + s->prompt_bytes, doc.text, doc.bytes);
    doc.text = buffer;
    doc.bytes += s->prompt_bytes;
    return doc;
}

uint32_t resolved_keep_known(const struct resolved *s, const struct text *text, int32_t *ids,
                             uint32_t n)
{
    uint32_t kept = 0;
    if ((s->config.text & MODEL_TEXT_KNOWN) == 0) return n;
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] != text->unknown) ids[kept++] = ids[i];
    return kept;
}

static bool cut_characters(uint64_t most, vecmill_doc *doc)
{
    size_t at = 0;
    if (most == 0 || doc->bytes <= most) return false;
    for (uint64_t n = 0; n < most && at < doc->bytes; n++) {
        uint32_t cp;
        bool bad;
        at += utf8_next((const unsigned char *)doc->text + at, doc->bytes - at, &cp, &bad);
    }
    const bool cut = at < doc->bytes;
    doc->bytes = at;
    return cut;
}

bool resolved_cut(const struct resolved *s, vecmill_doc *doc)
{
    const size_t most = (resolved_scores(s) ? 0 : s->prompt_bytes) + VECMILL_TEXT_BYTES;
    if (s->long_policy == VECMILL_LONG_SPLIT) return false;
    const bool cut = cut_characters(s->characters, doc);
    if (doc->bytes <= most) return cut;
    size_t end = most;
    /* Bytes 10xxxxxx continue a character; a run of them that is longer than any character's is not one. */
    while (end > most - 3 && ((unsigned char)doc->text[end] & 0xC0) == 0x80)
        end--;
    doc->bytes = end;
    return true;
}

_Static_assert(VECMILL_LABEL_BYTES == MODEL_LABEL_BYTES, "names are given as they are kept");

void resolved_describe(const struct resolved *s, uint64_t arena_bytes, vecmill_facts *facts)
{
    const struct model_config *c = &s->config;
    struct output output;
    output_of(s, &output);
    const vecmill_facts f = {
        .dim = output_dim(&output),
        .max_length = s->max_length,
        .most_length = c->max_positions,
        .batch_tokens = s->batch_tokens,
        .layers = c->n_layers,
        .heads = c->n_heads,
        .hidden = c->hidden,
        .intermediate = c->intermediate,
        .vocab = c->vocab,
        .precision = (vecmill_precision)s->precision,
        .threads = s->threads,
        .normalized = s->scales || (model_normalizes(c) && s->dim == c->dim),
        .pooling = s->pooling,
        .isa = s->kern->name,
        .pack_path = s->ref.path,
        .pack_bytes = s->pack_bytes,
        .arena_bytes = arena_bytes,
        .identity = s->identity,
        .warning = s->warning,
        .kinds = s->kinds,
        .dtype = VECMILL_DTYPE_FLOAT32,
        .result_bytes = output_bytes(&output),
        .prompt = s->prompt,
        .labels = resolved_scores(s) ? c->labels[0] : NULL,
    };
    api_give(facts, &f, sizeof f);
}
