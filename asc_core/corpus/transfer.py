"""One file over HTTP: resumed where it stopped, retried when server or network fail, checked at the end.

Not by pooch: it begins anew after each cut, follows redirects to anywhere, and bounds neither a body nor its duration.
"""

import contextlib
import hashlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from asc_core.addresses import public
from asc_core.corpus import request
from asc_core.corpus.manifest import Download
from asc_core.corpus.request import (
    LEAST_RATE,
    Failure,
    LeastRate,
    answer,
    brief,
    continues,
    named,
    retry_after,
)
from asc_core.errors import UserError
from asc_core.progress import Progress, note

if TYPE_CHECKING:
    import httpx

FAILURES = 6  # in a row, none of which brought a byte further than before
BACKOFF = 1.0  # seconds before the second attempt, doubled each time
LONGEST_BACKOFF = 60.0
CHECKSUM_TRIES = 3
CHUNK = 1 << 20


class Cancelled(Exception):
    """Raised in a worker thread after TransferProgress.cancel(), by whatever it reports next."""


class TransferProgress(Progress):
    """Progress in bytes that also carries the order to stop, because each loop that reports has to hear of it.

    advance(), check() and wait() raise Cancelled once cancel() was called.
    """

    def __init__(self, label: str, total: int, *, done: int) -> None:
        super().__init__(label, total, unit="bytes", done=done)
        self._stop = threading.Event()

    def advance(self, count: int = 1) -> None:
        self.check()
        super().advance(count)

    def check(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self.check()

    def cancel(self) -> None:
        self._stop.set()


def size_of(path: Path) -> int:
    """The size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def md5_of(path: Path, progress: TransferProgress, *, count: bool = False) -> str:
    """The MD5 of a file in hexadecimal; its bytes are added to `progress` if `count`.

    Raises:
        Cancelled: the fetch was stopped.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
            progress.advance(len(chunk) if count else 0)
    return md5.hexdigest()


def size_at(client: "httpx.Client", url: str) -> int:
    """The size of the file at `url`, as its server states it; nothing of the file is read.

    It is asked until two answers in a row agree: one may be about a page that a busy server sends instead of the file.

    Raises:
        UserError: the server refuses the file or fails too often in a row.
    """
    before, failures = -1, 0
    while True:
        try:
            with _attempt(url), LeastRate() as rate, answer(client, url, 0, rate) as response:
                _check_status(url, response)
                stated = response.headers.get("Content-Length", "")
            if not stated.isascii() or not stated.isdigit() or len(stated) > 15:
                raise Failure("the server does not state the size of the file")
            if int(stated) == before:
                return before
            before = int(stated)
        except Failure as failure:
            failures += 1
            if failures == FAILURES:
                raise UserError(
                    f"{public(url)}: {FAILURES} attempts failed, at last: {failure}; run it again to go on"
                ) from None
            time.sleep(max(_backoff(failures), failure.wait))


def download(client: "httpx.Client", url: str, target: Path, wanted: Download, *, progress: TransferProgress) -> None:
    """Bring `url` to `target`, which appears only once its size and MD5 are right.

    What arrives is kept in `target`.part, so that a call after any interruption goes on from there. The bytes in that
    file must already be in `progress`.

    Raises:
        UserError: the server refuses the file, fails too often in a row, or serves wrong content three times.
        Cancelled: the fetch was stopped.
    """
    part = target.with_name(f"{target.name}.part")
    found, size = "", wanted.bytes or 0
    for attempt in range(1, CHECKSUM_TRIES + 1):
        _complete(client, url, part, size, progress)
        found = md5_of(part, progress)
        if wanted.is_right(found, part):
            part.replace(target)
            return
        _discard(part, progress)
        note(f"{target.name}: wrong checksum, download {attempt} of {CHECKSUM_TRIES}")
    raise UserError(
        f"{target.name}: wrong checksum in {CHECKSUM_TRIES} downloads: expected md5 {wanted.md5}, got {found}; "
        f"{public(url)} is not this file, use another base_url"
    )


def _complete(client: "httpx.Client", url: str, part: Path, size: int, progress: TransferProgress) -> None:
    """Request the rest of `part` until it has `size` bytes."""
    shown = public(url)
    if size_of(part) > size:
        _discard(part, progress)
    furthest = max(0, size_of(part))
    failures = 0
    fair_at, fair_bytes = (
        time.monotonic(),
        furthest,
    )  # when it last kept up the least rate, and how far it was
    while size_of(part) != size:
        reason, least = "the connection was cut", 0.0
        try:
            with _attempt(url):
                _receive(client, url, part, size, progress)
        except Failure as failure:
            reason, least = str(failure), failure.wait
        if size_of(part) == size:
            return
        # A cut after new bytes is no reason to lose hope, but some bytes now and then are no transfer.
        failures = 0 if size_of(part) > furthest else failures + 1
        furthest, now = max(furthest, size_of(part)), time.monotonic()
        if furthest - fair_bytes >= LEAST_RATE * (now - fair_at):
            fair_at, fair_bytes = now, furthest
        if failures >= FAILURES or now - fair_at > FAILURES * request.LEAST_RATE_SECONDS:
            fault = f"{FAILURES} attempts in a row failed" if failures >= FAILURES else "too slow for minutes"
            raise UserError(f"{shown}: {fault}, at last: {reason}; run it again to go on")
        backoff = _backoff(failures)
        wait = max(backoff, least)
        fair_at += wait - backoff  # that the server asked for
        note(f"{part.stem}: {reason}; next attempt in {wait:.0f} s")
        progress.wait(wait)


@contextlib.contextmanager
def _attempt(url: str) -> Iterator[None]:
    """What goes wrong with a request: Failure where a later one may succeed, UserError where none can."""
    import httpx

    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError):  # a ValueError by what resolves host names
        raise UserError(f"{public(url)}: is, or redirects to, no http or https address; check base_url") from None
    except httpx.TransportError as error:
        raise Failure(brief(str(error) or type(error).__name__)) from None


