/* attention: the door's calls, passed to the variant that computes them; and biases, expanded. */
#include "attention.h"

#include <assert.h>
#include <string.h>

#include "kernels.h"

void attention_expand(const struct attention_call *call, size_t g, size_t reach, float *bias,
                      size_t n_more)
{
    for (size_t r = 0; r <= reach; r++) {
        bias[r] = attention_term(call, g, 0, reach - r) * ATTENTION_LOG2_E;
    }
    for (size_t r = 1; r <= reach; r++) {
        bias[reach + r] = attention_term(call, g, r, 0) * ATTENTION_LOG2_E;
    }
    memset(bias + 2 * reach + 1, 0, n_more * sizeof *bias);
}

/* One body for all levels: two loads a pair, where a vector would gather. */
void attention_add_relative(const struct attention_call *call, size_t query, size_t n, size_t key,
                            size_t n_keys, float *scores, size_t ld)
{
    const struct attention_relative *r = &call->relative;
    const float scale = ATTENTION_LOG2_E / call->shape.divisor;
    const float *const first = r->of_queries + (query - call->first_query) * r->ld;
    for (size_t j = 0; j < n_keys; j++) {
        const float *const of_key = r->of_keys + (key + j) * r->ld;
        const uint16_t *const bucket = r->bucket + (query + call->len - 1 - (key + j));
        const float *of_query = first;
        for (size_t i = 0; i < n; i++, of_query += r->ld) {
            scores[j * ld + i] += (of_query[bucket[i]] + of_key[bucket[i]]) * scale;
        }
    }
}

size_t attention_bytes(const struct kern *kern, enum kern_precision precision,
                       const struct attention_shape *shape, uint32_t longest)
{
    return kern->attention[precision]->bytes(shape, longest);
}

void attention_run(const struct kern *kern, enum kern_precision precision,
                   const struct attention_call *call)
{
    assert(call->shape.d >= 1 && call->shape.d <= ATTENTION_MOST_D && call->shape.divisor > 0);
    assert(call->shape.kv_heads >= 1 && call->shape.heads % call->shape.kv_heads == 0);
    assert((call->shape.bias == ATTENTION_SLOPES || call->shape.bias == ATTENTION_TABLE) ==
           (call->bias != NULL));
    assert((call->shape.bias == ATTENTION_RELATIVE) == (call->relative.bucket != NULL));
    assert(call->shape.bias != ATTENTION_RELATIVE ||
           (call->n_heads == 1 && !call->shape.causal && call->shape.window == ATTENTION_ALL));
    assert(call->n_queries >= 1 && call->n_queries <= call->len);
    assert(call->first_query <= call->len - call->n_queries);
    assert(call->first_head + call->n_heads <= call->shape.heads);
    kern->attention[precision]->run(call);
}
