"""`make serve`: a Prefect server on loopback and, in this process, every deployment of prefect.yaml, until stopped.

For one machine. Seeds that are trained elsewhere need workers: `make deploy` and `make worker`.
"""

from typing import cast

from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment

from asc_core import UserError
from flows.evaluate import asc_evaluate
from flows.full import asc
from flows.paper_tables import paper_tables
from flows.peers import peers
from flows.seed import asc_seed
from flows.servers.prefect import configured_url, prefect_server
from flows.shares import shares
from flows.sweep import sweep
from flows.watch import asc_watch

SERVED: dict[str, Flow[..., None]] = {
    "full": asc,
    "paper-tables": paper_tables,
    "peers": peers,
    "shares": shares,
    "seed": asc_seed,
    "evaluate": asc_evaluate,
    "sweep": sweep,
    "watch": asc_watch,
}


def main() -> None:
    """Start the server unless one is there, and serve the deployments, one run at a time: they share the workspace."""
    with prefect_server(configured_url()):
        print("Now, in another terminal of this folder: prefect deployment run asc/full --watch", flush=True)
        deployments = [cast(RunnerDeployment, flow.to_deployment(name)) for name, flow in SERVED.items()]
        serve(*deployments, limit=1, print_starting_message=False)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"serve: error: {error}") from None
