"""What the header of a sound file announces, against what the file holds.

libsndfile takes a file that was cut off for a shorter one, so this looks for itself: at the sizes in containers of
chunks (WAV, RF64, W64, AIFF, CAF, AU), at the last page of Ogg, at the tag of MP3. What is announced of the sound
decides, not the size of the whole file, which many programs write a few bytes wrong. The rest shows in decoding
(`audio`).
"""

import os
from dataclasses import dataclass
from io import BufferedReader
from typing import Literal, NamedTuple

from asc_core.errors import UserError

MOST_CHUNKS = 1000  # before the sound; a file of zeros would be endlessly many
OGG_TAIL = 1 << 17  # bytes; a page has at most 65,307
MP3_FRAME = 1152  # samples
MP3_TOLERANCE = 0.01  # of the size that a tag announces: not all encoders count the same bytes


class Sound(NamedTuple):
    """Where in a file its sound is.

    `size` is in bytes, None where only a decoder knows; `format` the content of a WAV file's fmt chunk; `slack` how
    many frames fewer may be decoded than are announced, None for any number.
    """

    start: int = 0
    size: int | None = None
    format: bytes = b""
    slack: int | None = 0


@dataclass(frozen=True)
class Chunks:
    """How a container writes its chunks: an identifier, a size (`width` bytes), the content, zeros up to `alignment`.

    `first` is the position of the first one, `sound` the identifier of the one with the sound, before which `inner`
    bytes of its content stand. `kinds` are what bytes 8 to 12 of the file may be, empty for anything; `whole` is the
    position of the size of the whole file, with how many bytes that leaves out.
    """

    order: Literal["little", "big"]
    first: int
    sound: bytes
    kinds: tuple[bytes, ...] = ()
    identifier: int = 4
    width: int = 4
    counts_itself: bool = False
    alignment: int = 2
    inner: int = 0
    whole: tuple[int, int] | None = (4, 8)


WAV = Chunks("little", 12, b"data", (b"WAVE",))
CONTAINERS = {
    b"RIFF": WAV,
    b"RF64": WAV,
    b"RIFX": Chunks("big", 12, b"data", (b"WAVE",)),
    b"FORM": Chunks("big", 12, b"SSND", (b"AIFF", b"AIFC"), inner=8),
    # The identifiers of W64 have 16 bytes and begin with those of WAV.
    b"riff": Chunks("little", 40, b"data", identifier=16, width=8, counts_itself=True, alignment=8, whole=(16, 0)),
    b"caff": Chunks("big", 8, b"data", width=8, alignment=1, inner=4, whole=None),
}


def find_sound(file: BufferedReader) -> Sound:
    """Where the sound of a file is, as far as its header tells.

    Raises:
        UserError: the file is cut off, or its header was never completed.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(40)
    layout = CONTAINERS.get(head[:4])
    if layout and (not layout.kinds or head[8:12] in layout.kinds):
        return _in_chunks(file, layout, head, size)
    if head[:4] in (b".snd", b"dns."):
        order: Literal["little", "big"] = "big" if head[:1] == b"." else "little"
        start, announced = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))
        return _checked(start, None if announced == 0xFFFFFFFF else announced, size)
    if head[:4] == b"OggS":
        return _in_ogg(file, size)
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return _in_mp3(file, head, size)
    return Sound()


def _in_chunks(file: BufferedReader, layout: Chunks, head: bytes, size: int) -> Sound:
    header = layout.identifier + layout.width
    at, form, long_size = layout.first, b"", 0
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(header)
        if len(chunk) < header:
            break
        name, length = chunk[:4], int.from_bytes(chunk[layout.identifier :], layout.order)
        if layout.counts_itself:
            length = max(0, length - header)
        at += header
        if name == layout.sound:
            announced = _announced(layout, head, length, long_size)
            return _checked(at + layout.inner, announced, size, form)
        if name == b"fmt ":
            form = file.read(min(length, 40))
        elif name == b"ds64":  # RF64: the size of the sound is here
            long_size = int.from_bytes(file.read(16)[8:], "little")
        at += length + -length % layout.alignment
    if layout.whole is not None:
        position, more = layout.whole
        at = int.from_bytes(head[position : position + layout.width], layout.order) + more
    if at > size:
        raise _truncated(at - size)
    return Sound()


def _announced(layout: Chunks, head: bytes, length: int, long_size: int) -> int | None:
    """The size of the sound by its chunk and by what stands before it; None for "to the end of the file"."""
    if head[:4] == b"RF64" and length == 0xFFFFFFFF:
        length = long_size
    unknown = 0xFFFFFFFF if layout.width == 4 and head[4:8] == b"\xff" * 4 else 0xFFFFFFFF_FFFFFFFF
    return None if length == unknown else max(0, length - layout.inner)


def _checked(start: int, announced: int | None, size: int, form: bytes = b"") -> Sound:
    held = max(0, size - start)
    if announced is None:  # a stream: its length was not known when its header was written
        return Sound(start, held, form)
    if held and announced in (0, 0xFFFFFFFF):
        raise UserError(
            f"was never completed: its header does not say how long the sound is, but {held} bytes follow it, as where "
            "a recorder crashed; have a sound editor write the file anew"
        )
    if announced > held:
        raise _truncated(announced - held)
    return Sound(start, announced, form)


def _in_ogg(file: BufferedReader, size: int) -> Sound:
    file.seek(max(0, size - OGG_TAIL))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 27 else b""  # their lengths
    if not segments or not page[5] & 4 or len(page) < 27 + len(segments) + sum(segments):
        raise UserError("truncated: the last page of its stream is missing")
    return Sound()


def _in_mp3(file: BufferedReader, head: bytes, size: int) -> Sound:
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        start = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(256)
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag < 0 or len(frame) < tag + 16:
        return Sound(slack=None)  # libsndfile guesses the length from that of the first frame
    flags = frame[tag + 7]
    if flags & 2:
        at = tag + 8 + 4 * (flags & 1)
        announced = int.from_bytes(frame[at : at + 4], "big")
        missing = announced - (size - start)
        if missing > MP3_TOLERANCE * announced:
            raise _truncated(missing)
    return Sound(slack=MP3_FRAME if flags & 1 else None)


def _truncated(missing: int) -> UserError:
    return UserError(f"truncated: {missing} bytes short of what its header announces")
