"""A disk of a few megabytes, to fill."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int, options: str = "rw") -> Iterator[Path]:
    """Mount a disk in memory on a new folder; skip the test where this user may not."""
    folder.mkdir()
    settings = f"size={megabytes}m,{options}"
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", settings, "tmpfs", folder], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the command mount")
    if done.returncode:
        pytest.skip(f"needs leave to mount a disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
