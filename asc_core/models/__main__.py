"""`asc networks`, as `python -m asc_core.models`."""

from asc_core.cli import run
from asc_core.commands.networks import networks

if __name__ == "__main__":
    run(networks, "networks")
