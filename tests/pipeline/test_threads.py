"""Threads of a stage's process."""

import os
import subprocess
import sys

import pytest
from workspace import ROOT

from asc_core.cores import usable_cores

CODE = "import pipeline{0}.stages.train{1}, os, torch; print(torch.get_num_threads(), os.environ['GOMP_SPINCOUNT'])"


def threads(code: str, **variables: str) -> list[str]:
    """What a fresh process prints in which nothing is set but `variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("stage", [("", "_teacher"), (".paper", "")])
def test_a_stage_leaves_a_core_to_the_rest_of_the_machine(stage):
    assert threads(CODE.format(*stage)) == [str(max(1, usable_cores() - 1)), "1000"]


def test_what_the_user_has_set_stays(tmp_path):
    assert threads(CODE.format("", "_teacher"), OMP_NUM_THREADS="2", GOMP_SPINCOUNT="7") == ["2", "7"]


def test_a_flow_sets_nothing_for_itself():
    assert threads("import flows.full, os; print(os.environ.get('OMP_NUM_THREADS'))") == ["None"]
