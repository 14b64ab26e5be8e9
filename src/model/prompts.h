/* prompts: texts that a model wants before a document, by their names in
 * config_sentence_transformers.json (sentence-transformers 6.2, class BaseModel). Does not know
 * tokens. */
#ifndef MODEL_PROMPTS_H
#define MODEL_PROMPTS_H

#include "config.h"

/* The file's JSON into *config. E_MODEL: the default prompt is missing or no text, or the file is of
 * another kind of model. `shown` is the file's name in messages. */
vecmill_status prompts_parse(const struct json_value *o, const char *shown, struct config *config,
                             vecmill_err *err);

#endif
