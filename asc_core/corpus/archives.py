"""Extraction of a zip archive that trusts nothing the archive says.

Not by ZipFile.extractall, which gives unsafe members other names, writes through links that stand in its way, fills the
disk from a bomb, and leaves half a file when it is killed.
"""

import errno
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from asc_core.errors import UserError

# What the members hold to what the archive takes. Sound gets 1.1 times smaller and tables 10 times, a bomb 1000 times.
LARGEST_RATIO = 100
CHUNK = 1 << 20
# All that zipfile raises on a damaged or unsupported archive; RuntimeError stands for encryption.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)


def extract(
    archive: Path, folder: Path, *, top: str, taken: Mapping[str, str], scratch: Path, check: Callable[[], object]
) -> dict[str, int]:
    """Write the files that an archive holds below `top`/ into `folder`, without `top`; return their sizes by path.

    Every member's name, kind and stated size is checked before the first file is written. A file is written to
    `scratch`, on the same file system, and renamed. `taken` maps the paths of files that other archives brought to
    those archives. `check` is called between chunks and may raise to stop.
    Members elsewhere in the archive, and hidden ones, are left out: they are what macOS adds to archives it makes, and
    a hidden member could pose as a file of ours.

    Raises:
        UserError: the archive or a member is damaged, or a member has an unsafe name, is a link or the like, exists
            already, or is larger than stated or than any honest member would be.
        OSError: a file cannot be written, or a link stands where a folder is to be.
    """
    try:
        with zipfile.ZipFile(archive) as contents:
            members = _admit(archive, contents.infolist(), top, taken)
            refuse_links(folder / parent for path in members for parent in PurePosixPath(path).parents[:-1])
            for path, member in members.items():
                try:
                    _write(contents, member, scratch, check)
                except _DAMAGE as error:
                    raise _refusal(archive, member, f"is damaged ({error})") from None
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(scratch, target)
    except _DAMAGE as error:
        raise UserError(f"{archive.name}: not a readable zip archive ({error}); fetch it again") from None
    finally:
        scratch.unlink(missing_ok=True)
    return {path: member.file_size for path, member in members.items()}


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise OSError if one of the paths is a link, through which files elsewhere would be written."""
    for path in paths:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "is a link, through which nothing is written", str(path))


def _admit(
    archive: Path, listed: list[zipfile.ZipInfo], top: str, taken: Mapping[str, str]
) -> dict[str, zipfile.ZipInfo]:
    """The files to write, by path below `top`."""
    admitted: dict[str, zipfile.ZipInfo] = {}
    owners = {path.casefold(): owner for path, owner in taken.items()}  # some file systems ignore case
    room = LARGEST_RATIO * archive.stat().st_size
    for member in listed:
        name = member.orig_filename
        parts = name.removesuffix("/").split("/")
        # A backslash separates folders on Windows, and a colon follows a drive letter there.
        if not {"", ".", ".."}.isdisjoint(parts) or re.search(r"[\\:\x00-\x1f]", name):
            raise _refusal(archive, member, "could leave the folder")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refusal(archive, member, "is a link or a device")
        if member.is_dir() or parts[0] != top or len(parts) == 1 or any(part.startswith(".") for part in parts):
            continue
        path = "/".join(parts[1:])
        if owner := owners.get(path.casefold()):
            raise _refusal(archive, member, f"is a duplicate of one in {owner}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refusal(archive, member, "is compressed by an unsupported method")
        room -= member.file_size
        if room < 0:
            raise _refusal(archive, member, f"brings the archive to more than {LARGEST_RATIO} times its size")
        owners[path.casefold()] = archive.name
        admitted[path] = member
    if not admitted:
        raise UserError(f"{archive.name}: holds nothing below {top}/; this is not an archive of the corpus")
    return admitted


def _write(contents: zipfile.ZipFile, member: zipfile.ZipInfo, scratch: Path, check: Callable[[], object]) -> None:
    left = member.file_size
    with contents.open(member) as source, open(scratch, "wb") as out:
        # zipfile checks the CRC at the end of the member, and stops there by the size that the member states.
        while chunk := source.read(CHUNK):
            check()
            left -= len(chunk)
            out.write(chunk)
    if left != 0:
        raise ValueError(f"{member.file_size - left} bytes instead of the stated {member.file_size}")


def _refusal(archive: Path, member: zipfile.ZipInfo, reason: str) -> UserError:
    return UserError(f"{archive.name}: member {member.orig_filename!r} {reason}; the archive is not extracted")
