/* Log-mel energies, frame by frame, as the network was trained on them (but for the half precision that the training
 * stores them in). C99, nothing is allocated, and no sine is computed: the tables are in asc_tables.h. */
#ifndef ASC_FEATURES_H
#define ASC_FEATURES_H

#include "asc_tables.h"

typedef struct {
    float samples[ASC_N_FFT]; /* those that the next frame is made of, so far */
    int filled;
} asc_features;

/* Begin a clip: half a window of zeros stands before its first sample. */
void asc_features_start(asc_features *state);

/* Hear a sample, from -1 to 1. Returns 1 when that completes a frame, whose ASC_N_MELS energies it has written. */
int asc_features_push(asc_features *state, float sample, float *energies);

/* Half a window of zeros stands after the last sample of a clip: hear one of them. As asc_features_push. There are
 * ASC_N_FFT / 2 of them. */
#define asc_features_end(state, energies) asc_features_push(state, 0.0f, energies)

#endif
