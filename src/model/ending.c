#include "ending.h"

#include "classifier.h"
#include "layout.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- which ---- */

const char *ending_section(enum ending_which which)
{
    static const char *const names[ENDINGS] = {
        [ENDING_VECTOR] = "model.ending",
        [ENDING_MULTI] = "model.multi",
        [ENDING_WEIGHT] = "model.weight",
    };
    return names[which];
}

void ending_view(const struct model_config *config, enum ending_which which,
                 struct model_config *view)
{
    const struct model_ending none = {0};
    *view = *config;
    if (which != ENDING_VECTOR)
        view->ending = which == ENDING_MULTI ? config->multi : config->weight;
    view->multi = view->weight = none;
    view->dim = 0; /* of a damaged pack */
    if (view->ending.n_steps <= MODEL_STEPS_MAX)
        view->dim = ending_width(view, view->ending.n_steps);
}

/* ---- shape ---- */

static const char *const pooling_words[MODEL_POOLINGS] = {
    [MODEL_POOL_MEAN] = "mean",
    [MODEL_POOL_CLS] = "cls",
    [MODEL_POOL_MAX] = "max",
    [MODEL_POOL_MEAN_SQRT_LEN] = "mean_sqrt_len_tokens",
    [MODEL_POOL_WEIGHTED_MEAN] = "weightedmean",
    [MODEL_POOL_LAST] = "lasttoken",
};

void model_pooling_text(const struct model_config *config, char *text)
{
    const struct model_ending *e = &config->ending;
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < e->n_poolings && used < MODEL_POOLING_TEXT; i++)
        used += (size_t)snprintf(text + used, MODEL_POOLING_TEXT - used, "%s%s", i ? "+" : "",
                                 pooling_words[e->poolings[i]]);
}

bool model_normalizes(const struct model_config *config)
{
    const struct model_ending *e = &config->ending;
    return e->n_steps > 0 && e->steps[e->n_steps - 1].kind == MODEL_STEP_NORMALIZE;
}

uint32_t ending_width(const struct model_config *config, uint32_t n_steps)
{
    const struct model_ending *e = &config->ending;
    const uint32_t state = arch_size(config, 0, SIZE_STATE);
    if (n_steps > 0) return e->steps[n_steps - 1].width;
    return (e->n_poolings > 0 ? e->n_poolings : 1) * state;
}

static vecmill_status check_poolings(const struct model_ending *e, const char *shown,
                                     vecmill_err *err)
{
    bool seen[MODEL_POOLINGS] = {false};
    if (e->n_poolings < 1 || e->n_poolings > MODEL_POOLINGS) {
        return err_set(err, VECMILL_E_MODEL, "%s: %u poolings, outside 1 to %u", shown,
                       e->n_poolings, (unsigned)MODEL_POOLINGS);
    }
    for (uint32_t i = 0; i < e->n_poolings; i++) {
        const uint32_t pooling = e->poolings[i];
        if (pooling >= MODEL_POOLINGS || seen[pooling]) {
            return err_set(err, VECMILL_E_MODEL, "%s: pooling %u of %u is %u, unknown or twice",
                           shown, i, e->n_poolings, pooling);
        }
        seen[pooling] = true;
    }
    return VECMILL_OK;
}

static vecmill_status check_steps(const struct model_config *config, const char *shown,
                                  vecmill_err *err)
{
    const struct model_ending *e = &config->ending;
    if (e->n_steps > MODEL_STEPS_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %u modules after Pooling, MODEL_STEPS_MAX is %u",
                       shown, e->n_steps, MODEL_STEPS_MAX);
    }
    for (uint32_t i = 0; i <= e->n_steps; i++) {
        const uint32_t width = ending_width(config, i);
        if (width < 1 || width > MODEL_DIM_MAX) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: %u floats after module %u, outside 1 to MODEL_DIM_MAX, %u", shown,
                           width, i + 1, MODEL_DIM_MAX);
        }
    }
    for (uint32_t i = 0; i < e->n_steps; i++) {
        const struct model_step *s = &e->steps[i];
        const bool is_dense = s->kind == MODEL_STEP_DENSE;
        const bool is_norm = s->kind == MODEL_STEP_LAYER_NORM;
        if (s->kind >= MODEL_STEP_KINDS || s->act >= (is_dense ? MODEL_ACTS : 1u) ||
            s->has_bias > (is_dense || is_norm ? 1u : 0u) ||
            (is_norm && !(s->eps > 0 && s->eps <= 1)) ||
            (!is_dense && s->width != ending_width(config, i))) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: module %u is of kind %u with activation %u, %u floats to %u", shown,
                           i + 2, s->kind, s->act, ending_width(config, i), s->width);
        }
    }
    return VECMILL_OK;
}

