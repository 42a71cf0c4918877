"""`make services`: an MLflow server and a Prefect server on loopback, both on sqlite, until interrupted.

The addresses are MLFLOW_TRACKING_URI and PREFECT_API_URL where those are set, so that other ports can be had.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from asc_core import UserError
from flows.servers import prefect as server

MLFLOW_URL = "http://127.0.0.1:5000"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
START_SECONDS = 120
STOP_SECONDS = 15


def is_up(url: str) -> bool:
    """Whether an MLflow server answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310 (the caller's own address)
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that was started in a session of its own, with every process it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)


@contextlib.contextmanager
def mlflow_server(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server at `url`, an address of this machine, over the store in `folder`: mlflow.db and mlruns/.

    It is the store that `pipeline.release.sync` writes without a server, too. Artifacts are therefore not proxied: runs
    that were made through the server and runs that were made without it keep their files in the same place.

    Raises:
        UserError: it did not come up.
    """
    folder = folder.resolve()
    place = urlsplit(url)
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", place.hostname or "127.0.0.1", "--port", str(place.port or 5000)),
        # One process for the requests: on sqlite more would wait for each other.
        *("--workers", "1", "--uvicorn-opts", "--log-level warning"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--no-serve-artifacts", "--default-artifact-root", str(folder / "mlruns")),
    ]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": "",  # a server that is told of a server asks that one
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # MLflow's own background jobs are all about language models
    }
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_up(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"the MLflow server at {url} did not start; is the port taken?")
            time.sleep(0.2)
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def prefect_server(url: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """A Prefect server at `url`; None if one was there, which is then left alone."""
    process = server.start(url)
    try:
        yield process
    finally:
        if process:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def addresses() -> tuple[str, str]:
    """Where MLflow and Prefect are to be: what their variables say, else the usual ports.

    Raises:
        UserError: a variable names no address of this machine.
    """
    found = []
    for name, default in (("MLFLOW_TRACKING_URI", MLFLOW_URL), ("PREFECT_API_URL", server.configured_url())):
        url = (os.environ.get(name) or default).rstrip("/")
        place = urlsplit(url)
        if place.scheme != "http" or place.hostname not in LOOPBACK:
            raise UserError(f"{name} is {url}, and servers are started at http://127.0.0.1 only: unset it")
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
    except (UserError, RuntimeError) as error:
        print(f"services: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
