/* attention: which keys a query sees, and what is added to a score; what all variants share.
 *
 * Windows, causality, slopes and tables are one function of the distance i - j, for each head. */
#ifndef KERN_ATTENTION_H
#define KERN_ATTENTION_H

#include <math.h>

#include "kern.h"

#define ATTENTION_LOG2_E 1.44269504f

/* Is anything but 0 added to a score of a document of len tokens? */
static inline bool attention_is_biased(const struct attention_shape *s, size_t len)
{
    return s->bias != ATTENTION_PLAIN || s->causal || (len > 0 && s->window < len - 1);
}

/* The key head of query head g. */
static inline size_t attention_kv_head(const struct attention_shape *s, size_t g)
{
    return g / (s->heads / s->kv_heads);
}

struct key_range {
    size_t from, to; /* [from, to) */
};

/* The keys that some of the queries [first, first + n) see, n > 0: never none. */
static inline struct key_range attention_keys(const struct attention_shape *s, size_t len,
                                              size_t first, size_t n)
{
    const size_t last = first + n - 1, after = len - 1 - last;
    return (struct key_range){
        .from = first > s->window ? first - s->window : 0,
        .to = s->causal           ? last + 1
              : after > s->window ? last + s->window + 1
                                  : len,
    };
}

static inline float attention_relative_term(const struct attention_call *call, size_t i, size_t j)
{
    const struct attention_relative *r = &call->relative;
    const size_t b = r->bucket[i + call->len - 1 - j];
    return (r->of_queries[(i - call->first_query) * r->ld + b] + r->of_keys[j * r->ld + b]) /
           call->shape.divisor;
}

/* What is added to the score of query i and key j of head g: -infinity where j is not seen. */
static inline float attention_term(const struct attention_call *call, size_t g, size_t i, size_t j)
{
    const struct attention_shape *s = &call->shape;
    const size_t distance = i > j ? i - j : j - i;
    if (distance > s->window || (s->causal && j > i)) return -INFINITY;
    if (s->bias == ATTENTION_SLOPES) return -call->bias[g] * (float)distance;
    if (s->bias == ATTENTION_PLAIN) return 0;
    if (s->bias == ATTENTION_RELATIVE) return attention_relative_term(call, i, j);
    const size_t span = s->span, near = num_min(distance, span);
    return call->bias[g * (2 * span + 1) + (i > j ? span - near : span + near)];
}

/* ---- how vector variants go through a document ---- */

/* A stripe is the queries whose keys are copied together. Where a window ends, it is short, so that the
 * copies stay in the second cache however long the document is. */
enum { ATTENTION_STRIPE = 512 };

static inline size_t attention_stripe(const struct attention_shape *s, size_t len)
{
    return s->window < len ? num_min(len, ATTENTION_STRIPE) : len;
}

/* The most keys that the queries of a stripe see. */
static inline size_t attention_stripe_keys(const struct attention_shape *s, size_t len)
{
    return s->window < len ? num_min(len, ATTENTION_STRIPE + 2 * (size_t)s->window) : len;
}

/* The longest distance that counts for a bias, where `most` queries or fewer are taken together. */
static inline size_t attention_reach(const struct attention_shape *s, size_t len, size_t most)
{
    return s->window < len ? num_min(len - 1, s->window + 2 * most) : len - 1;
}

/* Whether attention_expand has all terms: they are a function of i - j. */
static inline bool attention_is_expanded(const struct attention_shape *s, size_t len)
{
    return attention_is_biased(s, len) && s->bias != ATTENTION_RELATIVE;
}

/* Adds the terms of n queries and n_keys keys, times log2(e), to scores [n_keys, ld]. */
void attention_add_relative(const struct attention_call *call, size_t query, size_t n, size_t key,
                            size_t n_keys, float *scores, size_t ld);

/* attention_term of head g for every distance up to reach, times log2(e), at i - j + reach; n_more
 * zeros follow these 2 * reach + 1 numbers. */
void attention_expand(const struct attention_call *call, size_t g, size_t reach, float *bias,
                      size_t n_more);

#endif