static vecmill_status check_kinds(const struct model_config *config, const char *shown,
                                  vecmill_err *err)
{
    if (config->kinds == 0 || config->kinds >> MODEL_KINDS != 0)
        return err_set(err, VECMILL_E_MODEL, "%s: kinds of results %#x, of %#x", shown,
                       config->kinds, (1u << MODEL_KINDS) - 1);
    if ((config->kinds >> MODEL_SPARSE & 1) != (config->sparse != MODEL_SPARSE_NONE) ||
        (config->weight.n_steps > 0) != (config->sparse == MODEL_SPARSE_OWN))
        return err_set(err, VECMILL_E_MODEL,
                       "%s: kinds of results %#x, sparse weights %u of %u steps", shown,
                       config->kinds, config->sparse, config->weight.n_steps);
    if ((config->kinds >> MODEL_MULTI & 1) != (config->multi.n_steps > 0) ||
        config->multi_skips > (config->multi.n_steps > 0))
        return err_set(err, VECMILL_E_MODEL,
                       "%s: kinds of results %#x, vectors of rows from row %u on in %u steps",
                       shown, config->kinds, config->multi_skips, config->multi.n_steps);
    return VECMILL_OK;
}

/* Endings of rows: no poolings, and a weight is one number. */
static vecmill_status check_rows(const struct model_config *config, const char *shown,
                                 vecmill_err *err)
{
    for (int which = ENDING_MULTI; which < ENDINGS; which++) {
        struct model_config view;
        ending_view(config, (enum ending_which)which, &view);
        if (view.ending.n_poolings != 0)
            return err_set(err, VECMILL_E_MODEL, "%s: %u poolings of rows by themselves", shown,
                           view.ending.n_poolings);
        VM_TRY(check_steps(&view, shown, err));
        if (which == ENDING_WEIGHT && view.ending.n_steps > 0 && view.dim != 1)
            return err_set(err, VECMILL_E_MODEL, "%s: a token's weight of %u floats", shown,
                           view.dim);
    }
    return VECMILL_OK;
}

vecmill_status ending_check(const struct model_config *config, const char *shown, vecmill_err *err)
{
    const struct model_ending *e = &config->ending;
    VM_TRY(check_poolings(e, shown, err));
    VM_TRY(check_steps(config, shown, err));
    VM_TRY(check_kinds(config, shown, err));
    VM_TRY(check_rows(config, shown, err));
    if (config->dim != ending_width(config, e->n_steps)) {
        return err_set(err, VECMILL_E_MODEL, "%s: vectors of %u floats, the modules make %u", shown,
                       config->dim, ending_width(config, e->n_steps));
    }
    return classifier_check(config, shown, err);
}

enum ending_rows ending_rows(const struct model_config *config)
{
    const struct model_ending *e = &config->ending;
    bool first = false, last = false;
    for (uint32_t i = 0; i < e->n_poolings; i++) {
        if (e->poolings[i] != MODEL_POOL_CLS && e->poolings[i] != MODEL_POOL_LAST)
            return ENDING_ROWS_ALL;
        first = first || e->poolings[i] == MODEL_POOL_CLS;
        last = last || e->poolings[i] == MODEL_POOL_LAST;
    }
    if (first && last) return ENDING_ROWS_BOTH;
    return first ? ENDING_ROWS_FIRST : last ? ENDING_ROWS_LAST : ENDING_ROWS_ALL;
}

