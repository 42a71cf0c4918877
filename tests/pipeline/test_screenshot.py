"""Seeds in MLflow's interface, looked at with a real browser."""

import shutil

import pytest

from asc_core import UserError
from pipeline.release import sync
from pipeline.reporting.tables import over_seeds
from pipeline.runtime.journal import Journal, flat

PARAMS = {"tracking": {"experiment": "asc"}, "seeds": [0, 1]}


def run_of(seeds: list[int]) -> None:
    """Report what the stages of a pipeline with these seeds do."""
    results = []
    for seed in seeds:
        student = Journal(f"train_student@{seed}", seed, PARAMS)
        for epoch in range(1, 6):
            student.metrics({"loss": (seed + 2) / epoch}, step=epoch)
        student.end("FINISHED")
        devices = {"a": 80.25 + seed, "s1": 71.5 + seed, "new phone": 60.0 - seed}
        results.append({"quantized": {"accuracy": 70.0 + 3 * seed, "accuracy_by_device": devices}})
        evaluate = Journal(f"evaluate@{seed}", seed, PARAMS)
        evaluate.metrics(results[-1])
        evaluate.end("FINISHED")
    summarise = Journal("summarise", None, PARAMS)
    means = {name.removesuffix(".mean"): value for name, value in flat(over_seeds(results, None)).items()}
    summarise.metrics(means, summary=True)
    summarise.end("FINISHED")
    assert sync.sync() == 0


def test_one_seed_is_nothing_to_compare(here):
    from tools.screenshot import screenshot

    run_of([0])
    with pytest.raises(UserError, match="evaluated two seeds"):
        screenshot(here, "asc")


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs Chromium and its driver")
def test_two_seeds_are_compared(here):
    pytest.importorskip("selenium", reason="needs Selenium, the extra `browser`")
    from tools.screenshot import screenshot

    run_of([0, 1])
    picture = screenshot(here, "asc")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 50_000, "an empty page"
