/* model: token ids to vectors.
 *
 * Reads an encoder in Hugging Face layout (config.json, weights.h's files, and
 * sentence-transformers' modules.json, its modules' folders, sentence_bert_config.json), compiles it
 * into a pack's sections, and computes it: embeddings, encoder layers, and what follows them.
 * What a family of models is made of is data (arch.h). docs/MODEL.md has every formula, shape and
 * tensor name.
 *
 * Files are not trusted until checked; what is not understood is refused by name. The function that
 * plans a workspace also carves it. A forward pass allocates nothing. A document's vector does not
 * depend on the other documents of the pass. Does not know text or processes. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "kern/kern.h"

#define MODEL_CONFIG_MAX                                                                           \
    (4u << 20) /* bytes of one file; Gemma's tokenizer_config.json has 1.2 million */
#define MODEL_HEADER_MAX  (8u << 20) /* bytes of a safetensors header */
#define MODEL_TENSORS_MAX 4096u
#define MODEL_LAYERS_MAX  64u
#define MODEL_HIDDEN_MAX  8192u
#define MODEL_EXPERTS_MAX 64u
#define MODEL_TASKS_MAX   8u
#define MODEL_TASK_BYTES  32u /* of a task's name, with the NUL */
#define MODEL_RANK_MAX    256u
#define MODEL_LENGTH_MAX  65536u     /* rows of a position table */
#define MODEL_BAG_MAX     (1u << 20) /* tokens of a document where they are only added up */
#define MODEL_DIM_MAX     16000u /* floats of a vector: what a message between processes holds */
#define MODEL_STEPS_MAX   14u    /* modules after Pooling */
#define MODEL_LABELS_MAX  64u    /* scores of a pair */
#define MODEL_LABEL_BYTES 64u    /* of a label's name, with the NUL */
#define MODEL_WORDS_MAX   128u   /* tokens that a model treats apart */
#define MODEL_WORD_BYTES  64u    /* of such a token, with the NUL */

/* What a model makes of a document. Numbers are those of vecmill_kind. */
enum model_kind {
    MODEL_DENSE,  /* one vector */
    MODEL_SCORE,  /* of a pair: a score for each label */
    MODEL_SPARSE, /* weights of tokens of the vocabulary */
    MODEL_MULTI,  /* a vector for each token that counts */
    MODEL_TOKENS, /* the rows of the last hidden state */
    MODEL_KINDS
};

/* How the rows of the last hidden state become one. docs/MODEL.md, "What follows the body". */
enum model_pooling {
    MODEL_POOL_MEAN,
    MODEL_POOL_CLS, /* the first token's row */
    MODEL_POOL_MAX,
    MODEL_POOL_MEAN_SQRT_LEN,
    MODEL_POOL_WEIGHTED_MEAN,
    MODEL_POOL_LAST, /* the last token's row */
    MODEL_POOLINGS
};

enum model_step_kind {
    MODEL_STEP_NORMALIZE,
    MODEL_STEP_DENSE,
    MODEL_STEP_LAYER_NORM,
    MODEL_STEP_KINDS
};

enum model_act {
    MODEL_ACT_IDENTITY,
    MODEL_ACT_TANH,
    MODEL_ACT_RELU,
    MODEL_ACT_GELU, /* the exact one */
    MODEL_ACT_SILU,
    MODEL_ACT_SIGMOID,
    MODEL_ACTS
};

/* What follows the body: poolings, whose results are concatenated in this order, then steps. Without a
 * pooling the steps are of each row. Unused elements are zero. */
struct model_ending {
    uint32_t n_poolings, poolings[MODEL_POOLINGS]; /* enum model_pooling, each once */
    uint32_t n_steps;
    struct model_step {
        uint32_t kind;     /* enum model_step_kind */
        uint32_t width;    /* floats of a vector after it */
        uint32_t act;      /* enum model_act of a Dense */
        uint32_t has_bias; /* 1: a Dense or a LayerNorm with a bias */
        float eps;         /* of a LayerNorm */
    } steps[MODEL_STEPS_MAX];
};

/* Of what sparse weights are made. docs/MODEL.md, "Sparse weights". */
enum model_sparse {
    MODEL_SPARSE_NONE,
    MODEL_SPARSE_MAX, /* logits of the vocabulary: the largest of all tokens */
    MODEL_SPARSE_SUM, /* their sum over tokens */
    MODEL_SPARSE_OWN, /* a weight of each of the document's own tokens */
    MODEL_SPARSES
};