double ending_flops(const struct model_config *config)
{
    double flops = 0;
    for (uint32_t i = 0; i < config->ending.n_steps; i++) {
        if (config->ending.steps[i].kind == MODEL_STEP_DENSE)
            flops += 2.0 * ending_width(config, i) * ending_width(config, i + 1);
    }
    return flops;
}

/* ---- weights ---- */

struct gemm_shape ending_shape(const struct model_config *config, uint32_t step)
{
    return (struct gemm_shape){.k = ending_width(config, step),
                               .n = ending_width(config, step + 1),
                               .precision = KERN_FP32};
}

vecmill_status ending_layout(const struct model_config *config, const struct kern *kern,
                             struct ending_layout *layout, vecmill_err *err)
{
    struct ending_layout made = {0};
    size_t pos = sizeof(struct ending_head);
    bool fits = true, has_weights = false;
    for (uint32_t i = 0; i < config->ending.n_steps; i++) {
        const struct model_step *s = &config->ending.steps[i];
        const size_t row = s->width * sizeof(float);
        if (s->kind == MODEL_STEP_NORMALIZE) continue;
        if (s->kind == MODEL_STEP_DENSE)
            VM_TRY(gemm_packed_bytes(kern, ending_shape(config, i), &made.packed[i], err));
        made.at[i][0] = pos;
        fits = fits && layout_place(&pos, s->kind == MODEL_STEP_DENSE ? made.packed[i] : row);
        made.at[i][1] = pos;
        fits = fits && layout_place(&pos, row);
        has_weights = true;
    }
    if (!fits) {
        return err_set(err, VECMILL_E_MODEL,
                       "the weights of %u modules after Pooling pass the address space",
                       config->ending.n_steps);
    }
    if (has_weights) made.total = pos;
    *layout = made;
    return VECMILL_OK;
}

vecmill_status ending_open(const struct pack *pack, const struct kern *kern,
                           enum ending_which which, const struct model_config *config,
                           struct ending *ending, vecmill_err *err)
{
    struct ending e = {.kern = kern, .config = config};
    const char *signature = kern_signature(kern, KERN_FP32);
    struct ending_head head;
    const void *data;
    size_t bytes;
    VM_TRY(ending_layout(config, kern, &e.layout, err));
    if (e.layout.total > 0) {
        VM_TRY(pack_find(pack, ending_section(which), &data, &bytes, err));
        if (bytes != e.layout.total) {
            return err_set(err, VECMILL_E_MODEL,
                           "section \"%s\" has %zu bytes, the configuration's has %zu",
                           ending_section(which), bytes, e.layout.total);
        }
        memcpy(&head, data, sizeof head);
        head.kern[sizeof head.kern - 1] = '\0';
        if (head.total != bytes || strcmp(head.kern, signature) != 0) {
            return err_set(err, VECMILL_E_MODEL,
                           "section \"%s\" was made for \"%s\" and %llu bytes, this is \"%s\" and "
                           "%zu",
                           ending_section(which), head.kern, (unsigned long long)head.total,
                           signature, bytes);
        }
        e.weights = data;
    }
    *ending = e;
    return VECMILL_OK;
}

/* ---- poolings ---- */

/* Each component by itself: the largest, or what is not a number. */
static void pool_max(const float *rows, uint32_t n, uint32_t h, float *out)
{
    memcpy(out, rows, h * sizeof *out);
    for (uint32_t i = 1; i < n; i++) {
        const float *row = rows + (size_t)i * h;
        for (uint32_t c = 0; c < h; c++)
            out[c] = row[c] > out[c] || isnan(row[c]) ? row[c] : out[c];
    }
}

/* sum of w_i x_i over sum of w_i, with w_i = before + i + 1. Some columns at a time, whose sums are on
 * the stack. */
static void pool_weighted(const float *rows, uint32_t n, uint32_t before, uint32_t h, float *out)
{
    enum { COLUMNS = 64 };
    const double weight = 0.5 * (double)n * ((double)n + 1.0 + 2.0 * (double)before);
    for (uint32_t first = 0; first < h; first += COLUMNS) {
        const uint32_t columns = (uint32_t)num_min(COLUMNS, h - first);
        double sums[COLUMNS] = {0};
        for (uint32_t i = 0; i < n; i++) {
            const float *row = rows + (size_t)i * h + first;
            for (uint32_t c = 0; c < columns; c++)
                sums[c] += ((double)before + (double)i + 1.0) * (double)row[c];
        }
        for (uint32_t c = 0; c < columns; c++)
            out[first + c] = (float)(sums[c] / weight);
    }
}

