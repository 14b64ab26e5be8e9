/* int8: the packed weights of KERN_INT8, made in plain C for every variant. */
#include "int8.h"

#include <stdbool.h>
#include <string.h>

struct int8_layout int8_layout(size_t k, size_t n)
{
    struct int8_layout l = {.k4 = num_up(k, 4), .n_up = num_up(n, 16)};
    l.scales = num_up(l.k4 * l.n_up, 64);
    l.sums = l.scales + l.n_up * sizeof(float);
    l.bytes = l.sums + l.n_up * sizeof(float);
    return l;
}

/* Values at this distance become their sum and their difference. */
static void butterflies(float x[INT8_CHUNK], int distance)
{
    for (int i = 0; i < INT8_CHUNK; i++) {
        if (i & distance) continue;
        const float a = x[i], b = x[i + distance];
        x[i] = a + b;
        x[i + distance] = a - b;
    }
}

void int8_rotate(const float in[INT8_CHUNK], float out[INT8_CHUNK])
{
    float x[INT8_CHUNK];
    memcpy(x, in, sizeof x);
    butterflies(x, 16);
    butterflies(x, 32);
    butterflies(x, 64);
    butterflies(x, 8);
    memcpy(out, x, sizeof x);
}

/* One output's rotated weights from input t on: a chunk, or what is left. Returns their number. */
static size_t rotated(const float *w, size_t k, size_t t, float out[INT8_CHUNK])
{
    const size_t n = num_min(INT8_CHUNK, k - t);
    if (n == INT8_CHUNK) int8_rotate(w + t, out);
    for (size_t i = 0; i < n; i++) {
        out[i] = n == INT8_CHUNK ? out[i] * 0.0625f : w[t + i] * 0.25f;
    }
    return n;
}

/* The largest magnitude of an output's rotated weights; NaN if one is not finite. */
static float largest(const float *w, size_t k)
{
    float most = 0, part[INT8_CHUNK];
    bool bad = false;
    for (size_t t = 0; t < k;) {
        const size_t n = rotated(w, k, t, part);
        for (size_t i = 0; i < n; i++) {
            bad |= !isfinite(part[i]);
            most = fmaxf(most, fabsf(part[i]));
        }
        t += n;
    }
    return bad ? NAN : most;
}

/* One output into its column of a panel `width` wide. */
static void pack_output(const float *w, size_t k, int8_t *column, size_t width, int most,
                        float *scale, float *sum)
{
    const float size = largest(w, k);
    const float inverse = size >= 1e-30f ? (float)most / size : 0.0f; /* not for NaN */
    float part[INT8_CHUNK];
    int32_t total = 0;
    *scale = inverse > 0 || isnan(size) ? size / (float)most : 0.0f;
    for (size_t t = 0; t < k;) {
        const size_t n = rotated(w, k, t, part);
        for (size_t i = 0; i < n; i++, t++) {
            const int8_t q = (int8_t)(inverse > 0 ? rintf(part[i] * inverse) : 0.0f);
            column[t / 4 * width * 4 + t % 4] = q;
            total += q;
        }
    }
    *sum = *scale * (float)total;
}

void int8_pack(const struct gemm_shape *shape, const float *w, void *packed, size_t panel,
               size_t lanes, int most)
{
    const size_t k = shape->k, n = gemm_width(shape, lanes);
    const struct int8_layout l = int8_layout(k, n);
    int8_t *weights = packed;
    float *scales = (float *)((char *)packed + l.scales);
    float *sums = (float *)((char *)packed + l.sums);
    memset(packed, 0, l.bytes);
    for (size_t c = 0; c < n; c++) {
        const size_t c0 = c / panel * panel;
        const size_t width = num_min(panel, l.n_up - c0);
        const float *row = gemm_row(shape, w, lanes, c);
        if (!row) continue;
        pack_output(row, k, weights + c0 * l.k4 + (c - c0) * 4, width, most, &scales[c], &sums[c]);
    }
}
