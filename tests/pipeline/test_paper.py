"""The tables and the figure of the publications, small, through the flow that `make paper` runs."""

import json

import pytest
from test_repro import runs
from workspace import Workspace

from asc_core import UserError
from pipeline.configure import configure
from pipeline.paper.rows import systems
from pipeline.sections import check, read_yaml

ROWS = ["cp_resnet", "bc_resnet", "asc_small_none", "asc_small_resnorm", "asc_large_resnorm"]
QUICK = "{epochs: 1, learning_rate: 0.02}"


@pytest.fixture(scope="module")
def paper(finished, set_up_prefect, tmp_path_factory) -> Workspace:
    workspace = finished.copy(tmp_path_factory.mktemp("paper") / "project")
    set_up_prefect(workspace.environment)
    overrides = [
        "paper.seeds=[0]",
        f"paper.systems=[{', '.join(ROWS)}]",
        "paper.large_tau=1",
        "paper.cp_resnet_width=4",
        f"paper.schedule={QUICK}",
        f"paper.prune={{ratio: 0.5, rise_epochs: 1, schedule: {QUICK}}}",
        f"paper.quantize={{schedule: {QUICK}}}",
    ]
    configure(None, overrides, workspace.folder / systems.SETTINGS, systems.PaperFile)
    workspace.run("python", "-m", "flows.paper_tables", PREFECT_API_URL="http://127.0.0.1:9/api")
    return workspace


def table(workspace: Workspace, name: str) -> list[dict]:
    return json.loads((workspace.folder / f"reports/paper/{name}.json").read_text())


def test_every_table_has_its_rows_with_measured_and_published_figures(paper):
    assert [row["system"] for row in table(paper, "networks")] == ["cp_resnet", "bc_resnet"]
    assert [row["system"] for row in table(paper, "normalisation")] == ROWS[2:]
    compression = table(paper, "compression")
    names = ["asc_large_resnorm", "without_distillation", "with_distillation", "gradual"]
    assert [row["system"] for row in compression] == names
    assert compression[2]["published_on_tau2020"]["accuracy"] == 75.3
    assert compression[3]["published_on_tau2020"]["accuracy"] is None
    small = table(paper, "normalisation")[1]
    assert small["published_on_tau2020"]["accuracy"] == 65.8
    assert small["published_on_tau2020"]["accuracy_by_device"]["s6"] == 58.3
    measured = json.loads((paper.folder / "reports/paper/runs/asc_small_resnorm-0.json").read_text())
    low, high = small["measured"]["accuracy"].pop("interval")
    assert small["measured"]["accuracy"] == {"mean": measured["accuracy"], "std": 0.0, "n": 1}
    assert low < measured["accuracy"] < high
    rows = {row["system"]: row["measured"]["accuracy"]["mean"] for row in table(paper, "normalisation")}
    best = small["best"]
    assert rows[best] == max(rows.values())
    for row in table(paper, "normalisation"):
        if row["system"] == best:
            assert row["less_best"] is None
        else:
            accuracy = row["less_best"]["accuracy"]
            assert accuracy["difference"] == pytest.approx(rows[row["system"]] - rows[best])
            assert accuracy["distinguishable"] == (accuracy["interval"][1] < 0)
    assert small["parameters"] == 8055 and small["macs_torchinfo"] > small["macs"] > 0
    assert compression[1]["counted_bytes"] < compression[0]["counted_bytes"] / 4
    for name in ("networks", "normalisation", "compression"):
        text = (paper.folder / f"reports/paper/{name}.md").read_text()
        assert "published, TAU 2020 Mobile" in text and "another corpus" in text
        assert (paper.folder / f"reports/paper/{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (paper.folder / "reports/paper/index.html").read_text()
    assert f"{small['measured']['accuracy']['mean']:.1f} [{low:.1f}, {high:.1f}]" in page and "../index.html" in page


def test_the_figure_comes_with_its_number(paper):
    number = json.loads((paper.folder / "reports/paper/figure1.json").read_text())
    assert set(number["device_accuracy_of_nearest_neighbour"]) == {"frequency-wise", "channel-wise"}
    assert (paper.folder / "reports/paper/figure1.png").read_bytes().startswith(b"\x89PNG")


def test_the_tables_are_no_part_of_the_main_job(paper):
    assert paper.ran() == []


def test_the_runs_can_be_grouped_by_table_row_and_seed(paper):
    paper.run("python", "-m", "pipeline.release.sync")
    tagged = [run.data.tags for run in runs(paper) if run.data.tags.get("row") == "asc_small_resnorm"]
    assert [(tags["table"], tags["seed"]) for tags in tagged] == [("normalisation", "0")]


def test_spec_augment_is_for_the_rows_that_were_published_with_it_at_their_size():
    settings = systems.load()
    assert not any(row.masked(settings) for row in systems.SYSTEMS.values())  # too small for it
    published = settings.model_copy(update={"large_tau": 8, "bc_resnet_tau": 8, "cp_resnet_width": 64})
    masked = {name for name, row in systems.SYSTEMS.items() if row.masked(published)}
    large = {"asc_large_none", "asc_large_resnorm", "asc_large_resnorm_input", "asc_large_freqin"}
    assert masked == {"bc_resnet", *large}


def test_a_row_with_spec_augment_is_trained_with_it(paper, tmp_path):
    workspace = paper.copy(tmp_path / "project")
    path = workspace.folder / "models/paper/asc_large_resnorm-0.safetensors"
    before = path.read_bytes()
    path.unlink()
    configure(None, ["paper.spec_augment_from_tau=1"], workspace.folder / systems.SETTINGS, systems.PaperFile)
    workspace.run("python", "-m", "pipeline.paper.stages.train", "--system", "asc_large_resnorm", "--seed", "0")
    masked = path.read_bytes()
    configure(None, ["paper.spec_augment_from_tau=2"], workspace.folder / systems.SETTINGS, systems.PaperFile)
    workspace.run("python", "-m", "pipeline.paper.stages.train", "--system", "asc_large_resnorm", "--seed", "0")
    assert path.read_bytes() == before != masked


def test_settings_are_as_strict_as_the_parameters(tmp_path):
    values = read_yaml(systems.SETTINGS)
    values["paper"]["large_tua"] = 2
    with pytest.raises(UserError, match=r"paper\.large_tua: unknown key"):
        check(systems.PaperFile, values, systems.SETTINGS)


def test_an_unknown_row_is_told_with_the_known_ones(paper):
    done = paper.run("python", "-m", "pipeline.paper.stages.train", "--system", "asc_tiny", "--seed", "0", check=False)
    assert done.returncode == 1
    assert "unknown name 'asc_tiny', known are cp_resnet, bc_resnet" in done.stdout