/* Parts that some models of a family have and others lack. */
enum {
    MODEL_HAS_TYPES = 1,    /* a table of token types */
    MODEL_HAS_QKV_BIAS = 2, /* biases of products and norms */
    MODEL_HAS_OUT_BIAS = 4,
    MODEL_HAS_UP_BIAS = 8,
    MODEL_HAS_DOWN_BIAS = 16,
    MODEL_HAS_NORM_BIAS = 32,
    MODEL_HAS_ROW_OF = 64,             /* a table of the tokens' rows of the word table */
    MODEL_HAS_FACTOR = 128,            /* factors of the tokens' rows */
    MODEL_HAS_POSITIONS = 256,         /* a table of positions, where the family may lack it */
    MODEL_HAS_DISTANCE_KEYS = 512,     /* scores have products of queries with distances */
    MODEL_HAS_DISTANCE_QUERIES = 1024, /* and of keys with distances */
    MODEL_HAS_DISTANCE_NORM = 2048,    /* distances are normalised */
    MODEL_HAS_SHARED_DISTANCES = 4096, /* they go through the queries' and keys' own matrices */
    MODEL_HAS_TASKS = 16384,           /* low-rank parts of tasks */
    MODEL_HAS_OWN_DISTANCES = 8192,    /* or through matrices of their own */
    MODEL_HAS_VOCAB = 32768,           /* the head that predicts masked tokens */
    MODEL_HAS_OWN_VOCAB = 65536,       /* its last matrix is not the word table */
};

/* What becomes of a text otherwise than with most models. */
enum {
    MODEL_TEXT_BARE = 1,       /* no special tokens are added, and an empty text has no token */
    MODEL_TEXT_KNOWN = 2,      /* unknown tokens count for the length, and are left out then */
    MODEL_TEXT_CHARACTERS = 4, /* the text is cut first: at max_length times the median number of
                                * characters of the vocabulary's tokens */
    MODEL_TEXT_ALL = 7
};

/* What the forward pass needs to know. Fixed-width, stored as it is in the pack's section
 * "model.config"; the family gives the rest (arch.h). */
struct model_config {
    char family[24];        /* its name, zero-filled */
    uint64_t local;         /* bit l: layer l sees keys at most `window` away */
    uint64_t expert_layers; /* bit l: the feed-forward of layer l is of experts */
    uint32_t n_layers, hidden, intermediate;
    uint32_t n_heads, n_kv_heads, head_dim; /* query heads, key heads, the width of each */
    /* The same of layers in `local`, which have as many query heads; 0: as other layers. */
    uint32_t local_kv_heads, local_head_dim;
    uint32_t n_experts, n_chosen; /* experts of a layer, and how many of them a token takes */
    uint32_t input; /* width of what each layer is given of the embedding; 0: nothing */
    uint32_t state; /* floats of a row of the last hidden state; 0: hidden */
    uint32_t vocab; /* rows of the word table, or tokens that have one; from the weights */
    uint32_t rows;  /* of the word table, where it is a bag's; else 0 */
    uint32_t types; /* rows of the token type table; 0: there is none */

    /* Rows of the position table, from the weights; 0: there is none. Row first_position is the first
     * token's. Where it is not 0, tokens with the id `pad` take the row before it, and are not
     * counted. */
    uint32_t positions, first_position, pad;

