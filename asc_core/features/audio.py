"""Audio files: what their headers say, and their samples."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from asc_core.errors import UserError
from asc_core.features.containers import Sound, find_sound
from asc_core.features.pcm24 import frame_bytes, is_packed, read_packed
from asc_core.files import absence

if TYPE_CHECKING:
    import soundfile

SILENCE = 1e-4  # of full scale, from trough to peak: what the dither of 16 bits moves by and no recording stays within
# Times full scale (1): 42 dB above it. Recorders that write floats go past full scale, but not so far; integers that
# were written as floats without being divided by theirs do, and would be learnt as deafening scenes.
LOUDEST = 128
BLOCK = 1 << 18  # samples of all channels that are read at once
FIRST_LOOK = 1 << 14  # as many where most often the first block decides
# As many where samples are compressed: soundfile seeks after each block, and few decoders come back to where they were
# to the last bit. A clip as one trains on is one block.
COMPRESSED_BLOCK = 1 << 22
PLAIN = ("PCM_", "FLOAT", "DOUBLE")  # how the names of uncompressed samples begin
NOT_PLAIN = ("FLAC", "PAF", "SDS")  # the containers that pack even those
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
    try:
        with _open(path) as (file, _, _):
            return Header(file.frames / file.samplerate, file.samplerate, file.channels, file.subtype)
    except UserError as error:
        return Header(problem=str(error))


def sample_problem(path: Path) -> str | None:
    """Why the samples of an audio file cannot be used, None if they can.

    They cannot where decoding breaks off, where one is not finite or beyond `LOUDEST`, and where the mean of the
    channels, which is what is used, is silent. Plain integers are read only until that moves: most often one block,
    0.1 ms. Others are decoded to their end: 1 ms for ten seconds of 44.1 kHz in floating point, 5 to 10 ms in FLAC.
    """
    low, high, channels = np.inf, -np.inf, 1
    try:
        with _open(path) as opened:
            channels = opened.file.channels
            plain_integers = _is_plain(opened.file) and opened.file.subtype.startswith("PCM_")
            for block in _blocks(opened, FIRST_LOOK):
                mono = _mix(block)
                low, high = min(low, mono.min()), max(high, mono.max())
                if plain_integers and high - low > SILENCE:
                    return None
    except UserError as error:
        return str(error)
    if high - low > SILENCE:
        return None
    return "is silent" if channels == 1 else f"is silent in the mean of its {channels} channels, which is what is used"


def read_blocks(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """The samples of an audio file, mono (channels averaged) at `sample_rate` Hz, some seconds at a time: (samples,)
    float32 each, of which at least one is not empty. Memory does not grow with the length of the file.

    Raises:
        UserError: the file cannot be decoded to the end that its header announces, or holds no sample or an unusable
            one. Blocks may have come before.
    """
    try:
        with _open(path) as opened, _telling("cannot be decoded"):
            yield from at_rate(map(_mix, _blocks(opened, BLOCK)), opened.file.samplerate, sample_rate)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def at_rate(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Mono sound (samples,) that comes in blocks at `rate` Hz, at `sample_rate` Hz: (samples,) float32.

    Raises:
        UserError: there is no sample.
    """
    import soxr

    any_sample = False
    # The same numbers as soxr.resample gives for the whole: that is what it does.
    resampler = soxr.ResampleStream(rate, sample_rate, 1, "float32", "HQ") if rate != sample_rate else None
    for mono in blocks:
        mono = resampler.resample_chunk(mono) if resampler else mono
        any_sample |= len(mono) > 0
        yield mono
    if resampler:
        mono = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        any_sample |= len(mono) > 0
        yield mono
    if not any_sample:
        raise UserError("has no samples")


def read_samples(path: Path, sample_rate: int) -> np.ndarray:
    """The samples of an audio file, mono (channels averaged) at `sample_rate` Hz: (samples,) float32.

    Raises:
        UserError: the file cannot be decoded to the end that its header announces, or holds no sample or an unusable
            one.
    """
    return np.concatenate(list(read_blocks(path, sample_rate)))


