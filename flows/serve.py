"""`make serve`: a Prefect server on loopback and, in this process, the deployment `asc/full`, until interrupted."""

import contextlib

from flows import server
from flows.full import asc


def main() -> None:
    """Start the server unless one is there, and serve `asc/full`, one run at a time: they share the workspace."""
    process = server.start(server.configured_url())
    try:
        print("Now, in another terminal of this folder: prefect deployment run asc/full --watch", flush=True)
        asc.serve(name="full", limit=1, print_starting_message=False)
    finally:
        if process:
            process.terminate()
            with contextlib.suppress(Exception):
                process.wait(timeout=15)


if __name__ == "__main__":
    main()
