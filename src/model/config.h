/* config: the small JSON files of a model folder, read as sentence-transformers 6 reads them.
 *
 * What would change the numbers and is not computed here (another activation, another module) is
 * refused by name. Files other than config.json may be missing.
 * docs/MODEL.md, "Files of a model folder", has the rules. Does not know the weights: sizes that
 * they also determine are only what these files say. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#define CONFIG_INTERMEDIATE_MAX 65536u
#define CONFIG_VOCAB_MAX        (1u << 20)
#define CONFIG_TYPES_MAX        1024u  /* rows of the token type table */
#define CONFIG_HEAD_MAX         512u   /* width of a head */
#define CONFIG_BUCKETS_MAX      511u   /* of relative positions */
#define CONFIG_DISTANCES_MAX    4096u  /* vectors that stand for distances */
#define CONFIG_QUERIES_MAX      65536u /* width of all heads */
#define CONFIG_PATH_BYTES       64u    /* of a module's path within the folder, with the NUL */
#define CONFIG_SPECIALS         5u     /* special tokens of tokenizer_config.json */

struct arch_head;

/* Those before CONFIG_MASK have no weight. */
enum config_special { CONFIG_CLS, CONFIG_EOS, CONFIG_PAD, CONFIG_UNK, CONFIG_MASK };

struct config {
    /* Vocab, max_positions: as config.json says; max_length: 0 until the weights are known
     * (config_max_length) */
    struct model_config model;

    /* Of config.json, while it is read: what a family makes its configuration from. */
    struct config_keys {
        struct json_value rope_parameters, rope_scaling, layer_types, per_layer, tied;
        float theta, local_theta; /* 0: not given */
        bool local_theta_is_null;
        uint32_t window, every;                    /* one layer in `every` is without the window */
        uint32_t global_head_dim, global_kv_heads; /* of layers without the window */
        uint32_t positions;                        /* a second "max_position_embeddings" */
        float scalar;                              /* "query_pre_attn_scalar" */
        uint32_t act;                              /* a second activation */
        bool shared_distances, position_input;
        bool qkv_bias, mlp_bias, down_bias, norm_bias, sliding, bidirectional, causal, normalize;
    } keys;

    /* modules.json. Without it the folder is the transformer's, with mean pooling and no
     * normalisation, as in sentence-transformers. Paths are within the folder, zero-filled at their
     * end. */
    bool has_pooling_file;
    bool
        gives_logits; /* the first module makes logits of the vocabulary, which SpladePooling takes */
    /* The first module is a static embedding, or config.json is one's: the model is a bag (arch.h),
     * without a Pooling and the files that say lengths. */
    bool is_bag;
    char transformer[CONFIG_PATH_BYTES]; /* "": the folder itself; "0_Transformer" */
    char pooling[CONFIG_PATH_BYTES];     /* "1_Pooling" */
    bool is_asked; /* a language model that can be asked for scores (question.h) */
    /* What follows the body is a head with weights among the transformer's; NULL: modules. */
    const struct arch_head *head;
    /* of model.ending.steps: "2_Dense"; "" where there is none, or a Normalize has no file */
    char steps[MODEL_STEPS_MAX][CONFIG_PATH_BYTES];

    /* By enum ending_which: the file in the transformer's folder that has the weights of an ending's
     * one Dense; NULL: modules have them. Static. */
    const char *head_files[3];
    /* modules.json has no Pooling: a vector for each token (late.h). While it is read, its modules are
     * model.ending's; `pooling` is the folder of the MultiVectorMask. */
    bool is_multi;
    /* Without modules.json: HF_ColBERT, whose projection is among the transformer's weights. */
    bool is_inline;
    struct config_late {
        bool is_pylate;     /* "model_type" is "ColBERT" */
        bool has_skip_list; /* one is given */
        bool is_given;      /* "query_expansion" is */
        bool has_token;     /* and has a token of its own */
        uint32_t query_length, document_length, expands_to, expands;
    } late;
    struct model_words words;
    /* tokenizer_config.json's tokens, by enum config_special; "": none. One was longer than that. */
    char specials[CONFIG_SPECIALS][MODEL_WORD_BYTES];
    bool long_special;