def to_mono(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Sound (samples,) or (samples, channels) at `rate` Hz, channels averaged, at `sample_rate` Hz: (samples,) float32.

    Raises:
        UserError: there is no sample, or one that is not finite or beyond `LOUDEST`, or the rate is no recording's.
    """
    import soxr

    samples = np.asarray(samples, np.float32)
    _check_rate(rate)
    _check_range(samples)
    mono = _mix(samples) if samples.ndim == 2 else samples
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    if not len(mono):
        raise UserError("has no samples")
    return mono


class _Opened(NamedTuple):
    file: "soundfile.SoundFile"
    raw: BufferedReader  # the same file as bytes
    sound: Sound


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_Opened]:
    """An audio file that is whole as far as its header tells; errors do not name it."""
    import soundfile

    with contextlib.ExitStack() as stack:
        with _telling("unreadable"):
            try:
                mode = path.stat().st_mode
            except FileNotFoundError:
                raise UserError(absence(path)) from None
            if not stat.S_ISREG(mode):  # opening a pipe would wait for whoever writes to it
                raise UserError("is a folder" if stat.S_ISDIR(mode) else "is a pipe, a socket or a device, not a file")
            raw = stack.enter_context(open(path, "rb"))
            sound = find_sound(raw)
            file = stack.enter_context(soundfile.SoundFile(os.fsencode(path)))  # bytes: a name need not be UTF-8
        _check_rate(file.samplerate)
        if file.frames <= 0:
            raise UserError("has no samples")
        if file.subtype == "PCM_24" and frame_bytes(sound, file.channels) == 4 * file.channels:
            # Where libsndfile finds four bytes a sample by what they look like, it says PCM_32; else it guesses three.
            raise UserError("contradicts itself: 24 bits in blocks of four bytes, and either may be wrong; rewrite it")
        yield _Opened(file, raw, sound)


def _blocks(opened: _Opened, size: int) -> Iterator[np.ndarray]:
    """All samples, about `size` at a time if that can be: (frames, channels) float32; errors do not name the file."""
    file, sound = opened.file, opened.sound
    frames = max(1, (size if _is_plain(file) else COMPRESSED_BLOCK) // file.channels)
    if is_packed(sound, file.channels):
        yield from read_packed(opened.raw, sound, file.channels, frames)
        return
    done, integers = 0, file.subtype.startswith("PCM_")
    while True:
        with _telling("cannot be decoded"):
            block = file.read(frames, dtype="float32", always_2d=True)
        if not len(block):
            break
        if not integers:
            _check_range(block)
        done += len(block)
        yield block
    if sound.slack is not None and done + sound.slack < file.frames:
        raise UserError(f"truncated: {done} of the {file.frames} samples that its header announces can be decoded")


def _is_plain(file: "soundfile.SoundFile") -> bool:
    return file.subtype.startswith(PLAIN) and file.format not in NOT_PLAIN


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Any exception that a decoder can raise, as ours."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, ArithmeticError, AssertionError, MemoryError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        raise UserError(f"{what} ({reason or type(error).__name__})") from None


def _mix(block: np.ndarray) -> np.ndarray:
    """(frames, channels) to (frames,): the mean of the channels."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def _check_rate(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(f"a sample rate of {rate} Hz is not from {LOWEST_RATE} to {HIGHEST_RATE}")


def _check_range(samples: np.ndarray) -> None:
    if not samples.size:
        return
    low, high = samples.min(), samples.max()  # NaN if any sample is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError("has samples that are not finite numbers")
    if (loudest := max(-low, high)) > LOUDEST:
        raise UserError(
            f"has a sample of {loudest:.3g} times full scale, and {LOUDEST} is the most; integers written as floats "
            "must be divided by their own full scale"
        )
