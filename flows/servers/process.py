"""A server as a process of ours: started, waited for until it answers, and ended with all that it has started."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from asc_core import UserError
from asc_core.addresses import without_credentials
from flows.engine.stages import end_trees

START_SECONDS = 120
STOP_SECONDS = 15


def is_up(url: str, host: str | None = None) -> bool:
    """Whether a server answers at `url`, the address of MLflow or of Prefect's API: both have a page `health`.

    Args:
        host: the name by which it is asked, where that is not the address's own.
    """
    request = urllib.request.Request(f"{url}/health", headers={"Host": host} if host else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310 (the user's own address)
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def free_address() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def host_and_port(url: str) -> list[str]:
    """The options that have a server listen at `url`."""
    parts = urlsplit(url)
    return ["--host", parts.hostname or "127.0.0.1", "--port", str(parts.port or 80)]


@contextlib.contextmanager
def running(name: str, url: str, arguments: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at `url`, until the end of the block.

    Args:
        name: what it is called when it does not start.
        arguments: its command, as it comes after `python`.
        options: further ones of `subprocess.Popen`.

    Raises:
        UserError: it did not come up.
    """
    process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, **options)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_up(url):
            if process.poll() is not None or time.monotonic() > deadline:
                shown = without_credentials(url)
                raise UserError(f"the {name} server at {shown} did not start; is the port taken?")
            time.sleep(0.2)
        yield process
    finally:
        end_trees({process.pid}, signal.SIGTERM, STOP_SECONDS)
        process.wait()
