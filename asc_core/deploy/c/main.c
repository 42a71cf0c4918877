/* The scene of a WAV file: `asc FILE.wav` prints its label and probability, `asc --features FILE.wav` the log-mel
 * energies of its first window as 32-bit floats, frame by frame. On a device, samples come from a microphone instead. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "asc_features.h"
#include "asc_network.h"

typedef struct {
    FILE *file;
    long start; /* of the samples */
    uint32_t left, bytes;
    int channels, bits, is_float;
} wav;

static uint32_t number(const unsigned char *at, int bytes) {
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | at[bytes];
    return value;
}

/* NULL, or what is wrong with the file. */
static const char *wav_open(wav *wav, const char *path) {
    unsigned char head[12], format[40];
    int known = 0;
    wav->file = fopen(path, "rb");
    if (!wav->file)
        return "cannot be opened";
    if (fread(head, 1, 12, wav->file) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return "is no WAV file";
    while (fread(head, 1, 8, wav->file) == 8) {
        uint32_t size = number(head + 4, 4);
        if (!memcmp(head, "data", 4)) {
            if (!known)
                break;
            wav->start = ftell(wav->file);
            wav->left = wav->bytes = size - size % (uint32_t)(wav->channels * wav->bits / 8);
            return wav->bytes ? NULL : "holds no sample";
        }
        if (!memcmp(head, "fmt ", 4)) {
            uint32_t kept = size < sizeof format ? size : (uint32_t)sizeof format, kind;
            if (kept < 16 || fread(format, 1, kept, wav->file) != kept)
                return "is damaged";
            size -= kept;
            kind = number(format, 2);
            if (kind == 0xFFFE && kept >= 26)
                kind = number(format + 24, 2);
            wav->channels = (int)number(format + 2, 2);
            wav->bits = (int)number(format + 14, 2);
            wav->is_float = kind == 3;
            if (number(format + 4, 4) != ASC_SAMPLE_RATE)
                return "has another sample rate than the network was trained on";
            if (wav->channels < 1 || !((kind == 1 && (wav->bits == 16 || wav->bits == 24 || wav->bits == 32)) ||
                                       (kind == 3 && wav->bits == 32)))
                return "is in a format other than PCM of 16, 24 or 32 bit, or 32-bit floats";
            known = 1;
        }
        if (fseek(wav->file, (long)(size + size % 2), SEEK_CUR))
            break;
    }
    return "is damaged";
}

/* The mean of the channels. Returns 0 at the end of the file. */
static int wav_sample(wav *wav, float *sample) {
    unsigned char bytes[4];
    int channel, width = wav->bits / 8;
    double sum = 0;
    if (!wav->left)
        return 0;
    for (channel = 0; channel < wav->channels; channel++) {
        if (fread(bytes, 1, (size_t)width, wav->file) != (size_t)width)
            return 0;
        uint32_t value = number(bytes, width) << (32 - wav->bits);
        float real;
        memcpy(&real, &value, 4);
        sum += wav->is_float ? (double)real : (double)(int32_t)value / 2147483648.0;
    }
    wav->left -= (uint32_t)(wav->channels * width);
    *sample = (float)(sum / wav->channels);
    return 1;
}

/* The features of the next window, as the network takes them: (band, frame). Returns 0 where there is no whole one; the
 * first is repeated until it is. */
static int window(wav *wav, int first, float *features) {
    static asc_features state;
    float energies[ASC_N_MELS], sample;
    long heard = 0;
    int frame = 0, band;
    asc_features_start(&state);
    while (frame < ASC_FRAMES) {
        sample = 0.0f;
        if (heard < ASC_SAMPLES && !wav_sample(wav, &sample)) {
            if (!first || (!heard && wav->left == wav->bytes))
                return 0;
            wav->left = wav->bytes;
            if (fseek(wav->file, wav->start, SEEK_SET) || !wav_sample(wav, &sample))
                return 0;
        }
        heard++;
        if (asc_features_push(&state, sample, energies)) {
            for (band = 0; band < ASC_N_MELS; band++)
                features[band * ASC_FRAMES + frame] = energies[band];
            frame++;
        }
    }
    /* What the last frame did not reach is part of the window too. */
    while (heard < ASC_SAMPLES && wav_sample(wav, &sample))
        heard++;
    return 1;
}

int main(int count, char **arguments) {
    static float features[ASC_N_MELS * ASC_FRAMES];
    float logits[ASC_CLASSES], total[ASC_CLASSES] = {0}, odds = 0.0f;
    int windows = 0, best = 0, scene, only_features = count == 3 && !strcmp(arguments[1], "--features");
    wav wav = {0};
    const char *wrong;
    if (count != 2 + only_features) {
        fprintf(stderr, "usage: %s [--features] FILE.wav\n", arguments[0]);
        return 2;
    }
    wrong = wav_open(&wav, arguments[1 + only_features]);
    while (!wrong && window(&wav, !windows, features)) {
        if (only_features) {
            fwrite(features, sizeof(float), ASC_N_MELS * ASC_FRAMES, stdout);
            break;
        }
        asc_network(features, logits);
        for (scene = 0; scene < ASC_CLASSES; scene++)
            total[scene] += logits[scene];
        windows++;
    }
    if (wav.file)
        fclose(wav.file);
    if (!wrong && !windows && !only_features)
        wrong = "is shorter than it says";
    if (wrong) {
        fprintf(stderr, "%s: %s\n", arguments[1 + only_features], wrong);
        return 1;
    }
    if (only_features)
        return 0;
    for (scene = 0; scene < ASC_CLASSES; scene++)
        best = total[scene] > total[best] ? scene : best;
    for (scene = 0; scene < ASC_CLASSES; scene++)
        odds += expf((total[scene] - total[best]) / (float)windows);
    printf("%s\t%.6f\n", asc_labels[best], (double)(1.0f / odds));
    return 0;
}
