/* attention, int8, ref: as attention_int8.h defines it, in plain C, a query at a time. */
#include "kern/attention_int8.h"

#include "kern/kernels.h"

/* One head's rounded keys and values. */
struct head {
    int8_t *keys, *values;                           /* [len][d] */
    struct int8_column *key_columns, *value_columns; /* [d] */
    int32_t *scores;                                 /* [len] */
    uint8_t *weights;                                /* [len] */
    int8_t *query;                                   /* [d] */
};

static void head_layout(struct arena *a, struct head *s, size_t len, size_t d)
{
    s->keys = arena_take(a, len * d, 64);
    s->values = arena_take(a, len * d, 64);
    s->key_columns = arena_take_array(a, d, sizeof *s->key_columns, 64);
    s->value_columns = arena_take_array(a, d, sizeof *s->value_columns, 64);
    s->scores = arena_take_array(a, len, sizeof *s->scores, 64);
    s->weights = arena_take(a, len, 64);
    s->query = arena_take(a, d, 64);
}

static size_t bytes(const struct attention_shape *shape, uint32_t longest)
{
    const size_t in_float = attention_f32_ref.bytes(shape, longest);
    const size_t most = attention_int8_longest(shape, longest);
    struct arena a;
    struct head s;
    if (most == 0) return in_float;
    arena_count(&a);
    head_layout(&a, &s, most, shape->d);
    return num_up(num_max(arena_bytes(&a), in_float), 64);
}

static struct int8_column column(const float *x, size_t ld, size_t len)
{
    float high = x[0], low = x[0], bad = 0;
    for (size_t j = 0; j < len; j++) {
        high = fmaxf(high, x[j * ld]);
        low = fminf(low, x[j * ld]);
        bad += x[j * ld] * 0; /* NaN of what is not finite */
    }
    return int8_column(high, low, bad);
}

static int8_t rounded(float x)
{
    return (int8_t)fminf(fmaxf(rintf(x), -127), 127);
}

/* x [len] rows of stride ld to out [len][d]. */
static void round_columns(const float *x, size_t ld, size_t len, size_t d,
                          struct int8_column *columns, int8_t *out)
{
    for (size_t t = 0; t < d; t++) {
        const struct int8_column c = columns[t] = column(x + t, ld, len);
        for (size_t j = 0; j < len; j++) {
            out[j * d + t] = rounded((x[j * ld + t] - c.mid) * c.inverse);
        }
    }
}

/* Rounds a query, returns its scale: NaN where it or a product with a key's scale is not finite. */
static float round_query(const struct head *s, const float *q, size_t d)
{
    float most = 0, bad = 0;
    for (size_t t = 0; t < d; t++) {
        const float v = q[t] * s->key_columns[t].scale;
        most = fmaxf(most, fabsf(v));
        bad += v * 0;
    }
    const float inverse = most < 1e-30f ? 0 : 127 / most;
    for (size_t t = 0; t < d; t++) {
        s->query[t] = rounded(q[t] * s->key_columns[t].scale * inverse);
    }
    return most / 127 + bad;
}

/* Turns scores into weights and returns their sum. unit: 1 of a score in 2048ths of a halving. */
static uint32_t soften(const struct head *s, size_t len, float unit)
{
    int32_t most = s->scores[0];
    uint32_t sum = 0;
    for (size_t j = 1; j < len; j++) {
        if (s->scores[j] > most) most = s->scores[j];
    }
    for (size_t j = 0; j < len; j++) {
        const float far = rintf(((float)most - (float)s->scores[j]) * unit);
        const uint32_t z = (uint32_t)fminf(far, 32767), f = z % 2048 * 32;
        const uint32_t one = INT8_EXP_FIRST - (f * INT8_EXP_SECOND >> 16);
        const uint32_t power = (INT8_EXP_ONE - (f * one >> 16)) >> (z / 2048);
        const uint32_t reversed = (j & 1) << 3 | (j & 2) << 1 | (j & 4) >> 1 | (j & 8) >> 3;
        s->weights[j] = (uint8_t)((power + reversed * 16 + 8) >> 8);
        sum += s->weights[j];
    }
    return sum;
}

static void run_head(const struct head *s, const struct attention_call *call, size_t head)
{
    const size_t d = call->shape.d, len = call->len;
    const float *q = call->q + head * d;
    float bad = 0;
    round_columns(call->k + head * d, call->ld_kv, len, d, s->key_columns, s->keys);
    round_columns(call->v + head * d, call->ld_kv, len, d, s->value_columns, s->values);
    for (size_t t = 0; t < d; t++) {
        bad += s->key_columns[t].mid * 0;
    }
    for (size_t i = 0; i < call->n_queries; i++) {
        const float scale = round_query(s, q + i * call->ld_q, d) + bad;
        for (size_t j = 0; j < len; j++) {
            s->scores[j] = 0;
            for (size_t t = 0; t < d; t++) {
                s->scores[j] += s->query[t] * s->keys[j * d + t];
            }
        }
        const float unit = scale * int8_unit(call->shape.divisor);
        const float share = 1.0f / (float)soften(s, len, isnan(unit) ? 0 : unit) + unit * 0;
        for (size_t t = 0; t < d; t++) {
            int32_t sum = 0;
            for (size_t j = 0; j < len; j++) {
                sum += s->weights[j] * s->values[j * d + t];
            }
            const struct int8_column c = s->value_columns[t];
            call->ctx[i * call->ld_ctx + head * d + t] = fmaf((float)sum * c.scale, share, c.mid);
        }
    }
}

static void run(const struct attention_call *call)
{
    struct arena a;
    struct head s;
    if (!attention_is_int8(call)) {
        attention_f32_ref.run(call);
        return;
    }
    arena_init(&a, call->scratch, bytes(&call->shape, call->len));
    head_layout(&a, &s, call->len, call->shape.d);
    for (size_t head = call->first_head; head < call->first_head + call->n_heads; head++) {
        run_head(&s, call, head);
    }
}

const struct attention_kernel attention_int8_ref = {.bytes = bytes, .run = run};
