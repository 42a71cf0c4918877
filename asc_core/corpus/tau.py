"""Fetch TAU Urban Acoustic Scenes Mobile of any year for which there is a manifest, from its servers or a mirror.

The development set of 2020 is 18 zip archives, 27.4 GB; that of 2022 is as many, and the split lists of DCASE 2024.
"""

import collections
import contextlib
import csv
import errno
import fcntl
import os
import queue
import shutil
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asc_core.corpus.archives import extract, refuse_links
from asc_core.corpus.config import FetchConfig
from asc_core.corpus.manifest import Download, Manifest, read_manifest
from asc_core.corpus.request import new_client
from asc_core.corpus.transfer import Cancelled, TransferProgress, download, md5_of, size_at, size_of
from asc_core.errors import UserError
from asc_core.files import read_json, write_json
from asc_core.progress import note

if TYPE_CHECKING:
    import httpx

STATE = ".fetch.json"  # the archives in place, each with the files it brought
WORK = ".fetch"  # archives on their way; gone when all is done
KEPT = "archives"
# Extracted size to archive size, which no manifest states: 23,035 clips of 1.32 MB make 1.11 times the 27.4 GB of 2020,
# 230,350 of 132 KB about 1.17 times the 26 GB of 2022.
EXPANSION = 1.2


def fetch(folder: Path, config: FetchConfig = FetchConfig(), *, manifest: Path) -> None:
    """Bring a corpus into `folder`, which ends up with meta.csv, evaluation_setup/ and audio/, and the tables.

    Archives whose files somebody else put there are not fetched; tables that are missing beside them are.

    A call after any interruption, SIGKILL included, goes on where the last one was: a partial archive is resumed, an
    extracted one is not fetched again. In a complete folder, whoever completed it, the call returns at once.

    Raises:
        UserError: a file or a parameter is wrong, the disk is too small, an archive cannot be had or must not be
            extracted, or another fetch into the folder is running. What is in place by then stays.
    """
    folder = Path(folder)
    wanted = read_manifest(manifest)
    if config.archives is not None and not Path(config.archives).is_dir():
        raise UserError(f"{config.archives}: no such folder of archives")
    try:
        in_place = _in_place(folder, wanted.downloads)
        todo = [each for each in wanted.downloads if each.filename not in in_place]
        if not in_place.keys() & {each.filename for each in wanted.archives} and _holds_corpus(folder):
            todo = [each for each in todo if each.folder is not None and size_of(folder / each.path) <= 0]
        copies = {path: other for path, other in wanted.copies.items() if size_of(folder / path) <= 0}
        if not todo and not copies and not ((folder / STATE).exists() and (folder / WORK).exists()):
            return
        work = folder / WORK
        tables = {Path(path).parts[0] for path in (*copies, *(each.path for each in todo if each.folder))}
        refuse_links([work, folder / KEPT, *work.glob("*"), *(folder / each for each in tables)])
        work.mkdir(parents=True, exist_ok=True)
        with _sole_fetch(folder):
            _Fetch(folder, config, wanted, todo).run()
            for path, other in copies.items():
                _put(folder / other, folder / path, work / "member")
            shutil.rmtree(work)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}; mend it and run it again") from error


