"""Files that are either whole or absent: atomic writes, JSON, and hashes."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asc_core.errors import UserError

# Why a file cannot be written that is none of ours to mend: no room, no permission, something else in its way.
UNWRITABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Tell in one line that names `path` why it, or what is written in its place, cannot be written.

    Raises:
        UserError: the disk is full, the folder is read-only, or the like; other errors pass.
    """
    try:
        yield
    except Exception as error:
        # Libraries in Rust (safetensors) tell the number in their text.
        told = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
        target = Path(path).absolute()
        named = Path(os.fsdecode(getattr(error, "filename", None) or target)).absolute()
        # A file elsewhere that cannot be read for writing this one is another matter.
        if number not in UNWRITABLE or not (named.is_relative_to(target.parent) or target.is_relative_to(named)):
            raise
        raise UserError(f"{path}: cannot be written ({os.strerror(number)})") from None


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it does not.

    A process that is killed inside the block leaves `path` as it was. A link in its place is replaced, not followed.

    Raises:
        UserError: it cannot be written: the disk is full, the folder is read-only, or the like.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp makes the file private; what a pipeline leaves follows the user's umask like any other file.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all that is in it, if there is one.

    Raises:
        UserError: it cannot be removed.
    """
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file of up to `most` bytes.

    Raises:
        UserError: the file is missing, larger, or none: a pipe would be waited for.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not a file")
        if status.st_size > most:
            raise UserError(f"{path}: larger than {most:,} bytes, the most that is read of such a file")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, atomically; NaN is refused (ValueError)."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def absence(path: Path) -> str:
    """Why a path that was looked for is not there, in words."""
    if path.is_symlink():
        return f"a link to {path.readlink()}, which is not there"
    for form in ("NFC", "NFD"):
        if (path.parent / unicodedata.normalize(form, path.name)).exists():
            return f"no such file; there is one whose name is written in another Unicode form ({form}), rename it"
    return "no such file"


def digest(*values: Any) -> str:
    """A short stable key for JSON-like values: the first 16 hexadecimal digits of the SHA-256 of their JSON text."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamp(path: Path) -> int:
    """A number that changes when a file is replaced or edited; never 0.

    Raises:
        UserError: the file is not there.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    return int(digest(status.st_size, status.st_mtime_ns), 16) | 1
