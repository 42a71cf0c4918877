#include "asc_features.h"

#include <math.h>
#include <string.h>

typedef struct {
    float re, im;
} complex_number;

static complex_number multiplied(complex_number a, complex_number b) {
    complex_number c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}

/* exp(-2 pi i index / ASC_N_FFT) */
static complex_number turn(long index) {
    long at = index % ASC_N_FFT;
    complex_number w = {asc_cosines[at], -asc_sines[at]};
    return w;
}

/* The discrete Fourier transform of `length` numbers, `step` apart in `in`: decimation in time (Cooley and Tukey 1965),
 * a factor of the length after another. Written here because what libraries there are want memory while they run, or a
 * power of two, and windows are as long as their milliseconds say. It goes as deep as the length has factors. */
static void transform(const complex_number *in, complex_number *out, int length, int step, const int *factor) {
    complex_number parts[ASC_LARGEST_FACTOR];
    int radix = *factor, part = length / radix, whole = ASC_N_FFT / length, q, r, k;
    if (length == 1) {
        *out = *in;
        return;
    }
    for (q = 0; q < radix; q++)
        transform(in + (long)q * step, out + (long)q * part, part, step * radix, factor + 1);
    for (k = 0; k < part; k++) {
        for (q = 0; q < radix; q++)
            parts[q] = multiplied(out[k + q * part], turn((long)q * k * whole));
        for (r = 0; r < radix; r++) {
            complex_number sum = parts[0];
            for (q = 1; q < radix; q++) {
                complex_number term = multiplied(parts[q], turn((long)q * r * part * whole));
                sum.re += term.re;
                sum.im += term.im;
            }
            out[k + r * part] = sum;
        }
    }
}

/* The power of each frequency of a frame under a Hann window. */
static void spectrum(const float *samples, float *power) {
    static complex_number in[ASC_FFT], out[ASC_FFT];
    int k;
#if ASC_N_FFT % 2 == 0
    /* Samples in pairs are half as many complex numbers, whose transform holds that of the samples. */
    for (k = 0; k < ASC_FFT; k++) {
        in[k].re = samples[2 * k] * asc_window[2 * k];
        in[k].im = samples[2 * k + 1] * asc_window[2 * k + 1];
    }
    transform(in, out, ASC_FFT, 1, asc_factors);
    for (k = 0; k <= ASC_FFT; k++) {
        complex_number a = out[k % ASC_FFT], b = out[(ASC_FFT - k) % ASC_FFT];
        complex_number even = {0.5f * (a.re + b.re), 0.5f * (a.im - b.im)};
        complex_number odd = {0.5f * (a.im + b.im), -0.5f * (a.re - b.re)};
        odd = multiplied(odd, turn(k));
        even.re += odd.re;
        even.im += odd.im;
        power[k] = even.re * even.re + even.im * even.im;
    }
#else
    for (k = 0; k < ASC_FFT; k++) {
        in[k].re = samples[k] * asc_window[k];
        in[k].im = 0.0f;
    }
    transform(in, out, ASC_FFT, 1, asc_factors);
    for (k = 0; k <= ASC_N_FFT / 2; k++)
        power[k] = out[k].re * out[k].re + out[k].im * out[k].im;
#endif
}

void asc_features_start(asc_features *state) {
    memset(state->samples, 0, sizeof state->samples);
    state->filled = ASC_N_FFT / 2;
}

int asc_features_push(asc_features *state, float sample, float *energies) {
    static float power[ASC_N_FFT / 2 + 1];
    const float *weight = asc_mel_weights;
    int band, at;
    if (state->filled >= 0) /* a hop longer than a window leaves samples out */
        state->samples[state->filled] = sample;
    if (++state->filled < ASC_N_FFT)
        return 0;
    spectrum(state->samples, power);
    for (band = 0; band < ASC_N_MELS; band++) {
        float energy = 0.0f;
        for (at = 0; at < asc_mel_lengths[band]; at++)
            energy += *weight++ * power[asc_mel_starts[band] + at];
        energies[band] = logf(energy > ASC_ENERGY_FLOOR ? energy : ASC_ENERGY_FLOOR);
    }
    state->filled = ASC_N_FFT - ASC_HOP;
    if (state->filled > 0)
        memmove(state->samples, state->samples + ASC_HOP, (size_t)state->filled * sizeof(float));
    return 1;
}
