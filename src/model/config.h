/* config: the small JSON files of a model folder, read as sentence-transformers 6 reads them.
 *
 * Promises: what would change the numbers and is not computed here (another activation, a Dense
 * module, max pooling, a default prompt) is refused by name; files other than config.json may be
 * missing. docs/MODEL.md, "Configuration", has the rules. Does not know the weights: sizes that the
 * weights also tell are only what the files say. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#define CONFIG_INTERMEDIATE_MAX 65536u
#define CONFIG_VOCAB_MAX        (1u << 20)
#define CONFIG_TYPES_MAX        1024u /* rows of the token type table */
#define CONFIG_POOLING_DIRS     10u   /* "0_Pooling" to "9_Pooling" */

struct config {
    struct model_config model; /* vocab, max_positions: as config.json says; max_length: 0 until the
                                  weights are known (config_max_length) */
    uint32_t types;            /* rows of the token type table */

    /* modules.json; without it mean pooling and no normalisation, as sentence-transformers does */
    bool has_pooling_file;
    uint32_t pooling_dir; /* N of "N_Pooling" */

    uint32_t max_seq_length;       /* of sentence_bert_config.json; 0: not given */
    uint32_t tokenizer_max_length; /* smallest given in tokenizer_config.json; 0: none */
    bool lower_case;               /* sentence_bert_config.json asks for lower case */
    bool cased;                    /* tokenizer_config.json says do_lower_case: false */
};

enum config_file {
    CONFIG_MODEL,     /* config.json */
    CONFIG_MODULES,   /* modules.json */
    CONFIG_POOLING,   /* N_Pooling/config.json */
    CONFIG_SENTENCE,  /* sentence_bert_config.json */
    CONFIG_TOKENIZER, /* tokenizer_config.json */
    CONFIG_PROMPTS,   /* config_sentence_transformers.json */
    CONFIG_FILES
};

/* The file's name within the folder; N_Pooling's with N = 1. Static storage. */
const char *config_file_name(enum config_file file);

/* "N_Pooling/config.json" for N < CONFIG_POOLING_DIRS. */
#define CONFIG_POOLING_NAME 24
void config_pooling_name(uint32_t n, char name[CONFIG_POOLING_NAME]);

/* What holds before any file was read. */
void config_init(struct config *config);

/* One file's bytes into *config; `shown` stands in messages. CONFIG_MODEL comes first (the pooling file
 * is checked against its hidden size). For config_read and for fuzzing. */
vecmill_status config_parse(enum config_file file, const void *data, size_t bytes,
                            const char *shown, struct config *config, vecmill_err *err);

/* Bytes that config_read holds at one time at most: the largest file and its values. Looks at sizes. */
vecmill_status config_read_most(const char *dir, size_t *bytes, vecmill_err *err);

/* Reads all of a folder. */
vecmill_status config_read(const char *dir, struct config *config, vecmill_err *err);

/* The default length for a position table of max_positions rows: sentence_bert_config.json's, else the
 * smallest of tokenizer_config.json, else the table's. E_MODEL when the first is more than the table. */
vecmill_status config_max_length(const struct config *config, uint32_t max_positions,
                                 uint32_t *length, vecmill_err *err);

/* The ranges that hold for every config, from a folder or from a pack. `shown` stands in messages. */
vecmill_status config_check(const struct model_config *model, const char *shown, vecmill_err *err);

#endif
