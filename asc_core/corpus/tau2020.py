"""Fetch TAU Urban Acoustic Scenes 2020 Mobile, development set: 18 zip archives, 27.4 GB, from Zenodo or a mirror."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asc_core.corpus.archives import extract, refuse_links
from asc_core.corpus.config import FetchConfig
from asc_core.corpus.request import new_client
from asc_core.corpus.transfer import Cancelled, TransferProgress, download, md5_of, size_of
from asc_core.errors import UserError
from asc_core.files import read_json, write_json
from asc_core.progress import note

if TYPE_CHECKING:
    import httpx

MANIFEST = Path(__file__).with_name("tau2020_archives.json")
STATE = ".fetch.json"  # the archives in place, each with the files it brought
WORK = ".fetch"  # archives on their way; gone when all is done
KEPT = "archives"
# Extracted size to archive size, which the manifest does not state: 23,035 clips of 1.32 MB make 1.11 times 27.4 GB.
EXPANSION = 1.15


@dataclass(frozen=True)
class Archive:
    """One archive of the record, as the manifest describes it."""

    filename: str
    md5: str
    bytes: int


def fetch(folder: Path, config: FetchConfig = FetchConfig(), *, manifest: Path = MANIFEST) -> None:
    """Bring the corpus into `folder`, which ends up with meta.csv, evaluation_setup/ and audio/.

    A call after any interruption, SIGKILL included, goes on where the last one was: a partial archive is resumed, an
    extracted one is not fetched again. In a complete folder, whoever completed it, the call returns at once.

    Raises:
        UserError: a file or a parameter is wrong, the disk is too small, an archive cannot be had or must not be
            extracted, or another fetch into the folder is running. What is in place by then stays.
    """
    folder = Path(folder)
    top, archives = _read_manifest(manifest)
    if config.archives is not None and not Path(config.archives).is_dir():
        raise UserError(f"{config.archives}: no such folder of archives")
    try:
        if (folder / STATE).exists():
            complete = len(_in_place(folder, archives)) == len(archives) and not (folder / WORK).exists()
        else:
            complete = _holds_corpus(folder)
        if complete:
            return
        work = folder / WORK
        refuse_links([work, folder / KEPT, *work.glob("*")])
        work.mkdir(parents=True, exist_ok=True)
        with _sole_fetch(folder):
            _Fetch(folder, config, top, archives).run()
            shutil.rmtree(work)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}; mend it and run it again") from error


class _Fetch:
    """One run over the archives not yet in place."""

    def __init__(self, folder: Path, config: FetchConfig, top: str, archives: list[Archive]) -> None:
        self.folder, self.config, self.top = folder, config, top
        self.work = folder / WORK
        self.in_place = _in_place(folder, archives)
        for archive in archives:
            if archive.filename in self.in_place:
                self.retire(archive)  # in case the last run ended in between
        self.checksums = {archive.filename: archive.md5 for archive in archives}
        self.todo = collections.deque(archive for archive in archives if archive.filename not in self.in_place)
        self.extracting = threading.Lock()
        missing = sum(archive.bytes for archive in self.todo)
        total = sum(archive.bytes for archive in archives)
        self.progress = TransferProgress("fetch", total, done=total - missing + self.bytes_here())

    def run(self) -> None:
        """Work off the archives in threads, and stop them all at the first error or a KeyboardInterrupt."""
        if not self.todo:
            return
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

    def bring(self, client: "httpx.Client", archive: Archive) -> None:
        """Put one archive's files in place."""
        path = self.obtain(client, archive)
        with self.extracting:
            self.progress.check()
            taken = {member: owner for owner, members in self.in_place.items() for member in members}
            scratch, check = self.work / "member", self.progress.check
            try:
                members = extract(path, self.folder, top=self.top, taken=taken, scratch=scratch, check=check)
            except UserError:
                (self.work / archive.filename).unlink(missing_ok=True)
                raise
            self.in_place[archive.filename] = members
            recorded = {name: {"md5": self.checksums[name], "members": files} for name, files in self.in_place.items()}
            # Written in the work folder first: what a kill leaves of it there goes with that folder.
            write_json(self.work / STATE, recorded)
            os.replace(self.work / STATE, self.folder / STATE)
        self.retire(archive)
        note(f"{archive.filename}: {len(members)} files in place")

    def obtain(self, client: "httpx.Client", archive: Archive) -> Path:
        """The verified archive: the user's own, one that an earlier run left, or a download."""
        if self.config.archives is not None:
            path = Path(self.config.archives) / archive.filename
            if size_of(path) < 0:
                raise UserError(f"{path}: no such file; add it, or leave `archives` unset to download it")
            found = md5_of(path, self.progress, count=True)
            if found != archive.md5:
                raise UserError(f"{path}: wrong checksum: expected md5 {archive.md5}, got {found}; replace the file")
            return path
        path = self.work / archive.filename
        if size_of(path) != archive.bytes:
            url = f"{self.config.base_url.rstrip('/')}/{urllib.parse.quote(archive.filename)}?download=1"
            download(client, url, path, size=archive.bytes, md5=archive.md5, progress=self.progress)
        return path

    def retire(self, archive: Archive) -> None:
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
        sizes = sorted((archive.bytes for archive in self.todo), reverse=True)
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


def _read_manifest(manifest: Path) -> tuple[str, list[Archive]]:
    content = read_json(manifest)
    try:
        return content["folder"], [Archive(**entry) for entry in content["archives"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{manifest}: not a manifest of archives ({error})") from None


def _in_place(folder: Path, archives: list[Archive]) -> dict[str, dict[str, int]]:
    """The size of each file by path, for each recorded archive whose files are all still there."""
    state = folder / STATE
    if not state.exists():
        return {}
    recorded = read_json(state)
    try:
        return {
            archive.filename: entry["members"]
            for archive in archives
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
