"""The Prefect server that prefect.toml names: is it there, and start it."""

import contextlib
import os
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

START_SECONDS = 90


def configured_url() -> str:
    """The address of the API: PREFECT_API_URL, else the one in prefect.toml."""
    settings = tomllib.loads(Path("prefect.toml").read_text(encoding="utf-8"))
    return os.environ.get("PREFECT_API_URL") or settings["api"]["url"]


def is_up(url: str) -> bool:
    """Whether a Prefect API answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310 (the address is the project's)
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Settings under which flows run: the configured server if it answers, else one of Prefect's own for the while."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if is_up(configured_url()):
        yield
        return
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def start(url: str) -> subprocess.Popen[bytes] | None:
    """Start a server at `url`, which must be of this machine, and wait until it answers; None if one was there.

    Raises:
        RuntimeError: it did not come up.
    """
    if is_up(url):
        return None
    place = urlsplit(url)
    address = ["--host", place.hostname or "127.0.0.1", "--port", str(place.port or 4200)]
    server = subprocess.Popen([sys.executable, "-m", "prefect", "server", "start", *address], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + START_SECONDS
    while not is_up(url):
        if server.poll() is not None or time.monotonic() > deadline:
            server.terminate()
            raise RuntimeError(f"the Prefect server at {url} did not start; is the port taken?")
        time.sleep(0.5)
    return server
