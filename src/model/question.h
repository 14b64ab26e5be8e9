/* question: scores of a language model that is asked about a pair (docs/MODEL.md, "Scores").
 *
 * The pair is put into a text that ends where the model would say one of two words, and the score is the
 * logit of the first less that of the second. Of the language model's head only these two rows are
 * needed, and only their difference is kept. Private to model but for model.h's part. */
#ifndef MODEL_QUESTION_H
#define MODEL_QUESTION_H

#include "config.h"

#define QUESTION_SECTION "question"

/* Whether config.json is of a language model, whose family is asked, without modules.json. */
bool question_is(const struct json_value *transformer, const struct config *config);

/* The model is asked, for its one score; or not, after all. */
void question_take(struct model_config *config);
void question_drop(struct model_config *config);

/* Writes the section: row words[0] less row words[1] of the head, which is the word table unless there
 * is another. E_MODEL: it is missing, or has no such rows. */
vecmill_status question_write(const char *dir, const struct config *config, const int32_t words[2],
                              struct pack_writer *out, vecmill_err *err);

/* The most memory that question_write holds at one time. */
vecmill_status question_most(const char *dir, const struct config *config, size_t *bytes,
                             vecmill_err *err);

/* The section's floats [hidden], borrowed. E_MODEL. */
vecmill_status question_open(const struct pack *pack, const struct model_config *config,
                             const float **difference, vecmill_err *err);

#endif
