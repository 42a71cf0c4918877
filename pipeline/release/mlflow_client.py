"""The one way to MLflow: where the store is, how it is asked, who may ask it now, and what its errors say in one line.

MLflow is imported in here alone, because its settings have to be made before.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asc_core import UserError
from asc_core.addresses import public, without_credentials
from asc_core.text import printable
from pipeline.runtime.journal import JOURNALS

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    # With the defaults a dead server would be tried for minutes. And a request that is repeated because its answer came
    # too late makes a second run; one that is made later looks first whether there is one.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    # Else a server with an object store behind it hands out addresses that may be the server's network's alone.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
NOISY = ("alembic", "mlflow")


def address() -> str:
    """The store in the project's folder, unless MLFLOW_TRACKING_URI names another; it may hold a password."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


def shown_address() -> str:
    """The store's address, for people."""
    return public(address())


def prepare() -> None:
    """Make the settings that MLflow reads when it is imported; those of the user's environment stay."""
    os.environ["MLFLOW_TRACKING_URI"] = address()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def connect() -> "MlflowClient":
    """A client of the store, which has answered; the database of a new one is made. Call it while `alone`.

    Raises:
        UserError: the store does not answer, is damaged or of another version of MLflow, or its driver is missing.
    """
    prepare()
    if address().startswith("http"):
        try:
            _ = urlsplit(address()).port
        except ValueError:  # its text would be a part of the password
            raise UserError(
                "MLFLOW_TRACKING_URI is no address; in a password / is written %2F, # %23, ? %3F and @ %40"
            ) from None
    from mlflow import MlflowClient
    from mlflow.store.db import utils

    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told here
    utils.MAX_RETRY_COUNT = 1  # a database that is not there would be tried for 100 s
    with _telling():
        client = MlflowClient()
    check(client)
    return client


def check(client: "MlflowClient") -> None:
    """Ask the store for an answer.

    Raises:
        UserError: it gives none.
    """
    with _telling():
        client.search_experiments(max_results=1)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except Exception as error:  # what the drivers of databases raise has no base of its own
        silent = isinstance(error, MlflowException) and error.get_http_status_code() >= 500
        fault = "does not answer" if silent and address().startswith("http") else "cannot be used"
        raise UserError(f"MLflow at {shown_address()} {fault} ({one_line(error)})") from None


def one_line(error: Exception) -> str:
    """What an error of MLflow says, in one line without passwords."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    told = without_credentials(str(error).replace(address(), shown_address()))
    lines = [line.strip() for line in told.splitlines() if line.strip()] or [type(error).__name__]
    # SQLAlchemy may say first what it was about to do.
    text = printable(next((line for line in lines if re.match(r"\(\w+\.\w+\) ", line)), lines[0]))
    return text if len(text) <= 300 else f"{text[:300]}..."


@contextlib.contextmanager
def alone(seconds: float = -1) -> Iterator[None]:
    """Be the only process of this folder that asks the store: its first use makes tables, and decisions are whole.

    Args:
        seconds: to wait for another process; -1 for as long as it takes.

    Raises:
        UserError: the other one did not end in that time.
    """
    from filelock import FileLock, Timeout

    JOURNALS.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(JOURNALS / "sync.lock", timeout=seconds):
            yield
    except Timeout:
        raise UserError(f"another process has been sending for {seconds:.0f} s and goes on") from None
