"""`make services`: an MLflow server and a Prefect server on loopback, both on sqlite, until interrupted.

The addresses are MLFLOW_TRACKING_URI and PREFECT_API_URL where those are set, so that other ports can be had.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from asc_core import UserError
from asc_core.addresses import without_credentials
from flows.servers.guard import LOOPBACK
from flows.servers.mlflow import mlflow_server
from flows.servers.prefect import configured_url, prefect_server
from flows.servers.process import is_up

MLFLOW_URL = "http://127.0.0.1:5000"


def addresses() -> tuple[str, str]:
    """Where MLflow and Prefect are to be: what their variables say, else the usual ports.

    Raises:
        UserError: a variable names no address of this machine.
    """
    found = []
    for name, default in (("MLFLOW_TRACKING_URI", MLFLOW_URL), ("PREFECT_API_URL", configured_url())):
        url = (os.environ.get(name) or default).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK:
            shown = without_credentials(url)
            raise UserError(f"{name} is {shown}, and servers are started at http://127.0.0.1 only: unset it")
        found.append(url)
    return found[0], found[1]


def services() -> None:
    """Start both servers unless they are there, and wait until one ends.

    Raises:
        UserError: one did not start, or ended of itself.
    """
    mlflow_url, prefect_url = addresses()
    with contextlib.ExitStack() as stack:
        started = {}
        if not is_up(mlflow_url):
            started["MLflow"] = stack.enter_context(mlflow_server(mlflow_url, Path.cwd()))
        if process := stack.enter_context(prefect_server(prefect_url)):
            started["Prefect"] = process
        print(
            f"\nMLflow   {mlflow_url}\nPrefect  {prefect_url.removesuffix('/api')}\n\nIn the terminals that use them:\n"
            f"    export MLFLOW_TRACKING_URI={mlflow_url} PREFECT_API_URL={prefect_url}\n",
            flush=True,
        )
        if not started:
            return
        while True:
            for name, process in started.items():
                if process.poll() is not None:
                    raise UserError(f"the {name} server ended with {process.returncode}; the other one is stopped")
            time.sleep(1)


def main() -> int:
    """Run until interrupted, which is no error; return what the process is to return."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        services()
    except KeyboardInterrupt:
        return 0
    except UserError as error:
        print(f"services: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
