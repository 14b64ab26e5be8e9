/* late: models that make a vector for each token and nothing else (ColBERT; docs/MODEL.md, "A vector
 * for each token"): modules.json has no Pooling. What their files say of markers, of queries' expansion,
 * of lengths and of tokens that are left out. Sources: sentence-transformers 6.2 (MultiVectorEncoder,
 * MultiVectorMask, Transformer's QueryExpansionConfig), pylate 1.6. Reads no weights. */
#ifndef MODEL_LATE_H
#define MODEL_LATE_H

#include "config.h"

/* Whether modules.json is of such a model: it has a MultiVectorMask, or a module of pylate's
 * and no Pooling. */
bool late_is(const struct json_value *modules);

/* config.json of a MultiVectorMask */
vecmill_status late_parse_mask(const struct json_value *o, const char *shown, struct config *config,
                               vecmill_err *err);

/* "query_expansion" of sentence_bert_config.json, into struct config. */
json_field_own late_read_expansion;

/* pylate's keys of config_sentence_transformers.json. Of another model they are passed over. */
vecmill_status late_parse_prompts(const struct json_value *o, const char *shown,
                                  struct config *config, vecmill_err *err);

/* Whether config.json, of a folder without modules.json, is of such a model as Stanford's code saves it
 * (the architecture HF_ColBERT). */
bool late_is_inline(const struct json_value *transformer);

/* Of such a model: artifact.metadata, if it is there, and how wide its projection is ("linear.weight",
 * among the transformer's weights in `folder`). E_MODEL. */
#define LATE_METADATA "artifact.metadata"
vecmill_status late_read_inline(const char *folder, struct config *config, vecmill_err *err);

/* After all files: what they said becomes the model's, and the modules its ending of rows. */
vecmill_status late_settle(struct config *config, const char *shown, vecmill_err *err);

/* The lengths and the expansion of a configuration, from a folder or from a pack. E_MODEL. */
vecmill_status late_check(const struct model_config *config, const char *shown, vecmill_err *err);

#endif
