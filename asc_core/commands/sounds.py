"""The sound files that a command is given: those it names, and those below the folders it names."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from asc_core.errors import UserError

# What is looked for in a folder; a file that is named is tried whatever its suffix.
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64"}

Identity = tuple[int, int]  # of a folder, whatever its path: device and inode


def sound_files(paths: Iterable[Path]) -> Iterator[Path | UserError]:
    """The files of `paths`, and instead of each folder the sound files below it, by name.

    Links to folders are followed. What is hidden (`._one.wav` beside each file that a Mac has copied) is left out.
    A folder that cannot be read, or that leads back to one it is in, comes as an error.
    """
    for path in paths:
        if path.is_dir():
            yield from _below(path)
        else:
            yield path


def _below(folder: Path) -> Iterator[Path | UserError]:
    waiting: list[tuple[Path, frozenset[Identity]]] = [(folder, frozenset())]  # the next is last
    while waiting:
        path, around = waiting.pop()
        try:
            if not path.is_dir():
                yield path
                continue
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in around:
                raise UserError(f"{path}: leads back to a folder that it is in; its files are heard there")
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries if _is_wanted(entry))
        except UserError as error:
            yield error
        except OSError as error:
            yield UserError(f"{path}: cannot be read ({error.strerror or error})")
        else:
            waiting += [(path / name, around | {identity}) for name in reversed(names)]


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return False
    if Path(entry.name).suffix.lower() in SUFFIXES:
        return True
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