def _backoff(failures: int) -> float:
    """Seconds before the next attempt, after so many failures in a row."""
    return min(LONGEST_BACKOFF, BACKOFF * 2 ** max(0, failures - 1)) * random.uniform(0.5, 1.0)


def _check_status(url: str, response: "httpx.Response") -> None:
    """Raise Failure or UserError for a status that neither brings the file nor is about the range asked for."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        raise Failure(named(status), retry_after(response.headers))
    if status not in (200, 206, 416):
        raise UserError(f"{public(url)}: {named(status)}; check base_url")


def _receive(client: "httpx.Client", url: str, part: Path, size: int, progress: TransferProgress) -> None:
    """One request for what `part` lacks; it returns or raises with every byte that arrived written."""
    have = max(0, size_of(part))
    with LeastRate() as rate, answer(client, url, have, rate) as response:
        _check_status(url, response)
        status = response.status_code
        if status == 416 or (status == 206 and not continues(response.headers, have, size)):
            _discard(part, progress)
            raise Failure(f"HTTP {status} with a range that was not asked for, starting over")
        if status == 200:
            offered = response.headers.get("Content-Length", str(size))
            if offered != str(size):
                raise Failure(f"the server offers {brief(offered)} bytes instead of {size}")
            progress.advance(-have)  # no ranges here: the body begins at the first byte
            have = 0
        with open(part, "ab" if have else "wb") as file:
            for chunk in response.iter_raw():
                have += len(chunk)
                if have > size:
                    break
                # Counted before it is written: a thread that outlived a cancelled fetch must not touch the file.
                progress.advance(len(chunk))
                file.write(chunk)
                rate.received += len(chunk)
    if have > size:
        _discard(part, progress)
        raise Failure(f"the server sent more than {size} bytes, starting over")


def _discard(part: Path, progress: TransferProgress) -> None:
    progress.advance(-max(0, size_of(part)))
    part.unlink(missing_ok=True)
