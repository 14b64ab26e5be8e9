/* multi: search among documents of several rows (OUTPUT.npy with OUTPUT.offsets.npy), by MaxSim.
 *
 * A query has rows of its own, which the model makes; every one counts. Does not know how a score is
 * shown. */
#ifndef APP_MULTI_H
#define APP_MULTI_H

#include "app.h"
#include "hits.h"

struct multi {
    const struct options *options;
    const struct job_vectors *vectors; /* borrowed */
    struct job_offsets offsets;
    float *scores; /* [documents] */
};

/* Opens the offsets of options->input, where there are some: multi_is_open then. E_INPUT: they do not fit
 * the vectors, which must be float32; E_USAGE: --kinds names a kind that the file does not hold. Pair:
 * multi_close. */
vecmill_status multi_open(struct multi *multi, const struct options *options,
                          const struct job_vectors *vectors, vecmill_err *err);
void multi_close(struct multi *multi);

static inline bool multi_is_open(const struct multi *multi)
{
    return multi->offsets.starts != NULL;
}

/* A session that makes rows: of --kinds, else those for late interaction where the model makes such, else
 * all of its tokens'. As app_session_open. */
vecmill_status multi_session_open(const struct multi *multi, vecmill_session **session,
                                  vecmill_err *err);

/* Keeps the best documents for a query. */
vecmill_status multi_find(struct multi *multi, vecmill_session *session, vecmill_doc query,
                          struct hits *hits, vecmill_err *err);

#endif
