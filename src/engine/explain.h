/* explain: what each step of a tokenizer makes of a text, for vecmill_explain and
 * vecmill_tokenizer_explain. Private to engine. */
#ifndef ENGINE_EXPLAIN_H
#define ENGINE_EXPLAIN_H

#include "resolve.h"
#include "text/text.h"
#include "vecmill.h"

struct explain {
    const struct text *text;
    const struct resolved *resolved; /* of a model; NULL: the tokenizer alone */
    uint32_t max_tokens;             /* special ones included */
};

/* As vecmill_explain. */
vecmill_status explain_run(const struct explain *x, vecmill_doc doc,
                           void (*each)(void *context, const vecmill_made *made), void *context,
                           vecmill_err *err);

#endif
