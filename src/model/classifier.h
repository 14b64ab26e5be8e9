/* classifier: the head of a model that scores pairs, as config.json and the family say.
 *
 * A folder without modules.json whose architecture is a family's ForSequenceClassification has one
 * (docs/MODEL.md, "Scores"). It becomes the ending of the model: one pooled row, then steps, whose
 * weights are among the transformer's. What the steps are, and their tensors' names, is the family's
 * (struct arch_head). Reads no weights. */
#ifndef MODEL_CLASSIFIER_H
#define MODEL_CLASSIFIER_H

#include "config.h"

/* Whether config.json (the transformer's) is of such a model. */
bool classifier_is(const struct json_value *transformer);

/* Fills config->head, model.ending, model.labels and model.score_act from config.json of such a
 * model. E_MODEL: the family has no head, or a key says what is not computed here. */
vecmill_status classifier_parse(const struct json_value *transformer, const char *shown,
                                struct config *config, vecmill_err *err);

/* The labels and the activation of a configuration that scores, from a folder or from a pack.
 * E_MODEL; messages say `shown`. */
vecmill_status classifier_check(const struct model_config *config, const char *shown,
                                vecmill_err *err);

#endif
