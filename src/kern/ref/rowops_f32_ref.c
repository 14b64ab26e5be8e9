/* rowops, ref: norms, rotary positions, mean pooling, normalisation, maxima; the meaning in plain C.
 *
 * Statistics are summed in double, so this is the more exact side of every comparison. pool_mean
 * sums in float, row after row, and every level does exactly the same. */
#include "kern/kernels.h"

#include <math.h>

static void norm_row(const struct norm_call *call, const float *s, float *out)
{
    const uint32_t h = call->h;
    double mean = 0, squares = 0;
    for (uint32_t c = 0; call->kind == NORM_LAYER && c < h; c++) {
        mean += (double)s[c];
    }
    mean /= h;
    for (uint32_t c = 0; c < h; c++) {
        const double v = (double)s[c] - mean;
        squares += v * v;
    }
    const double scale = 1.0 / sqrt(squares / h + (double)call->eps);
    for (uint32_t c = 0; c < h; c++) {
        const float v = (float)(((double)s[c] - mean) * scale);
        out[c] = v * (call->gamma ? call->gamma[c] : 1) + (call->beta ? call->beta[c] : 0);
    }
}

void norm_f32_ref(const struct norm_call *call)
{
    const size_t h = call->h;
    for (size_t i = 0; i < call->n; i++) {
        float *row = call->x + i * h;
        for (size_t c = 0; call->add && c < h; c++) {
            row[c] += call->add[i * h + c];
        }
        norm_row(call, row, call->out + i * h);
    }
}

void rope_f32_ref(const struct rope_call *call)
{
    const size_t half = call->rotary / 2;
    for (size_t r = 0; r < call->n; r++) {
        const size_t position = call->positions ? call->positions[r] : r;
        const float *cosines = call->table + position * call->rotary, *sines = cosines + half;
        for (size_t g = 0; g < call->heads; g++) {
            float *x = call->x + r * call->ld + g * call->d;
            for (size_t i = 0; i < half; i++) {
                const float a = x[i], b = x[i + half];
                x[i] = a * cosines[i] - b * sines[i];
                x[i + half] = b * cosines[i] + a * sines[i];
            }
        }
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

void raise_f32_ref(const float *x, uint32_t n, size_t ld, uint32_t h, float *most)
{
    for (uint32_t i = 0; i < n; i++) {
        const float *row = x + i * ld;
        for (uint32_t c = 0; c < h; c++) {
            if (!isnan(most[c])) most[c] = most[c] > row[c] ? most[c] : row[c];
        }
    }
}