class _Fetch:
    """One run over what is not yet in place."""

    progress: TransferProgress

    def __init__(self, folder: Path, config: FetchConfig, manifest: Manifest, todo: list[Download]) -> None:
        self.folder, self.config, self.top = folder, config, manifest.top
        self.work = folder / WORK
        self.in_place = _in_place(folder, manifest.downloads)
        for each in manifest.downloads:
            if each.filename in self.in_place:
                self.retire(each)  # in case the last run ended in between
        self.checksums = {each.filename: each.md5 for each in manifest.downloads}
        self.todo = collections.deque(todo)
        self.extracting = threading.Lock()

    def run(self) -> None:
        """Work off what is missing in threads, and stop them all at the first error or a KeyboardInterrupt."""
        if not self.todo:
            return
        with new_client() as client:
            self.todo = collections.deque(self.sized(client, each) for each in self.todo)
        missing = sum(each.bytes or 0 for each in self.todo)
        self.progress = TransferProgress("fetch", missing, done=self.bytes_here())
        self.require_space()
        outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work(client: "httpx.Client") -> None:
            with contextlib.suppress(IndexError):  # an empty deque
                while archive := self.todo.popleft():
                    try:
                        self.bring(client, archive)
                        outcomes.put(None)
                    except Cancelled:
                        return
                    except BaseException as error:
                        outcomes.put(error)

        count = len(self.todo)
        with self.progress, new_client() as client:
            # Daemons, because a thread that waits for a silent server must not hold up the end of the process.
            connections = range(self.config.connections)
            threads = [threading.Thread(target=work, args=[client], daemon=True) for _ in connections]
            try:
                for thread in threads:
                    thread.start()
                for _ in range(count):
                    if error := outcomes.get():
                        raise error
            finally:
                self.progress.cancel()
                for thread in threads:
                    thread.join(timeout=0.5)

    def sized(self, client: "httpx.Client", wanted: Download) -> Download:
        """The same with its size, where the manifest does not state it: of the user's own file, or as its server says.

        What it says is trusted for no more than that: the checksum decides.
        """
        if wanted.bytes is not None:
            return wanted
        size = size_at(client, self.url(wanted)) if self.config.archives is None else size_of(self.own(wanted))
        return replace(wanted, bytes=size)

    def url(self, wanted: Download) -> str:
        base = self.config.base_url or wanted.base_url
        return f"{base.rstrip('/')}/{urllib.parse.quote(wanted.filename)}{wanted.query}"

    def own(self, wanted: Download) -> Path:
        """The user's own file."""
        assert self.config.archives is not None
        path = Path(self.config.archives) / wanted.filename
        if size_of(path) < 0:
            raise UserError(f"{path}: no such file; add it, or leave `archives` unset to download it")
        return path

    def bring(self, client: "httpx.Client", archive: Download) -> None:
        """Put the files of one archive, or a table, in place."""
        path = self.obtain(client, archive)
        with self.extracting:
            self.progress.check()
            members = self.put(path, archive) if archive.folder else self.extracted(path, archive)
            self.in_place[archive.filename] = members
            recorded = {name: {"md5": self.checksums[name], "members": files} for name, files in self.in_place.items()}
            # Written in the work folder first: what a kill leaves of it there goes with that folder.
            write_json(self.work / STATE, recorded)
            os.replace(self.work / STATE, self.folder / STATE)
        self.retire(archive)
        note(f"{archive.filename}: {len(members)} files in place")

    def extracted(self, path: Path, archive: Download) -> dict[str, int]:
        """The files of an archive, put in place: their sizes by path."""
        taken = {member: owner for owner, members in self.in_place.items() for member in members}
        scratch, check = self.work / "member", self.progress.check
        try:
            return extract(path, self.folder, top=self.top, taken=taken, scratch=scratch, check=check)
        except UserError:
            (self.work / archive.filename).unlink(missing_ok=True)
            raise

    def put(self, path: Path, table: Download) -> dict[str, int]:
        """A table, put in place: its size by path."""
        _put(path, self.folder / table.path, self.work / "member")
        return {table.path: size_of(path)}

    def obtain(self, client: "httpx.Client", archive: Download) -> Path:
        """The verified file: the user's own, one that an earlier run left, or a download."""
        if self.config.archives is not None:
            path = self.own(archive)
            found = md5_of(path, self.progress, count=True)
            if not archive.is_right(found, path):
                raise UserError(f"{path}: wrong checksum: expected md5 {archive.md5}, got {found}; replace the file")
            return path
        path = self.work / archive.filename
        if size_of(path) != archive.bytes:
            download(client, self.url(archive), path, archive, progress=self.progress)
        return path

    def retire(self, archive: Download) -> None:
        """Delete a downloaded archive whose files are in place, or move it to where archives are kept."""
        path = self.work / archive.filename
        if self.config.keep_archives and path.exists():
            (self.folder / KEPT).mkdir(exist_ok=True)
            path.replace(self.folder / KEPT / archive.filename)
        path.unlink(missing_ok=True)

    def bytes_here(self) -> int:
        """How much of the missing archives earlier runs have downloaded."""
        if self.config.archives is not None:
            return 0
        paths = [self.work / f"{archive.filename}{suffix}" for archive in self.todo for suffix in ("", ".part")]
        return sum(max(0, size_of(path)) for path in paths)

    def require_space(self) -> None:
        """Raise UserError unless the disk can take what is missing.

        That is the extracted files, by EXPANSION, and the archives that exist at one time: one for each connection,
        or all of them if they are kept.
        """
        sizes = sorted((archive.bytes or 0 for archive in self.todo), reverse=True)
        need = EXPANSION * sum(sizes)
        if self.config.archives is None:
            at_once = sizes if self.config.keep_archives else sizes[: self.config.connections]
            need += max(0, sum(at_once) - self.bytes_here())
        free = shutil.disk_usage(self.folder).free
        if free < need:
            missing, need_gb, free_gb = (f"{value / 1e9:.1f} GB" for value in (need - free, need, free))
            raise UserError(
                f"{self.folder}: {missing} of disk space are missing: the corpus needs about {need_gb} more, {free_gb} "
                "are free; free some or use another folder"
            )


def _put(source: Path, target: Path, scratch: Path) -> None:
    """A copy of a file, which appears whole: what a kill leaves is `scratch`, on the same file system."""
    shutil.copyfile(source, scratch)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(scratch, target)


def _in_place(folder: Path, downloads: list[Download]) -> dict[str, dict[str, int]]:
    """The size of each file by path, for each recorded download whose files are all still there."""
    state = folder / STATE
    if not state.exists():
        return {}
    recorded = read_json(state)
    try:
        return {
            archive.filename: entry["members"]
            for archive in downloads
            if (entry := recorded.get(archive.filename))
            and entry["md5"] == archive.md5
            and all(size_of(folder / path) == size for path, size in entry["members"].items())
        }
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{state}: not what a fetch records; delete it to extract every archive again") from None


def _holds_corpus(folder: Path) -> bool:
    """Whether a folder that no fetch made has the tables and every clip of both splits."""
    audio = folder / "audio"
    splits = [folder / "evaluation_setup" / f"fold1_{split}.csv" for split in ("train", "evaluate")]
    if not (audio.is_dir() and all(path.is_file() for path in [folder / "meta.csv", *splits])):
        return False
    present = {f"audio/{entry.name}" for entry in os.scandir(audio)}
    for path in splits:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            clips = {row.get("filename") for row in csv.DictReader(file, delimiter="\t")}
        if not clips or not clips <= present:
            return False
    return True


@contextlib.contextmanager
def _sole_fetch(folder: Path) -> Iterator[None]:
    """Hold the lock of a fetch into `folder`, which the system releases however the process ends.

    Raises:
        UserError: another process holds it.
    """
    # A killed pipeline can leave its child running, and the next run then starts a second one beside it.
    with open(folder / WORK / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise UserError(f"{folder}: another fetch into it is running; wait for it or end it") from None
        yield