    /* The longest document: what is left of the position table, or what the files say. */
    uint32_t max_positions;
    /* The default: sentence_bert_config.json, else the smallest positive integer of
     * tokenizer_config.json, else max_positions. */
    uint32_t max_length;
    uint32_t has;    /* MODEL_HAS_* */
    uint32_t text;   /* MODEL_TEXT_* */
    uint32_t act;    /* enum gemm_act */
    uint32_t causal; /* 1: a token sees no later one */
    uint32_t window; /* of the layers in `local` */
    uint32_t buckets,
        span; /* of relative positions: rows of the checkpoint's table; kern.h's span */
    /* Vectors that stand for distances; how many of them are for distances in logarithmic steps, 0:
     * each distance has its own; and the distance that the last of these stands for. */
    uint32_t distances, distance_buckets, distance_most;
    /* Tasks that the weights have low-rank parts for, their rank and the factor of their product. */
    uint32_t n_tasks, task_rank;
    float task_scale;
    char tasks[MODEL_TASKS_MAX][MODEL_TASK_BYTES]; /* zero-filled */
    float eps;                                     /* of LayerNorm and RMSNorm */
    float divisor;                                 /* of attention's scores */
    float embed_scale;                             /* factor of the word table's rows */
    /* Bases of rotary positions, in layers without and with a window; 0: there are none. rope_factor
     * scales them: of all documents, or of those with more than rope_trained tokens, by their length
     * (docs/MODEL.md, "Rotary positions"). */
    float rope_theta, rope_local_theta, rope_factor;
    uint32_t rope_trained; /* 0: of all documents */
    uint32_t kinds;        /* bits 1u << enum model_kind of what it makes */
    uint32_t dim;          /* floats of a vector, before truncate_dim cuts it */
    uint32_t precision;    /* enum kern_precision of the products and of attention */
    uint32_t truncate_dim; /* components of a vector to keep, according to the files; 0: all */
    uint32_t skips_prompt; /* 1: poolings leave out the rows of a prompt (include_prompt: false) */
    uint32_t sparse;       /* enum model_sparse */
    uint32_t sparse_logs;  /* times that log(1 + x) is taken of a logit: 1 or 2 */
    struct model_ending ending;
    /* Of each row: to a vector of MODEL_MULTI, and to the weight of MODEL_SPARSE_OWN. Without steps:
     * there is none. The first multi_skips rows of a document make no vector. */
    struct model_ending multi, weight;
    uint32_t multi_skips;
    /* Of late interaction, else 0: tokens of a query and of a document at most (0: max_length), tokens
     * that a query is expanded to, MODEL_EXPAND_* of it, and MODEL_ROLE_* of texts whose tokens may make
     * no vector (MODEL_WORD_NO_ROW). */
    uint32_t query_length, document_length, expands_to, expands, skip_roles;

    /* Of a model that scores pairs, else 0: the names of its scores, as many as `dim`, and its own
     * activation (enum model_act), which a pass does not apply. asks 1: it makes vectors, and its one
     * score is model_answer of a vector. */
    uint32_t n_labels, score_act, asks;
    char labels[MODEL_LABELS_MAX][MODEL_LABEL_BYTES]; /* zero-filled */
};

enum {
    MODEL_ROLE_DOCUMENT = 1,
    MODEL_ROLE_QUERY = 2,
};

enum {
    MODEL_EXPAND_ATTENDED = 1, /* the tokens of expansion are keys of attention */
    MODEL_EXPAND_LONGER = 2,   /* longer queries are not cut to expands_to */
};

/* Tokens that the model treats apart, as they are written in the tokenizer's vocabulary. Fixed-width,
 * stored as it is in the pack's section "model.words", where there are any. */
enum model_word_use {
    MODEL_WORD_NO_WEIGHT, /* has no weight of MODEL_SPARSE_OWN */
    MODEL_WORD_NO_ROW,    /* makes no vector of MODEL_MULTI */
    MODEL_WORD_QUERY,     /* follows the first special tokens of a query, of a document */
    MODEL_WORD_DOCUMENT,
    MODEL_WORD_EXPANSION, /* what queries are expanded with */
    MODEL_WORD_USES
};

struct model_words {
    uint32_t n;
    struct model_word {
        uint32_t use;                /* enum model_word_use */
        char text[MODEL_WORD_BYTES]; /* zero-filled */
    } at[MODEL_WORDS_MAX];
};

/* How a language model is asked for the score of a pair: one text, end to end head, then query, text and
 * instruction each after its own words, then tail. head, the middle and tail are tokenized apart, as the
 * model's card does. The score is the logit of `yes` less that of `no` as the next token. Static. */
struct model_question {
    const char *yes, *no;
    const char *head, *before_instruction, *instruction, *before_query, *before_text, *tail;
    uint32_t max_length; /* tokens, head and tail included, unless another length is asked for */
};
/* NULL: the model is not asked. */
const struct model_question *model_question(const struct model_config *config);

/* v[n] = the model's own activation of each: what a score is beyond the logit. */
void model_activate(const struct model_config *config, float *v, uint32_t n);

/* Whether a document's tokens are only added up: then its length takes no working memory. */
bool model_is_bag(const struct model_config *config);

/* Whether sparse weights are of logits of the whole vocabulary. */
bool model_takes_logits(const struct model_config *config);

/* Whether vectors have length 1: the last step is Normalize. */
bool model_normalizes(const struct model_config *config);

