"""`make serve`: a Prefect server on loopback and, in this process, `asc/full` and `asc/paper-tables`, until stopped."""

import contextlib

from prefect import serve

from flows import server
from flows.full import asc
from flows.paper_tables import paper_tables


def main() -> None:
    """Start the server unless one is there, and serve the deployments, one run at a time: they share the workspace."""
    process = server.start(server.configured_url())
    try:
        print("Now, in another terminal of this folder: prefect deployment run asc/full --watch", flush=True)
        deployments = [asc.to_deployment("full"), paper_tables.to_deployment("paper-tables")]
        serve(*deployments, limit=1, print_starting_message=False)
    finally:
        if process:
            process.terminate()
            with contextlib.suppress(Exception):
                process.wait(timeout=15)


if __name__ == "__main__":
    main()
