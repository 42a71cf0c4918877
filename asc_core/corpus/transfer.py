"""One file over HTTP: resumed where it stopped, retried when server or network fail, checked at the end."""

import email.utils
import hashlib
import random
import re
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asc_core.errors import UserError

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0  # seconds without a single byte
FAILURES = 6  # in a row, none of which brought a byte further than before
BACKOFF = 1.0  # seconds before the second attempt, doubled each time
LONGEST_BACKOFF = 60.0
LONGEST_RETRY_AFTER = 300.0  # a server may ask for more, but a fetch that sleeps for hours looks hung
CHECKSUM_TRIES = 3
CHUNK = 1 << 20
LINE_SECONDS = 10.0


class Cancelled(Exception):
    """Raised in a worker thread after Progress.cancel(), by whatever it reports next."""


class Progress:
    """Bytes so far, their rate and the time left: a bar on a terminal, a line now and then where there is none.

    Also carries the order to stop, because each loop that reports has to hear of it. Methods may be called from any
    thread; advance(), check() and wait() raise Cancelled once cancel() was called.
    """

    def __init__(self, label: str, total: int, done: int) -> None:
        self.label, self.total, self.done, self.resumed = label, total, done, done
        self.start = self.last = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn("{task.description}"), progress.BarColumn(), progress.DownloadColumn(),
                progress.TransferSpeedColumn(), progress.TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = progress.Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.done)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._print_line()

    def advance(self, count: int) -> None:
        """Count bytes, fewer than none when a file has to start over."""
        self.check()
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done)
            elif time.monotonic() - self.last >= LINE_SECONDS:
                self._print_line()

    def check(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self.check()

    def note(self, text: str) -> None:
        """Show a line without disturbing the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def cancel(self) -> None:
        self._stop.set()

    def _print_line(self) -> None:
        self.last = time.monotonic()
        rate = (self.done - self.resumed) / max(self.last - self.start, 1e-9)
        left = f"{(self.total - self.done) / rate / 60:.0f} min left" if rate > 0 else "time left unknown"
        done, total = self.done / 1e9, self.total / 1e9
        print(f"{self.label}: {done:.2f} of {total:.2f} GB, {rate / 1e6:.1f} MB/s, {left}", file=sys.stderr, flush=True)


def size_of(path: Path) -> int:
    """The size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def md5_of(path: Path, progress: Progress, *, count: bool = False) -> str:
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


def download(client: "httpx.Client", url: str, target: Path, *, size: int, md5: str, progress: Progress) -> None:
    """Bring `url` to `target`, which appears only once its size and MD5 are right.

    What arrives is kept in `target`.part, so that a call after any interruption goes on from there. The bytes in that
    file must already be in `progress`.

    Raises:
        UserError: the server refuses the file, fails too often in a row, or serves wrong content three times.
        Cancelled: the fetch was stopped.
    """
    part = target.with_name(f"{target.name}.part")
    found = ""
    for attempt in range(1, CHECKSUM_TRIES + 1):
        _complete(client, url, part, size, progress)
        found = md5_of(part, progress)
        if found == md5:
            part.replace(target)
            return
        _discard(part, progress)
        progress.note(f"{target.name}: wrong checksum, download {attempt} of {CHECKSUM_TRIES}")
    raise UserError(
        f"{target.name}: wrong checksum in {CHECKSUM_TRIES} downloads: expected md5 {md5}, got {found}; "
        f"{url} is not this file, use another base_url"
    )


class _Failure(Exception):
    """One attempt failed in a way that a later one may not; `wait` is the least number of seconds before that."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def _complete(client: "httpx.Client", url: str, part: Path, size: int, progress: Progress) -> None:
    """Request the rest of `part` until it has `size` bytes."""
    import httpx

    if size_of(part) > size:
        _discard(part, progress)
    furthest = size_of(part)
    failures = 0
    while size_of(part) != size:
        reason, least = "the connection was cut", 0.0
        try:
            _receive(client, url, part, size, progress)
        except _Failure as failure:
            reason, least = str(failure), failure.wait
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise UserError(f"{url}: {error}; check base_url") from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        if size_of(part) == size:
            return
        # A cut after new bytes is no reason to lose hope: only attempts that lead nowhere count.
        failures = 0 if size_of(part) > furthest else failures + 1
        furthest = max(furthest, size_of(part))
        if failures >= FAILURES:
            raise UserError(f"{url}: {FAILURES} attempts in a row failed, the last by: {reason}; run it again to go on")
        backoff = min(LONGEST_BACKOFF, BACKOFF * 2 ** max(0, failures - 1)) * random.uniform(0.5, 1.0)
        wait = max(backoff, least)
        progress.note(f"{part.stem}: {reason}; next attempt in {wait:.0f} s")
        progress.wait(wait)


def _receive(client: "httpx.Client", url: str, part: Path, size: int, progress: Progress) -> None:
    """One request for what `part` lacks; it returns or raises with every byte that arrived written."""
    have = max(0, size_of(part))
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            raise _Failure(f"HTTP {status} {response.reason_phrase}", _retry_after(response.headers))
        if status == 416 or (status == 206 and not _continues(response.headers, have, size)):
            _discard(part, progress)
            raise _Failure(f"HTTP {status} with a range that was not asked for, starting over")
        if status not in (200, 206):
            raise UserError(f"{url}: HTTP {status} {response.reason_phrase}; check base_url")
        if status == 200:
            offered = response.headers.get("Content-Length", str(size))
            if offered != str(size):
                raise _Failure(f"the server offers {offered} bytes instead of {size}")
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
    if have > size:
        _discard(part, progress)
        raise _Failure(f"the server sent more than {size} bytes, starting over")


def _continues(headers: "httpx.Headers", have: int, size: int) -> bool:
    """Whether a Content-Range begins where the file ends, in a whole of the right size."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    return match is not None and int(match[1]) == have and match[2] in (str(size), "*")


def _retry_after(headers: "httpx.Headers") -> float:
    """The seconds a server asks to wait, within bounds; it may state them or name a date."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdigit() else email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _discard(part: Path, progress: Progress) -> None:
    progress.advance(-max(0, size_of(part)))
    part.unlink(missing_ok=True)