    uint32_t max_seq_length;       /* of sentence_bert_config.json; 0: not given */
    uint32_t tokenizer_max_length; /* smallest given in tokenizer_config.json; 0: none */
    bool lower_case;               /* sentence_bert_config.json asks for lower case */
    bool cased;                    /* tokenizer_config.json says do_lower_case: false */
};

/* In the order in which they are read: modules.json says where the others are, and the files of the
 * modules are checked against config.json and the module before. */
enum config_file {
    CONFIG_MODULES,   /* modules.json */
    CONFIG_MODEL,     /* config.json, of the transformer */
    CONFIG_POOLING,   /* config.json, of the pooling module */
    CONFIG_SENTENCE,  /* sentence_bert_config.json, of the transformer */
    CONFIG_TOKENIZER, /* tokenizer_config.json, of the transformer */
    CONFIG_PROMPTS,   /* config_sentence_transformers.json */
    CONFIG_STEPS,     /* config.json, of each module after Pooling */
    CONFIG_FILES = CONFIG_STEPS + MODEL_STEPS_MAX
};

/* Whether the model has a place for the file, and whether it must be there. */
bool config_has(const struct config *config, enum config_file file);
bool config_needs(const struct config *config, enum config_file file);

/* The file's name within the folder, according to modules.json. */
#define CONFIG_NAME_BYTES (CONFIG_PATH_BYTES + 40)
void config_name(const struct config *config, enum config_file file, char name[CONFIG_NAME_BYTES]);

/* The transformer's folder, which also has the weights and the tokenizer, into
 * path[IO_PATH_MAX]. */
vecmill_status config_folder(const char *dir, const struct config *config, char *path,
                             vecmill_err *err);

/* The values that hold before any file was read. */
void config_init(struct config *config);

/* Reads one file's bytes into *config; `shown` is its name in messages. For config_read and for
 * fuzzing. */
vecmill_status config_parse(enum config_file file, const void *data, size_t bytes,
                            const char *shown, struct config *config, vecmill_err *err);

/* Reads all of a folder. */
vecmill_status config_read(const char *dir, struct config *config, vecmill_err *err);

/* Reads only modules.json, where there is one: enough for config_name and config_folder. */
vecmill_status config_read_modules(const char *dir, struct config *config, vecmill_err *err);

/* Bytes that config_read held at one time at most: the largest file. Looks at sizes. */
vecmill_status config_read_most(const char *dir, const struct config *config, size_t *bytes,
                                vecmill_err *err);

/* The default length for a position table of max_positions rows: sentence_bert_config.json's, else
 * the smallest of tokenizer_config.json, else the table's. E_MODEL when the first exceeds the
 * table. */
vecmill_status config_max_length(const struct config *config, uint32_t max_positions,
                                 uint32_t *length, vecmill_err *err);

/* ---- for the functions that read one file ---- */

/* json_fields with E_MODEL. `other`: what is done with keys that the table does not have; NULL:
 * they are passed over. */
vecmill_status config_fields(const struct json_value *o, const struct json_field *fields, size_t n,
                             json_field_other *other, const char *shown, void *target,
                             vecmill_err *err);

/* An `other` that refuses every key. */
json_field_other config_refuse_key;

/* Of a key: its value must be field->detail; it must be absent, null, false or empty. */
json_field_own config_read_only, config_read_unset;

/* E_MODEL: `key` has a value, and `only` something else is computed. */
vecmill_status config_refuse(const char *shown, const char *key, const struct json_value *value,
                             const char *only, vecmill_err *err);

/* ---- */

/* Checks the ranges that hold for every config, from a folder or from a pack. Messages say
 * `shown`. */
vecmill_status config_check(const struct model_config *model, const char *shown, vecmill_err *err);

#endif
