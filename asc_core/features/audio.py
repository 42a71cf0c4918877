"""Audio files: what their headers say, and their samples."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asc_core.errors import UserError

SILENCE = 1e-4  # of full scale, from trough to peak: what the dither of 16 bits moves by and no recording stays within
BLOCK = 1 << 14  # frames read at once
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000  # Hz; a lower one would become a thousand times as many samples


@dataclass(frozen=True)
class Header:
    """What an audio file says of itself. `problem` is why it cannot be used, or None."""

    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    subtype: str | None = None
    problem: str | None = None


def read_header(path: Path) -> Header:
    """The header of an audio file, without decoding it; nothing is raised, `problem` says what is wrong."""
    import soundfile

    if not path.is_file():
        return Header(problem="no such file")
    try:
        if missing := missing_bytes(path):
            return Header(problem=f"truncated: {missing} bytes short of what its header announces")
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        return Header(problem=f"unreadable ({error})")
    if info.frames <= 0:
        return Header(problem="has no samples")
    return Header(info.duration, info.samplerate, info.channels, info.subtype)


def missing_bytes(path: Path) -> int:
    """How many bytes a RIFF (WAV) file lacks of the length its header announces; 0 for other formats.

    libsndfile silently reads a truncated WAV as a shorter one, so this looks for itself.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    if head[:4] != b"RIFF" or len(head) < 8:
        return 0
    announced = int.from_bytes(head[4:8], "little")
    if announced >= 0xFFFFFFFF:  # a streamed file of unknown length
        return 0
    return max(0, announced + 8 - path.stat().st_size)


def sample_problem(path: Path) -> str | None:
    """Why the samples of an audio file cannot be used: not finite, silent or not to be decoded; None if they can.

    Plain integers are always finite, so a file of them is read only until it is heard to move: most often one block,
    0.1 ms. Any other is decoded to its end: 1 ms for ten seconds of 44.1 kHz in floating point, 5 to 10 ms in FLAC.
    """
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            plain = file.subtype.startswith("PCM_") and file.format != "FLAC"
            low, high = np.full(file.channels, np.inf), np.full(file.channels, -np.inf)
            for block in file.blocks(BLOCK, dtype="float32", always_2d=True):  # (frames, channels)
                low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
                if not np.isfinite([low, high]).all():  # the least and the greatest of numbers and a NaN are NaN
                    return "has samples that are not finite numbers"
                if plain and (high - low).max() > SILENCE:
                    return None
    except (soundfile.LibsndfileError, OSError) as error:
        return f"cannot be decoded ({error})"
    return None if (high - low).max() > SILENCE else "is silent"


def read_samples(path: Path, sample_rate: int) -> np.ndarray:
    """The samples of an audio file, mono (channels averaged) at `sample_rate` Hz: (samples,) float32 in [-1, 1].

    Raises:
        UserError: the file cannot be decoded, or holds no sample or a non-finite one.
    """
    import soundfile

    decoded = _read_24_bit(path)
    if decoded is None:
        try:
            decoded = soundfile.read(str(path), dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{path}: cannot be read as audio ({error})") from None
    samples, rate = decoded
    try:
        return to_mono(samples, rate, sample_rate)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def to_mono(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Sound (samples,) or (samples, channels) at `rate` Hz, channels averaged, at `sample_rate` Hz: (samples,) float32.

    Raises:
        UserError: there is no sample, or one that is no finite number, or the rate is none of a recording.
    """
    import soxr

    mono = np.asarray(samples, np.float32)
    if mono.ndim == 2:
        mono = mono[:, 0] if mono.shape[1] == 1 else mono.mean(axis=1)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(f"a sample rate of {rate} Hz is not from {LOWEST_RATE} to {HIGHEST_RATE}")
    if not np.isfinite(mono).all():
        raise UserError("has samples that are not finite numbers")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    if not len(mono):
        raise UserError("has no samples")
    return mono


def _read_24_bit(path: Path) -> tuple[np.ndarray, int] | None:
    """Samples (frames, channels) float32 and rate of a plain WAV file of 24 bits, None for any other file.

    The same numbers as libsndfile's, in a quarter of its time: 24 bits is what the corpora of scenes come in, and
    decoding them would be a quarter of the way from a file to a label.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, frames = file.getparams()[:4]
            if width != 3:
                return None
            data = file.readframes(frames)
    except (wave.Error, EOFError, OSError):
        return None
    if len(data) != frames * channels * width:  # cut short: libsndfile knows better what is left
        return None
    # Four bytes at every third: the lower three are a sample, and the shift drops the fourth, the next one's first.
    whole = np.ndarray((frames, channels), "<i4", data + b"\0", strides=(width * channels, width)) << 8
    return np.multiply(whole, np.float32(2.0**-31), dtype=np.float32), rate
