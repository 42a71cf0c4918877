/* What the network computes with, on 32-bit floats. Maps are (batch, frequency, time, channel); `n` are their lengths. */
#ifndef ASC_KERNELS_H
#define ASC_KERNELS_H

#include <math.h>
#include <string.h>

#define ASC_AT(n, a, b, c, d) ((((long)(a) * (n)[1] + (b)) * (n)[2] + (c)) * (n)[3] + (d))

typedef struct {
    int height, width, stride_h, stride_w, dilation_h, dilation_w, top, left; /* of the window, and zeros before */
} asc_window;

static inline float asc_relu(float x) { return x > 0.0f ? x : 0.0f; }

/* A filter sees so many `channels`: all of them, or those of its group. */
static inline void asc_conv(const float *x, const int *n, const float *w, const float *bias, float *y, const int *m,
                            const asc_window *k, int channels, int depthwise, int relu) {
    int filters = m[3] / (n[3] / channels); /* of a group */
    int row, column, out, i, j, c;
    for (row = 0; row < m[1]; row++)
        for (column = 0; column < m[2]; column++)
            for (out = 0; out < m[3]; out++) {
                float sum = bias[out];
                for (i = 0; i < k->height; i++) {
                    int from = row * k->stride_h + i * k->dilation_h - k->top;
                    if (from < 0 || from >= n[1])
                        continue;
                    for (j = 0; j < k->width; j++) {
                        int at = column * k->stride_w + j * k->dilation_w - k->left;
                        if (at < 0 || at >= n[2])
                            continue;
                        for (c = 0; c < channels; c++)
                            sum += x[ASC_AT(n, 0, from, at, out / filters * channels + c)] *
                                   (depthwise ? w[((long)i * k->width + j) * m[3] + out]
                                              : w[(((long)out * k->height + i) * k->width + j) * channels + c]);
                    }
                }
                y[ASC_AT(m, 0, row, column, out)] = relu ? asc_relu(sum) : sum;
            }
}

static inline void asc_pool(const float *x, const int *n, float *y, const int *m, const asc_window *k, int largest) {
    int row, column, c, i, j;
    for (row = 0; row < m[1]; row++)
        for (column = 0; column < m[2]; column++)
            for (c = 0; c < m[3]; c++) {
                float sum = 0.0f, most = -INFINITY;
                for (i = 0; i < k->height; i++)
                    for (j = 0; j < k->width; j++) {
                        float value = x[ASC_AT(n, 0, row * k->stride_h + i, column * k->stride_w + j, c)];
                        sum += value;
                        most = value > most ? value : most;
                    }
                y[ASC_AT(m, 0, row, column, c)] = largest ? most : sum / (float)(k->height * k->width);
            }
}

/* The sum over the dimensions in which m is 1, times `factor`. */
static inline void asc_reduce(const float *x, const int *n, float *y, const int *m, float factor) {
    long size = (long)m[0] * m[1] * m[2] * m[3];
    int a, b, c, d;
    for (long i = 0; i < size; i++)
        y[i] = 0.0f;
    for (a = 0; a < n[0]; a++)
        for (b = 0; b < n[1]; b++)
            for (c = 0; c < n[2]; c++)
                for (d = 0; d < n[3]; d++)
                    y[ASC_AT(m, a % m[0], b % m[1], c % m[2], d % m[3])] += x[ASC_AT(n, a, b, c, d)];
    for (long i = 0; i < size; i++)
        y[i] *= factor;
}

static inline void asc_binary(char kind, const float *x, const int *n, const float *z, const int *o, float *y,
                              const int *m, int relu) {
    int a, b, c, d;
    for (a = 0; a < m[0]; a++)
        for (b = 0; b < m[1]; b++)
            for (c = 0; c < m[2]; c++)
                for (d = 0; d < m[3]; d++) {
                    float one = x[ASC_AT(n, a % n[0], b % n[1], c % n[2], d % n[3])];
                    float other = z[ASC_AT(o, a % o[0], b % o[1], c % o[2], d % o[3])];
                    float value = kind == '+'   ? one + other
                                  : kind == '-' ? one - other
                                  : kind == '*' ? one * other
                                                : one / other;
                    y[ASC_AT(m, a, b, c, d)] = relu ? asc_relu(value) : value;
                }
}

static inline void asc_pad(const float *x, const int *n, float *y, const int *m, int top, int left) {
    int row, column;
    memset(y, 0, (size_t)m[1] * m[2] * m[3] * sizeof(float));
    for (row = 0; row < n[1]; row++)
        for (column = 0; column < n[2]; column++)
            memcpy(y + ASC_AT(m, 0, row + top, column + left, 0), x + ASC_AT(n, 0, row, column, 0),
                   (size_t)n[3] * sizeof(float));
}

static inline float asc_logistic(float x) { return 1.0f / (1.0f + expf(-x)); }
static inline float asc_rsqrt(float x) { return 1.0f / sqrtf(x); }

#define ASC_EACH(function, x, y, size)  \
    do {                                \
        long asc_i;                     \
        for (asc_i = 0; asc_i < (size); asc_i++) \
            (y)[asc_i] = function((x)[asc_i]);   \
    } while (0)

#endif
