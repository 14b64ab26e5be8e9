/* rowops, ref: LayerNorm with what precedes it, mean pooling, normalisation; the meaning in plain
 * C.
 *
 * Statistics are summed in double, so this is the more exact side of every comparison. pool_mean
 * sums in float, row after row, and every level does exactly the same. */
#include "kern/kernels.h"

#include <math.h>

/* Ba et al. 2016, "Layer Normalization", eq. 4, with the biased variance and eps under the root. */
static void layer_norm(float *x, const float *gamma, const float *beta, float eps, uint32_t h)
{
    double sum = 0;
    for (uint32_t c = 0; c < h; c++) {
        sum += (double)x[c];
    }
    const double mean = sum / h;
    double squares = 0;
    for (uint32_t c = 0; c < h; c++) {
        const double v = (double)x[c] - mean;
        squares += v * v;
    }
    const double scale = 1.0 / sqrt(squares / h + (double)eps);
    for (uint32_t c = 0; c < h; c++) {
        x[c] = (float)(((double)x[c] - mean) * scale) * gamma[c] + beta[c];
    }
}

void embed_norm_f32_ref(const int32_t *ids, uint32_t n, const float *word, const float *position,
                        const float *type0, const float *gamma, const float *beta, float eps,
                        uint32_t h, float *x)
{
    for (uint32_t i = 0; i < n; i++) {
        float *row = x + (size_t)i * h;
        const float *w = word + (ids ? (size_t)ids[i] : i) * h;
        const float *p = position + (size_t)i * h;
        for (uint32_t c = 0; c < h; c++) {
            row[c] = w[c] + type0[c] + p[c];
        }
        layer_norm(row, gamma, beta, eps, h);
    }
}

void add_norm_f32_ref(float *x, const float *y, const float *gamma, const float *beta, float eps,
                      uint32_t n, uint32_t h)
{
    for (uint32_t i = 0; i < n; i++) {
        float *row = x + (size_t)i * h;
        const float *add = y + (size_t)i * h;
        for (uint32_t c = 0; c < h; c++) {
            row[c] += add[c];
        }
        layer_norm(row, gamma, beta, eps, h);
    }
}

void pool_mean_f32_ref(const float *x, uint32_t n, uint32_t h, float *out)
{
    for (uint32_t c = 0; c < h; c++) {
        out[c] = x[c];
    }
    for (uint32_t i = 1; i < n; i++) {
        const float *row = x + (size_t)i * h;
        for (uint32_t c = 0; c < h; c++) {
            out[c] += row[c];
        }
    }
    for (uint32_t c = 0; c < h; c++) {
        out[c] /= (float)n;
    }
}

void normalize_f32_ref(float *v, uint32_t h)
{
    double squares = 0;
    for (uint32_t c = 0; c < h; c++) {
        squares += (double)v[c] * (double)v[c];
    }
    const float length = fmaxf((float)sqrt(squares), 1e-12f);
    for (uint32_t c = 0; c < h; c++) {
        v[c] /= length;
    }
}
