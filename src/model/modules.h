/* modules: what follows the encoder's body, as modules.json and the files of the folders that it
 * names say (sentence-transformers 6.2, base/modules/ and sentence_transformer/modules/).
 *
 * What would change the numbers and is not computed here is refused by name. docs/MODEL.md,
 * "Configuration", has the rules. Reads no weights. Each function reads one file's JSON into
 * *config, which keeps unspecified values on failure; `shown` is the file's name in messages. */
#ifndef MODEL_MODULES_H
#define MODEL_MODULES_H

#include "config.h"

/* modules.json */
vecmill_status modules_parse(const struct json_value *list, const char *shown,
                             struct config *config, vecmill_err *err);

/* config.json of the Pooling module, after config.json of the transformer */
vecmill_status modules_parse_pooling(const struct json_value *o, const char *shown,
                                     struct config *config, vecmill_err *err);

#endif