static void pool(const struct ending *e, enum model_pooling pooling, const float *rows, uint32_t n,
                 uint32_t before, float *out)
{
    const uint32_t h = arch_size(e->config, 0, SIZE_STATE);
    switch (pooling) {
    case MODEL_POOL_CLS:
        memcpy(out, rows, h * sizeof *out);
        return;
    case MODEL_POOL_LAST:
        memcpy(out, rows + (size_t)(n - 1) * h, h * sizeof *out);
        return;
    case MODEL_POOL_MAX:
        pool_max(rows, n, h, out);
        return;
    case MODEL_POOL_WEIGHTED_MEAN:
        pool_weighted(rows, n, before, h, out);
        return;
    case MODEL_POOL_MEAN:
    case MODEL_POOL_MEAN_SQRT_LEN:
    case MODEL_POOLINGS:
        break;
    }
    e->kern->pool_mean(rows, n, h, out);
    for (uint32_t c = 0; pooling == MODEL_POOL_MEAN_SQRT_LEN && c < h; c++)
        out[c] = (float)((double)out[c] * sqrt((double)n));
}

/* ---- steps ---- */

/* Comparisons are such that what is not a number stays so. */
static double activate(enum model_act act, double v)
{
    switch (act) {
    case MODEL_ACT_TANH:
        return tanh(v);
    case MODEL_ACT_RELU:
        return v < 0 ? 0 : v;
    case MODEL_ACT_GELU:
        return 0.5 * v * (1.0 + erf(v * 0.70710678118654752));
    case MODEL_ACT_SILU:
        return v / (1.0 + exp(-v));
    case MODEL_ACT_SIGMOID:
        return 1.0 / (1.0 + exp(-v));
    case MODEL_ACT_IDENTITY:
    case MODEL_ACTS:
        break;
    }
    return v;
}

void model_activate(const struct model_config *config, float *v, uint32_t n)
{
    const enum model_act act = (enum model_act)config->score_act;
    for (uint32_t i = 0; act != MODEL_ACT_IDENTITY && i < n; i++)
        v[i] = (float)activate(act, (double)v[i]);
}

/* Ba et al. 2016, eq. 4. */
static void layer_norm(float *v, uint32_t n, float eps, const float *gamma, const float *beta)
{
    double sum = 0, squares = 0;
    for (uint32_t c = 0; c < n; c++)
        sum += (double)v[c];
    const double mean = sum / n;
    for (uint32_t c = 0; c < n; c++)
        squares += ((double)v[c] - mean) * ((double)v[c] - mean);
    const double scale = 1.0 / sqrt(squares / n + (double)eps);
    for (uint32_t c = 0; c < n; c++)
        v[c] = (float)(((double)v[c] - mean) * scale * (double)gamma[c] + (double)beta[c]);
}

/* Of n vectors. */
static void dense(const struct ending *e, uint32_t step, const float *x, uint32_t n, void *scratch,
                  float *y)
{
    const struct gemm_shape shape = ending_shape(e->config, step);
    const enum model_act act = (enum model_act)e->config->ending.steps[step].act;
    const struct gemm_call call = {
        .shape = shape,
        .packed = e->weights + e->layout.at[step][0],
        .bias = (const float *)(const void *)(e->weights + e->layout.at[step][1]),
        .x = x,
        .y = y,
        .ldy = shape.n,
        .columns = shape.n,
        .rows = n,
        .scratch = scratch,
    };
    gemm_run(e->kern, &call);
    for (size_t c = 0; act != MODEL_ACT_IDENTITY && c < (size_t)n * shape.n; c++)
        y[c] = (float)activate(act, (double)y[c]);
}

