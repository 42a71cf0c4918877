"""A file server on 127.0.0.1 that fails the way real ones do, as a fault plan tells it to."""

import random
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

# What to do with the nth request for a file, the first being 0; None is to serve it well.
FaultPlan = Callable[[str, int], str | None]

CHUNK = 2048


@dataclass(frozen=True)
class Request:
    """What one request asked for, and when."""

    name: str
    start: int | None  # the first byte of its Range; None without one
    at: float
    authorization: str | None


def first(count: int, fault: str, name: str | None = None) -> FaultPlan:
    """The same fault for the first `count` requests for one file, or for each file."""
    return lambda asked, n: fault if n < count and name in (None, asked) else None


def seeded(seed: int, **rates: float) -> FaultPlan:
    """Faults with the given probabilities; a seed gives a file the same ones whatever the order of the requests."""

    def plan(name: str, n: int) -> str | None:
        draw = random.Random(f"{seed}/{name}/{n}").random()
        for fault, rate in rates.items():
            draw -= rate
            if draw < 0:
                return fault
        return None

    return plan


class MisbehavingServer(ThreadingHTTPServer):
    """Serves `files` by name; a context manager. `delay` is in seconds for each 2 KB.

    Faults: cut (the connection ends at a random byte), unavailable, limited (503, 429, with `retry_after`), missing
    (404), wrong_content (right size, wrong bytes), endless (does not stop at its end), page (an HTML page), no_range
    (200 to a Range), wrong_range (206 from 7 bytes further on), refused_range (416 to a Range), hang (silence after
    half), drip (the second half at 50 bytes a second), drip_head (a header at that rate, for ever), redirect (to
    `location` and the name, with a body that does not end), endless_missing (404, likewise), raw (the bytes of `raw`).
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, files: dict[str, bytes], plan: FaultPlan = lambda name, n: None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.files, self.plan = files, plan
        self.delay, self.retry_after, self.location, self.raw = 0.0, "0", "", b""
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        self.active = self.most_active = self.overrun = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/files"

    def starts(self, name: str) -> list[int | None]:
        """The first byte that each request for a file asked for."""
        return [request.start for request in self.requests if request.name == name]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed or interrupted break the pipe: that is the point."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MisbehavingServer

    def do_GET(self) -> None:
        server = self.server
        name = unquote(urlsplit(self.path).path).removeprefix("/files/")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        with server.lock:
            n = server.counts[name]
            server.counts[name] += 1
            start, authorization = int(asked[1]) if asked else None, self.headers.get("Authorization")
            server.requests.append(Request(name, start, time.monotonic(), authorization))
            server.active += 1
            server.most_active = max(server.most_active, server.active)
        try:
            self.answer(name, start, server.plan(name, n), random.Random(f"{name}/{n}"))
        finally:
            with server.lock:
                server.active -= 1

    def answer(self, name: str, start: int | None, fault: str | None, rng: random.Random) -> None:
        server = self.server
        body = server.files.get(name)
        if body is None or fault == "missing":
            return self.reply(404, b"no such file")
        if fault == "endless_missing":
            return self.reply(404, b"no such file", {"Content-Length": None}, "endless")
        if fault == "redirect":
            return self.reply(302, b"", {"Content-Length": None, "Location": f"{server.location}/{name}"}, "endless")
        if fault in ("raw", "drip_head"):
            return self.write_raw(fault)
        if fault in ("unavailable", "limited"):
            return self.reply(503 if fault == "unavailable" else 429, b"later", {"Retry-After": server.retry_after})
        if fault == "page":
            return self.reply(200, b"<html>sign in first</html>")
        whole = len(body)
        if fault == "wrong_content":
            body = bytes(byte ^ 1 for byte in body)
        if start is None or fault == "no_range":
            return self.reply(200, body, {"Content-Length": None} if fault == "endless" else {}, fault, rng)
        if start >= len(body) or fault == "refused_range":
            return self.reply(416, b"", {"Content-Range": f"bytes */{whole}"})
        if fault == "wrong_range":
            start = min(start + 7, len(body) - 1)
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{whole}"}
        return self.reply(206, body[start:], headers, fault, rng)

    def write_raw(self, fault: str) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: " if fault == "drip_head" else self.server.raw)
        while fault == "drip_head" and not self.server.closing.wait(0.02):
            self.wfile.write(b"x")

    def reply(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str | None] = {},
        fault: str | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            if value is not None:
                self.send_header(key, value)
            else:
                self.send_header("Connection", "close")
        self.end_headers()
        limit = len(body)
        if rng is not None and fault in ("cut", "hang", "drip"):
            limit = rng.randrange(len(body)) if fault == "cut" else len(body) // 2
            self.close_connection = True
        for at in range(0, limit, CHUNK):
            self.wfile.write(body[at : min(at + CHUNK, limit)])
            if self.server.delay:
                time.sleep(self.server.delay)
        self.wfile.flush()
        if fault == "hang":
            self.server.closing.wait()
        while fault == "drip" and limit < len(body) and not self.server.closing.wait(0.02):
            self.wfile.write(body[limit : limit + 1])
            limit += 1
        while fault == "endless" and status != 206 and self.server.overrun < 1 << 26:
            self.server.overrun += self.wfile.write(bytes(1 << 16))

    def log_message(self, format: str, *args: object) -> None:
        pass
