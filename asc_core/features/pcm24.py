"""A faster reader for what the corpora of scenes come in: WAV files of 24 bits in three bytes each.

The same numbers as libsndfile's in a quarter of its time; decoding would be a quarter of the way from file to label.
"""

from collections.abc import Iterator
from io import BufferedReader

import numpy as np

from asc_core.features.containers import Sound

PCM, EXTENSIBLE = 1, 0xFFFE
# The sub-format that means PCM in an extensible format.
PCM_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")


def frame_bytes(sound: Sound, channels: int) -> int | None:
    """Bytes of a frame, all channels together, where a fmt chunk says integers of 24 bits; None where it does not."""
    form = sound.format
    tag, own_channels, align, bits = (int.from_bytes(form[at : at + 2], "little") for at in (0, 2, 12, 14))
    plain = tag == PCM or (tag == EXTENSIBLE and form[24:40] == PCM_SUBFORMAT)
    return align if plain and own_channels == channels and bits == 24 else None


def is_packed(sound: Sound, channels: int) -> bool:
    """Whether this reader is made for a file: 24 bits in three bytes. All that contradicts itself is libsndfile's."""
    return frame_bytes(sound, channels) == 3 * channels


def read_packed(file: BufferedReader, sound: Sound, channels: int, frames: int) -> Iterator[np.ndarray]:
    """The samples, so many frames at a time: (frames, channels) float32 in [-1, 1)."""
    file.seek(sound.start)
    width = 3 * channels
    left = (sound.size or 0) // width
    buffer = bytearray(min(frames, left) * width + 1)
    while left:
        taken = min(frames, left)
        if file.readinto(memoryview(buffer)[: taken * width]) < taken * width:
            raise OSError("it has become shorter")
        # Four bytes at every third: the lower three are a sample, and the shift drops the fourth, the next one's first.
        whole = np.ndarray((taken, channels), "<i4", buffer, strides=(width, 3)) << 8
        yield np.multiply(whole, np.float32(2.0**-31), dtype=np.float32)
        left -= taken
