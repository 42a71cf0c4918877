"""What the front end in C looks up, and the model as an array."""

import json
from collections.abc import Iterable

import numpy as np

from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import ENERGY_FLOOR, LogMel


def tables_header(config: FeatureConfig, seconds: float) -> str:
    """The header asc_tables.h: sizes, sines, and the mel filters as the sparse matrix that they are.

    Args:
        seconds: length of a clip.
    """
    log_mel, size = LogMel(config), config.fft_length
    starts, lengths, weights = [], [], []
    for band in log_mel.filters.toarray():
        (found,) = np.nonzero(band)
        start, end = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)
        starts.append(start)
        lengths.append(end - start)
        weights += band[start:end].tolist()
    length = size // 2 if size % 2 == 0 else size
    factors = _factors(length)
    angles = 2 * np.pi * np.arange(size) / size
    numbers = {
        "ASC_SAMPLE_RATE": config.sample_rate,
        "ASC_SAMPLES": round(seconds * config.sample_rate),
        "ASC_FRAMES": config.frames(seconds),
        "ASC_N_MELS": config.n_mels,
        "ASC_N_FFT": size,
        "ASC_HOP": config.hop_length,
        "ASC_FFT": length,
        "ASC_LARGEST_FACTOR": max(factors),
    }
    tables: list[tuple[str, str, Iterable[float]]] = [
        ("int", "asc_factors", [*factors, 1]),
        ("float", "asc_window", log_mel.window.tolist()),
        ("float", "asc_cosines", np.cos(angles)),
        ("float", "asc_sines", np.sin(angles)),
        ("unsigned short", "asc_mel_starts", starts),
        ("unsigned short", "asc_mel_lengths", lengths),
        ("float", "asc_mel_weights", weights),
    ]
    lines = ["#ifndef ASC_TABLES_H", "#define ASC_TABLES_H", ""]
    lines += [f"#define {name} {value}" for name, value in numbers.items()]
    lines += [f"#define ASC_ENERGY_FLOOR {ENERGY_FLOOR}f", ""]
    lines += [f"static const {kind} {name}[] = {{\n{_listed(values)}\n}};" for kind, name, values in tables]
    return "\n".join([*lines, "", "#endif", ""])


def labels(names: list[str]) -> str:
    """The header asc_network.h: the names of the scenes, and what the network is called by."""
    texts = ", ".join(json.dumps(name).replace("??", '?""?') for name in names)
    return f"""\
#ifndef ASC_NETWORK_H
#define ASC_NETWORK_H

#define ASC_CLASSES {len(names)}

static const char *const asc_labels[ASC_CLASSES] = {{{texts}}};

/* Log-mel energies of a clip (band, frame) to a number for each scene; the largest is its answer. */
void asc_network(const float *features, float *logits);

#endif
"""


def array(content: bytes) -> str:
    """A file as an array of bytes, at an address that runtimes can read it from."""
    return (
        "/* The model as a LiteRT file, for the runtimes that read the format. */\n"
        "#if defined(__GNUC__)\n__attribute__((aligned(16)))\n#endif\n"
        f"const unsigned char asc_model[] = {{\n{_listed(content)}\n}};\n"
        f"const unsigned int asc_model_length = {len(content)};\n"
    )


def number(value: float) -> str:
    """A 32-bit float that reads back as itself."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if any(sign in text for sign in ".e") else f"{text}.0f"


def _listed(values: Iterable[float]) -> str:
    texts = [str(value) if isinstance(value, int) else number(value) for value in values]
    return ",\n".join(", ".join(texts[at : at + 12]) for at in range(0, len(texts), 12))


def _factors(length: int) -> list[int]:
    """The prime factors of a length."""
    factors, factor = [], 2
    while length > 1:
        while length % factor == 0:
            factors.append(factor)
            length //= factor
        factor += 1
    return factors or [1]
