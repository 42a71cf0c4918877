"""A stage whose training two processes share, as a user starts it."""

import json

import pytest
from workspace import Workspace

STAGE = ("-m", "pipeline.stages.train_teacher", "--seed", "0", "--teacher", "asc")
OF_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


# Python runs a module of this name as it starts; this one notes every model that is put in its place.
SPY = """
import os, sys

def note(event, arguments):
    if event == "os.rename" and str(arguments[1]).startswith("models/"):
        with open(os.environ["SPY"], "a") as file:
            print(arguments[1], file=file)

sys.addaudithook(note)
"""


@pytest.fixture
def workspace(finished, tmp_path) -> Workspace:
    return finished.copy(tmp_path / "project")


def test_one_of_the_processes_writes_and_tells_everything(workspace, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SPY)
    spied = {"SPY": str(tmp_path / "written"), "PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    # The unit tests compare numbers; here it is enough that dropout, drawn by each process, does little at this rate.
    workspace.configure("teachers.asc.schedule={epochs: 1, learning_rate: 0.0001}", "training.precision=float32")
    checkpoint, losses = workspace.folder / "models/0/teachers/asc.safetensors", []
    for command, processes in ((STAGE, "1"), (STAGE, "2"), ((*OF_TORCHRUN, *STAGE), "1")):
        before = set(workspace.folder.glob(".state/tracking/*/*.jsonl"))
        checkpoint.unlink()
        done = workspace.run("python", *command, ASC_PROCESSES=processes, **spied)
        assert done.stdout.count("train_teacher@0-asc: epoch 1/1") == 1 and checkpoint.exists()
        (journal,) = set(workspace.folder.glob(".state/tracking/*/*.jsonl")) - before
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        assert [event["event"] for event in events] == ["start", "tags", *2 * ["metrics"], "artifact", "metrics", "end"]
        assert events[0]["name"] == "train_teacher@0-asc" and events[-1]["status"] == "FINISHED"
        losses.append(events[3]["values"]["loss"])
    assert (tmp_path / "written").read_text().split() == 3 * ["models/0/teachers/asc.safetensors"]
    assert losses[1] == losses[2] == pytest.approx(losses[0], abs=0.05) and losses[1] != losses[0]


@pytest.mark.parametrize(
    ("key", "processes", "line"),
    [
        (
            "teachers.asc.schedule={epochs: 2, learning_rate: 1000, weight_decay: 1}",
            "2",
            "train_teacher@0-asc: error: the loss is not finite in epoch 1, at a learning rate of 1000; lower the "
            "learning_rate of this stage",
        ),
        ("teachers.asc.spec_augment=false", "two", "error: ASC_PROCESSES: 'two' is not a number of processes"),
    ],
)
def test_a_mistake_is_told_once(workspace, key, processes, line):
    workspace.configure(key, "training.batch_size=4")
    done = workspace.run("python", *STAGE, check=False, ASC_PROCESSES=processes, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stdout.count(line) == 1 and done.stdout.count("\n") == 1
