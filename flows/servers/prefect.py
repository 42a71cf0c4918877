"""Prefect's server, always behind the guard: the one that prefect.toml names, or one for the time of a flow."""

import atexit
import contextlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from asc_core.addresses import without_credentials
from flows.servers.process import free_address, host_and_port, is_up, running

UNGUARDED = (
    "the Prefect server at {} answers any web page, and a page can have your worker run commands; "
    "end it, and `make serve` or `make services` starts one that does not"
)


def configured_url() -> str:
    """The address of the API: PREFECT_API_URL, else the one in prefect.toml."""
    settings = tomllib.loads(Path("prefect.toml").read_text(encoding="utf-8"))
    return os.environ.get("PREFECT_API_URL") or settings["api"]["url"]


def arguments(url: str) -> list[str]:
    """What starts a server whose API is at `url`, as it comes after `python`."""
    return ["-m", "uvicorn", "--factory", "flows.servers.guard:create_app", "--log-level=warning", *host_and_port(url)]


@contextlib.contextmanager
def prefect_server(url: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """A server whose API is at `url`, of this machine; None if one was there, which is then left alone.

    Raises:
        UserError: it did not come up.
    """
    if is_up(url):
        if is_up(url, host="page.example"):
            print(f"warning: {UNGUARDED.format(without_credentials(url))}", file=sys.stderr)
        yield None
        return
    with running("Prefect", url, arguments(url)) as process:
        yield process


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Settings under which flows run: the configured server if it answers, else one of their own for the while."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if is_up(configured_url()):
        yield
        return
    url = f"{free_address()}/api"
    server = contextlib.ExitStack()
    # Ended when Python ends, and so after Prefect's own threads, which send what they still have.
    atexit.register(server.close)
    server.enter_context(prefect_server(url))
    with temporary_settings({PREFECT_API_URL: url}):
        yield
