"""Sound as it comes: raw samples in a pipe, and what a microphone hears."""

from collections.abc import Iterator
from enum import StrEnum
from io import BufferedReader

import numpy as np

from asc_core.errors import UserError
from asc_core.features.audio import to_mono
from asc_core.progress import note

CHUNK = 1 << 16  # most bytes at once
MICROPHONE_SECONDS = 0.1  # at once
# How files begin that hold more than samples.
CONTAINERS = (b"RIFF", b"RF64", b"riff", b"FORM", b"caff", b".snd", b"fLaC", b"OggS", b"ID3")


class Encoding(StrEnum):
    """How raw samples are written, by ffmpeg's names; arecord says U8, S16_LE, S24_3LE, S32_LE, FLOAT_LE."""

    u8 = "u8"
    s16le = "s16le"
    s24le = "s24le"
    s32le = "s32le"
    f32le = "f32le"


BYTES = {Encoding.u8: 1, Encoding.s16le: 2, Encoding.s24le: 3, Encoding.s32le: 4, Encoding.f32le: 4}


def read_raw(stream: BufferedReader, rate: int, encoding: Encoding, channels: int) -> Iterator[np.ndarray]:
    """Raw samples, channels interleaved, as they come, until the stream ends: mono (samples,) float32 of 1 at the most.

    Of what is cut off in the middle of a sample, that is left out.

    Raises:
        UserError: a sample cannot be used, the rate is no recording's, or the stream begins as a file does that is not
            raw.
    """
    width, rest, at_start = BYTES[encoding] * channels, b"", True
    while data := stream.read1(CHUNK):
        if at_start and data.startswith(CONTAINERS):
            raise UserError("is a sound file; send raw samples: arecord -t raw, ffmpeg -f s16le, sox -t raw")
        at_start, data = False, rest + data
        whole = len(data) // width * width
        rest = data[whole:]
        if whole:
            yield to_mono(_decoded(data[:whole], encoding).reshape(-1, channels), rate, rate)


def _decoded(data: bytes, encoding: Encoding) -> np.ndarray:
    """Samples (n,) float32 in [-1, 1), floats as they are."""
    if encoding is Encoding.f32le:
        return np.frombuffer(data, "<f4").astype(np.float32)
    if encoding is Encoding.u8:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if encoding is Encoding.s24le:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)  # the upper bytes of 32 bits
        data, encoding = wide.tobytes(), Encoding.s32le
    bits = 8 * BYTES[encoding]
    return np.frombuffer(data, f"<i{BYTES[encoding]}").astype(np.float32) * np.float32(2.0 ** (1 - bits))


def read_microphone(rate: int, name: str | None = None) -> Iterator[np.ndarray]:
    """What a microphone hears, without end: (samples,) float32.

    Args:
        rate: in Hz.
        name: of the device, or a part of it; None: the system's default.

    Raises:
        UserError: there is no such microphone, it does not go at this rate, or what reaches it is not installed.
    """
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise UserError(
            "a microphone needs sounddevice: pip install sounddevice; or send raw samples to `asc listen MODEL -`"
        ) from None
    except OSError as error:
        raise UserError(f"sounddevice finds no PortAudio ({error}); install it (on Debian libportaudio2)") from None
    size, told = round(rate * MICROPHONE_SECONDS), False
    try:
        with sounddevice.InputStream(rate, size, name, channels=1, dtype="float32") as stream:
            while True:
                samples, lost = stream.read(size)
                if lost and not told:
                    note("the microphone is faster than the network: sound was lost; take a longer --hop")
                    told = True
                yield samples[:, 0]
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UserError(f"the microphone cannot be heard ({error}); another --rate or --microphone may") from None