/* Two of n vectors each, that a Dense reads and writes in turn, and what its product takes. */
struct scratch {
    float *vectors[2];
    void *gemm;
};

static void lay_out_scratch(struct arena *a, const struct model_config *config,
                            const struct kern *kern, size_t n, struct scratch *scratch)
{
    size_t widest = ending_width(config, 0), gemm = 0;
    bool has_dense = false;
    for (uint32_t i = 0; i < config->ending.n_steps; i++) {
        widest = num_max(widest, ending_width(config, i + 1));
        if (config->ending.steps[i].kind != MODEL_STEP_DENSE) continue;
        gemm = num_max(gemm, gemm_scratch_bytes(kern, ending_shape(config, i)));
        has_dense = true;
    }
    if (!has_dense) return;
    scratch->vectors[0] = arena_take_array(a, n, widest * sizeof(float), LAYOUT_ALIGN);
    scratch->vectors[1] = arena_take_array(a, n, widest * sizeof(float), LAYOUT_ALIGN);
    scratch->gemm = arena_take(a, gemm, LAYOUT_ALIGN);
}

size_t ending_scratch_bytes(const struct model_config *config, const struct kern *kern, size_t rows)
{
    struct arena a;
    struct scratch scratch;
    arena_count(&a);
    lay_out_scratch(&a, config, kern, rows, &scratch);
    return arena_bytes(&a);
}

/* The scratch in memory, for n vectors that end in `vectors`: without a Dense, all is in place. */
static struct scratch scratch_in(const struct ending *e, void *memory, uint32_t n, float *vectors)
{
    struct scratch scratch = {.vectors = {vectors, vectors}};
    struct arena a;
    const size_t bytes = ending_scratch_bytes(e->config, e->kern, n);
    if (bytes > 0) {
        arena_init(&a, memory, bytes);
        lay_out_scratch(&a, e->config, e->kern, n, &scratch);
    }
    return scratch;
}

/* The steps of n vectors, which are in the first of the scratch's, and then in `vectors`. */
static void run_steps(const struct ending *e, uint32_t n, const struct scratch *scratch,
                      float *vectors)
{
    const struct model_config *c = e->config;
    float *v = scratch->vectors[0], *other = scratch->vectors[1];
    for (uint32_t i = 0; i < c->ending.n_steps; i++) {
        const struct model_step *s = &c->ending.steps[i];
        if (s->kind == MODEL_STEP_DENSE) {
            dense(e, i, v, n, scratch->gemm, other);
            float *const swap = v;
            v = other;
            other = swap;
            continue;
        }
        for (uint32_t r = 0; r < n; r++) {
            float *const row = v + (size_t)r * s->width;
            if (s->kind == MODEL_STEP_LAYER_NORM)
                layer_norm(row, s->width, s->eps,
                           (const float *)(const void *)(e->weights + e->layout.at[i][0]),
                           (const float *)(const void *)(e->weights + e->layout.at[i][1]));
            else
                e->kern->normalize(row, s->width);
        }
    }
    if (v != vectors) memcpy(vectors, v, (size_t)n * c->dim * sizeof *vectors);
}

void ending_run(const struct ending *e, const float *rows, uint32_t n, uint32_t first, void *memory,
                float *vector)
{
    const struct model_config *c = e->config;
    const struct scratch scratch = scratch_in(e, memory, 1, vector);
    for (uint32_t i = 0; i < c->ending.n_poolings; i++)
        pool(e, (enum model_pooling)c->ending.poolings[i], rows, n, first,
             scratch.vectors[0] + (size_t)i * arch_size(c, 0, SIZE_STATE));
    run_steps(e, 1, &scratch, vector);
}

void ending_run_rows(const struct ending *e, const float *states, const uint32_t *which, uint32_t n,
                     void *memory, float *vectors)
{
    const size_t state = arch_size(e->config, 0, SIZE_STATE);
    const struct scratch scratch = scratch_in(e, memory, n, vectors);
    for (uint32_t r = 0; r < n; r++)
        memcpy(scratch.vectors[0] + r * state, states + (which ? which[r] : r) * state,
               state * sizeof *states);
    run_steps(e, n, &scratch, vectors);
}