/* The poolings in sentence-transformers' words, as "cls+mean", into text[MODEL_POOLING_TEXT]. */
#define MODEL_POOLING_TEXT 64u
void model_pooling_text(const struct model_config *config, char *text);

/* What a pack is made of, as 32 hex digits and a NUL: XXH3-128 over the names, sizes and contents
 * of all files that are read, but of the weights only the header (of torch's files the directory and
 * the pickle), the start of each tensor and 65 pieces of 4 KiB. It does not depend on the folder's
 * path or on times, so a copy of a model has the same digest. Reads about a megabyte: half a
 * millisecond from the page cache. `names` are further files in model_folder's that the caller reads
 * (tokenizer.json). E_MODEL when a required file is missing or one cannot be read. */
vecmill_status model_digest(const char *dir, const char *const *names, size_t n_names,
                            char digest[33], vecmill_err *err);

/* Device, inode, size, mtime and ctime of the same files: while the stamp is equal, so is the
 * digest. Calls stat, and reads modules.json and an index of shards. */
vecmill_status model_stamp(const char *dir, const char *const *names, size_t n_names,
                           char stamp[33], vecmill_err *err);

/* The folder within a model's folder that has configuration, weights and tokenizer, into
 * path[IO_PATH_MAX]: the path of the first module of modules.json ("0_Transformer"), or the folder
 * itself. */
vecmill_status model_folder(const char *dir, char *path, vecmill_err *err);

/* Where the tokenizer of a folder is, into path[IO_PATH_MAX], and the length that its files say, 0 if none
 * does, whatever model is there: modules.json and config.json may be of one that is not computed. E_MODEL:
 * a file that is read is damaged. */
vecmill_status model_text_folder(const char *dir, char *path, uint32_t *length, vecmill_err *err);

/* The prompt of this name in a model's folder, or of no name (NULL) its default prompt, into
 * text[MODEL_PROMPT_MAX], as a string of UTF-8; "": none. "query" and "document" are empty where the
 * files do not have them. E_USAGE: no prompt has this name; E_MODEL: it is no text, or too long. */
#define MODEL_PROMPT_MAX 4096u /* bytes with the NUL */
vecmill_status model_prompt(const char *dir, const char *name, char text[MODEL_PROMPT_MAX],
                            vecmill_err *err);

/* The instruction of a task, "task_instructions" of config.json, into text[MODEL_PROMPT_MAX]; "": none.
 * E_MODEL as of model_prompt. */
vecmill_status model_task_prompt(const char *dir, const char *task, char text[MODEL_PROMPT_MAX],
                                 vecmill_err *err);

/* Reads configuration and weights of a folder and writes the sections "model.config",
 * "model.weights" and, where there are such, "model.ending", "model.multi" and "model.weight" (weights
 * of what follows the body, ending.h) and "model.words" into an open pack writer, for this level and
 * precision. Reads one tensor at a time through a fixed buffer. words: of a model that is asked
 * (model_question), the ids of yes and no; with NULL it makes vectors alone. */
vecmill_status model_compile(const char *dir, const struct kern *kern,
                             enum kern_precision precision, const int32_t *words,
                             struct pack_writer *w, vecmill_err *err);

/* The most memory that model_compile holds at one time, in a program that has called
 * mem_map_large: from the small files, their sizes and the first bytes of the weights.
 * E_MODEL as for model_compile. */
vecmill_status model_compile_most(const char *dir, size_t *bytes, vecmill_err *err);

/* The configuration that a pack of this folder would have. Checks names and shapes of all tensors
 * without reading them: milliseconds. E_MODEL as for model_compile, except for faults in values. */
vecmill_status model_config_of_folder(const char *dir, enum kern_precision precision,
                                      struct model_config *config, vecmill_err *err);

/* The configuration in a pack, checked, without opening the model: reads no weights. E_MODEL when
 * it is damaged, or the pack was made for another level or precision. */
vecmill_status model_read_config(const struct pack *pack, const struct kern *kern,
                                 enum kern_precision precision, struct model_config *config,
                                 vecmill_err *err);

/* The words in a pack, checked; none where it has no such section. E_MODEL: they are damaged. */
vecmill_status model_read_words(const struct pack *pack, struct model_words *words,
                                vecmill_err *err);

/* Bytes of a pack's sections of weights at this level. UINT64_MAX: more than there can be. */
uint64_t model_weight_bytes(const struct model_config *config, const struct kern *kern);

