"""Prefect's server behind a guard: it answers the programs of its users and its own pages, and no page from elsewhere.

A worker runs what the server hands it, shell commands among it, and the browser of whoever has a web page open asks
any address of this machine that the page names. Prefect itself answers all of them. The guard refuses a request

- of another origin: a browser names it in the header Origin of whatever can change something, and of each websocket;
- for another host: a page can have its own name lead to this machine (DNS rebinding), and is then of its origin.

Behind it stand Prefect's own settings, in prefect.toml: no origin may read its answers, and what
changes something carries a token that was read first. A password would keep out other users of this machine as well.
There is none, as every terminal in which `prefect deployment run` is typed would have to be told it.

Imports Prefect alone: compose.yaml runs this file by itself.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REFUSED = 403


class Guard:
    """An application that is asked by its own pages only, and under the names `hosts` only (an ASGI middleware)."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = refusal(Headers(scope=scope), self.hosts) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(reason=reason)(scope, receive, send)
        else:
            await PlainTextResponse(f"{reason}\n", REFUSED)(scope, receive, send)


def refusal(headers: Mapping[str, str], hosts: frozenset[str]) -> str | None:
    """Why a request is refused; None where it is not."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        name = urlsplit(f"//{host}").hostname
        own_page = origin is None or urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # no address at all
        return "neither a host nor an origin of this server"
    if name not in hosts:
        return f"this server is not {host or 'without a name'}; see ASC_HOSTS in flows/servers/guard.py"
    return None if own_page else f"no page of {origin} may use this server"


def create_app() -> ASGIApp:
    """Prefect's server, with its user interface and its services, for uvicorn to run.

    ASC_HOSTS has the names, with commas between them, by which it is asked beside those of loopback.
    """
    from prefect.server.api.server import create_app

    names = os.environ.get("ASC_HOSTS", "").lower().split(",")
    return Guard(create_app(final=True), frozenset({*LOOPBACK, *filter(None, names)}))
