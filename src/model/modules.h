/* modules: what follows the body, as modules.json and the files of the folders that it names say
 * (sentence-transformers 6.2, base/modules/ and sentence_transformer/modules/).
 *
 * What would change the numbers and is not computed here is refused by name. docs/MODEL.md, "Files
 * of a model folder", has the rules. Reads no weights. Each function reads one file's JSON into
 * *config, which keeps unspecified values on failure; `shown` is the file's name in messages. */
#ifndef MODEL_MODULES_H
#define MODEL_MODULES_H

#include "config.h"

/* modules.json: the classes of the modules and their folders. */
vecmill_status modules_parse(const struct json_value *list, const char *shown,
                             struct config *config, vecmill_err *err);

/* Without modules.json: mean pooling, or the last token of what was trained to predict the next one
 * (SentenceTransformer._load_default_modules). transformer: its config.json. */
void modules_default(const struct json_value *transformer, struct config *config);

/* config.json of the Pooling module, after config.json of the transformer */
vecmill_status modules_parse_pooling(const struct json_value *o, const char *shown,
                                     struct config *config, vecmill_err *err);

/* A module after Pooling has the width of the one before, until its file says another. Nothing for a
 * step that there is not. */
void modules_begin_step(uint32_t step, struct config *config);

/* config.json of such a module, after that of the one before */
vecmill_status modules_parse_step(const struct json_value *o, uint32_t step, const char *shown,
                                  struct config *config, vecmill_err *err);

#endif