/* A model mapped from a pack, ready to run. Pair: model_close. The pack must stay open longer.
 * E_MODEL when sections and their sizes disagree. */
struct model;
vecmill_status model_open(const struct pack *pack, const struct kern *kern,
                          enum kern_precision precision, struct model **model, vecmill_err *err);
void model_close(struct model *model);
const struct model_config *model_describe(const struct model *model);

/* Of a model that is asked: the logit of a pair, from the vector [hidden] of its text. */
float model_answer(const struct model *model, const float *row);

/* What a pass is like; its working memory depends on the first three, `kinds` and the configuration. */
struct model_extent {
    uint32_t tokens; /* of a pass, at most */
    /* Tokens of a document, at most; one longer than `tokens` is a pass by itself. */
    uint32_t longest;
    uint32_t threads; /* that compute a pass together, at least 1 */
    /* First rows of each document that poolings leave out, but never its last row. */
    uint32_t skip;
    uint32_t task; /* model_task's; 0: none, which leaves the plain weights */
    /* bits 1u << enum model_kind of what is computed, not both MODEL_MULTI and MODEL_TOKENS, which are
     * both rows; 0: MODEL_DENSE alone */
    uint32_t kinds;
};

/* Working memory for such passes, planned and carved by one function. Needs no open model, so it is
 * known beforehand. SIZE_MAX: more than there can be. */
size_t model_workspace_bytes(const struct model_config *config, const struct kern *kern,
                             const struct model_extent *extent);

/* The number of a task by its name, from 1 on; 0: the model has none of this name. */
uint32_t model_task(const struct model_config *config, const char *name);

/* The documents of a pass, end to end, no padding between them. */
struct model_input {
    const int32_t *ids; /* [starts[n_docs]], each in [0, vocab) (checked: E_INTERNAL) */
    /* [n_docs + 1], starts[0] = 0; document d is ids[starts[d] .. starts[d + 1]), 1 to longest, with
     * MODEL_TEXT_BARE from 0 on */
    const uint32_t *starts;
    uint32_t n_docs;
    /* [starts[n_docs]]: token types, each below config's `types` (checked: E_INTERNAL); NULL: all 0 */
    const uint8_t *types;
    /* [n_no_weight], ascending: ids that have no weight of MODEL_SPARSE_OWN; not read for others */
    const int32_t *no_weight;
    uint32_t n_no_weight;
    /* Likewise: ids whose tokens make no vector of MODEL_MULTI. */
    const int32_t *no_row;
    uint32_t n_no_row;
    /* [n_docs]: first tokens of each document, 1 to all of them, that are keys of attention; the others
     * see these and not each other. NULL: all. Where expands_to is, and MODEL_EXPAND_ATTENDED is not. */
    const uint32_t *attended;
};

/* Where a pass's results go: of the kinds in its extent; the others are not read. */
struct model_output {
    float *vectors; /* MODEL_DENSE: [n_docs, dim] */
    /* MODEL_TOKENS, MODEL_MULTI: documents end to end, document d's rows are row_starts[d] ..
     * row_starts[d + 1]. Room for a row of model_row_floats for each token of the pass. */
    float *rows;
    uint32_t *row_starts; /* [n_docs + 1] */
    /* MODEL_SPARSE: called by the calling thread for each document in order, with the n tokens of the
     * vocabulary that have a weight, ascending, each weight above 0. Both are valid during the call. */
    void (*sparse)(void *context, uint32_t doc, const uint32_t *indices, const float *weights,
                   uint32_t n);
    void *context;
};

/* Floats of a row of such a kind. */
uint32_t model_row_floats(const struct model_config *config, enum model_kind kind);

/* One pass. No bit depends on the team's size.
 *   memory  model_workspace_bytes of this extent, aligned to 4096
 *   team    of at most extent->threads; NULL: the caller alone */
vecmill_status model_forward(const struct model *model, void *memory,
                             const struct model_extent *extent, struct team *team,
                             const struct model_input *input, const struct model_output *output,
                             vecmill_err *err);

/* Operations, a multiply-add counted as two, for a document of n tokens of which `kinds` are computed.
 * Counts what is executed: for a model pooled by its first or its last token, the last layer counts
 * for that row only, where nothing else is computed (docs/MODEL.md, "Operations"). Poolings and norms
 * do not count. */
double model_flops(const struct model_config *config, uint32_t kinds, uint32_t n);

#endif
