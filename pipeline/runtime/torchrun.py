"""A stage's trainings shared by several processes, one a GPU: `ASC_PROCESSES=4 dvc repro`.

It is an environment variable and no parameter, as it changes results by no more than rounding and dropout
(`asc_core.training.distributed`), and what one machine trained on four GPUs is not stale on another. The stage starts
itself again through `torchrun`, which can also be used directly:
`torchrun --standalone --nproc-per-node 4 -m pipeline.stages.prune --seed 0`.
"""

import os
import sys

from asc_core import UserError

UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID" in os.environ
# A process that takes part in the trainings of a stage, whose first process does and tells all the rest.
HELPER = UNDER_TORCHRUN and os.environ["RANK"] != "0"


def wanted() -> int:
    """How many processes are to share the trainings of this one's stage; 1 in a process that is one of them.

    Raises:
        UserError: ASC_PROCESSES is no number of processes.
    """
    if UNDER_TORCHRUN:
        return 1
    text = os.environ.get("ASC_PROCESSES", "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"ASC_PROCESSES: {text!r} is not a number of processes, 1 or more")
    return int(text)


def share(processes: int) -> int:
    """Run this command in so many processes at once and return its exit code; one that fails ends the others.

    Raises:
        UserError: a process was killed, perhaps because memory ran out; one that fails by itself has told why.
    """
    import logging

    import torch
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // processes))  # the stage's, shared
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    command = ["--standalone", "--nproc-per-node", str(processes), "--module", module, *sys.argv[1:]]
    try:
        torchrun.run(torchrun.parse_args(command))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise UserError(f"process {rank} of {processes} was ended by signal {-failure.exitcode}") from None
        return failure.exitcode
    except KeyboardInterrupt:
        return 130
    return 0
