"""One HTTP request whose answer is bounded: in its redirects, in what is read of it, and in how slow it may be."""

import contextlib
import email.utils
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asc_core.addresses import public
from asc_core.errors import UserError

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0  # seconds without a single byte
LEAST_RATE = 10_000.0  # bytes a second, below which an attempt has failed
LEAST_RATE_SECONDS = 60.0  # after which a connection below that rate is cut
REDIRECTS = 5
LONGEST_RETRY_AFTER = 300.0  # a server may ask for more, but a fetch that sleeps for hours looks hung
LONGEST_QUOTE = 200  # characters of what a server wrote


class _NoCookies(CookieJar):
    """Stays empty: a download needs no cookies, and reading them warns at length of the numbers in some."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass


def new_client() -> "httpx.Client":
    """A client for answer(), which may be used by several threads."""
    import httpx

    agent = {"User-Agent": "asc_core (fetch of TAU Urban Acoustic Scenes)"}  # Zenodo asks clients to name themselves
    # A connection serves one request, so that the one below the least rate is known.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=TIMEOUT, headers=agent, cookies=_NoCookies(), limits=limits)


class Failure(Exception):
    """One attempt failed in a way that a later one may not; `wait` is the least number of seconds before that."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class LeastRate:
    """Cuts the connection of one request once it brings fewer bytes than LEAST_RATE over LEAST_RATE_SECONDS.

    The time-out of a client begins anew with each byte, be it of a body, of a header, or of answers that only announce
    another one: a server could hold it for days.
    """

    def __init__(self) -> None:
        self.received = 0
        self._socket: socket.socket | None = None
        self._cut = False
        self._over = threading.Event()

    def trace(self, event: str, details: Mapping[str, Any]) -> None:
        """For the request's extension of that name: httpcore tells of each step, and so of the connection's socket."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = details["return_value"].get_extra_info("socket")

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        import httpx

        self._over.set()
        if self._cut and (error is None or isinstance(error, httpx.TransportError)):
            raise Failure(f"less than {LEAST_RATE / 1000:g} KB/s") from None

    def _watch(self) -> None:
        before = 0
        while not self._over.wait(LEAST_RATE_SECONDS):
            if self.received - before < LEAST_RATE * LEAST_RATE_SECONDS and self._socket is not None:
                self._cut = True
                with contextlib.suppress(OSError):
                    # Not the method of an SSLSocket, which would pull its state away under the thread that reads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            before = self.received


@contextlib.contextmanager
def answer(client: "httpx.Client", url: str, have: int, rate: LeastRate) -> "Iterator[httpx.Response]":
    """The response for `url` from byte `have` on, after redirects, none of whose bodies is read.

    Raises:
        UserError: a redirect leaves http and https, or https for http, or there are too many of them.
    """
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    request = client.build_request("GET", url, headers=headers, extensions={"trace": rate.trace})
    for _ in range(REDIRECTS + 1):
        with contextlib.closing(client.send(request, stream=True)) as response:
            following = response.next_request
            if following is None:
                yield response
                return
        schemes = ("https",) if request.url.scheme == "https" else ("http", "https")
        if following.url.scheme not in schemes:
            target = brief(f"{following.url.scheme}://{following.url.host}")
            raise UserError(f"{public(url)}: redirects to {target}, which is not safe; use another base_url")
        request = following
    raise UserError(f"{public(url)}: more than {REDIRECTS} redirects; use another base_url")


def continues(headers: "httpx.Headers", have: int, size: int) -> bool:
    """Whether a Content-Range begins where the file ends, in a whole of the right size."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    # Compared as text: a number may have thousands of digits.
    return match is not None and match[1] == str(have) and match[2] in (str(size), "*")


def retry_after(headers: "httpx.Headers") -> float:
    """The seconds a server asks to wait, within bounds; it may state them or name a date."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdigit() else email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def named(status: int) -> str:
    """A status in words that are not the server's."""
    import httpx

    return f"HTTP {status} {httpx.codes.get_reason_phrase(status)}".rstrip()


def brief(text: str) -> str:
    """One short line of what a server may have written."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}..."
