"""params.yaml: what is accepted, and how a mistake is told."""

from pathlib import Path

import pytest
from workspace import ROOT

from asc_core import UserError
from pipeline import params
from pipeline.configure import PROFILES, configure


def test_the_committed_parameters_are_the_profile_quick():
    assert (ROOT / "params.yaml").read_text() == (PROFILES / "quick.yaml").read_text()


@pytest.mark.parametrize("profile", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_every_profile_is_valid_and_written_as_it_is(profile, tmp_path):
    path = tmp_path / "params.yaml"
    configure(profile, [], path)
    params.load(path)
    assert path.read_text() == (PROFILES / f"{profile}.yaml").read_text()


def test_overrides_change_one_key_each_and_keep_the_comments(tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", ["teacher.network.tau=1.5", "seeds=[4, 5]"], path)
    written = params.load(path)
    assert (written.teacher.network.tau, written.seeds) == (1.5, [4, 5])
    assert "# published: 256" in path.read_text()


def test_overrides_without_a_profile_go_on_top_of_the_present_parameters(tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", ["features.n_mels=32"], path)
    configure(None, ["seeds=[7]"], path)
    assert (params.load(path).features.n_mels, params.load(path).seeds) == (32, [7])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("teacher.network.tua=1", "teacher.network.tua: unknown key"),
        ("teacher.network={name: bc_resnet_asc, tau: 1, nrom: none}", "teacher.network.nrom: unknown key"),
        ("teacher.network.norm=batch", "teacher.network.norm: Input should be 'none', 'resnorm', "),
        ("training.batch_size=many", "training.batch_size: Input should be a valid integer"),
        ("training.batch_size=1.5", "training.batch_size: Input should be a valid integer"),
        ("seeds=[0, 0]", "names a seed twice"),
        ("seeds=[]", "seeds: "),
        ("features.n_mels=100", "features.n_mels: 100 is not a multiple of 32"),
        ("prune.ratio=1", "prune.ratio: "),
        ("prune.rise_epochs=99", "prune: rise_epochs: 99 is more than its 12 epochs"),
        ("student.start=teacher", "student.start: teacher needs student.network"),
        ("teacher.schedule={epochs: 1, learning_rate: 0.1, warm_up: 0}", "teacher.schedule.warm_up: unknown key"),
        ("data.expect.audio={sample_rate: 44100}", "data.expect.audio.seconds: missing key"),
        ("data.expect.counts.train.city=[0, 5]", "data.expect.counts.train.city.0: "),
        ("data.expect.counts.train.city=[9, 5]", "data.expect.counts.train.city: the least must not be more"),
        ("data.expect.releases={one: {train: 5, tset: 4}}", "data.expect.releases.one.tset: unknown key"),
        ("seeds", "seeds: not of the form key=value"),
    ],
)
def test_a_mistake_names_its_key_and_leaves_the_file_alone(override, told, tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", [], path)
    before = path.read_text()
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        configure("quick", [override], path)
    assert told in str(error.value)
    assert path.read_text() == before


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((PROFILES / "quick.yaml").read_text().replace("  ratio: 0.5", "  # ratio: 0.5"))
    with pytest.raises(UserError, match=r"prune\.ratio: missing key"):
        params.load(path)


@pytest.mark.parametrize("text", [None, "seeds: [0", "- a list"])
def test_a_file_that_is_no_mapping_is_named(text, tmp_path):
    path = Path(tmp_path / "params.yaml")
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        params.load(path)
