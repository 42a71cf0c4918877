"""The process of a stage."""

import pytest


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("ulimit -f 0; python -m pipeline.stages.summarise", "summarise: error: .state/tracking/"),  # a full disk
        ("ASC_EXECUTION=../.. python -m pipeline.stages.summarise", "summarise: error: ASC_EXECUTION is '../..'"),
        ("ASC_EXECUTION=/etc python -m pipeline.stages.summarise", "summarise: error: ASC_EXECUTION is '/etc'"),
    ],
)
def test_a_stage_that_cannot_begin_its_journal_says_so_in_one_line(finished, command, told):
    before = (finished.folder / "reports/summary.json").stat().st_mtime_ns
    done = finished.run("bash", "-c", command, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(told) and len(done.stdout.splitlines()) == 1
    assert (finished.folder / "reports/summary.json").stat().st_mtime_ns == before
