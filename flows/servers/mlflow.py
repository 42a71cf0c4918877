"""MLflow's server over the store of this folder."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from flows.servers.process import host_and_port, running


@contextlib.contextmanager
def mlflow_server(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server at `url`, an address of this machine, over the store in `folder`: mlflow.db and mlruns/.

    It is the store that `pipeline.release.sync` writes without a server, too. Artifacts are therefore not proxied: runs
    that were made through the server and runs that were made without it keep their files in the same place. Requests
    for other hosts and those of other pages MLflow refuses by itself.

    Raises:
        UserError: it did not come up.
    """
    folder = folder.resolve()
    arguments = [
        *("-m", "mlflow", "server", *host_and_port(url)),
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
    # In a session of its own it does not hear Ctrl-C, at which it would print where it was.
    with running("MLflow", url, arguments, cwd=folder, env=environment, start_new_session=True) as process:
        yield process
